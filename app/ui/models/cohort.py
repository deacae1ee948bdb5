"""The cohort for people: words of codes, columns of nodes, subjects and endpoint lines, the sentences above them."""

from __future__ import annotations

import re
from collections.abc import Mapping

from app.study.endpoints import ACCEPTED
from app.ui.models.nodes import status_names
from app.ui.models.records import Column
from app.ui.text import t
from app.ui.widgets.figures import DASH, interval_text, number_text, volume_decimals
from app.ui.widgets.palette import DANGER, MUTED, WARNING
from app.usecases.cohort import MISSING, CohortRow, CohortView, SubjectLine
from app.usecases.cohort_tables import EndpointLine


def reason_words(code: str) -> str:
    """Why something is missing or does not count, for people."""
    names = {
        "role": t("not a central reading"), "not_locked": t("not locked"), "no_baseline": t("no baseline of this reader"), "not_comparable": t("not comparable with baseline"), "no_volume": t("no volume"),
        "not_accepted": t("not the accepted record"), "adjudication_pending": t("waits for adjudication"), "other_reader_counts": t("another reader counts, who has not read it"), "not_read": t("scan not read"), "no_scan": t("no scan"),
        "no_ablation": t("no ablation recorded"), "died": t("died"), "withdrew": t("withdrew"), "lost": t("lost to follow-up"), "progressed": t("progressed"), "no_anchor": t("clock not started"),
        "scan_outside_window": t("scan outside the window"), "no_scan_in_window": t("no scan in the window"), "window_not_over": t("window not over yet"), "visit_without_date": t("visit without a date"), "read_otherwise": t("read in another way"),
        "no_node_with_a_rate": t("no node with a rate"), "no_volume_before_salvage": t("no volume before the salvage"), "node_not_assessed": t("a node not assessed"), "not_evaluable": t("not evaluable"), "not_imaged": t("not imaged"), "date_before_start": t("a date before the start"), "no_score": t("no score"),
        "too_small": t("too small to measure"), "not_assessed": t("not assessed"), "merged_into": t("merged into another"), "split_from": t("split from another"),
    }  # fmt: skip
    return names.get(code) or status_names().get(code) or code.replace("_", " ")


def status_words(status: str) -> str:
    """What a reader saw of a node, or that there is no reading."""
    return t("no reading") if status == MISSING else status_names().get(status, status)


def reader_words(reader: str | None) -> str:
    """The reader, or that the accepted records are shown."""
    return t("accepted records") if reader == ACCEPTED else reader or DASH


def missing_words(missing: Mapping[str, int]) -> str:
    """``scan not read: 3, died: 1``."""
    return ", ".join(f"{reason_words(k)}: {v}" for k, v in sorted(missing.items(), key=lambda x: (-x[1], x[0])))


def kind_words(modality: str, method: str) -> str:
    """How a volume was come by."""
    return f"{modality} · {t(method)}" if modality else DASH


def _interval(row) -> str:
    return interval_text(row.interval_pct, 1)


def _vrr_colour(row: CohortRow) -> str | None:
    return MUTED if row.vrr_pct is None else WARNING if not row.comparable else DANGER if row.vrr_pct < 0 else None


