"""The enhancing and the ablated part of a node: apart from the whole, assessed or empty, never guessed."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from app.study import migrations
from app.study.audit import verify
from app.study.engine import make_engine
from app.study.errors import StudyRefused
from app.study.followup import respond
from app.study.migrations.versions import v0001_first_schema, v0002_enhancing_part, v0003_sessions_and_deliveries, v0004_users_and_signatures
from app.study.model import Reading, ReadingStatus
from app.study.store import StudyStore
from tests.study.builders import CaseBuilder
from volumetry.errors import NodusError

BY_HU = {"viable_from": "hu_threshold", "ablated_from": "derived", "enhancing_above_hu": 70.0, "enhancing_source": "charter 4.2"}
GONE = {"volume_ml": None, "volume_interval_ml": None, "long_axis_mm": None, "short_axis_mm": None}


def rows(case: CaseBuilder) -> list:
    """Response rows of the case."""
    return list(respond(case.store.snapshot()).nodes)


def codes(row) -> set[str]:
    """Codes of a row's warnings."""
    return {w["code"] for w in row.warnings}


def test_that_a_part_is_not_assessed_unless_somebody_says_so(case: CaseBuilder) -> None:
    saved = case.save("Baseline")
    assert (saved.viable_ml, saved.ablated_ml, saved.viable_from, saved.ablated_from) == (None,) * 4
    case.lock("Month 3", volume_ml=1.0)
    (row,) = rows(case)
    assert (row.viable_ml, row.ablated_ml, row.vrr_viable_pct, row.vrr_ablated_pct) == (None,) * 4
    assert codes(row) & {"part_not_assessed", "unlike_part"} == set()


def test_that_parts_come_back_as_stored_and_the_trail_holds_every_change(case: CaseBuilder) -> None:
    saved = case.save("Day 30", viable_ml=0.5, ablated_ml=1.5, **BY_HU)
    assert case.store.reading(saved.reading_id) == saved
    from dataclasses import replace

    case.store.save_reading(replace(saved, viable_ml=0.25, ablated_ml=1.75, enhancing_above_hu=80.0), reason="vessel left out")
    changed = {e["field"]: (e["old"], e["new"], e["reason"]) for e in case.store.events() if e["object"] == f"readings:{saved.reading_id}@1" and e["field"]}
    assert changed["viable_ml"] == ("0.5", "0.25", "vessel left out")
    assert changed["enhancing_above_hu"] == ("70.0", "80.0", "vessel left out")
    assert verify(case.store).ok


def test_that_a_changed_part_needs_a_reason_like_any_other_change(case: CaseBuilder) -> None:
    from dataclasses import replace

    saved = case.save("Day 30", viable_ml=0.5, ablated_ml=1.5, **BY_HU)
    with pytest.raises(StudyRefused) as caught:
        case.store.save_reading(replace(saved, viable_ml=0.25, ablated_ml=1.75))
    assert caught.value.code == "reason_missing"


def test_that_a_locked_part_never_changes_not_even_by_sql(case: CaseBuilder) -> None:
    locked = case.lock("Day 30", viable_ml=0.5, ablated_ml=1.5, **BY_HU)
    for column, value in (("viable_ml", 0.1), ("ablated_ml", None), ("enhancing_above_hu", 50.0), ("enhancing_source", "x"), ("viable_from", "stated"), ("viable_mask_sha256", "0" * 64)):
        connection = sqlite3.connect(case.store.folder / "study.sqlite")
        with pytest.raises(sqlite3.IntegrityError, match=r"locked reading never changes|a part is a volume"):
            connection.execute(f"UPDATE readings SET {column} = ? WHERE reading_id = ?", (value, locked.reading_id))
        connection.close()
    corrected = case.store.correct_reading(locked.reading_id, "threshold misread", viable_ml=0.4, ablated_ml=1.6)
    assert (corrected.version, corrected.viable_ml, corrected.enhancing_above_hu) == (2, 0.4, 70.0)
    assert case.store.reading(locked.reading_id, 1).viable_ml == 0.5


def test_that_the_database_itself_takes_no_part_without_its_source(case: CaseBuilder) -> None:
    saved = case.save("Day 30")
    connection = sqlite3.connect(case.store.folder / "study.sqlite")
    for statement in ("viable_ml = 0", "viable_ml = -1, viable_from = 'stated'", "ablated_from = 'derived'"):
        with pytest.raises(sqlite3.IntegrityError, match="a part is a volume with its source"):
            connection.execute(f"UPDATE readings SET {statement} WHERE reading_id = ?", (saved.reading_id,))
    connection.close()


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("part_source_refused", {"viable_ml": 0.5}),
        ("part_source_refused", {"viable_ml": 0.5, "viable_from": "guessed"}),
        ("part_source_refused", {"viable_from": "outlined"}),
        ("part_source_refused", {"viable_ml": 0.5, "viable_from": "hu_threshold"}),
        ("part_source_refused", {"viable_ml": 0.5, "viable_from": "outlined", "enhancing_above_hu": 70.0}),
        ("value_refused", {"viable_ml": -0.5, "viable_from": "outlined"}),
        ("value_refused", {"ablated_ml": float("nan"), "ablated_from": "outlined"}),
        ("part_exceeds_total", {"viable_ml": 2.5, "viable_from": "outlined"}),
        ("part_without_total", {"viable_ml": 0.5, "viable_from": "stated", "volume_ml": None, "volume_interval_ml": None}),
        ("part_without_total", {"viable_ml": 0.0, "viable_from": "stated", "status": ReadingStatus.NOT_IMAGED, **GONE}),
        ("status_contradicts_volume", {"viable_ml": 0.5, "viable_from": "stated", "status": ReadingStatus.DISAPPEARED_ASSESSED, **GONE}),
        ("blob_missing", {"viable_ml": 0.5, "viable_from": "outlined", "viable_mask_sha256": "0" * 64}),
    ],
)
def test_that_a_part_that_cannot_be_is_refused(case: CaseBuilder, code: str, changes: dict) -> None:
    with pytest.raises(NodusError) as caught:
        case.save("Day 30", **changes)
    assert caught.value.code == code


