"""Reading a node in the walk: outline, repair, enhancing part, contours, ultrasound, lock."""

from __future__ import annotations

import numpy as np

from app.ui.walk.hands import Drag, WalkFailed, settle, wait_until

WALKED_NODE, DRAWN_NODE = "N1", "N2"


class ReadingSteps:
    """Mixed into ``CaseWalk``: one method a step, in order."""

    def images(self) -> None:
        """Four panes."""
        self.session.set_step("images")
        self.session.select_node(self.node_id())
        self.session.set_crosshair(self.state().node.seed_mm)
        settle(self.session)
        self.album.take(self.window, "images")

    def outline(self, picture: str = "outline_under_way") -> None:
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
        self.album.take(self.window, picture)
        drag.release()
        wait_until(lambda: self.complaints.check() or self.state().measurement is not None or bool(self.complaints.refusals), "the outlined node")
        if self.complaints.refusals:
            raise WalkFailed(self.complaints.refusals[-1])
        settle(session)

    def expected_radius_mm(self, label: str = WALKED_NODE) -> float:
        """About a node's half length, as a reader sees it; from an earlier reading where there is one."""
        lengths = [
            r.long_axis_mm
            for r in self.session.subject_readings
            if r.node_id == self.node_id(label) and r.visit_id == self.session.visit.visit_id and r.long_axis_mm
        ]
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
