"""Opaque identities."""

from __future__ import annotations

import secrets


def new_id(prefix: str) -> str:
    """An identity made once and never reused: ``R-5f0c1a9b2d3e``."""
    return f"{prefix}-{secrets.token_hex(6)}"
