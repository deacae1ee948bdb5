"""Getting series from a PACS and sending files to it, whichever way it is spoken to: whole files only, counted, resumed.

A file that arrives is written under a temporary name, flushed and moved, so a break leaves whole files and nothing else.
A series counts as retrieved only when every instance that the PACS lists is there.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from dicom_io.headers import ProgressReport, check_cancelled, report, text
from dicom_io.peer import UID_PATTERN, LeftOut, Outgoing, Pacs, PacsRefused, RetrieveResult, SendResult, ShouldCancel, check_uid
from dicom_io.sources import BoundedBytes, open_bounded

PARTIAL = ".incoming-"
IDENTITY = ["SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"]


def identity_of(content: bytes) -> Dataset:
    """The UIDs of an instance in the DICOM file format. Raises ``PacsRefused`` (``pacs_mismatch``) for what is none."""
    try:
        ds = pydicom.dcmread(BoundedBytes(content), stop_before_pixels=True, specific_tags=IDENTITY)
    except Exception as error:  # a damaged stream raises whatever its parser meets
        raise PacsRefused("What arrived is not a DICOM instance.", code="pacs_mismatch") from error
    for keyword in IDENTITY[1:]:
        if not UID_PATTERN.fullmatch(text(ds, keyword) or ""):
            raise PacsRefused("What arrived names no valid study, series and instance.", code="pacs_mismatch")
    return ds


def write_whole(content: bytes, path: Path) -> None:
    """Write under a temporary name, flush to the disk, move into place. Raises ``PacsRefused`` (``write_failed``)."""
    partial = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=PARTIAL, dir=path.parent)
        partial = Path(name)
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(partial, path)
    except OSError as error:
        if partial is not None:
            partial.unlink(missing_ok=True)
        raise PacsRefused(f"A picture from the PACS could not be written: {error.strerror or error}.", code="write_failed", hint="Check the disk and its free space.") from error


def sync_folder(folder: Path) -> None:
    """Flush the names in a folder to the disk, where the system can (not on Windows). Raises ``OSError``."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class Incoming:
    """The files of one series in a folder of its own, named by their SOP instance UIDs. One retrieve a folder at a time."""

    def __init__(self, folder: Path, study_uid: str, series_uid: str):
        self.folder = Path(folder) / check_uid(series_uid)
        self.study_uid, self.series_uid = check_uid(study_uid), series_uid

    def have(self) -> set[str]:
        """SOP instance UIDs that are there whole."""
        if not self.folder.is_dir():
            return set()
        return {p.stem for p in self.folder.iterdir() if p.suffix == ".dcm" and UID_PATTERN.fullmatch(p.stem) and p.stat().st_size > 0}

    def sweep(self) -> None:
        """Remove what a retrieve that was killed left half-written."""
        if self.folder.is_dir():
            for path in self.folder.glob(PARTIAL + "*"):
                path.unlink(missing_ok=True)

    def take(self, content: bytes, wanted: Sequence[str] | set[str]) -> str:
        """Keep one instance; gives its UID. Raises ``PacsRefused`` (``pacs_mismatch``) for one that was not asked for, so that no
        other patient's picture can slip in, and ``write_failed``."""
        ds = identity_of(content)
        uid = str(ds.SOPInstanceUID)
        if uid not in wanted or ds.SeriesInstanceUID != self.series_uid or ds.StudyInstanceUID != self.study_uid:
            raise PacsRefused("The PACS sent a picture that was not asked for; it was not kept.", code="pacs_mismatch")
        write_whole(content, self.folder / f"{uid}.dcm")
        return uid


