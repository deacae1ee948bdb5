import numpy as np
import pydicom
import pytest

from tests.factories import STILL_BOX, ellipsoid_image, write_ellipsoid_ct, write_ultrasound_cine, write_ultrasound_still


def test_that_the_ellipsoid_picture_holds_its_volume():
    case = ellipsoid_image()
    counted = case.truth.array.sum() * case.truth.geometry.voxel_size_mm3 / 1000
    assert counted == pytest.approx(case.volume_ml, rel=0.02)
    assert case.image.array[case.truth.array].mean() > 60 > case.image.array[~case.truth.array].mean()


def test_that_a_written_series_lies_where_the_picture_says(tmp_path):
    case = write_ellipsoid_ct(tmp_path / "ct", shape=(8, 40, 40), spacing_mm=(0.7, 0.7, 2.5))
    files = sorted((pydicom.dcmread(f) for f in (tmp_path / "ct").iterdir()), key=lambda d: d.ImagePositionPatient[2])
    assert len(files) == 8
    for k, ds in enumerate(files):
        assert list(ds.ImagePositionPatient) == pytest.approx(case.image.geometry.index_to_world((0, 0, k)), abs=1e-3)
        assert np.array_equal(ds.pixel_array.astype(int) + ds.RescaleIntercept, case.image.array[k])


def test_that_stills_and_cines_carry_their_scale_and_times(tmp_path):
    still = pydicom.dcmread(write_ultrasound_still(tmp_path / "a.dcm"))
    region = still.SequenceOfUltrasoundRegions[0]
    assert (region.PhysicalDeltaX, region.PhysicalUnitsXDirection) == (pytest.approx(STILL_BOX.mm_per_pixel / 10), 3)
    dark = still.pixel_array[STILL_BOX.y0 : STILL_BOX.y1, STILL_BOX.x0 : STILL_BOX.x1] < 95
    assert dark.any(axis=0).sum() * STILL_BOX.mm_per_pixel >= 12.0
    cine = pydicom.dcmread(write_ultrasound_cine(tmp_path / "b.dcm"))
    assert list(cine.FrameTimeVector) == [0.0, 40.0, 45.0, 120.0, 40.0, 38.0]
    assert cine.pixel_array[:, 100, 100].tolist() == [20, 30, 40, 50, 60, 70]
