from dataclasses import replace

import numpy as np
import pytest

from app.demo.contrast_cine import make_cine
from app.demo.contrast_colours import colour_table
from app.demo.contrast_scene import CineOptions
from app.jobs.progress import CancelToken, JobContext
from app.usecases.contrast_loop import LARGEST_BYTES, PaneBox, Panes, landmarks, load_loop, propose_colours, propose_panes
from dicom_io.ultrasound import read_cine
from volumetry.calibration import Calibration
from volumetry.errors import Cancelled, NodusError
from volumetry.perfusion.linearise import ColourMap
from volumetry.perfusion.loop import PerfusionRefused

SMALL = CineOptions(shape=(80, 100), mm_per_pixel=0.4, frames=40, frame_s=1.2, speckle_mm=(0.3, 0.5))


def made(seed=1, **changes):
    return make_cine(seed, SMALL.with_(**changes))


def box_of(box) -> tuple[int, int, int, int]:
    return box.x0, box.y0, box.x1, box.y1


def codes(findings) -> set[str]:
    return {f.code for f in findings}


def refusal(*args, **kwargs) -> str:
    with pytest.raises(PerfusionRefused) as refused:
        load_loop(*args, **kwargs)
    assert refused.value.message.endswith(".")
    return refused.value.code


@pytest.mark.parametrize("layout", ["left_right", "top_bottom"])
@pytest.mark.parametrize("contrast_first", [False, True])
@pytest.mark.parametrize("colour_map", ["grey", "copper"])
def test_that_panes_are_proposed_and_levels_come_back_exactly(layout, contrast_first, colour_map):
    synthetic = made(layout=layout, contrast_first=contrast_first, colour_map=colour_map)
    cine = synthetic.cine()
    proposal = propose_panes(cine)
    assert box_of(proposal.panes.contrast) == box_of(synthetic.layout.contrast)
    assert box_of(proposal.panes.bmode) == box_of(synthetic.layout.bmode)
    assert proposal.panes.layout == {"left_right": "side_by_side", "top_bottom": "stacked"}[layout]
    assert proposal.confidence > 0.8
    assert len(proposal.reasons) >= 2
    assert proposal.panes.swapped().contrast == proposal.panes.bmode
    loop = load_loop(cine, proposal.panes, range_db=60.0, colour_map=ColourMap(colour_table(colour_map)))
    assert (loop.levels == synthetic.levels).all()
    assert np.abs(loop.tissue.astype(int) - synthetic.tissue).max() <= 1
    assert loop.times_s == pytest.approx(synthetic.times_s)
    assert loop.mm_per_pixel == pytest.approx((0.4, 0.4))
    assert loop.drawn is None
    assert loop.flash_frames == ()


@pytest.mark.parametrize("bar", [True, False])
def test_that_the_colour_map_is_read_from_the_bar_whether_the_header_names_it_or_not(bar):
    synthetic = made(colour_map="gold", drawn_text=True)
    cine = synthetic.cine(bar=bar)
    panes = propose_panes(cine).panes
    colours = propose_colours(cine, panes)
    assert colours.source == ("region" if bar else "found")
    assert colours.fit > 0.98
    assert np.abs(colours.colours.table.astype(int) - colour_table("gold")).max() <= 3
    loop = load_loop(cine, panes, range_db=60.0)
    written = synthetic.drawn()
    assert np.abs(loop.levels[:, ~written].astype(int) - synthetic.levels[:, ~written]).max() <= 2
    assert loop.drawn[written].all()
    assert loop.drawn[~written].mean() < 0.01


def test_that_a_compressed_file_keeps_the_mean_power(tmp_path):
    synthetic = made(colour_map="copper", drawn_text=True)
    synthetic.write_dicom(tmp_path / "c.dcm", "jpeg")
    cine = read_cine(tmp_path / "c.dcm")
    loop = load_loop(cine, propose_panes(cine).panes, range_db=60.0)
    written = synthetic.drawn()
    assert loop.drawn[written].mean() > 0.9
    for region in ("reference", "vessel"):
        mask = synthetic.truth.mask(region, 2) & ~written
        shown = loop.power_table[loop.levels][:, mask].mean(axis=1)
        true = loop.power_table[synthetic.levels][:, mask].mean(axis=1)
        assert shown / true == pytest.approx(np.ones(40), abs=0.25)
        assert float((shown / true).mean()) == pytest.approx(1.0, abs=0.03)


