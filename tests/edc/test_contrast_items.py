"""What was found on contrast pictures, as the EDC's forms carry it: proposal, curve figures, parts and the zone of Day 0; unknown stays empty and 0 stays 0."""

from __future__ import annotations

import csv
import json
from importlib import resources
from pathlib import Path

import pytest
from lxml import etree

from app.edc.items import ADDED_LATER, FORMS
from app.edc.mapping import check_mapping, load_mapping, mapping_from
from app.edc.odm_1_3_2 import write_odm_1_3_2
from app.edc.redcap import write_redcap
from app.edc.sdtm import datasets
from app.study.store import StudyStore
from tests.edc.conftest import Clock
from tests.study.builders import CaseBuilder

ODM = "{http://www.cdisc.org/ns/odm/v1.3}"
CURVE = {"arrival_s": 9.5, "ttp_s": 20.25, "rise_time_s": 6.0, "mtt_s": None}


def record(grade: str, share: float | None, ratios: dict | None) -> dict:
    """A proposal as a reading keeps it."""
    node = {"role": "node", "model": "lognormal", "parameters": CURVE, "ratios": ratios, "r_squared": 0.98}
    return {"perfusion": {"modality": "CEUS", "residual": {"grade": grade, "viable_pct": share}, "regions": [node], "input_sha256": "a" * 64}}


@pytest.fixture(scope="module")
def read(tmp_path_factory):
    """Three readings of one node: 0 viable with ratios, partly viable at baseline without a reference, and not evaluable."""
    with StudyStore.create(tmp_path_factory.mktemp("items") / "s", user="tester", clock=Clock()) as store:
        case = CaseBuilder(store)
        store.add_event("S-001", "IRE", "2026-01-07", node_id=case.node.node_id, detail={"zone_volume_ml": 2.5})
        parts = {"viable_from": "enhancing_share", "ablated_from": "derived", "modality": "CEUS", "method": "ellipsoid"}
        case.lock("Baseline", volume_ml=1.0, viable_ml=0.8, ablated_ml=0.2, enhancement_grade="3", measurement=record("3", 80.0, None), **parts)
        ratios = {"auc": {"value": 0.0}, "peak": {"value": None}}
        case.lock("Day 30", volume_ml=0.5, viable_ml=0.0, ablated_ml=0.5, enhancement_grade="0", measurement=record("0", 0.0, ratios), **parts)
        case.lock("Month 3", volume_ml=0.4, enhancement_grade="NE", measurement=record("NE", None, None), modality="CEUS", method="ellipsoid")
        snapshot = store.snapshot()
    return snapshot, load_mapping("ire-cervical-ln")


def rows(read, folder: Path) -> dict[str, dict[str, str]]:
    write_redcap(*read, folder)
    with (folder / "import.csv").open(encoding="utf-8-sig", newline="") as file:
        return {r["redcap_event_name"]: r for r in csv.DictReader(file) if r["redcap_repeat_instrument"] == "node_reading"}


def test_that_redcap_has_the_proposal_and_parts_and_unknown_is_never_0(read, tmp_path: Path) -> None:
    found = rows(read, tmp_path)
    day30, month3, baseline = (found[f"{n}_arm_1"] for n in ("day_30", "month_3", "baseline"))
    assert [day30[f"rd_{n}"] for n in ("grade_proposed", "enhancing_pct", "viable_ml", "auc_ratio", "peak_ratio", "wash_in_ratio", "mtt_s")] == ["0", "0", "0", "0", "", "", ""]
    assert [day30[f"rd_{n}"] for n in ("ttp_s", "curve_model", "perfusion_sha256")] == ["20.25", "lognormal", "a" * 64]
    assert [day30[f"rd_{n}"] for n in ("baseline_viable_ml", "baseline_ablated_ml", "vrr_viable_pct", "vrr_ablated_pct", "parts_comparable")] == ["0.8", "0.2", "100", "-150", "1"]
    assert [day30[f"rd_{n}"] for n in ("zone_volume_ml", "vrr_zone_pct")] == ["2.5", "80"]
    assert [month3[f"rd_{n}"] for n in ("enhancement_grade", "grade_proposed")] == ["NE", "NE"]
    assert [month3[f"rd_{n}"] for n in ("enhancing_pct", "viable_ml", "ablated_ml", "vrr_viable_pct", "auc_ratio", "parts_comparable")] == [""] * 6
    assert [baseline[f"rd_{n}"] for n in ("enhancing_pct", "auc_ratio", "zone_volume_ml")] == ["80", "", ""]
    with (tmp_path / "data_dictionary.csv").open(encoding="utf-8-sig", newline="") as file:
        described = {r["Variable / Field Name"] for r in csv.DictReader(file)}
    assert {f"rd_{name}" for name in ADDED_LATER} <= described


def test_that_odm_and_sdtm_leave_out_what_is_not_known(read, tmp_path: Path) -> None:
    write_odm_1_3_2(*read, tmp_path)
    tree = etree.parse(tmp_path / "snapshot.xml")
    data = {e.get("StudyEventOID"): {i.get("ItemOID").removeprefix("IT.RD."): i.get("Value") for i in e.iter(ODM + "ItemData")} for e in tree.iter(ODM + "StudyEventData")}
    assert [data["SE.D30"][n] for n in ("GRADE_PROPOSED", "ENHANCING_PCT", "VIABLE_ML", "AUC_RATIO", "VRR_ZONE_PCT")] == ["0", "0", "0", "0", "80"]
    assert not {"ENHANCING_PCT", "VIABLE_ML", "ABLATED_ML", "VRR_VIABLE_PCT", "AUC_RATIO", "MTT_S"} & set(data["SE.M03"])
    assert data["SE.M03"]["ENHANCEMENT_GRADE"] == "NE"
    results = {(r["TRTESTCD"], r["VISIT"].upper()): r["TRSTRESC"] for d in datasets(*read) if d.domain.name == "TR" for r in d.rows}
    assert (results["VIAVOL", "DAY 30"], results["RESENH", "MONTH 3"]) == ("0", "NE")
    assert ("VIAVOL", "MONTH 3") not in results


def test_that_a_mapping_written_before_these_items_still_holds_and_sends_none_of_them() -> None:
    content = json.loads((resources.files("resources") / "edc" / "ire-cervical-ln.json").read_text("utf-8"))
    content["forms"]["reading"]["items"] = {k: v for k, v in content["forms"]["reading"]["items"].items() if k not in ADDED_LATER}
    assert check_mapping(content) == []
    assert not ADDED_LATER & set(mapping_from(content).items("reading"))
    assert {i.name for i in FORMS["reading"]} > ADDED_LATER
