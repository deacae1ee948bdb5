"""Which voxels are the node, and the small patches that undo an edit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from volumetry.errors import MeasurementRefused
from volumetry.finding import Finding
from volumetry.geometry import ImageGeometry
from volumetry.outline_origin import OutlineOrigin


def _whole(array: np.ndarray) -> np.ndarray:
    """The array, where every value is a whole number; a share or NaN is neither in nor out."""
    if array.dtype.kind not in "biu":
        if array.dtype.kind != "f" or not np.isfinite(array).all():
            raise MeasurementRefused("The mask holds values that are not numbers.", code="nan")
        if (array != np.round(array)).any():
            raise MeasurementRefused("The mask holds shares of a voxel; a voxel is in or out.", code="bad_labels", hint="Decide first which share counts as in.")
    return array


@dataclass(frozen=True, slots=True, eq=False)
class NodeMask:
    """One node's voxels: ``array[k, j, i]`` of bool (read-only) on a grid in the patient.

    ``coverage_volume_ml`` is the volume of the outline the mask was rastered from (contours,
    star-convex surface, fractional SEG); None for a plain binary mask. It is dropped by any edit.
    ``findings`` are what was noticed when the mask was read; with ``spacing_unknown`` among them no
    volume can be trusted. ``origin`` says how the outline came about, where that is known.
    Refuses ``bad_shape`` (does not fit its grid), ``nan`` and ``bad_labels`` (shares of a voxel).
    """

    array: np.ndarray
    geometry: ImageGeometry
    label: int = 1
    name: str | None = None
    coverage_volume_ml: float | None = None
    findings: tuple[Finding, ...] = ()
    origin: OutlineOrigin | None = None

    def __post_init__(self) -> None:
        if self.array.shape != self.geometry.shape:
            raise MeasurementRefused(f"Mask {self.array.shape} does not fit its grid {self.geometry.shape}.", code="bad_shape")
        array = self.array if self.array.dtype == np.bool_ else _whole(self.array) != 0
        array.setflags(write=False)
        object.__setattr__(self, "array", array)

    @property
    def outlined(self) -> str | None:
        """How sure the outline is, as a word of ``volumetry.uncertainty.OUTLINED``; None where nobody said."""
        return None if self.origin is None else self.origin.outlined

    def bounding_slices(self, pad: int = 0) -> tuple[slice, slice, slice] | None:
        """(k, j, i) slices around the node, widened by ``pad`` voxels inside the grid; None if empty."""
        out, rest = [], self.array
        for axis in range(3):  # each axis is looked for only where the ones before found something
            hits = np.flatnonzero(rest.any(axis=tuple(a for a in range(3) if a != axis)))
            if hits.size == 0:
                return None
            first, last = int(hits[0]), int(hits[-1])
            rest = rest[(slice(None),) * axis + (slice(first, last + 1),)]
            out.append(slice(max(0, first - pad), min(self.array.shape[axis], last + 1 + pad)))
        return tuple(out)


@dataclass(frozen=True, slots=True, eq=False)
class MaskPatch:
    """What one edit changed: the box it touched, and that box before and after.

    Undo writes ``before`` back, redo writes ``after``; the cost is the size of the stroke, not of
    the picture.
    """

    box: tuple[slice, slice, slice]
    before: np.ndarray
    after: np.ndarray

    @classmethod
    def between(cls, old: np.ndarray, new: np.ndarray, within: tuple[slice, slice, slice] | None = None) -> MaskPatch | None:
        """The smallest patch that turns ``old`` into ``new`` (bool, one shape); None if equal. They differ at
        most in the box ``within``, where the caller knows one."""
        if within is not None:
            patch = cls.between(old[within], new[within])
            return None if patch is None else cls(inside_box(within, patch.box), patch.before, patch.after)
        # Slice by slice: most edits touch few, and one slice at a time stays in the processor's cache.
        first = next((k for k in range(len(old)) if not np.array_equal(old[k], new[k])), None)
        if first is None:
            return None
        last = next(k for k in range(len(old) - 1, -1, -1) if not np.array_equal(old[k], new[k]))
        changed = old[first : last + 1] != new[first : last + 1]
        box = []
        for axis in range(3):
            hits = np.flatnonzero(changed.any(axis=tuple(a for a in range(3) if a != axis)))
            start = first if axis == 0 else 0
            box.append(slice(start + int(hits[0]), start + int(hits[-1]) + 1))
        box = tuple(box)
        return cls(box, old[box].copy(), new[box].copy())

    def apply(self, array: np.ndarray) -> None:
        """Redo: write the new values into ``array`` in place."""
        array[self.box] = self.after

    def revert(self, array: np.ndarray) -> None:
        """Undo: write the old values back into ``array`` in place."""
        array[self.box] = self.before


def around_boxes(a: tuple[slice, ...] | None, b: tuple[slice, ...] | None) -> tuple[slice, ...] | None:
    """The box around two boxes; None stands for an empty one."""
    if a is None or b is None:
        return a or b
    return tuple(slice(min(p.start, q.start), max(p.stop, q.stop)) for p, q in zip(a, b, strict=True))


def inside_box(outer: tuple[slice, ...], inner: tuple[slice, ...]) -> tuple[slice, ...]:
    """A box that is given inside another one, in the array that the other one is a box of."""
    return tuple(slice(o.start + i.start, o.start + i.stop) for o, i in zip(outer, inner, strict=True))