def test_that_an_overlay_is_seen_and_taken_apart():
    synthetic = made(colour_map="gold", layout="overlay", drawn_text=True, flashes=1)
    cine = synthetic.cine()
    proposal = propose_panes(cine)
    assert proposal.panes.layout == "overlay"
    assert "overlay_layout" in codes(proposal.findings)
    assert propose_colours(cine, proposal.panes).tint_share == pytest.approx(0.6, abs=0.015)
    loop = load_loop(cine, proposal.panes, range_db=60.0)
    written, calm = synthetic.drawn(), synthetic.truth.accepted
    assert loop.drawn[written].mean() > 0.9
    error = np.abs(loop.levels.astype(int) - synthetic.levels)[calm][:, ~written]
    assert np.percentile(error, 95) <= 6
    ratio = loop.power_table[loop.levels][calm][:, ~written].mean() / loop.power_table[synthetic.levels][calm][:, ~written].mean()
    assert float(ratio) == pytest.approx(1.0, abs=0.05)
    assert np.corrcoef(loop.tissue[5].ravel(), synthetic.tissue[5].ravel())[0, 1] > 0.9
    assert loop.flash_frames == synthetic.truth.flash_frames


def test_that_an_overlay_of_unknown_mix_is_refused_unless_it_is_stated():
    synthetic = made(colour_map="copper", layout="overlay")
    cine = synthetic.cine()
    proposal = propose_panes(cine)
    assert proposal.panes.layout == "overlay"
    assert refusal(cine, proposal.panes, range_db=60.0) == "overlay_mix_unknown"
    loop = load_loop(cine, proposal.panes, range_db=60.0, tint_share=0.6)
    assert np.percentile(np.abs(loop.levels.astype(int) - synthetic.levels), 90) <= 5


def test_that_an_overlay_cut_off_at_white_is_refused():
    synthetic = made(colour_map="gold", layout="overlay", overlay_shares=(1.0, 0.6), overgain_db=8.0)
    panes = propose_panes(synthetic.cine()).panes
    assert refusal(synthetic.cine(), replace(panes, layout="overlay"), range_db=60.0, tint_share=1.0) == "overlay_unclear"


def test_that_an_overlay_without_colour_is_refused():
    synthetic = made(colour_map="grey", layout="overlay")
    panes = replace(propose_panes(synthetic.cine()).panes, layout="overlay")
    assert refusal(synthetic.cine(), panes, range_db=60.0) == "overlay_not_separable"


def test_that_one_pane_is_told_and_still_gives_a_loop():
    synthetic = made(layout="single", colour_map="blue")
    proposal = propose_panes(synthetic.cine())
    assert proposal.panes.layout == "single"
    assert "one_pane_only" in codes(proposal.findings)
    loop = load_loop(synthetic.cine(), proposal.panes, range_db=60.0)
    assert loop.tissue is None
    assert np.abs(loop.levels.astype(int) - synthetic.levels).max() <= 2


def test_that_panes_without_regions_are_found_by_the_black_band_and_have_no_scale():
    synthetic = made()
    cine = synthetic.cine(regions=False)
    proposal = propose_panes(cine)
    assert proposal.panes.mm_per_pixel is None
    assert proposal.confidence < 0.6
    for found, true in ((proposal.panes.contrast, synthetic.layout.contrast), (proposal.panes.bmode, synthetic.layout.bmode)):
        assert np.abs(np.subtract(box_of(found), box_of(true))).max() <= 2
    loop = load_loop(cine, proposal.panes, range_db=60.0)
    assert loop.mm_per_pixel is None
    assert "uncalibrated" in codes(loop.findings)


def test_that_a_region_around_both_pictures_is_divided():
    synthetic = made()
    cine = synthetic.cine()
    first, second, *_ = cine.calibration.regions
    whole = replace(first, x0=min(first.x0, second.x0), x1=max(first.x1, second.x1))
    proposal = propose_panes(replace(cine, calibration=Calibration((whole,))))
    assert np.abs(np.subtract(box_of(proposal.panes.contrast), box_of(synthetic.layout.contrast))).max() <= 2
    assert proposal.panes.mm_per_pixel == pytest.approx((0.4, 0.4))
    assert 0.5 < proposal.confidence < 0.8


def test_that_regions_of_unlike_scale_are_never_laid_over_each_other():
    cine = made().cine()
    first, second, *_ = cine.calibration.regions
    proposal = propose_panes(replace(cine, calibration=Calibration((first, replace(second, delta_x=0.05, delta_y=0.05)))))
    assert proposal.panes.bmode is None
    assert "pane_scales_differ" in codes(proposal.findings)


def test_that_a_still_loop_does_not_tell_which_pane_is_the_contrast():
    synthetic = made()
    cine = synthetic.cine()
    frame = np.full(cine.shape, 120, np.uint8)
    proposal = propose_panes(replace(cine, read_frame=lambda n: frame))
    assert proposal.confidence == 0.5


