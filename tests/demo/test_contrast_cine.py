import math

import numpy as np
import pydicom
import pytest

from app.demo.contrast_cine import gaussian_taps, make_cine
from app.demo.contrast_colours import COLOUR_MAPS, colour_table
from app.demo.contrast_curves import GammaVariate, Lognormal, NoContrast, Replenishment, described
from app.demo.contrast_scene import CineOptions
from app.demo.kernels.contrast import paint_contrast_frame
from app.jobs.progress import CancelToken, JobContext
from dicom_io.ultrasound import read_cine
from tests.reference.contrast_twins import painted
from volumetry.errors import Cancelled
from volumetry.perfusion.loop import power_table

SMALL = CineOptions(shape=(64, 80), mm_per_pixel=0.5, frames=30, frame_s=1.5)
STILL = CineOptions(breathing_mm=(0.0, 0.0), out_of_plane=0.0, frames=60, frame_s=0.8)


@pytest.fixture(scope="module")
def still():
    return make_cine(11, STILL.with_(residual="partial", viable_fraction=0.4))


@pytest.mark.parametrize("curve", [Lognormal.of(700.0, 18.0, 6.0, 0.55), GammaVariate.of(700.0, 18.0, 6.0, 2.4)])
def test_that_a_bolus_has_the_peak_area_and_transit_time_it_states(curve):
    times = np.arange(0, 3000, 0.01)
    power = curve.power(times)
    assert (power[times <= 6.0] == 0).all()
    assert times[power.argmax()] == pytest.approx(curve.ttp_s, abs=0.01)
    assert curve.ttp_s == pytest.approx(18.0)
    assert power.max() == pytest.approx(curve.peak, rel=1e-6)
    assert curve.peak == pytest.approx(700.0)
    assert np.trapezoid(power, times) == pytest.approx(curve.auc, rel=1e-4)
    assert np.trapezoid(power * (times - 6.0), times) / curve.auc == pytest.approx(curve.mtt_s, rel=2e-3)
    assert described(curve)["ttp_s"] == curve.ttp_s


def test_that_replenishment_starts_at_nothing_and_ends_at_its_plateau():
    curve = Replenishment(500.0, 0.3, 4.0)
    assert curve.power([3.9, 4.0, 4.0 + math.log(2) / 0.3, 100.0]) == pytest.approx([500.0, 0.0, 250.0, 500.0])
    assert NoContrast().power([1.0, 2.0]).tolist() == [0.0, 0.0]


def test_that_every_region_has_the_mean_linear_power_it_states(still):
    table = power_table(still.options.range_db).astype(float)
    for region, margin, within in (("reference", 2, 0.02), ("viable", 2, 0.06), ("vessel", 1, 0.06), ("ablated", 3, 0.15)):
        mask = still.truth.mask(region, margin)
        if region == "ablated":  # leak has its own still speckle, strong at the capsule
            mask = mask & still.truth.mask("node", 4)
        shown = table[still.levels][:, mask].mean(axis=1)
        ratio = shown / still.truth.power(mask, still.times_s)
        assert ratio.mean() == pytest.approx(1.0, abs=within), region


def test_that_the_speckle_of_the_bubbles_is_fully_developed_and_new_in_every_frame(still):
    mask = still.truth.mask("reference", 3)
    top = int(np.argmin(np.abs(still.times_s - still.truth.curves["reference"].ttp_s)))
    power = power_table(60.0)[still.levels[top]][mask].astype(float)
    assert power.std() / power.mean() == pytest.approx(1.0, abs=0.06)  # exponential
    pair = np.corrcoef(still.levels[top][mask], still.levels[top + 1][mask])[0, 1]
    assert abs(pair) < 0.1
    tissue = np.corrcoef(still.tissue[top][mask], still.tissue[top + 1][mask])[0, 1]
    assert tissue > 0.9  # the tissue keeps its own


