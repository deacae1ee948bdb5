"""The session's part for readings: kept, locked, corrected."""

from __future__ import annotations

from dataclasses import replace

from app.study.asked import with_asked
from app.study.lesions import lesion_statement
from app.study.model import UNKNOWN_LEVEL, ReadingState, ReadingStatus, Side
from app.ui.session_enhancing import EnhancingSessionPart
from app.ui.session_lesion import LesionSessionPart
from volumetry.errors import NodusError


class ReadingsPart(LesionSessionPart, EnhancingSessionPart):
    """Mixed into ``Session``; uses its signals, jobs and study."""

    def _modality(self, ellipsoid: bool) -> str:
        if ellipsoid:
            return "US"
        modality = None if self.image is None else self.image.source.modality
        return modality if modality in ("CT", "MR", "PT", "US") else "CT"

    def _outline_work(self, state, reason: str | None, otherwise: str | None, status: ReadingStatus = ReadingStatus.MEASURED):
        """A function that saves the outline as it stands now, with what the reader said was seen."""
        from app.usecases.readings import VOLUME_METHOD, save_reading

        store, visit, image, reader, role = self.study, self.visit, self.image, self.reader, self.reading_role
        mask, modality, node = state.draft.as_mask(), self._modality(False), state.node
        status_reason = state.reading.status_reason if state.reading is not None and state.reading.status == status else None
        enhancing, statement = self._enhancing_work(state, image, mask), self._statement_work(state, modality, VOLUME_METHOD)
        evidence = self.contrast_evidence(state)

        def save(why: str | None):
            said = statement()
            saved = save_reading(
                store, visit, node, reader=reader, role=role, modality=modality, status=status, mask=mask, image=image, status_reason=status_reason, reason=why, enhancing=enhancing(),
                **_said(said, status, evidence),
            )  # fmt: skip
            self._forget_kept_enhancing(store, visit.visit_id, node.node_id, reader)
            self._forget_statement(store, visit.visit_id, node.node_id, reader, said)
            return saved

        return lambda: _with_reason(save, reason, otherwise)

    def _ellipsoid_work(self, state, reason: str | None, otherwise: str | None):
        """A function that saves the three diameters as they stand now as a measured reading."""
        from app.usecases.readings import part_as_read, save_reading

        store, visit, reader, role, node, ellipsoid = self.study, self.visit, self.reader, self.reading_role, state.node, state.ellipsoid
        extra = {"ellipsoid_axes_mm": list(ellipsoid.axes_mm), "ellipsoid_volume_ml": ellipsoid.volume_ml, "warnings": [w.as_warning() for w in ellipsoid.warnings]}
        extra |= self.ellipsoid_evidence(state) | self.contrast_evidence(state)
        by_contrast = self.contrast_part_work(state)

        kept = state.reading if state.reading is not None and state.reading.method == "ellipsoid" else None
        statement = self._statement_work(state, "US", "ellipsoid")

        def save(why: str | None):
            enhancing = None if kept is None else part_as_read(store, kept, total_ml=ellipsoid.volume_ml)
            if by_contrast is not None:
                enhancing = by_contrast(ellipsoid.volume_ml)
            said = statement()
            saved = save_reading(
                store, visit, node, reader=reader, role=role, modality="US", method="ellipsoid", enhancing=enhancing, volume_ml=ellipsoid.volume_ml,
                volume_interval_ml=ellipsoid.interval_ml, reason=why, **_said(said, extra=extra),
            )  # fmt: skip
            self._forget_statement(store, visit.visit_id, node.node_id, reader, said)
            return saved

        return lambda: _with_reason(save, reason, otherwise)

    def keep_reading(self, node_id: str, *, method: str = "voxel", reason: str | None = None) -> None:
        """Save the node's outline (or three diameters, ``method="ellipsoid"``) as a measured reading; a job."""
        state = self.nodes.get(node_id)
        if self.study is None or self.visit is None or state is None:
            self.notice.emit("warning", "A reading needs an open study and visit.")
            return
        if method == "ellipsoid":
            if state.ellipsoid is None:
                self.notice.emit("warning", "The ellipsoid needs length and depth on a longitudinal still, width and depth on a transverse one.")
                return
            work = self._ellipsoid_work(state, reason, None)
        else:
            if state.draft is None or state.draft.is_empty:
                self.notice.emit("warning", f"{state.node.label} has no outline at this visit yet.")
                return
            work = self._outline_work(state, reason, None)
        self.jobs.start(f"Saving the reading of {state.node.label}", lambda _context: work(), write=True, on_done=self._reading_saved)

    def _reading_saved(self, reading) -> None:
        if self.study is None:
            return
        if reading.node_id in self.nodes and self.visit is not None and reading.visit_id == self.visit.visit_id:
            state = self.nodes[reading.node_id]
            state.reading, state.statement = reading, None
            state.lock_count += reading.state == ReadingState.LOCKED
        self._reload_rail()
        label = next((n.label for n in self.subject_nodes if n.node_id == reading.node_id), "node")
        self._say_saved(f"reading of {label} {reading.state}")
        self.nodes_changed.emit()
        self.readings_changed.emit()

    def set_reading_status(self, node_id: str, status: str, reason: str | None = None) -> None:
        """Record what was seen (disappeared_assessed, too_small, not_evaluable …); a job."""
        from app.usecases.readings import VOLUME_METHOD, save_reading

        store, visit, state, image = self.study, self.visit, self.nodes.get(node_id), self.image
        if status == ReadingStatus.MEASURED:
            self.keep_reading(node_id, reason=reason)
            return
        if store is None or visit is None or state is None:
            self.notice.emit("warning", "A reading needs an open study and visit.")
            return

        reader, role, modality = self.reader, self.reading_role, self._modality(False)
        measured = status == ReadingStatus.TOO_SMALL and state.draft is not None and not state.draft.is_empty
        mask = state.draft.as_mask() if measured else None
        enhancing = self._enhancing_work(state, image, mask) if measured else None
        statement = self._statement_work(state, modality, VOLUME_METHOD)

        def work(_context):
            said = statement()
            saved = save_reading(
                store, visit, state.node, reader=reader, role=role, modality=modality, status=ReadingStatus(status), image=image, mask=mask, status_reason=reason, reason=reason,
                enhancing=enhancing() if enhancing is not None else None, **_said(said, ReadingStatus(status)),
            )  # fmt: skip
            self._forget_statement(store, visit.visit_id, state.node.node_id, reader, said)
            return saved

        self.jobs.start(f"Saving the reading of {state.node.label}", work, write=True, on_done=self._reading_saved)

    def lockable(self, node_id: str) -> tuple[str | None, str]:
        """What a lock of this node would lock, and the sentence that says why there is nothing.

        ``("outline" | "ellipsoid" | "status", "")``, or ``(None, reason)``. Where an outline and
        three diameters both exist, the one whose picture is on screen is meant. A status that says
        there is nothing to outline never wins over an outline, nor the outline over the status:
        then the reader must say which holds.
        """
        state = self.nodes.get(node_id)
        if self.study is None or self.visit is None or state is None:
            return None, "A reading needs an open study and visit."
        label, kept = state.node.label, state.reading
        if kept is not None and kept.state == ReadingState.LOCKED:
            return None, f"The reading of {label} is locked already."
        if state.node.side == Side.UNKNOWN or state.node.level == UNKNOWN_LEVEL:
            return None, f"State side and level of {label} first."
        outlined = state.draft is not None and not state.draft.is_empty
        if kept is not None and kept.status not in (ReadingStatus.MEASURED, ReadingStatus.TOO_SMALL):
            if outlined:
                words = str(kept.status).replace("_", " ")
                return None, f"{label} is recorded as {words} and has an outline: set it to measured, or clear the outline."
            return "status", ""
        if state.ellipsoid is not None and (self.picture is not None or not outlined):
            return "ellipsoid", ""
        if outlined:
            stale = self.why_stale(state)
            return (None, stale) if stale else ("outline", "")
        if kept is not None:
            return "status", ""  # kept as it is: diameters or a mask of an earlier session
        return None, f"{label} has no outline and no status at this visit: there is nothing to lock."

    def is_working_on(self, node_id: str) -> bool:
        """True while the outline or the numbers of a node on screen are still to change."""
        if self.is_outlining_picture(node_id):
            return True
        return self.is_drawing or self._stroke is not None or any(self.jobs.is_busy(key) for key in ("copy", f"measure-{node_id}", f"enhancing-{node_id}", f"outline-{node_id}"))

    def lock_reading(self, node_id: str, name: str, meaning: str, reason: str | None = None, *, password: str | None = None) -> None:
        """Save what is on screen and lock it with a name and, in a study with users, the password
        given again: one job, so that no half of it can be lost."""
        what, why_not = self.lockable(node_id)
        if what is None:
            self.notice.emit("info" if "locked already" in why_not else "warning", why_not)
            return
        store, state = self.study, self.nodes[node_id]
        otherwise = "edited again before it was locked"
        if what == "outline":
            # A lock never changes what the reader said was seen: too small stays too small.
            seen = ReadingStatus.MEASURED if state.reading is None else state.reading.status
            save = self._outline_work(state, reason, otherwise, seen)
        elif what == "ellipsoid":
            save = self._ellipsoid_work(state, reason, otherwise)
        else:
            save = self._status_work(state, reason or otherwise)

        self.jobs.start(
            f"Locking the reading of {state.node.label}", lambda _context: store.lock_reading(save().reading_id, name, meaning, password=password), key=f"lock-{node_id}", write=True, on_done=self._reading_saved
        )

    def _status_work(self, state, why: str):
        """A function that gives the reading as it is kept, with what was stated since."""
        kept, store, visit, reader = state.reading, self.study, self.visit, self.reader
        said = self.statement_of(state.node.node_id)

        def save():
            if not said.is_new:
                return kept
            lesion = lesion_statement(said.lesion, status=kept.status)
            measurement = {k: v for k, v in kept.measurement.items() if k != "lesion"} | ({"lesion": lesion} if lesion else {})
            stated = with_asked(store.protocol, state.node, visit, replace(kept, enhancement_grade=said.grade, measurement=measurement))
            saved = store.save_reading(stated, reason=why)
            self._forget_statement(store, visit.visit_id, kept.node_id, reader, said)
            return saved

        return save

    def correct_reading(self, node_id: str, reason: str) -> None:
        """Begin a correction of a locked reading: a new version that can be edited; a job."""
        store, state = self.study, self.nodes.get(node_id)
        if store is None or state is None or state.reading is None:
            return
        reading_id = state.reading.reading_id
        self.jobs.start("Beginning a correction", lambda _context: store.correct_reading(reading_id, reason), write=True, on_done=self._reading_saved)


def _said(statement, status: ReadingStatus = ReadingStatus.MEASURED, extra: dict | None = None) -> dict:
    """What is stated, as ``save_reading`` takes it; refused where it contradicts what was seen."""
    lesion = lesion_statement(statement.lesion, status=status)
    return {"enhancement_grade": statement.grade, "extra": {**(extra or {}), **({"lesion": lesion} if lesion else {})} or None}


def _with_reason(save, reason: str | None, otherwise: str | None):
    """Save with the reader's reason, or with ``otherwise`` where one is needed and none was given."""
    try:
        return save(reason)
    except NodusError as refusal:
        if refusal.code != "reason_missing" or otherwise is None:
            raise
        return save(otherwise)
