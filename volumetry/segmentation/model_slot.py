"""The slot for a trained network: what its manifest must say, what goes in, what comes out.

No network is shipped. The file is the user's own; its manifest states what it was made for, and nothing is
guessed where it is silent. This room reads no file and runs no network; it checks, resamples, and turns
a network's answer into a proposal that a reader has to accept.

Manifest (``nodus.model/1``)::

    {"schema": "nodus.model/1", "name": "...", "version": "...", "licence": "...", "sha256": "64 hex digits",
     "modality": "CT", "spacing_mm": [x, y, z], "shape": [k, j, i],
     "intensity": {"rule": "window", "low": -160, "high": 240} | {"rule": "zscore"},
     "prompt": {"kind": "none"} | {"kind": "point", "sigma_mm": 3},
     "output": {"kind": "probability" | "logit", "threshold": 0.5}}

The network takes one float32 tensor ``[1, channel, k, j, i]``: the scaled picture and, with a point prompt,
a Gaussian of height 1 at the click. It gives one value a voxel of the same ``[k, j, i]``.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import ndimage

from volumetry.errors import SegmentationRefused
from volumetry.finding import Finding
from volumetry.geometry import ImageGeometry
from volumetry.image import ImageVolume
from volumetry.mask import NodeMask
from volumetry.outline_origin import OutlineOrigin

SCHEMA = "nodus.model/1"
MODALITIES = ("CT", "MR", "PT")
MOST_VOXELS = 256**3


@dataclass(frozen=True, slots=True)
class ModelManifest:
    """A checked manifest. ``spacing_mm`` is (x, y, z), ``shape`` (k, j, i) of the patch around the click;
    ``window`` is (low, high) or None for z-scores; ``prompt_sigma_mm`` None where there is no prompt."""

    name: str
    version: str
    licence: str
    sha256: str
    modality: str
    spacing_mm: tuple[float, float, float]
    shape: tuple[int, int, int]
    window: tuple[float, float] | None
    prompt_sigma_mm: float | None
    is_logit: bool
    threshold: float

    @property
    def origin(self) -> OutlineOrigin:
        """What is kept with every outline of this network, through repairs, reading and export."""
        return OutlineOrigin("model", details={"name": self.name, "version": self.version, "licence": self.licence, "sha256": self.sha256})


def model_finding(model: dict) -> Finding:
    """The warning ``model_outline`` that names a network (``OutlineOrigin.model``)."""
    return Finding("model_outline", f"This outline was proposed by the model {model['name']} {model['version']} ({model['sha256'][:12]}): check it slice by slice.", "warning")


def manifest_from(content: Any) -> ModelManifest:
    """The checked value of a manifest's content. Refuses ``licence_missing``, and ``manifest_invalid``
    naming every fault."""
    if not isinstance(content, dict):
        raise SegmentationRefused("The model's manifest is not an object.", code="manifest_invalid")
    faults = [f"schema must be {SCHEMA!r}"] if content.get("schema") != SCHEMA else []
    faults += [f"{key} must be text" for key in ("name", "version") if not _is_text(content.get(key))]
    sha256 = content.get("sha256")
    if not (isinstance(sha256, str) and len(sha256) == 64 and set(sha256.lower()) <= set("0123456789abcdef")):
        faults.append("sha256 must be 64 hexadecimal digits")
    if content.get("modality") not in MODALITIES:
        faults.append(f"modality must be one of {', '.join(MODALITIES)}")
    spacing, shape = content.get("spacing_mm"), content.get("shape")
    if not (isinstance(spacing, list) and len(spacing) == 3 and all(_is_number(s) and s > 0 for s in spacing)):
        faults.append("spacing_mm must be three positive numbers")
    if not (isinstance(shape, list) and len(shape) == 3 and all(isinstance(n, int) and not isinstance(n, bool) and n > 0 for n in shape) and math.prod(shape) <= MOST_VOXELS):
        faults.append("shape must be three positive whole numbers of not too many voxels")
    intensity, prompt, output = (content.get(key) if isinstance(content.get(key), dict) else {} for key in ("intensity", "prompt", "output"))
    low, high = intensity.get("low"), intensity.get("high")
    if intensity.get("rule") == "window":
        if not (_is_number(low) and _is_number(high) and low < high):
            faults.append("intensity needs low below high")
    elif intensity.get("rule") != "zscore":
        faults.append("intensity.rule must be 'window' or 'zscore'")
    if prompt.get("kind") == "point":
        if not (_is_number(prompt.get("sigma_mm")) and prompt["sigma_mm"] > 0):
            faults.append("prompt.sigma_mm must be a positive number")
    elif prompt.get("kind") != "none":
        faults.append("prompt.kind must be 'none' or 'point'")
    if output.get("kind") not in ("probability", "logit"):
        faults.append("output.kind must be 'probability' or 'logit'")
    if not (_is_number(output.get("threshold")) and 0 < output["threshold"] < 1):
        faults.append("output.threshold must lie between 0 and 1")
    if faults:
        raise SegmentationRefused("The model's manifest has faults: " + "; ".join(faults) + ".", code="manifest_invalid")
    if not _is_text(content.get("licence")):
        raise SegmentationRefused("The model's manifest states no licence.", code="licence_missing", hint="Ask its maker, and write it down.")
    return ModelManifest(
        content["name"], content["version"], content["licence"], sha256.lower(), content["modality"], tuple(map(float, spacing)), tuple(shape),
        (float(low), float(high)) if intensity["rule"] == "window" else None,
        float(prompt["sigma_mm"]) if prompt["kind"] == "point" else None,
        output["kind"] == "logit", float(output["threshold"]),
    )  # fmt: skip


def check_model(manifest: ModelManifest, data: bytes) -> None:
    """Refuse ``model_changed`` where the network's bytes are not those that the manifest vouches for."""
    if hashlib.sha256(data).hexdigest() != manifest.sha256:
        raise SegmentationRefused("The model's file is not the one its manifest describes.", code="model_changed", hint="Restore the file, or check the new one and its manifest.")


