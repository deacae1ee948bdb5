import hashlib
import shutil
import subprocess
from datetime import date
from itertools import pairwise

import numpy as np
import pydicom
import pytest

from app.demo.case import PLANES, POSES, TARGETS, VISITS, ct_geometry, generate_case, open_case
from app.demo.dicom_files import uid
from app.demo.font import text_mask
from app.demo.shapes import LobulatedEllipsoid
from app.jobs.progress import CancelToken, JobContext
from tests.factories import write_ellipsoid_ct, write_ultrasound_still
from volumetry.errors import Cancelled, NodusError

NAMES = ["Baseline", "Day 30", "Month 3", "Month 6", "Month 12"]


def true_shape(fact: dict) -> LobulatedEllipsoid:
    return LobulatedEllipsoid(
        tuple(fact["centre_mm"]), tuple(fact["semi_axes_mm"]), np.array(fact["rotation"]), np.array(fact["lobes"]).reshape(-1, 5), fact["lobe_scale"]
    )


def read_ct(visit):
    files = sorted((pydicom.dcmread(f) for f in visit.ct_folder.iterdir()), key=lambda d: float(d.ImagePositionPatient[2]))
    return files, np.stack([f.pixel_array.astype(np.int16) + int(f.RescaleIntercept) for f in files])


def test_that_there_are_five_visits_and_three_nodes(demo_case):
    assert [v.name for v in demo_case.visits] == NAMES
    assert [(n.side, n.level) for n in demo_case.nodes] == [("left", "II"), ("right", "III"), ("left", "IV")]
    days = [date.fromisoformat(v.date) for v in demo_case.visits]
    treated = date.fromisoformat(demo_case.truth["treated_on"])
    assert days[0] <= treated
    assert [round((d - treated).days / 30.4) for d in days[1:]] == [1, 3, 6, 12]
    for visit in demo_case.visits:
        assert {(s.node_id, s.plane) for s in visit.stills} == {(n.id, p) for n in demo_case.nodes for p in PLANES}
        assert all(s.path.is_file() for s in visit.stills)
        assert len(list(visit.ct_folder.iterdir())) == 104
    assert [v.name for v in demo_case.visits if v.cine] == ["Day 30"]


def test_that_one_node_shrinks_one_hardly_and_one_disappears(demo_case):
    def vrr(node):
        base = demo_case.true_node(node, "Baseline")["volume_ml"]
        return [100 * (base - demo_case.true_node(node, v)["volume_ml"]) / base for v in NAMES]

    assert vrr("N1") == pytest.approx([0, 35, 60, 78, 88])
    assert vrr("N2") == pytest.approx([0, 10, 18, 25, 22])
    assert vrr("N3") == pytest.approx([0, 50, 80, 95, 100])
    for node in demo_case.nodes:
        assert [demo_case.true_node(node.id, v)["vrr_pct"] for v in NAMES] == pytest.approx(vrr(node.id))
    gone = demo_case.true_node("N3", "Month 12")
    assert gone["status"] == "disappeared"
    assert gone["volume_ml"] == 0


def test_that_the_written_shapes_fill_the_written_volumes_within_a_thousandth(demo_case):
    geometry = ct_geometry()
    for node in demo_case.nodes:
        for name in NAMES:
            fact = demo_case.true_node(node.id, name)
            if fact["status"] == "disappeared":
                continue
            _, cover = true_shape(fact).coverage(geometry, samples=10)
            assert cover.sum(dtype=float) * geometry.voxel_size_mm3 / 1000 == pytest.approx(fact["volume_ml"], rel=1e-3, abs=2e-5)


def test_that_the_ct_is_a_sound_series_with_the_node_where_the_truth_says(demo_case):
    for name in ("Baseline", "Month 12"):
        visit = demo_case.visit(name)
        files, hu = read_ct(visit)
        steps = [float(b.ImagePositionPatient[2]) - float(a.ImagePositionPatient[2]) for a, b in pairwise(files)]
        assert steps == pytest.approx([1.25] * 103)
        assert len({f.SeriesInstanceUID for f in files}) == len({f.FrameOfReferenceUID for f in files}) == 1
        assert files[0].SeriesInstanceUID == visit.ct_series_uid
        assert files[0].AcquisitionDate == visit.date.replace("-", "")
        assert (files[0].Modality, float(files[0].KVP), files[0].PatientPosition) == ("CT", 120, "HFS")
        assert files[0].ContrastBolusAgent
        geometry = ct_geometry()
        for node in demo_case.nodes:
            fact = demo_case.true_node(node.id, name)
            if fact["status"] == "disappeared":
                continue
            box, cover = true_shape(fact).coverage(geometry)
            assert 70 < hu[box][cover > 0.999].mean() < 125
    spot = np.round(geometry.world_to_index(POSES[4].apply(TARGETS[2].centre_mm))).astype(int)
    k, j, i = spot[::-1]
    assert hu[k - 1 : k + 2, j - 2 : j + 3, i - 2 : i + 3].mean() < -20  # fat where it was


def test_that_every_file_says_synthetic_and_no_two_share_a_uid(demo_case):
    seen = {}
    for visit in demo_case.visits:
        for path in sorted(visit.folder.rglob("*.dcm")):
            ds = pydicom.dcmread(path, stop_before_pixels=True)
            assert "SYNTHETIC" in str(ds.PatientName)
            assert "SYNTHETIC" in ds.PatientID
            assert "SYNTHETIC" in ds.ImageComments
            assert ds.SeriesDescription.startswith("SYNTHETIC")
            assert ds.file_meta.TransferSyntaxUID == pydicom.uid.ExplicitVRLittleEndian
            assert ds.SOPInstanceUID not in seen, path
            seen[ds.SOPInstanceUID] = (visit.name, ds.StudyInstanceUID)
    assert len(set(seen.values())) == 5  # one study a visit
    stamp = text_mask("SYNTHETIC")
    _, hu = read_ct(demo_case.visits[2])
    assert (hu[:, 5:12, 6 : 6 + stamp.shape[1]][:, stamp] == 180).all()


