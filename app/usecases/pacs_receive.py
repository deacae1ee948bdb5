"""What scanners and PACS send to this computer: who may, what has come, and how it goes into a study.

What has come waits in a folder of the user's data until it is in a study whole, or somebody removes it: the sender may
have forgotten it by then.
"""

from __future__ import annotations

import dataclasses
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pydicom

from app.jobs import JobContext
from app.settings import data_folder, load_entry, save_entry
from app.study.store import StudyStore
from app.usecases.import_images import PICTURE_KINDS, ImportResult, import_folder
from dicom_io.deidentify import Confirmed
from dicom_io.headers import text
from dicom_io.peer import PacsRefused, check_ae_title, check_port, door_context
from dicom_io.scan import scan_folder
from dicom_io.storage_server import Received, StorageServer
from volumetry.errors import NodusError

ENTRY = "pacs_receiver"
HEADER = ["PatientID", "PatientName", "StudyDate", "Modality", "Rows"]
QUIET_S = 10.0  # a study to which a picture came so lately may not be whole yet


@dataclass(frozen=True, slots=True)
class Receiver:
    """How this computer listens: its AE title, the port, the address (this computer only unless told otherwise), and who
    may send. With ``certificate_file`` and ``key_file`` it encrypts, and then with ``ca_file`` senders must prove themselves by
    a certificate of that authority. Raises ``PacsRefused`` (``pacs_peer_invalid``, ``pacs_allow_list_empty``)."""

    ae_title: str = "NODUS"
    port: int = 11112
    host: str = "127.0.0.1"
    allow: tuple[str, ...] = ()
    certificate_file: str | None = None
    key_file: str | None = None
    ca_file: str | None = None

    def __post_init__(self) -> None:
        check_ae_title(self.ae_title, "this computer")
        check_port(self.port, "The receiver")
        if not self.host or any(c.isspace() for c in self.host):
            raise PacsRefused("The receiver needs an address of this computer to listen at.", code="pacs_peer_invalid")
        if not self.allow:
            raise PacsRefused("Nobody is on the list of those who may send.", code="pacs_allow_list_empty", hint="Name the AE title of each sender.")
        for title in self.allow:
            check_ae_title(title, "a sender")
        if bool(self.certificate_file) != bool(self.key_file):
            raise PacsRefused("A certificate of our own and its key belong together.", code="pacs_peer_invalid")
        if self.ca_file and not self.certificate_file:
            raise PacsRefused("Senders can prove themselves only where this computer has a certificate, too.", code="pacs_peer_invalid")

    def server(self, folder: Path, on_change: Callable[[Received], object] | None = None) -> StorageServer:
        """The door, not open yet. Raises ``PacsRefused`` (``pacs_tls_failed``) for certificates that cannot be used."""
        tls = door_context(self.certificate_file, self.key_file, self.ca_file) if self.certificate_file and self.key_file else None
        return StorageServer(self.ae_title, allow=self.allow, port=self.port, folder=folder, host=self.host, on_change=on_change, tls=tls)


def load_receiver() -> Receiver | None:
    """How it listened last, None where it never did or what is kept is damaged."""
    kept = load_entry(ENTRY)
    if not isinstance(kept, dict):
        return None
    known = {f.name for f in dataclasses.fields(Receiver)}
    try:
        values = {k: v for k, v in kept.items() if k in known}
        return Receiver(**{**values, "allow": tuple(values.get("allow", ()))})
    except (NodusError, TypeError, AttributeError):
        return None


def save_receiver(receiver: Receiver) -> None:
    """Keep how it listens. Raises ``settings_not_kept``."""
    try:
        save_entry(ENTRY, {k: v for k, v in dataclasses.asdict(receiver).items() if v is not None})
    except OSError as problem:
        raise NodusError(f"The choice could not be kept: {problem.strerror or problem}.", code="settings_not_kept", hint="Check the disk and its permissions.") from problem


def inbox() -> Path:
    """Where what was sent waits: among the user's data, readable by this user alone."""
    folder = data_folder() / "received"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
    except OSError as problem:
        raise PacsRefused(f"The folder for what is received cannot be made: {problem.strerror or problem}.", code="write_failed", hint="Check the disk and its permissions.") from problem
    return folder


# ---- what has come -------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class ReceivedStudy:
    """One study that waits. ``patients`` are (ID, name) as sent, more than one where the sender mixed them up;
    ``study_date`` is YYYY-MM-DD; ``others`` are files that hold no picture; ``newest_s`` when the last one came (seconds since 1970). While ``is_arriving`` more may
    come, so that it is not imported yet."""

    study_uid: str
    folder: Path
    patients: tuple[tuple[str, str], ...]
    study_date: str | None
    modalities: tuple[str, ...]
    series: int
    pictures: int
    others: int
    newest_s: float
    is_arriving: bool

    @property
    def masked(self) -> str:
        """The patient so that one who knows the name recognises it and nobody else learns it."""
        return "; ".join(dict.fromkeys(mask_person(name, patient_id) for patient_id, name in self.patients))


