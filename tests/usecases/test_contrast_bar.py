"""A colour bar framed by hand: the map is read from it, however roughly it was framed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from app.demo.contrast_colours import colour_table
from app.usecases.contrast_bar import colours_from_box, trimmed_bar
from app.usecases.contrast_loop import propose_colours, propose_panes
from app.usecases.contrast_panes import PaneBox
from dicom_io.deidentify.review import ultrasound_boxes
from dicom_io.headers import read_header
from tests.usecases.contrast_loops import made
from volumetry.image import Cine
from volumetry.perfusion.loop import PerfusionRefused


def with_bar_at(x0: int, y0: int, *, lying: bool, length: int = 100, framed: bool = False) -> tuple[Cine, PaneBox]:
    """A coloured loop whose only bar was painted into the strip below the panes, or left out; and where that bar is."""
    cine = made(5, frames=16, colour_map="copper").cine(bar=False)
    frames = [np.array(cine.read_frame(n)) for n in range(cine.frame_count)]
    old = made(5, frames=16, colour_map="copper").layout.bar
    levels = colour_table("copper")[np.rint(np.linspace(0, 255, length)).astype(int)]
    wide, high = (length, 8) if lying else (8, length)
    for n, frame in enumerate(frames):
        frame[old.y0 : old.y1 + 1, old.x0 : old.x1 + 1] = 0
        grown = np.zeros((max(frame.shape[0], y0 + high + 12), max(frame.shape[1], x0 + wide + 12), 3), np.uint8)
        grown[: frame.shape[0], : frame.shape[1]] = frame
        if framed:
            grown[y0 - 1 : y0 + high + 1, x0 - 1 : x0 + wide + 1] = 200
        grown[y0 : y0 + high, x0 : x0 + wide] = levels[None] if lying else levels[::-1, None]
        frames[n] = grown
    shape = frames[0].shape[:2]
    return Cine(len(frames), shape, lambda n: frames[n], cine.calibration, cine.frame_times_ms), PaneBox(x0, y0, x0 + wide - 1, y0 + high - 1)


@pytest.mark.parametrize("room", [0, 2, 7])
@pytest.mark.parametrize(("lying", "framed"), [(False, False), (True, False), (True, True)])
def test_that_a_bar_framed_with_some_room_gives_the_true_map(room, lying, framed):
    cine, bar = with_bar_at(12, made(5, frames=16, colour_map="copper").layout.size[0] + 8, lying=lying, framed=framed)
    panes = replace(propose_panes(cine).panes, bar=None)
    drawn = PaneBox(bar.x0 - room, bar.y0 - room, bar.x1 + room, bar.y1 + room)
    stated, found = colours_from_box(cine, panes, drawn)
    assert found.source == "stated"
    assert found.fit > 0.95
    assert np.abs(found.colours.table.astype(int) - colour_table("copper")).max() <= 8
    long = (stated.bar.x0, stated.bar.x1, bar.x0, bar.x1) if lying else (stated.bar.y0, stated.bar.y1, bar.y0, bar.y1)
    assert abs(long[0] - long[2]) <= 3
    assert abs(long[1] - long[3]) <= 3


def test_that_a_box_round_something_else_is_refused_and_says_why():
    cine, bar = with_bar_at(12, made(5, frames=16, colour_map="copper").layout.size[0] + 8, lying=True)
    panes = replace(propose_panes(cine).panes, bar=None)
    assert propose_colours(cine, panes).colours is None
    for box, code in ((PaneBox(bar.x0, bar.y0, bar.x0 + 20, bar.y1), "colour_bar_unclear"), (PaneBox(-3, 0, 40, 40), "bad_panes")):
        with pytest.raises(PerfusionRefused) as refused:
            colours_from_box(cine, panes, box)
        assert refused.value.code == code
    other = np.array(cine.read_frame(0))
    other[bar.y0 : bar.y1 + 1, bar.x0 : bar.x1 + 1] = np.stack([np.linspace(0, 90, 100), np.linspace(0, 255, 100), np.linspace(0, 120, 100)], axis=1).astype(np.uint8)[None]
    wrong = Cine(cine.frame_count, cine.shape, lambda n: np.where(np.arange(cine.shape[0])[:, None, None] >= bar.y0, other, cine.read_frame(n)), cine.calibration, cine.frame_times_ms)
    with pytest.raises(PerfusionRefused) as refused:
        colours_from_box(wrong, panes, bar)
    assert refused.value.code == "colour_map_unlike"
    assert trimmed_bar(np.zeros((60, 60, 3), np.uint8), PaneBox(5, 5, 50, 50)) == PaneBox(5, 5, 50, 50)


def test_that_an_import_keeps_a_bar_the_header_names_and_masks_a_broad_region_called_one(tmp_path):
    cine = made(5, frames=16, colour_map="copper")
    cine.write_dicom(tmp_path / "loop.dcm")
    bar = (cine.layout.bar.x0, cine.layout.bar.y0, cine.layout.bar.x1, cine.layout.bar.y1)
    header = read_header(tmp_path / "loop.dcm")
    assert bar in ultrasound_boxes(header)[0]
    region = header.ds.SequenceOfUltrasoundRegions[-1]
    region.RegionLocationMinX0 = bar[0] - 100
    broad = (bar[0] - 100, *bar[1:])
    assert broad not in ultrasound_boxes(header)[0]
    assert len(ultrasound_boxes(header)[0]) == 2
