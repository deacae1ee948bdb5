"""A scripted walk through the real window over the demonstration case, with a picture of each step.

``nodus walk OUT [--case FOLDER] [--size 1920x1080] [--scale 1.5] [--language zh-CN]``

The walk sends mouse events to the panes and presses the panels' own buttons; it waits for jobs in
Qt's event loop. It works on a copy of the study (pictures are linked, the database is copied), so
that the case it was given stays as it was.

It shows the window and says nothing about how well outlines are found: it clicks at the seeds that
the demonstration keeps in its study, which are the true centres of the nodes at baseline, and drags
about as far as an earlier reading of the node is long.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PySide6.QtCore import QDeadlineTimer, QEvent, QEventLoop, QObject, QPointF, Qt, QTimer
from PySide6.QtGui import QMouseEvent
from PySide6.QtWidgets import QApplication, QWidget

from app.ui.text import LanguageUnknown
from volumetry.errors import NodusError

PATIENCE_SECONDS = 180.0
WALKED_NODE, DRAWN_NODE = "N1", "N2"
WALKED_SAMPLES = 24
DATABASE_PARTS = (".sqlite", ".sqlite-wal", ".sqlite-shm", ".json")


class WalkFailed(NodusError):
    """Something that the walk waited for did not happen."""

    default_code = "walk_failed"


# ---- waiting and hands ---------------------------------------------------------------------------
def wait_until(condition: Callable[[], bool], what: str, seconds: float = PATIENCE_SECONDS) -> None:
    """Run the event loop until ``condition()``; raises ``WalkFailed`` naming ``what`` when it takes
    longer than ``seconds``."""
    pulse = QTimer()
    pulse.start(15)  # wakes the loop, so that the condition is asked again
    deadline = QDeadlineTimer(int(seconds * 1000))
    while not condition():
        if deadline.hasExpired():
            raise WalkFailed(f"Waited {seconds:.0f} s in vain for {what}.")
        QApplication.processEvents(QEventLoop.ProcessEventsFlag.WaitForMoreEvents)
    pulse.stop()


def settle(session) -> None:
    """Wait until no job runs and everything is painted."""
    wait_until(lambda: not session.jobs.is_busy(), "jobs to end")
    for _ in range(6):
        QApplication.processEvents()


def mouse(pane: QWidget, kind: QEvent.Type, x: float, y: float, *, buttons=Qt.MouseButton.LeftButton, modifiers=Qt.KeyboardModifier.NoModifier) -> None:
    """Send one mouse event to a pane, in its logical pixels."""
    here = QPointF(x, y)
    button = Qt.MouseButton.NoButton if kind == QEvent.Type.MouseMove else Qt.MouseButton.LeftButton
    held = Qt.MouseButton.NoButton if kind == QEvent.Type.MouseButtonRelease else buttons
    QApplication.sendEvent(pane, QMouseEvent(kind, here, QPointF(pane.mapToGlobal(here.toPoint())), button, held, modifiers))


class Drag:
    """Press at one place and move along; ``release`` ends it."""

    def __init__(self, pane: QWidget, start, *, modifiers=Qt.KeyboardModifier.NoModifier):
        self.pane, self.at, self.modifiers = pane, np.asarray(start, float), modifiers
        mouse(pane, QEvent.Type.MouseMove, *self.at, buttons=Qt.MouseButton.NoButton, modifiers=modifiers)
        mouse(pane, QEvent.Type.MouseButtonPress, *self.at, modifiers=modifiers)

    def to(self, end, steps: int = 10) -> Drag:
        """Move in small steps, as a hand does."""
        start, end = self.at, np.asarray(end, float)
        for n in range(1, steps + 1):
            self.at = start + (end - start) * n / steps
            mouse(self.pane, QEvent.Type.MouseMove, *self.at, modifiers=self.modifiers)
            QApplication.processEvents()
        return self

    def release(self) -> None:
        """Let go."""
        mouse(self.pane, QEvent.Type.MouseButtonRelease, *self.at, modifiers=self.modifiers)


class Album:
    """Writes the pictures ``01_images.png`` … and remembers them."""

    def __init__(self, folder: Path):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.pictures: list[Path] = []

    def take(self, widget: QWidget, name: str) -> Path:
        """Picture of a widget as it is on screen now."""
        QApplication.processEvents()
        place = self.folder / f"{len(self.pictures) + 1:02d}_{name}.png"
        if not widget.grab().save(str(place)):
            raise WalkFailed(f"The picture {place.name} could not be written.")
        self.pictures.append(place)
        return place


class Complaints(QObject):
    """Bugs in jobs end the walk; refusals are kept for the message."""

    def __init__(self, session):
        super().__init__()
        self.failures: list[str] = []
        self.refusals: list[str] = []
        session.jobs.failed.connect(lambda _problem, trace: self.failures.append(trace))
        session.jobs.refused.connect(lambda refusal: self.refusals.append(refusal.message))

    def check(self) -> None:
        """Raise where a job failed."""
        if self.failures:
            raise WalkFailed(self.failures[0])


# ---- the steps -----------------------------------------------------------------------------------
class Walk:
    """The walk itself: one method a step, in order."""

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
        wait_until(lambda: self.complaints.check() or (self.session.image is not None and self.window.is_ready), "the demonstration case")
        settle(self.session)

    def images(self) -> None:
        """Four panes."""
        self.session.set_step("images")
        self.session.select_node(self.node_id())
        self.session.set_crosshair(self.state().node.seed_mm)
        settle(self.session)
        self.album.take(self.window, "images")

    def outline(self) -> None:
        """Click and drag a radius; the outline appears while dragging."""
        session, panes = self.session, self.window.panes
        session.set_step("measure")
        session.set_crosshair(self.state().node.seed_mm)
        for pane in panes.slice_panes:
            pane.zoom(2.2)
        panes.centre_all()
        settle(session)
        self.panel.tools.buttons["node"].click()
        axial = panes.panes["axial"]
        seed = np.array(axial.screen_of(self.state().node.seed_mm))
        radius_px = self.expected_radius_mm() * axial.view.px_per_mm
        drag = Drag(axial, seed).to(seed + 0.7 * radius_px)
        wait_until(lambda: self.complaints.check() or not session.jobs.is_busy("preview"), "the outline under way")
        self.album.take(self.window, "outline_under_way")
        drag.release()
        wait_until(lambda: self.complaints.check() or self.state().measurement is not None or bool(self.complaints.refusals), "the outlined node")
        if self.complaints.refusals:
            raise WalkFailed(self.complaints.refusals[-1])
        settle(session)

    def expected_radius_mm(self, label: str = WALKED_NODE) -> float:
        """About a node's half length, as a reader sees it; from an earlier reading where there is one."""
        lengths = [r.long_axis_mm for r in self.session.subject_readings if r.node_id == self.node_id(label) and r.visit_id == self.session.visit.visit_id and r.long_axis_mm]
        return 0.55 * lengths[0] if lengths else 8.0

    def repair(self) -> None:
        """Erase over the border, undo, redo, paint it back with the brush. The outline needed no
        repair, so both strokes are undone at the end."""
        session = self.session
        axial = self.window.panes.panes["axial"]
        keys = self.panel.tools
        keys.size.setValue(1.5)
        centre = np.array(axial.screen_of(self.state().measurement.centroid_mm))
        border = centre + np.array([0.0, self.state().measurement.short_axis_mm / 2 + 1.0]) * axial.view.px_per_mm
        as_outlined = self.state().draft.array.copy()
        for tool, name in (("eraser", "eraser"), ("brush", "brush")):
            keys.buttons[tool].click()
            drag = Drag(axial, border - [18, 0]).to(border + np.array([18, 0]))
            settle(session)
            self.album.take(self.window, name)
            drag.release()
            settle(session)
            for step in ("undo", "redo"):
                keys.buttons[step].click()
                settle(session)
        for _stroke in range(2):
            keys.buttons["undo"].click()
            settle(session)
        if not np.array_equal(self.state().draft.array, as_outlined):
            raise WalkFailed("Undoing both strokes did not bring the outline back.")
        session.set_tool("crosshair")
        settle(session)
        self.album.take(self.window, "measure")
        self.panel.scroll.verticalScrollBar().setValue(self.panel.scroll.verticalScrollBar().maximum())
        settle(session)
        self.album.take(self.window, "measure_numbers")
        self.panel.scroll.verticalScrollBar().setValue(0)

    def enhancing(self) -> None:
        """The enhancing part by a threshold, hatched in the pictures; then as before, because nobody assessed it."""
        session, section = self.session, self.panel.enhancing
        state = self.state()
        section.choice.setCurrentIndex(section.choice.findData("hu"))
        section.choice.activated.emit(section.choice.currentIndex())
        wait_until(lambda: self.complaints.check() or not session.jobs.is_busy(), "the values inside the outline")
        if state.enhancing is None or state.enhancing.threshold_hu is None:
            section.threshold.setValue(round(state.enhancing.values.spread_hu()[1]))
        wait_until(lambda: self.complaints.check() or state.enhancing.volumes_ml is not None, "the enhancing part")
        settle(session)
        self.panel.scroll.ensureWidgetVisible(section, 0, 0)
        self.album.take(self.window, "enhancing")
        section.choice.setCurrentIndex(section.choice.findData(""))
        section.choice.activated.emit(section.choice.currentIndex())
        settle(session)
        self.panel.scroll.verticalScrollBar().setValue(0)

    def contour(self) -> None:
        """Another node drawn on a few slices, those between filled by shape."""
        session, axial = self.session, self.window.panes.panes["axial"]
        session.select_node(self.node_id(DRAWN_NODE))
        state, seed = session.current, np.array(session.current.node.seed_mm)
        session.set_crosshair(seed)
        self.window.panes.centre_all()
        radius_mm = self.expected_radius_mm(DRAWN_NODE)
        self.panel.tools.buttons["contour"].click()
        angles = np.linspace(0, 2 * np.pi, 25)
        around = np.stack([np.cos(angles), np.sin(angles)], 1)
        for off in (-0.9, 0.0, 0.9):
            session.set_crosshair(seed + np.array([0.0, 0.0, off * radius_mm]))
            settle(session)
            ring = axial.screen_of(session.crosshair_mm) + radius_mm * (1 - off**2) ** 0.5 * axial.view.px_per_mm * around
            drag = Drag(axial, ring[0])
            for place in ring[1:]:
                drag.to(place, 2)
            drag.release()
            wait_until(lambda: self.complaints.check() or not session.is_drawing, "the contour")
        settle(session)
        session.set_crosshair(seed)
        settle(session)
        self.album.take(self.window, "contour")
        self.panel.tools.buttons["fill_between"].click()
        wait_until(lambda: self.complaints.check() or not session.is_drawing, "the slices between")
        settle(session)
        if state.draft is None or not state.draft.origin.details.get("filled_slices"):
            raise WalkFailed("The slices between the contours were not filled.")
        self.album.take(self.window, "contour_filled")
        session.set_tool("crosshair")
        session.select_node(self.node_id())
        self.window.panes.centre_all()
        settle(session)

    def ultrasound(self) -> None:
        """Two stills outlined by a drag, their planes stated, the axes taken as calipers."""
        session, frame = self.session, self.window.panes.picture.frame
        node = self.state().node
        for plane in ("longitudinal", "transverse"):
            record = next((s for s in session.series if s.kind == "still" and node.label in s.description and plane in s.description), None)
            if record is None:
                raise WalkFailed(f"The study has no {plane} still of {node.label}.")
            session.open_series(record.series_id)
            wait_until(lambda: self.complaints.check() or (session.picture is not None and frame.shown_frame is not None), "the ultrasound still")
            settle(session)
            middle = np.array(session.picture.shape[::-1]) * (0.51, 0.48)  # stills show their node in the middle
            section = self.panel.picture
            section.plane_buttons[plane].click()
            if session.tool != "node":
                section.tools["node"].click()
            Drag(frame, frame.screen_of(middle)).to(frame.screen_of((middle[0] + 65.0, middle[1]))).release()
            settle(session)
            self.panel.scroll.ensureWidgetVisible(section.use)
            self.album.take(self.window, f"ultrasound_{plane}_outline")
            section.use.click()
            settle(session)
            self.panel.scroll.ensureWidgetVisible(self.panel.ellipsoid.figures)
            settle(session)
            self.album.take(self.window, f"ultrasound_{plane}")
        session.set_tool("crosshair")
        if self.state().ellipsoid is None:
            raise WalkFailed("Four calipers gave no ellipsoid.")
        volume = next(s for s in session.series if s.kind == "volume")
        session.open_series(volume.series_id)
        wait_until(lambda: self.complaints.check() or session.picture is None, "the volume again")
        settle(session)

    def plan(self) -> None:
        """Three suggested needles, solved."""
        session = self.session
        session.set_step("plan")
        settle(session)
        self.panel.suggest[3].click()
        settle(session)
        self.album.take(self.window, "needles")
        self.panel.primary.click()
        wait_until(lambda: self.complaints.check() or session.assessment is not None or bool(self.complaints.refusals), "the solved field")
        if session.assessment is None:
            raise WalkFailed(self.complaints.refusals[-1])
        settle(session)
        self.panel.scroll.verticalScrollBar().setValue(0)
        settle(session)
        self.album.take(self.window, "plan")
        self.panel.scroll.ensureWidgetVisible(self.panel.figures, 0, 0)
        settle(session)
        self.album.take(self.window, "plan_result")
        self.doubt()
        session.set_plan_session("day0")
        self.panel.save_button.click()
        settle(session)

    def doubt(self) -> None:
        """Better needles looked for, not taken; then how much of the plan's own cover survives needles that land elsewhere."""
        session, search, robustness = self.session, self.panel.optimise, self.panel.robustness
        search.start.click()
        wait_until(lambda: self.complaints.check() or not session.is_searching, "the search for needles")
        settle(session)
        self.panel.scroll.ensureWidgetVisible(search.take, 0, 0)
        self.album.take(self.window, "proposals")
        session.show_proposal(None)
        robustness.samples.setValue(WALKED_SAMPLES)
        robustness.start.click()
        wait_until(lambda: self.complaints.check() or not session.is_sampling, "the robustness run")
        settle(session)
        self.panel.scroll.ensureWidgetVisible(robustness.figures, 0, 40)
        self.album.take(self.window, "robustness")
        session.set_shown_map("field")

    def lock(self) -> None:
        """Lock the reading in its dialog."""
        session = self.session
        session.set_step("measure")
        settle(session)
        self.panel.primary.click()
        dialog = self.panel.dialog
        dialog.name.setText("A. Reader")
        settle(session)
        self.album.take(dialog, "lock")
        dialog.accept()
        wait_until(lambda: self.complaints.check() or (self.state().reading is not None and self.state().reading.locked_utc is not None), "the locked reading")
        settle(session)

    def follow_up(self) -> None:
        """Chart and table over all visits."""
        self.session.set_step("follow_up")
        settle(self.session)
        self.album.take(self.window, "follow_up")

    def compare(self) -> None:
        """The visit on screen and a later one side by side, registered."""
        session, section = self.session, self.panel.compare
        section.start.click()
        wait_until(lambda: self.complaints.check() or (session.comparison is not None and not session.is_registering), "the registered visits")
        if not session.comparison.is_linked:
            raise WalkFailed("The visits could not be registered.")
        session.select_node(self.node_id())
        settle(session)
        self.panel.scroll.ensureWidgetVisible(section, 0, 0)
        self.album.take(self.window, "compare")
        section.start.click()
        self.window.panes.set_layout("2x2")
        settle(session)

    def report(self, folder: Path) -> None:
        """Export both formats and show what was written."""
        session = self.session
        session.set_step("report")
        settle(session)
        for kind, place in (("csv", folder / "tables"), ("pdf", folder / "report.pdf")):
            before = len(getattr(session, "last_exports", []))
            session.export(kind, place)
            wait_until(lambda before=before: self.complaints.check() or len(getattr(session, "last_exports", [])) > before or bool(self.complaints.refusals), f"the {kind} export")
            settle(session)
            if self.complaints.refusals:
                raise WalkFailed(self.complaints.refusals[-1])
        self.window.notice_bar.dismiss.click()  # it names the temporary folder
        self.album.take(self.window, "report")


