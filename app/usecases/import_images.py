"""Bring pictures into a study: scan, remove what identifies, store, record.

Nothing is written into the study folder before the identifying header values are gone; the true
acquisition date goes into the store alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from app.jobs import JobContext
from app.study.model import SeriesRecord, Visit
from app.study.store import StudyStore
from app.usecases.pair_planes import file_words, plane_in_words
from app.usecases.trial_identity import study_key, trial_of
from dicom_io.deidentify import CleanedFile, Confirmed, clean_copy
from dicom_io.enhanced_us import part_words
from dicom_io.headers import read_header
from dicom_io.listing import SkippedFile
from dicom_io.scan import SeriesSummary, scan_folder
from volumetry.errors import NodusError
from volumetry.finding import Finding

PICTURE_KINDS = ("volume", "cine", "still", "volume_cine")
# Behind the UID of a stack that shares its files with others: which of them it is, from 1.
PART = "#"


@dataclass(frozen=True, slots=True)
class ImportResult:
    """What came in, what was left out and why."""

    visit: Visit
    series: tuple[SeriesRecord, ...]
    skipped: tuple[SkippedFile, ...]
    findings: tuple[Finding, ...] = ()


def ensure_subject(store: StudyStore, subject_id: str) -> None:
    """Add the subject where it is not yet there."""
    if subject_id not in {s.subject_id for s in store.subjects()}:
        store.add_subject(subject_id)


def ensure_visit(store: StudyStore, subject_id: str, name: str, date: str | None) -> Visit:
    """The subject's visit of that name; made, or given its date, where needed."""
    for visit in store.visits(subject_id):
        if visit.name == name:
            if visit.actual_date is None and date is not None:
                return store.update_visit(visit.visit_id, reason="date of the first imported picture", actual_date=date)
            return visit
    return store.add_visit(subject_id, name, actual_date=date)


def plain_description(summary: SeriesSummary) -> str:
    """What the rail calls a series. The header's own description is free text that may name a
    person, so it is not taken over."""
    if summary.parts > 1 and summary.planes and summary.planes[0].group is not None:
        return f"{summary.modality} volume, {part_words(summary.planes)}"  # from the standard's own terms
    if summary.kind == "volume" and summary.shape:
        return f"{summary.modality or 'Image'} volume, {summary.shape[2]} slices"
    return f"{summary.modality or 'Image'} {summary.kind}" + (f", {summary.frames} frames" if summary.frames > 1 else "") + _plane_words(summary)


def _plane_words(summary: SeriesSummary) -> str:
    """Of an ultrasound picture, the plane that its file's words tell: this program's own word for it, none of theirs."""
    if summary.modality != "US" or summary.kind not in ("still", "cine"):
        return ""
    plane = plane_in_words(file_words(read_header(summary.paths[0]).ds))
    return "" if plane is None else f", {plane}"


