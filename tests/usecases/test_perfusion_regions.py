"""Regions as a reader draws them: read from a file, in either pane, refused where they mean nothing."""

from __future__ import annotations

import json

import numpy as np
import pytest

from app.usecases.contrast_panes import PaneBox, Panes
from app.usecases.perfusion_regions import PerfusionRegion, across, pane_of, place_region, read_roi
from volumetry.errors import NodusError

PANES = Panes("side_by_side", PaneBox(100, 10, 179, 69), PaneBox(10, 10, 89, 69), (0.3, 0.3))
BOX = ((110.0, 20.0), (120.0, 20.0), (120.0, 30.0), (110.0, 30.0))


def test_that_a_region_is_the_same_pixels_whichever_pane_it_was_drawn_in():
    there = PerfusionRegion("a", "node", BOX)
    here = PerfusionRegion("a", "node", tuple((x - 90, y) for x, y in BOX))
    first, second = place_region(there, PANES), place_region(here, PANES)
    assert (first.drawn_in, second.drawn_in) == ("contrast", "bmode")
    assert np.array_equal(first.mask, second.mask)
    assert first.mask.shape == (60, 80)
    rows, columns = np.nonzero(first.mask)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (10, 19, 10, 19)
    assert across(np.array([[120.0, 30.0]]), PANES, "contrast", "bmode").tolist() == [[30.0, 30.0]]


@pytest.mark.parametrize("shift", [(-30, 0), (70, 0), (0, 55), (0, -30)])
def test_that_a_region_outside_a_pane_or_in_two_is_refused(shift):
    moved = PerfusionRegion("a", "node", tuple((x + shift[0], y + shift[1]) for x, y in BOX))
    assert pane_of(moved.polygon_px, PANES) is None
    with pytest.raises(NodusError) as refused:
        place_region(moved, PANES)
    assert refused.value.code == "region_outside_panes"


def test_that_a_region_without_a_pixel_is_refused_and_a_crossed_one_told():
    with pytest.raises(NodusError) as refused:
        place_region(PerfusionRegion("a", "node", ((110.2, 20.2), (110.4, 20.2), (110.3, 20.4))), PANES)
    assert refused.value.code == "empty_region"
    bow = PerfusionRegion("a", "node", ((105.0, 15.0), (165.0, 60.0), (165.0, 15.0), (105.0, 60.0)))
    assert [f.code for f in place_region(bow, PANES).findings] == ["outline_crosses_itself"]
    assert place_region(PerfusionRegion("a", "node", BOX), PANES).findings == ()


def test_that_a_file_gives_back_its_regions_and_its_frame(tmp_path):
    path = tmp_path / "roi.json"
    path.write_text(json.dumps({"regions": [{"name": "N1", "role": "node", "polygon_px": BOX}, {"role": "vessel", "polygon_px": BOX}], "frame": 7}))
    regions, frame = read_roi(path)
    assert frame == 7
    assert [(r.name, r.role) for r in regions] == [("N1", "node"), ("region 2", "vessel")]
    assert regions[0].polygon_px == BOX
    path.write_text(json.dumps({"regions": [regions[0].to_dict()]}))
    assert read_roi(path) == (regions[:1], None)


ENTRY = {"name": "a", "role": "node", "polygon_px": BOX}


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ("{", "bad_roi"),
        ("[]", "bad_roi"),
        ("{}", "bad_roi"),
        ('{"regions": []}', "bad_roi"),
        ('{"regions": {}}', "bad_roi"),
        (json.dumps({"regions": [ENTRY], "frame": -1}), "bad_roi"),
        (json.dumps({"regions": [ENTRY], "frame": "3"}), "bad_roi"),
        (json.dumps({"regions": [ENTRY, ENTRY]}), "bad_roi"),
        (json.dumps({"regions": [{**ENTRY, "polygon_px": [[1, 2], [3, 4]]}]}), "bad_roi"),
        (json.dumps({"regions": [{**ENTRY, "polygon_px": [[1, 2], [3, 4], [1, 2]]}]}), "bad_roi"),
        (json.dumps({"regions": [{**ENTRY, "polygon_px": [[1, 2], [3, 4], [5]]}]}), "bad_roi"),
        (json.dumps({"regions": [{**ENTRY, "polygon_px": [[1, 2], [3, 4], [5, "6"]]}]}), "bad_roi"),
        ('{"regions": [{"role": "node", "polygon_px": [[1, 2], [3, 4], [5, NaN]]}]}', "bad_roi"),
        ('{"regions": [{"role": "node", "polygon_px": [[1, 2], [3, 4], [5, 1e999]]}]}', "bad_roi"),
        (json.dumps({"regions": [{**ENTRY, "role": "liver"}]}), "unknown_region_role"),
        (json.dumps({"regions": [{**ENTRY, "role": None}]}), "bad_roi"),
        (json.dumps({"regions": [{"name": "a"}]}), "bad_roi"),
    ],
)
def test_that_what_is_no_list_of_regions_is_refused(tmp_path, content, code):
    path = tmp_path / "roi.json"
    path.write_text(content)
    with pytest.raises(NodusError) as refused:
        read_roi(path)
    assert refused.value.code == code
    assert refused.value.message.endswith(".")


def test_that_a_missing_or_binary_file_is_refused(tmp_path):
    with pytest.raises(NodusError) as refused:
        read_roi(tmp_path / "none.json")
    assert refused.value.code == "file_missing"
    (tmp_path / "b.json").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(NodusError) as refused:
        read_roi(tmp_path / "b.json")
    assert refused.value.code == "bad_roi"
