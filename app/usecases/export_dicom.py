"""Locked readings as DICOM: segmentations, structure sets, structured reports, and the pictures beside them.

One reader's readings of one visit on one series make one object. A node has one tracking UID in all of them.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import io
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from app import __version__
from app.edc.rows import study_sha256
from app.study.errors import StudyRefused
from app.study.followup import counting_readings, respond
from app.study.model import ABLATION_KINDS, PlanRun, Reading, SeriesRecord, StudySnapshot
from app.study.store import StudyStore
from app.usecases.import_images import part_of
from app.usecases.kept_plans import is_thermal
from app.usecases.readings import mask_of_reading
from app.usecases.report import choose_pictures, render_subject_report
from app.usecases.trial_identity import shifted_moment, shifted_snapshot, study_key
from dicom_io.ct import read_geometry, series_of_files
from dicom_io.document import write_key_image, write_pdf
from dicom_io.parametric_map import write_field_map
from dicom_io.report import NodeReport, PictureLine, SegmentReference, TimePoint, write_report
from dicom_io.rtstruct_write import write_rtstruct
from dicom_io.seg_write import write_seg
from dicom_io.writing import Stamp, read_headers
from volumetry.errors import NodusError
from volumetry.geometry import ImageGeometry

DICOM_FORMATS = ("dicom-sr", "dicom-seg", "dicom-labelmap", "dicom-rtstruct", "dicom-pdf", "dicom-key-image", "dicom-field")
NO_FIELD = ("run_is_thermal", "The run is a plan of RFA or cryo + RF: it has no electric field to write.")
NO_VOLUME = ("no_pictures", "The plan's visit has no volume that its field could belong to.")


@dataclass(frozen=True, slots=True)
class _Group:
    """Readings that go into one object: one reader, visit, role, modality and series."""

    subject_id: str
    visit_id: str
    reader: str
    role: str
    modality: str
    series_uid: str | None
    readings: tuple[Reading, ...]


class _Export:
    """What all formats share: names, identities, the pictures that a reading lies on."""

    def __init__(self, store: StudyStore, snapshot: StudySnapshot, folder: Path):
        self.store, self.snapshot, self.folder = store, snapshot, folder
        self.visits = {v.visit_id: v for v in snapshot.visits}
        self.nodes = {n.node_id: n for n in snapshot.nodes}
        self.rows = {(r.reading_id, r.version): r for r in respond(snapshot, locked_only=True).nodes}
        self.files: list[dict[str, Any]] = []
        self.left_out: list[dict[str, str]] = []
        self.key = study_key(store)

    # -- pictures ------------------------------------------------------------------------------
    def series(self, visit_id: str, series_uid: str | None) -> SeriesRecord | None:
        """The stored series of that identity at a visit."""
        return next((s for s in self.store.series(visit_id) if s.series_uid == series_uid), None)

    def paths(self, record: SeriesRecord) -> list[Path]:
        """Its files."""
        return [self.store.series_folder(record) / name for name in record.files]

    def any_header(self, subject_id: str, visit_id: str | None = None, series_uid: str | None = None):
        """The header of some picture of the subject (of the visit and, if it is there, the series, where given), or None."""
        for visit in self.snapshot.visits:
            if visit.subject_id == subject_id and visit_id in (None, visit.visit_id):
                for record in sorted(self.store.series(visit.visit_id), key=lambda s: s.series_uid != series_uid):
                    return read_headers(self.paths(record)[:1])[0]
        return None

    # -- names and identities ----------------------------------------------------------------------
    def name(self, *parts: str, kind: str) -> Path:
        """A free file name in the folder being filled."""
        stem = "_".join(re.sub(r"[^A-Za-z0-9.-]+", "-", p).strip("-") or "x" for p in parts)
        for n in range(1, 10_000):
            path = self.folder / f"{stem}{'' if n == 1 else f'-{n}'}.{kind}.dcm"
            if not path.exists():
                return path
        raise StudyRefused("The folder holds too many files of one name.", code="export_failed")

    def stamp(self, *seed: str, when: str | None = None, subject_id: str | None = None) -> Stamp:
        """The same locked readings give the same identities and times; times move with all dates of the subject."""
        if when and subject_id:
            when = shifted_moment(when, subject_id, self.key)
        now = dt.datetime.fromisoformat(when.replace("Z", "+00:00")) if when else dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
        return Stamp(__version__, "|".join((self.snapshot.study_id, *seed)), now)

    def tracking_uid(self, node_id: str) -> str:
        """A node's identity through all visits, readers and objects."""
        return str(self.stamp("node", node_id).uid("tracking"))

    def group_stamp(self, group: _Group, *kind: str) -> Stamp:
        """Of all objects made from one group; ``kind`` tells two of one modality apart."""
        versions = ",".join(f"{r.reading_id}@{r.version}" for r in group.readings)
        return self.stamp(group.subject_id, group.visit_id, group.reader, group.role, group.modality, str(group.series_uid), versions, *kind, when=max(r.locked_utc for r in group.readings), subject_id=group.subject_id)

    def wrote(self, path: Path, rows: int) -> None:
        """Note a file for the receipt."""
        self.files.append({"path": path.name, "rows": rows, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()})

    def leave_out(self, reading: Reading, code: str, message: str) -> None:
        """Say which locked reading no object can hold, and why."""
        self.left_out.append(
            {"subject": reading.subject_id, "visit": self.visits[reading.visit_id].name, "node": self.nodes[reading.node_id].label, "reader": reading.reader, "code": code, "message": message}
        )

    # -- readings ------------------------------------------------------------------------------------
    def groups(self, locked: Iterable[Reading]) -> list[_Group]:
        """Locked readings by object, in a fixed order."""
        found: dict[tuple, list[Reading]] = {}
        # A reading without a series of its own (a node that has gone) joins the reader's others of that visit: "" sorts first.
        for r in sorted(locked, key=lambda r: r.series_uid or "", reverse=True):
            key = (r.subject_id, self.visits[r.visit_id].order, r.visit_id, r.reader, r.role, r.modality)
            beside = [k for k in found if k[:6] == key]
            found.setdefault((*key, r.series_uid) if r.series_uid else beside[-1] if beside else (*key, ""), []).append(r)
        out = []
        for key in sorted(found):
            of_key = sorted(found[key], key=lambda r: (self.nodes[r.node_id].label, r.reading_id))
            out.append(_Group(key[0], key[2], key[3], key[4], key[5], key[6] or None, tuple(of_key)))
        return out

    def outlined(self, group: _Group) -> tuple[list[Reading], list, SeriesRecord | None]:
        """Readings of a group that have an outline on a stored series, the masks under the nodes' names, and the series."""
        record = self.series(group.visit_id, group.series_uid)
        readings, masks = [], []
        for reading in group.readings:
            mask = mask_of_reading(self.store, reading)
            if mask is None or not mask.array.any():
                continue
            if record is None or record.kind != "volume":
                self.leave_out(reading, "series_missing", "The pictures that the outline lies on are not in the study.")
                continue
            readings.append(reading)
            masks.append(type(mask)(mask.array, mask.geometry, len(masks) + 1, self.nodes[reading.node_id].label, mask.coverage_volume_ml, mask.findings))
        return readings, masks, record

    def time_point(self, reading: Reading) -> TimePoint:
        """The visit as the report names it, with the days since the node's own first ablation."""
        visit, row = self.visits[reading.visit_id], self.rows.get((reading.reading_id, reading.version))
        planned = self.store.protocol.visit(visit.name)
        kind = "unscheduled" if planned is None else "baseline" if planned.phase == "pre" else "follow_up"
        of_node = [e for e in self.snapshot.events if e.kind in ABLATION_KINDS and e.subject_id == reading.subject_id and e.node_id in (None, reading.node_id)]
        first = min(of_node, key=lambda e: e.date, default=None)
        return TimePoint(
            visit.name, visit.order, kind, None if row is None else row.days_from_first, "" if first is None else first.kind,
            subject_time_point=visit.visit_id, protocol_time_point=None if planned is None else planned.name,
        )

    def write_segmentation(self, group: _Group, *, kind: str = "binary") -> tuple[Path | None, dict[str, int]]:
        """The SEG of a group and the segment number of each reading; (None, {}) where nothing is outlined, or where
        nodes share voxels that a label map cannot hold."""
        readings, masks, record = self.outlined(group)
        if not masks:
            return None, {}
        path = self.name(group.subject_id, self.visits[group.visit_id].name, group.reader, group.modality, kind="seg" if kind == "binary" else kind)
        stamp = self.group_stamp(group) if kind == "binary" else self.group_stamp(group, kind)
        try:
            write_seg(masks, self.paths(record), path, stamp, tracking_uids=[self.tracking_uid(r.node_id) for r in readings], kind=kind)
        except NodusError as refusal:
            if refusal.code != "segments_overlap":
                raise
            for reading in readings:
                self.leave_out(reading, refusal.code, f"{refusal.message} They go out with dicom-seg.")
            return None, {}
        self.wrote(path, len(masks))
        return path, {r.reading_id: n for n, r in enumerate(readings, start=1)}

    def write_structures(self, group: _Group) -> None:
        """The structure set of a group."""
        readings, masks, record = self.outlined(group)
        if masks:
            path = self.name(group.subject_id, self.visits[group.visit_id].name, group.reader, group.modality, kind="rtstruct")
            write_rtstruct(masks, self.paths(record), path, self.group_stamp(group))
            self.wrote(path, len(readings))

    def write_measurements(self, group: _Group) -> None:
        """The structured report of a group, with the segmentation that it names."""
        seg_path, numbers = self.write_segmentation(group)
        record = self.series(group.visit_id, group.series_uid)
        evidence = [] if record is None else read_headers(self.paths(record))
        seg = None if seg_path is None else read_headers([seg_path])[0]
        stills = _Stills(self, group.visit_id)
        reports = []
        for reading in group.readings:
            segment = None
            if reading.reading_id in numbers:
                segment = SegmentReference(str(seg.SOPClassUID), str(seg.SOPInstanceUID), numbers[reading.reading_id], str(evidence[0].SeriesInstanceUID))
            reports.append(self._node_report(reading, segment, stills))
        evidence += [] if seg is None else [seg]
        evidence += stills.used
        if not evidence:
            header = self.any_header(group.subject_id, group.visit_id)
            evidence = [] if header is None else [header]
        if not evidence:
            for reading in group.readings:
                self.leave_out(reading, "no_pictures", "The study holds no picture of this visit that a report could belong to.")
            return
        path = self.name(group.subject_id, self.visits[group.visit_id].name, group.reader, group.modality, kind="sr")
        write_report(reports, evidence, path, self.group_stamp(group), reader=group.reader, role=group.role, modality=group.modality)
        self.wrote(path, len(reports))

    def _node_report(self, reading: Reading, segment: SegmentReference | None, stills: _Stills) -> NodeReport:
        node, row = self.nodes[reading.node_id], self.rows.get((reading.reading_id, reading.version))
        diameters, outlines = stills.drawn(reading)
        return NodeReport(
            node.label, self.tracking_uid(node.node_id), str(node.side), node.level, str(reading.status), reading.method, reading.volume_ml, reading.volume_interval_ml,
            reading.long_axis_mm, reading.short_axis_mm, None if row is None else row.vrr_pct, reading.viable_ml, reading.ablated_ml, segment, diameters, outlines,
            calibrated_by_reader=any(w["code"] == "manual_calibration" for w in reading.warnings),
            time_point=self.time_point(reading),
        )


