"""A whole Day 30 visit read in the walk with mouse and keys: the nodes' volumes on the CT, the contrast loop, the grade, the locks.

What a hand does is counted, and what the program takes is measured apart from it. How long a person needs for the counted actions is
estimated by the keystroke-level model (Card, Moran, Newell, CACM 1980;23:396) with a look of some seconds at each place that is judged.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import numpy as np
from PySide6.QtTest import QTest

from app.ui.walk.hands import Drag, WalkFailed, in_front, keys, settle, type_in, wait_until

VISIT, LOOP_OF = "Day 30", "N1"
KEY_S, POINT_S, HOME_S, THINK_S, LOOK_S = 0.28, 1.1, 0.4, 1.35, 6.0


class Counted:
    """Actions of a hand, and the seconds that the program took to answer them."""

    def __init__(self):
        self.keys = self.clicks = self.drags = self.looks = 0
        self.program_s = 0.0

    def hand_s(self) -> float:
        """What a person needs by the keystroke-level model, looks and thinking included, in s."""
        return self.keys * (KEY_S + 0.3 * THINK_S) + self.clicks * (POINT_S + HOME_S + THINK_S) + self.drags * (2 * POINT_S + HOME_S + THINK_S) + self.looks * LOOK_S

    def words(self) -> str:
        """All of it in a line."""
        done = f"{self.clicks} clicks, {self.drags} drags, {self.keys} keys, {self.looks} looks"
        return f"the whole visit: {done}; program {self.program_s:.1f} s, hand about {self.hand_s():.0f} s, together about {self.program_s + self.hand_s():.0f} s"


class ContrastSteps:
    """Mixed into ``CaseWalk``: the visit with the contrast loop, every node outlined and locked."""

    counted: Counted | None = None

    def contrast_visit(self, tell: Callable[[str], None] | None = None) -> None:
        """From the click on the visit to the last lock."""
        counted = self.counted = Counted()
        session, window = self.session, self.window
        session.set_step("measure")
        visit = next(v for v in session.visits if v.name == VISIT)
        self._click(lambda: session.open_visit(visit.visit_id), lambda: session.visit is visit and session.image is not None)
        self.album.listener.names |= {series.description for series in session.series}
        truth = json.loads((session.study.folder.parent / "truth.json").read_text(encoding="utf-8"))
        labels = [n.label for n in session.subject_nodes]
        for label in labels:
            self._outline_on_ct(label, next(n for n in truth["nodes"] if n["id"] == label)["visits"][VISIT])
        self.album.take(window, "contrast_volumes")
        self._click(lambda: session.select_node(self.node_id(LOOP_OF)))
        loop = next(s for s in session.series if s.kind == "cine")
        self._click(lambda: session.open_series(loop.series_id), lambda: session.contrast is not None and session.contrast.proposal is not None)
        self._read_loop(truth["contrast_cine"])
        self._analyse()
        volume = next(s for s in session.series if s.kind == "volume")
        self._click(lambda: session.open_series(volume.series_id), lambda: session.picture is None)
        for label in labels:
            self._lock(label)
        counted.looks += 1
        self.album.take(window, "contrast_locked")
        if tell is not None:
            tell(counted.words())

    # ---- parts -----------------------------------------------------------------------------
    def _outline_on_ct(self, label: str, place: dict) -> None:
        """A node's volume by one drag, begun where the node lies at this visit."""
        session, panes = self.session, self.window.panes
        self._click(lambda: session.select_node(self.node_id(label)))
        state = session.nodes[self.node_id(label)]
        self._click(lambda: session.set_crosshair(place["centre_mm"]))
        self._keys("N")
        axial = panes.panes["axial"]
        panes.centre_all()
        settle(session)
        seed = np.array(axial.screen_of(np.array(place["centre_mm"])))
        radius_px = 1.1 * max(place["semi_axes_mm"]) * axial.view.px_per_mm
        self._drag(axial, seed, seed + 0.7 * radius_px, lambda: state.measurement is not None)
        self._keys("Esc")

    def _read_loop(self, truth: dict) -> None:
        session, window, album = self.session, self.window, self.album
        section, frame = self.panel.contrast, window.panes.picture.frame
        self.counted.looks += 1
        album.take(window, "contrast_panes")
        self._keys("J")  # the panes are right
        if session.contrast.range_db is None:  # the header does not say it
            wait_until(lambda: self.complaints.check() or section.range.hasFocus(), "the question for the dynamic range")
            typed = f"{truth['dynamic_range_db']:g}"
            type_in(typed)
            self.counted.keys += len(typed)
            QTest.keyClick(section.range, "\r")
            self.counted.keys += 1
        self._keys("J", until=lambda: session.contrast.is_read)
        self._keys("F6")
        self.counted.looks += 1
        album.take(window, "contrast_read")
        box, px, node = session.contrast.panes.bmode, session.contrast.panes.mm_per_pixel[0], truth["node_section"]
        at = session.contrast.motion.matrices[session.contrast.index_of(session.frame_index)]
        middle = np.array([(box.x1 - box.x0) / 2 + node["lateral_mm"] / px, node["depth_mm"] / px])
        middle = np.array([box.x0, box.y0]) + at[:, :2] @ middle + at[:, 2]
        self._keys("J")  # the node tool
        edge = middle + np.array([0.5 * node["width_mm"] / px, 0.0])
        self._drag(frame, np.array(frame.screen_of(middle)), np.array(frame.screen_of(edge)), lambda: bool(session.regions_of()))
        self._keys("Esc")
        album.take(window, "contrast_outlined")

    def _analyse(self) -> None:
        session, window, album = self.session, self.window, self.album
        section = self.panel.contrast_results
        self._keys("J", until=lambda: session.contrast_result() is not None)
        self.counted.looks += 2
        album.take(window, "contrast_enhancing")
        self._keys("Shift+Y")
        self.counted.looks += 1
        self._show(section.chart)
        album.take(window, "contrast_map")
        self._keys("F9")
        self._show(section.findings if section.findings.isVisible() else section.table_note)
        album.take(window, "contrast_numbers")
        self._keys("F9", "Y", "J", "J")  # as stored, what enhances; the grade accepted; taken into the reading
        if session.current.contrast_taken is None:
            raise WalkFailed("The contrast loop was not taken into the reading.")
        self.panel.scroll.verticalScrollBar().setValue(section.y())
        settle(session)
        album.take(window, "contrast_taken")

    def _lock(self, label: str) -> None:
        session, node_id = self.session, self.node_id(label)
        self._click(lambda: session.select_node(node_id))
        self._click(self.panel.primary.click)
        dialog = self.panel.dialog
        name = "A. Reader"
        in_front(dialog)  # the next letter must not reach the window behind it
        dialog.name.setFocus()
        type_in(name)
        if dialog.name.text() != name:
            raise WalkFailed("The name was not typed into the question for the lock.")
        self.counted.keys += len(name)
        if label == LOOP_OF:
            self.album.take(dialog, "contrast_lock")
        self._click(dialog.accept, lambda: session.nodes[node_id].reading is not None and session.nodes[node_id].reading.locked_utc is not None)

    # ---- hands -----------------------------------------------------------------------------
    def _keys(self, *sequences: str, until: Callable[[], bool] | None = None) -> None:
        begun = time.perf_counter()
        for sequence in sequences:
            keys(self.window, sequence)
            self._settle(until)
        self.counted.keys += len(sequences)
        self.counted.program_s += time.perf_counter() - begun

    def _click(self, do: Callable[[], object], until: Callable[[], bool] | None = None) -> None:
        begun = time.perf_counter()
        do()
        self._settle(until)
        self.counted.clicks += 1
        self.counted.program_s += time.perf_counter() - begun

    def _drag(self, pane, start, end, until: Callable[[], bool]) -> None:
        drag = Drag(pane, start).to(end)
        begun = time.perf_counter()
        drag.release()
        self._settle(until)
        self.counted.drags += 1
        self.counted.program_s += time.perf_counter() - begun

    def _settle(self, until: Callable[[], bool] | None) -> None:
        if until is not None:
            wait_until(lambda: self.complaints.check() or until() or bool(self.complaints.refusals), "the answer to a key or click")
        if self.complaints.refusals:
            raise WalkFailed(self.complaints.refusals[-1])
        settle(self.session)

    def _show(self, widget) -> None:
        self.panel.scroll.ensureWidgetVisible(widget, 0, 0)
        settle(self.session)
