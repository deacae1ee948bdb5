"""The words a protocol file of ``nodus.protocol/2`` may use; their meaning is told in ``resources/docs/protocols.md``."""

from __future__ import annotations

from app.study.model import ABLATION_KINDS

ABLATIONS = ABLATION_KINDS
TREATMENTS = ("IRE", "CRYO_RF", "RFA", "NONE")
MONTH_ARITHMETIC = ("calendar_month_clamped",)

TOP = (
    "schema", "id", "version", "title", "registry", "participants", "design", "sponsor", "treatment", "arms", "month_arithmetic", "anchors", "visits",
    "ends_follow_up", "ablation", "salvage", "limits", "reading", "adjudication", "response", "definitions", "pain", "endpoints", "signature", "edc", "open",
)  # fmt: skip
TOP_NEEDED = ("treatment", "month_arithmetic", "anchors", "ends_follow_up", "limits", "adjudication", "response", "endpoints", "open")
ANCHOR = ("kinds", "which", "after_rounds", "count_from", "count_to", "visit", "meaning", "by_arm")
VISIT = ("name", "phase", "order", "anchor", "day", "months", "window_days", "imaging", "arms", "optional", "ends_with")
ABLATION = ("kinds", "rounds_max", "lesions_per_round", "days_from_systemic_from")
SALVAGE = ("allowed", "after_visit", "within_days", "counted_from")

LIMITS_WHOLE = ("nodes_per_side", "lesions_min", "lesions_max", "measurable_lesions_min")
LIMITS_ABOVE_ZERO = (
    "long_axis_below_mm", "long_axis_at_most_mm", "creatinine_clearance_from_ml_per_min", "creatinine_clearance_above_ml_per_min", "creatinine_below_mg_per_dl",
)  # fmt: skip
LIMITS = (*LIMITS_WHOLE, *LIMITS_ABOVE_ZERO, "levels_excluded", "liver_fraction_below", "creatinine_clearance_alternative", "metal", "opinions")
METAL = ("excluded", "hu_from", "within_mm", "voxels_from")

READING = (
    "modalities", "methods", "baseline", "readers", "order", "hide", "compare_visits", "allow_propagated_outlines", "allow_model_outlines",
    "enhancing_above_hu", "residual_grades", "repeatability_cv_pct", "repeatability_source",
)  # fmt: skip
READING_NEEDED = ("modalities", "methods", "baseline", "readers", "order", "hide")
BASELINE = ("before", "rule", "same")
HIDE = ("identity", "site", "arm", "dates", "earlier_volumes", "other_reader", "site_reading", "clinical_data")

ADJUDICATION = ("method", "adjudicator_role", "scope", "without_trigger", "triggers")
WITHOUT_TRIGGER = ("reader_1", "reader_2", "earliest_locked", "adjudicate_always")
TRIGGERS_NUMBER = ("vrr_difference_points", "volume_relative_difference_pct", "volume_difference_ml")
TRIGGERS_FLAG = (
    "vrr_class_differs", "disappearance_differs", "residual_enhancement_differs", "new_lesion_differs", "evaluability_differs", "response_differs", "response_date_differs",
)  # fmt: skip

RESPONSE = ("criteria", "primary", "modalities", "confirmation_days", "note")
CRITERIA = ("VRR", "RECIST_1_1", "MRECIST", "LOCAL_CONTROL")

ENDPOINT = (
    "name", "title", "rank", "kind", "population", "clock", "visit", "window_days", "units", "primary_unit", "criteria", "events", "salvaged", "arms",
)  # fmt: skip
ENDPOINT_NEEDED = ("name", "title", "rank", "kind", "population", "clock", "visit", "units")
RANKS = ("primary", "secondary", "tolerability", "exploratory")
ENDPOINT_KINDS = ("VRR", "DISAPPEARANCE", "RECURRENCE", "PFS", "OS", "ORR", "LOCAL_CONTROL", "TECHNIQUE_EFFICACY", "NRS_AUC", "NRS_SUSTAINED")
WITHOUT_VISIT = ("NRS_AUC", "NRS_SUSTAINED")
POPULATIONS = (
    "nodes_never_salvaged", "nodes_treated", "nodes_high_risk", "nodes_assessed", "subjects_treated", "subjects_enrolled", "subjects_measurable",
)  # fmt: skip
UNITS = ("node", "subject", "subject_sum", "subject_mean")
ENDPOINT_EVENTS = ("PROGRESSION", "LOCAL_PROGRESSION", "NEW_LESION", "DEATH")

PAIN = ("scale", "hours", "anchor", "tolerance_hours", "sustained_from", "sustained_consecutive")
PAIN_NEEDED = ("scale", "hours", "anchor", "sustained_from", "sustained_consecutive")
DEFINITIONS = ("regrowth_above_smallest_pct", "recurrence")
RECURRENCE = ("local", "new_node", "distant")
