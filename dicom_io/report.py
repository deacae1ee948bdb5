"""Node measurements as a Comprehensive 3D SR (TID 1500), read back before they count.

A node outlined on a volume is a volumetric group (TID 1411) that names its segment; a node measured on
ultrasound stills is a group (TID 1501) whose lengths carry the lines they were measured along (SCOORD),
and each drawn outline a planar group (TID 1410). The pictures that all this was read on are listed in an image
library (TID 1600).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import highdicom as hd
import numpy as np
from highdicom import sr
from pydicom.dataset import Dataset

from dicom_io import codes
from dicom_io.headers import item, items, number, numbers, read_header, text
from dicom_io.writing import MANUFACTURER, MODEL, Stamp, damaged_sources_refused, identify, not_as_written, replaced_when_checked
from volumetry.errors import NodusError

SERIES_NUMBER = 905


@dataclass(frozen=True, slots=True)
class SegmentReference:
    """The segment of a written segmentation that holds a node; ``series_uid`` is the series it lies on."""

    sop_class_uid: str
    sop_instance_uid: str
    number: int
    series_uid: str


@dataclass(frozen=True, slots=True)
class PictureLine:
    """A line or closed outline drawn on one picture: ``points_px`` as (column, row) with pixel **centres** at whole
    numbers (DICOM's SCOORD counts from pixel corners; the half is added on writing). ``frame`` counts from 0."""

    sop_class_uid: str
    sop_instance_uid: str
    points_px: tuple[tuple[float, float], ...]
    frame: int = 0
    frames: int = 1


@dataclass(frozen=True, slots=True)
class NodeReport:
    """What one reader measured of one node, as it goes into a report. Volumes in ml, lengths in mm.

    ``tracking_uid`` is the node's through all visits, readers and objects. ``diameters`` maps length, width
    and depth to (mm, line drawn). None: not measured, or not assessed.
    """

    label: str
    tracking_uid: str
    side: str = "unknown"
    level: str = "unknown"
    status: str = "measured"
    method: str = "voxel"
    volume_ml: float | None = None
    volume_interval_ml: tuple[float, float] | None = None
    long_axis_mm: float | None = None
    short_axis_mm: float | None = None
    vrr_pct: float | None = None
    viable_ml: float | None = None
    ablated_ml: float | None = None
    segment: SegmentReference | None = None
    diameters: dict[str, tuple[float, PictureLine | None]] = field(default_factory=dict)
    outlines: tuple[PictureLine, ...] = ()
    calibrated_by_reader: bool = False  # its lengths rest on a scale that the reader drew (manual_calibration)
    time_point: TimePoint | None = None  # the node's own, where nodes were treated on different days


@dataclass(frozen=True, slots=True)
class TimePoint:
    """When in the trial: the visit's ``name``, its ``order``, ``kind`` (baseline, follow_up or unscheduled), the days
    since the first ablation (None: none yet, or not known) and of what kind that was (IRE, RFA ...); what identifies
    the time point of this subject, and in the protocol."""

    name: str
    order: int
    kind: str = "follow_up"
    days_from_ablation: float | None = None
    ablation: str = "IRE"
    subject_time_point: str | None = None
    protocol_time_point: str | None = None


def _time_point(when: TimePoint) -> sr.TimePointContext:
    kind = {"baseline": codes.BASELINE, "unscheduled": codes.UNSCHEDULED}.get(when.kind, codes.POSTTREATMENT)
    offset = None
    if when.days_from_ablation is not None:
        offset = sr.LongitudinalTemporalOffsetFromEvent(value=float(when.days_from_ablation), unit=codes.DAY, event_type=codes.ABLATIONS.get(when.ablation, codes.ABLATION))
    return sr.TimePointContext(
        time_point=when.name[:64], time_point_type=kind, time_point_order=when.order, temporal_offset_from_event=offset,
        subject_time_point_identifier=when.subject_time_point, protocol_time_point_identifier=when.protocol_time_point,
    )


def _site(node: NodeReport) -> sr.FindingSite:
    return sr.FindingSite(codes.CERVICAL_NODE, laterality=codes.SIDES.get(node.side), topographical_modifier=codes.level_code(node.level))


def _number(name, value: float, unit, *, method=None, interval=None, line: PictureLine | None = None) -> sr.Measurement:
    """One NUM item. DS holds 16 characters; what is written is rounded to them, ten digits at least."""
    properties = None
    if interval is not None and interval[0] <= value <= interval[1]:
        properties = sr.MeasurementProperties(upper_measurement_uncertainty=_short(interval[1] - value), lower_measurement_uncertainty=_short(value - interval[0]))
    coordinates = None
    if line is not None:
        image = sr.SourceImageForMeasurement(line.sop_class_uid, line.sop_instance_uid, [line.frame + 1] if line.frames > 1 else None)
        coordinates = [sr.CoordinatesForMeasurement("POLYLINE", _corner_points(line), image)]
    return sr.Measurement(name=name, value=_short(value), unit=unit, method=method, properties=properties, referenced_coordinates=coordinates)


def _short(value: float) -> float:
    return float(f"{value:.9g}")


def _corner_points(line: PictureLine) -> np.ndarray:
    return np.asarray(line.points_px, dtype=float) + 0.5


def _measurements(node: NodeReport) -> list[sr.Measurement]:
    out = []
    if node.volume_ml is not None:
        out.append(_number(codes.VOLUME, node.volume_ml, codes.CUBIC_CENTIMETRE, method=codes.METHODS.get(node.method), interval=node.volume_interval_ml))
    for value, name in ((node.long_axis_mm, codes.LONG_AXIS), (node.short_axis_mm, codes.SHORT_AXIS)):
        if value is not None:
            out.append(_number(name, value, codes.MILLIMETRE))
    for key, name in (("length", codes.LENGTH), ("width", codes.WIDTH), ("depth", codes.DEPTH)):
        if key in node.diameters:
            value, line = node.diameters[key]
            out.append(_number(name, value, codes.MILLIMETRE, line=line))
    for value, name in ((node.viable_ml, codes.VIABLE_VOLUME), (node.ablated_ml, codes.ABLATED_VOLUME)):
        if value is not None:
            out.append(_number(name, value, codes.CUBIC_CENTIMETRE))
    if node.vrr_pct is not None:
        out.append(_number(codes.PERCENT_CHANGE, -node.vrr_pct, codes.PERCENT))
    return out


def _groups(node: NodeReport, when: TimePoint | None) -> list:
    """The group of one node, and one of each outline on a picture."""
    when = node.time_point or when
    context = _time_point(when) if when is not None else None
    common = {"time_point_context": context, "finding_sites": [_site(node)]}
    tracking = sr.TrackingIdentifier(uid=node.tracking_uid, identifier=node.label)
    status = [sr.QualitativeEvaluation(codes.STATUS, codes.status_code(node.status))]
    if node.calibrated_by_reader:
        status.append(sr.QualitativeEvaluation(codes.CALIBRATION, codes.BY_READER))
    whole = {**common, "tracking_identifier": tracking, "finding_type": codes.NEOPLASM_SECONDARY, "measurements": _measurements(node), "qualitative_evaluations": status}
    if node.segment is not None:
        s = node.segment
        reference = sr.ReferencedSegment(s.sop_class_uid, s.sop_instance_uid, s.number, source_series=sr.SourceSeriesForSegmentation(s.series_uid))
        out = [sr.VolumetricROIMeasurementsAndQualitativeEvaluations(referenced_segment=reference, **whole)]
    else:
        out = [sr.MeasurementsAndQualitativeEvaluations(**whole)]
    for line in node.outlines:
        image = sr.SourceImageForRegion(line.sop_class_uid, line.sop_instance_uid, [line.frame + 1] if line.frames > 1 else None)
        points = _corner_points(line)
        if not np.array_equal(points[0], points[-1]):
            points = np.vstack([points, points[:1]])  # a region is a closed line
        region = sr.ImageRegion("POLYLINE", points, image)
        out.append(sr.PlanarROIMeasurementsAndQualitativeEvaluations(tracking_identifier=tracking, referenced_region=region, finding_type=codes.NEOPLASM_SECONDARY, **common))
    return out


@damaged_sources_refused("a report")
def write_report(
    nodes: Sequence[NodeReport],
    evidence: Sequence[Dataset],
    path: Path | str,
    stamp: Stamp,
    *,
    reader: str,
    modality: str,
    role: str = "central",
    time_point: TimePoint | None = None,
) -> Path:
    """Write one reader's measurements of one visit as Comprehensive 3D SR.

    ``evidence`` are headers of everything referred to (pictures, the segmentation); the first gives patient and
    study. ``reader`` is the name or code that the reader goes by in the trial; ``modality`` CT, US, CEUS or MR. Read back and
    compared before it counts. Raises ``NodusError``: ``nothing_to_write``, ``write_failed``.
    """
    path = Path(path)
    if not nodes or not evidence:
        raise NodusError("There is no measurement to report.", code="nothing_to_write")
    observer = sr.PersonObserverIdentifyingAttributes(name=_person_name(reader), role_in_procedure=codes.ADJUDICATOR if role == "adjudicator" else codes.READER)
    device = sr.DeviceObserverIdentifyingAttributes(uid=stamp.uid("device"), name="Nodus", manufacturer_name=MANUFACTURER, model_name=MODEL)
    context = sr.ObservationContext(
        observer_person_context=sr.ObserverContext(hd.sr.CodedConcept("121006", "DCM", "Person"), observer),
        observer_device_context=sr.ObserverContext(hd.sr.CodedConcept("121007", "DCM", "Device"), device),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about what other people's headers lack
        content = sr.MeasurementReport(
            observation_context=context,
            procedure_reported=codes.PROCEDURES.get(modality, codes.COMPUTED_TOMOGRAPHY),
            imaging_measurements=[g for node in nodes for g in _groups(node, time_point)],
            title=codes.ONCOLOGY_REPORT,
        )
        made = sr.Comprehensive3DSR(
            evidence=list(evidence),
            content=content[0],
            series_instance_uid=stamp.uid("device"),
            series_number=SERIES_NUMBER,
            sop_instance_uid=stamp.uid("device"),
            instance_number=1,
            manufacturer=MANUFACTURER,
            is_complete=True,
            is_final=True,
        )
    _mend(made)
    _list_pictures(made, evidence)
    made.SpecificCharacterSet = "ISO_IR 192"
    made.SeriesDescription = "Node measurements (Investigational use only)"
    made.ManufacturerModelName, made.SoftwareVersions, made.DeviceSerialNumber = MODEL, stamp.software_version, "0"
    identify(made, stamp, "SR", evidence[0])
    with replaced_when_checked(path) as partial:
        made.save_as(partial)
        _compare(partial, path, nodes)
    return path


def _mend(item: Dataset) -> None:
    """Put right, through the whole tree, what the writing library leaves: a picture under a coordinate is what the
    coordinate was *selected* from (PS3.3 C.18.6), and the bounds of a number have the number's unit."""
    for child in item.get("ContentSequence", []):
        if item.get("ValueType") == "SCOORD" and child.ValueType == "IMAGE":
            child.RelationshipType = "SELECTED FROM"
        if item.get("ValueType") == "NUM" and child.ValueType == "NUM" and child.RelationshipType == "HAS PROPERTIES":
            child.MeasuredValueSequence[0].MeasurementUnitsCodeSequence = item.MeasuredValueSequence[0].MeasurementUnitsCodeSequence
        _mend(child)


def _list_pictures(report: Dataset, evidence: Sequence[Dataset]) -> None:
    """Put the image library (TID 1600) before the measurements: the pictures by modality and frame of reference."""
    groups: dict[tuple[str, str], list[Dataset]] = {}
    for picture in evidence:
        if picture.get("Modality") in codes.MODALITIES:
            groups.setdefault((picture.Modality, str(picture.get("FrameOfReferenceUID") or "")), []).append(picture)
    if not groups:
        return
    library = _item("CONTAINER", "CONTAINS", sr.CodedConcept("111028", "DCM", "Image Library"))
    for (modality, frame_of_reference), pictures in groups.items():
        described = [_item("CODE", "HAS ACQ CONTEXT", sr.CodedConcept("121139", "DCM", "Modality"), ConceptCodeSequence=[codes.MODALITIES[modality]])]
        if frame_of_reference:
            described.append(_item("UIDREF", "HAS ACQ CONTEXT", sr.CodedConcept("112227", "DCM", "Frame of Reference UID"), UID=frame_of_reference))
        for picture in pictures:
            named = Dataset()
            named.ReferencedSOPClassUID, named.ReferencedSOPInstanceUID = picture.SOPClassUID, picture.SOPInstanceUID
            described.append(_item("IMAGE", "CONTAINS", ReferencedSOPSequence=[named]))
        group = _item("CONTAINER", "CONTAINS", sr.CodedConcept("126200", "DCM", "Image Library Group"), ContentSequence=described)
        library.ContentSequence = [*library.get("ContentSequence", []), group]
    at = next(n for n, child in enumerate(report.ContentSequence) if child.ValueType == "CONTAINER")
    report.ContentSequence = [*report.ContentSequence[:at], library, *report.ContentSequence[at:]]


def _item(kind: str, relationship: str, name: sr.CodedConcept | None = None, **elements) -> Dataset:
    """A content item."""
    made = Dataset()
    made.RelationshipType, made.ValueType = relationship, kind
    if name is not None:
        made.ConceptNameCodeSequence = [name]
    if kind == "CONTAINER":
        made.ContinuityOfContent = "SEPARATE"
    for keyword, value in elements.items():
        setattr(made, keyword, value)
    return made


def _person_name(reader: str) -> str:
    """A trial's reader code as a person name: all of it in the family name, no separators of its own."""
    return reader.replace("^", " ").replace("=", " ")[:60] + "^"


@dataclass(frozen=True, slots=True)
class ReadGroup:
    """One measurement group of a report: whom it tracks, what was found, {code meaning: (value, unit)}, and what it
    refers to: ``segment`` (SOP instance UID, number) and ``lines`` of (points as written, SOP instance UID)."""

    tracking_identifier: str | None
    tracking_uid: str | None
    finding: str | None
    values: dict[str, tuple[float, str]]
    segment: tuple[str, int] | None
    lines: tuple[tuple[tuple[float, ...], str], ...]
    calibrated_by_reader: bool = False


def read_report(path: Path | str) -> tuple[ReadGroup, ...]:
    """Measurement groups of a TID 1500 report, ours or another maker's; what in it makes no sense is left out.
    Raises ``NodusError`` (``not_a_report``, or why the file cannot be read)."""
    ds = read_header(path).ds
    if text(ds, "ValueType") != "CONTAINER" or "ContentSequence" not in ds:
        raise NodusError(f"{Path(path).name} is not a structured report.", code="not_a_report")
    return tuple(_group(container) for container in _containers(ds, "125007"))


def _code(of: Dataset, keyword: str, part: str = "CodeValue") -> str | None:
    """Value, or another part, of a coded entry; None where there is none."""
    entry = item(of, keyword)
    return None if entry is None else text(entry, part)


def _group(container: Dataset) -> ReadGroup:
    texts, uids, finding, values, segment, lines, by_reader = None, None, None, {}, None, [], False
    for child in items(container, "ContentSequence"):
        name, kind = _code(child, "ConceptNameCodeSequence"), text(child, "ValueType")
        reference, measured = item(child, "ReferencedSOPSequence"), item(child, "MeasuredValueSequence")
        if name == "112039":
            texts = text(child, "TextValue")
        elif name == "112040":
            uids = text(child, "UID")
        elif name == "121071" and kind == "CODE":
            finding = _code(child, "ConceptCodeSequence")
        elif name == codes.CALIBRATION.value and kind == "CODE":
            by_reader = _code(child, "ConceptCodeSequence") == codes.BY_READER.value
        elif kind == "NUM" and measured is not None:
            meaning, value = _code(child, "ConceptNameCodeSequence", "CodeMeaning"), number(measured, "NumericValue")
            if meaning is not None and value is not None:
                values[meaning] = (value, _code(measured, "MeasurementUnitsCodeSequence") or "")
            lines += _lines(child)
        elif kind == "IMAGE" and reference is not None:
            segment_number = numbers(reference, "ReferencedSegmentNumber")
            if segment_number:
                segment = (text(reference, "ReferencedSOPInstanceUID") or "", int(segment_number[0]))
        elif kind == "SCOORD":
            lines += _lines(child, itself=True)
    return ReadGroup(texts, uids, finding, values, segment, tuple(lines), by_reader)


def _containers(of: Dataset, code: str) -> list[Dataset]:
    """All containers of that concept, depth first."""
    out, waiting = [], items(of, "ContentSequence")[::-1]
    while waiting:
        child = waiting.pop()
        if text(child, "ValueType") == "CONTAINER":
            if _code(child, "ConceptNameCodeSequence") == code:
                out.append(child)
            waiting += items(child, "ContentSequence")[::-1]
    return out


def _lines(of: Dataset, *, itself: bool = False) -> list[tuple[tuple[float, ...], str]]:
    found = []
    for drawn in [of] if itself else [c for c in items(of, "ContentSequence") if text(c, "ValueType") == "SCOORD"]:
        points, picture = numbers(drawn, "GraphicData"), item(drawn, "ContentSequence")
        reference = None if picture is None else item(picture, "ReferencedSOPSequence")
        if points and reference is not None:
            found.append((tuple(points), text(reference, "ReferencedSOPInstanceUID") or ""))
    return found


def _compare(partial: Path, path: Path, nodes: Sequence[NodeReport]) -> None:
    """Every number at its place, to the nine digits that are written."""
    back = iter(read_report(partial))
    for node in nodes:
        group = next(back, None)
        meant = {"Volume": node.volume_ml, "Long Axis": node.long_axis_mm, "Short Axis": node.short_axis_mm}
        meant |= {name.capitalize(): value for name, (value, _) in node.diameters.items()}
        meant |= {codes.VIABLE_VOLUME.meaning: node.viable_ml, codes.ABLATED_VOLUME.meaning: node.ablated_ml}
        meant["Percent Change From Baseline"] = None if node.vrr_pct is None else -node.vrr_pct
        for name, value in meant.items():
            there = None if group is None else group.values.get(name, (None,))[0]
            if (there is None) != (value is None) or (value is not None and not math.isclose(there, value, rel_tol=1e-8, abs_tol=1e-12)):
                raise not_as_written(path, f"the {name.lower()} of {node.label}")
        if group.calibrated_by_reader != node.calibrated_by_reader:
            raise not_as_written(path, f"who calibrated {node.label}")
        if group.tracking_uid != node.tracking_uid or (node.segment is not None) != (group.segment is not None):
            raise not_as_written(path, f"the identity of {node.label}")
        drawn = [next(back, None) for _ in node.outlines]
        if any(g is None or g.tracking_uid != node.tracking_uid or len(g.lines) != 1 for g in drawn):
            raise not_as_written(path, f"the outlines of {node.label}")
