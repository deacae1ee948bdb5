"""The quick reader: the values of the full parser or none at all."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian

from dicom_io.elements import Elements, read_elements
from dicom_io.headers import SLIM_KEYWORDS, DicomRefused, Header, items, look_at_header, numbers, read_header, text
from dicom_io.planes import MARKS, frame_planes
from dicom_io.ultrasound import acquired_on, is_synthetic, read_calibration, read_frame_times
from tests.dicom_io.made import ct_slice, region, save, us_picture
from tests.dicom_io.made_enhanced import Frame, enhanced, item

KEYWORDS = (
    set(SLIM_KEYWORDS) | set(MARKS)
    | {"ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness", "RescaleSlope", "RescaleIntercept", "ImageType", "InstanceNumber"}
    | {"FrameTime", "FrameTimeVector", "FrameIncrementPointer", "CineRate", "RecommendedDisplayFrameRate", "PatientComments"}
)  # fmt: skip
SEQUENCES = ("SequenceOfUltrasoundRegions", "PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence")


def answer(read, path: Path) -> Header | tuple[str, str]:
    try:
        return read(path)
    except DicomRefused as refusal:
        return refusal.code, refusal.message


def agree(path: Path) -> bool:
    """Hold the quick reader against the full parser; False where it left the file to that one."""
    quick, full = answer(look_at_header, path), answer(read_header, path)
    if not isinstance(quick, Header) or not isinstance(full, Header):
        assert quick == full
        return False
    if not isinstance(quick.ds, Elements):
        return False
    assert (quick.transfer_syntax, quick.pixels, quick.file_bytes, quick.sop_class) == (full.transfer_syntax, full.pixels, full.file_bytes, full.sop_class)
    for keyword in KEYWORDS:
        assert text(quick.ds, keyword) == text(full.ds, keyword), keyword
        assert numbers(quick.ds, keyword) == numbers(full.ds, keyword), keyword
    for keyword in SEQUENCES:
        assert len(items(quick.ds, keyword)) == len(items(full.ds, keyword)), keyword
    assert frame_planes(quick.ds, quick.frames) == frame_planes(full.ds, full.frames)
    assert str(read_frame_times(quick.ds, quick.frames)) == str(read_frame_times(full.ds, full.frames))
    if quick.rows and quick.columns:
        assert read_calibration(quick.ds, quick.columns, quick.rows) == read_calibration(full.ds, full.columns, full.rows)
    assert (acquired_on(quick.ds), is_synthetic(quick.ds)) == (acquired_on(full.ds), is_synthetic(full.ds))
    return True


def test_that_it_agrees_on_every_shared_file_and_reads_most(shared_data):
    files = [p for p in sorted(shared_data.rglob("*")) if p.is_file() and p.stat().st_size < 4_000_000]
    looked = [agree(p) for p in files]
    assert sum(looked) > 200


def test_that_it_agrees_on_the_files_that_other_people_test_with():
    folder = Path(pydicom.data.__file__).parent
    looked = [agree(p) for p in sorted(folder.rglob("*.dcm"))]
    assert sum(looked) > 20


SEEDS: dict[str, Dataset] = {
    "explicit": ct_slice((1, 2, 3), 4, StudyDate="20240102", SeriesDescription="Hals", PixelPaddingValue=-2000, AcquisitionTime="101010.5"),
    "picture": us_picture([region((0, 0, 79, 59)), region((5, 5, 20, 20), spatial=2)], frames=3, FrameTimeVector=[0, 40, 40], FrameIncrementPointer=0x00181065),
    "enhanced": enhanced([Frame((0, 0, float(n)), np.full((4, 3), n, np.int16), macros={"MREchoSequence": item(EffectiveEchoTime=2.0)}) for n in range(2)]),
}


def encoded(name: str, syntax: str | None = None, *, undefined: bool = False) -> bytes:
    ds = pydicom.dcmread(_written(SEEDS[name]))
    if undefined:
        for element in ds.iterall():
            if element.VR == "SQ":
                element.is_undefined_length = True
                for entry in element.value:
                    entry.is_undefined_length_sequence_item = True
    stream = io.BytesIO()
    if syntax is not None:
        ds.file_meta.TransferSyntaxUID = syntax
        pydicom.dcmwrite(stream, ds, implicit_vr=syntax == ImplicitVRLittleEndian, little_endian=syntax != ExplicitVRBigEndian, enforce_file_format=True)
    else:
        ds.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def _written(ds: Dataset) -> io.BytesIO:
    stream = io.BytesIO()
    ds.save_as(stream, enforce_file_format=True)
    stream.seek(0)
    return stream


@pytest.mark.parametrize("name", SEEDS)
@pytest.mark.parametrize("syntax", [None, ImplicitVRLittleEndian])
@pytest.mark.parametrize("undefined", [False, True])
def test_that_both_little_endian_spellings_are_read_at_a_glance(tmp_path, name, syntax, undefined):
    path = tmp_path / "f"
    path.write_bytes(encoded(name, syntax, undefined=undefined))
    assert agree(path)


def test_that_big_endian_is_left_to_the_full_parser(tmp_path):
    path = tmp_path / "f"
    path.write_bytes(encoded("explicit", ExplicitVRBigEndian))
    assert not agree(path)
    assert isinstance(answer(look_at_header, path), Header)


@pytest.mark.parametrize("charset", ["ISO_IR 100", "ISO_IR 192", "GB18030", "\\ISO 2022 IR 87", None])
def test_that_words_of_other_scripts_are_read_alike(tmp_path, charset):
    ds = ct_slice((0, 0, 0), 1)
    words = {"ISO_IR 100": "Hals mit Größe", "ISO_IR 192": "颈部淋巴结 Größe", "GB18030": "颈部", "\\ISO 2022 IR 87": "頸部", None: "neck"}[charset]
    if charset is not None:
        ds.SpecificCharacterSet = charset.split("\\")
    ds.SeriesDescription = words
    path = save(ds, tmp_path / "f")
    assert agree(path)
    assert text(look_at_header(path).ds, "SeriesDescription") == words


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    name=st.sampled_from(sorted(SEEDS)),
    implicit=st.booleans(),
    flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=4),
    cut=st.one_of(st.none(), st.floats(0, 1)),
)
@example(name="explicit", implicit=False, flips=[(0.5, 255)], cut=None)
@example(name="explicit", implicit=False, flips=[(0.8828125, 28)], cut=None)  # a control sign before a decimal number
def test_that_damage_is_judged_by_the_full_parser_or_read_alike(tmp_path, name, implicit, flips, cut):
    raw = bytearray(encoded(name, ImplicitVRLittleEndian if implicit else None))
    for place, value in flips:
        raw[132 + int(place * (len(raw) - 132))] = value
    if cut is not None:
        raw = raw[: int(cut * len(raw))]
    path = tmp_path / "f"
    path.write_bytes(raw)
    agree(path)


def test_that_a_long_header_is_read_in_larger_bites(tmp_path):
    ds = ct_slice((0, 0, 0), 1)
    ds.add_new(0x00091001, "OB", bytes(200_000))
    path = save(ds, tmp_path / "f")
    assert agree(path)


def test_that_a_header_of_many_megabytes_is_left_to_the_full_parser(tmp_path):
    ds = ct_slice((0, 0, 0), 1)
    ds.add_new(0x00091001, "OB", bytes(5_000_000))
    path = save(ds, tmp_path / "f")
    assert not agree(path)
    assert answer(look_at_header, path).rows == 6


def test_that_sequences_nested_without_end_are_left_to_the_full_parser(tmp_path):
    head = b"\x40\x00\x75\x12SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
    raw = bytearray(encoded("explicit"))
    at = raw.index(b"\xe0\x7f\x10\x00")
    stream = io.BytesIO(raw[:at] + head * 2000 + raw[at:])
    assert read_elements(stream) is None
