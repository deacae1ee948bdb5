"""The session's part for a scale by hand: a line along marks drawn into a picture that the header does not
calibrate, stated in millimetres, used for that picture alone, kept, taken back."""

from __future__ import annotations

from dataclasses import replace

from app.study.model import ReadingState
from app.usecases.outline_picture import measured_outline
from app.usecases.picture_scale import Scales, load_scales, save_scales, scaled
from volumetry.calibration import ReaderScale, ScaleLine, calibrated_by_reader
from volumetry.errors import NodusError
from volumetry.image import Cine
from volumetry.ultrasound_length import length_on_picture

Line = tuple[tuple[float, float], tuple[float, float]]
# A part of the picture smaller than this is a slip of the hand.
SMALLEST_PART_PX = 10.0


class ScalePart:
    """Mixed into ``Session``; uses its signals, jobs and undo stack.

    ``reader_scales`` maps (reader, picture) to the scales by frame (None: every frame). ``scale_lines`` are the lines
    drawn on the picture on screen whose length is not stated yet: one, or one across and one down; ``scale_box`` (x0, y0,
    x1, y1 in pixels) is the part of the picture that they will hold for, None for the whole.
    """

    def _start_scales(self) -> None:
        self.reader_scales: dict[tuple[str, str], Scales] = {}
        self.scale_lines: tuple[Line, ...] = ()
        self.scale_box: tuple[float, float, float, float] | None = None
        self._as_opened: Cine | None = None  # the picture on screen as its header has it
        self._scales_known: set[tuple[str, str]] = set()
        self._scales_of = None  # the study that all this belongs to
        self.visit_changed.connect(self._take_up_scales)
        self.study_changed.connect(self._forget_scales)

    # ---- what is there -----------------------------------------------------------------------
    def as_scaled(self, cine: Cine) -> Cine:
        """An opened picture with the reader's scale where it has one; called as it comes on screen."""
        self._as_opened, self.scale_lines, self.scale_box = cine, (), None
        name = self.current_series_id or next(iter(cine.source.sop_instance_uids), None) or cine.source.series_uid or "picture"
        return scaled(cine, self.reader_scales.get((self.reader, name), {}))

    def needs_scale(self) -> bool:
        """True where the header gives the frame on screen no lengths: only there a scale by hand is offered."""
        return self.picture is not None and not self.picture.calibration_at(self.frame_index).gives_lengths

    def scale_in_use(self) -> tuple[int | None, ReaderScale] | None:
        """The reader's scale of the frame on screen, and the frame it was stated for (None: all)."""
        if self.picture is None:
            return None
        scales = self.reader_scales.get((self.reader, self.picture_name), {})
        frame = self.frame_index if self.frame_index in scales else None
        return (frame, scales[frame]) if frame in scales else None

    # ---- drawing -------------------------------------------------------------------------------
    def draw_scale_line(self, a, b) -> None:
        """Draw a line along a scale. A second one across the first stands beside it; any other takes its place."""
        if not self.needs_scale():
            self.notice.emit("info", "The header gives this picture's scale; none is drawn by hand.")
            return
        new = self._within(a, b)
        kept = [line for line in self.scale_lines if _runs_down(line) != _runs_down(new)]
        self.scale_lines = tuple(sorted((*kept, new), key=_runs_down))
        self.outlines_changed.emit()

    def draw_scale_box(self, a, b) -> None:
        """State by two corners for which part of the picture the lines hold: one of two panes, say."""
        if not self.needs_scale():
            self.notice.emit("info", "The header gives this picture's scale; none is drawn by hand.")
            return
        (xa, ya), (xb, yb) = self._within(a, b)
        if min(abs(xb - xa), abs(yb - ya)) < SMALLEST_PART_PX:
            self.notice.emit("info", f"A part of the picture has at least {SMALLEST_PART_PX:.0f} pixels each way.")
            return
        self.scale_box = min(xa, xb), min(ya, yb), max(xa, xb), max(ya, yb)
        self.outlines_changed.emit()

    def drop_scale_box(self) -> None:
        """Let the lines hold for the whole picture again."""
        if self.scale_box is not None:
            self.scale_box = None
            self.outlines_changed.emit()

    def _within(self, a, b) -> Line:
        rows, columns = self.picture.shape
        return tuple((min(max(float(x), 0.0), columns - 1.0), min(max(float(y), 0.0), rows - 1.0)) for x, y in (a, b))

    def drop_scale_lines(self) -> None:
        """Take the lines that are not stated yet away, and the part they were to hold for."""
        if self.scale_lines or self.scale_box is not None:
            self.scale_lines, self.scale_box = (), None
            self.outlines_changed.emit()

    def proposed_scale(self, lengths_mm) -> ReaderScale:
        """The scale of the lines on screen with these lengths. Raises ``CalibrationRefused``."""
        lines = tuple(ScaleLine(*line, float(mm)) for line, mm in zip(self.scale_lines, lengths_mm, strict=True))
        return ReaderScale(lines, self.scale_box)

    # ---- stating and taking back ------------------------------------------------------------------
    def set_reader_scale(self, lengths_mm, *, frame_only: bool = False) -> None:
        """State how long the drawn lines are, in mm, for this picture (``frame_only``: this frame alone); one undo
        step. What was measured on it is measured anew."""
        if self.picture is None or not self.scale_lines:
            return
        try:
            scale = self.proposed_scale(lengths_mm)
            calibrated_by_reader(self._as_opened.calibration_at(self.frame_index), scale)
        except NodusError as refusal:
            self._on_refused(refusal)
            return
        before = self.reader_scales.get((self.reader, self.picture_name), {})
        frame = self.frame_index if frame_only and not self.picture.is_still else None
        self.scale_lines, self.scale_box = (), None
        self.set_tool("crosshair")
        self._change_scales("Scale by hand", {**before, frame: scale})

    def remove_reader_scale(self) -> None:
        """Take the scale of the frame on screen back; one undo step. Lengths made with it go back to pixels."""
        used = self.scale_in_use()
        if used is not None:
            before = self.reader_scales[self.reader, self.picture_name]
            self._change_scales("Take the scale back", {frame: scale for frame, scale in before.items() if frame != used[0]})

    def _change_scales(self, text: str, after: Scales) -> None:
        name, reader, opened = self.picture_name, self.reader, self._as_opened
        before = self.reader_scales.get((reader, name), {})
        changes = _Remeasured(self, name, scaled(opened, after))

        def put(scales: Scales, *, back: bool) -> None:
            self.reader_scales[reader, name] = scales
            self._scales_known.add((reader, name))
            changes.put(self, back=back)
            if self.picture is not None and self.picture_name == name and self.reader == reader:
                self.picture = scaled(opened, scales)
                self.picture_changed.emit()
            self.calipers_changed.emit()
            self.outlines_changed.emit()
            self._keep_scales(name, reader)

        put(after, back=False)
        states = [self.nodes[node_id] for node_id in changes.node_ids if node_id in self.nodes]
        checks = [self._unless_locked(state) for state in states]
        self._push(text, lambda: put(after, back=False), lambda: put(before, back=True), (lambda: all(check() for check in checks)) if checks else None)
        if changes.lost:
            self.notice.emit("warning", "Diameters of this picture that have no length in millimetres any more were removed.")

    # ---- keeping -----------------------------------------------------------------------------------
    def _keep_scales(self, name: str, reader: str) -> None:
        """Keep the scales of a picture in the study as they are now; quiet job."""
        store = self.study
        if store is None or name not in {s.series_id for series in self.series_by_visit.values() for s in series}:
            return
        scales = dict(self.reader_scales.get((reader, name), {}))

        def refused(error) -> None:
            self.notice.emit("serious", f"The scale drawn on the picture could not be saved yet: {error.message} It is kept in memory.")

        self.jobs.start("Saving", lambda _context: save_scales(store, name, reader, scales), quiet=True, write=True, on_done=lambda _: self._say_saved("scale saved"), on_refused=refused)

    def _take_up_scales(self) -> None:
        """A visit comes on screen: what this reader stated on its pictures before; quiet job."""
        store, reader = self.study, self.reader
        names = [s.series_id for s in self.series if s.kind in ("still", "cine") and (reader, s.series_id) not in self._scales_known]
        if store is None or not names:
            return

        def done(found: dict[str, Scales]) -> None:
            if self.study is not store:
                return
            for name in names:
                if (reader, name) not in self._scales_known:  # the reader may have been quicker
                    self._scales_known.add((reader, name))
                    if name in found:
                        self.reader_scales[reader, name] = found[name]
                        if self.picture is not None and self.picture_name == name and self.reader == reader:
                            self.picture = scaled(self._as_opened, found[name])
                            self.picture_changed.emit()

        self.jobs.start("Loading scales", lambda _context: load_scales(store, names, reader), key="picture-scales", quiet=True, on_done=done)

    def _forget_scales(self) -> None:
        """Another study, or none: nothing of the one before stays."""
        if self.study is None or self.study is not self._scales_of:
            self.reader_scales.clear()
            self._scales_known.clear()
            self.scale_lines, self.scale_box = (), None
        self._scales_of = self.study

    def scale_evidence(self, stills) -> dict:
        """What a reading keeps of the scales that its lengths on these stills were made with."""
        uids = {s.series_id: s.series_uid for series in self.series_by_visit.values() for s in series}
        out = []
        for name, frame in stills:
            scales = self.reader_scales.get((self.reader, name), {})
            scale = scales.get(frame, scales.get(None))
            if scale is not None:
                out.append({"series_uid": uids.get(name, name), "frame": frame, "mm_per_pixel": list(scale.mm_per_pixel), **scale.as_dict()})
        return {"reader_scales": out} if out else {}


