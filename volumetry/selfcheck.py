"""Closed forms and published standards worked out on this machine: what ``nodus selftest`` runs.

Nothing is read from files. Each check gives ``(name, value, expected, tolerance)``; a check holds
where the difference is at most the tolerance (in the value's own unit).
"""

from __future__ import annotations

import math

import numpy as np

from volumetry.agreement import intraclass_correlations
from volumetry.ellipsoid import ellipsoid_volume_ml
from volumetry.geometry import ImageGeometry
from volumetry.mask import NodeMask
from volumetry.measure import measure_node
from volumetry.perfusion.selfcheck import perfusion_checks
from volumetry.response.vrr import volume_reduction_rate

Check = tuple[str, float, float, float]

# The six subjects and four judges of Shrout and Fleiss (1979), table 2.
SHROUT_FLEISS = ((9, 2, 5, 8), (6, 1, 3, 2), (8, 4, 6, 8), (7, 1, 2, 6), (10, 5, 6, 9), (6, 2, 4, 7))


def self_checks() -> list[Check]:
    """All checks of this package; well under three seconds."""
    return [*_cuboid(), *_ball(), *_tilted_ellipsoid(), *_one_voxel(), *_formulas(), *perfusion_checks()]


def _cuboid() -> list[Check]:
    """10 x 6 x 4 voxels of 0.5 x 0.8 x 1.5 mm. The 0.5 mesh of a box of a, b, c voxels cuts every
    edge by a prism of 1/8 voxel, less the corners: closed forms below."""
    n, s = (10, 6, 4), (0.5, 0.8, 1.5)
    array = np.zeros((8, 10, 14), bool)
    array[2:6, 2:8, 2:12] = True
    m = measure_node(NodeMask(array, ImageGeometry.from_spacing(array.shape, s)))
    a, b, c = n
    # edges of unit length lose 1/8 of a voxel each; a corner cell holds 1/48 of its octant's 1/8
    mesh = (a - 1) * (b - 1) * (c - 1) + (a - 1) * (b - 1) + (a - 1) * (c - 1) + (b - 1) * (c - 1)
    mesh += 4 * (a + b + c - 3) / 8 + 8 / 48
    variance = [(k * k - 1) / 12 * t * t for k, t in zip(n, s)]
    scale = math.prod(n) / (math.prod(n) - 1)
    major = 4 * math.sqrt(max(variance) * scale)
    size = [k * t for k, t in zip(n, s)]
    # between edge midpoints: full along one side of the picture plane, centre to centre on the other
    long_axis = max(math.hypot(size[0], size[1] - s[1]), math.hypot(size[0] - s[0], size[1]))
    return [
        ("cuboid, voxel volume mm3", m.voxel_volume_mm3, math.prod(size), 1e-9),
        ("cuboid, mesh volume mm3", m.mesh_volume_mm3, mesh * math.prod(s), 1e-9),
        ("cuboid, major axis mm", m.major_axis_mm, major, 1e-9),
        ("cuboid, long axis mm", m.long_axis_mm, long_axis, 1e-9),
        ("cuboid, centre x mm", m.centroid_mm[0], 6.5 * s[0], 1e-9),
    ]


def _inside(shape, spacing, rotation, semi) -> np.ndarray:
    grid = [(np.arange(n) - (n - 1) / 2 + 0.13) * s for n, s in zip(shape[::-1], spacing)]
    total = 0.0
    for row, r in zip(rotation, semi):
        total = total + ((row[0] * grid[0][None, None, :] + row[1] * grid[1][None, :, None] + row[2] * grid[2][:, None, None]) / r) ** 2
    return total <= 1


