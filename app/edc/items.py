"""The items that go to an EDC form by form, declared once: REDCap fields, ODM items and their checks derive from this list."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from app.edc.dictionary import READINGS, TREATMENT, VRR, Column, text_of

REQUIRED = {
    "reading": ("node", "visit", "reader", "role", "modality", "method", "status", "reading_id", "version", "locked_by", "locked_utc", "dates_shifted"),
    "treatment": ("pair_key", "plan_run_id", "anode", "cathode", "planned", "dates_shifted"),
}
# What of a reading, and of its rate against the baseline, goes to the form.
_OF_READING = (
    "reading_id", "version", "node", "side", "level", "high_risk", "visit", "scan_date", "dates_shifted", "reader", "role", "modality", "method", "status",
    "status_reason", "volume_ml", "volume_lo_ml", "volume_hi_ml", "long_axis_mm", "short_axis_mm", "viable_ml", "viable_from", "ablated_ml", "ablated_from",
    "enhancing_above_hu", "enhancement_grade", "accepted", "accepted_basis",
)  # fmt: skip
_OF_RATE = (
    "baseline_visit", "baseline_volume_ml", "baseline_reading_id", "vrr_pct", "vrr_lo_pct", "vrr_hi_pct", "comparable", "vrr_viable_pct",
    "n_ablations_before_scan", "days_from_first", "days_from_anchor",
)  # fmt: skip
_OF_RECORD = (
    "warnings", "outlined_by", "outline_edited", "change_reason", "locked_by", "locked_utc", "lock_meaning", "lock_note", "signature_id", "protocol_version",
    "software_version", "series_uid", "mask_sha256",
)  # fmt: skip
# What a contrast loop or a pair of CTs was proposed to show, and the rates of the parts and against the zone of Day 0.
_OF_PROPOSAL = (
    "grade_proposed", "enhancing_pct", "arrival_s", "ttp_s", "rise_time_s", "mtt_s", "auc_ratio", "peak_ratio", "wash_in_ratio", "curve_model", "curve_r_squared",
    "perfusion_sha256",
)  # fmt: skip
_OF_PARTS = ("baseline_viable_ml", "baseline_ablated_ml", "vrr_ablated_pct", "parts_comparable", "zone_volume_ml", "vrr_zone_pct")
# A sponsor's mapping written before these were known need not name them: then they are not sent.
ADDED_LATER = frozenset({*_OF_PROPOSAL, *_OF_PARTS})


@dataclass(frozen=True, slots=True)
class Item:
    """One item of a form. ``kind`` is text, integer, number, date or datetime; ``required``: every row has it."""

    name: str
    label: str
    kind: str
    unit: str
    codes: tuple[str, ...]
    required: bool

    def text(self, value: Any) -> str:
        """The value as written: numbers with all their digits and without an exponent, lists joined by semicolons."""
        return plain_number(value) if isinstance(value, float) else text_of(value)


def plain_number(value: float) -> str:
    """A number with all its digits, never with an exponent: ``0.0000001``, ``2``."""
    text = repr(value + 0.0)
    if "e" in text or "E" in text:
        from decimal import Decimal

        text = format(Decimal(text), "f")
    return text.removesuffix(".0")


def _items(form: str, columns: dict[str, Column], names: tuple[str, ...]) -> tuple[Item, ...]:
    return tuple(Item(n, columns[n].label, columns[n].kind, columns[n].unit, columns[n].codes, n in REQUIRED[form]) for n in names)


_READINGS = {c.name: c for c in READINGS}
_RATES = {c.name: c for c in VRR}
_TREATMENT = {c.name: c for c in TREATMENT}

FORMS: dict[str, tuple[Item, ...]] = {
    "reading": (
        *_items("reading", _READINGS, _OF_READING), *_items("reading", _RATES, _OF_RATE), *_items("reading", _READINGS, _OF_RECORD),
        *_items("reading", _READINGS, _OF_PROPOSAL), *_items("reading", _RATES, _OF_PARTS),
    ),
    "treatment": _items("treatment", _TREATMENT, tuple(c.name for c in TREATMENT if c.name not in ("study", "subject"))),
}  # fmt: skip
