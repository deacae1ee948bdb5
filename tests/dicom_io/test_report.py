"""Structured reports we write: every number comes back, and three programs of other people read them."""

from __future__ import annotations

import pydicom
import pytest
from highdicom import sr

from dicom_io import codes
from dicom_io.ct import read_volume
from dicom_io.report import NodeReport, PictureLine, SegmentReference, TimePoint, read_report, write_report
from dicom_io.seg_write import write_seg
from tests.dicom_io.made import STAMP, region, us_picture
from tests.dicom_io.test_seg_write import PATIENT, nodes, series
from tests.dicom_io.validators import NO_REGION, dciodvfy_errors, pixelmed_errors, sr_dump
from volumetry.errors import NodusError

N1 = "2.25.123456"
MONTH_3 = TimePoint("Month 3", 3, "follow_up", 91, "IRE", "V-1", "Month 3")


@pytest.fixture
def on_ct(tmp_path):
    """A report of an outlined node on CT, its segmentation, and the evidence."""
    source = series(tmp_path / "ct")
    seg = write_seg(nodes(read_volume(source).geometry), source.paths, tmp_path / "seg.dcm", STAMP, tracking_uids=[N1, None, None])
    ds = pydicom.dcmread(seg)
    evidence = [*(pydicom.dcmread(p, stop_before_pixels=True) for p in source.paths), ds]
    segment = SegmentReference(str(ds.SOPClassUID), str(ds.SOPInstanceUID), 1, str(evidence[0].SeriesInstanceUID))
    node = NodeReport("N1", N1, "left", "IIA", "measured", "voxel", 1.23456, (1.1, 1.4), 14.2, 9.9, 45.5, 0.5, 0.73456, segment)
    return node, evidence, ds


@pytest.fixture
def picture():
    ds = us_picture([region((0, 0, 79, 59))])
    for keyword, value in PATIENT.items():
        setattr(ds, keyword, value)
    return ds


def line(ds, *points) -> PictureLine:
    return PictureLine(str(ds.SOPClassUID), str(ds.SOPInstanceUID), points)


def test_that_an_outlined_node_reads_back_with_its_segment_and_under_one_identity(tmp_path, on_ct):
    node, evidence, seg = on_ct
    path = write_report([node], evidence, tmp_path / "sr.dcm", STAMP, reader="Reader A", modality="CT", time_point=MONTH_3)
    (group,) = read_report(path)
    assert (group.tracking_identifier, group.tracking_uid) == ("N1", N1)
    assert group.values["Volume"] == (1.23456, "cm3")
    assert group.values["Long Axis"] == (14.2, "mm")
    assert group.values["Short Axis"] == (9.9, "mm")
    assert group.values["Percent Change From Baseline"] == (-45.5, "%")  # VRR turned round
    assert group.values["Volume of enhancing part"] == (0.5, "cm3")
    assert group.values["Volume of non-enhancing part"] == (0.73456, "cm3")
    assert group.segment == (str(seg.SOPInstanceUID), 1)
    assert seg.SegmentSequence[0].TrackingUID == N1


def test_that_three_validators_accept_an_outlined_node(tmp_path, on_ct):
    node, evidence, _ = on_ct
    path = write_report([node], evidence, tmp_path / "sr.dcm", STAMP, reader="Reader A", modality="CT", time_point=MONTH_3)
    assert dciodvfy_errors(path) == []
    assert pixelmed_errors(path) == []
    dump = sr_dump(path)
    for words in ('"1.23456" (cm3,UCUM', "(81105003,SCT", "(7771000,SCT", "(1284814003,SCT", '"Month 3"', "(C131483,NCIt", "(126030,DCM", "(C28747,NCIt"):
        assert words in dump, words


def test_that_the_pictures_are_listed_and_the_time_point_is_identified(tmp_path, on_ct):
    node, evidence, _ = on_ct
    path = write_report([node], evidence, tmp_path / "sr.dcm", STAMP, reader="Reader A", modality="CT", time_point=MONTH_3)
    ds = pydicom.dcmread(path)
    (library,) = (c for c in ds.ContentSequence if c.ValueType == "CONTAINER" and c.ConceptNameCodeSequence[0].CodeValue == "111028")
    (listed,) = library.ContentSequence
    pictures = {c.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for c in listed.ContentSequence if c.ValueType == "IMAGE"}
    assert pictures == {e.SOPInstanceUID for e in evidence[:-1]}  # the segmentation is no picture
    dump = sr_dump(path)
    for words in ("(CT,DCM", 'Subject Time Point Identifier")="V-1"', 'Protocol Time Point Identifier")="Month 3"'):
        assert words in dump, words


def test_that_each_node_counts_from_its_own_treatment(tmp_path, on_ct):
    _, evidence, _ = on_ct
    own = TimePoint("Month 3", 3, "follow_up", 14, "RFA")
    nodes_ = [NodeReport("N1", N1, volume_ml=1.0), NodeReport("N2", "2.25.8", volume_ml=2.0, time_point=own), NodeReport("N3", "2.25.9", time_point=TimePoint("x", 3, days_from_ablation=5, ablation="CRYO_RF"))]
    dump = sr_dump(write_report(nodes_, evidence, tmp_path / "sr.dcm", STAMP, reader="R", modality="CT", time_point=MONTH_3))
    for words in ('"91.0" (d', '"14.0" (d', '"5.0" (d', "(C131483,NCIt", "(879916008,SCT", "(NODUS-ABLATION,99NODUS"):
        assert dump.count(words) == 1, words


