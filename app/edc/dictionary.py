"""Every exported column, declared once: the tables and the data dictionary derive from this list."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from app.study.model import ENHANCEMENT_GRADES, LEVELS, METHODS, MODALITIES, PART_SOURCES, ROLES, SESSIONS, UNKNOWN_LEVEL, ReadingStatus, Side

CURVE_MODELS = ("lognormal", "gamma_variate", "replenishment")
YES_NO = ("0", "1")
Y_N = ("Y", "N")
# An adjudicator selected the reader; two readers did not differ; there was only one; or whoever exported named the record.
ACCEPTED_BASES = ("adjudicated", "no_difference", "only_reader", "stated")


@dataclass(frozen=True, slots=True)
class Column:
    """One column. ``kind`` is text, integer, number, date or datetime; ``codes`` lists the allowed
    values of a coded text. An empty field means unknown or not applicable, never zero."""

    name: str
    label: str
    kind: str
    unit: str = ""
    codes: tuple[str, ...] = ()

    def text(self, value: Any) -> str:
        """The value as written: see ``text_of``."""
        return text_of(value)


def text_of(value: Any) -> str:
    """A value as text: numbers with all their digits, lists joined by semicolons, nothing for None."""
    if value is None:
        return ""
    if isinstance(value, str):
        return str(value)  # the word of an enumeration
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, float):
        return repr(value + 0.0)  # -0.0 is 0.0
    if isinstance(value, (list, tuple)):
        return ";".join(str(v) for v in value)
    return str(value)


def _columns(*rows: tuple) -> tuple[Column, ...]:
    return tuple(Column(*row) for row in rows)


_SIDES = tuple(str(s) for s in Side)
_STATUSES = tuple(str(s) for s in ReadingStatus)

READINGS = _columns(
    ("study", "Study", "text"),
    ("subject", "Subject (pseudonym)", "text"),
    ("node", "Node", "text"),
    ("side", "Side of the neck", "text", "", _SIDES),
    ("level", "Neck level", "text", "", (*LEVELS, UNKNOWN_LEVEL)),
    ("high_risk", "Structures at risk nearby, separated by semicolons", "text"),
    ("visit", "Visit", "text"),
    ("visit_order", "Place of the visit among the subject's visits", "integer"),
    ("scan_date", "Date of the scan", "date"),
    ("dates_shifted", "Dates were shifted before they reached the study (Y) or are true (N)", "text", "", Y_N),
    ("reader", "Reader", "text"),
    ("role", "Role of the reader", "text", "", ROLES),
    ("modality", "Modality", "text", "", MODALITIES),
    ("method", "How the volume was measured", "text", "", METHODS),
    ("status", "What the reader saw", "text", "", _STATUSES),
    ("status_reason", "Reason given with the status", "text"),
    ("volume_ml", "Volume", "number", "ml"),
    ("volume_lo_ml", "Volume, lower end of the 95 % interval", "number", "ml"),
    ("volume_hi_ml", "Volume, upper end of the 95 % interval", "number", "ml"),
    ("long_axis_mm", "Long axis", "number", "mm"),
    ("short_axis_mm", "Short axis", "number", "mm"),
    ("warnings", "Codes of the warnings that came with the measurement, separated by semicolons", "text"),
    ("version", "Version of the reading", "integer"),
    ("change_reason", "Reason for the last change or correction", "text"),
    ("locked_by", "Typed name of the person who locked the reading", "text"),
    ("locked_utc", "When it was locked (UTC)", "datetime"),
    ("lock_meaning", "What locking meant", "text"),
    ("lock_note", "Whether the lock is an electronic signature", "text"),
    ("protocol_version", "Protocol and its version", "text"),
    ("software_version", "Version of Nodus that measured", "text"),
    ("series_uid", "Series that was read (mapped UID)", "text"),
    ("mask_sha256", "SHA-256 of the stored outline", "text"),
    ("reading_id", "Identity of the reading", "text"),
    ("viable_ml", "Part that enhances (viable), apart from the whole; empty: not assessed", "number", "ml"),
    ("viable_from", "How the enhancing part was come by", "text", "", PART_SOURCES),
    ("ablated_ml", "Part that does not enhance (ablated), apart from the whole; empty: not assessed", "number", "ml"),
    ("ablated_from", "How the ablated part was come by", "text", "", PART_SOURCES),
    ("enhancing_above_hu", "Threshold: voxels of the outline at or above it count as enhancing", "number", "HU"),
    ("enhancing_source", "Who or what stated the threshold", "text"),
    ("viable_mask_sha256", "SHA-256 of the stored voxels that count as enhancing", "text"),
    ("outlined_by", "How the outline came about (see the page on outlining); empty: no outline, or read before this was recorded", "text"),
    ("outline_edited", "A hand changed what that method gave (1) or not (0)", "integer", "", YES_NO),
    ("model_name", "Trained model that proposed the outline, with its version", "text"),
    ("model_licence", "Licence of that model", "text"),
    ("model_sha256", "SHA-256 of that model's file", "text"),
    ("accepted", "Accepted record: the one central reading of this node, visit and modality that counts (1) or not (0); empty for other roles", "integer", "", YES_NO),
    ("accepted_basis", "What made it the accepted record", "text", "", ACCEPTED_BASES),
    ("enhancement_grade", "Residual enhancement as the reader graded it; NE: not evaluable; empty: not graded", "text", "", ENHANCEMENT_GRADES),
    ("signature_id", "Identity of the electronic signature; empty: locked without one", "text"),
    ("grade_proposed", "Residual enhancement as the program proposed it from contrast pictures; the reader's own is enhancement_grade", "text", "", ENHANCEMENT_GRADES),
    ("enhancing_pct", "Share of the node that enhances, as proposed (on a contrast loop: of its section)", "number", "%"),
    ("arrival_s", "Contrast loop: arrival in the node, from the first frame read", "number", "s"),
    ("ttp_s", "Contrast loop: time to peak of the node, from the first frame read", "number", "s"),
    ("rise_time_s", "Contrast loop: rise time of the node", "number", "s"),
    ("mtt_s", "Contrast loop: mean transit time of the node", "number", "s"),
    ("auc_ratio", "Contrast loop: area under the node's curve over that of the reference region", "number"),
    ("peak_ratio", "Contrast loop: peak of the node over that of the reference region", "number"),
    ("wash_in_ratio", "Contrast loop: wash-in rate of the node over that of the reference region", "number"),
    ("curve_model", "Contrast loop: curve that was fitted", "text", "", CURVE_MODELS),
    ("curve_r_squared", "Contrast loop: share of the curve's variance that the fit explains", "number"),
    ("perfusion_sha256", "SHA-256 over the contrast pictures, the regions and what was asked of the analysis", "text"),
)

VRR = _columns(
    ("study", "Study", "text"),
    ("subject", "Subject (pseudonym)", "text"),
    ("node", "Node", "text"),
    ("visit", "Visit", "text"),
    ("visit_order", "Place of the visit among the subject's visits", "integer"),
    ("reader", "Reader", "text"),
    ("role", "Role of the reader", "text", "", ROLES),
    ("modality", "Modality at this visit", "text", "", MODALITIES),
    ("method", "How the volume was measured at this visit", "text", "", METHODS),
    ("status", "What the reader saw at this visit", "text", "", _STATUSES),
    ("baseline_visit", "Visit of the baseline reading: the last evaluable one before the first ablation", "text"),
    ("baseline_volume_ml", "Volume at baseline", "number", "ml"),
    ("volume_ml", "Volume at this visit", "number", "ml"),
    ("vrr_pct", "Volume reduction rate; negative where the node is larger than at baseline", "number", "%"),
    ("vrr_lo_pct", "Volume reduction rate, lower end of the 95 % interval", "number", "%"),
    ("vrr_hi_pct", "Volume reduction rate, upper end of the 95 % interval", "number", "%"),
    ("interval_from", "What the interval was worked out from", "text", "", ("repeatability", "volume intervals")),
    ("comparable", "Baseline and follow-up by the same modality and method (1) or not (0)", "integer", "", YES_NO),
    ("n_ablations_before_scan", "Ablations of this node before the scan", "integer"),
    ("days_from_first", "Days from the node's first ablation to the scan", "integer", "d"),
    ("days_from_anchor", "Days from the subject's last ablation before the scan", "integer", "d"),
    ("warnings", "Codes of the warnings, separated by semicolons", "text"),
    ("baseline_reading_id", "Identity of the baseline reading", "text"),
    ("baseline_version", "Version of the baseline reading", "integer"),
    ("reading_id", "Identity of the follow-up reading", "text"),
    ("version", "Version of the follow-up reading", "integer"),
    ("cv_pct", "Stated repeatability behind the interval: coefficient of variation of one volume", "number", "%"),
    ("cv_source", "Where that repeatability is stated", "text"),
    ("interval_note", "Where the interval comes from, or why there is none", "text"),
    ("baseline_viable_ml", "Enhancing part at baseline; empty: not assessed", "number", "ml"),
    ("viable_ml", "Enhancing part at this visit; empty: not assessed", "number", "ml"),
    ("vrr_viable_pct", "Reduction rate of the enhancing part, against the enhancing part at baseline", "number", "%"),
    ("baseline_ablated_ml", "Ablated part at baseline; empty: not assessed", "number", "ml"),
    ("ablated_ml", "Ablated part at this visit; empty: not assessed", "number", "ml"),
    ("vrr_ablated_pct", "Reduction rate of the ablated part, against the ablated part at baseline", "number", "%"),
    ("parts_comparable", "Parts come by in the same way at both visits (1) or not (0); empty where no part has a rate", "integer", "", YES_NO),
    ("in_endpoints", "Counts in endpoint tables (1) or not (0)", "integer", "", YES_NO),
    ("left_out_because", "Why it does not count, separated by semicolons", "text"),
    ("dates_shifted", "Scan dates were shifted before they reached the study (Y) or are true (N): days are counted from them", "text", "", Y_N),
    ("zone_volume_ml", "Ablation zone of Day 0 as logged with the ablation; empty: not stated", "number", "ml"),
    ("vrr_zone_pct", "Second rate: reduction against the ablation zone of Day 0", "number", "%"),
)

GRADES = _columns(
    ("study", "Study", "text"),
    ("subject", "Subject (pseudonym)", "text"),
    ("node", "Node", "text"),
    ("visit", "Visit", "text"),
    ("modality", "Modality", "text", "", MODALITIES),
    ("site_reader", "Reader of the site", "text"),
    ("site_grade", "Residual enhancement as the site graded it", "text", "", ENHANCEMENT_GRADES),
    ("central_reader", "Central reader whose reading is the accepted record", "text"),
    ("central_grade", "Residual enhancement in the accepted record", "text", "", ENHANCEMENT_GRADES),
    ("agree", "Both grades are the same (1) or not (0); empty where one is missing", "integer", "", YES_NO),
    ("site_reading_id", "Identity of the site's reading", "text"),
    ("central_reading_id", "Identity of the accepted record", "text"),
)

TREATMENT = _columns(
    ("study", "Study", "text"),
    ("subject", "Subject (pseudonym)", "text"),
    ("pair_key", "Identity of this pair of electrodes in this session", "text"),
    ("session", "Session of treatment", "text", "", SESSIONS),
    ("node", "Node that the plan is for", "text"),
    ("visit", "Visit that the plan belongs to", "text"),
    ("treatment_date", "Date of the session", "date"),
    ("dates_shifted", "Dates were shifted before they reached the study (Y) or are true (N)", "text", "", Y_N),
    ("plan_run_id", "Identity of the plan that was carried out", "text"),
    ("actual_run_id", "Identity of the run with the needles as they were found to lie", "text"),
    ("delivery_id", "Identities of the records of what was delivered, separated by semicolons", "text"),
    ("anode", "Electrode at the anode", "text"),
    ("cathode", "Electrode at the cathode", "text"),
    ("planned", "The pair stands in the plan (1) or was pulsed without a plan (0)", "integer", "", YES_NO),
    ("planned_distance_mm", "Distance between the electrodes as planned", "number", "mm"),
    ("actual_distance_mm", "Distance between the electrodes as they lay", "number", "mm"),
    ("anode_exposure_mm", "Exposed length of the anode as planned", "number", "mm"),
    ("cathode_exposure_mm", "Exposed length of the cathode as planned", "number", "mm"),
    ("planned_voltage_v", "Voltage as planned", "number", "V"),
    ("delivered_voltage_v", "Lowest voltage that was delivered", "number", "V"),
    ("planned_v_per_cm", "Voltage over distance as planned", "number", "V/cm"),
    ("planned_pulses", "Pulses as planned", "integer"),
    ("delivered_pulses", "Pulses that were delivered", "integer"),
    ("width_us", "Width of a pulse as planned", "number", "us"),
    ("rate_hz", "Pulses a second as planned", "number", "Hz"),
    ("current_start_a", "Current at the first pulse", "number", "A"),
    ("current_end_a", "Highest current at a last pulse", "number", "A"),
    ("aborted", "Delivery was aborted (1) or not (0); empty: nothing was recorded", "integer", "", YES_NO),
    ("abort_reason", "Why it was aborted", "text"),
    ("complete", "All pulses at the planned voltage or above (1) or not (0)", "integer", "", YES_NO),
    ("software_version", "Version of Nodus that kept the plan", "text"),
)

DICTIONARY = _columns(
    ("file", "File that the column is in", "text"),
    ("column", "Name of the column", "text"),
    ("position", "Place of the column, from 1", "integer"),
    ("label", "What it means", "text"),
    ("type", "text, integer, number, date or datetime", "text"),
    ("unit", "Unit", "text"),
    ("codes", "Allowed values, separated by semicolons; empty if free", "text"),
)

TABLES: dict[str, tuple[Column, ...]] = {
    "readings.csv": READINGS,
    "vrr.csv": VRR,
    "treatment.csv": TREATMENT,
    "grades.csv": GRADES,
    "data_dictionary.csv": DICTIONARY,
}