def copy_case(case: Path, place: Path) -> Path:
    """A working copy of a demonstration case: the database copied, the pictures linked."""

    def link_or_copy(source: str, target: str) -> str:
        if not source.endswith(DATABASE_PARTS):
            try:
                os.link(source, target)
                return target
            except OSError:
                pass  # another disk, or no links here: a copy does as well
        return shutil.copy2(source, target)

    copy = place / "case"
    copy.mkdir()
    shutil.copytree(case / "study", copy / "study", copy_function=link_or_copy)
    for file in case.glob("*.json"):
        shutil.copy2(file, copy / file.name)
    return copy


def walk(out_dir: Path | str, size: tuple[int, int] = (1280, 800), scale: float = 1.0, *, case: Path | str | None = None, tell: Callable[[str], None] | None = None) -> list[Path]:
    """Walk through the window and write a PNG a step into ``out_dir``; returns their paths.

    ``size`` is the size of the pictures in pixels; at ``scale`` 1.5 everything in them is half as
    large again. ``case`` is a folder made by the demonstration; without it one is made in a
    temporary folder. Raises ``WalkFailed`` with what did not happen.
    """
    existing = QApplication.instance()
    if existing is None:
        os.environ["QT_SCALE_FACTOR"] = f"{scale:g}"
    from app.ui.application import make_application, open_window

    application = make_application()
    if abs(application.primaryScreen().devicePixelRatio() - scale) > 1e-3:
        raise WalkFailed(f"The screen's scale is {application.primaryScreen().devicePixelRatio():g}; a walk at {scale:g} needs a process of its own.")
    album = Album(Path(out_dir))
    with tempfile.TemporaryDirectory(prefix="nodus-walk-") as temporary:
        place = Path(temporary)
        source = place / "new" if case is None else copy_case(Path(case), place)
        window = open_window()
        window.resize(round(size[0] / scale), round(size[1] / scale))
        walker = Walk(window, album)
        steps = (
            ("opening the case", lambda: walker.open_case(source)),
            ("images", walker.images),
            ("outline", walker.outline),
            ("repair", walker.repair),
            ("enhancing part", walker.enhancing),
            ("contour", walker.contour),
            ("ultrasound", walker.ultrasound),
            ("plan", walker.plan),
            ("lock", walker.lock),
            ("follow-up", walker.follow_up),
            ("compare", walker.compare),
            ("report", lambda: walker.report(place)),
        )
        try:
            for name, step in steps:
                started = time.perf_counter()
                step()
                walker.complaints.check()
                if tell is not None:
                    tell(f"{name}: {time.perf_counter() - started:.1f} s")
        finally:
            window.close()
            window.deleteLater()
            QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    return album.pictures


