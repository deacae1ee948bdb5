"""The session's part for kept plan runs: the list, one opened as a draft, needles as they lie, what was delivered, two side by side.

A run never changes. Opening one copies it into the plan on screen; its field is the one that was kept with it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from app.study.model import PlanRun
from app.ui.text import t
from app.usecases.kept_plans import KeptRun, OpenedRun, placement_so_far, proposed_predecessor
from app.usecases.plan import NeedleDraft, PlanDraft
from volumetry.mask import NodeMask

TARGET_FROM = ("outline", "enhancing", "run")  # the node's outline, its enhancing part, the target as a run holds it
SHORTEST_NEEDLE_MM = 5.0


@dataclass(frozen=True, slots=True, eq=False)
class Placement:
    """Needles are being laid as they were found: ``run_id`` is the plan that they belong to, ``planned`` its needles."""

    run_id: str
    planned: tuple[NeedleDraft, ...]
    picked: str = ""  # the picture that a point was picked in, where it was another one


@dataclass(frozen=True, slots=True)
class _RunState:
    """What belongs to the plan of a visit besides the plan itself."""

    placement: Placement | None = None
    target_from: str = "outline"
    target_run: str | None = None
    opened: tuple[PlanRun, object] | None = None  # a run, and the field on screen that was kept with it
    session: str | None = None
    follows: str | None = None  # a run, "" for none, None: as proposed


class PlanRunsPart:
    """Mixed into ``Session`` before ``PlanPart``, whose changes of the plan it follows.

    ``kept_runs`` are the subject's, oldest first. ``placement`` is on while needles are laid as they lie.
    """

    def _start_plan_runs(self) -> None:
        """Follow studies and subjects; called once."""
        self.kept_runs: tuple[KeptRun, ...] = ()
        self._saved_field: tuple | None = None
        self.study_changed.connect(self.load_kept_runs)
        self.measurement_changed.connect(self._follow_enhancing_target)
        self.kept_runs_changed.connect(self._follow_earlier)

    def _drop_plan(self) -> None:
        self._run_states: dict[str, _RunState] = {}
        super()._drop_plan()

    def _start_plan(self) -> None:
        self._run_state = _RunState()
        self._enhancing_target: tuple = (None, None, None)
        super()._start_plan()

    def _put_plan_aside(self) -> None:
        if self.visit is not None:
            self._run_states[self.visit.visit_id] = self._run_state
        super()._put_plan_aside()

    def _take_up_plan(self) -> None:
        kept = self._run_states.get(self.visit.visit_id, _RunState())
        super()._take_up_plan()
        self._run_state = kept
        self.plan_changed.emit()
        self.field_changed.emit()

    # ---- what is on screen -----------------------------------------------------------------
    @property
    def placement(self) -> Placement | None:
        """The plan whose needles are being laid as they lie, or None."""
        return self._run_state.placement

    @property
    def field_run(self) -> PlanRun | None:
        """The run that the field on screen was kept with; None where it was solved here."""
        opened = self._run_state.opened
        return opened[0] if opened is not None and self.solution is not None and opened[1] is self.solution else None

    @property
    def plan_session(self) -> str | None:
        """Session of treatment that the plan on screen is for: ``day0``, ``salvage`` or None."""
        return self._run_state.session

    @property
    def plan_node_id(self) -> str | None:
        """The node that the plan on screen is for."""
        return self.plan_target_id or self.current_node_id

    @property
    def plan_follows(self) -> str | None:
        """The run that the plan on screen follows: the reader's choice, else the proposed one; of its own kind always."""
        if not self.follows_is_proposed:
            return self._run_state.follows or None
        proposed = proposed_predecessor(self.kept_runs, self.plan_node_id, self.plan_session, thermal=self.modality != "ire")
        return None if proposed is None else proposed.plan_run_id

    @property
    def follows_is_proposed(self) -> bool:
        """True while the reader has not chosen what the plan follows, or chose a plan of the other kind."""
        row = self.kept_run(self._run_state.follows)
        return self._run_state.follows is None or (row is not None and row.thermal != (self.modality != "ire"))

    def node_runs(self) -> list[KeptRun]:
        """Runs of the node that is planned for, and runs that name none; newest first."""
        return [r for r in reversed(self.kept_runs) if r.node_id in (None, self.plan_node_id)]

    def kept_run(self, plan_run_id: str | None) -> KeptRun | None:
        """The row of one run."""
        return next((r for r in self.kept_runs if r.plan_run_id == plan_run_id), None)

    def why_no_plan_save(self) -> str:
        """Why a solved plan is not kept yet: its session of treatment is not stated. Empty where it is, where needles are laid
        for a plan that says it, and where the plan is of no node."""
        if self.plan_session is not None or self.placement is not None or self.plan_node_id is None:
            return ""
        return t("Day 0 or salvage? A run never changes: say which session of treatment this plan is for.")

    def set_plan_session(self, session: str | None) -> None:
        """Day 0 or salvage; what the plan follows is proposed anew."""
        if session != self._run_state.session:
            self._run_state = replace(self._run_state, session=session, follows=None)
            self.kept_runs_changed.emit()

    def set_plan_follows(self, plan_run_id: str | None) -> None:
        """The run that the plan follows, or None for none; the reader's own choice."""
        self._run_state = replace(self._run_state, follows=plan_run_id or "")
        self.kept_runs_changed.emit()

    # ---- target ----------------------------------------------------------------------------
    @property
    def target_from(self) -> str:
        """Where the target's mask is from: one of TARGET_FROM."""
        return self._run_state.target_from

    @property
    def target_run(self) -> str | None:
        """The run whose target may be planned for as it was kept."""
        return self._run_state.target_run

    def set_target_from(self, source: str) -> None:
        """Plan for the outline, for its enhancing part, or for the target as the opened run holds it."""
        if source not in TARGET_FROM or source == self.target_from:
            return
        self._run_state = replace(self._run_state, target_from=source)
        self.jobs.drop("field")
        self._field_is_stale()
        self.plan_changed.emit()

    def set_plan_target(self, node_id: str) -> None:
        """Plan for this node's outline; what the plan follows is proposed anew."""
        self._run_state = replace(self._run_state, target_from="outline", follows=None)
        self.jobs.drop("field")
        super().set_plan_target(node_id)
        self.kept_runs_changed.emit()

    def enhancing_target(self) -> NodeMask | None:
        """The voxels of the target's outline that enhance as its reader stated; None where nothing is assessed."""
        state = self.nodes.get(self.plan_node_id or "")
        stated = None if state is None else self.enhancing_of(state.node.node_id)
        marked = None if stated is None else stated.marked(taken_only=True)
        if marked is None:
            return None
        source = stated.pair or stated.values
        known, threshold, mask = self._enhancing_target
        if known is not source or threshold != stated.threshold_hu:
            geometry, inside = marked
            if len(inside) == 0:
                return None
            import numpy as np

            array = np.zeros(geometry.shape, bool)
            array[inside[:, 2], inside[:, 1], inside[:, 0]] = True
            mask = NodeMask(array, geometry, name=state.node.label)
            self._enhancing_target = (source, stated.threshold_hu, mask)
        return mask

    def _follow_enhancing_target(self, node_id: str) -> None:
        if self.target_from != "enhancing" or node_id != self.plan_node_id:
            return
        before = self._enhancing_target[2]
        if self.enhancing_target() is not before:
            self.jobs.drop("field")
            self._field_is_stale()
            self.plan_changed.emit()

    def _current_targets(self) -> tuple:
        if self.target_from == "run" and self.plan.targets:
            return self.plan.targets
        if self.target_from == "enhancing":
            mask, state = self.enhancing_target(), self.nodes.get(self.plan_node_id or "")
            return () if mask is None else ((state.node.label, mask, "node"),)
        return super()._current_targets()

    def shown_target(self):
        """The mask that the field must cover, as it is drawn; None where there is none."""
        if self.target_from != "outline":
            targets = self._current_targets()
            return targets[0][1] if targets else None
        state = self.nodes.get(self.plan_node_id or "")
        draft = None if state is None else state.draft
        return None if draft is None or draft.is_empty else draft

    # ---- the list --------------------------------------------------------------------------
    def load_kept_runs(self) -> None:
        """Read the subject's runs; a quiet job."""
        from app.usecases.kept_plans import kept_runs

        store, subject = self.study, self.subject_id
        if store is None or subject is None:
            self.kept_runs = ()
            self.kept_runs_changed.emit()
            return

        def done(runs) -> None:
            if self.study is store and self.subject_id == subject:
                self.kept_runs = runs
                self.kept_runs_changed.emit()

        self.jobs.start("Reading plan runs", lambda _context: kept_runs(store, subject), key="kept-runs", quiet=True, on_done=done)

    def _run_names(self) -> dict:
        """What a run of the plan on screen is kept under."""
        picture = {} if self.image is None else {"picture": {"series_uid": self.image.source.series_uid, "frame_of_reference_uid": self.image.source.frame_of_reference_uid}}
        note = picture | {"target_from": self.target_from}
        if self.placement is not None:
            if self.placement.picked:
                note["picked_in"] = self.placement.picked
            return {"planned_id": self.placement.run_id, "note": note}
        return {"session": self.plan_session, "predecessor_id": self.plan_follows, "note": note}

    def save_plan(self) -> None:
        """Keep the solved plan as a run, or say that it is one already."""
        if self.field_run is not None:
            self.notice.emit("info", t("This is plan run {run} as it was kept; change it to keep another.").format(run=self.field_run.plan_run_id))
            return
        why = self.why_no_plan_save()
        if why and self.assessment is not None:
            self.notice.emit("warning", why)
            return
        self._saved_field = (self.solution, self.assessment)
        super().save_plan()

    def _run_kept(self, run: PlanRun) -> None:
        """The plan on screen was kept as ``run``: it is marked with it, and the list is read again."""
        saved, self._saved_field = self._saved_field, None
        if saved is not None and saved[0] is self.solution and saved[1] is self.assessment:  # with its heat, where that was worked out
            self._run_state = replace(self._run_state, opened=(run, self.solution))
            self.field_changed.emit()
        self.load_kept_runs()

    # ---- opening ---------------------------------------------------------------------------
    def open_plan_run(self, plan_run_id: str) -> None:
        """Copy a run into the plan of its visit and show the field kept with it; a job, one undo step."""
        self._with_run(plan_run_id, t("Opening plan run"), lambda opened: self._show_run(opened, None))

    def start_placement(self, plan_run_id: str) -> None:
        """Lay the needles of a planned run as they were found to lie: they start where they were planned; a job, one undo
        step."""

        def ready(opened: OpenedRun) -> None:
            if opened.run.kind == "actual":
                self.notice.emit("warning", t("This run holds needles as they lie already; choose the plan that they belong to."))
                return
            self._show_run(opened, Placement(opened.run.plan_run_id, opened.draft.needles))

        self._with_run(plan_run_id, t("Opening plan run"), ready)

    def end_placement(self) -> None:
        """The needles stay as they are drawn; they are a plan of their own from now on."""
        if self.placement is not None:
            self._put_run(self.plan, replace(self._run_state, placement=None), t("End needles as they lie"))

    def _with_run(self, plan_run_id: str, title: str, ready, opener=None) -> None:
        """Read a run in a job (by ``opener``), on the visit whose pictures it lies on."""
        from app.usecases.kept_plans import open_run

        opener = opener or open_run
        store, row = self.study, self.kept_run(plan_run_id)
        if store is None or row is None or self.visit is None:
            return
        if row.visit_id is not None and row.visit_id != self.visit.visit_id:
            self.open_visit(row.visit_id)
            if self.visit.visit_id != row.visit_id:
                self.notice.emit("warning", t("This run lies on the pictures of another visit; open that visit first."))
                return
        visit_id = self.visit.visit_id

        def done(opened) -> None:
            if self.study is store and self.visit is not None and self.visit.visit_id == visit_id:
                ready(opened)

        self.jobs.start(title, lambda _context: opener(store, plan_run_id), key="open-run", on_done=done)

    def _show_run(self, opened: OpenedRun, placement: Placement | None) -> None:
        run = opened.run
        if run.node_id is not None and run.node_id in self.nodes:
            self.plan_target_id = run.node_id
        field = opened.field
        source = "run" if opened.draft.targets and not self._is_outlined(opened.draft.targets) else "outline"
        state = _RunState(placement, source, run.plan_run_id, None if field is None else (run, field), run.session)
        self._put_run(opened.draft, state, t("Needles as they lie") if placement is not None else t("Open plan run"))
        if placement is None:
            if field is not None:
                self.solution, self.assessment, self.solved_plan = field, opened.answer, opened.plan
            self.field_is_preview = False
            self.field_changed.emit()
            self._add_kept_margins(opened)
        self.kept_runs_changed.emit()
        if run.visit_id is None:
            self.notice.emit("warning", t("This run does not say which visit it lies on: check its needles against the pictures."))
        for note in opened.notes:
            self.notice.emit("warning", note)

    def _add_kept_margins(self, opened: OpenedRun) -> None:
        """Margin maps are not kept: they are worked out of the kept field for the picture in 3D; a quiet job."""
        from app.usecases.kept_plans import margins_of

        def done(answer) -> None:
            if self.assessment is opened.answer:  # else another plan is on screen by now
                self.assessment = answer
                self.field_changed.emit()

        if opened.field is not None:
            self.jobs.start(t("Margin map of the run"), lambda _context: margins_of(opened), key="kept-margins", quiet=True, on_done=done)

    def _is_outlined(self, targets: tuple) -> bool:
        """True where the outline on screen is the run's target, voxel by voxel."""
        state = self.nodes.get(self.plan_node_id or "")
        draft = None if state is None else state.draft
        if draft is None or len(targets) != 1 or targets[0][0] != state.node.label or not draft.geometry.same_grid(targets[0][1].geometry):
            return False
        return bool((draft.array == targets[0][1].array).all())

    def _put_run(self, plan: PlanDraft, state: _RunState, text: str) -> None:
        """Another plan with what belongs to it, as one undo step: needles never stay behind under another run's name."""
        before = (self.plan, self._run_state, self.plan_target_id)
        after = (plan, state, self.plan_target_id)

        def put(plan: PlanDraft, state: _RunState, target: str | None) -> None:
            self.plan, self._run_state, self.plan_target_id = plan, state, target
            self._plan_before_drag = None
            self._field_is_stale()
            self.plan_changed.emit()
            self.kept_runs_changed.emit()

        put(*after)
        self._push(text, lambda: put(*after), lambda: put(*before))

    # ---- needles as they lie ---------------------------------------------------------------
    def lay_point(self, needle_id: str, end: str, point_mm, text: str = "") -> None:
        """Put a needle's ``tip`` or ``entry`` at an LPS point; one undo step. Refused aloud where the needle would be shorter
        than 5 mm."""
        needle = next((n for n in self.plan.needles if n.id == needle_id), None)
        if needle is None:
            return
        moved = replace(needle, **{f"{end}_mm": tuple(float(v) for v in point_mm)})
        length = sum((a - b) ** 2 for a, b in zip(moved.tip_mm, moved.entry_mm, strict=True)) ** 0.5
        if length < SHORTEST_NEEDLE_MM:
            self.notice.emit("warning", t("Needle {id}: tip and entry would lie {mm:.1f} mm apart; this was not taken.").format(id=needle_id, mm=length))
            self.plan_changed.emit()
            return
        self.set_plan(self.plan.with_needle(moved), text or t("Move needle {id}").format(id=needle_id))

    def lay_at_crosshair(self, needle_id: str, end: str) -> None:
        """Put a needle's end at the crosshair; with another visit beside and linked, this is where it was seen there."""
        link = self._picked_through()
        self.lay_point(needle_id, end, self.crosshair_mm)
        if link and self.placement is not None:
            self._run_state = replace(self._run_state, placement=replace(self.placement, picked=link))

    def _picked_through(self) -> str:
        c = self.comparison
        if c is None or c.registration is None:
            return ""
        left = "" if c.registration.residual_mm is None else f", residual {c.registration.residual_mm:.1f} mm"
        return f"{c.visit.name}, {c.method}{left}"

    def placement_found(self) -> dict | None:
        """Needles as they are drawn against the planned ones: ``needles`` and ``spacing`` as in ``compare_plans``."""
        return None if self.placement is None else placement_so_far(self.placement.planned, self.plan.needles)

    def take_proposal(self, index: int) -> None:
        """A proposal is a plan, not how needles lie: laying them ends."""
        self.end_placement()
        super().take_proposal(index)

    def suggest_needles(self, count: int) -> None:
        """A suggestion is a plan, not how needles lie: laying them ends."""
        self.end_placement()
        super().suggest_needles(count)

    # ---- what was delivered ----------------------------------------------------------------
    def record_delivery(self, plan_run_id: str, pairs: tuple, *, entered_by: str, date: str | None, note: str | None, replaces: str | None = None, reason: str | None = None) -> None:
        """Keep what was delivered, written once; a job. A correction names the record it ``replaces`` and a reason."""
        store = self.study
        if store is None:
            return

        def done(_kept) -> None:
            self._say_saved("delivered values saved")
            self.load_kept_runs()
            self.look_at_run(plan_run_id)

        self.jobs.start(
            t("Saving delivered values"),
            lambda _context: store.add_delivery(plan_run_id, pairs, entered_by=entered_by, date=date, note=note, replaces=replaces, reason=reason), write=True, on_done=done,
        )  # fmt: skip

    def ask_delivery(self, plan_run_id: str) -> None:
        """Read a run and its records, then ``delivery_asked`` with both: the window shows a form."""
        store = self.study
        if store is not None:
            self.jobs.start(
                t("Reading plan run"), lambda _context: (store.plan_run(plan_run_id), store.deliveries(plan_run_id)), key="delivery", quiet=True,
                on_done=lambda found: self.delivery_asked.emit(*found) if self.study is store else None,
            )  # fmt: skip

    # ---- two side by side ------------------------------------------------------------------
    def look_at_run(self, plan_run_id: str | None) -> None:
        """Set a run of needles as they lie against its plan, and delivered values against either; a quiet job that ends with
        ``run_looked_at``."""
        from app.usecases.compare_kept import look_at_run

        store = self.study
        if store is None or plan_run_id is None:
            self.run_looked_at.emit(None)
            return
        self.jobs.start(
            t("Reading plan run"), lambda _context: look_at_run(store, plan_run_id), key="look-run", quiet=True,
            on_done=lambda found: self.run_looked_at.emit(found) if self.study is store else None,
        )  # fmt: skip

    def compare_plan_runs(self, first: str | None, second: str | None) -> None:
        """Two runs side by side, None for the solved plan on screen; a job that ends with ``plans_side_by_side``."""
        from app.usecases.compare_kept import Side, side_by_side, side_of_run

        store = self.study
        if store is None or first == second:
            return
        here = None
        if None in (first, second):
            if self.assessment is None or self.field_is_preview or self.solved_plan is None:
                self.notice.emit("warning", t("Solve the field first; then the plan on screen can be compared."))
                return
            here = Side(None, None if self.visit is None else self.visit.visit_id, self.solved_plan, replace(self.plan, targets=self._current_targets()), self.solution, self.assessment.to_dict())

        def work(_context):
            return side_by_side(*(here if run is None else side_of_run(store, run) for run in (first, second)))

        self.jobs.start(t("Comparing plans"), work, key="compare-plans", on_done=lambda found: self.plans_side_by_side.emit(found) if self.study is store else None)
