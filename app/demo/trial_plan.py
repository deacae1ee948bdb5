"""What happens in a simulated trial of cervical node IRE, drawn from a seed: subjects, nodes and their true volumes, visits, events, and
what the site and two central readers see. Made up throughout; nothing is stored here.

Visits come from the protocol's own schedule. A node shrinks from an ablation zone that is first larger than the node; some keep a
viable rest (and may be treated again), some grow back, some are gone. Each reader sees the truth with a bias and noise of their own.
"""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from app.study.model import ClinicalEvent, ReadingStatus
from app.study.protocol import StudyProtocol
from app.study.schedule import plan_visits

SITES = ("north", "south", "west")
SITE, READER_1, READER_2 = "site", "reader-1", "reader-2"
FIRST_DAY, ENROL_DAYS = dt.date(2024, 1, 15), 364
LEVELS = ("IIA", "IIB", "III", "IV", "VA", "VB", "VI")
AT_RISK = ("carotid", "jugular", "vagus", "trachea", "oesophagus", "skin")
METHOD = {"CT": "voxel", "CEUS": "ellipsoid"}
NOISE_CV = {"CT": 0.05, "CEUS": 0.08}
BIAS = {SITE: 1.0, READER_1: 1.01, READER_2: 0.985}
GONE_ML, TINY_ML = 0.02, 0.035
GRADED = ("Day 30", "Month 3", "Month 12")
# One each for the first subjects, so that a short run meets all of them; every other subject meets what the seed draws.
INCIDENTS = (
    "salvage", "withdrawal", "new_node", "out_of_window", "by_node", "death", "undated", "regrowth",
    "local", "lost", "other_modality", "distant", "no_baseline", "found_by_reader", "untyped", "unread",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class SimNode:
    """A node. ``added`` is the day on which it is known, ``found_by`` the central reader who found it (else the site). ``own_event``: it
    is ablated by an event that names it, on ``ablated`` (None: never)."""

    label: str
    side: str
    level: str
    high_risk: tuple[str, ...]
    baseline_ml: float
    rest: float  # share of the volume that stays
    tau_days: float
    added: dt.date
    ablated: dt.date | None
    own_event: bool = False
    regrows_after_days: float | None = None
    viable: bool = False  # a rest that enhances, until it is treated again
    found_by: str | None = None


@dataclass(frozen=True, slots=True)
class SimEvent:
    """A clinical event; ``node`` is a label, None: of the subject."""

    kind: str
    date: dt.date
    node: str | None = None
    detail: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SimVisit:
    """A visit as it was held; ``stated`` is the date that the study is told, None for one that was not written down."""

    name: str
    date: dt.date
    stated: dt.date | None
    modalities: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SimReading:
    """What one reader sees of one node at one visit by one modality. ``truth_ml`` is the simulated volume; ``correction`` a second
    volume, with which the locked reading is corrected later."""

    reader: str
    visit: str
    node: str
    modality: str
    status: str
    truth_ml: float
    volume_ml: float | None = None
    long_axis_mm: float | None = None
    short_axis_mm: float | None = None
    grade: str | None = None
    viable_ml: float | None = None
    status_reason: str | None = None
    locked: bool = True
    correction_ml: float | None = None


@dataclass(frozen=True, slots=True)
class SimSubject:
    """Everything that happens to one subject."""

    subject_id: str
    site: str
    nodes: tuple[SimNode, ...]
    visits: tuple[SimVisit, ...]
    events: tuple[SimEvent, ...]
    readings: tuple[SimReading, ...]


def plan_subject(protocol: StudyProtocol, number: int, seed: int, nodes: tuple[int, int], enrol_days: int = ENROL_DAYS) -> SimSubject:
    """Subject ``number`` (from 0) of the trial of a seed, with ``nodes`` (fewest, most), treated within ``enrol_days`` of the first day; the same
    however many others there are."""
    return _Course(protocol, number, seed, nodes, enrol_days).subject()


def true_volume_ml(node: SimNode, day: dt.date, salvage: dt.date | None) -> float:
    """The simulated volume of a node on a day; ``salvage`` is the day on which it was treated again."""
    if node.ablated is None or day <= node.ablated:
        return node.baseline_ml
    days, rest = (day - node.ablated).days, node.rest
    volume = node.baseline_ml * (1.15 * (1 - rest) * math.exp(-days / node.tau_days) + rest)
    if salvage is not None and day > salvage:
        volume *= 0.06 + 0.94 * math.exp(-(day - salvage).days / node.tau_days)
    elif node.regrows_after_days is not None and days > node.regrows_after_days:
        volume = min(volume * math.exp((days - node.regrows_after_days) / 140), 3 * node.baseline_ml)
    return volume


class _Course:
    """Draws one subject, in the order in which things happen."""

    def __init__(self, protocol: StudyProtocol, number: int, seed: int, nodes: tuple[int, int], enrol_days: int) -> None:
        self.protocol = protocol
        self.rng = np.random.default_rng([seed, number])
        self.incident = INCIDENTS[number] if number < len(INCIDENTS) else None
        self.subject_id = f"S-{number + 1:03d}"
        self.site = SITES[number % len(SITES)]
        self.treated = FIRST_DAY + dt.timedelta(int(self.rng.integers(0, enrol_days)))
        self.modality = "CT" if self._chance(0.6) or self.incident == "other_modality" else "CEUS"
        self.events: list[SimEvent] = []
        self.visits: list[SimVisit] = []
        self.readings: list[SimReading] = []
        self.salvaged: dict[str, dt.date] = {}
        self.ended: dt.date | None = None
        self.nodes = self._nodes(int(self.rng.integers(nodes[0], nodes[1] + 1)))

    def _chance(self, share: float) -> bool:
        return bool(self.rng.random() < share)

    def _pick(self, of: tuple) -> Any:
        return of[int(self.rng.integers(len(of)))]

    def _day(self, start: dt.date, low: int, high: int) -> dt.date:
        return start + dt.timedelta(int(self.rng.integers(low, high + 1)))

    def subject(self) -> SimSubject:
        """The whole course."""
        self._before()
        self._visit("Baseline", self._day(self.treated, -12, 0))
        self._treat()
        planned = [v for v in self.protocol.visits if v.phase == "post"]
        self._planned_visit(planned[0].name)
        self._salvage()
        self._ends()
        for visit in planned[1:]:
            self._planned_visit(visit.name)
        return SimSubject(self.subject_id, self.site, tuple(self.nodes), tuple(self.visits), tuple(sorted(self.events, key=lambda e: e.date)), tuple(self.readings))

    # -- before and at the treatment ----------------------------------------------------------------

    def _nodes(self, count: int) -> list[SimNode]:
        made = []
        by_node = self.incident == "by_node" or (self.incident is None and self._chance(0.15))
        count = max(count, 2) if self.incident in ("by_node", "salvage", "no_baseline", "unread") else count
        for n in range(count):
            baseline = float(np.clip(self.rng.lognormal(math.log(0.7), 0.8), 0.08, 7.0))
            draw, day = self.rng.random(), self.treated
            if by_node and n > 0:  # the first is always treated on Day 0
                day = None if n == 1 and (self.incident == "by_node" or self._chance(0.3)) else self._day(self.treated, 7, 21) if self._chance(0.2) else self.treated
            poor = (self.incident == "salvage" and n == 0) or draw > 0.975
            regrows = not poor and ((self.incident == "regrowth" and n == 0) or draw > 0.8)
            rest = float(self.rng.uniform(0.35, 0.7)) if poor else 0.0 if draw < 0.5 else float(self.rng.uniform(0.03, 0.2))
            risk = tuple(sorted({self._pick(AT_RISK) for _ in range(2)})) if self._chance(0.3) else ()
            made.append(
                SimNode(
                    f"N{n + 1}", "left" if n % 2 == 0 else "right", self._pick(LEVELS), risk, baseline, max(rest, 0.06) if regrows else rest, float(self.rng.uniform(40, 110)), self.treated - dt.timedelta(20),
                    day, by_node, float(self.rng.uniform(170, 420)) if regrows else None, poor,
                )
            )  # fmt: skip
        return made

    def _before(self) -> None:
        screened = self._day(self.treated, -28, -20)
        self.visits.append(SimVisit("Screening", screened, screened, ()))
        self.events.append(SimEvent("ENROLMENT", self._day(self.treated, -19, -13)))
        lab = {"test": "CREATININE", "value": round(float(self.rng.uniform(0.6, 1.1)), 2), "unit": "mg/dL", "age_years": int(self.rng.integers(24, 78)), "weight_kg": round(float(self.rng.uniform(48, 95)), 1), "sex": self._pick(("F", "F", "M"))}
        self.events.append(SimEvent("LAB", screened, None, lab))
        self.events.append(SimEvent("ELIGIBILITY", screened, None, {"criterion": "needles_placeable", "met": True}))

    def _treat(self) -> None:
        if self.nodes[0].own_event:
            self.events += [SimEvent("IRE", n.ablated, n.label, {"zone_volume_ml": round(n.baseline_ml * float(self.rng.uniform(1.8, 3.0)), 3)}) for n in self.nodes if n.ablated is not None]
        else:
            self.events.append(SimEvent("IRE", self.treated))
        if self._chance(0.03):
            return  # no pain was scored
        worst, lost = float(self.rng.uniform(0, 8)), self._chance(0.08)
        for hours in self.protocol.section("pain")["hours"]:
            score = int(np.clip(round(worst * math.exp(-hours / 20) + self.rng.normal(0, 0.7)), 0, 10))
            missing = lost and self._chance(0.25)
            detail = {"hours": hours, "score": None, "reason": "asleep"} if missing else {"hours": hours, "score": score}
            self.events.append(SimEvent("NRS", self.treated + dt.timedelta(hours=hours), None, detail))

    def _salvage(self) -> None:
        """One more session within the protocol's days after the Day 30 scan, where the site saw that something was left."""
        rule = self.protocol.section("salvage")
        scan = next((v.date for v in self.visits if v.name == rule["after_visit"]), None)
        left = [r.node for r in self.readings if r.reader == SITE and r.visit == rule["after_visit"] and r.grade in ("2", "3")]
        treated = {n.label for n in self.nodes if n.ablated is not None and scan is not None and n.ablated < scan}
        left = [label for label in dict.fromkeys(left) if label in treated]
        if scan is None or not left or not (self.incident == "salvage" or self._chance(0.75)):
            return
        day = self._day(scan, rule["within_days"] - 1, rule["within_days"])
        for label in left:
            self.salvaged[label] = day
            self.events.append(SimEvent("SALVAGE", day, label))

    def _ends(self) -> None:
        """Why follow-up ends early, and when: drawn once, between four months and the end."""
        drawn = self.rng.random()
        natural = "death" if drawn < 0.05 else "withdrawal" if drawn < 0.11 else "lost" if drawn < 0.15 else "distant" if drawn < 0.18 else "untyped" if drawn < 0.2 else None
        why = self.incident if self.incident in ("death", "withdrawal", "lost", "distant", "untyped") else natural if self.incident is None else None
        if why is None:
            return
        # The first subjects' follow-up ends before Month 12, so that a short run has every reason for a missing value.
        self.ended = self._day(self.treated, 120, 330) if self.incident else self._day(self.treated, 120, 720)
        if why in ("distant", "untyped"):
            self.events.append(SimEvent("PROGRESSION", self.ended, None, {"type": "distant"} if why == "distant" else {}))
        else:
            self.events.append(SimEvent(why.upper(), self.ended))

    # -- visits -----------------------------------------------------------------------------------

    def _planned_visit(self, name: str) -> None:
        known = [ClinicalEvent(f"E{n}", self.subject_id, e.kind, e.date.isoformat(), e.node, e.detail) for n, e in enumerate(self.events)]
        day = next(d for d in plan_visits(self.protocol, known) if d.visit.name == name)
        late = (self.incident == "out_of_window" and name == "Month 12") or self._chance(0.025)
        missed = not late and self.incident != "salvage" and self._chance(0.035)
        spread = (day.last - day.first).days // 3
        date = self._day(day.last, 1, 20) if late else self._day(day.target, -spread, spread)
        if missed or (self.ended is not None and date >= self.ended):
            return
        self._visit(name, date)
        if name == "Month 12" and (self.incident == "unread" or self._chance(0.05)):
            self._visit("Unscheduled 1", self._day(date, 5, 25))
        if name in ("Month 6", "Month 9", "Month 15") and self.ended is None:
            self._finds(name, date)

    def _visit(self, name: str, date: dt.date) -> None:
        undated = name == "Month 12" and (self.incident == "undated" or self._chance(0.01))
        modality = self.modality
        if name != "Baseline" and ((self.incident == "other_modality" and name == "Month 12") or self._chance(0.02)):
            modality = "CEUS" if modality == "CT" else "CT"
        both = name in ("Baseline", "Month 12", "Unscheduled 1") and modality == self.modality and self._chance(0.08)
        modalities = ("CT", "CEUS") if both else (modality,)
        self.visits.append(SimVisit(name, date, None if undated else date, modalities))
        for modality in modalities:
            self._read(name, date, modality)

    def _finds(self, name: str, date: dt.date) -> None:
        """A new node, or a treated one that came back: imaging progression, after which follow-up ends."""
        local = [n for n in self.nodes if n.regrows_after_days is not None and n.ablated is not None and (date - n.ablated).days > n.regrows_after_days + 60]
        if local and (self.incident == "local" or self._chance(0.4)):
            self.events.append(SimEvent("PROGRESSION", date, local[0].label, {"type": "local"}))
            self.ended = date + dt.timedelta(1)
        elif (self.incident in ("new_node", "local") and name != "Month 6") or (self.incident is None and self._chance(0.025)):
            self._new_node(name, date, None)
            self.events.append(SimEvent("PROGRESSION", date, None, {"type": "new_node"}))
            self.ended = date + dt.timedelta(1)
        elif self.incident == "found_by_reader" and name == "Month 9":
            self._new_node(name, date, READER_1)

    def _new_node(self, name: str, date: dt.date, found_by: str | None) -> None:
        node = SimNode(f"N{len(self.nodes) + 1}", self._pick(("left", "right")), self._pick(LEVELS), (), float(self.rng.uniform(0.1, 0.5)), 1.0, 100.0, date, None, found_by=found_by)
        self.nodes.append(node)
        for modality in next(v.modalities for v in self.visits if v.name == name):
            for reader in (SITE, READER_1, READER_2) if found_by is None else (found_by,):
                self.readings.append(self._see(reader, name, node, modality, date))

    # -- readings ---------------------------------------------------------------------------------

    def _read(self, name: str, date: dt.date, modality: str) -> None:
        unread = {reader for reader in (READER_1, READER_2) if self._chance(0.012)}
        if (self.incident == "unread" and name in ("Month 12", "Unscheduled 1")) or self._chance(0.006):
            unread = {READER_1, READER_2}
        for node in self.nodes:
            for reader in (SITE, READER_1, READER_2):
                if reader not in unread and (node.found_by in (None, reader) and node.added <= date):
                    self.readings.append(self._see(reader, name, node, modality, date))
        if self.incident == "unread" and name in ("Month 12", "Unscheduled 1"):  # one node was begun with, and never locked
            self.readings.append(replace(self._see(READER_2, name, self.nodes[0], modality, date), locked=False, correction_ml=None))

    def _see(self, reader: str, visit: str, node: SimNode, modality: str, date: dt.date) -> SimReading:
        truth = true_volume_ml(node, date, self.salvaged.get(node.label))
        base = {"reader": reader, "visit": visit, "node": node.label, "modality": modality, "truth_ml": truth}
        share = self.rng.random()
        if share < 0.012 or (self.incident == "no_baseline" and visit == "Baseline" and node.label == "N1" and reader != SITE):
            return SimReading(**base, status=ReadingStatus.NOT_EVALUABLE, status_reason=self._pick(("shadow of the trachea", "movement", "swallowing")))
        if share < 0.018:
            return SimReading(**base, status=ReadingStatus.NOT_IMAGED)
        if share < 0.020 and visit not in ("Baseline", "Day 30") and len(self.nodes) > 1:
            return SimReading(**base, status=ReadingStatus.MERGED_INTO, status_reason=next(n.label for n in self.nodes if n.label != node.label))
        if truth < GONE_ML:
            return SimReading(**base, status=ReadingStatus.DISAPPEARED_ASSESSED if self._chance(0.97) else ReadingStatus.TOO_SMALL)
        if truth < TINY_ML and self._chance(0.3):
            return SimReading(**base, status=ReadingStatus.TOO_SMALL)
        volume = self._measured(reader, modality, truth)
        if reader != SITE and self._chance(0.012):
            volume *= float(self.rng.choice([0.55, 1.6]))  # another structure was taken in, or left out
        long_axis = (6 * volume * 1000 / math.pi / 0.55) ** (1 / 3)
        grade = self._grade(visit, node, date)
        viable = round(0.5 * volume, 4) if grade in ("2", "3") and modality == "CT" and reader != SITE else None
        return SimReading(
            **base, status=ReadingStatus.MEASURED, volume_ml=round(volume, 4), long_axis_mm=round(long_axis, 1), short_axis_mm=round(0.7 * long_axis, 1), grade=grade, viable_ml=viable,
            locked=reader == SITE or not self._chance(0.008), correction_ml=round(volume * 0.9, 4) if reader != SITE and self._chance(0.008) else None,
        )  # fmt: skip

    def _measured(self, reader: str, modality: str, truth_ml: float) -> float:
        return truth_ml * BIAS[reader] * math.exp(self.rng.normal(0, NOISE_CV[modality]))

    def _grade(self, visit: str, node: SimNode, date: dt.date) -> str | None:
        """Residual enhancement by the reader's eye at the visits that are graded."""
        if visit not in GRADED or node.ablated is None:
            return None
        days = (date - node.ablated).days
        left = (node.viable and node.label not in self.salvaged) or (node.regrows_after_days is not None and days > node.regrows_after_days)
        seen = left != self._chance(0.01)
        return "2" if seen else "0"
