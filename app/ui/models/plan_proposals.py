"""Proposals of a search as rows with their trade-offs, and what they say in words; robustness as named values."""

from __future__ import annotations

from dataclasses import dataclass

from app.ui.models.records import Column
from app.ui.text import t
from app.ui.widgets.figures import Figure, number_text
from app.ui.widgets.palette import DANGER, MUTED

FULL_PCT = 99.9


@dataclass(frozen=True, slots=True)
class ProposalRow:
    """A proposal, or the plan that the search began with (``index`` None), with the figures it is compared by."""

    index: int | None
    name: str
    figures: dict
    at_risk: tuple[dict, ...] = ()
    margin_mm: float | None = None
    refused: tuple[str, ...] = ()

    @property
    def number(self) -> str:
        """1, 2, 3; a circle for the start."""
        return "○" if self.index is None else str(self.index + 1)

    @property
    def worst(self) -> dict | None:
        """The structure at risk with most tissue at or above the lethal field, then with the highest field."""
        return max(self.at_risk, key=lambda r: (r.get("volume_above_lethal_ml") or 0.0, r.get("max_v_per_cm") or 0.0), default=None)


def kind_words() -> dict[str, str]:
    """Why a proposal is among the proposals."""
    return {
        "best": t("Best by rank: cover, structures at risk, healthy tissue, pairs, current"),
        "most reserve": t("Most reserve: the strongest field at the target's weakest place"),
        "fewest needles": t("Fewest needles and pairs that still cover"),
        "start": t("The plan as it was: nothing better was found"),
    }


def proposal_rows(answer: dict) -> list[ProposalRow]:
    """The plan to begin with, where it could be solved, then the proposals, best first."""
    rows = []
    for n, p in enumerate(answer.get("proposals", ())):
        found = p["assessment"]
        margins = [x["minimal_margin_mm"] for x in found.get("targets", ()) if x.get("minimal_margin_mm") is not None]
        refused = tuple(t(c["message"]) for c in found.get("constraints", ()) if c.get("level") == "refuse")
        rows.append(ProposalRow(n, p["name"], p["trade_off"], tuple(found.get("at_risk", ())), min(margins, default=None), refused))
    if answer.get("start"):
        broken = tuple(t(b["message"]) for b in answer["start"].get("limits_broken", ()))
        rows.append(ProposalRow(None, "before", answer["start"], refused=broken))
    return rows


def proposal_columns() -> tuple[Column, ...]:
    """Number, cover, structures at risk, healthy tissue, pairs, current, margin."""

    def value(key: str):
        return lambda r: r.figures.get(key)

    def cover(r: ProposalRow) -> str:
        # A share that rounds up to 100 is not all.
        pct = r.figures.get("coverage_pct")
        return "> 99.9" if pct is not None and 99.95 <= pct < 100 else number_text(pct, 1)

    return (
        Column("", lambda r: r.number, tip=proposal_words, weight=3),
        Column("%", value("coverage_pct"), cover, tip=proposal_words, right=True, heading_tip=t("Target covered at the lethal field, in %"), colour=lambda r: DANGER if (r.figures.get("coverage_pct") or 0) < FULL_PCT else None, weight=6),
        Column(t("risk"), value("at_risk_above_lethal_ml"), lambda r: number_text(r.figures.get("at_risk_above_lethal_ml"), 2), tip=proposal_words, right=True, heading_tip=t("Structures at risk at or above the lethal field, in ml"), colour=lambda r: DANGER if (r.figures.get("at_risk_above_lethal_ml") or 0) > 0 else MUTED, weight=5),
        Column(t("healthy"), value("collateral_ml"), lambda r: number_text(r.figures.get("collateral_ml"), 1), tip=proposal_words, right=True, heading_tip=t("Tissue outside the target at or above the lethal field, in ml"), weight=7),
        Column(t("pairs"), value("pairs"), lambda r: str(r.figures.get("pairs")), tip=proposal_words, right=True, heading_tip=t("Needle pairs that are fired"), weight=5),
        Column("A", value("current_most_a"), lambda r: number_text(r.figures.get("current_most_a"), 0), tip=proposal_words, right=True, heading_tip=t("Largest predicted current, in A"), weight=4),
        Column("mm", lambda r: r.margin_mm, lambda r: number_text(r.margin_mm, 1), tip=proposal_words, right=True, heading_tip=t("Smallest margin from the target's surface to the lethal surface, in mm"), weight=5),
    )


def proposal_words(row: ProposalRow) -> str:
    """Everything that a row's figures say, a line each."""
    f = row.figures
    lines = [t("The plan that the search began with") if row.index is None else t("Proposal {n}. {why}").format(n=row.number, why=kind_words().get(row.name, row.name))]
    lines.append(t("Needles: {n}, pairs: {p}, current at most {a} A").format(n=f.get("needles"), p=f.get("pairs"), a=number_text(f.get("current_most_a"), 1)))
    lines.append(t("Lowest field in the target: {v} V/cm").format(v=number_text(f.get("min_v_per_cm"), 0)))
    worst = row.worst
    if worst is not None:
        lines.append(t("Structure with most field: {name}, up to {v} V/cm, {ml} ml at or above the lethal field, {mm} mm from a needle").format(
            name=worst.get("name"), v=number_text(worst.get("max_v_per_cm"), 0), ml=number_text(worst.get("volume_above_lethal_ml"), 2), mm=number_text(worst.get("min_distance_mm"), 1)))
    return "\n".join(lines)


def trouble_words(row: ProposalRow) -> str:
    """What stands against a row, a line each; empty where nothing does."""
    lines = [] if row.index is None or row.at_risk else [t("No structure at risk is outlined: this proposal keeps clear of none.")]
    pct = row.figures.get("coverage_pct")
    if pct is not None and pct < FULL_PCT:
        lines.insert(0, t("Only {pct} % of the target is covered.").format(pct=number_text(pct, 1)))
    return "\n".join([*lines, *row.refused])


