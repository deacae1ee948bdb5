"""Kept plan runs for people: rows of the list, of needles as they lie, of planned against actual, of delivered pulses."""

from __future__ import annotations

import math
from dataclasses import dataclass

from app.ui.models.records import Column
from app.ui.text import t
from app.ui.widgets.figures import DASH, number_text
from app.ui.widgets.palette import DANGER, MUTED, WARNING
from app.usecases.plan import NeedleDraft

MINUS = "−"


def session_names() -> dict[str | None, str]:
    """Sessions of treatment for people, by stored value."""
    return {None: t("Not stated"), "day0": t("Day 0"), "salvage": t("Salvage")}


def kind_names() -> dict[str, str]:
    """Kinds of run for people."""
    return {"planned": t("planned"), "actual": t("as they lie")}


def moment(utc: str) -> str:
    """``2026-11-20 20:11`` of a stored time stamp (UTC)."""
    return utc[:16].replace("T", " ")


def signed(value: float | None, decimals: int) -> str:
    """A difference with its sign; a dash where it is not known."""
    if value is None:
        return DASH
    text = number_text(value, decimals)
    return text if text.startswith(MINUS) or float(f"{value:.{decimals}f}") == 0 else f"+{text}"


def cover_text(pct: float | None) -> str:
    """Cover with one decimal, never rounded up: 99.96 is not the whole."""
    return DASH if pct is None else number_text(math.floor(pct * 10.0 + 1e-9) / 10.0, 1)


def modality_words(run) -> str:
    """``RFA``, ``Cryo + RF`` or ``IRE``."""
    return {"rfa": t("RFA"), "cryo_rf": t("Cryo + RF"), "ire": t("IRE")}.get(run.modality, run.modality)


def rounds_words(run) -> str:
    """``round 1, 2`` of a plan of heat or cold."""
    return t("round {n}").format(n=", ".join(map(str, run.rounds)))


def run_words(run) -> str:
    """One line on a run: ``Day 0, planned, 2026-11-20 20:11 UTC, covers 98.2 %, refused``."""
    parts = [session_names().get(run.session, run.session), kind_names().get(run.kind, run.kind), f"{moment(run.created_utc)} UTC"]
    if run.thermal:
        parts[:2] = [modality_words(run), rounds_words(run), *([] if run.session is None else [parts[0]])]
    if run.coverage_pct is not None:
        parts.append(t("covers {p} %").format(p=cover_text(run.coverage_pct)))
    if run.refused:
        parts.append(t("refused"))
    return ", ".join(parts)


def run_tip(run, visit: str) -> str:
    """All that the list knows of a run."""
    lines = [run.plan_run_id, run_words(run), t("Pictures of {visit}").format(visit=visit) if visit else t("Visit not stated")]
    if run.refused:
        lines.append(t("Refused: {codes}").format(codes=", ".join(run.refused)))
    if run.planned_id:
        lines.append(t("Needles of {run}").format(run=run.planned_id))
    if run.predecessor_id:
        lines.append(t("Follows {run}").format(run=run.predecessor_id))
    lines.append(t("{n} records of what was delivered").format(n=run.deliveries))
    return "\n".join(lines)


def run_columns(visit_name) -> tuple[Column, ...]:
    """``visit_name(visit_id)`` names a visit."""

    def tip(r) -> str:
        return run_tip(r, visit_name(r.visit_id))

    return (
        Column(t("Kept, UTC"), lambda r: r.created_utc, lambda r: moment(r.created_utc), tip=tip, weight=13),
        Column(t("Session"), lambda r: r.session or "", lambda r: rounds_words(r) if r.thermal else DASH if r.session is None else session_names()[r.session], tip=tip, weight=6),
        Column(t("Needles"), lambda r: r.kind, lambda r: modality_words(r) if r.thermal else kind_names().get(r.kind, r.kind), tip=tip, weight=7),
        Column("%", lambda r: r.coverage_pct, lambda r: ("✕ " if r.refused else "") + cover_text(r.coverage_pct), tip=tip, heading_tip=t("Part of the target covered; ✕: the plan is refused"), colour=lambda r: DANGER if r.refused else None, weight=6, right=True),
        Column(t("Run"), lambda r: r.plan_run_id, hidden=True),
    )


# ---- needles as they lie -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PointRow:
    """One end of a needle, LPS mm, and how far it lies from where it was planned (None: it was not)."""

    needle: NeedleDraft
    end: str
    point_mm: tuple[float, float, float]
    off_mm: float | None

    @property
    def name(self) -> str:
        """``E1 tip``."""
        return f"{self.needle.id} " + (t("tip") if self.end == "tip" else t("entry"))


