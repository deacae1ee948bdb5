"""The endpoint tables of a protocol: rate of reduction, disappearance and recurrence of nodes, with everything missing named."""

from __future__ import annotations

import datetime as dt
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from app.study.endpoint_criteria import CRITERIA_KINDS, PAIN_KINDS, control_table, criteria_table, pain_table
from app.study.endpoint_nodes import (
    Field,
    NodeOutcome,
    fields_of,
    outcome,
    population_of,
    recurrence_of,
    scan_words,
    subject_recurrences,
)
from app.study.endpoint_time import time_table
from app.study.followup import Response
from app.study.model import StudySnapshot
from volumetry.response.course import NodePair, SubjectRate, subject_rate_of
from volumetry.response.statistics import (
    RESAMPLES,
    SEED,
    clustered_bootstrap,
    node_rate,
    subject_rate,
)

NODE_KINDS = ("VRR", "DISAPPEARANCE", "RECURRENCE")
TIME_KINDS = ("PFS", "OS")


def protocol_tables(snapshot: StudySnapshot, response: Response, *, subject_id: str | None = None, as_of: dt.date | None = None, pending: frozenset[tuple[str, str]] = frozenset(), seed: int = SEED, resamples: int = RESAMPLES) -> list[dict[str, Any]]:
    """Every endpoint of the protocol that is worked out of readings and events, one entry an endpoint and reader (one for all where
    records are adjudicated). ``as_of`` is the day the data were cut; without it a window that is not over cannot be told
    from a scan that is missing. ``pending`` are (node, visit) that wait for an adjudicator. Empty where the protocol states no endpoints."""
    out = []
    for reader, every in fields_of(snapshot, response, subject_id=subject_id, as_of=as_of, pending=pending).items():
        for endpoint in every.protocol.endpoints:
            if endpoint["kind"] in NODE_KINDS:
                body = node_table(every, endpoint, seed=seed, resamples=resamples)
            elif endpoint["kind"] in TIME_KINDS:
                body = time_table(every, endpoint)
            elif endpoint["kind"] == "ORR":
                body = criteria_table(every, endpoint)
            elif endpoint["kind"] in CRITERIA_KINDS:
                body = control_table(every, endpoint)
            elif endpoint["kind"] in PAIN_KINDS:
                body = pain_table(every, endpoint)
            else:
                continue
            out.append({**head(endpoint), "reader": reader, **body})
    return out


def head(endpoint: Mapping) -> dict[str, Any]:
    """What the protocol says of the endpoint."""
    named = {key: endpoint.get(key) for key in ("title", "rank", "kind", "population", "clock", "visit", "window_days", "primary_unit", "criteria")}
    return {"set": "protocol", "endpoint": endpoint["name"], **named}


def node_table(every: Field, endpoint: Mapping, *, seed: int = SEED, resamples: int = RESAMPLES) -> dict[str, Any]:
    """One endpoint over nodes. A salvaged node is an intercurrent event of the set ``nodes_never_salvaged``: left out, counted, listed."""
    nodes, untreated = population_of(every, endpoint)
    found = [outcome(every, endpoint, n) for n in nodes]
    single = endpoint.get("population") == "nodes_never_salvaged"
    salvaged = [o for o in found if o.salvaged] if single else []
    kept = [o for o in found if not o.salvaged] if single else found
    missing = [o for o in kept if o.reason is not None]
    body: dict[str, Any] = {
        "n_treated": len(nodes), "n_excluded": len(salvaged), "n_set": len(kept), "n_in_window": sum(o.assessed for o in kept), "n": len(kept) - len(missing),
        "n_subjects": len({o.node.subject_id for o in kept}), "seed": seed, "resamples": resamples,
        "missing": dict(sorted(Counter(o.reason for o in missing).items())),
        "excluded": [{**o.to_dict(), "reason": "salvaged"} for o in salvaged],
        "not_treated": [{"subject": n.subject_id, "node": n.label} for n in untreated],
        "nodes": [o.to_dict() for o in kept],
    }  # fmt: skip
    options = {"seed": seed, "resamples": resamples}
    if endpoint["kind"] == "VRR":
        body.update(_vrr(kept, **options))
        handling = endpoint.get("salvaged") or {}
        if single and handling.get("sensitivity") == "last_pre_salvage_volume":
            body["sensitivity"] = _carried(kept, salvaged, **options)
    elif endpoint["kind"] == "DISAPPEARANCE":
        body["rates"] = _gone(kept, **options)
    else:
        body.update(_recurred(every, kept, **options))
    return body


# -- reduction rate -------------------------------------------------------------------------------


def pair_of(found: NodeOutcome) -> NodePair:
    """A node of a subject's sum."""
    if found.value_pct is None:
        return NodePair(found.node.label, None, None, missing=found.reason)
    return NodePair(found.node.label, found.scan.baseline_volume_ml, found.scan.volume_ml, found.disappeared, None, found.value_pct)


