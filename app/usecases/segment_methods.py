"""Every way of outlining a node that ``nodus segment`` offers: what each needs, what it may be given, and its run.

A stroke or contour file holds points in LPS mm::

    {"inside": [[[x, y, z], ...], ...], "outside": [...], "radius_mm": 0.5}
    {"axis": 0, "slices": {"12": [[[x, y, z], ...]], "20": [...]}, "interpolate": true}

``axis`` 0, 1, 2 cuts across k, j, i; contour points may also be ``[column, row]`` of the slice.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from app.jobs import JobContext
from app.usecases.segment import rounded, segment_picture, segment_volume
from volumetry.errors import SegmentationRefused
from volumetry.finding import Finding
from volumetry.geometry import ImageGeometry
from volumetry.image import Cine, ImageVolume
from volumetry.mask import NodeMask
from volumetry.outline_origin import OutlineOrigin

PICTURE_RADIUS_PX = 40.0  # where a picture's radius is not stated
STROKE_RADIUS_MM = 0.5  # half the width of a stroke, where its file states none
FARTHEST_MM = 30.0  # from the middle of the strokes inside: the half length of the largest nodes
PLANE_AXES = ((0, 1), (0, 2), (1, 2))  # (column, row) of a slice across k, j, i, as axes of an (i, j, k) index


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked for; None (or empty) is what was not given. Files are read only when they are needed."""

    method: str | None = None
    seed: tuple[float, ...] | None = None
    radius_mm: float | None = None
    radius_px: float | None = None
    anchors: tuple[tuple[float, ...], ...] = ()
    range_hu: tuple[float, ...] | None = None
    strokes: Path | None = None
    contours: Path | None = None
    model: Path | None = None
    modality: str | None = None
    frame: int | None = None

    def named(self) -> str | None:
        """The method asked for; refuses ``unknown_method``."""
        if self.method not in (None, *METHODS):
            raise SegmentationRefused(f"There is no method '{self.method}'; there are {', '.join(METHODS)}.", code="unknown_method")
        return self.method

    def given(self) -> set[str]:
        """Names of the options that were given."""
        return {name for name in OPTIONS if getattr(self, name) not in (None, ())}


@dataclass(frozen=True, slots=True)
class Outlined:
    """``mask`` with its origin; ``quality`` 0 to 1 where the method knows one; what it noticed beside
    the mask's own findings."""

    mask: NodeMask
    quality: float | None = None
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class Method:
    """One method: on a ``flat`` picture or a volume, what it ``needs`` and what it ``takes`` besides."""

    flat: bool
    needs: tuple[str, ...]
    takes: tuple[str, ...]
    run: Callable[[Any, Request, JobContext], Outlined] = field(repr=False)


def check_request(request: Request, *, flat: bool) -> str:
    """The method to use on a picture of this kind, once everything fits together.

    Refuses ``unknown_method`` (also one that does not outline this kind of picture), ``bad_seed`` and
    ``bad_radius`` (in the other kind's unit), ``option_missing``, ``option_unfitting``.
    """
    what = "2-D picture" if flat else "volume"
    name = request.named() or ("polar" if flat else "star_convex")
    method = METHODS[name]
    if method.flat != flat:
        fitting = ", ".join(n for n, m in METHODS.items() if m.flat == flat)
        raise SegmentationRefused(f"The method {name} does not outline a {what}.", code="unknown_method", hint=f"There are {fitting}.")
    for point in (request.seed, *request.anchors):
        if point is not None and len(point) != (2 if flat else 3):
            raise SegmentationRefused(f"On a {what} a point is {'X,Y in pixels' if flat else 'X,Y,Z in LPS millimetres'}.", code="bad_seed")
    if (request.radius_mm if flat else request.radius_px) is not None:
        raise SegmentationRefused(f"On a {what} the radius is given in {'pixels' if flat else 'millimetres'}.", code="bad_radius", hint=f"Use {'--radius-px' if flat else '--radius-mm'}.")
    given = request.given()
    missing = [OPTIONS[n] for n in method.needs if n not in given]
    if missing:
        raise SegmentationRefused(f"The method {name} needs {' and '.join(missing)}.", code="option_missing")
    surplus = [OPTIONS[n] for n in OPTIONS if n in given and n not in (*method.needs, *method.takes)]
    if surplus:
        raise SegmentationRefused(f"The method {name} does not take {' or '.join(surplus)}.", code="option_unfitting", hint="Leave it out, or choose the method that it belongs to.")
    return name


def outline(image: ImageVolume | Cine, method: str, request: Request, context: JobContext) -> Outlined:
    """Run a method whose request was checked."""
    return METHODS[method].run(image, request, context)


def _of_result(result, method: str | None = None, **details) -> Outlined:
    mask = result.mask if method is None else replace(result.mask, origin=OutlineOrigin(method, details=details))
    score = result.quality.score
    return Outlined(mask, score if np.isfinite(score) else None, result.findings)