def main(arguments: list[str] | None = None) -> int:
    """Command line of the walk; exit 0 when every step was pictured, 1 with a sentence when not."""
    parser = argparse.ArgumentParser(prog="nodus walk", description="Walk through the window over the demonstration case and picture each step.")
    parser.add_argument("out", type=Path, help="folder for the pictures")
    parser.add_argument("--case", type=Path, help="a folder made by nodus demo; without it a case is made for this walk")
    parser.add_argument("--size", default="1280x800", help="size of the pictures in pixels (default 1280x800)")
    parser.add_argument("--scale", type=float, default=1.0, help="pixels a logical pixel (default 1)")
    parser.add_argument("--language", help="language of the texts, as named in resources/i18n")
    options = parser.parse_args(arguments)
    try:
        width, height = (int(v) for v in options.size.lower().split("x"))
    except ValueError:
        parser.error("--size is WIDTHxHEIGHT, for example 1920x1080")
    try:
        if options.language:
            from app.ui.text import set_language

            set_language(options.language)
        pictures = walk(options.out, (width, height), options.scale, case=options.case, tell=lambda line: print(line, file=sys.stderr, flush=True))
    except (WalkFailed, LanguageUnknown) as failure:
        print(failure.message, file=sys.stderr)
        return 1
    for picture in pictures:
        print(picture)
    return 0


if __name__ == "__main__":
    sys.exit(main())
