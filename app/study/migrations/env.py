"""Alembic's way in: runs the revisions on the connection that the store hands over."""

from __future__ import annotations

from alembic import context

from app.study.schema import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