def test_that_long_lived_bubbles_stay_from_frame_to_frame():
    cine = make_cine(2, STILL.with_(frames=40, bubble_life_s=5.0, residual="whole"))
    mask = cine.truth.mask("reference", 3)
    n = int(np.argmin(np.abs(cine.times_s - cine.truth.curves["reference"].ttp_s)))
    assert np.corrcoef(cine.levels[n][mask], cine.levels[n + 1][mask])[0, 1] > 0.6


def test_that_the_tissue_lies_where_the_matrices_say():
    cine = make_cine(7, CineOptions(frames=40, rotation_deg=2.0, out_of_plane=0.0))
    reference = cine.truth.motion.reference_frame
    assert cine.truth.motion.matrices[reference] == pytest.approx(np.array([[1.0, 0, 0], [0, 1.0, 0]]))
    moved = np.abs(cine.truth.motion.matrices[:, :, 2]).sum(axis=1)
    far = int(moved.argmax())
    assert moved[far] > 3.0
    y, x = np.mgrid[30:100, 30:130]
    at = np.stack([x, y, np.ones_like(x)], axis=-1) @ cine.truth.motion.matrices[far].T
    there = cine.tissue[far][np.rint(at[..., 1]).astype(int), np.rint(at[..., 0]).astype(int)]
    here = cine.tissue[reference][y, x]
    unmoved = np.corrcoef(here.ravel(), cine.tissue[far][y, x].ravel())[0, 1]
    assert np.corrcoef(here.ravel(), there.ravel())[0, 1] > 0.75 > unmoved + 0.15
    back = cine.truth.matrices_from(far)
    assert back[far] == pytest.approx(np.array([[1.0, 0, 0], [0, 1.0, 0]]), abs=1e-9)


def test_that_frames_beside_the_plane_show_another_section():
    cine = make_cine(3, CineOptions(out_of_plane=0.1, breathing_mm=(0.0, 0.0)))
    away = np.flatnonzero(~cine.truth.motion.in_plane)
    assert 1 <= away.size <= 9
    assert not cine.truth.accepted[away].any()
    reference = cine.tissue[cine.truth.motion.reference_frame].ravel().astype(float)
    alike = [np.corrcoef(reference, f.ravel())[0, 1] for f in cine.tissue]
    assert max(np.array(alike)[away]) < 0.6 < min(np.array(alike)[cine.truth.motion.in_plane])


@pytest.mark.parametrize("kind", ["none", "rim", "nodule", "partial", "whole"])
def test_that_what_is_left_of_the_node_is_as_asked(kind):
    truth = make_cine(5, SMALL.with_(residual=kind, viable_fraction=0.3, frames=12)).truth
    node, viable = truth.mask("node"), truth.mask("viable")
    assert not (viable & ~node).any()
    expected = {"none": 0.0, "rim": 0.0, "nodule": 0.3, "partial": 0.3, "whole": 1.0}[kind]
    assert truth.viable_fraction == pytest.approx(expected, abs=0.01)
    assert truth.viable_ml == pytest.approx(truth.viable_fraction * truth.node_ml)
    assert truth.mask("rim").any() == (kind == "rim")
    assert truth.mask("ablated").any() == (kind != "whole")


def test_that_a_flash_brightens_both_panes_and_empties_the_vessels():
    cine = make_cine(4, STILL.with_(flashes=1))
    first, last = cine.truth.flash_frames[0], cine.truth.flash_frames[-1]
    for pane in (cine.levels, cine.tissue):
        mean = pane.mean(axis=(1, 2))
        assert mean[first] > mean[first - 1] + 15
    before = cine.truth.contrast_power("reference", cine.times_s)
    assert before[last + 1] < 0.3 * before[first - 1]
    assert not cine.truth.accepted[list(cine.truth.flash_frames)].any()


def test_that_times_are_uneven_and_start_at_nothing():
    cine = make_cine(6, SMALL)
    assert cine.intervals_s[0] == 0
    assert len(set(cine.intervals_s[1:])) > 3
    assert cine.intervals_s.max() > 1.8 * SMALL.frame_s
    assert set(make_cine(6, SMALL.with_(irregular=False, frames=12)).intervals_s[1:]) == {1.5}


