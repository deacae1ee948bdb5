"""Named values of a node's measurement for the table beside the pictures."""

from __future__ import annotations

from app.ui.text import t
from app.ui.widgets.figures import Figure
from volumetry.quantity import quantity


def method_names() -> dict[str, str]:
    """How a volume was obtained, for people, by its stored code."""
    return {
        "voxel": t("Voxel count × size of a voxel"),
        "coverage": t("Volume inside the outline, with parts of voxels"),
        "contour": t("Area of the contours × distance of the slices"),
        "ellipsoid": t("Ellipsoid π/6 · L · W · H from three diameters"),
    }


SOURCES = {
    "long_axis_mm": "Largest in-plane distance between points of the outline, over all slices.",
    "short_axis_mm": "Longest chord at a right angle to the long axis, in its slice.",
    "ellipsoid_volume_ml": "π/6 · L · W · H from the outline's diameters. It overstates a node that is not an ellipsoid.",
    "coverage_volume_ml": "Counts the part of each voxel inside the outline.",
    "mesh_volume_mm3": "Volume inside the mesh at the half level; never taken from the smoothed surface on screen.",
    "surface_area_mm2": "Area of the mesh at the half level.",
    "sphericity": "1 is a sphere; no unit.",
    "max_3d_diameter_mm": "Largest distance between two points of the mesh.",
    "elongation": "Root of minor over major variance: 1 is round; no unit.",
    "flatness": "Root of least over major variance: 1 is round; no unit.",
}


def interval_causes(u) -> Figure:
    """What the volume's interval is made of (a ``VolumeUncertainty`` or None), the widest cause first."""
    if u is None:
        return Figure(t("Interval made of"), None, reason=t("No interval."))
    named = ((t("outline"), u.method_pct), (t("border"), u.boundary_pct), (t("slices"), u.slices_pct), (t("scale"), u.calibration_pct))
    parts = sorted(((name, pct) for name, pct in named if pct is not None), key=lambda p: -p[1])
    text = " · ".join(f"{name} {pct:.0f} %" for name, pct in parts[:2])
    seen = " · ".join(f"{name} {pct:.1f} %" for name, pct in parts) + "\n" + t("Each is half the width of that cause's own 95 % interval.") + (" " + t("Seen in {n} slices.").format(n=u.slices) if u.slices is not None else "")
    return Figure(t("Interval made of"), text or None, source=f"{seen}\n{t(u.method_source)}", reason=t("No interval."))


def measurement_figures(m) -> list[Figure]:
    """Rows for a ``NodeMeasurement``; unknown values keep their row and say why. Label, unit and
    decimals come from ``volumetry.quantity``."""
    empty = t("The outline is empty.") if not m.voxel_count else t("Too few voxels for this number.")

    def of(key: str, reason: str = empty) -> Figure:
        q = quantity(key)
        return Figure(t(q.label), getattr(m, key), q.unit, q.decimals, source=t(SOURCES[key]), reason=reason)

    return [
        of("long_axis_mm"),
        of("short_axis_mm"),
        Figure(t("Slice of the axes"), None if m.axial_slice_index is None else str(m.axial_slice_index + 1), source=t("Counted from 1 at the first stored slice."), reason=empty),
        Figure(t("Diameters L × W × H"), m.ellipsoid_axes_mm, "mm", 1, source=t("L is the largest 3D diameter; W the largest extent at a right angle to L; H at a right angle to both."), reason=empty),
        interval_causes(m.uncertainty),
        of("ellipsoid_volume_ml"),
        of("coverage_volume_ml", t("Dropped by a brush stroke: the voxel count is what counts.")),
        Figure(t("Voxels"), str(m.voxel_count), source=t("Their count times the size of a voxel is the volume.")),
        of("mesh_volume_mm3"),
        of("surface_area_mm2"),
        of("sphericity"),
        of("max_3d_diameter_mm"),
        Figure(
            t("Principal axes"),
            None if m.major_axis_mm is None else (m.major_axis_mm, m.minor_axis_mm, m.least_axis_mm),
            "mm",
            1,
            source=t("Four times the root of the variance of the voxels along the three main directions."),
            reason=empty,
        ),
        of("elongation"),
        of("flatness"),
        Figure(t("Centre x, y, z"), m.centroid_mm, "mm", 1, source=t("Centre of mass, patient coordinates LPS: left, back and head are positive."), reason=empty, joiner=", "),
    ]
