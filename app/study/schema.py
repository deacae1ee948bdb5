"""The tables of a study. Columns hold plain numbers and text; lists and dicts are canonical JSON text.

New columns must be nullable: see ``canonical.content_sha256``.
"""

from __future__ import annotations

import sqlalchemy as sa

from app.study.columns import TEXT

metadata = sa.MetaData()

_text = TEXT


def _table(name: str, *items) -> sa.Table:
    return sa.Table(name, metadata, *items)


settings = _table(
    "settings",
    sa.Column("key", _text, primary_key=True),
    sa.Column("value", _text, nullable=False),
)
subjects = _table(
    "subjects",
    sa.Column("subject_id", _text, primary_key=True),
    sa.Column("dates_shifted", sa.Integer, nullable=False),
    sa.Column("created_utc", _text, nullable=False),
)
visits = _table(
    "visits",
    sa.Column("visit_id", _text, primary_key=True),
    sa.Column("subject_id", _text, sa.ForeignKey("subjects.subject_id"), nullable=False),
    sa.Column("name", _text, nullable=False),
    sa.Column("visit_order", sa.Integer, nullable=False),
    sa.Column("actual_date", _text),
    sa.UniqueConstraint("subject_id", "name", name="uq_visits_subject_name"),
)
nodes = _table(
    "nodes",
    sa.Column("node_id", _text, primary_key=True),
    sa.Column("subject_id", _text, sa.ForeignKey("subjects.subject_id"), nullable=False),
    sa.Column("label", _text, nullable=False),
    sa.Column("side", _text, nullable=False),
    sa.Column("level", _text, nullable=False),
    sa.Column("high_risk", _text, nullable=False),
    sa.Column("seed_mm", _text),
    sa.Column("found_by", _text),
    sa.UniqueConstraint("subject_id", "label", name="uq_nodes_subject_label"),
)
series = _table(
    "series",
    sa.Column("series_id", _text, primary_key=True),
    sa.Column("visit_id", _text, sa.ForeignKey("visits.visit_id"), nullable=False),
    sa.Column("series_uid", _text, nullable=False),
    sa.Column("modality", _text, nullable=False),
    sa.Column("kind", _text, nullable=False),
    sa.Column("description", _text, nullable=False),
    sa.Column("folder", _text, nullable=False),
    sa.Column("files", _text, nullable=False),
    sa.Column("findings", _text, nullable=False),
    sa.Column("file_sha256", _text, nullable=False),  # {file name: hash}
)
readings = _table(
    "readings",
    sa.Column("reading_id", _text, primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True),
    sa.Column("subject_id", _text, sa.ForeignKey("subjects.subject_id"), nullable=False),
    sa.Column("visit_id", _text, sa.ForeignKey("visits.visit_id"), nullable=False),
    sa.Column("node_id", _text, sa.ForeignKey("nodes.node_id"), nullable=False),
    sa.Column("reader", _text, nullable=False),
    sa.Column("role", _text, nullable=False),
    sa.Column("modality", _text, nullable=False),
    sa.Column("method", _text, nullable=False),
    sa.Column("status", _text, nullable=False),
    sa.Column("state", _text, nullable=False),
    sa.Column("volume_ml", sa.Float),
    sa.Column("volume_lo_ml", sa.Float),
    sa.Column("volume_hi_ml", sa.Float),
    sa.Column("long_axis_mm", sa.Float),
    sa.Column("short_axis_mm", sa.Float),
    sa.Column("measurement", _text, nullable=False),
    sa.Column("mask_sha256", _text),
    sa.Column("picture_sha256", _text),
    sa.Column("series_uid", _text),
    sa.Column("status_reason", _text),
    sa.Column("change_reason", _text),
    sa.Column("protocol_version", _text),
    sa.Column("software_version", _text),
    sa.Column("warnings", _text, nullable=False),
    sa.Column("created_utc", _text, nullable=False),
    sa.Column("locked_utc", _text),
    sa.Column("locked_by", _text),
    sa.Column("lock_meaning", _text),
    sa.Column("viable_ml", sa.Float),
    sa.Column("viable_from", _text),
    sa.Column("ablated_ml", sa.Float),
    sa.Column("ablated_from", _text),
    sa.Column("enhancing_above_hu", sa.Float),
    sa.Column("enhancing_source", _text),
    sa.Column("viable_mask_sha256", _text),
    sa.Column("enhancement_grade", _text),
    sa.Column("signature_id", _text),
    sa.Column("edition", sa.Integer),
    sa.CheckConstraint(
        "volume_ml IS NULL OR volume_ml > 0 OR (volume_ml = 0 AND status = 'disappeared_assessed')",
        name="ck_readings_zero_means_disappeared",
    ),
    sa.CheckConstraint("state IN ('draft','measured','locked','superseded')", name="ck_readings_state"),
)
sa.Index("ix_readings_subject", readings.c.subject_id)
clinical_events = _table(
    "clinical_events",
    sa.Column("event_id", _text, primary_key=True),
    sa.Column("subject_id", _text, sa.ForeignKey("subjects.subject_id"), nullable=False),
    sa.Column("node_id", _text, sa.ForeignKey("nodes.node_id")),
    sa.Column("kind", _text, nullable=False),
    sa.Column("date", _text, nullable=False),
    sa.Column("detail", _text, nullable=False),
)
plan_runs = _table(
    "plan_runs",
    sa.Column("plan_run_id", _text, primary_key=True),
    sa.Column("subject_id", _text, sa.ForeignKey("subjects.subject_id"), nullable=False),
    sa.Column("visit_id", _text, sa.ForeignKey("visits.visit_id")),
    sa.Column("created_utc", _text, nullable=False),
    sa.Column("content", _text, nullable=False),
    sa.Column("blobs", _text, nullable=False),
    sa.Column("software_version", _text),
    sa.Column("kind", _text),
    sa.Column("node_id", _text),
    sa.Column("session", _text),
    sa.Column("predecessor_id", _text),
    sa.Column("planned_id", _text),
)
deliveries = _table(
    "deliveries",
    sa.Column("delivery_id", _text, primary_key=True),
    sa.Column("plan_run_id", _text, sa.ForeignKey("plan_runs.plan_run_id"), nullable=False),
    sa.Column("subject_id", _text, sa.ForeignKey("subjects.subject_id"), nullable=False),
    sa.Column("created_utc", _text, nullable=False),
    sa.Column("entered_by", _text, nullable=False),
    sa.Column("date", _text),
    sa.Column("pairs", _text, nullable=False),
    sa.Column("note", _text),
    sa.Column("replaces", _text),
    sa.Column("reason", _text),
    sa.Column("software_version", _text),
)
draft_masks = _table(
    "draft_masks",
    sa.Column("visit_id", _text, sa.ForeignKey("visits.visit_id"), primary_key=True),
    sa.Column("node_id", _text, sa.ForeignKey("nodes.node_id"), primary_key=True),
    sa.Column("reader", _text, primary_key=True),
    sa.Column("history", _text, nullable=False),  # hashes, oldest first; the last is the draft
    sa.Column("updated_utc", _text, nullable=False),
)
users = _table(
    "users",
    sa.Column("user_id", _text, primary_key=True),
    sa.Column("full_name", _text, nullable=False),
    sa.Column("roles", _text, nullable=False),
    sa.Column("site", _text),
    sa.Column("password_hash", _text, nullable=False),
    sa.Column("disabled", sa.Integer, nullable=False),
    sa.Column("created_utc", _text, nullable=False),
)
signatures = _table(
    "signatures",
    sa.Column("signature_id", _text, primary_key=True),
    sa.Column("object", _text, nullable=False),  # the name of the signed record in the trail
    sa.Column("user_id", _text, sa.ForeignKey("users.user_id"), nullable=False),
    sa.Column("name", _text, nullable=False),
    sa.Column("meaning", _text, nullable=False),
    sa.Column("signed_utc", _text, nullable=False),
    sa.Column("content_sha256", _text, nullable=False),
    sa.Column("software_version", _text),
)
adjudications = _table(
    "adjudications",
    sa.Column("adjudication_id", _text, primary_key=True),
    sa.Column("subject_id", _text, sa.ForeignKey("subjects.subject_id"), nullable=False),
    sa.Column("node_id", _text, sa.ForeignKey("nodes.node_id"), nullable=False),
    sa.Column("visit_id", _text, sa.ForeignKey("visits.visit_id"), nullable=False),
    sa.Column("modality", _text, nullable=False),
    sa.Column("method", _text, nullable=False),
    sa.Column("selected_reader", _text, nullable=False),
    sa.Column("candidates", _text, nullable=False),  # {reader: {"baseline": [id, version], "visit": [id, version]}}
    sa.Column("triggers", _text, nullable=False),
    sa.Column("adjudicator", _text, nullable=False),
    sa.Column("reason", _text, nullable=False),
    sa.Column("created_utc", _text, nullable=False),
    sa.Column("signature_id", _text),
    sa.Column("software_version", _text),
)
audit_events = _table(
    "audit_events",
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("utc", _text, nullable=False),
    sa.Column("user", _text, nullable=False),
    sa.Column("software_version", _text, nullable=False),
    sa.Column("action", _text, nullable=False),
    sa.Column("object", _text, nullable=False),
    sa.Column("field", _text),
    sa.Column("old", _text),
    sa.Column("new", _text),
    sa.Column("reason", _text),
    sa.Column("content_sha256", _text),  # of the object's row after the event
    sa.Column("previous_sha256", _text, nullable=False),
    sa.Column("sha256", _text, nullable=False),
)

