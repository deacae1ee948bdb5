"""Named values of a node's measurement for the table beside the pictures."""

from __future__ import annotations

from app.ui.text import t
from app.ui.widgets.figures import Figure, volume_decimals


def method_names() -> dict[str, str]:
    """How a volume was obtained, for people, by its stored code."""
    return {
        "voxel": t("Voxel count × size of a voxel"),
        "coverage": t("Volume inside the outline, with parts of voxels"),
        "contour": t("Area of the contours × distance of the slices"),
        "ellipsoid": t("Ellipsoid π/6 · L · W · H from three diameters"),
    }


def measurement_figures(m) -> list[Figure]:
    """Rows for a ``NodeMeasurement``; unknown values keep their row and say why."""
    empty = t("The outline is empty.") if not m.voxel_count else t("Too few voxels for this number.")

    def mm(label: str, value, source: str, decimals: int = 1) -> Figure:
        return Figure(label, value, "mm", decimals, source=source, reason=empty)

    voxel_ml = m.voxel_volume_ml
    return [
        mm(t("Long axis"), m.long_axis_mm, t("Largest in-plane distance between points of the outline, over all slices.")),
        mm(t("Short axis"), m.short_axis_mm, t("Longest chord at a right angle to the long axis, in its slice.")),
        Figure(t("Slice of the axes"), None if m.axial_slice_index is None else str(m.axial_slice_index + 1), source=t("Counted from 1 at the first stored slice."), reason=empty),
        mm(t("Diameters L × W × H"), m.ellipsoid_axes_mm, t("L is the largest 3D diameter; W the largest extent at a right angle to L; H at a right angle to both.")),
        Figure(t("Ellipsoid volume"), m.ellipsoid_volume_ml, "ml", volume_decimals(m.ellipsoid_volume_ml), source=t("π/6 · L · W · H. It overstates a node that is not an ellipsoid."), reason=empty),
        Figure(t("Volume by voxels"), voxel_ml, "ml", volume_decimals(voxel_ml), source=t("{n} voxels × size of a voxel.").format(n=m.voxel_count)),
        Figure(
            t("Volume inside outline"),
            m.coverage_volume_ml,
            "ml",
            volume_decimals(m.coverage_volume_ml),
            source=t("Counts the part of each voxel inside the outline."),
            reason=t("Dropped by a brush stroke: the voxel count is what counts now."),
        ),
        Figure(t("Surface"), m.surface_area_mm2, "mm²", 0, source=t("Area of the mesh at the half level."), reason=empty),
        Figure(t("Sphericity"), m.sphericity, "", 3, source=t("1 is a sphere; no unit."), reason=empty),
        mm(t("Largest 3D diameter"), m.max_3d_diameter_mm, t("Largest distance between two points of the mesh.")),
        mm(
            t("Principal axes"),
            None if m.major_axis_mm is None else (m.major_axis_mm, m.minor_axis_mm, m.least_axis_mm),
            t("Four times the root of the variance of the voxels along the three main directions."),
        ),
        Figure(t("Elongation"), m.elongation, "", 2, source=t("Minor over major axis: 1 is round; no unit."), reason=empty),
        Figure(t("Flatness"), m.flatness, "", 2, source=t("Least over major axis: 1 is round; no unit."), reason=empty),
        Figure(t("Centre x, y, z"), m.centroid_mm, "mm", 1, source=t("Centre of mass, patient coordinates LPS: left, back and head are positive."), reason=empty, joiner=", "),
    ]
