"""The session's part for readings: kept, locked, corrected."""

from __future__ import annotations

from app.study.model import ReadingState, ReadingStatus
from volumetry.errors import NodusError


class ReadingsPart:
    """Mixed into ``Session``; uses its signals, jobs and study."""

    def _modality(self, ellipsoid: bool) -> str:
        if ellipsoid:
            return "US"
        modality = None if self.image is None else self.image.source.modality
        return modality if modality in ("CT", "MR", "PT") else "CT"

    def keep_reading(self, node_id: str, *, method: str = "voxel", reason: str | None = None, otherwise: str | None = None, then=None) -> None:
        """Save the node's outline (or ellipsoid) as a measured reading; a job. ``then(reading)`` follows.

        ``otherwise`` is recorded as the reason where one is needed and none was given.
        """
        from app.usecases.readings import save_reading

        store, visit, state, image, reader = self.study, self.visit, self.nodes.get(node_id), self.image, self.reader
        if store is None or visit is None or state is None:
            self.notice.emit("warning", "A reading needs an open study and visit.")
            return
        if method == "ellipsoid":
            ellipsoid = state.ellipsoid
            if ellipsoid is None:
                self.notice.emit("warning", "The ellipsoid needs length and depth on a longitudinal still, width and depth on a transverse one.")
                return
            extra = {"ellipsoid_axes_mm": list(ellipsoid.axes_mm), "ellipsoid_volume_ml": ellipsoid.volume_ml, "warnings": [w.as_warning() for w in ellipsoid.warnings]}

            def work(_context):
                return save_reading(
                    store, visit, state.node, reader=reader, modality="US", method="ellipsoid", volume_ml=ellipsoid.volume_ml,
                    volume_interval_ml=ellipsoid.interval_ml, extra=extra, reason=reason,
                )
        else:
            if state.draft is None or state.draft.is_empty:
                self.notice.emit("warning", f"{state.node.label} has no outline at this visit yet.")
                return
            mask, modality = state.draft.as_mask(), self._modality(False)

            def work(_context):
                def save(why: str | None):
                    return save_reading(store, visit, state.node, reader=reader, modality=modality, mask=mask, image=image, reason=why)

                try:
                    return save(reason)
                except NodusError as refusal:
                    if refusal.code != "reason_missing" or otherwise is None:
                        raise
                    return save(otherwise)

        self.jobs.start(f"Saving the reading of {state.node.label}", work, key="reading", on_done=lambda reading: self._reading_saved(reading, then))

    def _reading_saved(self, reading, then=None) -> None:
        if self.study is None:
            return
        if reading.node_id in self.nodes and self.visit is not None and reading.visit_id == self.visit.visit_id:
            state = self.nodes[reading.node_id]
            state.reading = reading
            state.lock_count += reading.state == ReadingState.LOCKED
        self._reload_rail()
        label = next((n.label for n in self.subject_nodes if n.node_id == reading.node_id), "node")
        self._say_saved(f"reading of {label} {reading.state}")
        self.nodes_changed.emit()
        self.readings_changed.emit()
        if then is not None:
            then(reading)

    def set_reading_status(self, node_id: str, status: str, reason: str | None = None) -> None:
        """Record what was seen (disappeared_assessed, too_small, not_evaluable …); a job."""
        from app.usecases.readings import save_reading

        store, visit, state, image = self.study, self.visit, self.nodes.get(node_id), self.image
        if status == ReadingStatus.MEASURED:
            self.keep_reading(node_id, reason=reason)
            return
        if store is None or visit is None or state is None:
            self.notice.emit("warning", "A reading needs an open study and visit.")
            return

        def work(_context):
            return save_reading(
                store, visit, state.node, reader=self.reader, modality=self._modality(False), status=ReadingStatus(status), image=image,
                mask=state.draft.as_mask() if status == ReadingStatus.TOO_SMALL and state.draft is not None and not state.draft.is_empty else None,
                status_reason=reason, reason=reason,
            )

        self.jobs.start(f"Saving the reading of {state.node.label}", work, key="reading", on_done=self._reading_saved)

    def lock_reading(self, node_id: str, name: str, meaning: str, reason: str | None = None) -> None:
        """Save the outline as it stands and lock the reading with a typed name; jobs."""
        store, state = self.study, self.nodes.get(node_id)
        if store is None or state is None:
            self.notice.emit("warning", "A reading needs an open study and visit.")
            return

        def lock(reading) -> None:
            self.jobs.start(
                f"Locking the reading of {state.node.label}", lambda _context: store.lock_reading(reading.reading_id, name, meaning), key="lock", on_done=self._reading_saved
            )

        kept = state.reading
        if kept is not None and kept.state == ReadingState.LOCKED:
            self.notice.emit("info", f"The reading of {state.node.label} is locked already.")
        elif kept is not None and kept.state == ReadingState.MEASURED and kept.status != ReadingStatus.MEASURED:
            lock(kept)
        elif state.draft is not None and not state.draft.is_empty:
            self.keep_reading(node_id, reason=reason, otherwise="edited again before it was locked", then=lock)
        elif state.ellipsoid is not None:
            self.keep_reading(node_id, method="ellipsoid", reason=reason, then=lock)
        else:
            self.notice.emit("warning", f"{state.node.label} has no outline and no status at this visit: there is nothing to lock.")

    def correct_reading(self, node_id: str, reason: str) -> None:
        """Begin a correction of a locked reading: a new version that can be edited; a job."""
        store, state = self.study, self.nodes.get(node_id)
        if store is None or state is None or state.reading is None:
            return
        reading_id = state.reading.reading_id
        self.jobs.start("Beginning a correction", lambda _context: store.correct_reading(reading_id, reason), key="lock", on_done=self._reading_saved)
