"""What planning refuses, and why."""

from __future__ import annotations

from volumetry.errors import NodusError


class PlanRefused(NodusError):
    """A plan that cannot be read or cannot be solved."""

    default_code = "plan_refused"


class FieldNotConverged(NodusError):
    """The field solver could not bring the residual down; there is no result to show."""

    default_code = "field_not_converged"
