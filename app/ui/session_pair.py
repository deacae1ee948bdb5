"""The session's part for which two stills of a visit may show the current node in both planes: proposed, looked at, then stated."""

from __future__ import annotations

from app.usecases.pair_planes import LONG, SHORT, Pairing, PairProposal, propose_pairs, visit_stills, with_draft
from app.usecases.picture_draft import PictureDraft, Still


class PairPart:
    """Mixed into ``Session``; uses its signals, jobs and undo stack. ``pairing`` is what was proposed last, for the node and visit
    it was asked for; ``pair_seen`` holds the stills that were on screen since."""

    def _start_pair(self) -> None:
        self._pairing: tuple[tuple, Pairing] | None = None
        self.pair_seen: set[Still] = set()
        self._pair_wanted: Still | None = None
        self.picture_changed.connect(self._see_still)
        self.frame_changed.connect(self._see_still)

    @property
    def pairing(self) -> Pairing | None:
        """What was proposed for the current node at this visit, or None."""
        return self._pairing[1] if self._pairing is not None and self._pairing[0] == self._pair_key() else None

    @property
    def proposed_pair(self) -> PairProposal | None:
        """The best proposal."""
        found = self.pairing
        return found.proposals[0] if found is not None and found.proposals else None

    def _pair_key(self) -> tuple:
        return (self.study, None if self.visit is None else self.visit.visit_id, self.current_node_id, self.reader)

    def can_propose_pair(self) -> bool:
        """True where the open study's visit has pictures for two planes, and a node is chosen."""
        return self.study is not None and self.visit is not None and self.current is not None and sum(s.kind in ("still", "cine") for s in self.series) >= 2

    def propose_pair(self) -> None:
        """Work out which stills may show the current node in both planes; a job. Nothing is stated or filed by it."""
        if not self.can_propose_pair():
            return
        store, series, key, state = self.study, list(self.series), self._pair_key(), self.current
        names = {s.series_id for s in series}
        planes = {still: plane for still, plane in self.still_planes.items() if still[0] in names}
        outlines = {(name, frame): m for (node, name, frame), m in self.picture_outlines.items() if node == state.node.node_id}
        calipers = {slot: {"length_mm": c.length_mm, "source": c.source, "frame": c.frame} for slot, c in state.calipers.items()}
        draft, label = PictureDraft(outlines, planes, calipers), state.node.label

        def done(found: Pairing) -> None:
            self._pairing = (key, found)
            self.pair_seen.clear()
            self._see_still()
            self.outlines_changed.emit()

        self.jobs.start(
            "Looking for the pair of planes", lambda _context: propose_pairs(with_draft(visit_stills(store, series, planes), draft), node=label), key="pair", quiet=True, on_done=done
        )

    def confirm_pair(self) -> None:
        """The reader states that the two proposed stills show what was proposed; one undo step. Both must have been looked at."""
        pair = self.proposed_pair
        if pair is None:
            return
        if not {pair.long.still, pair.short.still} <= self.pair_seen:
            self.notice.emit("warning", "Look at both stills first; then state their planes.")
            return
        self.undo_stack.beginMacro("Planes of two stills")
        self.state_plane(LONG, pair.long.still)
        self.state_plane(SHORT, pair.short.still)
        self.undo_stack.endMacro()

    def show_of_pair(self, plane: str) -> None:
        """Bring a still of the proposed pair on screen."""
        pair = self.proposed_pair
        if pair is not None:
            self._pair_wanted = (pair.long if plane == LONG else pair.short).still
            if self.still is not None and self.still[0] == self._pair_wanted[0]:
                self._see_still()
            else:
                self.open_series(self._pair_wanted[0])

    def _see_still(self, *_) -> None:
        if self.still is None:
            return
        wanted = self._pair_wanted
        if wanted is not None and self.still[0] == wanted[0]:
            self._pair_wanted = None
            if self.still != wanted:
                self.set_frame(wanted[1])  # of a loop; comes back here
                return
        self.pair_seen.add(self.still)
