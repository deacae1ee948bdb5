"""Small made-up inputs with known answers, for any test. Built from the same code as ``nodus demo``."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np

from app.demo.case import generate_case, open_case
from app.demo.dicom_files import Occasion, write_cine, write_ct_series, write_still
from app.demo.noise import ct_noise
from app.demo.shapes import LobulatedEllipsoid, rotation_from
from app.demo.ultrasound import Box
from volumetry.geometry import ImageGeometry
from volumetry.image import ImageSource, ImageVolume
from volumetry.mask import NodeMask

OCCASION = Occasion(seed=1, visit="Baseline", day=date(2025, 1, 13))


@dataclass(frozen=True, slots=True, eq=False)
class EllipsoidCT:
    """A picture of one plain ellipsoid in fat, and what is true of it."""

    image: ImageVolume
    shape: LobulatedEllipsoid
    truth: NodeMask  # voxels covered by at least half
    folder: Path | None = None  # where its DICOM series lies, if written

    @property
    def volume_ml(self) -> float:
        """True volume."""
        return self.shape.volume_ml


def ellipsoid_image(
    *,
    semi_axes_mm=(8.0, 6.0, 5.0),
    angles_deg=(20.0, -15.0, 30.0),
    centre_mm=(12.3, -8.1, 105.2),
    spacing_mm=(0.7, 0.7, 1.25),
    shape=(36, 64, 64),
    node_hu=100.0,
    fat_hu=-100.0,
    noise_sd_hu=8.0,
    seed=1,
) -> EllipsoidCT:
    """An axial CT in memory: an oblique ellipsoid near the middle of ``shape`` (k, j, i)."""
    middle = 0.5 * (np.array(shape[::-1]) - 1) * spacing_mm
    geometry = ImageGeometry.from_spacing(shape, spacing_mm, np.asarray(centre_mm) - middle - 0.2)
    node = LobulatedEllipsoid.make(centre_mm, semi_axes_mm, rotation_from(*angles_deg))
    box, cover = node.coverage(geometry, samples=8)
    image = np.full(shape, fat_hu, dtype=np.float32)
    image[box] += cover * (node_hu - fat_hu)
    if noise_sd_hu:
        image += ct_noise(np.random.default_rng(seed), shape, spacing_mm[0], noise_sd_hu)
    truth = np.zeros(shape, dtype=bool)
    truth[box] = cover >= 0.5
    volume = ImageVolume(np.rint(image).astype(np.int16), geometry, source=ImageSource(modality="CT", synthetic=True))
    return EllipsoidCT(volume, node, NodeMask(truth, geometry))


def write_ellipsoid_ct(folder: Path, *, occasion: Occasion = OCCASION, series: str = "CT ellipsoid", **options) -> EllipsoidCT:
    """Write ``ellipsoid_image(**options)`` as a CT series into ``folder``."""
    case = ellipsoid_image(**options)
    write_ct_series(Path(folder), occasion, case.image.array, case.image.geometry, series)
    return EllipsoidCT(case.image, case.shape, case.truth, Path(folder))


STILL_BOX = Box(40, 30, 279, 209, 0.1)


def write_ultrasound_still(
    path: Path,
    *,
    boxes=(STILL_BOX,),
    size=(240, 320),
    ellipse_mm: tuple[float, float] | None = (12.0, 8.0),
    occasion: Occasion = OCCASION,
    instance: int = 1,
) -> Path:
    """A grey still (rows, columns = ``size``) with calibrated ``boxes``; a dark ellipse of full
    diameters ``ellipse_mm`` (across, in depth) lies in the middle of the first box."""
    path = Path(path)
    image = np.full(size, 20, dtype=np.uint8)
    rng = np.random.default_rng(3)
    for n, box in enumerate(boxes):
        depth, lateral = box.grid_mm()
        grey = rng.normal(130, 18, size=box.shape)
        if n == 0 and ellipse_mm is not None:
            u = lateral / (0.5 * ellipse_mm[0])
            v = (depth - depth.mean()) / (0.5 * ellipse_mm[1])
            grey = np.where(u**2 + v**2 <= 1, rng.normal(60, 10, size=box.shape), grey)
        image[box.y0 : box.y1 + 1, box.x0 : box.x1 + 1] = np.clip(grey, 0, 255).astype(np.uint8)
    write_still(path, occasion, image, boxes, instance, "made for a test")
    return path


def write_ultrasound_cine(
    path: Path,
    *,
    intervals_ms=(0.0, 40.0, 45.0, 120.0, 40.0, 38.0),
    boxes=(STILL_BOX,),
    size=(240, 320),
    occasion: Occasion = OCCASION,
) -> Path:
    """A cine whose frame ``n`` has the grey value ``10 * n + 20`` in its first box."""
    path = Path(path)
    frames = np.zeros((len(intervals_ms), *size), dtype=np.uint8)
    first = boxes[0]
    for n in range(len(frames)):
        frames[n, first.y0 : first.y1 + 1, first.x0 : first.x1 + 1] = min(255, 10 * n + 20)
    write_cine(path, occasion, frames, np.asarray(intervals_ms, dtype=float), boxes, "made for a test", contrast=False)
    return path


def shared_demo_case(shared_folder: Path):
    """The demonstration case under ``shared_folder``, made once for all processes of a test run.

    The first comer makes it; the others wait. It is shared: read it, never write into it.
    """
    folder, claim = Path(shared_folder) / "demo-case", Path(shared_folder) / "demo-case.claim"
    try:
        claim.mkdir(parents=True)
    except FileExistsError:
        waited_until = time.monotonic() + 300
        while not (folder / "case.json").is_file():
            if time.monotonic() > waited_until:
                raise TimeoutError("another test process never finished the demonstration case") from None
            time.sleep(0.2)
        return open_case(folder)
    return generate_case(folder)
