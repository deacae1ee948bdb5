"""How an outline came about: what a hand changes in it, and what never gets lost on the way."""

from __future__ import annotations

import pickle

import pytest

from volumetry.outline_origin import HAND, NOT_RECORDED, OutlineOrigin, origin_from
from volumetry.uncertainty import OUTLINED

MODEL = {"name": "neck", "version": "2", "licence": "CC0-1.0", "sha256": "ab" * 32}


@pytest.mark.parametrize("method", [*HAND, "star_convex", "polar", "region_growing", "threshold", "scribbles", "propagated", "model", "file", NOT_RECORDED])
def test_that_a_hand_marks_what_was_not_the_hands_own(method):
    origin = OutlineOrigin(method, details={"a": 1})
    assert origin.by_hand().edited == (method not in HAND)
    assert origin.by_hand().by_hand() == origin.by_hand()
    assert origin.by_hand().details == {"a": 1}
    assert origin.outlined in (None, *OUTLINED)
    assert (origin.outlined is None) == (method in ("file", NOT_RECORDED))


def test_that_what_a_hand_repaired_is_no_surer_than_a_hand():
    click = OutlineOrigin("star_convex")
    sigma = {o.outlined: OUTLINED[o.outlined].sigma_mm for o in (click, click.by_hand(), OutlineOrigin("model"))}
    assert sigma["star_convex"] < sigma["manual"]
    assert set(sigma) == {"star_convex", "manual", "semi_automatic"}


def test_that_a_record_comes_back_as_it_was_kept():
    for origin in (OutlineOrigin("model", True, MODEL), OutlineOrigin("scribbles", details={"strokes": {"inside": 2, "outside": 1}})):
        assert origin_from(origin.as_dict()) == origin
        assert pickle.loads(pickle.dumps(origin)) == origin
    assert origin_from(None) is origin_from({}) is None


def test_that_the_model_is_known_through_repairs_and_copies():
    origin = OutlineOrigin("model", details=MODEL)
    assert origin.by_hand().model == MODEL
    copied = OutlineOrigin("propagated", details={"outline": origin.by_hand().as_dict()})
    assert copied.by_hand().model == MODEL
    assert OutlineOrigin("propagated", details={"outline": copied.as_dict()}).model == MODEL
    assert OutlineOrigin("propagated", details={"outline": OutlineOrigin("brush").as_dict()}).model is None
    assert OutlineOrigin("star_convex").model is None


def test_that_changing_what_was_given_changes_no_record():
    given = {"a": 1}
    origin = OutlineOrigin("model", details=given)
    given["a"] = 2
    assert origin.details["a"] == 1
