"""What pictures and logged values say about a subject's eligibility: one row a criterion of the protocol, met, not met or not known.

Pure: facts in, rows out. A fact that is missing makes a row "not known", never met; a limit that the protocol does not state makes no row.
The investigator decides; consent, laboratory and history stay in the EDC.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.study.clinical import Clearance
from app.study.model import UNKNOWN_LEVEL, Side
from app.study.protocol import StudyProtocol
from volumetry.metal import MetalNear

VERDICTS = {True: "met", False: "not met", None: "not known"}


@dataclass(frozen=True, slots=True)
class NodeFact:
    """A target as it was measured before the treatment; ``long_axis_mm`` None: not measured."""

    label: str
    side: str
    level: str
    long_axis_mm: float | None
    source: str  # which reading, by whom, whether signed
    short_axis_mm: float | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything known of one subject. ``metal`` holds what was found near each target, by its label; ``liver_fraction`` is (value, lower, upper)
    of 0 to 1; ``opinions`` name -> (met, source)."""

    nodes: tuple[NodeFact, ...] = ()
    metal: Mapping[str, tuple[MetalNear, str]] = field(default_factory=dict)
    liver_fraction: tuple[float, float | None, float | None] | None = None
    liver_source: str = ""
    clearance: Clearance | None = None
    clearance_source: str = ""
    opinions: Mapping[str, tuple[bool, str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EligibilityRow:
    """One criterion. ``met`` None: not known, and ``note`` says what is missing."""

    criterion: str
    value: float | int | str | None
    unit: str
    limit: str
    met: bool | None
    source: str
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        """An entry of ``rows`` in the answer of ``nodus study eligibility --json``."""
        return {name: getattr(self, name) for name in self.__slots__} | {"verdict": VERDICTS[self.met]}


def eligibility_rows(protocol: StudyProtocol, facts: Facts) -> tuple[EligibilityRow, ...]:
    """A row for each limit that the protocol states, in a fixed order."""
    limits = protocol.section("limits")
    rows: list[EligibilityRow] = []
    if limits.get("nodes_per_side") is not None:
        rows += [_count_a_side(facts.nodes, side, limits["nodes_per_side"]) for side in (Side.LEFT, Side.RIGHT)]
    if limits.get("lesions_min") is not None or limits.get("lesions_max") is not None:
        rows.append(_count(facts.nodes, limits.get("lesions_min"), limits.get("lesions_max")))
    if limits.get("measurable_lesions_min") is not None:
        rows.append(_measurable(facts.nodes, limits["measurable_lesions_min"]))
    for key, word in (("long_axis_below_mm", "below"), ("long_axis_at_most_mm", "at most")):
        if limits.get(key) is not None:
            rows.append(_longest(facts.nodes, limits[key], word))
    if limits.get("levels_excluded"):
        rows.append(_levels(facts.nodes, limits["levels_excluded"]))
    if (limits.get("metal") or {}).get("excluded"):
        rows.append(_metal(facts, limits["metal"]))
    if limits.get("liver_fraction_below") is not None:
        rows.append(_liver(facts, limits["liver_fraction_below"]))
    rows += _kidney(facts, limits)
    for opinion in limits.get("opinions") or ():
        met, source = facts.opinions.get(opinion["name"], (None, ""))
        rows.append(EligibilityRow(opinion["name"], None, "", opinion["text"], met, source, "" if met is not None else "Not recorded: a person states it."))
    return tuple(rows)


def _count_a_side(nodes: Sequence[NodeFact], side: Side, limit: int) -> EligibilityRow:
    """Nodes recorded on one side; those of unknown side or of the midline could be there too."""
    own = [n.label for n in nodes if n.side == side]
    maybe = [n.label for n in nodes if n.side not in (Side.LEFT, Side.RIGHT)]
    met = None if not nodes else False if len(own) > limit else None if len(own) + len(maybe) > limit else True
    note = "No target is recorded." if not nodes else f"Of unknown side or in the midline: {', '.join(maybe)}." if maybe else ""
    return EligibilityRow(f"nodes_{side}", len(own) if nodes else None, "", f"at most {limit}", met, ", ".join(own) if own else "targets of the study" if nodes else "", note)


def _count(nodes: Sequence[NodeFact], least: int | None, most: int | None) -> EligibilityRow:
    words = [f"at least {least}"] * (least is not None) + [f"at most {most}"] * (most is not None)
    met = None if not nodes else (least is None or len(nodes) >= least) and (most is None or len(nodes) <= most)
    return EligibilityRow("lesions", len(nodes) if nodes else None, "", ", ".join(words), met, ", ".join(n.label for n in nodes), "" if nodes else "No target is recorded.")


def _measurable(nodes: Sequence[NodeFact], least: int) -> EligibilityRow:
    """Targets that RECIST 1.1 calls measurable whatever they are: 10 mm along and, as a lymph node must, 15 mm across. One of 10 mm
    that is thinner is measurable as a tumour and not as a node, so that it decides nothing here."""
    sure = [n for n in nodes if (n.long_axis_mm or 0.0) >= 10.0 and (n.short_axis_mm or 0.0) >= 15.0]
    met = True if len(sure) >= least else None
    note = "" if met else "Not enough targets reach 10 mm along and 15 mm across; a tumour is measurable from 10 mm on, a node from 15 mm across."
    return EligibilityRow("measurable_lesions", len(sure), "", f"at least {least}", met, "; ".join(f"{n.label}: {n.source}" for n in sure), note)


def _longest(nodes: Sequence[NodeFact], limit: float, word: str) -> EligibilityRow:
    known = [n for n in nodes if n.long_axis_mm is not None]
    missing = [n.label for n in nodes if n.long_axis_mm is None]
    largest = max(known, key=lambda n: n.long_axis_mm, default=None)
    inside = largest is not None and (largest.long_axis_mm < limit if word == "below" else largest.long_axis_mm <= limit)
    met = None if largest is None else False if not inside else None if missing else True
    note = "No target is measured." if largest is None else f"Not measured: {', '.join(missing)}." if missing else ""
    return EligibilityRow("longest_axis", None if largest is None else largest.long_axis_mm, "mm", f"{word} {limit:g} mm", met, "" if largest is None else f"{largest.label}: {largest.source}", note)


def _levels(nodes: Sequence[NodeFact], excluded: Sequence[str]) -> EligibilityRow:
    there = [n for n in nodes if n.level in excluded]
    unknown = [n.label for n in nodes if n.level == UNKNOWN_LEVEL]
    met = None if not nodes else False if there else None if unknown else True
    note = "No target is recorded." if not nodes else f"Level not stated: {', '.join(unknown)}." if unknown else ""
    value = ", ".join(f"{n.label} {n.level}" for n in there) if there else "none" if met else None
    return EligibilityRow("levels", value, "", f"none in level {', '.join(excluded)}", met, "targets of the study" if nodes else "", note)


def _metal(facts: Facts, rule: Mapping[str, Any]) -> EligibilityRow:
    """Metal near any target. Nothing found counts only where every target was looked at, with all of its neighbourhood in the picture."""
    if rule.get("hu_from") is None or rule.get("within_mm") is None:
        return EligibilityRow("metal", None, "", "none", None, "", "The protocol states no density and distance for metal.")
    least = rule.get("voxels_from") or 1
    limit = f"fewer than {least} voxels from {rule['hu_from']:g} HU on within {rule['within_mm']:g} mm of a target"
    looked = {label: found for label, (found, _) in facts.metal.items()}
    if not looked:
        return EligibilityRow("metal", None, "voxels", limit, None, "", "No CT was looked at.")
    worst, found = max(looked.items(), key=lambda item: item[1].voxels)
    source = f"{worst}: {facts.metal[worst][1]}" + ("" if found.nearest_mm is None else f", nearest {found.nearest_mm:.1f} mm away, up to {found.max_hu:.0f} HU")
    if found.voxels >= least:
        return EligibilityRow("metal", found.voxels, "voxels", limit, False, source, "Enamel and dense bone can be as bright: look at the place.")
    missing = [n.label for n in facts.nodes if n.label not in looked]
    cut = [label for label, one in looked.items() if not one.whole]
    note = " ".join([f"Not looked at: {', '.join(missing)}."] * bool(missing) + [f"The picture ends near {', '.join(cut)}."] * bool(cut))
    return EligibilityRow("metal", found.voxels, "voxels", limit, None if note else True, source, note)


def _liver(facts: Facts, limit: float) -> EligibilityRow:
    words = f"below {100 * limit:.1f} % of the liver"
    if facts.liver_fraction is None:
        return EligibilityRow("liver_to_be_ablated", None, "%", words, None, "", "No plan has worked out the share of the liver.")
    value, low, high = facts.liver_fraction
    met: bool | None = value < limit
    note = ""
    if any(bound is not None and (bound < limit) is not met for bound in (low, high)):
        met, note = None, "The spread of the zones reaches across the limit."
    return EligibilityRow("liver_to_be_ablated", 100 * value, "%", words, met, facts.liver_source, note)


def _kidney(facts: Facts, limits: Mapping[str, Any]) -> list[EligibilityRow]:
    rows, got = [], facts.clearance
    doubt = "" if got is None else " ".join(f.message for f in got.findings)
    missing = "No creatinine is logged (study add-event, kind LAB)."
    for key, word, good in (
        ("creatinine_clearance_from_ml_per_min", "at least", lambda v, limit: v >= limit),
        ("creatinine_clearance_above_ml_per_min", "above", lambda v, limit: v > limit),
    ):
        limit = limits.get(key)
        if limit is None:
            continue
        met = None if got is None or doubt else good(got.ml_per_min, limit)
        note = missing if got is None else doubt
        other = limits.get("creatinine_clearance_alternative")
        if met is False and other:
            met, note = None, f"Otherwise met by: {other}; that is not kept here."
        rows.append(EligibilityRow("creatinine_clearance", None if got is None else got.ml_per_min, "mL/min", f"{word} {limit:g} mL/min", met, facts.clearance_source, note))
    limit = limits.get("creatinine_below_mg_per_dl")
    if limit is not None:
        met = None if got is None or doubt else got.creatinine_mg_per_dl < limit
        rows.append(EligibilityRow("creatinine", None if got is None else got.creatinine_mg_per_dl, "mg/dL", f"below {limit:g} mg/dL", met, facts.clearance_source, missing if got is None else doubt))
    return rows
