"""The margin that an ablation reached: the lesion before it brought into the picture after it, held against the zone there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from app.jobs import JobContext
from app.usecases.files import read_json
from planning.errors import PlanRefused
from planning.shapes import MaskShape
from planning.thermal.margins import MarginFigures, capsule_near, margins, surface_of
from planning.thermal.plan import rigid_matrix
from volumetry.errors import NodusError
from volumetry.finding import Finding
from volumetry.mask import NodeMask

SPACING_MM = 1.0
POOR_MM = 2.0


@dataclass(frozen=True, slots=True, eq=False)
class Carried:
    """How points before the ablation are carried into the picture after it (``matrix``, LPS mm), and how far that can be
    trusted: ``residual_mm`` None where nobody measured it."""

    matrix: np.ndarray = field(default_factory=lambda: np.eye(4))
    method: str = "none"
    residual_mm: float | None = None
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class AblationMargin:
    """Margin of one lesion; ``without_capsule`` leaves out surface near the liver's capsule (None without a liver)."""

    name: str | None
    label: int
    lesion: MaskShape
    figures: MarginFigures
    without_capsule: MarginFigures | None


@dataclass(frozen=True, slots=True, eq=False)
class MarginAnswer:
    """All lesions of a mask against one zone."""

    lesions: tuple[AblationMargin, ...]
    carried: Carried
    capsule_mm: float
    findings: tuple[Finding, ...] = ()

    def to_dict(self) -> dict:
        """As printed by ``nodus margin --json``. ``margin_less_residual_mm``: the smallest margin if the registration is
        off by its residual just there."""
        residual = self.carried.residual_mm
        rows = []
        for m in self.lesions:
            row = {"label": m.label, "name": m.name, **m.figures.to_dict(), "without_capsule": None if m.without_capsule is None else m.without_capsule.to_dict()}
            least = row["minimal_margin_mm"]
            row["margin_less_residual_mm"] = None if residual is None or least is None else least - residual
            rows.append(row)
        found = (*self.carried.findings, *self.findings)
        return {"lesions": rows, "capsule_mm": self.capsule_mm,
                "registration": {"method": self.carried.method, "residual_mm": residual, "matrix": np.asarray(self.carried.matrix).tolist()},
                "warnings": [f.as_warning() for f in found]}


def measure_margins(lesions: tuple[NodeMask, ...], zone: NodeMask, carried: Carried, liver: NodeMask | None = None, *, capsule_mm: float = 5.0,
                    context: JobContext | None = None) -> MarginAnswer:
    """Signed sub-voxel margin of each lesion (masks of the picture before) to the zone (mask of the picture after).
    ``liver`` lies on the picture before. Refuses empty masks (``empty_mask``); raises ``Cancelled``."""
    context = context or JobContext()
    context.report("Finding the surface of the zone", 0.0)
    if not zone.array.any() or not all(mask.array.any() for mask in lesions):
        raise PlanRefused("The lesion or the zone has no surface.", code="empty_mask")
    zone_surface = surface_of(MaskShape(zone), SPACING_MM)
    out, findings = [], []
    for n, mask in enumerate(lesions):
        part = context.part(0.2 + 0.8 * n / len(lesions), 0.2 + 0.8 * (n + 1) / len(lesions))
        part.report("Measuring margins", 0.0)
        shape = MaskShape(mask)
        surface = surface_of(shape, SPACING_MM)
        part.report("Measuring margins", 0.3)
        figures = margins(surface, zone_surface, carried.matrix)
        part.report("Measuring margins", 0.7)
        if figures is None:
            raise PlanRefused("The lesion or the zone has no surface.", code="empty_mask")
        without = None
        if liver is not None:
            without = figures_away(figures, carried.matrix, liver, shape, capsule_mm)
            if not len(without.distance_mm):
                findings.append(Finding("all_near_capsule", f"{mask.name or f'Label {mask.label}'}: its whole surface lies within {capsule_mm:g} mm of the capsule.", "warning"))
        out.append(AblationMargin(mask.name, mask.label, shape, figures, without))
    if carried.residual_mm is None and carried.method != "none":
        findings.append(Finding("registration_unmeasured", "The error of the registration is not known: the margins may be off by more than they say.", "warning"))
    for mask in (*lesions, zone):
        findings += [f for f in mask.findings if f not in findings]
    context.report("Margins measured", 1.0)
    return MarginAnswer(tuple(out), carried, capsule_mm, tuple(findings))


