"""What still enhances, from a long- and a short-axis section of one node, as a share of its volume.

A section shows areas; the node has a volume. Let the node be an ellipsoid, cut through its middle lengthwise and across, and let
depth be the direction that both sections share. For a part that is an ellipsoid about the same middle, with the fractions p
(length), q (width) and r (depth) of the node's axes, the sections show the shares s1 = p r and s2 = q r, and its share of the volume is

    v = p q r = s1 s2 / r.

r is seen in both sections. Where it is not known, p and q are at most 1, so s1 s2 <= v <= min(s1, s2): least where the part spans the
whole depth. A part of the node's own shape (p = q = r = k) has s = k^2 and v = k^3 = s^1.5: its share of area is larger than its share
of volume, at k = 1/2 twice as large. The reverse holds for what surrounds such a part: what is left around an ablated middle has
v = 1 - (1 - s1)(1 - s2) / r, more than its share of area. A part that reaches through the node alike everywhere (its near half) has
v = s. So no one formula is true: the share of area is given, its interval of volume reaches from s1 s2 to 1 - (1 - s1)(1 - s2), which holds
all of these, and where both sections show that a part lies wholly inside the node and in its middle, the share as a solid is given
beside it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from volumetry.ellipsoid import depths_differ
from volumetry.finding import Finding
from volumetry.perfusion.enhancement import EnhancementAssessment
from volumetry.perfusion.loop import PerfusionRefused

# A part off the middle by this share of its own half size has at most 1 - 0.25^2 = 94 % of its largest section in the other plane.
MIDDLE_SHARE = 0.25
PCT = 100.0


@dataclass(frozen=True, slots=True)
class PlaneShare:
    """One section. ``viable_pct`` with its interval (None: not evaluable) of ``node_mm2``; ``node_depth_mm``: how far the node reaches in
    depth. ``inside``: ``viable`` or ``ablated`` where that part is one piece wholly inside the other and in the node's middle, else
    empty; ``inside_depth`` is then its extent in depth as a fraction of the node's."""

    grade: str
    node_mm2: float
    node_depth_mm: float | None
    viable_pct: float | None
    viable_interval_pct: tuple[float, float] | None
    inside: str = ""
    inside_depth: float | None = None

    @classmethod
    def of(cls, found: EnhancementAssessment, mm_per_pixel: tuple[float, float] | None) -> PlaneShare:
        """The section of an assessment; ``mm_per_pixel`` (x, y) of its loop, None where it has no scale."""
        inside, fraction = _inside(found.node, found.viable) if found.viable_pct is not None else ("", None)
        depth = None if mm_per_pixel is None else float(_extent(found.node, 0)) * mm_per_pixel[1]
        return cls(found.grade, found.node_mm2, depth, found.viable_pct, found.viable_interval_pct, inside, fraction)


@dataclass(frozen=True, slots=True)
class TwoPlanes:
    """What still enhances, by both sections. ``viable_pct``: share of area, both sections weighted by their area;
    ``viable_interval_pct`` spans the intervals of both. ``volume_interval_pct``: what share of the volume that may be, for shapes between
    a part in the middle and one around the middle. ``solid_pct``: share of volume where both sections show a part inside and in the middle
    (``inside``: which), else None. ``viable_ml``, ``viable_interval_ml``, ``ablated_ml``, ``solid_ml``: of ``node_ml``, whose own interval is not in them.
    ``grade``: the higher of the two; NE where one section cannot be judged and the other shows no part that enhances."""

    planes: tuple[PlaneShare, PlaneShare]
    grade: str
    viable_pct: float | None
    viable_interval_pct: tuple[float, float] | None
    volume_interval_pct: tuple[float, float] | None
    inside: str
    solid_pct: float | None
    node_ml: float | None
    findings: tuple[Finding, ...] = ()

    def _ml(self, pct: float | None) -> float | None:
        return None if pct is None or self.node_ml is None else pct / PCT * self.node_ml

    @property
    def viable_ml(self) -> float | None:
        """Share of area applied to the node's volume."""
        return self._ml(self.viable_pct)

    @property
    def ablated_ml(self) -> float | None:
        """The rest of the node."""
        return None if self.viable_pct is None else self._ml(PCT - self.viable_pct)

    @property
    def viable_interval_ml(self) -> tuple[float, float] | None:
        """``volume_interval_pct`` applied to the node's volume."""
        if self.volume_interval_pct is None or self.node_ml is None:
            return None
        return self._ml(self.volume_interval_pct[0]), self._ml(self.volume_interval_pct[1])

    @property
    def solid_ml(self) -> float | None:
        """The part as a solid."""
        return self._ml(self.solid_pct)

    def as_dict(self) -> dict:
        """Plain values."""
        names = ("grade", "viable_pct", "viable_interval_pct", "volume_interval_pct", "solid_pct", "node_ml", "viable_ml", "viable_interval_ml", "ablated_ml", "solid_ml")
        planes = [
            {"grade": p.grade, "viable_pct": p.viable_pct, "viable_interval_pct": p.viable_interval_pct, "node_mm2": p.node_mm2, "node_depth_mm": p.node_depth_mm, "inside": p.inside or None, "inside_depth": p.inside_depth}
            for p in self.planes
        ]
        return {**{n: getattr(self, n) for n in names}, "inside": self.inside or None, "planes": planes, "warnings": [f.as_warning() for f in self.findings]}


