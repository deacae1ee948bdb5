"""Two contrast loops of one node, one along it and one across, as one answer on what still enhances."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from app.jobs.progress import JobContext
from app.study.canonical import canonical_json
from app.usecases.files import sha256_of
from app.usecases.perfusion import PerfusionResult
from app.usecases.perfusion_files import PerfusionRequest, analyse_file
from app.usecases.perfusion_reading import perfusion_record
from volumetry.errors import NodusError
from volumetry.perfusion.enhancement import GRADES
from volumetry.perfusion.loop import ContrastLoop
from volumetry.perfusion.planes import PlaneShare, TwoPlanes, share_of_two_planes

COMPARED_FRAMES, ONE_RECORDING = 8, 0.5  # correlation of what changes between frames
SPECKLE_PX = 24  # side of the square of each pair of frames that is kept to compare


def plane_of(result: PerfusionResult) -> PlaneShare:
    """The section of one analysed loop; not evaluable where it could not be judged. Refuses ``no_node_in_loop`` where no node was drawn."""
    if result.assessment is not None:
        return PlaneShare.of(result.assessment, result.loop.mm_per_pixel)
    if result.residual_refusal is None:
        raise NodusError("No node was drawn on one of the two loops.", code="no_node_in_loop", hint="Draw a region of the role node on both.")
    return PlaneShare("NE", 0.0, None, None, None)


def check_two_files(first: Path, second: Path) -> None:
    """Refuses ``one_loop_twice`` for two files of the same content, before either is analysed."""
    if first.is_file() and second.is_file() and sha256_of(first) == sha256_of(second):
        raise _one_twice()


def _one_twice() -> NodusError:
    return NodusError("One loop cannot serve as both planes.", code="one_loop_twice", hint="Give the loop of the other plane.")


def _same_pictures(first: PerfusionResult, second: PerfusionResult) -> bool:
    """Whether two loops show one recording, stored twice (compressed, or with another header): what changes from a frame to the next is
    speckle and noise, which no two recordings share."""
    a, b = first.loop.levels, second.loop.levels
    if a.shape != b.shape:
        return False
    some = np.unique(np.linspace(0, a.shape[0] - 2, COMPARED_FRAMES).astype(int))
    one, two = (levels[some + 1].astype(np.float32) - levels[some] for levels in (a, b))
    one, two = (change - change.mean(axis=(1, 2), keepdims=True) for change in (one, two))
    return float((one * two).sum()) > ONE_RECORDING * float(np.sqrt((one * one).sum() * (two * two).sum())) > 0.0


def combine_planes(first: PerfusionResult, second: PerfusionResult, node_ml: float | None = None) -> TwoPlanes:
    """``share_of_two_planes`` of two analysed loops. Refuses ``one_loop_twice`` for the same loop, and as ``plane_of`` does."""
    if first.loop_sha256 == second.loop_sha256 or _same_pictures(first, second):
        raise _one_twice()
    return share_of_two_planes(plane_of(first), plane_of(second), node_ml=node_ml)


@dataclass(frozen=True, slots=True)
class LoopSection:
    """What one analysed loop says of a node, without its pictures: the section's share, and the ``record`` that a reading would keep of
    it (``perfusion_reading.perfusion_record``), by which it can be worked out again. ``speckle``: a sample of the recording (``speckle_of``)."""

    share: PlaneShare
    record: Mapping[str, Any]
    speckle: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {"share": share_to_dict(self.share), "record": dict(self.record), "speckle": self.speckle}

    @classmethod
    def from_dict(cls, entry: Mapping[str, Any]) -> LoopSection:
        """The section of ``to_dict``. Raises ``KeyError``, ``TypeError`` or ``ValueError`` for anything else."""
        record = entry["record"]
        if not all(isinstance(record[name], str) for name in ("input_sha256", "loop_sha256")):
            raise ValueError("record")
        return cls(share_from(entry["share"]), record, str(entry.get("speckle", "")))


SHARE_NAMES = ("grade", "node_mm2", "node_depth_mm", "viable_pct", "viable_interval_pct", "inside", "inside_depth")


def share_to_dict(share: PlaneShare) -> dict[str, Any]:
    """A section's share as plain values, as in ``planes`` of ``TwoPlanes.as_dict``."""
    out = {name: getattr(share, name) for name in SHARE_NAMES}
    return out | {"inside": share.inside or None, "viable_interval_pct": None if share.viable_interval_pct is None else list(share.viable_interval_pct)}


