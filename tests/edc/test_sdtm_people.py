"""DM and AG: what the study knows of a subject and of a scan's contrast agent, and nothing that it does not know."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

import pytest
from lxml import etree
from pydicom import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from app.edc.mapping import check_mapping, load_mapping, mapping_from
from app.edc.sdtm import datasets
from app.edc.sdtm_people import Contrast, Known
from app.study.store import StudyStore
from app.usecases.export_edc import export_study
from app.usecases.export_known import contrast_of, known_of
from app.usecases.subject_values import log_event
from app.usecases.trial_identity import set_site
from tests.edc.conftest import Clock, Whole
from tests.study.builders import CaseBuilder


def rows_of(snapshot, mapping, name: str, **more) -> list[dict]:
    return next((list(d.rows) for d in datasets(snapshot, mapping, **more) if d.domain.name == name), [])


def own_mapping(**sdtm) -> dict:
    content = json.loads((resources.files("resources") / "edc" / "ire-cervical-ln.json").read_text("utf-8"))
    content["sdtm"] |= sdtm
    return content


def test_that_dm_has_a_row_a_subject_and_no_variable_that_nothing_is_known_of(whole: Whole) -> None:
    rows = rows_of(whole.snapshot, whole.mapping, "DM")
    assert [(r["SUBJID"], r["RFSTDTC"], r["RFXENDTC"]) for r in rows] == [("S-001", "2026-01-07", "2026-01-07"), ("S-002", None, None)]
    assert set(rows[0]) == {"STUDYID", "DOMAIN", "USUBJID", "SUBJID", "RFSTDTC", "RFXSTDTC", "RFXENDTC"}
    told = rows_of(whole.snapshot, mapping_from(own_mapping(country="CHN")), "DM", known=Known({"S-001": "SITE-7"}))
    assert [(r["SITEID"], r["COUNTRY"]) for r in told] == [("SITE-7", "CHN"), (None, "CHN")]
    everybody = {r["USUBJID"] for one in datasets(whole.snapshot, whole.mapping) for r in one.rows if r.get("USUBJID")}
    assert everybody == {r["USUBJID"] for r in rows}


def test_that_arm_sex_and_end_stand_as_they_were_logged(tmp_path: Path) -> None:
    creatinine = {"test": "CREATININE", "value": 1.0, "unit": "mg/dL", "age_years": 50, "weight_kg": 60}
    with StudyStore.create(tmp_path / "s", protocol="mtt-liver", user="tester", clock=Clock()) as store:
        case = CaseBuilder(store)
        case.lock("Baseline")
        for subject in ("S-002", "S-003"):
            store.add_subject(subject)
        log_event(store, "S-001", "ALLOCATION", "2026-01-02", detail={"arm": "mtt"})
        wrong = log_event(store, "S-001", "LAB", "2026-01-01", detail=creatinine | {"sex": "M"})
        log_event(store, "S-001", "LAB", "2026-01-01", detail=creatinine | {"sex": "F", "replaces": wrong.event_id})
        store.add_event("S-001", "DEATH", "2026-09-01")
        log_event(store, "S-002", "LAB", "2026-01-01", detail=creatinine | {"sex": "M"})
        log_event(store, "S-002", "LAB", "2026-02-01", detail=creatinine | {"sex": "F"})  # which is it?
        store.add_event("S-003", "WITHDRAWAL", "2026-03-01")
        snapshot = store.snapshot()
    rows = {r["SUBJID"]: r for r in rows_of(snapshot, load_mapping("mtt-liver"), "DM")}
    assert [rows[s]["SEX"] for s in sorted(rows)] == ["F", "U", "U"]
    assert [(rows[s]["ARMCD"], rows[s]["ARM"], rows[s]["ARMNRS"]) for s in ("S-001", "S-002")] == [("MTT", "Multimodal thermal therapy", None), (None, None, "NOT ASSIGNED")]
    assert [(rows[s]["DTHFL"], rows[s]["DTHDTC"], rows[s]["RFPENDTC"]) for s in sorted(rows)] == [("Y", "2026-09-01", "2026-09-01"), (None, None, None), (None, None, "2026-03-01")]
    assert not {"AGE", "RACE", "ACTARM", "RFICDTC"} & set(rows["S-001"])


def test_that_an_agent_stands_where_the_picture_or_the_trial_names_it(whole: Whole) -> None:
    assert rows_of(whole.snapshot, whole.mapping, "AG") == []
    by_trial = rows_of(whole.snapshot, mapping_from(own_mapping(contrast={"CT": "Iopromide", "CEUS": "Perflutren"})), "AG", known=Known(contrast={"1.2.3.4": Contrast(volume_ml=75.0)}))
    assert [(r["USUBJID"], r["AGTRT"], r["AGDOSE"], r["AGDOSU"], r["AGSPID"], r["VISIT"], r["AGSTDTC"]) for r in by_trial] == [
        ("IRE-LN-S-001", "IOPROMIDE", 75.0, "mL", "1.2.3.4", "BASELINE", "2026-01-05")
    ]
    by_picture = rows_of(whole.snapshot, mapping_from(own_mapping(contrast={"CT": "Iopromide"})), "AG", known=Known(contrast={"1.2.3.4": Contrast("Iohexol", None, "IV")}))
    assert [(r["AGTRT"], r["AGROUTE"], "AGDOSE" in r) for r in by_picture] == [("IOHEXOL", "IV", False)]
    related = rows_of(whole.snapshot, mapping_from(own_mapping(contrast={"CT": "Iopromide"})), "RELREC")
    assert [(r["RDOMAIN"], r["IDVAR"], r["RELTYPE"]) for r in related if r["RELID"] == "AGTR"] == [("AG", "AGSPID", "ONE"), ("TR", "TRREFID", "MANY")]


@pytest.mark.parametrize(("sdtm", "told"), [({"country": "China"}, "sdtm.country"), ({"contrast": {"XR": "Barium"}}, "sdtm.contrast"), ({"contrast": {"CT": ""}}, "sdtm.contrast")])
def test_that_a_mapping_with_a_faulty_country_or_agent_is_refused(sdtm: dict, told: str) -> None:
    assert check_mapping(own_mapping(country=None, contrast=None)) == []
    assert any(told in fault for fault in check_mapping(own_mapping(**sdtm)))


def ct_header(path: Path, **elements) -> Path:
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.MediaStorageSOPClassUID, ds.file_meta.MediaStorageSOPInstanceUID, ds.file_meta.TransferSyntaxUID = CTImageStorage, "1.2.3.4.1", ExplicitVRLittleEndian
    for name, value in elements.items():
        setattr(ds, name, value)
    ds.save_as(path, enforce_file_format=True)
    return path


def test_that_a_header_tells_agent_volume_and_route_or_nothing(tmp_path: Path) -> None:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "C-B0317", "SRT", "Iohexol"
    told = ct_header(tmp_path / "a.dcm", ContrastBolusAgent="Omnipaque 350 ", ContrastBolusVolume="80", ContrastBolusRoute="INTRAVENOUS")
    assert contrast_of(told) == Contrast("Omnipaque 350", 80.0, "INTRAVENOUS")
    assert contrast_of(ct_header(tmp_path / "b.dcm", ContrastBolusAgentSequence=[code], ContrastBolusVolume="0")) == Contrast("Iohexol")
    assert contrast_of(ct_header(tmp_path / "c.dcm", ContrastBolusAgent="")) == Contrast()
    (tmp_path / "d.dcm").write_bytes(b"no picture")
    assert contrast_of(tmp_path / "d.dcm") == contrast_of(tmp_path / "absent.dcm") == Contrast()


def test_that_an_export_asks_the_study_for_sites_and_pictures(opened: StudyStore, tmp_path: Path) -> None:
    visit = next(v for v in opened.visits("S-001") if v.name == "Baseline")
    staged = tmp_path / "staged"
    staged.mkdir()
    ct_header(staged / "a.dcm", ContrastBolusAgent="Iohexol", ContrastBolusVolume="80")
    opened.add_series(visit.visit_id, series_uid="1.2.3.4", modality="CT", kind="volume", staged=staged)
    set_site(opened, "S-001", "SITE-7", "Hospital")
    assert known_of(opened, opened.snapshot()) == Known({"S-001": "SITE-7"}, {"1.2.3.4": Contrast("Iohexol", 80.0)})
    receipt = export_study(opened, "dataset-json", tmp_path / "out")
    assert {"dm.json", "ag.json"} <= {f["path"] for f in receipt["files"]}
    tree = etree.fromstring((tmp_path / "out" / "define.xml").read_bytes())
    groups = {g.get("Name"): g.get("Repeating") for g in tree.iter("{http://www.cdisc.org/ns/odm/v1.3}ItemGroupDef")}
    assert (groups["DM"], groups["AG"]) == ("No", "Yes")