class Patience:
    """Tries in a row that brought nothing; sleeps between them, and says when it is enough."""

    def __init__(self, pacs: Pacs, should_cancel: ShouldCancel | None):
        self._limits, self._should_cancel, self._failed = pacs.limits, should_cancel, 0

    def gained(self) -> None:
        """Something new came: count anew."""
        self._failed = 0

    def after(self, error: PacsRefused) -> None:
        """Wait before another try, or raise ``error`` where trying again is of no use."""
        self._failed += 1
        if not error.is_passing or self._failed >= self._limits.attempts:
            raise error
        until = time.monotonic() + self._limits.pause_s * 2 ** (self._failed - 1)
        while (left := until - time.monotonic()) > 0:
            check_cancelled(self._should_cancel)
            time.sleep(min(0.05, left))


def retrieve_series(pacs: Pacs, study_uid: str, series_uid: str, folder: Path | str, *, progress: ProgressReport | None = None, should_cancel: ShouldCancel | None = None) -> RetrieveResult:
    """Bring a whole series into ``folder/<series UID>``; what is already there is not fetched again.

    Tries again where the connection breaks. Ends well only when every instance that the PACS lists, asked once more at
    the end, is there. Raises ``PacsRefused`` (``pacs_nothing_found``, ``pacs_incomplete``, ``pacs_stray_files``, and what
    the connection refuses) or ``Cancelled``; whole files that have come stay for the next try.
    """
    box = Incoming(Path(folder), study_uid, series_uid)
    box.sweep()
    patience = Patience(pacs, should_cancel)
    before = box.have()
    listed: dict[str, str] = {}
    complete = False
    while not complete:
        check_cancelled(should_cancel)
        have = box.have()
        try:
            # Also after the last one has come: a series that grows meanwhile is not taken for whole.
            listed = pacs.instances(study_uid, series_uid, should_cancel=should_cancel)
            if not listed:
                raise PacsRefused("The PACS has no such series.", code="pacs_nothing_found")
            missing = {uid: sop_class for uid, sop_class in listed.items() if uid not in have}
            if missing:
                _fetch(pacs, box, missing, listed, progress, should_cancel)
            complete = not missing
        except PacsRefused as error:
            if len(box.have()) > len(have):
                patience.gained()
            try:
                patience.after(error)
            except PacsRefused as last:
                raise _with_count(last, len(box.have()), len(listed)) from error
    report(progress, f"{len(listed)} of {len(listed)} pictures", 1.0)
    stray = box.have() - set(listed)
    if stray:
        raise PacsRefused(f"The folder holds {len(stray)} pictures that the PACS no longer has in this series.", code="pacs_stray_files", hint="Retrieve into an empty folder.")
    return RetrieveResult(study_uid, series_uid, box.folder, len(listed.keys() - before), len(listed.keys() & before))


def _fetch(pacs: Pacs, box: Incoming, missing: dict[str, str], listed: dict[str, str], progress: ProgressReport | None, should_cancel: ShouldCancel | None) -> None:
    total, there = len(listed), len(listed) - len(missing)
    left = dict(missing)

    def take(content: bytes) -> None:
        nonlocal there
        uid = box.take(content, left)
        del left[uid]
        there += 1
        report(progress, f"{there} of {total} pictures", there / total)

    report(progress, f"{there} of {total} pictures", there / total)
    pacs.fetch(box.study_uid, box.series_uid, missing, len(missing) == total, take, should_cancel=should_cancel)
    if left:
        raise PacsRefused(f"The PACS did not send {len(left)} of {total} pictures of the series.", code="pacs_incomplete", hint="Try again; what has come is kept.")


def _with_count(error: PacsRefused, there: int, total: int) -> PacsRefused:
    """The refusal, with how far it got."""
    if not total or error.code in ("pacs_nothing_found", "pacs_incomplete"):
        return error
    return PacsRefused(f"{error.message} {there} of {total} pictures have come and are kept for the next try; nothing was imported.", code=error.code, hint=error.hint)


# ---- sending -------------------------------------------------------------------------------------


