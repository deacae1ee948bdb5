"""An outline while it is being drawn: one writable array, and a patch for each step back.

Pure editing rules live in ``volumetry.segmentation.editing``; this class holds the working copy and its
undo steps, knows what is still true of the outline beside its voxels, and hands out values.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from app.usecases.readings import pack_mask, unpack_mask, unpack_undo
from volumetry.errors import SegmentationRefused
from volumetry.finding import Finding
from volumetry.geometry import ImageGeometry
from volumetry.mask import MaskPatch, NodeMask
from volumetry.measure import NodeMeasurement, measure_node
from volumetry.outline_origin import NOT_RECORDED, OutlineOrigin
from volumetry.segmentation.history import EditHistory, EditStep, OutlineClick, OutlineNote


class MaskDraft:
    """The working outline of one node on one image grid.

    ``array`` is bool ``[k, j, i]``. ``note`` is what holds of the outline beside its voxels:

    - ``coverage_volume_ml``, the volume of the surface that the mask was rastered from, and ``click``, the
      click and anchor points that drew it: any hand edit drops them, because they no longer describe the voxels;
    - ``origin``, how the outline came about: a hand edit marks it ``edited``;
    - ``findings``, such as ``propagated`` of an outline carried over from another visit: **no hand edit drops
      them**, however much it repairs. They go only with the outline itself: when a new one is made from the
      picture (``replace``), or drawn after nothing was left of the old one.

    ``history`` holds the steps. ``edit``, ``replace`` and ``finish_stroke`` add to it; ``undo`` and ``redo``
    go along it.
    """

    def __init__(self, geometry: ImageGeometry, mask: NodeMask | None = None, *, click: OutlineClick | None = None, history: EditHistory | None = None):
        self.geometry = geometry
        self.array = np.zeros(geometry.shape, dtype=bool) if mask is None else mask.array.copy()
        self.name = None if mask is None else mask.name
        self.note = OutlineNote() if mask is None else _note_of(mask, click)
        self.history = EditHistory(None) if history is None else history

    @classmethod
    def resumed(cls, mask: NodeMask, history: EditHistory | None, *, locks: int = 0) -> MaskDraft:
        """An outline taken up again with the steps that led to it. Steps done before it was last locked
        (``locks``: how often by now) are left out: they cannot be undone."""
        click = None
        if history is not None and history.steps:
            done = history.done_count
            click = history.steps[done - 1].after.click if done else history.steps[0].before.click
        if history is None or history.locks != locks:
            history = EditHistory(None, locks=locks)
        return cls(mask.geometry, mask, click=click, history=history)

    @property
    def coverage_volume_ml(self) -> float | None:
        """Volume of the sub-voxel surface, where it still describes the voxels."""
        return self.note.coverage_volume_ml

    @property
    def origin(self) -> OutlineOrigin | None:
        """How the outline came about; None while nothing was outlined."""
        return self.note.origin

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What was noticed about the outline."""
        return self.note.findings

    @property
    def click(self) -> OutlineClick | None:
        """The click that drew the outline, while it is as the click left it."""
        return self.note.click

    @property
    def is_empty(self) -> bool:
        """True while nothing is outlined."""
        return not self.array.any()

    def as_mask(self, label: int = 1, name: str | None = None) -> NodeMask:
        """A read-only copy as a value."""
        return NodeMask(self.array.copy(), self.geometry, label, name or self.name, self.coverage_volume_ml, self.findings, self.origin)

    def mask_in_stroke(self, box: tuple[slice, slice, slice], was_empty: bool) -> Callable[[], NodeMask]:
        """The outline in the middle of a stroke, to be measured in another thread: the voxels in ``box``
        (which must hold all of them) are copied now, the mask is made when the function is called."""
        crop, geometry, note = self.array[box].copy(), self.geometry, self._after_hand(was_empty, "brush")

        def make() -> NodeMask:
            array = np.zeros(geometry.shape, dtype=bool)
            array[box] = crop
            return NodeMask(array, geometry, 1, self.name, None, note.findings, note.origin)

        return make

    def measure(self) -> NodeMeasurement:
        """All numbers of the outline as it stands."""
        return measure_node(self.as_mask())

    def replace(self, new: NodeMask, text: str, *, click: OutlineClick | None = None) -> EditStep | None:
        """Take over a whole new outline (a click, a loaded mask) with what is known of it; None if nothing changed."""
        after = _note_of(new, click)
        if after.origin is None:
            after = replace(after, origin=OutlineOrigin(NOT_RECORDED))
        patch = MaskPatch.between(self.array, new.array)
        if patch is None and _alike(self.note, after):
            return None
        return self._record(text, patch, self.note, after)

    def edit(self, new: np.ndarray, text: str, *, method: str = "by_hand") -> EditStep | None:
        """Take over hand-edited voxels; the sub-voxel volume no longer holds. None if no voxel changed.
        ``method`` is the origin's where nothing was outlined before."""
        patch = MaskPatch.between(self.array, new)
        return None if patch is None else self._record(text, patch, self.note, self._after_hand(self.is_empty, method))

    def finish_stroke(self, before: np.ndarray, coverage_before_ml: float | None, text: str) -> EditStep | None:
        """Close a stroke that painted into ``array`` in place; ``before`` is the copy taken at its start."""
        patch = MaskPatch.between(before, self.array)
        if patch is None:
            return None
        return self._record(text, patch, replace(self.note, coverage_volume_ml=coverage_before_ml), self._after_hand(not before.any(), "brush"))

    def _after_hand(self, was_empty: bool, method: str) -> OutlineNote:
        """What is known after a hand edit; see the class for what it may drop."""
        if was_empty:
            return OutlineNote(origin=OutlineOrigin(method))
        return OutlineNote(origin=(self.note.origin or OutlineOrigin(NOT_RECORDED)).by_hand(), findings=self.note.findings)

    def _record(self, text: str, patch: MaskPatch | None, before: OutlineNote, after: OutlineNote) -> EditStep:
        step = EditStep(text, patch, before, after, time.time())
        if patch is not None:
            patch.apply(self.array)
        self.note = after
        self.history.push(step)
        return step

    def redo(self, step: EditStep) -> None:
        """Do a step again; it must be the next one of ``history``."""
        _expect(self.history.redo(self.array), step)
        self.note = step.after

    def undo(self, step: EditStep) -> None:
        """Take a step back, exactly; it must be the last one done in ``history``."""
        _expect(self.history.undo(self.array), step)
        self.note = step.before