def _star_convex(image: ImageVolume, asked: Request, _context: JobContext) -> Outlined:
    return _of_result(segment_volume(image, asked.seed, asked.radius_mm, asked.anchors))


def _polar(cine: Cine, asked: Request, _context: JobContext) -> Outlined:
    radius = PICTURE_RADIUS_PX if asked.radius_px is None else asked.radius_px
    return Outlined(segment_picture(cine, asked.seed, radius, _frame(cine, asked), asked.anchors))


def _livewire(cine: Cine, asked: Request, _context: JobContext) -> Outlined:
    from app.usecases.outline_picture import outline_livewire

    mask = outline_livewire(cine, asked.anchors, frame=_frame(cine, asked))
    return Outlined(replace(mask, origin=OutlineOrigin("livewire", details={"anchors_px": [rounded(a) for a in asked.anchors]})))


def _frame(cine: Cine, asked: Request) -> int:
    frame = asked.frame or 0
    if not 0 <= frame < cine.frame_count:
        raise SegmentationRefused(f"The picture has frames 0 to {cine.frame_count - 1}, not {frame}.", code="frame_out_of_range")
    return frame


def _region_growing(image: ImageVolume, asked: Request, _context: JobContext) -> Outlined:
    from volumetry.segmentation.star_convex import segment_node

    result = segment_node(image, asked.seed, asked.radius_mm, method="region_growing")
    return _of_result(result, "region_growing", seed_mm=rounded(asked.seed), radius_mm=asked.radius_mm)


def _threshold(image: ImageVolume, asked: Request, _context: JobContext) -> Outlined:
    from volumetry.segmentation.editing import threshold_in_ball

    if len(asked.range_hu) != 2:
        raise SegmentationRefused("A threshold needs a range from low to high.", code="bad_threshold", hint="Write it as --range-hu=-20,180.")
    low, high = asked.range_hu
    array = threshold_in_ball(image, asked.seed, asked.radius_mm, low, high)
    if not array.any():
        raise SegmentationRefused("No voxel around the click lies within that range.", code="no_boundary", hint="Choose a wider range.")
    origin = OutlineOrigin("threshold", details={"seed_mm": rounded(asked.seed), "radius_mm": asked.radius_mm, "range_hu": [low, high]})
    return Outlined(NodeMask(array, image.geometry, origin=origin))


def _scribbles(image: ImageVolume, asked: Request, _context: JobContext) -> Outlined:
    from volumetry.segmentation.scribbles import segment_scribbles

    content = read_json(asked.strokes, "bad_stroke")
    width = content.get("radius_mm", STROKE_RADIUS_MM)
    if isinstance(width, bool) or not isinstance(width, (int, float)):
        raise SegmentationRefused("The strokes' radius_mm is not a number.", code="bad_stroke")
    sides = {side: [(_points(line, (3,), "bad_stroke"), float(width)) for line in content.get(side) or []] for side in ("inside", "outside")}
    if not sides["inside"]:
        raise SegmentationRefused("No stroke marks the node.", code="scribble_missing", hint="Give at least one stroke under 'inside'.")
    centre, radius = stroke_ball(sides["inside"], sides["outside"])
    centre = centre if asked.seed is None else asked.seed
    radius = radius if asked.radius_mm is None else asked.radius_mm
    result = segment_scribbles(image, sides["inside"], sides["outside"], centre_mm=centre, radius_mm=radius)
    strokes = {side: len(lines) for side, lines in sides.items()}
    return _of_result(result, "scribbles", strokes=strokes, centre_mm=rounded(centre), radius_mm=round(float(radius), 3))


def stroke_ball(inside, outside) -> tuple[np.ndarray, float]:
    """Centre and radius of the drag that strokes stand for, where none was made: the middle of the box
    around the inside strokes, and as far as they reach or as the nearest outside point lies, whichever
    is more; an outside point farther off than ``FARTHEST_MM`` bounds no node. Strokes are
    ``(points_mm (n, 3), half_width_mm)``."""
    points = np.concatenate([p for p, _ in inside])
    centre = (points.min(axis=0) + points.max(axis=0)) / 2
    reach = max(float(np.linalg.norm(p - centre, axis=1).max()) + width for p, width in inside)
    away = [float(np.linalg.norm(p - centre, axis=1).min()) for p, _ in outside]
    return centre, max([reach, *([min(*away, FARTHEST_MM)] if away else [])])


def _contours(image: ImageVolume, asked: Request, _context: JobContext) -> Outlined:
    content = read_json(asked.contours, "bad_contour")
    axis, slices, between = content.get("axis", 0), content.get("slices"), content.get("interpolate", True)
    if axis not in (0, 1, 2) or isinstance(axis, bool) or not isinstance(slices, dict) or not slices or not isinstance(between, bool):
        raise SegmentationRefused("A contour file needs an axis (0, 1 or 2) and slices.", code="bad_contour", hint='Write {"axis": 0, "slices": {"12": [[[x, y, z], ...]]}}.')
    drawn: dict[int, list[np.ndarray]] = {}
    for key, lines in slices.items():
        if not str(key).isdigit() or not isinstance(lines, list):
            raise SegmentationRefused(f"'{key}' is not the number of a slice with its outlines.", code="bad_contour")
        drawn[int(key)] = [in_plane(_points(line, (2, 3), "bad_contour"), image.geometry, axis, int(key)) for line in lines]
    return outline_contours(image, drawn, axis=axis, interpolate=between)


