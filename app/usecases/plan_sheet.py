"""The plan sheet: one plan on A4 pages as PDF, the same bytes every time for the same run.

A plan that a limit refuses has no sheet: it cannot be approved, so nobody shall hold a page that looks as if it were.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reportlab.lib.pagesizes import A4
from reportlab.pdfgen.canvas import Canvas

from app import INVESTIGATIONAL_NOTICE, __version__
from app.jobs import JobContext
from app.study.blobs import write_file
from app.study.canonical import canonical_json, sha256_text
from app.study.store import StudyStore
from app.usecases.plan_sheet_page import draw_sheet
from app.usecases.plan_sheet_pictures import SlicePicture, slice_pictures
from planning.safety import DeviceLimits
from volumetry.errors import NodusError
from volumetry.image import ImageVolume


class SheetRefused(NodusError):
    """A plan that no sheet can be written for."""

    default_code = "sheet_refused"


@dataclass(frozen=True, slots=True, eq=False)
class PlanSheet:
    """What stands on the sheet. ``plan`` and ``answer`` are the JSON objects of the run; ``facts`` are lines of who, what
    and when; ``laws`` are rows of assumed conductivities; ``beside`` is what else was kept (robustness, limits)."""

    plan: Mapping[str, Any]
    answer: Mapping[str, Any]
    facts: Sequence[tuple[str, str]]
    hashes: Sequence[tuple[str, str]]
    laws: Sequence[Mapping[str, Any]]
    limits: Mapping[str, Any]
    schematic: bool = False
    robustness: Mapping[str, Any] | None = None
    delivered: Sequence[Mapping[str, Any]] = ()
    pictures: Sequence[SlicePicture] = field(default=())
    picture_note: str = ""


def refusal_of(answer: Mapping[str, Any]) -> NodusError | None:
    """Why an answer cannot become a sheet, or None."""
    refused = [c for c in answer.get("constraints") or () if c.get("level") == "refuse"]
    if refused:
        return SheetRefused(
            f"This plan is refused ({refused[0].get('message', refused[0].get('code'))}): it has no treatment sheet.",
            code="sheet_of_refused_plan", hint="Change the plan until no limit refuses it.",
        )  # fmt: skip
    if (answer.get("solver") or {}).get("preview"):
        return SheetRefused("A coarse preview is no result: it has no treatment sheet.", code="sheet_of_preview", hint="Solve the plan.")
    return None


def is_schematic(plan: Mapping[str, Any], answer: Mapping[str, Any]) -> bool:
    """True for a plan from ultrasound alone, wherever that is said."""
    sources = [where.get("source") for where in (plan, answer)]
    kinds = [s.get("kind") if isinstance(s, Mapping) else s for s in sources]
    return "schematic" in kinds or any(w.get("code") == "schematic" for w in answer.get("warnings") or ())


def sheet_of_plan(plan, solution, assessment, *, image: ImageVolume | None = None) -> PlanSheet:
    """The sheet of a plan that is kept in no study: it says so. Raises ``sheet_of_refused_plan``, ``sheet_of_preview``."""
    answer = assessment.to_dict()
    if (why := refusal_of(answer)) is not None:
        raise why
    written = plan.to_dict()
    hashes = (("plan", sha256_text(canonical_json(written))), ("answer", sha256_text(canonical_json(_timeless(answer)))))
    pictures = slice_pictures(plan, solution.e_max_v_per_cm, solution.geometry, image)
    facts = (("Run", "not kept in a study"), ("Version", f"Nodus {__version__}"))
    return PlanSheet(
        written, answer, facts, hashes, law_rows(plan), vars_of(DeviceLimits()), is_schematic(written, answer), pictures=pictures,
        picture_note="" if image is not None else "drawn without the images: none were given",
    )  # fmt: skip


def sheet_of_run(store: StudyStore, plan_run_id: str, context: JobContext, *, image: ImageVolume | None = None) -> PlanSheet:
    """The sheet of a kept run. ``image`` is what it was planned on where that is open already, else it is read from the
    study. Raises ``plan_run_missing``, ``plan_run_damaged``, ``sheet_of_refused_plan``, ``sheet_of_preview``."""
    from app.usecases.kept_plans import open_run

    context.report("Reading plan run", 0.1)
    opened = open_run(store, plan_run_id)
    run, content, answer = opened.run, opened.run.content, opened.run.content["assessment"]
    if (why := refusal_of(answer)) is not None:
        raise why
    if image is None:
        image = picture_of_run(store, run, opened, context.part(0.2, 0.6))
    context.report("Drawing slices", 0.7)
    pictures = [] if opened.field is None else slice_pictures(opened.plan, opened.field.e_max_v_per_cm, opened.field.geometry, image)
    labels = {n.node_id: f"{n.label} {n.side} {n.level}" for n in store.nodes(run.subject_id)}
    visits = {v.visit_id: v.name for v in store.visits(run.subject_id)}
    inputs = content.get("inputs") or {}
    told = [
        ("Subject", run.subject_id), ("Node", labels.get(run.node_id, "not stated")), ("Session", {"day0": "Day 0", "salvage": "salvage"}.get(run.session or "", "not stated")),
        ("Visit", visits.get(run.visit_id or "", "not stated")), ("Run", run.plan_run_id), ("Kept", f"{run.created_utc[:16].replace('T', ' ')} UTC"),
        ("Needles", f"as they lie, of plan {run.planned_id}" if run.kind == "actual" else "as planned"), ("Follows", run.predecessor_id or "none"),
        ("Version", f"Nodus {run.software_version or 'not stated'}"),
    ]  # fmt: skip
    plan_hash, answer_hash = inputs.get("plan_sha256") or sha256_text(canonical_json(content["plan"])), inputs.get("assessment_sha256") or sha256_text(canonical_json(answer))
    hashes = (("plan", plan_hash), ("answer", answer_hash), *((name, digest) for name, digest in sorted(run.blobs.items())))
    delivered = [p.to_dict() for record in store.deliveries(plan_run_id) for p in record.pairs]
    note = "drawn without the images: the study does not say which they were" if image is None else ""
    return PlanSheet(
        content["plan"], answer, told, hashes, law_rows(opened.plan), inputs.get("limits") or vars_of(DeviceLimits()), is_schematic(content["plan"], answer),
        robustness=content.get("robustness"), delivered=delivered, pictures=pictures, picture_note=note,
    )  # fmt: skip


def render_sheet(sheet: PlanSheet) -> bytes:
    """The sheet as PDF."""
    pages = _drawn(sheet, 0)[1]  # once to count the pages
    return _drawn(sheet, pages)[0]


def write_sheet(sheet: PlanSheet, path: Path) -> dict[str, Any]:
    """Write the sheet and read it back: ``{"path", "sha256", "pages"}``. Raises ``export_failed``."""
    data, pages = _drawn(sheet, _drawn(sheet, 0)[1])
    try:
        write_file(path, data)
        back = path.read_bytes()
    except OSError as error:
        raise SheetRefused(f"The plan sheet could not be written: {error.strerror}.", code="export_failed") from error
    if back != data:
        raise SheetRefused("The plan sheet does not read back as it was written.", code="export_failed")
    return {"path": str(path), "sha256": hashlib.sha256(back).hexdigest(), "pages": pages}


def _drawn(sheet: PlanSheet, pages: int) -> tuple[bytes, int]:
    stream = io.BytesIO()
    canvas = Canvas(stream, pagesize=A4, invariant=1, pageCompression=1, lang="en")
    canvas.setTitle("Nodus plan sheet " + dict(sheet.facts).get("Run", ""))
    canvas.setAuthor("Nodus")
    canvas.setSubject(INVESTIGATIONAL_NOTICE)
    canvas.setCreator(f"Nodus {__version__}")
    count = draw_sheet(canvas, sheet, pages)
    canvas.save()
    return stream.getvalue(), count


def law_rows(plan) -> list[dict]:
    """Each tissue of a plan with its law in words, its source, its spread and whether it is assumed."""
    rows, seen = [], {}
    for name, law in (("background", plan.background), *((r.name, r.conductivity) for r in plan.regions if r.conductivity is not None)):
        if law in seen:
            seen[law]["name"] += f", {name}"
            continue
        if law.model == "constant":
            words = "air" if law.is_air else f"{law.sigma0_s_per_m:g} S/m"
        else:
            words = f"{law.sigma0_s_per_m:g} to {law.sigma1_s_per_m:g} S/m over {law.e_low_v_per_cm:g} to {law.e_high_v_per_cm:g} V/cm ({law.model})"
        seen[law] = {"name": name, "law": words, "source": law.source, "spread_pct": law.spread_pct, "assumed": law.assumed}
        rows.append(seen[law])
    return rows


def vars_of(limits: DeviceLimits) -> dict:
    """Limits as a plain object."""
    return {name: getattr(limits, name) for name in DeviceLimits.__dataclass_fields__}


def picture_of_run(store: StudyStore, run, opened, context: JobContext) -> ImageVolume | None:
    """The volume that a run was planned on: the one it names, else its visit's only one that holds the middle of the field."""
    from app.usecases.import_images import open_record

    if run.visit_id is None or opened.field is None:
        return None
    records = [r for r in store.series(run.visit_id) if r.kind == "volume"]
    named = ((run.content.get("inputs") or {}).get("picture") or {}).get("series_uid")
    if named is not None:
        records = [r for r in records if r.series_uid == named]
    geometry = opened.field.geometry
    middle = geometry.index_to_world([(n - 1) / 2 for n in geometry.shape[::-1]])
    holding = []
    for record in records:
        image = open_record(store, record, context)
        if image.geometry.contains(middle):
            holding.append(image)
        if len(holding) > 1:
            return None  # which of them it was is not known; none is put below the field
    return holding[0] if holding else None


def _timeless(answer: Mapping[str, Any]) -> dict:
    """An answer without what the clock put into it: solved again, the same plan has the same hash."""
    return {**answer, "solver": {k: v for k, v in (answer.get("solver") or {}).items() if k != "seconds"}}