# Everything whose rows the audit trail vouches for.
AUDITED = (settings, subjects, visits, nodes, series, readings, clinical_events, plan_runs, draft_masks, deliveries, users, signatures, adjudications)


def object_name(table: sa.Table, row: dict) -> str:
    """The name of a row in the trail: ``readings:R-0a1b@2``."""
    return f"{table.name}:" + "@".join(str(row[c.name]) for c in table.primary_key.columns)


# What never stands in the trail in words: an event says that it was set, and its hash vouches for it.
SECRET_COLUMNS = {"users": ("password_hash",)}
# The rules that a direct SQL statement meets; the audit reports it if one is gone.
# A study of an older schema, audited before it was ever opened by this program, has not all of them, nor all tables.
SINCE = {
    "readings_part_inserted": "0002",
    "readings_part_updated": "0002",
    **dict.fromkeys(("deliveries", "deliveries_no_update", "deliveries_no_delete"), "0003"),
    **dict.fromkeys(("users", "users_no_delete", "signatures", "signatures_no_update", "signatures_no_delete"), "0004"),
    **dict.fromkeys(("adjudications", "adjudications_no_update", "adjudications_no_delete"), "0004"),
}
TRIGGERS = (
    "audit_events_no_update",
    "audit_events_no_delete",
    "plan_runs_no_update",
    "plan_runs_no_delete",
    "readings_no_delete",
    "readings_superseded_is_final",
    "readings_locked_is_final",
    "readings_part_inserted",
    "readings_part_updated",
    "deliveries_no_update",
    "deliveries_no_delete",
    "users_no_delete",
    "signatures_no_update",
    "signatures_no_delete",
    "adjudications_no_update",
    "adjudications_no_delete",
)
# PostgreSQL empties a table without deleting rows one by one; these rules are about that.
NEVER_EMPTIED = ("audit_events", "plan_runs", "readings", "deliveries", "users", "signatures", "adjudications")


def guards(dialect: str) -> tuple[str, ...]:
    """Names of the rules that a database of this kind must have."""
    return TRIGGERS if dialect == "sqlite" else (*TRIGGERS, *(f"{table}_no_truncate" for table in NEVER_EMPTIED))
