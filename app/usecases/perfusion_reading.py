"""What was found on a contrast loop (or a pair of contrast CTs) as a reading keeps it: the proposal beside what the reader decides.

``measurement["perfusion"]`` holds the proposal whole: grade, shares, numbers of the curves, hashes of what it was made from. The
reader's own grade is a field of the reading and is never filled from it. The parts in ml follow the proposal only where the reader's
grade agrees with it. A record of two planes (``joined_record``) has the form of one loop's, so that everything that reads a proposal reads
it too; ``two_planes`` names both loops, each with all that it takes to work it out again.
"""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

from app.study.canonical import canonical_json, sha256_text
from app.usecases.enhancing_part import EnhancingPart, stated
from app.usecases.perfusion_regions import MOST_REGIONS, ROLES
from volumetry.errors import NodusError
from volumetry.finding import Finding
from volumetry.perfusion.models import MODELS

KEY = "perfusion"
SHARE = "enhancing_share"  # of ``app.study.model.PART_SOURCES``
SOURCES = {"CEUS": "contrast ultrasound: enhancing share of one section, of the node's volume", "CT": "contrast CT: enhancing share of the outline"}
BOTH_SECTIONS = "contrast ultrasound: enhancing share of two sections, of the node's volume"
ONE_SECTION = Finding("share_of_one_plane", "The enhancing part is the share of one section on contrast ultrasound, taken for the whole node.")
TWO_SECTIONS = Finding("share_of_two_planes", "The enhancing part is the share of two sections at a right angle on contrast ultrasound, taken for the whole node.")
PLANES_TOLD = ("common_diameter_differs", "planes_disagree", "part_lies_inside", "plane_not_evaluable")  # what a reading says of its two planes
RESIDUAL_KEPT = (
    "grade", "viable_pct", "viable_interval_pct", "ablated_pct", "node_mm2", "viable_mm2", "rim_mm2", "rim_mm", "foci", "reference_db", "threshold_pct_of_reference",
    "threshold_hu", "window", "reasons", "drawn", "node_ml",
)  # fmt: skip
REGION_KEPT = ("name", "role", "model", "parameters", "intervals", "reasons", "r_squared", "ratios", "differences_s", "pixels", "depth_mm")
ANSWER_KEPT = (
    "frames", "frames_accepted", "first_frame", "last_frame", "reference_frame", "range_db", "range_source", "mm_per_pixel", "motion_residual_mm", "motion_in_parts", "panes",
    "model_choice", "asked", "loop_sha256", "cine_sha256", "roi_sha256", "inputs_sha256", "input_sha256", "software_version",
)  # fmt: skip
JOINED_KEPT = ("grade", "viable_pct", "viable_interval_pct", "volume_interval_pct", "inside", "solid_pct")
# How it was stated that the loops stand at a right angle: their planes, a tick for this pair, or both given to one command.
RIGHT_ANGLE = ("planes", "tick", "command")
NONE_LEFT, LEFT = ("0", "1"), ("2", "3")
OUTLINE_CHANGED = 0.01
HASH, UID = re.compile("[0-9a-f]{64}"), re.compile(r"[0-9.]{1,64}")
LARGEST_FILE = 64 << 20


def read_result(path: Path) -> dict[str, Any]:
    """An answer of ``nodus perfusion --json`` as it was saved. Refuses ``file_missing`` and ``bad_perfusion_result``."""
    if not path.is_file():
        raise NodusError(f"There is no file {path.name}.", code="file_missing")
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise ValueError("size")
        answer = json.loads(path.read_text(encoding="utf-8-sig"))
        return perfusion_record(answer)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as problem:
        raise NodusError(f"{path.name} holds no answer of nodus perfusion.", code="bad_perfusion_result", hint="Save what nodus perfusion --json prints, whole.") from problem


def perfusion_record(answer: dict[str, Any], *, series_uid: str | None = None) -> dict[str, Any]:
    """What a reading keeps of an answer of ``nodus perfusion``: plain values, without curves and maps; of an answer with
    ``two_planes`` both loops, joined.

    Raises ``KeyError``, ``TypeError`` or ``ValueError`` for anything that is no such answer.
    """
    both = answer.get("two_planes")
    if both is None:
        return _one_record(answer, series_uid)
    return joined_record(_one_record(answer, series_uid), _one_record(both["second"], None), both, right_angle="command")


