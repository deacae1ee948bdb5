"""The session's part for kept runs of RFA and cryo + RF: the zones on screen kept, a run opened with its zones, two set side by side.

A run never changes. Opening one copies needles and settings into the plan on screen and shows the zones that were kept with it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from app.study.model import PlanRun
from app.ui.session_thermal import NeedleChoice
from app.ui.text import t
from app.usecases.plan import NeedleDraft


@dataclass(frozen=True, slots=True, eq=False)
class ThermalSides:
    """Two thermal plans: runs, None for the zones on screen, and ``compare_answers`` of both."""

    first: PlanRun | None
    second: PlanRun | None
    found: dict


class ThermalRunsPart:
    """Mixed into ``Session`` before ``PlanRunsPart`` and ``ThermalPart``, whose runs and zones it joins."""

    _thermal_kept: tuple | None = None  # a run, and the zones on screen that it holds

    @property
    def thermal_run(self) -> PlanRun | None:
        """The run that holds exactly the zones on screen; None where they were joined or solved since."""
        kept = self._thermal_kept
        return kept[0] if kept is not None and self.thermal is not None and kept[1] is self.thermal else None

    def why_no_thermal_save(self) -> str:
        """Why the zones on screen cannot be kept now; empty where they can."""
        if self.study is None or self.visit is None:
            return t("Open a study first.")
        if self.thermal is None:
            return t("There are no zones yet.")
        if self.is_solving_bioheat:
            return t("The course is being solved: wait, or stop it.")
        return ""

    def _thermal_node_ids(self) -> list[str]:
        """Nodes whose outlines are the lesions on screen, the one that is planned for first."""
        outlined = [i for i, s in self.nodes.items() if s.draft is not None and not s.draft.is_empty and i != self.liver_node_id]
        first = self.plan_node_id
        return [*([first] if first in outlined else []), *(i for i in outlined if i != first)]

    def save_thermal_run(self) -> None:
        """Keep the zones on screen as a plan run, written once; a job."""
        from app.usecases.thermal_runs import save_thermal_run

        why = self.why_no_thermal_save()
        if why or self.thermal_run is not None:
            self.notice.emit("warning", why or t("This is plan run {run} as it was kept; change it to keep another.").format(run=self.thermal_run.plan_run_id))
            return
        store, subject, visit, result, nodes = self.study, self.subject_id, self.visit, self.thermal, self._thermal_node_ids()
        follows = self.kept_run(self.plan_follows)
        predecessor = follows.plan_run_id if follows is not None and follows.thermal and follows.node_id == next(iter(nodes), None) else None
        note = {} if self.image is None else {"picture": {"series_uid": self.image.source.series_uid, "frame_of_reference_uid": self.image.source.frame_of_reference_uid}}

        def done(run: PlanRun) -> None:
            self._say_saved("plan run saved")
            if self.thermal is result:
                self._thermal_kept = (run, result)
            self.load_kept_runs()
            self.readings_changed.emit()
            self.thermal_changed.emit()

        self.jobs.start(
            t("Saving the plan"), lambda _context: save_thermal_run(store, subject, visit.visit_id, result, node_ids=nodes, predecessor_id=predecessor, note=note), write=True, on_done=done
        )

    # ---- opening ---------------------------------------------------------------------------
    def open_plan_run(self, plan_run_id: str) -> None:
        """Copy a run into the plan of its visit and show the field or the zones kept with it; a job, one undo step."""
        row = self.kept_run(plan_run_id)
        if row is None or not row.thermal:
            super().open_plan_run(plan_run_id)
            return
        from app.usecases.thermal_runs import open_thermal_run

        self._with_run(plan_run_id, t("Opening plan run"), self._show_thermal_run, opener=open_thermal_run)

    def _show_run(self, opened, placement) -> None:
        """A run of an electric field is shown with IRE chosen."""
        if self.modality != "ire":
            self.set_modality("ire")
        super()._show_run(opened, placement)

    def _show_thermal_run(self, kept) -> None:
        run, plan = kept.run, kept.plan
        kinds = list(run.content.get("modality", ()))
        modality = self.modality if self.modality in kinds else kinds[0]
        notes = list(kept.notes)
        draft = replace(self.plan, needles=(), pairs=(), margin_mm=plan.margin_mm)
        for n in plan.needles:
            draft = draft.with_needle(NeedleDraft(n.id, n.tip_mm, n.entry_mm))
        choices, lost = _choices(plan)
        if lost or plan.frames or len(kinds) > 1:
            notes.append(t("The run has sessions, steps, frames or applications that cannot be held here: zones joined again would leave them out."))
        if run.node_id is not None and run.node_id in self.nodes:
            self.plan_target_id = run.node_id
        liver = self._liver_like(plan)
        if self._outlined_otherwise(plan, liver):
            notes.append(t("Lesions or liver of the run are not outlined like this here: the zones shown are those kept; joined again they belong to the outlines of now."))
        names = {name for name, _, _ in self.plan.at_risk}
        if any(part.name not in names for part in plan.at_risk):
            notes.append(t("Structures at risk of the run are not outlined here; zones joined again would not tell of them."))
        self._put_thermal(draft, modality, choices, liver, t("Open plan run"))
        self.jobs.drop("thermal")
        self._thermal_kept, self.thermal = (run, kept), kept
        self.thermal_changed.emit()
        self.kept_runs_changed.emit()
        if run.visit_id is None:
            notes.append(t("This run does not say which visit it lies on: check its needles against the pictures."))
        for note in notes:
            self.notice.emit("warning", note)

    def _liver_like(self, plan) -> str | None:
        """The outline on screen that is the run's liver; else the one that was chosen, where the run has a liver."""
        mask = getattr(plan.liver, "mask", None)
        if plan.liver is None:
            return None
        return next((i for i, s in self.nodes.items() if mask is not None and _same(s, mask)), self.liver_node_id)

    def _outlined_otherwise(self, plan, liver: str | None) -> bool:
        drawn = {s.node.label: s for i, s in self.nodes.items() if i != liver and s.draft is not None and not s.draft.is_empty}
        lesions = {part.name: getattr(part.shape, "mask", None) for part in plan.lesions}
        if set(drawn) != set(lesions) or any(mask is None or not _same(drawn[name], mask) for name, mask in lesions.items()):
            return True
        return plan.liver is not None and (liver is None or getattr(plan.liver, "mask", None) is None or not _same(self.nodes[liver], plan.liver.mask))

    def _put_thermal(self, plan, modality: str, choices: dict, liver: str | None, text: str) -> None:
        """Another plan with its settings, as one undo step."""
        before = (self.plan, self.modality, dict(self.thermal_choices), self.liver_node_id, self.plan_target_id, self._run_state)
        after = (plan, modality, choices, liver, self.plan_target_id, replace(self._run_state, placement=None, opened=None, follows=None))

        def put(plan, modality, choices, liver, target, state) -> None:
            self.plan, self.modality, self.thermal_choices, self.liver_node_id, self.plan_target_id, self._run_state = plan, modality, dict(choices), liver, target, state
            self._plan_before_drag = None
            self._field_is_stale()
            self.plan_changed.emit()
            self.kept_runs_changed.emit()

        put(*after)
        self._push(text, lambda: put(*after), lambda: put(*before))

    # ---- what a thermal run is not asked for -------------------------------------------------
    def start_placement(self, plan_run_id: str) -> None:
        """Needles as they lie are laid for plans of an electric field."""
        if not self._refused_for_thermal(plan_run_id):
            super().start_placement(plan_run_id)

    def ask_delivery(self, plan_run_id: str) -> None:
        """Delivered pulses belong to plans of an electric field."""
        if not self._refused_for_thermal(plan_run_id):
            super().ask_delivery(plan_run_id)

    def _refused_for_thermal(self, plan_run_id: str) -> bool:
        row = self.kept_run(plan_run_id)
        if row is None or not row.thermal:
            return False
        self.notice.emit("warning", t("This is a plan of RFA or cryo + RF: it has no pairs, pulses or electric field."))
        return True

    # ---- side by side ----------------------------------------------------------------------
    def compare_plan_runs(self, first: str | None, second: str | None) -> None:
        """Two runs of one kind side by side, None for what is on screen."""
        thermal = [self.modality != "ire" if run is None else bool(getattr(self.kept_run(run), "thermal", False)) for run in (first, second)]
        if not any(thermal):
            super().compare_plan_runs(first, second)
            return
        from app.usecases.thermal_runs import compare_answers, kinds_differ

        if not all(thermal):
            self.notice.emit("warning", kinds_differ().message)
            return
        store, here = self.study, self.thermal
        if store is None or first == second:
            return
        if None in (first, second) and here is None:
            self.notice.emit("warning", t("There are no zones yet."))
            return

        def work(_context):
            runs = [None if run is None else store.plan_run(run) for run in (first, second)]
            answers = [here.answer() if run is None else run.content["assessment"] for run in runs]
            return ThermalSides(*runs, compare_answers(*answers))

        self.jobs.start(t("Comparing plans"), work, key="compare-plans", on_done=lambda found: self.plans_side_by_side.emit(found) if self.study is store else None)


def _same(state, mask) -> bool:
    """True where a node's outline is this mask, voxel by voxel."""
    draft = state.draft
    return draft is not None and not draft.is_empty and draft.geometry.same_grid(mask.geometry) and bool((draft.array == mask.array).all())


def _choices(plan) -> tuple[dict[str, NeedleChoice], bool]:
    """A setting a needle, and whether the plan has more than that."""
    choices, lost = {}, False
    for n in plan.needles:
        own = [a for a in plan.applications if a.needle == n.id]
        if not own:
            lost = True
            continue
        first = own[0]
        back = own[1].pull_back_mm if len(own) == 2 else 0.0
        choices[n.id] = NeedleChoice(first.device, first.setting, first.round, back)
        same = len(own) == 1 or (len(own) == 2 and (own[1].device, own[1].setting, own[1].round) == (first.device, first.setting, first.round) and back > 0)
        lost |= not same or first.pull_back_mm > 0 or any(a.session != 1 or a.step is not None for a in own)
    return choices, lost