def share_from(entry: Mapping[str, Any]) -> PlaneShare:
    """The share of ``share_to_dict``. Raises ``KeyError``, ``TypeError`` or ``ValueError`` for anything else."""
    if entry["grade"] not in GRADES:
        raise ValueError("grade")
    numbers = {name: None if entry[name] is None else float(entry[name]) for name in ("node_mm2", "node_depth_mm", "viable_pct", "inside_depth")}
    interval = entry["viable_interval_pct"]
    if numbers["node_mm2"] is None or (numbers["viable_pct"] is None) != (interval is None):
        raise ValueError("share")
    return PlaneShare(grade=entry["grade"], inside=entry["inside"] or "", viable_interval_pct=None if interval is None else (float(interval[0]), float(interval[1])), **numbers)


def section_of(result: PerfusionResult, *, series_uid: str | None = None, range_source: str | None = None) -> LoopSection:
    """The section of one analysed loop, in plain values that come back from JSON as they are. Refuses as ``plane_of`` does."""
    record = perfusion_record({**result.to_dict(), "range_source": range_source}, series_uid=series_uid)
    return LoopSection(share_from(share_to_dict(plane_of(result))), json.loads(canonical_json(record)), speckle_of(result.loop))


def speckle_of(loop: ContrastLoop) -> str:
    """What changes between some pairs of frames in a small square in the middle of the pane, as text with the loop's size: enough to know the
    same recording by, also stored in another way."""
    frames, rows, columns = loop.levels.shape
    some = np.unique(np.linspace(0, frames - 2, COMPARED_FRAMES).astype(int))
    top, left = (max(0, (n - SPECKLE_PX) // 2) for n in (rows, columns))
    part = loop.levels[:, top : top + SPECKLE_PX, left : left + SPECKLE_PX]
    change = (part[some + 1].astype(np.int16) - part[some]) // 2
    return f"{frames}x{rows}x{columns}:" + base64.b64encode(change.astype(np.int8).tobytes()).decode()


def one_recording(first: LoopSection, second: LoopSection) -> bool:
    """Whether two sections are of one loop, or of two files of one recording."""
    if first.record["loop_sha256"] == second.record["loop_sha256"]:
        return True
    (size, a), (other, b) = (s.speckle.partition(":")[::2] for s in (first, second))
    if size != other or not a or len(a) != len(b):
        return False
    one, two = (np.frombuffer(base64.b64decode(text), np.int8).astype(float) for text in (a, b))
    one, two = one - one.mean(), two - two.mean()
    return float(one @ two) > ONE_RECORDING * float(np.sqrt((one @ one) * (two @ two))) > 0.0


def join_sections(first: LoopSection, second: LoopSection, node_ml: float | None = None) -> TwoPlanes:
    """``share_of_two_planes`` of two sections. Refuses ``one_loop_twice``."""
    if one_recording(first, second):
        raise _one_twice()
    return share_of_two_planes(first.share, second.share, node_ml=node_ml)


def join_again(record: Mapping[str, Any], node_ml: float | None = None) -> TwoPlanes:
    """Both planes of a joined record of a reading (``perfusion_reading.joined_record``), worked out from its two sections."""
    first, second = (share_from(entry["share"]) for entry in record["two_planes"]["loops"])
    return share_of_two_planes(first, second, node_ml=node_ml)


def analyse_second(first: PerfusionResult, asked: PerfusionRequest, cine: Path, roi: Path, context: JobContext) -> dict:
    """``two_planes`` of the answer of ``nodus perfusion``: the loop of the other plane read as the first was, and both together.
    Parts of the picture and the stated range are the first's; frames, arrival and series are of each loop its own. ``second``: the
    answer of the other loop."""
    second, more = analyse_file(replace(asked, cine=cine, roi=roi, frames=None, arrival_s=None, series_uid=None, maps=False), context)
    found = combine_planes(first, second, asked.node_ml)
    return {**found.as_dict(), "second_input_sha256": second.input_sha256, "second_cine_sha256": more["cine_sha256"], "second": second.to_dict() | more}
