"""A reading keeps its enhancing and its ablated part apart from the whole; a lock holds them too.

The new columns are empty in every reading that was there before (not assessed), so no hash that the
audit trail holds changes.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from app.study.columns import TEXT

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

COLUMNS = (
    ("viable_ml", sa.Float),
    ("viable_from", TEXT),
    ("ablated_ml", sa.Float),
    ("ablated_from", TEXT),
    ("enhancing_above_hu", sa.Float),
    ("enhancing_source", TEXT),
    ("viable_mask_sha256", TEXT),
)
# What a locked reading may never change: the columns of the first schema and the new ones.
LOCKED_COLUMNS = (
    "reading_id", "version", "subject_id", "visit_id", "node_id", "reader", "role", "modality", "method",
    "status", "volume_ml", "volume_lo_ml", "volume_hi_ml", "long_axis_mm", "short_axis_mm", "measurement",
    "mask_sha256", "picture_sha256", "series_uid", "status_reason", "change_reason", "protocol_version",
    "software_version", "warnings", "created_utc", "locked_utc", "locked_by", "lock_meaning",
    *(name for name, _ in COLUMNS),
)  # fmt: skip
# A part is a volume: never negative, never without the way it was come by. SQLite adds no such rule to a
# table that is there already, so triggers keep it.
_PART = """NEW.viable_ml < 0 OR NEW.ablated_ml < 0
       OR (NEW.viable_ml IS NULL) <> (NEW.viable_from IS NULL) OR (NEW.ablated_ml IS NULL) <> (NEW.ablated_from IS NULL)"""


def triggers() -> tuple[str, ...]:
    """The rules of this revision as SQLite statements."""
    changed = " OR ".join(f"NEW.{c} IS NOT OLD.{c}" for c in LOCKED_COLUMNS)
    part = f"WHEN {_PART} BEGIN SELECT RAISE(ABORT, 'a part is a volume with its source'); END"
    return (
        f"""CREATE TRIGGER readings_locked_is_final BEFORE UPDATE ON readings WHEN OLD.state = 'locked' AND (
         NEW.state <> 'superseded' OR {changed})
       BEGIN SELECT RAISE(ABORT, 'a locked reading never changes'); END""",
        f"CREATE TRIGGER readings_part_inserted BEFORE INSERT ON readings {part}",
        f"CREATE TRIGGER readings_part_updated BEFORE UPDATE ON readings {part}",
    )


def upgrade() -> None:
    for name, kind in COLUMNS:
        op.add_column("readings", sa.Column(name, kind))
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TRIGGER readings_locked_is_final")
        for statement in triggers():
            op.execute(sa.DDL(statement.replace("%", "%%")))
