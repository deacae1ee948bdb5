"""One call that gives every measurement of a node: ``measure_node(mask) -> NodeMeasurement``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from volumetry.diameter import Segment, oriented_axes, planar_diameters
from volumetry.ellipsoid import ellipsoid_volume_ml
from volumetry.errors import MeasurementRefused
from volumetry.finding import Finding
from volumetry.geometry import ImageGeometry
from volumetry.mask import NodeMask
from volumetry.mesh import measure_mesh
from volumetry.node_numbers import GridFacts, NodeNumbers, count_nodes, scan
from volumetry.uncertainty import VolumeUncertainty, outlined_of, outlining, volume_uncertainty
from volumetry.voxel import measure_voxels

THIN_SLICES = 3  # reading of small nodes: below three slices across the least axis volumes scatter


@dataclass(frozen=True, slots=True)
class NodeMeasurement:
    """Everything measured on one node; None where a number does not exist (empty mask, one voxel).

    Lengths in mm, points in LPS mm. ``voxel_volume_mm3`` is the volume of the node by voxel count,
    ``volume_interval_ml`` its 95 % interval and ``uncertainty`` the causes of that.
    """

    label: int
    name: str | None
    voxel_count: int
    voxel_volume_mm3: float
    coverage_volume_ml: float | None = None
    mesh_volume_mm3: float | None = None
    surface_area_mm2: float | None = None
    surface_to_volume_per_mm: float | None = None
    sphericity: float | None = None
    asphericity: float | None = None
    compactness_1: float | None = None
    compactness_2: float | None = None
    max_3d_diameter_mm: float | None = None
    major_axis_mm: float | None = None
    minor_axis_mm: float | None = None
    least_axis_mm: float | None = None
    elongation: float | None = None
    flatness: float | None = None
    convex_hull_volume_mm3: float | None = None
    convex_hull_density: float | None = None
    long_axis_mm: float | None = None
    short_axis_mm: float | None = None
    axial_slice_index: int | None = None
    long_axis_points_mm: Segment | None = None
    short_axis_points_mm: Segment | None = None
    ellipsoid_axes_mm: tuple[float, float, float] | None = None
    ellipsoid_volume_ml: float | None = None
    max_3d_diameter_points_mm: Segment | None = None
    ellipsoid_directions: tuple[tuple[float, float, float], ...] | None = None
    centroid_mm: tuple[float, float, float] | None = None
    volume_interval_ml: tuple[float, float] | None = None
    uncertainty: VolumeUncertainty | None = None
    pieces: int = 0
    first_slice_index: int | None = None
    slice_areas_mm2: tuple[float, ...] = ()
    warnings: tuple[Finding, ...] = ()

    @property
    def voxel_volume_ml(self) -> float:
        """Voxel count times the size of a voxel, in ml."""
        return self.voxel_volume_mm3 / 1000.0

    @property
    def volume_ml(self) -> float:
        """The volume to report: that of the outline where there is one, else the voxel count's."""
        return self.voxel_volume_ml if self.coverage_volume_ml is None else self.coverage_volume_ml

    def to_dict(self) -> dict:
        """The ``nodes[]`` entry of ``nodus measure --json``: plain numbers, lists and None."""
        out: dict = {}
        for key in self.__slots__:
            value = getattr(self, key)
            if key == "warnings":
                value = [w.as_warning() for w in value]
            elif key == "uncertainty" and value is not None:
                value = value.to_dict()
            out[key] = _plain(value)
            if key == "voxel_volume_mm3":
                out["voxel_volume_ml"] = self.voxel_volume_ml
        return out


def _plain(value):
    return [_plain(v) for v in value] if isinstance(value, tuple) else value


