"""Undo and redo of an outline, step by step, in a form that can be saved beside the mask."""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from dataclasses import dataclass

import numpy as np

from volumetry.errors import SegmentationRefused
from volumetry.mask import MaskPatch

_FORMAT = 1


@dataclass(frozen=True, slots=True, eq=False)
class EditStep:
    """One undoable step: its name, the voxels it changed (None: none), and the volume of the
    sub-voxel surface before and after, which a hand edit drops."""

    text: str
    patch: MaskPatch | None
    coverage_before_ml: float | None = None
    coverage_after_ml: float | None = None


class EditHistory:
    """A stack of steps with a place in it.

    ``limit`` bounds the number of steps kept; the oldest go first. ``push`` takes a step that was
    already applied and forgets what could have been redone.
    """

    def __init__(self, limit: int = 200):
        self.limit = limit
        self._steps: list[EditStep] = []
        self._done = 0

    @property
    def steps(self) -> tuple[EditStep, ...]:
        """All steps, oldest first."""
        return tuple(self._steps)

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
        if len(self._steps) > self.limit:
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

    def to_bytes(self) -> bytes:
        """The history as a compressed NumPy archive; equal histories give equal patches back."""
        arrays, rows = {}, []
        for n, step in enumerate(self._steps):
            box = None
            if step.patch is not None:
                box = [[s.start, s.stop] for s in step.patch.box]
                arrays[f"before{n}"] = np.packbits(step.patch.before)
                arrays[f"after{n}"] = np.packbits(step.patch.after)
            rows.append([step.text, box, step.coverage_before_ml, step.coverage_after_ml])
        head = json.dumps({"format": _FORMAT, "limit": self.limit, "done": self._done, "steps": rows})
        arrays["head"] = np.frombuffer(head.encode("utf-8"), dtype=np.uint8)
        out = io.BytesIO()
        np.savez_compressed(out, **arrays)
        return out.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> EditHistory:
        """The history that ``to_bytes`` wrote. Refuses (code ``bad_history``) anything else."""
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as archive:
                head = json.loads(archive["head"].tobytes().decode("utf-8"))
                if head["format"] != _FORMAT:
                    raise SegmentationRefused("The saved steps were written by another version.", code="bad_history")
                history = cls(int(head["limit"]))
                for n, (text, box, before_ml, after_ml) in enumerate(head["steps"]):
                    patch = None
                    if box is not None:
                        shape = tuple(b - a for a, b in box)
                        size = int(np.prod(shape))
                        old, new = (np.unpackbits(archive[f"{name}{n}"], count=size).astype(bool).reshape(shape) for name in ("before", "after"))
                        patch = MaskPatch(tuple(slice(a, b) for a, b in box), old, new)
                    history._steps.append(EditStep(text, patch, before_ml, after_ml))
                history._done = int(head["done"])
        except (ValueError, KeyError, OSError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise SegmentationRefused("The saved undo steps cannot be read.", code="bad_history") from error
        return history
