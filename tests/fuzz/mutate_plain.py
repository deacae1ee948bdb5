"""Damage that needs no knowledge of DICOM: bytes, volume files, archives."""

from __future__ import annotations

import gzip
import random
import re
import struct
import zlib

ODD_BYTES = (b"", b"\0", b"\xff" * 8, b"\0" * 64, b"A" * 5000, b"\xfe\xff\xdd\xe0\0\0\0\0", b"\x1b$B", b"\\" * 40, b"%PDF-")
NUMBERS = (
    "0", "1", "-1", "2", "3", "4", "0.5", "1e-30", "1e30", "1e308", "1e400", "nan", "inf", "-inf", "", "none", "abc", "65536", "2147483647", "4294967296", "9999999999999",
    "1 2", "1 2 3", "1 2 3 4", "0 0 0", "-1 -1 -1", "2 2 2", "100000 100000 100000", "(1,0,0) (0,1,0) (0,0,1)", "(1,0,0) (1,0,0) (1,0,0)", "(nan,0,0) (0,1,0) (0,0,1)", "none none none",
    "MET_FLOAT", "MET_UCHAR", "MET_LONG_LONG", "MET_OTHER", "gzip", "raw", "ascii", "hex", "bzip2", "LIST", "LOCAL", "float", "int8", "double", "block", "True", "False", "little", "big",
)  # fmt: skip
KEYS = (
    "NDims = 3", "DimSize = 4 4 4", "ElementType = MET_FLOAT", "ElementNumberOfChannels = 4", "ElementByteOrderMSB = True", "CompressedData = True", "CompressedDataSize = 99999999",
    "HeaderSize = -1", "HeaderSize = 99", "ElementSpacing = 1 1 1", "TransformMatrix = 0 0 0 0 0 0 0 0 0", "Offset = nan 0 0", "BinaryData = False", "ElementDataFile = LIST 2",
    "dimension: 4", "sizes: 2 2 2 2", "type: double", "encoding: hex", "endian: big", "block size: 3", "byte skip: -1", "line skip: 5", "space dimension: 4", "kinds: domain domain list",
    "space: right-anterior-superior", "space origin: (nan,0,0)", "spacings: 0 0 0", "thicknesses: nan", "measurement frame: (1,0,0) (0,1,0) (0,0,1)", "Segment0_Name:=a", "Segment0_Layer:=-1",
)  # fmt: skip


def damage_bytes(data: bytes, rng: random.Random, other: bytes) -> bytes:
    """Bits flipped, a piece cut off, put in, left out, emptied, or taken from another file."""
    if not data:
        return rng.choice(ODD_BYTES)
    out, size = bytearray(data), len(data)
    what = rng.randrange(8)
    at = rng.randrange(size) if rng.random() < 0.5 else rng.randrange(min(size, 2000))
    if what == 0:
        for _ in range(rng.choice((1, 2, 10, 50))):
            out[rng.randrange(size)] ^= 1 << rng.randrange(8)
    elif what == 1:
        return data[:at]
    elif what == 2:  # the front of this one, the back of another
        return data[:at] + other[rng.randrange(len(other) + 1) :]
    elif what == 3:
        run = rng.choice((1, 4, 16, 200, 5000))
        out[at : at + run] = bytes(min(run, size - at))
    elif what == 4:
        run = rng.choice((1, 4, 16, 200))
        out[at : at + run] = b"\xff" * min(run, size - at)
    elif what == 5:
        out[at:at] = rng.choice((*ODD_BYTES, rng.randbytes(rng.choice((1, 2, 7, 300)))))
    elif what == 6:
        del out[at : at + rng.choice((1, 2, 8, 100, 3000))]
    else:
        start = rng.randrange(len(other)) if other else 0
        out[at : at + 200] = other[start : start + 200]
    return bytes(out)


def damage_volume_file(data: bytes, family: str, rng: random.Random) -> bytes:
    """Fields of a NIfTI, NRRD or MetaImage header."""
    if family == "nifti_gz":
        try:
            plain = gzip.decompress(data)
        except (OSError, EOFError, zlib.error):
            return damage_bytes(data, rng, data)
        return gzip.compress(_damage_nifti(plain, rng), 1, mtime=0)
    return _damage_nifti(data, rng) if family == "nifti" else _damage_text(data, rng)


