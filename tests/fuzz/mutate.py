"""Damaging a healthy file: DICOM by its structure, other formats by theirs, all of them byte by byte.

Everything is drawn from the ``random.Random`` that is handed in, so that a number names a file.
"""

from __future__ import annotations

import random
import struct
import zlib

from tests.fuzz.dicom_bytes import ITEM, PIXELS, UNDEFINED, VRS, Element, Layout, lay_out, with_value
from tests.fuzz.mutate_plain import ODD_BYTES, damage_bytes, damage_volume_file, damage_zip

SYNTAXES = (
    "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.5",
    "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51", "1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.4.80",
    "1.2.840.10008.1.2.4.81", "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91", "1.2.840.10008.1.2.4.201", "1.2.840.10008.1.2.4.100",
    "1.2.3", "", "not a uid", "1.2.840.10008.1.2.4.50\\1.2.840.10008.1.2",
)  # fmt: skip
DEFLATED = "1.2.840.10008.1.2.1.99"
CLASSES = (
    "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.6.1", "1.2.840.10008.5.1.4.1.1.3.1",
    "1.2.840.10008.5.1.4.1.1.6.2", "1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7", "1.2.840.10008.5.1.4.1.1.481.3",
    "1.2.840.10008.5.1.4.1.1.88.34", "1.2.840.10008.5.1.4.1.1.104.1", "1.2.840.10008.5.1.4.1.1.30", "1.2.840.10008.1.3.10", "", "1.2.3",
)  # fmt: skip
CHARACTER_SETS = ("ISO_IR 100", "ISO_IR 192", "ISO_IR 13", "GB18030", "GBK", "\\ISO 2022 IR 87", "ISO 2022 IR 6\\ISO 2022 IR 149", "ISO_IR 999", "\\\\\\", "utf-16", "")
PHOTOMETRICS = ("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR", "RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT", "YBR_PARTIAL_420", "HSV", "", "\xff")
# What pixels are decoded by; each with its own idea of an unlikely number.
PIXEL_NUMBERS = {
    "Rows": (0, 1, 2, 3, 7, 511, 512, 1024, 4096, 16384, 32768, 65535), "Columns": (0, 1, 2, 3, 7, 511, 512, 1024, 4096, 16384, 32768, 65535),
    "BitsAllocated": (0, 1, 2, 7, 8, 12, 16, 24, 32, 64, 65535), "BitsStored": (0, 1, 7, 8, 10, 12, 15, 16, 17, 32, 65535), "HighBit": (0, 6, 7, 11, 14, 15, 16, 31, 65535),
    "SamplesPerPixel": (0, 1, 2, 3, 4, 5, 65535), "PlanarConfiguration": (0, 1, 2, 65535), "PixelRepresentation": (0, 1, 2, 65535),
}  # fmt: skip
FRAME_COUNTS = ("0", "1", "2", "3", "9", "10", "11", "1000", "65536", "2147483647", "4294967296", "-1", "1A", "", "1.5", "1\\2", "99999999999999999999")
DECIMALS = (
    "0", "1", "-1", "-0", "0.5", "1e-5", "1e-30", "1e-320", "1e30", "1e308", "-1e308", "1e400", "nan", "inf", "-inf", "", " ", ".", "1.2.3", "0x10", "1,5", "abc",
    "1\\2", "1\\2\\3", "1\\0\\0\\0\\1\\0", "0\\0\\0\\0\\0\\0", "1\\0\\0\\1\\0\\0", "0\\0\\1\\0\\1\\0", "1e155\\1e155", "1\\2\\3\\4\\5\\6\\7", "9" * 40, "1\\\\2", "0.001\\0.001", "1e6\\1e6",
    "100\\200\\1e9", "100\\200\\-300.5",
)  # fmt: skip
INTEGERS = ("0", "1", "-1", "2", "255", "65535", "65536", "2147483647", "-2147483648", "4294967295", "9" * 30, "", "1A", "nan", "1.0", "1\\2\\3", "abc")
WORDS = ("", " ", "\\", "\\\\", "a" * 70, "a" * 3000, "\xe9\xff\x80", "\x1b$B\x1b(B\x1b$)C", "A=B=C^D^E", "\0", "%s%n{0}", "../../x", "NaN", "CLOSED_PLANAR", "YES", "\r\n", "\ud83d".encode("utf-8", "surrogatepass").decode("latin-1"))
DATES = ("", "20240230", "99999999", "00000000", "2024", "20240101-", "2024.01.01", "abc", "19000101", "20991231235959.999999+9999")
UIDS = ("", "1", "1.", "1..2", "0" * 64, "1." * 60, "1.2.840.10008.1.2", "x.y", "1.2\\3.4", "-1", "\xff")
FLOATS = (0.0, -0.0, 1.0, -1.0, 1e-45, 1e-300, 1e300, -1e300, float("nan"), float("inf"), float("-inf"), 0.0265, 1e9)
GEOMETRY = (
    "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SpacingBetweenSlices", "SliceThickness", "RescaleSlope", "RescaleIntercept", "WindowCenter", "WindowWidth",
    "ImagePositionVolume", "ImageOrientationVolume", "FrameTime", "FrameTimeVector", "CineRate", "RecommendedDisplayFrameRate", "PixelPaddingValue", "InstanceNumber", "ImageType",
    "RegionLocationMinX0", "RegionLocationMinY0", "RegionLocationMaxX1", "RegionLocationMaxY1", "PhysicalDeltaX", "PhysicalDeltaY", "PhysicalUnitsXDirection", "RegionSpatialFormat",
    "RegionDataType", "RegionFlags", "ReferencedSegmentNumber", "SegmentNumber", "MaximumFractionalValue", "SegmentationType", "ContourData", "NumberOfContourPoints", "ContourGeometricType",
    "ROINumber", "ReferencedROINumber", "NumericValue", "ValueType", "CodeValue", "CodeMeaning", "UID", "GraphicData", "EncapsulatedDocumentLength", "RealWorldValueSlope",
    "RealWorldValueIntercept", "RedPaletteColorLookupTableDescriptor", "RedPaletteColorLookupTableData", "FrameIncrementPointer", "StudyDate", "AcquisitionDateTime",
    "OffsetOfTheNextDirectoryRecord", "OffsetOfReferencedLowerLevelDirectoryEntity", "OffsetOfTheFirstDirectoryRecordOfTheRootDirectoryEntity", "ReferencedFileID", "DirectoryRecordType",
    "NumberOfFrames", "PatientID", "PatientName", "SeriesInstanceUID", "SOPInstanceUID", "StudyInstanceUID", "SOPClassUID", "FrameOfReferenceUID", "Modality",
)  # fmt: skip


