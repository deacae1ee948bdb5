"""MetaImage volumes, attached (.mha) or with their voxels beside (.mhd). World points are LPS, as ITK has them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dicom_io.stored_voxels import bad_spacing, beside, head_of, numbers_of, read_voxels, sides_of, unreadable, whole_numbers
from volumetry.errors import GeometryRefused

TYPES = {
    "MET_CHAR": "i1", "MET_UCHAR": "u1", "MET_SHORT": "i2", "MET_USHORT": "u2", "MET_INT": "i4", "MET_UINT": "u4",
    "MET_LONG_LONG": "i8", "MET_ULONG_LONG": "u8", "MET_FLOAT": "f4", "MET_DOUBLE": "f8",
}  # fmt: skip
MATRIX, ORIGIN = ("transformmatrix", "rotation", "orientation"), ("offset", "position", "origin")


def _fields(path: Path, head: bytes) -> tuple[dict[str, str], int]:
    """Fields in lower case up to ElementDataFile, which ends the header, and where that is."""
    fields: dict[str, str] = {}
    at = 0
    while at < len(head):
        end = head.find(b"\n", at)
        end = len(head) if end < 0 else end
        key, found, value = head[at:end].decode("latin-1").partition("=")
        at = end + 1
        if found:
            fields.setdefault(key.strip().lower(), value.strip())
        if found and key.strip().lower() == "elementdatafile":
            return fields, at
    raise unreadable(path, "it is not a MetaImage file: it does not say where its voxels are.")


def _truth(text: str | None) -> bool:
    return (text or "").strip().lower() in ("true", "t", "1", "yes")


def _three(path: Path, fields: dict[str, str], names: tuple[str, ...], default: list[float]) -> list[float]:
    """Numbers of the first of these fields that is there; as many as the default, all finite."""
    stated = next((fields[n] for n in names if n in fields), None)
    found = default if stated is None else numbers_of(stated)
    if found is None or len(found) != len(default) or not np.isfinite(found).all():
        raise GeometryRefused(f"{path.name}: its position or direction is not given in finite numbers.", code="bad_spacing")
    return found


def read_metaimage(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """(array ``[k, j, i]`` or ``[k, j, i, layer]``, LPS affine in mm).

    Raises ``NodusError`` (``unreadable``, ``truncated``, ``not_a_volume``, ``file_missing``) or ``GeometryRefused``
    (``bad_spacing``).
    """
    fields, end = _fields(path, head_of(path))
    dtype_name = TYPES.get(fields.get("elementtype", "").upper())
    if dtype_name is None or fields.get("objecttype", "Image").lower() != "image":
        raise unreadable(path, f"voxels of type '{fields.get('elementtype', '')[:30]}' are not read.")
    dimension = whole_numbers(path, fields.get("ndims", ""), "number of dimensions")
    sizes = whole_numbers(path, fields.get("dimsize", ""), "size")
    if len(dimension) != 1 or len(sizes) != dimension[0]:
        raise unreadable(path, "its sizes are not as many as its dimensions.")
    if dimension[0] != 3:
        raise unreadable(path, f"it has {dimension[0]} dimensions; only volumes of three are read.", "not_a_volume")
    channels = whole_numbers(path, fields.get("elementnumberofchannels", "1"), "number of values a voxel")
    if len(channels) != 1:
        raise unreadable(path, "its number of values a voxel makes no sense.")
    big = _truth(fields.get("binarydatabyteordermsb", fields.get("elementbyteordermsb")))
    dtype = np.dtype((">" if big else "<") + dtype_name)
    sides = [*channels, *sizes]
    count = sides_of(path, sides, dtype.itemsize)
    stated = fields.get("elementspacing", fields.get("elementsize"))
    spacing = None if stated is None else numbers_of(stated)
    if spacing is None or len(spacing) != 3 or not all(0 < v < float("inf") for v in spacing):
        raise bad_spacing(path, stated)
    matrix = np.array(_three(path, fields, MATRIX, [1.0, 0, 0, 0, 1, 0, 0, 0, 1])).reshape(3, 3)
    affine = np.eye(4)
    affine[:3, :3] = matrix.T * np.array(spacing)  # one axis after the other in the header
    affine[:3, 3] = _three(path, fields, ORIGIN, [0.0, 0.0, 0.0])
    source, offset, encoding, packed = _place(path, fields, end)
    array = read_voxels(path, source, offset, encoding, dtype, count, packed).reshape(sides[::-1])
    return (array[..., 0] if channels[0] == 1 else array), affine


def _place(path: Path, fields: dict[str, str], end: int) -> tuple[Path, int, str, int | None]:
    """File, first byte, encoding and packed size of the voxels."""
    name = fields["elementdatafile"]
    if name.upper().startswith("LIST") or "%" in name:
        raise unreadable(path, "voxels in several files are not read.")
    encoding = "text" if not _truth(fields.get("binarydata", "True")) else "zlib" if _truth(fields.get("compresseddata")) else "raw"
    size = whole_numbers(path, fields.get("compresseddatasize", ""), "packed size")
    packed = size[0] if len(size) == 1 and size[0] > 0 else None
    skip = whole_numbers(path, fields.get("headersize", "0"), "size of its header")
    if len(skip) != 1 or skip[0] < -1 or (skip[0] == -1 and encoding != "raw"):
        raise unreadable(path, "its voxels begin where this program does not look.")
    local = name.upper() == "LOCAL"
    source = path if local else beside(path, name)
    return source, -1 if skip[0] == -1 else skip[0] or (end if local else 0), encoding, packed
