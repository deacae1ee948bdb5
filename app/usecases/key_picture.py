"""The picture that goes with a reading: the slice of the long axis with outline and axes, as PNG.

Drawn with Pillow and NumPy only, so that the command line, the window and the report show the
same picture.
"""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from app import INVESTIGATIONAL_NOTICE
from volumetry.image import ImageVolume
from volumetry.mask import NodeMask

OUTLINE_COLOUR = (255, 176, 0)
AXIS_COLOUR = (100, 220, 255)
TEXT_COLOUR = (235, 240, 245)


def node_picture(image: ImageVolume, mask: NodeMask, measurement, *, label: str, window=(80.0, 450.0), field_mm: float = 80.0, size_px: int = 480) -> bytes:
    """PNG of the acquisition slice that holds the long axis (else the largest slice).

    ``field_mm`` is the side of the square shown, centred on the node; ``window`` is centre and
    width in HU. Row 0 is drawn at the top, so an axial slice of a supine patient is seen from the
    feet. A scale bar, the label and the notice are part of the picture.
    """
    g = mask.geometry
    counts = mask.array.sum(axis=(1, 2))
    k = getattr(measurement, "axial_slice_index", None)
    if k is None or counts[k] == 0:
        k = int(counts.argmax())
    rows, columns = np.nonzero(mask.array[k])
    centre = (columns.mean(), rows.mean()) if columns.size else ((g.shape[2] - 1) / 2, (g.shape[1] - 1) / 2)
    step_i, step_j = g.spacing_mm[0], g.spacing_mm[1]
    scale = size_px / field_mm  # pixels on the page per millimetre
    x = centre[0] + (np.arange(size_px) + 0.5 - size_px / 2) / scale / step_i
    y = centre[1] + (np.arange(size_px) + 0.5 - size_px / 2) / scale / step_j
    grey = _bilinear(image.array[k], x, y, background=-1024.0)
    low = window[0] - window[1] / 2
    grey = np.clip((grey - low) / window[1] * 255.0, 0, 255).astype(np.uint8)
    canvas = Image.fromarray(np.repeat(grey[:, :, None], 3, axis=2))
    draw = ImageDraw.Draw(canvas)

    def to_px(column: float, row: float) -> tuple[float, float]:
        return ((column - centre[0]) * step_i * scale + size_px / 2 - 0.5, (row - centre[1]) * step_j * scale + size_px / 2 - 0.5)

    if columns.size:
        from skimage.measure import find_contours

        padded = np.pad(mask.array[k].astype(float), 1)
        for contour in find_contours(padded, 0.5):
            draw.line([to_px(c - 1, r - 1) for r, c in contour], fill=OUTLINE_COLOUR, width=2)
    for name in ("long_axis_points_mm", "short_axis_points_mm"):
        ends = getattr(measurement, name, None)
        if ends is not None:
            index = g.world_to_index(np.asarray(ends, dtype=float))
            draw.line([to_px(p[0], p[1]) for p in index], fill=AXIS_COLOUR, width=1)
    font = ImageFont.load_default(size=15)
    small = ImageFont.load_default(size=11)
    _text(draw, (8, 6), label, font)
    _text(draw, (8, size_px - 18), INVESTIGATIONAL_NOTICE, small)
    if image.source.synthetic:
        _text(draw, (size_px - 90, 6), "SYNTHETIC", small)
    bar = 10.0 * scale
    draw.line([(size_px - 14 - bar, size_px - 14), (size_px - 14, size_px - 14)], fill=TEXT_COLOUR, width=3)
    _text(draw, (size_px - 14 - bar, size_px - 32), "10 mm", small)
    stream = io.BytesIO()
    canvas.save(stream, format="PNG", optimize=False, compress_level=6)
    return stream.getvalue()


def _bilinear(plane: np.ndarray, x: np.ndarray, y: np.ndarray, background: float) -> np.ndarray:
    """Sample ``plane[row, column]`` on the grid of columns ``x`` and rows ``y``; outside is ``background``."""
    i0, j0 = np.floor(x).astype(int), np.floor(y).astype(int)
    fx, fy = x - i0, y - j0
    inside = ((i0 >= 0) & (i0 < plane.shape[1] - 1))[None, :] & ((j0 >= 0) & (j0 < plane.shape[0] - 1))[:, None]
    i0, j0 = np.clip(i0, 0, plane.shape[1] - 2), np.clip(j0, 0, plane.shape[0] - 2)
    p = plane.astype(np.float32, copy=False)
    top = p[np.ix_(j0, i0)] * (1 - fx) + p[np.ix_(j0, i0 + 1)] * fx
    bottom = p[np.ix_(j0 + 1, i0)] * (1 - fx) + p[np.ix_(j0 + 1, i0 + 1)] * fx
    return np.where(inside, top * (1 - fy)[:, None] + bottom * fy[:, None], background)


def _text(draw: ImageDraw.ImageDraw, place: tuple[float, float], text: str, font) -> None:
    """Text with a dark rim, readable on any grey."""
    text = text.replace("–", "-")  # the library's own font has no dash
    draw.text(place, text, font=font, fill=TEXT_COLOUR, stroke_width=2, stroke_fill=(0, 0, 0))
