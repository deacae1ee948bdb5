"""Pairs of CTs that do not belong together, thresholds that are none, a node half seen and metal: refused or told."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from app.jobs.progress import JobContext
from app.usecases.ct_enhancement import CtRequest, enhancement_of_files, patient_of
from dicom_io.volume_files import write_volume
from tests.dicom_io.made import CT as CT_STORAGE
from tests.dicom_io.made import add_pixels, base, save, uid
from tests.volumetry.perfusion.ct_phantom import CT, Pair, make_pair
from volumetry.errors import NodusError
from volumetry.geometry import ImageGeometry
from volumetry.perfusion.ct_enhancement import enhancement_by_pair, enhancement_by_threshold


@cache
def pair() -> Pair:
    return make_pair(3, "partial", viable_share=0.5, noise_hu=8.0, shift_mm=(0.0, 0.0, 0.0), angle_deg=0.0)


@pytest.fixture(scope="module")
def asked(tmp_path_factory) -> CtRequest:
    folder = tmp_path_factory.mktemp("ct")
    for name, volume in (("pre", pair().pre), ("post", pair().post), ("mask", pair().node)):
        write_volume(volume, folder / f"{name}.nii.gz")
    return CtRequest(folder / "post.nii.gz", folder / "mask.nii.gz", folder / "pre.nii.gz", register=False)


def code_of(work, *args, **kwargs) -> str:
    with pytest.raises(NodusError) as told:
        work(*args, **kwargs)
    assert told.value.message.endswith(".")
    return told.value.code


def codes(found) -> set[str]:
    return {f.code for f in found.findings if f.severity != "info"}


def moved(volume, shift_mm: float):
    affine = np.array(volume.geometry.affine)
    affine[0, 3] += shift_mm
    return replace(volume, geometry=ImageGeometry(volume.geometry.shape, affine))


@pytest.mark.parametrize("wrong", [0.0, -100.0, 1e9])
def test_that_a_threshold_that_no_tissue_has_is_refused(wrong):
    assert code_of(enhancement_by_pair, pair().pre, pair().post, pair().node, threshold_hu=wrong) == "implausible_threshold"


@pytest.mark.parametrize("wrong", [-2000.0, 99999.0])
def test_that_a_level_that_no_tissue_has_is_refused(wrong):
    assert code_of(enhancement_by_threshold, pair().post, pair().node, wrong) == "implausible_threshold"


def test_that_a_high_threshold_is_the_readers_and_is_not_taken_for_noise():
    found = enhancement_by_pair(pair().pre, pair().post, pair().node, threshold_hu=45.0)
    assert (found.threshold_hu, found.grade) == (45.0, "3")
    assert "contrast_too_weak" not in codes(found)
    assert not {"partly_outside", "metal_beside"} & codes(found)


def test_that_a_rise_without_a_picture_before_and_one_picture_twice_are_refused(asked):
    context = JobContext()
    assert code_of(enhancement_of_files, replace(asked, pre=None, above_hu=60.0, threshold_hu=20.0), context) == "pair_or_threshold"
    assert code_of(enhancement_of_files, replace(asked, pre=asked.post), context) == "one_picture_twice"


def test_that_pictures_of_two_patients_frames_or_days_are_refused_or_told(asked, monkeypatch):
    def of(image, **changes):
        return replace(image, source=replace(CT, **changes))

    def read(changes):
        pictures = {asked.pre: of(pair().pre, **changes), asked.post: of(pair().post, frame_of_reference_uid="1.2", acquired_on="2025-03-01")}
        monkeypatch.setattr("app.usecases.ct_enhancement.read_image", lambda path, **_: pictures[path])
        return enhancement_of_files(asked, JobContext())

    assert code_of(read, {"frame_of_reference_uid": "1.3"}) == "frames_of_reference_differ"
    found, answer = read({"frame_of_reference_uid": "1.2", "acquired_on": "2025-01-20"})
    assert "pictures_of_two_days" in codes(found)
    assert "pictures_of_two_days" in {w["code"] for w in answer["warnings"]}
    assert "2025" not in str(answer["warnings"])
    monkeypatch.setattr("app.usecases.ct_enhancement.patient_of", lambda path: path.name)
    assert code_of(read, {}) == "other_patient"


def test_that_a_patient_is_known_by_the_header_alone(asked, tmp_path: Path):
    assert patient_of(asked.post) is None
    (tmp_path / "a.txt").write_text("no picture")
    ds = add_pixels(base(CT_STORAGE, uid(1), uid(2), "CT"), np.zeros((4, 4), np.int16))
    ds.PatientID = "S-1"
    save(ds, tmp_path / "b.dcm")
    assert patient_of(tmp_path) == "S-1"


def test_that_a_node_that_is_not_wholly_seen_is_told_and_by_a_tenth_refused():
    left = float(pair().post.geometry.affine[0, 3])
    box = pair().node.bounding_slices()[2]
    edge = (box.start - 0.5) * pair().node.geometry.spacing_mm[0]  # from the picture's first column to the outline
    assert left < 0
    cut = enhancement_by_threshold(pair().post, moved(pair().node, -edge - 1.8), 60.0)
    assert "partly_outside" in codes(cut)
    assert code_of(enhancement_by_pair, pair().pre, pair().post, moved(pair().node, -edge - 6.0)) == "outside_image"
    assert code_of(enhancement_by_threshold, pair().post, moved(pair().node, -edge - 6.0), 60.0) == "outside_image"
    assert "partly_outside" not in codes(enhancement_by_threshold(pair().post, pair().node, 60.0))


def test_that_metal_in_or_beside_the_node_is_told():
    k, j, i = (n // 2 for n in pair().post.array.shape)
    for column, where in ((i, "in the node"), (i + 20, "mm from the node")):
        hot = np.array(pair().post.array)
        hot[k - 1 : k + 2, j - 1 : j + 2, column : column + 3] = 9000.0
        picture = replace(pair().post, array=hot)
        found = enhancement_by_threshold(picture, pair().node, 60.0)
        told = [f.message for f in found.findings if f.code == "metal_beside"]
        assert len(told) == 1
        assert where in told[0]
