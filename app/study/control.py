"""Whether a reading says that something is left after an ablation."""

from __future__ import annotations

from app.study.lesions import lesion_said as stated
from app.study.model import Reading, ReadingStatus


def control_of(reading: Reading) -> bool | None:
    """Is viable tumour left at or next to the zone? As stated; else by the reader's grade (none or a smooth rim is complete), the enhancing volume
    or the zone's disappearance; None where it was not judged."""
    said = stated(reading).get("control")
    if said in ("complete", "viable", "not_evaluable"):
        return None if said == "not_evaluable" else said == "viable"
    if reading.enhancement_grade in ("0", "1", "2", "3"):
        return reading.enhancement_grade in ("2", "3")
    if reading.viable_ml is not None:
        return reading.viable_ml > 0
    return False if reading.status is ReadingStatus.DISAPPEARED_ASSESSED else None