def import_folder(
    store: StudyStore,
    subject_id: str,
    visit_name: str,
    path: Path,
    context: JobContext,
    describe: Callable[[SeriesSummary], str] = plain_description,
    *,
    confirmed: Mapping[str, Confirmed | None] | None = None,
    confirm_all: bool = False,
    dates_shifted: bool = False,
) -> ImportResult:
    """Import every picture series under ``path`` (folder, file, ZIP archive, DICOMDIR) for one subject and visit.

    Refuses a folder without pictures (``nothing_to_import``). A series that is already there is
    left as it is; where more pictures of it have come now, that is told among ``skipped`` (``series_grew``). One that cannot be copied clean is left out whole, told among ``skipped``, and
    does not stop the others; where it was the only one, its refusal is raised. A cancelled import
    leaves whole series or none. Files that name several patients are imported as one, with the serious finding
    ``several_patients`` on each series and in the result.

    Ultrasound is masked outside its regions. A picture that a person has to look at first (``needs_review``) is left
    out unless ``confirmed`` names it (file as in the scan) or ``confirm_all`` says that somebody looked at all of them. A
    name with None in ``confirmed`` leaves that file's series out, whatever the check thinks of it.
    Dates in the stored copies are shifted by the subject's own number of days; the true date goes into the store.
    ``dates_shifted`` says that the dates were moved before the pictures came, though their headers may not tell; the
    subject is marked, and every export says so.
    """
    if not path.exists():
        raise NodusError(f"There is no {path.name} to import.", code="file_missing")
    found = scan_folder(path, progress=context.part(0.0, 0.2).report, should_cancel=lambda: context.token.is_cancelled)
    pictures = [s for s in found.series if s.kind in PICTURE_KINDS]
    if not pictures:
        raise NodusError("The folder holds no pictures that can be imported.", code="nothing_to_import", hint="Choose a folder of DICOM files.")
    ensure_subject(store, subject_id)
    mixed: tuple[Finding, ...] = ()
    if found.patients > 1:
        mixed = (Finding("several_patients", f"The files name {found.patients} different patients; all of them were imported as {subject_id}.", "serious"),)
    key = study_key(store)
    trial = trial_of(store, subject_id, visit_name, min((s.acquired_on for s in pictures if s.acquired_on), default=None))
    looked_at = _looked_at(pictures, confirmed or {}, confirm_all)
    visit: Visit | None = None
    came: set[str] = set()
    known: dict[str, int] = {}  # how many files each series has that is there already
    records = []
    left_out: list[SkippedFile] = []
    first_refusal: NodusError | None = None
    holders: dict[str, set[tuple[str, ...]]] = {}
    for one in pictures:
        for file in one.files:
            holders.setdefault(file, set()).add(one.files)
    shared = Counter(s.files for s in pictures)
    for n, summary in enumerate(pictures):
        context.report(f"Importing {summary.modality} {n + 1} of {len(pictures)}", 0.2 + 0.8 * n / len(pictures))
        with store.stage_series() as staged:
            try:
                if any((confirmed or {}).get(f, Confirmed()) is None for f in summary.files):
                    raise NodusError("The picture was left out by who looked at it.", code="left_out_by_reader")
                if any(len(holders[f]) > 1 for f in summary.files):
                    raise NodusError(f"{summary.files[0]} holds parts of several stacks; they cannot be stored apart.", code="mixed_series")
                cleaned = clean_copy(
                    summary.paths, staged, subject_id, key, trial=trial, confirmed=looked_at, should_cancel=lambda: context.token.is_cancelled
                )
            except NodusError as refusal:
                left_out.append(SkippedFile(summary.files[0], refusal.code, refusal.message))
                first_refusal = first_refusal or refusal
                continue
            date, unlike = visit_date(store, subject_id, cleaned, dates_shifted=dates_shifted)
            if visit is None:
                visit = ensure_visit(store, subject_id, visit_name, date)
                known = {r.series_uid: len(r.files) for r in store.series(visit.visit_id)}
            uid = picture_uid(cleaned, summary)
            if shared[summary.files] > 1:
                uid = f"{uid}{PART}{summary.part}"
            if uid in known:
                if uid in came:
                    left_out.append(SkippedFile(summary.files[0], "duplicate_slice", f"{summary.files[0]} has the identity of another picture that came with it, and another header; only the first was imported."))
                elif len(cleaned) > known[uid]:  # a part of a series must not pass for the whole
                    left_out.append(SkippedFile(summary.files[0], "series_grew", f"The study holds this series with {known[uid]} pictures, and {len(cleaned)} have come now. It was left as it is."))
                continue
            known[uid] = len(cleaned)
            came.add(uid)
            records.append(
                store.add_series(
                    visit.visit_id,
                    series_uid=uid,
                    modality=summary.modality or "OT",
                    kind=summary.kind,
                    description=describe(summary),
                    staged=staged,
                    findings=tuple(_unnamed(f, summary).as_dict() for f in (*mixed, *summary.findings, *unlike)),
                )
            )
    if visit is None:
        raise first_refusal
    context.report("Imported", 1.0)
    return ImportResult(visit, tuple(records), (*found.skipped, *left_out), mixed)