def point_rows(needles, planned) -> list[PointRow]:
    """Tip and entry of every needle."""
    was = {n.id: n for n in planned}
    rows = []
    for n in needles:
        for end in ("tip", "entry"):
            here = getattr(n, f"{end}_mm")
            there = None if n.id not in was else getattr(was[n.id], f"{end}_mm")
            rows.append(PointRow(n, end, here, None if there is None else sum((a - b) ** 2 for a, b in zip(here, there, strict=True)) ** 0.5))
    return rows


def point_columns(change) -> tuple[Column, ...]:
    """``change(row, axis, mm)`` is called when a coordinate is typed."""

    def axis(n: int, letter: str, way: str, back: str) -> Column:
        return Column(
            letter, lambda r: r.point_mm[n], lambda r: number_text(r.point_mm[n], 1), right=True, weight=6, edit=lambda r, v: change(r, n, float(v)),
            heading_tip=t("mm towards the patient's {way}; negative: {back}").format(way=way, back=back), tip=lambda r: t("{name}: double click or F2 to type").format(name=r.name),
        )  # fmt: skip

    return (
        Column(t("Point"), lambda r: r.name, weight=8),
        axis(0, "L", t("left"), t("right")),
        axis(1, "P", t("back"), t("front")),
        axis(2, "S", t("head"), t("feet")),
        Column("Δ", lambda r: r.off_mm, lambda r: number_text(r.off_mm, 1), right=True, weight=4, heading_tip=t("mm from where it was planned"), colour=lambda r: WARNING if (r.off_mm or 0) >= 2.0 else MUTED),
    )


def shift_columns() -> tuple[Column, ...]:
    """Needles as they lie against the plan: how far off the tip is, deeper, aside, turned."""
    return (
        Column(t("Needle"), lambda r: r["id"], weight=5),
        Column(t("Tip off"), lambda r: r["tip_shift_mm"], lambda r: number_text(r["tip_shift_mm"], 1), unit="mm", weight=7, colour=lambda r: WARNING if r["tip_shift_mm"] >= 2.0 else None),
        Column(t("Deeper"), lambda r: r["deeper_mm"], lambda r: signed(r["deeper_mm"], 1), right=True, heading_tip=t("mm along the planned needle; negative: shallower"), weight=6),
        Column(t("Aside"), lambda r: r["aside_mm"], lambda r: number_text(r["aside_mm"], 1), right=True, heading_tip=t("mm across the planned needle"), weight=5),
        Column(t("Angle"), lambda r: r["angle_deg"], lambda r: number_text(r["angle_deg"], 1), right=True, heading_tip=t("degrees between planned and lying needle"), weight=5, colour=lambda r: WARNING if r["angle_deg"] >= 5.0 else None),
    )


# ---- two plans in columns ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class BothRow:
    """A figure of two plans. ``worse``: 1 where more is worse, -1 where less is worse, 0 where neither can be said."""

    name: str
    unit: str
    decimals: int
    first: float | None
    second: float | None
    worse: int = 0

    @property
    def difference(self) -> float | None:
        """Second less first."""
        return None if self.first is None or self.second is None else self.second - self.first

    @property
    def is_worse(self) -> bool:
        """True where the second is worse by what can be seen."""
        d = self.difference
        return d is not None and self.worse * round(d, self.decimals) > 0


def both_rows(found: dict) -> list[BothRow]:
    """All figures of ``compare_plans``: cover first, then spacing, pairs, and structures at risk."""
    rows: list[BothRow] = []

    def add(name: str, unit: str, decimals: int, both: dict, worse: int = 0) -> None:
        if both["planned"] is not None or both["actual"] is not None:
            rows.append(BothRow(name, unit, decimals, both["planned"], both["actual"], worse))

    for x in found["targets"]:
        add(t("{name} covered").format(name=x["name"]), "%", 1, x["coverage_pct"], -1)
        add(t("{name} least margin").format(name=x["name"]), "mm", 1, x["minimal_margin_mm"], -1)
        add(t("{name} with margin").format(name=x["name"]), "%", 1, x["margin_coverage_pct"], -1)
        add(t("{name} lowest field").format(name=x["name"]), "V/cm", 0, x["min_v_per_cm"], -1)
    add(t("Ablation volume"), "ml", 2, found["ablation_ml"])
    add(t("Outside targets"), "ml", 2, found["collateral_ml"], 1)
    for x in found["at_risk"]:
        add(t("{name} highest field").format(name=x["name"]), "V/cm", 0, x["max_v_per_cm"], 1)
        add(t("{name} above lethal").format(name=x["name"]), "ml", 3, x["volume_above_lethal_ml"], 1)
        add(t("{name} to needle").format(name=x["name"]), "mm", 1, x["min_distance_mm"], -1)
    for x in found["spacing"]:
        add(t("{a}–{b} apart").format(a=x["needles"][0], b=x["needles"][1]), "mm", 1, x["distance_mm"])
        add(t("{a}–{b} angle").format(a=x["needles"][0], b=x["needles"][1]), "°", 1, x["angle_deg"])
    for x in found["pairs"]:
        add(f"{x['anode']} → {x['cathode']}", "V", 0, x["voltage_v"])
        add(f"{x['anode']} → {x['cathode']}", "A", 1, x["current_a"], 1)
        add(f"{x['anode']} → {x['cathode']}", "V/cm", 0, x["v_per_cm"])
    return rows