class _Stills:
    """The ultrasound pictures of a visit, by series; ``used`` are the headers that something was drawn on."""

    def __init__(self, export: _Export, visit_id: str):
        self.export, self.visit_id = export, visit_id
        self.used: list = []
        self._headers: dict[str, Any] = {}

    def _picture(self, series_uid: str):
        """The header of the picture of a series (a still or a cine is one file), or None."""
        if series_uid not in self._headers:
            record = self.export.series(self.visit_id, series_uid)
            self._headers[series_uid] = None if record is None or record.kind == "volume" else read_headers(self.export.paths(record)[:1])[0]
            if self._headers[series_uid] is not None:
                self.used.append(self._headers[series_uid])
        return self._headers[series_uid]

    def _line(self, points, series_uid: str | None, frame: int) -> PictureLine | None:
        header = None if series_uid is None else self._picture(series_uid)
        if header is None:
            return None
        return PictureLine(str(header.SOPClassUID), str(header.SOPInstanceUID), tuple(tuple(p) for p in points), frame, int(header.get("NumberOfFrames") or 1))

    def drawn(self, reading: Reading) -> tuple[dict[str, tuple[float, PictureLine | None]], tuple[PictureLine, ...]]:
        """The three diameters of an ellipsoid with the lines they were measured along, and the outlines drawn on the stills."""
        axes = reading.measurement.get("ellipsoid_axes_mm")
        if reading.method != "ellipsoid" or not axes:
            return {}, ()
        # Depth is drawn in both planes; the first line stands for it.
        slots = {"length": "length", "width": "width", "depth": "depth", "depth_longitudinal": "depth", "depth_transverse": "depth"}
        lines: dict[str, PictureLine | None] = {}
        for caliper in reading.measurement.get("calipers", []):
            slot = slots.get(caliper["slot"])
            if slot is not None:
                lines.setdefault(slot, self._line(caliper["points"], caliper["series_uid"], caliper["frame"]))
        diameters = {slot: (float(value), lines.get(slot)) for slot, value in zip(("length", "width", "depth"), axes, strict=True)}
        outlines = [self._line(o["polygon_px"], o["series_uid"], o["frame"]) for o in reading.measurement.get("picture_outlines", [])]
        return diameters, tuple(o for o in outlines if o is not None)


