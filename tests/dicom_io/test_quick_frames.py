"""Frames on the short way have the pixels of the general way, and what is not plain does not take it."""

from __future__ import annotations

import io
import struct

import jpeg_ls as charls
import numpy as np
import pytest
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.pixels import get_decoder
from pydicom.pixels.processing import convert_color_space
from pydicom.uid import ExplicitVRLittleEndian, JPEGBaseline8Bit, JPEGLosslessSV1, JPEGLSLossless, RLELossless

from dicom_io import jpeg_baseline, pixels, rle
from dicom_io.headers import read_header
from dicom_io.kernels.colour import ybr_to_rgb
from dicom_io.kernels.rle import DONE, decode_segments
from dicom_io.quick_frames import quick_frame
from dicom_io.ultrasound import read_cine
from tests.dicom_io.made import ct_slice, save
from tests.dicom_io.test_lossless_jpeg import encoded
from tests.dicom_io.test_picture_encodings import COLOUR, GREY, picture
from tests.reference.dicom_twins import reals_of_ybr, rgb_of_ybr, unpacked_bits

ROWS, COLUMNS = 40, 56
PIXEL = {"SamplesPerPixel": 3, "BitsAllocated": 8, "BitsStored": 8, "HighBit": 7, "PixelRepresentation": 0, "PhotometricInterpretation": "RGB", "PlanarConfiguration": 0}


def colours() -> np.ndarray:
    """Strong colours that change from pixel to pixel, as Doppler has beside speckle."""
    rng = np.random.default_rng(4)
    out = np.repeat(rng.integers(0, 200, (ROWS, COLUMNS, 1)), 3, axis=2)
    out[10:30, 20:40] = [220, 40, 10]
    out[5:12, 30:50] = [10, 60, 240]
    return out.astype(np.uint8)


def jpeg(*, subsampling: int = 1, marker: int | None = None, jfif: bool = True, names: bytes = b"\1\2\3", array: np.ndarray | None = None, **options) -> bytes:
    """A JPEG stream as a maker writes it: with or without JFIF, with Adobe's marker (``marker``), its components named."""
    out = io.BytesIO()
    Image.fromarray(colours() if array is None else array).save(out, "JPEG", quality=90, subsampling=subsampling, **options)
    data = out.getvalue()
    if not jfif:
        data = data[:2] + data[4 + struct.unpack_from(">H", data, 4)[0] :]
    if marker is not None:
        data = data[:2] + b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00" + bytes([marker]) + data[2:]
    frame, scan = data.index(b"\xff\xc0") + 10, data.index(b"\xff\xda") + 5
    named = bytearray(data)
    named[frame : frame + 9 : 3], named[scan : scan + 6 : 2] = names, names
    data = bytes(named)
    return data + b"\0" * (len(data) % 2)


def general(monkeypatch, path):
    """The frame as the general way gives it."""
    with monkeypatch.context() as patch:
        patch.setattr(pixels, "quick_frame", lambda *a: None)
        return read_cine(path).read_frame(0)


TAKEN = ("RGB", "RGB planar", "RGB implicit", "RGB RLE", "RGB RLE said planar", "YBR_FULL", "YBR_FULL planar", "YBR_FULL RLE", "YBR_FULL JPEG", "YBR_FULL_422 JPEG", "8 bit RLE", "8 bit JPEG-LS")


@pytest.mark.parametrize("name", [*COLOUR, *GREY])
def test_that_both_ways_give_the_same_picture_and_the_common_kinds_take_the_short_one(tmp_path, monkeypatch, name):
    path = save({**COLOUR, **GREY}[name](), tmp_path / "p.dcm")
    answers = []
    monkeypatch.setattr(pixels, "quick_frame", lambda *a: answers.append(quick_frame(*a)) or answers[-1])
    shown = read_cine(path).read_frame(0)
    assert any(a is not None for a in answers) == (name in TAKEN)
    assert np.abs(shown.astype(int) - general(monkeypatch, path).astype(int)).max() <= 1
    assert shown.flags.writeable


