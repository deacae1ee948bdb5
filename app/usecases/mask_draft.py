"""An outline while it is being drawn: one writable array, and a patch for each step back.

Pure editing rules live in ``volumetry.segmentation.editing``; this class holds the working copy and its
undo steps, knows what is still true of the outline beside its voxels, and hands out values.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import replace
from types import EllipsisType

import numpy as np

from app.usecases.readings import pack_mask, unpack_mask, unpack_undo
from volumetry.errors import SegmentationRefused
from volumetry.finding import Finding
from volumetry.geometry import ImageGeometry
from volumetry.mask import MaskPatch, NodeMask, around_boxes, inside_box
from volumetry.measure import NodeMeasurement, measure_node
from volumetry.outline_origin import NOT_RECORDED, OutlineOrigin
from volumetry.segmentation.editing import Box, bounding_box, paint
from volumetry.segmentation.history import EditHistory, EditStep, OutlineClick, OutlineNote


class MaskDraft:
    """The working outline of one node on one image grid.

    ``array`` is bool ``[k, j, i]``, to be read only: it changes through the methods here, which keep ``box`` and
    ``version`` true. All of them work in the box around the outline, because a copy of a whole large picture
    takes longer than a hand may be held up. ``note`` is what holds of the outline beside its voxels:

    - ``coverage_volume_ml``, the volume of the surface that the mask was rastered from, and ``click``, the
      click and anchor points that drew it: any hand edit drops them, because they no longer describe the voxels;
    - ``origin``, how the outline came about: a hand edit marks it ``edited``;
    - ``findings``, such as ``propagated`` of an outline carried over from another visit: **no hand edit drops
      them**, however much it repairs. They go only with the outline itself: when a new one is made from the
      picture (``replace``), or drawn after nothing was left of the old one.

    ``history`` holds the steps. ``edit``, ``replace`` and ``end_stroke`` add to it; ``undo`` and ``redo`` go
    along it, never in the middle of a stroke.
    """

    def __init__(self, geometry: ImageGeometry, mask: NodeMask | None = None, *, click: OutlineClick | None = None, history: EditHistory | None = None):
        self.geometry = geometry
        self._array = np.zeros(geometry.shape, dtype=bool) if mask is None else mask.array.copy()
        self.array = self._array.view()
        self.array.setflags(write=False)
        self.box: Box | None = None if mask is None else bounding_box(self._array)
        """(k, j, i) slices that hold every voxel of the outline; None while it is empty."""
        self.version = 0
        """Counts changes of the voxels: the same number means the same voxels."""
        self.name = None if mask is None else mask.name
        self.note = OutlineNote() if mask is None else _note_of(mask, click)
        self.history = EditHistory(None) if history is None else history
        self._stroke: tuple[Box | None, np.ndarray | None] | None = None  # the box before a stroke, and what lay in it

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
        return self.box is None or (self._stroke is not None and not self._array[self.box].any())  # else the box is tight

    def copy_array(self) -> np.ndarray:
        """The voxels as they stand, as an array of one's own."""
        return self.copy_later()()

    def copy_later(self) -> Callable[[], np.ndarray]:
        """The same for another thread: the voxels in the box are copied now, the array is made when the
        function is called."""
        shape, box = self.geometry.shape, self.box
        crop = None if box is None else self._array[box].copy()

        def make() -> np.ndarray:
            out = np.zeros(shape, dtype=bool)
            if crop is not None:
                out[box] = crop
            return out

        return make

    def as_mask(self, label: int = 1, name: str | None = None) -> NodeMask:
        """A read-only copy as a value."""
        return self.mask_later(label, name)()

    def mask_later(self, label: int = 1, name: str | None = None) -> Callable[[], NodeMask]:
        """The same for another thread, as ``copy_later``."""
        make, note, geometry, name = self.copy_later(), self.note, self.geometry, name or self.name
        return lambda: NodeMask(make(), geometry, label, name, note.coverage_volume_ml, note.findings, note.origin)

    def mask_in_stroke(self) -> Callable[[], NodeMask]:
        """The outline in the middle of a stroke, for another thread: its voxels with what would be known of
        them if the stroke ended now."""
        make, note, geometry, name = self.copy_later(), self._after_hand(self._began_empty, "brush"), self.geometry, self.name
        return lambda: NodeMask(make(), geometry, 1, name, None, note.findings, note.origin)

    def measure(self) -> NodeMeasurement:
        """All numbers of the outline as it stands."""
        return measure_node(self.as_mask())

    def replace(self, new: NodeMask, text: str, *, click: OutlineClick | None = None, box: Box | EllipsisType | None = ...) -> EditStep | None:
        """Take over a whole new outline (a click, a loaded mask) with what is known of it; None if nothing changed.
        ``box`` holds all its voxels (None: there are none), where the caller has looked already."""
        after = _note_of(new, click)
        if after.origin is None:
            after = replace(after, origin=OutlineOrigin(NOT_RECORDED))
        patch = self._difference(new.array, box)
        if patch is None and _alike(self.note, after):
            return None
        return self._record(text, patch, self.note, after)

    def edit(self, new: np.ndarray, text: str, *, method: str = "by_hand", box: Box | EllipsisType | None = ...) -> EditStep | None:
        """Take over hand-edited voxels; the sub-voxel volume no longer holds. None if no voxel changed.
        ``method`` is the origin's where nothing was outlined before, ``box`` as for ``replace``."""
        patch = self._difference(new, box)
        return None if patch is None else self._record(text, patch, self.note, self._after_hand(self.is_empty, method))

    def _difference(self, new: np.ndarray, box: Box | EllipsisType | None) -> MaskPatch | None:
        within = around_boxes(self.box, bounding_box(new) if box is ... else box)
        return None if within is None else MaskPatch.between(self._array, new, within)

    # ---- strokes ---------------------------------------------------------------------------------
    def begin_stroke(self) -> None:
        """A stroke begins: dabs paint in place until ``end_stroke``."""
        self._stroke = (self.box, None if self.box is None else self._array[self.box].copy())

    def paint(self, point_mm, radius_mm: float, *, value: bool = True, plane_axis: int | None = None) -> Box | None:
        """A dab of the stroke, as ``editing.paint``; the box touched, or None beside the picture."""
        touched = paint(self._array, self.geometry, point_mm, radius_mm, value=value, plane_axis=plane_axis)
        if touched is not None:
            self.box = around_boxes(self.box, touched)
            self.version += 1
        return touched

    @property
    def _began_empty(self) -> bool:
        """True where nothing was outlined when the stroke under way began."""
        return self._stroke is not None and (self._stroke[1] is None or not self._stroke[1].any())

    def end_stroke(self, text: str) -> EditStep | None:
        """The stroke ends; None where it changed no voxel."""
        was_empty, (box, crop), self._stroke = self._began_empty, self._stroke, None
        within = self.box  # holds the box before and every dab
        if within is None:
            return None
        before = np.zeros([s.stop - s.start for s in within], dtype=bool)
        if box is not None:
            before[tuple(slice(b.start - w.start, b.stop - w.start) for b, w in zip(box, within, strict=True))] = crop
        patch = MaskPatch.between(before, self._array[within])
        if patch is None:
            self.box = box
            return None
        return self._record(text, replace(patch, box=inside_box(within, patch.box)), self.note, self._after_hand(was_empty, "brush"))

    def _after_hand(self, was_empty: bool, method: str) -> OutlineNote:
        """What is known after a hand edit; see the class for what it may drop."""
        if was_empty:
            return OutlineNote(origin=OutlineOrigin(method))
        return OutlineNote(origin=(self.note.origin or OutlineOrigin(NOT_RECORDED)).by_hand(), findings=self.note.findings)

    def _record(self, text: str, patch: MaskPatch | None, before: OutlineNote, after: OutlineNote) -> EditStep:
        step = EditStep(text, patch, before, after, time.time())
        if patch is not None:
            patch.apply(self._array)
            self._changed(patch)
        self.note = after
        self.history.push(step)
        return step

    def _changed(self, patch: MaskPatch) -> None:
        """Voxels in the patch's box are others now."""
        self.version += 1
        within = around_boxes(self.box, patch.box)
        tight = bounding_box(self._array[within])
        self.box = None if tight is None else inside_box(within, tight)

    def redo(self, step: EditStep) -> None:
        """Do a step again; it must be the next one of ``history``."""
        self._move(self.history.redo(self._array), step)
        self.note = step.after

    def undo(self, step: EditStep) -> None:
        """Take a step back, exactly; it must be the last one done in ``history``."""
        self._move(self.history.undo(self._array), step)
        self.note = step.before

    def _move(self, moved: EditStep | None, step: EditStep) -> None:
        if moved is not step:
            raise ValueError(f"the step '{step.text}' is not where the history stands")
        if step.patch is not None:
            self._changed(step.patch)


def _note_of(mask: NodeMask, click: OutlineClick | None) -> OutlineNote:
    return OutlineNote(mask.coverage_volume_ml, mask.origin, mask.findings, click)


def _alike(a: OutlineNote, b: OutlineNote) -> bool:
    def method(note: OutlineNote) -> str:
        return NOT_RECORDED if note.origin is None else note.origin.method

    return (a.coverage_volume_ml, a.click, a.findings, method(a)) == (b.coverage_volume_ml, b.click, b.findings, method(b))


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
