"""What tests of the session share: where the node lies, hands, what was said."""

from __future__ import annotations

import numpy as np

from app.study.model import ReadingState
from app.ui.session import Session
from app.usecases.plan import NeedleDraft

CENTRE = (12.3, -8.1, 105.2)
RADIUS_MM = 9.0
WAIT_MS = 20_000
READER = "Reader A"


class Told:
    """What a session said aloud."""

    def __init__(self, session: Session):
        self.lines: list[tuple[str, str]] = []
        session.notice.connect(lambda severity, text: self.lines.append((severity, text)))
        session.jobs.failed.connect(lambda error, text: self.lines.append(("bug", text)))

    def has(self, words: str) -> bool:
        return any(words in text for _, text in self.lines)


def settle(qtbot, session) -> None:
    """Wait until every job has ended and its answer was taken."""
    qtbot.waitUntil(lambda: not session.jobs.is_busy(), timeout=WAIT_MS)


def array_of(session) -> np.ndarray:
    return session.current.draft.array.copy()


def lock(qtbot, session, **more) -> None:
    session.lock_reading(session.current_node_id, "Dr Reader", "I confirm this measurement", **more)
    qtbot.waitUntil(lambda: session.current.reading is not None and session.current.reading.state == ReadingState.LOCKED, timeout=WAIT_MS)
    settle(qtbot, session)


def two_needles(session, spacing_mm: float = 12.0) -> None:
    plan = session.plan
    for n, x in enumerate((-spacing_mm / 2, spacing_mm / 2)):
        tip = (CENTRE[0] + x, CENTRE[1], CENTRE[2] - 8.0)
        plan = plan.with_needle(NeedleDraft(f"E{n + 1}", tip, (tip[0], tip[1], tip[2] + 50.0), 16.0))
    session.set_plan(plan, "Two needles")


def solved(qtbot, session) -> None:
    session.solve()
    qtbot.waitUntil(lambda: session.assessment is not None, timeout=WAIT_MS)
    settle(qtbot, session)
