"""The first schema, with the rules that even a direct SQL statement must respect."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from app.study.columns import TEXT

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# The trail is append-only, a plan run is written once, a locked reading only ever becomes
# superseded. The hash chain finds what somebody does after removing these.
SQLITE_TRIGGERS = (
    """CREATE TRIGGER audit_events_no_update BEFORE UPDATE ON audit_events
       BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END""",
    """CREATE TRIGGER audit_events_no_delete BEFORE DELETE ON audit_events
       BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END""",
    """CREATE TRIGGER plan_runs_no_update BEFORE UPDATE ON plan_runs
       BEGIN SELECT RAISE(ABORT, 'a plan run is written once'); END""",
    """CREATE TRIGGER plan_runs_no_delete BEFORE DELETE ON plan_runs
       BEGIN SELECT RAISE(ABORT, 'a plan run is written once'); END""",
    """CREATE TRIGGER readings_no_delete BEFORE DELETE ON readings
       BEGIN SELECT RAISE(ABORT, 'a reading is never deleted'); END""",
    """CREATE TRIGGER readings_superseded_is_final BEFORE UPDATE ON readings WHEN OLD.state = 'superseded'
       BEGIN SELECT RAISE(ABORT, 'a superseded reading never changes'); END""",
    """CREATE TRIGGER readings_locked_is_final BEFORE UPDATE ON readings WHEN OLD.state = 'locked' AND (
         NEW.state <> 'superseded' OR {changed})
       BEGIN SELECT RAISE(ABORT, 'a locked reading never changes'); END""",
)


def _triggers() -> list[str]:
    columns = [
        "reading_id", "version", "subject_id", "visit_id", "node_id", "reader", "role", "modality", "method",
        "status", "volume_ml", "volume_lo_ml", "volume_hi_ml", "long_axis_mm", "short_axis_mm", "measurement",
        "mask_sha256", "picture_sha256", "series_uid", "status_reason", "change_reason", "protocol_version",
        "software_version", "warnings", "created_utc", "locked_utc", "locked_by", "lock_meaning",
    ]  # fmt: skip
    changed = " OR ".join(f"NEW.{c} IS NOT OLD.{c}" for c in columns)
    return [t.replace("{changed}", changed) for t in SQLITE_TRIGGERS]


def upgrade() -> None:
    op.create_table(
        "settings",
        sa.Column("key", TEXT, primary_key=True),
        sa.Column("value", TEXT, nullable=False),
    )
    op.create_table(
        "subjects",
        sa.Column("subject_id", TEXT, primary_key=True),
        sa.Column("dates_shifted", sa.Integer, nullable=False),
        sa.Column("created_utc", TEXT, nullable=False),
    )
    op.create_table(
        "visits",
        sa.Column("visit_id", TEXT, primary_key=True),
        sa.Column("subject_id", TEXT, sa.ForeignKey("subjects.subject_id"), nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("visit_order", sa.Integer, nullable=False),
        sa.Column("actual_date", TEXT),
        sa.UniqueConstraint("subject_id", "name", name="uq_visits_subject_name"),
    )
    op.create_table(
        "nodes",
        sa.Column("node_id", TEXT, primary_key=True),
        sa.Column("subject_id", TEXT, sa.ForeignKey("subjects.subject_id"), nullable=False),
        sa.Column("label", TEXT, nullable=False),
        sa.Column("side", TEXT, nullable=False),
        sa.Column("level", TEXT, nullable=False),
        sa.Column("high_risk", TEXT, nullable=False),
        sa.Column("seed_mm", TEXT),
        sa.UniqueConstraint("subject_id", "label", name="uq_nodes_subject_label"),
    )
    op.create_table(
        "series",
        sa.Column("series_id", TEXT, primary_key=True),
        sa.Column("visit_id", TEXT, sa.ForeignKey("visits.visit_id"), nullable=False),
        sa.Column("series_uid", TEXT, nullable=False),
        sa.Column("modality", TEXT, nullable=False),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("description", TEXT, nullable=False),
        sa.Column("folder", TEXT, nullable=False),
        sa.Column("files", TEXT, nullable=False),
        sa.Column("findings", TEXT, nullable=False),
        sa.Column("file_sha256", TEXT, nullable=False),
    )
    op.create_table(
        "readings",
        sa.Column("reading_id", TEXT, primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True),
        sa.Column("subject_id", TEXT, sa.ForeignKey("subjects.subject_id"), nullable=False),
        sa.Column("visit_id", TEXT, sa.ForeignKey("visits.visit_id"), nullable=False),
        sa.Column("node_id", TEXT, sa.ForeignKey("nodes.node_id"), nullable=False),
        sa.Column("reader", TEXT, nullable=False),
        sa.Column("role", TEXT, nullable=False),
        sa.Column("modality", TEXT, nullable=False),
        sa.Column("method", TEXT, nullable=False),
        sa.Column("status", TEXT, nullable=False),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("volume_ml", sa.Float),
        sa.Column("volume_lo_ml", sa.Float),
        sa.Column("volume_hi_ml", sa.Float),
        sa.Column("long_axis_mm", sa.Float),
        sa.Column("short_axis_mm", sa.Float),
        sa.Column("measurement", TEXT, nullable=False),
        sa.Column("mask_sha256", TEXT),
        sa.Column("picture_sha256", TEXT),
        sa.Column("series_uid", TEXT),
        sa.Column("status_reason", TEXT),
        sa.Column("change_reason", TEXT),
        sa.Column("protocol_version", TEXT),
        sa.Column("software_version", TEXT),
        sa.Column("warnings", TEXT, nullable=False),
        sa.Column("created_utc", TEXT, nullable=False),
        sa.Column("locked_utc", TEXT),
        sa.Column("locked_by", TEXT),
        sa.Column("lock_meaning", TEXT),
        sa.CheckConstraint(
            "volume_ml IS NULL OR volume_ml > 0 OR (volume_ml = 0 AND status = 'disappeared_assessed')",
            name="ck_readings_zero_means_disappeared",
        ),
        sa.CheckConstraint("state IN ('draft','measured','locked','superseded')", name="ck_readings_state"),
    )
    op.create_index("ix_readings_subject", "readings", ["subject_id"])
    op.create_table(
        "clinical_events",
        sa.Column("event_id", TEXT, primary_key=True),
        sa.Column("subject_id", TEXT, sa.ForeignKey("subjects.subject_id"), nullable=False),
        sa.Column("node_id", TEXT, sa.ForeignKey("nodes.node_id")),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("date", TEXT, nullable=False),
        sa.Column("detail", TEXT, nullable=False),
    )
    op.create_table(
        "plan_runs",
        sa.Column("plan_run_id", TEXT, primary_key=True),
        sa.Column("subject_id", TEXT, sa.ForeignKey("subjects.subject_id"), nullable=False),
        sa.Column("visit_id", TEXT, sa.ForeignKey("visits.visit_id")),
        sa.Column("created_utc", TEXT, nullable=False),
        sa.Column("content", TEXT, nullable=False),
        sa.Column("blobs", TEXT, nullable=False),
        sa.Column("software_version", TEXT),
    )
    op.create_table(
        "draft_masks",
        sa.Column("visit_id", TEXT, sa.ForeignKey("visits.visit_id"), primary_key=True),
        sa.Column("node_id", TEXT, sa.ForeignKey("nodes.node_id"), primary_key=True),
        sa.Column("reader", TEXT, primary_key=True),
        sa.Column("history", TEXT, nullable=False),
        sa.Column("updated_utc", TEXT, nullable=False),
    )
    op.create_table(
        "audit_events",
        sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("utc", TEXT, nullable=False),
        sa.Column("user", TEXT, nullable=False),
        sa.Column("software_version", TEXT, nullable=False),
        sa.Column("action", TEXT, nullable=False),
        sa.Column("object", TEXT, nullable=False),
        sa.Column("field", TEXT),
        sa.Column("old", TEXT),
        sa.Column("new", TEXT),
        sa.Column("reason", TEXT),
        sa.Column("content_sha256", TEXT),
        sa.Column("previous_sha256", TEXT, nullable=False),
        sa.Column("sha256", TEXT, nullable=False),
    )
    if op.get_bind().dialect.name == "sqlite":
        for statement in _triggers():
            op.execute(sa.DDL(statement.replace("%", "%%")))