def test_that_a_whole_without_enhancement_is_a_zero_that_somebody_assessed(case: CaseBuilder) -> None:
    case.lock("Baseline", volume_ml=2.0, viable_ml=2.0, ablated_ml=0.0, **BY_HU)
    case.lock("Day 30", volume_ml=2.4, viable_ml=0.0, ablated_ml=2.4, **BY_HU)
    (row,) = rows(case)
    assert row.vrr_pct == pytest.approx(-20.0)  # the zone swells, the total says nothing of the part that lives
    assert row.vrr_viable_pct == 100.0
    assert row.vrr_ablated_pct is None  # there was none at baseline
    assert row.parts_comparable
    assert row.interval_pct is not None


def test_that_a_part_is_never_set_against_the_whole(case: CaseBuilder) -> None:
    case.lock("Baseline", volume_ml=2.0)
    case.lock("Day 30", volume_ml=1.0, viable_ml=0.2, ablated_ml=0.8, **BY_HU)
    (row,) = rows(case)
    assert (row.vrr_pct, row.vrr_viable_pct, row.vrr_ablated_pct) == (50.0, None, None)
    assert (row.viable_ml, row.ablated_ml) == (0.2, 0.8)
    assert "part_not_assessed" in codes(row)


def test_that_parts_found_in_another_way_are_shown_but_do_not_compare(case: CaseBuilder) -> None:
    case.lock("Baseline", volume_ml=2.0, viable_ml=1.6, ablated_ml=0.4, **BY_HU)
    case.lock("Day 30", volume_ml=1.0, viable_ml=0.8, ablated_ml=0.2, **{**BY_HU, "enhancing_above_hu": 90.0})
    case.lock("Month 3", volume_ml=1.0, viable_ml=0.4, viable_from="outlined", ablated_ml=0.6, ablated_from="derived")
    found = rows(case)
    assert [(r.vrr_viable_pct, r.vrr_ablated_pct, r.parts_comparable, r.comparable) for r in found] == [(50.0, 50.0, False, True), (pytest.approx(75.0), pytest.approx(-50.0), False, True)]
    assert all("unlike_part" in codes(r) for r in found)


def test_that_a_vanished_node_has_lost_its_enhancing_part_too(case: CaseBuilder) -> None:
    case.lock("Baseline", volume_ml=2.0, viable_ml=1.6, ablated_ml=0.4, **BY_HU)
    case.lock("Day 30", status=ReadingStatus.DISAPPEARED_ASSESSED, **GONE)
    (row,) = rows(case)
    assert (row.vrr_pct, row.vrr_viable_pct, row.viable_ml, row.parts_comparable) == (100.0, 100.0, 0.0, True)


def as_first_schema(database: Path) -> None:
    """Put a study back to how the first schema stored it: its columns, its rules, its number."""
    connection = sqlite3.connect(database)
    for table in ("adjudications", "signatures", "users", "deliveries"):  # with their rules
        connection.execute(f"DROP TABLE {table}")
    connection.execute("DROP TRIGGER readings_locked_is_final")
    for name, _kind in v0004_users_and_signatures.COLUMNS:
        connection.execute(f"ALTER TABLE readings DROP COLUMN {name}")
    connection.execute("ALTER TABLE nodes DROP COLUMN found_by")
    for name in v0003_sessions_and_deliveries.COLUMNS:
        connection.execute(f"ALTER TABLE plan_runs DROP COLUMN {name}")
    for name in ("readings_part_inserted", "readings_part_updated"):
        connection.execute(f"DROP TRIGGER {name}")
    for name, _kind in v0002_enhancing_part.COLUMNS:
        connection.execute(f"ALTER TABLE readings DROP COLUMN {name}")
    connection.execute(next(t for t in v0001_first_schema._triggers() if "readings_locked_is_final" in t))
    connection.execute("UPDATE alembic_version SET version_num = '0001'")
    connection.commit()
    connection.close()


def test_that_an_older_study_is_carried_over_with_its_trail_whole(tmp_path: Path) -> None:
    folder = tmp_path / "study"
    with StudyStore.create(folder, user="tester") as store:
        case = CaseBuilder(store)
        locked = case.lock("Baseline")
        case.save("Day 30", volume_ml=1.0)
        anchor = store.write_anchor(tmp_path / "anchor.json")
    as_first_schema(folder / "study.sqlite")
    with StudyStore.open(folder) as store:
        kept = store.reading(locked.reading_id)
        assert isinstance(kept, Reading)
        assert (kept.volume_ml, kept.viable_ml, kept.state) == (2.0, None, "locked")
        assert verify(store, anchor).ok
        with pytest.raises(StudyRefused):
            store.save_reading(kept)
    assert len(list((folder / "backups").glob("before-migration-from-0001-*.sqlite"))) == 1
    engine = make_engine(folder / "study.sqlite")
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar() == migrations.HEAD
    engine.dispose()


def test_that_an_older_study_can_be_audited_as_it_lies(tmp_path: Path) -> None:
    from app.study.audit import verify_folder

    folder = tmp_path / "study"
    with StudyStore.create(folder, user="tester") as store:
        CaseBuilder(store).lock("Baseline")
    as_first_schema(folder / "study.sqlite")
    assert verify_folder(folder).ok