def node_columns() -> tuple[Column, ...]:
    """Columns of the table of nodes at the visit."""
    return (
        Column(t("Subject"), lambda r: r.subject, weight=8),
        Column(t("Node"), lambda r: r.node, tip=lambda r: f"{r.node} · {side_words(r.side)} · {r.level}" + (f"\n{t('High risk')}: {', '.join(r.high_risk)}" if r.high_risk else ""), weight=4),
        Column(t("VRR"), lambda r: r.vrr_pct, lambda r: ("" if r.comparable or r.vrr_pct is None else "≠ ") + number_text(r.vrr_pct, 1), unit="%", colour=_vrr_colour, tip=_rate_tip, weight=8),
        Column(t("95 % interval"), lambda r: None if r.interval_pct is None else r.interval_pct[0], lambda r: _interval(r) or DASH, unit="%", tip=_rate_tip, weight=10),
        Column(t("Volume"), lambda r: r.volume_ml, lambda r: number_text(r.volume_ml, volume_decimals(r.volume_ml)), unit="ml", weight=8),
        Column(t("Baseline"), lambda r: r.baseline_ml, lambda r: number_text(r.baseline_ml, volume_decimals(r.baseline_ml)), unit="ml", weight=8),
        Column(t("Status"), lambda r: status_words(r.status), colour=lambda r: MUTED if r.status == MISSING else None, weight=13),
        Column(t("Modality, method"), lambda r: kind_words(r.modality, r.method), weight=11),
        Column(t("Comparable"), lambda r: None if r.vrr_pct is None else t("yes") if r.comparable else t("no"), colour=lambda r: WARNING if r.vrr_pct is not None and not r.comparable else None, weight=8),
        Column(t("Salvage"), lambda r: t("yes") if r.salvaged else t("no"), weight=6, heading_tip=t("Ablated again on or before the scan")),
        Column(t("High risk"), lambda r: t("yes") if r.high_risk else t("no"), tip=lambda r: ", ".join(r.high_risk) or t("no"), weight=7),
        Column(t("Days"), lambda r: r.days_from_node_anchor, heading_tip=t("Days from the node's last ablation to the scan"), weight=5, right=True),
        Column(t("Left out because"), lambda r: ", ".join(map(reason_words, r.reasons)) or None, lambda r: ", ".join(map(reason_words, r.reasons)) or DASH, colour=lambda r: MUTED if not r.reasons else WARNING, weight=11),
        Column(t("Reader"), lambda r: reader_words(r.reader), hidden=True),
        Column(t("Months"), lambda r: r.months, hidden=True),
    )  # fmt: skip


def side_words(side: str) -> str:
    """The patient's side; a question mark where it is not stated."""
    return {"left": t("Left"), "right": t("Right"), "midline": t("Midline")}.get(side, "?")


def _rate_tip(row: CohortRow) -> str:
    lines = [row_words(row)]
    if row.interval_note:
        lines.append(t(row.interval_note))
    if row.vrr_pct is not None and not row.comparable:
        lines.append(t("Not comparable: another modality or method than at baseline. Left out of endpoints."))
    return "\n".join(lines)


def row_words(row: CohortRow) -> str:
    """One node at one visit as a line of text."""
    text = f"{row.name} · {row.visit}"
    if row.vrr_pct is not None:
        text += f": {number_text(row.vrr_pct, 1)} %" + (f" ({_interval(row)})" if row.interval_pct is not None else "")
    if row.volume_ml is not None and row.baseline_ml is not None:
        text += ", " + t("{after} of {before} ml").format(after=number_text(row.volume_ml, volume_decimals(row.volume_ml)), before=number_text(row.baseline_ml, volume_decimals(row.baseline_ml)))
    if row.months is not None:
        text += ", " + t("{n} months after its first ablation").format(n=number_text(row.months, 1))
    if row.status != "measured":
        text += f", {status_words(row.status)}"
    if row.salvaged:
        text += ", " + t("after salvage")
    return text + (f" · {t('left out')}: {', '.join(map(reason_words, row.reasons))}" if row.reasons else "")


def subject_columns() -> tuple[Column, ...]:
    """Columns of the table of subjects at the visit."""

    def missing(s: SubjectLine) -> str | None:
        return ", ".join(f"{node}: {reason_words(reason)}" for node, reason in sorted(s.missing.items())) or None

    gone = {True: t("yes"), False: t("no"), None: t("not known")}
    return (
        Column(t("Subject"), lambda s: s.subject, weight=8),
        Column(t("VRR of the sum"), lambda s: s.sum_pct, lambda s: number_text(s.sum_pct, 1), unit="%", heading_tip=t("Of the summed volumes of the nodes with a rate"), weight=9),
        Column(t("Mean VRR"), lambda s: s.mean_pct, lambda s: number_text(s.mean_pct, 1), unit="%", heading_tip=t("Mean of the nodes' own rates"), weight=8),
        Column(t("Nodes"), lambda s: len(s.nodes), lambda s: t("{n} of {all}").format(n=len(s.nodes), all=s.n_nodes), tip=lambda s: ", ".join(s.nodes) or DASH, weight=6, right=True),
        Column(t("All gone"), lambda s: gone[s.all_gone], weight=7),
        Column(t("Modality, method"), lambda s: kind_words(s.modality, s.method), weight=9),
        Column(t("Missing"), missing, lambda s: missing(s) or DASH, colour=lambda s: WARNING if s.missing else MUTED, weight=28),
    )  # fmt: skip


