"""NIfTI-1 and NIfTI-2 files, read and written here because sheared grids must stay exact.

Format: the NIfTI-1 (2003) and NIfTI-2 (2011) header definitions. NIfTI's world is RAS; points are
turned to LPS on the way in and back on the way out.
"""

from __future__ import annotations

import gzip
import struct
import zlib
from pathlib import Path

import numpy as np

from volumetry.errors import GeometryRefused, NodusError

DTYPES = {
    2: "u1",
    4: "i2",
    8: "i4",
    16: "f4",
    64: "f8",
    256: "i1",
    512: "u2",
    768: "u4",
    1024: "i8",
    1280: "u8",
}
CODES = {np.dtype(v): k for k, v in DTYPES.items()}
UNIT_MM = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}
RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
MAX_BYTES = 8 << 30


def _refuse(path: Path, why: str, code: str = "unreadable") -> NodusError:
    return NodusError(f"{path.name}: {why}", code=code)


def _open(path: Path):
    with open(path, "rb") as fp:
        zipped = fp.read(2) == b"\x1f\x8b"
    return gzip.open(path, "rb") if zipped else open(path, "rb")


def _quaternion_affine(b: float, c: float, d: float, offset, pixdim, qfac: float) -> np.ndarray:
    a2 = 1.0 - (b * b + c * c + d * d)
    if a2 < 1e-7:
        scale = 1.0 / np.sqrt(b * b + c * c + d * d)
        a, b, c, d = 0.0, b * scale, c * scale, d * scale
    else:
        a = np.sqrt(a2)
    rotation = np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - c * c - b * b],
        ]
    )
    affine = np.eye(4)
    affine[:3, :3] = rotation * np.array([pixdim[0], pixdim[1], pixdim[2] * qfac])
    affine[:3, 3] = offset
    return affine


def _header(path: Path, fp) -> tuple[list[int], int, int, float, float, np.ndarray, str]:
    """dims, datatype code, offset of the data, slope, intercept, RAS affine in mm, byte order."""
    raw = fp.read(348)
    if len(raw) < 348:
        raise _refuse(path, "too short to be a NIfTI file.", "not_nifti")
    order = next((o for o in "<>" if struct.unpack(o + "i", raw[:4])[0] in (348, 540)), None)
    if order is None:
        raise _refuse(path, "not a NIfTI file.", "not_nifti")
    if struct.unpack(order + "i", raw[:4])[0] == 348:
        if raw[344:348] not in (b"n+1\0", b"ni1\0"):
            raise _refuse(path, "not a NIfTI file.", "not_nifti")
        if raw[344:348] == b"ni1\0":
            raise _refuse(path, "a header without its image; only single NIfTI files are read.", "unreadable")
        dims = list(struct.unpack(order + "8h", raw[40:56]))
        datatype = struct.unpack(order + "h", raw[70:72])[0]
        pixdim = struct.unpack(order + "8f", raw[76:108])
        vox_offset, slope, inter = struct.unpack(order + "3f", raw[108:120])
        units = raw[123]
        qcode, scode = struct.unpack(order + "2h", raw[252:256])
        quatern = struct.unpack(order + "6f", raw[256:280])
        rows = struct.unpack(order + "12f", raw[280:328])
    else:
        raw += fp.read(540 - 348)
        if len(raw) < 540 or raw[4:8] != b"n+2\0":
            raise _refuse(path, "not a NIfTI file.", "not_nifti")
        datatype = struct.unpack(order + "h", raw[12:14])[0]
        dims = list(struct.unpack(order + "8q", raw[16:80]))
        pixdim = struct.unpack(order + "8d", raw[104:168])
        vox_offset = struct.unpack(order + "q", raw[168:176])[0]
        slope, inter = struct.unpack(order + "2d", raw[176:192])
        qcode, scode = struct.unpack(order + "2i", raw[344:352])
        quatern = struct.unpack(order + "6d", raw[352:400])
        rows = struct.unpack(order + "12d", raw[400:496])
        units = struct.unpack(order + "i", raw[500:504])[0]
    if not 1 <= dims[0] <= 7 or min(dims[1 : min(dims[0], 3) + 1]) < 1:
        raise _refuse(path, "its dimensions make no sense.")
    if any(not p > 0 for p in pixdim[1 : min(dims[0], 3) + 1]):
        # Also where the affine says otherwise: one of the two is wrong, and nobody knows which.
        raise GeometryRefused(f"{path.name}: its header states a voxel size of {', '.join(f'{p:g}' for p in pixdim[1:4])} mm.", code="bad_spacing")
    if scode > 0:
        affine = np.vstack([np.array(rows, dtype=np.float64).reshape(3, 4), [0, 0, 0, 1]])
    elif qcode > 0:
        affine = _quaternion_affine(*quatern[:3], quatern[3:], np.abs(pixdim[1:4]), -1.0 if pixdim[0] < 0 else 1.0)
    else:
        affine = np.diag([*np.abs(pixdim[1:4]), 1.0])
    affine[:3] *= UNIT_MM.get(int(units) & 7, 1.0)
    if not 0 <= vox_offset < 1 << 40:
        raise _refuse(path, "its voxels begin at an impossible place.")
    return dims, datatype, int(vox_offset), float(slope), float(inter), affine, order


