"""What a reader settled and drew on the contrast loops of a visit, kept in the study as one works.

One draft a visit and reader: of each loop the panes, the dynamic range, the part that is read, the marks and the regions; of
each node the result that was taken for its reading. It is a convenience for the reader, not a reading.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from app.study.store import StudyStore
from app.usecases.contrast_panes import LAYOUTS, PaneBox, Panes
from app.usecases.perfusion_regions import PerfusionRegion
from volumetry.errors import NodusError

MARKS = ("arrival", "peak", "late")


@dataclass(frozen=True, slots=True)
class LoopDraft:
    """One loop. ``panes`` None: not confirmed. ``range_db`` as stated by the reader, None: as in the header, or not known.
    ``frames``: first and last of the file that are read. ``marks``: frames of the file that the reader moved. ``regions``: of each node,
    in pixels of the whole picture as they lie in ``region_frame`` of the file."""

    panes: Panes | None = None
    range_db: float | None = None
    frames: tuple[int, int] | None = None
    marks: Mapping[str, int] = field(default_factory=dict)
    region_frame: int | None = None
    regions: Mapping[str, tuple[PerfusionRegion, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ContrastDraft:
    """``loops`` by the name of their series, ``taken`` by node (as ``perfusion_reading.perfusion_record`` makes it)."""

    loops: Mapping[str, LoopDraft] = field(default_factory=dict)
    taken: Mapping[str, dict[str, Any]] = field(default_factory=dict)


def panes_to_dict(panes: Panes) -> dict[str, Any]:
    """Panes as plain values."""
    boxes = {name: None if box is None else list(box.as_tuple()) for name, box in (("contrast", panes.contrast), ("bmode", panes.bmode), ("bar", panes.bar))}
    return {"layout": panes.layout, **boxes, "mm_per_pixel": None if panes.mm_per_pixel is None else list(panes.mm_per_pixel)}


def panes_from(entry: Mapping[str, Any]) -> Panes:
    """Panes of ``panes_to_dict``."""
    boxes = {name: None if entry[name] is None else PaneBox(*(int(v) for v in entry[name])) for name in ("contrast", "bmode", "bar")}
    if entry["layout"] not in LAYOUTS or boxes["contrast"] is None:
        raise ValueError(entry["layout"])
    scale = entry["mm_per_pixel"]
    return Panes(entry["layout"], boxes["contrast"], boxes["bmode"], None if scale is None else (float(scale[0]), float(scale[1])), boxes["bar"])


def pack_contrast(draft: ContrastDraft) -> bytes:
    """A draft as JSON."""
    loops = {
        name: {
            "panes": None if d.panes is None else panes_to_dict(d.panes), "range_db": d.range_db, "frames": d.frames, "marks": dict(d.marks), "region_frame": d.region_frame,
            "regions": {node: [r.to_dict() for r in regions] for node, regions in d.regions.items()},
        }
        for name, d in draft.loops.items()
    }  # fmt: skip
    return json.dumps({"loops": loops, "taken": dict(draft.taken)}, sort_keys=True).encode()


def unpack_contrast(data: bytes) -> ContrastDraft:
    """The draft of ``pack_contrast``; raises ``NodusError`` (``contrast_draft_damaged``) for anything else."""
    try:
        kept = json.loads(data)
        loops = {}
        for name, d in kept["loops"].items():
            regions = {
                node: tuple(PerfusionRegion(r["name"], r["role"], tuple((float(x), float(y)) for x, y in r["polygon_px"])) for r in rows)
                for node, rows in d["regions"].items()
            }  # fmt: skip
            frames = None if d["frames"] is None else (int(d["frames"][0]), int(d["frames"][1]))
            marks = {mark: int(d["marks"][mark]) for mark in MARKS if mark in d["marks"]}
            panes = None if d["panes"] is None else panes_from(d["panes"])
            range_db = None if d["range_db"] is None else float(d["range_db"])
            loops[str(name)] = LoopDraft(panes, range_db, frames, marks, None if d["region_frame"] is None else int(d["region_frame"]), regions)
        taken = kept["taken"]
        if not isinstance(taken, dict) or not all(isinstance(v, dict) for v in taken.values()):
            raise ValueError("taken")
        return ContrastDraft(loops, taken)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, NodusError) as problem:
        raise NodusError("What was drawn on the contrast loops of this visit cannot be read.", code="contrast_draft_damaged", hint="Draw it again.") from problem


def save_contrast(store: StudyStore, visit_id: str, reader: str, draft: ContrastDraft) -> None:
    """Keep a draft in place of the one before; nothing is written where nothing changed."""
    sha256 = store.put_blob(pack_contrast(draft))
    if store.get_setting(_key(visit_id, reader)) != sha256:
        store.set_setting(_key(visit_id, reader), sha256)


def load_contrast(store: StudyStore, visit_id: str, reader: str) -> ContrastDraft | None:
    """What was kept last, or None. Refuses ``contrast_draft_damaged`` and what the store refuses."""
    sha256 = store.get_setting(_key(visit_id, reader))
    return None if sha256 is None else unpack_contrast(store.get_blob(sha256))


def _key(visit_id: str, reader: str) -> str:
    return f"contrast_draft/{visit_id}/{reader}"
