"""Outlines and readings in the study: drafts saved as one works, readings measured and locked."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from app.study.asked import with_asked
from app.study.lesions import lesion_findings, lesion_statement
from app.study.model import Reading, ReadingState, ReadingStatus, TargetNode, Visit
from app.study.protocol import StudyProtocol
from app.study.store import StudyStore
from app.usecases.carried_outline import CARRIED, carried_entries, carried_findings
from app.usecases.empty_slices import empty_slices
from app.usecases.enhancing_part import EnhancingPart, by_outline, part_fields, stated
from app.usecases.key_picture import node_picture
from app.usecases.perfusion_binding import bound
from volumetry.errors import NodusError
from volumetry.finding import Finding
from volumetry.geometry import ImageGeometry
from volumetry.image import ImageVolume
from volumetry.mask import NodeMask
from volumetry.measure import NodeMeasurement, measure_node
from volumetry.outline_origin import NOT_RECORDED, OutlineOrigin, origin_from
from volumetry.segmentation.editing import bounding_box
from volumetry.segmentation.model_slot import model_finding

# One definition of volume for all visits: voxels at half coverage times their true size. The
# sub-voxel volume of an outline is kept beside it, but a hand repair has none.
VOLUME_METHOD = "voxel"


def pack_mask(mask: NodeMask, *, undo: bytes | None = None) -> bytes:
    """A mask as compressed bytes: the box around the node, its place, the grid, its name, what was noticed
    about it and how it came about; with ``undo``, the steps that led to it (see ``mask_draft.pack_draft``)."""
    box = mask.bounding_slices()
    start = [0, 0, 0] if box is None else [s.start for s in box]
    crop = np.zeros((0, 0, 0), bool) if box is None else mask.array[box]
    more: dict = {}  # only what there is: a mask without it packs to the same bytes as ever
    if mask.origin is not None:
        more["origin"] = np.array(json.dumps(mask.origin.as_dict(), sort_keys=True))
    if mask.findings:
        more["findings"] = np.array(json.dumps([f.as_dict() for f in mask.findings]))
    if mask.name is not None:
        more["name"] = np.array(mask.name)
    if undo is not None:
        more["undo"] = np.frombuffer(undo, np.uint8)
    stream = io.BytesIO()
    np.savez_compressed(
        stream,
        bits=np.packbits(crop),
        crop_shape=np.array(crop.shape),
        start=np.array(start),
        shape=np.array(mask.geometry.shape),
        affine=mask.geometry.affine,
        label=np.array(mask.label),
        coverage_volume_ml=np.array(np.nan if mask.coverage_volume_ml is None else mask.coverage_volume_ml),
        **more,
    )
    return stream.getvalue()


def unpack_mask(data: bytes) -> NodeMask:
    """The mask of ``pack_mask``; raises ``NodusError`` (``mask_damaged``) for anything else."""
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as z:
            shape, crop_shape, start = tuple(z["shape"]), tuple(z["crop_shape"]), z["start"]
            crop = np.unpackbits(z["bits"], count=int(np.prod(crop_shape))).astype(bool).reshape(crop_shape)
            array = np.zeros(shape, bool)
            if crop.size:
                array[tuple(slice(int(s), int(s) + n) for s, n in zip(start, crop_shape))] = crop
            coverage = float(z["coverage_volume_ml"])
            origin = origin_from(json.loads(str(z["origin"]))) if "origin" in z.files else None
            findings = tuple(Finding(f["code"], f["message"], f["severity"]) for f in json.loads(str(z["findings"]))) if "findings" in z.files else ()
            name = str(z["name"]) if "name" in z.files else None
            return NodeMask(array, ImageGeometry(shape, z["affine"]), int(z["label"]), name, None if np.isnan(coverage) else coverage, findings, origin)
    except Exception as problem:  # a damaged archive raises whatever its parser meets
        raise NodusError(f"A stored outline cannot be read ({type(problem).__name__}).", code="mask_damaged", hint="Restore a backup.") from problem


def unpack_undo(data: bytes) -> bytes | None:
    """The undo steps that ``pack_mask`` was given, or None; raises ``mask_damaged`` as ``unpack_mask`` does."""
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as z:
            return z["undo"].tobytes() if "undo" in z.files else None
    except Exception as problem:  # a damaged archive raises whatever its parser meets
        raise NodusError(f"A stored outline cannot be read ({type(problem).__name__}).", code="mask_damaged", hint="Restore a backup.") from problem


def find_node(store: StudyStore, subject_id: str, label: str) -> TargetNode:
    """The subject's node with this label, or refused ``node_missing``."""
    for node in store.nodes(subject_id):
        if label in (node.label, node.node_id):
            return node
    raise NodusError(f"Subject {subject_id} has no node {label}.", code="node_missing")


