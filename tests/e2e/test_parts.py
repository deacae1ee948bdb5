"""Enhancing and ablated parts on the command line, from a mask to rates of their own."""

from __future__ import annotations

import numpy as np
import pytest

from dicom_io.volume_files import write_volume
from volumetry.geometry import ImageGeometry
from volumetry.image import ImageVolume
from volumetry.mask import NodeMask

GRID = ImageGeometry.from_spacing((12, 20, 20), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))


@pytest.fixture
def files(tmp_path):
    """A CT, a node of 512 voxels in it, and the 128 of them that enhance."""
    hu = np.full(GRID.shape, 20, np.int16)
    node, viable = np.zeros(GRID.shape, bool), np.zeros(GRID.shape, bool)
    node[2:10, 6:14, 6:14] = viable[2:4, 6:14, 6:14] = True
    hu[viable] = 120
    write_volume(ImageVolume(hu, GRID), tmp_path / "ct.nii.gz")
    write_volume(NodeMask(node, GRID), tmp_path / "node.nii.gz")
    write_volume(NodeMask(viable, GRID), tmp_path / "viable.nii.gz")
    return tmp_path


def test_that_measure_gives_both_parts_at_a_stated_threshold(nodus, files):
    (node,) = nodus("measure", files / "node.nii.gz", "--image", files / "ct.nii.gz", "--enhancing-above-hu", 70, "--json").json["nodes"]
    assert (node["viable_ml"], node["ablated_ml"], node["enhancing_above_hu"]) == (pytest.approx(0.128), pytest.approx(0.384), 70)
    assert node["viable_ml"] + node["ablated_ml"] == pytest.approx(node["voxel_volume_ml"])
    (plain,) = nodus("measure", files / "node.nii.gz", "--json").json["nodes"]
    assert "viable_ml" not in plain
    refused = nodus("measure", files / "node.nii.gz", "--enhancing-above-hu", 70, "--json")
    assert (refused.code, refused.json["error"]["code"]) == (3, "reference_image_missing")


def test_that_a_study_keeps_parts_with_rates_of_their_own(nodus, files):
    study = files / "study"
    assert nodus("study", "init", study, "--json").code == 0

    def add(visit, *more):
        return nodus("study", "add-reading", study, "--subject", "S-1", "--visit", visit, "--node", "N1", "--reader", "A", "--modality", "CT", *more, "--json")

    first = add("Baseline", "--volume-ml", 2.0, "--viable-ml", 1.6).json
    assert (first["viable_ml"], first["ablated_ml"]) == (1.6, pytest.approx(0.4))
    second = add("Day 30", "--mask", files / "node.nii.gz", "--viable-mask", files / "viable.nii.gz").json
    assert (second["viable_ml"], second["ablated_ml"]) == (pytest.approx(0.128), pytest.approx(0.384))
    assert add("Month 3", "--volume-ml", 1.0, "--ablated-ml", 0.8).json["viable_ml"] == pytest.approx(0.2)
    assert add("Month 6", "--volume-ml", 1.0).json["viable_ml"] is None
    for more, code in ((("--volume-ml", 1.0, "--viable-ml", 3.0), "part_exceeds_total"), (("--status", "not_imaged", "--viable-ml", 0), "part_without_total")):
        assert add("Month 9", *more).json["error"]["code"] == code
    assert nodus("study", "lock", study, "--name", "A B", "--json").code == 0
    answer = nodus("study", "response", study, "--json").json
    rows = {n["visit"]: n for n in answer["nodes"]}
    assert rows["Day 30"]["vrr_viable_pct"] == pytest.approx(92.0)
    assert rows["Month 3"]["vrr_viable_pct"] == pytest.approx(87.5)
    assert rows["Month 3"]["vrr_ablated_pct"] == pytest.approx(-100.0)
    assert [rows[v]["parts_comparable"] for v in ("Day 30", "Month 3", "Month 6")] == [False, True, False]
    assert (rows["Month 6"]["viable_ml"], rows["Month 6"]["vrr_viable_pct"], rows["Month 6"]["vrr_pct"]) == (None, None, 50.0)
    assert all(n["interval_pct"] is not None and "CV 15.9 %" in n["interval_note"] for n in answer["nodes"])
    assert {(e["endpoint"], e["visit"]) for e in answer["endpoints"] if e["set"] == "visit"} == {("vrr_pct", "Day 30"), ("vrr_pct", "Month 3"), ("vrr_pct", "Month 6"), ("vrr_viable_pct", "Month 3")}
    assert "only A has locked volumes" in nodus("study", "agreement", study, "--json").json["missing"]
    assert nodus("audit", "verify", study, "--json").json["ok"]