def export_dicom(store: StudyStore, snapshot: StudySnapshot, format_: str, out: Path, *, subject_id: str | None = None) -> dict[str, Any]:
    """Write locked readings as ``format_`` (one of ``DICOM_FORMATS``) into the folder ``out``.

    All files of an export appear together: each is read back when written, and they are moved into ``out`` only when
    the last is done. The receipt is that of every export, with ``left_out`` naming readings that no object can hold.
    Raises ``nothing_locked``, ``nothing_to_export``, ``export_failed``, ``export_would_replace``, and what the writers refuse.
    """
    locked = [r for r in counting_readings(snapshot.readings, locked_only=True) if subject_id in (None, r.subject_id)]
    if not locked:
        raise StudyRefused("There is no locked reading to export.", code="nothing_locked", hint="Lock the readings first.")
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".partial-", dir=out) as folder:
            export = _Export(store, snapshot, Path(folder))
            _WRITERS[format_](export, locked)
            if not export.files:
                why = f" {export.left_out[0]['message']}" if export.left_out else ""
                raise StudyRefused(f"No locked reading can be written as {format_}.{why}", code="nothing_to_export")
            _move(Path(folder), out, export.files)
    except OSError as error:
        raise StudyRefused(f"The export could not be written: {error.strerror or error}.", code="export_failed") from error
    return {
        "files": export.files,
        "readings": len(locked) - sum("node" in entry for entry in export.left_out),
        "left_out": export.left_out,
        "study_sha256": study_sha256(snapshot),
        "audit_head": snapshot.audit_head,
    }


