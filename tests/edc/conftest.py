"""One study with everything that an export has to tell apart, made once."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from app.edc.mapping import EdcMapping, load_mapping
from app.study.model import DeliveredPair, ReadingStatus, StudySnapshot
from app.study.store import StudyStore
from tests.study.builders import CaseBuilder

NONE = {"volume_ml": None, "volume_interval_ml": None, "long_axis_mm": None, "short_axis_mm": None}
PLAN = {
    "plan": {
        "electrodes": [{"id": i, "exposure_mm": 20.0, "tip_mm": [x, 0, 0], "entry_mm": [x, 0, 90], "diameter_mm": 1.0} for i, x in (("E1", -7.5), ("E2", 7.5), ("E3", 0.0))],
        "pulses": [
            {"anode": "E1", "cathode": "E2", "voltage_v": 2250.0, "pulses": 90, "width_us": 70.0, "rate_hz": 1.0},
            {"anode": "E1", "cathode": "E3", "voltage_v": 1500.0, "pulses": 90, "width_us": 70.0, "rate_hz": 1.0},
        ],
    },
    "assessment": {
        "pairs": [
            {"anode": "E1", "cathode": "E2", "distance_mm": 15.0, "v_per_cm": 1500.0},
            {"anode": "E1", "cathode": "E3", "distance_mm": 7.5, "v_per_cm": 2000.0},
        ]
    },
}


class Clock:
    """A minute passes at every look."""

    def __init__(self) -> None:
        self.now = dt.datetime(2026, 5, 1, 8, 0, tzinfo=dt.UTC)

    def __call__(self) -> dt.datetime:
        self.now += dt.timedelta(minutes=1)
        return self.now


def fill(store: StudyStore) -> CaseBuilder:
    """Two readers and a site, a correction, every status, an unscheduled visit, a plan and what was delivered by it."""
    case = CaseBuilder(store)
    store.add_event("S-001", "IRE", "2026-01-07")
    extra = store.add_visit("S-001", "Extra look", actual_date="2026-03-01")
    second = store.add_node("S-001", "N2", "right", "VI")
    case.lock("Baseline", volume_ml=0.1 + 0.2, series_uid="1.2.3.4")
    day30 = case.lock("Day 30", volume_ml=0.2, enhancement_grade="1")
    store.correct_reading(day30.reading_id, "vessel included", volume_ml=0.15, long_axis_mm=None)
    store.lock_reading(day30.reading_id, "李 医生", "reviewed")
    case.lock("Month 3", status=ReadingStatus.DISAPPEARED_ASSESSED, **NONE)
    case.lock("Day 30", visit_id=extra.visit_id, volume_ml=0.18)
    case.lock("Baseline", reader="reader-b", volume_ml=0.31)
    case.lock("Day 30", reader="reader-b", volume_ml=0.16)
    case.lock("Day 30", reader="site-1", role="site", volume_ml=0.25, enhancement_grade="2")
    case.lock("Day 30", reader="trainee", role="training", volume_ml=9.0)
    case.lock("Baseline", node_id=second.node_id, volume_ml=1.0)
    case.lock("Day 30", node_id=second.node_id, status=ReadingStatus.TOO_SMALL, **NONE)
    case.lock("Month 3", node_id=second.node_id, status=ReadingStatus.NOT_EVALUABLE, status_reason="shadow of the trachea " * 12, **NONE)
    case.save("Month 3", reader="reader-b", volume_ml=7.7)  # not locked: stays at home
    planned = store.save_plan_run(PLAN, subject_id="S-001", node_id=case.node.node_id, session="day0")
    actual = {**PLAN, "assessment": {"pairs": [{**p, "distance_mm": p["distance_mm"] + 1.25} for p in PLAN["assessment"]["pairs"]]}}
    store.save_plan_run(actual, subject_id="S-001", kind="actual", planned_id=planned.plan_run_id)
    wrong = store.add_delivery(planned.plan_run_id, (DeliveredPair("E1", "E2", 80, 2250.0),), entered_by="Dr One", date="2026-01-07")
    given = (DeliveredPair("E1", "E2", 60, 2250.0, 30.0, 37.5), DeliveredPair("E1", "E2", 30, 2200.0, 31.0, 38.25), DeliveredPair("E2", "E3", 10, 1000.0, 12.0, 12.5, True, "over current"))
    store.add_delivery(planned.plan_run_id, given, entered_by="Dr One", date="2026-01-07", replaces=wrong.delivery_id, reason="pulses were miscounted")
    store.save_plan_run(PLAN, subject_id="S-001", node_id=second.node_id, session="day0")  # never carried out
    CaseBuilder(store, "S-002").lock("Baseline", volume_ml=2.5e-7)
    return case


@dataclass(frozen=True, slots=True)
class Whole:
    """The study's folder, what is in it, and the mapping of its trial."""

    folder: Path
    snapshot: StudySnapshot
    mapping: EdcMapping


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """The study of ``fill``: read it, never write into it."""
    folder = tmp_path_factory.mktemp("edc") / "study"
    with StudyStore.create(folder, name="Trial, one", user="tester", clock=Clock()) as store:
        fill(store)
        snapshot = store.snapshot()
    return Whole(folder, snapshot, load_mapping("ire-cervical-ln"))


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[StudyStore]:
    """A study of its own to write into, filled the same way."""
    with StudyStore.create(tmp_path / "own", name="Trial, one", user="tester", clock=Clock()) as store:
        fill(store)
        yield store
