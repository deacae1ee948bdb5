"""The mark of an outline carried over from another visit: kept in its origin from the copy to the locked reading."""

from __future__ import annotations

from collections.abc import Iterable

from app.usecases.register import registration_numbers
from volumetry.finding import Finding
from volumetry.outline_origin import OutlineOrigin
from volumetry.registration import RigidRegistration

CARRIED = "propagated"
PLAIN = Finding("propagated", "This outline was carried over from another visit: check it slice by slice.", "warning")


def carried_origin(registration: RigidRegistration, findings: Iterable[Finding], source: dict | None, outline: OutlineOrigin | None = None) -> OutlineOrigin:
    """The origin of an outline carried over by ``registration``; ``source`` says from where (plain values),
    ``outline`` how the one it was copied from came about."""
    details: dict = {"registration": registration_numbers(registration), "findings": [f.as_dict() for f in findings]}
    if outline is not None:
        details["outline"] = outline.as_dict()
    return OutlineOrigin(CARRIED, details=details if source is None else {**details, "propagated_from": source})


def carried_findings(origin: OutlineOrigin | None) -> tuple[Finding, ...]:
    """What is to be said of an outline that was carried over, from its origin; nothing of another one."""
    if origin is None or origin.method != CARRIED:
        return ()
    kept = tuple(Finding(f["code"], f["message"], f.get("severity", "warning")) for f in origin.details.get("findings", ()))
    return kept or (PLAIN,)


def carried_entries(origin: OutlineOrigin | None) -> dict:
    """What a reading's measurement says of it: ``propagated``, ``propagated_from``, ``registration``."""
    if origin is None or origin.method != CARRIED:
        return {}
    return {"propagated": True, **{key: origin.details[key] for key in ("propagated_from", "registration") if key in origin.details}}