@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_rows": 1}], ids=["baseline", "progressive", "restarts"])
def test_that_a_jpeg_has_the_colours_of_the_standard_within_one_level(subsampling, options):
    data = jpeg(subsampling=subsampling, **options) if not options.get("progressive") else _plain_jpeg(subsampling)
    reference, meta = get_decoder(JPEGBaseline8Bit).as_array(picture(data, "YBR_FULL_422", syntax=JPEGBaseline8Bit), decoding_plugin="pillow", raw=True)
    assert meta["photometric_interpretation"].startswith("YBR")
    shown = jpeg_baseline.decode(data, ROWS, COLUMNS, 3, "YBR_FULL_422")
    assert np.abs(shown.astype(int) - rgb_of_ybr(reference).astype(int)).max() <= 1
    assert np.abs(shown.astype(int) - convert_color_space(reference, "YBR_FULL", "RGB").astype(int)).max() <= 1


def _plain_jpeg(subsampling: int) -> bytes:
    out = io.BytesIO()
    Image.fromarray(colours()).save(out, "JPEG", quality=90, subsampling=subsampling, progressive=True)
    return out.getvalue() + b"\0" * (len(out.getvalue()) % 2)


@pytest.mark.parametrize("marker", [None, 0, 1])
@pytest.mark.parametrize("jfif", [True, False])
@pytest.mark.parametrize("photometric", ["YBR_FULL", "YBR_FULL_422"])
def test_that_colours_are_converted_once_whatever_markers_a_maker_sets(tmp_path, photometric, jfif, marker):
    ds = picture(jpeg(subsampling=0, marker=marker, jfif=jfif), photometric, syntax=JPEGBaseline8Bit)
    shown = read_cine(save(ds, tmp_path / "p.dcm")).read_frame(0)
    inside = np.s_[14:28, 22:30]  # off the edges, where the codec rings
    assert np.abs(shown[inside].astype(int) - colours()[inside].astype(int)).max() <= 24


@pytest.mark.parametrize(
    ("photometric", "jfif", "marker", "names", "expected"),
    [
        ("YBR_FULL_422", True, None, b"\1\2\3", True),
        ("YBR_FULL_422", False, None, b"\0\1\2", True),
        ("YBR_FULL_422", False, None, b"RGB", False),
        ("YBR_FULL", False, 0, b"\1\2\3", True),
        ("RGB", False, None, b"\1\2\3", False),
        ("RGB", False, 0, b"\1\2\3", False),
        ("RGB", False, 1, b"\1\2\3", True),
        ("RGB", True, None, b"\1\2\3", True),
        ("RGB", True, 0, b"\1\2\3", True),
        ("RGB", True, None, b"rgb", False),
    ],
)
def test_that_what_components_are_follows_their_names_the_header_and_the_markers(photometric, jfif, marker, names, expected):
    stream = jpeg_baseline.head(jpeg(marker=marker, jfif=jfif, names=names))
    assert (stream.rows, stream.columns, stream.names, stream.jfif, stream.transform) == (ROWS, COLUMNS, names, jfif, marker)
    assert jpeg_baseline.holds_ybr(stream, photometric) is expected


def test_that_a_stored_rgb_jpeg_keeps_its_values():
    ybr = jpeg(subsampling=0, jfif=False, array=colours())
    plain = jpeg_baseline.decode(ybr, ROWS, COLUMNS, 3, "RGB")
    assert np.abs(rgb_of_ybr(plain).astype(int) - jpeg_baseline.decode(ybr, ROWS, COLUMNS, 3, "YBR_FULL").astype(int)).max() <= 1


def test_that_a_grey_jpeg_comes_back():
    data = jpeg_grey()
    reference = np.asarray(Image.open(io.BytesIO(data)))
    np.testing.assert_array_equal(jpeg_baseline.decode(data, ROWS, COLUMNS, 1, "MONOCHROME2"), reference)


def jpeg_grey() -> bytes:
    out = io.BytesIO()
    Image.fromarray(colours()[..., 0]).save(out, "JPEG", quality=90)
    return out.getvalue()


