"""One way to write a value as bytes, so that its hash is the same on every machine."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from app.study.errors import StudyRefused


def canonical_json(value: Any) -> str:
    """JSON with sorted keys, no spaces, UTF-8 characters as they are; NaN and infinity refused."""
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise StudyRefused(f"This value cannot be stored: {error}.", code="not_storable") from error


def sha256_text(text: str) -> str:
    """SHA-256 of the UTF-8 bytes, in hexadecimal."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


# Counters of the program's own that say nothing about a patient.
NOT_CONTENT = ("edition",)


def content_sha256(row: dict[str, Any]) -> str:
    """Hash of a stored row. Empty columns are left out, so that a later schema may add columns
    without touching the hashes that the audit trail already holds."""
    return sha256_text(canonical_json({k: v for k, v in row.items() if v is not None and k not in NOT_CONTENT}))
