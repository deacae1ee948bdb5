"""A contrast loop's colour map from a box that a reader drew round its colour bar."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from app.jobs.progress import JobContext
from app.usecases.contrast_panes import ColourProposal, PaneBox, Panes, propose_colours, sample_frames
from volumetry.image import Cine
from volumetry.perfusion.linearise import colour_map_from_bar, find_bar
from volumetry.perfusion.loop import PerfusionRefused

EDGE_STEP = 24  # levels from one row of a bar to the next: a larger one is the bar's end
END_SHARE = 0.2  # of the box's length at either end in which its end may lie


def colours_from_box(cine: Cine, panes: Panes, box: PaneBox, context: JobContext | None = None) -> tuple[Panes, ColourProposal]:
    """The panes with the bar found in ``box`` (picture pixels, drawn with some room round it), and the colour map it shows.

    Raises ``PerfusionRefused``: ``colour_bar_unclear`` where the box holds no bar, ``colour_map_unlike`` where the contrast picture's
    colours are none of it, ``bad_panes`` for a box outside the picture. Cancelled through ``context``.
    """
    context = context or JobContext()
    rows, columns = cine.shape
    if not (0 <= box.x0 < box.x1 < columns and 0 <= box.y0 < box.y1 < rows):
        raise PerfusionRefused("The box lies outside the picture.", code="bad_panes")
    still = np.median(np.stack(sample_frames(cine, context.part(0.0, 0.3), 3)), axis=0).astype(np.uint8)
    bar = trimmed_bar(still, box)
    colour_map_from_bar(bar.cut(still))  # says why it is none
    stated = replace(panes, bar=bar)
    found = propose_colours(cine, stated, context.part(0.3, 1.0))
    if found.colours is None:
        raise PerfusionRefused(
            f"{100 * (1.0 - found.fit):.0f} % of the contrast picture's pixels have colours that are none of this bar.",
            code="colour_map_unlike", hint="Check the panes, and draw the box round the contrast's own colour bar.",
        )  # fmt: skip
    return stated, replace(found, source="stated") if found.source != "grey" else found


def trimmed_bar(picture: np.ndarray, box: PaneBox) -> PaneBox:
    """The bar within a box that was drawn with some room round it; the box itself where no edges show."""
    part = box.cut(picture)
    found = find_bar(part, [])
    if found is not None:
        x0, y0, x1, y1 = found
        return PaneBox(box.x0 + x0, box.y0 + y0, box.x0 + x1, box.y0 + y1)
    lying = np.ascontiguousarray(part.swapaxes(0, 1))
    found = find_bar(lying, [])
    if found is not None:
        y0, x0, y1, x1 = found
        return PaneBox(box.x0 + x0, box.y0 + y0, box.x0 + x1, box.y0 + y1)
    upright = part.shape[0] >= part.shape[1]
    line = np.median((part if upright else lying).astype(float), axis=1)
    start, stop = _ends(line.reshape(len(line), -1))
    return PaneBox(box.x0, box.y0 + start, box.x1, box.y0 + stop) if upright else PaneBox(box.x0 + start, box.y0, box.x0 + stop, box.y1)


def _ends(line: np.ndarray) -> tuple[int, int]:
    """First and last row of the bar along ``line[row, channel]``: behind the last sharp edge near either end, and where colours begin to change."""
    step = np.abs(np.diff(line, axis=0)).max(axis=1)
    room = max(1, int(END_SHARE * len(line)))
    sharp = np.flatnonzero(step > EDGE_STEP)
    before, behind = sharp[sharp < room], sharp[sharp >= len(step) - room]
    start, stop = (int(before[-1]) + 1 if before.size else 0), (int(behind[0]) if behind.size else len(line) - 1)
    changing = np.flatnonzero(step[start:stop])
    return (start, stop) if changing.size == 0 else (start + int(changing[0]), start + int(changing[-1]) + 1)
