"""``nodus enhancement`` on volume files: a pair, a threshold, what is refused, and into a study."""

from __future__ import annotations

import json

import pytest

from app.cli import main
from dicom_io.volume_files import read_volume_file, write_volume
from tests.volumetry.perfusion.ct_phantom import make_pair


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A pair of CTs of one node of which half is left, as NIfTI."""
    folder = tmp_path_factory.mktemp("ct")
    pair = make_pair(3, "partial", viable_share=0.5, noise_hu=8.0, shift_mm=(0.0, 0.0, 0.0), angle_deg=0.0)
    write_volume(pair.pre, folder / "pre.nii.gz")
    write_volume(pair.post, folder / "post.nii.gz")
    write_volume(pair.node, folder / "mask.nii.gz")
    return folder, pair


def test_that_a_pair_in_one_position_gives_the_part_and_maps(nodus, files, tmp_path):
    folder, pair = files
    answer = nodus("enhancement", folder / "post.nii.gz", folder / "mask.nii.gz", "--pre", folder / "pre.nii.gz", "--no-registration", "--maps", tmp_path / "maps", "--json")
    assert answer.code == 0, answer.err
    found = answer.json
    assert found["residual"]["grade"] == "3"
    assert found["residual"]["viable_ml"] == pytest.approx(pair.viable_ml, rel=0.12)
    assert found["residual"]["viable_ml"] + found["residual"]["ablated_ml"] == pytest.approx(found["residual"]["node_ml"])
    assert found["registration"] is None
    assert "registration_unchecked" in {w["code"] for w in found["warnings"]}
    array, grid, _ = read_volume_file(tmp_path / "maps" / "viable.nii.gz")
    assert float(array.astype(bool).sum()) * grid.voxel_size_mm3 / 1000 == pytest.approx(found["residual"]["viable_ml"], rel=1e-3)
    assert "Proposed grade 3" in nodus("enhancement", folder / "post.nii.gz", folder / "mask.nii.gz", "--above-hu", 63).out


def test_that_it_asks_for_a_pair_or_a_threshold(nodus, files):
    folder, _ = files
    for more in ((), ("--pre", folder / "pre.nii.gz", "--above-hu", 60)):
        answer = nodus("enhancement", folder / "post.nii.gz", folder / "mask.nii.gz", *more, "--json")
        assert (answer.code, answer.json["error"]["code"]) == (3, "pair_or_threshold")
    # a cut-out too small to be brought together is refused, not guessed
    answer = nodus("enhancement", folder / "post.nii.gz", folder / "mask.nii.gz", "--pre", folder / "pre.nii.gz", "--json")
    assert (answer.code, answer.json["error"]["code"]) == (3, "no_overlap")
    answer = nodus("enhancement", folder / "post.nii.gz", folder / "mask.nii.gz", "--above-hu", 60, "--label", 7, "--json")
    assert answer.json["error"]["code"] == "label_missing"


def test_that_the_answer_goes_into_a_reading_of_ct(nodus, files, tmp_path, capsys):
    folder, _ = files
    result = tmp_path / "result.json"
    result.write_text(nodus("enhancement", folder / "post.nii.gz", folder / "mask.nii.gz", "--above-hu", 63, "--json").out)
    study = str(tmp_path / "s")
    assert main(["study", "init", study]) == 0
    capsys.readouterr()
    what = ["study", "add-reading", study, "--subject", "S-1", "--visit", "Day 30", "--node", "N1", "--reader", "dr", "--mask", str(folder / "mask.nii.gz"), "--perfusion", str(result), "--enhancement-grade", "3", "--json"]
    assert main([*what, "--modality", "CT"]) == 0
    saved = json.loads(capsys.readouterr().out)
    residual = json.loads(result.read_text())["residual"]
    assert saved["viable_ml"] == pytest.approx(residual["viable_ml"], rel=1e-3)
    assert (saved["grade_proposed"], saved["enhancement_grade"]) == (residual["grade"], "3")
    assert main([*what, "--modality", "CEUS"]) == 3
