"""``nodus bench volumetry``: measuring eleven nodes against peers on the same mask, and what waits on it.

Every peer is asked for what it has; no peer gives all that is measured here. The peers' own way is
the fast one for them: label images as they come, or a crop made beforehand where they take one
node at a time.
"""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np

from app.usecases.bench_rows import Row, best_of, compare
from volumetry.geometry import ImageGeometry
from volumetry.kernels.scan import count_pieces, row_edges
from volumetry.mask import NodeMask
from volumetry.measure import NodeMeasurement, measure_labels, measure_node
from volumetry.node_numbers import laid_out, scan

TASK = "all measurements of eleven nodes of 5 to 60 mm, 512x512x300"
PASS = "voxel pass alone: count, box, first and second moments of the eleven nodes"
SPACING = (0.75, 0.75, 1.0)
OFTEN = 25  # our own calls are short: the best of many is the least disturbed


def mask_of_ellipsoids(shape=(300, 512, 512), spacing=SPACING) -> np.ndarray:
    """Labels 1 to 11 in one volume: ten ellipsoids of 5 to 30 mm and one of 60 mm, deterministic."""
    labels = np.zeros(shape, np.uint8)
    lengths = [*np.linspace(5.0, 30.0, 10), 60.0]
    for n, length in enumerate(lengths, start=1):
        half = length / 2 * np.array([1.0, 0.8, 0.7])
        # On a grid of places 60 mm apart the bodies never touch.
        centre = np.array([50.0 + 65.0 * ((n - 1) % 5), 60.0 + 90.0 * ((n - 1) // 5), 60.0 + 80.0 * ((n - 1) // 5)])
        low = np.maximum(((centre - length) / spacing).astype(int), 0)
        high = np.minimum(((centre + length) / spacing).astype(int) + 1, shape[::-1])
        x, y, z = (np.arange(low[a], high[a]) * spacing[a] - centre[a] for a in range(3))
        inside = (x[None, None, :] / half[0]) ** 2 + (y[None, :, None] / half[1]) ** 2 + (z[:, None, None] / half[2]) ** 2 <= 1
        view = labels[low[2] : high[2], low[1] : high[1], low[0] : high[0]]
        view[inside & (view == 0)] = n
    return labels


def bench_volumetry() -> list[Row]:
    """All rows: against peers, against the speed of memory, while brushing, one click, first use."""
    labels = mask_of_ellipsoids()
    geometry = ImageGeometry.from_spacing(labels.shape, SPACING)
    measure_labels(labels, geometry)
    ours_s, measured = best_of(lambda: measure_labels(labels, geometry), OFTEN)
    pass_s, table = best_of(lambda: scan(labels), OFTEN)
    return [
        *_against_simpleitk(labels, measured, ours_s),
        *_against_scikit_image(labels, measured, ours_s),
        *_against_cc3d(labels, measured, ours_s, table, pass_s),
        _against_pyradiomics(labels, measured, ours_s, table),
        *_against_memory(labels, pass_s),
        *_pieces(labels),
        *_brushing(labels, geometry),
        *_clicks(),
    ]


def _against_simpleitk(labels: np.ndarray, measured: tuple[NodeMeasurement, ...], ours_s: float) -> list[Row]:
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(labels)
    image.SetSpacing(SPACING)

    def work(feret: bool):
        statistics = sitk.LabelShapeStatisticsImageFilter()
        statistics.SetComputeFeretDiameter(feret)
        statistics.SetComputeOrientedBoundingBox(True)
        statistics.Execute(image)
        return {n: (statistics.GetNumberOfPixels(n), statistics.GetCentroid(n)) for n in statistics.GetLabels()}

    rows = []
    for feret, peer in ((True, "SimpleITK LabelShapeStatistics with Feret and oriented box (no mesh, no RECIST)"), (False, "SimpleITK LabelShapeStatistics with oriented box, without Feret")):
        peer_s, theirs = best_of(lambda feret=feret: work(feret), 3)
        same = {m.label: m.voxel_count for m in measured} == {n: count for n, (count, _) in theirs.items()}
        same = same and all(np.allclose(m.centroid_mm, theirs[m.label][1], atol=1e-6) for m in measured)
        rows.append(compare(TASK, ours_s, peer, peer_s, bool(same)))
    return rows


def _against_scikit_image(labels: np.ndarray, measured: tuple[NodeMeasurement, ...], ours_s: float) -> list[Row]:
    from skimage.measure import regionprops_table

    names = ("label", "area", "bbox", "centroid", "inertia_tensor")
    counts = [m.voxel_count for m in measured]
    peer_s, table = best_of(lambda: regionprops_table(labels, properties=names), 3)
    rows = [compare(TASK, ours_s, "scikit-image regionprops_table: area, box, centroid, inertia only", peer_s, table["area"].astype(int).tolist() == counts)]
    # Once: with the Feret diameter it takes seconds, and more than a gigabyte at 60 mm.
    peer_s, table = best_of(lambda: regionprops_table(labels, properties=(*names, "feret_diameter_max"), spacing=SPACING[::-1]), 1)
    # Its diameter is that of the mesh around the filled convex hull, ours that of the mesh of the node.
    same = np.allclose(table["feret_diameter_max"], [m.max_3d_diameter_mm for m in measured], rtol=1e-6)
    rows.append(compare(TASK, ours_s, "scikit-image regionprops_table with feret_diameter_max (of the filled hull: up to 2.5 % longer)", peer_s, bool(same)))
    return rows


def _against_cc3d(labels: np.ndarray, measured: tuple[NodeMeasurement, ...], ours_s: float, table: np.ndarray, pass_s: float) -> list[Row]:
    peer = "cc3d.statistics: count, box, centroid only"
    try:
        import cc3d
    except ImportError:
        return [compare(TASK, ours_s, peer + " (peer not installed)")]
    peer_s, theirs = best_of(lambda: cc3d.statistics(labels), 3)
    same = theirs["voxel_counts"].tolist()[1:] == [m.voxel_count for m in measured]
    ours = table[1 : len(measured) + 1]
    same_pass = same and np.allclose(theirs["centroids"][1:, ::-1], ours[:, 1:4] / ours[:, :1], atol=1e-3)
    return [compare(TASK, ours_s, peer, peer_s, bool(same)), compare(PASS, pass_s, peer, peer_s, bool(same_pass))]


def _against_pyradiomics(labels: np.ndarray, measured: tuple[NodeMeasurement, ...], ours_s: float, table: np.ndarray) -> Row:
    peer = "pyradiomics C core per node, cropped beforehand: mesh volume, surface, four diameters only"
    try:
        from radiomics import cShape
    except ImportError:
        return compare(TASK, ours_s, peer + " (peer not installed)")
    crops = []
    for m in measured:
        k0, k1, j0, j1, i0, i1 = table[m.label, 10:].tolist()
        crops.append(np.pad(labels[k0:k1, j0:j1, i0:i1] == m.label, 1))
    spacing = np.array(SPACING[::-1])
    peer_s, theirs = best_of(lambda: [cShape.calculate_coefficients(crop, spacing) for crop in crops], 3)
    same = all(
        np.allclose((surface, volume, diameters[3]), (m.surface_area_mm2, m.mesh_volume_mm3, m.max_3d_diameter_mm), rtol=1e-6)
        for m, (surface, volume, diameters) in zip(measured, theirs, strict=True)
    )
    return compare(TASK, ours_s, peer, peer_s, same)


def _against_memory(labels: np.ndarray, pass_s: float) -> list[Row]:
    words = labels.view(np.uint64)
    read_s, _ = best_of(lambda: int(words.sum()), OFTEN)
    wide = labels.astype(np.uint16)
    scan(wide)
    wide_s, _ = best_of(lambda: scan(wide), OFTEN)
    wide_words = wide.view(np.uint64)
    read_wide_s, _ = best_of(lambda: int(wide_words.sum()), OFTEN)
    return [
        compare(PASS, pass_s, "one plain read of the mask (numpy sum of 8-byte words, one thread)", read_s),
        compare(PASS + ", 16-bit labels", wide_s, "one plain read of that mask", read_wide_s),
    ]


def _pieces(labels: np.ndarray) -> list[Row]:
    """Counting separate pieces: few nodes in a large picture, and dense blobs filling half of one."""
    try:
        import cc3d
    except ImportError:
        cc3d = None
    from scipy.ndimage import gaussian_filter

    noise = gaussian_filter(np.random.default_rng(7).standard_normal((150, 256, 256)), 2.0)
    rows = []
    for text, mask in (("eleven nodes in 512x512x300", labels != 0), ("blobs filling half of 256x256x150", noise > 0)):
        mask = mask.view(np.uint8)
        box = np.array([0, mask.shape[0], 0, mask.shape[1], 0, mask.shape[2]])

        def ours(mask=mask, box=box):
            starts, edges = row_edges(*laid_out(mask), 1, box)
            return count_pieces(starts, edges, mask.shape[0], mask.shape[1])

        ours_s, count = best_of(ours)
        task, peer = f"separate pieces (26 neighbours), {text}: their number", "cc3d.connected_components (also labels every voxel)"
        if cc3d is None:
            rows.append(compare(task, ours_s, peer + " (peer not installed)"))
            continue
        peer_s, (_, theirs) = best_of(lambda mask=mask: cc3d.connected_components(mask, connectivity=26, return_N=True), 3)
        rows.append(compare(task, ours_s, peer, peer_s, int(count) == int(theirs)))
    return rows


def _brushing(labels: np.ndarray, geometry: ImageGeometry) -> list[Row]:
    """A 30 mm node in the large picture, and one at 0.5 mm as the brush hands it over."""
    from app.usecases.mask_draft import MaskDraft

    thirty_mm = NodeMask(labels == 10, geometry, label=10)
    one_s, _ = best_of(lambda: measure_node(thirty_mm), OFTEN)
    k, j, i = (np.arange(-36, 37) * 0.5 for _ in range(3))
    ball = (i[None, None, :] / 15.0) ** 2 + (j[None, :, None] / 12.0) ** 2 + (k[:, None, None] / 10.5) ** 2 <= 1
    array = np.zeros((300, 512, 512), bool)
    box = (slice(100, 173), slice(200, 273), slice(220, 293))
    array[box] = ball
    fine = NodeMask(array, ImageGeometry.from_spacing(array.shape, (0.5, 0.5, 0.5)))
    draft = MaskDraft(fine.geometry, fine)
    brush_s, _ = best_of(lambda: measure_node(draft.mask_in_stroke()()), OFTEN)
    small = NodeMask(np.pad(ball, 8), ImageGeometry.from_spacing(tuple(n + 16 for n in ball.shape), (0.5, 0.5, 0.5)))
    small_s, _ = best_of(lambda: measure_node(small), OFTEN)
    return [
        compare("measurement of one 30 mm node at 0.75 mm, 512x512x300", one_s),
        compare("one update while brushing: copy and measurement of a 30 mm node at 0.5 mm, 512x512x300", brush_s),
        compare("measurement of a 30 mm node at 0.5 mm in a picture of its own", small_s),
    ]


def _clicks() -> list[Row]:
    from app.demo.phantoms import make_phantom
    from volumetry.segmentation.star_convex import segment_node

    phantom = make_phantom(np.random.default_rng(3), spacing_mm=(0.7, 0.7, 1.25))
    volume, centre, radius = phantom.image, phantom.centre_mm, phantom.radius_mm
    segment_node(volume, centre, radius)
    click_s, _ = best_of(lambda: segment_node(volume, centre, radius))
    rows = [compare("one click to an outlined node (CT 0.7 x 0.7 x 1.25 mm)", click_s)]
    _first_use()  # fills the cache where a kernel was never compiled on this machine
    for how, text in (("prepared", "after the background preparation"), ("", "without it")):
        runs = [_first_use(how) for _ in range(3)]
        best = {key: min(run[key] for run in runs) for key in runs[0]}
        if "warm_up_s" in best:
            rows.append(compare("preparation in the background at the start, kernels from the cache", best["warm_up_s"]))
        rows.append(compare(f"first measurement of a fresh process, {text}", best["measure_s"]))
        rows.append(compare(f"first click of a fresh process, {text}", best["click_s"]))
    return rows


def _first_use(*how: str) -> dict[str, float]:
    out = subprocess.run([sys.executable, "-m", "app.usecases.bench_first_use", *how], check=True, capture_output=True, text=True)
    return json.loads(out.stdout)
