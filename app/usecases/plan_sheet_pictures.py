"""Slices through a plan's target for the sheet, as PNG: the same wash, lines, hatching and needles as in the window.

Drawn with NumPy and Pillow only, so that the command line and the window put the same picture on paper.
"""

from __future__ import annotations

import io
import itertools
import math
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import map_coordinates
from skimage.measure import find_contours

from app.usecases.field_colours import UNCOVERED_RGB, field_range, field_table, line_colour, shown_levels
from planning.plan import TreatmentPlan
from volumetry.geometry import ImageGeometry
from volumetry.image import ImageVolume

SIDE_PX = 600
INK = 2  # lines are drawn this much larger and then made smaller: smooth without a drawing library's whims
OPACITY = 0.45
ON_SLICE_MM = 1.5
TARGET_RGB, AT_RISK_RGB, NEEDLE_RGB, SHAFT_RGB, TEXT_RGB = (240, 168, 24), (242, 156, 183), (255, 255, 255), (184, 196, 206), (235, 240, 245)
PLANES = {  # right and down of the picture in LPS, letters left right top bottom; seen as in the window
    "Axial": ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), "RLAP"),
    "Coronal": ((1.0, 0.0, 0.0), (0.0, 0.0, -1.0), "RLSI"),
    "Sagittal": ((0.0, 1.0, 0.0), (0.0, 0.0, -1.0), "APSI"),
}


@dataclass(frozen=True, slots=True, eq=False)
class SlicePicture:
    """A drawn slice. ``position`` says where it lies; ``uncovered`` whether target below the lethal field is hatched in it."""

    title: str
    position: str
    png: bytes
    uncovered: bool


@dataclass(frozen=True, slots=True, eq=False)
class _Plane:
    """Where a picture's pixels lie: pixel (x, y) is at ``corner + x * right + y * down`` (mm)."""

    corner: np.ndarray
    right: np.ndarray
    down: np.ndarray
    mm_per_px: float

    def points(self) -> np.ndarray:
        """LPS mm of every pixel, [y, x, 3]."""
        n = np.arange(SIDE_PX)
        return self.corner + n[None, :, None] * self.right * self.mm_per_px + n[:, None, None] * self.down * self.mm_per_px

    def pixel(self, point_mm) -> tuple[float, float, float]:
        """Pixel of a point, and how far it lies off the plane in mm."""
        d = np.asarray(point_mm, float) - self.corner
        return float(d @ self.right) / self.mm_per_px, float(d @ self.down) / self.mm_per_px, float(d @ np.cross(self.right, self.down))


def slice_pictures(plan: TreatmentPlan, field_v_per_cm: np.ndarray, geometry: ImageGeometry, image: ImageVolume | None = None, *, window=(80.0, 450.0)) -> list[SlicePicture]:
    """Axial, coronal and sagittal slice through the middle of the first target (else of the exposed metal).

    ``field_v_per_cm`` [k, j, i] lies on ``geometry``; ``image`` is drawn below it in grey (``window``: centre and width,
    HU) where it is given.
    """
    middle, reach = _middle(plan)
    return [_picture(name, plan, field_v_per_cm, geometry, image, window, middle, reach) for name in PLANES]


def _middle(plan: TreatmentPlan) -> tuple[np.ndarray, float]:
    """What the pictures centre on, and how far they reach from there (mm)."""
    ends = [np.asarray(p, float) for e in plan.electrodes for p in (e.tip_mm, e.exposed_end_mm)]
    target = next((r for r in plan.regions if r.role == "target"), None)
    if target is None:
        low, high = np.min(ends, axis=0), np.max(ends, axis=0)
    else:
        low, high = target.shape.bounds_mm()
    middle = (np.asarray(low, float) + np.asarray(high, float)) / 2
    reach = max([float(np.max(np.asarray(high) - low)) / 2, *(float(np.abs(p - middle).max()) for p in ends)])
    return middle, float(np.clip(reach + 10.0, 20.0, 60.0))


