"""Users with roles, electronic signatures and adjudications; a reading holds the grade of what still enhances, the
signature it was locked with and how often it was saved; a node says which reader found it.

The new columns are empty in every row that was there before, so no hash that the audit trail holds changes. A study
on PostgreSQL begins with this revision, so all its rules are made here.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from app.study.columns import TEXT
from app.study.migrations.versions import v0002_enhancing_part as parts

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

COLUMNS = (("enhancement_grade", TEXT), ("signature_id", TEXT), ("edition", sa.Integer))
LOCKED_COLUMNS = (*parts.LOCKED_COLUMNS, *(name for name, _ in COLUMNS))
_PART = """NEW.viable_ml < 0 OR NEW.ablated_ml < 0 OR (NEW.viable_ml IS NULL) <> (NEW.viable_from IS NULL)
       OR (NEW.ablated_ml IS NULL) <> (NEW.ablated_from IS NULL)"""


def sqlite_triggers() -> tuple[str, ...]:
    """The rules of this revision as SQLite statements."""
    changed = " OR ".join(f"NEW.{c} IS NOT OLD.{c}" for c in LOCKED_COLUMNS)

    def rule(name: str, when: str, table: str, text: str) -> str:
        return f"CREATE TRIGGER {name} BEFORE {when} ON {table} BEGIN SELECT RAISE(ABORT, '{text}'); END"

    return (
        f"""CREATE TRIGGER readings_locked_is_final BEFORE UPDATE ON readings WHEN OLD.state = 'locked' AND (
         NEW.state <> 'superseded' OR {changed})
       BEGIN SELECT RAISE(ABORT, 'a locked reading never changes'); END""",
        rule("users_no_delete", "DELETE", "users", "a user is disabled, never deleted"),
        rule("signatures_no_update", "UPDATE", "signatures", "a signature never changes"),
        rule("signatures_no_delete", "DELETE", "signatures", "a signature never changes"),
        rule("adjudications_no_update", "UPDATE", "adjudications", "an adjudication is written once"),
        rule("adjudications_no_delete", "DELETE", "adjudications", "an adjudication is written once"),
    )


def postgresql_triggers() -> tuple[str, ...]:
    """All rules as PostgreSQL statements: one function that refuses, and the events that call it."""
    changed = " OR ".join(f"NEW.{c} IS DISTINCT FROM OLD.{c}" for c in LOCKED_COLUMNS)
    statements = [
        """CREATE FUNCTION nodus_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
           BEGIN RAISE EXCEPTION '%', TG_ARGV[0] USING ERRCODE = 'integrity_constraint_violation'; END $$"""
    ]

    def rule(name: str, when: str, table: str, text: str, condition: str = "") -> None:
        each = "STATEMENT" if when == "TRUNCATE" else "ROW"
        test = f"WHEN ({condition}) " if condition else ""
        statements.append(f"CREATE TRIGGER {name} BEFORE {when} ON {table} FOR EACH {each} {test}EXECUTE FUNCTION nodus_refuse('{text}')")

    for table, text in (
        ("audit_events", "the audit trail is append-only"),
        ("plan_runs", "a plan run is written once"),
        ("deliveries", "what was delivered is written once"),
        ("signatures", "a signature never changes"),
        ("adjudications", "an adjudication is written once"),
    ):
        for when in ("UPDATE", "DELETE", "TRUNCATE"):
            rule(f"{table}_no_{when.lower()}", when, table, text)
    for table, text in (("readings", "a reading is never deleted"), ("users", "a user is disabled, never deleted")):
        for when in ("DELETE", "TRUNCATE"):
            rule(f"{table}_no_{when.lower()}", when, table, text)
    rule("readings_superseded_is_final", "UPDATE", "readings", "a superseded reading never changes", "OLD.state = 'superseded'")
    rule("readings_locked_is_final", "UPDATE", "readings", "a locked reading never changes", f"OLD.state = 'locked' AND (NEW.state <> 'superseded' OR {changed})")
    rule("readings_part_inserted", "INSERT", "readings", "a part is a volume with its source", _PART)
    rule("readings_part_updated", "UPDATE", "readings", "a part is a volume with its source", _PART)
    return tuple(statements)


def upgrade() -> None:
    for name, kind in COLUMNS:
        op.add_column("readings", sa.Column(name, kind))
    op.add_column("nodes", sa.Column("found_by", TEXT))
    op.create_table(
        "users",
        sa.Column("user_id", TEXT, primary_key=True),
        sa.Column("full_name", TEXT, nullable=False),
        sa.Column("roles", TEXT, nullable=False),
        sa.Column("site", TEXT),
        sa.Column("password_hash", TEXT, nullable=False),
        sa.Column("disabled", sa.Integer, nullable=False),
        sa.Column("created_utc", TEXT, nullable=False),
    )
    op.create_table(
        "signatures",
        sa.Column("signature_id", TEXT, primary_key=True),
        sa.Column("object", TEXT, nullable=False),
        sa.Column("user_id", TEXT, sa.ForeignKey("users.user_id"), nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("meaning", TEXT, nullable=False),
        sa.Column("signed_utc", TEXT, nullable=False),
        sa.Column("content_sha256", TEXT, nullable=False),
        sa.Column("software_version", TEXT),
    )
    op.create_table(
        "adjudications",
        sa.Column("adjudication_id", TEXT, primary_key=True),
        sa.Column("subject_id", TEXT, sa.ForeignKey("subjects.subject_id"), nullable=False),
        sa.Column("node_id", TEXT, sa.ForeignKey("nodes.node_id"), nullable=False),
        sa.Column("visit_id", TEXT, sa.ForeignKey("visits.visit_id"), nullable=False),
        sa.Column("modality", TEXT, nullable=False),
        sa.Column("method", TEXT, nullable=False),
        sa.Column("selected_reader", TEXT, nullable=False),
        sa.Column("candidates", TEXT, nullable=False),
        sa.Column("triggers", TEXT, nullable=False),
        sa.Column("adjudicator", TEXT, nullable=False),
        sa.Column("reason", TEXT, nullable=False),
        sa.Column("created_utc", TEXT, nullable=False),
        sa.Column("signature_id", TEXT),
        sa.Column("software_version", TEXT),
    )
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TRIGGER readings_locked_is_final")
        for statement in sqlite_triggers():
            op.execute(sa.DDL(statement.replace("%", "%%")))
    else:
        for statement in postgresql_triggers():
            op.execute(sa.DDL(statement.replace("%", "%%")))
