"""Clean copies of files: each written under a temporary name, read back, then moved into place."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import UID

from dicom_io.deidentify.header import Identity, clean_header
from dicom_io.deidentify.pixels import append_bytes, append_frames, copies_bytes, plan, reads_back
from dicom_io.deidentify.report import Change
from dicom_io.deidentify.review import DOCUMENTS, Confirmed, Reason, Review, may_hold_bitmap, review
from dicom_io.deidentify.rules import Profile, load_profile
from dicom_io.deidentify.uids import map_uid
from dicom_io.headers import DicomRefused, Header, ProgressReport, check_cancelled, read_header, report, text
from dicom_io.pixels import cut_off, storage_fault
from dicom_io.sources import Source, as_source, open_bounded
from dicom_io.trial_modules import Trial
from dicom_io.ultrasound import acquired_on, is_ultrasound, iso_date
from volumetry.errors import NodusError
from volumetry.finding import Finding

DATES = ("AcquisitionDateTime", "AcquisitionDate", "ContentDate", "SeriesDate", "StudyDate")
DEFAULT_PROFILE = "trial"


class NeedsReview(NodusError):
    """A picture that a person has to look at first. ``reasons`` say why."""

    default_code = "needs_review"

    def __init__(self, name: str, reasons: tuple[Reason, ...]):
        why = next((r.message for r in reasons if r.holds), "")
        super().__init__(f"{name} needs a person's eye before it is used: {why}", code="needs_review", hint="Look at the picture and confirm it.")
        self.reasons = reasons


@dataclass(frozen=True, slots=True)
class CleanedFile:
    """One file written clean: where, its new UIDs, what was changed, and what only the study store may keep of it.

    ``dates_arrived_shifted``: the file says that its dates were moved before it came. ``reasons`` are those for which a
    person should look at it, whether or not one has. ``findings``: frames that were lost before.
    """

    source: Source
    path: Path
    sop_instance_uid: str
    series_instance_uid: str | None
    acquired_on: str | None
    true_dates: tuple[tuple[str, str], ...]
    changed: tuple[Change, ...]
    masked_pixels: int = 0
    dates_arrived_shifted: bool = False
    reasons: tuple[Reason, ...] = ()
    confirmed: bool = False
    findings: tuple[Finding, ...] = ()


def true_dates(ds: Dataset) -> tuple[tuple[str, str], ...]:
    """(element, ISO date) of the header's acquisition dates, for the study store only."""
    found = ((k, iso_date(text(ds, k))) for k in DATES)
    return tuple((k, d) for k, d in found if d)


def clean_dataset(ds: Dataset, *, subject: str, salt: bytes, profile: str = DEFAULT_PROFILE, trial: Trial | None = None) -> Dataset:
    """A copy of the header ``ds`` that names nobody but the pseudonym ``subject``, without pixels; ``ds`` is left as it was."""
    return clean_header(ds, Identity(subject, salt, trial), load_profile(profile))[0]


def clean_copy(
    files: Sequence[Source],
    out_dir: Path,
    subject: str,
    salt: bytes,
    *,
    profile: str = DEFAULT_PROFILE,
    trial: Trial | None = None,
    confirmed: Mapping[Source, Confirmed] | None = None,
    progress: ProgressReport | None = None,
    should_cancel: Callable[[], bool] | None = None,
) -> tuple[CleanedFile, ...]:
    """Write clean copies of ``files`` into ``out_dir``, named by their mapped UIDs.

    A refusal, a picture that needs a person's eye and is not among ``confirmed``, or a cancellation leaves none of them
    behind. Raises ``DicomRefused``, ``NeedsReview`` or ``NodusError`` (``write_failed``, ``profile_missing``).
    """
    out_dir = Path(out_dir)
    out_dir.mkdir(parents=True, exist_ok=True)
    identity, rules = Identity(subject, salt, trial), load_profile(profile)
    done: list[CleanedFile] = []
    try:
        for n, source in enumerate(map(as_source, files)):
            check_cancelled(should_cancel)
            report(progress, f"Taking names out of file {n + 1} of {len(files)}", n / len(files))
            done.append(clean_file(source, out_dir, identity, rules, confirmed=(confirmed or {}).get(source), should_cancel=should_cancel))
    except BaseException:
        for one in done:
            one.path.unlink(missing_ok=True)
        raise
    report(progress, f"{len(files)} files are clean", 1.0)
    return tuple(done)