def _vrr(kept: Sequence[NodeOutcome], **options: int) -> dict[str, Any]:
    values = [(o.node.subject_id, o.value_pct) for o in kept if o.value_pct is not None]
    by_subject: dict[str, list[NodePair]] = {}
    for o in kept:
        by_subject.setdefault(o.node.subject_id, []).append(pair_of(o))
    rates = {s: subject_rate_of(pairs) for s, pairs in sorted(by_subject.items())}
    assessed = [o.value_pct is not None for o in kept]
    return {
        "units": units_of(values, rates, **options),
        "subjects": [subject_words(s, r) for s, r in rates.items()],
        "mean_pct": statistics.fmean(v for _, v in values) if values else None,
        "coverage": {
            "of_treated": node_rate(assessed, [o.node.subject_id for o in kept], of="treated nodes of the set", missing=Counter(o.reason for o in kept if o.reason), **options).to_dict(),
            "of_in_window": node_rate([o.value_pct is not None for o in kept if o.assessed], [o.node.subject_id for o in kept if o.assessed], of="nodes assessed in the window", missing=Counter(o.reason for o in kept if o.reason and o.assessed), **options).to_dict(),
        },
        "by_modality": by_modality(kept),
    }  # fmt: skip


def units_of(values: Sequence[tuple[str, float]], rates: Mapping[str, SubjectRate], **options: int) -> dict[str, Any]:
    """The three units: node, subject sum, subject mean. Subjects with a missing node are in, counted as ``n_partial``; the mean over
    subjects without any stands beside it."""
    sums = [(s, r.sum_pct, r.complete) for s, r in rates.items() if r.sum_pct is not None]
    means = [(s, r.mean_pct, r.complete) for s, r in rates.items() if r.mean_pct is not None]
    empty = sum(r.sum_pct is None for r in rates.values())
    return {
        "node": summary([v for _, v in values], [s for s, _ in values], **options),
        "subject_sum": {**summary([v for _, v, _ in sums], [s for s, _, _ in sums], **options), **_partial(sums, empty)},
        "subject_mean": {**summary([v for _, v, _ in means], [s for s, _, _ in means], **options), **_partial(means, empty)},
    }


def _partial(values: Sequence[tuple[str, float, bool]], empty: int) -> dict[str, Any]:
    whole = [v for _, v, complete in values if complete]
    return {"n_partial": len(values) - len(whole), "n_without": empty, "mean_of_complete_pct": statistics.fmean(whole) if whole else None}


def summary(values: Sequence[float], subjects: Sequence[str], **options: int) -> dict[str, Any]:
    """Number, mean with the interval of resampled subjects, spread."""
    made = clustered_bootstrap(values, subjects, **options)
    return {
        "n": len(values), "mean_pct": statistics.fmean(values) if values else None, "median_pct": statistics.median(values) if values else None,
        "min_pct": min(values, default=None), "max_pct": max(values, default=None), "sd_pct": statistics.stdev(values) if len(values) > 1 else None,
        "interval_pct": None if made.interval is None else list(made.interval), "interval_from": "subject-clustered bootstrap" if made.interval else made.note,
        "seed": made.seed, "resamples": made.resamples, "n_subjects": made.clusters,
    }  # fmt: skip


def subject_words(subject: str, rate: SubjectRate) -> dict[str, Any]:
    """One subject of a table."""
    return {"subject": subject, "sum_pct": rate.sum_pct, "mean_pct": rate.mean_pct, "nodes": list(rate.counted), "missing": dict(rate.missing), "complete": rate.complete, "all_gone": rate.all_gone}


def by_modality(kept: Sequence[NodeOutcome]) -> list[dict[str, Any]]:
    """What the values were read on: one entry a modality and method."""
    groups: dict[tuple[str, str], list[float]] = {}
    for o in kept:
        if o.value_pct is not None:
            groups.setdefault((o.scan.modality, o.scan.method), []).append(o.value_pct)
    return [{"modality": m, "method": how, "n": len(v), "mean_pct": statistics.fmean(v)} for (m, how), v in sorted(groups.items())]


