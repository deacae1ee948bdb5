"""Regions of a contrast loop as a reader draws them, in either pane: what each stands for, and its pixels in the contrast pane."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from app.usecases.contrast_panes import PaneBox, Panes
from volumetry.errors import NodusError
from volumetry.finding import Finding
from volumetry.perfusion.loop import PerfusionRefused
from volumetry.segmentation.polar import outline_mask

ROLES = ("node", "reference", "ablated_zone", "viable", "rim", "vessel", "tissue")
MOST_REGIONS, MOST_POINTS, MOST_BYTES = 100, 10_000, 16 << 20
EDGE_PX = 0.5  # a pixel reaches half a pixel beyond its centre


@dataclass(frozen=True, slots=True)
class PerfusionRegion:
    """A region: ``polygon_px`` are (x, y) pixels of the whole picture at the reference frame, pixel centres at whole
    numbers, drawn in the contrast pane or in the B-mode pane; ``role`` is of ``ROLES``. Refuses ``bad_roi`` and ``unknown_region_role``."""

    name: str
    role: str
    polygon_px: tuple[tuple[float, float], ...]

    def __post_init__(self) -> None:
        if self.role not in ROLES:
            raise PerfusionRefused(f"Region {self.name}: there is no role '{self.role}'; there are {', '.join(ROLES)}.", code="unknown_region_role")
        points = tuple((float(x), float(y)) for x, y in self.polygon_px)
        if len(set(points)) < 3 or not all(math.isfinite(v) for p in points for v in p):
            raise PerfusionRefused(f"Region {self.name}: an outline has at least three different points, each a pair of numbers.", code="bad_roi")
        object.__setattr__(self, "polygon_px", points)

    def to_dict(self) -> dict:
        """As an entry of ROI.json."""
        return {"name": self.name, "role": self.role, "polygon_px": [list(p) for p in self.polygon_px]}


@dataclass(frozen=True, slots=True, eq=False)
class PlacedRegion:
    """A region within the contrast pane: ``mask`` bool ``[row, column]``; ``drawn_in`` is ``contrast`` or ``bmode``."""

    mask: np.ndarray
    drawn_in: str
    findings: tuple[Finding, ...] = ()


def read_roi(path: Path) -> tuple[tuple[PerfusionRegion, ...], int | None]:
    """Regions of a ROI.json, and the frame of the file that they were drawn on (``frame``, from 0; None: not stated).

    Refuses ``file_missing``, ``bad_roi`` (no JSON of that form) and ``unknown_region_role``.
    """
    if not path.is_file():
        raise NodusError(f"There is no file {path.name}.", code="file_missing")
    if path.stat().st_size > MOST_BYTES:
        raise _bad(f"{path.name} is too large to be a list of regions")
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as problem:
        raise _bad(f"{path.name} is no JSON") from problem
    if not isinstance(content, dict):
        raise _bad(f"{path.name} holds no object")
    frame = content.get("frame")
    if frame is not None and (isinstance(frame, bool) or not isinstance(frame, int) or frame < 0):
        raise _bad("'frame' is the number of a frame, from 0")
    return regions_from(content.get("regions")), frame


def regions_from(entries: object) -> tuple[PerfusionRegion, ...]:
    """Regions of a list as in ROI.json. Refuses ``bad_roi`` and ``unknown_region_role``; names must differ."""
    if not isinstance(entries, list) or not 1 <= len(entries) <= MOST_REGIONS:
        raise _bad(f"'regions' is a list of 1 to {MOST_REGIONS} regions")
    found = []
    for n, entry in enumerate(entries, start=1):
        if not isinstance(entry, dict) or not {"role", "polygon_px"} <= entry.keys():
            raise _bad(f"region {n} lacks 'role' or 'polygon_px'")
        name, polygon = entry.get("name") or f"region {n}", entry["polygon_px"]
        if not isinstance(name, str) or not isinstance(entry["role"], str):
            raise _bad(f"the name and the role of region {n} are texts")
        if not isinstance(polygon, list) or len(polygon) > MOST_POINTS or not all(_is_point(p) for p in polygon):
            raise _bad(f"'polygon_px' of region {n} is a list of at most {MOST_POINTS} points [x, y]")
        found.append(PerfusionRegion(name, entry["role"], tuple((float(x), float(y)) for x, y in polygon)))
    if len({r.name for r in found}) < len(found):
        raise _bad("two regions have one name")
    return tuple(found)


def _is_point(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(isinstance(v, (int, float)) and not isinstance(v, bool) and abs(v) < 1e7 for v in value)


def _bad(what: str) -> PerfusionRefused:
    return PerfusionRefused(
        f"The regions cannot be read: {what}.", code="bad_roi", hint='The form is {"regions": [{"name": "node", "role": "node", "polygon_px": [[x, y], ...]}], "frame": N}.'
    )


def pane_of(points_px: Iterable[tuple[float, float]], panes: Panes) -> str | None:
    """``contrast`` or ``bmode``: the pane that holds all of the points; None where neither does."""
    points = np.asarray(list(points_px), dtype=np.float64)
    for name, box in (("contrast", panes.contrast), ("bmode", panes.bmode)):
        if box is not None and _holds(box, points):
            return name
    return None


def _holds(box: PaneBox, points: np.ndarray) -> bool:
    low, high = np.array([box.x0, box.y0]) - EDGE_PX, np.array([box.x1, box.y1]) + EDGE_PX
    return bool(((points >= low) & (points <= high)).all())


def across(points_px: np.ndarray, panes: Panes, start: str, end: str) -> np.ndarray:
    """Points (n, 2) of the whole picture in the pane ``start`` at the same place in the pane ``end`` (linked panes)."""
    boxes = {"contrast": panes.contrast, "bmode": panes.bmode or panes.contrast}
    return np.asarray(points_px, dtype=np.float64) + np.subtract((boxes[end].x0, boxes[end].y0), (boxes[start].x0, boxes[start].y0))


def place_region(region: PerfusionRegion, panes: Panes) -> PlacedRegion:
    """Pixels of the contrast pane that a region holds; one drawn in the B-mode pane is taken across.

    Refuses ``region_outside_panes`` where it lies in neither pane or crosses from one into the other, ``empty_region`` where it
    holds no pixel's centre. Finding: ``outline_crosses_itself``.
    """
    pane = pane_of(region.polygon_px, panes)
    if pane is None:
        raise PerfusionRefused(
            f"Region {region.name} lies outside the panes of the picture, or in more than one.", code="region_outside_panes",
            hint="Draw it wholly within the contrast picture or the B-mode picture.",
        )  # fmt: skip
    points = across(np.array(region.polygon_px), panes, pane, "contrast") - (panes.contrast.x0, panes.contrast.y0)
    mask = outline_mask(points, panes.contrast.shape)
    held = int(mask.sum())
    if not held:
        raise PerfusionRefused(f"Region {region.name} holds no pixel.", code="empty_region", hint="Draw it larger.")
    x, y = points.T
    area = abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2
    rim = float(np.hypot(*(points - np.roll(points, -1, axis=0)).T).sum())
    crossed = abs(held - area) > 0.1 * held + rim / 2 + 2
    told = (Finding("outline_crosses_itself", f"The outline of {region.name} crosses itself: it holds other pixels than it seems to."),) if crossed else ()
    return PlacedRegion(mask, pane, told)
