"""SDTM datasets: the rules that bite, transport files that read back, Dataset-JSON and Define-XML that are valid."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import jsonschema
import pyreadstat
import pytest
from lxml import etree

from app.edc.dataset_json import write_dataset_json
from app.edc.sdtm import Dataset, check_dataset, datasets, split_text
from app.edc.sdtm_columns import DOMAINS
from app.edc.sdtm_device import device_rows
from app.edc.sdtm_people import Contrast, Known
from app.edc.sdtm_tumour import Tumours
from app.edc.sdtm_xpt import write_sdtm_xpt
from app.edc.xport import frame_of
from app.edc.xsd import schema_faults
from tests.edc.conftest import Whole
from tests.edc.dataset_json_1_1 import SCHEMA

KNOWN = Known({"S-001": "SITE-7"}, {"1.2.3.4": Contrast("Iohexol", 80.0, "INTRAVENOUS")})
DEFINE = {"odm": "http://www.cdisc.org/ns/odm/v1.3", "def": "http://www.cdisc.org/ns/def/v2.1"}


@pytest.fixture(scope="module")
def sets(whole: Whole) -> dict[str, Dataset]:
    return {d.domain.name: d for d in datasets(whole.snapshot, whole.mapping, known=KNOWN)}


@pytest.fixture(scope="module")
def xpt(whole: Whole, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("xpt")
    write_sdtm_xpt(whole.snapshot, whole.mapping, folder, known=KNOWN)
    return folder


@pytest.fixture(scope="module")
def dsj(whole: Whole, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dsj")
    write_dataset_json(whole.snapshot, whole.mapping, folder, known=KNOWN)
    return folder


def rows(one: Dataset, **wanted) -> list[dict]:
    return [r for r in one.rows if all(r[k] == v for k, v in wanted.items())]


# -- the rules -------------------------------------------------------------------------------------


def test_that_names_labels_and_texts_keep_the_limits_of_transport_files(sets: dict[str, Dataset]) -> None:
    for domain in DOMAINS:
        assert max(len(v.name) for v in (domain, *domain.variables)) <= 8
        assert max(len(v.label) for v in (domain, *domain.variables)) <= 40
        assert all(v.name.isascii() for v in domain.variables)
    assert set(sets) == {d.name for d in DOMAINS}  # every dataset has rows here
    for one in sets.values():
        assert check_dataset(one) == []
        assert max(len(str(x).encode()) for r in one.rows for x in r.values()) <= 200


def test_that_no_location_stands_in_tr(sets: dict[str, Dataset]) -> None:
    assert not {"TRLOC", "TRLAT", "TRDIR", "TRPORTOT"} & set(sets["TR"].rows[0])
    assert {(r["TULOC"], r["TULAT"]) for r in rows(sets["TU"], TUTESTCD="TUMIDENT", USUBJID="IRE-LN-S-001")} == {("CERVICAL LYMPH NODE LEVEL III", "LEFT"), ("CERVICAL LYMPH NODE", "RIGHT")}
    assert {r["QVAL"] for r in rows(sets["SUPPTU"], QNAM="LOCDTL")} == {"LEVEL VI"}


def test_that_a_result_has_the_scans_date_its_evaluator_and_its_flag(sets: dict[str, Dataset]) -> None:
    volumes = rows(sets["TR"], TRTESTCD="VOLUME", TRLNKID="R1-N1", USUBJID="IRE-LN-S-001")
    assert [(r["TRDTC"], r["VISIT"], r["TRSTRESN"], r["TRSTRESU"], r["TRLOBXFL"]) for r in sorted(volumes, key=lambda r: r["TRDTC"])] == [
        ("2026-01-05", "BASELINE", 0.1 + 0.2, "mL", "Y"),
        ("2026-02-06", "DAY 30", 0.15, "mL", None),
        ("2026-03-01", "EXTRA LOOK", 0.18, "mL", None),
        ("2026-04-10", "MONTH 3", 0.0, "mL", None),
    ]
    assert {(r["TREVAL"], r["TREVALID"], r["TRMETHOD"]) for r in volumes} == {("INDEPENDENT ASSESSOR", "READER 1", "CT SCAN")}
    assert {r["VISIT"]: r["TRACPTFL"] for r in volumes} == {"BASELINE": "Y", "DAY 30": None, "EXTRA LOOK": "Y", "MONTH 3": "Y"}  # Day 30 waits for adjudication
    site = rows(sets["TR"], TRTESTCD="VOLUME", TREVAL="INVESTIGATOR")
    assert [(r["TREVALID"], r["TRACPTFL"], r["TRLNKID"]) for r in site] == [(None, None, "INV-N1")]
    assert not [r for r in sets["TR"].rows if r["TRSTRESN"] == 9.0]  # training stays at home


def test_that_change_is_negative_vrr_and_only_where_both_volumes_compare(sets: dict[str, Dataset]) -> None:
    found = {(r["TRLNKID"], r["VISIT"]): r["TRSTRESN"] for r in rows(sets["TR"], TRTESTCD="PCHGBL")}
    assert found["R1-N1", "DAY 30"] == pytest.approx(-50.0)
    assert found["R1-N1", "MONTH 3"] == -100.0
    assert found["R2-N1", "DAY 30"] == pytest.approx(100 * (0.16 - 0.31) / 0.31)
    assert ("INV-N1", "DAY 30") not in found  # the site has no baseline of its own


def test_that_zero_stands_only_where_it_was_looked_for_and_gone(sets: dict[str, Dataset]) -> None:
    zero = [r for r in rows(sets["TR"], TRTESTCD="VOLUME") if r["TRSTRESN"] == 0]
    states = {(r["TRSPID"]): r["TRSTRESC"] for r in rows(sets["TR"], TRTESTCD="TUMSTATE")}
    assert [states[r["TRSPID"]] for r in zero] == ["ABSENT"]
    assert sum(s == "ABSENT" for s in states.values()) == 1


def test_that_what_was_not_done_says_why_however_long(sets: dict[str, Dataset]) -> None:
    (one,) = rows(sets["TR"], TRSTAT="NOT DONE")
    rest = [r["QVAL"] for r in sorted(rows(sets["SUPPTR"], IDVARVAL=str(one["TRSEQ"]), USUBJID=one["USUBJID"]), key=lambda r: r["QNAM"]) if r["QNAM"].startswith("TRREASN")]
    assert rest
    assert " ".join([one["TRREASND"], *rest]) == "NOT EVALUABLE: " + ("shadow of the trachea " * 12).strip()
    assert (one["TRORRES"], one["TRSTRESN"]) == (None, None)


def test_that_too_small_keeps_its_words_and_the_protocols_length(sets: dict[str, Dataset]) -> None:
    (one,) = [r for r in sets["TR"].rows if r["TRORRES"] == "TOO SMALL TO MEASURE"]
    assert (one["TRTESTCD"], one["TRSTRESC"], one["TRSTRESN"], one["TRSTRESU"]) == ("LDIAM", "5", 5.0, "mm")


def test_that_sums_of_volumes_impute_nothing(sets: dict[str, Dataset]) -> None:
    found = [(r["TRTESTCD"], r["TREVALID"], r["VISIT"], r["TRSTRESN"]) for r in rows(sets["TR"], USUBJID="IRE-LN-S-001") if r["TRTESTCD"] in ("SUMVOL", "PCBSV")]
    assert [f[:3] for f in found] == [("SUMVOL", "READER 1", "BASELINE"), ("SUMVOL", "READER 2", "BASELINE"), ("SUMVOL", "READER 2", "DAY 30"), ("PCBSV", "READER 2", "DAY 30")]
    assert found[0][3] == pytest.approx(1.3)  # N2 had no volume later: no sum
    assert found[3][3] == pytest.approx(100 * (0.16 - 0.31) / 0.31)


def test_that_exactly_one_record_is_accepted_of_a_node_visit_modality_and_measurement(sets: dict[str, Dataset]) -> None:
    central = [r for r in sets["TR"].rows if r["TREVAL"] == "INDEPENDENT ASSESSOR" and r["TRLNKID"]]
    keys = {(r["USUBJID"], r["TRLNKID"].split("-", 1)[1], r["VISIT"], r["TRMETHOD"], r["TRTESTCD"]) for r in central}
    flagged = [(r["USUBJID"], r["TRLNKID"].split("-", 1)[1], r["VISIT"], r["TRMETHOD"], r["TRTESTCD"]) for r in central if r["TRACPTFL"] == "Y"]
    assert len(flagged) == len(set(flagged))
    volumes = {k for k in keys if k[4] == "VOLUME"}
    assert volumes - {k for k in flagged if k[4] == "VOLUME"} == {("IRE-LN-S-001", "N1", "DAY 30", "CT SCAN", "VOLUME")}  # two readers differ there


def test_that_the_accepted_records_may_be_stated(whole: Whole) -> None:
    mine = {(r.reading_id, r.version) for r in whole.snapshot.readings if r.reader == "reader-b" and r.locked_utc}
    tr = next(d for d in datasets(whole.snapshot, whole.mapping, accepted=mine) if d.domain.name == "TR")
    assert {r["TREVALID"] for r in rows(tr, TRACPTFL="Y")} == {"READER 2"}
    assert {r["TRSPID"] for r in rows(tr, TRACPTFL="Y") if r["TRSPID"]} == {reading_id for reading_id, _ in mine}


def test_that_link_ids_and_groups_lead_from_one_dataset_to_the_other(sets: dict[str, Dataset]) -> None:
    identified = {(r["USUBJID"], r["TULNKID"]) for r in rows(sets["TU"], TUTESTCD="TUMIDENT")}
    assert {(r["USUBJID"], r["TRLNKID"]) for r in sets["TR"].rows if r["TRLNKID"]} == identified
    groups = {(r["USUBJID"], r["TRLNKGRP"]) for r in sets["TR"].rows}
    assert {(r["USUBJID"], r["RSLNKGRP"]) for r in sets["RS"].rows} <= groups
    pairs = {(r["RDOMAIN"], r["IDVAR"], r["RELTYPE"]) for r in sets["RELREC"].rows if r["RELID"] == "TUTR"}
    assert pairs == {("TU", "TULNKID", "ONE"), ("TR", "TRLNKID", "MANY")}
    for supp, parent in (("SUPPTR", "TR"), ("SUPPTU", "TU")):
        known = {(r["USUBJID"], name, str(r.get(name))) for r in sets[parent].rows for name in (f"{parent}SEQ", f"{parent}SPID")}
        assert {(r["USUBJID"], r["IDVAR"], r["IDVARVAL"]) for r in sets[supp].rows} <= known


def test_that_every_volume_says_how_it_was_measured(sets: dict[str, Dataset]) -> None:
    told = {(r["USUBJID"], r["IDVARVAL"]): r["QVAL"] for r in rows(sets["SUPPTR"], QNAM="VOLMETH")}
    for r in rows(sets["TR"], TRTESTCD="VOLUME"):
        if r["TRSTRESN"] is not None:
            assert told[r["USUBJID"], str(r["TRSEQ"])] == "VOXEL"


# -- procedure and device --------------------------------------------------------------------------


def test_that_the_ablation_is_told_in_words_and_in_the_standard_term(sets: dict[str, Dataset]) -> None:
    (one,) = sets["PR"].rows
    assert (one["PRDECOD"], one["PRSTDTC"], one["SPDEVID"]) == ("IRREVERSIBLE ELECTROPORATION", "2026-01-07", "IRE-GENERATOR")
    assert {r["PRLNKGRP"] for r in sets["PR"].rows} == {r["DULNKGRP"] for r in sets["DU"].rows}


def test_that_the_kind_of_a_treatment_that_nobody_stated_is_not_guessed(whole: Whole) -> None:
    tumours = Tumours(replace(whole.snapshot, events=()), whole.mapping)  # what was delivered, and no event that names it
    (stated,) = device_rows(tumours)["PR"]
    for treatment in ("NONE", None):  # a trial that treats nothing, and a protocol of the first form that does not say
        tumours.snapshot = replace(tumours.snapshot, protocol={**whole.snapshot.protocol, "treatment": treatment})
        (one,) = device_rows(tumours)["PR"]
        assert (one["PRTRT"], one["PRDECOD"], one["PRCAT"]) == ("ABLATION, KIND NOT STATED", None, None)
    assert (stated["PRTRT"], stated["PRDECOD"], stated["PRCAT"]) == ("IRREVERSIBLE ELECTROPORATION", "IRREVERSIBLE ELECTROPORATION", "STUDY TREATMENT")


def test_that_planned_and_delivered_settings_stand_side_by_side_in_the_pairs_group(sets: dict[str, Dataset]) -> None:
    first = [r for r in sets["DU"].rows if r["DUGRPID"].endswith(" E1-E2")]
    told = {(r["DUTESTCD"], r["DUCAT"]): (r["DUSTRESN"], r["DUSTRESU"]) for r in first}
    assert told["SIGAMP", "PLANNED"] == (2250.0, "V")
    assert told["SIGAMP", "DELIVERED"] == (2200.0, "V")
    assert told["PULSNUM", "PLANNED"] == (90.0, "PULSES")
    assert told["PULSNUM", "DELIVERED"] == (90.0, "PULSES")
    assert told["SIGW", "PLANNED"] == (70.0, "us")
    assert told["ELECDIST", "DELIVERED"] == (16.25, "mm")
    assert len({r["DUGRPID"] for r in sets["DU"].rows}) == 3
    assert len({(r["DUGRPID"], r["DUTESTCD"], r["DUCAT"]) for r in sets["DU"].rows}) == len(sets["DU"].rows)  # one row a setting


def test_that_measured_currents_are_no_settings(sets: dict[str, Dataset]) -> None:
    assert not [r for r in sets["DU"].rows if r["DUSTRESU"] == "amp"]
    found = {(r["XDGRPID"].split(" ")[1], r["XDTESTCD"]): (r["XDSTRESN"], r["XDSTRESU"]) for r in sets["XD"].rows}
    assert found["E1-E2", "CUREND"] == (38.25, "amp")
    assert found["E2-E3", "CURSTART"] == (12.0, "amp")


def test_that_devices_are_named(sets: dict[str, Dataset]) -> None:
    assert {r["SPDEVID"] for r in sets["DI"].rows} >= {r["SPDEVID"] for r in sets["DU"].rows}
    assert all(r["DIPARMCD"] == "DEVTYPE" and r["DIVAL"] for r in sets["DI"].rows)


def test_that_complete_disappearance_is_told_node_by_node(sets: dict[str, Dataset]) -> None:
    gone = {(r["RSLNKID"], r["VISIT"]): r["RSSTRESC"] for r in rows(sets["RS"], RSTESTCD="CMPLDIS", RSCAT="PROTOCOL DEFINED RESPONSE CRITERIA")}
    assert (gone["R1-N1", "MONTH 3"], gone["R1-N1", "DAY 30"], gone["R2-N1", "DAY 30"]) == ("Y", "N", "N")
    assert not [k for k in gone if k[1] == "BASELINE" or k[0].startswith("INV")]


# -- files -----------------------------------------------------------------------------------------


def test_that_transport_files_read_back_identical(xpt: Path, sets: dict[str, Dataset]) -> None:
    for name, one in sets.items():
        frame, meta = pyreadstat.read_xport(xpt / f"{name.lower()}.xpt")
        want = frame_of(one)
        assert meta.table_name == name
        assert list(frame.columns) == list(want.columns)
        assert meta.column_labels == [v.label for v in one.domain.variables]
        for column in want.columns:
            if want[column].dtype == float:
                assert [None if x != x else x for x in frame[column]] == [None if x != x else x for x in want[column]], column
            else:
                assert list(frame[column]) == list(want[column]), column


def test_that_transport_files_are_of_version_5_and_tell_the_time_of_the_content(xpt: Path, whole: Whole) -> None:
    data = (xpt / "tr.xpt").read_bytes()
    assert data.startswith(b"HEADER RECORD*******LIBRARY HEADER RECORD!!!!!!!")  # version 8 would say LIBV8
    assert len(data) % 80 == 0
    meta = pyreadstat.read_xport(xpt / "tr.xpt", metadataonly=True)[1]
    newest = max([r.locked_utc for r in whole.snapshot.readings if r.locked_utc] + [d.created_utc for d in whole.snapshot.deliveries])
    assert meta.creation_time.isoformat() == newest[:19]
    assert meta.modification_time.isoformat() == newest[:19]


def test_that_define_is_valid_and_names_every_variable_of_every_file(xpt: Path, dsj: Path, sets: dict[str, Dataset]) -> None:
    for folder, suffix in ((xpt, "xpt"), (dsj, "json")):
        data = (folder / "define.xml").read_bytes()
        assert schema_faults(data, "define-2.1") == []
        tree = etree.fromstring(data)
        items = {i.get("OID"): i.get("Name") for i in tree.iterfind(".//odm:ItemDef", DEFINE)}
        assert len(items) == sum(len(d.domain.variables) for d in sets.values())
        for group in tree.iterfind(".//odm:ItemGroupDef", DEFINE):
            named = [items[r.get("ItemOID")] for r in group.iterfind("odm:ItemRef", DEFINE)]
            assert named == [v.name for v in sets[group.get("Name")].domain.variables]
            leaf = group.find("def:leaf", DEFINE).get("{http://www.w3.org/1999/xlink}href")
            assert leaf == f"{group.get('Name').lower()}.{suffix}"
            assert (folder / leaf).is_file()
    coded = {c.get("OID"): {i.get("CodedValue") for i in c} for c in tree.iterfind(".//odm:CodeList", DEFINE)}
    assert {r["TRTESTCD"] for r in sets["TR"].rows} <= coded["CL.TRTESTCD"]
    assert schema_faults(data.replace(b'def:Name="', b'def:Nome="', 1).replace(b"def:Structure", b"def:Struktur", 1), "define-2.1") != []


def test_that_dataset_json_has_what_version_1_1_requires(dsj: Path, sets: dict[str, Dataset]) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    for name, one in sets.items():
        content = json.loads((dsj / f"{name.lower()}.json").read_text("utf-8"))
        jsonschema.validate(content, SCHEMA, cls=jsonschema.Draft202012Validator)
        assert content["records"] == len(content["rows"]) == len(one.rows)
        names = [c["name"] for c in content["columns"]]
        assert names == [v.name for v in one.domain.variables]
        for row, want in zip(content["rows"], one.rows, strict=True):
            assert len(row) == len(names)
            for value, column in zip(row, content["columns"], strict=True):
                there = want[column["name"]]
                assert value == (there if there is not None or column["dataType"] in ("integer", "double") else "")
                assert isinstance(value, {"string": str, "integer": (int, type(None)), "double": (float, type(None))}[column["dataType"]])
                if column["dataType"] == "string":
                    assert len(value) <= column["length"]  # characters, not bytes


def test_that_the_transcribed_schema_refuses_what_the_standard_refuses(dsj: Path) -> None:
    content = json.loads((dsj / "tr.json").read_text("utf-8"))
    for spoil in (
        lambda c: c.pop("records"), lambda c: c.update(records="3"), lambda c: c.update(datasetJSONVersion="1.0.0"), lambda c: c["columns"][0].pop("label"),
        lambda c: c["columns"][0].update(dataType="text"), lambda c: c.update(datasetJSONCreationDateTime="20 Nov 2026"),
        lambda c: c.update(isReferenceData=False),  # of the drafts
    ):  # fmt: skip
        spoiled = json.loads(json.dumps(content))
        spoil(spoiled)
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(spoiled, SCHEMA)


@pytest.mark.parametrize("text", ["", "short", "x" * 450, "李" * 150, "word " * 100, "a " + "y" * 201])
def test_that_a_long_text_is_cut_between_characters_and_nothing_is_lost(text: str) -> None:
    parts = split_text(text)
    assert all(len(p.encode()) <= 200 for p in parts)
    assert "".join(parts).replace(" ", "") == text.replace(" ", "")
