"""The words of a trial as frozen values: subject, visit, node, reading. No storage, no window.

Identities are opaque strings made once and never reused; names shown to people are separate
fields. A reading never changes after it was locked: a correction is a new version with a reason.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class ReadingState(StrEnum):
    """Where a reading stands; moves only along ``lifecycle.TRANSITIONS``."""

    DRAFT = "draft"
    MEASURED = "measured"
    LOCKED = "locked"
    SUPERSEDED = "superseded"


class ReadingStatus(StrEnum):
    """What the reader saw of the node at this visit."""

    MEASURED = "measured"
    TOO_SMALL = "too_small"
    DISAPPEARED_ASSESSED = "disappeared_assessed"
    MERGED_INTO = "merged_into"
    SPLIT_FROM = "split_from"
    NOT_EVALUABLE = "not_evaluable"
    NOT_IMAGED = "not_imaged"


class Side(StrEnum):
    """The patient's side of the neck."""

    LEFT = "left"
    RIGHT = "right"
    MIDLINE = "midline"
    UNKNOWN = "unknown"  # not stated yet; nothing is guessed


LEVELS = ("IA", "IB", "II", "IIA", "IIB", "III", "IV", "IVA", "IVB", "V", "VA", "VB", "VC", "VI", "VII")
UNKNOWN_LEVEL = "unknown"
MODALITIES = ("CT", "US", "CEUS", "MR", "PT")
METHODS = ("voxel", "coverage", "ellipsoid", "contour")
ROLES = ("site", "central", "adjudicator", "training")
# How the volume of an enhancing or ablated part was come by: an outline of its own, every voxel of the
# node's outline at or above a threshold in HU, a number stated by the reader, what is left of the whole, the share that enhances as
# it was measured on contrast pictures, of the node's volume, or the voxels of the outline that rise between a CT before and one after contrast.
PART_SOURCES = ("outlined", "hu_threshold", "stated", "derived", "enhancing_share", "contrast_pair")
# Residual enhancement as the reader grades it, from 0 (none) to 3, as the reading charter defines them; NE: not evaluable.
ENHANCEMENT_GRADES = ("0", "1", "2", "3", "NE")


@dataclass(frozen=True, slots=True)
class Subject:
    """A participant, known by pseudonym only."""

    subject_id: str  # the pseudonym, for example S-014
    dates_shifted: bool = False


@dataclass(frozen=True, slots=True)
class Visit:
    """One visit of a subject. ``order`` sorts visits; ``actual_date`` is the true acquisition date
    (ISO), kept in the store for visit windows and never written into exported pictures."""

    visit_id: str
    subject_id: str
    name: str  # as the protocol names it: Baseline, Day 30, Month 3
    order: int
    actual_date: str | None = None


@dataclass(frozen=True, slots=True)
class TargetNode:
    """A node followed over all visits under one identity."""

    node_id: str
    subject_id: str
    label: str  # short name on screen: N1
    side: Side
    level: str
    high_risk: tuple[str, ...] = ()
    seed_mm: tuple[float, float, float] | None = None  # where it was first clicked, LPS
    found_by: str | None = None  # the blinded reader who added it; None: known to everybody


@dataclass(frozen=True, slots=True)
class SeriesRecord:
    """A picture series stored in the study (de-identified copy under ``images/``)."""

    series_id: str
    visit_id: str
    series_uid: str  # the mapped UID in the stored files
    modality: str
    kind: str  # volume | cine | still | other
    description: str
    folder: str  # relative to the study folder
    files: tuple[str, ...] = ()
    findings: tuple[dict, ...] = ()


@dataclass(frozen=True, slots=True)
class Reading:
    """What one reader measured of one node at one visit.

    Volumes in ml, lengths in mm; None where the method gives none. ``volume_ml`` is the number
    that counts for VRR (0.0 only with status ``disappeared_assessed``). ``mask_sha256`` and
    ``picture_sha256`` name blobs in the study. ``measurement`` is the complete dict of the
    measurement as shown to the reader.

    ``viable_ml`` is the part that enhances, ``ablated_ml`` the part that does not; None means that it
    was not assessed, never 0. ``viable_from`` and ``ablated_from`` are of ``PART_SOURCES``. A threshold is
    ``enhancing_above_hu``, with who stated it in ``enhancing_source``; ``viable_mask_sha256`` names the
    voxels that counted.
    """

    reading_id: str
    subject_id: str
    visit_id: str
    node_id: str
    reader: str
    role: str
    modality: str
    method: str
    status: ReadingStatus
    state: ReadingState
    version: int = 1
    volume_ml: float | None = None
    volume_interval_ml: tuple[float, float] | None = None
    long_axis_mm: float | None = None
    short_axis_mm: float | None = None
    measurement: dict = field(default_factory=dict)
    mask_sha256: str | None = None
    picture_sha256: str | None = None
    series_uid: str | None = None
    status_reason: str | None = None
    change_reason: str | None = None
    protocol_version: str | None = None
    software_version: str | None = None
    warnings: tuple[dict, ...] = ()
    created_utc: str | None = None
    locked_utc: str | None = None
    locked_by: str | None = None  # typed name
    lock_meaning: str | None = None
    viable_ml: float | None = None
    viable_from: str | None = None
    ablated_ml: float | None = None
    ablated_from: str | None = None
    enhancing_above_hu: float | None = None
    enhancing_source: str | None = None
    viable_mask_sha256: str | None = None
    enhancement_grade: str | None = None  # of ENHANCEMENT_GRADES, by the reader's eye
    signature_id: str | None = None  # the electronic signature it was locked with
    edition: int | None = None  # counts its saves: who saves over a newer one is refused