def mutate(data: bytes, family: str, rng: random.Random, other: bytes) -> bytes:
    """A damaged copy of ``data``; ``family`` is ``dicom``, ``nifti``, ``nifti_gz``, ``text`` (NRRD, MetaImage) or ``zip``,
    ``other`` another file to graft from."""
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 5))):
        if rng.random() < 0.15 or len(data) < 16:
            data = damage_bytes(data, rng, other)
        elif family == "dicom":
            data = _damage_dicom(data, rng, other)
        elif family == "zip":
            data = damage_zip(data, rng)
        else:
            data = damage_volume_file(data, family, rng)
    return data


def _damage_dicom(data: bytes, rng: random.Random, other: bytes) -> bytes:
    layout = lay_out(data)
    if not layout.elements:
        return damage_bytes(data, rng, other)
    if layout.syntax == DEFLATED and rng.random() < 0.7:
        return _damage_deflated(data, layout, rng, other)
    change = rng.choices(DAMAGES, WEIGHTS)[0]
    return change(data, layout, rng, other)


def _damage_deflated(data: bytes, layout: Layout, rng: random.Random, other: bytes) -> bytes:
    """Damage the data set within, and pack it again."""
    last = max((e for e in layout.elements if e.tag >> 16 == 2), key=lambda e: e.end)
    try:
        body = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data[last.end :], 1 << 24)
    except zlib.error:
        return damage_bytes(data, rng, other)
    plain = b"\0" * 128 + b"DICM" + struct.pack("<HH2sHL", 2, 0, b"UL", 4, 28) + struct.pack("<HH2sH", 2, 0x10, b"UI", 20) + b"1.2.840.10008.1.2.1\0"
    changed = _damage_dicom(plain + body, rng, other)[len(plain) :]
    engine = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return data[: last.end] + engine.compress(changed) + engine.flush()


