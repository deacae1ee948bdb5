"""One ultrasound picture in every way that machines store it, and regions of every kind on made files."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.pixels import get_encoder
from pydicom.uid import (
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
)

from app.cli import main
from dicom_io.headers import DicomRefused
from dicom_io.ultrasound import read_cine
from tests.dicom_io.made import region, save, us_picture
from volumetry.calibration import CalibrationRefused
from volumetry.ultrasound_length import length_on_picture

ROWS, COLUMNS = 40, 56


def rgb() -> np.ndarray:
    """Colours in smooth ramps: what a lossy codec and colour conversion keep within a few levels."""
    y, x = np.mgrid[0:ROWS, 0:COLUMNS]
    return np.stack([x * 4, y * 6, 255 - x * 2 - y * 2], axis=-1).astype(np.uint8)


def to_ybr(array: np.ndarray) -> np.ndarray:
    """PS3.3 C.7.6.3.1.2, full range."""
    r, g, b = (array[..., n].astype(float) for n in range(3))
    out = [0.299 * r + 0.587 * g + 0.114 * b, 128 - 0.168736 * r - 0.331264 * g + 0.5 * b, 128 + 0.5 * r - 0.418688 * g - 0.081312 * b]
    return np.clip(np.rint(np.stack(out, axis=-1)), 0, 255).astype(np.uint8)


def picture(raw: bytes, photometric: str, *, planar: int | None = 0, syntax: UID = ExplicitVRLittleEndian, samples: int = 3, bits: int = 8, stored: int | None = None, **elements):
    """A still with these stored bytes."""
    ds = us_picture([region((0, 0, COLUMNS - 1, ROWS - 1))], rows=ROWS, columns=COLUMNS)
    ds.PhotometricInterpretation, ds.SamplesPerPixel = photometric, samples
    ds.BitsAllocated, ds.BitsStored = bits, stored or bits
    ds.HighBit = ds.BitsStored - 1
    if planar is None:
        del ds.PlanarConfiguration
    else:
        ds.PlanarConfiguration = planar
    ds.file_meta.TransferSyntaxUID = syntax
    ds.PixelData = encapsulate([raw]) if syntax.is_encapsulated else raw + b"\0" * (len(raw) % 2)
    ds["PixelData"].VR = "OW" if bits == 16 and not syntax.is_encapsulated else "OB"
    ds["PixelData"].is_undefined_length = syntax.is_encapsulated
    for keyword, value in elements.items():
        setattr(ds, keyword, value)
    return ds


def stream(array: np.ndarray, syntax: UID, photometric: str) -> bytes:
    colour = {"planar_configuration": 0} if array.ndim == 3 else {}
    return get_encoder(syntax).encode(
        array, rows=ROWS, columns=COLUMNS, samples_per_pixel=array.shape[2] if array.ndim == 3 else 1, bits_allocated=8 * array.itemsize, bits_stored=8 * array.itemsize,
        photometric_interpretation=photometric, number_of_frames=1, pixel_representation=0, **colour,
    )  # fmt: skip


def jpeg(array: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(array).save(out, "JPEG", quality=98, subsampling=0)
    return out.getvalue() + b"\0" * (len(out.getvalue()) % 2)


def ybr_422() -> bytes:
    """Y Y Cb Cr for each pair of columns, the chroma of the pair's mean."""
    ybr = to_ybr(rgb()).astype(int)
    pairs = ybr.reshape(ROWS, COLUMNS // 2, 2, 3)
    chroma = pairs[..., 1:].mean(axis=2)
    return np.concatenate([pairs[..., 0], chroma], axis=-1).round().astype(np.uint8).tobytes()


COLOUR = {
    "RGB": lambda: picture(rgb().tobytes(), "RGB"),
    "RGB planar": lambda: picture(rgb().transpose(2, 0, 1).tobytes(), "RGB", planar=1),
    "RGB implicit": lambda: picture(rgb().tobytes(), "RGB", syntax=ImplicitVRLittleEndian),
    "RGB RLE": lambda: picture(stream(rgb(), RLELossless, "RGB"), "RGB", syntax=RLELossless),
    "RGB RLE said planar": lambda: picture(stream(rgb(), RLELossless, "RGB"), "RGB", planar=1, syntax=RLELossless),
    "RGB JPEG-LS": lambda: picture(stream(rgb(), JPEGLSLossless, "RGB"), "RGB", syntax=JPEGLSLossless),
    "RGB JPEG 2000": lambda: picture(stream(rgb(), JPEG2000Lossless, "RGB"), "RGB", syntax=JPEG2000Lossless),
    "RCT JPEG 2000": lambda: picture(stream(rgb(), JPEG2000Lossless, "YBR_RCT"), "YBR_RCT", syntax=JPEG2000Lossless),
    "YBR_FULL": lambda: picture(to_ybr(rgb()).tobytes(), "YBR_FULL"),
    "YBR_FULL planar": lambda: picture(to_ybr(rgb()).transpose(2, 0, 1).tobytes(), "YBR_FULL", planar=1),
    "YBR_FULL RLE": lambda: picture(stream(to_ybr(rgb()), RLELossless, "YBR_FULL"), "YBR_FULL", syntax=RLELossless),
    "YBR_FULL_422": lambda: picture(ybr_422(), "YBR_FULL_422"),
    "YBR_FULL JPEG": lambda: picture(jpeg(rgb()), "YBR_FULL", syntax=JPEGBaseline8Bit),
    "YBR_FULL_422 JPEG": lambda: picture(jpeg(rgb()), "YBR_FULL_422", syntax=JPEGBaseline8Bit),
}
EXACT = ("RGB", "RCT")


@pytest.mark.parametrize("name", COLOUR)
def test_that_a_colour_picture_is_the_same_however_it_is_stored(tmp_path, name):
    shown = read_cine(save(COLOUR[name](), tmp_path / "p.dcm")).read_frame(0)
    assert shown.shape == (ROWS, COLUMNS, 3)
    difference = np.abs(shown.astype(int) - rgb().astype(int))
    assert difference.max() <= (0 if name.startswith(EXACT) else 8)


def test_that_a_big_endian_picture_is_the_same(tmp_path):
    ds = picture(rgb().tobytes(), "RGB", syntax=ExplicitVRBigEndian)
    path = tmp_path / "p.dcm"
    ds.save_as(path, implicit_vr=False, little_endian=False, enforce_file_format=True)
    assert np.array_equal(read_cine(path).read_frame(0), rgb())


def grey(bits: int) -> np.ndarray:
    y, x = np.mgrid[0:ROWS, 0:COLUMNS]
    return ((x * 4 + y) << (bits - 8)).astype(np.uint8 if bits == 8 else np.uint16)


GREY = {
    "8 bit": lambda: picture(grey(8).tobytes(), "MONOCHROME2", planar=None, samples=1),
    "8 bit JPEG-LS": lambda: picture(stream(grey(8), JPEGLSLossless, "MONOCHROME2"), "MONOCHROME2", planar=None, samples=1, syntax=JPEGLSLossless),
    "8 bit RLE": lambda: picture(stream(grey(8), RLELossless, "MONOCHROME2"), "MONOCHROME2", planar=None, samples=1, syntax=RLELossless),
    "MONOCHROME1": lambda: picture((255 - grey(8)).tobytes(), "MONOCHROME1", planar=None, samples=1),
    "16 bit": lambda: picture(grey(16).tobytes(), "MONOCHROME2", planar=None, samples=1, bits=16, WindowCenter=32768, WindowWidth=65536),
    "12 of 16 bit": lambda: picture(grey(12).tobytes(), "MONOCHROME2", planar=None, samples=1, bits=16, stored=12, WindowCenter=2048, WindowWidth=4096),
}


@pytest.mark.parametrize("name", GREY)
def test_that_a_grey_picture_is_the_same_however_it_is_stored(tmp_path, name):
    shown = read_cine(save(GREY[name](), tmp_path / "p.dcm")).read_frame(0)
    assert np.abs(shown.astype(int) - grey(8).astype(int)).max() <= (0 if name[:2] in ("8 ", "MO") else 1)


@pytest.mark.parametrize(("bits", "entries"), [(8, 256), (16, 256), (16, 4096)])
@pytest.mark.parametrize("lut_bits", [8, 16])
def test_that_a_palette_gives_its_colours(tmp_path, bits, entries, lut_bits):
    index = (np.arange(ROWS * COLUMNS).reshape(ROWS, COLUMNS) % entries).astype(np.uint8 if bits == 8 else np.uint16)
    colour = np.arange(entries) * 255 // (entries - 1)
    tables = [colour, colour[::-1], np.full(entries, 40)]
    ds = picture(index.tobytes(), "PALETTE COLOR", planar=None, samples=1, bits=bits)
    for name, table in zip(("Red", "Green", "Blue"), tables, strict=True):
        values = table.astype(np.uint16) * (257 if lut_bits == 16 else 1)
        setattr(ds, f"{name}PaletteColorLookupTableDescriptor", [entries, 0, lut_bits])
        setattr(ds, f"{name}PaletteColorLookupTableData", values.astype(np.uint8 if lut_bits == 8 else np.uint16).tobytes())
        ds[f"{name}PaletteColorLookupTableDescriptor"].VR = "US"
        ds[f"{name}PaletteColorLookupTableData"].VR = "OW"
    shown = read_cine(save(ds, tmp_path / "p.dcm")).read_frame(0)
    assert np.array_equal(shown, np.stack([t[index] for t in tables], axis=-1).astype(np.uint8))


def test_that_a_palette_of_a_big_endian_file_gives_its_colours(tmp_path):
    index = (np.arange(ROWS * COLUMNS).reshape(ROWS, COLUMNS) % 256).astype(np.uint8)
    ds = picture(index.reshape(-1, 2)[:, ::-1].tobytes(), "PALETTE COLOR", planar=None, samples=1, syntax=ExplicitVRBigEndian)
    ds["PixelData"].VR = "OW"  # words: two pixels each, the first in the lower byte
    table = np.arange(256) * 257
    for name in ("Red", "Green", "Blue"):
        setattr(ds, f"{name}PaletteColorLookupTableDescriptor", [256, 0, 16])
        setattr(ds, f"{name}PaletteColorLookupTableData", table.astype(">u2").tobytes())
        ds[f"{name}PaletteColorLookupTableDescriptor"].VR = "US"
        ds[f"{name}PaletteColorLookupTableData"].VR = "OW"
    path = tmp_path / "p.dcm"
    ds.save_as(path, implicit_vr=False, little_endian=False, enforce_file_format=True)
    shown = read_cine(path).read_frame(0)
    assert np.array_equal(shown, np.repeat(index[..., None], 3, axis=-1))


def test_that_a_palette_shorter_than_it_says_is_refused(tmp_path):
    ds = picture(bytes(ROWS * COLUMNS), "PALETTE COLOR", planar=None, samples=1)
    for name in ("Red", "Green", "Blue"):
        setattr(ds, f"{name}PaletteColorLookupTableDescriptor", [256, 0, 8])
        setattr(ds, f"{name}PaletteColorLookupTableData", bytes(100))
        ds[f"{name}PaletteColorLookupTableDescriptor"].VR = "US"
    with pytest.raises(DicomRefused) as refusal:
        read_cine(save(ds, tmp_path / "p.dcm")).read_frame(0)
    assert refusal.value.code == "decode_failed"


# --- regions on made files ------------------------------------------------------------------------


def answer(capsys, path, a, b, frame: int = 0) -> tuple[int, dict]:
    code = main(["length", str(path), "--points", f"{a[0]},{a[1]}", f"{b[0]},{b[1]}", "--frame", str(frame), "--json"])
    return code, json.loads(capsys.readouterr().out)


DUAL = [region((0, 0, 39, 59), delta=(0.02, 0.02)), region((40, 0, 79, 59), delta=(0.01, 0.01))]
PULSED = [region((0, 0, 79, 29), delta=(0.02, 0.02)), region((0, 30, 79, 59), spatial=3, data=3, units=(4, 7), delta=(0.005, 1.2))]
M_MODE = [region((0, 0, 79, 29), delta=(0.02, 0.02)), region((0, 30, 79, 59), spatial=2, units=(4, 3), delta=(0.004, 0.05))]


@pytest.mark.parametrize(
    ("regions", "a", "b", "expected"),
    [
        (DUAL, (5, 10), (35, 10), 6.0),
        (DUAL, (45, 10), (75, 10), 3.0),
        (DUAL, (5, 10), (75, 10), "crosses_regions"),
        (PULSED, (5, 10), (35, 10), 6.0),
        (PULSED, (5, 40), (35, 40), "not_a_length"),
        (PULSED, (5, 40), (5, 50), "not_a_length"),  # up and down is a velocity
        (PULSED, (5, 10), (5, 50), "crosses_regions"),
        (M_MODE, (5, 40), (35, 40), "not_a_length"),
        (M_MODE, (5, 40), (5, 50), "not_a_length"),  # up and down is a depth, but the strip is no 2D picture
        ([region((0, 0, 79, 59), units=(3, 4))], (5, 10), (35, 10), "not_a_length"),
        ([region((0, 0, 79, 59), units=(1, 1))], (5, 10), (35, 10), "not_a_length"),
        ([region((0, 0, 79, 59), units=(8, 8))], (5, 10), (35, 10), "not_a_length"),  # square centimetres
        ([region((0, 0, 79, 59), delta=(-0.02, -0.01))], (5, 10), (35, 10), 6.0),
        ([region((79, 59, 0, 0), delta=(0.02, 0.02))], (5, 10), (35, 10), 6.0),  # corners the other way round
        ([region((0, 0, 79, 59), delta=(0.02, 0.02), flags=1), region((20, 0, 60, 59), delta=(0.01, 0.01), flags=0)], (25, 5), (55, 5), 3.0),
        ([region((0, 0, 79, 59), delta=(0.02, 0.02), flags=1), region((20, 0, 60, 59), delta=(0.01, 0.01), flags=0)], (1, 5), (15, 5), 2.8),
        ([region((0, 0, 79, 59), delta=(0.02, 0.02)), region((20, 0, 60, 59), delta=(0.01, 0.01))], (25, 5), (55, 5), "crosses_regions"),
        ([region((0, 0, 79, 59), delta=(0.02, 0.02)), region((20, 0, 60, 59), data=2, delta=(0.02, 0.02))], (5, 5), (55, 5), 10.0),
    ],
)
def test_that_a_length_is_given_or_refused_by_the_regions(tmp_path, capsys, regions, a, b, expected):
    code, found = answer(capsys, save(us_picture(regions), tmp_path / "p.dcm"), a, b)
    if isinstance(expected, str):
        assert (code, found["error"]["code"]) == (3, expected)
    else:
        assert (code, found["length_mm"]) == (0, pytest.approx(expected))


def test_that_every_frame_has_the_regions_that_the_header_gives_it(tmp_path, capsys):
    ds = us_picture([region((0, 0, 79, 59), delta=(0.02, 0.02))], frames=3)
    per_frame = [type(ds)() for _ in range(3)]
    per_frame[1].SequenceOfUltrasoundRegions = [region((0, 0, 79, 59), delta=(0.04, 0.04))]
    per_frame[2].SequenceOfUltrasoundRegions = [region((0, 0, 79, 59), spatial=3, units=(4, 7))]
    ds.PerFrameFunctionalGroupsSequence = per_frame
    path = save(ds, tmp_path / "p.dcm")
    assert [answer(capsys, path, (10, 10), (20, 10), n)[1].get("length_mm") for n in range(3)] == [pytest.approx(2.0), pytest.approx(4.0), None]
    cine = read_cine(path)
    with pytest.raises(CalibrationRefused):
        length_on_picture(cine.calibration_at(2), (10, 10), (20, 10))