def test_that_what_cannot_be_used_is_refused_in_plain_words():
    synthetic = made()
    cine = synthetic.cine()
    panes = propose_panes(cine).panes
    assert refusal(cine, panes, range_db=None) == "range_unknown"
    assert refusal(cine, panes, range_db=500.0) == "implausible_range"
    assert refusal(synthetic.cine(times=False), panes, range_db=60.0) == "frame_times_missing"
    assert refusal(synthetic.cine(frames=6), panes, range_db=60.0) == "too_few_frames"
    assert refusal(cine, panes, range_db=60.0, frames=(3, 9)) == "too_few_frames"
    assert refusal(cine, replace(panes, contrast=PaneBox(0, 0, 5000, 50)), range_db=60.0) == "bad_panes"
    assert refusal(cine, replace(panes, bmode=PaneBox(0, 0, 20, 20)), range_db=60.0) == "bad_panes"


def test_that_colours_no_bar_explains_are_asked_for():
    synthetic = made(colour_map="blue")
    cine = synthetic.cine()
    panes = replace(propose_panes(cine).panes, bar=None)
    assert propose_colours(cine, panes).colours is None
    assert refusal(cine, panes, range_db=60.0) == "colour_map_unknown"
    assert refusal(cine, panes, range_db=60.0, colour_map=ColourMap(colour_table("gold"))) == "colour_map_unlike"


def test_that_a_loop_too_large_for_memory_is_refused_before_it_is_read():
    cine = made().cine()
    panes = Panes("side_by_side", PaneBox(0, 0, 9, 9), PaneBox(20, 0, 29, 9), None)
    side = int((LARGEST_BYTES / 2 / 40) ** 0.5) + 2
    huge = replace(cine, shape=(side + 1, 2 * side + 2))
    panes = Panes("side_by_side", PaneBox(0, 0, side, side), PaneBox(side, 0, 2 * side, side), None)
    assert refusal(huge, panes, range_db=60.0) == "too_large"


def test_that_a_loop_that_was_cut_off_keeps_what_is_whole():
    synthetic = made()
    cine = synthetic.cine(frames=25)
    loop = load_loop(cine, propose_panes(cine).panes, range_db=60.0)
    assert loop.frame_count == 25
    assert "truncated" in codes(loop.findings)


def test_that_frames_that_cannot_be_decoded_are_left_out_with_their_true_times():
    synthetic = made()
    cine = synthetic.cine()

    def read(n):
        if n in (7, 20, 21):
            raise NodusError("Damaged.", code="decode_failed")
        return synthetic.picture(n)

    loop = load_loop(replace(cine, read_frame=read), propose_panes(cine).panes, range_db=60.0)
    kept = np.setdiff1d(np.arange(40), (7, 20, 21))
    assert (loop.frame_numbers == kept).all()
    assert loop.times_s == pytest.approx(synthetic.times_s[kept])
    assert (loop.levels == synthetic.levels[kept]).all()
    assert "frames_unreadable" in codes(loop.findings)


def test_that_a_loop_is_trimmed_and_frames_without_a_time_of_their_own_are_left_out():
    synthetic = made()
    cine = synthetic.cine()
    panes = propose_panes(cine).panes
    trimmed = load_loop(cine, panes, range_db=60.0, frames=(10, 29))
    assert (trimmed.frame_numbers == np.arange(10, 30)).all()
    assert trimmed.times_s == pytest.approx(synthetic.times_s[10:30] - synthetic.times_s[10])
    times = cine.frame_times_ms.copy()
    times[12] = times[11]
    loop = load_loop(replace(cine, frame_times_ms=times), panes, range_db=60.0)
    assert 12 not in loop.frame_numbers
    assert "frame_times_repeated" in codes(loop.findings)


def test_that_frames_of_another_depth_are_left_out():
    cine = made().cine()
    panes = propose_panes(cine).panes
    other = Calibration(tuple(replace(r, delta_x=r.delta_x * 1.5, delta_y=r.delta_y * 1.5) for r in cine.calibration.regions))
    loop = load_loop(replace(cine, frame_calibrations=dict.fromkeys(range(30, 40), other)), panes, range_db=60.0)
    assert loop.frame_count == 30
    assert "scale_changes" in codes(loop.findings)


def test_that_flashes_are_found_and_too_much_gain_is_told():
    synthetic = made(flashes=2, overgain_db=14.0, frames=60, frame_s=0.8)
    cine = synthetic.cine()
    loop = load_loop(cine, propose_panes(cine).panes, range_db=60.0)
    assert loop.flash_frames == synthetic.truth.flash_frames
    assert {"flash_frames", "white_clipped"} <= codes(loop.findings)


