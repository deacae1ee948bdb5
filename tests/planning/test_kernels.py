"""Each kernel against its slow twin."""

from __future__ import annotations

import numpy as np
import pytest

from planning.field.grid import FieldGrid
from planning.field.multigrid import Hierarchy
from planning.field.nonlinear import onsets_of
from planning.field.problem import ProblemParts, with_interfaces
from planning.kernels import conductivity as kc
from planning.kernels import multigrid as km
from planning.kernels import sampling as ks
from planning.kernels import smoother
from planning.tissue import Conductivity
from tests.reference import field_twins as twin


@pytest.fixture
def system():
    """A small heterogeneous operator with holes and an odd shape, and couplings at two places."""
    rng = np.random.default_rng(7)
    shape = (13, 10, 17)
    sigma = np.zeros(shape, np.float32)
    sigma[1:-1, 1:-1, 1:-1] = rng.uniform(0.05, 2.0, tuple(n - 2 for n in shape))
    sigma[4:6, 3:6, 7:9] = 0.0
    wx, wy, wz = (np.zeros(shape, np.float32) for _ in range(3))
    kc.face_weights(sigma, wx, wy, wz)
    cells = np.array([np.ravel_multi_index(c, shape) for c in ((2, 2, 2), (2, 3, 2), (10, 8, 14))], np.int64)
    weights = np.array([2.0, 1.0, 3.0], np.float32)
    return sigma, wx, wy, wz, cells, weights


def test_that_face_weights_are_harmonic_means(system):
    sigma, wx, wy, wz, _, _ = system
    for got, want in zip((wx, wy, wz), twin.harmonic_weights(sigma), strict=True):
        assert np.abs(got - want).max() < 1e-5