def read_nifti(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """(array ``[k, j, i]``, LPS affine in mm) of a 3-D NIfTI file, ``.nii`` or ``.nii.gz``.

    Values are scaled where the header says so (float32 then). Raises ``NodusError``
    (``not_nifti``, ``unreadable``, ``truncated``, ``too_large``) or ``GeometryRefused``.
    """
    try:
        with _open(path) as fp:
            dims, datatype, offset, slope, inter, affine, order = _header(path, fp)
            sides = [max(1, n) for n in dims[1 : dims[0] + 1]] + [1] * 7
            if any(n > 1 for n in sides[3:]):
                raise _refuse(path, "it holds several volumes; only one volume a file is read.", "not_a_volume")
            if datatype not in DTYPES:
                raise _refuse(path, f"its voxel type {datatype} is not read.")
            dtype = np.dtype(order + DTYPES[datatype])
            need = sides[0] * sides[1] * sides[2] * dtype.itemsize
            # gzip never packs better than about 1032 to 1; a header asking for more is not believed.
            if need > MAX_BYTES or need > 1100 * max(path.stat().st_size, 1):
                raise _refuse(path, "its header declares more voxels than the file can hold.", "truncated")
            fp.seek(offset)
            data = fp.read(need)
    except (OSError, EOFError, zlib.error) as error:
        raise _refuse(path, f"cannot be read ({error}).") from error
    if len(data) < need:
        raise _refuse(path, "was cut off: it holds fewer voxels than its header declares.", "truncated")
    if not np.isfinite(affine).all():
        raise GeometryRefused(f"{path.name}: its position or spacing is not a finite number.", code="bad_spacing")
    array = np.frombuffer(data, dtype).reshape(sides[2], sides[1], sides[0])
    array = array.astype(dtype.newbyteorder("="))
    scaled = slope != 0.0 and (slope, inter) != (1.0, 0.0) and np.isfinite(slope) and np.isfinite(inter)
    if scaled:
        array = (array.astype(np.float64) * slope + inter).astype(np.float32)
    return array, RAS_TO_LPS @ affine


def nifti_bytes(array: np.ndarray, affine_lps: np.ndarray, description: str = "") -> bytes:
    """A whole NIfTI-1 file; the grid goes into the sform as it is, sheared or not."""
    if array.dtype == np.bool_:
        array = array.astype(np.uint8)
    code = CODES.get(array.dtype.newbyteorder("="))
    if code is None:
        raise NodusError(f"Voxels of type {array.dtype} cannot be written as NIfTI.", code="unsupported_type")
    if max(array.shape) > 32767:
        raise NodusError("NIfTI-1 cannot hold a side of more than 32,767 voxels.", code="unsupported_type")
    k, j, i = array.shape
    ras = RAS_TO_LPS @ affine_lps
    spacing = np.linalg.norm(ras[:3, :3], axis=0)
    header = bytearray(348)
    struct.pack_into("<i", header, 0, 348)
    struct.pack_into("<8h", header, 40, 3, i, j, k, 1, 1, 1, 1)
    struct.pack_into("<hh", header, 70, code, 8 * array.dtype.itemsize)
    struct.pack_into("<8f", header, 76, 1.0, *spacing, 0, 0, 0, 0)
    struct.pack_into("<3f", header, 108, 352.0, 1.0, 0.0)
    header[123] = 2  # millimetres
    note = description.encode("ascii", "replace")[:79]
    header[148 : 148 + len(note)] = note
    # Only the sform is set: it is exact for any grid, and a rotation beside it could disagree.
    struct.pack_into("<2h", header, 252, 0, 1)
    struct.pack_into("<12f", header, 280, *ras[:3].ravel())
    header[344:348] = b"n+1\0"
    little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    return bytes(header) + b"\0\0\0\0" + little.tobytes()
