"""The session's part for a contrast loop's colour bar: a box round it, drawn where the colours are not known by themselves."""

from __future__ import annotations

from app.ui.text import t
from app.usecases.contrast_bar import colours_from_box
from app.usecases.contrast_panes import PaneBox, propose_colours
from volumetry.errors import NodusError

BAR_KEY, COLOURS_KEY = "contrast-bar", "contrast-colours"


class ContrastBarPart:
    """Mixed into ``Session`` with the other parts for contrast loops."""

    def colours_unknown(self) -> bool:
        """True where the contrast picture is coloured and nothing tells how."""
        state = self.contrast
        return state is not None and state.colours is not None and state.colours.colours is None

    def draw_bar(self, corner_px, other_px) -> None:
        """A box drawn round the contrast's colour bar, with some room: its colours are read in a job."""
        state = self.contrast
        if state is None or state.panes is None or self._contrast_refused():
            return
        rows, columns = state.cine.shape
        (x0, x1), (y0, y1) = (sorted((round(float(a)), round(float(b)))) for a, b in zip(corner_px, other_px, strict=True))
        box = PaneBox(max(0, x0), max(0, y0), min(columns - 1, x1), min(rows - 1, y1))
        if min(box.shape) < 3:
            self.notice.emit("info", "Drag a box round the whole colour bar, corner to corner.")
            return
        panes = state.panes

        def done(result) -> None:
            if state.panes is not panes:
                return  # other panes meanwhile
            state.panes, state.colours = result
            self._unread(state)
            if self.tool == "contrast_bar":
                self.set_tool("crosshair")
            self._contrast_settled()

        self.jobs.start("Reading the colour bar", lambda context: colours_from_box(state.cine, panes, box, context), key=BAR_KEY, on_done=done, on_refused=self._on_refused)

    def _look_at_colours(self, state) -> None:
        """Other panes: how the contrast's colours are undone is looked for anew; quiet job."""
        panes = state.panes
        state.colours = None

        def done(found) -> None:
            if state.panes is panes:
                state.colours = found
                self.contrast_changed.emit()

        def refused(_error: NodusError) -> None:
            self.contrast_changed.emit()  # reading the loop says why

        self.jobs.start("Looking at the loop", lambda context: propose_colours(state.cine, panes, context), key=COLOURS_KEY, quiet=True, on_done=done, on_refused=refused)

    def why_no_colours(self) -> str:
        """Why the loop cannot be read for its colours; empty where they are known, or were not looked at yet."""
        return t("Drag a box round the contrast's colour bar.") if self.colours_unknown() else ""