def _order(layout: Layout, element: Element) -> str:
    return ">" if layout.big and element.tag >> 16 != 2 else "<"


def _even(value: bytes, pad: bytes = b" ") -> bytes:
    return value + pad * (len(value) % 2)


def odd_value(element: Element, layout: Layout, rng: random.Random) -> bytes:
    """A value that an element of this kind should not have."""
    order, keyword = _order(layout, element), element.keyword
    vr = element.vr
    if not vr or rng.random() < 0.03:
        from tests.fuzz.dicom_bytes import _vr_of

        vr = _vr_of(element.tag)
    if keyword == "TransferSyntaxUID":
        return _even(rng.choice(SYNTAXES).encode("latin-1"), b"\0")
    if keyword in ("SOPClassUID", "MediaStorageSOPClassUID"):
        return _even(rng.choice(CLASSES).encode("latin-1"), b"\0")
    if keyword == "SpecificCharacterSet":
        return _even(rng.choice(CHARACTER_SETS).encode("latin-1"))
    if keyword == "PhotometricInterpretation":
        return _even(rng.choice(PHOTOMETRICS).encode("latin-1"))
    if keyword == "NumberOfFrames":
        return _even(rng.choice(FRAME_COUNTS).encode("latin-1"))
    if keyword in PIXEL_NUMBERS:
        return struct.pack(order + "H", rng.choice(PIXEL_NUMBERS[keyword]))
    if rng.random() < 0.04:
        return rng.choice(ODD_BYTES)
    if vr in ("DS", "IS"):
        words = DECIMALS if vr == "DS" or rng.random() < 0.2 else INTEGERS
        word = rng.choice(words)
        if rng.random() < 0.3:  # one of several numbers changed, the others left
            parts = b"\\".join([]) if element.end == element.value_at else None
            word = word if parts is not None else "\\".join([word, *(rng.choice(words) for _ in range(rng.choice((1, 2, 5))))])
        return _even(word.encode("latin-1"))
    if vr in ("FD", "FL", "OD", "OF"):
        code = "d" if vr in ("FD", "OD") else "f"
        count = rng.choice((0, 1, 1, 1, 2, 3, 7))
        values = [v if code == "d" or abs(v) < 1e38 or v != v or abs(v) == float("inf") else 3e38 for v in rng.choices(FLOATS, k=count)]
        return struct.pack(f"{order}{count}{code}", *values)
    if vr in ("US", "SS", "OW", "xs", "ox") and element.end - element.value_at <= 64:
        return b"".join(struct.pack(order + "H", rng.choice((0, 1, 2, 7, 255, 256, 32767, 32768, 65535))) for _ in range(rng.choice((0, 1, 1, 2, 3, 4))))
    if vr in ("UL", "SL", "AT"):
        return b"".join(struct.pack(order + "L", rng.choice((0, 1, 8, 200, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF, rng.getrandbits(32)))) for _ in range(rng.choice((0, 1, 1, 2))))
    if vr in ("DA", "TM", "DT", "AS"):
        return _even(rng.choice(DATES).encode("latin-1"))
    if vr == "UI":
        return _even(rng.choice(UIDS).encode("latin-1"), b"\0")
    if vr == "SQ":
        return rng.choice((b"", b"\0" * 8, struct.pack("<HHL", 0xFFFE, 0xE000, 0), struct.pack("<HHL", 0xFFFE, 0xE000, UNDEFINED), _nest(rng.choice((3, 40, 400)), layout.implicit), rng.randbytes(20)))
    if vr in ("OB", "OW", "UN", "OL", "OV", "ox"):
        return rng.choice((b"", b"\0", rng.randbytes(rng.choice((1, 2, 3, 300)))))
    return _even(rng.choice(WORDS).encode("latin-1"))


def _set_pixels(data: bytes, layout: Layout, rng: random.Random, other: bytes) -> bytes:
    """Other numbers in the description of the pixels, legal or not."""
    there = layout.named(*PIXEL_NUMBERS, "NumberOfFrames", "PhotometricInterpretation")
    if not there:
        return _set_any(data, layout, rng, other)
    chosen = rng.sample(there, min(len(there), rng.choice((1, 1, 2, 3, 4))))
    for element in sorted(chosen, key=lambda e: -e.at):  # from the back, so that places stay right
        data = with_value(data, layout, element, odd_value(element, layout, rng))
    return data


