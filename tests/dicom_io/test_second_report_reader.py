"""A second reader of structured reports, made by other people (dcmqi's ``tid1500reader``), finds the same numbers."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pydicom

from dicom_io.ct import read_volume
from dicom_io.report import NodeReport, SegmentReference, TimePoint, write_report
from dicom_io.seg_write import write_seg
from tests.conftest import skip_or_fail
from tests.dicom_io.made import STAMP
from tests.dicom_io.test_seg_write import nodes, series


def test_that_the_numbers_of_a_report_are_read(tmp_path):
    program = shutil.which("tid1500reader", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
    if program is None:
        skip_or_fail("the package dcmqi is not installed")
    source = series(tmp_path / "ct")
    seg = write_seg(nodes(read_volume(source).geometry), source.paths, tmp_path / "seg.dcm", STAMP, tracking_uids=["2.25.7", None, None])
    ds = pydicom.dcmread(seg)
    evidence = [*(pydicom.dcmread(p, stop_before_pixels=True) for p in source.paths), ds]
    segment = SegmentReference(str(ds.SOPClassUID), str(ds.SOPInstanceUID), 1, str(evidence[0].SeriesInstanceUID))
    node = NodeReport("N1", "2.25.7", "left", "IIA", volume_ml=1.234, long_axis_mm=14.5, short_axis_mm=9.25, segment=segment)
    path = write_report([node], evidence, tmp_path / "sr.dcm", STAMP, reader="Reader A", modality="CT", time_point=TimePoint("Month 3", 3, "follow_up", 91))
    arguments = [program, "--inputDICOM", str(path), "--outputMetadata", str(tmp_path / "sr.json")]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    (group,) = json.loads((tmp_path / "sr.json").read_text())["Measurements"]
    assert group["TrackingIdentifier"] == "N1"
    assert group["ReferencedSegment"] == 1
    numbers = {item["quantity"]["CodeMeaning"]: float(item["value"]) for item in group["measurementItems"]}
    # It lists the numbers of the time point (TID 1502) among the measurements, too.
    assert numbers == {"Volume": 1.234, "Long Axis": 14.5, "Short Axis": 9.25, "Time Point Order": 3.0, "Longitudinal Temporal Offset from Event": 91.0}