def test_that_another_library_finds_the_groups_by_their_identity(tmp_path, on_ct):
    node, evidence, _ = on_ct
    path = write_report([node], evidence, tmp_path / "sr.dcm", STAMP, reader="Reader A", modality="CT", time_point=MONTH_3)
    report = sr.srread(path).content
    (group,) = report.get_volumetric_roi_measurement_groups(tracking_uid=N1)
    assert group.get_measurements(codes.VOLUME)[0].value == 1.23456
    assert group.finding_sites[0].topographical_modifier.value == "1284814003"


def test_that_lengths_on_a_still_carry_the_lines_they_were_measured_along(tmp_path, picture):
    a, b = line(picture, (3, 4), (30, 20)), line(picture, (10, 2), (11, 30))
    outline = line(picture, (3, 4), (30, 20), (5, 40))
    node = NodeReport("N1", N1, "right", "IV", "measured", "ellipsoid", 0.9, (0.7, 1.1), diameters={"length": (12.1, a), "width": (9.0, b), "depth": (8.0, None)}, outlines=(outline,))
    path = write_report([node], [picture], tmp_path / "sr.dcm", STAMP, reader="Reader B", modality="US", time_point=TimePoint("Baseline", 0, "baseline"))
    whole, drawn = read_report(path)
    assert whole.values["Length"] == (12.1, "mm")
    assert whole.values["Depth"] == (8.0, "mm")
    # DICOM counts from the corner of the first pixel, we from its centre
    assert whole.lines == (((3.5, 4.5, 30.5, 20.5), str(picture.SOPInstanceUID)), ((10.5, 2.5, 11.5, 30.5), str(picture.SOPInstanceUID)))
    assert drawn.lines[0][0] == (3.5, 4.5, 30.5, 20.5, 5.5, 40.5, 3.5, 4.5)  # closed
    assert dciodvfy_errors(path) == []
    assert [e for e in pixelmed_errors(path) if NO_REGION not in e] == []
    assert "(126029,DCM" in sr_dump(path)


def test_that_a_node_without_a_volume_is_reported_as_what_was_seen(tmp_path, on_ct):
    _, evidence, _ = on_ct
    gone = NodeReport("N3", "2.25.9", status="disappeared_assessed", volume_ml=0.0, vrr_pct=100.0)
    missing = NodeReport("N4", "2.25.10", status="not_evaluable")
    path = write_report([gone, missing], evidence, tmp_path / "sr.dcm", STAMP, reader="Reader A", modality="CT")
    first, second = read_report(path)
    assert first.values["Volume"] == (0.0, "cm3")
    assert "Volume" not in second.values
    dump = sr_dump(path)
    assert "Disappeared, assessed" in dump
    assert "Not evaluable" in dump
    assert dciodvfy_errors(path) == []


@pytest.mark.parametrize("value", [0.1 + 0.2, 1 / 3, 123456.789012345, 1e-7])
def test_that_numbers_keep_nine_digits(tmp_path, on_ct, value):
    _, evidence, _ = on_ct
    path = write_report([NodeReport("N1", N1, volume_ml=value)], evidence, tmp_path / "sr.dcm", STAMP, reader="R", modality="CT")
    assert read_report(path)[0].values["Volume"][0] == pytest.approx(value, rel=1e-8)


def test_that_no_measurement_is_no_report(tmp_path, on_ct):
    for found, evidence in (([], on_ct[1]), ([on_ct[0]], [])):
        with pytest.raises(NodusError) as refusal:
            write_report(found, evidence, tmp_path / "sr.dcm", STAMP, reader="R", modality="CT")
        assert refusal.value.code == "nothing_to_write"
    assert not (tmp_path / "sr.dcm").exists()


def test_that_a_picture_is_no_report(tmp_path, on_ct):
    with pytest.raises(NodusError) as refusal:
        read_report(tmp_path / "ct" / "0.dcm")
    assert refusal.value.code == "not_a_report"


def test_that_every_level_and_status_has_a_code_of_legal_length():
    from app.study.model import LEVELS, ReadingStatus

    for level in LEVELS:
        assert len(codes.level_code(level).value) <= 16
    seen = {codes.status_code(s).value for s in ReadingStatus}
    assert len(seen) == len(ReadingStatus)
    assert max(map(len, seen)) <= 16
    assert codes.level_code("unknown") is None


def test_that_a_scale_by_the_reader_is_said_and_validators_accept_it(tmp_path, picture):
    drawn = {"length": (12.5, line(picture, (10.0, 20.0), (40.0, 20.0)))}
    nodes = [NodeReport("N1", N1, "left", "II", "measured", "ellipsoid", 0.5, diameters=drawn, calibrated_by_reader=by) for by in (True, False)]
    path = write_report(nodes, [picture], tmp_path / "sr.dcm", STAMP, reader="Reader A", modality="US")
    assert [g.calibrated_by_reader for g in read_report(path)] == [True, False]
    assert dciodvfy_errors(path) == []
    assert [e for e in pixelmed_errors(path) if NO_REGION not in e] == []
    assert sr_dump(path).count("By the reader against a drawn scale") == 1
