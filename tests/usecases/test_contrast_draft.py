"""What is kept of contrast loops: the same comes back, and damage is a plain refusal."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from app.usecases.contrast_draft import ContrastDraft, LoopDraft, LoopPair, pack_contrast, unpack_contrast
from app.usecases.contrast_panes import PaneBox, Panes
from app.usecases.perfusion_planes import share_from, share_to_dict
from app.usecases.perfusion_regions import PerfusionRegion
from volumetry.errors import NodusError
from volumetry.perfusion.planes import PlaneShare

REGION = PerfusionRegion("N1", "node", ((10.0, 10.0), (20.5, 10.0), (20.0, 22.25)))
PANES = Panes("side_by_side", PaneBox(50, 5, 90, 45), PaneBox(2, 5, 42, 45), (0.1, 0.12), PaneBox(95, 5, 97, 45))


def test_that_a_draft_comes_back_as_it_was_kept():
    draft = ContrastDraft({"S1": LoopDraft(PANES, 50.0, (3, 70), {"peak": 12}, 31, {"n": (REGION,)}), "S2": LoopDraft(marks={"late": 9})}, {"n": {"input_sha256": "a"}})
    assert unpack_contrast(pack_contrast(draft)) == draft
    assert unpack_contrast(pack_contrast(ContrastDraft())) == ContrastDraft()


def test_that_what_was_worked_out_and_joined_comes_back_and_a_draft_of_before_is_read():
    share = share_to_dict(PlaneShare("2", 31.5, 6.25, 40.0, (35.5, 44.0), "viable", 0.5))
    sections = {"n": {"share": share, "record": {"input_sha256": "a", "loop_sha256": "b"}, "settled": "c"}}
    draft = ContrastDraft({"S1": LoopDraft(PANES, in_parts=True, plane="longitudinal", sections=sections)}, pairs={"n": LoopPair(("S1", "S2"), True, True)})
    assert unpack_contrast(pack_contrast(draft)) == draft
    assert share_from(share) == PlaneShare("2", 31.5, 6.25, 40.0, (35.5, 44.0), "viable", 0.5)
    kept = json.loads(pack_contrast(draft))
    del kept["pairs"], kept["loops"]["S1"]["in_parts"], kept["loops"]["S1"]["plane"], kept["loops"]["S1"]["sections"]
    assert unpack_contrast(json.dumps(kept).encode()) == ContrastDraft({"S1": LoopDraft(PANES)})
    for name, wrong in (("plane", "oblique"), ("sections", {"n": {"share": share}})):
        with pytest.raises(NodusError):
            unpack_contrast(pack_contrast(ContrastDraft({"S1": LoopDraft(PANES, **{name: wrong})})))


def test_that_a_section_is_out_of_date_once_anything_it_was_made_from_changed():
    outline = {3: np.array([[1.00004, 2.0], [3.0, 4.0], [5.0, 1.0]])}
    one = LoopDraft(PANES, 50.0, (3, 70), {"arrival": 5, "peak": 12}, 31, {"n": (REGION,)})
    settled = one.settled_sha256("n", outline)
    assert one.settled_sha256("n", {}) == settled  # the drawn region is the node
    assert replace(one, marks={"arrival": 5}, region_frame=None, plane="transverse").settled_sha256("n", {}) == settled
    changed = [replace(one, **c) for c in ({"panes": PANES.swapped()}, {"range_db": 51.0}, {"frames": None}, {"marks": {"arrival": 6}}, {"regions": {}}, {"in_parts": True})]
    assert settled not in {c.settled_sha256("n", {}) for c in changed}
    bare = replace(one, regions={})
    assert bare.settled_sha256("n", outline) == bare.settled_sha256("n", {3: np.round(outline[3], 4)}) != bare.settled_sha256("n", {})


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"loops": {"a": {}}, "taken": {}}', pack_contrast(ContrastDraft({"S1": LoopDraft(PANES)})).replace(b"side_by_side", b"elsewhere")])
def test_that_a_damaged_draft_is_refused_in_words(data):
    with pytest.raises(NodusError) as refused:
        unpack_contrast(data)
    assert refused.value.code == "contrast_draft_damaged"
