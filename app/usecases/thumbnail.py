"""A small grey picture of a stored series for lists: its middle file or frame."""

from __future__ import annotations

import numpy as np

from app.study.model import SeriesRecord


def thumbnail(store, record: SeriesRecord, size: tuple[int, int]) -> np.ndarray:
    """uint8 ``[rows, columns]`` of ``size``, letterboxed; CT in a soft-tissue window.

    Raises ``NodusError`` where the file cannot be shown.
    """
    from dicom_io.headers import number, read_header
    from dicom_io.pixels import FrameDecoder
    from dicom_io.ultrasound import read_cine

    path = store.series_folder(record) / record.files[len(record.files) // 2]
    if record.kind in ("cine", "still"):
        cine = read_cine(path)
        picture = cine.read_frame(cine.frame_count // 2)
        grey = picture.astype(np.float32).mean(axis=-1) if picture.ndim == 3 else picture.astype(np.float32)
    else:
        header = read_header(path)
        decoder = FrameDecoder(header)
        grey = decoder.raw(decoder.frames // 2)[0].astype(np.float32)
        grey = grey.mean(axis=-1) if grey.ndim == 3 else grey
        if record.modality == "CT":
            slope = number(header.ds, "RescaleSlope")
            hu = grey * (1.0 if slope is None else slope) + (number(header.ds, "RescaleIntercept") or 0.0)
            grey = (hu + 125.0) / 350.0 * 255.0
        else:
            low, high = np.percentile(grey, [1, 99])
            grey = (grey - low) / max(high - low, 1e-6) * 255.0
    return letterbox(np.clip(grey, 0, 255), size)


def letterbox(grey: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Shrink to fit ``size`` (rows, columns) with black around it; each pixel is the mean of the
    block it stands for, so that thin things do not vanish."""
    scale = max(grey.shape[0] / size[0], grey.shape[1] / size[1])
    rows, columns = (max(1, min(s, round(n / scale))) for n, s in zip(grey.shape, size, strict=True))
    row_edges = np.linspace(0, grey.shape[0], rows + 1).astype(int)
    column_edges = np.linspace(0, grey.shape[1], columns + 1).astype(int)
    sums = np.zeros((grey.shape[0] + 1, grey.shape[1] + 1))
    sums[1:, 1:] = grey.cumsum(0).cumsum(1)
    block = sums[np.ix_(row_edges, column_edges)]
    total = block[1:, 1:] - block[:-1, 1:] - block[1:, :-1] + block[:-1, :-1]
    area = np.outer(np.diff(row_edges), np.diff(column_edges))
    small = total / np.maximum(area, 1)
    out = np.zeros(size, np.uint8)
    top, left = (size[0] - rows) // 2, (size[1] - columns) // 2
    out[top : top + rows, left : left + columns] = np.round(small)
    return out
