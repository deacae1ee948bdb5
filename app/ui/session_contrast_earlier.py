"""The session's part for comparing a loop with what was before, by eye and by size: the ablated zone (else the node's outline) drawn at an
earlier visit, then the zone that the plan of Day 0 predicts, laid over the node of today.

Two ultrasound planes are never the same, and a planned zone has no place in them: only the size is true, the place is the middle of
today's node, and the picture says so.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from app.ui.text import said, t
from app.usecases.zone_section import LARGEST, LONG, PLANE_OPEN, MeasuredZone, PlannedZone, drawn_earlier, measured_zone, plane_of_loop, planned_zone
from volumetry.errors import NodusError
from volumetry.finding import Finding
from volumetry.section import Section, outline_section

EARLIER_KEY = "contrast-earlier"
DRAWN, PLANNED = "drawn", "planned"


@dataclass(frozen=True, slots=True, eq=False)
class EarlierShape:
    """``points_mm`` (n, 2) about its own middle; ``label`` says on the picture what it is, ``name`` in the table; ``is_zone``: the ablated
    zone, drawn or planned. ``section`` holds its numbers. ``along_node``: it has no direction of its own in the picture, its longest
    diameter lies along the node's."""

    kind: str
    points_mm: np.ndarray
    label: str
    name: str
    is_zone: bool
    section: Section
    volume_ml: float | None = None
    along_node: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class EarlierFound:
    """What there is of a node before a visit. ``words``: why a part could not be read."""

    drawn: EarlierShape | None
    planned: PlannedZone | None
    measured: MeasuredZone | None
    findings: tuple[Finding, ...] = ()
    words: str = ""


