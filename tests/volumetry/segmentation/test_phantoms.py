"""Random nodes that touch muscle and a bright vessel: overlap, bias, repeatability, leaks.

Acceptance: median Dice at least 0.88, click-to-click coefficient of variation at most 4 %, mean volume
error within 3 %, nothing beyond twice the drag radius. The program does far better; the tests hold
it to numbers near what it does, so that a loss is seen.
"""

from __future__ import annotations

import numpy as np
import pytest

from app.demo.phantoms import make_phantom
from volumetry.segmentation.star_convex import segment_node


def try_out(seeds, clicks, diameter_mm=(6.0, 22.0)):
    """Per phantom: median Dice, mean volume error %, CV % over jittered clicks, true ml."""
    rows = []
    for seed in seeds:
        rng = np.random.default_rng([7, seed])
        phantom = make_phantom(rng, diameter_mm=diameter_mm)
        overlap, volumes = [], []
        for _ in range(clicks):
            click = np.array(phantom.centre_mm) + rng.normal(0, 0.12 * phantom.radius_mm, 3)
            drag = phantom.radius_mm * rng.uniform(0.9, 1.35)
            result = segment_node(phantom.image, click, drag)
            assert np.linalg.norm(result.vertices_mm - click, axis=1).max() < 2 * drag
            mask = result.mask.array
            overlap.append(2 * (mask & phantom.truth).sum() / (mask.sum() + phantom.truth.sum()))
            volumes.append(result.volume_ml)
        rows.append(
            (np.median(overlap), 100 * (np.mean(volumes) / phantom.true_volume_ml - 1), 100 * np.std(volumes) / np.mean(volumes), phantom.true_volume_ml)
        )
    return np.array(rows)


@pytest.mark.slow
def test_that_one_click_outlines_twenty_four_random_nodes():
    dice, error_pct, cv_pct, true_ml = try_out(range(24), clicks=2).T
    assert np.median(dice) > 0.96
    assert dice.min() > 0.88
    assert abs(error_pct.mean()) < 3
    assert np.median(cv_pct) < 1
    assert np.sqrt((cv_pct**2).mean()) < 4
    off_ml = np.abs(error_pct) / 100 * true_ml
    assert (off_ml <= np.maximum(0.03 * true_ml, 0.02)).mean() > 0.95


@pytest.mark.long
@pytest.mark.timeout(3000)
def test_that_one_click_outlines_two_hundred_random_nodes(record_result):
    dice, error_pct, cv_pct, true_ml = try_out(range(100, 300), clicks=5, diameter_mm=(4.6, 28.0)).T
    cv = np.sqrt((cv_pct**2).mean())
    rows = [
        ("median Dice (goal at least 0.88)", f"{np.median(dice):.3f}"),
        ("lowest Dice of a phantom", f"{dice.min():.3f}"),
        ("mean volume error (goal within 3 %)", f"{error_pct.mean():+.2f} %"),
        ("mean volume error above 0.2 ml", f"{error_pct[true_ml > 0.2].mean():+.2f} %"),
        ("click-to-click coefficient of variation (goal at most 4 %)", f"{cv:.2f} %"),
        ("results beyond twice the drag radius", "0"),
    ]
    record_result("one_click", "One click on 200 random nodes, five jittered clicks each", "| what | figure |\n| --- | --- |\n" + "\n".join(f"| {a} | {b} |" for a, b in rows))
    assert np.median(dice) > 0.96
    assert abs(error_pct.mean()) < 3
    assert abs(error_pct[true_ml > 0.2].mean()) < 1.5
    assert cv < 4
