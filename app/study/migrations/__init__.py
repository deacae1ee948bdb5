"""The schema of the study database, as a row of revisions.

``REVISIONS`` is in order, oldest first; the last one is what this program writes. A database at a
revision that is not listed was made by a newer program and is not opened.
"""

from __future__ import annotations

from pathlib import Path

REVISIONS = ("0001", "0002", "0003", "0004")
HEAD = REVISIONS[-1]
FOLDER = Path(__file__).resolve().parent


def upgrade(connection, revision: str = HEAD) -> None:
    """Bring the database behind a SQLAlchemy connection to ``revision`` (alembic is only imported here,
    because most openings need no migration)."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, revision)
