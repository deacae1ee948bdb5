"""Where the geometry of a plan comes from: pictures, or distances measured by ultrasound alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from planning.errors import PlanRefused

KINDS = ("image", "schematic")
SCHEMATIC_MARK = "Schematic, not image-registered"
SCHEMATIC_WARNING = (
    f"{SCHEMATIC_MARK}: node, structures and skin are simple shapes placed from distances measured by ultrasound, in a frame at the skin mark."
)


@dataclass(frozen=True, slots=True)
class PlanSource:
    """``kind`` is ``image`` or ``schematic``; ``details_json`` holds what else the plan file says of it (canonical JSON
    of an object). Refuses ``bad_source``: a misspelt kind would be a schematic that nobody is told of."""

    kind: str
    details_json: str = "{}"

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise PlanRefused(f"The plan's source {self.kind!r} is unknown; known are {', '.join(KINDS)}.", code="bad_source")

    @property
    def is_schematic(self) -> bool:
        """True for a plan from ultrasound alone."""
        return self.kind == "schematic"

    def to_dict(self) -> dict:
        """As in a plan file."""
        return {"kind": self.kind, **json.loads(self.details_json)}

    def warnings(self) -> list[dict]:
        """What an answer about such a plan says of it."""
        return [{"code": "schematic", "message": SCHEMATIC_WARNING}] if self.is_schematic else []


def source_from_dict(d) -> PlanSource | None:
    """Read a plan's ``source``; None where it has none. Raises ``PlanRefused`` (``bad_source``)."""
    if d is None:
        return None
    if not isinstance(d, Mapping) or not isinstance(d.get("kind"), str):
        raise PlanRefused("The plan's source must be an object with a kind.", code="bad_source")
    try:
        details = json.dumps({str(k): v for k, v in d.items() if k != "kind"}, sort_keys=True, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError):
        raise PlanRefused("The plan's source holds what JSON cannot.", code="bad_source") from None
    return PlanSource(d["kind"], details)
