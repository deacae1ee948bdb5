"""``nodus perfusion`` from files to files: a loop and regions read, panes taken or stated, maps and the result written."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from app.jobs.progress import JobContext
from app.usecases.contrast_loop import load_loop
from app.usecases.contrast_panes import CANNOT_TELL, PaneBox, PaneProposal, Panes, propose_panes
from app.usecases.files import ensure_folder, replacing, sha256_of
from app.usecases.open_images import scan
from app.usecases.perfusion import PerfusionResult, analyse_contrast
from app.usecases.perfusion_regions import read_roi
from dicom_io.contrast import ContrastFacts, contrast_facts
from dicom_io.headers import read_header
from dicom_io.masks import choose_series
from dicom_io.ultrasound import cine_from_header
from dicom_io.volume_files import write_array
from volumetry.errors import NodusError
from volumetry.finding import Finding
from volumetry.geometry import ImageGeometry
from volumetry.image import Cine
from volumetry.perfusion.curves import AcquisitionFacts
from volumetry.perfusion.linearise import GREY, ColourMap, colour_map_from_bar
from volumetry.perfusion.loop import PerfusionRefused
from volumetry.perfusion.maps import CODES
from volumetry.perfusion.models import DERIVED

SURE_PANES = 0.7  # confidence of a proposal; below, a warning says that nobody confirmed it
SWAPPED = "swapped"
TINT_SHARES = (0.05, 1.0)
LACKS_FRAMES = ("too_few_frames", "frame_out_of_range")  # refusals that a loop that was cut off explains


@dataclass(frozen=True, slots=True)
class PerfusionRequest:
    """What the command line asks. ``panes``: None takes the proposal, ``swapped`` turns it round, else boxes as text (``parse_panes``);
    ``colour_map``: None, ``grey``, or the box of the colour bar X0,Y0,X1,Y1. ``frames``: first and last, of the file."""

    cine: Path
    roi: Path
    range_db: float | None = None
    panes: str | None = None
    colour_map: str | None = None
    tint_share: float | None = None
    model: str = "lognormal"
    node_ml: float | None = None
    frames: tuple[int, int] | None = None
    arrival_s: float | None = None
    nonrigid: bool = False
    maps: bool = False
    series_uid: str | None = None


def analyse_file(asked: PerfusionRequest, context: JobContext) -> tuple[PerfusionResult, dict]:
    """The analysis of a loop file, and its answer with the hashes of both files and the panes' confidence.

    Refusals of ``open_loop``, ``read_roi``, ``load_loop`` and ``analyse_contrast``; ``panes_unclear`` where nothing tells which pane
    is the contrast.
    """
    if asked.tint_share is not None and not TINT_SHARES[0] <= asked.tint_share <= TINT_SHARES[1]:
        raise PerfusionRefused("The share of the colour in an overlay is a number from 0.05 to 1.", code="value_refused")
    regions, frame = read_roi(asked.roi)
    cine, facts, path = open_loop(asked.cine, context.part(0.0, 0.02), asked.series_uid)
    proposal = propose_panes(cine, context.part(0.02, 0.06))
    panes, findings = chosen_panes(cine, proposal, asked.panes)
    range_db, source = (asked.range_db, "stated") if asked.range_db is not None else (facts.range_db, facts.range_source)
    if range_db is None:
        raise PerfusionRefused(
            "The file does not state the dynamic range of the contrast picture, and without it a grey level has no echo power.", code="range_unknown",
            hint="Give it with --range-db as the scanner shows it (often DR or C), for example --range-db 60.",
        )  # fmt: skip
    if asked.tint_share is not None and panes.layout != "overlay":
        findings = [*findings, Finding("tint_share_unused", "A share of the colour was stated, and the contrast does not lie over the B-mode picture: it was not used.")]
    try:
        loop = load_loop(
            cine, panes, range_db=range_db, colour_map=_colours(cine, panes, asked.colour_map), tint_share=asked.tint_share, frames=asked.frames, context=context.part(0.06, 0.4)
        )
        loop = replace(loop, findings=tuple(dict.fromkeys((*proposal.findings, *findings, *loop.findings))))
        result = analyse_contrast(
            loop, regions, panes, model=asked.model, node_ml=asked.node_ml, arrival_s=asked.arrival_s, frame=frame, nonrigid=asked.nonrigid, maps=asked.maps,
            facts=acquisition(facts), progress=context.part(0.4, 1.0).report,
        )  # fmt: skip
    except PerfusionRefused as refusal:
        cut = next((f for f in cine.findings if f.code == "truncated"), None)
        if cut is None or refusal.code not in LACKS_FRAMES:
            raise
        raise PerfusionRefused(f"{refusal.message} {cut.message}", code=refusal.code, hint=refusal.hint) from refusal
    more = {
        "range_source": source, "panes_confidence": proposal.confidence if asked.panes is None else None, "agent": facts.agent,
        "system": acquisition(facts).system, "series_uid": cine.source.series_uid, "cine_sha256": sha256_of(path), "roi_sha256": sha256_of(asked.roi),
    }  # fmt: skip
    return result, more


def open_loop(path: Path, context: JobContext, series_uid: str | None = None) -> tuple[Cine, ContrastFacts, Path]:
    """A loop, what its header says of contrast, and its file. Refuses ``file_missing``, ``several_series``, ``series_missing``, ``not_a_loop``, and as ``read_cine`` does."""
    if not path.exists():
        raise NodusError(f"There is nothing at {path}.", code="file_missing")
    if path.is_dir():
        found = scan(path, context)
        loops = [s for s in found.series if s.kind == "cine"]
        path = choose_series(replace(found, series=tuple(loops)) if loops else found, series_uid).paths[0]
    header = read_header(path)
    cine = cine_from_header(header)
    if cine.is_still and not any(f.code == "truncated" for f in cine.findings):
        raise PerfusionRefused("This is a single picture; a curve over time needs a loop.", code="not_a_loop")
    return cine, contrast_facts(header), path


def acquisition(facts: ContrastFacts) -> AcquisitionFacts:
    """The settings that amplitudes depend on, as far as the header states them."""
    system = " ".join(v for v in (facts.maker, facts.model) if v)
    return AcquisitionFacts(system=system or None, transducer=facts.transducer, gain_db=facts.gain_db, mechanical_index=facts.mechanical_index)


def chosen_panes(cine: Cine, proposal: PaneProposal, stated: str | None) -> tuple[Panes, list[Finding]]:
    """The panes to use: stated ones, else the proposal, which a finding then tells. Refuses ``panes_unclear`` and ``bad_panes``."""
    if stated is not None:
        panes = proposal.panes.swapped() if stated == SWAPPED else parse_panes(stated, cine)
        return panes, _against_picture(panes, proposal)
    if CANNOT_TELL in proposal.reasons:
        raise PerfusionRefused(
            "Nothing tells which of the two pictures is the contrast.", code="panes_unclear", hint="State the boxes with --panes CONTRAST/BMODE, each X0,Y0,X1,Y1."
        )
    sure = proposal.confidence >= SURE_PANES
    box = proposal.panes.contrast.as_tuple()
    told = f"The contrast picture was taken to be the box {', '.join(map(str, box))}{' ' if sure else ', without certainty '}({proposal.panes.layout.replace('_', ' ')}); nobody confirmed it."
    return proposal.panes, [Finding("panes_proposed", told, "info" if sure else "warning")]


def _against_picture(panes: Panes, proposal: PaneProposal) -> list[Finding]:
    other = proposal.panes.bmode
    if other is None or proposal.confidence < SURE_PANES:
        return []
    x, y = 0.5 * (panes.contrast.x0 + panes.contrast.x1), 0.5 * (panes.contrast.y0 + panes.contrast.y1)
    if not (other.x0 <= x <= other.x1 and other.y0 <= y <= other.y1):
        return []
    return [Finding("panes_against_picture", f"What was stated to be the contrast looks like the B-mode picture: {' '.join(r for r in proposal.reasons[1:])}", "serious")]


def parse_panes(text: str, cine: Cine) -> Panes:
    """Panes as ``X0,Y0,X1,Y1`` (contrast alone), ``CONTRAST/BMODE`` or ``overlay:X0,Y0,X1,Y1``; pixels, both ends within."""
    overlay = text.startswith("overlay:")
    parts = text.removeprefix("overlay:").split("/")
    boxes = [_box(p) for p in parts]
    if len(boxes) > 2 or (overlay and len(boxes) > 1):
        raise _bad_panes(text)
    contrast, bmode = boxes[0], boxes[1] if len(boxes) == 2 else None
    layout = "overlay" if overlay else "single" if bmode is None else "side_by_side" if contrast.x1 < bmode.x0 or bmode.x1 < contrast.x0 else "stacked"
    x, y = 0.5 * (contrast.x0 + contrast.x1), 0.5 * (contrast.y0 + contrast.y1)
    scale = cine.calibration.manual_mm_per_pixel
    if scale is None and not cine.calibration.refusal:
        scale = next((r.mm_per_pixel for r in cine.calibration.regions if r.is_length and r.holds(x, y)), None)
    return Panes(layout, contrast, bmode, scale)


def _box(text: str) -> PaneBox:
    try:
        x0, y0, x1, y1 = (int(v) for v in text.split(","))
    except ValueError:
        raise _bad_panes(text) from None
    if x1 <= x0 or y1 <= y0:
        raise _bad_panes(text)
    return PaneBox(x0, y0, x1, y1)


def _bad_panes(text: str) -> PerfusionRefused:
    return PerfusionRefused(f"'{text}' is no box of a pane.", code="bad_panes", hint="Write X0,Y0,X1,Y1 for the contrast, with /X0,Y0,X1,Y1 for the B-mode picture, or swapped.")


def _colours(cine: Cine, panes: Panes, stated: str | None) -> ColourMap | None:
    if stated is None:
        return None
    if stated == "grey":
        return GREY
    box = _box(stated)
    if box.x0 < 0 or box.y0 < 0 or box.x1 >= cine.shape[1] or box.y1 >= cine.shape[0]:
        raise PerfusionRefused("The colour bar lies outside the picture.", code="colour_bar_unclear")
    return colour_map_from_bar(box.cut(cine.read_frame(cine.frame_count // 2)))


UNITS = {d.name: d.unit for d in DERIVED} | {"baseline": "power"}


def write_maps(result: PerfusionResult, folder: Path) -> list[dict]:
    """Parameter maps, their code, and what enhances (share of the reference, viable, rim), each as NIfTI of one slice on the grid of the contrast
    pane at the reference frame, and ``maps.json`` that tells units and codes. A pixel without a value is NaN; without a scale a pixel stands for 1 mm,
    which ``maps.json`` says. Gives ``{"path", "sha256"}`` of each file."""
    ensure_folder(folder)
    told_in = folder / "maps.json"  # the last to be written: where it is, the maps beside it are whole and of one analysis
    told_in.unlink(missing_ok=True)
    loop = result.loop
    x_mm, y_mm = loop.mm_per_pixel or (1.0, 1.0)
    grid = ImageGeometry.from_spacing((1, *loop.shape), (x_mm, y_mm, 1.0))
    arrays: dict[str, np.ndarray] = {}
    if result.maps is not None:
        arrays |= {**result.maps.maps, "code": result.maps.code, "r_squared": result.maps.r_squared}
    if result.assessment is not None:
        a = result.assessment
        arrays |= {"relative": a.relative, "viable": a.viable.astype(np.uint8), "rim": a.rim.astype(np.uint8)}
    written = []
    for name, array in arrays.items():
        path = folder / f"{name}.nii.gz"
        write_array(np.ascontiguousarray(array)[None], grid, path)
        written.append({"path": path.name, "sha256": sha256_of(path)})
    told = {
        "units": {n: UNITS.get(n, "") for n in arrays}, "codes": list(CODES), "calibrated": loop.mm_per_pixel is not None, "mm_per_pixel": loop.mm_per_pixel,
        "pane": result.panes.contrast.as_tuple(), "reference_frame": int(loop.frame_numbers[result.motion.reference_frame]), "input_sha256": result.input_sha256,
    }  # fmt: skip
    with replacing(told_in) as partial:
        partial.write_text(json.dumps(told, indent=2), encoding="utf-8")
    return [*written, {"path": told_in.name, "sha256": sha256_of(told_in)}]


def parse_frames(text: str) -> tuple[int, int]:
    """``A:B`` as first and last frame, both within."""
    first, _, last = text.partition(":")
    if not (first.isdecimal() and last.isdecimal()) or int(first) > int(last):
        raise PerfusionRefused(f"'{text}' is no part of a loop.", code="bad_frames", hint="Write the first and the last frame, from 0, like 12:340.")
    return int(first), int(last)


def warnings_of(findings: Sequence[Finding]) -> list[dict]:
    """Findings that change how a number is read."""
    return [f.as_warning() for f in findings if f.severity != "info"]
