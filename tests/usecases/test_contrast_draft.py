"""What is kept of contrast loops: the same comes back, and damage is a plain refusal."""

from __future__ import annotations

import pytest

from app.usecases.contrast_draft import ContrastDraft, LoopDraft, pack_contrast, unpack_contrast
from app.usecases.contrast_panes import PaneBox, Panes
from app.usecases.perfusion_regions import PerfusionRegion
from volumetry.errors import NodusError

REGION = PerfusionRegion("N1", "node", ((10.0, 10.0), (20.5, 10.0), (20.0, 22.25)))
PANES = Panes("side_by_side", PaneBox(50, 5, 90, 45), PaneBox(2, 5, 42, 45), (0.1, 0.12), PaneBox(95, 5, 97, 45))


def test_that_a_draft_comes_back_as_it_was_kept():
    draft = ContrastDraft({"S1": LoopDraft(PANES, 50.0, (3, 70), {"peak": 12}, 31, {"n": (REGION,)}), "S2": LoopDraft(marks={"late": 9})}, {"n": {"input_sha256": "a"}})
    assert unpack_contrast(pack_contrast(draft)) == draft
    assert unpack_contrast(pack_contrast(ContrastDraft())) == ContrastDraft()


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"loops": {"a": {}}, "taken": {}}', pack_contrast(ContrastDraft({"S1": LoopDraft(PANES)})).replace(b"side_by_side", b"elsewhere")])
def test_that_a_damaged_draft_is_refused_in_words(data):
    with pytest.raises(NodusError) as refused:
        unpack_contrast(data)
    assert refused.value.code == "contrast_draft_damaged"
