"""Deciding which slices of a series belong together.

One SeriesInstanceUID may hold several stacks: a localizer, two orientations, two echoes, a second
block far away. Each becomes a stack of its own; nothing is thrown together because of its UID.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from dicom_io.planes import MARKS, FramePlane
from dicom_io.stack import SAME_PLANE_MM, StackLayout, lay_out, normal_of, split_by_gaps
from volumetry.finding import Finding

if TYPE_CHECKING:
    from dicom_io.scan import FileFacts

# Values of slices that differ in these cannot be compared.
NEVER_ONE_STACK = frozenset({"EchoNumbers", "EchoTime", "ConvolutionKernel", "DiffusionBValue"})
# Directions agree within this (about 0.06 degrees); pixel spacings within this share.
SAME_DIRECTION = 1e-3
SAME_SPACING = 1e-3

Slice = tuple["FileFacts", FramePlane]


@dataclass(frozen=True, slots=True, eq=False)
class Stack:
    """Slices of one stack in order of position, one entry a slice, and how they lie."""

    facts: tuple[FileFacts, ...]
    planes: tuple[FramePlane, ...]
    layout: StackLayout
    findings: tuple[Finding, ...]

    @property
    def spacing_mm(self) -> tuple[float, float, float | None]:
        """Between columns, between rows, between planes of the volume (the perpendicular distance;
        the usual step where no volume can be made; None for a single slice)."""
        row_mm, column_mm = self.planes[0].pixel_spacing_mm
        offsets = self.layout.offsets_mm
        if len(offsets) < 2:
            return (column_mm, row_mm, None)
        if self.layout.step_mm is not None:
            return (column_mm, row_mm, round(float(offsets[-1] - offsets[0]) / (self.layout.count - 1), 9))
        return (column_mm, row_mm, round(float(np.median(np.diff(offsets))), 9))


def _alike(a: Slice, b: Slice) -> bool:
    """True where two slices can lie in one stack: patient, kind, size, direction, pixel spacing, not localizers."""
    (fact_a, plane_a), (fact_b, plane_b) = a, b
    if fact_a.is_localizer or fact_b.is_localizer:
        return False
    return (
        fact_a.sop_class == fact_b.sop_class
        and plane_a.group == plane_b.group
        and (fact_a.study_uid, fact_a.patient_id, fact_a.samples) == (fact_b.study_uid, fact_b.patient_id, fact_b.samples)
        and (fact_a.rows, fact_a.columns) == (fact_b.rows, fact_b.columns)
        and fact_a.frame_of_reference_uid == fact_b.frame_of_reference_uid
        and _apart(plane_a.orientation, plane_b.orientation) <= SAME_DIRECTION
        and _apart(plane_a.pixel_spacing_mm, plane_b.pixel_spacing_mm) <= SAME_SPACING * max(plane_a.pixel_spacing_mm)
    )


def _apart(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    return 0.0 if a == b else max(abs(x - y) for x, y in zip(a, b, strict=True))


def _clusters(slices: list[Slice]) -> list[list[Slice]]:
    out: list[list[Slice]] = []
    for one in slices:
        home = next((cluster for cluster in out if _alike(cluster[0], one)), None)
        if home is None:
            out.append([one])
        else:
            home.append(one)
    return out


def _along(slices: list[Slice]) -> np.ndarray:
    normal = normal_of(np.array(slices[0][1].orientation))
    return np.array([p.position_mm for _, p in slices]) @ normal


def _repeats(slices: list[Slice]) -> bool:
    along = np.sort(_along(slices))
    return bool(len(along) > 1 and (np.diff(along) <= SAME_PLANE_MM).any())


def _instance(one: Slice) -> tuple[int, int, str]:
    fact, plane = one
    return (fact.instance if fact.instance is not None else 1 << 40, plane.frame, fact.name)


def _families(slices: list[Slice], marks: tuple[int, ...]) -> list[list[Slice]] | None:
    """Slices by the values of these marks; None where they do not tell anything apart."""
    found: dict[tuple, list[Slice]] = {}
    for one in slices:
        found.setdefault(tuple(one[1].marks[n] if n < len(one[1].marks) else None for n in marks), []).append(one)
    # A mark that differs from slice to slice (a time) would tear every slice off.
    telling = len(found) > 1 and (min(len(f) for f in found.values()) > 1 or len(slices) == len(found) == 2)
    return list(found.values()) if telling else None


def _side_by_side(families: list[list[Slice]]) -> bool:
    """True where all families lie over more than a quarter of the shortest one's length."""
    ends = [(float(a.min()), float(a.max())) for a in map(_along, families)]
    shared = min(high for _, high in ends) - max(low for low, _ in ends)
    return shared > 0.25 * min(high - low for low, high in ends)


def _layout(family: list[Slice]) -> StackLayout:
    return lay_out(np.array([p.position_mm for _, p in family]), np.array(family[0][1].orientation))


def _is_even(layout: StackLayout) -> bool:
    return layout.step_mm is not None and layout.source_index is None


