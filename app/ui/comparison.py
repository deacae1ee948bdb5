"""Two visits side by side as a value of the window: how a point of one lies in the other.

No Qt and no jobs here; ``session_compare`` fills it and speaks of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from app.study.model import SeriesRecord, Visit
from app.usecases.compare_visits import OtherOutline
from app.usecases.register import LandmarkPair, register_pairs
from volumetry.errors import NodusError
from volumetry.finding import Finding
from volumetry.image import ImageVolume
from volumetry.registration import RigidRegistration

Side = Literal["here", "there"]
Method = Literal["automatic", "landmarks", "position"]
METHODS: tuple[Method, ...] = ("automatic", "landmarks", "position")
NEEDED_PAIRS = 3
POOR_CODES = ("registration_poor", "registration_large", "registration_unchecked", "registration_unlike")


@dataclass(frozen=True, slots=True)
class Landmarks:
    """Points that a reader set in both visits, LPS mm of each. ``half`` is (side, point) of the one
    that still lacks its partner."""

    pairs: tuple[LandmarkPair, ...] = ()  # fixed_mm is here, moving_mm is there
    half: tuple[Side, tuple[float, float, float]] | None = None

    def points(self, side: Side) -> list[tuple[int, tuple[float, float, float]]]:
        """(number from 0, point) of every landmark that is set on that side."""
        out = [(n, p.fixed_mm if side == "here" else p.moving_mm) for n, p in enumerate(self.pairs)]
        return [*out, (len(self.pairs), self.half[1])] if self.half is not None and self.half[0] == side else out

    def with_point(self, side: Side, point) -> Landmarks:
        """One more point: the partner of the half one, or a new half one in place of an old."""
        point = tuple(float(v) for v in point)
        if self.half is None or self.half[0] == side:
            return replace(self, half=(side, point))
        other = self.half[1]
        return Landmarks((*self.pairs, LandmarkPair(*((point, other) if side == "here" else (other, point)))))

    def with_moved(self, number: int, side: Side, point) -> Landmarks:
        """One point elsewhere."""
        point = tuple(float(v) for v in point)
        if number >= len(self.pairs):
            return replace(self, half=(side, point))
        moved = replace(self.pairs[number], **{"fixed_mm" if side == "here" else "moving_mm": point})
        return replace(self, pairs=(*self.pairs[:number], moved, *self.pairs[number + 1 :]))

    def without_last(self) -> Landmarks:
        """The last point or pair taken away."""
        return replace(self, half=None) if self.half is not None else replace(self, pairs=self.pairs[:-1])

    def swapped(self) -> Landmarks:
        """The same seen from the other visit."""
        half = None if self.half is None else ("there" if self.half[0] == "here" else "here", self.half[1])
        return Landmarks(tuple(replace(p, fixed_mm=p.moving_mm, moving_mm=p.fixed_mm) for p in self.pairs), half)


@dataclass(slots=True, eq=False)
class Comparison:
    """The other visit beside the one on screen.

    ``here`` is the volume on screen, ``there`` the other visit's; registrations carry points of here
    to there. ``method`` says what links them: None while nothing does. ``crosshair_mm`` is there.
    """

    visit: Visit
    record: SeriesRecord
    here: ImageVolume
    there: ImageVolume
    outlines: dict[str, OtherOutline]
    automatic: RigidRegistration | None = None
    automatic_refusal: str = ""
    landmarks: Landmarks = field(default_factory=Landmarks)
    by_landmarks: RigidRegistration | None = None
    landmarks_refusal: str = ""
    method: Method | None = None
    crosshair_mm: np.ndarray = field(default_factory=lambda: np.zeros(3))

    @property
    def registration(self) -> RigidRegistration | None:
        """What links the visits, or None (also where only the scanner's position does)."""
        return {"automatic": self.automatic, "landmarks": self.by_landmarks}.get(self.method)

    @property
    def is_linked(self) -> bool:
        """True while a point here has a place there."""
        return self.method == "position" or self.registration is not None

    def to_there(self, point_mm) -> np.ndarray | None:
        """Where a point of the volume on screen lies in the other one; None while nothing links them."""
        if self.registration is not None:
            return self.registration.apply(point_mm)
        return np.asarray(point_mm, float).copy() if self.method == "position" else None

    def to_here(self, point_mm) -> np.ndarray | None:
        """The way back."""
        if self.registration is not None:
            return self.registration.inverse().apply(point_mm)
        return np.asarray(point_mm, float).copy() if self.method == "position" else None

    def take_landmarks(self, landmarks: Landmarks) -> None:
        """Other landmarks: the registration by them anew, or why there is none."""
        self.landmarks, self.by_landmarks, self.landmarks_refusal = landmarks, None, ""
        if len(landmarks.pairs) >= NEEDED_PAIRS:
            try:
                self.by_landmarks = register_pairs(landmarks.pairs)
            except NodusError as refusal:
                self.landmarks_refusal = refusal.message
        if self.method == "landmarks" and self.by_landmarks is None:
            self.method = None

    def findings(self) -> tuple[Finding, ...]:
        """What is to be known about the link as it stands."""
        if self.registration is not None:
            return self.registration.findings
        if self.method == "position":
            return (Finding("linked_by_position", "The visits are linked by scanner position, not registered: the same point may be centimetres apart.", "warning"),)
        if self.automatic_refusal:
            return (Finding("registration_refused", f"The visits could not be registered. {self.automatic_refusal}", "warning"),)
        return ()

    @property
    def is_doubtful(self) -> bool:
        """True where the reader should look twice before trusting the link."""
        return any(f.code in POOR_CODES or f.code == "linked_by_position" for f in self.findings())