def clean_file(
    source: Source,
    out_dir: Path,
    identity: Identity,
    profile: Profile,
    *,
    confirmed: Confirmed | None = None,
    should_cancel: Callable[[], bool] | None = None,
    header: Header | None = None,
) -> CleanedFile:
    """Write a clean copy of one file into ``out_dir`` (which exists); ``header`` where it was read already. Raises as
    ``clean_copy`` does."""
    header = header or read_header(source)
    if (header.sop_class or "").startswith(DOCUMENTS):
        raise DicomRefused(f"{source.name} is a document inside DICOM; what it says cannot be cleaned.", code="not_cleanable")
    fault = storage_fault(header) if header.pixels is not None or header.rows else None
    plain = header.pixels is None or copies_bytes(header)
    if plain and may_hold_bitmap(header):
        raise DicomRefused(f"{source.name} is a picture of black and white dots; what is drawn there cannot be cleaned.", code="not_cleanable")
    cut = cut_off(header) if fault is not None and is_ultrasound(header) and not plain else None  # a loop keeps the frames that are whole
    if fault is not None and cut is None:
        raise fault
    found = Review(None) if plain else review(header)
    if found.holds and confirmed is None:
        raise NeedsReview(source.name, found.reasons)
    boxes = _boxes(found, confirmed)
    ds = _whole_header(source, header)
    try:
        clean, log = clean_header(ds, identity, profile)
    except NodusError:
        raise
    except Exception as error:  # a damaged file raises whatever its parser meets
        raise DicomRefused(f"{source.name} cannot be read ({type(error).__name__}).", code="unreadable") from error
    given = str(clean.get("SOPInstanceUID", ""))
    uid = given if UID(given).is_valid else map_uid(str(source), identity.key)  # it names the file: not several, not too long
    target = out_dir / f"{uid}.dcm"
    partial = out_dir / f".writing-{uid}"
    masked = 0
    try:
        if plain:
            _write_header(partial, clean)
            if header.pixels is not None:
                with partial.open("ab") as stream:
                    append_bytes(stream, header)
        else:
            masked = _write_picture(partial, header, boxes, clean, log, should_cancel)
        _check(partial, clean, identity.subject, source)
        _flush(partial)
        os.replace(partial, target)
    except OSError as error:
        raise NodusError(f"The clean copy cannot be written: {error.strerror or error}.", code="write_failed") from error
    finally:
        partial.unlink(missing_ok=True)
    return CleanedFile(
        source=source,
        path=target,
        sop_instance_uid=uid,
        series_instance_uid=text(clean, "SeriesInstanceUID"),
        acquired_on=acquired_on(ds),
        true_dates=true_dates(ds),
        changed=log.changes(),
        masked_pixels=masked,
        dates_arrived_shifted=text(ds, "LongitudinalTemporalInformationModified") == "MODIFIED",
        reasons=found.reasons,
        confirmed=confirmed is not None,
        findings=() if cut is None else (cut,),
    )


def _boxes(found: Review, confirmed: Confirmed | None):
    """What stays: what a person asked for, else the regions, else (confirmed, none known) the whole picture."""
    return (found.boxes or None) if confirmed is None else confirmed.kept(found.boxes)


def _whole_header(source: Source, header: Header) -> Dataset:
    """The header with long values too, and without the pixels."""
    try:
        with warnings.catch_warnings(), open_bounded(source) as stream:
            warnings.simplefilter("ignore")
            ds = pydicom.dcmread(stream, stop_before_pixels=True, force="SOPClassUID" in header.ds)
    except Exception as error:  # as the parser pleases
        raise DicomRefused(f"{source.name} cannot be read ({type(error).__name__}).", code="unreadable") from error
    if len(ds) == 0:
        raise DicomRefused(f"{source.name} cannot be read to its end.", code="truncated")
    return ds


def _write_header(path: Path, clean: Dataset) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            pydicom.dcmwrite(path, clean, enforce_file_format=True)
        except OSError:
            raise
        except Exception as error:  # a value that cannot be encoded raises what the encoder likes
            raise NodusError(f"The clean copy cannot be encoded ({type(error).__name__}).", code="write_failed") from error


def _write_picture(path: Path, header: Header, boxes, clean: Dataset, log, should_cancel) -> int:
    """Header and frames of a picture; the number of pixels masked."""
    source, _, packed = plan(header, boxes, clean)
    clean.BurnedInAnnotation = "NO"
    log.add(clean["BurnedInAnnotation"].tag, "BurnedInAnnotation", "replaced")
    if source.masked_per_frame:
        clean.DeidentificationMethod = [*clean.DeidentificationMethod, "Masked outside ultrasound regions"]
    _write_header(path, clean)
    with path.open("ab") as stream:
        written = append_frames(stream, clean, source, packed, lambda _n: check_cancelled(should_cancel))
    if not reads_back(path, written.frame_hashes):
        raise NodusError(f"{header.path.name} did not read back as it was written.", code="write_failed")
    if written.masked_pixels:
        log.add(0x7FE00010, "PixelData", "masked")
    elif written.rewritten:
        log.add(0x7FE00010, "PixelData", "rewritten")
    return written.masked_pixels


def _check(path: Path, clean: Dataset, subject: str, source: Source) -> None:
    back = read_header(path)
    if str(back.ds.get("PatientID")) != subject or str(back.ds.get("SOPInstanceUID", "")) != str(clean.get("SOPInstanceUID", "")):
        raise NodusError(f"{source.name} did not read back as it was written.", code="write_failed")


def _flush(path: Path) -> None:
    with path.open("rb+") as stream:
        os.fsync(stream.fileno())
