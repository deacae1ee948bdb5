"""Whether a salvage is indicated, from what the site's readers found at the visit before it."""

from __future__ import annotations

import datetime as dt

import pytest

from app.study.model import ClinicalEvent, Reading, ReadingState, ReadingStatus, Visit
from app.study.protocol import StudyProtocol, load_protocol
from app.study.salvage import salvage_result
from app.study.schedule import salvage_deadline, subject_schedule

D = dt.date.fromisoformat
DAY_30 = Visit("V-30", "S-1", "Day 30", 50, "2025-03-01")
IRE = ClinicalEvent("E-1", "S-1", "IRE", "2025-01-31", None, {})


@pytest.fixture(scope="module")
def ire() -> StudyProtocol:
    return load_protocol("ire-cervical-ln")


def reading(node: str = "N-1", grade: str | None = None, *, state: ReadingState = ReadingState.LOCKED, role: str = "site", visit: str = "V-30", reader: str = "dr", **changes) -> Reading:
    changes.setdefault("status", ReadingStatus.MEASURED)
    return Reading(f"R-{node}-{reader}-{role}-{visit}", "S-1", visit, node, reader, role, "CEUS", "ellipsoid", state=state, enhancement_grade=grade, **changes)


@pytest.mark.parametrize(
    ("readings", "indicated"),
    [
        ([], None),
        ([reading(grade="2")], True),
        ([reading(grade="3", viable_ml=0.2)], True),
        ([reading(grade="0")], False),
        ([reading(grade="1", viable_ml=0.0)], False),
        ([reading(grade="1", viable_ml=0.3)], False),  # the reader's grade decides over a number
        ([reading(grade="NE")], None),
        ([reading(viable_ml=0.3)], True),
        ([reading(viable_ml=0.0)], False),
        ([reading()], None),
        ([reading(status=ReadingStatus.DISAPPEARED_ASSESSED)], False),
        ([reading(grade="0"), reading("N-2", "2")], True),
        ([reading(grade="0"), reading("N-2")], None),
        ([reading(grade="2", role="central")], None),
        ([reading(grade="2", visit="V-0")], None),
        ([reading(grade="2", state=ReadingState.DRAFT)], None),
        ([reading(grade="2", state=ReadingState.MEASURED)], True),
        ([reading(grade="2", state=ReadingState.MEASURED), reading(grade="0", reader="other")], False),  # what was signed counts first
        ([reading(grade="0"), reading(grade="2", reader="other")], True),
    ],
)
def test_that_the_sites_grade_tells_whether_a_salvage_is_indicated(ire, readings, indicated):
    assert salvage_result(ire, [IRE], [DAY_30], readings).indicated is indicated


def test_that_a_node_that_was_ablated_and_not_read_leaves_it_open(ire):
    events = [ClinicalEvent("E-1", "S-1", "IRE", "2025-01-31", node, {}) for node in ("N-1", "N-2")]
    assert salvage_result(ire, events, [DAY_30], [reading(grade="0")]).indicated is None
    found = salvage_result(ire, events, [DAY_30], [reading(grade="0"), reading("N-2", "1")])
    assert found.indicated is False
    assert [(n["node_id"], n["residual"], n["grade"], n["locked"]) for n in found.nodes] == [("N-1", False, "0", True), ("N-2", False, "1", True)]


@pytest.mark.parametrize(("grade", "on", "state", "left"), [("2", "2025-03-05", "open", 10), ("2", "2025-03-16", "passed", -1), ("0", "2025-03-05", "not_indicated", None), ("0", "2025-03-20", "not_indicated", None), ("NE", "2025-03-05", "open", 10)])
def test_that_the_window_stands_open_only_where_something_may_be_left(ire, grade, on, state, left):
    told = subject_schedule(ire, [IRE], [DAY_30], [reading(grade=grade, viable_ml=0.3 if grade == "2" else None)], on=D(on))["salvage"]
    assert (told["state"], told["days_left"], told["deadline"]) == (state, left, "2025-03-15")
    assert told["indicated"] is {"2": True, "0": False, "NE": None}[grade]


def test_that_a_salvage_that_was_done_stays_done_whatever_was_read(ire):
    done = ClinicalEvent("E-2", "S-1", "SALVAGE", "2025-03-10", None, {})
    result = salvage_result(ire, [IRE, done], [DAY_30], [reading(grade="0")])
    assert salvage_deadline(ire, [IRE, done], [DAY_30], on=D("2025-04-01"), result=result).state == "used"
