"""The session's part for stills: the plane the reader states, the diameters that an outline proposes,
and what is kept of both."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from app.ui.session_pair import PairPart
from app.ui.session_scale import ScalePart
from app.ui.session_values import Caliper
from app.usecases.picture_draft import PictureDraft, load_draft, outline_record, save_draft
from volumetry.errors import NodusError
from volumetry.finding import Finding
from volumetry.ultrasound_length import length_on_picture

Still = tuple[str, int]
PLANES = ("longitudinal", "transverse")
SLOTS_OF_PLANE = {"longitudinal": ("length", "depth_longitudinal"), "transverse": ("width", "depth_transverse")}


@dataclass(frozen=True, slots=True)
class ProposedCaliper:
    """An axis of an outline as a diameter: ``role`` length, width or depth; ``axis`` long or short."""

    slot: str
    role: str
    axis: str
    points: tuple
    length_mm: float


class StillsPart(PairPart, ScalePart):
    """Mixed into ``Session``; uses its signals, jobs and undo stack, and ``PicturesPart``.

    ``still_planes`` maps a still to the plane the reader stated; ``ellipsoid_refusals`` a node to why
    its four diameters give no ellipsoid.
    """

    def _start_stills(self) -> None:
        self.still_planes: dict[Still, str] = {}
        self.ellipsoid_refusals: dict[str, str] = {}
        self._kept_calipers: dict[tuple, dict] = {}  # (visit, reader, node) -> slot -> Caliper
        self._pictures_known: set[tuple] = set()  # (visit, reader, node) whose drafts were read
        self._pictures_of = None  # the study that all this belongs to
        self._start_scales()
        self._start_pair()
        self.visit_changed.connect(self._take_up_pictures)
        self.study_changed.connect(self._forget_pictures)

    # ---- planes ------------------------------------------------------------------------------
    def plane_of_still(self, still: Still | None = None) -> str | None:
        """The plane the reader stated for a still (the one on screen), or None."""
        still = still or self.still
        return None if still is None else self.still_planes.get(still)

    def state_plane(self, plane: str | None, still: Still | None = None) -> None:
        """The reader says which plane a still (the one on screen) shows; one undo step.

        Diameters that were filed from this still under the other plane are taken out: they were
        not what they were filed as.
        """
        still = still or self.still
        before = self.plane_of_still(still)
        if still is None or plane == before:
            return
        wrong = {
            node_id: {slot: c for slot, c in state.calipers.items() if (c.source, c.frame) == still and c.plane != plane}
            for node_id, state in self.nodes.items()
            if state.reading is None or state.reading.state != "locked"
        }
        wrong = {node_id: calipers for node_id, calipers in wrong.items() if calipers}

        def put(now: str | None, taken_out: bool) -> None:
            self.still_planes.pop(still, None)
            if now is not None:
                self.still_planes[still] = now
            for node_id, calipers in wrong.items():
                if node_id in self.nodes:
                    filed = self.nodes[node_id].calipers
                    kept = {slot: c for slot, c in filed.items() if slot not in calipers}
                    self.nodes[node_id].calipers = kept if taken_out else {**kept, **calipers}
                    self._update_ellipsoid(self.nodes[node_id])
            self.calipers_changed.emit()
            self.outlines_changed.emit()
            for node_id in set(wrong) | {key[0] for key in self.picture_outlines if key[1:] == still}:
                self._keep_pictures(node_id)

        put(plane, True)
        self._push("Plane of the still", lambda: put(plane, True), lambda: put(before, False))
        if wrong:
            self.notice.emit("warning", "The diameters taken from this still under the other plane were removed; take them again.")

    # ---- diameters from an outline --------------------------------------------------------------
    def proposed_calipers(self) -> tuple[ProposedCaliper, ...]:
        """The axes of the outline on screen as the two diameters of its plane; empty while there is no
        outline, no stated plane or no millimetres. The axis nearer to the beam's direction (down the
        picture) is the depth: that is the one both planes share."""
        measured, plane = self.outline_on(), self.plane_of_still()
        if measured is None or plane is None or measured.axes.long_axis_mm is None:
            return ()
        axes = measured.axes
        across, down = SLOTS_OF_PLANE[plane]
        long_slot, short_slot = (down, across) if axes.tilt_deg > 45.0 else (across, down)
        found = (("long", long_slot, axes.long_px, axes.long_axis_mm), ("short", short_slot, axes.short_px, axes.short_axis_mm))
        made = (ProposedCaliper(slot, slot.partition("_")[0], axis, points, length) for axis, slot, points, length in found)
        return tuple(sorted(made, key=lambda p: p.slot != across))

    def uses_outline(self) -> bool:
        """True where the current node's diameters of this still are the axes of its outline as it is now."""
        state, proposed = self.current, self.proposed_calipers()
        return bool(proposed) and state is not None and all(p.slot in state.calipers and self._is_of(state.calipers[p.slot], p.points, self.still) for p in proposed)

    @staticmethod
    def _is_of(caliper, points, still: Still) -> bool:
        return (caliper.source, caliper.frame) == still and len(caliper.points[0]) == 2 and bool(np.allclose(caliper.points, points, atol=1e-3))

    def use_as_calipers(self) -> None:
        """The axes of the outline on screen become the two diameters of this still; one undo step. Only
        with a plane that the reader stated, and where both axes have a length."""

        state, measured = self.current, self.outline_on()
        if state is None or measured is None:
            self.notice.emit("info", "Outline the node on this picture first (N or W).")
            return
        if self._refuse_locked(state):
            return
        if measured.axes.refusal is not None:
            self.notice.emit("warning", f"The axes have no length in mm here: {measured.axes.refusal}")
            return
        plane = self.plane_of_still()
        if plane is None:
            self.notice.emit("warning", "State first what this still shows: longitudinal (Shift+L) or transverse (Shift+T).")
            return
        name, frame = self.still
        made = {}
        try:
            for p in self.proposed_calipers():
                length = length_on_picture(self.picture.calibration_at(frame), *p.points)
                made[p.slot] = Caliper(p.points, length.length_mm, p.role, plane, frame, None, name, measured.axes.findings)
        except NodusError as refusal:  # an axis of the ellipse may end beyond the outline, out of the scale's region
            self._on_refused(refusal)
            return
        self.file_calipers("Use the outline as calipers", made)

    def file_calipers(self, text: str, made: dict) -> None:
        """File diameters (slot -> Caliper) under the current node in place of those before; one undo step."""
        gone = [self.current.calipers.get(slot) for slot in made]
        shown = [c for c in self.calipers if not any(c is old for old in gone)]
        self._change_calipers(text, [*shown, *made.values()], {**self.current.calipers, **made})

    def calipers_on(self, still: Still | None = None) -> list:
        """Calipers to draw on a still: those just drawn, and the current node's diameters from it."""
        still = still or self.still
        filed = list(self.current.calipers.values()) if self.current is not None else []
        fresh = [c for c in self.calipers if not any(c is f for f in filed)]
        return [c for c in (*fresh, *filed) if len(c.points[0]) == 2 and (c.source, c.frame) == still]

    # ---- keeping -------------------------------------------------------------------------------
    def ellipsoid_evidence(self, state) -> dict:
        """What a reading of the three diameters keeps of the pictures: each caliper with its still, and
        the outlines of the node on those stills."""
        uids = {s.series_id: s.series_uid for series in self.series_by_visit.values() for s in series}
        calipers = [
            {"slot": slot, "points": [list(p) for p in c.points], "length_mm": c.length_mm, "plane": c.plane, "series_uid": uids.get(c.source, c.source), "frame": c.frame}
            for slot, c in state.calipers.items()
        ]
        stills = dict.fromkeys((c.source, c.frame) for c in state.calipers.values() if c.source is not None)
        outlines = []
        for still in stills:
            measured = self.picture_outlines.get((state.node.node_id, *still))
            if measured is None:
                continue
            mine = [c for c in state.calipers.values() if (c.source, c.frame) == still]
            ends = (measured.axes.long_px, measured.axes.short_px)
            is_source = len(mine) == 2 and all(any(self._is_of(c, points, still) for points in ends) for c in mine)
            outlines.append(outline_record(measured, series_uid=uids.get(still[0], still[0]), frame=still[1], plane=self.still_planes.get(still), is_source=is_source))
        return {"calipers": calipers, **({"picture_outlines": outlines} if outlines else {}), **self.scale_evidence(stills)}

    def _keep_pictures(self, node_id: str) -> None:
        """Keep a node's outlines, planes and diameters on pictures in the study as they are now; quiet job."""
        store, visit, reader, state = self.study, self.visit, self.reader, self.nodes.get(node_id)
        if visit is None or state is None:
            return
        key = (visit.visit_id, reader, node_id)
        self._kept_calipers[key] = dict(state.calipers)
        names = {s.series_id for s in self.series}
        if store is None or not names:
            return
        outlines = {(name, frame): m for (node, name, frame), m in self.picture_outlines.items() if node == node_id and name in names}
        planes = {still: plane for still, plane in self.still_planes.items() if still[0] in names}
        on_pictures = {slot: c for slot, c in state.calipers.items() if c.source is not None and len(c.points[0]) == 2}
        if not outlines and not on_pictures and key not in self._pictures_known:
            return  # nothing was ever there
        self._pictures_known.add(key)
        calipers = {
            slot: {
                "points": [list(p) for p in c.points], "length_mm": c.length_mm, "label": c.label, "plane": c.plane, "frame": c.frame, "source": c.source,
                "warnings": [w.as_dict() for w in c.warnings],
            }
            for slot, c in on_pictures.items()
        }  # fmt: skip
        draft, label = PictureDraft(outlines, planes, calipers), state.node.label

        def refused(error) -> None:
            self.notice.emit("serious", f"What was drawn of {label} on pictures could not be saved yet: {error.message} It is kept in memory.")

        self.jobs.start(
            "Saving", lambda _context: save_draft(store, node_id, visit.visit_id, reader, draft), quiet=True, write=True,
            on_done=lambda _: self._say_saved(f"{label} saved"), on_refused=refused,
        )

    def _take_up_pictures(self) -> None:
        """A visit comes on screen: its nodes' diameters from memory, or what the study kept; quiet job."""
        store, visit, reader = self.study, self.visit, self.reader
        if store is None or visit is None:
            return
        unknown = []
        for node_id, state in self.nodes.items():
            key = (visit.visit_id, reader, node_id)
            if key in self._kept_calipers:
                state.calipers = dict(self._kept_calipers[key])
                self._update_ellipsoid(state)
            if key not in self._pictures_known:
                unknown.append(node_id)
        if not unknown or not any(s.kind in ("still", "cine") for s in self.series):
            return

        def work(_context):
            found, problems = {}, []
            for node_id in unknown:
                try:
                    found[node_id] = load_draft(store, node_id, visit.visit_id, reader)
                except NodusError as problem:
                    problems.append(problem)
            return found, problems

        def done(result) -> None:
            found, problems = result
            for problem in problems:
                self._on_refused(problem)
            if self.study is store and self.visit is visit:
                for node_id, draft in found.items():
                    self._take_up_draft(node_id, draft)

        self.jobs.start("Loading outlines on pictures", work, key="picture-drafts", quiet=True, on_done=done)

    def _take_up_draft(self, node_id: str, draft: PictureDraft | None) -> None:

        state, key = self.nodes.get(node_id), (self.visit.visit_id, self.reader, node_id)
        was_quicker = key in self._pictures_known  # the reader drew before this was read: what is on screen is newer
        self._pictures_known.add(key)
        if draft is None or state is None:
            return
        for still, measured in draft.outlines.items():
            self.picture_outlines.setdefault((node_id, *still), measured)
        for still, plane in draft.planes.items():
            self.still_planes.setdefault(still, plane)
        if draft.calipers:
            kept = {
                slot: Caliper(c["points"], c["length_mm"], c["label"], c["plane"], c["frame"], None, c["source"], tuple(Finding(w["code"], w["message"], w["severity"]) for w in c["warnings"]))
                for slot, c in draft.calipers.items()
            }
            state.calipers = {**kept, **state.calipers}
            self._kept_calipers[key] = dict(state.calipers)
            self._update_ellipsoid(state)
            self.calipers_changed.emit()
        if was_quicker:
            self._keep_pictures(node_id)
        self.outlines_changed.emit()

    def _forget_pictures(self) -> None:
        """Another study, or none: nothing of the one before stays."""
        if self.study is None or self.study is not self._pictures_of:
            for kept in (self.picture_outlines, self.open_wires, self.still_planes, self.ellipsoid_refusals, self._kept_calipers):
                kept.clear()
            self._pictures_known.clear()
        self._pictures_of = self.study