def against_start(row: ProposalRow, answer: dict) -> str:
    """What a proposal changes against the plan to begin with."""
    start = answer.get("start")
    if row.index is None or not start:
        return ""
    f, parts = row.figures, []
    for key, words, decimals in (("coverage_pct", t("cover {d} %"), 1), ("at_risk_above_lethal_ml", t("structures at risk {d} ml"), 2), ("collateral_ml", t("healthy tissue {d} ml"), 1), ("pairs", t("pairs {d}"), 0)):
        a, b = f.get(key), start.get(key)
        if a is not None and b is not None:
            d = round(a - b, decimals)
            if d:
                parts.append(words.format(d=("+" if d > 0 else "") + number_text(d, decimals)))
    return t("Against the plan before: {parts}").format(parts=", ".join(parts) or t("the same figures"))


# ---- robustness ----------------------------------------------------------------------------------
def fifth_percentile(answer: dict, kind: str = "chosen") -> Figure:
    """5th percentile of coverage with its interval, at the chosen threshold or at 700 V/cm."""
    values = answer["coverage_pct"][kind]
    low, high = values["p5_interval_95"]
    v = answer["lethal_v_per_cm"] if kind == "chosen" else answer["compared_v_per_cm"]
    planned = t("95 of 100 samples cover at least this. As planned {p} %, median {m} %, least {least} %.").format(
        p=number_text(values["planned"], 1), m=number_text(values["p50"], 1), least=number_text(values["least"], 1))
    if low is None or high is None:
        known = t("at least {v} %").format(v=number_text(low, 1)) if low is not None else t("at most {v} %").format(v=number_text(high, 1)) if high is not None else t("not known")
        planned = t("95 % interval: {known}; more samples bound it.").format(known=known) + "\n" + planned
    return Figure(t("5th percentile of cover at {v} V/cm").format(v=f"{v:g}"), values["p5"], "%", 1, None if low is None or high is None else (low, high), planned, needs_interval=False)


def robustness_figures(answer: dict) -> list[Figure]:
    """The figures beside the large one."""
    drawn, full, current = answer["coverage_pct"]["drawn"], answer["full_cover"], answer["current_most_a"]
    failed = answer["samples"] - answer["solved"]
    why = ", ".join(f"{n} × {code.replace('_', ' ')}" for code, n in sorted(answer["failed"].items()))
    compared = fifth_percentile(answer, "compared")
    out = [
        Figure(t("5th perc., {v} V/cm").format(v=f"{answer['compared_v_per_cm']:g}"), compared.value, "%", 1, compared.interval, compared.source),
        Figure(t("5th perc., own field"), drawn["p5"], "%", 1, _both(drawn["p5_interval_95"]), t("5th percentile with the lethal field drawn, too: {low} to {high} V/cm.").format(low=f"{answer['spread']['threshold_v_per_cm'][0]:g}", high=f"{answer['spread']['threshold_v_per_cm'][1]:g}")),
        Figure(t("Fully covered"), 100 * full["share"], "%", 0, tuple(100 * v for v in full["interval_95"]), t("Share of samples with {p} % or more covered.").format(p=f"{full['at_least_pct']:g}")),
        Figure(t("Failed samples"), f"{failed} / {answer['samples']}", source=(why + "\n" if why else "") + t("They count as uncovered.")),
        Figure(t("95th perc. current"), current.get("p95"), "A", 1, source=t("As planned: {a} A").format(a=number_text(current.get("planned"), 1)), reason=t("No sample was solved.")),
    ]  # fmt: skip
    if len(answer["targets"]) > 1:
        out += [Figure(t("5th perc., {name}").format(name=row["name"]), row["chosen"]["p5"], "%", 1, _both(row["chosen"]["p5_interval_95"])) for row in answer["targets"]]
    return out


def _both(interval) -> tuple[float, float] | None:
    return None if interval is None or None in tuple(interval) else tuple(interval)


def worst_needle_words(answer: dict) -> str:
    """Which needle costs most, as a sentence."""
    name, count = answer["worst_needle"], len(answer["worst_samples"])
    if name is None:
        return t("No single needle stands out: put right alone, none would give the worst samples more cover.")
    gain = next(n for n in answer["needles"] if n["id"] == name)
    chosen, compared = gain["gain_if_placed_pct"] or 0.0, gain["gain_if_placed_compared_pct"] or 0.0
    at, pct = (answer["lethal_v_per_cm"], chosen) if chosen >= 0.05 or chosen >= compared else (answer["compared_v_per_cm"], compared)
    return t("Needle {id} matters most: placed exactly as planned, it alone would give the {n} worst samples {pct} % more cover at {v} V/cm (mean).").format(
        id=name, n=count, pct=number_text(pct, 1 if pct >= 0.1 else 2), v=f"{at:g}")


def spread_words(answer: dict) -> str:
    """What was varied and by how much: as read from the answer, not from the boxes on screen."""
    s = answer["spread"]
    return t("{n} samples, seed {seed}: tip ±{tip} mm, angle ±{angle}°, conductivity ±{sigma} %, lethal field {low}–{high} V/cm; solved at {mm} mm").format(
        n=answer["samples"], seed=answer["seed"], tip=f"{s['tip_mm']:g}", angle=f"{s['angle_deg']:g}", sigma=f"{s['sigma_pct']:g}",
        low=f"{s['threshold_v_per_cm'][0]:g}", high=f"{s['threshold_v_per_cm'][1]:g}", mm=f"{answer['grid']['spacing_mm']:g}")

