"""Surfaces for the 3D view. They are pictures, never the source of a volume."""

from __future__ import annotations

import numpy as np

from app.jobs import JobContext
from volumetry.geometry import ImageGeometry
from volumetry.image import ImageVolume
from volumetry.segmentation.editing import bounding_box

Surface = tuple[np.ndarray, np.ndarray]  # vertices (n, 3) float32 LPS mm, faces (m, 3) int64

SKIN_HU = -300.0
BONE_HU = 250.0
CONTEXT_SPACING_MM = 2.0


def iso_surface(array: np.ndarray, geometry: ImageGeometry, level: float) -> Surface:
    """Flying-edges surface of ``array[k, j, i]`` at ``level``, LPS mm; empty where there is none."""
    from vtkmodules.util.numpy_support import numpy_to_vtk, vtk_to_numpy
    from vtkmodules.vtkCommonDataModel import vtkImageData
    from vtkmodules.vtkFiltersCore import vtkFlyingEdges3D

    values = np.ascontiguousarray(array, dtype=np.float32)
    grid = vtkImageData()
    grid.SetDimensions(*values.shape[::-1])
    scalars = numpy_to_vtk(values.ravel(), deep=0)
    grid.GetPointData().SetScalars(scalars)
    edges = vtkFlyingEdges3D()
    edges.SetInputData(grid)
    edges.SetValue(0, float(level))
    edges.ComputeNormalsOff()
    edges.ComputeScalarsOff()
    edges.Update()
    out = edges.GetOutput()
    if out.GetNumberOfPoints() == 0:
        return np.empty((0, 3), np.float32), np.empty((0, 3), np.int64)
    index = vtk_to_numpy(out.GetPoints().GetData()).astype(np.float64)
    faces = vtk_to_numpy(out.GetPolys().GetConnectivityArray()).reshape(-1, 3).astype(np.int64)
    return geometry.index_to_world(index).astype(np.float32), faces


def mask_surface(array: np.ndarray, geometry: ImageGeometry) -> Surface:
    """Smooth-looking surface of a bool mask ``[k, j, i]``, cropped to the node first."""
    from scipy.ndimage import gaussian_filter

    box = bounding_box(array)
    if box is None:
        return np.empty((0, 3), np.float32), np.empty((0, 3), np.int64)
    pad = 3
    crop = np.pad(array[box].astype(np.float32), pad)
    corner = np.array([box[2].start - pad, box[1].start - pad, box[0].start - pad], float)
    affine = geometry.affine.copy()
    affine[:3, 3] = geometry.index_to_world(corner)
    return iso_surface(gaussian_filter(crop, 0.7), ImageGeometry(crop.shape, affine), 0.5)


def context_surfaces(image: ImageVolume, context: JobContext) -> dict[str, Surface]:
    """Skin and bone (with contrast-filled vessels) of a CT on a coarse grid; empty for other units."""
    from scipy.ndimage import uniform_filter

    if image.unit != "HU":
        return {}
    geometry = image.geometry
    context.report("Preparing the 3D view", 0.1)
    steps = [max(1, round(CONTEXT_SPACING_MM / s)) for s in geometry.spacing_mm]
    values = image.array.astype(np.float32)
    if max(steps) > 1:
        values = uniform_filter(values, size=steps[::-1], mode="nearest")
    values = np.ascontiguousarray(values[:: steps[2], :: steps[1], :: steps[0]])
    affine = geometry.affine.copy()
    affine[:3, :3] = affine[:3, :3] * np.array(steps, float)
    coarse = ImageGeometry(values.shape, affine)
    context.report("Preparing the 3D view", 0.5)
    surfaces = {"bone": largest_pieces(iso_surface(values, coarse, BONE_HU), 0.02)}
    context.report("Preparing the 3D view", 0.7)
    surfaces["skin"] = largest_pieces(iso_surface(values, coarse, SKIN_HU), 0.3)
    context.report("Preparing the 3D view", 1.0)
    return surfaces


def nearest_values(vertices: np.ndarray, points_mm: np.ndarray, values: np.ndarray) -> np.ndarray:
    """For each vertex the value of the nearest points (n, 3), the nearer the heavier: the points of two steps of a voxel
    surface would else lie across each other as stripes."""
    from scipy.spatial import cKDTree

    distance, at = cKDTree(points_mm).query(vertices, k=min(4, len(points_mm)))
    if at.ndim == 1:
        return values[at]
    weight = 1.0 / (distance + 0.2)
    return (values[at] * weight).sum(axis=1) / weight.sum(axis=1)


def largest_pieces(surface: Surface, least_part: float) -> Surface:
    """The surface without its crumbs: pieces smaller than this part of the largest one."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    vertices, faces = surface
    if len(faces) == 0:
        return surface
    ends = np.concatenate([faces[:, :2], faces[:, 1:]])
    graph = coo_matrix((np.ones(len(ends), np.uint8), (ends[:, 0], ends[:, 1])), shape=(len(vertices),) * 2)
    _, piece = connected_components(graph, directed=False)
    of_face = piece[faces[:, 0]]
    sizes = np.bincount(of_face, minlength=piece.max() + 1)
    keep = sizes >= least_part * sizes.max()
    faces = faces[keep[of_face]]
    used = np.zeros(len(vertices), bool)
    used[faces] = True
    new_number = np.cumsum(used) - 1
    return vertices[used], new_number[faces]
