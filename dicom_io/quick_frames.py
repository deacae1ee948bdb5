"""Frames of the commonest kinds on the shortest way from their bytes to pixels.

The general way builds a data set for each frame and walks through all that pydicom can do, which for a frame of a loop
costs more than decoding it. What is answered here has the same pixels; whatever is not plain is not judged and takes
the general way.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from dicom_io import jpeg_baseline, jpeg_ls, lossless_jpeg, rle
from dicom_io.codecs import LARGE_SAMPLES

NATIVE = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1")
YBR = ("YBR_FULL", "YBR_FULL_422")


def quick_frame(transfer_syntax: str, data: bytes, rows: int, columns: int, pixel: Mapping, colour: bool) -> tuple[np.ndarray, str] | None:
    """One frame and its photometric interpretation from its stored bytes; ``colour`` asks for RGB in place of YBR.

    ``pixel`` holds the elements of the image pixel module by keyword. None for what takes the general way.
    """
    samples, allocated, stored, kind = (pixel.get(k) for k in ("SamplesPerPixel", "BitsAllocated", "BitsStored", "PhotometricInterpretation"))
    if samples not in (1, 3) or allocated not in (8, 16, 32) or rows * columns * samples > LARGE_SAMPLES:
        return None
    if not isinstance(stored, int) or not 1 <= stored <= allocated or pixel.get("HighBit", stored - 1) != stored - 1:
        return None
    if samples == 3 and ((allocated, stored) != (8, 8) or kind not in ("RGB", *YBR) or pixel["PixelRepresentation"]):
        return None
    if samples == 1 and kind in YBR:  # one sample cannot be three colours: the header contradicts itself
        return None
    if transfer_syntax in jpeg_baseline.SYNTAXES:
        if (allocated, stored, pixel["PixelRepresentation"]) != (8, 8, 0) or (samples == 3 and not colour):
            return None
        array = jpeg_baseline.decode(data, rows, columns, samples, kind)
        return None if array is None else (array, "RGB" if samples == 3 else kind)
    if transfer_syntax in (*jpeg_ls.SYNTAXES, *lossless_jpeg.SYNTAXES):
        array = _lossless(transfer_syntax, data, rows, columns, allocated, stored, pixel["PixelRepresentation"]) if samples == 1 else None
    elif transfer_syntax == rle.SYNTAX:
        array = rle.decode(data, rows, columns, samples, np.dtype(f"{'i' if pixel['PixelRepresentation'] else 'u'}{allocated // 8}"))
        array = None if array is None else _without_unused_bits(array, allocated - stored)
    else:
        array = _native(transfer_syntax, data, rows, columns, samples, kind, pixel)
    if array is None or not (colour and kind in YBR):
        return None if array is None else (array, kind)
    from dicom_io.kernels.colour import ybr_to_rgb

    ybr_to_rgb(array.reshape(-1, 3))
    return array, "RGB"


def _lossless(transfer_syntax: str, data: bytes, rows: int, columns: int, allocated: int, stored: int, signed: int) -> np.ndarray | None:
    """One sample a pixel by the decoders that are ours; None where they refuse the stream or it has more bits than a pixel."""
    own = jpeg_ls if transfer_syntax in jpeg_ls.SYNTAXES else lossless_jpeg
    try:
        array, precision = own.decode(data, rows, columns, 1)
    except lossless_jpeg.StreamDamaged:
        return None
    if allocated > 16 or precision > allocated:
        return None
    array = array[..., 0].astype(f"u{allocated // 8}", copy=False)
    if not signed:
        return _without_unused_bits(array, allocated - stored)
    # A JPEG-LS stream does not know of signs: its highest bit is one.
    return _without_unused_bits(array.view(f"i{allocated // 8}"), allocated - (precision if own is jpeg_ls else stored))


def _without_unused_bits(array: np.ndarray, unused: int) -> np.ndarray:
    """Bits beyond those stored may hold anything; shifting keeps the sign."""
    return (array << unused) >> unused if unused else array


def _native(transfer_syntax: str, data: bytes, rows: int, columns: int, samples: int, kind: str, pixel: Mapping) -> np.ndarray | None:
    """Uncompressed colours with three whole bytes a pixel, in a memory of their own; None for all else."""
    if transfer_syntax not in NATIVE or samples != 3 or kind == "YBR_FULL_422" or len(data) < rows * columns * 3:
        return None
    flat = np.frombuffer(data, np.uint8, rows * columns * 3)
    if pixel.get("PlanarConfiguration") == 1:
        return np.ascontiguousarray(flat.reshape(3, rows, columns).transpose(1, 2, 0))
    return flat.reshape(rows, columns, 3).copy() if pixel.get("PlanarConfiguration") == 0 else None
