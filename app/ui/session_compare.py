"""The session's part for another visit beside the one on screen: opened, registered, linked, copied from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from app.study.model import ReadingState
from app.ui.comparison import METHODS, NEEDED_PAIRS, Comparison, Landmarks
from app.ui.text import t
from volumetry.errors import NodusError
from volumetry.registration import RigidRegistration

KEYS = ("compare", "register", "copy")
READING_ROLE = "central"  # what readings of the window are saved as


@dataclass(frozen=True, slots=True, eq=False)
class _Remembered:
    """What brought two series together, kept while the study is open."""

    automatic: RigidRegistration | None
    landmarks: Landmarks
    method: str | None


class ComparePart:
    """Mixed into ``Session``; uses its signals, jobs, undo stack and study. State is ``comparison``
    (``Comparison`` or None) and ``compare_plane``."""

    def _start_comparing(self) -> None:
        self.comparison: Comparison | None = None
        self.compare_plane = "axial"
        self._registering: int | None = None  # job
        self._from_there = False
        self._brought_together: dict[tuple[str, str], _Remembered] = {}
        self.image_changed.connect(self._check_comparison)
        self.study_changed.connect(self._forget_comparisons)
        self.crosshair_changed.connect(self._carry_crosshair)
        self.jobs.progressed.connect(self._registration_ended)

    # ---- what may be compared ---------------------------------------------------------------
    def may_compare(self) -> bool:
        """False where the protocol keeps other visits from the reader (``reading.compare_visits`` false)."""
        return self.study is None or self.study.protocol.shows_other_visits

    def comparable_visits(self) -> list:
        """Other visits of the subject with a volume of the kind on screen, in order."""
        if self.image is None or self.visit is None or not self.may_compare():
            return []
        modality = self.image.source.modality

        def has_volume(visit) -> bool:
            return any(s.kind == "volume" and modality in (None, s.modality) for s in self.series_by_visit.get(visit.visit_id, []))

        return [v for v in self.visits if v.visit_id != self.visit.visit_id and has_volume(v)]

    def usual_comparison(self):
        """The visit that is compared where none is named: the first one, or from there the next."""
        return next(iter(self.comparable_visits()), None)

    @property
    def is_registering(self) -> bool:
        """True while the automatic registration is worked out."""
        return self._registering is not None

    # ---- the other visit ---------------------------------------------------------------------
    def compare_with(self, visit_id: str | None = None) -> None:
        """Lay another visit beside the one on screen (without a name the usual one): its volume is
        opened and registered; two jobs, each can be cancelled."""
        from app.usecases.compare_visits import open_other_visit, own_readings, series_to_compare

        if not self.may_compare():
            self.notice.emit("warning", t("The protocol does not show other visits to the reader."))
            return
        store, image = self.study, self.image
        usual = self.usual_comparison()
        visit = next((v for v in self.comparable_visits() if v.visit_id == (visit_id or (usual.visit_id if usual else None))), None)
        if store is None or image is None or visit is None:
            self.notice.emit("info", t("There is no other visit with a volume of this kind to compare with."))
            return
        if self.comparison is not None and self.comparison.visit.visit_id == visit.visit_id:
            self.comparison_changed.emit()  # brings its layout back
            return
        self._remember_comparison()
        reader = self.reader
        readings = own_readings((r for r in self.subject_readings if r.mask_sha256 is not None), visit.visit_id, reader)
        waiting = {key[0]: entry[1] for key, entry in self._unsaved.items() if key[1:] == (visit.visit_id, reader) and entry[0] is store}
        shown = next((r for r in self.series if r.series_id == self.current_series_id), None)
        try:
            record, count = series_to_compare(self.series_by_visit.get(visit.visit_id, []), image.source.modality, readings.values(), None if shown is None else shown.description)
        except NodusError as refusal:
            self._on_refused(refusal)
            return

        def done(opened) -> None:
            if self.image is not image or self.study is not store:
                return
            if count > 1:
                self.notice.emit("info", t("{visit} has {n} volumes; {name} is shown.").format(visit=visit.name, n=count, name=record.description or record.modality))
            self._lay_beside(Comparison(visit, record, image, opened.image, opened.outlines))

        self.jobs.drop("register", "copy")
        self._registering = None
        self.jobs.start(
            t("Opening {visit} for comparison").format(visit=visit.name),
            lambda context: open_other_visit(store, visit, record, readings, waiting, reader, context), key="compare", on_done=done,
        )  # fmt: skip

    def _lay_beside(self, comparison: Comparison) -> None:
        self.comparison = comparison
        g = comparison.there.geometry
        comparison.crosshair_mm = g.index_to_world((np.array(g.shape[::-1]) - 1) / 2)
        known = self._brought_together.get(self._series_pair(comparison))
        if known is not None:
            comparison.automatic = known.automatic
            comparison.take_landmarks(known.landmarks)
            comparison.method = known.method
        if comparison.automatic is None:
            self.register_comparison()
        self._link_changed()

    def register_comparison(self) -> None:
        """Register the visits by their content (again); a job."""
        from app.usecases.register import register_volumes

        comparison = self.comparison
        if comparison is None:
            return
        comparison.automatic_refusal = ""

        def done(found) -> None:
            self._registering = None
            if self.comparison is not comparison:
                return
            comparison.automatic = found
            if comparison.method is None:
                comparison.method = "automatic"
            for finding in found.findings:
                self.notice.emit(finding.severity, finding.message)
            self._link_changed()

        def refused(error) -> None:
            self._registering = None
            if self.comparison is comparison:
                comparison.automatic_refusal = error.message
                self.notice.emit("warning", t("The visits could not be registered: {why} Set landmarks on both (M).").format(why=error.message))
                self._link_changed()

        self._registering = self.jobs.start(
            t("Registering with {visit}").format(visit=comparison.visit.name),
            lambda context: register_volumes(comparison.here, comparison.there, context), key="register", on_done=done, on_refused=refused,
        )  # fmt: skip
        self.comparison_changed.emit()

    def _registration_ended(self, event) -> None:
        if event.finished and event.job_id == self._registering:
            self._registering = None  # also where it was cancelled, which calls nobody
            self.comparison_changed.emit()

    def end_comparison(self) -> None:
        """Only the visit on screen is left."""
        if self.comparison is None:
            return
        self._remember_comparison()
        self.jobs.drop(*KEYS)
        self._registering = self.comparison = None
        if self.tool == "landmark":
            self.set_tool("crosshair")
        self.comparison_changed.emit()

    def _check_comparison(self) -> None:
        """Another picture is on screen: what was beside the last one no longer belongs to it."""
        c, image = self.comparison, self.image
        if c is None:
            self.jobs.drop("compare")
        elif image is not None and image.source.series_uid == c.here.source.series_uid and image.geometry.same_grid(c.here.geometry):
            c.here = image  # the same series, read again
        else:
            self.end_comparison()

    def _forget_comparisons(self) -> None:
        if self.image is None:
            self.end_comparison()
            self._brought_together.clear()

    @staticmethod
    def _series_pair(comparison: Comparison) -> tuple[str, str]:
        return str(comparison.here.source.series_uid), str(comparison.there.source.series_uid)

    def _remember_comparison(self) -> None:
        """Keep landmarks and registration, seen from both visits."""
        c = self.comparison
        if c is None:
            return
        here, there = self._series_pair(c)
        # A link by scanner position is not taken up again by itself: the reader says so each time.
        method = c.method if c.registration is not None else "automatic" if c.automatic is not None else None
        self._brought_together[here, there] = _Remembered(c.automatic, c.landmarks, method)
        back = None if c.automatic is None else c.automatic.inverse()
        self._brought_together[there, here] = _Remembered(back, c.landmarks.swapped(), method)

    # ---- link ----------------------------------------------------------------------------------
    def use_link(self, method: str) -> None:
        """Link by one of METHODS, where it is there. ``position`` is only ever the reader's own choice."""
        c = self.comparison
        if c is None or method not in METHODS or method == c.method:
            return
        if (method == "automatic" and c.automatic is None) or (method == "landmarks" and c.by_landmarks is None):
            return
        c.method = method
        self._link_changed()

    def _link_changed(self) -> None:
        self._carry_crosshair()
        self.comparison_changed.emit()

    def _carry_crosshair(self) -> None:
        """The crosshair on screen moved: so does the one there."""
        c = self.comparison
        if c is None or self._from_there:
            return
        there = c.to_there(self.crosshair_mm)
        if there is not None:
            c.crosshair_mm = there
            self.other_crosshair_changed.emit()

    def set_other_crosshair(self, point_mm) -> None:
        """Put the crosshair at a point of the other visit; while the visits are linked the one on
        screen goes to the same place."""
        c = self.comparison
        if c is None:
            return
        g = c.there.geometry
        c.crosshair_mm = g.index_to_world(np.clip(g.world_to_index(point_mm), 0, np.array(g.shape[::-1]) - 1))
        here = c.to_here(c.crosshair_mm)
        if here is not None:
            self._from_there = True
            try:
                self.set_crosshair(here)
            finally:
                self._from_there = False
        self.other_crosshair_changed.emit()

    def set_compare_plane(self, plane: str) -> None:
        """Plane in which both visits are cut."""
        if plane != self.compare_plane:
            self.compare_plane = plane
            self.comparison_changed.emit()

    # ---- landmarks -------------------------------------------------------------------------------
    def set_landmark(self, side: str, point_mm) -> None:
        """A landmark ``here`` or ``there``; one undo step. The third pair gives a registration."""
        if self.comparison is not None:
            self._put_landmarks(self.comparison.landmarks.with_point(side, point_mm), t("Set landmark"))

    def move_landmark(self, number: int, side: str, point_mm) -> None:
        """One point of a landmark elsewhere; one undo step."""
        if self.comparison is not None:
            self._put_landmarks(self.comparison.landmarks.with_moved(number, side, point_mm), t("Move landmark"))

    def remove_landmark(self) -> None:
        """The last landmark taken away; one undo step."""
        c = self.comparison
        if c is not None and c.landmarks != Landmarks():
            self._put_landmarks(c.landmarks.without_last(), t("Remove landmark"))

    def _put_landmarks(self, landmarks: Landmarks, text: str) -> None:
        c = self.comparison
        before, method = c.landmarks, c.method
        complete = len(landmarks.pairs) > len(before.pairs)

        def put(these: Landmarks, link: str | None) -> None:
            c.take_landmarks(these)
            if link is not None and c.method is None and (link != "landmarks" or c.by_landmarks is not None):
                c.method = link
            self._link_changed()

        put(landmarks, method)
        if complete and c.landmarks_refusal:
            self.notice.emit("warning", c.landmarks_refusal)
        elif complete and c.by_landmarks is not None:
            residual = t("Landmarks: {n} pairs, residual {mm:.1f} mm.").format(n=len(c.landmarks.pairs), mm=c.by_landmarks.residual_mm)
            if c.method is None:
                self.use_link("landmarks")
                self.notice.emit("info", residual + " " + t("The visits are linked by them."))
            elif c.method != "landmarks" and len(c.landmarks.pairs) == NEEDED_PAIRS:
                self.notice.emit("info", residual + " " + t("Step 4 switches between them and the automatic registration."))
        after = c.method
        self._push(text, lambda: put(landmarks, after), lambda: put(before, method), lambda: self.comparison is c)

    # ---- copy ------------------------------------------------------------------------------------
    def copy_outline(self, node_id: str | None = None) -> None:
        """Carry the current node's outline at the other visit over to this one as a draft marked
        ``propagated``; a job, one undo step. Refused aloud where protocol, reading or link forbid it."""
        from app.usecases.propagate import propagate_mask
        from volumetry.segmentation.editing import bounding_box

        c, state = self.comparison, self.nodes.get(node_id or self.current_node_id or "")
        why_not = self.why_no_copy(node_id)
        if why_not:
            self.notice.emit("warning", why_not)
            return
        node_id, outline, registration, image = state.node.node_id, c.outlines[state.node.node_id], c.registration, c.here
        source = {"visit": c.visit.name, "link": c.method}
        if outline.reading is not None:
            source |= {"reading_id": outline.reading.reading_id, "version": outline.reading.version, "mask_sha256": outline.reading.mask_sha256}

        def work(context):
            carried = propagate_mask(image, c.there, outline.mask, registration=registration, source=source, context=context)
            return carried, bounding_box(carried.mask.array), carried.mask.geometry.index_to_world(np.argwhere(carried.mask.array).mean(axis=0)[::-1])

        def done(result) -> None:
            carried, box, inside = result
            if self.image is not image or self.nodes.get(node_id) is not state or self._refuse_locked(state):
                return
            if not self._take_whole(state, carried.mask, t("Copy outline from {visit}").format(visit=c.visit.name), box):
                return
            self.set_crosshair(inside)
            for finding in carried.findings:
                self.notice.emit(finding.severity, finding.message)

        self.jobs.start(t("Copying the outline of {label}").format(label=state.node.label), work, key="copy", on_done=done)

    def why_no_copy(self, node_id: str | None = None) -> str:
        """The sentence that says why a node's outline cannot be copied from the other visit; empty where it can."""
        from app.usecases.readings import check_propagation

        c, state = self.comparison, self.nodes.get(node_id or self.current_node_id or "")
        if c is None:
            return t("Compare with another visit first; its outline is copied from there.")
        if state is None:
            return t("Choose the node whose outline is to be copied.")
        try:
            check_propagation(self.study.protocol, READING_ROLE)
        except NodusError as refusal:
            return refusal.message + (f" {refusal.hint}" if refusal.hint else "")
        label = state.node.label
        if state.node.node_id not in c.outlines:
            return t("{reader} has no outline of {label} at {visit}.").format(reader=self.reader, label=label, visit=c.visit.name)
        if c.registration is None:
            return t("The visits are not registered yet: an outline is copied through a registration, not by scanner position.")
        if state.reading is not None and state.reading.state == ReadingState.LOCKED:
            return t("The reading of {label} at this visit is locked; begin a correction with a reason to change it.").format(label=label)
        if state.reading is not None and state.reading.state == ReadingState.MEASURED and state.reading.method == "voxel":
            return t("{label} has been read at this visit: a copied outline does not replace a reading. Change it by hand.").format(label=label)
        return ""