def test_that_a_stream_that_can_be_understood_in_two_ways_is_left_to_the_general_one():
    whole = jpeg()
    at = whole.index(b"\xff\xdb")
    hidden = b"\xff\xc0\x00\x11\x08\x40\x00\x40\x00\x03\1\x11\0\2\x11\0\3\x11\0"  # 16384 x 16384, seen only by who does not skip it
    for bad in (
        whole[:at] + b"\xff\x00" + struct.pack(">H", 2 + len(hidden)) + hidden + whole[at:],
        whole[:at] + b"\0" + whole[at:],
        whole[:at] + hidden + whole[at:],
        whole[:at] + b"\xff\xd0" + whole[at:],
        b"\xff\xd8\xff\xd9" + whole,
        whole[1:],
        b"",
    ):
        assert jpeg_baseline.head(bad) is None
        assert jpeg_baseline.decode(bad, ROWS, COLUMNS, 3, "YBR_FULL") is None
    assert jpeg_baseline.decode(whole, ROWS, COLUMNS + 1, 3, "YBR_FULL") is None
    assert jpeg_baseline.decode(whole, ROWS, COLUMNS, 1, "MONOCHROME2") is None


def test_that_a_jpeg_that_ends_anywhere_too_early_is_not_answered():
    whole = jpeg().rstrip(b"\0")
    for length in range(0, len(whole) - 20, 7):
        assert jpeg_baseline.decode(whole[:length], ROWS, COLUMNS, 3, "YBR_FULL") is None


def test_that_damaged_jpegs_end_in_a_picture_or_none():
    whole, rng, answered = jpeg(), np.random.default_rng(6), 0
    for _ in range(400):
        damaged = bytearray(whole)
        for at in rng.integers(2, len(whole), 4):
            damaged[at] = int(rng.integers(256))
        found = jpeg_baseline.decode(bytes(damaged), ROWS, COLUMNS, 3, "YBR_FULL")
        answered += found is not None
        assert found is None or found.shape == (ROWS, COLUMNS, 3)
    assert 20 < answered < 400


# --- run lengths ----------------------------------------------------------------------------------


def packed(array: np.ndarray) -> bytes:
    """A frame as the standard says: a segment for each byte of each sample, the highest first, runs of one value and of others."""
    samples = array.reshape(*array.shape[:2], -1)
    segments = []
    for n in range(samples.shape[2]):
        words = np.ascontiguousarray(samples[..., n]).astype(array.dtype.newbyteorder(">"))
        for byte in words.view(np.uint8).reshape(-1, array.itemsize).T:
            raw, out = byte.tobytes(), b""
            for at in range(0, len(raw), 5):
                piece = raw[at : at + 5]
                out += bytes([257 - len(piece)]) + piece[:1] if len(piece) > 1 and piece == piece[:1] * len(piece) else bytes([len(piece) - 1]) + piece
            segments.append(out + b"\0" * (len(out) % 2))
    starts = np.cumsum([64, *(len(one) for one in segments[:-1])]).tolist()
    return struct.pack("<16L", len(segments), *starts, *[0] * (15 - len(segments))) + b"".join(segments)


def test_that_another_programs_decoder_reads_what_the_tests_pack():
    ds = picture(packed(colours()), "RGB", syntax=RLELossless)
    found, _ = get_decoder(RLELossless).as_array(ds, decoding_plugin="pylibjpeg")
    np.testing.assert_array_equal(found, colours())


@pytest.mark.parametrize("dtype", ["u1", "u2", "i2", "u4"])
@pytest.mark.parametrize("samples", [1, 3])
def test_that_every_run_length_coded_sample_comes_back(dtype, samples):
    rng, shape = np.random.default_rng(8), (13, 11, samples) if samples > 1 else (13, 11)
    info = np.iinfo(dtype)
    array = rng.integers(info.min, info.max, shape, dtype=dtype, endpoint=True)
    array[3:9] = array[3, 0]
    back = rle.decode(packed(array), 13, 11, samples, np.dtype(dtype))
    np.testing.assert_array_equal(back, array)
    assert back.dtype == array.dtype


