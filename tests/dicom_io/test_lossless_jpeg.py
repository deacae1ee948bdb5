"""Lossless JPEG decoded here: every sample of what others packed, and a refusal for every stream that is not whole."""

from __future__ import annotations

import shutil
import struct
import subprocess

import numpy as np
import pydicom
import pytest

from dicom_io.lossless_jpeg import StreamDamaged, decode
from dicom_io.ultrasound import read_cine
from tests.conftest import skip_or_fail
from tests.dicom_io.made import ct_slice, save
from volumetry.errors import NodusError

# Five bits for each of the 17 sizes of a difference: the plainest table that is legal.
COUNTS = bytes([0, 0, 0, 0, 17] + 11 * [0])


def predicted(array: np.ndarray, row: int, column: int, first_row: int, predictor: int, precision: int) -> int:
    """What a sample is expected to be, from its neighbours (ISO 10918-1, H.1.2.1)."""
    if row == first_row:
        return int(array[row, column - 1]) if column else 1 << (precision - 1)
    if column == 0:
        return int(array[row - 1, 0])
    a, b, c = int(array[row, column - 1]), int(array[row - 1, column]), int(array[row - 1, column - 1])
    return {1: a, 2: b, 3: c, 4: a + b - c, 5: a + ((b - c) >> 1), 6: b + ((a - c) >> 1), 7: (a + b) >> 1}[predictor]


def encoded(array: np.ndarray, predictor: int, precision: int, rows_between_restarts: int = 0) -> bytes:
    """A lossless JPEG stream of ``[row, column, sample]``, written as the standard says and as slowly as it reads."""
    rows, columns, samples = array.shape
    out = b"\xff\xd8"
    out += b"\xff\xc4" + struct.pack(">HB", 2 + 1 + 16 + 17, 0) + COUNTS + bytes(range(17))
    out += b"\xff\xc3" + struct.pack(">HBHHB", 8 + 3 * samples, precision, rows, columns, samples) + b"".join(bytes([n + 1, 0x11, 0]) for n in range(samples))
    if rows_between_restarts:
        out += b"\xff\xdd" + struct.pack(">HH", 4, rows_between_restarts * columns)
    out += b"\xff\xda" + struct.pack(">HB", 6 + 2 * samples, samples) + b"".join(bytes([n + 1, 0]) for n in range(samples)) + bytes([predictor, 0, 0])
    bits, restarts, first_row = "", 0, 0

    def flushed(bits: str) -> bytes:
        bits += "1" * (-len(bits) % 8)
        return bytes(int(bits[n : n + 8], 2) for n in range(0, len(bits), 8)).replace(b"\xff", b"\xff\0")

    for row in range(rows):
        if rows_between_restarts and row and row % rows_between_restarts == 0:
            out, bits, first_row = out + flushed(bits) + bytes([0xFF, 0xD0 + restarts % 8]), "", row
            restarts += 1
        for column in range(columns):
            for n in range(samples):
                difference = (int(array[row, column, n]) - predicted(array[..., n], row, column, first_row, predictor, precision) + 32768) % 65536 - 32768
                difference = 32768 if difference == -32768 else difference
                size = abs(difference).bit_length()
                bits += f"{size:05b}"
                if 0 < size < 16:
                    bits += f"{difference if difference > 0 else difference + (1 << size) - 1:0{size}b}"
    return out + flushed(bits) + b"\xff\xd9"


def picture(precision: int, samples: int, shape=(13, 11)) -> np.ndarray:
    return np.random.default_rng(precision).integers(0, 1 << precision, (*shape, samples)).astype(np.uint16)


@pytest.mark.parametrize("predictor", range(1, 8))
@pytest.mark.parametrize(("precision", "samples"), [(2, 1), (8, 1), (8, 3), (12, 1), (16, 1)])
def test_that_every_sample_comes_back_by_every_predictor(predictor, precision, samples):
    array = picture(precision, samples)
    back, bits = decode(encoded(array, predictor, precision), *array.shape)
    np.testing.assert_array_equal(back, array)
    assert bits == precision


@pytest.mark.parametrize("every", [1, 2, 5])
def test_that_restarts_begin_anew(every):
    array = picture(12, 1, (40, 7))
    back, _ = decode(encoded(array, 4, 12, every), *array.shape)
    np.testing.assert_array_equal(back, array)


def test_that_a_stream_that_ends_anywhere_too_early_is_refused():
    array = picture(8, 1)
    whole = encoded(array, 1, 8)
    for length in range(len(whole) - 3):
        with pytest.raises(StreamDamaged):
            decode(whole[:length], *array.shape)


def test_that_a_lost_restart_marker_is_refused():
    array = picture(8, 1)
    whole = encoded(array, 1, 8, 2)
    with pytest.raises(StreamDamaged, match="restart"):
        decode(whole.replace(b"\xff\xd1", b"\xff\xd4"), *array.shape)


def test_that_flipped_bits_end_in_a_picture_or_a_refusal_and_nothing_else():
    array = picture(8, 3)
    whole, rng, refused = encoded(array, 4, 8), np.random.default_rng(1), 0
    for _ in range(400):
        damaged = bytearray(whole)
        for at in rng.integers(0, len(whole), 3):
            damaged[at] ^= 1 << int(rng.integers(8))
        try:
            back, _ = decode(bytes(damaged), *array.shape)
        except StreamDamaged:
            refused += 1
        else:
            assert back.shape == array.shape
    assert 40 < refused < 400


def test_that_the_published_picture_and_a_scanners_ct_decode(shared_data):
    still = read_cine(shared_data / "us_dicom" / "JPGLosslessP14SV1_1s_1f_8b.dcm").read_frame(0)
    assert still.shape == (768, 1024)
    assert int(still[:, :, 0].max() if still.ndim == 3 else still.max()) == 255


@pytest.mark.parametrize("predictor", range(1, 8))
def test_that_what_another_program_packed_comes_back(tmp_path, predictor):
    if shutil.which("dcmcjpeg") is None:
        skip_or_fail("dcmtk is not installed")
    array = np.cumsum(np.random.default_rng(2).integers(-300, 300, (40, 37)), axis=1).astype(np.uint16)
    plain = save(ct_slice((0, 0, 0), 1, array=array), tmp_path / "plain.dcm")
    packed = tmp_path / "packed.dcm"
    subprocess.run(["dcmcjpeg", "+el", "+sv", str(predictor), str(plain), str(packed)], check=True, capture_output=True)
    from dicom_io.headers import read_header
    from dicom_io.pixels import FrameDecoder

    assert pydicom.dcmread(packed).file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.4.57"
    np.testing.assert_array_equal(FrameDecoder(read_header(packed)).raw(0)[0], array)


def test_that_a_cut_stream_is_said_and_not_shown_half_empty(tmp_path, shared_data):
    data = bytearray((shared_data / "us_dicom" / "JPGLosslessP14SV1_1s_1f_8b.dcm").read_bytes())
    middle = len(data) * 2 // 3
    data[middle : middle + 4000] = b"\xff\xd9" * 2000  # an end where no end is
    path = tmp_path / "cut.dcm"
    path.write_bytes(data)
    with pytest.raises(NodusError) as refusal:
        read_cine(path).read_frame(0)
    assert refusal.value.code == "decode_failed"
