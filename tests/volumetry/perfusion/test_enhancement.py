"""What still enhances, on loops whose viable part is known; and on loops of which nothing may be said."""

import numpy as np
import pytest
from scipy import ndimage

from app.demo.contrast_cine import SyntheticCine, make_cine
from app.demo.contrast_scene import CineOptions
from volumetry.perfusion.curves import TimeIntensityCurve
from volumetry.perfusion.enhancement import WINDOW_SHARE, EnhancementAssessment, assess_enhancement, find_window, reference_around
from volumetry.perfusion.loop import ContrastLoop, PerfusionRefused
from volumetry.perfusion.motion import Motion, estimate_motion
from volumetry.perfusion.rim import tell_rim_apart

HARD = CineOptions(blur=True, breathing_mm=(2.0, 1.2), rotation_deg=1.5)


def true_motion(made: SyntheticCine) -> Motion:
    """The motion that the loop was made with, and its frames in plane."""
    truth = made.truth
    reasons = tuple("" if a else "out_of_plane" for a in truth.accepted)
    return Motion(truth.motion.matrices.copy(), None, np.ones(len(reasons)), truth.accepted.copy(), reasons, truth.motion.reference_frame)


def beside(made: SyntheticCine) -> np.ndarray:
    """Reference tissue at the depth of the node, off its border."""
    rows = np.flatnonzero(made.truth.section.node.any(axis=1))
    mask = made.truth.mask("reference", 2.0)
    mask[: rows[0]], mask[rows[-1] :] = False, False
    return mask


def assessed(made: SyntheticCine, *, followed: bool = False, **kwargs) -> EnhancementAssessment:
    """Assessed with the true motion, or with the one that is found (``followed``)."""
    loop, truth = made.loop(), made.truth
    motion = estimate_motion(loop, reference_frame=truth.motion.reference_frame, region=truth.section.node) if followed else true_motion(made)
    return assess_enhancement(loop, truth.section.node, beside(made), motion, node_ml=truth.node_ml, **kwargs)


def holds(made: SyntheticCine, *, followed: bool) -> tuple[str, str]:
    """The acceptance lines on one loop: ("", kind) where they hold, else what went wrong."""
    found, truth = assessed(made, followed=followed), made.truth
    kind = made.truth.section.facts["residual"]
    if kind in ("none", "rim"):
        wrong = found.viable_ml != 0.0 or found.grade != ("0" if kind == "none" else "1")
        return (f"seed {made.seed}: {kind} read as grade {found.grade}, {found.viable_ml:.3f} ml" if wrong else "", kind)
    if truth.viable_ml < 0.05:
        return "", "small"
    off_pct = 100 * (found.viable_ml / truth.viable_ml - 1) if found.viable_ml is not None else np.inf
    return (f"seed {made.seed}: {kind} of {truth.viable_ml:.3f} ml off by {off_pct:.1f} %" if abs(off_pct) > 10 else "", kind)


@pytest.mark.parametrize(("seed", "kind"), [(0, "none"), (1, "rim"), (2, "nodule"), (3, "partial"), (4, "nodule"), (5, "rim")])
def test_that_viable_parts_are_measured_and_clean_zones_and_rims_stay_clean(seed, kind):
    wrong, seen = holds(make_cine(seed, HARD.with_(residual=kind)), followed=True)
    assert seen == kind
    assert wrong == ""


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_that_two_hundred_loops_are_read_as_they_are(record_result):
    seen: dict[str, list[float]] = {}
    wrong = []
    for seed in range(200):
        kind = ("none", "rim", "nodule", "partial")[seed % 4]
        made = make_cine(3000 + seed, HARD.with_(residual=kind, viable_fraction=None if seed % 8 < 4 else 0.08))
        said, which = holds(made, followed=True)
        wrong += [said] if said else []
        found = assessed(made)
        seen.setdefault(which, []).append(100 * (found.viable_ml / made.truth.viable_ml - 1) if made.truth.viable_ml else 1000 * found.viable_ml)
    rows = [
        f"| {kind} | {len(v)} | " + (f"largest {max(v):.0f} µl" if kind in ("none", "rim") else f"mean {np.mean(v):+.1f} %, RMS {np.sqrt(np.mean(np.square(v))):.1f} %, largest {max(v, key=abs):+.1f} %") + " |"
        for kind, v in sorted(seen.items())
    ]  # fmt: skip
    body = (
        "200 synthetic contrast loops (seeds 3000 to 3199) with breathing of 2.0 and 1.2 mm, turns of 1.5 degrees, 8 % of the frames beside the plane and a point spread that softens borders; "
        "motion found, not given. Viable volume against truth (table: with the true motion), parts from 0.05 ml.\n\n| zone | loops | viable volume called |\n| --- | --- | --- |\n"
        + "\n".join(rows) + f"\n\nOutside 10 %, or clean zones and rims called residual: {len(wrong)}.\n\n" + "\n".join(f"- {w}" for w in wrong)
    )  # fmt: skip
    record_result("residual_enhancement", "Residual enhancement", body)
    assert len(seen["none"]) == len(seen["rim"]) == 50
    assert wrong == []