@pytest.mark.parametrize(("shape", "blocks"), [((11, 8, 15), None), ((40, 5, 6), None), ((40, 5, 6), 2), ((33, 4, 7), 2), ((50, 4, 5), 3)])
def test_that_all_sweeps_of_a_level_agree_with_loops_one_after_another(shape, blocks):
    """Blocks and wedges read what sweeps made one by one would read, also on odd grids with holes."""
    rng = np.random.default_rng(3)
    inner, padded = (slice(1, -1),) * 3, tuple(n + 2 for n in shape)
    sigma, f, di, u, *w = (np.zeros(padded, np.float32) for _ in range(7))
    sigma[inner], f[inner], u[inner] = rng.uniform(0.05, 2.0, shape), rng.normal(size=shape), 7.0
    sigma[3:5, 2:4, 3:5] = 0.0
    kc.face_weights(sigma, *w)
    km.inverse_diagonal(*w, di)
    f[di == 0] = 0.0
    coarse = tuple((n + 1) // 2 + 2 for n in shape)
    coarse_f, coarse_u = np.zeros(coarse, np.float32), rng.normal(size=coarse).astype(np.float32)
    down = (u, f, di, *w, coarse_f)
    smoother.smooth_down(*down) if blocks is None else smoother._smooth_down_blocks(*down, blocks)
    want = np.zeros(padded)
    for colour in (0, 1, 0, 1):
        want = twin.half_sweep(want, f, di, *w, colour)
    assert np.abs(u - want)[inner].max() < 1e-5
    assert np.abs(coarse_f - twin.restricted_residual(want, f, di, *w)).max() < 1e-4
    want = u + np.where(di > 0, twin.prolonged(coarse_u, padded), 0.0)
    for colour in (1, 0, 1, 0):
        want = twin.half_sweep(want, f, di, *w, colour)
    up = (u, f, di, *w, coarse_u)
    smoother.smooth_up(*up) if blocks is None else smoother._smooth_up_blocks(*up, blocks)
    assert np.abs(u - want)[inner].max() < 1e-5


def test_that_the_residual_and_the_energy_agree_with_the_matrix(system):
    _, wx, wy, wz, cells, weights = system
    rng = np.random.default_rng(4)
    u = np.zeros(wx.shape)
    u[1:-1, 1:-1, 1:-1] = rng.normal(size=tuple(n - 2 for n in wx.shape))
    r = np.zeros(wx.shape, np.float32)
    km.flux_residual(u, wx, wy, wz, r)
    assert np.abs(r[1:-1, 1:-1, 1:-1] - twin.residual(u, wx, wy, wz)).max() < 1e-4
    a = twin.assemble(wx, wy, wz, cells, weights)
    p = u.astype(np.float32)
    got = km.face_energy(p, wx, wy, wz) + km.coupling_energy(p, cells, weights, np.zeros(cells.size))
    assert got == pytest.approx(u.ravel() @ (a @ u.ravel()), rel=1e-5)


def test_that_one_cycle_is_a_symmetric_positive_preconditioner(system):
    _, wx, wy, wz, cells, weights = system
    h = Hierarchy(tuple(n - 2 for n in wx.shape))
    di = np.zeros(wx.shape, np.float32)
    h.rebuild(wx, wy, wz, di, cells, weights)
    rng = np.random.default_rng(5)
    a, b, za, zb = (np.zeros(wx.shape, np.float32) for _ in range(4))
    for r in (a, b):
        r[1:-1, 1:-1, 1:-1] = rng.normal(size=tuple(n - 2 for n in wx.shape))
        r[di == 0] = 0
    h.precondition(a, za)
    h.precondition(b, zb)
    left, right = float((za.astype(float) * b).sum()), float((zb.astype(float) * a).sum())
    assert left == pytest.approx(right, rel=1e-4)
    assert float((za.astype(float) * a).sum()) > 0


def test_that_a_conductivity_law_and_its_slope_agree_with_the_value_class():
    for law in (Conductivity("ramp", 0.1, 0.4, 300, 700), Conductivity("sigmoid", 0.067, 0.241, 460, 700)):
        rows = np.array([law.law_row()], np.float32)
        for e in (0.0, 310.0, 500.0, 650.0, 2000.0):
            assert kc.conductivity_at(rows, 0, np.float32(e)) == pytest.approx(float(law.at(e)), rel=1e-5)
            want = (law.at(e + 0.5) - law.at(e - 0.5)) / 1.0
            assert kc.conductivity_slope_at(rows, 0, np.float32(e)) == pytest.approx(float(want), rel=2e-2, abs=1e-9)


def test_that_a_fitted_face_carries_the_flux_of_a_line_source():
    needle = np.array([-3.87, -2.21, -20.0, 0.2, 0.1, 1.0, 0.5, 60.0])
    needle[3:6] /= np.linalg.norm(needle[3:6])
    grid = FieldGrid.around((0, 0, 0), (10, 10, 10), 0.5)
    parts = ProblemParts.on(grid, 0, [(0, 1, 1, 0, 1)])
    parts.add_needles(needle[None])
    axis, cell, factor = parts.faces[0]
    assert len(axis) > 500
    strides = (1, 22, 22 * 22)
    for n in range(0, len(axis), 97):
        k, j, i = np.unravel_index(cell[n], grid.padded_shape)
        upper = np.array(grid.origin_mm) + 0.5 * (np.array([i, j, k]) - 1)
        lower = upper.copy()
        lower[axis[n]] -= 0.5
        want = twin.line_source_factor(0.5 * (upper + lower), int(axis[n]), (lower, upper), needle, 0.5)
        assert factor[n] == pytest.approx(np.clip(want, 0.2, 30.0), rel=0.03), strides


def test_that_every_metal_cell_is_inside_the_needle_and_no_other():
    needle = np.array([[0.1, 0.2, -3.3, 0.0, 0.6, 0.8, 0.7, 5.0]])
    grid = FieldGrid.around((0, 0, 0), (12, 12, 12), 0.5)
    parts = ProblemParts.on(grid, 0, [(0, 1, 1, 0, 1)])
    parts.add_needles(needle)
    x, y, z = (grid.axis_mm(n) for n in range(3))
    zz, yy, xx = np.meshgrid(z, y, x, indexing="ij")
    d = np.stack([xx, yy, zz], -1) - needle[0, :3]
    s = d @ needle[0, 3:6]
    r = np.sqrt((d**2).sum(-1) - s**2)
    want = np.where((s >= 0) & (r < 0.7), np.where(s <= 5.0, kc.METAL, kc.SHAFT), 0)
    assert (parts.label[1:-1, 1:-1, 1:-1] == want).all()
    assert parts.metal[0][0].size == (want == kc.METAL).sum()


def test_that_sub_points_are_trilinear_and_counted_right():
    rng = np.random.default_rng(11)
    e = rng.uniform(100, 900, (5, 6, 7)).astype(np.float32)
    out = np.empty(64)
    for where in ((2, 3, 4), (0, 0, 0), (4, 5, 6)):
        ks.sub_values(e, *where, out)
        assert np.abs(out.reshape(4, 4, 4) - twin.trilinear(e, *where)).max() < 1e-3
    bits = np.full(e.shape, ks.ALL, np.uint64)
    bits[1, 2, 3] = np.uint64(0b1011)
    counts = np.zeros((e.shape[0], 2), np.int64)
    ks.count_above(e, bits, 0, 0, 0, np.array([500.0, 50.0]), counts)
    want = 0
    for k, j, i in np.ndindex(e.shape):
        v = twin.trilinear(e, k, j, i).ravel()
        keep = np.array([(int(bits[k, j, i]) >> n) & 1 for n in range(64)], bool)
        want += int((v[keep] >= 500).sum())
    assert counts.sum(axis=0)[0] == want
    assert counts.sum(axis=0)[1] == 64 * (e.size - 1) + 3 == ks.count_bits(bits)


def test_that_needle_voxels_share_the_needles_volume():
    rows = np.array([[0.05, 0.11, -4.0, 0.0, 0.0, 1.0, 0.6, 3.0]])
    empty = np.zeros(0, np.int64), np.zeros(0, np.uint64)
    shape, origin, h = (20, 12, 12), np.array([-2.75, -2.75, -4.75]), 0.5
    n = ks.needle_bits(rows, origin, h, shape, *empty, 0)
    cells, bits = np.zeros(n, np.int64), np.zeros(n, np.uint64)
    ks.needle_bits(rows, origin, h, shape, cells, bits, 0)
    volume = ks.count_bits(bits.reshape(1, 1, -1)) / 64 * h**3
    assert volume == pytest.approx(np.pi * 0.36 * 9.0, rel=0.03)


def test_that_fill_gives_metal_the_maximum_and_the_shaft_the_mean():
    e = np.full((3, 3, 3), 5.0, np.float32)
    label = np.zeros((3, 3, 3), np.uint8)
    e[1, 1, 0] = 80.0
    label[1, 1, 1] = kc.METAL
    ks.fill_needles(e, label, kc.FIRST_NEEDLE_LABEL, kc.METAL)
    assert e[1, 1, 1] == 80.0
    label[1, 1, 1] = kc.SHAFT
    ks.fill_needles(e, label, kc.FIRST_NEEDLE_LABEL, kc.METAL)
    assert e[1, 1, 1] == pytest.approx((25 * 5 + 80) / 26)


@pytest.mark.parametrize("law", [Conductivity("ramp", 0.1, 0.4, 300, 700), Conductivity("sigmoid", 0.067, 0.241, 460, 700)])
def test_that_field_conductivity_and_curvature_agree_with_numpy(law):
    rng = np.random.default_rng(9)
    u, p = rng.normal(0, 25, (9, 10, 11)), rng.normal(0, 1, (9, 10, 11)).astype(np.float32)
    label, special = np.zeros(u.shape, np.uint8), np.zeros(u.shape, np.uint8)
    rows = np.array([law.law_row()], np.float32)
    floor = np.full(u.shape, 0.12, np.float32)
    scale = 5.0 / 0.5
    e = np.sqrt((twin.central_slopes(u, scale) ** 2).sum(0))
    assert e.min() < 450 < 700 < e.max()
    sigma = np.zeros(u.shape, np.float32)
    onset = np.empty(u.shape[:2], np.float32)
    kc.row_onsets(label, onsets_of(rows), onset)
    kc.tissue_conductivity(u, label, rows, floor, False, scale, onset, sigma)
    assert sigma[1:-1, 1:-1, 1:-1] == pytest.approx(law.at(e), rel=1e-4)
    kc.tissue_conductivity(u, label, rows, floor, True, scale, onset, sigma)
    assert sigma[1:-1, 1:-1, 1:-1] == pytest.approx(np.maximum(law.at(e), 0.12), rel=1e-4)
    want = twin.curvature(u, p.astype(float), law, scale)
    assert kc.curvature(u, p, label, special, rows, floor, False, scale, onset) == pytest.approx(want, rel=1e-2)
    inner = np.ravel_multi_index(tuple(n.ravel() + 1 for n in np.indices(tuple(s - 2 for s in u.shape))), u.shape).astype(np.int64)
    ones = np.ones((inner.size, 6), np.float32)
    assert kc.special_curvature(u, p, label, rows, floor, False, scale, inner, ones) == pytest.approx(want, rel=1e-2)
    special[:] = 1
    assert kc.curvature(u, p, label, special, rows, floor, False, scale, onset) == 0.0
    again = np.zeros_like(sigma)
    kc.special_conductivity(u, label, rows, floor, True, scale, inner, ones, again)
    assert again[1:-1, 1:-1, 1:-1] == pytest.approx(sigma[1:-1, 1:-1, 1:-1], rel=1e-4)


def test_that_field_strength_is_of_fourth_order_in_one_tissue_and_second_at_its_edge():
    k, j, i = np.indices((14, 14, 14)).astype(float)
    u = 3.0 * i + 0.02 * i**3 - 2.0 * j + 0.5 * k
    label = np.zeros(u.shape, np.uint8)
    e = np.zeros(u.shape, np.float32)
    kc.field_strength(u, label, 10.0, e)
    want = 20.0 * np.sqrt((3.0 + 0.06 * i**2) ** 2 + 4.0 + 0.25)
    assert e[3:11, 3:11, 3:11] == pytest.approx(want[3:11, 3:11, 3:11], rel=1e-5)
    label[:, :, 8:] = 1
    kc.field_strength(u, label, 10.0, e)
    second = 20.0 * np.sqrt((3.0 + 0.06 * 7**2 + 0.02) ** 2 + 4.0 + 0.25)
    assert e[6, 6, 7] == pytest.approx(second, rel=1e-5)


def test_that_cells_at_interfaces_are_found_and_weighted_as_by_whole_arrays():
    rng = np.random.default_rng(5)
    label = np.full((9, 11, 10), kc.SHAFT, np.uint8)
    label[1:-1, 1:-1, 1:-1] = np.where(rng.random((7, 9, 8)) < 0.3, rng.integers(0, 4, (7, 9, 8)), 1)
    label[3:6, 4, 4] = kc.METAL
    law = np.array([[0, s, s, 0, 1] for s in (0.2, 0.7, 0.0, 0.05)], np.float32)
    tissue = np.flatnonzero(label < kc.FIRST_NEEDLE_LABEL)
    near = np.sort(rng.choice(tissue, 60, replace=False)).astype(np.int64)
    factors = rng.uniform(0.5, 2, (60, 6)).astype(np.float32)
    cells, got, flag = with_interfaces(label, law, near, factors)
    want_cells, want = twin.merge_interfaces(label, law, near, factors)
    order = np.argsort(want_cells)
    assert np.array_equal(cells, want_cells[order])
    assert np.abs(got - want[order]).max() < 1e-6
    assert np.array_equal(np.flatnonzero(flag), cells)
    assert flag.max() == 1


def test_that_a_bank_of_arrays_is_dotted_and_added_as_one_by_one():
    rng = np.random.default_rng(7)
    bank = rng.standard_normal((4, 8, 9, 10)).astype(np.float32)
    r, z, p = rng.standard_normal((3, 8, 9, 10)).astype(np.float32)
    which, amounts, inner = np.array([3, 1]), np.array([0.7, -1.3]), (slice(1, -1),) * 3
    want = [float((bank[n][inner].astype(float) * r[inner]).sum()) for n in which]
    assert km.bank_dots(bank, which, r) == pytest.approx(want, rel=1e-5)
    new = p.copy()
    km.direction_with_bank(new, z, 0.4, bank, which, amounts)
    assert np.abs(new - (z + 0.4 * p + 0.7 * bank[3] - 1.3 * bank[1]))[inner].max() < 1e-5
