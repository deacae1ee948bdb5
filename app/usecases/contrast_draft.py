"""What a reader settled and drew on the contrast loops of a visit, kept in the study as one works.

One draft a visit and reader: of each loop the panes, the dynamic range, the part that is read, the marks, the regions, the plane, and what
was worked out of each node; of each node the pair of loops that is joined and the result that was taken for its reading. It is a convenience for the reader, not a reading.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from app.study.canonical import canonical_json, sha256_text
from app.study.store import StudyStore
from app.usecases.contrast_panes import LAYOUTS, PaneBox, Panes
from app.usecases.pair_planes import LONG, SHORT
from app.usecases.perfusion_planes import LoopSection
from app.usecases.perfusion_regions import PerfusionRegion
from volumetry.errors import NodusError

MARKS = ("arrival", "peak", "late")
PLANES = (LONG, SHORT)


@dataclass(frozen=True, slots=True)
class LoopDraft:
    """One loop. ``panes`` None: not confirmed. ``range_db`` as stated by the reader, None: as in the header, or not known.
    ``frames``: first and last of the file that are read. ``marks``: frames of the file that the reader moved. ``regions``: of each node,
    in pixels of the whole picture as they lie in ``region_frame`` of the file. ``in_parts``: the tissue is followed in parts as well.
    ``plane``: longitudinal or transverse, as the reader stated of a frame of it. ``sections``: what was worked out of each node
    (``perfusion_planes.LoopSection`` as plain values) with ``settled``, the hash of what it was worked out from (``settled_sha256``)."""

    panes: Panes | None = None
    range_db: float | None = None
    frames: tuple[int, int] | None = None
    marks: Mapping[str, int] = field(default_factory=dict)
    region_frame: int | None = None
    regions: Mapping[str, tuple[PerfusionRegion, ...]] = field(default_factory=dict)
    in_parts: bool = False
    plane: str | None = None
    sections: Mapping[str, dict[str, Any]] = field(default_factory=dict)

    def settled_sha256(self, node_id: str, outlines: Mapping[int, Any]) -> str:
        """Hash of all that an analysis of a node depends on and the reader can change; ``outlines``: of the node on frames of the loop, points
        (n, 2). They count where no region of the node was drawn."""
        regions = self.regions.get(node_id, ())
        drawn = () if any(r.role == "node" for r in regions) else [[int(f), _rounded(points)] for f, points in sorted(outlines.items())]
        panes = None if self.panes is None else panes_to_dict(self.panes)
        return sha256_text(canonical_json([panes, self.range_db, self.frames, self.marks.get("arrival"), [r.to_dict() for r in regions], drawn, self.in_parts]))


@dataclass(frozen=True, slots=True)
class LoopPair:
    """Two loops of one node by the names of their series, sorted. ``right_angle``: the reader ticked that they stand so, through the node's
    middle; ``joined``: the reader asked for both as one."""

    loops: tuple[str, str]
    right_angle: bool = False
    joined: bool = False


@dataclass(frozen=True, slots=True)
class ContrastDraft:
    """``loops`` by the name of their series; by node ``taken`` (as ``perfusion_reading`` makes its records) and ``pairs``."""

    loops: Mapping[str, LoopDraft] = field(default_factory=dict)
    taken: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    pairs: Mapping[str, LoopPair] = field(default_factory=dict)


def _rounded(points) -> list:
    """To what the draft of a picture keeps of an outline, so that it is the same on reopening."""
    return np.round(np.asarray(points, float), 4).tolist()


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
            "in_parts": d.in_parts, "plane": d.plane, "sections": dict(d.sections),
        }
        for name, d in draft.loops.items()
    }  # fmt: skip
    pairs = {node: {"loops": list(p.loops), "right_angle": p.right_angle, "joined": p.joined} for node, p in draft.pairs.items()}
    return json.dumps({"loops": loops, "taken": dict(draft.taken), "pairs": pairs}, sort_keys=True).encode()


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
            plane, sections = d.get("plane"), d.get("sections", {})  # drafts of before two planes hold neither
            if plane not in (None, *PLANES) or not all(isinstance(v["settled"], str) and LoopSection.from_dict(v) for v in sections.values()):
                raise ValueError("plane")
            loops[str(name)] = LoopDraft(panes, range_db, frames, marks, None if d["region_frame"] is None else int(d["region_frame"]), regions, bool(d.get("in_parts", False)), plane, sections)
        taken = kept["taken"]
        if not isinstance(taken, dict) or not all(isinstance(v, dict) for v in taken.values()):
            raise ValueError("taken")
        pairs = {node: LoopPair((str(p["loops"][0]), str(p["loops"][1])), bool(p["right_angle"]), bool(p["joined"])) for node, p in kept.get("pairs", {}).items()}
        return ContrastDraft(loops, taken, pairs)
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