def _note_of(mask: NodeMask, click: OutlineClick | None) -> OutlineNote:
    return OutlineNote(mask.coverage_volume_ml, mask.origin, mask.findings, click)


def _alike(a: OutlineNote, b: OutlineNote) -> bool:
    def method(note: OutlineNote) -> str:
        return NOT_RECORDED if note.origin is None else note.origin.method

    return (a.coverage_volume_ml, a.click, a.findings, method(a)) == (b.coverage_volume_ml, b.click, b.findings, method(b))


def _expect(moved: EditStep | None, step: EditStep) -> None:
    if moved is not step:
        raise ValueError(f"the step '{step.text}' is not where the history stands")


# ---- keeping -------------------------------------------------------------------------------------


def fingerprint(mask: NodeMask) -> str:
    """Hash of a mask's voxels and their place: what its undo steps belong to."""
    box = mask.bounding_slices()
    crop = np.zeros(0, bool) if box is None else mask.array[box]
    start = [] if box is None else [(s.start, s.stop) for s in box]
    digest = hashlib.sha256(repr((mask.geometry.shape, start)).encode())
    digest.update(np.packbits(crop).tobytes())
    digest.update(np.ascontiguousarray(mask.geometry.affine, np.float64).tobytes())
    return digest.hexdigest()


def pack_draft(mask: NodeMask, history: EditHistory | None) -> bytes:
    """An outline in work as bytes: the mask as ``pack_mask`` writes it, and its undo steps in the same
    bytes, so that no write can bring the one without the other. Anything that reads masks reads these."""
    return pack_mask(mask, undo=None if history is None else history.to_bytes(fingerprint(mask)))


def unpack_draft(data: bytes, *, locks: int = 0) -> tuple[MaskDraft, Finding | None]:
    """The outline of ``pack_draft`` (or of ``pack_mask``: then without steps), ready to go on with.

    Steps that cannot be read, or belong to another outline, are left out and told as a finding
    (``undo_not_restored``); the outline itself never depends on them. ``locks`` as for
    ``MaskDraft.resumed``. Raises ``mask_damaged``.
    """
    mask, undo = unpack_mask(data), unpack_undo(data)
    if undo is None:
        return MaskDraft.resumed(mask, None, locks=locks), None
    try:
        return MaskDraft.resumed(mask, EditHistory.from_bytes(undo, mask.array, fingerprint(mask)), locks=locks), None
    except SegmentationRefused as refusal:
        told = Finding("undo_not_restored", f"Earlier steps of this outline cannot be undone any more: {refusal.message} The outline itself is whole.", "info")
        return MaskDraft.resumed(mask, None, locks=locks), told