def measure_node(mask: NodeMask, *, outlined: str | None = None) -> NodeMeasurement:
    """Measure one node. An empty mask is answered with zero voxels and the warning ``empty``.

    ``outlined`` says how the outline came to be (a key of ``volumetry.uncertainty.OUTLINED``, such as
    ``star_convex``, ``manual``, ``brush``, ``propagated``); the interval is the wider the less sure
    that way is. Without it the mask's own ``origin`` counts. Refuses ``unknown_method`` for any
    other word.
    """
    how = _way(mask, outlined)
    grid = GridFacts.of(mask.geometry)
    numbers = count_nodes(np.ascontiguousarray(mask.array).view(np.uint8), grid).get(1)
    if numbers is None:
        return _nothing(mask.label, mask.name, mask.coverage_volume_ml)
    return _measurement(numbers, grid, mask.label, mask.name, mask.coverage_volume_ml, how, _seen_in(mask, numbers.voxels_across))


def _way(mask: NodeMask, outlined: str | None) -> str:
    """How the outline came to be: as the caller says, else the mask's origin, else its findings."""
    if outlined is None and mask.origin is not None:
        outlined = outlined_of(mask.origin)
    elif outlined is None:
        outlined = "propagated" if any(f.code == "propagated" for f in mask.findings) else "unstated"
    outlining(outlined)  # a word that is not known is refused
    return outlined


def _seen_in(mask: NodeMask, across: tuple[int, int, int]) -> tuple[int, int, int]:
    """``across`` (voxels along i, j, k) with no more slices than the outline was drawn on, where it was
    filled in between: ``drawn_slices`` and ``axis`` (0, 1, 2 cuts across k, j, i) of its origin."""
    drawn = None if mask.origin is None else mask.origin.details.get("drawn_slices")
    if not isinstance(drawn, list | tuple) or not drawn:
        return across
    along = 2 - int(mask.origin.details.get("axis", 0))
    return tuple(min(n, len(drawn)) if axis == along else n for axis, n in enumerate(across))


def measure_nodes(masks: Iterable[NodeMask]) -> tuple[NodeMeasurement, ...]:
    """Measure each mask by itself, in ascending order of label; overlapping masks count separately."""
    return tuple(measure_node(m) for m in sorted(masks, key=lambda m: m.label))


def measure_labels(labels: np.ndarray, geometry: ImageGeometry, names: Mapping[int, str] | None = None) -> tuple[NodeMeasurement, ...]:
    """Measure every label of a label map ``labels[k, j, i]`` (whole numbers, 0 is background) in
    ascending order; the picture is read once however many labels it holds.

    ``names`` gives labels their names; a named label that does not occur is answered as empty.
    Refuses ``bad_shape`` where the map does not fit ``geometry`` and ``bad_labels`` where a label
    is not a whole number from 0 to 65535.
    """
    if labels.shape != geometry.shape:
        raise MeasurementRefused(f"Label map {labels.shape} does not fit its grid {geometry.shape}.", code="bad_shape")
    if labels.dtype not in (np.uint8, np.uint16):
        if labels.dtype.kind not in "biu" or int(labels.min()) < 0 or int(labels.max()) > 65535:
            raise MeasurementRefused("Labels must be whole numbers from 0 to 65535.", code="bad_labels")
        labels = labels.astype(np.uint16)
    names = names or {}
    grid = GridFacts.of(geometry)
    found = count_nodes(labels, grid)
    asked = sorted({*found, *(n for n in names if n > 0)})
    return tuple(_measurement(found[n], grid, n, names.get(n), None) if n in found else _nothing(n, names[n], None) for n in asked)


def _nothing(label: int, name: str | None, coverage_volume_ml: float | None) -> NodeMeasurement:
    """The answer for a mask without a voxel."""
    return NodeMeasurement(
        label,
        name,
        voxel_count=0,
        voxel_volume_mm3=0.0,
        coverage_volume_ml=coverage_volume_ml,
        warnings=(Finding("empty", "The mask holds no voxel: there is nothing to measure."),),
    )