def mask_person(name: str, patient_id: str) -> str:
    """Initials and the end of the ID: ``D… J… · …77``."""
    parts = [p for p in name.split("=")[0].replace("^", " ").split() if p]
    initials = " ".join(p[0].upper() + "…" for p in parts[:2]) or "no name"
    # Of a short ID nothing may be left over that is the ID itself.
    tail = f"…{patient_id[-2:]}" if len(patient_id) > 4 else ("…" if patient_id else "no ID")
    return f"{initials} · {tail}"


def received_studies(folder: Path, arriving: frozenset[str] = frozenset()) -> list[ReceivedStudy]:
    """The studies that wait in ``folder``, the one that came last first. Reads one header a series."""
    found = []
    for place in sorted(folder.iterdir()) if folder.is_dir() else ():
        if place.is_dir():
            study = _study(place, place.name in arriving)
            if study is not None:
                found.append(study)
    return sorted(found, key=lambda s: s.newest_s, reverse=True)


def _study(place: Path, is_open: bool) -> ReceivedStudy | None:
    patients: dict[tuple[str, str], None] = {}
    dates, modalities, series, pictures, others, newest = [], [], 0, 0, 0, 0.0
    for one in sorted(place.iterdir()):
        files = sorted(one.glob("*.dcm")) if one.is_dir() else []
        if not files:
            continue
        try:
            ds = pydicom.dcmread(files[0], stop_before_pixels=True, specific_tags=HEADER)
            newest = max(newest, *(p.stat().st_mtime for p in files))
        except FileNotFoundError:  # removed meanwhile
            continue
        except Exception:  # a header that cannot be read raises whatever its parser meets; the import says why
            ds = pydicom.Dataset()
        series += 1
        if ds.get("Rows"):
            pictures += len(files)
        else:
            others += len(files)
        patients[text(ds, "PatientID") or "", text(ds, "PatientName") or ""] = None
        modalities.append(text(ds, "Modality") or "?")
        day = text(ds, "StudyDate") or ""
        if len(day) == 8 and day.isdigit():
            dates.append(f"{day[:4]}-{day[4:6]}-{day[6:]}")
    if not series:
        return None
    lately = 0 <= time.time() - newest < QUIET_S
    return ReceivedStudy(place.name, place, tuple(patients), min(dates, default=None), tuple(dict.fromkeys(modalities)), series, pictures, others, newest, is_open or lately)


def find_received(folder: Path, study_uid: str, arriving: frozenset[str] = frozenset()) -> ReceivedStudy:
    """The study of that UID. Raises ``pacs_nothing_found``."""
    for study in received_studies(folder, arriving):
        if study.study_uid == study_uid:
            return study
    raise PacsRefused("No such study has been received.", code="pacs_nothing_found", hint="nodus pacs received lists what has come.")


# ---- into a study, or away -----------------------------------------------------------------------
def import_received(
    store: StudyStore, subject_id: str, visit_name: str, study: ReceivedStudy, context: JobContext, *,
    confirmed: Mapping[str, Confirmed] | None = None, confirm_all: bool = False,
) -> ImportResult:  # fmt: skip
    """Import a study that was received, as every import does. Its pictures leave the waiting folder only where none of them
    was left out; what is no picture and what comes meanwhile stays. Raises ``PacsRefused`` (``pacs_still_arriving``,
    ``pacs_several_patients``)."""
    check_received(study)
    pictures = {Path(p) for s in scan_folder(study.folder, should_cancel=lambda: context.token.is_cancelled).series if s.kind in PICTURE_KINDS for p in s.paths}
    result = import_folder(store, subject_id, visit_name, study.folder, context, confirmed=confirmed, confirm_all=confirm_all)
    if not result.skipped:
        for path in pictures:
            path.unlink(missing_ok=True)
        for folder in (*{p.parent for p in pictures}, study.folder):
            with suppress(OSError):  # it still holds something
                folder.rmdir()
    return result


def check_received(study: ReceivedStudy) -> None:
    """Raise ``PacsRefused`` for a study that cannot be imported as it is."""
    if study.is_arriving:
        raise PacsRefused("More pictures of this study may still come; a part of it would pass for the whole.", code="pacs_still_arriving", hint="Wait until the sender has finished.")
    if len(study.patients) > 1:
        raise PacsRefused("The sender put pictures of several patients into this study.", code="pacs_several_patients", hint="Ask for it to be sent again correctly, and remove this one.")


def remove_received(study: ReceivedStudy) -> None:
    """Remove a study from those that wait. Raises ``write_failed``."""
    try:
        shutil.rmtree(study.folder)
    except OSError as problem:
        raise PacsRefused(f"It could not be removed: {problem.strerror or problem}.", code="write_failed", hint="Check the disk and its permissions.") from problem