def _carried(kept: Sequence[NodeOutcome], salvaged: Sequence[NodeOutcome], **options: int) -> dict[str, Any]:
    """The same with the last volume before the salvage carried for salvaged nodes: values of the set and the carried ones together."""
    values = [(o.node.subject_id, o.value_pct) for o in kept if o.value_pct is not None]
    carried = [(o.node.subject_id, o.carried.vrr_pct) for o in salvaged if o.carried is not None]
    by_subject: dict[str, list[NodePair]] = {}
    for o in kept:
        by_subject.setdefault(o.node.subject_id, []).append(pair_of(o))
    for o in salvaged:
        row = o.carried
        pair = NodePair(o.node.label, None, None, missing="no_volume_before_salvage") if row is None else NodePair(o.node.label, row.baseline_volume_ml, row.volume_ml, row.status == "disappeared_assessed")
        by_subject.setdefault(o.node.subject_id, []).append(pair)
    rates = {s: subject_rate_of(pairs) for s, pairs in sorted(by_subject.items())}
    return {
        "handling": "last_pre_salvage_volume", "n_carried": len(carried), "n_without": len(salvaged) - len(carried), "units": units_of([*values, *carried], rates, **options),
        "nodes": [{"subject": o.node.subject_id, "node": o.node.label, "value_pct": None if o.carried is None else o.carried.vrr_pct, **scan_words(o.carried, o.clock)} for o in salvaged],
    }  # fmt: skip


# -- disappearance and recurrence -----------------------------------------------------------------


def _gone(kept: Sequence[NodeOutcome], **options: int) -> dict[str, Any]:
    seen = [o for o in kept if o.assessed]
    lost = Counter(o.reason or "not_assessed" for o in kept if not o.assessed)
    by_subject: dict[str, list[NodeOutcome]] = {}
    for o in kept:
        by_subject.setdefault(o.node.subject_id, []).append(o)
    # A subject with a node that is still there is no success, whatever the others; else all must have been looked at.
    answers = {s: False if any(o.assessed and not o.disappeared for o in each) else True if all(o.assessed for o in each) else None for s, each in by_subject.items()}
    judged = [a for a in answers.values() if a is not None]
    missing = {"node_not_assessed": len(answers) - len(judged)} if len(answers) > len(judged) else {}
    return {
        "node_of_treated": node_rate([o.disappeared for o in kept], [o.node.subject_id for o in kept], of="treated nodes of the set", missing=lost, **options).to_dict(),
        "node_of_in_window": node_rate([o.disappeared for o in seen], [o.node.subject_id for o in seen], of="nodes assessed in the window", missing=lost, **options).to_dict(),
        "subject_of_treated": subject_rate([bool(a) for a in answers.values()], of="treated subjects (all nodes gone)", missing=missing).to_dict(),
        "subject_of_assessed": subject_rate(judged, of="subjects that could be judged", missing=missing).to_dict(),
    }


def _recurred(every: Field, kept: Sequence[NodeOutcome], **options: int) -> dict[str, Any]:
    back = {o.node.node_id: None if o.clock is None else recurrence_of(every, o.node, o.clock.high) for o in kept}
    seen = [o for o in kept if o.assessed or back[o.node.node_id] is not None]
    lost = Counter(o.reason or "not_assessed" for o in kept if not (o.assessed or back[o.node.node_id] is not None))
    by_subject: dict[str, list[NodeOutcome]] = {}
    for o in kept:
        by_subject.setdefault(o.node.subject_id, []).append(o)
    listed, kinds, answers = [], Counter(), {}
    for subject, each in sorted(by_subject.items()):
        until = max((o.clock.high for o in each if o.clock is not None), default=None)
        elsewhere = [] if until is None else subject_recurrences(every, subject, until)
        local = [o for o in each if back[o.node.node_id] is not None]
        listed += [{"subject": subject, "node": o.node.label, "kind": "local", "sign": back[o.node.node_id].sign, "date": _iso(back[o.node.node_id].date)} for o in local]
        listed += [{"subject": subject, "node": None, "kind": r.kind, "sign": r.sign, "date": _iso(r.date)} for r in elsewhere]
        kinds.update({"local"} if local else ())
        kinds.update({r.kind for r in elsewhere})
        answers[subject] = True if local or elsewhere else False if all(o.assessed for o in each) else None
    judged = [a for a in answers.values() if a is not None]
    missing = {"node_not_assessed": len(answers) - len(judged)} if len(answers) > len(judged) else {}
    return {
        "rates": {
            "node_of_treated": node_rate([back[o.node.node_id] is not None for o in kept], [o.node.subject_id for o in kept], of="treated nodes of the set", missing=lost, **options).to_dict(),
            "node_of_in_window": node_rate([back[o.node.node_id] is not None for o in seen], [o.node.subject_id for o in seen], of="nodes assessed in the window or recurred before", missing=lost, **options).to_dict(),
            "subject_of_treated": subject_rate([bool(a) for a in answers.values()], of="treated subjects (any recurrence)", missing=missing).to_dict(),
            "subject_of_assessed": subject_rate(judged, of="subjects that could be judged", missing=missing).to_dict(),
        },
        "subjects_by_kind": dict(sorted(kinds.items())),
        "recurrences": listed,
    }


def _iso(day: dt.date | None) -> str | None:
    return None if day is None else day.isoformat()