# ENROLMENT, ALLOCATION (detail: arm), SURGERY; NRS (detail: score, hours), LAB (detail: test, value, unit, ...) and ELIGIBILITY
# (detail: criterion, met) are values of a subject on a date: app.study.clinical and app.study.eligibility say what they hold.
EVENT_KINDS = (
    "IRE", "SALVAGE", "RFA", "CRYO_RF", "SYSTEMIC", "PROGRESSION", "WITHDRAWAL", "LOST", "DEATH",
    "ENROLMENT", "ALLOCATION", "SURGERY", "NRS", "LAB", "ELIGIBILITY",
)  # fmt: skip
ABLATION_KINDS = ("IRE", "SALVAGE", "RFA", "CRYO_RF")


@dataclass(frozen=True, slots=True)
class ClinicalEvent:
    """Something that happened to a subject (or to one node of it) on a date (ISO)."""

    event_id: str
    subject_id: str
    kind: str  # one of EVENT_KINDS
    date: str
    node_id: str | None = None  # None: all nodes of the subject
    detail: dict = field(default_factory=dict)


PLAN_KINDS = ("planned", "actual")  # needles as meant, needles as they were found to lie
SESSIONS = ("day0", "salvage")


@dataclass(frozen=True, slots=True)
class PlanRun:
    """A solved plan as it was accepted: written once, never changed.

    ``content`` is the plan with its assessment; ``blobs`` names what belongs to it (field, mask,
    picture) by content hash. ``kind`` is of ``PLAN_KINDS`` (None, in a study of an earlier schema, means planned),
    ``session`` of ``SESSIONS``; ``predecessor_id`` is the run that this one follows, ``planned_id`` the plan whose needles
    an ``actual`` run shows as they lie.
    """

    plan_run_id: str
    subject_id: str
    visit_id: str | None
    created_utc: str
    content: dict
    blobs: dict = field(default_factory=dict)
    software_version: str | None = None
    kind: str | None = None
    node_id: str | None = None
    session: str | None = None
    predecessor_id: str | None = None
    planned_id: str | None = None


@dataclass(frozen=True, slots=True)
class DeliveredPair:
    """What the generator gave to one pair. Voltage in V, currents in A at the first and last pulse; None: not read off."""

    anode: str
    cathode: str
    pulses: int
    voltage_v: float | None = None
    current_start_a: float | None = None
    current_end_a: float | None = None
    aborted: bool = False
    abort_reason: str | None = None

    def to_dict(self) -> dict:
        """As stored."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class Delivery:
    """What was delivered in one session by a plan run, in the order of delivery: written once. A correction is a new
    record that ``replaces`` this one, with a ``reason``."""

    delivery_id: str
    plan_run_id: str
    subject_id: str
    created_utc: str
    entered_by: str
    pairs: tuple[DeliveredPair, ...]
    date: str | None = None
    note: str | None = None
    replaces: str | None = None
    reason: str | None = None
    software_version: str | None = None


@dataclass(frozen=True, slots=True)
class User:
    """An account of the study. ``roles`` are of ``permissions.ROLE_RIGHTS``; the password's hash never leaves the store."""

    user_id: str
    full_name: str
    roles: tuple[str, ...]
    site: str | None = None
    disabled: bool = False
    created_utc: str | None = None


@dataclass(frozen=True, slots=True)
class Signature:
    """An electronic signature: who, when (UTC) and with what meaning, bound to the content it was given for."""

    signature_id: str
    object: str  # the record's name in the trail: readings:R-0a1b@2
    user_id: str
    name: str
    meaning: str
    signed_utc: str
    content_sha256: str
    software_version: str | None = None


@dataclass(frozen=True, slots=True)
class Adjudication:
    """Which reader counts for a node's baseline and visit, as an adjudicator selected: written once.

    ``candidates`` maps each reader to ``{"baseline": [reading_id, version] | None, "visit": [reading_id, version]}``;
    ``triggers`` are the codes of what differed.
    """

    adjudication_id: str
    subject_id: str
    node_id: str
    visit_id: str
    modality: str
    method: str
    selected_reader: str
    candidates: dict
    triggers: tuple[str, ...]
    adjudicator: str
    reason: str
    created_utc: str
    signature_id: str | None = None
    software_version: str | None = None


@dataclass(frozen=True, slots=True)
class StudySnapshot:
    """Everything a report, an export or a response table needs, read in one transaction.

    ``head_events`` and ``head_sha256`` name the audit event that the content was read at, not
    counting exports (so that exporting twice gives the same bytes).
    """

    study_id: str
    name: str
    protocol: dict
    subjects: tuple[Subject, ...]
    visits: tuple[Visit, ...]
    nodes: tuple[TargetNode, ...]
    readings: tuple[Reading, ...]
    events: tuple[ClinicalEvent, ...]
    plan_runs: tuple[PlanRun, ...] = ()
    deliveries: tuple[Delivery, ...] = ()
    head_events: int = 0
    head_sha256: str = ""
    signatures: tuple[Signature, ...] = ()
    adjudications: tuple[Adjudication, ...] = ()
    head_signature: dict | None = None  # that head signed with the study's key, where it is at hand
    settings: dict = field(default_factory=dict)  # of the readers: order seeds, which reader is the first

    @property
    def audit_head(self) -> dict:
        """The head as receipts carry it: signed where the study's key is at hand."""
        return self.head_signature or {"events": self.head_events, "sha256": self.head_sha256}
