"""Locked readings as DICOM: what leaves the study is what was locked, under one identity a node, the same bytes each time."""

from __future__ import annotations

import io
import json
import shutil

import numpy as np
import pydicom
import pytest
from highdicom.pm import ParametricMap

from app.cli import main
from app.jobs import JobContext
from app.study.model import ReadingStatus
from app.study.store import StudyStore
from app.usecases.export_dicom import DICOM_FORMATS
from app.usecases.export_edc import export_study
from app.usecases.import_images import import_folder, open_record
from app.usecases.readings import find_node, find_visit, save_reading
from dicom_io.document import read_pdf
from dicom_io.masks import read_masks
from dicom_io.report import read_report
from tests.dicom_io.validators import dciodvfy_errors
from tests.factories import write_ellipsoid_ct, write_ultrasound_still
from volumetry.errors import NodusError


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A study with a CT and a still, and locked readings: N1 outlined, N2 gone, N3 by three diameters on the still."""
    folder = tmp_path_factory.mktemp("export")
    ct = write_ellipsoid_ct(folder / "in")
    write_ultrasound_still(folder / "in" / "still.dcm")
    with StudyStore.create(folder / "study", user="tester") as store:
        import_folder(store, "S-001", "Baseline", folder / "in", JobContext())
        visit = find_visit(store, "S-001", "Baseline")
        volume = next(s for s in store.series(visit.visit_id) if s.kind == "volume")
        still = next(s for s in store.series(visit.visit_id) if s.kind == "still")
        for label in ("N1", "N2", "N3"):
            store.add_node("S-001", label, "left", "III")
        image = open_record(store, volume, JobContext())
        calipers = [
            {"slot": slot, "points": points, "length_mm": 10.0, "plane": "longitudinal", "series_uid": still.series_uid, "frame": 0}
            for slot, points in (("length", [[50, 60], [150, 60]]), ("depth", [[100, 40], [100, 120]]))
        ]
        extra = {"ellipsoid_axes_mm": [12.0, 9.0, 8.0], "calipers": calipers, "picture_outlines": [{"polygon_px": [[50, 60], [100, 40], [150, 60]], "series_uid": still.series_uid, "frame": 0}]}
        kept = [
            save_reading(store, visit, find_node(store, "S-001", "N1"), reader="Reader A", modality="CT", mask=ct.truth, image=image),
            save_reading(store, visit, find_node(store, "S-001", "N2"), reader="Reader A", modality="CT", status=ReadingStatus.NOT_EVALUABLE, status_reason="metal"),
            save_reading(store, visit, find_node(store, "S-001", "N3"), reader="Reader A", modality="US", method="ellipsoid", volume_ml=0.45, extra=extra),
        ]
        for reading in kept:
            store.lock_reading(reading.reading_id, "Reader A", "measured by me")
    return folder / "study", ct


@pytest.fixture
def store(template):
    with StudyStore.open(template[0], user="tester") as opened:
        yield opened


def names(folder) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_that_a_segmentation_gives_the_locked_voxels_back(store, template, tmp_path):
    receipt = export_study(store, "dicom-seg", tmp_path)
    assert [f["path"] for f in receipt["files"]] == names(tmp_path) == ["S-001_Baseline_Reader-A_CT.seg.dcm"]
    (mask,) = read_masks(tmp_path / receipt["files"][0]["path"])
    assert mask.name == "N1"
    assert int(mask.array.sum()) == int(template[1].truth.array.sum())
    assert dciodvfy_errors(tmp_path / receipt["files"][0]["path"]) == []


def test_that_reports_name_the_segment_the_lines_and_what_was_seen(store, tmp_path):
    receipt = export_study(store, "dicom-sr", tmp_path)
    assert names(tmp_path) == ["S-001_Baseline_Reader-A_CT.seg.dcm", "S-001_Baseline_Reader-A_CT.sr.dcm", "S-001_Baseline_Reader-A_US.sr.dcm"]
    assert receipt["readings"] == 3
    assert receipt["left_out"] == []
    outlined, gone = read_report(tmp_path / "S-001_Baseline_Reader-A_CT.sr.dcm")
    seg = pydicom.dcmread(tmp_path / "S-001_Baseline_Reader-A_CT.seg.dcm")
    assert outlined.segment == (str(seg.SOPInstanceUID), 1)
    assert outlined.tracking_uid == seg.SegmentSequence[0].TrackingUID
    assert gone.tracking_identifier == "N2"
    assert "Volume" not in gone.values
    whole, drawn = read_report(tmp_path / "S-001_Baseline_Reader-A_US.sr.dcm")
    assert whole.values["Volume"] == (0.45, "cm3")
    assert whole.values["Length"] == (12.0, "mm")
    assert whole.lines[0][0] == (50.5, 60.5, 150.5, 60.5)
    assert len(drawn.lines[0][0]) == 8  # closed
    for path in tmp_path.iterdir():
        assert dciodvfy_errors(path) == [], path.name


def test_that_a_structure_set_gives_the_locked_voxels_back(store, template, tmp_path):
    export_study(store, "dicom-rtstruct", tmp_path / "out")
    visit = find_visit(store, "S-001", "Baseline")
    volume = next(s for s in store.series(visit.visit_id) if s.kind == "volume")
    (mask,) = read_masks(next((tmp_path / "out").iterdir()), image=store.series_folder(volume))
    np.testing.assert_array_equal(mask.array, template[1].truth.array)


def test_that_the_page_and_the_key_image_belong_to_the_subjects_study(store, tmp_path):
    export_study(store, "dicom-pdf", tmp_path)
    export_study(store, "dicom-key-image", tmp_path)
    assert read_pdf(tmp_path / "S-001_report.pdf.dcm").startswith(b"%PDF-")
    key, page = pydicom.dcmread(tmp_path / "S-001_Baseline_N1_Reader-A.key.dcm"), pydicom.dcmread(tmp_path / "S-001_report.pdf.dcm")
    assert key.StudyInstanceUID == page.StudyInstanceUID
    assert key.PatientID == page.PatientID == "S-001"


@pytest.mark.parametrize("format_", ["dicom-seg", "dicom-sr", "dicom-rtstruct", "dicom-pdf", "dicom-key-image"])
def test_that_exporting_twice_gives_the_same_bytes(store, tmp_path, format_):
    first, again = export_study(store, format_, tmp_path / "1"), export_study(store, format_, tmp_path / "2")
    assert first["files"] == again["files"]
    assert export_study(store, format_, tmp_path / "1")["files"] == first["files"]  # over itself, too


def test_that_no_header_names_anybody(store, tmp_path):
    for format_ in DICOM_FORMATS[:-1]:
        export_study(store, format_, tmp_path)
    for path in tmp_path.iterdir():
        ds = pydicom.dcmread(path)
        assert str(ds.PatientName) in ("S-001", ""), path.name
        assert ds.PatientBirthDate == ""


def test_that_a_strangers_file_of_that_name_is_not_replaced(store, tmp_path):
    (tmp_path / "S-001_Baseline_Reader-A_CT.seg.dcm").write_bytes(b"precious")
    with pytest.raises(NodusError) as refusal:
        export_study(store, "dicom-seg", tmp_path)
    assert refusal.value.code == "export_would_replace"
    assert (tmp_path / "S-001_Baseline_Reader-A_CT.seg.dcm").read_bytes() == b"precious"
    assert len(names(tmp_path)) == 1


def test_that_an_export_that_fails_midway_leaves_nothing(store, tmp_path, monkeypatch):
    import app.usecases.export_dicom as module

    def fail(*_args, **_more):
        raise NodusError("did not read back", code="write_failed")

    monkeypatch.setattr(module, "write_report", fail)  # after the segmentation was written
    with pytest.raises(NodusError):
        export_study(store, "dicom-sr", tmp_path)
    assert names(tmp_path) == []


def test_that_a_disk_that_fails_while_moving_puts_back_what_was_there(store, tmp_path, monkeypatch):
    import app.usecases.export_dicom as module

    export_study(store, "dicom-sr", tmp_path)
    first = "S-001_Baseline_Reader-A_CT.seg.dcm"
    (tmp_path / first).write_bytes((tmp_path / first).read_bytes() + b"\0\0")  # an older export of ours
    (tmp_path / "S-001_Baseline_Reader-A_US.sr.dcm").unlink()
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    true_replace, calls = module.os.replace, []

    def failing(source, target):
        calls.append(target)
        if len(calls) == 3:
            raise OSError(28, "No space left on device")
        true_replace(source, target)

    monkeypatch.setattr(module.os, "replace", lambda source, target: failing(source, target) if ".writing-" not in str(source) else true_replace(source, target))
    with pytest.raises(NodusError) as refusal:
        export_study(store, "dicom-sr", tmp_path)
    assert refusal.value.code == "export_failed"
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


@pytest.mark.parametrize("format_", ["dicom-seg", "dicom-sr", "dicom-rtstruct", "dicom-pdf", "dicom-key-image"])
def test_that_a_full_disk_leaves_no_file_of_an_export(store, tmp_path, monkeypatch, format_):
    from dicom_io import writing

    def full(_handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writing.os, "fsync", full)
    with pytest.raises(NodusError) as refusal:
        export_study(store, format_, tmp_path / "out")
    assert refusal.value.code == "write_failed"
    assert list((tmp_path / "out").iterdir()) == []


def test_that_a_label_map_gives_the_locked_voxels_back_under_an_identity_of_its_own(store, template, tmp_path):
    export_study(store, "dicom-seg", tmp_path)
    receipt = export_study(store, "dicom-labelmap", tmp_path)
    (file,) = receipt["files"]
    (mask,) = read_masks(tmp_path / file["path"])
    assert (mask.name, int(mask.array.sum())) == ("N1", int(template[1].truth.array.sum()))
    assert len({pydicom.dcmread(p).SOPInstanceUID for p in tmp_path.iterdir()}) == 2


def test_that_nodes_that_share_voxels_are_named_as_left_out_of_a_label_map(template, tmp_path):
    shutil.copytree(template[0], tmp_path / "study")
    with StudyStore.open(tmp_path / "study", user="tester") as store:
        visit = find_visit(store, "S-001", "Baseline")
        volume = next(s for s in store.series(visit.visit_id) if s.kind == "volume")
        store.add_node("S-001", "N4", "left", "IV")
        reading = save_reading(store, visit, find_node(store, "S-001", "N4"), reader="Reader A", modality="CT", mask=template[1].truth, image=open_record(store, volume, JobContext()))
        store.lock_reading(reading.reading_id, "Reader A", "measured by me")
        with pytest.raises(NodusError) as refusal:
            export_study(store, "dicom-labelmap", tmp_path / "out")
        assert refusal.value.code == "nothing_to_export"
        assert "share voxels" in refusal.value.message
        assert len(export_study(store, "dicom-seg", tmp_path / "out")["files"]) == 1


def test_that_a_field_goes_out_in_volts_per_metre_on_the_volume_that_holds_it(template, tmp_path):
    shutil.copytree(template[0], tmp_path / "study")
    grid = template[1].truth.geometry
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    affine[:3, 3] = grid.index_to_world((np.array(grid.shape[::-1]) - 1) / 2) - 4.0
    field = np.random.default_rng(6).random((5, 5, 5)).astype(np.float32) * 1500.0  # V/cm
    stream = io.BytesIO()
    np.savez(stream, e_max_v_per_cm=field, affine=affine)
    with StudyStore.open(tmp_path / "study", user="tester") as store:
        visit = find_visit(store, "S-001", "Baseline")
        blob = store.put_blob(stream.getvalue())
        store.save_plan_run({"plan": {}}, subject_id="S-001", visit_id=visit.visit_id, blobs={"field_v_per_cm": blob})
        (file,) = export_study(store, "dicom-field", tmp_path / "out")["files"]
        volume = next(s for s in store.series(visit.visit_id) if s.kind == "volume")
        source = pydicom.dcmread(store.series_folder(volume) / volume.files[0])
        path = tmp_path / "out" / file["path"]
        assert pydicom.dcmread(path).FrameOfReferenceUID == source.FrameOfReferenceUID
        values = ParametricMap.from_dataset(pydicom.dcmread(path)).get_volume(apply_real_world_transform=True)
        np.testing.assert_allclose(np.sort(np.ravel(values.array)), np.sort(np.ravel(field)) * 100.0, rtol=1e-6)
        assert dciodvfy_errors(path) == []
        affine[:3, 3] += 5000.0  # nowhere near a picture of the visit
        stream = io.BytesIO()
        np.savez(stream, e_max_v_per_cm=field, affine=affine)
        store.save_plan_run({"plan": {}}, subject_id="S-001", visit_id=visit.visit_id, blobs={"field_v_per_cm": store.put_blob(stream.getvalue())})
        receipt = export_study(store, "dicom-field", tmp_path / "again")
        assert [entry["code"] for entry in receipt["left_out"]] == ["no_pictures"]
        assert len(receipt["files"]) == 1


def test_that_a_study_without_plans_exports_no_field(store, tmp_path):
    with pytest.raises(NodusError) as refusal:
        export_study(store, "dicom-field", tmp_path)
    assert refusal.value.code == "nothing_to_export"


def test_that_the_command_line_exports_and_the_trail_knows(store, template, tmp_path, capsys):
    store.close()
    assert main(["export", str(template[0]), "--format", "dicom-seg", "--out", str(tmp_path / "out"), "--json"]) == 0
    receipt = json.loads(capsys.readouterr().out)
    assert receipt["files"][0]["rows"] == 1
    with StudyStore.open(template[0], user="tester") as again:
        assert again.events(object_prefix="export:dicom-seg")[-1]["action"] == "exported"
