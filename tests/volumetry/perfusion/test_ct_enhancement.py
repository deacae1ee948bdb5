"""Enhancement on CT: pairs whose enhancing part is known, pairs of which nothing may be said, and a threshold alone."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from tests.volumetry.perfusion.ct_phantom import CT, make_pair
from volumetry.errors import NodusError
from volumetry.geometry import ImageGeometry
from volumetry.image import ImageVolume
from volumetry.mask import NodeMask
from volumetry.perfusion.ct_enhancement import CtEnhancement, enhancement_by_pair, enhancement_by_threshold
from volumetry.perfusion.rim_volume import sphere_directions, tell_rim_apart_3d

pair = cache(make_pair)


def assessed(made, **kwargs) -> CtEnhancement:
    return enhancement_by_pair(made.pre, made.post, made.node, made.registration, **kwargs)


@pytest.mark.parametrize(("kind", "grade", "share"), [("none", "0", 0.3), ("rim", "1", 0.3), ("nodule", "2", 0.25), ("partial", "3", 0.5), ("whole", "3", 1.0)])
def test_that_the_enhancing_part_is_measured_and_clean_nodes_and_rims_stay_clean(kind, grade, share):
    made = pair(3, kind, viable_share=share, noise_hu=8.0)
    found = assessed(made)
    assert found.grade == grade
    if kind in ("none", "rim"):
        assert (found.viable_ml, found.foci) == (0.0, 0)
    else:
        assert found.viable_ml == pytest.approx(made.viable_ml, rel=0.1)
        low, high = found.viable_interval_pct
        assert low <= found.viable_pct <= high
    assert (found.rim_mm is not None) == (kind == "rim")
    assert found.node_ml == pytest.approx(made.node_ml, rel=0.03)
    assert found.viable_ml + found.ablated_ml == pytest.approx(found.node_ml)
    assert not (found.viable.array & ~made.node.array).any()
    assert found.viable.geometry.same_grid(made.node.geometry)


def test_that_a_pair_that_is_not_brought_together_is_told():
    made = pair(3, "nodule", viable_share=0.25, noise_hu=8.0, shift_mm=(0.0, 0.0, 0.0), angle_deg=0.0)
    found = enhancement_by_pair(made.pre, made.post, made.node)
    assert "registration_unchecked" in {f.code for f in found.findings}
    assert found.viable_ml == pytest.approx(made.viable_ml, rel=0.1)


def test_that_two_pictures_without_contrast_between_them_are_not_evaluable():
    made = pair(3, "none", noise_hu=8.0)
    found = enhancement_by_pair(made.post, made.post, made.node)
    assert (found.grade, found.viable_ml, found.viable_pct) == ("NE", None, None)
    assert "no_enhancement" in {f.code for f in found.findings}


def test_that_pictures_turned_round_are_refused():
    made = pair(3, "whole", noise_hu=8.0)
    with pytest.raises(NodusError) as refused:
        enhancement_by_pair(made.post, made.pre, made.node, made.registration.inverse())
    assert refused.value.code == "phases_swapped"


def test_that_noise_raises_the_threshold_until_nothing_can_be_said():
    calm, loud, drowned = (pair(3, "none", noise_hu=hu) for hu in (4.0, 14.0, 30.0))
    assert assessed(calm).threshold_hu == 20.0
    raised = assessed(loud)
    assert raised.threshold_hu > 20.0
    assert "threshold_raised" in {f.code for f in raised.findings}
    assert raised.grade == "0"
    lost = assessed(drowned)
    assert lost.grade == "NE"
    assert "contrast_too_weak" in {f.code for f in lost.findings}


def test_that_the_map_is_the_rise_and_the_threshold_is_the_readers():
    made = pair(3, "whole", noise_hu=4.0)
    found = assessed(made)
    index = np.rint(found.map.geometry.world_to_index(np.zeros(3))).astype(int)
    assert found.map.array[tuple(index[::-1])] == pytest.approx(50.0, abs=8.0)
    assert assessed(made, threshold_hu=70.0 / 2).threshold_hu == 35.0
    for wrong in (float("nan"), None):
        with pytest.raises(NodusError) as refused:
            assessed(made, threshold_hu=wrong)
        assert refused.value.code == "threshold_missing"


def test_that_a_threshold_alone_counts_dense_tissue_and_says_so():
    made = pair(3, "partial", viable_share=0.5, noise_hu=4.0)
    found = enhancement_by_threshold(made.post, made.node, 63.0)
    assert found.viable_ml == pytest.approx(made.viable_ml, rel=0.15)
    assert (found.noise_hu, found.viable_interval_pct) == (None, None)
    assert [f.code for f in found.findings] == ["threshold_alone"]
    assert enhancement_by_threshold(made.post, made.node, 500.0).grade == "0"


def test_that_pictures_that_are_no_ct_or_do_not_hold_the_node_are_refused():
    made = pair(3, "none", noise_hu=4.0)
    mr = replace(made.post, source=replace(CT, modality="MR"))
    far = NodeMask(made.node.array.copy(), ImageGeometry(made.node.geometry.shape, made.node.geometry.affine + np.array([[0, 0, 0, 500.0]] * 3 + [[0, 0, 0, 0]])))
    empty = NodeMask(np.zeros(made.node.array.shape, bool), made.node.geometry)
    for changes, code in (({"post": mr}, "not_in_hu"), ({"node": far}, "outside_image"), ({"node": empty}, "empty_mask")):
        with pytest.raises(NodusError) as refused:
            assessed(replace(made, **changes))
        assert refused.value.code == code


def test_that_thick_slices_are_told():
    made = pair(3, "rim", spacing_mm=(0.6, 0.6, 2.5), noise_hu=6.0)
    found = assessed(made)
    assert "thick_slices" in {f.code for f in found.findings}
    assert found.viable_ml == 0.0


def ball(radius: float, centre=(0.0, 0.0, 0.0)) -> np.ndarray:
    grid = np.stack(np.mgrid[-12:13, -12:13, -12:13], axis=-1) * 0.5
    return np.linalg.norm(grid - centre, axis=-1) <= radius


def test_that_a_shell_is_a_rim_and_a_nodule_on_it_is_not():
    node = ball(5.0)
    shell = node & ~ball(3.8)
    told = tell_rim_apart_3d(shell, node, 0.5, 5.0)
    assert (told.foci, int(told.viable.sum())) == (0, 0)
    assert told.rim_mm == pytest.approx(1.2, abs=0.5)
    both = shell | (node & ball(2.0, (0.0, 0.0, 3.0)))
    told = tell_rim_apart_3d(both, node, 0.5, 5.0)
    assert told.foci == 1
    assert told.viable[12, 12, 16]
    assert told.rim[12, 12, 3]
    assert not (told.viable & told.rim).any()
    thick = tell_rim_apart_3d(node & ~ball(2.0), node, 0.5, 5.0)
    assert (thick.rim_mm, thick.foci) == (None, 1)
    assert tell_rim_apart_3d(np.zeros_like(node), node, 0.5, 5.0).rim_mm is None


def test_that_directions_cover_the_sphere_evenly():
    points = sphere_directions(240)
    assert np.linalg.norm(points, axis=1) == pytest.approx(np.ones(240))
    assert np.abs(points.mean(axis=0)).max() < 0.01
    nearest = np.sort(np.arccos(np.clip(points @ points.T, -1, 1)), axis=1)[:, 1]
    assert nearest.min() > 0.6 * np.sqrt(4 * np.pi / 240)


def test_that_an_unsmoothed_volume_of_other_kind_cannot_be_taken():
    made = pair(3, "none", noise_hu=4.0)
    other = ImageVolume(made.post.array.copy(), made.post.geometry, "SUV", made.post.source)
    with pytest.raises(NodusError) as refused:
        enhancement_by_threshold(other, made.node, 60.0)
    assert refused.value.code == "not_in_hu"
