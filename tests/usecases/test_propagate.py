"""An outline carried to another visit: where it lands, how it is marked, when it may not be."""

from __future__ import annotations

import copy
import json
import shutil
from datetime import date

import numpy as np
import pytest

from app.cli import main
from app.demo.case import POSES, REACTIVE, nodes_at
from app.demo.dicom_files import Occasion, write_ct_series
from app.demo.neck import NeckScan, render_neck
from app.jobs import JobContext
from app.study.model import ReadingState
from app.study.protocol import check_protocol, load_protocol
from app.study.store import StudyStore
from app.usecases.import_images import import_folder
from app.usecases.propagate import propagate_mask, propagate_reading
from app.usecases.readings import find_node, find_visit, save_reading
from volumetry.errors import NodusError
from volumetry.geometry import ImageGeometry
from volumetry.image import ImageVolume
from volumetry.mask import NodeMask

GRID = ImageGeometry.from_spacing((52, 150, 150), (1.5, 1.5, 2.5), (-111.75, -103.75, -64.0))
SEED = 2026
LARGE = len(REACTIVE)  # the first target comes after the harmless nodes


class Neck:
    """The demonstration's neck at a visit, on a coarse grid, with the outline of one node."""

    def __init__(self, visit: int):
        nodes = nodes_at(visit, SEED, POSES[visit])
        self.array = render_neck(NeckScan(GRID, POSES[visit], tuple(nodes), seed=visit))
        self.image = ImageVolume(self.array, GRID)
        shape = nodes[LARGE].shape
        mask = np.zeros(GRID.shape, bool)
        box, cover = shape.coverage(GRID, samples=5)
        mask[box] = cover >= 0.5
        self.mask = NodeMask(mask, GRID)
        self.centre_mm = np.array(shape.centre_mm)


@pytest.fixture(scope="module")
def necks():
    return Neck(0), Neck(1)


@pytest.fixture(scope="module")
def carried(necks):
    """The baseline's outline on the next visit's grid."""
    return propagate_mask(necks[1].image, necks[0].image, necks[0].mask)


@pytest.fixture(scope="module")
def templates(necks, tmp_path_factory):
    """Studies with both visits imported, by whether their protocol allows carried-over outlines."""
    folder = tmp_path_factory.mktemp("visits")
    for n, neck in enumerate(necks):
        write_ct_series(folder / str(n), Occasion(SEED, str(n), date(2025, 1 + n, 13)), neck.array, GRID)
    for allow in (True, False):
        content = copy.deepcopy(load_protocol("ire-cervical-ln").content)
        content["reading"]["allow_propagated_outlines"] = allow
        (folder / "protocol.json").write_text(json.dumps(content))
        with StudyStore.create(folder / f"study-{allow}", protocol=folder / "protocol.json") as store:
            for n, name in enumerate(("Baseline", "Day 30")):
                import_folder(store, "S-001", name, folder / str(n), JobContext())
            store.add_node("S-001", "N1", "left", "III")
    return folder


@pytest.fixture
def made(tmp_path, templates, necks):
    """A function: a study of its own with both visits, and reader A's outline at baseline."""

    def make(allow=True, role="central") -> StudyStore:
        shutil.copytree(templates / f"study-{allow}", tmp_path / "study")
        store = StudyStore.open(tmp_path / "study")
        save_reading(store, find_visit(store, "S-001", "Baseline"), find_node(store, "S-001", "N1"), reader="A", modality="CT", mask=necks[0].mask, role=role)
        return store

    return make


def carry(store, **more):
    given = {"subject": "S-001", "node": "N1", "from_visit": "Baseline", "to_visit": "Day 30", "reader": "A", **more}
    return propagate_reading(store, **given)


def refusal(call) -> str:
    with pytest.raises(NodusError) as refused:
        call()
    return refused.value.code


def test_that_an_outline_lands_on_the_node_at_the_other_visit(necks, carried):
    (before, after), outline = necks, carried
    centre = GRID.index_to_world(np.argwhere(outline.mask.array).mean(axis=0)[::-1])
    assert np.linalg.norm(centre - after.centre_mm) < 1.5
    assert outline.mask.array.sum() == pytest.approx(before.mask.array.sum(), rel=0.05)
    assert "propagated" in [f.code for f in outline.findings]
    assert 0 <= outline.residual_mm < 2.0
    assert outline.mask.geometry.same_grid(after.image.geometry)


def test_that_an_empty_outline_is_not_carried(necks):
    empty = NodeMask(np.zeros(GRID.shape, bool), GRID)
    assert refusal(lambda: propagate_mask(necks[1].image, necks[0].image, empty)) == "empty_mask"


