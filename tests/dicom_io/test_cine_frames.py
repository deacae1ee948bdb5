"""Loops: frames found and decoded one by one, wherever a maker put its tables and wherever the file ends."""

from __future__ import annotations

import io
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom.encaps import encapsulate, encapsulate_extended
from pydicom.pixels import get_encoder
from pydicom.uid import UID, JPEGBaseline8Bit, RLELossless

from dicom_io.frame_spans import frame_spans
from dicom_io.headers import DicomRefused, read_header
from dicom_io.scan import scan_folder
from dicom_io.ultrasound import read_cine
from tests.dicom_io.made import region, save, us_picture

ROWS, COLUMNS = 48, 64


def frame_array(n: int, rows: int = ROWS, columns: int = COLUMNS) -> np.ndarray:
    """A grey frame as RGB that says its number: 16 steps of 16 in two blocks, readable after JPEG too."""
    out = np.zeros((rows, columns, 3), np.uint8)
    out[: rows // 2] = 16 * (n % 16) + 8
    out[rows // 2 :] = 16 * (n // 16 % 16) + 8
    return out


def number_of(frame: np.ndarray) -> int:
    """The number that a frame of ``frame_array`` says."""
    rows = frame.shape[0]
    return int(frame[rows // 4, 5, 0]) // 16 + 16 * (int(frame[3 * rows // 4, 5, 0]) // 16)


def encoded(n: int, syntax: UID, rows: int = ROWS, columns: int = COLUMNS) -> bytes:
    """One frame as a compressed stream."""
    array = frame_array(n, rows, columns)
    if syntax == RLELossless:
        return get_encoder(RLELossless).encode(
            array, rows=rows, columns=columns, samples_per_pixel=3, bits_allocated=8, bits_stored=8, photometric_interpretation="RGB", number_of_frames=1,
            pixel_representation=0, planar_configuration=0,
        )
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, "JPEG", quality=95)
    data = stream.getvalue()
    return data + b"\0" * (len(data) % 2)


def loop(path: Path, streams: list[bytes], syntax: UID, *, table: str = "none", fragments: int = 1, rows: int = ROWS, columns: int = COLUMNS, **elements) -> Path:
    """A loop of compressed streams with a basic (``basic``), an extended (``extended``) or no offset table."""
    ds = us_picture([region((0, 0, columns - 1, rows - 1))], frames=1, rows=rows, columns=columns, **elements)
    ds.NumberOfFrames = len(streams)
    ds.file_meta.TransferSyntaxUID = syntax
    ds.PhotometricInterpretation = "RGB" if syntax == RLELossless else "YBR_FULL_422"
    if table == "extended":
        ds.PixelData, ds.ExtendedOffsetTable, ds.ExtendedOffsetTableLengths = encapsulate_extended(streams)
    else:
        ds.PixelData = encapsulate(streams, fragments_per_frame=fragments, has_bot=table == "basic")
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True
    return save(ds, path)


SYNTAXES = pytest.mark.parametrize("syntax", [RLELossless, JPEGBaseline8Bit], ids=["rle", "jpeg"])


@SYNTAXES
@pytest.mark.parametrize(("table", "fragments"), [("basic", 1), ("extended", 1), ("none", 1), ("basic", 3), ("none", 3)])
def test_that_every_frame_is_found_whatever_tables_a_file_has(tmp_path, syntax, table, fragments):
    path = loop(tmp_path / "loop.dcm", [encoded(n, syntax) for n in range(20)], syntax, table=table, fragments=fragments)
    cine = read_cine(path)
    assert cine.frame_count == 20
    assert [number_of(cine.read_frame(n)) for n in range(20)] == list(range(20))


def test_that_a_table_that_points_beside_the_items_is_not_believed(tmp_path):
    path = loop(tmp_path / "loop.dcm", [encoded(n, JPEGBaseline8Bit) for n in range(6)], JPEGBaseline8Bit, table="basic", fragments=2)
    raw = bytearray(path.read_bytes())
    at = raw.index(b"\xfe\xff\x00\xe0\x18\x00\x00\x00") + 8 + 4  # the second of six entries
    raw[at : at + 4] = (int.from_bytes(raw[at : at + 4], "little") + 2).to_bytes(4, "little")
    path.write_bytes(raw)
    cine = read_cine(path)
    assert [number_of(cine.read_frame(n)) for n in range(6)] == list(range(6))


def test_that_pieces_that_cannot_be_told_apart_are_refused(tmp_path):
    streams = [encoded(n, RLELossless) for n in range(4)]
    path = loop(tmp_path / "loop.dcm", streams, RLELossless, fragments=2)
    raw = path.read_bytes().replace(streams[2][:8], b"\x63\x00\x00\x00\x40\x00\x00\x00")  # no stream opens so
    path.write_bytes(raw)
    with pytest.raises(DicomRefused) as refusal:
        read_cine(path)
    assert refusal.value.code == "header_size_mismatch"


@SYNTAXES
def test_that_a_thousand_frames_open_without_being_decoded_or_held(tmp_path, syntax):
    rows, columns, frames = 240, 320, 1000
    some = [encoded(n, syntax, rows, columns) for n in range(40)]
    path = loop(tmp_path / "long.dcm", [some[n % 40] for n in range(frames)], syntax, rows=rows, columns=columns, FrameTime=25.0)
    read_cine(path).read_frame(0)  # the codec is loaded
    tracemalloc.start()
    started = time.perf_counter()
    cine = read_cine(path)
    opened_s = time.perf_counter() - started
    opened_bytes = tracemalloc.get_traced_memory()[1]
    assert cine.frame_count == frames
    assert cine.frame_times_ms[-1] == 24975.0
    for n in [0, 999, 500, 1, 998, *range(100, 200)]:
        assert number_of(cine.read_frame(n)) == n % 40
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    frame_bytes = rows * columns * 3
    assert opened_bytes < 5 * frame_bytes  # headers and the places of a thousand frames: under 1.2 MB
    assert peak_bytes < 20 * frame_bytes  # not the 230 MB of all frames
    assert opened_s < 5


def test_that_any_frame_of_a_long_loop_comes_as_fast_as_the_first(tmp_path):
    some = [encoded(n, JPEGBaseline8Bit, 240, 320) for n in range(10)]
    cine = read_cine(loop(tmp_path / "long.dcm", some * 100, JPEGBaseline8Bit, rows=240, columns=320))

    def fastest(n: int) -> float:
        times = []
        for _ in range(7):
            started = time.perf_counter()
            cine.read_frame(n)
            times.append(time.perf_counter() - started)
        return min(times)

    first = fastest(0)
    assert fastest(999) < 5 * first + 0.01


@SYNTAXES
@pytest.mark.parametrize(("table", "fragments"), [("basic", 1), ("extended", 1), ("none", 1), ("basic", 3), ("none", 3)])
def test_that_a_loop_that_was_cut_off_keeps_its_whole_frames(tmp_path, syntax, table, fragments):
    streams = [encoded(n, syntax) for n in range(12)]
    path = loop(tmp_path / "loop.dcm", streams, syntax, table=table, fragments=fragments, FrameTime=40.0)
    offset, length = read_header(path).pixels.fragments[8 * fragments + fragments - 1]  # the last piece of the ninth frame
    path.write_bytes(path.read_bytes()[: offset + length // 2])
    cine = read_cine(path)
    assert cine.frame_count == 8
    assert [number_of(cine.read_frame(n)) for n in range(8)] == list(range(8))
    assert len(cine.frame_times_ms) == 8
    found = next(f for f in cine.findings if f.code == "truncated")
    assert "8 of its 12 frames" in found.message
    assert found.severity == "serious"
    with pytest.raises(DicomRefused) as refusal:
        cine.read_frame(8)
    assert refusal.value.code == "frame_out_of_range"
    listed = scan_folder(tmp_path).series[0]
    assert listed.frames == 8
    assert len(listed.frame_times_ms) == 8
    assert "truncated" in [f.code for f in listed.findings]


def test_that_an_uncompressed_loop_that_was_cut_off_keeps_its_whole_frames(tmp_path):
    path = save(us_picture(frames=5), tmp_path / "loop.dcm")
    path.write_bytes(path.read_bytes()[:-1000])
    cine = read_cine(path)
    assert cine.frame_count == 4
    assert [int(cine.read_frame(n)[0, 0, 0]) for n in range(4)] == [0, 1, 2, 3]
    assert "4 of its 5 frames" in next(f.message for f in cine.findings if f.code == "truncated")


def test_that_a_loop_without_one_whole_frame_is_refused(tmp_path):
    path = save(us_picture(frames=3), tmp_path / "loop.dcm")
    path.write_bytes(path.read_bytes()[: -(2 * 60 * 80 * 3 + 100)])
    with pytest.raises(DicomRefused) as refusal:
        read_cine(path)
    assert refusal.value.code == "truncated"


def test_that_a_missing_end_mark_alone_loses_no_frame(tmp_path):
    path = loop(tmp_path / "loop.dcm", [encoded(n, JPEGBaseline8Bit) for n in range(5)], JPEGBaseline8Bit)
    path.write_bytes(path.read_bytes()[:-8])
    cine = read_cine(path)
    assert cine.frame_count == 5
    assert number_of(cine.read_frame(4)) == 4
    assert [(f.code, f.severity) for f in cine.findings if f.code == "truncated"] == [("truncated", "warning")]


def test_that_a_cut_between_two_frames_of_one_piece_each_keeps_both(tmp_path):
    streams = [encoded(n, RLELossless) for n in range(6)]
    path = loop(tmp_path / "loop.dcm", streams, RLELossless)
    whole = path.read_bytes()
    path.write_bytes(whole[: whole.index(streams[3]) + len(streams[3])])
    assert len(frame_spans(read_header(path)).spans) == 4
