"""What lies in a folder: headers only, grouped into series that really are one thing each.

Every file ends up in a series or among the skipped ones with a reason; a bad file never stops the
rest, and no pixel is read.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from dicom_io.codecs import codec_available
from dicom_io.dicomdir import ListedFile
from dicom_io.enhanced_us import part_finding, transducer_mapping, volume_findings, volume_frame_of_reference, volume_planes
from dicom_io.grouping import Stack, split_series
from dicom_io.headers import (
    DicomRefused,
    Header,
    ProgressReport,
    check_cancelled,
    integer,
    look_at_header,
    number,
    report,
    text,
    uid_name,
)
from dicom_io.listing import Listing, SkippedFile, list_sources, missing_beside
from dicom_io.pixels import cut_off, storage_fault, surplus_bytes, whole_frames
from dicom_io.planes import FramePlane, frame_planes, instance_number, tilt_findings
from dicom_io.sources import Source
from dicom_io.ultrasound import (
    ENHANCED_US_VOLUME,
    acquired_on,
    is_synthetic,
    is_ultrasound,
    read_calibration,
    read_frame_times,
)
from volumetry.calibration import Calibration
from volumetry.errors import NodusError
from volumetry.finding import Finding

SEGMENTATIONS = frozenset({"1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7"})
RTSTRUCT = "1.2.840.10008.5.1.4.1.1.481.3"
REPORTS_PREFIX = "1.2.840.10008.5.1.4.1.1.88."
WORKERS = 8
BATCH = 16
# A file that kept us waiting longer than this (beyond our own work on it) lies on a slow disk or far away.
SLOW_FILE_S = 0.002


@dataclass(frozen=True, slots=True, eq=False)
class FileFacts:
    """What grouping needs of one file; the header itself is let go."""

    path: Source
    name: str
    sop_class: str | None
    sop_uid: str | None
    series_uid: str | None
    study_uid: str | None
    frame_of_reference_uid: str | None
    modality: str | None
    transfer_syntax: str | None
    rows: int | None
    columns: int | None
    frames: int
    instance: int | None
    is_localizer: bool
    planes: tuple[FramePlane | None, ...]
    header: Header | None
    stored_bytes: int
    description: str | None
    acquired_on: str | None
    synthetic: bool
    findings: tuple[Finding, ...] = ()
    calibration: Calibration | None = None
    frame_times_ms: tuple[float, ...] | None = None
    volume_to_transducer: tuple[float, ...] | None = None
    patient_id: str | None = field(default=None, repr=False)  # tells patients of one series apart, shown nowhere
    samples: int = 1


@dataclass(frozen=True, slots=True, eq=False)
class SeriesSummary:
    """One series, or one part of a series that really is several.

    ``to_dict`` gives the fields of ``nodus scan --json``. Beyond them: ``root`` (folder or archive that
    ``files`` are relative to), ``paths`` (the files themselves, or entries of an archive, in the order
    of ``files``), ``slices`` (file index and frame of each plane in order of position;
    empty for pictures without geometry) with their ``planes`` and slim ``headers``, so that a
    volume is read without parsing again; ``part`` of ``parts`` where a series was split. An ultrasound volume
    lies in a frame of its own (``in_patient_space`` False), with ``volume_to_transducer`` (16 numbers, row by row)
    where the header maps it.
    """

    series_uid: str | None
    modality: str | None
    sop_class: str | None
    transfer_syntax: str | None
    kind: str
    frames: int
    shape: tuple[int, int, int] | None
    spacing_mm: tuple[float, float, float | None] | None
    frame_times_ms: tuple[float, ...] | None
    regions: tuple[dict, ...] | None
    findings: tuple[Finding, ...]
    files: tuple[str, ...]
    root: Path
    paths: tuple[Source, ...] = ()
    slices: tuple[tuple[int, int], ...] = ()
    part: int = 1
    parts: int = 1
    study_uid: str | None = None
    frame_of_reference_uid: str | None = None
    description: str | None = None
    acquired_on: str | None = None
    synthetic: bool = False
    in_patient_space: bool = True
    volume_to_transducer: tuple[float, ...] | None = None
    planes: tuple[FramePlane, ...] = field(default=(), repr=False)
    headers: tuple[Header, ...] = field(default=(), repr=False)

    @property
    def key(self) -> str | None:
        """The series UID, with ``#part`` behind it where the series was split."""
        return f"{self.series_uid}#{self.part}" if self.parts > 1 else self.series_uid

    def to_dict(self) -> dict:
        """The object listed under ``series`` by ``nodus scan``."""
        return {
            "series_uid": self.series_uid,
            "series_key": self.key,
            "modality": self.modality,
            "sop_class": self.sop_class,
            "transfer_syntax": self.transfer_syntax,
            "kind": self.kind,
            "frames": self.frames,
            "shape": None if self.shape is None else list(self.shape),
            "spacing_mm": None if self.spacing_mm is None else list(self.spacing_mm),
            "frame_times_ms": None if self.frame_times_ms is None else list(self.frame_times_ms),
            "regions": None if self.regions is None else list(self.regions),
            "findings": [f.as_dict() for f in self.findings],
            "files": list(self.files),
            "part": self.part,
            "parts": self.parts,
            "frame_of_reference_uid": self.frame_of_reference_uid,
            "in_patient_space": self.in_patient_space if self.slices else None,
            "volume_to_transducer": None if self.volume_to_transducer is None else list(self.volume_to_transducer),
        }


