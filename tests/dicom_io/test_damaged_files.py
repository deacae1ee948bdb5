"""One test for each way in which a damaged file once was not refused (found by ``tests/fuzz``)."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zipfile
from types import SimpleNamespace

import numpy as np
import pydicom
import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import ImplicitVRLittleEndian, JPEG2000Lossless, JPEGLSLossless, RLELossless

from app.study.model import SeriesRecord
from app.usecases.thumbnail import thumbnail
from dicom_io.codecs import MAX_SAMPLES
from dicom_io.ct import read_volume, series_of_files
from dicom_io.deidentify import clean_copy
from dicom_io.document import read_pdf, write_pdf
from dicom_io.masks import open_image, read_masks
from dicom_io.nifti import nifti_bytes
from dicom_io.parametric_map import read_field_map, write_field_map
from dicom_io.report import NodeReport, PictureLine, read_report, write_report
from dicom_io.scan import scan_folder
from dicom_io.seg_write import write_seg
from dicom_io.sources import Bounded, BoundedBytes, ReadInCircles, list_archive
from dicom_io.transfer import outgoing
from dicom_io.ultrasound import read_cine
from dicom_io.volume_files import read_volume_file
from dicom_io.writing import read_headers
from tests.dicom_io.made import STAMP, ct_slice, region, save, seg_file, us_picture
from tests.dicom_io.test_seg_write import PATIENT, series
from volumetry.errors import GeometryRefused, NodusError
from volumetry.geometry import ImageGeometry
from volumetry.mask import NodeMask

GIGABYTE = 1 << 30
# A sequence with one item of undefined length, and in it an element that claims two gigabytes.
LYING = struct.pack("<HH2sHL", 0x0008, 0x1140, b"SQ", 0, 0xFFFFFFFF) + struct.pack("<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF) + struct.pack("<HH2sHL", 0x0009, 0x1001, b"OB", 0, 2 * GIGABYTE - 2)


def refusal_of(read, *args) -> str:
    with pytest.raises(NodusError) as refusal:
        read(*args)
    return refusal.value.code


def bytes_of(ds) -> bytes:
    out = io.BytesIO()
    ds.save_as(out, enforce_file_format=True)
    return out.getvalue()


# --- memory ----------------------------------------------------------------------------------------


def test_that_no_memory_is_set_aside_for_bytes_a_header_only_claims(tmp_path):
    path = tmp_path / "lying.dcm"
    path.write_bytes(bytes_of(ct_slice((0, 0, 0), 1))[:400] + LYING)
    tracemalloc.start()
    try:
        refusal_of(open_image, path)
        assert tracemalloc.get_traced_memory()[1] < 100_000_000
    finally:
        tracemalloc.stop()


def test_that_a_dicomdir_that_claims_gigabytes_sets_none_aside(tmp_path):
    ds = ct_slice((0, 0, 0), 1)
    head = bytes_of(ds)[:132]
    meta = struct.pack("<HH2sH", 2, 2, b"UI", 20) + b"1.2.840.10008.1.3.10" + struct.pack("<HH2sH", 2, 0x10, b"UI", 20) + b"1.2.840.10008.1.2.1\0"
    (tmp_path / "DICOMDIR").write_bytes(head + struct.pack("<HH2sHL", 2, 0, b"UL", 4, len(meta)) + meta + LYING)
    tracemalloc.start()
    try:
        scan_folder(tmp_path)
        assert tracemalloc.get_traced_memory()[1] < 100_000_000
    finally:
        tracemalloc.stop()


def test_that_an_archive_that_claims_gigabytes_sets_none_aside(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.dcm", bytes(1000))
    data, packed = bytearray(path.read_bytes()), zipfile.ZipFile(path).getinfo("a.dcm").compress_size
    at = data.index(b"PK\1\2") + 20
    assert struct.unpack_from("<L", data, at)[0] == packed
    struct.pack_into("<L", data, at, 2 * GIGABYTE)
    path.write_bytes(data)
    tracemalloc.start()
    try:
        for entry in list_archive(path)[0]:
            assert len(entry.unpack()) == 1000  # its own end is within
        assert refusal_of(open_image, path) in ("zip_damaged", "not_an_image", "not_dicom")
        assert tracemalloc.get_traced_memory()[1] < 100_000_000
    finally:
        tracemalloc.stop()


def test_that_a_bounded_stream_reads_like_any_other_and_never_asks_for_more_than_there_is(tmp_path):
    data = np.random.default_rng(1).bytes(3_000_000)
    (tmp_path / "f").write_bytes(data)
    with Bounded(open(tmp_path / "f", "rb", buffering=0)) as stream:
        assert stream.read(5) == data[:5]
        tracemalloc.start()
        assert stream.read(3 * GIGABYTE) == data[5:]
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
        tracemalloc.stop()
        assert stream.read(2 * GIGABYTE) == b""
        stream.seek(10)
        assert stream.read() == data[10:]


def open_elements(size: int, behind: int) -> bytes:
    """A file with ``size`` bytes of items and elements that are opened within each other and never closed, then ``behind``
    bytes in which no end is found."""
    ds = ct_slice((0, 0, 0), 1)
    ds.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    data = bytes_of(ds)
    opened = struct.pack("<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF) + struct.pack("<HHL", 0x0040, 0xA730, 0xFFFFFFFF)
    at = data.index(struct.pack("<HH", 0x0028, 0x0010))  # before the rows
    inner = struct.pack("<HHL", 0x0028, 0x0010, 0xFFFFFFFF) + struct.pack("<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF)
    return data[:at] + struct.pack("<HHL", 0x0040, 0xA730, 0xFFFFFFFF) + opened * 3 + inner * (size // len(inner)) + b"\1" * behind


@pytest.mark.parametrize("read", [open_image, read_masks, read_pdf, read_report, read_field_map])
def test_that_thousands_of_elements_without_an_end_are_not_each_sought_through_the_whole_file(tmp_path, monkeypatch, read):
    taken = []
    plain = Bounded.read
    monkeypatch.setattr(Bounded, "read", lambda self, size=-1, /: taken.append(len(out := plain(self, size))) or out)
    path = tmp_path / "open.dcm"
    path.write_bytes(open_elements(20_000, 200_000))
    refusal_of(read, path)
    assert sum(taken) < 40_000_000  # each of 1250 elements through 200 kB would be 250 MB; of a loop of 100 MB, hours


@pytest.mark.parametrize("in_memory", [False, True])
def test_that_a_stream_is_not_read_again_and_again(tmp_path, in_memory):
    (tmp_path / "f").write_bytes(bytes(3_000_000))
    with BoundedBytes(bytes(3_000_000)) if in_memory else Bounded(open(tmp_path / "f", "rb", buffering=0)) as stream:
        for _ in range(8):
            stream.seek(0)
            assert len(stream.read()) == 3_000_000
        stream.seek(0)
        with pytest.raises(ReadInCircles):
            _ = [(stream.read(), stream.seek(0)) for _ in range(20)]


def test_that_a_cut_loop_of_two_thousand_million_frames_gives_the_times_of_those_that_are_there(tmp_path):
    ds = us_picture(frames=3, FrameTime=40.0)
    data = bytearray(bytes_of(ds))
    data = data.replace(struct.pack("<HH2sH", 0x28, 8, b"IS", 2) + b"3 ", struct.pack("<HH2sH", 0x28, 8, b"IS", 10) + b"2147483647")
    (tmp_path / "loop.dcm").write_bytes(data[:-100])
    cine = read_cine(tmp_path / "loop.dcm")
    assert (cine.frame_count, list(cine.frame_times_ms)) == (2, [0.0, 40.0])


def test_that_a_compressed_picture_larger_than_is_decoded_in_a_gigabyte_is_refused(tmp_path):
    ds = us_picture()
    ds.compress(RLELossless, generate_instance_uid=False)
    ds.Rows = ds.Columns = 8000
    assert MAX_SAMPLES < 8000 * 8000 * 3
    ds.SequenceOfUltrasoundRegions = [region((0, 0, 7000, 7000))]
    path = save(ds, tmp_path / "f.dcm")
    assert refusal_of(read_cine, path) == "too_large"
    assert refusal_of(clean_copy, [path], tmp_path / "out", "S-001", b"key") == "too_large"
    assert [s.code for s in scan_folder(tmp_path).skipped] == ["too_large"]


def test_that_a_volume_of_frames_that_are_smaller_than_they_say_is_refused_before_memory_is_set_aside(tmp_path):
    files = []
    for n in range(10):
        ds = ct_slice((0, 0, n), n + 1, array=np.zeros((64, 64), dtype=np.int16))
        ds.compress(JPEG2000Lossless, generate_instance_uid=False)
        ds.Rows = ds.Columns = 8000
        files.append(save(ds, tmp_path / f"{n}.dcm"))
    tracemalloc.start()
    try:
        assert refusal_of(read_volume, series_of_files(files)) == "header_size_mismatch"
        assert tracemalloc.get_traced_memory()[1] < 300_000_000
    finally:
        tracemalloc.stop()


def test_that_planes_of_a_mask_kilometres_apart_or_hairs_apart_make_no_grid(tmp_path):
    plane = np.ones((512, 512), dtype=bool)
    apart = save(seg_file([(1, 0, plane), (1, 1, plane), (1, 90_000, plane)], segments=[1]), tmp_path / "a.dcm")
    assert refusal_of(read_masks, apart) == "too_large"
    hairs = save(seg_file([(1, 0, plane), (1, 2, plane)], segments=[1], spacing_between=0.001), tmp_path / "h.dcm")
    assert read_masks(hairs)[0].geometry.shape[0] == 2


@pytest.mark.parametrize(("slope", "intercept"), [(1e30, 0), (1, 1e30), (-1e25, 1e25)])
def test_that_a_volume_scaled_beyond_whole_numbers_is_read_as_floats(tmp_path, slope, intercept):
    stored = np.zeros((6, 5), dtype=np.int16)
    stored[0, 0] = 2
    files = [save(ct_slice((0, 0, z), z + 1, array=stored, RescaleSlope=slope, RescaleIntercept=intercept), tmp_path / f"{z}.dcm") for z in range(2)]
    volume = read_volume(series_of_files(files))
    assert volume.array.dtype == np.float32
    np.testing.assert_allclose(volume.array[:, 0, 0], 2 * slope + intercept, rtol=1e-6)


# --- decoders ----------------------------------------------------------------------------------------


def compressed(tmp_path, streams, **elements):
    ds = us_picture(frames=len(streams), rows=10, columns=12)
    ds.file_meta.TransferSyntaxUID = RLELossless
    ds.PixelData = encapsulate(streams)
    ds["PixelData"].VR = "OB"
    for keyword, value in elements.items():
        setattr(ds, keyword, value)
    return save(ds, tmp_path / "f.dcm")


def test_that_a_decoder_that_panics_is_a_refused_frame(tmp_path):
    # Twelve bytes where the decoder expects a list of sixty-four.
    path = compressed(tmp_path, [b"\x03\0\0\0\x40\0\0\0\0\0\0\0"] * 2)
    assert refusal_of(read_cine(path).read_frame, 0) in ("decode_failed", "header_size_mismatch")


def test_that_an_empty_frame_is_refused(tmp_path):
    path = compressed(tmp_path, [b"\0\0"] * 2)
    data = path.read_bytes().replace(struct.pack("<HHL", 0xFFFE, 0xE000, 2) + b"\0\0", struct.pack("<HHL", 0xFFFE, 0xE000, 0), 1)
    path.write_bytes(data)
    for n in range(2):
        assert refusal_of(read_cine(path).read_frame, n) in ("decode_failed", "truncated", "header_size_mismatch")


def test_that_a_stream_of_other_samples_than_the_header_says_is_refused(tmp_path):
    ds = us_picture()
    ds.compress(JPEG2000Lossless, generate_instance_uid=False)
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    assert refusal_of(read_cine(save(ds, tmp_path / "f.dcm")).read_frame, 0) == "header_size_mismatch"


def test_that_several_numbers_where_one_belongs_are_read_as_the_first(tmp_path):
    data = bytes_of(us_picture())
    one, two = struct.pack("<HH2sHH", 0x28, 2, b"US", 2, 3), struct.pack("<HH2sHHH", 0x28, 2, b"US", 4, 3, 9)
    assert one in data
    (tmp_path / "f.dcm").write_bytes(data.replace(one, two))
    assert read_cine(tmp_path / "f.dcm").read_frame(0).shape == (60, 80, 3)


def test_that_an_identity_too_long_for_a_name_and_a_broken_colour_table_stop_no_cleaning(tmp_path):
    several = ct_slice((0, 0, 0), 1, **PATIENT)
    several.SOPInstanceUID = [f"2.25.{10**35 + n}" for n in range(12)]
    path = tmp_path / "several.dcm"
    pydicom.dcmwrite(path, several, enforce_file_format=True)
    (cleaned,) = clean_copy([path], tmp_path / "out", "S-001", b"key")
    assert len(cleaned.path.name) < 80
    palette = us_picture([region((10, 10, 50, 40))])
    palette.SamplesPerPixel, palette.PhotometricInterpretation = 1, "PALETTE COLOR"
    palette.PixelData = b"\0" * (60 * 80)
    palette.RedPaletteColorLookupTableDescriptor = [256, 0, 16]
    palette.RedPaletteColorLookupTableData = b"\0\1"
    assert refusal_of(clean_copy, [save(palette, tmp_path / "palette.dcm")], tmp_path / "none", "S-001", b"key") == "decode_failed"
    assert not any((tmp_path / "none").iterdir())


# --- written for and sent with damaged pictures -------------------------------------------------------


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:132] + data[132:].replace(b"UL\4\0", b"OX\4\0", 1),  # a kind of value that does not exist
        lambda data: data[:400] + LYING[:20] * 3000,  # nested thousandfold
    ],
)
def test_that_a_damaged_file_is_left_out_of_what_is_sent(tmp_path, damage):
    save(ct_slice((0, 0, 0), 1), tmp_path / "whole.dcm")
    (tmp_path / "damaged.dcm").write_bytes(damage(bytes_of(ct_slice((0, 0, 1), 2))))
    files, left_out = outgoing([tmp_path])
    assert [f.path.name for f in files] == ["whole.dcm"]
    assert [(f.file, f.code) for f in left_out] == [("damaged.dcm", "unreadable")]


@pytest.mark.parametrize(("keyword", "value"), [("SpecificCharacterSet", "utf-16"), ("SOPClassUID", "1")])
def test_that_an_outline_on_pictures_with_senseless_headers_is_refused_and_leaves_nothing(tmp_path, keyword, value):
    for n in range(3):
        ds = ct_slice((0.0, 0.0, float(n)), n + 1, **PATIENT)
        with pydicom.config.disable_value_validation():
            setattr(ds, keyword, value)
            pydicom.dcmwrite(tmp_path / f"{n}.dcm", ds, enforce_file_format=True)
    files = sorted(tmp_path.iterdir())
    volume = read_volume(series_of_files(files))
    mask = NodeMask(np.ones(volume.geometry.shape, dtype=bool), volume.geometry, 1, "node")
    assert refusal_of(write_seg, [mask], files, tmp_path / "out" / "mask.dcm", STAMP) == "source_header_damaged"
    assert not any((tmp_path / "out").glob("*"))


def test_that_a_header_no_parser_gets_through_is_refused_as_a_source(tmp_path):
    data = bytes_of(ct_slice((0, 0, 0), 1))
    (tmp_path / "a.dcm").write_bytes(data[:132] + data[132:].replace(b"UL\4\0", b"OX\4\0", 1))
    assert refusal_of(read_headers, [tmp_path / "a.dcm"]) == "not_dicom"


# --- reports, documents, maps -------------------------------------------------------------------------


@pytest.fixture
def report(tmp_path):
    picture = us_picture([region((0, 0, 79, 59))], **PATIENT)
    line = PictureLine(str(picture.SOPClassUID), str(picture.SOPInstanceUID), ((3, 4), (30, 20)))
    node = NodeReport("N1", "2.25.5", status="measured", method="ellipsoid", volume_ml=0.9, diameters={"length": (12.1, line)})
    return write_report([node], [picture], tmp_path / "sr.dcm", STAMP, reader="B", modality="US")


def every_item(of):
    for child in of.get("ContentSequence", []):
        yield child
        yield from every_item(child)


@pytest.mark.parametrize("keyword", ["ValueType", "ConceptNameCodeSequence", "MeasuredValueSequence", "ReferencedSOPSequence", "GraphicData", "UID", "TextValue", "ContentSequence"])
def test_that_a_report_without_some_part_is_read_without_it(report, keyword):
    ds = pydicom.dcmread(report)
    for child in list(every_item(ds)):
        if keyword in child:
            delattr(child, keyword)
    ds.save_as(report)
    for group in read_report(report):
        assert all(np.isfinite(value) for value, _ in group.values.values())


def test_that_a_measurement_that_is_no_number_is_left_out(report):
    data = report.read_bytes()
    assert data.count(b"12.1") == 1
    report.write_bytes(data.replace(b"12.1", b"1x.1"))
    (whole,) = read_report(report)
    assert "Length" not in whole.values
    assert whole.values["Volume"][0] == 0.9


@pytest.mark.parametrize("read", [read_report, read_pdf, read_field_map])
def test_that_what_is_cut_off_or_no_dicom_at_all_is_refused_by_every_reader(tmp_path, report, read):
    whole = report.read_bytes()
    for n, data in enumerate((b"", b"hello" * 100, whole[:200], whole[:700], whole[:132], whole[:400] + LYING)):
        path = tmp_path / f"{n}.dcm"
        path.write_bytes(data)
        assert refusal_of(read, path)


@pytest.mark.parametrize("read", [read_report, read_pdf, read_field_map, read_masks, open_image])
def test_that_a_header_nested_thousandfold_is_refused(tmp_path, read):
    item = struct.pack("<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF) + struct.pack("<HH2sHL", 0x0040, 0xA730, b"SQ", 0, 0xFFFFFFFF)
    path = tmp_path / "deep.dcm"
    path.write_bytes(bytes_of(ct_slice((0, 0, 0), 1))[:400] + struct.pack("<HH2sHL", 0x0040, 0xA730, b"SQ", 0, 0xFFFFFFFF) + item * 5000)
    assert refusal_of(read, path)


@pytest.mark.parametrize(("length", "kept"), [(0, 512), (3, 512), (9, 9), (10_000, 512)])
def test_that_a_document_whose_length_is_a_lie_is_given_whole(tmp_path, length, kept):
    path = write_pdf(b"%PDF-1.4\n" + b"x" * 503, ct_slice((0, 0, 0), 1, **PATIENT), tmp_path / "p.dcm", STAMP, title="Report")
    ds = pydicom.dcmread(path)
    ds.EncapsulatedDocumentLength = length
    ds.save_as(path)
    assert len(read_pdf(path)) == kept


@pytest.fixture
def field_map(tmp_path):
    source = series(tmp_path / "ct")
    geometry = read_volume(source).geometry
    return write_field_map(np.ones(geometry.shape, dtype=np.float32), geometry, source.paths, tmp_path / "pm.dcm", STAMP)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda ds: delattr(ds.PerFrameFunctionalGroupsSequence[2], "PlanePositionSequence"),
        lambda ds: setattr(ds, "Rows", ds.Rows + 1),
        lambda ds: setattr(ds, "NumberOfFrames", 2147483647),
        lambda ds: setattr(ds.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0], "PixelSpacing", [0.0, 1.0]),
        lambda ds: delattr(ds, "SharedFunctionalGroupsSequence"),
        lambda ds: setattr(ds.PerFrameFunctionalGroupsSequence[2].PlanePositionSequence[0], "ImagePositionPatient", [1e300, 0, 0]),
    ],
    ids=["no position", "more rows", "more frames", "no spacing", "nothing shared", "out of this world"],
)
def test_that_a_map_that_does_not_say_where_or_how_large_is_refused(field_map, spoil):
    ds = pydicom.dcmread(field_map)
    spoil(ds)
    ds.save_as(field_map)
    assert refusal_of(read_field_map, field_map) in ("not_a_map", "header_size_mismatch", "bad_spacing")


# --- volume files, archives, grids ------------------------------------------------------------------


@pytest.mark.parametrize("place", [float("inf"), float("nan"), -1.0, 1e30])
def test_that_a_nifti_whose_voxels_begin_nowhere_is_refused(tmp_path, place):
    raw = bytearray(nifti_bytes(np.zeros((3, 4, 5), dtype=np.int16), np.eye(4)))
    struct.pack_into("<f", raw, 108, place)
    (tmp_path / "v.nii").write_bytes(raw)
    assert refusal_of(read_volume_file, tmp_path / "v.nii") == "unreadable"


def test_that_a_header_may_name_a_file_that_no_system_can_have(tmp_path):
    (tmp_path / "v.mhd").write_bytes(b"NDims = 3\nDimSize = 2 2 2\nElementSpacing = 1 1 1\nElementType = MET_SHORT\nElementDataFile = " + b"x" * 5000 + b"\n")
    assert refusal_of(read_volume_file, tmp_path / "v.mhd") == "unreadable"


def test_that_an_entry_without_a_name_does_not_stop_its_archive(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.dcm", b"1")
        archive.writestr("b.dcm", b"2")
    path.write_bytes(path.read_bytes().replace(b"b.dcm", b"\0.dcm"))  # a name ends at its first zero
    entries, refused = list_archive(path)
    assert [e.name for e in entries] == ["a.dcm"]
    assert [reason.code for _, reason in refused] == ["zip_unsafe"]


def test_that_a_slice_in_an_archive_that_lost_its_place_is_opened_as_a_picture(tmp_path):
    lost = ct_slice((0, 0, 0), 1)
    del lost.ImagePositionPatient, lost.ImageOrientationPatient
    for name, ds, seen in (("lost", lost, False), ("ultrasound", us_picture([region((0, 0, 79, 59))]), True)):
        with zipfile.ZipFile(tmp_path / f"{name}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a.dcm", bytes_of(ds))
        (series_found,) = scan_folder(tmp_path / f"{name}.zip").series
        cine = read_cine(series_found.paths[0])
        assert cine.shape == (ds.Rows, ds.Columns)
        assert cine.read_frame(0).shape[:2] == cine.shape
        assert bool(cine.calibration.regions) == seen


def test_that_a_stored_series_with_a_damaged_stream_has_no_small_picture_and_harms_nothing(tmp_path):
    # pydicom on its own hands such a stream to decoders that may end the process or never come back.
    ds = ct_slice((0, 0, 0), 1, array=np.random.default_rng(2).integers(0, 900, (40, 36)).astype(np.uint16))
    record = SeriesRecord("s1", "v1", "1.2", "CT", "volume", "Neck", "x", ("a.dcm",))
    store = SimpleNamespace(series_folder=lambda _: tmp_path)
    ds.compress(JPEGLSLossless, generate_instance_uid=False)
    data = bytes_of(ds)
    (tmp_path / "a.dcm").write_bytes(data)
    assert thumbnail(store, record, (20, 20)).shape == (20, 20)
    (tmp_path / "a.dcm").write_bytes(data.replace(b"\xff\xda", b"\xff\xdb"))
    assert refusal_of(thumbnail, store, record, (20, 20)) == "decode_failed"


@pytest.mark.parametrize("affine", [np.diag([1e155, 1e155, 1, 1]), np.diag([1e-200, 1, 1, 1]), np.array([[1, 0, 0, 1e300], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])])
def test_that_a_grid_of_absurd_numbers_is_refused(affine):
    with pytest.raises(GeometryRefused) as refusal:
        ImageGeometry((2, 2, 2), affine)
    assert refusal.value.code == "bad_spacing"
