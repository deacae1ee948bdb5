"""A user's own network as one more way of outlining: found in its folder, described before it is trusted, run in
a process of its own, and never more than a proposal."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from app.jobs import JobContext
from app.jobs.model_worker import load_model, outline_with_model, runtime_is_there
from app.study.protocol import StudyProtocol
from app.usecases.readings import check_model_outlines
from volumetry.errors import NodusError, SegmentationRefused
from volumetry.image import ImageVolume
from volumetry.mask import NodeMask
from volumetry.segmentation.model_slot import ModelManifest


@dataclass(frozen=True, slots=True)
class ModelSlot:
    """What lies in a model's folder. ``manifest`` is there once the file's hash was verified; else
    ``refusal`` says why it cannot be used."""

    folder: Path
    manifest: ModelManifest | None
    refusal: NodusError | None = None

    @property
    def usable(self) -> bool:
        """True where it can be switched on."""
        return self.manifest is not None and self.refusal is None


def describe_model(folder: Path) -> ModelSlot:
    """Read and verify the model in a folder; what is wrong with it comes back as a value."""
    folder = Path(folder)
    try:
        manifest, _data = load_model(folder)
    except NodusError as refusal:
        return ModelSlot(folder, None, refusal)
    if not runtime_is_there():
        return ModelSlot(folder, manifest, SegmentationRefused("The runtime for models is not installed.", code="model_runtime_missing", hint="Install onnxruntime."))
    return ModelSlot(folder, manifest)


def outline_by_model(
    image: ImageVolume,
    seed_mm,
    folder: Path | None,
    *,
    enabled: bool = False,
    protocol: StudyProtocol | None = None,
    role: str = "central",
    context: JobContext | None = None,
) -> NodeMask:
    """A proposal by the model in ``folder`` for the node under a click; its ``origin`` names the model.

    ``enabled`` is the user's switch and off unless given. Inside a study its ``protocol`` has to allow it for the
    ``role`` (``model_outline_not_allowed``). Refuses as ``outline_with_model`` does. Raises ``Cancelled``.
    """
    if protocol is not None:
        check_model_outlines(protocol, role)
    if enabled and folder is None:
        raise SegmentationRefused("No model was chosen.", code="model_missing", hint="Choose its folder first.")
    return outline_with_model(image, seed_mm, folder or Path(), enabled=enabled, context=context)


def with_modality(image: ImageVolume, stated: str | None) -> ImageVolume:
    """The image with the modality that a person states, where its file says none. Refuses
    ``modality_contradicts`` where the file says another."""
    if stated is None or image.source.modality == stated:
        return image
    if image.source.modality is not None:
        raise SegmentationRefused(f"The picture is {image.source.modality}, not {stated}.", code="modality_contradicts", hint="Leave --modality out.")
    return replace(image, source=replace(image.source, modality=stated))