def find_visit(store: StudyStore, subject_id: str, name: str) -> Visit:
    """The subject's visit with this name, or refused ``visit_missing``."""
    for visit in store.visits(subject_id):
        if name in (visit.name, visit.visit_id):
            return visit
    raise NodusError(f"Subject {subject_id} has no visit {name}.", code="visit_missing")


def save_reading(
    store: StudyStore,
    visit: Visit,
    node: TargetNode,
    *,
    reader: str,
    modality: str,
    method: str = VOLUME_METHOD,
    status: ReadingStatus = ReadingStatus.MEASURED,
    state: ReadingState = ReadingState.MEASURED,
    mask: NodeMask | None = None,
    measurement: NodeMeasurement | None = None,
    image: ImageVolume | None = None,
    volume_ml: float | None = None,
    volume_interval_ml: tuple[float, float] | None = None,
    status_reason: str | None = None,
    reason: str | None = None,
    extra: dict | None = None,
    role: str = "central",
    enhancing: EnhancingPart | None = None,
    enhancement_grade: str | None = None,
    long_axis_mm: float | None = None,
    short_axis_mm: float | None = None,
) -> Reading:
    """Save what a reader measured (or saw) of a node at a visit; returns it as stored.

    With ``mask`` the volume is the voxel volume of ``measurement`` (worked out here if absent),
    and mask and key picture are stored before the reading that names them. A reading of the same
    reader, node, visit, modality and method is changed in place (``reason`` once it was measured);
    a locked one begins a correction, which needs a reason. A mask carried over from another visit is
    marked so, and refused (``propagation_not_allowed``) where the protocol does not let it count; so is
    one that a model proposed (``model_outline_not_allowed``). ``measurement["segmentation"]`` says how
    the outline came about. ``enhancing`` are the parts apart from the whole; None: not assessed.
    ``enhancement_grade`` is the reader's own, of ``model.ENHANCEMENT_GRADES``; axes are taken as given where there is no mask to measure them on.
    ``extra["lesion"]`` is checked by ``app.study.lesions.lesion_statement`` and refused as it says; ``extra["perfusion"]`` by
    ``perfusion_binding.bound`` (``proposal_of_other``).
    """
    if "lesion" in (extra or {}):
        extra = {**extra, "lesion": lesion_statement(extra["lesion"], status=status)}
    if "perfusion" in (extra or {}):
        extra = {**extra, "perfusion": bound(store, extra["perfusion"], visit, node)}
    # Everything is stated anew: a node that has disappeared keeps no axis or outline of an earlier look.
    changes: dict = {
        "status": status, "status_reason": status_reason, "measurement": extra or {}, "volume_ml": volume_ml, "volume_interval_ml": volume_interval_ml,
        "long_axis_mm": long_axis_mm, "short_axis_mm": short_axis_mm, "warnings": tuple((extra or {}).get("warnings", ())), "mask_sha256": None, "picture_sha256": None, "series_uid": None,
        **part_fields(enhancing),
        "enhancement_grade": enhancement_grade,
    }
    if mask is not None and status in (ReadingStatus.MEASURED, ReadingStatus.TOO_SMALL):
        measurement = measurement or measure_node(mask)
        mask = with_origin(mask)
        changes.update(
            volume_ml=measurement.voxel_volume_ml,
            volume_interval_ml=measurement.volume_interval_ml,
            long_axis_mm=measurement.long_axis_mm,
            short_axis_mm=measurement.short_axis_mm,
            measurement={**measurement.to_dict(), "segmentation": mask.origin.as_dict(), **(extra or {})},
            warnings=(*changes["warnings"], *(w.as_warning() for w in measurement.warnings)),
            mask_sha256=store.put_blob(pack_mask(mask)),
        )
        gap = empty_slices(mask.array, bounding_box(mask.array))
        if gap is not None:
            changes["warnings"] = (*changes["warnings"], gap.as_warning())
        if mask.origin.model is not None:
            check_model_outlines(store.protocol, role)
            changes["warnings"] = (*changes["warnings"], model_finding(mask.origin.model).as_warning())
        if mask.origin.method == CARRIED:
            check_propagation(store.protocol, role)
            changes["measurement"] = {**changes["measurement"], **carried_entries(mask.origin)}
            changes["warnings"] = (*changes["warnings"], *(f.as_warning() for f in mask.findings or carried_findings(mask.origin) if f.severity != "info"))
        else:  # what was found when the outline was read (uneven slices, say) is a doubt about its number
            told = {w["code"] for w in changes["warnings"]}
            changes["warnings"] = (*changes["warnings"], *(f.as_warning() for f in mask.findings if f.severity != "info" and f.code not in told))
        if image is not None:
            changes["series_uid"] = image.source.series_uid
            changes["picture_sha256"] = store.put_blob(node_picture(image, mask, measurement, label=f"{node.label}  {visit.name}"))
    if enhancing is not None:
        changes["viable_mask_sha256"] = None if enhancing.mask is None else store.put_blob(pack_mask(enhancing.mask))
        changes["warnings"] = (*changes["warnings"], *(f.as_warning() for f in enhancing.findings))
        changes["measurement"] = {**changes["measurement"], **(enhancing.evidence or {})}
    if extra and extra.get("lesion"):
        changes["warnings"] = (*changes["warnings"], *(f.as_warning() for f in lesion_findings(extra["lesion"], long_axis_mm=changes["long_axis_mm"])))
    if image is not None:
        # What is merely worth knowing about the files (their order, say) is no doubt about the number.
        changes["warnings"] = (*changes["warnings"], *(f.as_warning() for f in image.findings if f.severity != "info"))
    found = store.find_reading(visit_id=visit.visit_id, node_id=node.node_id, reader=reader, role=role, modality=modality, method=method)
    if found is not None and changes["mask_sha256"] is not None:
        keep_propagated(found, changes)
    fresh = Reading("", node.subject_id, visit.visit_id, node.node_id, reader, role, modality, method, status, state)
    changes["warnings"] = with_asked(store.protocol, node, visit, replace(found or fresh, **changes)).warnings
    if found is None:
        return store.save_reading(replace(fresh, **changes), reason=reason)
    if found.state is ReadingState.LOCKED:
        return store.correct_reading(found.reading_id, reason or "", **changes)
    return store.save_reading(replace(found, state=max_state(found.state, state), **changes), reason=reason)


