"""The walk over the demonstration case: a reader alone, from the pictures to the report."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from app.ui.walk.aloud import names_in
from app.ui.walk.contrast_steps import ContrastSteps
from app.ui.walk.hands import Album, Complaints, settle, wait_until
from app.ui.walk.plan_steps import PlanSteps
from app.ui.walk.reading_steps import WALKED_NODE, ReadingSteps

OPENING_SECONDS = 900.0  # kernels are compiled where they are not in the cache yet
DATABASE_PARTS = (".sqlite", ".sqlite-wal", ".sqlite-shm", ".json")


class CaseWalk(ReadingSteps, ContrastSteps, PlanSteps):
    """The walk over one case: one method a step, in order."""

    def __init__(self, window, album: Album):
        self.window, self.session, self.album = window, window.session, album
        self.complaints = Complaints(window.session)

    @property
    def panel(self):
        """Panel of the step on screen."""
        return self.window.side.currentWidget()

    def node_id(self, label: str = WALKED_NODE) -> str:
        """Identity of the node that is walked, or of another one."""
        return next(n.node_id for n in self.session.subject_nodes if n.label == label)

    def state(self):
        """Its state at the visit on screen."""
        return self.session.nodes[self.node_id()]

    def open_case(self, case: Path) -> None:
        """The demonstration study, its first volume, the 3D view and the kernels."""
        self.session.open_demo(case)
        wait_until(lambda: self.complaints.check() or (self.session.image is not None and self.window.is_ready), "the demonstration case", OPENING_SECONDS)
        settle(self.session)
        self.album.listener.names |= names_in(self.session.study.snapshot()) | {series.description for series in self.session.series} | {self.session.reader}


def copy_case(case: Path, place: Path, *, study: str = "study") -> Path:
    """A working copy of a demonstration case: the database copied, the pictures linked. ``study`` is the name of its study folder."""

    def link_or_copy(source: str, target: str) -> str:
        if not source.endswith(DATABASE_PARTS):
            try:
                os.link(source, target)
                return target
            except OSError:
                pass  # another disk, or no links here: a copy does as well
        return shutil.copy2(source, target)

    copy = place / "case"
    copy.mkdir(parents=True)
    shutil.copytree(case / study, copy / "study", copy_function=link_or_copy)
    for file in case.glob("*.json"):
        shutil.copy2(file, copy / file.name)
    return copy