def joined_record(first: dict[str, Any], second: dict[str, Any], found: dict[str, Any], *, right_angle: str, planes: tuple[str | None, str | None] = (None, None)) -> dict[str, Any]:
    """What a reading keeps of two loops of one node: the record of the ``first`` (the longitudinal one), of which its numbers of
    curves are, with the share and the grade of both as ``found`` (``TwoPlanes.as_dict``) has them. ``right_angle``: of ``RIGHT_ANGLE``. ``two_planes["loops"]`` holds both records with the
    plane and the share of each. Raises ``KeyError`` or ``ValueError`` for what are no two loops of contrast ultrasound.
    """
    if right_angle not in RIGHT_ANGLE or (first["modality"], second["modality"]) != ("CEUS", "CEUS"):
        raise ValueError("two_planes")
    _check_residual(found)
    loops = [{**record, "plane": plane, "share": share} for record, plane, share in zip((first, second), planes, found["planes"], strict=True)]
    names = [plane or f"loop {n}" for n, plane in enumerate(planes, 1)]
    pct = found["viable_pct"]
    residual = dict.fromkeys(RESIDUAL_KEPT) | {
        "grade": found["grade"], "viable_pct": pct, "viable_interval_pct": found["viable_interval_pct"], "ablated_pct": None if pct is None else 100.0 - pct,
        "reasons": [f"{name}: {reason}" for name, loop in zip(names, loops, strict=True) for reason in loop["residual"]["reasons"] or ()],
    }  # fmt: skip
    warnings = {w["code"]: {"code": w["code"], "message": w["message"]} for w in (*found["warnings"], *first["warnings"], *second["warnings"])}
    told = {name: found[name] for name in JOINED_KEPT} | {"right_angle": right_angle, "warnings": list(found["warnings"]), "loops": loops}
    return {
        **first, "residual": residual, "two_planes": told, "warnings": list(warnings.values()),
        "input_sha256": joined_sha256(first["input_sha256"], second["input_sha256"]),
    }  # fmt: skip


def joined_sha256(first: str, second: str) -> str:
    """Hash that names what was made of two loops, from those (``input_sha256``) of the longitudinal and the transverse one."""
    return sha256_text(canonical_json(["two_planes", first, second]))


def holds_loop(record: dict[str, Any], input_sha256: str) -> bool:
    """Whether a reading's record is of an analysis, alone or joined with another."""
    loops = (record.get("two_planes") or {}).get("loops", ())
    return input_sha256 in (record["input_sha256"], *(loop["input_sha256"] for loop in loops))


def _check_residual(residual: dict[str, Any]) -> None:
    if residual["grade"] not in (None, "0", "1", "2", "3", "NE"):
        raise ValueError("grade")
    share = residual["viable_pct"]
    if share is not None and not (isinstance(share, (int, float)) and not isinstance(share, bool) and math.isfinite(share) and 0 <= share <= 100):
        raise ValueError("viable_pct")


def _check_whole(answer: dict[str, Any]) -> None:
    """What a table takes later must be what it is called: a reading with another value could never leave the study."""
    if answer.get("modality", "CEUS") not in SOURCES:
        raise ValueError("modality")
    for name in ("input_sha256", "loop_sha256", "cine_sha256"):
        value = answer.get(name)
        if not (isinstance(value, str) and HASH.fullmatch(value)) and (value is not None or name == "input_sha256"):
            raise ValueError(name)
    uid = answer.get("series_uid")
    if uid is not None and not (isinstance(uid, str) and UID.fullmatch(uid)):
        raise ValueError("series_uid")
    share = answer["residual"]["viable_pct"]
    if share is not None and (answer["residual"]["grade"] in (None, "NE") or (answer["residual"]["grade"] in NONE_LEFT) != (share == 0)):
        raise ValueError("grade")
    if len(answer["regions"]) > MOST_REGIONS + 1:  # and a reference that was proposed
        raise ValueError("regions")
    for region in answer["regions"]:
        if region["role"] not in ROLES or region.get("model") not in (None, *MODELS):
            raise ValueError("regions")
        numbers = [*(region.get("parameters") or {}).values(), *(r["value"] for r in (region.get("ratios") or {}).values()), region.get("r_squared")]
        if not all(_is_number(v) for v in numbers):
            raise ValueError("regions")


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value))


def _one_record(answer: dict[str, Any], series_uid: str | None) -> dict[str, Any]:
    residual = answer["residual"]
    _check_residual(residual)
    _check_whole(answer)
    warnings = [*answer["warnings"], *residual["warnings"], *(w for r in answer["regions"] for w in r["warnings"])]
    return {
        "modality": answer.get("modality", "CEUS"),
        "series_uid": series_uid or answer.get("series_uid"),
        "residual": {name: residual.get(name) for name in RESIDUAL_KEPT},
        "regions": [{name: r.get(name) for name in REGION_KEPT} for r in answer["regions"]],
        **{name: answer.get(name) for name in ANSWER_KEPT},
        "frames_rejected": len(answer["frames_rejected"]),
        "warnings": list({w["code"]: {"code": w["code"], "message": w["message"]} for w in warnings}.values()),
    }