def _runs_down(line: Line) -> bool:
    (x0, y0), (x1, y1) = line
    return abs(y1 - y0) > abs(x1 - x0)


class _Remeasured:
    """What a change of scale does to what was measured on one picture: each caliper and outline before and after.
    Locked readings are left as they are."""

    def __init__(self, session, name: str, picture: Cine):
        self.filed: list[tuple[str, str, object, object | None]] = []  # node, slot, before, after (None: taken out)
        self.loose: list[tuple[object, object]] = []
        self.outlines: list[tuple[tuple, object, object]] = []
        for node_id, state in session.nodes.items():
            if state.reading is not None and state.reading.state == ReadingState.LOCKED:
                continue
            for slot, caliper in state.calipers.items():
                if caliper.source == name and len(caliper.points[0]) == 2:
                    now = _measured(caliper, picture)
                    self.filed.append((node_id, slot, caliper, now if now.length_mm is not None else None))
            for key, measured in session.picture_outlines.items():
                if key[:2] == (node_id, name):
                    self.outlines.append((key, measured, measured_outline(measured.outline, picture.calibration_at(key[2]))))
        for caliper in session.calipers:
            if caliper.source == name and len(caliper.points[0]) == 2:
                twin = next((after for _, _, before, after in self.filed if before is caliper), None)
                self.loose.append((caliper, twin or _measured(caliper, picture)))

    @property
    def node_ids(self) -> set[str]:
        """Nodes that something of changes."""
        return {node_id for node_id, *_ in self.filed} | {key[0] for key, *_ in self.outlines}

    @property
    def lost(self) -> bool:
        """True where a diameter goes."""
        return any(after is None for *_, after in self.filed)

    def put(self, session, *, back: bool) -> None:
        """Make the change, or take it back."""
        for node_id, slot, before, after in self.filed:
            state, now = session.nodes.get(node_id), before if back else after
            if state is not None:
                state.calipers = {s: c for s, c in state.calipers.items() if s != slot} | ({} if now is None else {slot: now})
        for key, before, after in self.outlines:
            session.picture_outlines[key] = before if back else after
        swap = {id(after): before for before, after in self.loose} if back else {id(before): after for before, after in self.loose}
        session.calipers = [swap.get(id(c), c) for c in session.calipers]
        for node_id in self.node_ids:
            if node_id in session.nodes:
                session._update_ellipsoid(session.nodes[node_id])
                session._keep_pictures(node_id)


def _measured(caliper, picture: Cine):
    """A caliper measured anew on a picture."""
    try:
        found = length_on_picture(picture.calibration_at(caliper.frame), *caliper.points)
    except NodusError as refusal:
        return replace(caliper, length_mm=None, refusal=refusal.message, warnings=())
    return replace(caliper, length_mm=found.length_mm, refusal=None, warnings=found.warnings)
