"""What objects of a study say about the trial, and dates as they may leave it."""

from __future__ import annotations

import datetime as dt
import secrets
from dataclasses import replace

from app.study.model import StudySnapshot, Visit
from app.study.store import StudyStore
from dicom_io.deidentify.dates import shift_iso
from dicom_io.deidentify.uids import days_back
from dicom_io.trial_modules import Trial
from volumetry.errors import NodusError


def study_key(store: StudyStore, *, make: bool = True) -> bytes:
    """The study's key: UIDs, date shifts and tokens follow from it. Made once, kept in the store, never exported.

    Raises ``NodusError``: ``key_missing`` where it is gone though pictures were stored with it (or without ``make``),
    ``key_refused`` where what stands there is no key.
    """
    text = store.get_setting("uid_key")
    if text is None:
        if not make or store.holds_pictures():
            raise NodusError(
                "The study's key is gone: nothing new would match the pictures that are stored already.",
                code="key_missing", hint="Restore the study from a backup.",
            )  # fmt: skip
        text = secrets.token_hex(32)
        store.set_setting("uid_key", text)
    try:
        key = bytes.fromhex(text)
    except (TypeError, ValueError):
        key = b""
    if len(key) < 32:
        raise NodusError("The study's key is damaged: nothing new would match the pictures that are stored already.", code="key_refused", hint="Restore the study from a backup.")
    return key


def set_site(store: StudyStore, subject_id: str, site_id: str, site_name: str = "") -> None:
    """State the site that a subject belongs to."""
    store.set_setting(f"site/{subject_id}", {"id": site_id, "name": site_name})


def trial_of(store: StudyStore, subject_id: str, visit_name: str | None = None, visit_date: str | None = None) -> Trial:
    """What an object of this subject (and visit, with its true ISO date where it is known) says about the trial.

    Days count from the subject's last planned visit before ablation that has a date.
    """
    site = store.get_setting(f"site/{subject_id}") or {}
    protocol = store.protocol
    visits = store.visits(subject_id)
    own = next((v for v in visits if v.name == visit_name), None)
    date = own.actual_date if own is not None and own.actual_date else visit_date
    return Trial(
        protocol_id=protocol.stamp,
        protocol_name=protocol.title,
        sponsor=str(protocol.content.get("sponsor") or ""),
        site_id=str(site.get("id") or ""),
        site_name=str(site.get("name") or ""),
        time_point=visit_name or "",
        days_from_baseline=_days_from_baseline(store, visits, visit_name, date),
    )


def _days_from_baseline(store: StudyStore, visits: list[Visit], visit_name: str | None, date: str | None) -> int | None:
    planned = {v.name: v for v in store.protocol.visits if v.phase == "pre"}
    if not planned or visit_name is None:
        return None
    last = max(planned.values(), key=lambda v: v.order).name
    if visit_name == last:
        return 0
    baseline = next((v.actual_date for v in visits if v.name == last), None)
    if baseline is None or date is None:
        return None
    return (dt.date.fromisoformat(date) - dt.date.fromisoformat(baseline)).days


def shifted_moment(utc: str, subject_id: str, key: bytes) -> str:
    """An ISO time stamp moved back by the subject's days, as everything about the subject that leaves as DICOM is."""
    return shift_iso(utc, days_back(subject_id, key))


def shifted_snapshot(snapshot: StudySnapshot, subject_id: str, key: bytes) -> StudySnapshot:
    """The study with one subject's dates moved back by its days and the subject marked: what a document inside DICOM
    may tell. Intervals are what they were."""
    days = days_back(subject_id, key)
    return replace(
        snapshot,
        subjects=tuple(replace(s, dates_shifted=True) if s.subject_id == subject_id else s for s in snapshot.subjects),
        visits=tuple(replace(v, actual_date=shift_iso(v.actual_date, days)) if v.subject_id == subject_id else v for v in snapshot.visits),
        events=tuple(replace(e, date=shift_iso(e.date, days)) if e.subject_id == subject_id else e for e in snapshot.events),
        readings=tuple(
            replace(r, created_utc=shift_iso(r.created_utc, days), locked_utc=shift_iso(r.locked_utc, days)) if r.subject_id == subject_id else r for r in snapshot.readings
        ),
        plan_runs=tuple(replace(p, created_utc=shift_iso(p.created_utc, days), content=_shifted_plan(p.content, days)) if p.subject_id == subject_id else p for p in snapshot.plan_runs),
        deliveries=tuple(replace(d, created_utc=shift_iso(d.created_utc, days), date=shift_iso(d.date, days)) if d.subject_id == subject_id else d for d in snapshot.deliveries),
    )


def _shifted_plan(content: dict, days: int) -> dict:
    """A run's content with the time of what its reader stated of structures moved back."""
    anatomy = content.get("plan", {}).get("anatomy")
    if not anatomy or not anatomy.get("stated_clear"):
        return content
    stated = [s | {"utc": shift_iso(s["utc"], days)} if s.get("utc") else s for s in anatomy["stated_clear"]]
    return content | {"plan": content["plan"] | {"anatomy": anatomy | {"stated_clear": stated}}}
