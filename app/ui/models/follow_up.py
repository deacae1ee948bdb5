"""Rows of the follow-up table and points of its chart, from ``study response`` rows."""

from __future__ import annotations

from app.ui.models.nodes import state_mark, state_words, status_names
from app.ui.models.records import Column
from app.ui.text import t
from app.ui.widgets.chart import VrrPoint
from app.ui.widgets.figures import DASH, compact_interval, interval_text, number_text, volume_decimals
from app.ui.widgets.palette import DANGER, MUTED, WARNING, node_colour


def visit_name(session, value) -> str:
    """Name of a visit given by name or identity."""
    return next((v.name for v in session.visits if value in (v.visit_id, v.name)), str(value))


def row_visit(session, row: dict) -> str:
    """Name of a row's visit."""
    return str(row.get("visit_name") or visit_name(session, row.get("visit")))


def _label(row: dict) -> str:
    return str(row.get("label") or row.get("node"))


def _with_interval(value: float | None, interval, decimals: int) -> str:
    if value is None:
        return DASH
    text = number_text(value, decimals)
    return text if interval is not None and not any(interval) else f"{text}\n{compact_interval(interval, decimals)}" if interval is not None else text


def _tip(row: dict, name: str, value: float | None, interval, decimals: int, unit: str, why: str) -> str:
    lines = [f"{name}: {number_text(value, decimals)}" + (f" {unit}" if value is not None else "")]
    if interval is not None:
        lines.append(t("95 % interval {interval} {unit}").format(interval=interval_text(interval, decimals), unit=unit))
    elif value is not None:
        lines.append(t("95 % interval not known"))
    if why:
        lines.append(why)
    method, modality = row.get("method"), row.get("modality")
    if method or modality:
        lines.append(" · ".join(t(str(v)) for v in (modality, method) if v))
    if row.get("reader"):
        lines.append(t("Reader: {reader}").format(reader=row["reader"]))
    return "\n".join(lines)


def _why_no_vrr(row: dict) -> str:
    if row.get("vrr_pct") is not None:
        if not row.get("comparable", True):
            return t("Not comparable: another modality or method than at baseline. Left out of endpoints.")
        return t(str(row.get("interval_note") or ""))
    if row.get("is_baseline"):
        return t("This is the baseline.")
    if row.get("volume_ml") is None:
        return status_names().get(str(row.get("status")), "") or t("No volume at this visit.")
    return t("This is the baseline, or there is no baseline to compare with.")


def follow_up_columns(session) -> tuple[Column, ...]:
    """Columns of the table of readings; two lines a row, the interval below the number."""

    def order(row: dict) -> int:
        return next((n for n, node in enumerate(session.subject_nodes) if row.get("node") in (node.node_id, node.label)), 0)

    return (
        Column(t("Node"), _label, lambda r: f"● {_label(r)}", colour=lambda r: node_colour(order(r)), weight=4),
        Column(t("Visit"), lambda r: r.get("visit_order"), lambda r: f"{row_visit(session, r)}\n{state_words(r)}", tip=lambda r: f"{row_visit(session, r)}{_days(r)}\n{state_mark(r)[1]}", weight=6, right=False),
        Column(
            t("Volume"),
            lambda r: r.get("volume_ml"),
            lambda r: _with_interval(r.get("volume_ml"), r.get("volume_interval_ml"), volume_decimals(r.get("volume_ml"))),
            unit="ml",
            tip=lambda r: _tip(r, t("Volume"), r.get("volume_ml"), r.get("volume_interval_ml"), volume_decimals(r.get("volume_ml")), "ml", "" if r.get("volume_ml") is not None else _why_no_vrr(r)),
            colour=lambda r: MUTED if r.get("volume_ml") is None else None,
            weight=7,
        ),
        Column(
            t("VRR"),
            lambda r: r.get("vrr_pct"),
            lambda r: ("" if r.get("comparable", True) or r.get("vrr_pct") is None else "≠ ") + _with_interval(r.get("vrr_pct"), r.get("interval_pct"), 1),
            unit="%",
            tip=lambda r: _tip(r, t("Volume reduction"), r.get("vrr_pct"), r.get("interval_pct"), 1, "%", _why_no_vrr(r)),
            colour=lambda r: MUTED if r.get("vrr_pct") is None else WARNING if not r.get("comparable", True) else DANGER if r["vrr_pct"] < 0 else None,
            weight=8,
        ),
        Column(t("State"), lambda r: state_mark(r)[1], hidden=True),
        Column(t("Comparable"), lambda r: None if r.get("vrr_pct") is None else t("yes") if r.get("comparable", True) else t("no"), hidden=True),
        Column(t("Interval of VRR"), lambda r: interval_text(r.get("interval_pct"), 1) or None, unit="%", hidden=True),
        Column(t("Interval of volume"), lambda r: interval_text(r.get("volume_interval_ml"), 3) or None, unit="ml", hidden=True),
    )


