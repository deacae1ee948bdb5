"""A quick look at the header of an ordinary little-endian DICOM file.

Scanning thousands of files needs some forty elements of each. This reader notes where each
top-level element lies and converts a value only when it is asked for. Whatever is not plain
(big-endian, deflated, unknown VRs, values that reach past what was read, headers without pixels)
it does not judge: it answers None, and the full parser decides. Where it does answer, its values
are those of the full parser (PS3.5 chapter 7, PS3.10 chapter 7).
"""

from __future__ import annotations

import struct
from typing import BinaryIO

from pydicom.charset import convert_encodings, decode_bytes
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.filereader import read_sequence
from pydicom.tag import Tag

from dicom_io.sources import BoundedBytes

# Headers are read in bites of these sizes until the pixels are reached; longer ones go to the full parser.
BITES = (1 << 14, 1 << 18, 1 << 22)
PIXELS = 0x7FE00010
FLOAT_PIXELS = (0x7FE00008, 0x7FE00009)
IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
ENCAPSULATED = ("1.2.840.10008.1.2.4.", "1.2.840.10008.1.2.5")
ITEM, ITEM_END, SEQUENCE_END = 0xE000FFFE, 0xE00DFFFE, 0xE0DDFFFE  # group and element as they lie, low half first
UNDEFINED = 0xFFFFFFFF
DEEPEST = 16
TO_PIXELS, TO_DELIMITER = -1, -2
DEFAULT_ENCODING = convert_encodings("ISO_IR 6")