def value_words(line: EndpointLine) -> str:
    """The value with its unit."""
    if line.value is None:
        return DASH
    text = number_text(line.value, 0 if line.unit in ("subjects", "days") else 1)
    units = {"subjects": t("subjects"), "days": t("days")}
    return f"{text} {units.get(line.unit, line.unit)}".strip()


def _line_tip(line: EndpointLine) -> str:
    lines = [t(line.title), f"{said_quantity(line)}: {value_words(line)}"]
    if line.low is not None:
        lines.append(t("95 % interval {interval} {unit}").format(interval=interval_text((line.low, line.high), 1), unit=line.unit))
    if line.interval_from:
        lines.append(t("Interval from: {how}").format(how=said_source(line)))
    if line.numerator is not None:
        lines.append(t("{n} of {all} {what}").format(n=line.numerator, all=DASH if line.denominator is None else line.denominator, what=said_of(line)))
    if line.missing:
        lines.append(t("Missing") + f": {missing_words(line.missing)}")
    if line.seed is not None:
        lines.append(t("Seed {seed}, {n} resamples").format(seed=line.seed, n=line.resamples))
    return "\n".join(lines)


def said_quantity(line: EndpointLine) -> str:
    """What the line is, for people."""
    base, _, handling = line.quantity.partition(" (sensitivity: ")
    names = {"mean VRR": t("mean VRR"), "share with a rate": t("share with a rate"), "share": t("share"), "events": t("events"), "median": t("median"), "mean": t("mean")}
    day = re.fullmatch(r"free of it on day ([0-9]+)", base)
    text = t("free of it on day {day}").format(day=day.group(1)) if day else names.get(base, t(base))
    ways = {"last pre salvage volume": t("last volume before the salvage"), "events after 2 or more missed visits censored": t("events after 2 or more missed visits censored")}
    return text + (f" ({t('sensitivity')}: {ways.get(handling[:-1], t(handling[:-1]))})" if handling else "")


def said_of(line: EndpointLine) -> str:
    """What the denominator counts, for people."""
    base, _, partial = line.of.partition(", ")
    names = {
        "nodes": t("nodes"), "subjects": t("subjects"), "subjects (sum of volumes)": t("subjects (sum of volumes)"), "subjects (mean of nodes)": t("subjects (mean of nodes)"), "treated nodes of the set": t("treated nodes of the set"),
        "nodes assessed in the window": t("nodes assessed in the window"), "nodes assessed in the window or recurred before": t("nodes assessed in the window or recurred before"), "treated subjects": t("treated subjects"),
        "treated subjects (all nodes gone)": t("treated subjects (all nodes gone)"), "treated subjects (any recurrence)": t("treated subjects (any recurrence)"), "subjects that could be judged": t("subjects that could be judged"),
        "subjects whose clock has started": t("subjects whose clock has started"), "subjects whose series decides it": t("subjects whose series decides it"),
    }  # fmt: skip
    return names.get(base, t(base)) + (t(", {n} with a node missing").format(n=partial.split(" ", 1)[0]) if partial.endswith("with a node missing") else f", {partial}" if partial else "")


def said_source(line: EndpointLine) -> str:
    """How the interval was made, for people."""
    names = {
        "subject-clustered bootstrap": t("subjects resampled"), "Wilson": t("Wilson"), "none: all nodes alike": t("none: all nodes alike"), "complementary log-log band": t("complementary log-log band"),
        "Kaplan–Meier": t("Kaplan–Meier"), "none": t("none"), "Kaplan–Meier; none: the curve never falls to one half": t("none: the curve never falls to one half"),
    }  # fmt: skip
    return names.get(line.interval_from, t(line.interval_from) if line.interval_from else "")