def figures_away(figures: MarginFigures, matrix: np.ndarray, liver: NodeMask, lesion: MaskShape, capsule_mm: float) -> MarginFigures:
    """Without the points within ``capsule_mm`` of the liver's surface, both in the picture before."""
    capsule = capsule_near(MaskShape(liver), *lesion.bounds_mm(), capsule_mm, SPACING_MM)
    if capsule.tree is None:
        return figures
    before = surface_of(lesion, SPACING_MM).points_mm
    keep = capsule.tree.query(before)[0] >= capsule_mm
    return MarginFigures(figures.points_mm[keep], figures.distance_mm[keep], figures.weights[keep])


def read_transform(path: Path) -> Carried:
    """A matrix from a file: ``{"matrix": 4 x 4}`` as ``nodus register PRE POST --json`` prints it, with its residual."""
    content = read_json(path)
    if not isinstance(content, Mapping) or "matrix" not in content:
        raise PlanRefused(f"{path.name} holds no matrix.", code="bad_transform", hint="Give what nodus register PRE POST --json printed.")
    residual = content.get("residual_mm")
    if residual is not None and (isinstance(residual, bool) or not isinstance(residual, int | float) or not residual >= 0):
        raise PlanRefused(f"{path.name}: residual_mm is no number.", code="bad_transform")
    return Carried(np.array(rigid_matrix(content["matrix"], f"The matrix of {path.name}")), str(content.get("method") or "file"), None if residual is None else float(residual))


def margin_files(lesion_path: Path, zone_path: Path, context: JobContext, *, pre: Path | None = None, post: Path | None = None, transform: Path | None = None,
                 landmarks: Path | None = None, liver_path: Path | None = None, label: int | None = None, zone_label: int | None = None, capsule_mm: float = 5.0) -> MarginAnswer:
    """Margins from files. The pictures before and after are registered by content (on the liver, where it is given) or by
    landmarks; or a transform is given; or all masks are taken to lie in one frame, which is said.

    Refuses ``margin_inputs`` (a transform and pictures, one picture of two), ``label_missing``, and what readers and
    registration refuse.
    """
    from app.usecases.register import register_files
    from dicom_io.masks import read_masks

    if (pre is None) != (post is None):
        raise NodusError("A registration needs the picture before and the picture after.", code="margin_inputs", hint="Give both --pre and --post.")
    if transform is not None and (pre is not None or landmarks is not None):
        raise NodusError("Either a transform or pictures to be registered, not both.", code="margin_inputs", hint="Leave out --transform, or --pre, --post and --landmarks.")
    if landmarks is not None and pre is None:
        raise NodusError("Landmarks need the pictures they were set in.", code="margin_inputs", hint="Give both --pre and --post.")
    lesions = _masks(read_masks(lesion_path, image=pre), label, lesion_path)
    zone = _joined(_masks(read_masks(zone_path, image=post), zone_label, zone_path))
    liver = None if liver_path is None else _joined(_masks(read_masks(liver_path, image=pre), None, liver_path))
    if transform is not None:
        carried = read_transform(transform)
    elif pre is not None:
        found = register_files(pre, post, context.part(0.1, 0.8), landmarks_path=landmarks, mask_path=liver_path if landmarks is None else None)
        carried = Carried(found.matrix, found.method, found.residual_mm, found.findings)
    else:
        carried = Carried(findings=(Finding("not_registered", "Nothing was registered: lesion and zone are taken to lie in one frame.", "warning"),))
    return measure_margins(lesions, zone, carried, liver, capsule_mm=capsule_mm, context=context.part(0.8, 1.0))


def _masks(masks: tuple[NodeMask, ...], label: int | None, path: Path) -> tuple[NodeMask, ...]:
    found = tuple(m for m in masks if (label is None or m.label == label))
    if not found:
        raise PlanRefused(f"{path.name} has no label {label}." if label is not None else f"{path.name} holds no label.", code="label_missing")
    return found


def _joined(masks: tuple[NodeMask, ...]) -> NodeMask:
    if len(masks) == 1:
        return masks[0]
    return replace(masks[0], array=np.any([m.array for m in masks], axis=0), coverage_volume_ml=None)
