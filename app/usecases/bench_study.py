"""Timing of a whole trial: every rate, response and endpoint table of 85 participants, ten nodes, eleven visits, two readers."""

from __future__ import annotations

import datetime as dt
import random

from app.study.accepted import accepted_records
from app.study.model import (
    ClinicalEvent,
    Reading,
    ReadingState,
    ReadingStatus,
    Side,
    StudySnapshot,
    Subject,
    TargetNode,
    Visit,
)
from app.study.protocol import load_protocol
from app.usecases.assess_response import accepted_of, response_of_snapshot
from app.usecases.bench_rows import Row, best_of, compare

READERS = ("r1", "r2")


def simulated_trial(subjects: int = 85, nodes: int = 10, seed: int = 1) -> StudySnapshot:
    """A trial of the IRE protocol by a seed: two readers at every visit, salvages, gaps, nodes that disappear. Made up throughout."""
    rng = random.Random(seed)
    protocol = load_protocol("ire-cervical-ln")
    planned = [(v.name, v.order, v.day if v.months is None else round(v.months * 365.25 / 12)) for v in protocol.visits]
    made: dict[str, list] = {"subjects": [], "visits": [], "nodes": [], "readings": [], "events": []}
    for s in range(subjects):
        name, start = f"S-{s:03d}", dt.date(2025, 1, 31) + dt.timedelta(3 * s)
        made["subjects"].append(Subject(name))
        made["events"].append(ClinicalEvent(f"E-{name}", name, "IRE", start.isoformat()))
        visits = []
        for visit, order, day in planned:
            off = -rng.randint(1, 20) if order == 0 else -rng.randint(21, 28) if order < 0 else day + rng.randint(-6, 6)
            visits.append(Visit(f"{name}/{visit}", name, visit, order, (start + dt.timedelta(off)).isoformat()))
        made["visits"] += visits
        for n in range(1, nodes + 1):
            node = TargetNode(f"{name}/N{n}", name, f"N{n:02d}", Side.LEFT if n % 2 else Side.RIGHT, "III", ("carotid",) if rng.random() < 0.3 else ())
            made["nodes"].append(node)
            if rng.random() < 0.1:
                made["events"].append(ClinicalEvent(f"E-{node.node_id}", name, "SALVAGE", (start + dt.timedelta(rng.randint(36, 44))).isoformat(), node.node_id))
            volume, rate = rng.uniform(0.2, 4.0), rng.uniform(0.6, 0.95)
            for visit in visits:
                if visit.order > 0 and rng.random() < 0.04:
                    continue
                share = rate ** max(visit.order, 0)
                gone = visit.order > 3 and volume * share < 0.05
                for reader in READERS:
                    made["readings"].append(_reading(node, visit, reader, 0.0 if gone else volume * share * rng.uniform(0.9, 1.1)))
    return StudySnapshot("ST-BENCH", "bench", protocol.content, **{name: tuple(values) for name, values in made.items()})


def _reading(node: TargetNode, visit: Visit, reader: str, volume_ml: float) -> Reading:
    gone = volume_ml == 0
    long_axis = None if gone else round(12.4 * (2 * volume_ml) ** (1 / 3), 1)
    stamp = "2027-06-01T00:00:00Z"
    return Reading(
        f"R-{visit.visit_id}/{node.label}/{reader}", node.subject_id, visit.visit_id, node.node_id, reader, "central", "CT", "voxel",
        ReadingStatus.DISAPPEARED_ASSESSED if gone else ReadingStatus.MEASURED, ReadingState.LOCKED, 1, volume_ml,
        long_axis_mm=long_axis, short_axis_mm=None if gone else round(long_axis * 0.7, 1), created_utc=stamp, locked_utc=stamp,
    )  # fmt: skip


def bench_study() -> list[Row]:
    """Rows of ``nodus bench study``: with the accepted records, and with a table for each reader."""
    snapshot = simulated_trial()
    size = f"{len(snapshot.subjects)} participants, {len(snapshot.nodes)} nodes, {len(snapshot.readings)} readings"

    def adjudicated() -> dict:
        accepted, pending = accepted_of(snapshot)
        return response_of_snapshot(snapshot, accepted=accepted, pending=pending)

    chosen, _ = best_of(lambda: accepted_records(snapshot), 3)
    whole, answer = best_of(adjudicated, 3)
    both, _ = best_of(lambda: response_of_snapshot(snapshot), 3)
    tables = sum(e["set"] == "protocol" for e in answer["endpoints"])
    return [
        compare(f"study: accepted records of {size}", chosen),
        compare(f"study: accepted records, every rate and {tables} endpoint tables of {size}", whole),
        compare(f"study: every rate and the endpoint tables of each reader, {size}", both),
    ]