def test_that_the_kernel_agrees_with_its_slow_twin_on_any_bytes():
    rng, whole, count = np.random.default_rng(9), 0, 60
    for _ in range(600):
        codes = rng.choice([0, 1, 5, 20, 127, 128, 129, 200, 250, 254, 255], rng.integers(1, 12))
        segment = b"".join(bytes([c]) + rng.bytes(int(c) + 1 if c < 128 else 0 if c == 128 else 1) for c in codes)
        segment = segment[: int(rng.integers(len(segment) // 2, len(segment) + 1))]
        data = np.frombuffer(b"\7" + segment + b"\7\7\7", np.uint8)
        out = np.zeros(2 * count, np.uint8)
        code = decode_segments(data, np.array([1]), np.array([1 + len(segment)]), np.array([1]), 2, count, out)
        expected = unpacked_bits(segment, count)
        assert (code == DONE) == (expected is not None)
        assert not out[::2].any()
        if expected is not None:
            whole += 1
            assert out[1::2].tobytes() == expected
    exact = b"\x3b" + bytes(range(60))
    assert unpacked_bits(exact + b"\0", count) == bytes(range(60))
    out = np.zeros(count, np.uint8)
    assert decode_segments(np.frombuffer(exact, np.uint8), np.array([0]), np.array([61]), np.array([0]), 1, count, out) == DONE
    assert whole + out[5] > 5


def test_that_a_damaged_run_length_head_is_not_answered():
    array = colours()
    data = packed(array)
    assert rle.decode(data, ROWS, COLUMNS, 3, np.dtype("u1")) is not None
    for bad in (
        b"",
        data[:63],
        data[:200],
        struct.pack("<L", 2) + data[4:],
        data[:4] + struct.pack("<L", 66) + data[8:],
        data[:8] + struct.pack("<L", 60) + data[12:],
        data[:8] + struct.pack("<L", 0xFFFFFFF0) + data[12:],
        data[:8] + data[12:16] + data[8:12] + data[16:],
    ):
        assert rle.decode(bad, ROWS, COLUMNS, 3, np.dtype("u1")) is None
    assert rle.decode(data, ROWS, COLUMNS + 1, 3, np.dtype("u1")) is None
    assert rle.decode(data, ROWS, COLUMNS - 1, 3, np.dtype("u1")) is None


def test_that_bits_beyond_the_stored_ones_do_not_count(tmp_path):
    array = np.random.default_rng(3).integers(0, 65536, (9, 7)).astype(np.uint16)
    for representation, expected in ((0, array & 0xFFF), (1, ((array.astype(np.int32) & 0xFFF) ^ 0x800) - 0x800)):
        pixel = {**PIXEL, "SamplesPerPixel": 1, "BitsAllocated": 16, "BitsStored": 12, "HighBit": 11, "PixelRepresentation": representation, "PhotometricInterpretation": "MONOCHROME2"}
        found, kind = quick_frame(RLELossless, packed(array), 9, 7, pixel, False)
        np.testing.assert_array_equal(found, expected)
        assert kind == "MONOCHROME2"


def test_that_a_run_length_coded_ct_slice_is_the_plain_one(tmp_path):
    plain = save(ct_slice((0, 0, 0), 1), tmp_path / "plain.dcm")
    ds = ct_slice((0, 0, 0), 1)
    ds.compress(RLELossless, generate_instance_uid=False)
    ds.save_as(tmp_path / "packed.dcm")
    frames = [pixels.FrameDecoder(read_header(p)).raw(0)[0] for p in (plain, tmp_path / "packed.dcm")]
    np.testing.assert_array_equal(*frames)
    assert frames[0].dtype == frames[1].dtype


@pytest.mark.parametrize("stored", [10, 12, 16])
@pytest.mark.parametrize("signed", [0, 1])
@pytest.mark.parametrize("kind", ["JPEG-LS", "lossless JPEG", "RLE"])
def test_that_one_sample_of_any_depth_is_the_same_on_both_ways(tmp_path, monkeypatch, kind, signed, stored):
    words = np.random.default_rng(stored).integers(0, 1 << stored, (13, 11)).astype(np.uint16)
    words[4:8] = words[0, 0]
    if kind == "JPEG-LS":
        syntax, data = JPEGLSLossless, bytes(charls.encode_array(words))
    elif kind == "lossless JPEG":
        syntax, data = JPEGLosslessSV1, encoded(words[..., None], 1, stored)
    else:
        syntax, data = RLELossless, packed(words | (0xF000 if stored < 13 else 0))
    ds = ct_slice((0, 0, 0), 1, array=words)
    ds.BitsStored, ds.HighBit, ds.PixelRepresentation = stored, stored - 1, signed
    ds.file_meta.TransferSyntaxUID = syntax
    ds.PixelData = encapsulate([data + b"\0" * (len(data) % 2)])
    ds["PixelData"].is_undefined_length = True
    header = read_header(save(ds, tmp_path / "p.dcm"))
    answers = []
    monkeypatch.setattr(pixels, "quick_frame", lambda *a: answers.append(quick_frame(*a)) or answers[-1])
    short, _ = pixels.FrameDecoder(header).raw(0)
    assert answers[-1] is not None
    monkeypatch.setattr(pixels, "quick_frame", lambda *a: None)
    long, _ = pixels.FrameDecoder(header).raw(0)
    np.testing.assert_array_equal(short, long)
    assert short.dtype == long.dtype
    top = 1 << (stored - 1)
    np.testing.assert_array_equal(short, (words.astype(int) ^ top) - top if signed else words)


# --- colours --------------------------------------------------------------------------------------


def test_that_every_colour_is_rounded_as_the_standards_real_numbers_are():
    y, cb, cr = np.meshgrid(np.arange(0, 256, 17), np.arange(256), np.arange(0, 256, 5), indexing="ij")
    ybr = np.stack([y, cb, cr], axis=-1).reshape(-1, 3).astype(np.uint8)
    found, real = ybr.copy(), reals_of_ybr(ybr)
    ybr_to_rgb(found)
    off = np.abs(found - real)
    assert off[(real > 0) & (real < 255)].max() < 0.5001  # halves may go either way
    np.testing.assert_array_equal(found[real <= 0], 0)
    np.testing.assert_array_equal(found[real >= 255], 255)
    assert (found != rgb_of_ybr(ybr)).mean() < 0.001


def test_that_raw_colours_stay_as_they_are_stored():
    ybr = colours()
    pixel = {**PIXEL, "PhotometricInterpretation": "YBR_FULL"}
    found, kind = quick_frame(ExplicitVRLittleEndian, ybr.tobytes(), ROWS, COLUMNS, pixel, False)
    assert kind == "YBR_FULL"
    np.testing.assert_array_equal(found, ybr)
    found, kind = quick_frame(RLELossless, packed(ybr), ROWS, COLUMNS, pixel, True)
    assert kind == "RGB"
    np.testing.assert_array_equal(found, rgb_of_ybr(ybr))
    assert quick_frame(JPEGBaseline8Bit, jpeg(), ROWS, COLUMNS, pixel, False) is None


@pytest.mark.parametrize(
    "change",
    [{"SamplesPerPixel": 4}, {"BitsAllocated": 12}, {"BitsStored": 7}, {"HighBit": 15}, {"PixelRepresentation": 1}, {"PhotometricInterpretation": "YBR_PARTIAL_422"}, {"BitsStored": None}, {"PlanarConfiguration": 7}],
)  # fmt: skip
def test_that_what_is_not_plain_takes_the_general_way(change):
    assert quick_frame(ExplicitVRLittleEndian, colours().tobytes(), ROWS, COLUMNS, PIXEL, True) is not None
    assert quick_frame(ExplicitVRLittleEndian, colours().tobytes(), ROWS, COLUMNS, {**PIXEL, **change}, True) is None
    assert quick_frame(ExplicitVRLittleEndian, colours().tobytes()[:-1], ROWS, COLUMNS, PIXEL, True) is None


@pytest.mark.parametrize("columns", [7, 9], ids=["no whole number of colours", "a whole number of colours"])
def test_that_one_sample_a_pixel_is_never_turned_into_colours(columns):
    """A damaged header said YBR of a picture with one sample a pixel."""
    array = np.random.default_rng(4).integers(0, 256, (8, columns)).astype(np.uint8)
    pixel = {**PIXEL, "SamplesPerPixel": 1, "PhotometricInterpretation": "YBR_FULL"}
    assert quick_frame(RLELossless, packed(array), 8, columns, pixel, True) is None
