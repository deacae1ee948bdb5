"""Columns of the audit trail, and the outcome of its check in words."""

from __future__ import annotations

from app.study.audit import AuditReport
from app.ui.models.records import Column
from app.ui.text import t
from app.usecases.audit_page import AuditEvent, AuditPage

SHOWN = 160  # characters of a value in its cell; the whole stands below the table
FAULTS_SHOWN = 200


def time_words(utc: str | None) -> str:
    """A time of the trail as people read it, to the second."""
    return "" if utc is None else utc[:19].replace("T", " ")


def _short(text: str | None) -> str:
    words = " ".join((text or "").split())
    return words if len(words) <= SHOWN else words[: SHOWN - 1] + "…"


def _text_column(title: str, name: str, weight: int) -> Column:
    return Column(title, lambda r: getattr(r, name), lambda r: _short(getattr(r, name)), tip=lambda r: _short(getattr(r, name)), weight=weight, right=False)


def audit_columns() -> tuple[Column, ...]:
    """When, who, what, on what, from what to what, why."""
    return (
        Column(t("No."), lambda r: r.seq, weight=4),
        Column(t("When (UTC)"), lambda r: r.utc, lambda r: time_words(r.utc), weight=10, right=False),
        _text_column(t("Who"), "user", 6),
        _text_column(t("Action"), "action", 9),
        _text_column(t("Object"), "object", 12),
        _text_column(t("Entry"), "field", 7),
        _text_column(t("Old"), "old", 9),
        _text_column(t("New"), "new", 15),
        _text_column(t("Reason"), "reason", 12),
    )


def fault_columns() -> tuple[Column, ...]:
    """What a check found."""
    return (
        Column(t("Code"), lambda f: f.code, weight=3, right=False),
        Column(t("Place"), lambda f: f.where, weight=5, right=False),
        Column(t("Fault"), lambda f: f.message, lambda f: t(f.message), weight=8, right=False),
    )


def event_words(event: AuditEvent) -> str:
    """An event whole, for reading and copying."""
    lines = [f"{t('Event')} {event.seq} · {event.utc} · {event.user} · {event.action} · {event.object}" + (f" · {event.field}" if event.field else "")]
    for name, value in ((t("Old"), event.old), (t("New"), event.new), (t("Reason"), event.reason)):
        if value is not None:
            lines.append(f"{name}: {value}")
    return "\n".join(lines)


def page_words(page: AuditPage) -> str:
    """Which events are on screen, of how many."""
    if not page.found:
        return t("No event fits; the trail holds {events}.").format(events=page.events)
    first, last = page.offset + 1, page.offset + len(page.rows)
    if page.found == page.events:
        return t("{first} to {last} of {events} events, newest first").format(first=first, last=last, events=page.events)
    return t("{first} to {last} of {found} that fit, newest first; the trail holds {events}").format(first=first, last=last, found=page.found, events=page.events)


def check_words(report: AuditReport, since_utc: str | None) -> tuple[str, str]:
    """Tone and sentences of a check's outcome."""
    if not report.ok:
        words = t("{n} faults found in {events} events. Keep the study as it is, make a copy, and tell the trial's data manager.") if len(report.faults) > 1 else t("1 fault found in {events} events. Keep the study as it is, make a copy, and tell the trial's data manager.")
        return "danger", words.format(n=len(report.faults), events=report.events)
    since = time_words(since_utc)
    checked = t("Checked: {records} records, {files} files, {signatures} signatures.").format(records=report.records_checked, files=report.files_checked, signatures=report.signatures_checked)
    if report.anchor is None:
        holds = t("The trail holds since {since}, {events} events; no anchor was given, so a cut-off end cannot be found.").format(since=since, events=report.events)
        return "warning", f"{holds} {checked}"
    holds = t("The trail holds since {since}, {events} events, and goes on from the anchor at event {anchor}.").format(since=since, events=report.events, anchor=report.anchor.events)
    note = report.anchor_note
    return ("warning" if note else "good"), " ".join(part for part in (holds, checked, t(note) if note else "") if part)
