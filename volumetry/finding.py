"""Expected trouble as a value: what was noticed about an input or a result, and how much it matters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["info", "warning", "serious"]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something the reader should know; it travels with the value into screen, table and export.

    ``code`` is stable and machine-readable, ``message`` is one plain sentence. ``severity``:
    ``info`` is worth knowing, ``warning`` may change how a number is read, ``serious`` also stands
    in the picture's corner and in every export.
    """

    code: str
    message: str
    severity: Severity = "warning"

    def as_warning(self) -> dict:
        """The ``{"code", "message"}`` form used by every ``warnings`` list."""
        return {"code": self.code, "message": self.message}

    def as_dict(self) -> dict:
        """The ``{"code", "severity", "message"}`` form used by every ``findings`` list."""
        return {"code": self.code, "severity": self.severity, "message": self.message}
