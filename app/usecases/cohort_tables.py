"""What a cohort hands out: endpoint tables line by line, survival with numbers at risk, and every figure's numbers as a table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from app import INVESTIGATIONAL_NOTICE
from app.edc.csv_text import csv_bytes, guarded
from app.usecases.cohort import DAYS_A_MONTH, Cohort, CohortFilter, CohortView, cohort_snapshot, gather, view_of
from app.usecases.files import ensure_folder, sha256_of, write_json, write_text

TIME_KINDS = ("PFS", "OS")
AT_RISK_EVERY_MONTHS = 3
# What a summary of values is of, by its place in an entry.
UNITS = {"node": "nodes", "subject_sum": "subjects (sum of volumes)", "subject_mean": "subjects (mean of nodes)"}


@dataclass(frozen=True, slots=True)
class EndpointLine:
    """One number of an endpoint table. ``numerator`` of ``denominator`` values went in, ``of`` says of what; ``missing`` counts by reason
    what did not. ``value`` is in ``unit``; ``low`` and ``high`` are its 95 % interval, ``interval_from`` says how it was made, or why
    there is none."""

    endpoint: str
    title: str
    rank: str
    reader: str
    quantity: str
    value: float | None
    unit: str
    low: float | None
    high: float | None
    interval_from: str
    numerator: int | None
    denominator: int | None
    of: str
    missing: Mapping[str, int]
    seed: int | None
    resamples: int | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {**{name: getattr(self, name) for name in self.__dataclass_fields__}, "missing": dict(self.missing)}


def tables_of(view: CohortView) -> tuple[dict[str, Any], ...]:
    """The endpoint tables that go with the reader looked at; where a reader has none (a site's readings are in no endpoint): none."""
    return tuple(e for e in view.cohort.tables if e.get("reader") == view.chosen.reader)


def endpoint_lines(tables: Iterable[Mapping[str, Any]]) -> tuple[EndpointLine, ...]:
    """Every number of the tables as a line of its own, in their order."""
    out: list[EndpointLine] = []
    for entry in tables:
        missing = entry.get("missing") or {}
        out += _units(entry, entry.get("units") or {}, "", entry.get("n_set"), missing)
        for place in ("coverage", "rates"):
            for rate in (entry.get(place) or {}).values():
                out.append(_rate(entry, rate, "share with a rate" if place == "coverage" else "share"))
        sensitivity = entry.get("sensitivity") or {}
        if sensitivity.get("units"):
            whole = None if entry.get("n_set") is None else entry["n_set"] + sensitivity.get("n_carried", 0) + sensitivity.get("n_without", 0)
            without = {"no_volume_before_salvage": sensitivity["n_without"]} if sensitivity.get("n_without") else {}
            out += _units(entry, sensitivity["units"], f" (sensitivity: {words(sensitivity['handling'])})", whole, {**missing, **without})
        if entry["kind"] in TIME_KINDS:
            out += _time(entry, entry, "")
            if sensitivity:
                out += _time(entry, sensitivity, f" (sensitivity: {sensitivity['handling']})")
        elif "mean" in entry:  # values of subjects, as the area under a pain series
            out.append(_line(entry, "mean", entry["mean"], "", entry.get("n"), entry.get("n_treated"), "subjects", missing))
    return tuple(out)


def words(code: str) -> str:
    """A code of a table as words."""
    return code.replace("_", " ")


def _line(entry: Mapping, quantity: str, value: float | None, unit: str, numerator: int | None, denominator: int | None, of: str, missing: Mapping | None, interval: Sequence[float] | None = None, source: str | None = None, seed: int | None = None, resamples: int | None = None) -> EndpointLine:
    low, high = interval or (None, None)
    return EndpointLine(
        entry["endpoint"], entry.get("title") or entry["endpoint"], entry.get("rank") or "", entry.get("reader") or "", quantity, value, unit, low, high, source or "", numerator, denominator, of, dict(missing or {}), seed, resamples,
    )  # fmt: skip


def _units(entry: Mapping, units: Mapping[str, Mapping], note: str, n_set: int | None, lost: Mapping[str, int]) -> list[EndpointLine]:
    out = []
    for name, s in units.items():
        whole = n_set if name == "node" else s["n"] + s.get("n_without", 0)
        missing = lost if name == "node" else {"no_node_with_a_rate": s["n_without"]} if s.get("n_without") else {}
        of = UNITS.get(name, words(name)) + (f", {s['n_partial']} with a node missing" if s.get("n_partial") else "")
        out.append(_line(entry, "mean VRR" + note, s["mean_pct"], "%", s["n"], whole, of, missing, s.get("interval_pct"), s.get("interval_from"), s.get("seed"), s.get("resamples")))
    return out


def _rate(entry: Mapping, rate: Mapping, quantity: str) -> EndpointLine:
    return _line(entry, quantity, rate["pct"], "%", rate["numerator"], rate["denominator"], rate["of"], rate["missing"], rate["interval_pct"], rate["interval_from"], rate["seed"], entry.get("resamples") if rate["seed"] is not None else None)


def _time(entry: Mapping, found: Mapping, note: str) -> list[EndpointLine]:
    whole = entry.get("n_subjects")
    out = [_line(entry, "events" + note, found["n_events"], "subjects", found["n_events"], found["n"], "subjects whose clock has started", entry.get("missing"), source="Kaplan–Meier")]
    out.append(_line(entry, "median" + note, found["median_days"], "days", found["n"], whole, "subjects", entry.get("missing"), source="Kaplan–Meier; none: the curve never falls to one half" if found["median_days"] is None else "Kaplan–Meier"))
    if found.get("at_day") is not None:
        low, high = band_at(found["curve"], found["at_day"])
        interval = None if low is None or high is None else (100 * low, 100 * high)
        out.append(_line(entry, f"free of it on day {found['at_day']}{note}", found["at_pct"], "%", found["n"], whole, "subjects", entry.get("missing"), interval, "complementary log-log band" if interval else "none"))
    return out


def band_at(curve: Mapping[str, Sequence], day: float) -> tuple[float | None, float | None]:
    """The 95 % band of a curve (``KaplanMeier.to_dict``) just after a day; None where it does not exist or the curve has ended."""
    before = [n for n, time in enumerate(curve["time"]) if time <= day]
    if not before or (curve["time"][-1] < day and curve["survival"][-1] > 0):
        return None, None
    return curve["low"][before[-1]], curve["high"][before[-1]]


# -- survival -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Survival:
    """One endpoint in time, ready to draw: steps in months, share free of the event in percent with its band (None where it does not
    exist), months of censoring, and at each of ``ticks`` how many are still at risk."""

    endpoint: str
    title: str
    kind: str
    reader: str
    months: tuple[float, ...]
    free_pct: tuple[float, ...]
    low_pct: tuple[float | None, ...]
    high_pct: tuple[float | None, ...]
    events: tuple[int, ...]
    censored: tuple[int, ...]
    at_risk: tuple[int, ...]
    days: tuple[float, ...]
    ticks: tuple[tuple[int, int], ...]
    n: int
    n_events: int
    median_months: float | None
    ended_by: Mapping[str, int]
    missing: Mapping[str, int]


def survival_of(view: CohortView) -> tuple[Survival, ...]:
    """The curves of the reader looked at, of the whole study: filters do not touch them."""
    return tuple(_survival(e) for e in tables_of(view) if e["kind"] in TIME_KINDS)


def _survival(entry: Mapping[str, Any]) -> Survival:
    c = entry["curve"]
    days = np.array([s["days"] for s in entry["subjects"]], dtype=float)
    last = float(days.max()) / DAYS_A_MONTH if len(days) else 0.0
    ticks = tuple((m, int(np.count_nonzero(days >= m * DAYS_A_MONTH))) for m in range(0, int(last) + AT_RISK_EVERY_MONTHS, AT_RISK_EVERY_MONTHS)) if len(days) else ()

    def pct(values: Sequence[float | None]) -> tuple[float | None, ...]:
        return tuple(None if v is None else 100 * v for v in values)

    return Survival(
        entry["endpoint"], entry.get("title") or entry["endpoint"], entry["kind"], entry.get("reader") or "", tuple(t / DAYS_A_MONTH for t in c["time"]), pct(c["survival"]), pct(c["low"]), pct(c["high"]),
        tuple(c["events"]), tuple(c["censored"]), tuple(c["at_risk"]), tuple(c["time"]), ticks, entry["n"], entry["n_events"],
        None if entry["median_days"] is None else entry["median_days"] / DAYS_A_MONTH, entry["ended_by"], entry["missing"],
    )  # fmt: skip


# -- tables of figures ----------------------------------------------------------------------------

Table = tuple[tuple[str, ...], list[tuple]]  # headings, rows
_NODE_COLUMNS = (
    "subject", "node", "side", "level", "high_risk", "visit", "reader", "modality", "method", "status", "volume_ml", "baseline_ml", "vrr_pct", "vrr_low_pct", "vrr_high_pct",
    "comparable", "locked", "salvaged", "ablations", "months", "days_from_node_ablation", "counts", "left_out_because", "reading_id", "version",
)  # fmt: skip


def node_rows(rows: Iterable[Any]) -> Table:
    """Rows of nodes with every value; no dates, days and months since ablation instead."""
    out = []
    for r in rows:
        low, high = r.interval_pct or (None, None)
        known = r.reading_id is not None
        out.append(
            (r.subject, r.node, r.side, r.level, "; ".join(r.high_risk), r.visit, r.reader, r.modality, r.method, r.status, r.volume_ml, r.baseline_ml, r.vrr_pct, low, high,
             (r.comparable if r.vrr_pct is not None else None), (not r.provisional if known else None), r.salvaged, r.n_ablations, r.months, r.days_from_node_anchor, r.counts, "; ".join(r.reasons), r.reading_id, r.version)
        )  # fmt: skip
    return _NODE_COLUMNS, out


def figure_tables(view: CohortView) -> dict[str, Table]:
    """Every table and figure by name: ``nodes``, ``subjects``, ``waterfall``, ``spider``, ``box_plot``, ``endpoints``, and for each
    endpoint in time ``survival_NAME`` and ``at_risk_NAME``."""
    out: dict[str, Table] = {
        "nodes": node_rows(view.table),
        "subjects": (
            ("subject", "modality", "method", "sum_pct", "mean_pct", "nodes_with_rate", "nodes", "missing", "all_gone"),
            [(s.subject, s.modality, s.method, s.sum_pct, s.mean_pct, len(s.nodes), s.n_nodes, _by_reason(s.missing), s.all_gone) for s in view.subjects],
        ),
        "waterfall": (("place", *_NODE_COLUMNS), [(n + 1, *row) for n, row in enumerate(node_rows(view.bars)[1])]),
        "spider": node_rows(r for line in view.lines for r in line.points),
        "box_plot": (
            ("visit", "n", "subjects", "not_comparable", "mean_pct", "min_pct", "q1_pct", "median_pct", "q3_pct", "max_pct", "whisker_low_pct", "whisker_high_pct", "outliers_pct"),
            [(b.visit, b.n, b.n_subjects, b.n_unlike, b.mean_pct, b.min_pct, b.q1_pct, b.median_pct, b.q3_pct, b.max_pct, b.whisker_low_pct, b.whisker_high_pct, "; ".join(repr(v) for v in b.outliers)) for b in view.boxes],
        ),
        "endpoints": endpoint_table(endpoint_lines(tables_of(view))),
    }  # fmt: skip
    for s in survival_of(view):
        out[f"survival_{s.endpoint}"] = survival_table(s)
        out[f"at_risk_{s.endpoint}"] = (("month", "at_risk"), [*s.ticks])
    return out


def endpoint_table(lines: Iterable[EndpointLine]) -> Table:
    """Endpoint lines as a table."""
    columns = ("endpoint", "title", "rank", "reader", "quantity", "value", "unit", "low", "high", "interval_from", "numerator", "denominator", "of", "n_missing", "missing", "seed", "resamples")
    return columns, [
        (x.endpoint, x.title, x.rank, x.reader, x.quantity, x.value, x.unit, x.low, x.high, x.interval_from, x.numerator, x.denominator, x.of, sum(x.missing.values()), _by_reason(x.missing), x.seed, x.resamples) for x in lines
    ]


def survival_table(s: Survival) -> Table:
    """The steps of a curve."""
    return ("day", "month", "at_risk", "events", "censored", "free_pct", "low_pct", "high_pct"), [*zip(s.days, s.months, s.at_risk, s.events, s.censored, s.free_pct, s.low_pct, s.high_pct, strict=True)]


def _by_reason(missing: Mapping[str, Any]) -> str:
    return "; ".join(f"{key}: {value}" for key, value in sorted(missing.items()))


def text_of(value: Any) -> str:
    """One value of a table as text: numbers whole, yes and no, nothing for what is not known."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return repr(float(value)) if isinstance(value, (float, np.floating)) else str(value)


def csv_text(table: Table) -> str:
    """A table as CSV: UTF-8, comma, RFC 4180 quotes, lines end with a line feed; no text runs as a formula in a spreadsheet."""
    rows = ([guarded(v) if isinstance(v, str) else text_of(v) for v in row] for row in table[1])
    return csv_bytes(table[0], rows).decode("utf-8")


def tab_text(table: Table) -> str:
    """A table for the clipboard."""
    return "\n".join("\t".join(map(text_of, row)) for row in (table[0], *table[1]))


def provenance(view: CohortView) -> dict[str, Any]:
    """What the numbers are of: study, protocol, filter, day of the cut, seed, the audit event they were read at."""
    c = view.cohort
    return {
        "study_id": c.snapshot.study_id, "protocol": c.protocol.stamp, "records": "accepted" if c.accepted else "locked and measured", "filter": view.chosen.to_dict(), "counts": view.counts,
        "as_of": None if c.as_of is None else c.as_of.isoformat(), "seed": c.seed, "resamples": c.resamples, "audit_head": c.snapshot.audit_head,
        "note": "Filters narrow table and figures; endpoint tables and survival are of the whole study. Nothing missing is filled in.", "notice": INVESTIGATIONAL_NOTICE,
    }  # fmt: skip


def write_cohort(view: CohortView, out: Path, *, only: Iterable[str] | None = None) -> dict[str, Any]:
    """Write the tables (all, or those named) as ``NAME.csv`` into the folder ``out`` with ``cohort.json``, which says what they are of.
    The same view gives the same bytes. Raises ``file_unusable``."""
    ensure_folder(out)
    wanted = None if only is None else set(only)
    files = []
    for name, table in figure_tables(view).items():
        if wanted is None or name in wanted:
            path = write_text(out / f"{name}.csv", csv_text(table))
            files.append({"path": path.name, "rows": len(table[1]), "sha256": sha256_of(path)})
    receipt = {**provenance(view), "files": files}
    write_json(out / "cohort.json", receipt)
    return receipt


def answer_of(view: CohortView) -> dict[str, Any]:
    """The answer of ``nodus study cohort --json``."""
    c = view.cohort
    return {
        **provenance(view), "visits": list(c.visits), "readers": list(c.readers), "kinds": [{"modality": m, "method": how} for m, how in view.kinds], "undated": view.undated, "summary": dict(view.summary),
        "nodes": [r.to_dict() for r in view.table], "subjects": [s.to_dict() for s in view.subjects], "boxes": [b.to_dict() for b in view.boxes],
        "endpoints": [x.to_dict() for x in endpoint_lines(tables_of(view))],
        "survival": [
            {"endpoint": s.endpoint, "title": s.title, "n": s.n, "n_events": s.n_events, "median_months": s.median_months, "ended_by": dict(s.ended_by), "missing": dict(s.missing),
             "at_risk": [{"month": m, "n": n} for m, n in s.ticks], "steps": [dict(zip(*_one(survival_table(s), row), strict=True)) for row in survival_table(s)[1]]}
            for s in survival_of(view)
        ],
    }  # fmt: skip


def _one(table: Table, row: tuple) -> tuple[tuple[str, ...], tuple]:
    return table[0], row


def cohort_of(store: Any, chosen: CohortFilter | None = None, **options: Any) -> CohortView:
    """Gather and look in one go. A reader who is named is looked at alone, also where accepted records count. Raises ``cohort_not_shown``,
    ``cohort_filter_refused``."""
    return view_of(cohort_for(cohort_snapshot(store), chosen, **options), chosen)


def cohort_for(snapshot: Any, chosen: CohortFilter | None = None, **options: Any) -> Cohort:
    """``gather`` as the filter's reader asks for it: ``accepted``, a reader alone, or (none named) what is usual."""
    reader = None if chosen is None else chosen.reader
    return gather(snapshot, accepted=None if reader is None else reader == "accepted", **options)


def export_cohort(store: Any, view: CohortView, out: Path, *, only: Iterable[str] | None = None) -> dict[str, Any]:
    """``write_cohort`` with an entry in the audit trail. In a study with users it needs the right to export."""
    store.require("export")
    receipt = write_cohort(view, out, only=only)
    store.log_event("exported", "export:cohort", new={"files": receipt["files"], "filter": receipt["filter"]})
    store.write_anchor()
    return receipt