def _looked_at(pictures: list[SeriesSummary], confirmed: Mapping[str, Confirmed | None], confirm_all: bool) -> dict:
    """The confirmations by the file itself rather than its name in the scan."""
    named = ((file, source) for s in pictures for file, source in zip(s.files, s.paths, strict=True))
    return {source: confirmed.get(file, Confirmed()) for file, source in named if confirm_all or file in confirmed}


def _unnamed(finding: Finding, summary: SeriesSummary) -> Finding:
    """The finding as the study may keep it: files are often named after the patient, so no file is named."""
    names = {part for file in summary.files for part in (file, *PurePosixPath(file.replace("\\", "/")).parts)}
    message = finding.message
    for name in sorted(names, key=len, reverse=True):
        message = message.replace(name, "a file")
    return replace(finding, message=message[:1].upper() + message[1:])


def visit_date(store: StudyStore, subject_id: str, cleaned: tuple[CleanedFile, ...], *, dates_shifted: bool = False) -> tuple[str | None, tuple[Finding, ...]]:
    """The date that a visit gets from its pictures, and what there is to say about it.

    Pictures whose dates were shifted elsewhere mark their subject; they say so themselves, or ``dates_shifted`` does. Shifted and true dates of one subject do not count
    from the same day, so whichever comes second gives no date.
    """
    date = first_date(cleaned)
    told = any(c.dates_arrived_shifted for c in cleaned)
    arrived = told or dates_shifted
    subject = next(s for s in store.subjects() if s.subject_id == subject_id)
    if arrived == subject.dates_shifted or (date is None and not arrived):
        return date, ()
    if arrived and not any(v.actual_date for v in store.visits(subject_id)):
        who = "the pictures say" if told else "who imported the pictures says"
        store.mark_dates_shifted(subject_id, reason=f"{who} that their dates were shifted before they came")
        return date, ()
    if date is None:
        return None, ()
    which = "were shifted before they came, those of the other visits were not" if arrived else "are true, those of the other visits were shifted before they came"
    return None, (Finding("dates_mixed", f"The dates of these pictures {which}: the visit was given no date, as intervals would be wrong.", "warning"),)


def first_date(cleaned: tuple[CleanedFile, ...]) -> str | None:
    """The earliest true acquisition date of the files, for the store only."""
    return min((c.acquired_on for c in cleaned if c.acquired_on), default=None)


def picture_uid(cleaned: tuple[CleanedFile, ...], summary: SeriesSummary) -> str:
    """Identity of what is stored: the mapped series UID. Stills and cines share a series but are
    pictures of their own, and a series may really be several stacks: then the first picture's UID
    stands behind it."""
    first = min(c.sop_instance_uid for c in cleaned)
    series = cleaned[0].series_instance_uid or first
    whole = summary.kind in ("volume", "volume_cine") and summary.parts == 1
    return series if whole else f"{series}/{first}"


def part_of(record: SeriesRecord) -> int | None:
    """Which of the stacks in the record's files it is, where they hold several; else None."""
    head, found, number = record.series_uid.rpartition(PART)
    return int(number) if found and head and number.isdigit() else None


def open_record(store: StudyStore, record: SeriesRecord, context: JobContext):
    """Read a stored series back: ``ImageVolume`` for volumes, ``Cine`` for ultrasound."""
    from dicom_io.ct import read_volume
    from dicom_io.ultrasound import read_cine

    folder = store.series_folder(record)
    files = [folder / f for f in record.files]
    if record.kind in ("still", "cine"):
        opened = read_cine(files[0])
    else:
        opened = read_volume(files, part=part_of(record), progress=context.report, should_cancel=lambda: context.token.is_cancelled)
    # The stored header has no free text and a shifted date; the record's own words name the picture, the visit tells its date.
    return replace(opened, source=replace(opened.source, description=record.description or opened.source.description, acquired_on=None))