class ContrastEarlierPart:
    """Mixed into ``Session``; ``earlier_shape`` is what is shown of the current node, ``earlier_found`` what was found for it; None where
    nothing is."""

    def _start_contrast_earlier(self) -> None:
        self._earlier_shown = ""  # of DRAWN, PLANNED, or nothing
        self._earlier_found: EarlierFound | None = None
        self._planned_shape: tuple | None = None
        for signal in (self.picture_changed, self.nodes_changed, self.user_changed, self.study_changed, self.kept_runs_changed):
            signal.connect(self._drop_earlier_shape)
        self.outlines_changed.connect(self._follow_plane)

    def _drop_earlier_shape(self, *_) -> None:
        self.jobs.drop(EARLIER_KEY)
        if self._earlier_found is not None:
            self._earlier_shown, self._earlier_found, self._planned_shape = "", None, None
            self.contrast_changed.emit()

    def _follow_plane(self) -> None:
        if self._earlier_shown == PLANNED:
            self.contrast_changed.emit()

    # ---- what is shown -----------------------------------------------------------------------
    @property
    def earlier_found(self) -> EarlierFound | None:
        """What was found, while any of it is shown; never to a blinded reader."""
        return self._earlier_found if self._earlier_shown and not self.is_blinded else None

    @property
    def earlier_shape(self) -> EarlierShape | None:
        """The shape over today's node."""
        found = self.earlier_found
        return None if found is None else found.drawn if self._earlier_shown == DRAWN else self._planned_as_shape(found.planned)

    def _planned_as_shape(self, zone: PlannedZone) -> EarlierShape | None:
        plane, section = zone.in_plane(self.loop_plane())
        if section is None:
            return None
        key = (zone, plane)
        if self._planned_shape is None or self._planned_shape[0] != key:
            label = t("planned zone of Day 0 (predicted): size only") if zone.session == "day0" else t("planned zone (predicted): size only")
            self._planned_shape = key, EarlierShape(PLANNED, section.points_mm, label, t("Planned zone"), True, section, zone.zone_ml, True)
        return self._planned_shape[1]

    def loop_plane(self) -> str | None:
        """The plane that the reader stated of the loop on screen."""
        state = self.contrast
        return None if state is None else plane_of_loop(self.still_planes, state.name, state.region_frame or 0) or state.plane

    def earlier_notes(self) -> tuple[list[str], list[str]]:
        """(what the numbers rest on, what speaks against comparing) of what is shown, in words."""
        found, shape = self.earlier_found, self.earlier_shape
        if found is None:
            return [], []
        notes, doubts = [], [said(f.message) for f in found.findings if f.severity != "info"]
        if self._earlier_shown == PLANNED:
            zone, (plane, _section) = found.planned, found.planned.in_plane(self.loop_plane())
            when = t("no delivery recorded") if not zone.is_delivered else t("delivered") if zone.delivered_on is None else t("delivered {date}").format(date=zone.delivered_on)
            lies = t("needles as they lie") if zone.kind == "actual" else t("as planned")
            notes.append(t("Plan run {run}, {lies}, {when}.").format(run=zone.run_id, lies=lies, when=when))
            if shape is not None:
                open_plane = PLANE_OPEN if LONG in zone.sections else next((f for f in zone.findings if f.code == "planned_plane_open"), PLANE_OPEN)
                where = said(open_plane.message) if plane == LARGEST else t("Plane: {plane}, by the long axis of the node planned for.").format(plane=t(plane))
                notes.append(where + " " + t("Longest diameters lie on each other."))
            notes += [said(f.message) for f in zone.findings if f.severity == "info" and f.code != "planned_plane_open"]
            doubts = [said(f.message) for f in zone.findings if f.severity != "info"] + doubts
        if found.measured is not None and found.measured.source:
            notes.append(t("Measured on {date}: {source}").format(date=found.measured.date, source=found.measured.source))
        return notes, doubts

    def today_section(self) -> Section | None:
        """The node's section (else its zone's) as it is outlined on the loop on screen."""
        state = self.contrast
        if state is None or state.panes is None or state.panes.mm_per_pixel is None:
            return None
        region = next((r for r in self.regions_of() if r.role in ("node", "ablated_zone")), None)
        return None if region is None else outline_section(np.asarray(region.polygon_px, float) * np.asarray(state.panes.mm_per_pixel))

    # ---- one key ------------------------------------------------------------------------------
    def toggle_earlier_shape(self) -> None:
        """Earlier drawing, then planned zone, then nothing; read in a quiet job."""
        store, visit, node, reader = self.study, self.visit, self.current, self.reader
        if store is None or visit is None or node is None or self.is_blinded:
            self.notice.emit("info", "Nothing of an earlier visit is shown here.")
            return
        if self._earlier_shown:
            self._show_next_earlier(node.node.label)
            return
        before = [v for v in self.visits if v.order < visit.order][::-1]

        def done(found: EarlierFound) -> None:
            if self.current is not node or self.visit is not visit or self.is_blinded:
                return
            self._earlier_found, self._earlier_shown = found, ""
            if found.words:
                self.notice.emit("warning", found.words)
            self._show_next_earlier(node.node.label)

        self.jobs.start("Looking at earlier visits", lambda _context: look_before(store, before, node.node, visit, reader), key=EARLIER_KEY, quiet=True, on_done=done)

    def _show_next_earlier(self, label: str) -> None:
        found, order = self._earlier_found, ("", DRAWN, PLANNED)
        there = {DRAWN: found.drawn is not None, PLANNED: found.planned is not None}
        if not any(there.values()) and not found.words:
            self.notice.emit("info", f"No ablated zone and no outline of {label} was drawn on ultrasound at an earlier visit, and no plan of Day 0 was kept.")
        self._earlier_shown = next((kind for kind in order[order.index(self._earlier_shown) + 1 :] if there[kind]), "")
        shape = self.earlier_shape
        if not self._earlier_shown:
            self._earlier_found = None
        elif shape is not None:
            self.notice.emit("info", t("Shown: {what}").format(what=shape.label))
        self.contrast_changed.emit()


def look_before(store, visits, node, visit, reader: str) -> EarlierFound:
    """What there is of a node before a visit (``visits``: those before, newest first). What cannot be read is said, the rest is there."""
    words: list[str] = []

    def read(what, otherwise):
        try:
            return what()
        except NodusError as error:
            words.append(said(error.message))
            return otherwise

    drawn = read(lambda: drawn_earlier(store, visits, node.node_id, reader), None)
    planned = read(lambda: planned_zone(store, node, visit), None)
    measured, findings = read(lambda: measured_zone(store, node, visit), (None, ()))
    shape = None
    if drawn is not None:
        words_of = (t("zone of {visit}: size only"), t("Zone, {visit}")) if drawn.is_zone else (t("outline of {visit}: size only"), t("Node, {visit}"))
        label, name = (w.format(visit=drawn.visit) for w in words_of)
        shape = EarlierShape(DRAWN, drawn.points_mm, label, name, drawn.is_zone, drawn.section)
    return EarlierFound(shape, planned, measured, findings, " ".join(words))
