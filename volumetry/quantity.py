"""Each measured field declared once; form, table, CSV, SR and the rest derive from this list."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Code:
    """A coded concept: (value, scheme designator, meaning)."""

    value: str
    scheme: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Quantity:
    """One number that Nodus measures.

    ``key`` is the field's name in ``NodeMeasurement`` and in JSON; ``unit`` what is printed;
    ``ucum`` the unit's UCUM code for DICOM and SDTM; ``decimals`` how many are shown (stored values
    are never rounded); ``code`` the DICOM concept where there is one; ``primary`` marks what stands
    in the short table beside the picture.
    """

    key: str
    label: str
    unit: str
    ucum: str
    decimals: int
    code: Code | None = None
    primary: bool = False

    def text(self, value: float | None) -> str:
        """The number with its unit as printed; an en dash where there is none."""
        if value is None or (isinstance(value, float) and not math.isfinite(value)):
            return "–"
        number = f"{value:.{self.decimals}f}"
        return f"{number} {self.unit}" if self.unit else number


_VOLUME = Code("118565006", "SCT", "Volume")
_LONG = Code("103339001", "SCT", "Long Axis")
_SHORT = Code("103340004", "SCT", "Short Axis")

QUANTITIES: tuple[Quantity, ...] = (
    Quantity("voxel_count", "Voxels", "", "1", 0),
    Quantity("voxel_volume_ml", "Volume", "ml", "cm3", 3, _VOLUME, primary=True),
    Quantity("voxel_volume_mm3", "Volume", "mm³", "mm3", 1, _VOLUME),
    Quantity("coverage_volume_ml", "Volume of the outline", "ml", "cm3", 3, _VOLUME),
    Quantity("mesh_volume_mm3", "Mesh volume", "mm³", "mm3", 1, _VOLUME),
    Quantity("surface_area_mm2", "Surface", "mm²", "mm2", 1),
    Quantity("surface_to_volume_per_mm", "Surface to volume", "1/mm", "/mm", 3),
    Quantity("sphericity", "Sphericity", "", "1", 3),
    Quantity("asphericity", "Asphericity", "", "1", 3),
    Quantity("compactness_1", "Compactness 1", "", "1", 4),
    Quantity("compactness_2", "Compactness 2", "", "1", 3),
    Quantity("max_3d_diameter_mm", "Largest 3D diameter", "mm", "mm", 1),
    Quantity("major_axis_mm", "Major axis", "mm", "mm", 1),
    Quantity("minor_axis_mm", "Minor axis", "mm", "mm", 1),
    Quantity("least_axis_mm", "Least axis", "mm", "mm", 1),
    Quantity("elongation", "Elongation", "", "1", 3),
    Quantity("flatness", "Flatness", "", "1", 3),
    Quantity("convex_hull_volume_mm3", "Convex hull volume", "mm³", "mm3", 1),
    Quantity("convex_hull_density", "Convex hull density", "", "1", 3),
    Quantity("long_axis_mm", "Long axis", "mm", "mm", 1, _LONG, primary=True),
    Quantity("short_axis_mm", "Short axis", "mm", "mm", 1, _SHORT, primary=True),
    Quantity("axial_slice_index", "Slice of the long axis", "", "1", 0),
    Quantity("ellipsoid_volume_ml", "Ellipsoid volume", "ml", "cm3", 3, _VOLUME),
    # No code: "Percent Change From Baseline" (C96621, NCIt) is its negative.
    Quantity("vrr_pct", "Volume reduction rate", "%", "%", 1),
)

BY_KEY: dict[str, Quantity] = {q.key: q for q in QUANTITIES}

# DICOM CID 7474, methods of volume measurement.
VOLUME_METHODS: dict[str, Code] = {
    "ellipsoid": Code("126029", "DCM", "LWH method for volume of ellipsoid"),
    "voxel": Code("126030", "DCM", "Sum of segmented voxel method for volume"),
    "contours": Code("122503", "DCM", "Integration of sum of closed areas on contiguous slices method for volume"),
}


def quantity(key: str) -> Quantity:
    """The declaration of field ``key``; ``KeyError`` where there is none."""
    return BY_KEY[key]


def interval_text(interval, key: str = "voxel_volume_ml") -> str:
    """A 95 % interval as printed, in the unit and decimals of ``key``; an en dash where unknown."""
    if interval is None:
        return "–"
    q = BY_KEY[key]
    low, high = interval
    return f"{low:.{q.decimals}f}–{high:.{q.decimals}f} {q.unit}".rstrip()
