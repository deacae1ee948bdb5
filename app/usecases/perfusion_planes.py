"""Two contrast loops of one node, one along it and one across, as one answer on what still enhances."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from app.jobs.progress import JobContext
from app.usecases.files import sha256_of
from app.usecases.perfusion import PerfusionResult
from app.usecases.perfusion_files import PerfusionRequest, analyse_file
from volumetry.errors import NodusError
from volumetry.perfusion.planes import PlaneShare, TwoPlanes, share_of_two_planes


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


def combine_planes(first: PerfusionResult, second: PerfusionResult, node_ml: float | None = None) -> TwoPlanes:
    """``share_of_two_planes`` of two analysed loops. Refuses ``one_loop_twice`` for the same loop, and as ``plane_of`` does."""
    if first.loop_sha256 == second.loop_sha256:
        raise _one_twice()
    return share_of_two_planes(plane_of(first), plane_of(second), node_ml=node_ml)


def analyse_second(first: PerfusionResult, asked: PerfusionRequest, cine: Path, roi: Path, context: JobContext) -> dict:
    """``two_planes`` of the answer of ``nodus perfusion``: the loop of the other plane read as the first was, and both together.
    Parts of the picture and the stated range are the first's; frames, arrival and series are of each loop its own."""
    second, _ = analyse_file(replace(asked, cine=cine, roi=roi, frames=None, arrival_s=None, series_uid=None, maps=False), context)
    found = combine_planes(first, second, asked.node_ml)
    return {**found.as_dict(), "second_input_sha256": second.input_sha256, "second_cine_sha256": sha256_of(cine) if cine.is_file() else None}
