"""Changes behind the program's back, of every kind, made at random inside one transaction that is taken back."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from app.study import schema
from app.study.audit import verify_connection
from app.study.canonical import NOT_CONTENT, content_sha256
from app.study.store import StudyStore
from app.study.trail import GENESIS, event_sha256

TABLES = {t.name: t for t in (*schema.AUDITED, schema.audit_events)}


@contextmanager
def unguarded(store: StudyStore) -> Iterator[sa.Connection]:
    """A connection on which no rule and no reference holds; everything is undone at the end."""
    with store._engine.connect().execution_options(nodus_write=True) as connection:
        sqlite = connection.dialect.name == "sqlite"
        if sqlite:
            connection.connection.dbapi_connection.execute("PRAGMA foreign_keys=OFF")
        step = connection.begin()
        try:
            if sqlite:
                # The rules are set aside for the change and are back when the study is checked.
                rules = connection.exec_driver_sql("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
                for name, _ in rules:
                    connection.exec_driver_sql(f"DROP TRIGGER {name}")
                connection.info["rules"] = [sql for _, sql in rules]
            else:
                connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
                connection.info["rules"] = []
            yield connection
        finally:
            step.rollback()
            if sqlite:
                connection.connection.dbapi_connection.execute("PRAGMA foreign_keys=ON")


def rows_of(connection: sa.Connection, name: str) -> list[dict[str, Any]]:
    table = TABLES[name]
    order = [table.c[c.name] for c in table.primary_key.columns]
    return [dict(row) for row in connection.execute(sa.select(table).order_by(*order)).mappings()]


def where(table: sa.Table, row: dict[str, Any]):
    return sa.and_(*(table.c[c.name] == row[c.name] for c in table.primary_key.columns))


class Tamperer:
    """Makes one random change of a kind; each returns words for the report of one that was not found."""

    def __init__(self, rng: random.Random, connection: sa.Connection, folder: Path) -> None:
        self.rng, self.connection, self.folder = rng, connection, folder
        self.undo: list[tuple[Path, bytes]] = []

    def _some(self, names: list[str] | None = None) -> tuple[sa.Table, dict[str, Any]]:
        while True:
            name = self.rng.choice(names or list(TABLES))
            found = rows_of(self.connection, name)
            if found:
                return TABLES[name], self.rng.choice(found)

    def _other(self, column: sa.Column, value: Any) -> Any:
        if value is None:
            return 7 if isinstance(column.type, sa.Integer) else 0.125 if isinstance(column.type, sa.Float) else "x"
        if isinstance(value, float):
            return value + self.rng.choice([1e-9, 0.1, -0.05]) * max(1.0, abs(value))
        if isinstance(value, int):
            return value + self.rng.choice([1, -1, 1000])
        spot = self.rng.randrange(len(value) + 1)
        return value[:spot] + self.rng.choice("abc019") + value[spot:]

    def update(self) -> str:
        table, row = self._some()
        column = self.rng.choice([c for c in table.columns if c.name not in NOT_CONTENT and c.name != "seq"])
        new = self._other(column, row[column.name])
        self.connection.execute(table.update().where(where(table, row)).values({column.name: new}))
        return f"{table.name}.{column.name}: {row[column.name]!r} -> {new!r}"

    def delete(self) -> str:
        table, row = self._some()
        self.connection.execute(table.delete().where(where(table, row)))
        return f"deleted from {table.name}"

    def insert(self) -> str:
        table, row = self._some()
        if table is schema.audit_events:
            return self._insert_event()
        key = self.rng.choice([c.name for c in table.primary_key.columns if not isinstance(c.type, sa.Integer)])
        new = {**row, key: f"{row[key]}-copy"}
        for column in ("label", "name"):
            if table.name in ("nodes", "visits") and column in new:
                new[column] = f"{new[column]}-copy"
        self.connection.execute(table.insert().values(new))
        return f"inserted into {table.name}"

    def _insert_event(self) -> str:
        events = rows_of(self.connection, "audit_events")
        at = self.rng.randrange(len(events))
        made = {**events[at], "seq": events[-1]["seq"] + 1, "reason": "made up", "previous_sha256": events[-1]["sha256"] if self.rng.random() < 0.5 else events[at]["sha256"]}
        made["object"], made["content_sha256"] = "subjects:S-404", "0" * 64
        made["sha256"] = event_sha256(made)
        self.connection.execute(schema.audit_events.insert().values(made))
        return "appended an event whose hash fits"

    def swap(self) -> str:
        if self.rng.random() < 0.5:
            a, b = self.rng.sample(rows_of(self.connection, "audit_events"), 2)
            table = schema.audit_events
            for old, new in ((a["seq"], -1), (b["seq"], a["seq"]), (-1, b["seq"])):
                self.connection.execute(table.update().where(table.c.seq == old).values(seq=new))
            return f"swapped events {a['seq']} and {b['seq']}"
        a, b = self.rng.sample(rows_of(self.connection, "readings"), 2)
        table = schema.readings
        column = self.rng.choice(["volume_ml", "reader", "measurement", "locked_utc", "node_id", "state", "created_utc"])
        if a[column] == b[column]:
            column = "reading_id" if a["reading_id"] != b["reading_id"] else "change_reason"
        if column == "reading_id":
            self.connection.execute(table.update().where(where(table, a)).values(reading_id="R-x"))
            self.connection.execute(table.update().where(where(table, b)).values(reading_id=a["reading_id"], version=a["version"]))
            self.connection.execute(table.update().where(table.c.reading_id == "R-x").values(reading_id=b["reading_id"], version=b["version"]))
        else:
            self.connection.execute(table.update().where(where(table, a)).values({column: b[column]}))
            self.connection.execute(table.update().where(where(table, b)).values({column: a[column]}))
        return f"swapped {column} of two readings"

    def truncate(self) -> str:
        """The end of the trail cut off, together with every record that only the end vouches for."""
        events = rows_of(self.connection, "audit_events")
        keep = self.rng.randrange(len(events))
        table = schema.audit_events
        self.connection.execute(table.delete().where(table.c.seq > keep))
        vouched = {e["object"] for e in events[:keep] if e["content_sha256"]}
        for name, audited in TABLES.items():
            for row in rows_of(self.connection, name) if name != "audit_events" else []:
                if schema.object_name(audited, row) not in vouched:
                    self.connection.execute(audited.delete().where(where(audited, row)))
        return f"cut off after event {keep}"

    def rebuild(self) -> str:
        """A value changed, and the whole chain made to fit by somebody who knows how."""
        changed = [r for r in rows_of(self.connection, "readings") if r["volume_ml"]]
        row = self.rng.choice(changed)
        new = {**row, "volume_ml": row["volume_ml"] * 0.5, "volume_lo_ml": None, "volume_hi_ml": None}
        self.connection.execute(schema.readings.update().where(where(schema.readings, row)).values(new))
        name, previous = schema.object_name(schema.readings, row), GENESIS
        events = rows_of(self.connection, "audit_events")
        last = max(e["seq"] for e in events if e["object"] == name and e["content_sha256"])
        for signature in rows_of(self.connection, "signatures"):
            if signature["object"] == name:
                forged = {**signature, "content_sha256": content_sha256({k: v for k, v in new.items() if k != "state"})}
                self.connection.execute(schema.signatures.update().where(where(schema.signatures, signature)).values(forged))
                at = f"signatures:{signature['signature_id']}"
                events = [{**e, "content_sha256": content_sha256(forged)} if e["object"] == at else e for e in events]
        for event in events:
            if event["seq"] == last:
                event = {**event, "content_sha256": content_sha256(new)}
            event = {**event, "previous_sha256": previous}
            event["sha256"] = previous = event_sha256(event)
            self.connection.execute(schema.audit_events.update().where(schema.audit_events.c.seq == event["seq"]).values(event))
        return f"rebuilt around {name}"

    def blob(self) -> str:
        named = [r["mask_sha256"] for r in rows_of(self.connection, "readings") if r["mask_sha256"]]
        sha256 = self.rng.choice(named)
        path = self.folder / "blobs" / sha256[:2] / sha256
        data = bytearray(path.read_bytes())
        self.undo.append((path, bytes(data)))
        data[self.rng.randrange(len(data))] ^= 1 << self.rng.randrange(8)
        path.write_bytes(bytes(data))
        return "one bit of a blob"

    def signature(self) -> str:
        table, row = self._some(["signatures"])
        if self.rng.random() < 0.2:
            self.connection.execute(table.delete().where(where(table, row)))
            return "removed a signature"
        column = self.rng.choice([c for c in table.columns if c.name != "signature_id"])
        self.connection.execute(table.update().where(where(table, row)).values({column.name: self._other(column, row[column.name])}))
        return f"signature's {column.name}"

    def role(self) -> str:
        table, row = self._some(["users"])
        roles = self.rng.choice(['["administrator"]', '["trial_manager"]', '["administrator","trial_manager"]'])
        values = {"roles": roles} if row["roles"] != roles else {"disabled": 1 - row["disabled"]}
        self.connection.execute(table.update().where(where(table, row)).values(values))
        return f"user {row['user_id']}: {values}"


KINDS = ("update", "delete", "insert", "swap", "truncate", "rebuild", "blob", "signature", "role")
# Only these need an anchor: everything else is found from inside.
NEED_ANCHOR = ("truncate", "rebuild")


def tamper_many(store: StudyStore, anchor: Path, count: int, seed: int) -> tuple[Counter, list[str]]:
    """Make ``count`` random changes, one at a time; how many of each kind there were, and those that were not found."""
    rng = random.Random(seed)
    made, missed = Counter(), []
    for number in range(count):
        kind = KINDS[number % len(KINDS)]
        with unguarded(store) as connection:
            hand = Tamperer(rng, connection, store.folder)
            try:
                what = getattr(hand, kind)()
                for sql in connection.info["rules"]:
                    connection.exec_driver_sql(sql)
                report = verify_connection(connection, store.folder, anchor if kind in NEED_ANCHOR or kind == "insert" else None, files=kind in ("blob", "update", "rebuild"))
            finally:
                for path, data in hand.undo:
                    path.write_bytes(data)
        made[kind] += 1
        if report.ok:
            missed.append(f"{number} {kind}: {what}")
    return made, missed