def model_input(manifest: ModelManifest, image: ImageVolume, centre_mm) -> tuple[np.ndarray, ImageGeometry]:
    """(tensor ``[1, channel, k, j, i]`` float32, grid of the patch) around a click, linear between voxels.

    Refuses ``model_modality``, ``nan``, ``seed_outside``. Beyond the picture its lowest value stands.
    """
    if image.source.modality != manifest.modality:
        raise SegmentationRefused(f"The model was made for {manifest.modality}, the picture is {image.source.modality or 'of unknown kind'}.", code="model_modality")
    centre = np.asarray(centre_mm, dtype=np.float64).reshape(-1)
    if centre.shape != (3,) or not np.isfinite(centre).all():
        raise SegmentationRefused("The click is not a place in the picture.", code="nan")
    if not image.geometry.contains(centre):
        raise SegmentationRefused("The click lies outside the picture.", code="seed_outside")
    spacing = np.array(manifest.spacing_mm)
    axes = image.geometry.affine[:3, :3] / np.array(image.geometry.spacing_mm)
    affine = np.eye(4)
    affine[:3, :3] = axes * spacing
    affine[:3, 3] = centre - affine[:3, :3] @ ((np.array(manifest.shape[::-1]) - 1) / 2)
    patch = ImageGeometry(manifest.shape, affine)
    values = _sampled(np.asarray(image.array, dtype=np.float32), image.geometry, patch, float(image.array.min()))
    if not np.isfinite(values).all():
        raise SegmentationRefused("The picture has undefined values (NaN) around the click.", code="nan")
    if manifest.window is not None:
        low, high = manifest.window
        values = np.clip((values - low) / (high - low), 0, 1)
    else:
        values = (values - values.mean()) / max(float(values.std()), 1e-6)
    channels = [values]
    if manifest.prompt_sigma_mm is not None:
        k, j, i = np.indices(manifest.shape, dtype=np.float64)
        away = patch.index_to_world(np.stack([i, j, k], axis=-1)) - centre
        channels.append(np.exp(-(away**2).sum(axis=-1) / (2 * manifest.prompt_sigma_mm**2)))
    return np.stack(channels)[None].astype(np.float32), patch


def mask_from_output(manifest: ModelManifest, answer: np.ndarray, patch: ImageGeometry, image: ImageVolume) -> NodeMask:
    """A network's answer on the picture's own grid, marked ``model_outline``: a proposal, not a reading.

    ``answer`` has one finite value for each voxel of the patch. Refuses ``model_failed`` (another
    shape, not finite) and ``no_boundary`` (nothing, or everything, was found).
    """
    answer = np.asarray(answer, dtype=np.float64)
    if answer.size != math.prod(manifest.shape) or answer.shape[-3:] != manifest.shape or not np.isfinite(answer).all():
        raise SegmentationRefused("The model did not answer with one number for each voxel.", code="model_failed")
    values = answer.reshape(manifest.shape)
    if manifest.is_logit:
        values = 1 / (1 + np.exp(-np.clip(values, -50, 50)))
    array = _sampled(values.astype(np.float32), patch, image.geometry, 0.0) >= manifest.threshold
    if not array.any() or (values >= manifest.threshold).all():
        raise SegmentationRefused("The model found no node here.", code="no_boundary", hint="Use another tool, or outline it by hand.")
    return NodeMask(array, image.geometry, findings=(model_finding(manifest.origin.model),), origin=manifest.origin)


def _sampled(array: np.ndarray, source: ImageGeometry, target: ImageGeometry, outside: float) -> np.ndarray:
    """``array`` on ``source`` at the voxel centres of ``target``."""
    pull = np.linalg.inv(source.affine) @ target.affine
    flip = np.eye(3)[::-1]
    return ndimage.affine_transform(array, flip @ pull[:3, :3] @ flip, offset=pull[:3, 3][::-1], output_shape=target.shape, order=1, mode="constant", cval=outside)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
