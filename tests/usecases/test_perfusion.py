"""A contrast loop read as a whole, against loops whose every answer is known."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from app.cli.output import plain
from app.jobs.progress import CancelToken, JobContext
from app.usecases.contrast_loop import load_loop, propose_panes
from app.usecases.contrast_panes import PaneBox
from app.usecases.perfusion import PROPOSED_REFERENCE, analyse_contrast
from app.usecases.perfusion_regions import PerfusionRegion
from tests.usecases.contrast_loops import beside, made, node
from volumetry.errors import Cancelled, NodusError


def read(cine, **kwargs):
    """Loop and panes of a synthetic cine."""
    proposal = propose_panes(cine.cine())
    return load_loop(cine.cine(), proposal.panes, range_db=60.0, **kwargs), proposal.panes


def analysed(cine, regions=None, **kwargs):
    """The analysis with the node (drawn in B-mode where there is one) and a reference."""
    loop, panes = read(cine)
    pane = "contrast" if panes.bmode is None else "bmode"
    regions = [node(cine, pane), beside(cine, "contrast")] if regions is None else regions
    kwargs.setdefault("frame", cine.truth.motion.reference_frame)
    return analyse_contrast(loop, regions, panes, node_ml=kwargs.pop("node_ml", cine.truth.node_ml), **kwargs)


@pytest.fixture(scope="module")
def partial():
    """A node of which a part is left, analysed with maps."""
    return analysed(made(residual="partial", viable_fraction=0.4), maps=True)


def test_that_times_ratios_and_the_viable_part_are_those_of_the_truth(partial):
    truth = made(residual="partial", viable_fraction=0.4).truth
    muscle, found = partial.region("muscle"), partial.region("N1")
    curve = truth.curves["reference"]
    assert muscle.fit.derived["ttp_s"] == pytest.approx(curve.ttp_s, abs=0.3)
    assert muscle.fit.derived["mtt_s"] == pytest.approx(curve.mtt_s, rel=0.1)
    share = truth.viable_fraction * truth.curves["viable"].auc / curve.auc
    assert found.ratios["auc"].value == pytest.approx(share, rel=0.12)
    low, high = found.ratios["auc"].interval
    assert low < share < high
    assert muscle.ratios is None
    assert partial.assessment.grade == "3"
    assert partial.assessment.viable_ml == pytest.approx(truth.viable_ml, rel=0.1)
    assert partial.assessment.viable_ml + partial.assessment.ablated_ml == pytest.approx(truth.node_ml)


def test_that_the_answer_is_plain_json_and_names_true_frames(partial):
    truth = made(residual="partial", viable_fraction=0.4).truth
    answer = json.loads(json.dumps(plain(partial.to_dict(curves=True)), allow_nan=False))
    assert {r["frame"] for r in answer["frames_rejected"]} == {int(n) for n in np.flatnonzero(~truth.accepted)}
    assert {r["reason"] for r in answer["frames_rejected"]} <= {"out_of_plane", "outside", "flash"}
    first = answer["regions"][0]
    assert {"name", "model", "parameters", "intervals", "r_squared", "warnings"} <= first.keys()
    assert set(first["parameters"]) == set(first["intervals"])
    assert len(first["curve"]["times_s"]) == len(first["curve"]["power"]) == len(first["curve"]["band_low"]) == first["frames"]
    assert set(first["differences_s"]) == {"arrival_s", "ttp_s"}
    assert {"grade", "viable_ml", "ablated_ml"} <= answer["residual"].keys()
    assert answer["reference_frame"] == truth.motion.reference_frame
    assert answer["residual"]["window"]["before"][1] < answer["residual"]["window"]["during"][0]
    assert answer["maps"]["values"]["ttp_s"]["median"] == pytest.approx(truth.curves["viable"].ttp_s, abs=0.5)
    assert "curve" not in partial.to_dict()["regions"][0]
    for bar in (None, PaneBox(2, 3, 9, 90)):  # the box that a map of colours was read from
        told = replace(partial, panes=replace(partial.panes, bar=bar)).to_dict()["panes"]["bar"]
        assert told == (None if bar is None else (2, 3, 9, 90))


def test_that_the_same_input_has_the_same_hash_and_other_input_another(partial):
    cine = made(residual="partial", viable_fraction=0.4)
    again = analysed(cine, motion=partial.motion)
    assert (again.loop_sha256, again.input_sha256) == (partial.loop_sha256, partial.input_sha256)
    assert analysed(cine, motion=partial.motion, node_ml=2.0).input_sha256 != partial.input_sha256
    shorter = read(cine, frames=(0, 50))[0]
    panes = partial.panes
    other = analyse_contrast(shorter, [node(cine)], panes, frame=cine.truth.motion.reference_frame)
    assert other.loop_sha256 != partial.loop_sha256


def test_that_what_the_reader_drew_stands_beside_what_was_found(partial):
    cine = made(residual="partial", viable_fraction=0.4)
    inner = replace(node(cine, name="left"), role="viable", polygon_px=node(cine).polygon_px[:25])
    found = analysed(cine, [node(cine), inner, beside(cine)], motion=partial.motion, node_ml=2.0)
    drawn = found.to_dict()["residual"]["drawn"]
    assert drawn["viable_pct"] == pytest.approx(50, abs=3)
    assert drawn["viable_ml"] + drawn["ablated_ml"] == pytest.approx(2.0)
    assert found.assessment.viable_pct == pytest.approx(40, abs=4)


def test_that_a_reference_is_proposed_where_none_was_drawn(partial):
    cine = made(residual="partial", viable_fraction=0.4)
    found = analysed(cine, [node(cine)], motion=partial.motion)
    assert "reference_proposed" in {f.code for f in found.findings}
    assert found.reference.name == PROPOSED_REFERENCE
    assert found.to_dict()["regions"][-1]["proposed"] is True
    assert found.region("N1").ratios["auc"].value == pytest.approx(partial.region("N1").ratios["auc"].value, rel=0.1)


def test_that_a_loop_without_a_scale_gives_curves_and_no_volume():
    cine = made(residual="nodule")
    pane_loop, panes = read(cine)
    loop = replace(pane_loop, mm_per_pixel=None)
    found = analyse_contrast(loop, [node(cine), beside(cine)], panes, node_ml=1.0, frame=cine.truth.motion.reference_frame)
    residual = found.to_dict()["residual"]
    assert (residual["grade"], residual["viable_ml"]) == ("NE", None)
    assert [w["code"] for w in residual["warnings"]] == ["uncalibrated"]
    assert found.region("muscle").fit.derived["ttp_s"] == pytest.approx(cine.truth.curves["reference"].ttp_s, abs=0.4)
    assert found.region("N1").ratios["auc"].value is not None


def test_that_one_pane_alone_is_read_without_motion_and_says_so():
    cine = made(residual="none", layout="single", breathing_mm=(0.0, 0.0), out_of_plane=0.0)
    found = analysed(cine)
    assert "motion_uncorrected" in {f.code for f in found.findings}
    assert found.assessment.grade == "0"
    assert found.assessment.viable_ml == 0.0


def test_that_a_region_that_is_never_seen_leaves_the_others_standing():
    cine = made(residual="nodule")
    loop, panes = read(cine)
    hidden = beside(cine, name="hidden", role="tissue")
    box = panes.contrast
    drawn = np.zeros(loop.shape, bool)
    xs, ys = np.array(hidden.polygon_px).T
    drawn[int(ys.min() - box.y0) - 2 : int(ys.max() - box.y0) + 3, int(xs.min() - box.x0) - 2 : int(xs.max() - box.x0) + 3] = True
    found = analyse_contrast(replace(loop, drawn=drawn), [node(cine), hidden], panes, frame=cine.truth.motion.reference_frame)
    lost, there = found.region("hidden"), found.region("N1")
    assert (lost.curve, lost.fit, lost.refusal.code) == (None, None, "too_few_frames")
    assert "too_few_frames" in {w["code"] for w in lost.to_dict()["warnings"]}
    assert there.fit.ok


def test_that_the_model_is_chosen_by_what_the_frames_show_and_told():
    for model in ("lognormal", "gamma_variate"):
        cine = made(residual="whole", model=model, frames=110, frame_s=0.5)
        choice = analysed(cine, model="auto").choice
        assert choice.model.name == model
        assert choice.reason == "information_criterion"
        assert choice.aic[model] == min(choice.aic.values())


def test_that_a_flash_upon_a_steady_signal_is_read_as_replenishment():
    cine = made(residual="whole", model="replenishment")
    found = analysed(cine, model="auto")
    assert (found.choice.model.name, found.choice.reason) == ("replenishment", "steady_before_flash")
    curve = cine.truth.curves["reference"]
    derived = found.region("muscle").fit.derived
    assert derived["wash_in_rate"] == pytest.approx(curve.a * curve.beta_per_s, rel=0.15)
    assert {r["frame"] for r in found.frames_rejected() if r["reason"] == "flash"} == set(cine.truth.flash_frames)


def test_that_a_flash_within_a_bolus_is_no_replenishment_but_fitted_beside_it():
    cine = made(residual="whole", flashes=1)
    found = analysed(cine, model="auto")
    assert found.choice.model.has_peak
    assert found.region("muscle").replenishment.model.name == "replenishment"


@pytest.mark.parametrize(
    ("changes", "code"),
    [({"frame": 999}, "frame_out_of_range"), ({"node_ml": -1.0}, "value_refused"), ({"model": "cosine"}, "unknown_curve_model"), ({"regions": []}, "bad_roi")],
)
def test_that_what_cannot_be_asked_is_refused_before_any_work(changes, code):
    with pytest.raises(NodusError) as refused:
        analysed(made(residual="nodule"), **changes)
    assert refused.value.code == code


def test_that_a_node_in_a_moving_picture_without_a_frame_is_told():
    found = analysed(made(residual="nodule"), frame=None)
    assert "roi_frame_not_stated" in {f.code for f in found.findings}


def test_that_it_reports_and_stops_when_asked():
    cine = made(residual="nodule")
    shares: list[float] = []
    token = CancelToken()

    def listen(event):
        shares.append(event.fraction)
        if event.fraction > 0.3:
            token.cancel()

    with pytest.raises(Cancelled):
        analysed(cine, progress=JobContext(listen, token).report)
    assert shares == sorted(shares)
    assert shares[-1] < 0.6


def test_that_names_go_to_one_region_and_an_arrival_is_a_time():
    cine = made(residual="partial", viable_fraction=0.4)
    loop, panes = read(cine)
    for regions in ([node(cine), beside(cine, name="N1")], [node(cine, name=PROPOSED_REFERENCE)]):
        with pytest.raises(NodusError) as refused:
            analyse_contrast(loop, regions, panes)
        assert refused.value.code == "bad_roi"
    for arrival in (float("nan"), -1.0):
        with pytest.raises(NodusError) as refused:
            analyse_contrast(loop, [node(cine)], panes, arrival_s=arrival)
        assert refused.value.code == "value_refused"


def test_that_several_nodes_and_references_in_a_vessel_are_told(partial):
    cine = made(residual="partial", viable_fraction=0.4)
    box = cine.layout.contrast
    rows, columns = np.nonzero(cine.truth.mask("vessel", 1.0))
    corners = [(box.x0 + x, box.y0 + y) for x, y in ((columns.min(), rows.min()), (columns.max(), rows.min()), (columns.max(), rows.max()), (columns.min(), rows.max()))]
    vessel = PerfusionRegion("v", "reference", tuple((float(x), float(y)) for x, y in corners))
    told = {f.code for f in analysed(cine, [node(cine), vessel], motion=partial.motion).findings}
    assert "reference_unlike_tissue" in told
    assert "reference_unlike_tissue" not in {f.code for f in partial.findings}
    two = [node(cine), node(cine, name="N2"), beside(cine), replace(vessel, name="w")]
    assert {"several_nodes", "several_references"} <= {f.code for f in analysed(cine, two, motion=partial.motion).findings}
