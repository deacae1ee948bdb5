"""Column types that mean the same in every database the study may lie in."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

# Sorted by code point everywhere: a server's own language would sort names, and with them exports, differently.
TEXT = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")
