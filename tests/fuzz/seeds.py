"""Healthy files to be damaged: what we write ourselves, what pydicom brings along, and the shared real ones."""

from __future__ import annotations

import datetime as dt
import gzip
import io
import warnings
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.fileset import FileSet
from pydicom.sequence import Sequence as DicomSequence
from pydicom.uid import JPEG2000Lossless, JPEGBaseline8Bit, JPEGLosslessSV1, JPEGLSLossless, RLELossless

from dicom_io.ct import read_volume
from dicom_io.document import write_key_image, write_pdf
from dicom_io.parametric_map import write_field_map
from dicom_io.report import NodeReport, PictureLine, SegmentReference, TimePoint, write_report
from dicom_io.rtstruct_write import write_rtstruct
from dicom_io.scan import SEGMENTATIONS, scan_folder
from dicom_io.seg_write import write_seg
from dicom_io.volume_files import write_array
from dicom_io.writing import Stamp
from tests.dicom_io.made import AXIAL, ENHANCED_CT, add_pixels, base, ct_slice, ct_stack, region, save, seg_file, uid, us_picture
from tests.dicom_io.test_lossless_jpeg import encoded
from volumetry.geometry import ImageGeometry
from volumetry.mask import NodeMask

MAX_SEED_BYTES = 1 << 20
STAMP = Stamp("0.1", seed="fuzz", now=dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC))
PATIENT = {
    "PatientName": "S1", "PatientID": "S1", "PatientBirthDate": "", "PatientSex": "", "StudyDate": "20260102", "StudyTime": "101112", "AccessionNumber": "", "StudyID": "1",
    "ReferringPhysicianName": "", "SeriesNumber": 1, "Manufacturer": "x", "ManufacturerModelName": "x", "SoftwareVersions": "1", "DeviceSerialNumber": "1", "PositionReferenceIndicator": "",
}  # fmt: skip
SHARED_FOLDERS = ("robustness", "us_dicom", "seg_sr", "ct_rtstruct", "pet_nodes_seg", "ct_gantry_tilt")
ENHANCED_US = "1.2.840.10008.5.1.4.1.1.6.2"
# What a reader of ultrasound and outlines meets most is damaged most.
SHARES = {
    "ultrasound": 22, "slice or picture": 18, "slice in its stack": 6, "multi-frame picture": 9, "SEG": 9, "RT": 6, "SR": 6, "Parametric Map": 2, "PDF": 2,
    "NIfTI": 4, "NRRD": 4, "MetaImage": 4, "DICOMDIR": 4, "ZIP": 3, "other DICOM": 6,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Seed:
    """One healthy file. ``kind`` says what it is, ``family`` how it is damaged (see ``mutate``), ``suffix`` its name's
    end; ``siblings`` are files that lie beside it, ``image`` what an RTSTRUCT was drawn on."""

    name: str
    kind: str
    family: str
    suffix: str
    data: bytes
    siblings: tuple[tuple[str, bytes], ...] = ()
    image: str | None = None


def weights(seeds: list[Seed]) -> list[float]:
    """How often each is drawn: kinds by their share, within a kind large files less often, as they cost time."""
    cost = [1.0 + len(s.data) / 50_000 for s in seeds]
    of_kind: dict[str, float] = {}
    for seed, one in zip(seeds, cost, strict=True):
        of_kind[seed.kind] = of_kind.get(seed.kind, 0.0) + 1.0 / one
    return [SHARES[s.kind] / of_kind[s.kind] / one for s, one in zip(seeds, cost, strict=True)]


def gather(folder: Path, shared: Path | None) -> list[Seed]:
    """All seeds, in the same order every time. ``folder`` takes the files that are made; ``shared`` is the folder of
    real files, None where it is absent."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what the library says about the healthy ones
        found = [*_made(folder), *_from_pydicom()]
        if shared is not None:
            found += _from_shared(shared)
    return list({seed.data: seed for seed in reversed(found)}.values())[::-1]  # many lie in both places


def kind_of(path: Path, data: bytes) -> tuple[str, str, str] | None:
    """(kind, family, suffix) of a real file, None for what is none of ours (a README)."""
    name = path.name.lower()
    for suffix, family, kind in ((".nii.gz", "nifti_gz", "NIfTI"), (".nii", "nifti", "NIfTI"), (".nrrd", "text", "NRRD"), (".mha", "text", "MetaImage"), (".zip", "zip", "ZIP")):
        if name.endswith(suffix):
            return kind, family, suffix
    if name.endswith((".md", ".txt", ".json", ".dump", ".py", ".csv", ".icc", ".gz", ".png")):
        return None
    if name == "dicomdir":
        return "DICOMDIR", "dicom", ""
    try:
        ds = pydicom.dcmread(io.BytesIO(data), stop_before_pixels=True, force=True)
        sop_class, modality, frames = str(ds.get("SOPClassUID", "")), str(ds.get("Modality", "")), int(ds.get("NumberOfFrames") or 1)
    except Exception:  # a seed may be broken to begin with
        return "other DICOM", "dicom", ".dcm"
    if sop_class in SEGMENTATIONS:
        kind = "SEG"
    elif modality == "US":
        kind = "ultrasound"
    elif sop_class.startswith("1.2.840.10008.5.1.4.1.1.88."):
        kind = "SR"
    elif sop_class.startswith("1.2.840.10008.5.1.4.1.1.481."):
        kind = "RT"
    elif "Rows" in ds:
        kind = "multi-frame picture" if frames > 1 else "slice or picture"
    else:
        kind = "other DICOM"
    return kind, "dicom", ".dcm"


def _real(path: Path, label: str, image: str | None = None) -> Iterator[Seed]:
    data = path.read_bytes()
    kind = kind_of(path, data) if 0 < len(data) <= MAX_SEED_BYTES else None
    if kind is not None:
        siblings = ()
        if kind[0] == "DICOMDIR":
            siblings = tuple((p.relative_to(path.parent).as_posix(), p.read_bytes()) for p in sorted(path.parent.rglob("*")) if p.is_file() and p != path)[:6]
        yield Seed(label, *kind, data, siblings, image if kind[0] == "RT" else None)


def _from_pydicom() -> Iterator[Seed]:
    """The test files that come with the library itself; nothing is fetched."""
    root = Path(pydicom.__file__).parent / "data"
    for path in sorted([*(root / "test_files").rglob("*"), *(root / "charset_files").rglob("*")]):
        if path.is_file():
            yield from _real(path, f"pydicom/{path.relative_to(root).as_posix()}")


def _from_shared(shared: Path) -> Iterator[Seed]:
    seen: set[str] = set()
    for folder in SHARED_FOLDERS:
        for path in sorted((shared / folder).rglob("*")):
            if not path.is_file() or (path.name in seen and path.suffix == ".dcm" and path.name[0].isdigit()):
                continue
            seen.add(path.name)
            if sum(p.parent == path.parent for p in path.parent.iterdir()) > 12 and path.parent.name == "image" and path.name > "000003.dcm":
                continue  # three slices of a long series say it all
            yield from _real(path, f"{folder}/{path.relative_to(shared / folder).as_posix()}", str(path.parent.parent / "image") if path.name == "RS.dcm" else None)


# --- made ones ------------------------------------------------------------------------------------


def _made(folder: Path) -> Iterator[Seed]:
    """Files of ours, also of kinds that no open example exists of."""
    source = folder / "ct"
    for n in range(7):
        save(ct_slice((1.0, 2.0, 1.5 * n), n + 1, **PATIENT), source / f"{n}.dcm")
    stack = tuple((p.name, p.read_bytes()) for p in sorted(source.iterdir()))
    for n in (0, 3):  # a slice among its neighbours: grouping and spacing are what it can spoil
        yield Seed(f"made/slice {n} of a stack", "slice in its stack", "dicom", ".dcm", stack[n][1], tuple(s for m, s in enumerate(stack) if m != n))
    yield from _made_objects(folder, source)
    yield from _made_pictures(folder)
    yield from _made_volumes(folder)
    yield from _made_containers(folder)


def _bytes(ds: Dataset) -> bytes:
    out = io.BytesIO()
    ds.save_as(out, enforce_file_format=True)
    return out.getvalue()


def _made_objects(folder: Path, source: Path) -> Iterator[Seed]:
    """What the program writes."""
    (series,) = scan_folder(source).series
    geometry = read_volume(series).geometry
    rng = np.random.default_rng(1)
    arrays = [np.zeros(geometry.shape, dtype=bool) for _ in range(3)]
    arrays[0][1:4, 1:4, 1:3] = True
    arrays[1][:] = rng.random(geometry.shape) < 0.3
    masks = [NodeMask(a, geometry, n + 1, f"node {n + 1}") for n, a in enumerate(arrays)]
    seg = write_seg(masks, series.paths, folder / "seg.dcm", STAMP, tracking_uids=["2.25.1", "2.25.2", None])
    yield Seed("made/seg", "SEG", "dicom", ".dcm", seg.read_bytes())
    rtstruct = write_rtstruct(masks, series.paths, folder / "rtstruct.dcm", STAMP)
    yield Seed("made/rtstruct", "RT", "dicom", ".dcm", rtstruct.read_bytes(), image=str(source))
    small = (rng.random((6, 5)) < 0.5).astype(np.uint8)
    for name, ds in {
        "binary": seg_file([(1, 0.0, small), (1, 1.0, small), (2, 1.0, small)], segments=[1, 2], spacing_between=1.0),
        "fractional": seg_file([(1, 0.0, small * 90), (1, 2.5, small * 200)], segments=[1], fractional=True),
        "one plane": seg_file([(1, 0.0, small)], segments=[1]),
    }.items():
        yield Seed(f"made/seg {name}", "SEG", "dicom", ".dcm", _bytes(ds))
    headers = [pydicom.dcmread(p, stop_before_pixels=True) for p in series.paths]
    seg_header = pydicom.dcmread(seg)
    reference = SegmentReference(str(seg_header.SOPClassUID), str(seg_header.SOPInstanceUID), 1, str(headers[0].SeriesInstanceUID))
    node = NodeReport("N1", "2.25.1", "left", "IIA", "measured", "voxel", 1.23, (1.1, 1.4), 14.2, 9.9, 45.5, 0.5, 0.7, reference)
    path = write_report([node], [*headers, seg_header], folder / "sr.dcm", STAMP, reader="A", modality="CT", time_point=TimePoint("Month 3", 3, "follow_up", 91))
    yield Seed("made/sr of an outline", "SR", "dicom", ".dcm", path.read_bytes())
    picture = us_picture([region((0, 0, 79, 59))], **PATIENT)
    line = PictureLine(str(picture.SOPClassUID), str(picture.SOPInstanceUID), ((3, 4), (30, 20)))
    drawn = PictureLine(line.sop_class, line.sop_instance_uid, ((3, 4), (30, 20), (5, 40))) if hasattr(line, "sop_class") else line
    node = NodeReport("N1", "2.25.1", "right", "IV", "measured", "ellipsoid", 0.9, (0.7, 1.1), diameters={"length": (12.1, line)}, outlines=(drawn,) if drawn is not line else ())
    path = write_report([node], [picture], folder / "sr2.dcm", STAMP, reader="B", modality="US")
    yield Seed("made/sr of a caliper", "SR", "dicom", ".dcm", path.read_bytes())
    path = write_field_map(rng.random(geometry.shape, dtype=np.float32) * 1e5, geometry, series.paths, folder / "pm.dcm", STAMP)
    yield Seed("made/field map", "Parametric Map", "dicom", ".dcm", path.read_bytes())
    path = write_pdf(b"%PDF-1.4\n" + b"x" * 501, headers[0], folder / "pdf.dcm", STAMP, title="Report")
    yield Seed("made/pdf", "PDF", "dicom", ".dcm", path.read_bytes())
    path = write_key_image(rng.integers(0, 256, (31, 41, 3), dtype=np.uint8), headers[0], folder / "key.dcm", STAMP, description="key")
    yield Seed("made/key image", "slice or picture", "dicom", ".dcm", path.read_bytes())


def _compressed(ds: Dataset, syntax) -> bytes:
    ds.compress(syntax, generate_instance_uid=False)
    return _bytes(ds)


def _lossless_jpeg(ds: Dataset, precision: int) -> bytes:
    """The picture as lossless JPEG."""
    shape = (ds.Rows, ds.Columns, ds.SamplesPerPixel)
    array = np.frombuffer(ds.PixelData, np.uint8 if precision == 8 else "<u2")[: shape[0] * shape[1] * shape[2]].reshape(shape)
    ds.file_meta.TransferSyntaxUID = JPEGLosslessSV1
    ds.PixelData = encapsulate([encoded(array, 1, precision)])
    ds["PixelData"].VR = "OB"
    return _bytes(ds)


def _made_pictures(folder: Path) -> Iterator[Seed]:
    """Ultrasound in every encoding, enhanced files, palettes; all of them small."""
    regions = [region((0, 0, 79, 59)), region((10, 10, 50, 40), units=(4, 5), spatial=3, data=1, flags=1)]
    plain = us_picture(regions, frames=5, FrameTime=40.0, StudyDate="20260102", PatientName="A^B", PatientID="7")
    yield Seed("made/loop", "ultrasound", "dicom", ".dcm", _bytes(plain))
    for name, syntax in (("RLE", RLELossless), ("JPEG-LS", JPEGLSLossless), ("JPEG 2000", JPEG2000Lossless)):
        yield Seed(f"made/loop {name}", "ultrasound", "dicom", ".dcm", _compressed(us_picture(regions, frames=5, FrameTimeVector=[0, 10, 20, 10, 20]), syntax))
    baseline = us_picture(regions, frames=4, CineRate=25)
    streams = []
    for n in range(4):
        out = io.BytesIO()
        Image.fromarray(np.random.default_rng(n).integers(0, 256, (60, 80, 3), dtype=np.uint8)).save(out, "JPEG", quality=60)
        streams.append(out.getvalue())
    baseline.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    baseline.PhotometricInterpretation = "YBR_FULL_422"
    baseline.PixelData = encapsulate(streams)
    baseline["PixelData"].VR = "OB"
    yield Seed("made/loop JPEG", "ultrasound", "dicom", ".dcm", _bytes(baseline))
    wide = ct_slice((0, 0, 0), 1, array=np.random.default_rng(7).integers(0, 4000, (40, 36)).astype(np.uint16))
    yield Seed("made/JPEG lossless 8 bit", "ultrasound", "dicom", ".dcm", _lossless_jpeg(us_picture(regions), 8))
    yield Seed("made/JPEG lossless 16 bit", "slice or picture", "dicom", ".dcm", _lossless_jpeg(wide, 16))
    for bits in (8, 16):
        ds = us_picture(regions, rows=60, columns=80)
        add_pixels(ds, np.random.default_rng(bits).integers(0, 200, (60, 80)).astype(np.uint8 if bits == 8 else np.uint16))
        ds.PhotometricInterpretation = "PALETTE COLOR"
        for colour in ("Red", "Green", "Blue"):
            setattr(ds, f"{colour}PaletteColorLookupTableDescriptor", [256, 0, 16])
            setattr(ds, f"{colour}PaletteColorLookupTableData", (np.arange(256, dtype="<u2") * 257).tobytes())
        yield Seed(f"made/palette {bits}", "ultrasound", "dicom", ".dcm", _bytes(ds))
    enhanced = _enhanced(ENHANCED_CT, "CT")
    yield Seed("made/enhanced", "multi-frame picture", "dicom", ".dcm", _bytes(enhanced))
    yield Seed("made/enhanced RLE", "multi-frame picture", "dicom", ".dcm", _compressed(_enhanced(ENHANCED_CT, "CT"), RLELossless))
    yield Seed("made/enhanced J2K", "multi-frame picture", "dicom", ".dcm", _compressed(_enhanced(ENHANCED_CT, "CT"), JPEG2000Lossless))
    yield Seed("made/enhanced ultrasound", "ultrasound", "dicom", ".dcm", _bytes(_enhanced(ENHANCED_US, "US", volume=True)))


def _entry(**elements) -> DicomSequence:
    ds = Dataset()
    for keyword, value in elements.items():
        setattr(ds, keyword, value)
    return DicomSequence([ds])


def _enhanced(sop_class: str, modality: str, *, volume: bool = False) -> Dataset:
    """Six frames of 40 x 36 with their places, of two times where it is an ultrasound volume."""
    ds = base(sop_class, uid(80, 1), uid(80), modality)
    array = np.random.default_rng(3).integers(0, 200, (6, 40, 36)).astype(np.uint8 if volume else np.int16)
    add_pixels(ds, array, frames=6)
    measures = _entry(PixelSpacing=[0.5, 0.5], SliceThickness=1.0)
    transform = _entry(RescaleSlope=1, RescaleIntercept=-1024, RescaleType="HU")
    ds.SharedFunctionalGroupsSequence = _entry(PixelMeasuresSequence=measures, PixelValueTransformationSequence=transform)
    where, direction = ("PlanePositionVolumeSequence", "PlaneOrientationVolumeSequence") if volume else ("PlanePositionSequence", "PlaneOrientationSequence")
    position, orientation = ("ImagePositionVolume", "ImageOrientationVolume") if volume else ("ImagePositionPatient", "ImageOrientationPatient")
    frames = []
    for n in range(6):
        one = Dataset()
        setattr(one, where, _entry(**{position: [0.0, 0.0, float(n % 3 if volume else n)]}))
        setattr(one, direction, _entry(**{orientation: list(AXIAL)}))
        one.FrameContentSequence = _entry(TemporalPositionIndex=1 + n // 3 if volume else 1, StackID="1", InStackPositionNumber=n + 1)
        frames.append(one)
    ds.PerFrameFunctionalGroupsSequence = DicomSequence(frames)
    return ds


def _made_volumes(folder: Path) -> Iterator[Seed]:
    geometry = ImageGeometry.from_spacing((6, 5, 4), (0.7, 0.8, 1.5), (1.0, 2.0, 3.0))
    labels = np.zeros(geometry.shape, dtype=np.uint8)
    labels[1:3, 1:4, 1:3], labels[4, 2, 2] = 1, 2
    values = np.random.default_rng(5).normal(size=geometry.shape)
    for name, array in (("labels", labels), ("values", (1000 * values).astype(np.int16)), ("floats", values.astype(np.float32))):
        for suffix, family, kind in ((".nii", "nifti", "NIfTI"), (".nii.gz", "nifti_gz", "NIfTI"), (".nrrd", "text", "NRRD"), (".mha", "text", "MetaImage")):
            path = write_array(array, geometry, folder / f"{name}{suffix}")
            yield Seed(f"made/{name}{suffix}", kind, family, suffix, path.read_bytes())
        for suffix, kind in ((".mhd", "MetaImage"), (".nhdr", "NRRD")):
            path = write_array(array, geometry, folder / f"{name}-apart{suffix}")
            beside = tuple((p.name, p.read_bytes()) for p in sorted(folder.glob(f"{name}-apart.*")) if p.suffix not in (".mhd", ".nhdr"))
            yield Seed(f"made/{name}{suffix}", kind, "text", suffix, path.read_bytes(), beside)
    raw = b"NRRD0004\ntype: short\ndimension: 3\nspace: left-posterior-superior\nsizes: 4 5 6\nspace directions: (0.7,0,0) (0,0.8,0) (0,0,1.5)\nkinds: domain domain domain\nendian: little\nencoding: raw\nspace origin: (1,2,3)\n\n"
    yield Seed("made/plain.nrrd", "NRRD", "text", ".nrrd", raw + (1000 * values).astype("<i2").tobytes())
    layered = b"NRRD0004\ntype: uchar\ndimension: 4\nspace: left-posterior-superior\nsizes: 2 4 5 6\nspace directions: none (0.7,0,0) (0,0.8,0) (0,0,1.5)\nkinds: list domain domain domain\nencoding: gzip\nspace origin: (1,2,3)\nSegment0_Name:=a\nSegment0_Layer:=0\nSegment0_LabelValue:=1\n\n"
    yield Seed("made/layers.nrrd", "NRRD", "text", ".nrrd", layered + gzip.compress(np.stack([labels, labels[::-1]], axis=-1).tobytes(), mtime=0))
    text = b"ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\nTransformMatrix = 1 0 0 0 1 0 0 0 1\nOffset = 1 2 3\nElementSpacing = 0.7 0.8 1.5\nDimSize = 4 5 6\nElementType = MET_SHORT\nElementDataFile = LOCAL\n"
    yield Seed("made/plain.mha", "MetaImage", "text", ".mha", text + (1000 * values).astype("<i2").tobytes())


def _made_containers(folder: Path) -> Iterator[Seed]:
    """A ZIP archive, packed and stored, and a DICOMDIR with its files."""
    for n, method in enumerate((zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED)):
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", method) as archive:
            for z in range(4):
                archive.writestr(zipfile.ZipInfo(f"CASE/slice{z}.dcm", (2026, 1, 2, 3, 4, 6)), _bytes(ct_slice((0.0, 0.0, float(z)), z + 1)), method)
            archive.writestr(zipfile.ZipInfo("READ.ME", (2026, 1, 2, 3, 4, 6)), b"hello" * 20, method)
        yield Seed(f"made/archive {n}", "ZIP", "zip", ".zip", out.getvalue())
    listed = FileSet()
    for path in sorted(ct_stack(folder / "listed", [0.0, 1.0, 2.0], **PATIENT).iterdir()):
        listed.add(path)
    listed.write(folder / "set")
    siblings = tuple((p.relative_to(folder / "set").as_posix(), p.read_bytes()) for p in sorted((folder / "set").rglob("*")) if p.is_file() and p.name != "DICOMDIR")
    yield Seed("made/DICOMDIR", "DICOMDIR", "dicom", "", (folder / "set" / "DICOMDIR").read_bytes(), siblings)


