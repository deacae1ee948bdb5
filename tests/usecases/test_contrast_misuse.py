"""Contrast loops as they should not be: times that are none, more frames than there are, parts drawn beside the node, one recording twice."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pydicom
import pytest

from app.jobs.progress import JobContext
from app.usecases.perfusion_files import PerfusionRequest, analyse_file, write_maps
from app.usecases.perfusion_planes import combine_planes
from app.usecases.perfusion_regions import PerfusionRegion
from dicom_io.ultrasound import read_frame_times
from tests.usecases.contrast_loops import beside, made, node
from tests.usecases.test_perfusion import analysed
from volumetry.errors import NodusError
from volumetry.perfusion.linearise import colour_map_from_bar


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A loop and its regions as files, and what is asked of them."""
    folder = tmp_path_factory.mktemp("misuse")
    cine = made(residual="partial", viable_fraction=0.4)
    cine.write_dicom(folder / "c.dcm")
    (folder / "roi.json").write_text(json.dumps({"regions": [node(cine).to_dict(), beside(cine).to_dict()], "frame": cine.truth.motion.reference_frame}))
    return PerfusionRequest(folder / "c.dcm", folder / "roi.json", 60.0)


def codes(findings, severity="warning") -> set[str]:
    return {f.code for f in findings if f.severity == severity}


def refused(asked) -> NodusError:
    with pytest.raises(NodusError) as told:
        analyse_file(asked, JobContext())
    assert told.value.message.endswith(".")
    return told.value


def test_that_a_curve_upon_the_rate_of_display_is_warned_of(files, tmp_path):
    ds = pydicom.dcmread(files.cine)
    del ds.FrameTimeVector
    ds.save_as(tmp_path / "c.dcm")
    result, _ = analyse_file(replace(files, cine=tmp_path / "c.dcm", frames=(0, 99)), JobContext())
    assert {"frame_times_from_rate", "frames_beyond_end"} <= codes(result.findings)
    assert sum(f.code == "frame_times_from_rate" for f in result.findings) == 1
    assert result.loop.frame_count == 64


@pytest.mark.parametrize("steps", [np.cumsum([904.0, 760, 800, 704, 904, 832, 904, 800, 904]), np.cumsum([904.0, 760, 800, 704, 904, 832, 904, 800, 904])[::-1]])
def test_that_times_in_place_of_steps_are_doubted_and_true_steps_are_not(steps):
    ds = pydicom.Dataset()
    ds.FrameTimeVector = [0.0, *steps]
    times, findings = read_frame_times(ds, 10)
    assert codes(findings) == {"frame_times_doubtful"}
    assert times[1] == steps[0]
    ds.FrameTimeVector = [0.0, *np.resize([40.0, 60.0], 9)]
    assert read_frame_times(ds, 10)[1] == ()
    ds.FrameTimeVector = [0.0, *[40.0] * 5, *[400.0] * 4]  # slower after the wash-in
    assert read_frame_times(ds, 10)[1] == ()


def test_that_a_list_of_times_that_are_no_numbers_is_told():
    ds = pydicom.Dataset()
    tag = pydicom.tag.Tag("FrameTimeVector")
    ds[tag] = pydicom.dataelem.RawDataElement(tag, "DS", 12, b"0\\904\\NaN\\80", 0, False, True)
    ds.CineRate = 2
    assert codes(read_frame_times(ds, 4)[1]) == {"frame_times_doubtful"}


def test_that_a_loop_cut_off_before_its_regions_says_so(files, tmp_path):
    data = files.cine.read_bytes()
    (tmp_path / "c.dcm").write_bytes(data[: int(0.3 * len(data))])
    refusal = refused(replace(files, cine=tmp_path / "c.dcm"))
    assert refusal.code == "frame_out_of_range"
    assert "was cut off" in refusal.message


@pytest.mark.parametrize("share", [float("nan"), 0.0, -1.0, 2.0])
def test_that_a_share_of_colour_is_a_share(files, share):
    assert refused(replace(files, tint_share=share)).code == "value_refused"


def test_that_a_share_of_colour_without_an_overlay_and_a_part_beside_the_node_are_told(files, tmp_path):
    roi = json.loads(files.roi.read_text())
    roi["regions"][1] |= {"name": "left", "role": "viable"}
    (tmp_path / "roi.json").write_text(json.dumps(roi))
    result, _ = analyse_file(replace(files, roi=tmp_path / "roi.json", tint_share=0.5), JobContext())
    assert "tint_share_unused" in codes(result.findings)
    assert "drawn_part_outside" in codes(result.findings, "serious")
    assert result.drawn is None  # nothing is known of it, so nothing is 0


def test_that_a_part_drawn_half_beside_the_node_counts_within_it_and_is_told():
    cine = made(residual="partial", viable_fraction=0.4)
    outline = np.array(node(cine).polygon_px)
    moved = PerfusionRegion("left", "viable", tuple((x + 6.0, y) for x, y in outline))
    result = analysed(cine, [node(cine), moved])
    assert "drawn_part_outside" in codes(result.findings)
    assert 20 < result.drawn["viable_pct"] < 95
    with pytest.raises(NodusError) as told:
        analysed(cine, node_ml=1e6)
    assert told.value.code == "value_refused"


def test_that_one_recording_stored_twice_is_not_two_planes(files, tmp_path):
    made(residual="partial", viable_fraction=0.4).write_dicom(tmp_path / "jpeg.dcm", "jpeg")
    first, _ = analyse_file(files, JobContext())
    again, _ = analyse_file(replace(files, cine=tmp_path / "jpeg.dcm"), JobContext())
    with pytest.raises(NodusError) as told:
        combine_planes(first, again)
    assert told.value.code == "one_loop_twice"
    assert combine_planes(first, analysed(made(6, residual="partial", viable_fraction=0.4))).grade


def test_that_maps_of_two_analyses_are_never_told_to_be_one(files, tmp_path, monkeypatch):
    result, _ = analyse_file(files, JobContext())
    write_maps(result, tmp_path)
    assert (tmp_path / "maps.json").is_file()

    def full(*_):
        raise NodusError("The disk is full.", code="write_failed")

    monkeypatch.setattr("app.usecases.perfusion_files.write_array", full)
    with pytest.raises(NodusError):
        write_maps(result, tmp_path)
    assert not (tmp_path / "maps.json").exists()


@pytest.mark.parametrize("bar", [np.repeat([0, 255], 100), np.random.default_rng(0).integers(0, 256, 200), np.r_[np.linspace(0, 255, 130), np.linspace(255, 120, 70)]])
def test_that_a_bar_whose_colours_come_twice_is_no_map(bar):
    with pytest.raises(NodusError) as told:
        colour_map_from_bar(np.repeat(bar.astype(np.uint8)[:, None], 6, axis=1))
    assert told.value.code == "colour_bar_unclear"
    assert colour_map_from_bar(np.repeat(np.minimum(np.arange(200) * 1.4, 255).astype(np.uint8)[:, None], 6, axis=1)).table[255].tolist() == [255] * 3