def share_of_two_planes(first: PlaneShare, second: PlaneShare, *, node_ml: float | None = None) -> TwoPlanes:
    """Both sections of one node, taken at a right angle through its middle (that is the reader's statement), as one.

    Findings: ``share_of_two_planes`` (how the share came about), ``planes_disagree`` (the two intervals do not meet),
    ``common_diameter_differs``, ``part_lies_inside`` (the share of area leans to one side; which, and what the solid has),
    ``plane_not_evaluable``. Refuses (``PerfusionRefused``, ``bad_volume``) a volume that is not above 0.
    """
    if node_ml is not None and not (math.isfinite(node_ml) and node_ml > 0):
        raise PerfusionRefused("The node's volume must be above 0 ml.", code="bad_volume")
    planes, findings = (first, second), []
    depths = [p.node_depth_mm for p in planes]
    if None not in depths and depths_differ(*depths):
        findings.append(Finding("common_diameter_differs", f"The node reaches {depths[0]:.1f} mm in depth in one section and {depths[1]:.1f} mm in the other: are both through its middle?"))
    if any(p.viable_pct is None for p in planes):
        findings.append(Finding("plane_not_evaluable", "One of the two sections cannot be judged: no viable volume is given for both.", "serious"))
        return TwoPlanes(planes, _grade(planes), None, None, None, "", None, node_ml, tuple(findings))
    total = sum(p.node_mm2 for p in planes)
    pct = sum(p.viable_pct * p.node_mm2 for p in planes) / total
    low, high = min(p.viable_interval_pct[0] for p in planes), max(p.viable_interval_pct[1] for p in planes)
    (low1, high1), (low2, high2) = (p.viable_interval_pct for p in planes)
    volume = low1 * low2 / PCT, PCT - (PCT - high1) * (PCT - high2) / PCT
    findings.append(
        Finding(
            "share_of_two_planes",
            "The viable volume is the share of area in two sections, applied to the volume of the node. A part in the middle takes less of the volume than of the sections, one around the middle more; its interval holds both. What lies beside the two sections was not seen.",
            "info",
        )
    )
    if max(p.viable_interval_pct[0] for p in planes) > min(p.viable_interval_pct[1] for p in planes):
        findings.append(
            Finding("planes_disagree", f"The two sections disagree by more than their intervals: {first.viable_pct:.0f} % enhances in one, {second.viable_pct:.0f} % in the other. The part does not lie alike in both.")
        )
    inside = first.inside if first.inside and first.inside == second.inside else ""
    solid = _solid_pct(planes, inside) if inside else None
    if solid is not None:
        which, way = ("What enhances", "larger") if inside == "viable" else ("What is ablated", "smaller")
        findings.append(
            Finding("part_lies_inside", f"{which} lies inside the node in both sections: as a solid {solid:.0f} % of the volume would be viable; the share of area, {pct:.0f} %, is {way} than that.", "warning")
        )
    return TwoPlanes(planes, _grade(planes), pct, (low, high), volume, inside, solid, node_ml, tuple(findings))


def share_of_assessments(
    first: EnhancementAssessment, second: EnhancementAssessment, mm_per_pixel: tuple[tuple[float, float] | None, tuple[float, float] | None], *, node_ml: float | None = None
) -> TwoPlanes:
    """``share_of_two_planes`` from the assessments of two loops; ``mm_per_pixel`` (x, y) of each."""
    return share_of_two_planes(PlaneShare.of(first, mm_per_pixel[0]), PlaneShare.of(second, mm_per_pixel[1]), node_ml=node_ml)


def _solid_pct(planes: tuple[PlaneShare, PlaneShare], inside: str) -> float:
    """Share of the volume that is viable: s1 s2 / r of the part inside; r, measured twice, is never below a share that it spans."""
    shares = [(p.viable_pct if inside == "viable" else PCT - p.viable_pct) / PCT for p in planes]
    r = min(1.0, max(*shares, sum(p.inside_depth for p in planes) / 2))
    part = shares[0] * shares[1] / r
    return PCT * (part if inside == "viable" else 1 - part)


def _grade(planes: tuple[PlaneShare, PlaneShare]) -> str:
    known = [p.grade for p in planes if p.grade != "NE"]
    highest = max(known, default="NE")
    return highest if len(known) == 2 or highest in ("2", "3") else "NE"


def _extent(mask: np.ndarray, axis: int) -> int:
    """Pixels from the first to the last one along an axis."""
    at = np.flatnonzero(mask.any(axis=1 - axis))
    return int(at[-1] - at[0] + 1) if at.size else 0


def _inside(node: np.ndarray, viable: np.ndarray) -> tuple[str, float | None]:
    """Which part, if one, is a single piece inside the other and in the middle; and its extent in depth over the node's."""
    for name, part in (("viable", viable & node), ("ablated", node & ~viable)):
        if not part.any() or ndimage.label(part)[1] != 1 or (ndimage.binary_dilation(part) & ~node).any() or _at_edge(part):
            continue
        off = [abs(_middle(part, axis) - _middle(node, axis)) / (0.5 * _extent(part, axis)) for axis in (0, 1)]
        if max(off) <= MIDDLE_SHARE:
            return name, _extent(part, 0) / _extent(node, 0)
    return "", None


def _at_edge(part: np.ndarray) -> bool:
    return bool(part[0].any() or part[-1].any() or part[:, 0].any() or part[:, -1].any())


def _middle(mask: np.ndarray, axis: int) -> float:
    at = np.flatnonzero(mask.any(axis=1 - axis))
    return 0.5 * float(at[0] + at[-1])