def _damage_nifti(data: bytes, rng: random.Random) -> bytes:
    if len(data) < 348:
        return damage_bytes(data, rng, data)
    out = bytearray(data)
    wide = data[:4] in (b"\x1c\x02\0\0", b"\0\0\x02\x1c")
    order = ">" if data[0] == 0 else "<"
    what = rng.randrange(6)
    if what == 0:  # dimensions
        for _ in range(rng.choice((1, 2, 3))):
            n, value = rng.randrange(8), rng.choice((-1, 0, 1, 2, 3, 5, 7, 8, 1000, 32767, -32768))
            struct.pack_into(order + ("q" if wide else "h"), out, 16 + 8 * n if wide else 40 + 2 * n, value * (rng.choice((1, 1 << 40)) if wide else 1))
    elif what == 1:  # type of a voxel
        struct.pack_into(order + "h", out, 12 if wide else 70, rng.choice((0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 768, 1024, 1280, 1536, 2304, -1)))
    elif what == 2:  # voxel sizes, start of the data, slope
        code, base, step = ("d", 104, 8) if wide else ("f", 76, 4)
        struct.pack_into(order + code, out, base + step * rng.randrange(11), rng.choice((0.0, -1.0, 1.0, 1e-30, 1e30, float("nan"), float("inf"), 352.0, 0.5)))
    elif what == 3:  # affine
        base, size, code = (352, 8, "d") if wide else (252, 4, "f")
        struct.pack_into(order + code, out, base + size * rng.randrange(18), rng.choice((0.0, 1.0, -1.0, 2.0, 1e-30, 1e30, float("nan"), float("inf"))))
    elif what == 4:
        struct.pack_into(order + "2h", out, 252, rng.choice((0, 1, 5, -1)), rng.choice((0, 1, 4, -1)))
        out[123] = rng.randrange(256)
    else:
        for _ in range(rng.choice((1, 5, 30))):
            out[rng.randrange(min(len(out), 544))] = rng.randrange(256)
    return bytes(out)


def _damage_text(data: bytes, rng: random.Random) -> bytes:
    """Lines of a text header: another value, left out, twice, exchanged, a foreign one put in."""
    end = re.search(rb"\n\n|ElementDataFile[^\n]*\n", data)
    stop = end.end() if end else min(len(data), 2000)
    lines, rest = data[:stop].split(b"\n"), data[stop:]
    n = rng.randrange(len(lines))
    what = rng.randrange(6)
    if what <= 2:
        sign = b"=" if b"=" in lines[n] and b":" not in lines[n] else b":"
        key, found, value = lines[n].partition(sign)
        if found:
            word = rng.choice(NUMBERS).encode()
            words = value.split()
            if words and rng.random() < 0.5:
                words[rng.randrange(len(words))] = word
                word = b" ".join(words)
            lines[n] = key + sign + b" " + word
    elif what == 3:
        del lines[n]
    elif what == 4:
        lines.insert(n, rng.choice((lines[rng.randrange(len(lines))], rng.choice(KEYS).encode())))
    else:
        m = rng.randrange(len(lines))
        lines[n], lines[m] = lines[m], lines[n]
    return b"\n".join(lines) + rest


def damage_zip(data: bytes, rng: random.Random) -> bytes:
    """Fields of a local header, of the list of contents or of the record at its end."""
    kinds = ((b"PK\x03\x04", 30), (b"PK\x01\x02", 46), (b"PK\x05\x06", 22))
    signature, size = rng.choice(kinds)
    places = [m.start() for m in re.finditer(re.escape(signature), data)]
    if not places:
        return damage_bytes(data, rng, data)
    out, at = bytearray(data), rng.choice(places)
    if rng.random() < 0.2:  # a name that leads elsewhere
        names = [m.start() for m in re.finditer(rb"\w+\.dcm", data)]
        if names:
            start = rng.choice(names)
            word = rng.choice((b"../../", b"/abs//", b"\0\0\0", b"C:\\", b"\xff\xfe\xfd", b"a/b/../"))
            out[start : start + len(word)] = word
            return bytes(out)
    for _ in range(rng.choice((1, 1, 2, 4))):
        field = at + rng.randrange(4, size - 1)
        if rng.random() < 0.6:
            code, value = rng.choice((("<H", (0, 1, 8, 9, 12, 14, 99, 0xFFFF)), ("<L", (0, 1, 100, 0x7FFFFFFF, 0xFFFFFFFF, len(data)))))
            if field + struct.calcsize(code) <= len(out):
                struct.pack_into(code, out, field, rng.choice(value))
        elif field < len(out):
            out[field] = rng.randrange(256)
    return bytes(out)
