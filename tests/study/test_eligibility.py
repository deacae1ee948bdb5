"""Eligibility rows: met, not met, not known; a missing fact is never met, and no limit stands in code."""

from __future__ import annotations

import dataclasses
import datetime as dt
from pathlib import Path

import numpy as np
import pytest

from app.study.clinical import cockcroft_gault
from app.study.eligibility import Facts, NodeFact, eligibility_rows
from app.study.protocol import load_protocol, protocol_from
from app.usecases.subject_values import baseline_readings, eligibility_of, log_event, pain_of_subject
from tests.study.builders import CaseBuilder
from volumetry.errors import NodusError
from volumetry.geometry import ImageGeometry
from volumetry.image import ImageVolume
from volumetry.mask import NodeMask
from volumetry.metal import MetalNear, metal_near

IRE = load_protocol("ire-cervical-ln")
MTT = load_protocol("mtt-liver")
CRLM = load_protocol("rfa-crlm")


def node(label: str, axis: float | None = 12.0, side: str = "left", level: str = "III", short: float | None = None) -> NodeFact:
    return NodeFact(label, side, level, axis, "CT by voxel, Baseline", short)


def verdicts(protocol, *nodes: NodeFact, **more) -> dict:
    return {r.criterion: r.met for r in eligibility_rows(protocol, Facts(tuple(nodes), **more))}


def refusal(work) -> str:
    with pytest.raises(NodusError) as caught:
        work()
    return caught.value.code


def test_that_nothing_known_is_nothing_met() -> None:
    for protocol in (IRE, MTT, CRLM, load_protocol("latc-neoadjuvant")):
        rows = eligibility_rows(protocol, Facts())
        assert rows
        assert {r.met for r in rows} == {None}
        assert all(r.note for r in rows)


def test_that_five_nodes_a_side_are_met_and_six_are_not() -> None:
    five = [node(f"N{n}") for n in range(5)]
    assert verdicts(IRE, *five)["nodes_left"] is True
    assert verdicts(IRE, *five, node("R", side="right"))["nodes_left"] is True
    assert verdicts(IRE, *five, node("N6"))["nodes_left"] is False
    assert verdicts(IRE, *five, node("X", side="unknown"))["nodes_left"] is None
    assert verdicts(IRE, *five, node("X", side="midline"))["nodes_left"] is None
    assert verdicts(IRE, *five, node("X", side="unknown"))["nodes_right"] is True


@pytest.mark.parametrize(("axis", "met"), [(29.999, True), (30.0, False), (31.0, False), (None, None)])
def test_that_the_long_axis_must_stay_below_three_centimetres(axis, met) -> None:
    assert verdicts(IRE, node("A", 12.0), node("B", axis))["longest_axis"] is met


def test_that_a_node_too_long_is_not_met_even_where_another_is_not_measured() -> None:
    assert verdicts(IRE, node("A", None), node("B", 31.0))["longest_axis"] is False


def test_that_at_most_five_centimetres_holds_five_and_below_does_not() -> None:
    assert verdicts(MTT, node("A", 50.0))["longest_axis"] is True
    assert verdicts(MTT, node("A", 50.1))["longest_axis"] is False
    assert verdicts(CRLM, node("A", 50.0), node("B", 20.0))["longest_axis"] is False


@pytest.mark.parametrize(("levels", "met"), [(("III", "VI"), True), (("III", "VII"), False), (("III", "unknown"), None), (("unknown", "VII"), False)])
def test_that_level_seven_is_excluded(levels, met) -> None:
    assert verdicts(IRE, *(node(f"N{n}", level=level) for n, level in enumerate(levels)))["levels"] is met


def test_that_lesions_are_counted_from_two_and_up_to_five() -> None:
    lesions = [node(f"L{n}", side="unknown", level="unknown") for n in range(6)]
    assert verdicts(CRLM, *lesions[:1])["lesions"] is False
    assert verdicts(CRLM, *lesions[:2])["lesions"] is True
    assert (verdicts(MTT, *lesions[:5])["lesions"], verdicts(MTT, *lesions)["lesions"]) == (True, False)


def test_that_metal_counts_only_where_it_was_looked_for_all_around_every_target() -> None:
    none = MetalNear(0, 400.0, None, 2500, 30, True)
    a, b = node("A"), node("B")
    assert verdicts(IRE, a, b, metal={"A": (none, "CT"), "B": (none, "CT")})["metal"] is True
    assert verdicts(IRE, a, b, metal={"A": (none, "CT")})["metal"] is None
    assert verdicts(IRE, a, metal={"A": (dataclasses.replace(none, whole=False), "CT")})["metal"] is None
    assert verdicts(IRE, a, b, metal={"A": (dataclasses.replace(none, voxels=3, nearest_mm=4.0), "CT")})["metal"] is False
    assert verdicts(IRE, a, metal={"A": (dataclasses.replace(none, voxels=2, nearest_mm=4.0), "CT")})["metal"] is True


