"""Which still goes with which: planes stated or told, evidence for one node, and nothing guessed."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date

import pydicom
import pytest

from app.cli import main
from app.demo.dicom_files import Occasion
from app.jobs import JobContext
from app.study.store import StudyStore
from app.usecases.import_images import import_folder
from app.usecases.pair_planes import StillFacts, node_in_words, pairs_of_visit, plane_in_words, propose_pairs, still_facts, visit_stills, with_draft
from app.usecases.picture_draft import PictureDraft, save_draft
from tests.factories import write_ultrasound_still
from volumetry.errors import NodusError

DAY = Occasion(1, "Baseline", date(2025, 1, 13))


def still(name: str, plane: str | None = None, **facts) -> StillFacts:
    return StillFacts((name, 0), name, told=plane, **facts)


def ends(pairing) -> list[tuple[str, str, str]]:
    return [(p.long.name, p.short.name, p.confidence) for p in pairing.proposals]


def codes(pairing) -> set[str]:
    return {f.code for f in pairing.findings}


@pytest.mark.parametrize(
    ("words", "plane"),
    [
        ("N2 level III left, longitudinal", "longitudinal"), ("LN_LT_SAG", "longitudinal"), ("RT NECK LONG", "longitudinal"), ("淋巴结 纵切", "longitudinal"),
        ("short axis", "transverse"), ("Lymph node TRANS", "transverse"), ("横断面", "transverse"), ("Hals links quer", "transverse"), ("TS level 3", "transverse"),
        ("long axis 12 mm, short axis 8 mm", None), ("US stills", None), ("transducer along the muscle", None), ("its notes", None), ("", None),
    ],
)  # fmt: skip
def test_that_words_tell_a_plane_or_none(words, plane):
    assert plane_in_words(words) == plane


def test_that_words_tell_a_node_and_a_side_only_where_they_name_one():
    assert node_in_words("N02 level III left, longitudinal") == ("N2", "left")
    assert node_in_words("LN 3 RT") == ("N3", "right")
    assert node_in_words("N1 and N2, right to left") == (None, None)


def test_that_stills_of_one_named_node_are_paired_and_those_of_another_left_out():
    stills = [still("a", "longitudinal", node="N1", side="left"), still("b", "transverse", node="N2", side="left"), still("c", "transverse", node="N1", side="left")]
    assert ends(propose_pairs(stills)) == [("a", "c", "strong")]
    assert ends(propose_pairs(stills, node="N1")) == [("a", "c", "strong")]
    assert propose_pairs(stills, node="N2").proposals == ()


def test_that_the_depth_seen_in_both_planes_decides_between_two():
    stills = [still("a", "longitudinal", depth_mm=8.0), still("b", "transverse", depth_mm=12.0, taken_s=1.0), still("c", "transverse", depth_mm=8.4)]
    found = propose_pairs(stills)
    assert ends(found) == [("a", "c", "strong")]
    assert "The depth of the node agrees: 8.0 and 8.4 mm." in found.proposals[0].reasons
    alone = propose_pairs(stills[:2])
    assert ends(alone) == [("a", "b", "weak")]
    assert alone.proposals[0].reasons == ("The depth of the node differs: 8.0 and 12.0 mm.",)


def test_that_time_and_scale_alone_are_fair_and_never_strong():
    first = still("a", "longitudinal", taken_s=100.0, mm_per_pixel=0.1)
    second = still("b", "transverse", taken_s=130.0, mm_per_pixel=0.1)
    assert ends(propose_pairs([first, second])) == [("a", "b", "fair")]
    assert ends(propose_pairs([first, replace(second, taken_s=100.0 + 3600)])) == [("a", "b", "weak")]
    assert ends(propose_pairs([still("a", "longitudinal"), still("b", "transverse")])) == [("a", "b", "weak")]


def test_that_two_pairs_that_fit_alike_are_both_weak_and_say_so():
    stills = [still("a", "longitudinal", order=1), still("b", "transverse", order=2), still("c", "longitudinal", order=3)]
    (only,) = propose_pairs(stills).proposals
    assert only.confidence == "weak"
    assert only.reasons[-1] == "Other pairs that would fit as well: 1."


def test_that_nothing_is_guessed_where_no_plane_is_known():
    found = propose_pairs([still("a", taken_s=1.0), still("b", taken_s=2.0), still("c", "longitudinal")])
    assert found.proposals == ()
    assert codes(found) == {"plane_not_told", "pair_plane_missing"}
    assert "2 of 3" in found.findings[0].message


def test_that_the_reader_s_statement_counts_more_than_the_file_s_words():
    found = propose_pairs([replace(still("a", "transverse", node="N1"), stated="longitudinal"), still("b", "transverse", node="N1")])
    assert ends(found) == [("a", "b", "strong")]
    assert codes(found) == {"plane_against_file"}


def test_that_the_sides_are_never_mixed():
    assert propose_pairs([still("a", "longitudinal", side="left"), still("b", "transverse", side="right")]).proposals == ()


def test_that_a_file_s_header_is_read_for_words_time_and_scale(tmp_path):
    path = write_ultrasound_still(tmp_path / "a.dcm", occasion=DAY, instance=4)
    ds = pydicom.dcmread(path)
    ds.ImageComments, ds.AcquisitionTime = "N1 LONG left", "101530.5"
    ds.save_as(path)
    facts = still_facts(path, ("a", 0), "a")
    assert (facts.told, facts.node, facts.side, facts.order) == ("longitudinal", "N1", "left", 4)
    assert facts.taken_s == pytest.approx(10 * 3600 + 15 * 60 + 30.5)
    assert facts.mm_per_pixel == pytest.approx(0.1)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A study of three stills: the comments of two tell their planes."""
    root = tmp_path_factory.mktemp("pairs")
    (root / "us").mkdir()
    for n, comment in enumerate(("N1 long", "N1 transverse", "node")):
        path = write_ultrasound_still(root / "us" / f"{n}.dcm", occasion=DAY, instance=n + 1)
        ds = pydicom.dcmread(path)
        ds.ImageComments = f"SYNTHETIC; Mrs Somebody {comment}"
        ds.save_as(path)
    with StudyStore.create(root / "study") as store:
        import_folder(store, "S-001", "Baseline", root / "us", JobContext())
        store.add_node("S-001", "N1", "left", "II")
    return root / "study"


