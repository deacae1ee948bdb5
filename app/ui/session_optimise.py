"""The session's part for the optimiser: a search beside the window, its proposals, and taking one."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from app.ui.session_plan import EDIT_SPACING_MM
from app.usecases.plan import NeedleDraft, PairDraft, PlanDraft, draft_to_plan

SEARCHING = "Optimising the plan"  # title of the job


@dataclass(frozen=True, slots=True, eq=False)
class Search:
    """A finished search: what it was asked for, and the answer of ``nodus optimise``. ``drafts``: a plan a proposal."""

    asked: PlanDraft
    asked_for: tuple
    answer: dict
    drafts: tuple[PlanDraft, ...]


class OptimisePart:
    """Mixed into ``Session`` before ``PlanPart``, whose changes of the plan it follows."""

    search_effort = None  # planning.optimise.Effort; None: its own
    search_spacing_mm = EDIT_SPACING_MM

    def _drop_plan(self) -> None:
        self.jobs.drop("optimise")
        self.searches_by_visit: dict[str, Search] = {}
        super()._drop_plan()

    def _start_plan(self) -> None:
        self.search: Search | None = None
        self.search_refusal = ""
        self.shown_proposal: int | None = None
        super()._start_plan()

    def _put_plan_aside(self) -> None:
        if self.visit is not None and self.search is not None:
            self.searches_by_visit[self.visit.visit_id] = self.search
        super()._put_plan_aside()

    def _take_up_plan(self) -> None:
        super()._take_up_plan()
        kept = self.searches_by_visit.pop(self.visit.visit_id, None)
        if kept is not None and kept.asked_for == self._asked_for():
            self.search = kept
        self.proposals_changed.emit()

    def _asked_for(self) -> tuple:
        """What proposals depend on besides the needles; other ones are no longer of this plan."""
        plan = self.plan
        return (self.plan_target_id or self.current_node_id, self.target_from, plan.lethal_v_per_cm, plan.background, plan.schematic, plan.at_risk)

    def _field_is_stale(self) -> None:
        super()._field_is_stale()
        running = self._search_running()
        if running is not None and running[1] != self._asked_for():
            self._stop_search_for_good()
        if self.search is not None and self.search.asked_for != self._asked_for():
            self._drop_search()

    def _target_edited(self, node_id: str) -> None:
        super()._target_edited(node_id)
        if node_id == (self.plan_target_id or self.current_node_id):
            if self._search_running() is not None:
                self._stop_search_for_good()
            self._drop_search()

    def _search_running(self) -> tuple | None:
        """``(job, asked for)`` of the search of the visit on screen, or None."""
        kept = getattr(self, "_search_job", None)
        visit_id = None if self.visit is None else self.visit.visit_id
        return None if kept is None or kept[2] != visit_id else kept

    def _stop_search_for_good(self) -> None:
        self._search_job = None
        self.jobs.drop("optimise")
        self.search_refusal = "The search was stopped: the target, a structure or the lethal field was changed meanwhile."
        self.notice.emit("warning", self.search_refusal)
        self.proposals_changed.emit()

    def _drop_search(self) -> None:
        """Proposals for another target, other structures or another lethal field are not shown."""
        if self.search is not None or self.shown_proposal is not None:
            self.search = self.shown_proposal = None
            self.proposals_changed.emit()

    def start_search(self, limits: dict | None = None, seed: int = 0) -> None:
        """Search for better needles and voltages within ``limits`` (as in a plan file); a job in a process of its own.
        Proposals are only shown: the plan on screen stays as it is, whatever becomes of it meanwhile."""
        from app.usecases.optimise import check_seed, optimise_aside, read_limits

        asked, asked_for, effort = self.plan, self._asked_for(), self.search_effort
        draft = replace(asked, targets=self._current_targets(), side=self._target_side(), spacing_mm=self.search_spacing_mm)
        visit_id = None if self.visit is None else self.visit.visit_id

        def work(context):
            within = read_limits(limits)
            answer = optimise_aside(draft_to_plan(cropped(draft)), within, check_seed(seed), context, effort=effort)
            return Search(asked, asked_for, answer, tuple(taken(asked, p["plan"]) for p in answer["proposals"]))

        def done(search: Search) -> None:
            self._search_job = None
            if visit_id != (None if self.visit is None else self.visit.visit_id) or self._asked_for() != asked_for:
                self.searches_by_visit[visit_id] = search  # another plan is on screen; shown when this one is again
                return
            self.search, self.shown_proposal = search, None
            self.proposals_changed.emit()

        def refused(error) -> None:
            self._search_job = None
            self.search_refusal = error.message + (f" {error.hint}" if error.hint else "")
            self.proposals_changed.emit()

        def lost() -> None:
            self._search_job = None
            self.proposals_changed.emit()

        self.search, self.search_refusal, self.shown_proposal = None, "", None
        self._search_job = (self.jobs.start(SEARCHING, work, key="optimise", on_done=done, on_refused=refused, on_lost=lost), asked_for, visit_id)
        self.proposals_changed.emit()

    @property
    def is_searching(self) -> bool:
        """True while a search for the visit on screen runs."""
        return self._search_running() is not None

    def stop_search(self) -> None:
        """End the search and keep the best so far."""
        kept = getattr(self, "_search_job", None)
        if kept is not None:
            self.jobs.cancel(kept[0])

    def show_proposal(self, index: int | None) -> None:
        """Show a proposal's needles beside those of the plan (None: none)."""
        if index is not None and (self.search is None or not 0 <= index < len(self.search.drafts)):
            index = None
        if index != self.shown_proposal:
            self.shown_proposal = index
            self.proposals_changed.emit()

    @property
    def ghost_needles(self) -> tuple[NeedleDraft, ...]:
        """Needles of the proposal that is looked at."""
        return () if self.search is None or self.shown_proposal is None else self.search.drafts[self.shown_proposal].needles

    def take_proposal(self, index: int) -> None:
        """Put a proposal's needles and voltages into the plan, one undo step; then its field is solved."""
        found = self.search.drafts[index]
        self.show_proposal(None)
        self.set_plan(replace(self.plan, needles=found.needles, pairs=found.pairs), f"Take proposal {index + 1}")
        self.solve()


def taken(draft: PlanDraft, plan: dict) -> PlanDraft:
    """The draft with needles and pulses of a proposal's plan; voltages are as proposed."""
    needles = tuple(NeedleDraft(e["id"], tuple(e["tip_mm"]), tuple(e["entry_mm"]), e["exposure_mm"], e["diameter_mm"]) for e in plan["electrodes"])
    out = replace(draft, needles=needles, pairs=())
    pairs = []
    for p in plan["pulses"]:
        pair = PairDraft(p["anode"], p["cathode"], pulses=p["pulses"], width_us=p["width_us"], rate_hz=p["rate_hz"], ecg_gated=p.get("ecg_gated"))
        v_per_cm = float(round(10.0 * p["voltage_v"] / out.pair_distance_mm(pair)))
        pairs.append(replace(pair, v_per_cm=v_per_cm, voltage_v=float(p["voltage_v"])))
    return replace(out, pairs=tuple(pairs))


def cropped(draft: PlanDraft) -> PlanDraft:
    """The same masks without the empty rest of their picture, small enough to be handed to another process."""

    def small(mask):
        box = mask.bounding_slices(2)
        return mask if box is None else replace(mask, array=np.ascontiguousarray(mask.array[box]), geometry=mask.geometry.cropped(box))

    return replace(draft, **{role: tuple((name, small(mask), preset) for name, mask, preset in getattr(draft, role)) for role in ("targets", "at_risk")})
