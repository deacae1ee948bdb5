"""JPEG-LS decoded here: sample for sample what CharLS decodes, and a refusal for every stream that is not whole."""

from __future__ import annotations

import shutil
import subprocess

import jpeg_ls
import numpy as np
import pytest

import dicom_io.kernels.jpeg_ls as kernels_ls
import dicom_io.kernels.lossless_jpeg as kernels_lossless
from dicom_io import codecs
from dicom_io.headers import read_header
from dicom_io.jpeg_ls import decode, default_thresholds
from dicom_io.lossless_jpeg import StreamDamaged
from dicom_io.pixels import FrameDecoder
from tests.conftest import skip_or_fail
from tests.dicom_io.made import ct_slice, save

BY_PLANE = 0


def picture(bits: int, samples: int, kind: str) -> np.ndarray:
    """Noise, one value, bars (runs that end), or a wandering value; ``[row, column]`` or ``[row, column, 3]``."""
    rng = np.random.default_rng(bits)
    shape = (37, 29) if samples == 1 else (37, 29, 3)
    if kind == "noise":
        array = rng.integers(0, 1 << bits, shape)
    elif kind == "flat":
        array = np.full(shape, (1 << bits) // 3)
    elif kind == "bars":
        array = np.repeat(rng.integers(0, 1 << bits, (37, 5, *shape[2:])), 7, axis=1)[:, :29]
    else:
        array = np.clip(np.cumsum(rng.integers(-3, 4, shape), axis=1) + (1 << bits) // 2, 0, (1 << bits) - 1)
    return array.astype(np.uint8 if bits <= 8 else np.uint16)


def packed(array: np.ndarray, near: int, order: int) -> bytes:
    source = np.ascontiguousarray(array.transpose(2, 0, 1)) if array.ndim == 3 and order == BY_PLANE else array
    return bytes(jpeg_ls.encode_array(source, lossy_error=near, interleave_mode=order))


@pytest.mark.parametrize("kind", ["noise", "flat", "bars", "walk"])
@pytest.mark.parametrize("near", [0, 1, 3])
@pytest.mark.parametrize(("samples", "order"), [(1, 0), (3, 0), (3, 1), (3, 2)])
@pytest.mark.parametrize("bits", [5, 8, 12, 16])
def test_that_every_sample_is_what_charls_decodes(bits, samples, order, near, kind):
    array = picture(bits, samples, kind)
    stream = packed(array, near, order)
    back, precision = decode(stream, 37, 29, samples)
    theirs, facts = jpeg_ls.decode_buffer(stream)
    flat = np.frombuffer(theirs, np.uint8 if facts["bits_per_sample"] <= 8 else "<u2")
    expected = flat.reshape(3, 37, 29).transpose(1, 2, 0) if samples == 3 and order == BY_PLANE else flat.reshape(37, 29, samples)
    np.testing.assert_array_equal(back, expected)
    assert precision == facts["bits_per_sample"]
    assert np.abs(back.reshape(array.shape).astype(int) - array).max() <= near


def test_that_the_default_thresholds_are_those_of_the_standard():
    assert default_thresholds(255, 0) == (3, 7, 21)
    assert default_thresholds(4095, 0) == (18, 67, 276)
    assert default_thresholds(255, 3) == (12, 22, 42)


@pytest.mark.parametrize("order", [1, 2])
def test_that_a_stream_that_ends_anywhere_too_early_is_refused(order):
    stream = packed(picture(8, 3, "walk"), 0, order)
    for length in range(0, len(stream) - 4, 7):
        with pytest.raises(StreamDamaged):
            decode(stream[:length], 37, 29, 3)


@pytest.mark.parametrize(("samples", "order"), [(1, 0), (3, 1), (3, 2)])
@pytest.mark.parametrize("kind", ["noise", "bars"])
def test_that_flipped_bits_end_in_a_picture_or_a_refusal_and_nothing_else(samples, order, kind):
    array = picture(8, samples, kind)
    stream, rng, refused = packed(array, 0, order), np.random.default_rng(2), 0
    for _ in range(300):
        damaged = bytearray(stream)
        for at in rng.integers(0, len(stream), 3):
            damaged[at] ^= 1 << int(rng.integers(8))
        try:
            back, _ = decode(bytes(damaged), 37, 29, samples)
        except StreamDamaged:
            refused += 1
        else:
            assert back.shape == (37, 29, samples)
    assert refused > 20


def test_that_a_stream_on_which_charls_never_ends_is_refused():
    # A run picture whose end was overwritten with noise, without an end marker: found by the fuzz.
    head = "ffd8fff7001108003c005003011100021100031100ffda000c030100020003000002002224afff7fff7fff7fff7fff7f"
    noise = bytes((37 * n * n + 11 * n + 5) % 251 for n in range(600))
    with pytest.raises(StreamDamaged):
        decode(bytes.fromhex(head) + noise, 60, 80, 3)


@pytest.mark.parametrize("options", [[], ["+en", "+md", "5"], ["+t1", "5", "+t2", "9", "+t3", "30"], ["+rs", "20"]], ids=str)
def test_that_what_another_program_packed_comes_back(tmp_path, options):
    if shutil.which("dcmcjpls") is None:
        skip_or_fail("dcmtk is not installed")
    array = np.cumsum(np.random.default_rng(2).integers(-300, 300, (40, 37)), axis=1).astype(np.uint16)
    plain = save(ct_slice((0, 0, 0), 1, array=array), tmp_path / "plain.dcm")
    subprocess.run(["dcmcjpls", *options, str(plain), str(tmp_path / "packed.dcm")], check=True, capture_output=True)
    back = FrameDecoder(read_header(tmp_path / "packed.dcm")).raw(0)[0]
    assert np.abs(back.astype(int) - array).max() <= (5 if "+md" in options else 0)


def test_that_the_decoders_are_ready_after_the_warm_up():
    codecs.warm_up()
    assert kernels_ls.decode_scan.signatures
    assert kernels_lossless.decode_scan.signatures