def test_that_the_pictures_scale_gives_the_nodes_true_diameters(demo_case):
    for node, plane, key in (("N1", "longitudinal", "us_length_mm"), ("N2", "transverse", "us_width_mm")):
        fact = demo_case.true_node(node, "Baseline")
        ds = pydicom.dcmread(demo_case.visit("Baseline").still(node, plane))
        (region,) = ds.SequenceOfUltrasoundRegions
        assert (region.RegionSpatialFormat, region.RegionDataType) == (1, 1)
        assert (region.PhysicalUnitsXDirection, region.PhysicalUnitsYDirection) == (3, 3)
        pane = ds.pixel_array[
            region.RegionLocationMinY0 : region.RegionLocationMaxY1 + 1, region.RegionLocationMinX0 : region.RegionLocationMaxX1 + 1
        ].astype(float)
        mm = 10 * region.PhysicalDeltaX
        x = (np.arange(pane.shape[1]) - 0.5 * (pane.shape[1] - 1)) * mm - (1.5 if plane == "longitudinal" else 0.0)
        depth = (np.arange(pane.shape[0]) + 0.5) * mm
        target_depth = {"N1": 18.5, "N2": 19.5}[node]
        u, v = x[None, :] / (0.5 * fact[key]), (depth[:, None] - target_depth) / (0.5 * fact["us_height_mm"])
        r = np.hypot(u, v)
        assert pane[(r > 1.04) & (r < 1.15)].mean() - pane[r < 0.96].mean() > 20
        assert fact["volume_ml"] == pytest.approx(
            np.pi / 6 * fact["us_length_mm"] * fact["us_width_mm"] * fact["us_height_mm"] / 1000
        )


def test_that_the_cine_has_two_calibrated_panes_and_irregular_true_times(demo_case):
    ds = pydicom.dcmread(demo_case.visit("Day 30").cine)
    assert ds.NumberOfFrames == len(ds.FrameTimeVector) == 120
    assert ds.FrameIncrementPointer == 0x00181065
    assert np.cumsum(ds.FrameTimeVector) / 1000 == pytest.approx(demo_case.truth["contrast_cine"]["times_s"], abs=2e-3)
    left, right = ds.SequenceOfUltrasoundRegions
    assert left.RegionLocationMaxX1 < right.RegionLocationMinX0
    assert ds.ContrastBolusAgent
    assert demo_case.visit("Day 30").cine.stat().st_size < 60e6


def test_that_the_baseline_structures_run_inside_the_vessels(demo_case):
    _, hu = read_ct(demo_case.visit("Baseline"))
    geometry = ct_geometry()
    for structure in demo_case.structures:
        point = 0.5 * (np.array(structure.from_mm) + structure.to_mm)
        i, j, k = np.round(geometry.world_to_index(point)).astype(int)
        value = hu[k, j - 1 : j + 2, i - 1 : i + 2].mean()
        assert value < -800 if structure.name == "trachea" else value > 150, structure.name


def test_that_the_case_opens_again_as_it_was_made(demo_case):
    again = open_case(demo_case.root)
    assert again.visits == demo_case.visits
    assert again.truth == demo_case.truth
    assert again.structures == demo_case.structures


def test_that_written_files_repeat_byte_for_byte(tmp_path):
    def digest(folder):
        write_ellipsoid_ct(folder / "ct", shape=(3, 40, 40), centre_mm=(0, 0, 0))
        write_ultrasound_still(folder / "still.dcm")
        return [hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.rglob("*.dcm"))]

    assert digest(tmp_path / "a") == digest(tmp_path / "b")
    assert uid(1, "x") != uid(2, "x")
    assert pydicom.uid.UID(uid(1, "x")).is_valid


def test_that_stopping_leaves_nothing_behind(tmp_path):
    token = CancelToken()

    def listen(event):
        if event.fraction and event.fraction > 0.01:
            token.cancel()

    with pytest.raises(Cancelled):
        generate_case(tmp_path / "case", context=JobContext(listen, token))
    assert list((tmp_path / "case").iterdir()) == []


def test_that_somebody_elses_dicom_folder_is_never_replaced(tmp_path):
    (tmp_path / "dicom").mkdir()
    (tmp_path / "dicom" / "precious.dcm").write_bytes(b"1")
    with pytest.raises(NodusError) as refusal:
        generate_case(tmp_path)
    assert refusal.value.code == "not_a_demo_folder"
    assert (tmp_path / "dicom" / "precious.dcm").read_bytes() == b"1"
    with pytest.raises(NodusError):
        open_case(tmp_path)


def test_that_an_outside_validator_finds_no_error(demo_case):
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy (dicom3tools) is not installed")
    day30 = demo_case.visit("Day 30")
    for path in (next(day30.ct_folder.iterdir()), day30.stills[0].path, day30.cine):
        done = subprocess.run(["dciodvfy", "-new", str(path)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "Error" not in done.stderr + done.stdout


def test_that_the_visit_list_matches_the_protocols_names():
    assert [name for name, _ in VISITS] == NAMES