LONG_VRS = frozenset([b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"])
SHORT_VRS = frozenset(b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split())
TEXT_VRS = frozenset([b"AE", b"AS", b"CS", b"DA", b"DS", b"DT", b"IS", b"LO", b"PN", b"SH", b"TM", b"UC", b"UI"])
WHOLE_TEXT_VRS = frozenset([b"LT", b"ST", b"UR", b"UT"])
CHARACTER_VRS = frozenset([b"LO", b"LT", b"PN", b"SH", b"ST", b"UC", b"UT"])
LINE_ENDS = {0x09, 0x0A, 0x0C, 0x0D}  # after these an ISO 2022 text is back in its first character set
NUMBERS = {b"FD": ("d", 8), b"FL": ("f", 4), b"SL": ("l", 4), b"SS": ("h", 2), b"UL": ("L", 4), b"US": ("H", 2)}

_head = struct.Struct("<L2sH").unpack_from
_implicit_head = struct.Struct("<LL").unpack_from
_length = struct.Struct("<L").unpack_from
_TAGS: dict[str, int | None] = {}
_VRS: dict[int, bytes] = {}
_UNREAD = object()


class _Unusual(Exception):
    """Something for the full parser."""


class _TooShort(Exception):
    """The value goes on beyond what was read."""


def _tag(keyword: str) -> int | None:
    """The tag of a keyword as its four bytes read in little-endian order; None for an unknown word."""
    try:
        return _TAGS[keyword]
    except KeyError:
        tag = tag_for_keyword(keyword)
        _TAGS[keyword] = out = None if tag is None else (tag & 0xFFFF) << 16 | tag >> 16
        return out


def _dictionary_vr(tag: int) -> bytes:
    """The dictionary's VR of a tag (low half first) for implicit files; empty where it is ambiguous."""
    try:
        return _VRS[tag]
    except KeyError:
        try:
            vr = dictionary_VR((tag & 0xFFFF) << 16 | tag >> 16).encode()
        except KeyError:
            vr = b"UN"
        _VRS[tag] = vr = vr if len(vr) == 2 else b""
        return vr


class Elements:
    """Elements of one header, or of one item within it. ``get(keyword)`` answers as a pydicom data set does: text,
    a number, a list, the items of a sequence, or None where the element is absent or empty.

    Texts of decimal and integer strings stay texts; whoever wants numbers converts them.
    """

    __slots__ = ("_cache", "_data", "_explicit", "_outer", "_places", "file_meta")

    def __init__(self, data: bytes, places: dict[int, tuple[bytes, int, int]], explicit: bool, file_meta: dict[str, str | None], outer: list[str] | None = None):
        self._data, self._places, self._explicit, self.file_meta, self._outer = data, places, explicit, file_meta, outer
        self._cache: dict[str, object] = {}

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, keyword: str) -> bool:
        return _tag(keyword) in self._places

    def __getattr__(self, keyword: str):
        if keyword.startswith("_") or _tag(keyword) not in self._places:
            raise AttributeError(keyword)
        return self.get(keyword)

    def get(self, keyword: str, default=None):
        """The converted value, ``default`` where it is absent or empty. Raises ``ValueError`` and its
        kin for bytes that are no value of their VR, as a damaged file has."""
        value = self._cache.get(keyword, _UNREAD)
        if value is _UNREAD:
            place = self._places.get(_TAGS[keyword] if keyword in _TAGS else _tag(keyword))
            value = None if place is None else self._value(*place)
            self._cache[keyword] = value
        return default if value is None else value

    def _value(self, vr: bytes, start: int, length: int):
        if vr == b"SQ":
            try:
                return self._sequence(start, length) or None
            except (_Unusual, _TooShort, struct.error, IndexError):
                return self._judged_by_parser(start, length)
        raw = self._data[start : start + length]
        if vr == b"US" and length == 2:
            return raw[0] | raw[1] << 8
        if vr in TEXT_VRS:
            if b"\\" not in raw:
                if vr not in CHARACTER_VRS:
                    one = raw.decode("iso8859").rstrip(" \0")
                    return (one.strip() if vr in (b"DS", b"IS") else one) or None
                return self._text(vr, raw) or None
            if vr in CHARACTER_VRS:
                return [self._text(vr, part) for part in raw.split(b"\\")]
            parts = self._text(vr, raw).split("\\")
            return [part.strip().rstrip(" \0") for part in parts] if vr in (b"DS", b"IS") else parts
        if vr in WHOLE_TEXT_VRS:
            return self._text(vr, raw) or None
        if vr == b"AT":
            halves = struct.unpack(f"<{length // 2}H", raw)
            tags = [Tag(group, element) for group, element in zip(halves[::2], halves[1::2], strict=True)]
            return None if not tags else tags[0] if len(tags) == 1 else tags
        if vr in NUMBERS:
            code, size = NUMBERS[vr]
            values = struct.unpack(f"<{length // size}{code}", raw)
            return None if not values else values[0] if len(values) == 1 else list(values)
        return raw or None

    def _text(self, vr: bytes, raw: bytes) -> str:
        if raw.isascii() and b"\x1b" not in raw:
            text = raw.decode("ascii")
        elif vr in CHARACTER_VRS:
            text = decode_bytes(raw, self._encodings(), LINE_ENDS)
        else:
            text = raw.decode("iso8859")
        return text.rstrip(" \0=" if vr == b"PN" else " \0")

    def _encodings(self) -> list[str]:
        """Character sets of this data set: its own, else those of the one it lies in."""
        stated = self.get("SpecificCharacterSet")
        return convert_encodings(stated) if stated is not None else self._outer or DEFAULT_ENCODING

    def _judged_by_parser(self, start: int, length: int):
        """A sequence that is not plain, as the full parser reads it (which may raise)."""
        stop = _skip_items(self._data, start, self._explicit, 0) if length == UNDEFINED else start + length
        return read_sequence(BoundedBytes(self._data[start:stop]), not self._explicit, True, length if length == UNDEFINED else stop - start, self._encodings())

    def _sequence(self, start: int, length: int) -> list[Elements]:
        """The items, as elements of their own on the same bytes."""
        data, at, out = self._data, start, []
        stop = None if length == UNDEFINED else start + length
        while stop is None or at < stop:
            tag, size = _implicit_head(data, at)
            at += 8
            if tag == SEQUENCE_END and stop is None:
                break
            if tag != ITEM:
                raise _Unusual
            places: dict[int, tuple[bytes, int, int]] = {}
            at = _walk(data, at, TO_DELIMITER if size == UNDEFINED else at + size, places, self._explicit, 1)
            if not self._explicit and any(not vr for vr, _, _ in places.values()):
                _settle_ambiguous(data, places)
            out.append(Elements(data, places, self._explicit, self.file_meta, self._encodings()))
        return out


def _skip_items(data: bytes, at: int, explicit: bool, depth: int) -> int:
    """The place behind the delimiter of a sequence of undefined length whose first item lies at ``at``."""
    if depth > DEEPEST:
        raise _Unusual
    while True:
        if at + 8 > len(data):
            raise _TooShort
        tag, length = _implicit_head(data, at)
        at += 8
        if tag == SEQUENCE_END:
            return at
        if tag != ITEM:
            raise _Unusual
        at = _walk(data, at, TO_DELIMITER, None, explicit, depth + 1) if length == UNDEFINED else at + length


def _walk(data: bytes, at: int, stop: int, places: dict | None, explicit: bool, depth: int) -> int:
    """Note the elements from ``at`` on in ``places`` (where given).

    ``stop`` is the end of an item of known length, or one of ``TO_PIXELS`` (the top level) and
    ``TO_DELIMITER``. Returns the place of the pixel data, or behind the item.
    """
    end, last = len(data), -1
    least = 12 if stop == TO_PIXELS else 8
    while at != stop:
        if at + least > end:
            raise _TooShort
        if explicit:
            tag, vr, length = _head(data, at)
            if tag == ITEM_END and stop == TO_DELIMITER:
                return at + 8
            if vr in SHORT_VRS:
                start = at + 8
            elif vr in LONG_VRS:
                if at + 12 > end:
                    raise _TooShort
                length, start = _length(data, at + 8)[0], at + 12
            else:
                raise _Unusual
        else:
            tag, length = _implicit_head(data, at)
            if tag == ITEM_END and stop == TO_DELIMITER:
                return at + 8
            start, vr = at + 8, _dictionary_vr(tag)
        if places is not None:
            group = tag & 0xFFFF
            number = group << 16 | tag >> 16
            if stop == TO_PIXELS and (number == PIXELS or number in FLOAT_PIXELS):
                return at
            # Elements out of order, groups that do not belong here and values of unknown kind are unusual.
            if number <= last or group < 8 or (vr == b"UN" and not group & 1 and explicit):
                raise _Unusual
            last = number
            places[tag] = (vr, start, length)
        if length == UNDEFINED:
            if vr != b"SQ":
                raise _Unusual
            at = _skip_items(data, start, explicit, depth + 1)
        else:
            at = start + length
            if stop >= 0 and at > stop:
                raise _Unusual
    return at


def _meta(data: bytes) -> tuple[dict[str, str | None], int] | None:
    """Transfer syntax and class of the file meta group, and the place behind it."""
    if data[128:132] != b"DICM":
        return None
    at, found = 132, {"TransferSyntaxUID": None, "MediaStorageSOPClassUID": None}
    while at + 12 <= len(data):
        tag, vr, length = _head(data, at)
        if tag & 0xFFFF != 2:
            return found, at
        if vr in SHORT_VRS:
            start = at + 8
        elif vr in LONG_VRS:
            length, start = _length(data, at + 8)[0], at + 12
        else:
            return None
        if start + length > len(data):
            return None
        if tag == 0x00100002:
            found["TransferSyntaxUID"] = data[start : start + length].decode("ascii", "replace").rstrip(" \0")
        elif tag == 0x00020002:
            found["MediaStorageSOPClassUID"] = data[start : start + length].decode("ascii", "replace").rstrip(" \0")
        at = start + length
    return None


def read_elements(fp: BinaryIO) -> tuple[Elements, int, bytes] | None:
    """Elements of the file that ``fp`` stands at the start of, the place of its pixel data and the
    twelve bytes there.

    None where the file is not an ordinary one with pixels; nothing is said about why.
    """
    data = b""
    for size in BITES:
        more = fp.read(size - len(data))
        data += more
        whole = len(data) < size
        found = _meta(data)
        if found is None:
            return None
        meta, start = found
        syntax = meta["TransferSyntaxUID"]
        if syntax is None or not (syntax in (IMPLICIT, EXPLICIT) or syntax.startswith(ENCAPSULATED)):
            return None
        explicit = syntax != IMPLICIT
        if not explicit and data[start + 4 : start + 6] in SHORT_VRS | LONG_VRS:
            return None  # explicit data under the implicit syntax
        places: dict[int, tuple[bytes, int, int]] = {}
        try:
            at = _walk(data, start, TO_PIXELS, places, explicit, 0)
        except _TooShort:
            if whole:
                return None
            continue
        except (_Unusual, struct.error):
            return None
        if not explicit and any(not vr for vr, _, _ in places.values()):
            _settle_ambiguous(data, places)
        return Elements(data[:at], places, explicit, meta), at, data[at : at + 12]
    return None


def _settle_ambiguous(data: bytes, places: dict[int, tuple[bytes, int, int]]) -> None:
    """Elements that are signed or unsigned as the pixels are (implicit files; PS3.5 annex A.1)."""
    signed = places.get(_tag("PixelRepresentation"))
    vr = b"SS" if signed is not None and any(data[signed[1] : signed[1] + 2]) else b"US"
    for tag, (known, start, length) in places.items():
        if not known:
            places[tag] = (vr if length in (2, 4, 6) else b"OW", start, length)