def test_that_two_hundred_clean_or_rimmed_zones_are_never_called_residual_by_shape():
    # The shape rule alone, on rims of every width and roughness that electroporation leaves.
    rng = np.random.default_rng(5)
    rows, columns = np.mgrid[:120, :150]
    for _ in range(200):
        half = rng.uniform(16, 26), rng.uniform(20, 34)
        node = ((rows - 60) / half[0]) ** 2 + ((columns - 75) / half[1]) ** 2 <= 1
        inward = ndimage.distance_transform_edt(node) * 0.25
        angle = np.arctan2(rows - 60, columns - 75)
        width = rng.uniform(0.5, 1.6) + 0.2 * np.sin(angle * rng.integers(1, 5) + rng.uniform(0, 6))
        parts = tell_rim_apart(node & (inward <= width), node, (0.25, 0.25), 1.5)
        assert parts.foci == 0
        assert parts.rim_mm is not None
        assert not parts.viable.any()


def test_that_a_nodule_on_a_rim_is_not_hidden_by_it():
    rows, columns = np.mgrid[:120, :150]
    node = ((rows - 60) / 24) ** 2 + ((columns - 75) / 30) ** 2 <= 1
    inward = ndimage.distance_transform_edt(node) * 0.25
    nodule = node & (np.hypot(rows - 60, columns - 95) <= 9)
    parts = tell_rim_apart((node & (inward <= 1.0)) | nodule, node, (0.25, 0.25), 1.5)
    assert parts.foci == 1
    assert parts.rim_mm == pytest.approx(1.0, abs=0.3)
    assert 0.9 * nodule.sum() <= parts.viable.sum() <= 1.2 * nodule.sum()
    assert not (parts.viable & parts.rim).any()


def test_that_an_arc_is_left_to_the_reader():
    rows, columns = np.mgrid[:120, :150]
    node = ((rows - 60) / 24) ** 2 + ((columns - 75) / 30) ** 2 <= 1
    arc = node & (ndimage.distance_transform_edt(node) <= 4) & (columns > 85)
    parts = tell_rim_apart(arc, node, (0.25, 0.25), 1.5)
    assert parts.rim_mm is None
    assert parts.foci == 1
    assert parts.viable.sum() == arc.sum()


def test_that_a_small_node_that_enhances_whole_is_no_rim():
    rows, columns = np.mgrid[:60, :60]
    node = np.hypot(rows - 30, columns - 30) <= 7  # 1.75 mm in radius
    parts = tell_rim_apart(node, node, (0.25, 0.25), 1.5)
    assert parts.rim_mm is None
    assert parts.viable.sum() == node.sum()


def test_that_a_whole_node_reads_as_diffuse():
    found = assessed(make_cine(11, HARD.with_(residual="whole")))
    assert found.grade == "3"
    assert found.viable_ml == pytest.approx(found.node_ml, rel=0.03)
    assert found.ablated_ml == pytest.approx(0.0, abs=0.03 * found.node_ml)


def test_that_parts_and_the_interval_belong_together():
    found = assessed(make_cine(21, HARD.with_(residual="nodule", viable_fraction=0.2)))
    low, high = found.viable_interval_pct
    assert low <= found.viable_pct <= high
    assert high - low > 0.5
    assert found.viable_ml + found.ablated_ml == pytest.approx(found.node_ml)
    assert found.grade == "2"
    assert found.foci == 1
    assert found.reasons
    assert not found.viable[~found.node].any()
    assert np.isnan(found.relative[~found.node]).all()
    assert "share_of_one_plane" in {f.code for f in found.findings}


def test_that_without_a_volume_no_millilitres_are_given():
    made = make_cine(22, HARD.with_(residual="nodule"))
    found = assess_enhancement(made.loop(), made.truth.section.node, beside(made), true_motion(made))
    assert found.viable_ml is None
    assert found.ablated_ml is None
    assert found.viable_pct > 0
    assert found.viable_mm2 > 0


def test_that_a_reference_that_was_not_drawn_is_said():
    made = make_cine(23, HARD.with_(residual="partial"))
    found = assess_enhancement(made.loop(), made.truth.section.node, None, true_motion(made), node_ml=made.truth.node_ml)
    assert "reference_proposed" in {f.code for f in found.findings}
    assert found.viable_ml == pytest.approx(made.truth.viable_ml, rel=0.10)