def _set_known(data: bytes, layout: Layout, rng: random.Random, other: bytes) -> bytes:
    """An odd value where one of our readers looks."""
    there = layout.named(*GEOMETRY)
    if not there:
        return _set_any(data, layout, rng, other)
    for element in sorted(rng.sample(there, min(len(there), rng.choice((1, 1, 2, 4)))), key=lambda e: -e.at):
        data = with_value(data, layout, element, odd_value(element, layout, rng), tell=rng.random() < 0.95)
    return data


def _set_any(data: bytes, layout: Layout, rng: random.Random, other: bytes) -> bytes:
    element = rng.choice(layout.elements)
    if element.tag == PIXELS:
        return _damage_codestream(data, layout, rng, other)
    return with_value(data, layout, element, odd_value(element, layout, rng), tell=rng.random() < 0.85)


def _lie_about_length(data: bytes, layout: Layout, rng: random.Random, other: bytes) -> bytes:
    element = rng.choice(layout.elements)
    old, left = element.end - element.value_at, len(data) - element.value_at
    size = element.length_size
    top = 0xFFFFFFFF if size == 4 else 0xFFFF
    new = rng.choice((0, 1, 2, 3, old + 1, old - 1, old + 2, old * 2, left, left + 1, left - 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF, rng.getrandbits(32)))
    out = bytearray(data)
    struct.pack_into(_order(layout, element) + ("L" if size == 4 else "H"), out, element.length_at, new & top)
    return bytes(out)


def _change_vr(data: bytes, layout: Layout, rng: random.Random, other: bytes) -> bytes:
    element = rng.choice(layout.elements)
    if not element.vr:
        return _set_any(data, layout, rng, other)
    new = rng.choice((*VRS, "??", "\0\0", "  ", "sq", "ZZ", "OX"))
    out = bytearray(data)
    out[element.at + 4 : element.at + 6] = new.encode("latin-1")
    if rng.random() < 0.5:  # with the header that belongs to it
        order, value = _order(layout, element), data[element.value_at : element.end]
        head = struct.pack(order + "HL", 0, len(value)) if new in VRS[:13] else struct.pack(order + "H", len(value) & 0xFFFF)
        out[element.at + 6 : element.end] = head + value
    return bytes(out)


def _move_elements(data: bytes, layout: Layout, rng: random.Random, other: bytes) -> bytes:
    """Leave one out, say one twice, exchange two, or give one another tag."""
    element, second = rng.choice(layout.elements), rng.choice(layout.elements)
    a, b = data[element.at : element.end], data[second.at : second.end]
    what = rng.randrange(6)
    if what == 0:
        return data[: element.at] + data[element.end :]
    if what == 1:
        return data[: element.end] + a * rng.choice((1, 1, 30)) + data[element.end :]
    if what == 2 and not (element.at <= second.at < element.end or second.at <= element.at < second.end):
        first, last = sorted((element, second), key=lambda e: e.at)
        return data[: first.at] + data[last.at : last.end] + data[first.end : last.at] + data[first.at : first.end] + data[last.end :]
    if what == 3:
        tag = rng.choice((0x00280010, 0x00080016, PIXELS, 0x00020010, ITEM, 0xFFFEE00D, 0xFFFEE0DD, 0x00000000, 0xFFFFFFFF, second.tag, rng.getrandbits(32)))
        return data[: element.at] + struct.pack(_order(layout, element) + "HH", tag >> 16, tag & 0xFFFF) + data[element.at + 4 :]
    if what == 4:
        return data[: element.end] + b + data[element.end :]
    grafts = lay_out(other).elements if len(other) > 140 else ()
    if not grafts:
        return data[: element.at] + data[element.end :]
    graft = rng.choice(grafts)
    return data[: element.end] + other[graft.at : graft.end] + data[element.end :]


def _nest(depth: int, implicit: bool, big: bool = False) -> bytes:
    """Items of undefined length within each other; never closed."""
    order = ">" if big else "<"
    head = struct.pack(order + "HHL", 0x0040, 0xA730, UNDEFINED) if implicit else struct.pack(order + "HH2sHL", 0x0040, 0xA730, b"SQ", 0, UNDEFINED)
    return (struct.pack(order + "HHL", 0xFFFE, 0xE000, UNDEFINED) + head) * depth


