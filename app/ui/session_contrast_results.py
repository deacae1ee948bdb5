"""The session's part for what a contrast loop says: curves, maps, what still enhances, and the way into the reading."""

from __future__ import annotations

from dataclasses import replace

from app.study.model import ReadingState
from app.ui.text import t
from app.usecases.enhancing_part import EnhancingPart
from app.usecases.perfusion import AUTO, PerfusionResult, analyse_contrast
from app.usecases.perfusion_files import acquisition
from app.usecases.perfusion_reading import KEY, holds_loop, perfusion_findings, perfusion_record, proposed_part
from volumetry.errors import NodusError

ANALYSIS_KEY = "contrast-analysis"
OVERLAYS = ("none", "enhancement", "map")


class ContrastResultsPart:
    """Mixed into ``Session``. ``contrast_overlay`` (of ``OVERLAYS``), ``contrast_map`` and ``contrast_opacity`` say what lies over the contrast
    pane; ``contrast_result()`` is the analysis of the current node on the loop on screen."""

    def _start_contrast_results(self) -> None:
        self.contrast_overlay = "enhancement"
        self.contrast_map = "peak"
        self.contrast_opacity = 0.55

    # ---- analysing ---------------------------------------------------------------------------
    def why_not_analyse(self) -> str:
        """Why there is nothing to analyse; empty where there is."""
        why = self.why_no_region()
        if why:
            return why
        return "" if self.regions_of() else t("Outline the node on the loop (N), or draw a region.")

    def contrast_result(self, node_id: str | None = None) -> PerfusionResult | None:
        """The analysis of a node (the current one) on the loop on screen."""
        state, node_id = self.contrast, node_id or self.current_node_id
        return None if state is None else state.results.get(node_id)

    def result_is_stale(self, node_id: str | None = None) -> bool:
        """True where regions, marks, panes or the way to follow the tissue were changed after the analysis."""
        state, result = self.contrast, self.contrast_result(node_id)
        if result is None:
            return False
        in_parts = state.in_parts and result.loop.tissue is not None
        return result.asked["regions"] != [r.to_dict() for r in self.regions_of(node_id)] or (result.asked["arrival_s"], result.asked["nonrigid"]) != (self._stated_arrival(state), in_parts)

    def contrast_node_ml(self, node_id: str | None = None) -> tuple[float | None, str]:
        """The node's volume at this visit and what it is from: its outline, its three diameters, or its reading."""
        node = self.nodes.get(node_id or self.current_node_id or "")
        if node is None:
            return None, ""
        if node.measurement is not None and node.measurement.voxel_volume_ml:
            return float(node.measurement.voxel_volume_ml), t("outline")
        if node.ellipsoid is not None:
            return float(node.ellipsoid.volume_ml), t("ellipsoid")
        if node.reading is not None and node.reading.volume_ml:
            return float(node.reading.volume_ml), t("reading")
        return None, ""

    def _stated_arrival(self, state) -> float | None:
        """Arrival as the reader moved it, in s of the part that is read; None: as it is found."""
        at = state.index_of(state.moved_marks.get("arrival"))
        return None if at is None else float(state.loop.times_s[at])

    def analyse_contrast(self, *, maps: bool = True) -> None:
        """Motion in the node, curves, fits, maps and what still enhances; a job with progress that can be cancelled."""
        state, why = self.contrast, self.why_not_analyse()
        if why:
            self.notice.emit("info", why)
            return
        if state.job is not None:
            return
        node_id, regions, panes, loop = self.current_node_id, self.regions_of(), state.panes, state.loop
        frame, arrival, node_ml = state.region_frame, self._stated_arrival(state), self.contrast_node_ml()[0]
        facts = None if state.facts is None else acquisition(state.facts)
        refine = any(r.role in ("node", "ablated_zone") for r in regions) and panes.bmode is not None
        in_parts = state.in_parts and loop.tissue is not None
        motion = None if refine or in_parts != (state.motion.field is not None) else state.motion
        section_of, settled = self.section_later(state), self.settled_now(state.name, node_id)

        def work(context):
            found = analyse_contrast(
                loop, regions, panes, model=AUTO, node_ml=node_ml, arrival_s=arrival, frame=frame, nonrigid=in_parts, motion=motion, maps=maps, facts=facts, progress=context.report
            )
            return found, section_of(found)

        def done(made: tuple) -> None:
            result, section = made
            state.job = None
            if state.loop is loop and state.panes is panes:
                state.results = {**state.results, node_id: result}
                state.motion = result.motion
                self.keep_section(state, node_id, section, settled)
            self.contrast_changed.emit()

        def refused(error: NodusError) -> None:
            state.job = None
            self._on_refused(error)
            self.contrast_changed.emit()

        def lost() -> None:
            state.job = None
            self.contrast_changed.emit()

        state.job = self.jobs.start("Analysing the loop", work, key=ANALYSIS_KEY, on_done=done, on_refused=refused, on_lost=lost)
        self.contrast_changed.emit()

    # ---- showing -----------------------------------------------------------------------------
    def show_contrast_overlay(self, kind: str | None = None, *, name: str | None = None, opacity: float | None = None) -> None:
        """What lies over the contrast pane; ``kind`` again takes it away."""
        if name is not None:
            self.contrast_map, self.contrast_overlay = name, "map"
        elif kind is not None:
            self.contrast_overlay = "none" if kind == self.contrast_overlay else kind
        if opacity is not None:
            self.contrast_opacity = min(1.0, max(0.1, float(opacity)))
        self.contrast_changed.emit()

    # ---- into the reading --------------------------------------------------------------------
    def why_not_accept(self) -> str:
        """Why the proposed grade cannot be accepted; empty where it can."""
        result = self.contrast_result()
        if result is None or (result.assessment is None and result.residual_refusal is None):
            return t("Analyse the loop first.")
        return self.why_no_statement(self.current_node_id)

    def proposed_grade(self) -> str | None:
        """The grade that the analysis proposes for the current node."""
        result = self.contrast_result()
        if result is None:
            return None
        return "NE" if result.assessment is None and result.residual_refusal is not None else None if result.assessment is None else result.assessment.grade

    def accept_grade(self) -> None:
        """The reader agrees with the proposed grade: it is theirs now."""
        why = self.why_not_accept()
        if why:
            self.notice.emit("info", why)
            return
        why = self.state_grade(self.current_node_id, self.proposed_grade())
        if why:
            self.notice.emit("warning", why)
        self.contrast_changed.emit()

    def why_not_take(self) -> str:
        """Why the result cannot go into the reading; empty where it can."""
        result, node = self.contrast_result(), self.current
        if node is None:
            return t("Choose a node first.")
        if result is None:
            return t("Analyse the loop first.")
        if result.assessment is None and result.residual_refusal is None:
            return t("No node was outlined on the loop: there is nothing of it to take.")
        if self.result_is_stale():
            return t("Something of this loop was changed after its analysis: analyse it again.")
        if node.reading is not None and node.reading.state == ReadingState.LOCKED:
            return t("The reading is locked: begin a correction to change it.")
        return ""

    def take_contrast(self) -> None:
        """The enhancing share and the curves' numbers go into the node's reading of this visit; one undo step."""
        why = self.why_not_take()
        if why or self._contrast_refused():
            if why:
                self.notice.emit("info", why)
            return
        state, node, result = self.contrast, self.current, self.contrast_result()
        uid = next((s.series_uid for s in self.series if s.series_id == state.name), None)
        answer = {**result.to_dict(), "range_source": state.facts.range_source if state.range_source == "header" else state.range_source}
        self._put_taken("Take into the reading", node, perfusion_record(answer, series_uid=uid))

    def drop_contrast_taken(self, node_id: str) -> None:
        """The reading takes its parts from elsewhere; one undo step."""
        node = self.nodes.get(node_id)
        if node is not None and node.contrast_taken is not None:
            self._put_taken("Take out of the reading", node, None)

    def _put_taken(self, text: str, node, record: dict | None) -> None:
        before, node_id = node.contrast_taken, node.node.node_id
        stated = self.enhancing_of(node_id)
        threshold = (stated.threshold_hu, stated.source) if stated is not None else (None, "")
        pair = None if stated is None else stated.pair

        def put(now: dict | None) -> None:
            node.contrast_taken = now
            self.measurement_changed.emit(node_id)
            self._contrast_settled()

        def do() -> None:
            if record is not None and (threshold[0] is not None or pair is not None):
                self.set_enhancing(node_id, None)  # one source of the parts, the one stated last
            put(record)

        def undo() -> None:
            put(before)
            if record is not None and threshold[0] is not None:
                self.set_enhancing(node_id, *threshold)
            if record is not None and pair is not None:
                self.put_pair_back(node_id, pair)

        do()
        self._push(f"{text} ({node.node.label})", do, undo, self._unless_locked(node))

    def contrast_evidence(self, node) -> dict:
        """What a reading of the node keeps of the loop, for its measurement; empty where nothing was taken."""
        return {} if node.contrast_taken is None else {KEY: node.contrast_taken}

    def contrast_part_work(self, node):
        """A function of the whole in ml that gives the parts for a reading under the reader's grade as it is now; None where nothing was taken."""
        record = node.contrast_taken
        if record is None:
            return None
        said = self.statement_of(node.node.node_id)
        grade = None if said is None else said.grade

        def part(total_ml: float) -> EnhancingPart:
            found = proposed_part(record, grade, total_ml) or EnhancingPart(None, None, None, None)
            return replace(found, findings=(*found.findings, *perfusion_findings(record, grade)))

        return part

    # ---- one key for the whole way -------------------------------------------------------------
    def contrast_next(self) -> tuple[str, str]:
        """What comes next on the way through a loop, and its words; ("", why) where the reader must do something by hand."""
        state = self.contrast
        if state is None:
            return "", t("Open a contrast loop first.")
        if state.job is not None:
            return "", t("Working…")
        if not state.confirmed and state.panes is not None:
            return "confirm", t("Confirm the panes")
        if not state.is_read:
            why = self.why_not_read()
            if why and why == self.why_no_colours():
                return ("bar", t("Show the colour bar")) if self.tool != "contrast_bar" else ("", why)
            return ("", why) if why else ("read", t("Read the loop"))
        why = self.why_not_analyse()
        if why:
            outline = self.current is not None and not self.regions_of() and self.tool != "node"
            return ("outline", t("Outline the node")) if outline else ("", why)
        if self.contrast_result() is None or self.result_is_stale():
            return "analyse", t("Analyse")
        both = self.planes_next()
        if both is not None:
            return both
        said = self.statement_of(self.current_node_id)
        if said is not None and said.grade is None and not self.why_not_accept():
            return "accept", t("Accept grade {grade}").format(grade=t(self.proposed_grade() or ""))
        if self.current.contrast_taken is None or not holds_loop(self.current.contrast_taken, self.contrast_result().input_sha256):
            why = self.why_not_take()
            return ("", why) if why else ("take", t("Take into the reading"))
        return "", t("Everything of this loop is in the reading; lock it when the volume is there.")

    def do_contrast_next(self) -> None:
        """Do what ``contrast_next`` says."""
        what, words = self.contrast_next()
        steps = {"confirm": self.confirm_panes, "read": self.read_loop, "analyse": self.analyse_contrast, "accept": self.accept_grade, "take": self.take_contrast, "bar": lambda: self.set_tool("contrast_bar"), "outline": lambda: self.set_tool("node")}
        steps |= {"join": self.join_planes, "accept_joined": self.accept_joined_grade, "take_joined": self.take_joined}
        if what in steps:
            steps[what]()
        else:
            self.notice.emit("info", words)
