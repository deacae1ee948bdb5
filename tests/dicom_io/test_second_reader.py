"""A second reader of segmentations and reports, made by other people (dcmqi), finds the same voxels and numbers."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from dicom_io.ct import read_volume
from dicom_io.report import NodeReport, SegmentReference, TimePoint, write_report
from dicom_io.seg_write import write_seg
from tests.dicom_io.made import STAMP
from tests.dicom_io.test_seg_write import nodes, series


def run(program: str, *arguments) -> None:
    """One of dcmqi's programs; absent it skips, and fails in CI."""
    beside = Path(sys.executable).parent / program
    found = str(beside) if beside.exists() else shutil.which(program)
    if found is None:
        if os.environ.get("CI") == "true":
            pytest.fail(f"{program} (package dcmqi) has to be installed in CI")
        pytest.skip(f"{program} (package dcmqi) is not installed")
    done = subprocess.run([found, *map(str, arguments)], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


@pytest.mark.parametrize("kind", [{}, {"oblique": True}], ids=["straight", "oblique"])
def test_that_every_voxel_of_a_segmentation_is_where_it_was(tmp_path, kind):
    source = series(tmp_path / "ct", **kind)
    masks = nodes(read_volume(source).geometry)
    path = write_seg(masks, source.paths, tmp_path / "nodes.dcm", STAMP)
    (tmp_path / "out").mkdir()
    run("segimage2itkimage", "--inputDICOM", path, "--outputDirectory", tmp_path / "out", "--outputType", "nrrd")
    found = {}
    for file in (tmp_path / "out").glob("*.nrrd"):
        image = sitk.ReadImage(str(file))
        array = sitk.GetArrayFromImage(image)
        for label in np.unique(array[array > 0]):
            here = np.argwhere(array == label)[:, ::-1]
            places = np.array([image.TransformIndexToPhysicalPoint([int(v) for v in index]) for index in here])
            found.setdefault(int(label), []).append(places)
    for number, mask in enumerate(masks, start=1):
        meant = mask.geometry.index_to_world(np.argwhere(mask.array)[:, ::-1])
        there = np.concatenate(found[number]) if number in found else np.empty((0, 3))
        assert len(there) == len(meant), mask.name
        if len(meant):
            np.testing.assert_allclose(np.array(sorted(map(tuple, np.round(there, 3)))), np.array(sorted(map(tuple, np.round(meant, 3)))), atol=2e-3)


def test_that_the_numbers_of_a_report_are_read(tmp_path):
    source = series(tmp_path / "ct")
    seg = write_seg(nodes(read_volume(source).geometry), source.paths, tmp_path / "seg.dcm", STAMP, tracking_uids=["2.25.7", None, None])
    ds = pydicom.dcmread(seg)
    evidence = [*(pydicom.dcmread(p, stop_before_pixels=True) for p in source.paths), ds]
    segment = SegmentReference(str(ds.SOPClassUID), str(ds.SOPInstanceUID), 1, str(evidence[0].SeriesInstanceUID))
    node = NodeReport("N1", "2.25.7", "left", "IIA", volume_ml=1.234, long_axis_mm=14.5, short_axis_mm=9.25, segment=segment)
    path = write_report([node], evidence, tmp_path / "sr.dcm", STAMP, reader="Reader A", modality="CT", time_point=TimePoint("Month 3", 3, "follow_up", 91))
    run("tid1500reader", "--inputDICOM", path, "--outputMetadata", tmp_path / "sr.json")
    (group,) = json.loads((tmp_path / "sr.json").read_text())["Measurements"]
    assert group["TrackingIdentifier"] == "N1"
    assert group["ReferencedSegment"] == 1
    numbers = {item["quantity"]["CodeMeaning"]: float(item["value"]) for item in group["measurementItems"]}
    # It lists the numbers of the time point (TID 1502) among the measurements, too.
    assert numbers == {"Volume": 1.234, "Long Axis": 14.5, "Short Axis": 9.25, "Time Point Order": 3.0, "Longitudinal Temporal Offset from Event": 91.0}
