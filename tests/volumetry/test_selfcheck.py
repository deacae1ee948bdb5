"""What ``nodus selftest`` runs for this package."""

from __future__ import annotations

import time

import pytest

from volumetry.measure import warm_up
from volumetry.perfusion.warmup import warm_up as warm_up_perfusion
from volumetry.selfcheck import self_checks


def test_that_every_self_check_holds():
    checks = self_checks()
    assert len(checks) >= 20
    assert len({name for name, *_ in checks}) == len(checks)
    for name, value, expected, tolerance in checks:
        assert abs(value - expected) <= tolerance, name


def test_that_the_self_checks_are_quick():
    warm_up()
    warm_up_perfusion()
    start = time.perf_counter()
    self_checks()
    assert time.perf_counter() - start < 3.0


@pytest.mark.parametrize("name", ["cuboid", "ball", "tilted ellipsoid", "one voxel", "VRR", "Shrout and Fleiss", "lognormal", "speckle averaged in dB", "smooth rim"])
def test_that_closed_forms_and_standards_are_among_them(name):
    assert any(check[0].startswith(name) for check in self_checks())