def _damage_sequence(data: bytes, layout: Layout, rng: random.Random, other: bytes) -> bytes:
    sequences = [e for e in layout.elements if (e.vr == "SQ" or e.undefined) and e.tag != PIXELS]
    what = rng.randrange(5)
    if what == 0 or not sequences:  # nested deeper than anybody means it
        element = rng.choice(layout.elements)
        order = ">" if layout.big else "<"
        head = struct.pack(order + "HHL", 0x0040, 0xA730, UNDEFINED) if layout.implicit else struct.pack(order + "HH2sHL", 0x0040, 0xA730, b"SQ", 0, UNDEFINED)
        return data[: element.at] + head + _nest(rng.choice((2, 30, 300, 1200, 5000)), layout.implicit, layout.big) + data[element.at :]
    element = rng.choice(sequences)
    if what == 1:
        return data[: rng.randint(element.at, max(element.at, element.end))]
    if what == 2:
        return with_value(data, layout, element, b"" if rng.random() < 0.3 else struct.pack("<HHL", 0xFFFE, 0xE000, 0) * rng.choice((1, 2, 50)), tell=rng.random() < 0.8)
    inner = data[element.value_at : element.end]
    if what == 3 and len(inner) < 20_000:
        return with_value(data, layout, element, inner * rng.choice((2, 3, 20)), tell=rng.random() < 0.8)
    places = [n for n in range(0, min(len(inner), 4000)) if inner[n : n + 2] in (b"\xfe\xff", b"\xff\xfe")]
    if not places:
        return with_value(data, layout, element, inner[: len(inner) // 2])
    at = rng.choice(places)
    return data[: element.value_at + at] + rng.choice((b"\xfe\xff\xdd\xe0", b"\xfe\xff\x0d\xe0", b"\xfe\xff\x00\xe0", b"\0\0\0\0")) + data[element.value_at + at + 4 :]


def _swap_syntax(data: bytes, layout: Layout, rng: random.Random, other: bytes) -> bytes:
    for element in layout.elements:
        if element.tag == 0x00020010:
            return with_value(data, layout, element, _even(rng.choice(SYNTAXES).encode("latin-1"), b"\0"))
    return damage_bytes(data, rng, other)


def _damage_fragments(data: bytes, layout: Layout, rng: random.Random, other: bytes) -> bytes:
    """Encapsulated pixels: lengths, offset table, order and number of the pieces."""
    pixels = next((e for e in layout.elements if e.fragments), None)
    if pixels is None:
        return _damage_codestream(data, layout, rng, other)
    pieces = [data[a:b] for a, b in pixels.fragments]
    what = rng.randrange(9)
    n = rng.randrange(len(pieces))
    if what == 0:
        lie = rng.choice((0, 1, 3, 0x7FFFFFFF, 0xFFFFFFFF, 0xFFFFFFFE, len(data), len(pieces[n]) - 9, len(pieces[n]) - 7, len(pieces[n]) + 1))
        pieces[n] = pieces[n][:4] + struct.pack("<L", lie & 0xFFFFFFFF) + pieces[n][8:]
    elif what == 1:
        offsets = [rng.choice((0, 1, 2, 8, 0xFFFFFFFF, rng.getrandbits(32), len(data), rng.randrange(len(data)))) for _ in range(rng.choice((0, 1, len(pieces) - 1, len(pieces), 3, 1000)))]
        pieces[0] = struct.pack(f"<HHL{len(offsets)}L", 0xFFFE, 0xE000, 4 * len(offsets), *offsets)
    elif what == 2:
        del pieces[n]
    elif what == 3:
        pieces.insert(n, pieces[rng.randrange(len(pieces))])
    elif what == 4:
        rng.shuffle(pieces)
    elif what == 5:
        pieces[n] = struct.pack("<HHL", 0xFFFE, 0xE000, 0)
    elif what == 6:
        cut = rng.randint(8, len(pieces[n]))
        body = pieces[n][8:]
        pieces[n] = struct.pack("<HHL", 0xFFFE, 0xE000, cut - 8) + body[: cut - 8] + struct.pack("<HHL", 0xFFFE, 0xE000, len(body) - cut + 8) + body[cut - 8 :]
    elif what == 7:
        pieces = pieces[: n + 1] + [struct.pack("<HHL", 0xFFFE, 0xE000, 0)] * rng.choice((1, 20, 3000)) + pieces[n + 1 :]
    else:
        pieces.insert(n, struct.pack("<HHL", 0xFFFE, 0xE0DD, rng.choice((0, 5))))
    end = b"" if rng.random() < 0.2 else struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)
    return data[: pixels.value_at] + b"".join(pieces) + end + data[pixels.end :]


def _damage_codestream(data: bytes, layout: Layout, rng: random.Random, other: bytes) -> bytes:
    """Bytes of the pixels themselves; mostly of a compressed stream's own header, where decoders allocate."""
    pixels = next((e for e in layout.elements if e.tag == PIXELS), None)
    if pixels is None or pixels.end - pixels.value_at < 4:
        return damage_bytes(data, rng, other)
    start, end = pixels.value_at, pixels.end
    if len(pixels.fragments) > 1:
        start, end = rng.choice(pixels.fragments[1:])
        start += 8
    if end - start < 4:
        return damage_bytes(data, rng, other)
    out = bytearray(data)
    what = rng.randrange(5)
    if what == 0:  # the same unlikely size in the header and in the stream: nothing contradicts it
        rows, columns = rng.choice((1, 100, 5000, 16384, 30000, 65535)), rng.choice((1, 100, 5000, 16384, 30000, 65535))
        head = data[start : min(end, start + 2000)]
        for marker in (b"\xff\xc0", b"\xff\xc1", b"\xff\xc3", b"\xff\xf7"):
            found = head.find(marker)
            if 0 <= found < len(head) - 9:
                struct.pack_into(">HH", out, start + found + 5, rows, columns)
        found = head.find(b"\xff\x4f\xff\x51")
        if 0 <= found < len(head) - 40:
            struct.pack_into(">6L", out, start + found + 8, columns, rows, 0, 0, *rng.choice(((columns, rows), (64, 64), (1, 1), (0, 0))))
        for element in layout.named("Rows", "Columns"):
            struct.pack_into(_order(layout, element) + "H", out, element.value_at, rows if element.keyword == "Rows" else columns)
        return bytes(out)
    near = min(end, start + rng.choice((40, 200, 1000, end - start)))
    for _ in range(rng.choice((1, 2, 8, 60))):
        at = rng.randrange(start, near)
        out[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, out[at] ^ (1 << rng.randrange(8)), rng.randrange(256)))
    if what == 1:
        at = rng.randrange(start, end)
        del out[at : at + rng.choice((1, 2, 100))]
    return bytes(out)


