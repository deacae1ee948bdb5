"""The session's part for the enhancing part of a node: a threshold that the reader states, seen at once.

What was stated is kept in the study as a setting of this reader until a reading holds it, so that it is
there again when the visit is opened anew. Nothing is assessed until the reader says so.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from app.study.model import Reading, ReadingState
from app.ui.session_enhancing_pair import EnhancingPairSessionPart
from app.usecases.enhancing_pair import PairPart, pair_of_plain, pair_of_reading
from app.usecases.enhancing_part import STATED_BY_READER, EnhancingPart, OutlineValues, by_threshold, known_threshold, values_in_outline
from app.usecases.readings import part_as_read
from volumetry.errors import NodusError
from volumetry.geometry import ImageGeometry


@dataclass(slots=True)
class Enhancing:
    """What is stated of a node at the visit on screen: ``threshold_hu`` (None: not assessed) and who
    stated it; ``values`` of the outline that ``measurement`` belongs to, or the sentence that says why
    there are none. ``keeps``: the reading holds a part come by in another way, and it stays. ``pair``: the part
    that was taken from a CT before and one after contrast; ``proposed``: one that was worked out and not taken yet, or
    ``pair_refusal`` why there is none; ``outline``: a measurement and the hash of the outline that it is of."""

    threshold_hu: float | None = None
    source: str = STATED_BY_READER
    keeps: bool = False
    values: OutlineValues | None = None
    measurement: object | None = None
    refusal: str = ""
    pair: PairPart | None = None
    proposed: PairPart | None = None
    pair_refusal: str = ""
    outline: tuple[object, str] | None = None

    def fits(self, pair: PairPart, measurement: object) -> bool | None:
        """Whether ``pair`` is of the outline that ``measurement`` belongs to; None while that is not known yet."""
        if self.outline is None or self.outline[0] is not measurement:
            return None
        return self.outline[1] == pair.record["outline_sha256"]

    def marked(self, *, taken_only: bool = False) -> tuple[ImageGeometry, np.ndarray] | None:
        """Grid and voxels (n, 3) as (i, j, k) that count as enhancing: of what was just worked out from a pair, else of what is
        taken; None where there are none, or the outline is not the one that they are of."""
        pair = self.pair if taken_only else self.proposed or self.pair
        if pair is not None:
            known = self.outline is not None and self.outline[1] == pair.record["outline_sha256"]
            return (pair.viable.geometry, pair.index) if known else None
        if self.values is None or self.threshold_hu is None:
            return None
        return self.values.geometry, self.values.index[self.values.at_or_above(self.threshold_hu)]

    @property
    def volumes_ml(self) -> tuple[float, float] | None:
        """(enhancing, not enhancing) in ml; None where not assessed."""
        if self.pair is not None:
            return self.pair.record["viable_ml"], self.pair.record["ablated_ml"]
        return None if self.values is None or self.threshold_hu is None else self.values.volumes_ml(self.threshold_hu)


def _setting(visit_id: str, node_id: str, reader: str) -> str:
    return f"enhancing:{visit_id}:{node_id}:{reader}"


class EnhancingSessionPart(EnhancingPairSessionPart):
    """Mixed into ``Session``; uses its signals, jobs and study."""

    def _start_enhancing(self) -> None:
        """Follow outlines and pictures; called once."""
        self._enhancing_unsaved: dict[str, tuple] = {}
        self.measurement_changed.connect(self._follow_enhancing)
        self.image_changed.connect(self._read_enhancing_anew)
        self._start_pair()

    # ---- stating ---------------------------------------------------------------------------
    def set_enhancing(self, node_id: str, threshold_hu: float | None, source: str = STATED_BY_READER) -> None:
        """State the threshold in HU for a node, or None: not assessed. Kept at once; a locked reading
        is refused aloud."""
        state = self.nodes.get(node_id)
        if state is None or self._refuse_locked(state):
            return
        stated, source = self.enhancing_of(node_id), source.strip() or STATED_BY_READER
        if (stated.threshold_hu, stated.source, stated.keeps, stated.pair) == (threshold_hu, source, False, None):
            return
        stated.threshold_hu, stated.source, stated.keeps, stated.pair = threshold_hu, source, False, None
        if threshold_hu is not None:
            self.drop_contrast_taken(node_id)  # one source of the parts, the one stated last
        self._keep_enhancing(node_id, stated)
        self.look_inside(node_id)
        self.measurement_changed.emit(node_id)

    def enhancing_of(self, node_id: str) -> Enhancing | None:
        """What is stated of a node at this visit; None for a node that is not there."""
        state = self.nodes.get(node_id)
        if state is None:
            return None
        if state.enhancing is None:
            state.enhancing = self._stated_before(state)
        return state.enhancing

    def threshold_to_begin_with(self, node_id: str) -> tuple[float, str] | None:
        """(HU, where it is from): the protocol's, else the one this reader used last; None: state one."""
        if self.study is None:
            return None
        return known_threshold(self.study.protocol, self.subject_readings, self.reader, {v.visit_id: v.name for v in self.visits}, node_id)

    def _keep_enhancing(self, node_id: str, stated: Enhancing) -> None:
        store, visit, label = self.study, self.visit, self.nodes[node_id].node.label
        if store is None or visit is None:
            return
        key = _setting(visit.visit_id, node_id, self.reader)
        waiting = key in self._enhancing_unsaved
        self._enhancing_unsaved[key] = (store, {"enhancing_above_hu": stated.threshold_hu, "source": stated.source}, stated.pair)
        if waiting:
            return  # the write that is in line takes the newest

        def work(_context):
            owner, value, pair = self._enhancing_unsaved.pop(key)
            owner.set_setting(key, value if pair is None else {**value, "pair": pair.as_plain()})

        self.jobs.start("Saving", work, quiet=True, write=True, on_done=lambda _: self._say_saved(f"enhancing part of {label} saved"))

    # ---- following -------------------------------------------------------------------------
    def look_inside(self, node_id: str) -> None:
        """Read the values inside the outline as it stands: quiet job, latest wins."""
        state, image = self.nodes.get(node_id), self.image
        if state is None or image is None or state.draft is None or state.draft.is_empty or state.measurement is None:
            return
        stated = self.enhancing_of(node_id)
        if stated.measurement is state.measurement:
            return
        mask_of, measurement = state.draft.mask_later(), state.measurement

        def take(values: OutlineValues | None, refusal: str) -> None:
            if self.image is image and self.nodes.get(node_id) is state and state.enhancing is stated:
                stated.values, stated.refusal, stated.measurement = values, refusal, measurement
                self.measurement_changed.emit(node_id)

        self.jobs.start(
            "Reading the outline", lambda _context: values_in_outline(image, mask_of()), key=f"enhancing-{node_id}", quiet=True,
            on_done=lambda values: take(values, ""), on_refused=lambda error: take(None, error.message),
        )  # fmt: skip

    def _follow_enhancing(self, node_id: str) -> None:
        state = self.nodes.get(node_id)
        stated = self.enhancing_of(node_id)
        if stated is None:
            return
        self._look_at_outline(node_id)
        if state.measurement is None:
            stated.values = stated.measurement = stated.outline = None
        elif stated.measurement is not state.measurement and (stated.threshold_hu is not None or stated.values is not None):
            self.look_inside(node_id)

    def _read_enhancing_anew(self) -> None:
        """Another picture is on screen: what was read on the one before it holds no longer."""
        for node_id, state in self.nodes.items():
            if state.enhancing is not None:
                state.enhancing.values = state.enhancing.measurement = None
                self._follow_enhancing(node_id)

    def _stated_before(self, state) -> Enhancing:
        """What this reader stated at this visit: the reading's where it is locked, else the newest that
        was kept, else the reading's."""
        reading: Reading | None = state.reading
        kept = None
        if self.study is not None and self.visit is not None and (reading is None or reading.state != ReadingState.LOCKED):
            key = _setting(self.visit.visit_id, state.node.node_id, self.reader)
            if key in self._enhancing_unsaved:
                _store, kept, pair = self._enhancing_unsaved[key]
                return Enhancing(kept["enhancing_above_hu"], kept["source"], pair=pair)
            kept = self.study.get_setting(key)
        if kept is not None:
            return Enhancing(kept["enhancing_above_hu"], kept["source"], pair=None if kept.get("pair") is None else pair_of_plain(kept["pair"]))
        try:
            pair = None if self.study is None else pair_of_reading(self.study, reading)
        except NodusError as refusal:  # its voxels cannot be read: the part stays as the reading has it
            self._on_refused(refusal)
            pair = None
        if pair is not None:
            return Enhancing(pair=pair)
        if reading is not None and reading.enhancing_above_hu is not None:
            return Enhancing(reading.enhancing_above_hu, reading.enhancing_source or STATED_BY_READER)
        return Enhancing(keeps=reading is not None and (reading.viable_from or reading.ablated_from) is not None)

    # ---- into the reading ------------------------------------------------------------------
    def _enhancing_work(self, state, image, mask):
        """A function that works out the part of ``mask`` as it is stated now, for a reading; it gives
        None where nothing was assessed."""
        stated = self.enhancing_of(state.node.node_id) or self._stated_before(state)
        threshold, source = stated.threshold_hu, stated.source
        kept, store, pair = state.reading if stated.keeps else None, self.study, stated.pair

        by_contrast = self.contrast_part_work(state)

        def work() -> EnhancingPart | None:
            if by_contrast is not None:
                return by_contrast(int(mask.array.sum()) * mask.geometry.voxel_size_mm3 / 1000.0)
            if pair is not None:
                return pair.part(mask)
            if kept is not None:
                return part_as_read(store, kept, mask=mask)
            if threshold is None:
                return None
            if image is None:
                raise NodusError("The enhancing part needs the contrast CT on screen.", code="not_in_hu")
            return by_threshold(values_in_outline(image, mask), threshold, source)

        return work

    def _forget_kept_enhancing(self, store, visit_id: str, node_id: str, reader: str) -> None:
        """The reading holds it now; in a job of writes."""
        key = _setting(visit_id, node_id, reader)
        if store.get_setting(key) is not None:
            store.set_setting(key, None)