def is_joined(record: dict[str, Any]) -> bool:
    """Whether a proposal is of two planes."""
    return record.get("two_planes") is not None


def planes_findings(record: dict[str, Any]) -> tuple[Finding, ...]:
    """What stands against a share of two planes (``PLANES_TOLD``); nothing for one loop."""
    told = record["two_planes"]["warnings"] if is_joined(record) else ()
    return tuple(Finding(w["code"], w["message"]) for w in told if w["code"] in PLANES_TOLD)


def proposed_grade(record: dict[str, Any]) -> str | None:
    """The grade that was proposed."""
    return record["residual"]["grade"]


def agrees(record: dict[str, Any], grade: str | None) -> bool:
    """Whether the proposal's share may stand under the reader's grade: something is left by both, or nothing is left by both."""
    share = record["residual"]["viable_pct"]
    return share is not None and grade is not None and ((grade in LEFT and share > 0) or (grade in NONE_LEFT and share == 0))


def proposed_part(record: dict[str, Any], grade: str | None, total_ml: float | None) -> EnhancingPart | None:
    """The parts of a node of ``total_ml`` by the proposal's share; None where the reader's ``grade`` does not bear it, or nothing is known."""
    if not total_ml or not agrees(record, grade):
        return None
    part = stated(total_ml, viable_ml=record["residual"]["viable_pct"] / 100.0 * total_ml)
    both = is_joined(record)
    findings = part.findings if record["modality"] != "CEUS" else (*part.findings, TWO_SECTIONS if both else ONE_SECTION)
    return EnhancingPart(part.viable_ml, part.ablated_ml, SHARE, "derived", source=BOTH_SECTIONS if both else SOURCES[record["modality"]], findings=findings)


def perfusion_findings(record: dict[str, Any], grade: str | None, *, own_part: bool = False) -> tuple[Finding, ...]:
    """What to tell beside a reading that holds a proposal: the reader decided otherwise, or so much otherwise that no part follows
    (unless the reader stated parts: ``own_part``); and what stands against two planes."""
    planes = () if own_part else planes_findings(record)
    proposed, share = proposed_grade(record), record["residual"]["viable_pct"]
    if grade is None or proposed is None or grade == proposed:
        return planes
    if not own_part and share is not None and grade != "NE" and not agrees(record, grade):
        said = f"The reader's grade {grade} does not bear the proposed part ({share:.0f} % of the section enhances); it was not taken into the reading."
        return (*planes, Finding("proposal_not_taken", said))
    return (*planes, Finding("grade_differs", f"Grade {proposed} was proposed, the reader's is {grade}.", "info"))


def _outline_changed(record: dict[str, Any], total_ml: float | None) -> tuple[Finding, ...]:
    """On CT the share is one of the outline: what is told where the outline has another volume by now."""
    then = record["residual"].get("node_ml")
    if record["modality"] != "CT" or not then or not total_ml or abs(total_ml - then) <= OUTLINE_CHANGED * then:
        return ()
    return (Finding("outline_changed_since", f"The outline held {then:.3f} ml when its enhancement was worked out and holds {total_ml:.3f} ml now: the enhancing part is the earlier share of it."),)


def with_proposal(
    record: dict[str, Any], *, grade: str | None, modality: str, total_ml: float | None, enhancing: EnhancingPart | None = None
) -> tuple[dict[str, Any], EnhancingPart | None]:
    """``extra`` and ``enhancing`` for ``save_reading``: the proposal as it stands, and the parts: the reader's own (``enhancing``) where they
    stated any, else the proposal's as far as ``grade`` bears it.

    Refuses ``grade_missing`` (the reader decides), ``perfusion_modality`` (a loop's result in a reading of another modality) and
    ``no_node_in_loop`` (a result without a node).
    """
    if grade is None:
        raise NodusError("What was found on contrast pictures is a proposal: give the reader's own grade with it.", code="grade_missing", hint="State the grade: 0, 1, 2, 3 or NE.")
    if modality != record["modality"]:
        raise NodusError(f"This was found on {record['modality']} and cannot stand in a reading of {modality}.", code="perfusion_modality", hint="Read the node by that modality.")
    if proposed_grade(record) is None:
        raise NodusError("No node was drawn for this result: it says nothing of what enhances.", code="no_node_in_loop", hint="Draw a region of the role node and analyse again.")
    findings = perfusion_findings(record, grade, own_part=enhancing is not None)
    part = enhancing or proposed_part(record, grade, total_ml)
    extra = {KEY: record}
    findings += _outline_changed(record, total_ml) if part is not None and enhancing is None else ()
    if findings:
        extra["warnings"] = [f.as_warning() for f in findings]
    return extra, part
