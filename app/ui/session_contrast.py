"""The session's part for contrast loops: which pane is which, what the display is worth, the loop read as a whole, marks, and
the part of it that counts.

Nothing is used before the reader confirmed it: panes are proposed, the dynamic range is of the header or asked. What was
settled is kept in the study by visit and reader (``session_contrast_keeping``) and is there again when the loop is opened anew. Regions
are in ``session_contrast_regions``, the analysis in ``session_contrast_results``, two loops of a node in ``session_contrast_planes``.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from app.ui.session_contrast_bar import ContrastBarPart
from app.ui.session_contrast_earlier import ContrastEarlierPart
from app.ui.session_contrast_keeping import PROPOSAL_KEY, READING_KEY, ContrastKeepingPart
from app.ui.session_contrast_regions import ContrastRegionsPart
from app.ui.session_contrast_results import ContrastResultsPart
from app.ui.text import t
from app.usecases.contrast_draft import MARKS
from app.usecases.contrast_loop import (
    FEWEST_FRAMES,
    ColourProposal,
    Landmarks,
    PaneBox,
    PaneProposal,
    Panes,
    landmarks,
    load_loop,
    propose_colours,
    propose_panes,
)
from dicom_io.contrast import ContrastFacts, read_contrast_facts
from volumetry.errors import NodusError
from volumetry.perfusion.loop import PLAUSIBLE_RANGE_DB, ContrastLoop
from volumetry.perfusion.motion import Motion, estimate_motion

TWO_PANES = ("side_by_side", "stacked", "overlay")


@dataclass(slots=True, eq=False)
class ContrastState:
    """What is known of one loop. ``panes`` are those proposed or stated, ``confirmed`` by the reader or not. ``marks`` and ``trim``
    are frames of the file. ``loop`` and ``motion``: read, or None. ``drawing``: a contrast box that waits for its B-mode box.
    ``region_frame``: the frame of the file that the regions lie on. ``regions`` and ``results`` by node."""

    name: str
    cine: object
    proposal: PaneProposal | None = None
    panes: Panes | None = None
    confirmed: bool = False
    drawing: PaneBox | None = None
    colours: ColourProposal | None = None
    facts: ContrastFacts | None = None
    range_db: float | None = None
    range_source: str = ""  # header | stated
    trim: tuple[int, int] | None = None
    marks: dict[str, int] = field(default_factory=dict)
    moved_marks: dict[str, int] = field(default_factory=dict)
    loop: ContrastLoop | None = None
    motion: Motion | None = None
    job: int | None = None
    refusal: str = ""
    corrected: bool = False
    region_frame: int | None = None
    regions: dict = field(default_factory=dict)
    results: dict = field(default_factory=dict)
    outlined: dict = field(default_factory=dict)  # node -> its outline on a frame, and the region it gives
    in_parts: bool = False  # the analysis follows the tissue in parts as well
    plane: str | None = None  # as stated on its frames
    sections: dict = field(default_factory=dict)  # node -> what was worked out of it, in plain values

    @property
    def is_contrast(self) -> bool:
        """True where the picture looks like a contrast loop: more than one pane, colours laid over it, or something is settled already."""
        return self.confirmed or (self.panes is not None and self.panes.layout in TWO_PANES)

    @property
    def is_read(self) -> bool:
        """True once the loop was read as a whole."""
        return self.loop is not None and self.motion is not None

    def frames(self) -> tuple[int, int]:
        """First and last frame of the file that count."""
        return self.trim or (0, self.cine.frame_count - 1)

    def index_of(self, frame: int | None) -> int | None:
        """Place of a frame of the file within the loop that was read; None where it is not in it."""
        if self.loop is None or frame is None:
            return None
        at = int(np.searchsorted(self.loop.frame_numbers, frame))
        return at if at < self.loop.frame_count and int(self.loop.frame_numbers[at]) == frame else None

    def time_s(self, frame: int | None) -> float | None:
        """True time of a frame of the file from its first one, in s."""
        times = self.cine.frame_times_ms
        return None if times is None or frame is None else float(times[frame]) / 1000.0


class ContrastPart(ContrastRegionsPart, ContrastResultsPart, ContrastKeepingPart, ContrastEarlierPart, ContrastBarPart):
    """Mixed into ``Session``; uses its signals, jobs, study and undo stack. ``contrast`` is the loop on screen, or None."""

    def _start_contrast(self) -> None:
        self.contrast_states: dict[str, ContrastState] = {}
        self._start_contrast_keeping()
        self._start_contrast_regions()
        self._start_contrast_results()
        self._start_contrast_earlier()
        self.picture_changed.connect(self._take_loop)
        self.outlines_changed.connect(self.contrast_changed)
        self.step_changed.connect(self._look_when_needed)

    # ---- which loop ------------------------------------------------------------------------
    @property
    def contrast(self) -> ContrastState | None:
        """The loop on screen; None for a still, a volume, or nothing."""
        return None if self.picture is None or self.picture.is_still else self.contrast_states.get(self.picture_name)

    def _take_loop(self) -> None:
        """A picture came: look where its panes lie, in a quiet job."""
        cine = self.picture
        if cine is None or cine.is_still:
            self.contrast_changed.emit()
            return
        name = self.picture_name
        state = self.contrast_states.get(name)
        if state is None or state.cine is not cine:
            before, state = state, ContrastState(name, cine)
            self.contrast_states[name] = state
            if before is not None and before.cine.frame_count == cine.frame_count and before.cine.shape == cine.shape:
                self._carry_state(before, state)
            else:
                self._apply_draft(state)
        self._look_when_needed()
        self.contrast_changed.emit()

    def _look_when_needed(self, *_) -> None:
        """Frames all over the loop are decoded for the look: that waits until the step that shows the answer, so that a loop opens at once."""
        state = self.contrast
        if self.step == "measure" and state is not None and state.proposal is None and not state.refusal:
            self._look_at_loop(state)

    def _carry_state(self, before: ContrastState, state: ContrastState) -> None:
        """The same file opened anew: what was settled stays; a scale drawn by hand meanwhile counts from now on, so it is read again."""
        for name in ("panes", "confirmed", "range_db", "range_source", "trim", "marks", "moved_marks", "region_frame", "regions", "facts", "in_parts", "plane", "sections"):
            setattr(state, name, getattr(before, name))
        scale = before.cine.calibration.manual_mm_per_pixel == state.cine.calibration.manual_mm_per_pixel
        if scale:
            for name in ("proposal", "colours", "loop", "motion", "results"):
                setattr(state, name, getattr(before, name))
        elif state.panes is not None:
            state.panes = replace(state.panes, mm_per_pixel=self._scale_in(state, state.panes.contrast))

    def _look_at_loop(self, state: ContrastState) -> None:
        record = next((s for s in self.series if s.series_id == state.name), None)
        path = None if record is None or self.study is None else self.study.series_folder(record) / record.files[0]

        def work(context):
            facts = None if path is None else read_contrast_facts(path)
            found = propose_panes(state.cine, context.part(0.0, 0.6))
            return facts, found, propose_colours(state.cine, state.panes or found.panes, context.part(0.6, 1.0))

        def done(result) -> None:
            state.facts, state.proposal, state.colours = result
            if state.panes is None:
                state.panes = state.proposal.panes
            if state.range_db is None and state.facts is not None and state.facts.range_db is not None:
                state.range_db, state.range_source = state.facts.range_db, "header"
            self.contrast_changed.emit()

        def refused(error: NodusError) -> None:
            state.refusal = error.message
            self.contrast_changed.emit()

        self.jobs.start("Looking at the loop", work, key=PROPOSAL_KEY, quiet=True, on_done=done, on_refused=refused)

    # ---- panes -----------------------------------------------------------------------------
    def confirm_panes(self) -> None:
        """The reader says that the panes on screen are right."""
        state = self.contrast
        if state is not None and state.panes is not None and not state.confirmed and not self._contrast_refused():
            state.confirmed = True
            self._contrast_settled()

    def swap_panes(self) -> None:
        """Contrast and B-mode the other way round."""
        state = self.contrast
        if state is None or state.panes is None or state.panes.bmode is None or self._contrast_refused():
            return
        self._put_panes(state, state.panes.swapped(), confirmed=state.confirmed)

    def draw_pane(self, corner_px, other_px) -> None:
        """A box drawn by the reader: the first is the contrast, the next the B-mode (of the same size, about its middle)."""
        state = self.contrast
        if state is None or self._contrast_refused():
            return
        rows, columns = state.cine.shape
        (x0, x1), (y0, y1) = (sorted((round(float(a)), round(float(b)))) for a, b in zip(corner_px, other_px, strict=True))
        if state.drawing is None:
            box = PaneBox(max(0, x0), max(0, y0), min(columns - 1, x1), min(rows - 1, y1))
            if min(box.shape) < 16:
                self.notice.emit("info", "Draw the box of the contrast picture from corner to corner.")
                return
            state.drawing = box
            self.contrast_changed.emit()
            return
        contrast, (height, width) = state.drawing, state.drawing.shape
        left = int(np.clip(round((x0 + x1 - width + 1) / 2), 0, columns - width))
        top = int(np.clip(round((y0 + y1 - height + 1) / 2), 0, rows - height))
        bmode = PaneBox(left, top, left + width - 1, top + height - 1)
        apart = bmode.x1 < contrast.x0 or contrast.x1 < bmode.x0 or bmode.y1 < contrast.y0 or contrast.y1 < bmode.y0
        if not apart:
            self.notice.emit("warning", "The two panes lie over each other: draw them side by side, or one above the other.")
            return
        layout = "side_by_side" if bmode.x1 < contrast.x0 or contrast.x1 < bmode.x0 else "stacked"
        self._finish_panes(state, Panes(layout, contrast, bmode, self._scale_in(state, contrast)))

    def draw_one_pane(self) -> None:
        """The box that was drawn is all there is: no B-mode picture beside it."""
        state = self.contrast
        if state is not None and state.drawing is not None:
            self._finish_panes(state, Panes("single", state.drawing, None, self._scale_in(state, state.drawing)))

    def drop_pane_box(self) -> None:
        """Forget a contrast box that waits for its B-mode box."""
        state = self.contrast
        if state is not None and state.drawing is not None:
            state.drawing = None
            self.contrast_changed.emit()

    def _finish_panes(self, state: ContrastState, panes: Panes) -> None:
        state.drawing = None
        self._put_panes(state, replace(panes, bar=None if state.panes is None else state.panes.bar), confirmed=True)
        self.set_tool("crosshair")

    def _scale_in(self, state: ContrastState, box: PaneBox) -> tuple[float, float] | None:
        calibration = state.cine.calibration
        if calibration.manual_mm_per_pixel is not None:
            return calibration.manual_mm_per_pixel
        x, y = 0.5 * (box.x0 + box.x1), 0.5 * (box.y0 + box.y1)
        return None if calibration.refusal else next((r.mm_per_pixel for r in calibration.regions if r.is_length and r.holds(x, y)), None)

    def _put_panes(self, state: ContrastState, panes: Panes, *, confirmed: bool) -> None:
        """Other panes: what was read through the old ones is gone."""
        if state.panes is None or state.panes.contrast != panes.contrast:
            state.panes = panes
            self._look_at_colours(state)
        state.panes, state.confirmed = panes, confirmed
        self._unread(state)
        self._contrast_settled()

    def _unread(self, state: ContrastState) -> None:
        if state.job is not None:
            self.jobs.cancel(state.job)
        state.loop = state.motion = None
        state.results, state.outlined, state.marks, state.corrected = {}, {}, {}, False

    # ---- what the display is worth ------------------------------------------------------------
    def state_range(self, range_db: float | None) -> None:
        """The dynamic range of the contrast display in dB as the reader states it; None: as in the header, or not known."""
        state = self.contrast
        if state is None or self._contrast_refused():
            return
        in_header = None if state.facts is None else state.facts.range_db
        value, source = (in_header, "header" if in_header is not None else "") if range_db is None else (float(range_db), "stated")
        if value == state.range_db:
            return
        if value is not None and not PLAUSIBLE_RANGE_DB[0] <= value <= PLAUSIBLE_RANGE_DB[1]:
            self.notice.emit("warning", t("{value:g} dB is no dynamic range of a contrast display ({low:g} to {high:g} dB).").format(value=value, low=PLAUSIBLE_RANGE_DB[0], high=PLAUSIBLE_RANGE_DB[1]))
            self.contrast_changed.emit()
            return
        state.range_db, state.range_source = value, source
        self._unread(state)
        self._contrast_settled()

    # ---- reading ---------------------------------------------------------------------------
    def why_not_read(self) -> str:
        """Why the loop cannot be read now; empty where it can."""
        state = self.contrast
        if state is None:
            return t("Open a contrast loop first.")
        if state.panes is None:
            return state.refusal or t("The panes are still being looked for.")
        if not state.confirmed:
            return t("Confirm which picture is the contrast.")
        if state.range_db is None:
            return t("State the dynamic range of the contrast display.")
        return self.why_no_colours()

    def read_loop(self) -> None:
        """Read all frames, follow the tissue, propose the marks; a job with progress that can be cancelled."""
        state, why = self.contrast, self.why_not_read()
        if why:
            self.notice.emit("info", why)
            return
        if state.job is not None or state.is_read:
            return
        panes, range_db, trim, region_frame = state.panes, state.range_db, state.trim, state.region_frame
        has_regions = any(state.regions.values())

        def work(context):
            loop = load_loop(state.cine, panes, range_db=range_db, frames=trim, context=context.part(0.0, 0.4))
            at = np.flatnonzero(loop.frame_numbers == region_frame) if has_regions and region_frame is not None else ()
            motion = estimate_motion(loop, reference_frame=int(at[0]) if len(at) else None, progress=context.part(0.4, 0.95).report)
            return loop, motion, landmarks(loop), has_regions and not len(at)

        def done(result) -> None:
            loop, motion, found, lost = result
            state.job = None
            if state.panes is not panes or state.range_db != range_db or state.trim != trim:
                return  # something else was settled meanwhile
            for other in self.contrast_states.values():  # one loop at a time: a long one fills much memory
                if other is not state:
                    other.loop = other.motion = None
            state.loop, state.motion, state.refusal = loop, motion, ""
            if lost:
                self.notice.emit("warning", "The frame that the regions were drawn on is not among those that are read; check where they lie.")
            state.region_frame = int(loop.frame_numbers[motion.reference_frame])
            self._put_marks(state, found)
            self._contrast_settled()

        def refused(error: NodusError) -> None:
            state.job, state.refusal = None, error.message
            self._on_refused(error)
            self.contrast_changed.emit()

        def lost() -> None:
            state.job = None
            self.contrast_changed.emit()

        state.refusal = ""
        state.job = self.jobs.start("Reading the loop", work, key=READING_KEY, on_done=done, on_refused=refused, on_lost=lost)
        self.contrast_changed.emit()

    def cancel_contrast(self) -> None:
        """Stop reading or analysing; what was there before stays."""
        state = self.contrast
        if state is not None and state.job is not None:
            self.jobs.cancel(state.job)

    # ---- marks and trimming --------------------------------------------------------------------
    def _put_marks(self, state: ContrastState, found: Landmarks) -> None:
        numbers = state.loop.frame_numbers
        proposed = {name: getattr(found, name) for name in MARKS}
        state.marks = {name: int(numbers[n]) for name, n in proposed.items() if n is not None} | state.moved_marks

    def go_to_mark(self, name: str) -> None:
        """Show the frame of a mark (of ``MARKS``)."""
        state = self.contrast
        if state is not None and name in state.marks:
            self.set_frame(state.marks[name])

    def set_mark(self, name: str, frame: int | None = None) -> None:
        """Move a mark to a frame of the file (the one on screen)."""
        state = self.contrast
        if state is None or self._contrast_refused():
            return
        frame = self.frame_index if frame is None else int(frame)
        before = state.moved_marks.get(name), state.marks.get(name)

        def put(moved: int | None, shown: int | None) -> None:
            for marks, value in ((state.moved_marks, moved), (state.marks, shown)):
                marks.pop(name, None)
                if value is not None:
                    marks[name] = value
            self._contrast_settled()

        put(frame, frame)
        self._push("Move a mark", lambda: put(frame, frame), lambda: put(*before))

    def trim_loop(self, first: int | None = None, last: int | None = None) -> None:
        """Let the loop begin or end at a frame of the file; neither: the whole of it. It is read anew."""
        state = self.contrast
        if state is None or self._contrast_refused():
            return
        now = state.frames()
        wanted = (0, state.cine.frame_count - 1) if first is None and last is None else (now[0] if first is None else int(first), now[1] if last is None else int(last))
        if wanted[1] - wanted[0] + 1 < FEWEST_FRAMES:
            self.notice.emit("warning", t("A curve over time needs at least {n} frames.").format(n=FEWEST_FRAMES))
            return
        trim = None if wanted == (0, state.cine.frame_count - 1) else wanted
        if trim == state.trim:
            return
        state.trim = trim
        was_read = state.is_read
        self._unread(state)
        self._contrast_settled()
        if was_read:
            self.read_loop()

    def show_corrected(self, on: bool | None = None) -> None:
        """Show the frames moved back to where the tissue lies in the reference frame, or as they were stored."""
        state = self.contrast
        if state is not None and (state.is_read or on is False):
            state.corrected = not state.corrected if on is None else on
            self.contrast_changed.emit()