@pytest.mark.parametrize("code", ["no_enhancement", "no_frames_before", "contrast_too_weak", "too_few_frames"])
def test_that_a_loop_which_cannot_be_judged_is_not_evaluable_with_the_reason(code):
    made = make_cine(24, CineOptions(residual="none" if code == "no_enhancement" else "nodule", peak_db=18.0 if code == "contrast_too_weak" else 44.0, floor_db=14.0))
    loop, motion = made.loop(), true_motion(made)
    node, reference = made.truth.section.node, beside(made)
    if code == "no_enhancement":
        reference = made.truth.mask("ablated", 1.0)
    elif code in ("no_frames_before", "too_few_frames"):
        rise = made.truth.contrast_power("reference", loop.times_s)
        first = int(np.flatnonzero(rise > 0.3 * rise.max())[0]) if code == "no_frames_before" else 0
        kept = slice(first, None if code == "no_frames_before" else 9)
        loop = ContrastLoop(loop.levels[kept], loop.tissue[kept], loop.times_s[kept] - loop.times_s[kept][0], loop.range_db, loop.mm_per_pixel)
        motion = Motion(motion.matrices[kept].copy(), None, motion.correlation[kept].copy(), motion.accepted[kept].copy(), motion.reasons[kept], 0)
    else:
        loop = _noisier(loop)
    found = assess_enhancement(loop, node, reference, motion, node_ml=1.0)
    assert found.grade == "NE"
    assert found.viable_ml is None
    assert found.viable_pct is None
    assert not found.viable.any()
    assert code in {f.code for f in found.findings}
    assert len(found.reasons[0]) > 20


def _noisier(loop: ContrastLoop) -> ContrastLoop:
    # A pane whose gain flickers by 10 dB from frame to frame: the node's own noise drowns what little contrast there is.
    shift = np.random.default_rng(3).integers(0, 90, loop.frame_count)
    levels = np.clip(loop.levels.astype(int) + shift[:, None, None], 0, 255).astype(np.uint8)
    return ContrastLoop(levels, loop.tissue, loop.times_s, loop.range_db, loop.mm_per_pixel)


def test_that_the_readers_arrival_is_taken():
    made = make_cine(25, HARD.with_(residual="nodule"))
    found = assessed(made, arrival_s=9.5)
    assert found.window.arrival_s == 9.5
    assert made.times_s[found.window.before].max() <= 9.5 - 0.8
    assert made.times_s[found.window.during].min() >= 9.5


def test_that_regions_of_another_picture_or_none_are_refused():
    made = make_cine(26, CineOptions(frames=20))
    loop = made.loop()
    for node, code in ((np.ones((5, 5), bool), "bad_shape"), (np.zeros(loop.shape, bool), "empty_region")):
        with pytest.raises(PerfusionRefused) as caught:
            assess_enhancement(loop, node, beside(made))
        assert caught.value.code == code
    with pytest.raises(PerfusionRefused) as caught:
        assess_enhancement(loop, made.truth.section.node, beside(made), excluded=made.truth.section.node)
    assert caught.value.code == "empty_region"
    flat = ContrastLoop(loop.levels, loop.tissue, loop.times_s, loop.range_db, None)
    with pytest.raises(PerfusionRefused) as caught:
        assess_enhancement(flat, made.truth.section.node, beside(made))
    assert caught.value.code == "uncalibrated"


def test_that_the_ring_beside_a_node_keeps_its_depth_and_may_be_empty():
    node = np.zeros((80, 90), bool)
    node[30:50, 40:55] = True
    ring = reference_around(node, (0.25, 0.25))
    assert not ring[:30].any()
    assert not ring[50:].any()
    assert not (ring & node).any()
    assert ring.sum() > 300
    with pytest.raises(PerfusionRefused) as caught:
        reference_around(node, (0.25, 0.25), np.zeros_like(node))
    assert caught.value.code == "no_reference"


def test_that_the_window_ends_where_the_reference_has_fallen():
    times = np.arange(80) * 0.5
    rise = np.where(times > 8, (times - 8) / 4 * np.exp(1 - (times - 8) / 4), 0.0)
    window = find_window(TimeIntensityCurve.of_values(times, 10 + 990 * rise))
    assert window.arrival_s == pytest.approx(8.0, abs=1.0)
    fallen = times[(times > 12) & (rise < WINDOW_SHARE)][0]
    assert fallen - 1.5 < times[window.during].max() < fallen + 0.5 and times[window.before].max() <= window.arrival_s - 0.8
