"""The session's part for what is on screen: studies, subjects, visits and series opened and left.

What would take an outline off the screen waits while one is still being worked out.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from volumetry.image import Cine, ImageVolume


class OpeningPart:
    """Mixed into ``Session``; uses its signals, jobs and undo stack."""

    # ---- opening -------------------------------------------------------------------------
    def open_demo(self, folder=None) -> None:
        """Make (or reuse) the demonstration study in ``folder`` and open it; a job."""
        from app.settings import data_folder
        from app.usecases.demo import prepare_study

        place = Path(folder) if folder is not None else data_folder() / "demonstration"
        self.jobs.start("Preparing the demonstration case", lambda context: prepare_study(place, context), key="open", on_done=self.open_study)

    def create_study(self, folder) -> None:
        """Make a new, empty study in an empty folder and open it; a job."""
        from app.study.store import StudyStore

        def work(_context):
            StudyStore.create(Path(folder)).close()
            return Path(folder)

        self.jobs.start("Making a new study", work, key="open", on_done=self.open_study)

    def open_study(self, folder) -> None:
        """Open a study by its folder, or the address of its database; a job. The first visit's volume follows."""
        from app.study.store import StudyStore

        def work(context):
            store = StudyStore.open(folder)
            if context.token.is_cancelled:
                store.close()
                context.token.check()
            return store

        self.jobs.start("Opening the study", work, key="open", on_done=self._take_study)

    def _take_study(self, store) -> None:
        if self.when_drawn(lambda: self._take_study(store)):
            return
        self._release_study()
        self.study = store
        subjects = store.subjects()
        self.subject_id = subjects[0].subject_id if subjects else None
        self._reload_rail()
        self._open_first_visit()

    def _open_first_visit(self) -> None:
        self.study_changed.emit()
        self.readings_changed.emit()
        if self.visits:
            self.open_visit(self.visits[0].visit_id)
        else:
            self._clear_screen()

    def select_subject(self, subject_id: str) -> None:
        """Go to another subject of the study; its first visit follows."""
        if self.when_drawn(lambda: self.select_subject(subject_id)):
            return
        self._leave_visit()
        self.subject_id, self.visit, self.series, self.nodes, self.current_node_id = subject_id, None, [], {}, None
        self._reload_rail()
        self._open_first_visit()

    def _reload_rail(self) -> None:
        """Fetch the subject's visits, series, nodes and readings from the store (small tables)."""
        from app.usecases.assess_response import follow_up_rows

        store, subject = self.study, self.subject_id
        if store is None or subject is None:
            self.visits, self.series_by_visit, self.subject_nodes, self.subject_readings, self._rows = [], {}, [], [], []
            return
        self.visits = store.visits(subject)
        kinds = ("volume", "volume_cine", "cine", "still")
        self.series_by_visit = {
            v.visit_id: sorted(store.series(v.visit_id), key=lambda s: (kinds.index(s.kind) if s.kind in kinds else len(kinds), s.description)) for v in self.visits
        }
        self.subject_nodes = store.nodes(subject)
        self.subject_readings = store.readings(subject)
        self._rows = follow_up_rows(store, subject)

    def import_images(self, path, subject_id: str, visit_name: str, confirmed=None, dates_shifted: bool = False) -> None:
        """Import a folder of DICOM into the open study under a pseudonym and visit; a job. ``confirmed`` names pictures
        that somebody has looked at (see ``import_folder``), ``dates_shifted`` says that their dates were moved before they came."""
        from app.usecases.import_images import import_folder

        store = self.study
        if store is None:
            self.notice.emit("warning", "Open or make a study first; pictures are imported into it.")
            return

        self.jobs.start("Importing pictures", lambda context: import_folder(store, subject_id, visit_name, Path(path), context, confirmed=confirmed, dates_shifted=dates_shifted), write=True, on_done=lambda result: self._imported(subject_id, result))

    def _imported(self, subject_id: str, result) -> None:
        """Show what came into the study."""
        self.subject_id = subject_id
        self._reload_rail()
        self.study_changed.emit()
        self._say_saved(f"{len(result.series)} series imported")
        for found in result.findings:
            self.notice.emit(found.severity, found.message)
        if result.skipped:
            self.notice.emit("info", f"{len(result.skipped)} files were left out; the first: {result.skipped[0].message}")
        self.open_visit(result.visit.visit_id)

    def open_folder(self, path) -> None:
        """Look at a folder, archive, medium or file without a study; nothing is saved. Where several series lie
        there, ``series_found`` asks which (then ``open_found``)."""
        from app.usecases.open_images import look

        def done(found) -> None:
            if isinstance(found, (ImageVolume, Cine)):
                self._look_at(found)
            else:
                self.series_found.emit(found)

        self.jobs.start("Opening pictures", lambda context: look(Path(path), context), key="open", on_done=done)

    def open_found(self, series) -> None:
        """Look at one of the series that ``series_found`` offered; a job."""
        from app.usecases.open_images import open_series

        self.jobs.start("Opening pictures", lambda context: open_series(series, context), key="open", on_done=self._look_at)

    def _look_at(self, opened) -> None:
        if not self.when_drawn(lambda: self._look_at(opened)):
            self._release_study()
            self.study_changed.emit()
            self._show(opened)

    def open_visit(self, visit_id: str) -> None:
        """Make a visit current: its series, its volume, its outlines and readings; a job."""
        visit = next((v for v in self.visits if v.visit_id == visit_id), None)
        if visit is None or self.when_drawn(lambda: self.open_visit(visit_id)):
            return
        self._leave_visit()
        self.visit = visit
        self.series = self.series_by_visit.get(visit_id, [])
        # Nothing of another visit stays on screen under this one's name while its pictures load.
        self._clear_screen()
        self._take_up_plan()
        self._load_nodes()
        self.visit_changed.emit()
        volume = next((s for s in self.series if s.kind == "volume"), None)
        record = volume or next(iter(self.series), None)
        if record is not None:
            self.open_series(record.series_id)

    def _leave_visit(self) -> None:
        """Keep what was worked on at the visit on screen; its steps can no longer be undone."""
        self.flush_drafts()
        self._put_plan_aside()
        self.undo_stack.clear()

    def _clear_screen(self) -> None:
        """No picture, no caliper, no finding, and no job that would bring one of them back."""
        self.jobs.drop("series", "outlines", "preview", "model", "structure", "suggest", "field")
        self._forget_gestures()
        self.image = self.picture = self.current_series_id = self.preview = None
        self.calipers, self.findings = [], []
        for signal in (self.image_changed, self.picture_changed, self.preview_changed, self.calipers_changed, self.findings_changed):
            signal.emit()

    def open_series(self, series_id: str) -> None:
        """Show one series of the current visit, volume or ultrasound; a job."""
        from app.usecases.import_images import open_record

        record = next((s for s in self.series if s.series_id == series_id), None)
        if record is None or self.study is None:
            return
        store = self.study
        self.current_series_id = series_id

        def done(opened) -> None:
            if self.current_series_id == series_id and self.study is store and not self.when_drawn(lambda: done(opened)):
                self._show(opened)

        self.jobs.start(f"Opening {record.description or record.modality}", lambda context: open_record(store, record, context), key="series", on_done=done)

    def _show(self, opened: ImageVolume | Cine) -> None:
        """Put an opened volume or picture on screen."""
        self.findings = list(opened.findings)
        if isinstance(opened, Cine):
            self.picture = self.as_scaled(opened)
            self.findings += list(opened.calibration.findings)
            self.frame_index = 0
            self.calipers = [c for c in self.calipers if c.source is not None and c.source == self.picture_name]
            self.picture_changed.emit()
        else:
            self.picture = None
            if self.image is not None and not self.image.geometry.same_grid(opened.geometry):
                self._lay_outlines_aside()
            keep = self.image is not None and self.image.source.frame_of_reference_uid == opened.source.frame_of_reference_uid and opened.geometry.contains(self.crosshair_mm)
            self._suit_window(opened)
            self.image = opened
            self.calipers = [c for c in self.calipers if c.source is None]
            self.picture_changed.emit()
            self.image_changed.emit()
            self._attach_drafts()
            if not keep:
                self._centre_crosshair()
        self.calipers_changed.emit()
        self.findings_changed.emit()

    def _suit_window(self, opened: ImageVolume) -> None:
        """Window of a volume in another unit than the one before: the presets are for HU, echoes and signals are
        windowed by their own values (a coarse grid of them)."""
        before, self._window_unit = self._window_unit, opened.unit
        if opened.unit == before:
            return
        if opened.unit == "HU":
            self.set_window(*self._hu_window)
            return
        if before == "HU":
            self._hu_window = self.window
        low, high = np.percentile(opened.array[tuple(slice(None, None, max(1, n // 64)) for n in opened.array.shape)], (0.5, 99.5))
        self.set_window((low + high) / 2, max(float(high - low), 1.0))

    def _centre_crosshair(self) -> None:
        """Start at the current node where it has an outline, else in the middle of the volume."""
        state = self.nodes.get(self.current_node_id or "")
        if state is not None and state.measurement is not None and state.measurement.centroid_mm is not None:
            self.set_crosshair(state.measurement.centroid_mm)
        elif state is not None and state.node.seed_mm is not None and self.image.geometry.contains(state.node.seed_mm):
            self.set_crosshair(state.node.seed_mm)
        else:
            g = self.image.geometry
            self.set_crosshair(g.index_to_world((np.array(g.shape[::-1]) - 1) / 2))

    def _release_study(self) -> None:
        if self._stroke is not None:
            self.end_stroke()
        store = self.study
        if store is not None:
            if self.jobs.is_busy():
                # Behind the writes that are still in line for it.
                self.jobs.start("Closing the study", lambda _context: store.close(), quiet=True, write=True)
            else:
                store.close()
        self.study, self.subject_id, self.visit, self.image, self.picture, self.current_series_id = (None,) * 6
        self.nodes, self.current_node_id, self.series, self.calipers = {}, None, [], []
        self.undo_stack.clear()
        self._drop_plan()
        self._reload_rail()
