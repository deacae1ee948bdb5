"""The session's part for outlines that a user's own network proposes: off by default, previewed, taken or discarded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from app.settings import Settings, load_settings, save_settings
from volumetry.errors import NodusError
from volumetry.image import ImageVolume
from volumetry.mask import NodeMask
from volumetry.segmentation.editing import bounding_box

MODEL_KEY = "model"
ROLE = "central"  # of the readings that are kept in the window


@dataclass(frozen=True, slots=True, eq=False)
class Proposal:
    """What a model proposed on ``image``; nobody's outline until it is taken."""

    mask: NodeMask
    image: ImageVolume
    volume_ml: float
    box: tuple[slice, slice, slice] | None  # around its voxels

    @property
    def model(self) -> str:
        """Name and version of the model."""
        return f"{self.mask.origin.details['name']} {self.mask.origin.details['version']}"


class ModelPart:
    """Mixed into ``Session``; uses its signals, jobs and undo stack."""

    _settings: Settings | None = None
    _proposal: Proposal | None = None

    # ---- the switch ----------------------------------------------------------------------------
    @property
    def settings(self) -> Settings:
        """What the person chose for this computer."""
        if self._settings is None:
            self._settings = load_settings()
        return self._settings

    @property
    def model_is_on(self) -> bool:
        """True where somebody switched a model on."""
        return self.settings.model_on and self.settings.model_folder is not None

    def set_model(self, folder: str, on: bool) -> None:
        """Choose the model's folder and whether it may propose outlines; kept by a job. Switched on only once
        it was kept."""
        chosen = Settings(model_on=on, model_folder=folder or None)
        if not on:
            self.drop_proposal()

        def work(_context):
            try:
                save_settings(chosen)
            except OSError as problem:
                raise NodusError(f"The choice could not be kept: {problem.strerror or problem}.", code="settings_not_kept", hint="Check the disk and its permissions.") from problem

        def done(_result) -> None:
            self._settings = chosen
            self.display_changed.emit()
            self.notice.emit("info", "The model may propose outlines (Shift+N); nothing is taken without you." if self.model_is_on else "The model is switched off.")

        self.jobs.start("Keeping the choice", work, quiet=True, write=True, on_done=done)

    def describe_model(self, folder: str, then) -> None:
        """Verify the model in a folder; ``then(ModelSlot)`` follows. A quiet job, the latest wins."""
        from app.usecases.segment_model import describe_model

        self.jobs.start("Checking the model", lambda _context: describe_model(Path(folder)), key="model_check", quiet=True, on_done=then)

    # ---- a proposal ----------------------------------------------------------------------------
    @property
    def proposal(self) -> Proposal | None:
        """What waits to be taken or discarded on the image on screen."""
        made = self._proposal
        return made if made is not None and made.image is self.image and self.picture is None else None

    @property
    def model_is_working(self) -> bool:
        """True while the model's process runs."""
        return self.jobs.is_busy(MODEL_KEY)

    def outline_by_model(self, point_mm=None) -> None:
        """Let the model propose an outline at a point (the crosshair without one); a job in a process of its own, which
        ends with it. What comes is shown, never taken by itself."""
        from app.usecases.segment_model import outline_by_model

        image, store, settings = self.image, self.study, self.settings
        if image is None or self.picture is not None:
            self.notice.emit("warning", "Open a volume first; a model outlines a node on it.")
            return
        if self.current is not None and self._refuse_locked(self.current):
            return
        if point_mm is not None:
            self.set_crosshair(point_mm)
        point = tuple(float(v) for v in self.crosshair_mm)
        self.drop_proposal()
        self.set_tool("model")
        folder = None if settings.model_folder is None else Path(settings.model_folder)

        def work(context):
            mask = outline_by_model(image, point, folder, enabled=self.model_is_on, protocol=None if store is None else store.protocol, role=ROLE, context=context)
            return Proposal(mask, image, float(np.count_nonzero(mask.array)) * mask.geometry.voxel_size_mm3 / 1000.0, bounding_box(mask.array))

        def done(proposal: Proposal) -> None:
            if self.image is image and self.tool == "model":
                self._propose(proposal)

        def refused(error) -> None:
            self.display_changed.emit()
            self._on_refused(error)

        self.jobs.start("Outlining by model", work, key=MODEL_KEY, on_done=done, on_refused=refused)
        self.display_changed.emit()

    def _propose(self, proposal: Proposal | None) -> None:
        self._proposal = proposal
        self.preview = None if proposal is None else (proposal.mask, np.empty((0, 3)), np.empty((0, 3), dtype=np.int64))
        self.preview_changed.emit()
        self.display_changed.emit()

    def accept_proposal(self) -> None:
        """Take what was proposed as the outline of the current node (a new one is made if none is current); one undo
        step. Which model proposed it stays with the outline."""
        proposal = self.proposal
        if proposal is None:
            return
        state = self._node_for_editing()
        if state is None:
            return
        self._propose(None)
        if self._take_whole(state, proposal.mask, "Outline by model", proposal.box):
            for finding in proposal.mask.findings:
                self.notice.emit(finding.severity, finding.message)
        else:
            self.notice.emit("info", f"The outline of {state.node.label} is the same already.")
        self.set_tool("crosshair")

    def drop_proposal(self) -> None:
        """Discard what was proposed, and end the model's process where it still runs."""
        working = self.model_is_working
        self.jobs.drop(MODEL_KEY)
        if self._proposal is not None:
            self._propose(None)
        elif working:
            self.display_changed.emit()