def _measurement(
    numbers: NodeNumbers,
    grid: GridFacts,
    label: int,
    name: str | None,
    coverage_volume_ml: float | None,
    outlined: str = "unstated",
    seen_in: tuple[int, int, int] | None = None,
) -> NodeMeasurement:
    """Everything said about one node, from what was counted on it."""
    k0, k1, j0, j1, i0, i1 = numbers.box
    geometry = grid.geometry
    voxels = measure_voxels(numbers, grid)
    mesh = measure_mesh(numbers, grid)
    planar = planar_diameters(numbers, grid)
    axes = oriented_axes(numbers, grid)
    # Around the number that a reading stores: one definition of volume at all visits (voxels), so
    # the interval never leaves out the number it stands beside.
    volume_ml = voxels.volume_mm3 / 1000.0
    uncertainty = volume_uncertainty(volume_ml, mesh.surface_mm2, grid.spacing_mm, seen_in or numbers.voxels_across, outlined)
    principal = voxels.principal_axes_mm or (None, None, None)
    touches = min(k0, j0, i0) == 0 or any(e == n for e, n in zip((k1, j1, i1), geometry.shape, strict=True))
    return NodeMeasurement(
        label=label,
        name=name,
        voxel_count=voxels.voxel_count,
        voxel_volume_mm3=voxels.volume_mm3,
        coverage_volume_ml=coverage_volume_ml,
        mesh_volume_mm3=mesh.volume_mm3,
        surface_area_mm2=mesh.surface_mm2,
        surface_to_volume_per_mm=mesh.surface_to_volume_per_mm,
        sphericity=mesh.sphericity,
        asphericity=mesh.asphericity,
        compactness_1=mesh.compactness_1,
        compactness_2=mesh.compactness_2,
        max_3d_diameter_mm=axes.max_3d_diameter_mm,
        major_axis_mm=principal[0],
        minor_axis_mm=principal[1],
        least_axis_mm=principal[2],
        elongation=voxels.elongation,
        flatness=voxels.flatness,
        convex_hull_volume_mm3=axes.hull_volume_mm3,
        convex_hull_density=mesh.volume_mm3 / axes.hull_volume_mm3,
        long_axis_mm=planar.long_axis_mm,
        short_axis_mm=planar.short_axis_mm,
        axial_slice_index=planar.slice_index,
        long_axis_points_mm=planar.long_axis_points_mm,
        short_axis_points_mm=planar.short_axis_points_mm,
        ellipsoid_axes_mm=axes.axes_mm,
        ellipsoid_volume_ml=ellipsoid_volume_ml(*axes.axes_mm),
        max_3d_diameter_points_mm=axes.length_points_mm,
        ellipsoid_directions=axes.directions,
        centroid_mm=voxels.centroid_mm,
        volume_interval_ml=uncertainty.interval_ml,
        uncertainty=uncertainty,
        pieces=numbers.pieces,
        first_slice_index=k0,
        slice_areas_mm2=tuple(n * grid.pixel_mm2 for n in voxels.slice_counts),
        warnings=_warnings(grid, numbers.pieces, touches, principal[2]),
    )


def warm_up() -> None:
    """Compile or load every kernel on a small node, so that the first real one does not wait."""
    k, j, i = np.mgrid[:6, :6, :6]
    ball = (i - 2.6) ** 2 + (j - 2.5) ** 2 + (k - 2.4) ** 2 < 5
    geometry = ImageGeometry.from_spacing(ball.shape, (1.0, 1.0, 1.0))
    measure_node(NodeMask(ball, geometry))
    scan(ball.view(np.uint8), threads=2)  # a large picture is read by several threads


def _warnings(grid: GridFacts, pieces: int, touches: bool, least_axis_mm: float | None) -> tuple[Finding, ...]:
    found = []
    if pieces > 1:
        found.append(Finding("several_pieces", f"The node lies in {pieces} separate pieces; they are measured as one."))
    if touches:
        found.append(Finding("touches_border", "The node reaches the edge of the picture; a part may lie outside."))
    slice_mm = max(grid.spacing_mm)
    if least_axis_mm is None or least_axis_mm < THIN_SLICES * slice_mm:
        found.append(Finding("thin", f"Fewer than {THIN_SLICES} slices ({slice_mm:.3g} mm) lie across the node; its volume is unsure."))
    if grid.is_sheared:
        found.append(Finding("sheared", "The slices are sheared (tilted gantry); volumes and lengths follow the true positions.", "info"))
    return tuple(found)