def check_propagation(protocol: StudyProtocol, role: str) -> None:
    """Refuse ``propagation_not_allowed`` unless the protocol allows carried-over outlines or the
    reading is a site's own."""
    if role != "site" and not protocol.allows_propagated_outlines:
        raise NodusError(
            f"The protocol does not let a {role} reading start from another visit's outline.",
            code="propagation_not_allowed",
            hint="Outline the node anew, or let the protocol allow it (reading.allow_propagated_outlines).",
        )


def check_model_outlines(protocol: StudyProtocol, role: str) -> None:
    """Refuse ``model_outline_not_allowed`` unless the protocol allows outlines proposed by a model or the
    reading is a site's own or for training."""
    if role not in ("site", "training") and not protocol.allows_model_outlines:
        raise NodusError(
            f"The protocol does not let a {role} reading rest on an outline proposed by a model.",
            code="model_outline_not_allowed",
            hint="Outline the node by hand or by a click, or let the protocol allow it (reading.allow_model_outlines).",
        )


def with_origin(mask: NodeMask) -> NodeMask:
    """The mask with a stated origin: its own, ``propagated`` where its findings say so, else ``not_recorded``."""
    if mask.origin is not None:
        return mask
    return replace(mask, origin=OutlineOrigin(CARRIED if any(f.code == CARRIED for f in mask.findings) else NOT_RECORDED))


