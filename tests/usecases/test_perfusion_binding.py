"""A proposal stays with the pictures and the node that it was made from, and holds nothing that a table could not take."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest

from app.study.store import StudyStore
from app.usecases.perfusion_reading import perfusion_record, read_result, with_proposal
from app.usecases.readings import save_reading
from tests.study.builders import CaseBuilder
from volumetry.errors import NodusError


def answer(loop: str = "a", asked: str = "1", **changes: Any) -> dict[str, Any]:
    """What ``nodus perfusion --json`` gives of a loop, as far as a reading keeps it."""
    residual = {"grade": "2", "viable_pct": 25.0, "node_ml": None, "warnings": [], "reasons": ["1 part."]}
    node = {"name": "N1", "role": "node", "model": "lognormal", "parameters": {"ttp_s": 12.5}, "ratios": {"auc": {"value": None}}, "r_squared": 0.9, "warnings": []}
    made = {"residual": residual, "regions": [node], "warnings": [], "frames_rejected": [], "loop_sha256": loop * 64, "cine_sha256": None, "input_sha256": asked * 64}
    return {**made, **changes}


@pytest.fixture
def case(tmp_path) -> Iterator[tuple[StudyStore, CaseBuilder]]:
    with StudyStore.create(tmp_path / "s", user="tester") as store:
        yield store, CaseBuilder(store)


def saved(case, made: dict, visit: str = "Day 30", *, node=None, builder=None, reader="dr", reason=None):
    store, first = case
    builder = builder or first
    record = perfusion_record(made)
    extra, part = with_proposal(record, grade="2", modality=record["modality"], total_ml=1.0)
    return save_reading(
        store, builder.visits[visit], node or builder.node, reader=reader, modality=record["modality"], method="ellipsoid", volume_ml=1.0, extra=extra, enhancing=part,
        enhancement_grade="2", reason=reason,
    )  # fmt: skip


def refusal(*args, **kwargs) -> NodusError:
    with pytest.raises(NodusError) as told:
        saved(*args, **kwargs)
    assert told.value.message.endswith(".")
    return told.value


def test_that_a_loop_is_not_read_for_another_visit_or_subject(case):
    store, _ = case
    saved(case, answer())
    again = refusal(case, answer(asked="2"), "Month 3")  # other regions, the same loop
    assert again.code == "proposal_of_other"
    assert "S-001, Day 30, N1" in again.hint
    assert "S-001" not in again.message
    assert refusal(case, answer(), builder=CaseBuilder(store, "S-002")).code == "proposal_of_other"
    saved(case, answer(loop="b", asked="3"), "Month 3")
    assert refusal(case, answer(loop="c", asked="4", cine_sha256="d" * 64) | {"loop_sha256": "b" * 64}, "Baseline").code == "proposal_of_other"
    ct = {"modality": "CT", "loop_sha256": None, "inputs_sha256": {"post": "e" * 64, "pre": None, "mask": "f" * 64}}
    saved(case, answer(asked="5", **ct), "Baseline")
    assert refusal(case, answer(asked="6", **ct), "Month 3").code == "proposal_of_other"


def test_that_two_nodes_and_two_readers_share_a_loop_but_two_nodes_no_analysis(case):
    store, _ = case
    saved(case, answer())
    saved(case, answer(), reader="second")
    other = store.add_node("S-001", "N2", "left", "IV")
    assert refusal(case, answer(), node=other).code == "proposal_of_other"
    assert saved(case, answer(asked="2"), node=other).viable_ml == pytest.approx(0.25)


def test_that_a_reading_put_right_gives_its_loop_free(case):
    store, _ = case
    wrong = saved(case, answer())
    store.lock_reading(wrong.reading_id, "Dr", "reviewed")
    saved(case, answer(loop="b", asked="2"), reason="another subject's loop")
    assert saved(case, answer(), builder=CaseBuilder(store, "S-002")).viable_ml == pytest.approx(0.25)
    assert store.reading(wrong.reading_id, 1).measurement["perfusion"]["loop_sha256"] == "a" * 64


def test_that_each_plane_of_two_is_known_again(case):
    share = {"viable_pct": 25.0}
    both = {"grade": "2", "viable_pct": 25.0, "viable_interval_pct": [20.0, 30.0], "volume_interval_pct": [15.0, 35.0], "inside": None, "solid_pct": None, "warnings": [], "planes": [share, share]}
    saved(case, answer(two_planes={**both, "second": answer(loop="b", asked="2")}))
    assert refusal(case, answer(loop="b", asked="3"), "Month 3").code == "proposal_of_other"


def test_that_only_a_series_of_the_study_is_named(case):
    store, builder = case
    store.add_series(builder.visits["Day 30"].visit_id, series_uid="1.2.3", modality="US", kind="cine")
    assert saved(case, answer(series_uid="1.2.3")).measurement["perfusion"]["series_uid"] == "1.2.3"
    assert refusal(case, answer(loop="b", asked="2", series_uid="1.2.3"), "Month 3").code == "proposal_of_other"
    assert saved(case, answer(loop="b", asked="2", series_uid="9.9.9"), "Month 3").measurement["perfusion"]["series_uid"] is None


def test_that_a_result_without_a_node_says_nothing_and_a_changed_outline_is_told():
    nothing = perfusion_record(answer(residual={**answer()["residual"], "grade": None, "viable_pct": None}))
    with pytest.raises(NodusError) as told:
        with_proposal(nothing, grade="2", modality="CEUS", total_ml=1.0)
    assert told.value.code == "no_node_in_loop"
    ct = perfusion_record(answer(modality="CT", residual={**answer()["residual"], "node_ml": 1.0}))
    assert "warnings" not in with_proposal(ct, grade="2", modality="CT", total_ml=1.0)[0]
    changed = with_proposal(ct, grade="2", modality="CT", total_ml=1.3)[0]["warnings"]
    assert [w["code"] for w in changed] == ["outline_changed_since"]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda a: a.update(input_sha256="zz"),
        lambda a: a.update(loop_sha256="'; --"),
        lambda a: a.update(modality="MR"),
        lambda a: a.update(series_uid="S-1"),
        lambda a: a.update(regions=a["regions"] * 200),
        lambda a: a["regions"][0].update(role="tumour"),
        lambda a: a["regions"][0].update(model="<b>"),
        lambda a: a["regions"][0].update(r_squared="1"),
        lambda a: a["regions"][0]["parameters"].update(ttp_s=[1.0]),
        lambda a: a["regions"][0]["ratios"].update(auc={"value": float("inf")}),
        lambda a: a["residual"].update(grade="0"),
        lambda a: a["residual"].update(grade="NE"),
        lambda a: a["residual"].update(viable_pct=0.0),
    ],
)
def test_that_what_no_table_could_take_or_contradicts_itself_is_refused_before_it_is_kept(tmp_path, spoil):
    spoiled = copy.deepcopy(answer())
    spoil(spoiled)
    (tmp_path / "a.json").write_text(json.dumps(spoiled))
    with pytest.raises(NodusError) as told:
        read_result(tmp_path / "a.json")
    assert told.value.code == "bad_perfusion_result"
