"""Two pictures brought together: by their content, or by landmarks that a reader set in both.

Landmarks in a file are ``{"landmarks": [{"name", "fixed_mm": [x, y, z], "moving_mm": [x, y, z]}]}``,
points in LPS mm.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from app.jobs import JobContext
from app.usecases.files import read_json
from dicom_io.masks import read_image, read_masks
from volumetry.errors import NodusError
from volumetry.finding import Finding
from volumetry.image import ImageVolume
from volumetry.mask import NodeMask
from volumetry.registration import RegistrationRefused, RigidRegistration, register_landmarks, register_rigid


@dataclass(frozen=True, slots=True)
class LandmarkPair:
    """One anatomical point in both pictures, LPS mm."""

    fixed_mm: tuple[float, float, float]
    moving_mm: tuple[float, float, float]
    name: str = ""


def registration_numbers(found: RigidRegistration) -> dict:
    """A registration as plain numbers: ``matrix`` carries points of the fixed picture to the moving one."""
    return {
        "method": found.method,
        "residual_mm": found.residual_mm,
        "angle_deg": found.angle_deg,
        "shift_mm": list(found.shift_mm),
        "matrix": found.matrix.tolist(),
    }


def register_volumes(fixed: ImageVolume, moving: ImageVolume, context: JobContext | None = None, *, mask: NodeMask | None = None) -> RigidRegistration:
    """Bring two volumes together by content. A finding where they are of unlike modality, which the
    measured residual does not see. Raises ``Cancelled`` and what ``register_rigid`` refuses."""
    context = context or JobContext()
    found = register_rigid(fixed, moving, mask=mask, should_cancel=lambda: context.token.is_cancelled, progress=context.report)
    pair = fixed.source.modality, moving.source.modality
    if all(pair) and pair[0] != pair[1]:
        note = Finding("registration_unlike", f"A {pair[0]} was registered with a {pair[1]}: check the fit by eye.", "warning")
        return replace(found, findings=(*found.findings, note))
    return found


def register_pairs(pairs: tuple[LandmarkPair, ...], fixed: ImageVolume | None = None, moving: ImageVolume | None = None) -> RigidRegistration:
    """Bring two volumes together by landmarks. Where the volumes are given, a point outside its own is
    refused (``outside_image``): it was written for another picture, or in other axes."""
    for number, pair in enumerate(pairs, 1):
        for image, point, which in ((fixed, pair.fixed_mm, "fixed"), (moving, pair.moving_mm, "moving")):
            if image is not None and np.isfinite(point).all() and not image.geometry.contains(point):
                place = ", ".join(f"{v:.1f}" for v in point)
                raise RegistrationRefused(
                    f"Landmark {pair.name or number} ({place} mm) lies outside the {which} picture.",
                    code="outside_image",
                    hint="Points are LPS millimetres of their own picture.",
                )
    return register_landmarks([p.fixed_mm for p in pairs], [p.moving_mm for p in pairs])


def read_landmarks(path: Path) -> tuple[LandmarkPair, ...]:
    """The landmarks of a file; anything but pairs of points is refused, ``bad_landmarks``."""
    content = read_json(path)
    entries = content.get("landmarks") if isinstance(content, dict) else None
    if not isinstance(entries, list) or not all(isinstance(e, dict) for e in entries):
        raise _bad_landmarks(f'{path.name} holds no list "landmarks".')
    pairs = []
    for number, entry in enumerate(entries, 1):
        points = []
        for key in ("fixed_mm", "moving_mm"):
            value = entry.get(key)
            if not (isinstance(value, list) and len(value) == 3 and all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in value)):
                raise _bad_landmarks(f"Landmark {number} of {path.name} has no {key} of three numbers.")
            points.append(tuple(float(v) for v in value))
        pairs.append(LandmarkPair(*points, name=str(entry.get("name") or "")))
    return tuple(pairs)


def _bad_landmarks(message: str) -> NodusError:
    return RegistrationRefused(message, code="bad_landmarks", hint='Write {"landmarks": [{"name": "C5", "fixed_mm": [x, y, z], "moving_mm": [x, y, z]}, ...]}.')


def register_files(
    fixed_path: Path, moving_path: Path, context: JobContext, *, landmarks_path: Path | None = None, mask_path: Path | None = None
) -> RigidRegistration:
    """Register two picture files or folders, by content or by the landmarks of a file.

    ``mask_path`` (on the fixed picture) says which part must fit; all its labels count together.
    Refuses ``landmarks_and_mask``, and what the readers and the registration refuse.
    """
    if landmarks_path is not None and mask_path is not None:
        raise NodusError("Landmarks say where points lie, a mask which part must fit: only one can be used.", code="landmarks_and_mask", hint="Leave out --landmarks or --mask.")
    pairs = None if landmarks_path is None else read_landmarks(landmarks_path)

    def opened(path: Path, part: JobContext) -> ImageVolume:
        return read_image(path, progress=part.report, should_cancel=lambda: part.token.is_cancelled)

    fixed, moving = opened(fixed_path, context.part(0.0, 0.2)), opened(moving_path, context.part(0.2, 0.4))
    if pairs is not None:
        found = register_pairs(pairs, fixed, moving)
    else:
        found = register_volumes(fixed, moving, context.part(0.4, 1.0), mask=None if mask_path is None else _region(mask_path, fixed_path))
    context.report("Registered", 1.0)
    return found


def _region(mask_path: Path, image_path: Path) -> NodeMask:
    masks = read_masks(mask_path, image=image_path)
    if not masks:
        raise NodusError(f"{mask_path.name} holds no label.", code="empty")
    return replace(masks[0], array=np.any([m.array for m in masks], axis=0))
