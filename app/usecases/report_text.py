"""The words and numbers of a report."""

from __future__ import annotations

from typing import Any

from app.study.model import PlanRun, Reading, ReadingStatus
from app.usecases.report_page import ALARM, GREY, INK
from planning.source import SCHEMATIC_MARK
from volumetry.quantity import quantity

STATUS_TEXT = {
    ReadingStatus.MEASURED: "measured",
    ReadingStatus.TOO_SMALL: "too small",
    ReadingStatus.DISAPPEARED_ASSESSED: "disappeared",
    ReadingStatus.MERGED_INTO: "merged",
    ReadingStatus.SPLIT_FROM: "split",
    ReadingStatus.NOT_EVALUABLE: "not evaluable",
    ReadingStatus.NOT_IMAGED: "not imaged",
}


def part_text(value_ml: float | None) -> str:
    """The volume of a part as printed; a dash where it was not assessed."""
    return "–" if value_ml is None else f"{value_ml:.{quantity('voxel_volume_ml').decimals}f}"


def part_rate(value_pct: float | None) -> str:
    """The rate of a part as printed; a dash where it has none."""
    return "–" if value_pct is None else f"{value_pct:.{quantity('vrr_pct').decimals}f}"


def part_way(r: Reading) -> str:
    """How the parts were come by, in a word or two."""
    if r.enhancing_above_hu is not None:
        return f"from {r.enhancing_above_hu:g} HU"
    if r.viable_from == "enhancing_share":
        return "by the enhancing share"
    if r.viable_from == "contrast_pair":
        return "from the pair of CTs"
    return "own outline" if "outlined" in (r.viable_from, r.ablated_from) else "stated"


def plan_lines(run: PlanRun, count: int = 1) -> list[tuple[str, bool, Any]]:
    """A plan run in a few lines of ``(text, bold, colour)``: targets first, then what speaks against
    it, then the pairs."""
    assessment = run.content.get("assessment") or {}
    plan = run.content.get("plan") or {}
    which = "" if count == 1 else f" (newest of {count})"
    lines: list[tuple[str, bool, Any]] = [(f"{run.plan_run_id}, {run.created_utc[:16].replace('T', ' ')} UTC{which}", False, GREY)]
    if (plan.get("source") or {}).get("kind") == "schematic":
        lines.append((SCHEMATIC_MARK, True, ALARM))
    lethal = plan.get("lethal_v_per_cm")
    at = "" if lethal is None else f" at {lethal:g} V/cm"
    for target in assessment.get("targets") or []:
        lines.append((f"{target.get('name')}: coverage{at} {_plain(target.get('coverage_pct'), 1)} %", True, INK))
        lines.append((f"smallest margin {_plain(target.get('minimal_margin_mm'), 1)} mm", False, INK))
    for lesion in assessment.get("lesions") or []:  # of a plan of heat or cold
        lines.append((f"{lesion.get('name')}: {_plain(lesion.get('coverage_pct'), 1)} % inside the chart zones", True, INK))
        lines.append((f"smallest margin {_plain(lesion.get('minimal_margin_mm'), 1)} mm; a chart is a prior", False, INK))
    if assessment and not assessment.get("targets") and not assessment.get("lesions"):
        lines.append(("The plan has no target.", True, ALARM))
    constraints = assessment.get("constraints") or []
    for constraint in sorted(constraints, key=lambda c: c.get("level") != "refuse"):
        refused = constraint.get("level") == "refuse"
        lines.append((f"{'REFUSED' if refused else 'Warning'}: {constraint.get('message')}", refused, ALARM if refused else INK))
    if assessment and not constraints:
        lines.append(("No limit was touched.", False, INK))
    for pair in assessment.get("pairs") or []:
        current = pair.get("current_a")
        amperes = "" if current is None else f", {current:.1f} A"
        lines.append(
            (
                f"{pair.get('anode')} – {pair.get('cathode')}: {_plain(pair.get('voltage_v'), 0)} V over "
                f"{_plain(pair.get('distance_mm'), 1)} mm, {_plain(pair.get('v_per_cm'), 0)} V/cm{amperes}",
                False,
                INK,
            )
        )
    return lines


def _plain(value: Any, decimals: int) -> str:
    return "–" if value is None else f"{value:.{decimals}f}"


def interval_text(value: float, interval: tuple[float, float] | None, decimals: int) -> str:
    """A value with its 95 % interval: ``1.500 (1.410–1.590)``; "to" where a dash would read as a minus."""
    text = f"{value:.{decimals}f}"
    if interval is None:
        return text
    lo, hi = (f"{v:.{decimals}f}" for v in interval)
    return f"{text} ({lo} to {hi})" if lo.startswith("-") else f"{text} ({lo}–{hi})"


def volume_text(r: Reading) -> str:
    """The volume as printed; a node that was looked for and is gone has 0."""
    if r.status is ReadingStatus.DISAPPEARED_ASSESSED:
        return "0 (assessed)"
    if r.volume_ml is None:
        return "–"
    return interval_text(r.volume_ml, r.volume_interval_ml, quantity("voxel_volume_ml").decimals)


def axes_text(r: Reading) -> str:
    """Long and short axis as printed."""
    if r.long_axis_mm is None:
        return "–"
    short = "–" if r.short_axis_mm is None else f"{r.short_axis_mm:.1f}"
    return f"{r.long_axis_mm:.1f} × {short}"
