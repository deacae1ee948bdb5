"""The session's part for the enhancing part by a CT before and one after contrast: worked out in a job, looked at, taken or left."""

from __future__ import annotations

from app.study.model import ReadingState, SeriesRecord
from app.study.permissions import ANY_READER
from app.ui.text import t, told
from app.usecases.enhancing_pair import PairPart, outline_sha256, part_of_pair
from app.usecases.enhancing_part import STATED_BY_READER


def pair_job(node_id: str) -> str:
    """Key of the job that works the part of a node out."""
    return f"pair-{node_id}"


class EnhancingPairSessionPart:
    """Mixed into ``Session`` with the part for thresholds; uses its signals, jobs, undo stack and study."""

    def _start_pair(self) -> None:
        self._pair_chosen: dict[str, str] = {}  # series after contrast -> the one before it that the reader chose
        self.image_changed.connect(self._drop_pairs)

    # ---- which pictures ------------------------------------------------------------------------
    @property
    def shown_series(self) -> SeriesRecord | None:
        """The stored volume on screen."""
        return next((s for s in self.series if s.series_id == self.current_series_id and s.kind == "volume"), None) if self.picture is None else None

    def pair_series(self) -> list[SeriesRecord]:
        """Other CT volumes of this visit that may be the picture before contrast, in the order of the list of series."""
        here = self.shown_series
        if self.study is None or here is None or self.image is None or self.image.unit != "HU":
            return []
        return sorted((s for s in self.series if s.kind == "volume" and s.modality == "CT" and s.series_id != here.series_id), key=lambda s: s.description)

    @property
    def pair_before(self) -> SeriesRecord | None:
        """The picture before contrast: the reader's choice, or the only one there is."""
        there, here = self.pair_series(), self.shown_series
        if len(there) == 1:
            return there[0]
        return next((s for s in there if s.series_id == self._pair_chosen.get(here.series_id)), None) if there else None

    def choose_pair_before(self, series_id: str | None) -> None:
        """State which one is the picture before contrast."""
        here = self.shown_series
        if here is not None and series_id is not None:
            self._pair_chosen[here.series_id] = series_id

    # ---- working it out ------------------------------------------------------------------------
    def why_not_pair(self, state=None) -> str:
        """Why the part cannot be worked out of the pair; empty where it can."""
        state = self.current if state is None else state
        if state is None:
            return t("Choose a node first.")
        if state.reading is not None and state.reading.state == ReadingState.LOCKED:
            return t("The reading is locked: begin a correction to change it.")
        if not self.pair_series():
            return t("This visit holds no other CT: a pair needs one before and one after contrast.")
        if state.draft is None or state.draft.is_empty or state.measurement is None:
            return t("Outline the node first.")
        if self.pair_before is None:
            return t("Choose the picture before contrast.")
        if self.jobs.is_busy(pair_job(state.node.node_id)):
            return t("Working…")
        return self.why_not(*ANY_READER)

    def work_out_pair(self) -> None:
        """Register the picture before contrast and work out what of the current outline enhances; a job. Nothing is kept of it until it is taken."""
        state, why = self.current, self.why_not_pair()
        if why:
            self.notice.emit("info", why)
            return
        node_id, store, image, before, after = state.node.node_id, self.study, self.image, self.pair_before, self.shown_series
        stated, mask_of = self.enhancing_of(node_id), state.draft.mask_later()
        stated.proposed, stated.pair_refusal = None, ""

        def done(found: PairPart | None, refusal: str) -> None:
            if self.image is image and self.nodes.get(node_id) is state and state.enhancing is stated:
                stated.proposed, stated.pair_refusal = found, refusal
                self._look_at_outline(node_id)
            self.measurement_changed.emit(node_id)

        self.jobs.start(
            "Working out what enhances from the pair", lambda context: part_of_pair(store, before, after, image, mask_of(), context), key=pair_job(node_id),
            on_done=lambda found: done(found, ""), on_refused=lambda error: done(None, told(error.message, error.code)), on_lost=lambda: done(None, ""),
        )  # fmt: skip
        self.measurement_changed.emit(node_id)

    def _drop_pairs(self) -> None:
        """Another picture on screen: what was worked out on the one before and not taken is gone."""
        for node_id, state in self.nodes.items():
            self.jobs.drop(pair_job(node_id))
            if state.enhancing is not None:
                state.enhancing.proposed, state.enhancing.pair_refusal = None, ""

    # ---- whose outline -------------------------------------------------------------------------
    def _look_at_outline(self, node_id: str) -> None:
        """Find out whether the outline is still the one that a part was worked out for; quiet job."""
        state = self.nodes.get(node_id)
        stated = None if state is None else state.enhancing
        if stated is None or (stated.pair is None and stated.proposed is None) or state.measurement is None or state.draft is None or state.draft.is_empty:
            return
        if stated.outline is not None and stated.outline[0] is state.measurement:
            return
        mask_of, measurement = state.draft.mask_later(), state.measurement

        def done(found: str) -> None:
            if self.nodes.get(node_id) is state and state.enhancing is stated and state.measurement is measurement:
                stated.outline = (measurement, found)
                self.measurement_changed.emit(node_id)

        self.jobs.start("Reading the outline", lambda _context: outline_sha256(mask_of()), key=f"outline-{node_id}", quiet=True, on_done=done)

    def why_stale(self, state) -> str:
        """Why the part that was taken cannot go into a reading as the outline is now; empty where it can."""
        stated = state.enhancing
        if stated is None or stated.pair is None or stated.fits(stated.pair, state.measurement) is not False:
            return ""
        return t("The outline was changed after its enhancing part was worked out: work it out again, undo the change, or choose Not assessed.")

    # ---- taking it -----------------------------------------------------------------------------
    def why_not_take_pair(self, state=None) -> str:
        """Why what was worked out cannot be taken; empty where it can."""
        state = self.current if state is None else state
        stated = None if state is None else state.enhancing
        if stated is None or stated.proposed is None:
            return t("Work it out from the pair first.")
        if state.reading is not None and state.reading.state == ReadingState.LOCKED:
            return t("The reading is locked: begin a correction to change it.")
        if not stated.proposed.evaluable:
            return t("The pair tells of no enhancing part: there is nothing to take.")
        fits = stated.fits(stated.proposed, state.measurement)
        if fits is None:
            return t("Working…")
        return self.why_not(*ANY_READER) if fits else t("The outline was changed since: work it out again.")

    def take_pair(self) -> None:
        """What was worked out becomes the node's enhancing part; one undo step. A threshold or a share on contrast ultrasound makes way."""
        state, why = self.current, self.why_not_take_pair()
        if why:
            self.notice.emit("info", why)
            return
        stated, node_id, pair = state.enhancing, state.node.node_id, state.enhancing.proposed
        before = (stated.threshold_hu, stated.source, stated.keeps, stated.pair, state.contrast_taken)
        taken = (None, STATED_BY_READER, False, pair, None)

        def put(values: tuple, proposed: PairPart | None) -> None:
            stated.threshold_hu, stated.source, stated.keeps, stated.pair, contrast = values
            stated.proposed = proposed
            if state.contrast_taken is not contrast:
                state.contrast_taken = contrast
                self._contrast_settled()
            self._keep_enhancing(node_id, stated)
            self.look_inside(node_id)
            self._look_at_outline(node_id)
            self.measurement_changed.emit(node_id)

        unlocked = self._unless_locked(state)

        def holds() -> bool:  # a threshold that was stated afterwards is not taken back by this step
            now = (stated.threshold_hu, stated.keeps, stated.pair)
            return unlocked() and state.enhancing is stated and now in ((None, False, pair), (before[0], before[2], before[3]))

        put(taken, None)
        self._push(f"Enhancing part from the pair ({state.node.label})", lambda: put(taken, None), lambda: put(before, pair), holds)

    def put_pair_back(self, node_id: str, pair: PairPart) -> None:
        """A part that had made way stands again; for the undo of what it made way for."""
        stated = self.enhancing_of(node_id)
        if stated is not None:
            stated.threshold_hu, stated.keeps, stated.pair = None, False, pair
            self._keep_enhancing(node_id, stated)
            self._look_at_outline(node_id)
            self.measurement_changed.emit(node_id)

    def leave_pair(self) -> None:
        """Put what was worked out aside without taking it."""
        state = self.current
        if state is not None and state.enhancing is not None:
            self.jobs.drop(pair_job(state.node.node_id))
            state.enhancing.proposed, state.enhancing.pair_refusal = None, ""
            self.measurement_changed.emit(state.node.node_id)
