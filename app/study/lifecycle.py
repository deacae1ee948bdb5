"""The one table by which a reading changes its state."""

from __future__ import annotations

from app.study.errors import StudyRefused
from app.study.model import ReadingState as S

# A draft may be left and taken up again; what was once saved as measured changes with a reason only;
# a locked one can only be replaced by a newer version that was locked itself.
TRANSITIONS: dict[S, frozenset[S]] = {
    S.DRAFT: frozenset({S.DRAFT, S.MEASURED}),
    S.MEASURED: frozenset({S.MEASURED, S.LOCKED}),
    S.LOCKED: frozenset({S.SUPERSEDED}),
    S.SUPERSEDED: frozenset(),
}


def can_move(old: S, new: S) -> bool:
    """True if the table has the step from ``old`` to ``new``."""
    return S(new) in TRANSITIONS[S(old)]


def check_move(old: S, new: S) -> None:
    """Raise ``StudyRefused`` (``reading_locked`` or ``state_refused``) where the table has no such step."""
    old, new = S(old), S(new)
    if can_move(old, new):
        return
    if old in (S.LOCKED, S.SUPERSEDED):
        raise StudyRefused(
            f"This reading is {old.value}; its values never change.",
            code="reading_locked",
            hint="Make a correction: a new version with a reason.",
        )
    raise StudyRefused(f"A reading cannot go from {old.value} to {new.value}.", code="state_refused")