def _move(folder: Path, out: Path, files: list[dict[str, Any]]) -> None:
    """Move finished files into place; a file of that name that is not ours to replace stops all of them."""
    for entry in files:
        there = out / entry["path"]
        if there.exists() and there.read_bytes() != (folder / entry["path"]).read_bytes() and b"Nodus" not in there.read_bytes()[:65536]:
            raise StudyRefused(f"{entry['path']} exists in the folder and is not an export of Nodus.", code="export_would_replace", hint="Choose another folder.")
    moved: list[tuple[Path, Path | None]] = []
    try:
        for entry in files:
            there, older = out / entry["path"], folder / f"{entry['path']}.older"
            if there.exists():
                shutil.copy2(there, older)
            os.replace(folder / entry["path"], there)
            moved.append((there, older if older.exists() else None))
    except OSError:
        for there, older in moved:  # all appear together, or what was there stays
            if older is None:
                there.unlink(missing_ok=True)
            else:
                os.replace(older, there)
        raise


def _per_group(write: Callable[[_Export, _Group], object]) -> Callable[[_Export, list[Reading]], None]:
    def work(export: _Export, locked: list[Reading]) -> None:
        for group in export.groups(locked):
            write(export, group)

    return work


def _documents(export: _Export, locked: list[Reading]) -> None:
    """The report of each subject as Encapsulated PDF."""
    for subject in sorted({r.subject_id for r in locked}):
        mine = [r for r in locked if r.subject_id == subject]
        header = export.any_header(subject)
        if header is None:
            for reading in mine:
                export.leave_out(reading, "no_pictures", "The study holds no picture of this subject that a report could belong to.")
            continue
        # A document inside DICOM tells the shifted dates, as the pictures do; it says so on the page.
        pdf = render_subject_report(shifted_snapshot(export.snapshot, subject, export.key), subject, pictures=choose_pictures(export.store, export.snapshot, subject))
        path = export.name(subject, "report", kind="pdf")
        stamp = export.stamp("report", subject, hashlib.sha256(pdf).hexdigest(), when=max(r.locked_utc for r in mine), subject_id=subject)
        write_pdf(pdf, header, path, stamp, title=f"Node volumetry {subject}")
        export.wrote(path, len(mine))


