"""A made-up trial in memory: subjects, visits, two readers, salvage, deaths, nodes that disappear or grow back."""

from __future__ import annotations

import datetime as dt
import random

from app.study.model import ClinicalEvent, Reading, ReadingState, ReadingStatus, Side, StudySnapshot, Subject, TargetNode, Visit
from app.study.protocol import load_protocol

VISITS = (("Baseline", -6), ("Day 30", 30), *((f"Month {m}", round(m * 30.4375)) for m in (3, 6, 9, 12, 15, 18, 21, 24)), ("Month 27", round(27 * 30.4375)))
READERS = ("reader-a", "reader-b")


def trial(subjects: int = 85, nodes: int = 10, *, visits: int = 11, readers: tuple[str, ...] = READERS, seed: int = 1, protocol: str = "ire-cervical-ln") -> StudySnapshot:
    """A trial of ``subjects`` with ``nodes`` each, read at up to ``visits`` visits (the first ten as the protocol names them, an
    unplanned one after them) by each of ``readers`` on CT by voxels. The same ``seed`` gives the same trial."""
    rng = random.Random(seed)
    made_visits, made_nodes, readings, events = [], [], [], []
    names = [f"S-{n + 1:03d}" for n in range(subjects)]
    for n, subject in enumerate(names):
        day0 = dt.date(2023, 1, 10) + dt.timedelta(3 * n)
        dead = day0 + dt.timedelta(rng.randint(150, 700)) if n % 12 == 5 else None
        shots = []
        for order, (name, offset) in enumerate(VISITS[:visits]):
            day = day0 + dt.timedelta(offset + (rng.randint(-4, 4) if order else 0))
            if dead is None or day < dead:
                shots.append(Visit(f"V-{n}-{order}", subject, name, order, day.isoformat()))
        made_visits += shots
        events.append(ClinicalEvent(f"E-{n}", subject, "IRE", day0.isoformat()))
        if dead is not None:
            events.append(ClinicalEvent(f"D-{n}", subject, "DEATH", dead.isoformat()))
        elif n % 5 == 2:
            found = shots[min(len(shots) - 1, rng.randint(3, 8))]
            events.append(ClinicalEvent(f"P-{n}", subject, "PROGRESSION", found.actual_date, None, {"type": "new_node"}))
        for k in range(nodes):
            node = f"N-{n}-{k}"
            made_nodes.append(TargetNode(node, subject, f"N{k + 1}", Side.LEFT if k % 2 else Side.RIGHT, "III" if k % 3 else "VI", ("recurrent laryngeal nerve",) if k % 4 == 0 else ()))
            if rng.random() < 0.08:
                events.append(ClinicalEvent(f"SA-{n}-{k}", subject, "SALVAGE", (day0 + dt.timedelta(41)).isoformat(), node))
            readings += _course(rng, subject, node, shots, readers, grows=rng.random() < 0.07)
    return StudySnapshot("T-1", "trial", load_protocol(protocol).content, tuple(Subject(s) for s in names), tuple(made_visits), tuple(made_nodes), tuple(readings), tuple(events))


def _course(rng: random.Random, subject: str, node: str, shots: list[Visit], readers: tuple[str, ...], *, grows: bool) -> list[Reading]:
    out = []
    start, pace = rng.uniform(0.3, 4.0), rng.uniform(0.6, 0.9)
    gone_from = rng.randint(4, 9) if rng.random() < 0.3 else None
    for v in shots:
        if v.order and rng.random() < 0.03:
            continue  # not read
        volume = start * (1 + 0.05 * v.order if grows else pace**v.order) * rng.uniform(0.95, 1.05)
        gone = not grows and gone_from is not None and v.order >= gone_from
        status = ReadingStatus.DISAPPEARED_ASSESSED if gone else ReadingStatus.NOT_EVALUABLE if v.order and rng.random() < 0.02 else ReadingStatus.MEASURED
        for reader in readers:
            ml = 0.0 if gone else None if status is ReadingStatus.NOT_EVALUABLE else volume * rng.uniform(0.98, 1.02)
            out.append(
                Reading(
                    f"R-{node}-{v.order}-{reader}", subject, v.visit_id, node, reader, "central", "CT", "voxel", status, ReadingState.LOCKED, volume_ml=ml,
                    volume_interval_ml=None if not ml else (0.93 * ml, 1.07 * ml), created_utc=f"{v.actual_date}T08:00:00Z", locked_utc=f"{v.actual_date}T09:00:00Z", locked_by=reader,
                )
            )  # fmt: skip
    return out
