"""Undo and redo of an outline, step by step, in a form that can be saved beside the mask."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from volumetry.errors import SegmentationRefused
from volumetry.finding import Finding
from volumetry.mask import MaskPatch
from volumetry.outline_origin import OutlineOrigin, origin_from

_MAGIC = b"NODUSUNDO1"
KEPT_STEPS, KEPT_BYTES = 100, 500_000
"""What is saved with an outline at most; the oldest steps are left out first."""


class OutlineClick(NamedTuple):
    """The click that an outline came from, so that points can go on pulling it: LPS mm."""

    seed_mm: tuple[float, float, float]
    radius_mm: float
    anchors_mm: tuple[tuple[float, float, float], ...] = ()


@dataclass(frozen=True, slots=True)
class OutlineNote:
    """What is known of an outline beside its voxels: the volume of its sub-voxel surface, how it came
    about, what was noticed about it, and the click that drew it (None once a hand has changed it)."""

    coverage_volume_ml: float | None = None
    origin: OutlineOrigin | None = None
    findings: tuple[Finding, ...] = ()
    click: OutlineClick | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; what is not known is left out."""
        out: dict[str, Any] = {}
        if self.coverage_volume_ml is not None:
            out["coverage_volume_ml"] = self.coverage_volume_ml
        if self.origin is not None:
            out["origin"] = self.origin.as_dict()
        if self.findings:
            out["findings"] = [f.as_dict() for f in self.findings]
        if self.click is not None:
            out["click"] = self.click
        return out


def note_from(kept: Mapping[str, Any]) -> OutlineNote:
    """What ``OutlineNote.as_dict`` gave, as a value again. Raises ``KeyError``, ``TypeError`` or
    ``ValueError`` for anything else."""
    coverage, click = kept.get("coverage_volume_ml"), kept.get("click")
    return OutlineNote(
        None if coverage is None else float(coverage),
        origin_from(kept.get("origin")),
        tuple(Finding(f["code"], f["message"], f["severity"]) for f in kept.get("findings", ())),
        None if click is None else OutlineClick(_point(click[0]), float(click[1]), tuple(_point(p) for p in click[2])),
    )


def _point(values) -> tuple[float, float, float]:
    x, y, z = (float(v) for v in values)
    return x, y, z


@dataclass(frozen=True, slots=True, eq=False)
class EditStep:
    """One undoable step: its name, the voxels it changed (None: none), what was known of the outline
    before and after, and when it was done (seconds since 1970, UTC; steps of several nodes are told
    apart in time by it)."""

    text: str
    patch: MaskPatch | None
    before: OutlineNote = OutlineNote()
    after: OutlineNote = OutlineNote()
    done_utc_s: float = 0.0


