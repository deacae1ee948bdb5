"""NRRD volumes, attached (.nrrd) or with their voxels beside (.nhdr). Format: the NRRD definition, versions 1 to 5."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from dicom_io.stored_voxels import bad_spacing, beside, head_of, numbers_of, read_voxels, sides_of, unreadable, whole_numbers
from volumetry.errors import GeometryRefused

TYPES = {
    **dict.fromkeys(("signed char", "int8", "int8_t"), "i1"),
    **dict.fromkeys(("uchar", "unsigned char", "uint8", "uint8_t"), "u1"),
    **dict.fromkeys(("short", "short int", "signed short", "signed short int", "int16", "int16_t"), "i2"),
    **dict.fromkeys(("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"), "u2"),
    **dict.fromkeys(("int", "signed int", "int32", "int32_t"), "i4"),
    **dict.fromkeys(("uint", "unsigned int", "uint32", "uint32_t"), "u4"),
    **dict.fromkeys(("longlong", "long long", "long long int", "signed long long", "signed long long int", "int64", "int64_t"), "i8"),
    **dict.fromkeys(("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"), "u8"),
    "float": "f4",
    "double": "f8",
}
ENCODINGS = {"raw": "raw", "gzip": "gzip", "gz": "gzip", "bzip2": "bzip2", "bz2": "bzip2", "ascii": "text", "text": "text", "txt": "text"}
# The sign of each world axis against LPS; any other space is taken as it is.
SPACES = {
    "right-anterior-superior": (-1, -1, 1), "ras": (-1, -1, 1), "left-anterior-superior": (1, -1, 1), "las": (1, -1, 1),
    "left-posterior-superior": (1, 1, 1), "lps": (1, 1, 1),
}  # fmt: skip


def _fields(path: Path, head: bytes) -> tuple[dict[str, str], dict[str, str], int]:
    """Fields of the header, its key/value notes, and where it ends."""
    if not re.match(rb"NRRD\d{4}\r?\n", head):
        raise unreadable(path, "it is not a NRRD file.")
    end = re.search(rb"\n\r?\n", head)
    fields: dict[str, str] = {}
    notes: dict[str, str] = {}
    for line in head[: end.start() if end else len(head)].decode("utf-8", "replace").splitlines()[1:]:
        if line.startswith("#"):
            continue
        key, note, value = line.partition(":=")
        if note:
            notes.setdefault(key, value.replace("\\n", "\n").replace("\\\\", "\\"))
            continue
        key, found, value = line.partition(": ")
        if found:
            fields.setdefault(key.strip().lower(), value.strip())
    if end is None and "data file" not in fields and "datafile" not in fields:
        raise unreadable(path, "its header has no end.")
    return fields, notes, end.end() if end else len(head)


def _axes(path: Path, fields: dict[str, str], dimension: int) -> tuple[list[np.ndarray | None], str]:
    """Step along each axis in mm in the header's own space, None for an axis that is not of space; and what it said."""
    if "space directions" in fields:
        stated = fields["space directions"]
        steps: list[np.ndarray | None] = []
        for word in re.findall(r"none|\([^)]*\)", stated):
            vector = None if word == "none" else numbers_of(word[1:-1])
            if word != "none" and (vector is None or len(vector) != 3):
                raise bad_spacing(path, stated)
            steps.append(None if vector is None else np.array(vector))
    else:
        stated = fields.get("spacings")
        sizes = None if stated is None else numbers_of(stated)
        if sizes is None:
            raise bad_spacing(path, stated)
        kinds = (fields.get("kinds") or "").split()
        lists = [n for n, kind in enumerate(kinds) if kind not in ("domain", "space")] if len(sizes) == 4 else []
        steps, axis = [], 0
        for n, size in enumerate(sizes):
            if n in lists or (len(sizes) == 4 and not lists and size != size):
                steps.append(None)
            else:
                step = np.zeros(3)  # set, not multiplied: an infinite size is refused later, with its text
                step[min(axis, 2)] = size
                steps.append(step)
                axis += 1
    if len(steps) != dimension:
        raise unreadable(path, "its axes are not as many as its dimensions.")
    if sum(s is not None for s in steps) != 3:
        raise unreadable(path, f"it has {dimension} dimensions; only volumes of three are read.", "not_a_volume")
    for step in steps:
        negative = "space directions" not in fields and step is not None and step.sum() < 0
        if step is not None and (negative or not np.isfinite(step).all() or not np.linalg.norm(step) > 0):
            raise bad_spacing(path, stated)
    return steps, stated


