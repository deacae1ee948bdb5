"""Where the tissue of a contrast loop lies in each frame, and which frames show it at all.

The B-mode half is registered and the answer is used on the contrast half: there the brightness
changes because bubbles come and go, not because the tissue moved.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from volumetry.errors import NodusError
from volumetry.finding import Finding

# Why a frame takes no part, by what stands in ``Motion.reasons``.
REASONS = ("", "out_of_plane", "flash", "outside")


class MotionRefused(NodusError):
    """A loop whose motion cannot be worked out."""

    default_code = "motion_refused"


@dataclass(frozen=True, slots=True, eq=False)
class Motion:
    """Where each frame lies against one reference frame.

    ``matrices`` (float64 ``[frame, 2, 3]``) take a pixel ``(x, y, 1)`` of the reference frame to the
    pixel ``(x, y)`` of the frame; pixels are counted from the middle of the first one, x along a row.
    ``field`` (float32 ``[frame, gr, gc, 2]`` or None) is a further displacement ``(x, y)`` in pixels,
    added in the frame after the matrix; its nodes are spread evenly over the pane of the reference
    frame, corner to corner, bilinear between. ``correlation`` (``[frame]``, -1 to 1) is the likeness
    of the moved B-mode frame to the reference; ``accepted`` says which frames take part, ``reasons``
    why the others do not ("" where accepted). ``residual_mm`` is what motion is left over in the
    accepted frames (RMS of re-found blocks), None where it could not be worked out.
    """

    matrices: np.ndarray
    field: np.ndarray | None
    correlation: np.ndarray
    accepted: np.ndarray
    reasons: tuple[str, ...]
    reference_frame: int
    findings: tuple[Finding, ...] = ()
    residual_mm: float | None = None

    def __post_init__(self) -> None:
        frames = len(self.matrices)
        same = self.matrices.shape == (frames, 2, 3) and len(self.correlation) == len(self.accepted) == len(self.reasons) == frames
        if not same or not 0 <= self.reference_frame < max(frames, 1) or (self.field is not None and len(self.field) != frames):
            raise MotionRefused("The motion of the loop is not of one piece: its parts speak of different frames.")
        for array in (self.matrices, self.field, self.correlation, self.accepted):
            if array is not None:
                array.setflags(write=False)

    @classmethod
    def still(cls, frames: int, findings: tuple[Finding, ...] = ()) -> Motion:
        """No motion: identity in every frame, every frame accepted."""
        matrices = np.tile(np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]), (frames, 1, 1))
        return cls(matrices, None, np.ones(frames), np.ones(frames, bool), ("",) * frames, 0, findings)

    @property
    def frames(self) -> int:
        """Number of frames, accepted or not."""
        return len(self.matrices)

    @property
    def rejected_frames(self) -> int:
        """Number of frames that take no part."""
        return int(self.frames - np.count_nonzero(self.accepted))
