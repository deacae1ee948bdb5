"""The elements of a DICOM file as places in its bytes, found without trusting any library.

What is found here is to be damaged: a parser that refuses strange files would be of no use.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from pydicom.datadict import dictionary_VR, keyword_for_tag

LONG_VRS = frozenset(["OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"])
VRS = (*tuple(sorted(LONG_VRS)), "AE", "AS", "AT", "CS", "DA", "DS", "DT", "FD", "FL", "IS", "LO", "LT", "PN", "SH", "SL", "SS", "ST", "TM", "UI", "UL", "US")
UNDEFINED = 0xFFFFFFFF
ITEM, ITEM_END, SEQUENCE_END, PIXELS = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD, 0x7FE00010
MAX_ELEMENTS = 4000


@dataclass(frozen=True, slots=True)
class Element:
    """One data element: its tag and VR (empty where implicit), and where its parts lie.

    ``holders`` are (place, size) of the length fields of the sequences and items around it that state one;
    ``fragments`` the (place of the item, end) of encapsulated pixels, the offset table first.
    """

    tag: int
    vr: str
    at: int
    length_at: int
    length_size: int
    value_at: int
    end: int
    undefined: bool
    holders: tuple[tuple[int, int], ...] = ()
    fragments: tuple[tuple[int, int], ...] = ()

    @property
    def keyword(self) -> str:
        """The dictionary's keyword, empty for private tags."""
        return keyword_for_tag(self.tag)


@dataclass(frozen=True, slots=True)
class Layout:
    """All elements of a file, and how its data set is encoded."""

    elements: tuple[Element, ...]
    syntax: str
    big: bool
    implicit: bool

    def named(self, *keywords: str) -> list[Element]:
        """Elements with these keywords, wherever they stand."""
        return [e for e in self.elements if e.keyword in keywords]


def _vr_of(tag: int) -> str:
    try:
        return dictionary_VR(tag)[:2]
    except KeyError:
        return "UN"


class _Walker:
    def __init__(self, data: bytes):
        self.data, self.found = data, []

    def run(self, at: int, end: int, implicit: bool, big: bool, holders: tuple, depth: int, stop_group: int | None = None) -> int:
        """Walk elements from ``at``; returns where the walk ended."""
        order = ">" if big else "<"
        while at + 8 <= end and len(self.found) < MAX_ELEMENTS:
            group, number = struct.unpack_from(order + "HH", self.data, at)
            tag = group << 16 | number
            if stop_group is not None and group != stop_group:
                return at
            if tag in (ITEM_END, SEQUENCE_END):
                return at + 8
            if implicit:
                vr, length_at, size = "", at + 4, 4
            else:
                vr = self.data[at + 4 : at + 6].decode("latin-1")
                length_at, size = (at + 8, 4) if vr in LONG_VRS else (at + 6, 2)
            if length_at + size > end:
                return end
            length = struct.unpack_from(order + ("L" if size == 4 else "H"), self.data, length_at)[0]
            value_at = length_at + size
            undefined = size == 4 and length == UNDEFINED
            slot = len(self.found)
            self.found.append(None)
            kind = vr or _vr_of(tag)
            fragments: tuple = ()
            if undefined and tag == PIXELS:
                stop, fragments = self._fragments(value_at, end, order)
            elif undefined or kind == "SQ":
                own = holders if undefined else (*holders, (length_at, size))
                stop = self._items(value_at, end if undefined else min(end, value_at + length), implicit, big, own, depth)
                if not undefined:
                    stop = min(end, value_at + length)
            else:
                stop = min(end, value_at + length)
            self.found[slot] = Element(tag, vr, at, length_at, size, value_at, stop, undefined, holders, fragments)
            at = max(stop, value_at)
        return at

    def _items(self, at: int, end: int, implicit: bool, big: bool, holders: tuple, depth: int) -> int:
        order = ">" if big else "<"
        while at + 8 <= end and depth < 12:
            group, number, length = struct.unpack_from(order + "HHL", self.data, at)
            if (group << 16 | number) == SEQUENCE_END:
                return at + 8
            if (group << 16 | number) != ITEM:
                return at
            if length == UNDEFINED:
                at = self.run(at + 8, end, implicit, big, holders, depth + 1)
            else:
                self.run(at + 8, min(end, at + 8 + length), implicit, big, (*holders, (at + 4, 4)), depth + 1)
                at += 8 + length
        return min(at, end)

    def _fragments(self, at: int, end: int, order: str) -> tuple[int, tuple]:
        out = []
        while at + 8 <= end:
            group, number, length = struct.unpack_from(order + "HHL", self.data, at)
            if (group << 16 | number) != ITEM:
                return min(end, at + 8), tuple(out)
            out.append((at, min(end, at + 8 + length)))
            at += 8 + length
        return end, tuple(out)


def lay_out(data: bytes) -> Layout:
    """Elements of a file in the order of their places; as far as they can be made out."""
    walker = _Walker(data)
    at = 0
    if data[128:132] == b"DICM":
        at = walker.run(132, len(data), False, False, (), 0, stop_group=2)
    syntax = next((data[e.value_at : e.end].rstrip(b"\0 ").decode("latin-1") for e in walker.found if e.tag == 0x00020010), "")
    big = syntax == "1.2.840.10008.1.2.2"
    implicit = syntax == "1.2.840.10008.1.2" or not data[at + 4 : at + 6].isalpha()
    walker.run(at, len(data), implicit, big, (), 0)
    return Layout(tuple(e for e in walker.found if e is not None), syntax, big, implicit)


def with_value(data: bytes, layout: Layout, element: Element, value: bytes, *, tell: bool = True) -> bytes:
    """The file with another value of that element. With ``tell`` its length field and those around it are set
    right; without, they go on saying what they said."""
    out = bytearray(data)
    if tell:
        order = ">" if layout.big and element.tag >> 16 != 2 else "<"
        grown = len(value) - (element.end - element.value_at)
        for place, size in ((element.length_at, element.length_size), *element.holders):
            code = order + ("L" if size == 4 else "H")
            old = struct.unpack_from(code, out, place)[0]
            top = 0xFFFFFFFF if size == 4 else 0xFFFF
            if size == 4 and old == UNDEFINED:
                continue
            struct.pack_into(code, out, place, max(0, min(top, old + grown)))
    out[element.value_at : element.end] = value
    return bytes(out)