def keep_propagated(found: Reading, changes: dict) -> None:
    """An outline that began as a copy of another visit's stays marked so, repaired or not: its
    ``propagated...`` entries and its warnings of the copying go into the new version, in place.

    Only a caller that knows that the node was outlined anew says ``{"propagated": False}`` in ``extra``.
    """
    given = changes["measurement"]
    if not found.measurement.get("propagated") or "propagated" in given:
        return
    changes["measurement"] = {**given, **{key: found.measurement[key] for key in ("propagated", "propagated_from", "registration") if key in found.measurement}}
    told = {w["code"] for w in changes["warnings"]}
    copied = [w for w in found.warnings if w["code"] not in told and (w["code"] == "propagated" or w["code"].startswith("registration_"))]
    changes["warnings"] = (*changes["warnings"], *copied)


def check_source(mask: NodeMask | None, method: str, status: ReadingStatus, status_reason: str | None) -> None:
    """Refuse a reading whose number would not be what its method says.

    Codes ``method_contradicts_mask`` (an ellipsoid comes from diameters, not from voxels),
    ``spacing_unknown`` (a single plane gives no volume), ``reason_missing`` (a merged or split node
    must say with which).
    """
    if mask is not None and method not in ("voxel", "coverage", "contour"):
        raise NodusError(f"A mask gives no volume by the method '{method}'.", code="method_contradicts_mask", hint="Use --method voxel, or give the ellipsoid's volume without a mask.")
    if mask is not None and any(f.code == "spacing_unknown" for f in mask.findings):
        raise NodusError("A single plane has no spacing of its own: no volume can be measured on it.", code="spacing_unknown")
    if status in (ReadingStatus.MERGED_INTO, ReadingStatus.SPLIT_FROM) and not status_reason:
        raise NodusError("Say which node it merged with or split from.", code="reason_missing", hint="Give the other node's label as the reason.")


def max_state(old: ReadingState, new: ReadingState) -> ReadingState:
    """A measured reading does not fall back to a draft."""
    return ReadingState.MEASURED if ReadingState.MEASURED in (old, new) else new


def part_as_read(store: StudyStore, reading: Reading, *, mask: NodeMask | None = None, total_ml: float | None = None) -> EnhancingPart | None:
    """The enhancing part that a reading holds without a threshold, for the whole as it is now: of
    ``mask``, or ``total_ml``. Its own outline and what was stated stay; what was derived is derived anew.
    None where it holds none."""
    if reading.viable_from is None and reading.ablated_from is None:
        return None
    if reading.viable_from == "outlined" and reading.viable_mask_sha256 is not None and mask is not None:
        return by_outline(mask, unpack_mask(store.get_blob(reading.viable_mask_sha256)))
    if mask is not None:
        total_ml = int(mask.array.sum()) * mask.geometry.voxel_size_mm3 / 1000.0
    given = {name: value for name, value, source in (("viable_ml", reading.viable_ml, reading.viable_from), ("ablated_ml", reading.ablated_ml, reading.ablated_from)) if source not in (None, "derived")}
    return stated(total_ml, **given)


def mask_of_reading(store: StudyStore, reading: Reading) -> NodeMask | None:
    """The outline a reading was measured from."""
    return None if reading.mask_sha256 is None else unpack_mask(store.get_blob(reading.mask_sha256))


def write_mask_file(store: StudyStore, reading: Reading, path: Path) -> None:
    """A reading's outline as a NIfTI, NRRD or MetaImage file."""
    from dicom_io.volume_files import write_volume

    mask = mask_of_reading(store, reading)
    if mask is None:
        raise NodusError("This reading has no outline.", code="mask_missing")
    write_volume(mask, path)
