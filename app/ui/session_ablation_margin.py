"""The session's part for the margin that an ablation reached: a lesion of the earlier visit against a zone of the later one.

The two visits are those laid beside each other. The lesion is carried by what registers them, never by the scanner's position.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from app.study.model import Visit
from app.ui.text import t

MEASURING = "Measuring the margin after ablation"  # title of the job


@dataclass(frozen=True, slots=True)
class AblationChoice:
    """Nodes by identity: the lesion and the liver as outlined at the earlier visit, the zone at the later one. None: not chosen by
    hand; ``liver`` None: not outlined."""

    lesion: str | None = None
    zone: str | None = None
    liver: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class VisitSide:
    """One of the two visits. ``labels`` names the outlines there, by node identity."""

    visit: Visit
    is_here: bool
    labels: dict[str, str]


@dataclass(frozen=True, slots=True, eq=False)
class AblationResult:
    """What was measured, of which outlines. ``to_screen`` carries points of the lesion (LPS mm, earlier visit) to the pictures
    on screen; ``lesion`` is its mask and ``distances_mm`` at ``points_mm`` (earlier visit) its margins."""

    answer: object  # usecases.ablation_margin.MarginAnswer
    earlier: Visit
    later: Visit
    choice: AblationChoice
    labels: tuple[str, str, str | None]
    lesion: object
    points_mm: np.ndarray
    distances_mm: np.ndarray
    to_screen: np.ndarray
    earlier_is_here: bool
    made_of: tuple


class AblationMarginPart:
    """Mixed into ``Session`` before ``ComparePart``, whose comparison it follows."""

    def _start_comparing(self) -> None:
        super()._start_comparing()
        self._ablation_choice = AblationChoice()
        self._ablation: AblationResult | None = None
        self._measuring_margin: int | None = None
        self.ablation_refusal = ""
        self.ablation_in_scene = True
        for signal in (self.comparison_changed, self.nodes_changed, self.measurement_changed):
            signal.connect(self._follow_ablation)
        self.mask_changed.connect(self._check_ablation)

    # ---- what is measured -------------------------------------------------------------------
    def ablation_sides(self) -> tuple[VisitSide, VisitSide] | None:
        """(earlier, later) visit of the comparison; None without one."""
        c = self.comparison
        if c is None or self.visit is None:
            return None
        here = VisitSide(self.visit, True, {i: s.node.label for i, s in self.nodes.items() if s.draft is not None and not s.draft.is_empty})
        names = {n.node_id: n.label for n in self.subject_nodes} | {i: s.node.label for i, s in self.nodes.items()}
        there = VisitSide(c.visit, False, {i: names.get(i, i) for i in c.outlines})
        order = {v.visit_id: n for n, v in enumerate(self.visits)}
        return (here, there) if order.get(self.visit.visit_id, 0) < order.get(c.visit.visit_id, 0) else (there, here)

    @property
    def ablation_choice(self) -> AblationChoice:
        """What is chosen; the lesion, where nothing was: the current node, else the only outline. A zone is only ever chosen by hand:
        an outline of the later visit may as well be what is left of the lesion."""
        sides, chosen = self.ablation_sides(), self._ablation_choice
        if sides is None:
            return chosen

        before, after = sides[0].labels, sides[1].labels
        only = next(iter(before)) if len(before) == 1 else None
        lesion = next((i for i in (chosen.lesion, self.current_node_id, only) if i in before), None)
        return AblationChoice(lesion, chosen.zone if chosen.zone in after else None, chosen.liver if chosen.liver in before else None)

    def ablation_doubt(self) -> str:
        """What the reader has to make sure of about the chosen outlines; empty where nothing speaks against them."""
        sides, choice = self.ablation_sides(), self.ablation_choice
        if sides is None or choice.zone is None or choice.zone != choice.lesion:
            return ""
        return t("{label} at {visit} counts as the ablation zone. If it outlines what is left of the lesion, this margin says nothing.").format(label=sides[1].labels[choice.zone], visit=sides[1].visit.name)

    def choose_ablation(self, **changes) -> None:
        """Choose lesion, zone or liver; what was measured of others is dropped."""
        self._ablation_choice = replace(self.ablation_choice, **changes)
        self._follow_ablation()

    def why_no_ablation_margin(self) -> str:
        """The sentence that says why no margin can be measured; empty where it can."""
        c, sides = self.comparison, self.ablation_sides()
        if sides is None:
            return t("Compare with the visit before or after the ablation first.")
        earlier, later = sides
        for side in sides:
            if not side.labels:
                return t("{reader} has no outline at {visit}: outline it there in step 2.").format(reader=self.reader, visit=side.visit.name)
        if c.registration is None:
            if self.is_registering:
                return t("The visits are being registered…")
            if c.method == "position":
                return t("The visits are linked by scanner position only: a margin measured so may be wrong by centimetres. Register them by content or by landmarks.")
            return t("The visits are not registered: register them by content or by landmarks first.")
        choice = self.ablation_choice
        if choice.lesion is None:
            return t("Choose the lesion as it was outlined at {visit}.").format(visit=earlier.visit.name)
        if choice.zone is None:
            return t("Choose the ablation zone as it was outlined at {visit}: not what is left of the lesion.").format(visit=later.visit.name)
        if choice.liver == choice.lesion:
            return t("Lesion and liver are the same outline.")
        return ""

    # ---- measuring --------------------------------------------------------------------------
    @property
    def ablation(self) -> AblationResult | None:
        """What was measured of the outlines and the registration as they stand, or None."""
        return self._ablation

    @property
    def is_measuring_ablation(self) -> bool:
        """True while the margin is worked out."""
        return self._measuring_margin is not None

    def _ablation_of(self) -> tuple:
        """What a result belongs to: outlines voxel by voxel, registration, choice."""
        c, choice = self.comparison, self.ablation_choice
        if c is None or self.visit is None:
            return ()
        drafts = [self.nodes[i].draft for i in (choice.lesion, choice.zone, choice.liver) if i in self.nodes]
        return (c, c.registration, c.outlines, self.visit.visit_id, choice, tuple((d, None if d is None else d.version) for d in drafts))

    def measure_ablation_margin(self) -> None:
        """Measure the margin of the chosen lesion; a job with progress that can be cancelled."""
        from app.usecases.ablation_margin import Carried, measure_margins

        why = self.why_no_ablation_margin()
        if why:
            self.notice.emit("warning", why)
            return
        c, (earlier, later), choice, made_of = self.comparison, self.ablation_sides(), self.ablation_choice, self._ablation_of()
        registration = c.registration
        back = registration.inverse()
        there = registration if earlier.is_here else back
        to_screen = np.eye(4) if earlier.is_here else np.asarray(back.matrix, float)

        def outline(side: VisitSide, node_id: str):
            name = side.labels[node_id]
            if side.is_here:
                return self.nodes[node_id].draft.mask_later(name=name)
            mask = replace(c.outlines[node_id].mask, name=name)
            return lambda: mask

        lesion, zone = outline(earlier, choice.lesion), outline(later, choice.zone)
        liver = None if choice.liver is None else outline(earlier, choice.liver)
        labels = (earlier.labels[choice.lesion], later.labels[choice.zone], None if choice.liver is None else earlier.labels[choice.liver])
        carried = Carried(np.asarray(there.matrix, float), c.method, registration.residual_mm, tuple(registration.findings))

        def work(context):
            mask = lesion()
            answer = measure_margins((mask,), zone(), carried, None if liver is None else liver(), context=context)
            figures, matrix = answer.lesions[0].figures, np.linalg.inv(carried.matrix)
            points = figures.points_mm @ matrix[:3, :3].T + matrix[:3, 3]
            return AblationResult(answer, earlier.visit, later.visit, choice, labels, mask, points, figures.distance_mm, to_screen, earlier.is_here, made_of)

        def done(result: AblationResult) -> None:
            self._measuring_margin = None
            if self._same_ablation(made_of):
                self._ablation = result
            else:
                self.ablation_refusal = t("An outline or the registration changed meanwhile: measure again.")
            self.ablation_changed.emit()

        def refused(error) -> None:
            self._measuring_margin = None
            self.ablation_refusal = error.message + (f" {error.hint}" if error.hint else "")
            self.ablation_changed.emit()

        def lost() -> None:
            self._measuring_margin = None
            self.ablation_changed.emit()

        self._ablation, self.ablation_refusal = None, ""
        self._measuring_margin = self.jobs.start(t(MEASURING), work, key="ablation-margin", on_done=done, on_refused=refused, on_lost=lost)
        self.ablation_changed.emit()

    def stop_ablation_margin(self) -> None:
        """Cancel it; nothing of it is kept."""
        if self._measuring_margin is not None:
            self.jobs.cancel(self._measuring_margin)

    def show_ablation_in_scene(self, on: bool) -> None:
        """Margin bands on the lesion's surface in 3D, or not."""
        self.ablation_in_scene = on
        self.ablation_changed.emit()

    def _same_ablation(self, made_of: tuple) -> bool:
        now = self._ablation_of()
        return len(now) == len(made_of) and all(a is b for a, b in zip(now[:3], made_of[:3], strict=True)) and now[3:] == made_of[3:]

    def _follow_ablation(self, *_of) -> None:
        """What was measured of other outlines or through another registration is not shown."""
        if self._ablation is not None and not self._same_ablation(self._ablation.made_of):
            self._ablation = None
        if self._measuring_margin is not None and self.comparison is None:
            self.jobs.drop("ablation-margin")
            self._measuring_margin = None
        if self._measuring_margin is None:
            self.ablation_refusal = ""
        self.ablation_changed.emit()

    def _check_ablation(self, _node_id: str) -> None:
        """An outline is being changed; nobody is told where nothing was measured of it."""
        if self._ablation is not None and not self._same_ablation(self._ablation.made_of):
            self._follow_ablation()
