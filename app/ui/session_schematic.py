"""The session's part for a plan from ultrasound alone: its canvas stands where a volume stands, and never beside a picture's plan.

While the schematic is on screen the plan on screen is the schematic's; the visit's own plan waits, and comes back with the next volume.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from app.study.store import utc_now
from app.usecases.plan import NeedleDraft, PairDraft, PlanDraft
from planning.anatomy import StatedClear
from planning.schematic import KINDS, Schematic
from volumetry.image import ImageVolume

CANVAS_WINDOW = (75.0, 150.0)  # centre and width for the canvas's greys
NOT_HERE = "This is a schematic, not a picture of the patient: nothing is outlined, measured or compared on it."


@dataclass(frozen=True, slots=True, eq=False)
class KeptSchematic:
    """A schematic as it was left: its canvas, plan and field."""

    canvas: object  # app.usecases.schematic.Canvas
    plan: PlanDraft
    target_id: str | None = None
    solution: object | None = None
    assessment: object | None = None
    solved_plan: object | None = None


class SchematicPart:
    """Mixed into ``Session`` before all parts that it follows: opening, nodes, compare, the plan."""

    _canvas = None  # the canvas of the schematic on screen

    def _drop_plan(self) -> None:
        self._schematics: dict[str | None, KeptSchematic] = {}
        self._canvas = None
        super()._drop_plan()

    @property
    def is_schematic(self) -> bool:
        """True while the plan on screen comes from ultrasound alone."""
        return self.plan.schematic is not None

    @property
    def kept_schematic(self) -> Schematic | None:
        """The visit's schematic, on screen or left."""
        if self.plan.schematic is not None:
            return self.plan.schematic
        kept = self._schematics.get(self._visit_key())
        return None if kept is None else kept.plan.schematic

    def _visit_key(self) -> str | None:
        return None if self.visit is None else self.visit.visit_id

    # ---- making and showing ------------------------------------------------------------------
    def make_schematic(self, schematic: Schematic) -> None:
        """Place the shapes of a checked schematic and show them; a job. Pairs and thresholds of the schematic before it stay."""
        from app.usecases.schematic import draw_canvas

        visit = self._visit_key()

        def done(canvas) -> None:
            if self._visit_key() == visit:
                self._take_schematic(schematic, canvas)

        self.jobs.start("Placing the schematic", lambda _context: draw_canvas(schematic), key="schematic", on_done=done)

    def _take_schematic(self, schematic: Schematic, canvas) -> None:
        if self.when_drawn(lambda: self._take_schematic(schematic, canvas)):
            return
        plan = self._draft_from(schematic, canvas, self.plan)
        if not self.is_schematic:
            self._enter_schematic(KeptSchematic(canvas, plan, self.plan_target_id or self.current_node_id))
            return
        self._swap_schematic(canvas, plan, "Change the schematic")

    def _swap_schematic(self, canvas, plan: PlanDraft, text: str) -> None:
        """Another schematic in place of the one on screen; one undo step."""
        before = (self._canvas, self.plan)

        def put(canvas, plan: PlanDraft) -> None:
            self._canvas, self.plan = canvas, plan
            self._plan_before_drag = None
            self.jobs.drop("field")
            self._field_is_stale()
            self._show_canvas()
            self.plan_changed.emit()

        put(canvas, plan)
        self._push(text, lambda: put(canvas, plan), lambda: put(*before))

    def _draft_from(self, schematic: Schematic, canvas, old: PlanDraft) -> PlanDraft:
        """The plan of a schematic with its own needles; pairs of needles that were there before stay as they were."""
        from planning.schematic_scene import needles_of

        plan = replace(
            PlanDraft(), schematic=schematic, site=schematic.site, side=schematic.side, background=schematic.background, targets=(canvas.target,), at_risk=canvas.structures,
            lethal_v_per_cm=old.lethal_v_per_cm, thresholds_v_per_cm=old.thresholds_v_per_cm, margin_mm=old.margin_mm,
        )  # fmt: skip
        for e in needles_of(schematic):
            plan = plan.with_needle(NeedleDraft(e.id, e.tip_mm, e.entry_mm, e.exposure_mm, e.diameter_mm))
        known = {} if old.schematic is None else {(p.anode, p.cathode): p for p in old.pairs}
        told = {(p.anode, p.cathode): p for p in schematic.pulses}

        def pair(p: PairDraft) -> PairDraft:
            said = told.get((p.anode, p.cathode))
            if said is not None:
                return PairDraft(p.anode, p.cathode, said.v_per_cm or p.v_per_cm, said.voltage_v, said.pulses, said.width_us, said.rate_hz, said.ecg_gated)
            return known.get((p.anode, p.cathode), p)

        utc = utc_now().isoformat(timespec="seconds")
        far = tuple(
            StatedClear.of(f"{f.side or schematic.side} {f.kind}" if KINDS[f.kind][1] else f.kind, f.by, plan.needles, farther_than_mm=f.farther_than_mm, utc=utc) for f in schematic.far
        )
        return replace(plan, pairs=tuple(pair(p) for p in plan.pairs), stated_clear=far)

    def show_schematic(self) -> None:
        """Bring the visit's schematic back on screen, also from under an ultrasound picture."""
        if self.is_schematic:
            if self.picture is not None:
                self.picture = None
                self.picture_changed.emit()
            return
        kept = self._schematics.get(self._visit_key())
        if kept is not None and not self.when_drawn(self.show_schematic):
            self._enter_schematic(kept)

    def _enter_schematic(self, kept: KeptSchematic) -> None:
        self.flush_drafts()
        self._put_plan_aside()  # the visit's own plan, with what belongs to it
        self._start_plan()
        self.undo_stack.clear()
        self.jobs.drop("series", "outlines", "preview", "structure", "suggest", "field")
        self._canvas, self.plan, self.plan_target_id = kept.canvas, kept.plan, kept.target_id
        self.solution, self.assessment, self.solved_plan = kept.solution, kept.assessment, kept.solved_plan
        self.current_series_id = None
        self._show_canvas()
        self.plan_changed.emit()
        self.field_changed.emit()

    def _show_canvas(self) -> None:
        image = self._canvas.image
        first = self.image is None or self.image.unit != image.unit
        self._show(image)
        if first:
            self.set_window(*CANVAS_WINDOW)
            self.set_crosshair(np.asarray(self._node_centre()))

    def _node_centre(self):
        from planning.schematic_scene import node_shape

        return node_shape(self.plan.schematic).center_mm

    def _leave_schematic(self) -> None:
        """Keep the schematic with its visit and take the visit's own plan up again."""
        if not self.is_schematic:
            return
        final = not self.field_is_preview
        self._schematics[self._visit_key()] = KeptSchematic(
            self._canvas, self.plan, self.plan_target_id, self.solution if final else None, self.assessment if final else None, self.solved_plan if final else None
        )
        self._canvas = None
        self.undo_stack.clear()
        self.jobs.drop("field", "heat")
        if self.visit is not None:
            self._take_up_plan()
        else:
            self._start_plan()
            self.plan_changed.emit()
            self.field_changed.emit()

    def _put_plan_aside(self) -> None:
        self._leave_schematic()
        super()._put_plan_aside()

    def _show(self, opened) -> None:
        if isinstance(opened, ImageVolume) and (self._canvas is None or opened is not self._canvas.image):
            self._leave_schematic()
        super()._show(opened)

    # ---- kept runs -----------------------------------------------------------------------------
    def _show_run(self, opened, placement) -> None:
        """A run from ultrasound alone is opened on its own schematic, never on a picture; a run on pictures never on a schematic."""
        source = opened.plan.source
        if source is None or not source.is_schematic:
            if self.is_schematic:
                self.notice.emit("warning", "This run lies on pictures: open the volume that it was planned on first.")
            else:
                super()._show_run(opened, placement)
            return
        from app.usecases.schematic import draw_canvas

        visit = self._visit_key()

        def work(_context):
            schematic = Schematic.from_dict(source.to_dict().get("schematic"))
            return schematic, draw_canvas(schematic)

        def done(made) -> None:
            if self._visit_key() == visit and not self.when_drawn(lambda: done(made)):
                self._show_schematic_run(opened, placement, *made)

        self.jobs.start("Placing the schematic of the run", work, key="schematic", on_done=done)

    def _show_schematic_run(self, opened, placement, schematic: Schematic, canvas) -> None:
        run, kept = opened.run, opened.draft
        node_id = run.node_id if run.node_id in self.nodes else None
        plan = replace(
            self._draft_from(schematic, canvas, kept), needles=kept.needles, pairs=kept.pairs, stated_clear=kept.stated_clear, lethal_v_per_cm=kept.lethal_v_per_cm,
            thresholds_v_per_cm=kept.thresholds_v_per_cm, margin_mm=kept.margin_mm,
        )  # fmt: skip
        if self.is_schematic:
            self._swap_schematic(canvas, plan, "Needles as they lie" if placement is not None else "Open plan run")
        else:
            self._enter_schematic(KeptSchematic(canvas, plan, node_id))
        self._run_state = replace(
            self._run_state, placement=placement, target_from="outline", target_run=run.plan_run_id, opened=None if opened.field is None else (run, opened.field), session=run.session
        )
        self.plan_changed.emit()
        if placement is None:
            if opened.field is not None:
                self.solution, self.assessment, self.solved_plan = opened.field, opened.answer, opened.plan
            self.field_is_preview = False
            self.field_changed.emit()
        self.kept_runs_changed.emit()

    # ---- the plan ----------------------------------------------------------------------------
    def set_plan(self, plan: PlanDraft, text: str = "Change plan", *, live: bool = False) -> None:
        """As ever; needles of a schematic enter on its skin."""
        if plan.schematic is not None:
            plan = replace(plan, needles=tuple(entering_on_skin(n) for n in plan.needles))
        super().set_plan(plan, text, live=live)

    def _current_targets(self) -> tuple:
        return self.plan.targets if self.is_schematic else super()._current_targets()

    def shown_target(self):
        """The mask that the field must cover, as it is drawn."""
        return self.plan.targets[0][1] if self.is_schematic else super().shown_target()

    def _target_side(self) -> str:
        return self.plan.schematic.side if self.is_schematic else super()._target_side()

    def add_structure(self, name: str, mask, preset: str) -> None:
        """Not on a schematic: its structures are rows of the form."""
        if not self._refuse_schematic():
            super().add_structure(name, mask, preset)

    def remove_structure(self, name: str) -> None:
        """Not on a schematic: its structures are rows of the form."""
        if self.is_schematic:
            self.notice.emit("warning", "Structures of a schematic are rows of its form: take the row away and place the schematic again.")
        else:
            super().remove_structure(name)

    def outline_structure(self, seed_mm) -> None:
        """Not on a schematic."""
        if not self._refuse_schematic():
            super().outline_structure(seed_mm)

    def suggest_needles(self, count: int) -> None:
        """Not on a schematic: its needles are rows of the form."""
        if self.is_schematic:
            self.notice.emit("warning", "Needles of a schematic are rows of its form, and can then be dragged.")
        else:
            super().suggest_needles(count)

    # ---- what a schematic is not ---------------------------------------------------------------
    def _refuse_schematic(self) -> bool:
        """True, and said aloud, while the schematic is what is on screen."""
        if not self.is_schematic or self.picture is not None:
            return False
        self.notice.emit("warning", NOT_HERE)
        return True

    def _node_for_editing(self):
        return None if self._refuse_schematic() else super()._node_for_editing()

    def add_caliper(self, points, *, role: str | None = None, plane: str | None = None) -> None:
        """Not on a schematic: its lengths were typed."""
        if not self._refuse_schematic():
            super().add_caliper(points, role=role, plane=plane)

    def set_reading_status(self, node_id: str, status: str, reason: str | None = None) -> None:
        """Not of a schematic: what was seen is said of a picture."""
        if not self._refuse_schematic():
            super().set_reading_status(node_id, status, reason)

    def comparable_visits(self) -> list:
        """None beside a schematic."""
        return [] if self.is_schematic else super().comparable_visits()


def entering_on_skin(needle: NeedleDraft) -> NeedleDraft:
    """The needle with its entry where its axis meets the skin (y = 0); as it is where it does not."""
    tip, entry = np.asarray(needle.tip_mm, float), np.asarray(needle.entry_mm, float)
    up = entry - tip
    if tip[1] <= 0 or up[1] >= -1e-6 or entry[1] == 0:
        return needle
    at = tip - up * tip[1] / up[1]
    return replace(needle, entry_mm=(float(at[0]), 0.0, float(at[2])))