def _key_images(export: _Export, locked: list[Reading]) -> None:
    """The picture kept with each locked reading as Secondary Capture."""
    for reading in sorted(locked, key=lambda r: (r.subject_id, export.visits[r.visit_id].order, export.nodes[r.node_id].label, r.reading_id)):
        header = export.any_header(reading.subject_id, reading.visit_id, reading.series_uid)
        if reading.picture_sha256 is None or header is None:
            export.leave_out(reading, "no_pictures", "No picture was kept with this reading.")
            continue
        picture = np.asarray(Image.open(io.BytesIO(export.store.get_blob(reading.picture_sha256))).convert("RGB"))
        visit, label = export.visits[reading.visit_id].name, export.nodes[reading.node_id].label
        path = export.name(reading.subject_id, visit, label, reading.reader, kind="key")
        stamp = export.stamp("key", reading.reading_id, str(reading.version), reading.picture_sha256, when=reading.locked_utc, subject_id=reading.subject_id)
        write_key_image(picture, header, path, stamp, description=f"{label} {visit}")
        export.wrote(path, 1)


def _fields(export: _Export, locked: list[Reading]) -> None:
    """The field of each kept plan as Parametric Map, on the volume of its visit."""
    subjects = {r.subject_id for r in locked}
    for run in (p for p in export.snapshot.plan_runs if p.subject_id in subjects):
        _field(export, run)


def _field(export: _Export, run: PlanRun) -> None:
    if is_thermal(run):
        _leave_out_plan(export, run, *NO_FIELD)
        return
    digest = run.blobs.get("field_v_per_cm")
    if digest is None or run.visit_id is None:
        _leave_out_plan(export, run, *NO_VOLUME)
        return
    with np.load(io.BytesIO(export.store.get_blob(digest)), allow_pickle=False) as kept:
        field, affine = kept["e_max_v_per_cm"] * np.float32(100.0), kept["affine"]
    grid = ImageGeometry(field.shape, affine)
    record = _volume_of_plan(export, run, grid)
    if record is None:
        return
    path = export.name(run.subject_id, export.visits[run.visit_id].name, run.plan_run_id, kind="field")
    write_field_map(field, grid, export.paths(record), path, export.stamp("plan", run.plan_run_id, when=run.created_utc, subject_id=run.subject_id))
    export.wrote(path, 1)


def _volume_of_plan(export: _Export, run: PlanRun, grid: ImageGeometry) -> SeriesRecord | None:
    """The volume that a plan was made on: the visit's only one that holds the middle of the field. Of several, in frames
    of reference of their own, the one that carries the visit's locked outlines; else none, and the plan is left out."""
    middle = grid.index_to_world((np.array(grid.shape[::-1]) - 1) / 2)
    holding = []
    for record in export.store.series(run.visit_id):
        if record.kind == "volume":
            files = export.paths(record)
            try:
                inside = read_geometry(series_of_files(files, part=part_of(record))).contains(middle)
            except NodusError:  # what is no volume any more is not what was planned on
                continue
            if inside:
                holding.append((record, read_headers(files[:1])[0].get("FrameOfReferenceUID")))
    if len({frame for _, frame in holding}) > 1:
        outlined = {r.series_uid for r in export.snapshot.readings if r.visit_id == run.visit_id and r.mask_sha256 is not None}
        holding = [(record, frame) for record, frame in holding if record.series_uid in outlined] or holding
    if len({frame for _, frame in holding}) == 1:
        return holding[0][0]
    if holding:
        _leave_out_plan(export, run, "several_series", "The plan's visit has several volumes, and which of them it was made on is not known.")
    else:
        _leave_out_plan(export, run, *NO_VOLUME)
    return None


def _leave_out_plan(export: _Export, run: PlanRun, code: str, message: str) -> None:
    export.left_out.append({"subject": run.subject_id, "plan_run": run.plan_run_id, "code": code, "message": message})


_WRITERS: dict[str, Callable[[_Export, list[Reading]], None]] = {
    "dicom-seg": _per_group(_Export.write_segmentation),
    "dicom-labelmap": _per_group(lambda export, group: export.write_segmentation(group, kind="labelmap")),
    "dicom-rtstruct": _per_group(_Export.write_structures),
    "dicom-sr": _per_group(_Export.write_measurements),
    "dicom-pdf": _documents,
    "dicom-key-image": _key_images,
    "dicom-field": _fields,
}