def _interleaved(slices: list[Slice]) -> list[list[Slice]] | None:
    """Several stacks whose slices lie between each other's, or behind one another with steps of their own;
    None for one stack. Slices of two echoes or kernels are never one stack, whatever their places."""
    if len(slices) < 4:
        return None
    for n in range(len(MARKS)):
        families = _families(slices, (n,))
        if families and MARKS[n] in NEVER_ONE_STACK and _side_by_side(families):
            return families
    if _is_even(_layout(slices)):
        return None
    for n in range(len(MARKS)):
        families = _families(slices, (n,))
        if not families or min(map(len, families)) < 3:
            continue
        layouts = [_layout(f) for f in families]
        if not all(map(_is_even, layouts)):
            continue
        steps = [float(np.linalg.norm(layout.step_mm)) for layout in layouts]
        if _side_by_side(families) or max(steps) > 1.05 * min(steps):
            return families
    return None


def _untangle(slices: list[Slice]) -> tuple[list[list[Slice]], list[tuple[str, str]], tuple[Finding, ...]]:
    """Separate slices lying in the same places; else keep one of each place.

    Returns stacks, (file, message) left out, findings.
    """
    if not _repeats(slices):
        return _interleaved(slices) or [slices], [], ()
    for marks in [*combinations(range(len(MARKS)), 1), *combinations(range(len(MARKS)), 2)]:
        families = _families(slices, marks)
        if families and not any(_repeats(f) for f in families):
            return families, [], ()
    ordered = sorted(slices, key=_instance)
    along = _along(ordered)
    place = np.round((along - along.min()) / max(SAME_PLANE_MM * 10, 1e-9)).astype(int)
    counts = {p: int((place == p).sum()) for p in set(place)}
    if len(set(counts.values())) == 1 and len(counts) > 1:
        times = next(iter(counts.values()))
        stacks: list[list[Slice]] = [[] for _ in range(times)]
        turn: dict[int, int] = {}
        for one, p in zip(ordered, place, strict=True):
            stacks[turn.get(p, 0)].append(one)
            turn[p] = turn.get(p, 0) + 1
        return stacks, [], ()
    kept: list[Slice] = []
    dropped: list[tuple[str, str]] = []
    taken: dict[int, Slice] = {}
    for one, p in zip(ordered, place, strict=True):
        if p in taken:
            dropped.append((one[0].name, f"{one[0].name} lies in the same place as {taken[p][0].name}; the first is used."))
        else:
            taken[p] = one
            kept.append(one)
    note = Finding("duplicate_slice", f"{len(dropped)} slice(s) lie where another one lies already; they are left out.", "warning")
    return [kept], dropped, (note,)


def split_series(facts: list[FileFacts]) -> tuple[list[Stack], list[tuple[str, str]]]:
    """Stacks of one series, and (file, message) of slices left out as duplicates of a place."""
    slices = [(fact, plane) for fact in facts for plane in fact.planes if plane is not None]
    stacks: list[Stack] = []
    dropped: list[tuple[str, str]] = []
    for cluster in _clusters(slices):
        families, left_out, findings = _untangle(cluster)
        dropped += left_out
        for family in families:
            stacks += _stacks(family, findings)
    return stacks, dropped


def _stacks(family: list[Slice], findings: tuple[Finding, ...]) -> list[Stack]:
    order = np.argsort(_along(family), kind="stable")
    family = [family[n] for n in order]
    thickness = next((p.thickness_mm for _, p in family if p.thickness_mm), None)
    out = []
    for part in split_by_gaps(_along(family), thickness):
        chosen = [family[n] for n in part]
        positions = np.array([p.position_mm for _, p in chosen])
        layout = lay_out(positions, np.array(chosen[0][1].orientation), [_number(s) for s in chosen])
        chosen = [chosen[n] for n in layout.order]
        notes = [*findings, *layout.findings]
        if len(chosen) == 1 and not chosen[0][0].is_localizer:
            notes.append(Finding("spacing_unknown", "A single slice has no spacing of its own: no volume can be measured on it.", "warning"))
        rescale = {(p.slope, p.intercept) for _, p in chosen}
        if chosen[0][0].modality == "CT":
            if len(rescale) > 1:
                notes.append(Finding("mixed_rescale", "Slices are scaled to HU differently; each is scaled by its own header.", "info"))
            notes += _unit_notes({p.rescaled_to for _, p in chosen})
        if chosen[0][0].modality == "PT" and not one_unit({p.rescaled_to for _, p in chosen}):
            notes.append(Finding("unit_unknown", "Slices have different units, or one does not say how stored values reach its unit; they are shown without one.", "serious"))
        out.append(Stack(tuple(f for f, _ in chosen), tuple(p for _, p in chosen), layout, tuple(notes)))
    return out


def ct_unit(kinds: set[str | None]) -> str:
    """What the values of a CT are, from what its slices are rescaled to: ``HU`` only where every one of them says so;
    another type as it is written; ``1`` where it is unknown or mixed. (US means unspecified.)"""
    (kind,) = kinds if len(kinds) == 1 else (None,)
    return "1" if kind in (None, "US") else kind


def one_unit(kinds: set[str | None]) -> bool:
    """True where all slices are rescaled to one and the same thing."""
    return len(kinds) == 1 and None not in kinds


def _unit_notes(kinds: set[str | None]) -> list[Finding]:
    if ct_unit(kinds) == "HU":
        return []
    if None in kinds:
        return [Finding("hu_unknown", "The header of at least one slice does not say how stored values become HU; they are shown as stored, without a unit.", "serious")]
    return [Finding("not_hu", f"The header does not call the values of this CT Hounsfield units but {', '.join('unspecified' if k == 'US' else k for k in sorted(kinds))}.", "warning")]


def _number(one: Slice) -> int | None:
    fact, plane = one
    return plane.frame if fact.frames > 1 else fact.instance
