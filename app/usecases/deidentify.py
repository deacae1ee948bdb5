"""Clean copies of DICOM files for sharing: who is in them is gone, what they refer to among themselves stays."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from app import __version__
from app.jobs import JobContext
from app.settings import data_folder
from app.study.rules import check_pseudonym
from app.study.store import StudyStore
from app.usecases.trial_identity import study_key, trial_of
from dicom_io.deidentify import CleanedFile, Confirmed, Identity, NeedsReview, as_csv, clean_file, key_check, load_profile, merged, pseudonym
from dicom_io.headers import DicomRefused, Header, read_header, text
from dicom_io.listing import SkippedFile, list_sources
from dicom_io.sources import Source
from dicom_io.trial_modules import Trial
from volumetry.errors import NodusError

KEY_BYTES = 32
REPORT = "deidentification.csv"
# Beside the table: by which profile and (told by a word that follows from it) which key the copies were made.
RECORD = "deidentification.json"
RECORD_SCHEMA = "nodus.deidentification/1"


def read_key(path: Path | None = None, *, make: bool = True) -> bytes:
    """The key in a file; made there, readable by its owner only, where there is none. Without a path the user's own key
    of this computer. Raises ``NodusError`` (``key_refused``; ``key_missing`` without ``make``)."""
    path = path or data_folder() / "deidentify.key"
    if not make and not path.exists():
        raise NodusError(
            f"The key {path.name} of the earlier copies is not there; without it new copies cannot match them.",
            code="key_missing", hint="Bring the key back from where it is kept, or clean everything anew with another key.",
        )  # fmt: skip
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            key = path.read_bytes().strip()
        else:
            key = secrets.token_hex(KEY_BYTES).encode()
            with os.fdopen(handle, "wb") as stream:
                stream.write(key + b"\n")
    except OSError as error:
        raise NodusError(f"The key file cannot be used: {error.strerror or error}.", code="key_refused") from error
    if len(key) < KEY_BYTES:
        raise NodusError(f"The key in {path.name} is shorter than {KEY_BYTES} characters.", code="key_refused")
    return key


def key_and_trial(
    out: Path, *, study: Path | None, key_file: Path | None, subject: str | None, visit: str | None, protocol: str | None = None, site: str | None = None, like: Path | None = None,
    open_study: Callable[[Path], StudyStore] = StudyStore.open,
) -> tuple[bytes, Trial | None]:
    """The key of a study, of a file, or of this computer, and what is said of the trial. The key may not lie in the export.

    ``like`` is a folder of earlier copies that the new ones must match: no key is made then, and another key than
    theirs is refused (``key_missing``, ``key_differs``, ``key_record_missing``). ``open_study`` opens the study as who is at work: whoever may bring
    pictures into it may use its key (``sign_in_needed``, ``right_missing``)."""
    if key_file is not None and key_file.resolve().is_relative_to(out.resolve()):
        raise NodusError("The key may not lie inside the export: whoever has it could undo the work.", code="key_refused", hint="Name a file elsewhere.")
    if study is not None:
        with open_study(study) as store:
            store.require("images")
            key = study_key(store, make=like is None)
            check_same_key(key, like)
            return key, trial_of(store, subject, visit) if subject else None
    trial = Trial(protocol or "", site_id=site or "", time_point=visit or "") if protocol or site or visit else None
    key = read_key(key_file, make=like is None)
    check_same_key(key, like)
    return key, trial


def check_same_key(key: bytes, like: Path | None) -> None:
    """Refuse a key that is not the one that the copies in ``like`` were made with. Raises ``key_differs``, ``key_record_missing``."""
    if like is None:
        return
    try:
        made_with = json.loads((like / RECORD).read_text("utf-8"))["key_check"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise NodusError(f"{like.name} does not tell which key its copies were made with.", code="key_record_missing", hint=f"Name a folder with {RECORD} in it.") from error
    if made_with != key_check(key):
        raise NodusError(
            f"The copies in {like.name} were made with another key: subjects, dates and references would not match.",
            code="key_differs", hint="Name the key that they were made with.",
        )  # fmt: skip


def deidentify(
    path: Path,
    out: Path,
    profile: str,
    key: bytes,
    *,
    subject: str | None = None,
    trial: Trial | None = None,
    confirmed: Mapping[str, Confirmed] | None = None,
    confirm_all: bool = False,
    context: JobContext,
) -> dict[str, Any]:
    """Write clean copies of everything DICOM under ``path`` into the empty folder ``out``, with a table of what was changed.

    Without ``subject`` each patient gets a pseudonym that follows from the key. Pictures that need a person's eye are
    listed under ``needs_review`` and not written unless ``confirmed`` names them (by their name under ``path``) or
    ``confirm_all`` is given. All files appear together or none. Raises ``nothing_to_clean``, ``folder_not_empty``,
    ``profile_missing``, ``write_failed``.
    """
    rules = load_profile(profile)
    if subject is not None:
        check_pseudonym(subject)
    if not path.exists():
        raise NodusError(f"There is no {path.name} to clean.", code="file_missing")
    _refuse_place(path, out)
    listing = list_sources(path, lambda: context.token.is_cancelled)
    work = _Work(key, subject, trial, rules, dict(confirmed or {}), confirm_all, context)
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".partial-", dir=out) as folder:
            for n, (name, source) in enumerate(listing.files):
                context.report(f"Taking names out of file {n + 1} of {len(listing.files)}", n / len(listing.files))
                work.take(name, source, Path(folder))
            if not work.cleaned and not work.needs_review and not any(s.code != "not_dicom" for s in work.skipped):
                raise NodusError("Nothing here is DICOM.", code="nothing_to_clean", hint="Choose a folder of DICOM files.")
            changed = merged(c for one in work.cleaned for c in one.changed)
            if work.cleaned:
                (Path(folder) / REPORT).write_text(as_csv(changed), encoding="utf-8", newline="")
                record = {"schema": RECORD_SCHEMA, "software": f"nodus {__version__}", "profile": profile, "key_check": key_check(key), "files": len(work.cleaned)}
                (Path(folder) / RECORD).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8", newline="\n")
            files = [work.receipt(one, Path(folder)) for one in work.cleaned]
            for entry in sorted(Path(folder).iterdir()):
                os.replace(entry, out / entry.name)
    except OSError as error:
        raise NodusError(f"The clean copies cannot be written: {error.strerror or error}.", code="write_failed") from error
    context.report(f"{len(files)} files are clean", 1.0)
    return {
        "profile": profile,
        "files": files,
        "changed": [c.to_dict() for c in changed],
        "masked_pixels": sum(one.masked_pixels for one in work.cleaned),
        "needs_review": work.needs_review,
        "skipped": [s.to_dict() for s in (*listing.skipped, *work.skipped)],
        "warnings": work.warnings(),
        "report": REPORT if work.cleaned else None,
        "key_check": key_check(key),
    }


def _refuse_place(path: Path, out: Path) -> None:
    source, target = path.resolve(), out.resolve()
    if source == target or target.is_relative_to(source) or (path.is_dir() and source.is_relative_to(target)):
        raise NodusError("Originals and clean copies may not lie in one folder.", code="folder_not_empty", hint="Choose another folder for the clean copies.")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise NodusError("The clean copies need an empty folder; this one holds other files.", code="folder_not_empty", hint="Choose a new folder.")


class _Work:
    """One run: what was written, what waits for a person, what was left out."""

    def __init__(self, key, subject, trial, rules, confirmed, confirm_all, context):
        self.key, self.subject, self.trial, self.rules = key, subject, trial, rules
        self.confirmed, self.confirm_all, self.context = confirmed, confirm_all, context
        self.cleaned: list[CleanedFile] = []
        self.needs_review: list[dict[str, Any]] = []
        self.skipped: list[SkippedFile] = []
        self._patients: set[str] = set()

    def take(self, name: str, source: Source, folder: Path) -> None:
        """Clean one file, or say why not."""
        looked_at = self.confirmed.get(name) or (Confirmed() if self.confirm_all else None)
        try:
            header = read_header(source)
            patient = patient_of(header)
            self._patients.add(patient)
            subject = self.subject or pseudonym(patient, self.key)
            done = clean_file(
                source, folder, Identity(subject, self.key, self.trial), self.rules, confirmed=looked_at, should_cancel=lambda: self.context.token.is_cancelled, header=header
            )
        except NeedsReview as held:
            self.needs_review += [{"file": name, **r.to_dict()} for r in held.reasons]
            return
        except DicomRefused as refusal:
            self.skipped.append(SkippedFile(name, refusal.code, refusal.message))
            return
        # Shown as well where it was written all the same: a person may want to look before it is shared.
        self.needs_review += [{"file": name, **r.to_dict(), "held": False} for r in done.reasons if not done.confirmed]
        place = folder / subject / (done.series_instance_uid or "no-series")
        place.mkdir(parents=True, exist_ok=True)
        if (place / done.path.name).exists():
            done.path.unlink()
            self.skipped.append(SkippedFile(name, "duplicate_slice", f"{name} is the same object as another file."))
            return
        os.replace(done.path, place / done.path.name)
        self.cleaned.append(replace(done, path=place / done.path.name))

    def receipt(self, done: CleanedFile, folder: Path) -> dict[str, Any]:
        """One written file, by its place in the export; never by its old name."""
        return {
            "path": done.path.relative_to(folder).as_posix(),
            "sha256": hashlib.sha256(done.path.read_bytes()).hexdigest(),
            "masked_pixels": done.masked_pixels,
            "confirmed": done.confirmed,
            "findings": [f.as_dict() for f in done.findings],
        }

    def warnings(self) -> list[dict[str, str]]:
        """What the person should know about the whole."""
        cut = sum(any(f.code == "truncated" for f in one.findings) for one in self.cleaned)
        found = [{"code": "truncated", "message": f"{cut} loops were cut off before they came; their whole frames were kept."}] if cut else []
        if self.subject is None or len(self._patients) < 2:
            return found
        return [*found, {"code": "several_patients", "message": f"The files name {len(self._patients)} patients; all were given the pseudonym {self.subject}."}]


def patient_of(header: Header) -> str:
    """Whatever tells the patients of these files apart."""
    return text(header.ds, "PatientID") or text(header.ds, "PatientName") or text(header.ds, "StudyInstanceUID") or "unknown"
