"""What of a node enhances on contrast CT, from files: brought together, taken off each other, told in the form of ``nodus perfusion``."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from app import __version__
from app.jobs.progress import JobContext
from app.study.canonical import canonical_json
from app.usecases.files import ensure_folder, sha256_of
from app.usecases.register import registration_numbers
from dicom_io.headers import read_header, text
from dicom_io.masks import read_image, read_masks
from dicom_io.volume_files import write_array, write_volume
from volumetry.errors import NodusError
from volumetry.finding import Finding
from volumetry.image import ImageVolume
from volumetry.mask import NodeMask
from volumetry.perfusion.ct_enhancement import DEFAULT_THRESHOLD_HU, CtEnhancement, enhancement_by_pair, enhancement_by_threshold
from volumetry.registration import RegistrationRefused, RigidRegistration, register_rigid

REGION_MM = 30.0  # tissue round the node that must fit
HEADERS_TRIED = 20  # a folder of pictures may hold a few files that are none


@dataclass(frozen=True, slots=True)
class CtRequest:
    """``pre`` None: by ``above_hu`` on ``post`` alone. ``threshold_hu``: least rise that counts. ``register`` False: both pictures lie alike."""

    post: Path
    mask: Path
    pre: Path | None = None
    threshold_hu: float | None = None
    above_hu: float | None = None
    label: int | None = None
    register: bool = True


def enhancement_of_files(asked: CtRequest, context: JobContext) -> tuple[CtEnhancement, dict[str, Any]]:
    """The enhancement and its answer, in the form of ``nodus perfusion`` (``modality`` CT, no regions or frames).

    Refusals of the readers, the registration and ``volumetry.perfusion.ct_enhancement``; ``pair_or_threshold`` where neither or both of ``pre``
    and ``above_hu`` are given; ``label_missing``, ``several_labels``.
    """
    if (asked.pre is None) == (asked.above_hu is None):
        raise NodusError("Give the picture before contrast (--pre), or a threshold on the contrast picture alone (--above-hu).", code="pair_or_threshold")
    if asked.pre is None and asked.threshold_hu is not None:
        raise NodusError("The least rise (--threshold-hu) needs the picture before contrast (--pre).", code="pair_or_threshold")

    def opened(path: Path, part: JobContext) -> ImageVolume:
        return read_image(path, progress=part.report, should_cancel=lambda: part.token.is_cancelled)

    post = opened(asked.post, context.part(0.0, 0.2))
    node = _one_mask(asked)
    registration = None
    if asked.pre is None:
        found = enhancement_by_threshold(post, node, asked.above_hu)
    else:
        pre = opened(asked.pre, context.part(0.2, 0.4))
        told = _belong_together(pre, post, asked)
        part = context.part(0.4, 0.8)
        if asked.register:
            registration = register_around(post, pre, node, part)
        threshold = DEFAULT_THRESHOLD_HU if asked.threshold_hu is None else asked.threshold_hu
        found = enhancement_by_pair(pre, post, node, registration, threshold_hu=threshold, progress=context.part(0.8, 1.0).report)
        found = replace(found, findings=(*told, *found.findings))
    context.report("Done", 1.0)
    return found, enhancement_answer(found, registration, asked)


def _belong_together(pre: ImageVolume, post: ImageVolume, asked: CtRequest) -> tuple[Finding, ...]:
    """What stands against taking two pictures off each other. Refuses ``one_picture_twice``, ``other_patient`` and, where nothing is to be
    registered, ``frames_of_reference_differ``."""
    unlike_pictures(pre, post)
    patients = {patient_of(path) for path in (asked.pre, asked.post)} - {None}
    if len(patients) > 1:
        raise NodusError("The two pictures are of different patients.", code="other_patient", hint="Give the picture of this patient before contrast.")
    frames = {p.source.frame_of_reference_uid for p in (pre, post)} - {None}
    if not asked.register and len(frames) > 1:
        raise NodusError(
            "The two pictures have different frames of reference: they do not lie alike.", code="frames_of_reference_differ", hint="Leave out --no-registration."
        )
    return two_days(pre.source.acquired_on, post.source.acquired_on)


def unlike_pictures(pre: ImageVolume, post: ImageVolume) -> None:
    """Refuses ``one_picture_twice``."""
    if pre.array.shape == post.array.shape and np.array_equal(pre.array, post.array):
        raise NodusError("Both pictures are the same.", code="one_picture_twice", hint="Give the picture before contrast as --pre.")


def two_days(before: str | None, after: str | None) -> tuple[Finding, ...]:
    """What is told where both days are known and not the same."""
    if before is None or after is None or before == after:
        return ()
    return (Finding("pictures_of_two_days", "The two pictures were not taken on one day: what changed between them looks like enhancement, or hides it."),)


def patient_of(path: Path) -> str | None:
    """The identity that the header of a picture gives its patient, to be compared only; None for a file without one."""
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    for file in files[:HEADERS_TRIED]:
        try:
            ds = read_header(file).ds
        except NodusError:
            continue
        return text(ds, "PatientID") or text(ds, "PatientName")
    return None


def register_around(post: ImageVolume, pre: ImageVolume, node: NodeMask, context: JobContext) -> RigidRegistration:
    """The picture before contrast brought onto the one after it where the node lies: by the tissue within 30 mm of it, else by all.
    Raises ``Cancelled`` and what ``register_rigid`` refuses."""
    box = node.bounding_slices()
    if box is None:
        raise NodusError("The outline holds no voxel.", code="empty_mask")
    geometry = node.geometry
    middle = geometry.index_to_world([(s.start + s.stop - 1) / 2 for s in box[::-1]])
    spacing = np.array(post.geometry.spacing_mm)
    index = post.geometry.world_to_index(middle)
    low, high = (np.clip(np.rint(index + sign * REGION_MM / spacing), 0, np.array(post.geometry.shape[::-1])).astype(int) for sign in (-1, 1))
    array = np.zeros(post.geometry.shape, bool)
    array[low[2] : high[2] + 1, low[1] : high[1] + 1, low[0] : high[0] + 1] = True

    def stopped() -> bool:
        return context.token.is_cancelled

    try:
        return register_rigid(post, pre, mask=NodeMask(array, post.geometry), should_cancel=stopped, progress=context.report)
    except RegistrationRefused:
        return register_rigid(post, pre, should_cancel=stopped, progress=context.report)


def _one_mask(asked: CtRequest) -> NodeMask:
    masks = read_masks(asked.mask, image=asked.post)
    if asked.label is not None:
        masks = [m for m in masks if m.label == asked.label]
        if not masks:
            raise NodusError(f"{asked.mask.name} has no label {asked.label}.", code="label_missing")
    if len(masks) != 1:
        raise NodusError(f"{asked.mask.name} holds {len(masks)} labels; enhancement is told of one node.", code="several_labels" if masks else "empty_mask", hint="Choose one with --label.")
    return masks[0]


def enhancement_answer(found: CtEnhancement, registration: RigidRegistration | None, asked: CtRequest) -> dict[str, Any]:
    """The answer of ``nodus enhancement --json``; ``study add-reading --perfusion`` takes it for a reading of CT."""
    warnings = [f.as_warning() for f in found.findings if f.severity != "info"]
    residual = {
        name: getattr(found, name)
        for name in ("grade", "viable_ml", "ablated_ml", "node_ml", "viable_pct", "viable_interval_pct", "rim_ml", "rim_mm", "foci", "threshold_hu", "noise_hu")
    }
    residual |= {"ablated_pct": None if found.viable_pct is None else 100.0 - found.viable_pct, "reasons": list(found.reasons), "warnings": warnings, "drawn": None}
    hashes = {"post": _hash(asked.post), "pre": None if asked.pre is None else _hash(asked.pre), "mask": _hash(asked.mask)}
    asked_for = {"threshold_hu": found.threshold_hu, "above_hu": asked.above_hu, "label": asked.label, "register": asked.register}
    return {
        "modality": "CT",
        "way": "pair" if asked.pre is not None else "threshold",
        "residual": residual,
        "registration": None if registration is None else registration_numbers(registration),
        "regions": [],
        "frames_rejected": [],
        "findings": [f.as_dict() for f in found.findings],
        "warnings": warnings,
        "inputs_sha256": hashes,
        "input_sha256": hashlib.sha256(canonical_json([hashes, asked_for]).encode()).hexdigest(),
        "software_version": __version__,
    }


def _hash(path: Path) -> str:
    """Of a file its hash; of a folder one over the hashes of its files."""
    if path.is_file():
        return sha256_of(path)
    return hashlib.sha256("".join(sorted(sha256_of(p) for p in path.rglob("*") if p.is_file())).encode()).hexdigest()


def write_enhancement(found: CtEnhancement, folder: Path) -> list[dict]:
    """``map.nii.gz`` (rise in HU round the node), ``viable.nii.gz`` and ``rim.nii.gz`` (on the grid of the node's mask); ``{"path", "sha256"}`` of each."""
    ensure_folder(folder)
    write_array(np.array(found.map.array), found.map.geometry, folder / "map.nii.gz")
    write_volume(found.viable, folder / "viable.nii.gz")
    write_volume(found.rim, folder / "rim.nii.gz")
    return [{"path": name, "sha256": sha256_of(folder / name)} for name in ("map.nii.gz", "viable.nii.gz", "rim.nii.gz")]