def test_that_reading_can_be_stopped_and_tells_how_far_it_is():
    cine = made().cine()
    panes = propose_panes(cine).panes
    token, seen = CancelToken(), []

    def listen(event):
        seen.append(event.fraction)
        if event.fraction > 0.4:
            token.cancel()

    with pytest.raises(Cancelled):
        load_loop(cine, panes, range_db=60.0, context=JobContext(listen, token))
    assert seen == sorted(seen)
    assert seen[-1] < 0.8


def test_that_arrival_peak_and_late_phase_are_proposed():
    synthetic = make_cine(3, CineOptions(breathing_mm=(0.0, 0.0), out_of_plane=0.0))
    loop = synthetic.loop()
    marks = landmarks(loop, synthetic.truth.mask("reference", 2))
    curve = synthetic.truth.curves["reference"]
    assert loop.times_s[marks.peak] == pytest.approx(curve.ttp_s, abs=2.5)
    assert curve.t0_s - 0.5 < loop.times_s[marks.arrival] < curve.ttp_s - 2
    assert marks.late == loop.frame_count - 1
    quiet = landmarks(loop, synthetic.truth.mask("ablated", 3))
    assert (quiet.arrival, quiet.peak, quiet.late) == (None, None, None)


def test_that_a_real_dual_picture_is_divided_and_a_real_single_one_is_not(shared_data):
    dual = propose_panes(read_cine(shared_data / "us_dicom" / "gdcm-US-ALOKA-16.dcm"))
    assert dual.panes.layout == "side_by_side"
    assert {dual.panes.contrast.as_tuple(), dual.panes.bmode.as_tuple()} == {(32, 24, 335, 415), (336, 24, 639, 415)}
    assert dual.panes.mm_per_pixel == pytest.approx((0.382653, 0.382653), rel=1e-4)
    single = propose_panes(read_cine(shared_data / "us_dicom" / "I_000031.dcm"))
    assert single.panes.layout == "single"
    assert single.panes.contrast.as_tuple() == (78, 76, 724, 508)
    assert "one_pane_only" in codes(single.findings)


@pytest.mark.long
def test_that_panes_levels_flashes_and_letters_are_found_in_120_random_cines():
    faults = []
    for seed in range(120):
        rng = np.random.default_rng(seed)
        layout, colour_map = ("left_right", "top_bottom", "overlay", "single")[seed % 4], ("grey", "copper", "gold", "blue", "rainbow")[seed % 5]
        options = CineOptions(
            frames=50, frame_s=1.0, layout=layout, contrast_first=bool(rng.integers(2)), colour_map="gold" if (layout, colour_map) == ("overlay", "grey") else colour_map,
            drawn_text=bool(rng.integers(2)), flashes=int(rng.integers(3)), model=("lognormal", "gamma_variate", "replenishment")[seed % 3], out_of_plane=0.1,
            rotation_deg=float(rng.uniform(0, 3)), range_db=float(rng.choice([45.0, 60.0, 75.0])), overgain_db=float(rng.choice([0.0, 0.0, 10.0])),
        )  # fmt: skip
        synthetic = make_cine(seed, options)
        cine = synthetic.cine(bar=bool(rng.integers(2)))
        panes = propose_panes(cine).panes
        if box_of(panes.contrast) != box_of(synthetic.layout.contrast) or (panes.layout == "overlay") != (layout == "overlay"):
            faults.append((seed, "panes"))
            continue
        share = 0.6 if (layout, colour_map) == ("overlay", "copper") else None
        loop = load_loop(cine, panes, range_db=options.range_db, tint_share=share)
        written = synthetic.drawn()
        drawn = np.zeros_like(written) if loop.drawn is None else loop.drawn
        if loop.flash_frames != synthetic.truth.flash_frames:
            faults.append((seed, "flash"))
        if drawn[written].sum() < 0.9 * written.sum() or drawn[~written].mean() > 0.005:
            faults.append((seed, "letters"))
        error = np.abs(loop.levels[:, ~written].astype(int) - synthetic.levels[:, ~written])
        if (layout != "overlay" and error.max() > 3) or (error > 6).mean() > 0.04:
            faults.append((seed, "levels"))
    assert len(faults) <= 2, faults
    assert [f for f in faults if f[1] in ("panes", "levels")] == []


def test_that_an_infusion_that_is_bright_from_the_start_does_not_turn_the_panes_round():
    synthetic = made(model="replenishment", residual="whole", breathing_mm=(2.0, 1.2))
    proposal = propose_panes(synthetic.cine())
    assert box_of(proposal.panes.contrast) == box_of(synthetic.layout.contrast)
    assert "Its speckle holds less from one frame to the next." in proposal.reasons