def _picture(name, plan, field, geometry, image, window, middle, reach) -> SlicePicture:
    right, down, letters = PLANES[name]
    right, down = np.array(right), np.array(down)
    step = 2 * reach / SIDE_PX
    plane = _Plane(middle - (right + down) * (reach - step / 2), right, down, step)
    points = plane.points()
    values = _sampled(field, geometry, points)
    levels, lethal = plan.thresholds_v_per_cm, plan.lethal_v_per_cm
    base = _grey(image, points, window)
    base = _washed(base, values, levels)
    shapes = [(r, _level(r.shape, points)) for r in plan.regions if r.role in ("target", "at_risk")]
    below = np.zeros(values.shape, bool)
    for region, level in shapes:
        if region.role == "target":
            below |= (level > 0) & ~(values >= lethal)
    y, x = np.indices(values.shape)
    base[below & ((x + y) % 12 < 3)] = UNCOVERED_RGB
    canvas = Image.fromarray(base.astype(np.uint8)).resize((SIDE_PX * INK,) * 2, Image.Resampling.BILINEAR)
    draw = ImageDraw.Draw(canvas)
    for region, level in shapes:
        _outline(draw, level, AT_RISK_RGB if region.role == "at_risk" else TARGET_RGB, dotted=region.role == "at_risk")
    shown, taken = shown_levels(levels, lethal), _frame_boxes()
    lines = [(v, _contours(values, v)) for v in shown]
    for v, found in lines:
        for line in found:
            for width, colour in ((8 if v == lethal else 5, (0, 0, 0)), (5 if v == lethal else 2, _rgb(line_colour(v, levels, lethal)))):
                draw.line([(px * INK, py * INK) for px, py in line], fill=colour, width=width, joint="curve")
    for e in plan.electrodes:
        _needle(draw, plane, e)
    font = ImageFont.load_default(size=22 * INK)
    for region, level in shapes:
        _name(draw, level, region.name, AT_RISK_RGB if region.role == "at_risk" else TARGET_RGB, font, taken)
    for e in plan.electrodes:
        px, py, _ = plane.pixel(e.exposed_end_mm)
        _text(draw, (np.clip(px + 8, 6, SIDE_PX - 40) * INK, np.clip(py - 24, 6, SIDE_PX - 30) * INK), e.id, font, NEEDLE_RGB, taken)
    for n, (v, found) in enumerate(lines):
        _name_line(draw, found, n, f"{v:g}", _rgb(line_colour(v, levels, lethal)), font, taken)
    _frame(draw, letters, step, font, synthetic=image is not None and image.source.synthetic)
    out = io.BytesIO()
    canvas.resize((SIDE_PX, SIDE_PX), Image.Resampling.LANCZOS).save(out, format="PNG", optimize=False, compress_level=6)
    return SlicePicture(name, _position(name, middle), out.getvalue(), bool(below.any()))


def _position(name: str, middle) -> str:
    axis, (plus, minus) = {"Axial": (2, "SI"), "Coronal": (1, "PA"), "Sagittal": (0, "LR")}[name]
    return f"{plus if middle[axis] >= 0 else minus} {abs(middle[axis]):.1f} mm"


def _sampled(field: np.ndarray, geometry: ImageGeometry, points: np.ndarray) -> np.ndarray:
    index = geometry.world_to_index(points.reshape(-1, 3))
    return map_coordinates(np.nan_to_num(field), index.T[::-1], order=1, mode="constant", cval=np.nan).reshape(points.shape[:2])


def _level(shape, points: np.ndarray) -> np.ndarray:
    return np.asarray(shape.level_mm(points.reshape(1, *points.shape)), float).reshape(points.shape[:2])


def _grey(image: ImageVolume | None, points: np.ndarray, window) -> np.ndarray:
    if image is None:
        return np.full((*points.shape[:2], 3), 34.0)
    index = image.geometry.world_to_index(points.reshape(-1, 3))
    values = map_coordinates(image.array, index.T[::-1], order=1, output=np.float32, mode="constant", cval=-1024.0).reshape(points.shape[:2])
    grey = np.clip((values - (window[0] - window[1] / 2)) / window[1] * 255.0, 0, 255)
    return np.repeat(grey[:, :, None], 3, axis=2)


def _washed(base: np.ndarray, values: np.ndarray, levels) -> np.ndarray:
    low, high = field_range(levels)
    table = field_table().astype(float)
    painted = values >= low
    row = np.clip((np.nan_to_num(values) - low) / (high - low) * (len(table) - 1) + 0.5, 0, len(table) - 1).astype(int)
    return np.where(painted[:, :, None], base * (1 - OPACITY) + table[row] * OPACITY, base)


def _contours(values: np.ndarray, level: float) -> list[np.ndarray]:
    """Lines of one level as arrays of (x, y)."""
    return [line[:, ::-1] + 0.5 for line in find_contours(values, level) if len(line) > 1]


def _outline(draw, level: np.ndarray, colour, *, dotted: bool) -> None:
    for line in _contours(level, 0.0):
        points = [(px * INK, py * INK) for px, py in line]
        if not dotted:
            draw.line(points, fill=(0, 0, 0), width=6)
            draw.line(points, fill=colour, width=4)
            continue
        gone = 0.0
        for a, b in itertools.pairwise(points):
            if gone % 20.0 < 11.0:
                draw.line([a, b], fill=colour, width=4)
            gone += math.dist(a, b)