def test_that_a_study_keeps_the_plane_of_the_words_and_none_of_the_words(study, capsys):
    with StudyStore.open(study) as store:
        records = store.series(store.visits("S-001")[0].visit_id)
        assert sorted(r.description for r in records) == ["US still", "US still, longitudinal", "US still, transverse"]
        found = pairs_of_visit(store, "S-001", "Baseline")
    assert [(p.long.told, p.short.told, p.confidence) for p in found.proposals] == [("longitudinal", "transverse", "fair")]
    assert codes(found) == {"plane_not_told"}
    assert main(["study", "pair-planes", str(study), "--subject", "S-001", "--visit", "Baseline", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["pairs"][0]["longitudinal"]["plane_from"] == "file"
    assert told["pairs"][0]["confidence"] == "fair"
    assert [f["code"] for f in told["findings"]] == ["plane_not_told"]


def test_that_what_a_reader_stated_and_measured_takes_part(study):
    with StudyStore.open(study) as store:
        visit, node = store.visits("S-001")[0], store.nodes("S-001")[0]
        untold = next(r for r in store.series(visit.visit_id) if r.description == "US still")
        across = next(r for r in store.series(visit.visit_id) if r.description.endswith("transverse"))
        caliper = {"points": [[0, 0], [0, 80]], "label": "depth", "frame": 0, "warnings": []}
        calipers = {
            "depth_longitudinal": {**caliper, "length_mm": 8.0, "plane": "longitudinal", "source": untold.series_id},
            "depth_transverse": {**caliper, "length_mm": 8.2, "plane": "transverse", "source": across.series_id},
        }
        save_draft(store, node.node_id, visit.visit_id, "Reader A", PictureDraft({}, {(untold.series_id, 0): "longitudinal"}, calipers))
        found = pairs_of_visit(store, "S-001", "Baseline", node_label="N1", reader="Reader A")
        best = found.proposals[0]
        assert (best.long.still[0], best.short.still[0], best.confidence) == (untold.series_id, across.series_id, "strong")
        assert with_draft(visit_stills(store, [untold]), None)[0].plane is None
        with pytest.raises(NodusError) as refusal:
            pairs_of_visit(store, "S-001", "Baseline", node_label="N1")
        assert refusal.value.code == "reader_missing"
