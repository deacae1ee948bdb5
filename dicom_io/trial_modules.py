"""Clinical Trial Subject and Study modules (PS3.3 C.7.1.3, C.7.2.3), written after identities are gone."""

from __future__ import annotations

from dataclasses import dataclass

from pydicom.dataset import Dataset

NOT_STATED = "Not stated"


@dataclass(frozen=True, slots=True)
class Trial:
    """Which trial, site and visit an object belongs to. ``days_from_baseline`` counts from the baseline visit; None: unknown."""

    protocol_id: str
    protocol_name: str = ""
    sponsor: str = ""
    site_id: str = ""
    site_name: str = ""
    time_point: str = ""
    days_from_baseline: int | None = None


def add_trial_modules(ds: Dataset, subject: str, trial: Trial) -> tuple[str, ...]:
    """Write both modules into ``ds`` for the pseudonym ``subject``; the keywords written, in order."""
    ds.ClinicalTrialSponsorName = trial.sponsor[:64] or NOT_STATED
    ds.ClinicalTrialProtocolID = trial.protocol_id[:64] or NOT_STATED
    ds.ClinicalTrialProtocolName = trial.protocol_name[:64]
    ds.ClinicalTrialSiteID = trial.site_id[:64]
    ds.ClinicalTrialSiteName = trial.site_name[:64]
    ds.ClinicalTrialSubjectID = subject
    written = ["ClinicalTrialSponsorName", "ClinicalTrialProtocolID", "ClinicalTrialProtocolName", "ClinicalTrialSiteID", "ClinicalTrialSiteName", "ClinicalTrialSubjectID"]
    ds.ClinicalTrialTimePointID = trial.time_point[:64]
    written.append("ClinicalTrialTimePointID")
    if trial.time_point:
        ds.ClinicalTrialTimePointDescription = trial.time_point
        written.append("ClinicalTrialTimePointDescription")
    if trial.days_from_baseline is not None:
        ds.LongitudinalTemporalOffsetFromEvent = float(trial.days_from_baseline)
        ds.LongitudinalTemporalEventType = "BASELINE"
        written += ["LongitudinalTemporalOffsetFromEvent", "LongitudinalTemporalEventType"]
    return tuple(written)