def _needle(draw, plane: _Plane, e) -> None:
    """Shaft thin, exposed metal thick, both dashed where they are off the slice."""
    tip, bare, entry = (np.asarray(p, float) for p in (e.tip_mm, e.exposed_end_mm, e.entry_mm))
    for a, b, colour, width in ((bare, entry, SHAFT_RGB, 3), (tip, bare, NEEDLE_RGB, 8)):
        pieces = max(1, int(np.linalg.norm(b - a) / 0.5))
        for n in range(pieces):
            p, q = (plane.pixel(a + (b - a) * m / pieces) for m in (n, n + 1))
            near = abs(p[2] + q[2]) / 2 <= ON_SLICE_MM
            if near or n % 5 < 3:
                ends = [(p[0] * INK, p[1] * INK), (q[0] * INK, q[1] * INK)]
                if near:
                    draw.line(ends, fill=(0, 0, 0), width=width + 4)
                draw.line(ends, fill=colour, width=width if near else max(2, width // 2))
    x, y, off = plane.pixel(tip)
    r = 5 * INK
    draw.ellipse([x * INK - r, y * INK - r, x * INK + r, y * INK + r], outline=NEEDLE_RGB, width=3 if abs(off) <= ON_SLICE_MM else 2)


def _frame_boxes() -> list[tuple[float, float, float, float]]:
    """Places kept free for letters, scale bar and notice."""
    s, half = SIDE_PX * INK, SIDE_PX * INK / 2
    return [(0, half - 30, 60, half + 30), (s - 60, half - 30, s, half + 30), (half - 30, 0, half + 30, 60), (half - 30, s - 60, half + 30, s), (s - 400, s - 110, s, s)]


def _frame(draw, letters: str, step: float, font, *, synthetic: bool) -> None:
    s = SIDE_PX * INK
    for letter, at, anchor in zip(letters, ((10, s / 2), (s - 10, s / 2), (s / 2, 8), (s / 2, s - 8)), ("lm", "rm", "mt", "mb"), strict=True):
        draw.text(at, letter, font=font, fill=(77, 182, 226), anchor=anchor, stroke_width=4, stroke_fill=(0, 0, 0))
    bar = 10.0 / step * INK
    draw.line([(s - 24 - bar, s - 26), (s - 24, s - 26)], fill=TEXT_RGB, width=6)
    draw.text((s - 24 - bar / 2, s - 36), "10 mm", font=font, fill=TEXT_RGB, anchor="mb", stroke_width=4, stroke_fill=(0, 0, 0))
    if synthetic:
        draw.text((12, 8), "SYNTHETIC", font=font, fill=(232, 179, 57), stroke_width=4, stroke_fill=(0, 0, 0))


def _text(draw, place, text: str, font, colour, taken: list) -> bool:
    """Text with a dark rim where it covers no other; says whether it found its place."""
    box = draw.textbbox(place, text, font=font, stroke_width=4)
    for shift in (0, 1, -1, 2, -2):
        dy = shift * (box[3] - box[1])
        moved = (box[0], box[1] + dy, box[2], box[3] + dy)
        if moved[1] >= 0 and moved[3] <= SIDE_PX * INK and not any(moved[0] < b[2] and b[0] < moved[2] and moved[1] < b[3] and b[1] < moved[3] for b in taken):
            taken.append(moved)
            draw.text((place[0], place[1] + dy), text, font=font, fill=colour, stroke_width=4, stroke_fill=(0, 0, 0))
            return True
    return False


def _name(draw, level: np.ndarray, text: str, colour, font, taken: list) -> None:
    """Name an outline at its upper right, as the window does."""
    lines = _contours(level, 0.0)
    if lines:
        points = np.concatenate(lines)
        x, y = points[int(np.argmax(points[:, 0] - points[:, 1]))]
        wide = draw.textlength(text, font=font) / INK
        _text(draw, (min(x + 8, SIDE_PX - wide - 8) * INK, max(4.0, y - 28) * INK), text, font, colour, taken)


def _name_line(draw, lines: list[np.ndarray], n: int, text: str, colour, font, taken: list) -> None:
    """Name an iso-line once, each in another direction, where nothing else is covered."""
    if not lines:
        return
    points = np.concatenate(lines)
    points = points[(points > 12).all(axis=1) & (points < SIDE_PX - 70).all(axis=1)]
    wide = draw.textlength(text, font=font)
    for turn in range(24):
        if len(points) == 0:
            return
        angle = -1.2 + 0.7 * n + 0.37 * turn
        x, y = points[int(np.argmax(points @ np.array([math.cos(angle), math.sin(angle)])))] * INK
        box = (x + 4, y - 24, x + 10 + wide, y + 28)
        if not any(box[0] < b[2] and b[0] < box[2] and box[1] < b[3] and b[1] < box[3] for b in taken):
            taken.append(box)
            draw.text((x + 8, y), text, font=font, fill=colour, anchor="lm", stroke_width=4, stroke_fill=(0, 0, 0))
            return


def _rgb(name: str) -> tuple[int, int, int]:
    return tuple(int(name[n : n + 2], 16) for n in (1, 3, 5))
