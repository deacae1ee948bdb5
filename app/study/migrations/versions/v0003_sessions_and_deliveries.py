"""A plan run names its node, session and predecessor, and whether its needles are planned or as they lie; what was
delivered is a record of its own, written once.

The new columns are empty in every plan run that was there before, so no hash that the audit trail holds changes.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from app.study.columns import TEXT

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

COLUMNS = ("kind", "node_id", "session", "predecessor_id", "planned_id")
TRIGGERS = (
    """CREATE TRIGGER deliveries_no_update BEFORE UPDATE ON deliveries
       BEGIN SELECT RAISE(ABORT, 'what was delivered is written once'); END""",
    """CREATE TRIGGER deliveries_no_delete BEFORE DELETE ON deliveries
       BEGIN SELECT RAISE(ABORT, 'what was delivered is written once'); END""",
)


def upgrade() -> None:
    for name in COLUMNS:
        op.add_column("plan_runs", sa.Column(name, TEXT))
    op.create_table(
        "deliveries",
        sa.Column("delivery_id", TEXT, primary_key=True),
        sa.Column("plan_run_id", TEXT, sa.ForeignKey("plan_runs.plan_run_id"), nullable=False),
        sa.Column("subject_id", TEXT, sa.ForeignKey("subjects.subject_id"), nullable=False),
        sa.Column("created_utc", TEXT, nullable=False),
        sa.Column("entered_by", TEXT, nullable=False),
        sa.Column("date", TEXT),
        sa.Column("pairs", TEXT, nullable=False),
        sa.Column("note", TEXT),
        sa.Column("replaces", TEXT),
        sa.Column("reason", TEXT),
        sa.Column("software_version", TEXT),
    )
    if op.get_bind().dialect.name == "sqlite":
        for statement in TRIGGERS:
            op.execute(sa.DDL(statement.replace("%", "%%")))