def _any_bytes(data: bytes, layout: Layout, rng: random.Random, other: bytes) -> bytes:
    """Bytes of the header only: in a file of pixels few random places fall there."""
    end = next((e.at for e in layout.elements if e.tag == PIXELS), len(data))
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 4, 20, 100))):
        out[rng.randrange(min(130, end - 1), end)] = rng.randrange(256)
    return bytes(out)


def _set_character_set(data: bytes, layout: Layout, rng: random.Random, other: bytes) -> bytes:
    """Another character set, and bytes in names and texts that it does not know."""
    texts = [e for e in layout.elements if e.vr in ("PN", "LO", "SH", "UT", "LT", "ST", "UC", "CS") and e.end > e.value_at]
    out = bytearray(data)
    for element in rng.sample(texts, min(3, len(texts))):
        out[rng.randrange(element.value_at, element.end)] = rng.choice((0x1B, 0x80, 0xFF, 0x5C, 0x3D, 0x5E, 0x00, rng.randrange(256)))
    data = bytes(out)
    value = _even(rng.choice(CHARACTER_SETS).encode("latin-1"))
    for element in layout.elements:
        if element.tag == 0x00080005:
            return with_value(data, layout, element, value)
    first = next((e for e in layout.elements if e.tag > 0x00080005 and not e.holders), None)
    if first is None or layout.implicit or layout.big:
        return data
    return data[: first.at] + struct.pack("<HH2sH", 8, 5, b"CS", len(value)) + value + data[first.at :]


DAMAGES = (_set_pixels, _set_known, _set_any, _lie_about_length, _change_vr, _move_elements, _damage_sequence, _swap_syntax, _damage_fragments, _damage_codestream, _any_bytes, _set_character_set)
WEIGHTS = (16, 18, 10, 10, 7, 9, 8, 4, 8, 9, 4, 3)
