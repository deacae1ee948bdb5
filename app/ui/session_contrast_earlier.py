"""The session's part for comparing a loop with an earlier visit by eye: the ablated zone (else the node's outline) drawn there, in its true
size, laid over the node of today.

Two ultrasound planes are never the same: only the size is true, the place is the middle of today's node, and the picture says so.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from app.ui.text import t
from app.usecases.contrast_draft import load_contrast
from app.usecases.picture_draft import load_draft

EARLIER_KEY = "contrast-earlier"


@dataclass(frozen=True, slots=True, eq=False)
class EarlierShape:
    """``points_mm`` (n, 2) about its own middle; ``label`` says what it is and when; ``is_zone``: the ablated zone."""

    points_mm: np.ndarray
    label: str
    is_zone: bool


class ContrastEarlierPart:
    """Mixed into ``Session``; ``earlier_shape`` is what is shown of the current node, None where nothing is."""

    def _start_contrast_earlier(self) -> None:
        self.earlier_shape: EarlierShape | None = None
        self.picture_changed.connect(self._drop_earlier_shape)
        self.nodes_changed.connect(self._drop_earlier_shape)

    def _drop_earlier_shape(self) -> None:
        if self.earlier_shape is not None:
            self.earlier_shape = None
            self.contrast_changed.emit()

    def toggle_earlier_shape(self) -> None:
        """Show it, or take it away; read in a quiet job."""
        store, visit, node, reader = self.study, self.visit, self.current, self.reader
        if self.earlier_shape is not None:
            self._drop_earlier_shape()
            return
        if store is None or visit is None or node is None or self.is_blinded:
            self.notice.emit("info", "Nothing of an earlier visit is shown here.")
            return
        before = [v for v in self.visits if v.order < visit.order][::-1]
        node_id, label = node.node.node_id, node.node.label

        def done(found: EarlierShape | None) -> None:
            if self.current is not node:
                return
            self.earlier_shape = found
            if found is None:
                self.notice.emit("info", f"No ablated zone and no outline of {label} was drawn on ultrasound at an earlier visit.")
            self.contrast_changed.emit()

        self.jobs.start("Looking at earlier visits", lambda _context: earlier_shape(store, before, node_id, reader), key=EARLIER_KEY, quiet=True, on_done=done)


def earlier_shape(store, visits, node_id: str, reader: str) -> EarlierShape | None:
    """The newest ablated zone that this reader drew of a node on a loop of these visits (newest first), else the newest outline on a picture."""
    for visit in visits:
        draft = load_contrast(store, visit.visit_id, reader)
        for loop in () if draft is None else draft.loops.values():
            zone = next((r for r in loop.regions.get(node_id, ()) if r.role == "ablated_zone"), None)
            if zone is not None and loop.panes is not None and loop.panes.mm_per_pixel is not None:
                return EarlierShape(_about_middle(zone.polygon_px, loop.panes.mm_per_pixel), t("zone of {visit}: size only").format(visit=visit.name), True)
    for visit in visits:
        kept = load_draft(store, node_id, visit.visit_id, reader)
        for measured in () if kept is None else kept.outlines.values():
            axes = measured.axes
            if axes.long_axis_mm is not None and axes.long_axis_px:
                scale = axes.long_axis_mm / axes.long_axis_px
                return EarlierShape(_about_middle(measured.outline.points_px, (scale, scale)), t("outline of {visit}: size only").format(visit=visit.name), False)
    return None


def _about_middle(points_px, mm_per_pixel) -> np.ndarray:
    points = np.asarray(points_px, float) * np.asarray(mm_per_pixel, float)
    return points - 0.5 * (points.min(axis=0) + points.max(axis=0))