def rank_words(rank: str) -> str:
    """The rank of an endpoint, for people."""
    names = {"primary": t("primary"), "secondary": t("secondary"), "exploratory": t("exploratory"), "tolerability": t("tolerability")}
    return names.get(rank, t(rank) if rank else "")


def endpoint_columns() -> tuple[Column, ...]:
    """Columns of the endpoint tables, one number a row."""
    return (
        Column(t("Endpoint"), lambda x: x.title, lambda x: t(x.title), tip=_line_tip, weight=22),
        Column(t("Rank"), lambda x: rank_words(x.rank), weight=7),
        Column(t("Quantity"), said_quantity, tip=_line_tip, weight=14),
        Column(t("Value"), lambda x: x.value, value_words, tip=_line_tip, colour=lambda x: MUTED if x.value is None else None, weight=7, right=True),
        Column(t("95 % interval"), lambda x: x.low, lambda x: interval_text((x.low, x.high), 1) if x.low is not None else DASH, tip=_line_tip, weight=9, right=True),
        Column(t("n / of"), lambda x: x.numerator, lambda x: f"{DASH if x.numerator is None else x.numerator} / {DASH if x.denominator is None else x.denominator}", tip=_line_tip, weight=7, right=True),
        Column(t("Of"), said_of, tip=_line_tip, weight=14),
        Column(t("Missing"), lambda x: missing_words(x.missing) or None, lambda x: missing_words(x.missing) or DASH, tip=_line_tip, colour=lambda x: WARNING if x.missing else MUTED, weight=15),
        Column(t("Seed"), lambda x: x.seed, lambda x: DASH if x.seed is None else str(x.seed), tip=_line_tip, weight=6, right=True),
        Column(t("Interval from"), said_source, hidden=True),
        Column(t("Resamples"), lambda x: x.resamples, hidden=True),
        Column(t("Denominator"), lambda x: x.denominator, hidden=True),
    )  # fmt: skip


def what_is_shown(view: CohortView, *, at_visit: bool = True) -> str:
    """``Month 12 · accepted records · CT · only high risk``: what a figure is of; without the visit where it goes over all."""
    c = view.chosen
    parts = [(c.visit or t("no visit read yet")) if at_visit else None, reader_words(c.reader), c.modality, t(c.method) if c.method else None]
    parts += [None if c.high_risk is None else t("only high risk") if c.high_risk else t("without high risk"), None if c.salvage is None else t("only after salvage") if c.salvage else t("without salvage"), None if c.status is None else status_words(c.status)]
    return " · ".join(p for p in parts if p)


def counts_words(view: CohortView) -> str:
    """How many nodes, rates and why not more, and the mean with its interval."""
    n, m = view.counts, view.summary
    text = t("Nodes: {nodes} (subjects: {subjects}), with a rate: {rates}, fit for an endpoint: {counting}.").format(nodes=n["nodes"], subjects=n["subjects"], rates=n["with_rate"], counting=n["counting"])
    if n["left_out"]:
        text += " " + t("Left out or missing: {reasons}.").format(reasons=missing_words(n["left_out"]))
    if m["mean_pct"] is not None:
        interval = f" ({interval_text(m['interval_pct'], 1)}, {t('subjects resampled')}, {t('seed {seed}').format(seed=m['seed'])})" if m["interval_pct"] else f" ({t('no interval: fewer than two subjects')})"
        text += " " + t("Mean VRR of {n} comparable rates: {mean} %").format(n=m["n"], mean=number_text(m["mean_pct"], 1)) + interval + "."
    return text


def notes_words(view: CohortView) -> str:
    """What one must know to read the figures."""
    notes = []
    if len(view.kinds) > 1:
        notes.append(t("Read in {n} ways ({kinds}): a node may stand in a figure more than once. Choose one under Modality or Method.").format(n=len(view.kinds), kinds=", ".join(kind_words(*k) for k in view.kinds)))
    if view.undated:
        notes.append(t("{n} rates have no place in time: their visit or the node's ablation has no date.").format(n=view.undated))
    return " ".join(notes)