def test_that_too_much_gain_cuts_the_white_end_off():
    assert (make_cine(8, SMALL.with_(overgain_db=14.0)).levels == 255).mean() > 0.01
    assert (make_cine(8, SMALL).levels == 255).mean() < 0.001


def test_that_a_seed_repeats_and_another_one_does_not():
    one, two, other = make_cine(9, SMALL), make_cine(9, SMALL), make_cine(10, SMALL)
    assert (one.levels == two.levels).all()
    assert (one.tissue == two.tissue).all()
    assert (one.levels != other.levels).mean() > 0.5


def test_that_a_cine_can_be_stopped():
    token = CancelToken()
    token.cancel()
    with pytest.raises(Cancelled):
        make_cine(1, SMALL, JobContext(None, token))


@pytest.mark.parametrize("name", COLOUR_MAPS)
def test_that_the_levels_of_a_colour_map_can_be_told_apart(name):
    assert len(np.unique(colour_table(name), axis=0)) == 256


def test_that_a_raw_file_holds_the_levels_times_regions_and_agent(tmp_path):
    cine = make_cine(3, SMALL.with_(frames=12))
    cine.write_dicom(tmp_path / "c.dcm", range_tag=True)
    ds = pydicom.dcmread(tmp_path / "c.dcm")
    assert np.cumsum(ds.FrameTimeVector) / 1000 == pytest.approx(cine.times_s, abs=1e-4)
    assert ds.ContrastBolusAgent
    assert float(ds.DynamicRange) == 60
    assert [r.RegionDataType for r in ds.SequenceOfUltrasoundRegions] == [1, 1, 14]
    assert "SYNTHETIC" in ds.ImageComments
    read = read_cine(tmp_path / "c.dcm")
    box = cine.layout.contrast
    assert (read.read_frame(7)[box.y0 : box.y1 + 1, box.x0 : box.x1 + 1] == cine.levels[7]).all()
    assert (read.read_frame(7) == cine.cine().read_frame(7)).all()
    assert read.calibration == cine.cine().calibration


def test_that_a_compressed_coloured_file_shows_nearly_the_same(tmp_path):
    cine = make_cine(3, SMALL.with_(frames=12, colour_map="copper", layout="top_bottom"))
    cine.write_dicom(tmp_path / "c.dcm", "jpeg")
    read = read_cine(tmp_path / "c.dcm")
    shown, true = read.read_frame(5).astype(float), cine.picture(5).astype(float)
    assert shown.shape == true.shape
    assert np.abs(shown - true).mean() < 12
    assert pydicom.dcmread(tmp_path / "c.dcm").LossyImageCompression == "01"


def test_that_the_kernel_paints_as_its_slow_twin():
    rng = np.random.default_rng(1)
    rows, columns, oversample, margin = 14, 17, 2, 6
    noise = rng.standard_normal((2, rows, columns), dtype=np.float32)
    fine = rng.standard_normal((2, (rows + 2 * margin) * 2, (columns + 2 * margin) * 2), dtype=np.float32)
    power, leak, tissue = (rng.uniform(1, 5000, (rows, columns)).astype(np.float32) for _ in range(3))
    taps = gaussian_taps(0.6), gaussian_taps(1.1)
    inverse = np.array([[0.998, 0.06, 1.3], [-0.06, 0.998, -0.7]])
    contrast, bmode = np.empty((rows, columns), np.uint8), np.empty((rows, columns), np.uint8)
    expected = painted(noise, *taps, inverse, power, leak, tissue, fine, oversample, margin, 9.0, 4.0, (60.0, 50.0))
    paint_contrast_frame(
        noise.copy(), *taps, False, inverse, np.zeros((1, 1, 2), np.float32), power, leak, tissue, fine, oversample, margin, 9.0, 4.0, (60.0, 50.0), contrast, bmode
    )
    for made, true in zip((contrast, bmode), expected, strict=True):
        assert np.abs(made.astype(int) - true).max() <= 1
        assert (made != true).mean() < 0.02


def test_that_taps_keep_the_power_of_white_noise():
    assert (gaussian_taps(1.3).astype(float) ** 2).sum() == pytest.approx(1.0, abs=1e-6)
