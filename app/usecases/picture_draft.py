"""Outlines, stated planes and diameters on ultrasound pictures, kept in the study as one works.

One draft a node, visit and reader. It is a convenience for the reader, not a reading: what counts is
what a reading keeps (``outline_record`` in its measurement).
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace

import numpy as np

from app.study.store import StudyStore
from app.usecases.outline_picture import MeasuredOutline, OutlineAxes, PictureOutline
from volumetry.errors import NodusError
from volumetry.finding import Finding

Still = tuple[str, int]
"""A still: the name of its picture in the study, and the frame."""


@dataclass(frozen=True, slots=True)
class PictureDraft:
    """What a reader did on the pictures of a visit for one node. ``calipers`` maps the slots of an
    ellipsoid to plain values (points, length_mm, label, plane, frame, source)."""

    outlines: dict[Still, MeasuredOutline] = field(default_factory=dict)
    planes: dict[Still, str] = field(default_factory=dict)
    calipers: dict[str, dict] = field(default_factory=dict)


def outline_record(measured: MeasuredOutline, *, series_uid: str, frame: int, plane: str | None, is_source: bool) -> dict:
    """What a reading keeps of an outline: polygon in pixels to 0.01, where it was drawn, how, and what it
    measured. ``is_source`` says whether the reading's calipers on this still are the outline's axes."""
    outline = measured.outline
    return {
        "polygon_px": [[round(float(x), 2), round(float(y), 2)] for x, y in outline.points_px], "series_uid": series_uid, "frame": frame, "plane": plane,
        "method": outline.method, "anchors_px": [list(a) for a in outline.anchors_px], "calipers_from_outline": is_source, **measured.axes.as_dict(),
    }  # fmt: skip


def pack_draft(draft: PictureDraft) -> bytes:
    """A draft as JSON."""
    outlines = []
    for still, measured in draft.outlines.items():
        o = measured.outline
        drawn = {
            "points_px": np.round(o.points_px, 4).tolist(), "shape": o.shape, "method": o.method, "anchors_px": o.anchors_px,
            "seed_px": o.seed_px, "radius_px": o.radius_px, "findings": [f.as_dict() for f in o.findings],
        }  # fmt: skip
        axes = {**asdict(replace(measured.axes, findings=())), "findings": [f.as_dict() for f in measured.axes.findings]}
        outlines.append({"still": still, "outline": drawn, "axes": axes})
    planes = [[*still, plane] for still, plane in draft.planes.items()]
    return json.dumps({"outlines": outlines, "planes": planes, "calipers": draft.calipers}, sort_keys=True).encode()


def unpack_draft(data: bytes) -> PictureDraft:
    """The draft of ``pack_draft``; raises ``NodusError`` (``picture_draft_damaged``) for anything else."""
    try:
        kept = json.loads(data)
        outlines = {}
        for entry in kept["outlines"]:
            o, a = entry["outline"], entry["axes"]
            points = np.array(o["points_px"], dtype=np.float64).reshape(-1, 2)
            seed = None if o["seed_px"] is None else tuple(o["seed_px"])
            outline = PictureOutline(points, tuple(o["shape"]), o["method"], _pairs(o["anchors_px"]), seed, o["radius_px"], _findings(o["findings"]))
            axes = OutlineAxes(**{**a, "long_px": _pairs(a["long_px"]), "short_px": _pairs(a["short_px"]), "findings": _findings(a["findings"])})
            outlines[_still(entry["still"])] = MeasuredOutline(outline, axes)
        planes = {_still(p[:2]): str(p[2]) for p in kept["planes"]}
        calipers = {slot: {**c, "points": _pairs(c["points"])} for slot, c in kept["calipers"].items()}
        return PictureDraft(outlines, planes, calipers)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as problem:
        raise NodusError("The outlines kept of the ultrasound pictures cannot be read.", code="picture_draft_damaged", hint="Outline them again.") from problem


def save_draft(store: StudyStore, node_id: str, visit_id: str, reader: str, draft: PictureDraft) -> None:
    """Keep a draft in place of the one before; nothing is written where nothing changed."""
    sha256 = store.put_blob(pack_draft(draft))
    if store.get_setting(_key(node_id, visit_id, reader)) != sha256:
        store.set_setting(_key(node_id, visit_id, reader), sha256)


def load_draft(store: StudyStore, node_id: str, visit_id: str, reader: str) -> PictureDraft | None:
    """What was kept last, or None. Refuses ``picture_draft_damaged`` and what the store refuses."""
    sha256 = store.get_setting(_key(node_id, visit_id, reader))
    return None if sha256 is None else unpack_draft(store.get_blob(sha256))


def _key(node_id: str, visit_id: str, reader: str) -> str:
    return f"picture_draft/{visit_id}/{node_id}/{reader}"


def _still(pair) -> Still:
    return str(pair[0]), int(pair[1])


def _pairs(points) -> tuple[tuple[float, float], ...]:
    return tuple((float(x), float(y)) for x, y in points)


def _findings(rows) -> tuple[Finding, ...]:
    return tuple(Finding(row["code"], row["message"], row["severity"]) for row in rows)