@pytest.mark.parametrize(
    ("share", "met"),
    [((0.2, None, None), True), ((1 / 3, None, None), False), ((0.4, 0.35, 0.5), False), ((0.3, 0.25, 0.34), None), ((0.34, 0.3, 0.4), None), ((0.2, 0.1, 0.3), True)],
)
def test_that_a_third_of_the_liver_is_too_much_and_a_spread_across_it_is_not_known(share, met) -> None:
    assert verdicts(MTT, liver_fraction=share)["liver_to_be_ablated"] is met


def clearance(value: float):
    return cockcroft_gault(72.0 / value, "mg/dL", age_years=40, weight_kg=51.84, sex="M")  # value ml/min


def test_that_clearance_has_its_limit_from_the_protocol() -> None:
    assert clearance(50).ml_per_min == pytest.approx(50 * 1.0)
    assert verdicts(IRE, clearance=clearance(50.01))["creatinine_clearance"] is True
    assert verdicts(IRE, clearance=clearance(49.9))["creatinine_clearance"] is False
    assert verdicts(MTT, clearance=clearance(59.9))["creatinine_clearance"] is None  # creatinine itself may still be good
    assert verdicts(MTT, clearance=clearance(61))["creatinine_clearance"] is True
    told = verdicts(CRLM, clearance=cockcroft_gault(2.5, "mg/dL", age_years=40, weight_kg=70, sex="M"))
    assert (told["creatinine_clearance"], told["creatinine"]) == (True, False)
    doubtful = cockcroft_gault(1.0, "umol/L", age_years=40, weight_kg=70, sex="M")
    assert verdicts(IRE, clearance=doubtful)["creatinine_clearance"] is None


def test_that_a_person_records_an_opinion() -> None:
    assert verdicts(IRE, opinions={"needles_placeable": (False, "")})["needles_placeable"] is False
    assert verdicts(IRE, opinions={"other": (True, "")})["needles_placeable"] is None


def test_that_limits_are_the_protocols_own() -> None:
    content = {**IRE.content, "limits": {"nodes_per_side": 1, "long_axis_below_mm": 10}}
    rows = eligibility_rows(protocol_from(content), Facts((node("A"), node("B"))))
    assert [(r.criterion, r.met) for r in rows] == [("nodes_left", False), ("nodes_right", True), ("longest_axis", False)]


def test_that_a_measurable_lesion_is_sure_only_by_both_axes() -> None:
    latc = load_protocol("latc-neoadjuvant")
    assert verdicts(latc, node("A", 20.0, short=15.0))["measurable_lesions"] is True
    assert verdicts(latc, node("A", 20.0, short=14.0))["measurable_lesions"] is None


# -- metal in a picture -------------------------------------------------------------------------------


def picture(spacing=(0.8, 1.0, 2.0), shape=(24, 60, 60), shear: float = 0.0) -> ImageVolume:
    geometry = ImageGeometry.from_spacing(shape, spacing, (-20.0, 10.0, 5.0))
    if shear:
        affine = geometry.affine.copy()
        affine[1, 2] = shear
        geometry = ImageGeometry(shape, affine)
    return ImageVolume(np.full(shape, 40, dtype=np.int16), geometry)


def with_voxels(image: ImageVolume, values: dict) -> ImageVolume:
    array = image.array.copy()
    for index, value in values.items():
        array[index] = value
    return ImageVolume(array, image.geometry)


@pytest.mark.parametrize("shear", [0.0, 0.7])
def test_that_metal_is_counted_by_its_true_distance(shear: float) -> None:
    rng = np.random.default_rng(5)
    image = picture(shear=shear)
    array = image.array.copy()
    hot = rng.random(array.shape) < 0.002
    array[hot] = rng.integers(2000, 3072, hot.sum())
    image = ImageVolume(array, image.geometry)
    mask = np.zeros(array.shape, dtype=bool)
    mask[10:13, 28:34, 28:34] = True
    found = metal_near(image, NodeMask(mask, image.geometry), hu_from=2500, within_mm=9.0)
    # the slow way: every voxel against every voxel of the target
    centres = image.geometry.index_to_world(np.argwhere(np.ones_like(mask))[:, ::-1])
    target = image.geometry.index_to_world(np.argwhere(mask)[:, ::-1])
    distance = np.min(np.linalg.norm(centres[:, None, :] - target[None], axis=2), axis=1).reshape(mask.shape)
    near = (array >= 2500) & (distance <= 9.0)
    assert near.sum() > 3
    assert found.voxels == near.sum()
    assert found.nearest_mm == pytest.approx(distance[near].min())
    assert found.max_hu == array[distance <= 9.0].max()
    assert found.whole


def test_that_a_picture_which_ends_near_the_target_says_so() -> None:
    image = picture()
    at = image.geometry.index_to_world((30, 30, 2))
    assert metal_near(image, at, hu_from=2500, within_mm=3.0).whole is True
    told = metal_near(image, at, hu_from=2500, within_mm=6.0)
    assert (told.whole, told.voxels, told.nearest_mm, told.max_hu) == (False, 0, None, 40.0)
    assert metal_near(with_voxels(image, {(2, 30, 35): 2500}), at, hu_from=2500, within_mm=6.0).nearest_mm == pytest.approx(4.0)
    assert metal_near(with_voxels(image, {(2, 30, 35): 2499}), at, hu_from=2500, within_mm=6.0).voxels == 0
    assert metal_near(with_voxels(image, {(2, 30, 38): 3000}), at, hu_from=2500, within_mm=6.0).voxels == 0  # 6.4 mm away


