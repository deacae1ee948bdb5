"""The one family of typed refusals that every package raises and every front end prints.

A refusal carries a stable ``code`` for programs, a plain ``message`` for the person at the screen
and, where there is one, a ``hint`` that says what can be done about it.
"""

from __future__ import annotations


class NodusError(Exception):
    """Input that Nodus refuses, for a reason a radiologist understands."""

    default_code = "refused"

    def __init__(self, message: str, *, code: str | None = None, hint: str | None = None):
        super().__init__(message)
        self.code = code or self.default_code
        self.message = message
        self.hint = hint

    def as_dict(self) -> dict:
        """The object printed on standard output under ``error`` when the command line refuses."""
        return {"code": self.code, "message": self.message, "hint": self.hint}


class GeometryRefused(NodusError):
    """An image whose position in space cannot be trusted."""

    default_code = "geometry_refused"


class MeasurementRefused(NodusError):
    """A measurement that would be a guess."""

    default_code = "measurement_refused"


class SegmentationRefused(NodusError):
    """A click from which no outline can be drawn."""

    default_code = "segmentation_refused"


class Cancelled(Exception):
    """The user stopped a job. Not an error: nothing was written, nothing is reported."""