class EditHistory:
    """A stack of steps with a place in it.

    ``limit`` bounds the number of steps kept (None: all); the oldest go first. ``push`` takes a step
    that was already applied and forgets what could have been redone. ``locks`` counts how often the
    outline had been locked when these steps were done: what was locked since then is not taken back.
    """

    def __init__(self, limit: int | None = 200, *, locks: int = 0):
        self.limit = limit
        self.locks = locks
        self._steps: list[EditStep] = []
        self._done = 0

    @property
    def steps(self) -> tuple[EditStep, ...]:
        """All steps, oldest first."""
        return tuple(self._steps)

    @property
    def done_count(self) -> int:
        """How many of them are done; the others can be redone."""
        return self._done

    @property
    def undo_text(self) -> str | None:
        """Name of the step that ``undo`` would take back."""
        return self._steps[self._done - 1].text if self._done else None

    @property
    def redo_text(self) -> str | None:
        """Name of the step that ``redo`` would do again."""
        return self._steps[self._done].text if self._done < len(self._steps) else None

    def push(self, step: EditStep) -> None:
        """Remember a step that has just been done."""
        del self._steps[self._done :]
        self._steps.append(step)
        if self.limit is not None and len(self._steps) > self.limit:
            del self._steps[: len(self._steps) - self.limit]
        self._done = len(self._steps)

    def record(self, text: str, before: np.ndarray, after: np.ndarray) -> EditStep | None:
        """``push`` the difference of two arrays; None (and nothing pushed) where they are equal."""
        patch = MaskPatch.between(before, after)
        if patch is None:
            return None
        step = EditStep(text, patch)
        self.push(step)
        return step

    def undo(self, array: np.ndarray) -> EditStep | None:
        """Take the last step back in ``array`` (in place); None where there is none."""
        if not self._done:
            return None
        self._done -= 1
        step = self._steps[self._done]
        if step.patch is not None:
            step.patch.revert(array)
        return step

    def redo(self, array: np.ndarray) -> EditStep | None:
        """Do the next step again in ``array`` (in place); None where there is none."""
        if self._done >= len(self._steps):
            return None
        step = self._steps[self._done]
        self._done += 1
        if step.patch is not None:
            step.patch.apply(array)
        return step

    def begin_anew(self, locks: int, keep_last: int = 0) -> None:
        """Forget all steps but the last ``keep_last`` done ones: the outline was locked before them."""
        self._steps = self._steps[max(0, self._done - keep_last) : self._done]
        self._done, self.locks = len(self._steps), locks

    def copy(self) -> EditHistory:
        """The same steps at the same place, going its own way from here (steps themselves never change)."""
        other = EditHistory(self.limit, locks=self.locks)
        other._steps, other._done = list(self._steps), self._done
        return other

    # ---- saving ------------------------------------------------------------------------------
    def to_bytes(self, belongs_to: str = "", *, max_steps: int = KEPT_STEPS, max_bytes: int = KEPT_BYTES) -> bytes:
        """The history as bytes, bounded: where it is longer, the oldest done steps are left out, then
        the farthest undone ones. ``belongs_to`` names the outline (a hash of its voxels) that
        ``from_bytes`` must be given again. Of a step only the voxels that differ are written: what lay
        there before follows from the outline."""
        rows, packed = [], []
        for step in self._steps:
            box, bits = None, b""
            if step.patch is not None:
                box = [[int(s.start), int(s.stop)] for s in step.patch.box]
                bits = zlib.compress(np.packbits(step.patch.before != step.patch.after).tobytes(), 6)
            packed.append(bits)
            rows.append([step.text, step.done_utc_s, box, len(bits), step.before.as_dict(), step.after.as_dict()])
        sizes = [len(json.dumps(row)) + len(bits) for row, bits in zip(rows, packed, strict=True)]
        first, last, total = 0, len(rows), sum(sizes)
        while last > first and (last - first > max_steps or total > max_bytes):
            if first < self._done:
                total -= sizes[first]
                first += 1
            else:
                last -= 1
                total -= sizes[last]
        head = zlib.compress(json.dumps({"belongs_to": belongs_to, "locks": self.locks, "done": self._done - first, "steps": rows[first:last]}).encode("utf-8"), 6)
        body = struct.pack("<I", len(head)) + head + b"".join(packed[first:last])
        return _MAGIC + struct.pack("<I", zlib.crc32(body)) + body

    @classmethod
    def from_bytes(cls, data: bytes, array: np.ndarray, belongs_to: str = "") -> EditHistory:
        """The history that ``to_bytes`` wrote, unlimited. ``array`` (bool [k, j, i], not changed) is the
        outline that it stands at.

        Refuses (``SegmentationRefused``) with code ``bad_history`` what is no whole history, and
        ``history_of_other_mask`` one that was written for another outline.
        """
        try:
            head, body = _opened(data)
            if head["belongs_to"] != belongs_to:
                raise SegmentationRefused("The saved undo steps belong to another outline.", code="history_of_other_mask")
            history, done, changes, at = cls(None, locks=int(head["locks"])), int(head["done"]), [], 0
            for row in head["steps"]:
                size = int(row[3])
                changes.append(None if row[2] is None else _change_from(body[at : at + size], row[2], array.shape))
                at += size
            if not 0 <= done <= len(changes):
                raise ValueError("the place lies outside the steps")
            patches: list[MaskPatch | None] = [None] * len(changes)
            for order, backwards in ((range(done - 1, -1, -1), True), (range(done, len(changes)), False)):
                now = array.copy()
                for n in order:
                    if changes[n] is not None:
                        box, differs = changes[n]
                        here, there = now[box].copy(), now[box] ^ differs
                        patches[n] = MaskPatch(box, there, here) if backwards else MaskPatch(box, here, there)
                        now[box] = there
            for (text, done_utc_s, _box, _size, before, after), patch in zip(head["steps"], patches, strict=True):
                history._steps.append(EditStep(str(text), patch, note_from(before), note_from(after), float(done_utc_s)))
            history._done = done
        except (ValueError, KeyError, IndexError, TypeError, AttributeError, struct.error, zlib.error) as error:
            raise SegmentationRefused("The saved undo steps cannot be read.", code="bad_history") from error
        return history


def _opened(data: bytes) -> tuple[dict[str, Any], bytes]:
    """Head and steps of saved bytes that are whole."""
    at = len(_MAGIC) + 4
    if not data.startswith(_MAGIC) or len(data) < at + 4:
        raise SegmentationRefused("The saved steps were written by another version, or are none.", code="bad_history")
    if zlib.crc32(data[at:]) != struct.unpack("<I", data[at - 4 : at])[0]:
        raise SegmentationRefused("The saved undo steps are damaged.", code="bad_history")
    (length,) = struct.unpack("<I", data[at : at + 4])
    return json.loads(zlib.decompress(data[at + 4 : at + 4 + length])), data[at + 4 + length :]


def _change_from(data: bytes, box, shape: tuple[int, ...]) -> tuple[tuple[slice, ...], np.ndarray]:
    """The box of a step and which of its voxels it changed."""
    slices = tuple(slice(int(a), int(b)) for a, b in box)
    if any(not 0 <= s.start < s.stop <= n for s, n in zip(slices, shape, strict=True)):
        raise ValueError("a step lies outside the picture")
    size = tuple(s.stop - s.start for s in slices)
    bits = np.frombuffer(zlib.decompress(data), np.uint8)
    if bits.size != (int(np.prod(size)) + 7) // 8:
        raise ValueError("a step has not the size it states")
    return slices, np.unpackbits(bits, count=int(np.prod(size))).astype(bool).reshape(size)