def test_that_metal_is_not_looked_for_where_it_cannot_be_told() -> None:
    image = picture()
    at = image.geometry.index_to_world((30, 30, 10))
    assert refusal(lambda: metal_near(ImageVolume(image.array.copy(), image.geometry, unit="1"), at, hu_from=2500, within_mm=5)) == "metal_needs_ct"
    assert refusal(lambda: metal_near(image, (500.0, 0.0, 0.0), hu_from=2500, within_mm=5)) == "target_outside"
    assert refusal(lambda: metal_near(image, NodeMask(np.zeros(image.geometry.shape, bool), image.geometry), hu_from=2500, within_mm=5)) == "empty_mask"
    other = ImageGeometry.from_spacing(image.geometry.shape, (1.0, 1.0, 1.0))
    assert refusal(lambda: metal_near(image, NodeMask(np.ones(other.shape, bool), other), hu_from=2500, within_mm=5)) == "wrong_grid"
    assert refusal(lambda: metal_near(image, at, hu_from=2500, within_mm=0)) == "value_refused"


# -- out of a study -----------------------------------------------------------------------------------


def test_that_a_study_answers_with_its_own_readings_events_and_sources(store, tmp_path: Path) -> None:
    case = CaseBuilder(store)
    case.lock(long_axis_mm=20.5)
    case.save("Day 30", long_axis_mm=35.0)  # after the ablation: no matter
    log_event(store, "S-001", "IRE", "2026-01-08")
    log_event(store, "S-001", "LAB", "2026-01-06", detail={"test": "CREATININE", "value": 88.4, "unit": "umol/L", "age_years": 40, "weight_kg": 72, "sex": "F"})
    log_event(store, "S-001", "ELIGIBILITY", "2026-01-06", detail={"criterion": "needles_placeable", "met": True})
    told = eligibility_of(store, "S-001", on=dt.date(2026, 3, 1))
    rows = {r["criterion"]: r for r in told["rows"]}
    assert (rows["longest_axis"]["value"], rows["longest_axis"]["verdict"]) == (20.5, "met")
    assert "reader-a, signed" in rows["longest_axis"]["source"]
    assert (rows["creatinine_clearance"]["value"], rows["creatinine_clearance"]["met"]) == (pytest.approx(85.0), True)
    assert (rows["needles_placeable"]["verdict"], rows["metal"]["verdict"]) == ("met", "not known")
    assert sum(told["counts"].values()) == len(told["rows"])
    # on a day before all that nothing of it was known
    early = {r["criterion"]: r["met"] for r in eligibility_of(store, "S-001", on=dt.date(2026, 1, 1))["rows"]}
    assert (early["longest_axis"], early["creatinine_clearance"], early["needles_placeable"]) == (None, None, None)


def test_that_lengths_of_two_readers_are_never_mixed(store) -> None:
    case = CaseBuilder(store)
    case.save(reader="reader-a", long_axis_mm=20.0)
    case.save(reader="reader-b", long_axis_mm=22.0)
    shot = store.snapshot()
    rule = {"on": dt.date(2026, 3, 1), "before": None}
    assert refusal(lambda: baseline_readings(shot, store.protocol, "S-001", **rule)) == "several_readers"
    assert [r.long_axis_mm for r in baseline_readings(shot, store.protocol, "S-001", reader="reader-b", **rule).values()] == [22.0]
    case.save(reader="site", role="site", long_axis_mm=25.0)
    assert [r.long_axis_mm for r in baseline_readings(store.snapshot(), store.protocol, "S-001", **rule).values()] == [25.0]


def test_that_logged_values_are_checked_against_protocol_and_log(store) -> None:
    CaseBuilder(store)

    def log(kind: str, **detail):
        return log_event(store, "S-001", kind, "2026-01-08", detail=detail)

    assert refusal(lambda: log("ALLOCATION", arm="mtt")) == "arm_unknown"
    assert refusal(lambda: log("ELIGIBILITY", criterion="no such", met=True)) == "detail_refused"
    assert refusal(lambda: log("NRS", hours=4, score=2, replaces="E-none")) == "replaced_event_missing"
    logged = {hours: log("NRS", hours=hours, score=score) for hours, score in zip((0, 4, 8, 24, 48, 72), (2, 5, 9, 3, 1, 0), strict=True)}
    log("NRS", hours=8, score=4, replaces=logged[8].event_id)
    told = pain_of_subject(store, "S-001")
    assert (told["auc"], round(told["time_weighted_mean"], 2), told["sustained"]) == (148.0, 2.06, True)
    assert refusal(lambda: pain_of_subject(store, "S-999")) == "subject_missing"