def _ball() -> list[Check]:
    shape, spacing, radius = (70, 70, 70), (0.5, 0.5, 0.5), 15.0
    m = measure_node(NodeMask(_inside(shape, spacing, np.eye(3), [radius] * 3), ImageGeometry.from_spacing(shape, spacing)))
    volume = 4 / 3 * math.pi * radius**3
    return [
        ("ball of 30 mm, voxel volume mm3", m.voxel_volume_mm3, volume, 0.003 * volume),
        ("ball of 30 mm, largest 3D diameter mm", m.max_3d_diameter_mm, 30.0, 0.5),
        ("ball of 30 mm, long axis mm", m.long_axis_mm, 30.0, 0.5),
        ("ball of 30 mm, short axis mm", m.short_axis_mm, 30.0, 0.6),
        ("ball of 30 mm, elongation", m.elongation, 1.0, 0.005),
    ]


def _tilted_ellipsoid() -> list[Check]:
    """24 x 16 x 10 mm, tilted, on slices of 1 mm: principal axes are 4/sqrt(5) of the half axes."""
    c, s = math.cos(0.6), math.sin(0.6)
    rotation = np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]]) @ np.array([[1, 0, 0], [0, c, s], [0, -s, c]])
    shape, spacing, axes = (40, 60, 60), (0.5, 0.5, 1.0), (24.0, 16.0, 10.0)
    m = measure_node(NodeMask(_inside(shape, spacing, rotation, [a / 2 for a in axes]), ImageGeometry.from_spacing(shape, spacing)))
    volume = math.pi / 6 * math.prod(axes) / 1000
    low, high = m.volume_interval_ml
    return [
        ("tilted ellipsoid, voxel volume ml", m.voxel_volume_ml, volume, 0.005 * volume),
        ("tilted ellipsoid, major axis mm", m.major_axis_mm, axes[0] * 2 / math.sqrt(5), 0.15),
        ("tilted ellipsoid, least axis mm", m.least_axis_mm, axes[2] * 2 / math.sqrt(5), 0.15),
        ("tilted ellipsoid, L mm", m.ellipsoid_axes_mm[0], axes[0], 0.6),
        ("tilted ellipsoid, interval holds the truth", float(low <= volume <= high), 1.0, 0.0),
    ]


def _one_voxel() -> list[Check]:
    """One voxel of 2 mm: its mesh is an octahedron of volume 8/6 and surface 4 sqrt(3)."""
    array = np.zeros((3, 3, 3), bool)
    array[1, 1, 1] = True
    m = measure_node(NodeMask(array, ImageGeometry.from_spacing(array.shape, (2.0, 2.0, 2.0))))
    return [
        ("one voxel, mesh volume mm3", m.mesh_volume_mm3, 8 / 6, 1e-12),
        ("one voxel, surface mm2", m.surface_area_mm2, 4 * math.sqrt(3), 1e-12),
        ("one voxel, convex hull volume mm3", m.convex_hull_volume_mm3, 8 / 6, 1e-9),
    ]


def _formulas() -> list[Check]:
    icc = intraclass_correlations(SHROUT_FLEISS)
    rate = volume_reduction_rate(2.0, 0.5, 10.0)
    return [
        ("ellipsoid 20 x 14 x 12 mm, ml", ellipsoid_volume_ml(20, 14, 12), math.pi / 6 * 3.36, 1e-12),
        ("VRR 2.0 to 0.5 ml, %", rate.vrr_pct, 75.0, 1e-12),
        ("VRR interval's half width, points", (rate.interval_pct[1] - rate.interval_pct[0]) / 2, 1.96 * math.sqrt(2) * 2.5, 1e-9),
        ("Shrout and Fleiss, ICC(1,1)", icc["ICC(1,1)"].value, 0.166, 5e-4),
        ("Shrout and Fleiss, ICC(2,1)", icc["ICC(2,1)"].value, 0.290, 5e-4),
        ("Shrout and Fleiss, ICC(3,1)", icc["ICC(3,1)"].value, 0.715, 5e-4),
        ("Shrout and Fleiss, ICC(2,k)", icc["ICC(2,k)"].value, 0.620, 5e-4),
    ]
