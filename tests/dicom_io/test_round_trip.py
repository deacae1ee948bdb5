"""Every writer gives back every voxel: empty slices, overlaps, holes, oblique and tilted grids."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import highdicom as hd
import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dicom_io.ct import read_geometry, series_of_files
from dicom_io.masks import read_masks
from dicom_io.rtstruct_write import write_rtstruct
from dicom_io.seg_write import write_seg
from dicom_io.volume_files import write_volume
from tests.dicom_io.made import STAMP, ct_slice, save
from tests.dicom_io.made_enhanced import Frame, enhanced, item
from volumetry.geometry import ImageGeometry
from volumetry.mask import NodeMask

ROWS, COLUMNS = 9, 11
RUNS = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])


@st.composite
def grids(draw, *, sheared: bool = True):
    """Slices, spacing, an oblique rotation (any axis), a far origin, and a gantry tilt."""
    slices = draw(st.integers(2, 6))
    spacing = [draw(st.sampled_from([0.35, 0.488281, 0.9765625, 1.25, 3.27])) for _ in range(3)]
    turn = [draw(st.floats(-1.5, 1.5)) for _ in range(3)]
    tilt = draw(st.sampled_from([0.0, 0.0, 0.3])) if sheared else 0.0
    origin = [draw(st.floats(-900, 900).map(lambda v: round(v, 3))) for _ in range(3)]
    c, s = np.cos(turn), np.sin(turn)
    rotation = (
        np.array([[c[0], -s[0], 0], [s[0], c[0], 0], [0, 0, 1]])
        @ np.array([[c[1], 0, s[1]], [0, 1, 0], [-s[1], 0, c[1]]])
        @ np.array([[1, 0, 0], [0, c[2], -s[2]], [0, s[2], c[2]]])
    )
    affine = np.eye(4)
    affine[:3, :3] = rotation * spacing
    affine[:3, 2] += affine[:3, 1] * tilt
    affine[:3, 3] = origin
    return ImageGeometry((slices, ROWS, COLUMNS), affine)


def draw_masks(geometry: ImageGeometry, seed: int) -> list[NodeMask]:
    """Two random overlapping nodes with empty slices and holes, one single voxel, one empty node."""
    rng = np.random.default_rng(seed)
    speckle, block, dot, none = (np.zeros(geometry.shape, dtype=bool) for _ in range(4))
    speckle[:] = rng.random(geometry.shape) < 0.4
    speckle[rng.random(geometry.shape[0]) < 0.4] = False
    k = int(rng.integers(geometry.shape[0]))
    block[k:, 1:8, 2:10] = True
    block[k:, 3:6, 4:7] = False
    dot[int(rng.integers(geometry.shape[0])), -1, 0] = True
    return [NodeMask(speckle, geometry, 1, "a"), NodeMask(block, geometry, 2, "b"), NodeMask(dot, geometry, 3), NodeMask(none, geometry, 4, "gone")]


def single_files(geometry: ImageGeometry, folder: Path) -> list[Path]:
    """The grid as CT slices."""
    direction = geometry.direction
    orientation = (*direction[:, 0], *direction[:, 1])
    column_mm, row_mm, _ = geometry.spacing_mm
    out = []
    for k in range(geometry.shape[0]):
        ds = ct_slice(geometry.index_to_world((0, 0, k)), k + 1, orientation=orientation, pixel_spacing=(row_mm, column_mm), array=np.zeros((ROWS, COLUMNS), np.int16))
        ds.PatientID = ds.PatientName = "S1"
        out.append(save(ds, folder / f"{k}.dcm"))
    return out


def multi_file(geometry: ImageGeometry, folder: Path) -> list[Path]:
    """The grid as every other frame of one enhanced file; the frames between are another echo."""
    direction = geometry.direction
    orientation = (*direction[:, 0], *direction[:, 1])
    column_mm, row_mm, _ = geometry.spacing_mm
    empty = np.zeros((ROWS, COLUMNS), np.int16)
    frames = []
    for k in reversed(range(geometry.shape[0])):
        for echo in (2.0, 1.0):
            place = geometry.index_to_world((0, 0, k)) + (0 if echo == 1.0 else 0.03)
            frames.append(Frame(place, empty, orientation, macros={"MREchoSequence": item(EffectiveEchoTime=echo)}))
    return [save(enhanced(frames, pixel_spacing=(row_mm, column_mm)), folder / "multi.dcm")]


def came_back(masks: list[NodeMask], back: tuple[NodeMask, ...], *, tolerance_mm: float = 0.01) -> None:
    """Every voxel at its place in the patient, and of its size."""
    assert len(back) == len(masks)
    for mask, other in zip(masks, back, strict=True):
        placed = np.argwhere(other.array)[:, ::-1]
        found = mask.geometry.world_to_index(other.geometry.index_to_world(placed))
        assert np.abs(found - np.rint(found)).max(initial=0) * max(mask.geometry.spacing_mm) < tolerance_mm
        again = np.zeros_like(mask.array)
        again[tuple(np.rint(found).astype(int)[:, ::-1].T)] = True
        assert np.array_equal(again, mask.array)
        assert other.geometry.voxel_size_mm3 == pytest.approx(mask.geometry.voxel_size_mm3, rel=1e-5)


@pytest.fixture
def folder():
    made = Path(tempfile.mkdtemp(prefix="round-trip-"))
    yield made
    shutil.rmtree(made)


@pytest.mark.parametrize("source", [single_files, multi_file])
@given(geometry=grids(), seed=st.integers(0, 1 << 30))
@RUNS
def test_that_a_segmentation_gives_back_every_voxel(folder, source, geometry, seed):
    shutil.rmtree(folder)
    files = source(geometry, folder)
    grid = read_geometry(series_of_files(files, on_grid=geometry))
    # positions are printed with at most sixteen characters
    assert grid.same_grid(geometry, tolerance_mm=1e-3)
    masks = draw_masks(grid, seed)
    path = write_seg(masks, files, folder / "out.seg.dcm", STAMP)
    came_back(masks, read_masks(path))
    other = hd.seg.segread(path)
    volume = other.get_volume(combine_segments=False) if not grid.is_sheared else None
    if volume is not None:
        assert [int(volume.array[..., n].sum()) for n in range(4)] == [int(m.array.sum()) for m in masks]
        assert np.prod(volume.spacing) == pytest.approx(grid.voxel_size_mm3, rel=1e-5)


@pytest.mark.parametrize("source", [single_files, multi_file])
@given(geometry=grids(), seed=st.integers(0, 1 << 30))
@RUNS
def test_that_a_structure_set_gives_back_every_voxel(folder, source, geometry, seed):
    shutil.rmtree(folder)
    files = source(geometry, folder / "ct")
    grid = read_geometry(series_of_files(files, on_grid=geometry))
    masks = draw_masks(grid, seed)
    path = write_rtstruct(masks, files, folder / "out.rs.dcm", STAMP)
    if source is single_files:
        back = read_masks(path, image=folder / "ct")
        came_back(masks, back)
        assert [m.name for m in back] == ["a", "b", "node 3", "gone"]


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".mha", ".mhd"])
@given(geometry=grids(), seed=st.integers(0, 1 << 30))
@RUNS
def test_that_a_volume_file_gives_back_every_voxel(folder, suffix, geometry, seed):
    for mask in draw_masks(geometry, seed)[:3]:
        path = write_volume(mask, folder / f"out{suffix}")
        back = read_masks(path)
        came_back([mask] if mask.array.any() else [], back)
        assert back == () or back[0].label == mask.label
        if not geometry.is_sheared:
            image = sitk.ReadImage(str(path))
            assert int((sitk.GetArrayViewFromImage(image) != 0).sum()) == int(mask.array.sum())
            assert np.prod(image.GetSpacing()) == pytest.approx(geometry.voxel_size_mm3, rel=1e-5)


def test_that_positions_printed_to_a_tenth_of_a_millimetre_are_written_on_an_even_grid(tmp_path):
    for n in range(20):
        ds = ct_slice((0, 0, round(3.27 * n, 1)), n + 1)
        ds.PatientID = "S1"
        save(ds, tmp_path / "ct" / f"{n:02d}.dcm")
    files = sorted((tmp_path / "ct").iterdir())
    grid = read_geometry(series_of_files(files))
    array = np.zeros(grid.shape, dtype=bool)
    array[[2, 3, 9, 17], 2, 2] = True
    (back,) = read_masks(write_seg([NodeMask(array, grid)], files, tmp_path / "s.dcm", STAMP))
    came_back([NodeMask(array, grid)], (back,))


def test_that_two_far_slices_keep_the_distance_of_the_series_not_their_own(tmp_path):
    geometry = ImageGeometry.from_spacing((9, ROWS, COLUMNS), (0.5, 0.5, 1.5))
    files = single_files(geometry, tmp_path)
    array = np.zeros(geometry.shape, dtype=bool)
    array[[1, 7], 4, 4] = True
    (back,) = read_masks(write_seg([NodeMask(array, geometry)], files, tmp_path / "s.dcm", STAMP))
    assert back.geometry.voxel_size_mm3 == pytest.approx(0.5 * 0.5 * 1.5)
    assert int(back.array.sum()) == 2


def test_that_frames_of_a_multi_frame_file_are_named_by_their_true_numbers(tmp_path):
    geometry = ImageGeometry.from_spacing((3, ROWS, COLUMNS), (0.5, 0.5, 2.0))
    files = multi_file(geometry, tmp_path)
    array = np.zeros(geometry.shape, dtype=bool)
    array[1, 4, 4] = True
    path = write_seg([NodeMask(array, geometry)], files, tmp_path / "s.dcm", STAMP)
    ds = hd.seg.segread(path)
    (frame,) = ds.PerFrameFunctionalGroupsSequence
    source = frame.DerivationImageSequence[0].SourceImageSequence[0]
    # frames run from the top down, each place twice, the second of which is this echo
    assert source.ReferencedFrameNumber == 4
    assert [i.ReferencedSOPInstanceUID for i in ds.ReferencedSeriesSequence[0].ReferencedInstanceSequence] == [source.ReferencedSOPInstanceUID]
