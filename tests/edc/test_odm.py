"""ODM 1.3.2 and 2.0: valid by the official schemas, and the same content in both."""

from __future__ import annotations

from pathlib import Path

import pytest
from lxml import etree

from app.edc.odm_1_3_2 import write_odm_1_3_2
from app.edc.odm_2_0 import write_odm_2_0
from app.edc.xsd import checked, schema_faults
from app.study.errors import StudyRefused
from tests.edc.conftest import Whole

WRITERS = {"odm-1.3.2": write_odm_1_3_2, "odm-2.0": write_odm_2_0}
NS = {"odm-1.3.2": "{http://www.cdisc.org/ns/odm/v1.3}", "odm-2.0": "{http://www.cdisc.org/ns/odm/v2.0}"}


@pytest.fixture(scope="module")
def outs(whole: Whole, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folders = {name: tmp_path_factory.mktemp("odm") for name in WRITERS}
    for name, write in WRITERS.items():
        write(whole.snapshot, whole.mapping, folders[name])
    return folders


def root(outs: dict[str, Path], name: str, file: str) -> etree._Element:
    return etree.fromstring((outs[name] / file).read_bytes())


def values(element: etree._Element, ns: str) -> dict[str, str]:
    """Item OID -> value of a form, in either version."""
    return {i.get("ItemOID"): i.get("Value") or i.findtext(f"{ns}Value") or "" for i in element.iter(f"{ns}ItemData")}


def forms(tree: etree._Element, ns: str) -> list[etree._Element]:
    if ns == NS["odm-1.3.2"]:
        return list(tree.iter(f"{ns}FormData"))
    return [g for event in tree.iter(f"{ns}StudyEventData") for g in event.findall(f"{ns}ItemGroupData")]


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("file", ["snapshot.xml", "transactional.xml"])
def test_that_the_file_is_valid_by_the_official_schema(outs: dict[str, Path], name: str, file: str) -> None:
    assert schema_faults((outs[name] / file).read_bytes(), name) == []


def test_that_what_does_not_fit_the_schema_is_found_and_never_written(outs: dict[str, Path]) -> None:
    data = (outs["odm-1.3.2"] / "snapshot.xml").read_bytes()
    for old, new in ((b'FileType="Snapshot"', b'FileType="Photo"'), (b"<FormData FormOID", b"<FormData Colour"), (b' CreationDateTime="2026', b' CreationDateTime="yesterday')):
        assert old in data
        assert schema_faults(data.replace(old, new, 1), "odm-1.3.2") != []
    with pytest.raises(StudyRefused) as caught:
        checked(data.replace(b'FileType="Snapshot"', b'FileType="Photo"'), "odm-1.3.2", "The file")
    assert caught.value.code == "export_invalid"


@pytest.mark.parametrize("name", WRITERS)
def test_that_every_reference_has_what_it_refers_to(outs: dict[str, Path], name: str) -> None:
    for file in ("snapshot.xml", "transactional.xml"):
        tree = root(outs, name, file)
        known = {e.get("OID") for e in tree.iter() if isinstance(e.tag, str) and e.get("OID")}
        for element in tree.iter():
            for key, value in element.attrib.items():
                if key.endswith("OID") and key not in ("OID", "FileOID"):
                    assert value in known, (etree.QName(element).localname, key, value)


def test_that_both_versions_hold_the_same_values(outs: dict[str, Path]) -> None:
    both = [[values(f, NS[n]) for f in forms(root(outs, n, "snapshot.xml"), NS[n])] for n in WRITERS]
    assert both[0] == both[1]
    assert len(both[0]) == 14


@pytest.mark.parametrize("name", WRITERS)
def test_that_coded_values_are_of_their_code_lists_and_required_items_are_there(outs: dict[str, Path], name: str) -> None:
    ns = NS[name]
    tree = root(outs, name, "snapshot.xml")
    lists = {c.get("OID"): {i.get("CodedValue") for i in c.iter(f"{ns}CodeListItem")} for c in tree.iter(f"{ns}CodeList")}
    coded = {d.get("OID"): d.find(f"{ns}CodeListRef").get("CodeListOID") for d in tree.iter(f"{ns}ItemDef") if d.find(f"{ns}CodeListRef") is not None}
    required = {g.get("OID"): {r.get("ItemOID") for r in g.iter(f"{ns}ItemRef") if r.get("Mandatory") == "Yes"} for g in tree.iter(f"{ns}ItemGroupDef")}
    checked_values = 0
    for group in tree.iter(f"{ns}ItemGroupData"):
        mine = {i.get("ItemOID"): i.get("Value") or i.findtext(f"{ns}Value") for i in group.findall(f"{ns}ItemData")}
        if not mine:
            continue
        assert required[group.get("ItemGroupOID")] <= set(mine)
        for oid, value in mine.items():
            if oid in coded:
                assert value in lists[coded[oid]], oid
                checked_values += 1
    assert checked_values > 60


@pytest.mark.parametrize("name", WRITERS)
def test_that_the_transactions_tell_who_when_why_and_what_changed(outs: dict[str, Path], whole: Whole, name: str) -> None:
    ns = NS[name]
    tree = root(outs, name, "transactional.xml")
    all_forms = forms(tree, ns)
    assert len(all_forms) == 15  # 11 readings, one of them twice, and 3 pairs
    times = [f.findtext(f"{ns}AuditRecord/{ns}DateTimeStamp") for f in all_forms]
    assert times == sorted(times)
    update = next(f for f in all_forms if f.get("TransactionType") == "Update")
    assert update.findtext(f"{ns}AuditRecord/{ns}ReasonForChange") == "vessel included"
    changed = values(update, ns)
    assert changed["IT.RD.VOLUME_ML"] == "0.15"
    assert changed["IT.RD.VERSION"] == "2"
    assert "IT.RD.NODE" not in changed  # it did not change
    gone = [i.get("ItemOID") for i in update.iter(f"{ns}ItemData") if i.get("TransactionType") == "Remove"]
    assert gone == ["IT.RD.LONG_AXIS_MM"]
    insert = next(f for f in all_forms if f is not update and values(f, ns).get("IT.RD.READING_ID") and f.findtext(f"{ns}AuditRecord/{ns}SourceID").split("@")[0] == update.findtext(f"{ns}AuditRecord/{ns}SourceID").split("@")[0])
    assert (values(insert, ns)["IT.RD.VOLUME_ML"], insert.get("TransactionType")) == ("0.2", "Insert")
    key = "FormRepeatKey" if name == "odm-1.3.2" else "ItemGroupRepeatKey"
    assert insert.get(key) == update.get(key)
    names = {u.get("OID"): u.findtext(f"{ns}FullName") for u in tree.iter(f"{ns}User")}
    assert names[update.find(f"{ns}Signature/{ns}UserRef").get("UserOID")] == "李 医生"
    meanings = {s.get("OID"): (s.findtext(f"{ns}Meaning"), s.findtext(f"{ns}LegalReason")) for s in tree.iter(f"{ns}SignatureDef")}
    assert meanings[update.find(f"{ns}Signature/{ns}SignatureRef").get("SignatureOID")] == ("reviewed", "not an electronic signature")
    site = next(f for f in all_forms if values(f, ns).get("IT.TX.DELIVERY_ID"))
    assert site.findtext(f"{ns}AuditRecord/{ns}ReasonForChange") == "pulses were miscounted"
    assert site.find(f"{ns}Signature") is None


def test_that_the_times_are_those_of_the_content(outs: dict[str, Path], whole: Whole) -> None:
    newest = max([r.locked_utc for r in whole.snapshot.readings if r.locked_utc] + [d.created_utc for d in whole.snapshot.deliveries])
    for name in WRITERS:
        assert root(outs, name, "snapshot.xml").get("CreationDateTime") == newest


def test_that_a_snapshot_has_no_audit_and_unscheduled_visits_are_numbered(outs: dict[str, Path]) -> None:
    tree, ns = root(outs, "odm-1.3.2", "snapshot.xml"), NS["odm-1.3.2"]
    assert not list(tree.iter(f"{ns}AuditRecord"))
    extra = [e for e in tree.iter(f"{ns}StudyEventData") if e.get("StudyEventOID") == "SE.UNS"]
    assert [e.get("StudyEventRepeatKey") for e in extra] == ["1"]
    assert {e.get("StudyEventRepeatKey") for e in tree.iter(f"{ns}StudyEventData")} == {None, "1"}


def test_that_a_file_name_may_be_given(whole: Whole, tmp_path: Path) -> None:
    receipt = write_odm_1_3_2(whole.snapshot, whole.mapping, tmp_path / "to-edc.xml")
    assert [f["path"] for f in receipt["files"]] == ["to-edc.xml", "to-edc-transactional.xml"]
    assert (receipt["files"][0]["rows"], receipt["readings"]) == (14, 11)
    assert (tmp_path / "to-edc.xml").is_file()