def test_that_a_carried_outline_is_a_draft_that_says_what_it_is_until_it_is_locked(made):
    with made() as store:
        saved, outline = carry(store)
        assert saved.state is ReadingState.DRAFT
        assert saved.measurement["propagated"] is True
        assert saved.measurement["propagated_from"]["visit"] == "Baseline"
        assert saved.measurement["registration"]["residual_mm"] == outline.residual_mm
        assert "propagated" in [w["code"] for w in saved.warnings]
        assert saved.volume_ml == pytest.approx(outline.mask.array.sum() * GRID.voxel_size_mm3 / 1000)
        assert refusal(lambda: store.lock_reading(saved.reading_id, "Dr A", "confirmed")) == "state_refused"
        # repaired and confirmed by the reader: still one that began as a copy
        node, visit = find_node(store, "S-001", "N1"), find_visit(store, "S-001", "Day 30")
        repaired = NodeMask(outline.mask.array & (np.indices(GRID.shape)[2] > np.argwhere(outline.mask.array)[:, 2].min()), GRID)
        measured = save_reading(store, visit, node, reader="A", modality="CT", mask=repaired)
        assert measured.state is ReadingState.MEASURED
        assert measured.measurement["propagated"] is True
        assert [w["code"] for w in measured.warnings].count("propagated") == 1
        locked = store.lock_reading(measured.reading_id, "Dr A", "confirmed")
        assert locked.measurement["propagated_from"] == saved.measurement["propagated_from"]
        # and now a copy may no longer take its place
        assert refusal(lambda: carry(store)) == "propagation_over_reading"


def test_that_a_node_outlined_anew_is_no_copy(made, necks, carried):
    with made() as store:
        node, visit = find_node(store, "S-001", "N1"), find_visit(store, "S-001", "Day 30")
        copied = save_reading(store, visit, node, reader="A", modality="CT", mask=carried.mask, state=ReadingState.DRAFT)
        assert copied.measurement["propagated"] is True
        assert "propagated" in [w["code"] for w in copied.warnings]
        anew = save_reading(store, visit, node, reader="A", modality="CT", mask=necks[1].mask, extra={"propagated": False})
        assert anew.measurement["propagated"] is False
        assert "propagated" not in [w["code"] for w in anew.warnings]


def test_that_an_endpoint_reading_may_not_start_so_unless_the_protocol_says_it(made, carried):
    with made(allow=False) as store:
        assert refusal(lambda: carry(store)) == "propagation_not_allowed"
        assert len(store.readings("S-001")) == 1
        node, visit = find_node(store, "S-001", "N1"), find_visit(store, "S-001", "Day 30")
        assert refusal(lambda: save_reading(store, visit, node, reader="A", modality="CT", mask=carried.mask)) == "propagation_not_allowed"
        assert refusal(lambda: save_reading(store, visit, node, reader="A", modality="CT", mask=carried.mask, role="adjudicator")) == "propagation_not_allowed"


def test_that_a_site_reading_may_start_so(made):
    with made(allow=False, role="site") as store:
        assert carry(store, role="site")[0].measurement["propagated"] is True


def test_that_what_cannot_be_carried_is_refused_in_words(made):
    with made() as store:
        assert refusal(lambda: carry(store, to_visit="Baseline")) == "same_visit"
        assert refusal(lambda: carry(store, reader="B")) == "mask_missing"
        assert refusal(lambda: carry(store, node="N9")) == "node_missing"
        assert refusal(lambda: carry(store, to_visit="Month 6")) == "visit_missing"
        assert refusal(lambda: carry(store, series_uid="1.2.3")) == "series_missing"


def test_that_the_protocol_allows_it_only_in_so_many_words():
    content = copy.deepcopy(load_protocol("ire-cervical-ln").content)
    assert load_protocol("ire-cervical-ln").allows_propagated_outlines is False
    assert any(e["field"] == "reading.allow_propagated_outlines" for e in content["open"])
    content["reading"]["allow_propagated_outlines"] = "yes"
    assert check_protocol(content) == ["reading.allow_propagated_outlines must be true or false"]
    del content["reading"]["allow_propagated_outlines"]
    assert check_protocol(content) == []


def test_that_the_command_line_carries_and_refuses(made, capsys):
    with made() as store:
        folder = store.folder
    call = ["study", "propagate", str(folder), "--subject", "S-001", "--node", "N1", "--from", "Baseline", "--to", "Day 30", "--reader", "A", "--json"]
    assert main(call) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["propagated"] is True
    assert answer["state"] == "draft"
    assert answer["registration"]["residual_mm"] < 2.0
    assert main([*call[:-2], "B", "--json"]) == 3
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "mask_missing"
