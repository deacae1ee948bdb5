"""Work in a process of its own: reports, cancelling that keeps the best so far, refusals, bugs, and a process that dies."""

from __future__ import annotations

import os

import pytest

from app.jobs import JobContext
from app.jobs.aside import AsideFailed, run_aside
from app.jobs.workers import WorkersRefused
from planning.errors import PlanRefused


def behave(how: str, context: JobContext):
    if how == "refuse":
        raise PlanRefused("Not this one.", code="no_target", hint="Another.")
    if how == "break":
        raise ValueError("a bug")
    if how == "die":
        os._exit(3)
    context.report("Half", 0.5)
    if how == "wait":
        while not context.token.is_cancelled:
            context.token._event.wait(0.01)
        return "best so far"
    return os.getpid()


def test_that_work_is_done_in_another_process_and_its_reports_arrive():
    heard = []
    assert run_aside(behave, ("answer",), JobContext(heard.append)) != os.getpid()
    assert [(event.message, event.fraction) for event in heard] == [("Half", 0.5)]


def test_that_a_cancelled_search_still_gives_the_best_so_far():
    context = JobContext()
    context.listener = lambda _event: context.token.cancel()
    assert run_aside(behave, ("wait",), context) == "best so far"


def test_that_a_refusal_a_bug_and_a_death_are_told_apart():
    with pytest.raises(PlanRefused, match="Not this one") as refused:
        run_aside(behave, ("refuse",), JobContext())
    assert (refused.value.code, refused.value.hint) == ("no_target", "Another.")
    with pytest.raises(AsideFailed, match="ValueError: a bug"):
        run_aside(behave, ("break",), JobContext())
    with pytest.raises(WorkersRefused) as lost:
        run_aside(behave, ("die",), JobContext())
    assert lost.value.code == "worker_lost"
