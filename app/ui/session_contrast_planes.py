"""The session's part for two contrast loops of one node, one along it and one across: joined when the reader asks for it, and taken into the
reading as one.

What was worked out on a loop is kept in plain values with a hash of what it was worked out from, so that a loop need not be read again to be
joined, and is not joined once something of it was changed. That both stand at a right angle through the node's middle is never guessed: the
planes are stated, or the reader ticks it for this pair.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

from app.study.canonical import canonical_json
from app.study.model import ReadingState
from app.ui.text import t
from app.usecases.contrast_draft import LoopDraft, LoopPair
from app.usecases.pair_planes import LONG, SHORT
from app.usecases.perfusion import PerfusionResult
from app.usecases.perfusion_planes import LoopSection, join_sections, one_recording, section_of
from app.usecases.perfusion_reading import joined_record, joined_sha256
from volumetry.errors import NodusError
from volumetry.perfusion.planes import TwoPlanes


@dataclass(frozen=True, slots=True, eq=False)
class LoopOfNode:
    """A loop of this visit as it stands for the current node. ``section`` None: not worked out; ``is_fresh``: nothing of it was changed
    since. ``plane`` as the reader stated it; ``is_torn``: stated as both on different frames."""

    name: str
    title: str
    section: LoopSection | None
    is_fresh: bool
    plane: str | None
    is_torn: bool


@dataclass(frozen=True, slots=True, eq=False)
class JoinedLoops:
    """Two loops as one: the longitudinal one first, where the planes are stated. ``right_angle``: ``planes`` or ``tick``."""

    first: LoopOfNode
    second: LoopOfNode
    right_angle: str
    found: TwoPlanes

    @property
    def input_sha256(self) -> str:
        """Names what was joined."""
        return joined_sha256(*(loop.section.record["input_sha256"] for loop in (self.first, self.second)))

    def record(self) -> dict:
        """As a reading keeps it."""
        planes = (self.first.plane, self.second.plane) if self.right_angle == "planes" else (None, None)
        made = joined_record(dict(self.first.section.record), dict(self.second.section.record), self.found.as_dict(), right_angle=self.right_angle, planes=planes)
        return json.loads(canonical_json(made))  # as it comes back from the study


class ContrastPlanesPart:
    """Mixed into ``Session``. ``loop_pairs``: by node, what the reader said of two loops; ``loops_joined()`` is both as one, where the
    reader asked for it."""

    def _start_contrast_planes(self) -> None:
        self.loop_pairs: dict[str, LoopPair] = {}
        self._other_loop: dict[str, str] = {}  # node -> loop chosen beside the one on screen
        self._plane_said: set[str] = set()  # loops of which a plane was stated in this session, or is known of a frame
        self.outlines_changed.connect(self._follow_planes)

    # ---- how the analysis follows the tissue -----------------------------------------------------
    def follow_in_parts(self, on: bool) -> None:
        """Let the analysis of the loop on screen follow the tissue in parts as well, or as a whole only; what was worked out is then out of date."""
        state = self.contrast
        if state is None or state.in_parts == bool(on):
            return
        if not self._contrast_refused():
            state.in_parts = bool(on)
        self._contrast_settled()

    # ---- what was worked out ------------------------------------------------------------------
    def settled_now(self, name: str, node_id: str) -> str:
        """Hash of what an analysis of a node on a loop would be made from now."""
        outlines = {frame: m.outline.points_px for (n, loop, frame), m in self.picture_outlines.items() if (n, loop) == (node_id, name)}
        return self._loop_as_kept(name).settled_sha256(node_id, outlines)

    def section_later(self, state):
        """A function for a job that gives the section of a result for keeping, None where no node was drawn."""
        uid = next((s.series_uid for s in self.series if s.series_id == state.name), None)
        source = state.facts.range_source if state.range_source == "header" and state.facts is not None else state.range_source

        def section(result: PerfusionResult) -> LoopSection | None:
            if result.assessment is None and result.residual_refusal is None:
                return None
            return section_of(result, series_uid=uid, range_source=source)

        return section

    def keep_section(self, state, node_id: str, section: LoopSection | None, settled: str) -> None:
        """Keep what was worked out of a node on a loop; ``settled``: ``settled_now`` when the analysis began."""
        others = {n: s for n, s in state.sections.items() if n != node_id}
        state.sections = others if section is None else {**others, node_id: {**section.to_dict(), "settled": settled}}
        self._keep_contrast()

    def _loop_as_kept(self, name: str) -> LoopDraft:
        state = self.contrast_states.get(name)
        return self._contrast_draft.loops.get(name, LoopDraft()) if state is None else self._loop_draft_of(state)

    # ---- planes ------------------------------------------------------------------------------
    def _follow_planes(self) -> None:
        """A plane stated of any frame is the loop's."""
        changed = False
        for name, state in self.contrast_states.items():
            stated = {plane for (loop, _frame), plane in self.still_planes.items() if loop == name}
            if not stated and name not in self._plane_said:
                continue  # what was kept of it stands
            self._plane_said.add(name)
            now = stated.pop() if len(stated) == 1 else None
            changed |= now != state.plane
            state.plane = now
        if changed:
            self._contrast_settled()

    def loop_of_node(self, name: str, node_id: str) -> LoopOfNode:
        """How a loop of this visit stands for a node."""
        kept = self._loop_as_kept(name)
        entry = kept.sections.get(node_id)
        stated = {plane for (loop, _frame), plane in self.still_planes.items() if loop == name}
        plane = kept.plane if not stated else next(iter(stated)) if len(stated) == 1 else None
        fresh = entry is not None and entry["settled"] == self.settled_now(name, node_id)
        return LoopOfNode(name, self._loop_title(name), None if entry is None else LoopSection.from_dict(entry), fresh, plane, len(stated) > 1)

    def _loop_title(self, name: str) -> str:
        """The name of its series; with its number where several loops of this visit share that."""
        loops = [s for s in self.series if s.kind == "cine"]
        own = next((s.description for s in loops if s.series_id == name), "")
        alike = [s.series_id for s in loops if s.description == own]
        return f"{own or name} ({alike.index(name) + 1})" if len(alike) > 1 else own or name

    # ---- which two -----------------------------------------------------------------------------
    def loop_here(self) -> LoopOfNode | None:
        """The loop on screen for the current node."""
        return None if self.contrast is None or self.current is None else self.loop_of_node(self.contrast.name, self.current_node_id)

    def other_loops(self) -> tuple[LoopOfNode, ...]:
        """Other loops of this visit on which the current node was worked out."""
        if self.contrast is None or self.current is None or self.study is None:
            return ()
        names = [s.series_id for s in self.series if s.kind == "cine" and s.series_id != self.contrast.name]
        return tuple(one for one in (self.loop_of_node(n, self.current_node_id) for n in names) if one.section is not None)

    def other_loop(self) -> LoopOfNode | None:
        """The one to join with: the one chosen, else the one joined before, else one of the other plane, else the first."""
        others = self.other_loops()
        if not others:
            return None
        here, pair = self.loop_here(), self.loop_pairs.get(self.current_node_id)
        partner = next((n for n in pair.loops if n != here.name), None) if pair is not None and here.name in pair.loops else None
        for wanted in (self._other_loop.get(self.current_node_id), partner):
            chosen = next((one for one in others if one.name == wanted), None)
            if chosen is not None:
                return chosen
        return next((one for one in others if here.plane and one.plane and one.plane != here.plane), others[0])

    def choose_other_loop(self, name: str) -> None:
        """Join with this one."""
        if self.current_node_id is not None:
            self._other_loop[self.current_node_id] = name
            self.contrast_changed.emit()

    def loop_pair(self) -> LoopPair | None:
        """What the reader said of the loop on screen and the other one."""
        here, other = self.loop_here(), self.other_loop()
        if here is None or other is None:
            return None
        names = tuple(sorted((here.name, other.name)))
        kept = self.loop_pairs.get(self.current_node_id)
        return kept if kept is not None and kept.loops == names else LoopPair(names)

    def planes_are_stated(self) -> bool:
        """True where one of the two loops is stated to be longitudinal, the other transverse."""
        here, other = self.loop_here(), self.other_loop()
        return here is not None and other is not None and {here.plane, other.plane} == {LONG, SHORT}

    # ---- joining -----------------------------------------------------------------------------
    def why_not_join(self) -> str:
        """Why the two loops cannot be joined; empty where they can."""
        here, other = self.loop_here(), self.other_loop()
        if self.current is None:
            return t("Choose a node first.")
        if here is None or other is None:
            return t("A second loop of this node is needed: analyse it first.")
        if here.section is None:
            return t("Analyse this loop too: then both planes can be joined.")
        if not here.is_fresh:
            return t("Something of this loop was changed after its analysis: analyse it again.")
        if not other.is_fresh:
            return t("Something of the other loop was changed after its analysis: analyse it again.")
        if one_recording(here.section, other.section):
            return t("Both are the same recording.")
        if here.plane is not None and here.plane == other.plane:
            return t("Both loops are stated to show the node's {plane} plane: one of them is not so.").format(plane=t(here.plane))
        if not self.planes_are_stated() and not self.loop_pair().right_angle:
            return t("State the plane of each loop (Shift+L, Shift+T), or tick that they stand at a right angle.")
        return ""

    def loops_joined(self) -> JoinedLoops | None:
        """Both loops as one for the current node; None where the reader did not ask for it, or it does not hold any longer."""
        pair = self.loop_pair()
        return self._both() if pair is not None and pair.joined and not self.why_not_join() else None

    def _both(self) -> JoinedLoops:
        here, other = self.loop_here(), self.other_loop()
        stated = self.planes_are_stated()
        order = [s.series_id for s in self.series]
        first, second = sorted((here, other), key=lambda one: ({LONG: 0, SHORT: 2}.get(one.plane, 1), order.index(one.name)))
        return JoinedLoops(first, second, "planes" if stated else "tick", join_sections(first.section, second.section, self.contrast_node_ml()[0]))

    def tick_right_angle(self, on: bool) -> None:
        """The reader says that the two loops stand at a right angle through the node's middle, or takes it back; one undo step."""
        pair = self.loop_pair()
        if pair is not None and pair.right_angle != bool(on):
            self._put_pair("Right angle of two loops", replace(pair, right_angle=bool(on), joined=pair.joined and bool(on)))

    def join_planes(self) -> None:
        """Both loops as one from now on; one undo step."""
        why = self.why_not_join()
        if why:
            self.notice.emit("info", why)
            return
        try:
            self._both()
        except NodusError as refusal:
            self._on_refused(refusal)
            return
        pair = self.loop_pair()
        if not pair.joined:
            self._put_pair("Join both planes", replace(pair, joined=True))

    def part_planes(self) -> None:
        """Each loop by itself again; what was taken into the reading stays there until it is taken out. One undo step."""
        pair = self.loop_pair()
        if pair is not None and pair.joined:
            self._put_pair("Part both planes", replace(pair, joined=False))

    def _put_pair(self, text: str, pair: LoopPair) -> None:
        if self._contrast_refused():
            self.contrast_changed.emit()
            return
        node_id, before = self.current_node_id, self.loop_pairs.get(self.current_node_id)

        def put(now: LoopPair) -> None:
            self.loop_pairs = {**self.loop_pairs, node_id: now}
            self._contrast_settled()

        put(pair)
        self._push(f"{text} ({self.current.node.label})", lambda: put(pair), lambda: put(before or LoopPair(pair.loops)))

    # ---- into the reading ----------------------------------------------------------------------
    def accept_joined_grade(self) -> None:
        """The reader agrees with the grade proposed of both planes: it is theirs now."""
        joined = self.loops_joined()
        why = t("Join both planes first.") if joined is None else self.state_grade(self.current_node_id, joined.found.grade)
        if why:
            self.notice.emit("warning", why)
        self.contrast_changed.emit()

    def why_not_take_joined(self) -> str:
        """Why both planes cannot go into the reading; empty where they can."""
        if self.loops_joined() is None:
            return self.why_not_join() or t("Join both planes first.")
        reading = self.current.reading
        return t("The reading is locked: begin a correction to change it.") if reading is not None and reading.state == ReadingState.LOCKED else ""

    def joined_is_taken(self) -> bool:
        """True where the reading has both planes as they are joined now."""
        joined = self.loops_joined()
        record = None if self.current is None else self.current.contrast_taken
        return joined is not None and record is not None and record["input_sha256"] == joined.input_sha256

    def take_joined(self) -> None:
        """The share of both planes goes into the node's reading, with both loops named; one undo step."""
        why = self.why_not_take_joined()
        if why or self._contrast_refused():
            if why:
                self.notice.emit("info", why)
            return
        self._put_taken("Take both planes into the reading", self.current, self.loops_joined().record())

    # ---- one key for the whole way ---------------------------------------------------------------
    def planes_next(self) -> tuple[str, str] | None:
        """What comes next with two planes, as ``contrast_next`` says it; None where there are no two."""
        if self.other_loop() is None or self.why_not_join():
            return None
        joined = self.loops_joined()
        if joined is None:
            return "join", t("Join both planes")
        said, grade = self.statement_of(self.current_node_id), joined.found.grade
        if said is not None and said.grade is None and not self.why_no_statement(self.current_node_id):
            return "accept_joined", t("Accept grade {grade}").format(grade=t(grade))
        if not self.joined_is_taken():
            why = self.why_not_take_joined()
            return ("", why) if why else ("take_joined", t("Take both planes into the reading"))
        return "", t("Both planes are in the reading; lock it when the volume is there.")
