"""The same work in processes and on a cluster: the same figures, and nothing left behind."""

from __future__ import annotations

import os
import sys
import threading
from functools import partial

import pytest

from app.jobs import CancelToken
from app.jobs.workers import WorkersRefused, dask_workers, local_workers
from planning import TreatmentPlan
from planning.robustness import RobustnessJob, run_robustness
from tests.planning.helpers import LIVER, plan_dict
from volumetry.errors import Cancelled

NODE = {"name": "node", "role": "target", "shape": {"type": "sphere", "center_mm": [0, 0, 0], "diameter_mm": 20}}


def _leave_or(item: int, bad: int) -> int:
    if item == bad:
        os._exit(3)
    return item * item


def _wait(item: int) -> int:
    threading.Event().wait(30.0)
    return item


@pytest.fixture(scope="module")
def job() -> RobustnessJob:
    return RobustnessJob.of(TreatmentPlan.from_dict(plan_dict(regions=[NODE], background=LIVER, spacing=2.0), {}), samples=8, seed=4, spacing_mm=2.0)


@pytest.fixture(scope="module")
def here(job):
    return run_robustness(job)


def same(a, b) -> bool:
    return a.answer == b.answer and a.samples == b.samples and (a.probability == b.probability).all() and (a.probability_drawn == b.probability_drawn).all()


def test_that_two_processes_give_the_very_figures_of_one(job, here):
    with local_workers(job.work(), lambda: None, 2) as run:
        there = run_robustness(job, run)
    assert same(here, there)
    assert 0.0 < here.answer["coverage_pct"]["compared"]["p50"] < 100.0


def test_that_a_stopped_run_ends_its_processes():
    token = CancelToken()
    threading.Timer(0.5, token.cancel).start()
    with pytest.raises(Cancelled), local_workers(_wait, token.check, 1) as run:
        list(run(range(3)))


def test_that_a_process_that_dies_is_told():
    with pytest.raises(WorkersRefused) as refusal, local_workers(partial(_leave_or, bad=2), lambda: None, 1) as run:
        list(run(range(5)))
    assert refusal.value.code == "worker_lost"


def test_that_a_missing_dask_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(WorkersRefused) as refusal, dask_workers(_wait, lambda: None, "tcp://127.0.0.1:1"):
        pass
    assert refusal.value.code == "dask_missing"


# -- with Dask


@pytest.fixture(scope="module")
def cluster():
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None, host="127.0.0.1", protocol="tcp") as cluster:
        yield cluster


def test_that_a_cluster_gives_the_very_figures_of_one_process(job, here, cluster):
    with dask_workers(job.work(), lambda: None, cluster.scheduler_address) as run:
        there = run_robustness(job, run)
    assert same(here, there)


def test_that_a_cluster_of_another_version_is_refused(cluster, monkeypatch):
    monkeypatch.setattr("app.jobs.workers._version", lambda: "0.0.1")
    with pytest.raises(WorkersRefused) as refusal, dask_workers(_wait, lambda: None, cluster.scheduler_address):
        pass
    assert refusal.value.code == "cluster_version"


def test_that_an_address_without_a_scheduler_is_refused(monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr("app.jobs.workers.CONNECT_S", 0.3)
    with pytest.raises(WorkersRefused) as refusal, dask_workers(_wait, lambda: None, "tcp://127.0.0.1:1"):
        pass
    assert refusal.value.code == "cluster_unreachable"
