"""Colours that several pixels share in a file are told from the file itself, and only where strengths are read from colour."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app.demo.contrast_cine import make_cine
from app.demo.contrast_scene import CineOptions
from app.usecases.contrast_loop import load_loop, propose_panes
from dicom_io import contrast
from dicom_io.contrast import pixels_of_colour
from dicom_io.headers import read_header
from dicom_io.ultrasound import read_cine

PICTURE = np.random.default_rng(1).integers(0, 256, (32, 40, 3)).astype(np.uint8)


def stream(picture: np.ndarray, **kwargs) -> bytes:
    out = io.BytesIO()
    Image.fromarray(picture).save(out, "JPEG", quality=90, **kwargs)
    return out.getvalue()


@pytest.mark.parametrize(("subsampling", "factors"), [("4:4:4", (1, 1)), ("4:2:2", (2, 1)), ("4:2:0", (2, 2))])
@pytest.mark.parametrize("progressive", [False, True])
def test_that_the_sampling_factors_are_those_that_the_stream_was_written_with(subsampling, factors, progressive):
    found = contrast._sampling_factors(stream(PICTURE, subsampling=subsampling, progressive=progressive))
    assert found == [factors, (1, 1), (1, 1)]


def test_that_streams_without_a_frame_tell_nothing():
    whole = stream(PICTURE)
    assert contrast._sampling_factors(stream(PICTURE[..., 0])) == [(1, 1)]
    for head in (b"", b"\xff\xd8", b"\xffO\xffQ" + whole, whole[:40], whole[:2] + b"\x00" + whole[3:], whole[:2] + b"\xff\xda\x00\x08" + bytes(20)):
        assert contrast._sampling_factors(head) is None


def loop_file(folder: Path, compression: str, **options) -> Path:
    made = make_cine(5, CineOptions(shape=(80, 100), mm_per_pixel=0.4, frames=12, frame_s=3.0, out_of_plane=0.0, breathing_mm=(0.0, 0.0), **options))
    made.write_dicom(folder / "loop.dcm", compression)
    return folder / "loop.dcm"


@pytest.mark.parametrize(("colour_map", "compression", "told"), [("rainbow", "jpeg", True), ("rainbow", "raw", False), ("grey", "jpeg", False)])
def test_that_a_coloured_loop_with_shared_colours_says_so(colour_map, compression, told, tmp_path):
    path = loop_file(tmp_path, compression, colour_map=colour_map, rgb=True)
    cine = read_cine(path)
    assert pixels_of_colour(read_header(path)) == ((2, 1) if compression == "jpeg" else None) == cine.source.pixels_of_colour
    loop = load_loop(cine, propose_panes(cine).panes, range_db=60.0)
    said = [f.message for f in loop.findings if f.code == "colour_subsampled"]
    assert len(said) == told
    assert all("2 by 1 pixels" in text for text in said)
