"""Where needles start: parallel, spaced, centred on the node, clear of what must not be pierced."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from app.usecases.needle_start import suggest_needles
from app.usecases.plan import PlanDraft, draft_to_plan, exposed_midpoint_mm
from volumetry.errors import NodusError
from volumetry.geometry import ImageGeometry
from volumetry.image import ImageVolume
from volumetry.mask import NodeMask

GRID = ImageGeometry.from_spacing((40, 60, 60), (2.0, 2.0, 2.0), (-60.0, -60.0, 0.0))
CENTRE = np.array([25.0, -5.0, 39.0])


def points() -> np.ndarray:
    k, j, i = np.indices(GRID.shape)
    return GRID.index_to_world(np.stack([i, j, k], -1))


def node() -> NodeMask:
    return NodeMask(np.linalg.norm(points() - CENTRE, axis=-1) <= 8.0, GRID)


def neck() -> ImageVolume:
    """A cylinder of soft tissue along z in air."""
    p = points()
    return ImageVolume(np.where(np.hypot(p[..., 0], p[..., 1]) < 50.0, 40, -1000).astype(np.int16), GRID)


@pytest.mark.parametrize("image", [None, neck()])
@pytest.mark.parametrize("count", [2, 3, 4, 5, 6])
def test_that_needles_are_parallel_evenly_spaced_and_centred_on_the_node(count, image):
    mask = node()
    needles = suggest_needles(mask, count, spacing_mm=14.0, exposure_mm=18.0, image=image)
    assert [n.id for n in needles] == [f"E{n + 1}" for n in range(count)]
    directions = np.array([np.subtract(n.entry_mm, n.tip_mm) / np.linalg.norm(np.subtract(n.entry_mm, n.tip_mm)) for n in needles])
    assert np.abs(directions @ directions.T - 1).max() < 1e-9
    middles = np.array([exposed_midpoint_mm(n) for n in needles])
    inside = GRID.index_to_world(np.argwhere(mask.array)[:, ::-1].mean(0))
    assert middles.mean(0) == pytest.approx(inside, abs=1e-6)
    gaps = [float(np.linalg.norm(a - b)) for a, b in itertools.combinations(middles, 2)]
    assert min(gaps) == pytest.approx(14.0, rel=1e-6)
    assert all(abs(d @ (m - inside)) < 1e-6 for d, m in zip(directions, middles, strict=True))  # side by side
    assert all(n.exposure_mm == 18.0 for n in needles)


def test_that_entries_lie_on_the_skin_where_the_picture_shows_it():
    for n in suggest_needles(node(), 4, image=neck()):
        assert np.hypot(*n.entry_mm[:2]) == pytest.approx(50.0, abs=3.0)


def test_that_a_vessel_on_the_way_is_passed_by():
    free = suggest_needles(node(), 2, image=neck())
    up = np.subtract(free[0].entry_mm, free[0].tip_mm)
    # A vessel laid right across the first way in, between node and skin.
    p = points()
    on_way = np.mean([np.asarray(n.tip_mm) + 0.7 * up for n in free], axis=0)
    vessel = NodeMask((np.hypot(p[..., 0] - on_way[0], p[..., 1] - on_way[1]) < 6.0) & ~node().array, GRID)
    around = suggest_needles(node(), 2, image=neck(), at_risk=(vessel,))
    inside = GRID.index_to_world(np.argwhere(vessel.array)[:, ::-1])
    for n in around:
        along = np.asarray(n.tip_mm) + np.linspace(0, 1, 80)[:, None] * np.subtract(n.entry_mm, n.tip_mm)
        assert np.linalg.norm(along[:, None] - inside[None], axis=-1).min() > 2.0


def test_that_what_is_suggested_is_a_plan_that_can_be_solved():
    mask = node()
    draft = PlanDraft(targets=(("N1", mask, "node"),))
    for needle in suggest_needles(mask, 4, image=neck()):
        draft = draft.with_needle(needle)
    assert len(draft_to_plan(draft).pulses) == 6


@pytest.mark.parametrize(("count", "mask", "code"), [(1, node(), "needle_count"), (7, node(), "needle_count"), (2, replace(node(), array=np.zeros(GRID.shape, bool)), "no_target")])
def test_that_too_few_too_many_or_no_target_is_refused(count, mask, code):
    with pytest.raises(NodusError) as refused:
        suggest_needles(mask, count)
    assert refused.value.code == code
