"""The session's part for the needle plan and its field."""

from __future__ import annotations

from dataclasses import replace

from app.study.store import utc_now
from app.usecases.plan import PlanDraft, add_heat, draft_to_plan, solve_field, without_pair_fields
from app.usecases.structures import NECK_STRUCTURES, structure_name

PREVIEW_SPACING_MM = 2.0  # while a needle is dragged
EDIT_SPACING_MM = 1.0


class PlanPart:
    """Mixed into ``Session``; uses its signals, jobs, undo stack and study."""

    structure_kind = NECK_STRUCTURES[0][0]

    def _drop_plan(self) -> None:
        self.plans_by_visit: dict[str, tuple] = {}
        self._start_plan()

    def _start_plan(self) -> None:
        self.plan = PlanDraft()
        self.plan_target_id = None
        self.solution = self.assessment = self.solved_plan = None
        self.field_is_preview = False
        self._plan_before_drag = None

    def _put_plan_aside(self) -> None:
        """A plan belongs to the visit it was drawn on: keep it while another visit is on screen."""
        if self.visit is None:
            return
        if self.field_is_preview:
            self.solution = self.assessment = None
        self.plans_by_visit[self.visit.visit_id] = (self.plan, self.plan_target_id, self.solution, self.assessment, self.solved_plan)

    def _take_up_plan(self) -> None:
        """The plan of the visit now on screen, as it was left."""
        self._start_plan()
        kept = self.plans_by_visit.get(self.visit.visit_id)
        if kept is not None:
            self.plan, self.plan_target_id, self.solution, self.assessment, self.solved_plan = kept
        self.plan_changed.emit()
        self.field_changed.emit()

    def _current_targets(self) -> tuple:
        """The plan's target: the node chosen for it (else the current one) as outlined now."""
        node_id = self.plan_target_id or self.current_node_id
        state = self.nodes.get(node_id or "")
        if state is None or state.draft is None or state.draft.is_empty:
            return ()
        return ((state.node.label, state.draft.as_mask(name=state.node.label), "node"),)

    def set_plan_target(self, node_id: str) -> None:
        """Plan for this node."""
        self.plan_target_id = node_id
        self._field_is_stale()
        self.plan_changed.emit()

    def set_plan(self, plan: PlanDraft, text: str = "Change plan", *, live: bool = False) -> None:
        """Replace the plan. ``live`` (while dragging) keeps it out of undo and asks for a quick
        preview; otherwise it is one undo step and the old field is dropped."""
        if live:
            if self._plan_before_drag is None:
                self._plan_before_drag = self.plan
            self.plan = plan
            if not self.field_is_preview:
                self._field_is_stale()
            self.plan_changed.emit()
            self._preview_field()
            return
        if plan == self.plan and self._plan_before_drag is None:
            return  # a needle was pressed, not moved
        before = self._plan_before_drag or self.plan
        self._plan_before_drag = None

        def put(value: PlanDraft) -> None:
            self.plan = value
            self._field_is_stale()
            self.plan_changed.emit()

        put(plan)
        self._push(text, lambda: put(plan), lambda: put(before))

    def _field_is_stale(self) -> None:
        """A field that no longer belongs to the needles on screen is not shown."""
        self.jobs.drop("heat")
        if self.solution is not None or self.assessment is not None:
            self.solution = self.assessment = None
            self.field_is_preview = False
            self.field_changed.emit()

    def _target_edited(self, node_id: str) -> None:
        """Coverage and margin of another outline than the one on screen are not shown."""
        if node_id == (self.plan_target_id or self.current_node_id):
            self.jobs.drop("field")
            self._field_is_stale()

    def add_structure(self, name: str, mask, preset: str) -> None:
        """Add a structure at risk to the plan; one undo step."""
        others = tuple(s for s in self.plan.at_risk if s[0] != name)
        self.set_plan(replace(self.plan, at_risk=(*others, (name, mask, preset))), f"Add {name}")

    def remove_structure(self, name: str) -> None:
        """Take a structure at risk out of the plan; one undo step."""
        self.set_plan(replace(self.plan, at_risk=tuple(s for s in self.plan.at_risk if s[0] != name)), f"Remove {name}")

    def set_structure_kind(self, kind: str) -> None:
        """What the next click with the structure tool outlines: a kind of ``NECK_STRUCTURES``."""
        self.structure_kind = kind

    def state_clear(self, name: str, stated: bool) -> None:
        """The reader states, or takes back, that a structure lies farther than 15 mm from every needle as it lies now."""
        plan = self.plan.without_stated_clear(name)
        if stated:
            plan = plan.with_stated_clear(name, self.reader, utc=utc_now().isoformat(timespec="seconds"))
        self.set_plan(plan, f"State {name} far" if stated else f"Take back that {name} is far")

    def _target_side(self) -> str:
        """Side of the node that is planned for, ``unknown`` where none is."""
        state = self.nodes.get(self.plan_target_id or self.current_node_id or "")
        return "unknown" if state is None else str(state.node.side)

    def outline_structure(self, seed_mm) -> None:
        """Grow a structure of the chosen kind (a contrast-filled vessel, an airway) from a click and add it as a structure at
        risk, named for what it is and its side; a job."""
        from app.usecases.structures import grow_structure

        image, kind = self.image, self.structure_kind
        name = structure_name(kind, self._target_side(), {n for n, _, _ in self.plan.at_risk})
        preset = dict(NECK_STRUCTURES)[kind]
        if image is None:
            self.notice.emit("warning", "Open a CT volume first.")
            return
        self.jobs.start(
            f"Outlining {name}", lambda _context: grow_structure(image, seed_mm, name), key="structure", on_done=lambda mask: self.add_structure(name, mask, preset) if self.image is image else None
        )

    def suggest_needles(self, count: int) -> None:
        """Place needles around the current node as a starting position; one undo step; a job."""
        from app.usecases.needle_start import suggest_needles

        targets, image, before = self._current_targets(), self.image, self.plan
        if not targets:
            self.notice.emit("warning", "Outline the node first (step 2); needles are placed around it.")
            return
        at_risk = tuple(mask for _, mask, _ in self.plan.at_risk)

        def done(needles) -> None:
            if self.plan is not before:
                return  # the plan was changed by hand meanwhile; that stands
            plan = replace(self.plan, needles=(), pairs=())
            for needle in needles:
                plan = plan.with_needle(needle)
            self.set_plan(plan, f"Suggest {count} needles")

        self.jobs.start(
            "Looking for a way in", lambda _context: suggest_needles(targets[0][1], count, image=image, at_risk=at_risk), key="suggest", on_done=done
        )

    def _preview_field(self) -> None:
        """A quick linear field while a needle is dragged: quiet job, latest wins."""
        plan = replace(self.plan, targets=self._current_targets(), side=self._target_side(), spacing_mm=PREVIEW_SPACING_MM)
        if len(plan.needles) < 2:
            return

        def work(context):
            from planning.field.solve import solve_plan

            return solve_plan(draft_to_plan(plan), preview=True, should_cancel=lambda: context.token.is_cancelled)

        def done(solution) -> None:
            if self._plan_before_drag is not None:
                self.solution, self.assessment, self.field_is_preview = solution, None, True
                self.field_changed.emit()

        self.jobs.start("Field preview", work, key="field", quiet=True, on_done=done, on_refused=lambda _error: None)

    def solve(self) -> None:
        """Solve the plan at full resolution; a job with progress and cancel. The field is shown at once, its heat
        follows."""
        draft = replace(self.plan, targets=self._current_targets(), side=self._target_side(), spacing_mm=EDIT_SPACING_MM)
        asked = self.plan

        def work(context):
            plan = draft_to_plan(draft)
            return (plan, *solve_field(plan, context, keep_pair_fields=True))

        def done(result) -> None:
            if self.plan is not asked:
                return  # the needles moved meanwhile; this field is not theirs
            self.solved_plan, solved, self.assessment = result
            self.solution = without_pair_fields(solved)
            self.field_is_preview = False
            self.field_changed.emit()
            self._add_heat(solved)

        self.jobs.start("Solving the field", work, key="field", on_done=done)

    def _add_heat(self, solved) -> None:
        """The temperature of the trains of the field on screen, of which ``solved`` has the single pairs; a job.
        Coverage and margins stay as they are shown."""
        plan, shown, assessment = self.solved_plan, self.solution, self.assessment

        def done(result) -> None:
            if self.solution is shown:  # else another field is on screen by now
                self.assessment = result[1]
                self.field_changed.emit()

        self.jobs.start("Working out the heat", lambda context: add_heat(plan, solved, assessment, context), key="heat", on_done=done)

    def save_plan(self) -> None:
        """Write the solved plan into the study as a write-once run; a job."""
        from app.usecases.plan_runs import save_plan_run

        store, visit, subject = self.study, self.visit, self.subject_id
        if store is None or visit is None or self.assessment is None:
            self.notice.emit("warning", "Solve the field first; then the plan can be kept in the study.")
            return
        plan, solution, assessment = self.solved_plan, self.solution, self.assessment
        robustness = None if self.robustness is None else self.robustness.result
        node_id, names = self.plan_target_id or self.current_node_id, self._run_names()
        if "planned_id" in names:
            node_id = None  # the plan's

        def done(run) -> None:
            self._say_saved("plan run saved")
            self._remember_kept(solution, assessment, run.plan_run_id)
            self.readings_changed.emit()
            self._run_kept(run)

        self.jobs.start("Saving the plan", lambda _context: save_plan_run(store, subject, visit.visit_id, plan, solution, assessment, node_id=node_id, robustness=robustness, **names), write=True, on_done=done)