def outgoing(paths: Sequence[Path | str]) -> tuple[list[Outgoing], list[LeftOut]]:
    """Files to send out of files and folders, and what among them cannot be sent. Raises ``PacsRefused`` (``file_missing``)."""
    found: list[Path] = []
    for path in map(Path, paths):
        if path.is_dir():
            found += sorted(p for p in path.rglob("*") if p.is_file())
        elif path.is_file():
            found.append(path)
        else:
            raise PacsRefused(f"There is no {path.name} to send.", code="file_missing")
    files, left_out, seen = [], [], set()
    for path in found:
        try:
            with open_bounded(path) as fp:
                ds = pydicom.dcmread(fp, stop_before_pixels=True, specific_tags=IDENTITY)
        except (OSError, InvalidDicomError):
            left_out.append(LeftOut(path.name, "not_dicom", f"{path.name} is not DICOM."))
            continue
        except Exception as error:  # a damaged header raises whatever its parser meets
            left_out.append(LeftOut(path.name, "unreadable", f"{path.name} has a damaged header ({type(error).__name__})."))
            continue
        values = [text(ds, keyword) for keyword in IDENTITY]
        syntax = text(ds.file_meta, "TransferSyntaxUID")
        if not all(values) or syntax is None or text(ds.file_meta, "MediaStorageSOPInstanceUID") != values[1]:
            left_out.append(LeftOut(path.name, "not_dicom", f"{path.name} does not say what it is."))
            continue
        if values[1] in seen:
            left_out.append(LeftOut(path.name, "duplicate_slice", f"{path.name} is there twice."))
            continue
        seen.add(values[1])
        files.append(Outgoing(path, values[0], values[1], syntax, values[2], values[3]))
    return files, left_out


def send_files(pacs: Pacs, paths: Sequence[Path | str], *, progress: ProgressReport | None = None, should_cancel: ShouldCancel | None = None) -> SendResult:
    """Send files and folders; what the PACS already has, by SOP instance UID, is not sent again.

    Tries again where the connection breaks. Raises ``PacsRefused`` (``nothing_to_send``, and what the connection
    refuses) or ``Cancelled``. A file that the PACS refuses is told in the result and does not stop the others.
    """
    files, left_out = outgoing(paths)
    if not files:
        raise PacsRefused("There is no DICOM file to send.", code="nothing_to_send")
    patience = Patience(pacs, should_cancel)
    waiting = {f.sop_uid: f for f in files}
    already = _already_there(pacs, files, patience, should_cancel)
    for uid in already:
        del waiting[uid]
    count: Counter[str] = Counter()

    def done(file: Outgoing, refusal: LeftOut | None) -> None:
        patience.gained()
        waiting.pop(file.sop_uid, None)
        if refusal is None:
            count["sent"] += 1
        else:
            left_out.append(refusal)
        report(progress, f"{len(files) - len(waiting)} of {len(files)} files", (len(files) - len(waiting)) / len(files))

    report(progress, f"{len(already)} of {len(files)} files", len(already) / len(files))
    while waiting:
        check_cancelled(should_cancel)
        try:
            pacs.store(list(waiting.values()), done, should_cancel=should_cancel)
        except PacsRefused as error:
            try:
                patience.after(error)
            except PacsRefused as last:
                kept = count["sent"] + len(already)
                raise PacsRefused(f"{last.message} {kept} of {len(files)} files are at the PACS; send again for the rest.", code=last.code, hint=last.hint) from error
    return SendResult(count["sent"], len(already), tuple(left_out))


def _already_there(pacs: Pacs, files: list[Outgoing], patience: Patience, should_cancel: ShouldCancel | None) -> set[str]:
    there: set[str] = set()
    for study_uid, series_uid in dict.fromkeys((f.study_uid, f.series_uid) for f in files):
        while True:
            try:
                there |= pacs.instances(study_uid, series_uid, should_cancel=should_cancel).keys()
                patience.gained()
                break
            except PacsRefused as error:
                if error.code in ("pacs_refused", "pacs_not_supported", "pacs_request_invalid"):
                    break  # some take files and answer no question; then all are sent
                patience.after(error)
    return {f.sop_uid for f in files if f.sop_uid in there}
