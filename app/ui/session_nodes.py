"""The session's part for nodes: which there are, which is current, whether it may be edited."""

from __future__ import annotations

from dataclasses import replace

from app.study.model import UNKNOWN_LEVEL, ReadingState, Side, TargetNode
from app.study.permissions import NODE_RIGHTS, OWN_FIND_RIGHTS
from app.ui.session_drafts import DraftsPart
from app.ui.session_outlines import OutlinesPart
from app.ui.session_values import NodeState
from app.ui.text import t


class NodesPart(OutlinesPart, DraftsPart):
    """Mixed into ``Session``; uses its signals, jobs, undo stack and study."""

    # ---- nodes -----------------------------------------------------------------------------
    def _load_nodes(self) -> None:
        """States of all the subject's nodes at the current visit, with this reader's readings."""
        own = {}
        for reading in self.subject_readings:
            if self.visit is None or reading.visit_id != self.visit.visit_id or reading.reader != self.reader or reading.state == ReadingState.SUPERSEDED:
                continue
            if reading.node_id not in own or reading.version > own[reading.node_id].version:
                own[reading.node_id] = reading
        self.nodes = {n.node_id: NodeState(n, reading=own.get(n.node_id)) for n in self.subject_nodes}
        if self.current_node_id not in self.nodes:
            self.current_node_id = next(iter(self.nodes), None)
        self.preview = None
        self.nodes_changed.emit()

    def add_node(self, label: str, side: str, level: str) -> None:
        """New target node, same identity at every visit; becomes current at once. The study gets it
        by a job; where it refuses, the node goes again and the reason is shown."""
        from app.study.ids import new_id

        store, subject = self.study, self.subject_id
        node = TargetNode(new_id("N"), subject or "", label, Side(side), level)
        self.subject_nodes = [*self.subject_nodes, node]
        self.nodes[node.node_id] = NodeState(node)
        self.current_node_id = node.node_id
        self.nodes_changed.emit()
        if store is None or subject is None:
            return

        def refused(error) -> None:
            self.subject_nodes = [n for n in self.subject_nodes if n.node_id != node.node_id]
            self.nodes.pop(node.node_id, None)
            self.current_node_id = next(iter(self.nodes), None)
            self.nodes_changed.emit()
            self._on_refused(error)

        def added(kept: TargetNode) -> None:  # with who found it
            self.subject_nodes = [kept if n.node_id == kept.node_id else n for n in self.subject_nodes]
            if kept.node_id in self.nodes:
                self.nodes[kept.node_id].node = replace(self.nodes[kept.node_id].node, found_by=kept.found_by)
            self._say_saved(f"node {label} added")

        self.jobs.start(
            f"Adding node {label}", lambda _context: store.add_node(subject, label, side, level, node_id=node.node_id), quiet=True, write=True,
            on_done=added, on_refused=refused,
        )

    def why_not_node(self, node_id: str) -> str:
        """Why side and level of a node may not be changed now; empty where they may. A blinded reader may change a find of their own."""
        state, who = self.nodes.get(node_id), self.signed_in
        own = state is not None and who is not None and who.blinded and state.node.found_by == who.user_id
        return self.why_not(*(OWN_FIND_RIGHTS if own else NODE_RIGHTS))

    def set_node(self, node_id: str, side: str, level: str, reason: str) -> None:
        """State or change a node's side and level, with a reason; a job."""
        store, state = self.study, self.nodes.get(node_id)
        if state is None:
            return

        def done(node) -> None:
            self.subject_nodes = [node if n.node_id == node_id else n for n in self.subject_nodes]
            if node_id in self.nodes:
                self.nodes[node_id].node = node
            self.nodes_changed.emit()
            self._say_saved(f"side and level of {node.label} saved")

        if store is None:
            done(replace(state.node, side=Side(side), level=level))
            return
        self.jobs.start(f"Saving node {state.node.label}", lambda _context: store.update_node(node_id, reason=reason, side=side, level=level), quiet=True, write=True, on_done=done)

    def next_node_label(self) -> str:
        """N1, N2 … the first that is free."""
        used = {n.label for n in self.subject_nodes}
        return next(f"N{i}" for i in range(1, 1000) if f"N{i}" not in used)

    def select_node(self, node_id: str | None) -> None:
        """Make a node current; the crosshair goes to it where it has an outline."""
        if node_id is not None and node_id not in self.nodes:
            return
        self.current_node_id = node_id
        self.nodes_changed.emit()
        if node_id is not None and self.image is not None:
            state = self.nodes[node_id]
            if state.measurement is not None and state.measurement.centroid_mm is not None:
                self.set_crosshair(state.measurement.centroid_mm)
            elif state.node.seed_mm is not None and self.image.geometry.contains(state.node.seed_mm):
                self.set_crosshair(state.node.seed_mm)

    @property
    def current(self):
        """The current NodeState, or None."""
        return self.nodes.get(self.current_node_id or "")

    def _node_for_editing(self):
        """The current node, made where there is none; None where it is locked, or its outline is still
        being loaded (said aloud). Side and level of a node made by a click are unknown, and asked for;
        nothing is guessed."""
        if self.jobs.is_busy("outlines"):  # drawn now, it would take the place of the one on its way
            self.notice.emit("info", "The outlines of this visit are still being loaded; try again in a moment.")
            return None
        if self.current is None:
            if self.why_not("records"):  # who cannot change a node later states its side and level when it is added
                self.notice.emit("info", t("Add the node first, with its side and level."))
                self.node_details_needed.emit("")
                return None
            self.add_node(self.next_node_label(), Side.UNKNOWN, UNKNOWN_LEVEL)
            self.node_details_needed.emit(self.current_node_id)
        return None if self._refuse_locked(self.current) else self.current

    def _refuse_locked(self, state) -> bool:
        """True, and said aloud, where the node's reading is locked."""
        if state.reading is None or state.reading.state != ReadingState.LOCKED:
            return False
        self.notice.emit("warning", f"The reading of {state.node.label} at this visit is locked; begin a correction with a reason to change it.")
        return True