@dataclass(frozen=True, slots=True)
class ScanResult:
    """Everything found under a path."""

    series: tuple[SeriesSummary, ...] = ()
    skipped: tuple[SkippedFile, ...] = field(default=())
    patients: int = 0  # how many different ones the pictures name

    def to_dict(self) -> dict:
        """The object printed by ``nodus scan --json``."""
        return {"series": [s.to_dict() for s in self.series], "skipped": [s.to_dict() for s in self.skipped], "patients": self.patients}


def region_dict(calibration: Calibration) -> tuple[dict, ...]:
    """Regions as plain numbers for ``nodus scan``."""
    return tuple(
        {
            "index": r.index,
            "spatial_format": r.spatial_format,
            "data_type": r.data_type,
            "flags": r.flags,
            "box": [r.x0, r.y0, r.x1, r.y1],
            "units": [r.units_x, r.units_y],
            "delta": [r.delta_x, r.delta_y],
            "is_length": r.is_length and calibration.refusal is None,
        }
        for r in calibration.regions
    )


def read_facts(path: Source, name: str) -> FileFacts:
    """Facts of one file. Raises ``DicomRefused`` with the reason to skip it."""
    header = look_at_header(path)
    ds, sop_class = header.ds, header.sop_class
    is_other = sop_class in SEGMENTATIONS or sop_class == RTSTRUCT or (sop_class or "").startswith(REPORTS_PREFIX)
    if len(ds) == 0 and header.pixels is None:
        raise DicomRefused(f"{name} is DICOM but its header is empty.", code="unreadable")
    findings: list[Finding] = []
    fault = storage_fault(header) if not (is_other and header.pixels is None) else None
    is_picture = is_ultrasound(header)
    cut = cut_off(header) if fault is not None and is_picture else None  # a loop keeps the frames that are whole
    if fault is not None and cut is None:
        fault.message = fault.message.replace(path.name, name, 1)
        raise fault
    if header.pixels is not None and not codec_available(header.transfer_syntax):
        findings.append(Finding("codec_missing", f"Compressed as {uid_name(header.transfer_syntax)}, which cannot be decoded here.", "serious"))
    surplus = surplus_bytes(header)
    if surplus:
        lost = int(surplus // header.frame_bytes())  # more than padding: whole frames that the header does not count
        told = f"{name} stores {surplus} bytes more than its header declares; they are ignored."
        more = f" They are {lost} whole frames more than the {header.frames} it counts: a part of the picture is not shown." if lost else ""
        findings.append(Finding("header_size_mismatch", told + more, "serious" if lost else "info"))
    if cut is not None:
        findings.append(cut)
    frames = whole_frames(header) if cut is not None else header.frames
    is_volume = sop_class == ENHANCED_US_VOLUME and not is_other
    planes: list[FramePlane | None] = [] if is_other or is_picture else volume_planes(ds, header.frames) if is_volume else frame_planes(ds, header.frames)
    if is_volume and planes:
        findings += volume_findings(ds)
    if any(planes) and not all(planes):
        findings.append(Finding("frames_without_position", f"{planes.count(None)} of the {header.frames} frames do not say where they lie in the patient; they are left out.", "serious"))
    times, calibration = None, None
    if header.pixels is not None and not is_other:
        time_values, time_findings = read_frame_times(ds, header.frames, frames) if not any(planes) else (None, ())
        times = None if time_values is None else tuple(float(v) for v in time_values)
        findings += time_findings
        if is_picture:
            calibration = read_calibration(ds, header.columns, header.rows)
            findings += calibration.findings
    mapping = transducer_mapping(ds) if is_volume else None
    image_type = (text(ds, "ImageType") or "").upper().split("\\")
    if image_type[0] != "DERIVED":
        findings += tilt_findings(number(ds, "GantryDetectorTilt"), planes)
    return FileFacts(
        path=path,
        name=name,
        sop_class=sop_class,
        sop_uid=text(ds, "SOPInstanceUID"),
        series_uid=text(ds, "SeriesInstanceUID"),
        study_uid=text(ds, "StudyInstanceUID"),
        frame_of_reference_uid=volume_frame_of_reference(ds) if is_volume else text(ds, "FrameOfReferenceUID"),
        modality=text(ds, "Modality"),
        transfer_syntax=header.transfer_syntax,
        rows=header.rows,
        columns=header.columns,
        frames=frames,
        instance=instance_number(ds),
        is_localizer="LOCALIZER" in image_type,
        planes=tuple(planes),
        header=header.slimmed() if any(planes) else None,
        stored_bytes=header.pixels.length if header.pixels is not None else 0,
        description=text(ds, "SeriesDescription"),
        acquired_on=acquired_on(ds),
        synthetic=is_synthetic(ds),
        findings=tuple(findings),
        calibration=calibration,
        frame_times_ms=times,
        volume_to_transducer=None if mapping is None else tuple(float(v) for v in mapping.ravel()),
        patient_id=text(ds, "PatientID") or text(ds, "PatientName"),
        samples=integer(ds, "SamplesPerPixel") or 1,
    )


def scan_folder(
    path: Path | str,
    *,
    progress: ProgressReport | None = None,
    should_cancel: Callable[[], bool] | None = None,
) -> ScanResult:
    """Read all headers under ``path`` and group them into series.

    ``path`` is a folder with whatever lies below it (archives among it are looked into), one file,
    a ZIP archive (its entries are read where they are, nothing is unpacked to the disk), or a
    DICOMDIR (the files it lists; those missing, and those it does not list, are told).
    ``progress(message, fraction)`` is called as files are read; ``should_cancel()`` is asked
    between files and makes the scan raise ``Cancelled``. Raises ``NodusError`` (``file_missing``) for
    an absent path, ``ArchiveRefused`` and ``DicomRefused`` where the archive or the directory named
    cannot be read at all.
    """
    listing = list_sources(Path(path), should_cancel)
    facts, skipped = _read_all(listing, progress, should_cancel)
    series, left_out = group(listing.root, facts, skipped)
    if not listing.missing:
        series, skipped = _with_missing_of_directories(listing, series, skipped)
    else:
        series = _say_missing(series, listing.missing)
    skipped = sorted([*listing.skipped, *skipped, *left_out], key=lambda s: s.file)
    patients = {f.patient_id for f in facts if f.patient_id}
    return ScanResult(tuple(series), tuple(skipped), len(patients))


def _read_all(listing: Listing, progress: ProgressReport | None, should_cancel: Callable[[], bool] | None) -> tuple[list[FileFacts], list[SkippedFile]]:
    """Facts of every file in the listing's order, and the refused ones.

    Files that answer at once are read one after the other: the work on a header is Python's, and
    threads only get into each other's way (measured: a tenth to a third slower). Once a batch had
    to wait for its disk or network, the rest is waited for side by side.
    """

    def one(name: str, file: Source) -> FileFacts | SkippedFile:
        check_cancelled(should_cancel)
        try:
            return read_facts(file, name)
        except NodusError as refusal:
            return SkippedFile(name, refusal.code, refusal.message)
        except RecursionError:
            return SkippedFile(name, "unreadable", f"{name} nests its header too deeply to be read.")

    facts: list[FileFacts] = []
    skipped: list[SkippedFile] = []
    total = len(listing.files)
    batches = [listing.files[n : n + BATCH] for n in range(0, total, BATCH)]

    def take(results: list[FileFacts | SkippedFile]) -> None:
        for result in results:
            (skipped if isinstance(result, SkippedFile) else facts).append(result)
        done = len(facts) + len(skipped)
        report(progress, f"Reading headers, {done} of {total}", done / total)

    def read(batch: list[tuple[str, Source]]) -> list[FileFacts | SkippedFile]:
        return [one(name, file) for name, file in batch]

    def waited_s(file: tuple[str, Source]) -> tuple[FileFacts | SkippedFile, float]:
        started, worked = time.perf_counter(), time.thread_time()
        result = one(*file)
        return result, time.perf_counter() - started - (time.thread_time() - worked)

    waiting = deque(batches)
    while waiting:
        results = [waited_s(file) for file in waiting.popleft()]
        take([result for result, _ in results])
        # A machine that is busy with other things lets some files wait; a slow disk lets most of them.
        if sum(wait > SLOW_FILE_S for _, wait in results) > len(results) / 2:
            break
    with ThreadPoolExecutor(WORKERS, thread_name_prefix="scan") as pool:
        for results in pool.map(read, waiting):
            take(results)
    return facts, skipped


def _with_missing_of_directories(listing: Listing, series: list[SeriesSummary], skipped: list[SkippedFile]) -> tuple[list[SeriesSummary], list[SkippedFile]]:
    """Every DICOMDIR found in a heap is held against the files that are there."""
    directories = {s.file for s in skipped if s.code == "dicomdir"}
    if not directories:
        return series, skipped
    names = [name for name, _ in listing.files]
    by_directory = {name: missing_beside(name, file, names) for name, file in listing.files if name in directories}
    told = []
    for one in skipped:
        absent = by_directory.get(one.file)
        if one.code == "dicomdir" and absent:
            one = replace(one, message=f"{one.message} {len(absent)} of them are not there, the first: {absent[0].name}.")
        told.append(one)
    unique = {m.name: m for absent in by_directory.values() for m in absent}
    return _say_missing(series, list(unique.values())), told


def _say_missing(series: list[SeriesSummary], missing: Sequence[ListedFile]) -> list[SeriesSummary]:
    """Tell each series how many of its files a DICOMDIR lists that are not there."""
    counts = Counter(m.series_uid for m in missing if m.series_uid)
    out = []
    for one in series:
        if counts.get(one.series_uid):
            note = Finding("listed_file_missing", f"The DICOMDIR lists {counts[one.series_uid]} more file(s) of this series, which are not there.", "serious")
            one = replace(one, findings=(*one.findings, note))
        out.append(one)
    return out


def group(root: Path, facts: list[FileFacts], skipped: list[SkippedFile]) -> tuple[list[SeriesSummary], list[SkippedFile]]:
    """Series out of facts, and files left out as duplicates."""
    by_series: dict[str, list[FileFacts]] = {}
    left_out: list[SkippedFile] = []
    seen: dict[tuple, FileFacts] = {}
    repeated: dict[str, int] = {}
    named: dict[tuple[str, str], str] = {}
    shared: set[str] = set()
    for fact in facts:
        key = fact.series_uid or f"file:{fact.name}"
        # Some tools keep the UID when they crop or recompress; only a like-sized twin is a duplicate.
        same = (fact.sop_uid, fact.rows, fact.columns, fact.frames, fact.transfer_syntax, fact.stored_bytes, fact.planes, fact.calibration)
        if fact.sop_uid and same in seen:
            left_out.append(SkippedFile(fact.name, "duplicate_slice", f"{fact.name} is the same image as {seen[same].name} again."))
            repeated[key] = repeated.get(key, 0) + 1
            continue
        seen[same] = fact
        if fact.sop_uid and any(fact.planes) and named.setdefault((key, fact.sop_uid), fact.name) != fact.name:
            shared.add(key)
        by_series.setdefault(key, []).append(fact)
    out: list[SeriesSummary] = []
    for key, members in by_series.items():
        pictures = [m for m in members if not any(m.planes)]
        spatial = [m for m in members if any(m.planes)]
        stacks, dropped = split_series(spatial)
        left_out += [SkippedFile(name, "duplicate_slice", message) for name, message in dropped]
        parts = len(stacks)
        extra = []
        if repeated.get(key):
            extra.append(Finding("duplicate_slice", f"{repeated[key]} file(s) hold an image that is here already; they are left out.", "warning"))
        if key in shared:
            extra.append(Finding("uid_reused", "Slices of this series that lie apart carry one identity (SOPInstanceUID); what refers to them by it cannot tell them apart.", "warning"))
        if parts > 1:
            extra.append(Finding("mixed_series_split", f"This series is really {parts} separate pictures or stacks; they are listed apart.", "warning"))
        out += [_stack_summary(root, stack, n + 1, parts, tuple(extra)) for n, stack in enumerate(stacks)]
        out += [_picture_summary(root, fact, tuple(extra[:1]) if repeated.get(key) else ()) for fact in pictures]
    return out, left_out


def _picture_summary(root: Path, fact: FileFacts, extra: tuple[Finding, ...]) -> SeriesSummary:
    has_pixels = fact.rows is not None and fact.columns is not None and fact.sop_class not in SEGMENTATIONS
    kind = "other" if not has_pixels else ("cine" if fact.frames > 1 else "still")
    return SeriesSummary(
        series_uid=fact.series_uid,
        modality=fact.modality,
        sop_class=fact.sop_class,
        transfer_syntax=fact.transfer_syntax,
        kind=kind,
        frames=fact.frames,
        shape=(fact.columns, fact.rows, 1) if has_pixels else None,
        spacing_mm=None,
        frame_times_ms=fact.frame_times_ms,
        regions=None if fact.calibration is None else region_dict(fact.calibration),
        findings=(*fact.findings, *extra),
        files=(fact.name,),
        root=root,
        paths=(fact.path,),
        study_uid=fact.study_uid,
        frame_of_reference_uid=fact.frame_of_reference_uid,
        description=fact.description,
        acquired_on=fact.acquired_on,
        synthetic=fact.synthetic,
    )


def _stack_summary(root: Path, stack: Stack, part: int, parts: int, extra: tuple[Finding, ...]) -> SeriesSummary:
    first = stack.facts[0]
    files = list(dict.fromkeys(f.name for f in stack.facts))
    where = {name: n for n, name in enumerate(files)}
    own = {f.code + f.message: f for fact in {id(f): f for f in stack.facts}.values() for f in fact.findings}
    if stack.planes[0].group is not None and parts > 1:
        extra = (part_finding(stack.planes), *extra)
    return SeriesSummary(
        series_uid=first.series_uid,
        modality=first.modality,
        sop_class=first.sop_class,
        transfer_syntax=first.transfer_syntax,
        kind="volume" if len(stack.facts) > 1 else "still",
        frames=len(stack.facts),
        shape=(first.columns, first.rows, stack.layout.count),
        spacing_mm=stack.spacing_mm,
        frame_times_ms=None,
        regions=None,
        findings=(*own.values(), *stack.findings, *extra),
        files=tuple(files),
        root=root,
        paths=tuple({f.name: f.path for f in stack.facts}.values()),
        slices=tuple((where[f.name], p.frame) for f, p in zip(stack.facts, stack.planes, strict=True)),
        part=part,
        parts=parts,
        planes=stack.planes,
        headers=tuple({f.name: f.header for f in stack.facts}.values()),
        study_uid=first.study_uid,
        frame_of_reference_uid=first.frame_of_reference_uid,
        description=first.description,
        acquired_on=first.acquired_on,
        synthetic=first.synthetic,
        in_patient_space=first.sop_class != ENHANCED_US_VOLUME,
        volume_to_transducer=first.volume_to_transducer,
    )