def has_parts(row: dict) -> bool:
    """True where somebody assessed or graded what still enhances at this visit."""
    return any(row.get(name) is not None for name in ("viable_ml", "ablated_ml", "enhancement_grade"))


def _grade_tip(session, row: dict) -> str:
    grade = row.get("enhancement_grade")
    if grade is None:
        return t("Not graded")
    return t("Residual enhancement: grade {grade}, {meaning}").format(grade=t(grade), meaning=session.grade_meanings().get(grade, ""))


def part_columns(session) -> tuple[Column, ...]:
    """Columns of the table of parts: each volume with its own rate below it, never that of the whole."""

    def order(row: dict) -> int:
        return next((n for n, node in enumerate(session.subject_nodes) if row.get("node") in (node.node_id, node.label)), 0)

    def cell(row: dict, part: str) -> str:
        value, rate = row.get(f"{part}_ml"), row.get(f"vrr_{part}_pct")
        below = "" if rate is None else f"\n{'' if row.get('parts_comparable', True) else '≠ '}{number_text(rate, 1)} %"
        return number_text(value, volume_decimals(value)) + below

    def tip(row: dict, part: str, name: str) -> str:
        value, rate = row.get(f"{part}_ml"), row.get(f"vrr_{part}_pct")
        if value is None:
            return f"{name}: " + t("not assessed")
        lines = [f"{name}: {number_text(value, volume_decimals(value))} ml"]
        if row.get("enhancing_above_hu") is not None:
            lines.append(t("Voxels at or above {hu} HU enhance").format(hu=f"{row['enhancing_above_hu']:g}"))
        if row.get("is_baseline"):
            lines.append(t("This is the baseline."))
        elif rate is None:
            lines.append(t("No rate of its own: the part was not assessed at baseline, or there was none."))
        else:
            lines.append(t("Its own reduction: {rate} %, without an interval (no repeatability of a part is stated)").format(rate=number_text(rate, 1)))
            if not row.get("parts_comparable", True):
                lines.append(t("Not comparable: found in another way than at baseline. Left out of endpoints."))
        return "\n".join(lines)

    def column(part: str, title: str) -> Column:
        return Column(
            title, lambda r: r.get(f"{part}_ml"), lambda r: cell(r, part), unit="ml", tip=lambda r: tip(r, part, title), weight=8,
            colour=lambda r: MUTED if r.get(f"{part}_ml") is None else WARNING if r.get(f"vrr_{part}_pct") is not None and not r.get("parts_comparable", True) else None,
        )  # fmt: skip

    return (
        Column(t("Node"), _label, lambda r: f"● {_label(r)}", colour=lambda r: node_colour(order(r)), weight=4),
        Column(t("Visit"), lambda r: r.get("visit_order"), lambda r: f"{row_visit(session, r)}\n{state_words(r)}", tip=lambda r: f"{row_visit(session, r)}\n{state_mark(r)[1]}", weight=6, right=False),
        column("viable", t("Enhancing")),
        column("ablated", t("Not enh.")),
        Column(t("Grade"), lambda r: r.get("enhancement_grade"), lambda r: t(r["enhancement_grade"]) if r.get("enhancement_grade") else DASH, tip=lambda r: _grade_tip(session, r), weight=5, right=False),
        Column(t("VRR enhancing"), lambda r: r.get("vrr_viable_pct"), unit="%", hidden=True),
        Column(t("VRR not enhancing"), lambda r: r.get("vrr_ablated_pct"), unit="%", hidden=True),
        Column(t("Threshold"), lambda r: r.get("enhancing_above_hu"), unit="HU", hidden=True),
    )


def interval_notes(rows: list[dict]) -> str:
    """Where the intervals of the rates on screen come from, each said once."""
    return "\n".join(dict.fromkeys(str(r["interval_note"]) for r in rows if r.get("interval_pct") is not None and r.get("interval_note")))


def _days(row: dict) -> str:
    days = row.get("days_from_first")
    return "" if days is None else "\n" + t("{days} days after the first visit").format(days=number_text(days, 0))


def readers(rows: list[dict]) -> list[str]:
    """Readers in the rows, the one with most volumes first."""
    count: dict[str, int] = {}
    for row in rows:
        name = str(row.get("reader") or "–")
        count[name] = count.get(name, 0) + (row.get("volume_ml") is not None)
    return sorted(count, key=lambda name: (-count[name], name))


def chart_points(rows: list[dict], session) -> list[VrrPoint]:
    """Points of the chart; a row without VRR is drawn only where it is the baseline (0 %)."""
    out = []
    for row in rows:
        vrr = row.get("vrr_pct")
        if vrr is None:
            continue
        interval = row.get("interval_pct")
        out.append(
            VrrPoint(
                _label(row),
                row_visit(session, row),
                int(row.get("visit_order") or 0),
                row.get("days_from_first"),
                float(vrr),
                tuple(interval) if interval is not None else None,
                row.get("volume_ml"),
                bool(row.get("comparable", True)),
            )
        )
    return out
