"""``nodus perfusion`` on two loops of one node: what enhances over both planes."""

from __future__ import annotations

import json

import pytest

from tests.usecases.contrast_loops import beside, made, node


@pytest.fixture(scope="module")
def planes(tmp_path_factory):
    """Two loops with 40 and 30 % of the section viable, and their regions."""
    folder = tmp_path_factory.mktemp("planes")
    cines = []
    for name, seed, share in (("long", 5, 0.4), ("short", 6, 0.3)):
        cine = made(seed=seed, residual="partial", viable_fraction=share)
        cine.write_dicom(folder / f"{name}.dcm")
        roi = {"regions": [node(cine).to_dict(), beside(cine).to_dict()], "frame": cine.truth.motion.reference_frame}
        (folder / f"{name}.json").write_text(json.dumps(roi))
        cines.append(cine)
    return folder, cines


def test_that_two_loops_are_told_together_with_bounds_that_hold_both(nodus, planes):
    folder, cines = planes
    asked = ("perfusion", folder / "long.dcm", "--roi", folder / "long.json", "--range-db", 60, "--node-ml", 1.5, "--second", folder / "short.dcm", "--second-roi", folder / "short.json")
    answer = nodus(*asked, "--json")
    assert answer.code == 0, answer.err
    found, one = answer.json["two_planes"], answer.json["residual"]
    shares = [p["viable_pct"] for p in found["planes"]]
    assert shares[0] == one["viable_pct"]
    assert shares == pytest.approx([40.0, 30.0], rel=0.12)
    assert min(shares) < found["viable_pct"] < max(shares)
    assert found["viable_interval_pct"][0] <= min(shares)
    assert found["viable_interval_pct"][1] >= max(shares)
    assert found["viable_ml"] == pytest.approx(1.5 * found["viable_pct"] / 100)
    assert found["viable_interval_ml"][0] < found["viable_ml"] < found["viable_interval_ml"][1]
    assert found["second_input_sha256"] != answer.json["input_sha256"]
    assert all(c.truth.node_ml > 0 for c in cines)


def test_that_one_loop_is_not_both_planes_and_its_regions_are_needed(nodus, planes):
    folder, _ = planes
    start = ("perfusion", folder / "long.dcm", "--roi", folder / "long.json", "--range-db", 60, "--second", folder / "long.dcm")
    assert nodus(*start, "--second-roi", folder / "long.json", "--json").json["error"]["code"] == "one_loop_twice"
    assert nodus(*start, "--json").json["error"]["code"] == "second_roi_missing"
