"""Every trigger of every shipped protocol, firing and not, through the one call that lists, exports and acceptance make."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest

from app.study.accepted import accepted_states
from app.study.adjudication import compare_readers, open_differences
from app.study.blinding import of_adjudicator, reader_statistics
from app.study.model import ReadingStatus
from app.study.protocol import protocol_from
from app.study.reader_answers import answered_by, answered_modalities
from tests.study.snapshots import Trial

GONE = {"status": ReadingStatus.DISAPPEARED_ASSESSED, "volume_ml": 0.0, "long_axis_mm": None, "short_axis_mm": None}
UNSEEN = {"status": ReadingStatus.NOT_EVALUABLE, "volume_ml": None, "long_axis_mm": None, "short_axis_mm": None, "status_reason": "motion"}
# Protocol -> (baseline, first and second visit after it with their dates, level of the lesion, what treats it, how a reader says that it progressed)
TRIALS = {
    "ire-cervical-ln": ("Baseline", "Day 30", "Month 3", "III", "IRE", {"long_axis_mm": 45.0, "short_axis_mm": 30.0, "lesion": {"progressed": True}}),
    "mtt-liver": ("Baseline", "Month 1", "Month 3", "unknown", "CRYO_RF", {"lesion": {"viable_diameter_mm": 45.0}}),
    "rfa-crlm": ("Response scan 1", "Month 1", "Month 3", "unknown", "RFA", {"long_axis_mm": 45.0, "lesion": {"progressed": True}}),
    "latc-neoadjuvant": ("Baseline", "Restaging 1", "Restaging 2", "unknown", "SYSTEMIC", {"lesion": {"parts_mm": [20.0, 25.0]}}),
}


def trial_of(
    name: str, *, first: tuple[dict, dict] = ({}, {}), second: tuple[dict, dict] = ({}, {}), baseline: tuple[dict, dict] = ({}, {}), only: str | None = None
) -> Trial:
    """Two readers who agree in everything, but for what is given of each; ``only`` one reader has seen a second lesion at the first visit."""
    before, one, two, level, treats, _ = TRIALS[name]
    trial = Trial(name)
    trial.subject("S-1", {before: "2026-01-05", one: "2026-02-20", two: "2026-04-20"}, {"A": {"level": level}, "B": {"level": level}})
    if name == "rfa-crlm":
        trial.event("S-1", "SYSTEMIC", "2025-10-01")  # baseline is read before it; the response scan after it is the last before RFA
        trial.visits.append(replace(trial.visits[0], visit_id="S-1/early", name="Baseline", order=0, actual_date="2025-09-20"))
        for reader in ("r1", "r2"):
            trial.read("S-1", "early", "A", 10.0, reader=reader, long_axis_mm=30.0, short_axis_mm=20.0, measurement={"lesion": {"organ": "liver"}})
    trial.event("S-1", treats, "2026-01-20")
    for visit, said, volume_ml in ((before, baseline, 10.0), (one, first, 9.0), (two, second, 9.0)):
        for reader, given in zip(("r1", "r2"), said):
            stated = {"organ": "liver", "viable_diameter_mm": 30.0, **given.get("lesion", {})}
            if "parts_mm" not in stated and given.get("status") is not None:
                stated.pop("viable_diameter_mm")
            fields = {"volume_ml": volume_ml, "long_axis_mm": 30.0, "short_axis_mm": 20.0, **{k: v for k, v in given.items() if k != "lesion"}}
            trial.read("S-1", visit, "A", reader=reader, measurement={"lesion": stated}, **fields)
    if only is not None:
        trial.read(
            "S-1", one, "B", 1.0, reader=only, long_axis_mm=14.0, short_axis_mm=12.0, measurement={"lesion": {"organ": "liver", "viable_diameter_mm": 14.0}}
        )
    return trial


def fired(trial: Trial, name: str, visit: int = 1, content: dict | None = None) -> set[str]:
    snapshot = trial.snapshot() if content is None else replace(trial.snapshot(), protocol=content)
    at = f"S-1/{TRIALS[name][visit]}"
    return {t for d in compare_readers(snapshot) if d.visit_id == at for t in d.triggers}


def cases(progressed: dict) -> list[tuple[str, int, dict, dict]]:
    """Trigger, the visit it is looked for at, what makes it fire, what is just not enough."""

    def volumes(a: float, b: float) -> dict:
        return {"first": ({"volume_ml": a}, {"volume_ml": b})}

    def of_second(**given) -> dict:
        return {"first": ({}, given)}

    return [
        ("vrr_difference", 1, volumes(9.0, 7.5), volumes(9.0, 7.6)),
        ("vrr_class_differs", 1, volumes(5.0, 5.1), volumes(4.9, 5.0)),
        ("volume_difference", 1, {"baseline": ({}, {"volume_ml": 14.0}), "first": ({"volume_ml": 9.0}, {"volume_ml": 12.6})}, {"baseline": ({}, {"volume_ml": 13.0}), "first": ({"volume_ml": 9.0}, {"volume_ml": 11.7})}),
        ("disappearance_differs", 1, {"first": ({"volume_ml": 0.04}, GONE)}, {"first": (GONE, GONE)}),
        ("evaluability_differs", 1, {"first": ({}, UNSEEN)}, {"first": (UNSEEN, UNSEEN)}),
        ("residual_enhancement_differs", 1, {"first": ({"enhancement_grade": "1"}, {"enhancement_grade": "2"})}, {"first": ({"enhancement_grade": "2"}, {"enhancement_grade": "2"})}),
        ("residual_enhancement_differs", 1, {"first": ({"lesion": {"control": "complete"}}, {"lesion": {"control": "viable"}})}, of_second(lesion={"control": "viable"})),
        ("new_lesion_differs", 1, {"only": "r2"}, {}),
        ("new_lesion_differs", 1, {"first": ({"lesion": {"role": "new"}}, {"lesion": {"new_lesion_certain": False}})}, {"first": ({"lesion": {"role": "new"}}, {"lesion": {"role": "new"}})}),
        ("response_differs", 1, {"first": ({}, progressed)}, {"first": (progressed, progressed)}),
        # Both have progressed at the second visit; one had at the first.
        ("response_date_differs", 2, {"first": ({}, progressed), "second": (progressed, progressed)}, {"second": (progressed, progressed)}),
    ]  # fmt: skip


# A trial without ablation has no residual enhancement to compare.
EVERY = [(name, *case) for name, told in TRIALS.items() for case in cases(told[-1]) if (name, case[0]) != ("latc-neoadjuvant", "residual_enhancement_differs")]


@pytest.mark.parametrize(("name", "trigger", "visit", "enough", "too_little"), EVERY)
def test_that_a_trigger_fires_and_only_then(name: str, trigger: str, visit: int, enough: dict, too_little: dict) -> None:
    assert fired(trial_of(name), name, visit) == set()
    assert trigger in fired(trial_of(name, **enough), name, visit)
    assert trigger not in fired(trial_of(name, **too_little), name, visit)


@pytest.mark.parametrize("name", TRIALS)
def test_that_every_trigger_of_the_protocol_is_among_these(name: str) -> None:
    stated = protocol_from(trial_of(name).snapshot().protocol).section("adjudication")["triggers"]
    figures = {
        "vrr_difference_points": "vrr_difference",
        "volume_relative_difference_pct": "volume_difference",
        "volume_difference_ml": "volume_difference",
        "vrr_class_bounds_pct": "vrr_class_differs",
    }
    assert {figures.get(key, key) for key, value in stated.items() if value} == {trigger for at, trigger, *_ in EVERY if at == name}


@pytest.mark.parametrize("name", TRIALS)
def test_that_a_trigger_that_the_protocol_switches_off_does_not_fire(name: str) -> None:
    trial = trial_of(name, first=({}, TRIALS[name][-1]))
    content = copy.deepcopy(trial.protocol.content)
    content["adjudication"]["triggers"].update(response_differs=False, response_date_differs=False)
    assert fired(trial, name) == {"response_differs", "response_date_differs"}
    assert fired(trial, name, content=content) == set()


@pytest.mark.parametrize("name", TRIALS)
def test_that_list_acceptance_statistics_and_adjudicator_see_a_difference_of_response(name: str) -> None:
    trial = trial_of(name, second=({}, TRIALS[name][-1]))
    shot, at = trial.snapshot(), f"S-1/{TRIALS[name][2]}"
    assert [(d.visit_id, set(d.triggers)) for d in open_differences(shot)] == [(at, {"response_differs", "response_date_differs"})]
    assert {s.visit_id: s.basis for s in accepted_states(shot)}[at] == "adjudication_pending"
    assert reader_statistics(shot)["pairs"][0]["triggers"] == {"response_differs": 1, "response_date_differs": 1}
    assert at in {r.visit_id for r in of_adjudicator(shot)}


def test_that_the_response_is_by_the_primary_criteria_or_by_the_only_ones_with_a_response() -> None:
    told = {name: answered_by(trial_of(name).protocol)["criteria"] for name in TRIALS}
    assert told == {"ire-cervical-ln": "RECIST_1_1", "mtt-liver": "MRECIST", "rfa-crlm": "RECIST_1_1", "latc-neoadjuvant": "RECIST_1_1"}
    assert answered_modalities(trial_of("ire-cervical-ln").protocol.content) == {"CT"}


def test_that_a_reading_by_ultrasound_is_not_sent_to_the_adjudicator_for_a_response_by_ct() -> None:
    trial = trial_of("ire-cervical-ln", first=({}, TRIALS["ire-cervical-ln"][-1]))
    for visit in ("Baseline", "Day 30"):
        for reader in ("r1", "r2"):
            trial.read("S-1", visit, "A", 9.0, reader=reader, modality="CEUS", method="ellipsoid", long_axis_mm=30.0, short_axis_mm=20.0)
    found = {(d.modality, d.visit_id): d.triggers for d in compare_readers(trial.snapshot())}
    assert "response_differs" in found["CT", "S-1/Day 30"]
    assert found["CEUS", "S-1/Day 30"] == ()


def test_that_who_stated_nothing_to_work_a_response_out_of_differs_from_who_did() -> None:
    trial = trial_of("latc-neoadjuvant")
    trial.readings = [replace(r, long_axis_mm=None, short_axis_mm=None) if r.reader == "r2" else r for r in trial.readings]
    assert "response_differs" in fired(trial, "latc-neoadjuvant")
