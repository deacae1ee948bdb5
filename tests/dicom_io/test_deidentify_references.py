"""Pictures, segmentation and report still refer to one another, and say nothing that somebody typed."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from dicom_io.ct import read_volume
from dicom_io.deidentify import clean_copy, clean_dataset
from dicom_io.masks import read_masks
from dicom_io.report import NodeReport, SegmentReference, TimePoint, read_report, write_report
from dicom_io.rtstruct_write import write_rtstruct
from dicom_io.seg_write import write_seg
from dicom_io.trial_modules import Trial
from tests.dicom_io.made import STAMP
from tests.dicom_io.test_seg_write import nodes, series
from tests.dicom_io.validators import dciodvfy_errors, sr_dump

KEY = b"0123456789abcdef0123456789abcdef"
TRACKED = "2.25.123456"
TRIAL = Trial("ire-cervical-ln/1", "IRE of neck nodes", "Sponsor", "012", "Site", "Month 3", 91)


@pytest.fixture
def objects(tmp_path):
    """Our own CT, SEG, RTSTRUCT and SR of one study, with a name where people write one, cleaned one by one."""
    source = series(tmp_path / "ct")
    masks = nodes(read_volume(source).geometry)
    masks[0] = type(masks[0])(masks[0].array, masks[0].geometry, 1, "Zimmermann left")
    seg = write_seg(masks, source.paths, tmp_path / "seg.dcm", STAMP, tracking_uids=[TRACKED, None, None])
    structures = write_rtstruct(masks, source.paths, tmp_path / "rt.dcm", STAMP)
    ds = pydicom.dcmread(seg)
    evidence = [*(pydicom.dcmread(p, stop_before_pixels=True) for p in source.paths), ds]
    segment = SegmentReference(str(ds.SOPClassUID), str(ds.SOPInstanceUID), 1, str(evidence[0].SeriesInstanceUID))
    node = NodeReport("Zimmermann left", TRACKED, "left", "IIA", "measured", "voxel", 1.23456, (1.1, 1.4), 14.2, 9.9, 45.5, 0.5, 0.73456, segment)
    report = write_report([node], evidence, tmp_path / "sr.dcm", STAMP, reader="Dr Zimmermann", modality="CT", time_point=TimePoint("Month 3", 3, "follow_up", 91))
    before = {"ct": list(source.paths), "seg": seg, "rt": structures, "sr": report}
    out = tmp_path / "out"
    cleaned = clean_copy(before["ct"], out, "S-007", KEY, trial=TRIAL)
    after = {"ct": [c.path for c in cleaned]}
    for kind in ("seg", "rt", "sr"):
        (one,) = clean_copy([before[kind]], out, "S-007", KEY, trial=TRIAL)
        after[kind] = one.path
    return before, after


def test_that_one_go_and_two_goes_with_the_same_key_give_the_same_files(objects, tmp_path):
    before, after = objects  # cleaned in four goes
    everything = [*before["ct"], before["seg"], before["rt"], before["sr"]]
    together = clean_copy(everything, tmp_path / "together", "S-007", KEY, trial=TRIAL)
    apart = [*after["ct"], after["seg"], after["rt"], after["sr"]]
    assert [c.path.name for c in together] == [p.name for p in apart]
    assert [c.path.read_bytes() for c in together] == [p.read_bytes() for p in apart]
    instances, named = {c.sop_instance_uid for c in together}, set()
    for c in together[len(before["ct"]) :]:
        named |= _uids(pydicom.dcmread(c.path)) & instances - {c.sop_instance_uid}
    assert named >= {c.sop_instance_uid for c in together[: len(before["ct"])]} | {next(c.sop_instance_uid for c in together if c.path == tmp_path / "together" / after["seg"].name)}
    (other,) = clean_copy([before["seg"]], tmp_path / "other", "S-007", b"another key of thirty-two characters", trial=TRIAL)
    assert not _uids(pydicom.dcmread(other.path)) & instances


def _uids(ds: Dataset, found: set[str] | None = None) -> set[str]:
    found = set() if found is None else found
    for element in ds:
        if element.VR == "SQ":
            for entry in element.value:
                _uids(entry, found)
        elif element.VR == "UI" and element.value:
            found |= {str(v) for v in (element.value if isinstance(element.value, list) else [element.value])}
    return found


def test_that_segments_lie_where_they_lay(objects):
    before, after = objects
    old, new = read_masks(before["seg"]), read_masks(after["seg"])
    assert len(old) == len(new) == 3
    for a, b in zip(old, new, strict=True):
        assert np.array_equal(a.array, b.array)
        assert a.geometry.same_grid(b.geometry)
    assert [m.name for m in new] == ["Segment 1", "node 2", "Segment 3"]


def test_that_the_segmentation_and_the_report_name_the_cleaned_pictures(objects):
    _, after = objects
    images = [pydicom.dcmread(p, stop_before_pixels=True) for p in after["ct"]]
    seg, sr, rt = (pydicom.dcmread(after[k]) for k in ("seg", "sr", "rt"))
    instances = {str(i.SOPInstanceUID) for i in images}
    named = {str(r.ReferencedSOPInstanceUID) for s in seg.ReferencedSeriesSequence for r in s.ReferencedInstanceSequence}
    assert named <= instances
    assert named
    assert {seg.StudyInstanceUID, sr.StudyInstanceUID, rt.StudyInstanceUID} == {images[0].StudyInstanceUID}
    assert seg.FrameOfReferenceUID == images[0].FrameOfReferenceUID
    assert instances & _uids(sr)
    assert instances & _uids(rt)
    (group,) = read_report(after["sr"])
    assert group.segment == (str(seg.SOPInstanceUID), 1)
    assert group.tracking_uid == seg.SegmentSequence[0].TrackingUID != TRACKED
    assert group.tracking_identifier == seg.SegmentSequence[0].TrackingID
    assert group.values["Volume"] == (1.23456, "cm3")
    assert group.values["Long Axis"] == (14.2, "mm")


def test_that_no_old_uid_and_no_name_is_left_in_any_of_them(objects):
    before, after = objects
    old = {u for p in (*before["ct"], before["seg"], before["rt"], before["sr"]) for u in _uids(pydicom.dcmread(p)) if not u.startswith("1.2.840.10008.")}
    assert len(old) > 8
    for path in (*after["ct"], after["seg"], after["rt"], after["sr"]):
        raw = path.read_bytes()
        assert b"Zimmermann" not in raw
        assert [u for u in old if u.encode() in raw] == []


def test_that_the_trial_stands_in_every_object(objects):
    _, after = objects
    for path in (*after["ct"], after["seg"], after["rt"], after["sr"]):
        ds = pydicom.dcmread(path, stop_before_pixels=True)
        assert (ds.ClinicalTrialProtocolID, ds.ClinicalTrialSponsorName, ds.ClinicalTrialSiteID) == ("ire-cervical-ln/1", "Sponsor", "012")
        assert (ds.ClinicalTrialSubjectID, ds.ClinicalTrialTimePointID, ds.ClinicalTrialTimePointDescription) == ("S-007", "Month 3", "Month 3")
        assert (ds.LongitudinalTemporalOffsetFromEvent, ds.LongitudinalTemporalEventType) == (91.0, "BASELINE")
        assert (ds.PatientID, ds.PatientIdentityRemoved) == ("S-007", "YES")
        assert [e.CodeValue for e in ds.DeidentificationMethodCodeSequence] == ["113100", "113101", "113104", "113107"]


def test_that_validators_accept_what_is_left(objects):
    before, after = objects
    for kind in ("seg", "rt", "sr"):
        new = set(dciodvfy_errors(after[kind])) - set(dciodvfy_errors(before[kind]))
        assert new == set(), kind
    assert "Volume" in sr_dump(after["sr"])


def test_that_other_makers_reports_keep_numbers_and_lose_words(shared_data, tmp_path):
    source = shared_data / "seg_sr" / "highdicom" / "sr_document_with_multiple_groups.dcm"
    (clean,) = clean_copy([source], tmp_path, "S-007", KEY)
    old, new = read_report(source), read_report(clean.path)
    assert [g.values for g in new] == [g.values for g in old]
    texts = [str(e.value) for e in pydicom.dcmread(clean.path).iterall() if e.keyword in ("TextValue", "PersonName")]
    assert {t for t in texts if not t.startswith("T")} <= {"Removed", "S-007"}


def _text_item(code: str, scheme: str, value: str) -> Dataset:
    name = Dataset()
    name.CodeValue, name.CodingSchemeDesignator, name.CodeMeaning = code, scheme, "What it is"
    ds = Dataset()
    ds.RelationshipType, ds.ValueType, ds.TextValue = "CONTAINS", "TEXT", value
    ds.ConceptNameCodeSequence = Sequence([name])
    return ds


def test_that_texts_of_a_report_are_told_in_the_trials_words_or_removed():
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.88.34", "1.2.3"
    items = [
        _text_item("121106", "DCM", "Mrs Zimmermann felt well"), _text_item("126070", "DCM", "HOSP-4711"), _text_item("112039", "DCM", "N1"),
        _text_item("112039", "DCM", "left of Zimmermann"), _text_item("C2348792", "UMLS", "after Easter"), _text_item("X1", "99CLINIC", "Waldrand"),
    ]  # fmt: skip
    ds.ContentSequence = Sequence(items)
    out = clean_dataset(ds, subject="S-007", salt=KEY, trial=TRIAL)
    texts = [i.TextValue for i in out.ContentSequence]
    assert texts[:3] == ["Removed", "S-007", "N1"]
    assert texts[3].startswith("T")
    assert "Zimmermann" not in texts[3]
    assert texts[4:] == ["Month 3", "Removed"]
    local = out.ContentSequence[5].ConceptNameCodeSequence[0]
    assert (local.CodeValue, local.CodingSchemeDesignator, local.CodeMeaning) == ("0", "99REMOVED", "Removed")
    assert out.ContentSequence[0].ConceptNameCodeSequence[0].CodeMeaning == "What it is"
