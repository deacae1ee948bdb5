"""What a subject, a visit, a node or a reading must be before it enters the study."""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Callable

from app.study.errors import StudyRefused
from app.study.model import ENHANCEMENT_GRADES, LEVELS, METHODS, MODALITIES, PART_SOURCES, ROLES, UNKNOWN_LEVEL, Reading, ReadingState, ReadingStatus
from volumetry.response.viable import ViableVolumes

_PSEUDONYM = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")
_WITHOUT_VOLUME = (ReadingStatus.NOT_EVALUABLE, ReadingStatus.NOT_IMAGED)


def check_pseudonym(subject_id: str) -> str:
    """The pseudonym, or ``pseudonym_refused``. DICOM person names ("NAME^FIRST"), blanks and free
    text are not pseudonyms. The refused text is not repeated in the message: it may be a name."""
    if not _PSEUDONYM.fullmatch(subject_id or ""):
        raise StudyRefused(
            "A subject is known by a pseudonym: letters, digits, dot, dash and underscore, at most 32.",
            code="pseudonym_refused",
            hint="For example S-014. Names of people are never stored.",
        )
    return subject_id


def check_date(text: str | None, what: str) -> str | None:
    """An ISO date (YYYY-MM-DD) or None, else ``date_refused``."""
    if text is None:
        return None
    try:
        return dt.date.fromisoformat(text).isoformat()
    except (TypeError, ValueError):
        raise StudyRefused(f"The {what} must be a date like 2026-03-31.", code="date_refused") from None


def check_text(text: str | None, what: str, code: str) -> str:
    """Text that is there, stripped, else refused with ``code``."""
    stripped = (text or "").strip()
    if not stripped:
        raise StudyRefused(f"Please give {what}.", code=code)
    return stripped


def check_level(level: str) -> str:
    """A neck level as Nodus knows it, or ``unknown`` until it is stated; else ``level_refused``."""
    if level not in (*LEVELS, UNKNOWN_LEVEL):
        raise StudyRefused(f"{level!r} is no neck level; use one of {', '.join(LEVELS)}.", code="level_refused")
    return level


def check_reading(reading: Reading, has_blob: Callable[[str], bool]) -> None:
    """Refuse a reading whose values contradict each other; ``has_blob`` tells whether a blob is stored."""
    for value, allowed, what in (
        (reading.role, ROLES, "role"),
        (reading.modality, MODALITIES, "modality"),
        (reading.method, METHODS, "method"),
    ):
        if value not in allowed:
            raise StudyRefused(f"{value!r} is no {what}; use one of {', '.join(allowed)}.", code=f"{what}_refused")
    check_text(reading.reader, "the reader's name", "reader_missing")
    _check_numbers(reading)
    _check_status(reading)
    _check_parts(reading)
    if reading.enhancement_grade is not None and reading.enhancement_grade not in ENHANCEMENT_GRADES:
        raise StudyRefused(f"{reading.enhancement_grade!r} is no grade; use one of {', '.join(ENHANCEMENT_GRADES)}.", code="grade_refused")
    for sha256 in (reading.mask_sha256, reading.picture_sha256, reading.viable_mask_sha256):
        if sha256 is not None and not has_blob(sha256):
            raise StudyRefused(
                "The reading names a stored file that is not in the study.",
                code="blob_missing",
                hint="Store the mask or picture before the reading.",
            )


def _check_numbers(reading: Reading) -> None:
    named = {
        "volume": reading.volume_ml,
        "long axis": reading.long_axis_mm,
        "short axis": reading.short_axis_mm,
    }
    for what, value in named.items():
        if value is not None and not (math.isfinite(value) and value >= 0):
            raise StudyRefused(f"The {what} must be a number that is not negative.", code="value_refused")
    if reading.volume_interval_ml is not None:
        lo, hi = reading.volume_interval_ml
        if not (math.isfinite(lo) and math.isfinite(hi) and 0 <= lo <= hi):
            raise StudyRefused("The interval of the volume is not an interval.", code="value_refused")


def _check_status(reading: Reading) -> None:
    status = ReadingStatus(reading.status)
    volume = reading.volume_ml
    if volume == 0 and status is not ReadingStatus.DISAPPEARED_ASSESSED:
        raise StudyRefused(
            "A volume of 0 is only kept for a node that was looked for and has disappeared.",
            code="zero_volume",
            hint="Set the status to disappeared (assessed), or leave the volume empty.",
        )
    if status is ReadingStatus.DISAPPEARED_ASSESSED and volume not in (None, 0):
        raise StudyRefused("A node that has disappeared has no volume.", code="status_contradicts_volume")
    if status in _WITHOUT_VOLUME and volume is not None:
        raise StudyRefused("A node that was not imaged or not evaluable has no volume.", code="status_contradicts_volume")
    if reading.state is ReadingState.DRAFT:
        return
    if status is ReadingStatus.NOT_EVALUABLE:
        check_text(reading.status_reason, "the reason why the node is not evaluable", "reason_missing")
    if status is ReadingStatus.MEASURED and volume is None and reading.long_axis_mm is None:
        raise StudyRefused(
            "A measured node needs a volume or a long axis.",
            code="volume_missing",
            hint="Measure it, or set another status.",
        )


def _check_parts(reading: Reading) -> None:
    """The enhancing and the ablated part: each with its source, none without the whole, none larger."""
    parts = {"enhancing": (reading.viable_ml, reading.viable_from), "ablated": (reading.ablated_ml, reading.ablated_from)}
    for what, (value, source) in parts.items():
        if value is not None and not (math.isfinite(value) and value >= 0):
            raise StudyRefused(f"The {what} part must be a number that is not negative.", code="value_refused")
        if (value is None) != (source is None) or (source is not None and source not in PART_SOURCES):
            raise StudyRefused(f"Say how the {what} part was come by: {', '.join(PART_SOURCES)}; nothing where it was not assessed.", code="part_source_refused")
    by_threshold = "hu_threshold" in (reading.viable_from, reading.ablated_from)
    if by_threshold != (reading.enhancing_above_hu is not None) or (by_threshold and not math.isfinite(reading.enhancing_above_hu)):
        raise StudyRefused("A part found by a threshold needs the threshold in HU, and only such a part has one.", code="part_source_refused")
    if reading.viable_ml is None and reading.ablated_ml is None:
        return
    if reading.status is ReadingStatus.DISAPPEARED_ASSESSED:
        if reading.viable_ml or reading.ablated_ml:
            raise StudyRefused("A node that has disappeared has no part left.", code="status_contradicts_volume")
    elif reading.volume_ml is None:
        raise StudyRefused("A part of a node without the volume of the whole says nothing.", code="part_without_total", hint="Measure the whole node as well.")
    else:
        ViableVolumes(reading.volume_ml, reading.ablated_ml, reading.viable_ml)  # refuses a part larger than the whole