def read_nrrd(path: Path) -> tuple[np.ndarray, np.ndarray, dict[str, str]]:
    """(array ``[k, j, i]`` or ``[k, j, i, layer]``, LPS affine in mm, the file's notes).

    Raises ``NodusError`` (``unreadable``, ``truncated``, ``not_a_volume``, ``file_missing``) or ``GeometryRefused``
    (``bad_spacing``).
    """
    fields, notes, end = _fields(path, head_of(path))
    dtype_name, encoding = TYPES.get(fields.get("type", "").lower()), ENCODINGS.get(fields.get("encoding", "").lower())
    if dtype_name is None or encoding is None:
        raise unreadable(path, f"voxels of type '{fields.get('type', '')[:30]}' stored as '{fields.get('encoding', '')[:30]}' are not read.")
    dimension = whole_numbers(path, fields.get("dimension", ""), "number of dimensions")
    sizes = whole_numbers(path, fields.get("sizes", ""), "size")
    if len(dimension) != 1 or len(sizes) != dimension[0]:
        raise unreadable(path, "its sizes are not as many as its dimensions.")
    if dimension[0] not in (3, 4):
        raise unreadable(path, f"it has {dimension[0]} dimensions; only volumes of three are read.", "not_a_volume")
    endian = fields.get("endian", "").lower()
    if endian not in ("little", "big") and dtype_name[1] != "1" and encoding != "text":
        raise unreadable(path, "it does not say in which order its bytes stand.")
    dtype = np.dtype((">" if endian == "big" else "<") + dtype_name)
    count = sides_of(path, sizes, dtype.itemsize)
    steps, stated = _axes(path, fields, dimension[0])
    source, offset = _place(path, fields, end, encoding)
    array = read_voxels(path, source, offset, encoding, dtype, count).reshape(sizes[::-1])
    layers = [n for n, step in enumerate(steps) if step is None]
    if layers:
        array = np.ascontiguousarray(np.moveaxis(array, array.ndim - 1 - layers[0], -1))
        array = array[..., 0] if array.shape[-1] == 1 else array
    flip = np.array(SPACES.get(fields.get("space", "").lower(), (1, 1, 1)), dtype=float)
    affine = np.eye(4)
    affine[:3, :3] = np.column_stack([s for s in steps if s is not None]) * flip[:, None]
    origin = re.fullmatch(r"\(([^)]*)\)", fields.get("space origin", "(0,0,0)"))
    place = None if origin is None else numbers_of(origin[1])
    if place is None or len(place) != 3 or not np.isfinite(place).all():
        raise GeometryRefused(f"{path.name}: its position is not a finite number.", code="bad_spacing")
    affine[:3, 3] = np.array(place) * flip
    if abs(np.linalg.det(affine[:3, :3])) < 1e-12:
        raise bad_spacing(path, stated)
    return array, affine, notes


def _place(path: Path, fields: dict[str, str], end: int, encoding: str) -> tuple[Path, int]:
    """File and byte where the voxels start; -1 where they are the last bytes of the file."""
    name = fields.get("data file") or fields.get("datafile")
    if name is not None and (name.upper().startswith("LIST") or "%" in name):
        raise unreadable(path, "voxels in several files are not read.")
    lines = whole_numbers(path, fields.get("line skip", fields.get("lineskip", "0")), "line skip")
    skip = whole_numbers(path, fields.get("byte skip", fields.get("byteskip", "0")), "byte skip")
    if lines != [0] or len(skip) != 1 or skip[0] < -1 or (skip[0] and encoding != "raw"):
        raise unreadable(path, "its voxels begin where this program does not look.")
    source = path if name is None else beside(path, name)
    if skip[0] == -1:
        return source, -1
    return source, (end if name is None else 0) + skip[0]
