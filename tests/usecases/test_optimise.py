"""``nodus optimise``: a plan file with limits and a seed in, proposals and a plan file out."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal

import numpy as np
import pytest

from app.cli import main
from app.cli.optimising import Interrupts
from app.jobs import CancelToken, JobContext
from app.usecases.optimise import load_request, optimise
from app.usecases.plan import load_plan
from dicom_io.volume_files import write_volume
from tests.planning.helpers import plan_dict
from volumetry.geometry import ImageGeometry
from volumetry.mask import NodeMask


def nodus(*arguments) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([str(a) for a in arguments])
    return code, out.getvalue(), err.getvalue()


def request(**more) -> dict:
    """Two needles at far too low a voltage on a coarse grid, and an outlined node of 12 mm."""
    plan = plan_dict(volts=600.0, spacing=2.0, diameter=1.1, background={"preset": "muscle"})
    plan["regions"] = [{"name": "node", "role": "target", "shape": {"type": "mask", "path": "masks/node.nii.gz", "label": 1}}]
    return plan | {"limits": {"needles": 2, "voltage_v": 2500, "exposure_mm": [15, 20]}, "seed": 3} | more


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    base = tmp_path_factory.mktemp("optimise")
    (base / "masks").mkdir()
    grid = np.mgrid[-8:9, -8:9, -8:9]
    write_volume(NodeMask((grid**2).sum(0) <= 36, ImageGeometry.from_spacing((17, 17, 17), (1.0, 1.0, 1.0), (-8.0, -8.0, -8.0)), name="node"), base / "masks" / "node.nii.gz")
    (base / "plan.json").write_text(json.dumps(request()))
    return base


@pytest.fixture(scope="module")
def answer(folder):
    code, out, _ = nodus("optimise", folder / "plan.json", "--out", folder / "better" / "plan2.json", "--json")
    assert code == 0
    return json.loads(out)


def test_that_the_answer_holds_proposals_with_their_plans_and_assessments(answer):
    assert {"proposals", "evaluations", "seed", "stopped_by", "forbidden_by", "start", "limits", "warnings"} <= set(answer)
    assert (answer["seed"], answer["stopped_by"], answer["limits"]["voltage_v"]) == (3, "converged", [500.0, 2500.0])
    best = answer["proposals"][0]
    assert best["plan"]["schema"] == "nodus.plan/1"
    assert best["assessment"]["targets"][0]["coverage_pct"] >= 99.9 > answer["start"]["coverage_pct"]
    assert best["trade_off"]["needles"] == 2
    for p in answer["proposals"]:
        assert len(p["plan"]["electrodes"]) == 2
        assert all(pair["voltage_v"] <= 2500 for pair in p["assessment"]["pairs"])
        assert {e["exposure_mm"] for e in p["plan"]["electrodes"]} <= {15.0, 20.0}


def test_that_the_written_plan_can_be_solved_and_optimised_again_from_its_new_place(answer, folder):
    path = folder / "better" / "plan2.json"
    written = json.loads(path.read_text())
    assert written["regions"][0]["shape"]["path"] == "../masks/node.nii.gz"
    assert (written["seed"], written["assessment"]) == (3, answer["proposals"][0]["assessment"])
    assert load_plan(path).notes == ()
    plan, limits, seed = load_request(path)
    assert (seed, limits) == (3, load_request(folder / "plan.json")[1])
    assert [e.to_dict() for e in plan.electrodes] == answer["proposals"][0]["plan"]["electrodes"]


def test_that_the_human_answer_names_the_trade_off_and_the_seed(folder):
    code, out, _ = nodus("optimise", folder / "plan.json", "--seed", "8", "--seconds", "0.0001")
    assert code == 0
    assert "seed 8; stopped by time" in out
    assert "[search_stopped]" in out


@pytest.mark.parametrize(("change", "code"), [
    ({"limits": {"volts": 1}}, "bad_limits"), ({"seed": -1}, "bad_search_seed"), ({"seed": 1.5}, "bad_search_seed"), ({"regions": []}, "no_target"), ({"schema": "other"}, "wrong_schema"),
])  # fmt: skip
def test_that_what_cannot_be_searched_is_refused(folder, change, code):
    path = folder / "bad.json"
    path.write_text(json.dumps(request(**change)))
    exit_code, out, _ = nodus("optimise", path, "--json")
    assert (exit_code, json.loads(out)["error"]["code"]) == (3, code)


def test_that_a_cancelled_job_answers_instead_of_raising(folder):
    plan, limits, seed = load_request(folder / "plan.json")
    token = CancelToken()
    heard = []

    def listen(event) -> None:
        heard.append(event.message)
        token.cancel()

    result = optimise(plan, limits, seed, JobContext(listen, token))
    assert (result.stopped_by, result.proposals) == ("cancelled", [])
    assert len(heard) == 1


@pytest.mark.skipif(os.name != "posix", reason="signals are sent otherwise")
def test_that_the_first_interrupt_ends_the_search_in_good_order():
    token, before = CancelToken(), signal.getsignal(signal.SIGINT)
    with contextlib.redirect_stderr(io.StringIO()), Interrupts(token):
        os.kill(os.getpid(), signal.SIGINT)
        assert token.is_cancelled
        assert signal.getsignal(signal.SIGINT) is before  # a second one stops at once
    assert signal.getsignal(signal.SIGINT) is before
