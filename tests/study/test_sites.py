"""A user bound to a site sees and changes that site's subjects alone: in the store, on both databases, and through the command line."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa

from app.study import rows, schema
from app.study.audit import verify
from app.study.errors import StudyRefused
from app.study.model import DeliveredPair, Visit
from app.study.store import StudyStore
from app.usecases.audit_page import audit_page
from app.usecases.trial_identity import set_site
from tests.study.builders import CaseBuilder
from tests.study.people import PASSWORD, add_people, as_user
from tests.study.test_command_line import Line
from tests.study.test_store import refused

BOUND = {"site": "site_reader", "monitor": "monitor"}


@pytest.fixture
def sites(store: StudyStore) -> dict[str, CaseBuilder]:
    """One subject of site A, one of site B, one of which nobody said whose it is; readings, events, pictures, plans of each."""
    cases = {}
    for name in ("A-1", "B-1", "X-1"):
        case = cases[name] = CaseBuilder(store, name)
        store.add_event(name, "IRE", "2026-01-07")
        at = case.visits["Baseline"].visit_id
        store.add_series(at, series_uid=f"1.2.{ord(name[0])}", modality="CT", kind="volume")
        run = store.save_plan_run({"plan": {"electrodes": []}}, subject_id=name, node_id=case.node.node_id, session="day0")
        store.set_setting(f"test/{name}", run.plan_run_id)
        store.set_setting(f"arm/{name}", "one")
        case.lock(reader="site-old", role="site")
        case.save("Month 3", reader="reader-a")
        store.save_draft_mask(case.node.node_id, at, b"draft", reader="site")
        if name != "X-1":
            set_site(store, name, name[0])
    add_people(store)
    as_user(store, "admin")
    for name in ("site", "monitor", "reader-a", "manager"):
        store.set_site(name, "A", reason="works there")
    return cases


def everything(store: StudyStore) -> dict[str, set[str]]:
    """What each look at the study shows, by subject."""
    of_visit = {v.visit_id: v.subject_id for v in store.visits()}
    shot = store.snapshot()
    return {
        "subjects": {s.subject_id for s in store.subjects()},
        "visits": {v.subject_id for v in store.visits()},
        "nodes": {n.subject_id for n in store.nodes()},
        "events": {e.subject_id for e in store.clinical_events()},
        "plans": {p.subject_id for p in store.list_plan_runs()},
        "series": {of_visit[s.visit_id] for s in store.series()},
        "readings": {r.subject_id for r in store.readings()},
        **{f"snapshot {name}": {x.subject_id for x in getattr(shot, name)} for name in ("subjects", "visits", "nodes", "readings", "events", "plan_runs")},
    }  # fmt: skip


@pytest.mark.parametrize("who", BOUND)
def test_that_every_look_of_a_bound_user_is_of_the_site(sites: dict[str, CaseBuilder], store: StudyStore, who: str) -> None:
    run_b = store.get_setting("test/B-1")
    as_user(store, who)
    assert set(map(frozenset, everything(store).values())) == {frozenset({"A-1"})}
    b, at = sites["B-1"], sites["B-1"].visits["Baseline"].visit_id
    assert (store.visits("B-1"), store.nodes("B-1"), store.readings("B-1"), store.clinical_events("B-1"), store.series(at), store.list_plan_runs("B-1")) == ([], [], [], [], [], [])
    with refused("visit_missing"):
        store.visit(at)
    with refused("visit_missing"):
        store.draft_mask_history(b.node.node_id, at, reader="site")
    with refused("plan_run_missing"):
        store.plan_run(run_b)
    with refused("reading_missing"):
        store.reading(store._whole_snapshot().readings[-1].reading_id)
    assert store.find_reading(visit_id=at, node_id=b.node.node_id, reader="site-old", role="site", modality="CT", method="voxel") is None
    assert (store.get_setting("site/B-1"), store.get_setting("arm/B-1")) == (None, None)
    assert store.get_setting("site/A-1")["id"] == "A"


@pytest.mark.parametrize("who", ["reader-a", "manager"])
def test_that_central_readers_and_managers_work_for_every_site(sites: dict[str, CaseBuilder], store: StudyStore, who: str) -> None:
    as_user(store, who)
    assert store.site_limit() is None
    assert len(store.subjects()) == 3
    assert len({v.subject_id for v in store.visits()}) == 3
    assert len(store.snapshot().subjects) == 3


def test_that_every_change_of_another_sites_subject_is_refused_undone_and_noted(sites: dict[str, CaseBuilder], store: StudyStore) -> None:
    run_b = store.get_setting("test/B-1")
    b, before = sites["B-1"], store._whole_snapshot()
    at, node = b.visits["Month 3"].visit_id, b.node.node_id
    as_user(store, "site")
    codes = []
    for change in (
        lambda: store.add_visit("B-1", "Month 6"),
        lambda: store.update_visit(at, reason="x", actual_date="2026-04-11"),
        lambda: store.add_node("B-1", "N2", "left", "II"),
        lambda: store.update_node(node, reason="x", level="II"),
        lambda: store.mark_dates_shifted("B-1", reason="x"),
        lambda: store.add_series(at, series_uid="1.9", modality="CT", kind="volume"),
        lambda: store.add_event("B-1", "SALVAGE", "2026-02-10"),
        lambda: store.save_draft_mask(node, at, b"mine"),
        lambda: b.save("Month 3", reader="site", role="site"),
        lambda: store.save_plan_run({"plan": {"electrodes": []}}, subject_id="B-1"),
        lambda: store.add_delivery(run_b, (DeliveredPair("E1", "E2", 90, 1500.0),), entered_by="Sue"),
        lambda: set_site(store, "B-1", "A"),  # not by taking it over
        lambda: set_site(store, "X-1", "A"),  # nor one that is nobody's yet
        lambda: set_site(store, "A-1", "B"),  # nor by giving one away
        lambda: store.add_visit("X-1", "Month 6"),
    ):
        with pytest.raises(StudyRefused) as error:
            change()
        codes.append(error.value.code)
    assert codes.count("plan_run_missing") == 1  # the delivery: that there is such a run is not told
    assert set(codes) == {"other_site", "plan_run_missing"}
    store.add_visit("A-1", "Month 6")
    as_user(store, "manager")
    after = store._whole_snapshot()
    assert {n: len(getattr(after, n)) for n in ("subjects", "nodes", "readings", "events", "plan_runs", "deliveries")} == {n: len(getattr(before, n)) for n in ("subjects", "nodes", "readings", "events", "plan_runs", "deliveries")}
    noted = [e for e in store.events() if e["action"] == "access_refused" and "other_site" in (e["new"] or "")]
    assert {e["user"] for e in noted} == {"site"}
    assert len(noted) == 14
    assert verify(store).ok


def test_that_a_subject_added_by_a_bound_user_is_of_the_site_from_the_start(sites: dict[str, CaseBuilder], store: StudyStore) -> None:
    as_user(store, "manager")
    set_site(store, "B-2", "B")  # stated before the subject is there
    as_user(store, "site")
    with refused("other_site"):
        store.add_subject("B-2")
    CaseBuilder(store, "A-2").save(reader="site", role="site")
    assert store.get_setting("site/A-2") == {"id": "A", "name": ""}
    set_site(store, "A-3", "A", "North")  # as an import with --site says it, before the subject is there
    store.add_subject("A-3")
    assert store.get_setting("site/A-3")["name"] == "North"
    assert [s.subject_id for s in store.subjects()] == ["A-1", "A-2", "A-3"]
    assert {i.subject_id for i in store.worklist()} == {"A-1", "A-2"}
    as_user(store, "manager")
    assert {i.subject_id for i in store.worklist("site")} == {"A-1", "A-2"}
    assert verify(store).ok


def test_that_the_trail_is_of_the_whole_study_and_a_change_of_site_holds_at_once(sites: dict[str, CaseBuilder], store: StudyStore) -> None:
    as_user(store, "monitor")
    for look in (store.events, lambda: audit_page(store)):
        with refused("other_site"):
            look()
    other = StudyStore.open(store.place, user="tester")
    with other:
        as_user(other, "admin")
        other.set_site("monitor", "B", reason="moved")
        assert [s.subject_id for s in store.subjects()] == ["B-1"]
        other.set_site("monitor", None, reason="all of them")
    assert len(store.subjects()) == 3
    assert [e["new"] for e in store.events() if e["action"] == "user_site_changed" and e["object"] == "users:monitor"] == ["A", "B", None]


def test_that_a_subjects_site_is_looked_up_once_in_a_transaction_and_anew_in_the_next(sites: dict[str, CaseBuilder], store: StudyStore) -> None:
    asked: list[str] = []

    def note(_connection, _cursor, statement: str, parameters, *_more) -> None:
        if "settings" in statement:
            asked.append(str(parameters))

    as_user(store, "site")
    sa.event.listen(store._engine, "before_cursor_execute", note)
    with store._write("records") as trail:
        for n in range(20):
            trail.insert(schema.visits, rows.visit_row(Visit(f"V-new-{n}", "A-1", f"Extra {n}", 100 + n, None)), action="visit_added")
    sa.event.remove(store._engine, "before_cursor_execute", note)
    assert len(asked) == 1, asked
    assert "site/A-1" in asked[0]
    with StudyStore.open(store.place, user="tester") as other:  # another program gives the subject away
        as_user(other, "manager")
        set_site(other, "A-1", "B")
    with refused("other_site"):
        store.add_visit("A-1", "One more")
    with StudyStore.open(store.place, user="tester") as other:
        as_user(other, "manager")
        set_site(other, "A-1", "A")
    assert store.add_visit("A-1", "One more").subject_id == "A-1"


@pytest.mark.sqlite_only
def test_that_the_command_line_keeps_to_the_site(tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    line = Line(tmp_path / "study", capsys, monkeypatch)
    line("study", "init")
    for subject in ("A-1", "B-1"):
        line("study", "add-visit", "--subject", subject, "--visit", "Baseline", "--date", "2026-01-05")
        line("study", "add-reading", "--subject", subject, "--visit", "Baseline", "--node", "N1", "--reader", "old", "--role", "site", "--modality", "CT", "--volume-ml", "2")
    with StudyStore.open(line.folder) as store:
        for subject in ("A-1", "B-1"):
            set_site(store, subject, subject[0])
        add_people(store)
    line("users", "site", "site", "--site", "A", "--reason", "works there", user="admin")
    line("users", "site", "monitor", "--site", "B", "--reason", "visits there", user="admin")
    assert [s["subject"] for s in line("study", "status", user="site")["subjects"]] == ["A-1"]
    assert [s["subject"] for s in line("study", "status", user="monitor")["subjects"]] == ["B-1"]
    assert [s["subject"] for s in line("study", "status", user="manager")["subjects"]] == ["A-1", "B-1"]
    assert {n["subject_id"] for n in line("study", "worklist", user="site")["worklist"]} == {"A-1"}
    assert line.refused("study", "add-event", "--subject", "B-1", "--kind", "IRE", "--date", "2026-02-01", user="site") == "other_site"
    assert line.refused("study", "set-visit", "--subject", "B-1", "--visit", "Baseline", "--date", "2026-02-01", "--reason", "x", user="site") == "visit_missing"
    assert line.refused("study", "pain", "--subject", "B-1", user="site") == "subject_missing"
    assert line.refused("audit", "list", user="monitor") == "other_site"
    line("users", "site", "monitor", "--every-site", "--reason", "all", user="admin")
    assert len(line("study", "status", user="monitor")["subjects"]) == 2
    assert line.refused("users", "site", "site", "--site", "B", "--reason", "x", user="manager", typed=PASSWORD) == "right_missing"
