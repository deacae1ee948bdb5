"""The session's part for what is seen of a solved field in space, and for what leaves the study of the plan on screen."""

from __future__ import annotations

from pathlib import Path

from app.ui.text import t

SCENE_FIELD, SCENE_MARGIN = "field", "margin"


class FieldDisplayPart:
    """Mixed into ``Session``; how the field is shown belongs to the window, not to the plan, and is no step of undo."""

    scene_shows = SCENE_FIELD
    more_surfaces_v_per_cm: frozenset[float] = frozenset()

    def show_in_scene(self, what: str) -> None:
        """``field``: iso-surfaces and the target's uncovered part; ``margin``: the margin map on the target's surface."""
        if what not in (SCENE_FIELD, SCENE_MARGIN):
            raise ValueError(what)
        if what != self.scene_shows:
            self.scene_shows = what
            self.display_changed.emit()

    def show_surface(self, v_per_cm: float, shown: bool) -> None:
        """Show the surface of another threshold beside the lethal one, or take it away."""
        wanted = self.more_surfaces_v_per_cm | {float(v_per_cm)} if shown else self.more_surfaces_v_per_cm - {float(v_per_cm)}
        if wanted != self.more_surfaces_v_per_cm:
            self.more_surfaces_v_per_cm = wanted
            self.display_changed.emit()

    def surfaces_in_scene(self) -> list[float]:
        """Thresholds whose surfaces are shown, V/cm, the lethal one always among them."""
        plan = self.plan
        return sorted({float(plan.lethal_v_per_cm), *(v for v in plan.thresholds_v_per_cm if float(v) in self.more_surfaces_v_per_cm)})

    # ---- the run on screen, and what leaves of it ------------------------------------------
    _kept_as: tuple | None = None  # solution, assessment and the run that they were kept as

    def _remember_kept(self, solution, assessment, plan_run_id: str) -> None:
        self._kept_as = (solution, assessment, plan_run_id)
        self.field_changed.emit()

    @property
    def shown_run_id(self) -> str | None:
        """The run that holds exactly what is on screen: opened from the study, or kept from here and not changed since (heat
        that came later belongs to no run yet)."""
        opened = getattr(self, "field_run", None)
        if opened is not None:
            return opened.plan_run_id
        kept = self._kept_as
        return kept[2] if kept is not None and self.solution is not None and kept[0] is self.solution and kept[1] is self.assessment else None

    def export_plan_sheet(self, path) -> None:
        """Write the sheet of the run on screen as PDF; a job."""
        from app.usecases.export_plan import export_run_sheet

        store, run_id, image = self.study, self.shown_run_id, self.image
        if store is None or run_id is None:
            self.notice.emit("warning", t("Save the plan run first."))
            return
        self.jobs.start(
            t("Writing the plan sheet"), lambda context: export_run_sheet(store, run_id, Path(path), context, image=image), key="plan-out", write=True,
            on_done=lambda receipt: self._plan_went_out(receipt, path),
        )  # fmt: skip

    def export_plan_dicom(self, folder) -> None:
        """Write field and zone of the run on screen as DICOM into a folder; a job."""
        from app.usecases.export_plan import export_run_dicom

        store, run_id = self.study, self.shown_run_id
        if store is None or run_id is None:
            self.notice.emit("warning", t("Save the plan run first."))
            return
        self.jobs.start(
            t("Writing field and zone"), lambda context: export_run_dicom(store, run_id, Path(folder), context), key="plan-out", write=True,
            on_done=lambda receipt: self._plan_went_out(receipt, folder),
        )  # fmt: skip

    def _plan_went_out(self, receipt: dict, place) -> None:
        self.last_exports = [*getattr(self, "last_exports", []), receipt]
        names = ", ".join(f["path"] for f in receipt["files"])
        left = "".join(f" {x['message']}" for x in receipt.get("left_out", ()))
        self.notice.emit("warning" if left else "info", t("Written: {names} ({place}).").format(names=names, place=place) + left)
        self._say_saved("export written")
        self.readings_changed.emit()