def thermal_rows(found: dict) -> list[BothRow]:
    """All figures of ``thermal_runs.compare_answers``: lesions first, then zones, liver and structures at risk."""
    rows: list[BothRow] = []

    def add(name: str, unit: str, decimals: int, both: dict, worse: int = 0) -> None:
        if both["planned"] is not None or both["actual"] is not None:
            rows.append(BothRow(name, unit, decimals, both["planned"], both["actual"], worse))

    for x in found["lesions"]:
        add(t("{name} in the zones").format(name=x["name"]), "%", 1, x["coverage_pct"], -1)
        add(t("{name} least margin").format(name=x["name"]), "mm", 1, x["minimal_margin_mm"], -1)
        add(t("{name} volume").format(name=x["name"]), "ml", 2, x["volume_ml"])
    add(t("Chart zones"), "ml", 1, found["zone_ml"])
    add(t("Outside lesions"), "ml", 1, found["collateral_ml"], 1)
    add(t("Share of the liver"), "%", 1, found["liver_pct"], 1)
    for x in found["at_risk"]:
        add(t("{name} to zone").format(name=x["name"]), "mm", 1, x["zone_distance_mm"], -1)
        add(t("{name} in the zones").format(name=x["name"]), "ml", 2, x["overlap_ml"], 1)
    add(t("Applications"), "", 0, found["applications"])
    return rows


def both_columns(first: str, second: str) -> tuple[Column, ...]:
    """Name with unit, both figures, and the difference."""
    return (
        Column(t("Figure"), lambda r: r.name, lambda r: f"{r.name} {r.unit}", tip=lambda r: f"{r.name}, {r.unit}", weight=12),
        Column(first, lambda r: r.first, lambda r: number_text(r.first, r.decimals), right=True, weight=5),
        Column(second, lambda r: r.second, lambda r: number_text(r.second, r.decimals), right=True, weight=5),
        Column("Δ", lambda r: r.difference, lambda r: signed(r.difference, r.decimals), right=True, weight=5, heading_tip=t("Second less first"), tip=lambda r: t("Worse than the first") if r.is_worse else signed(r.difference, r.decimals), colour=lambda r: WARNING if r.is_worse else None),
    )


# ---- delivered -----------------------------------------------------------------------------------


def delivered_columns() -> tuple[Column, ...]:
    """Delivered against planned pulses, a row a pair."""

    def tip(r: dict) -> str:
        lines = [f"{r['anode']} → {r['cathode']}", t("{n} of {m} pulses").format(n=r["pulses"]["actual"], m=r["pulses"]["planned"])]
        if r["voltage_v"]["actual"] is not None:
            lines.append(t("lowest {v} V of {w} V").format(v=number_text(r["voltage_v"]["actual"], 0), w=number_text(r["voltage_v"]["planned"], 0)))
        lines += [t("Aborted: {why}").format(why=why) for why in r["abort_reasons"]]
        return "\n".join(lines)

    def state(r: dict) -> str:
        if r["aborted"]:
            return t("aborted")
        return t("complete") if r["complete"] else t("few pulses") if r["pulses"]["difference"] < 0 else t("low V")

    return (
        Column(t("Pair"), lambda r: f"{r['anode']} → {r['cathode']}", tip=tip, weight=7),
        Column(t("Pulses"), lambda r: r["pulses"]["actual"], lambda r: f"{r['pulses']['actual']} / {r['pulses']['planned']}", tip=tip, right=True, weight=6),
        Column("V", lambda r: r["voltage_v"]["actual"], lambda r: number_text(r["voltage_v"]["actual"], 0), tip=tip, right=True, weight=5),
        Column(t("A end"), lambda r: r["current_end_a"], lambda r: number_text(r["current_end_a"], 1), tip=tip, right=True, weight=5),
        Column(t("State"), state, tip=tip, colour=lambda r: DANGER if r["aborted"] else None if r["complete"] else WARNING, weight=7),
    )


class NotANumber(ValueError):
    """What was typed is no number."""


def typed_number(text: str) -> float | None:
    """A number as it was typed, with a comma or a point; None for nothing. Raises ``NotANumber``."""
    text = text.strip().replace(",", ".")
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        raise NotANumber(text) from None
    if value != value or value in (float("inf"), float("-inf")) or not all(c.isdigit() or c in ".+-" for c in text):
        raise NotANumber(text)
    return value