def outline_contours(image: ImageVolume, contours: dict[int, list[np.ndarray]], *, axis: int = 0, interpolate: bool = True) -> Outlined:
    """A node from closed outlines on slices (``{slice number: [(n, 2) of (column, row)]}``, even-odd), as the window
    makes it of drawn lines: with ``interpolate`` the slices between are filled by shape; nothing is added beyond the
    first and the last. ``coverage_volume_ml`` is the planimetry of the lines, slice by slice."""
    from volumetry.segmentation.drawn_outlines import DrawnOutlines

    geometry = image.geometry
    lines = DrawnOutlines(axis, {n: tuple(found) for n, found in contours.items() if found})
    array = lines.mask(geometry)
    if interpolate and array.any():
        lines = lines.filled(geometry)
        array = lines.mask(geometry)
    if not array.any():
        raise SegmentationRefused("The outlines hold no voxel.", code="bad_contour", hint="Draw them larger than a voxel.")
    measured = lines.planimetry(geometry)
    origin = OutlineOrigin("contours", details={"axis": axis, "drawn_slices": sorted(lines.drawn), "filled_slices": sorted(lines.between)})
    return Outlined(NodeMask(array, geometry, coverage_volume_ml=measured.volume_ml, origin=origin), None, tuple(f for f in measured.findings if not interpolate or f.severity != "info"))


def in_plane(points: np.ndarray, geometry: ImageGeometry, axis: int, number: int) -> np.ndarray:
    """(n, 2) (column, row) of outline points; (n, 3) are LPS mm. Refuses ``contour_not_in_plane`` for
    points more than half a slice away from slice ``number``."""
    if points.shape[1] == 2:
        return points
    index = geometry.world_to_index(points)
    if np.abs(index[:, 2 - axis] - number).max() > 0.5:
        raise SegmentationRefused(f"An outline of slice {number} does not lie in that slice.", code="contour_not_in_plane", hint="Check axis and slice number; they count from 0.")
    return index[:, PLANE_AXES[axis]]


def _model(image: ImageVolume, asked: Request, context: JobContext) -> Outlined:
    from app.usecases.segment_model import outline_by_model, with_modality

    mask = outline_by_model(with_modality(image, asked.modality), asked.seed, asked.model, enabled=True, context=context)
    return Outlined(mask)


def read_json(path: Path, code: str) -> dict:
    """The object a file holds. Refuses ``file_missing`` and, with ``code``, anything that is not a JSON object."""
    path = Path(path)
    if not path.is_file():
        raise SegmentationRefused(f"There is no file {path.name}.", code="file_missing")
    try:
        content = json.loads(path.read_text("utf-8"))
    except ValueError as error:  # also bytes that are no text
        raise SegmentationRefused(f"{path.name} is not valid JSON.", code="not_json") from error
    if not isinstance(content, dict):
        raise SegmentationRefused(f"{path.name} does not hold an object.", code=code)
    return content


def _points(line: Any, lengths: tuple[int, ...], code: str) -> np.ndarray:
    try:
        points = np.array(line, dtype=np.float64)
    except (TypeError, ValueError) as problem:
        raise SegmentationRefused("A line is not a list of points.", code=code) from problem
    if points.ndim != 2 or points.shape[1] not in lengths or not len(points) or not np.isfinite(points).all():
        raise SegmentationRefused("A line is not a list of points.", code=code)
    return points


OPTIONS = {  # field of a request: how a person writes it
    "seed": "--seed", "radius_mm": "--radius-mm", "radius_px": "--radius-px", "anchors": "--anchor", "range_hu": "--range-hu",
    "strokes": "--strokes", "contours": "--contours", "model": "--model", "modality": "--modality", "frame": "--frame",
}  # fmt: skip

METHODS = {
    "star_convex": Method(False, ("seed",), ("radius_mm", "anchors"), _star_convex),
    "region_growing": Method(False, ("seed",), ("radius_mm",), _region_growing),
    "threshold": Method(False, ("seed", "radius_mm", "range_hu"), (), _threshold),
    "scribbles": Method(False, ("strokes",), ("seed", "radius_mm"), _scribbles),
    "contours": Method(False, ("contours",), (), _contours),
    "model": Method(False, ("seed", "model"), ("modality",), _model),
    "polar": Method(True, ("seed",), ("radius_px", "anchors", "frame"), _polar),
    "livewire": Method(True, ("anchors",), ("frame",), _livewire),
}
