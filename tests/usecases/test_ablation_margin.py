"""``nodus margin`` where the pictures are registered by their content, without landmarks."""

from __future__ import annotations

import json

import numpy as np
import pytest

from app.cli import main
from dicom_io.volume_files import write_volume
from tests.usecases.test_register import blobs, moved
from volumetry.mask import NodeMask

LESION_MM, REACH_MM = np.array([4.0, -6.0, 3.0]), 4.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small body before and, turned and shifted, after; a lesion of 5 mm radius and, where it went, a zone of 9 mm."""
    place = tmp_path_factory.mktemp("margin")
    before, after = blobs(), blobs(moved())
    write_volume(before, place / "pre.nii.gz")
    write_volume(after, place / "post.nii.gz")
    k, j, i = np.indices(before.array.shape)
    points = before.geometry.index_to_world(np.stack([i, j, k], -1))
    there = moved()[:3, :3] @ LESION_MM + moved()[:3, 3]
    write_volume(NodeMask(np.linalg.norm(points - LESION_MM, axis=-1) <= 5.0, before.geometry), place / "lesion.nii.gz")
    write_volume(NodeMask(np.linalg.norm(points - there, axis=-1) <= 5.0 + REACH_MM, after.geometry), place / "zone.nii.gz")
    write_volume(NodeMask(np.linalg.norm(points, axis=-1) <= 34.0, before.geometry), place / "liver.nii.gz")
    return place


@pytest.mark.parametrize("more", [(), ("--liver",)])
def test_that_pictures_registered_by_content_give_the_margin_with_their_error(capsys, folder, more):
    names = [str(folder / f"{n}.nii.gz") for n in ("lesion", "zone", "pre", "post")]
    liver = [*more, str(folder / "liver.nii.gz")] if more else []
    assert main(["margin", "--lesion", names[0], "--zone", names[1], "--pre", names[2], "--post", names[3], *liver, "--json"]) == 0
    got = json.loads(capsys.readouterr().out)
    row, found = got["lesions"][0], got["registration"]
    assert found["method"] == "mutual_information"
    carried = np.array(found["matrix"]) @ [*LESION_MM, 1.0]
    assert carried[:3] == pytest.approx(moved()[:3, :3] @ LESION_MM + moved()[:3, 3], abs=1.0)
    assert row["margin_mm_percentiles"]["50"] == pytest.approx(REACH_MM, abs=0.5)
    assert row["minimal_margin_mm"] == pytest.approx(REACH_MM, abs=2.0)  # voxels of 2.4 mm, and the fit
    if more:
        assert row["without_capsule"]["surface_points"] == row["surface_points"]  # the capsule is far
