"""The session's part for robustness: many samples beside the window, the map of what they cover, and when it is dropped."""

from __future__ import annotations

from dataclasses import dataclass, replace

from app.ui.session_optimise import cropped
from app.usecases.plan import PlanDraft, draft_to_plan

SAMPLING = "Robustness"  # title of the job
MAPS = ("field", "probability")


@dataclass(frozen=True, slots=True, eq=False)
class SampledPlan:
    """A plan and the ``Robustness`` of it."""

    plan: PlanDraft
    result: object


class RobustnessPart:
    """Mixed into ``Session`` before ``PlanPart``, whose changes of the plan it follows."""

    robustness_spacing_mm = 1.0
    robustness_processes: int | None = None  # None: one a core

    def _drop_plan(self) -> None:
        self.jobs.drop("robustness")
        self.robustness_by_visit: dict[str, SampledPlan] = {}
        super()._drop_plan()

    def _start_plan(self) -> None:
        self.robustness: SampledPlan | None = None
        self.robustness_refusal = ""
        self.shown_map = MAPS[0]
        super()._start_plan()

    def _put_plan_aside(self) -> None:
        if self.visit is not None and self.robustness is not None:
            self.robustness_by_visit[self.visit.visit_id] = self.robustness
        super()._put_plan_aside()

    def _take_up_plan(self) -> None:
        super()._take_up_plan()
        kept = self.robustness_by_visit.pop(self.visit.visit_id, None)
        if kept is not None and kept.plan is self.plan:
            self.robustness = kept
        self.robustness_changed.emit()

    def _field_is_stale(self) -> None:
        super()._field_is_stale()
        self._robustness_is_stale()

    def _target_edited(self, node_id: str) -> None:
        super()._target_edited(node_id)
        if node_id == (self.plan_target_id or self.current_node_id):
            self._robustness_is_stale()

    def _robustness_is_stale(self) -> None:
        """Samples of another plan than the one on screen are neither shown nor worked on."""
        if self.is_sampling:
            self._sampling = None
            self.jobs.drop("robustness")
            self.robustness_refusal = "The robustness run was stopped: the plan was changed meanwhile."
            self.notice.emit("warning", self.robustness_refusal)
            self.robustness_changed.emit()
        if self.robustness is not None:
            self.robustness = None
            self.robustness_refusal = "Dropped: the plan was changed after the robustness run. Run it again."
            self.set_shown_map("field")
            self.robustness_changed.emit()

    @property
    def is_sampling(self) -> bool:
        """True while samples of the plan on screen are worked out."""
        running, visit_id = getattr(self, "_sampling", None), None if self.visit is None else self.visit.visit_id
        return running is not None and running[1] == visit_id

    def start_robustness(self, spread: dict, *, samples: int = 200, seed: int = 0, scheduler: str = "") -> None:
        """Solve the plan on screen ``samples`` times with everything a little off (fields of ``planning.robustness.Spread``), on
        all cores or on the Dask cluster at ``scheduler``; a job with progress and cancel. Nothing is left of a cancelled run."""
        from app.usecases.robustness import assess_robustness
        from planning.robustness import Spread

        asked, spacing_mm, processes = self.plan, self.robustness_spacing_mm, self.robustness_processes
        draft = replace(asked, targets=self._current_targets(), side=self._target_side(), spacing_mm=spacing_mm)
        visit_id = None if self.visit is None else self.visit.visit_id

        def work(context):
            return assess_robustness(draft_to_plan(cropped(draft)), Spread(**spread), context, samples=samples, seed=seed, spacing_mm=spacing_mm, scheduler=scheduler.strip() or None, processes=processes)

        def done(result) -> None:
            self._sampling = None
            if visit_id != (None if self.visit is None else self.visit.visit_id) or self.plan is not asked:
                self.robustness_by_visit[visit_id] = SampledPlan(asked, result)  # shown when that plan is on screen again, if ever
                return
            self.robustness, self.robustness_refusal = SampledPlan(asked, result), ""
            self.robustness_changed.emit()
            self.set_shown_map("probability")

        def refused(error) -> None:
            self._sampling = None
            self.robustness_refusal = error.message + (f" {error.hint}" if error.hint else "")
            self.robustness_changed.emit()

        def lost() -> None:
            self._sampling = None
            self.robustness_changed.emit()

        self.robustness, self.robustness_refusal = None, ""
        self.set_shown_map("field")
        self._sampling = (self.jobs.start(SAMPLING, work, key="robustness", on_done=done, on_refused=refused, on_lost=lost), visit_id)
        self.robustness_changed.emit()

    def stop_robustness(self) -> None:
        """Cancel the run; nothing of it is kept."""
        running = getattr(self, "_sampling", None)
        if running is not None:
            self.jobs.cancel(running[0])

    def set_shown_map(self, name: str) -> None:
        """What the colours in the pictures are: ``field`` or ``probability`` (only where there is one)."""
        if name == "probability" and self.robustness is None:
            name = "field"
        if name != self.shown_map:
            self.shown_map = name
            self.display_changed.emit()

    @property
    def shows_field(self) -> bool:
        """True where the field is what the colours show."""
        return self.show_field and self.shown_map == "field"

    @property
    def shown_probability(self):
        """The ``Robustness`` whose map the colours show, or None."""
        return self.robustness.result if self.robustness is not None and self.show_field and self.shown_map == "probability" else None
