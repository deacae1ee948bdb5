"""Which still of a visit goes with which: a long-axis and a short-axis picture of one node, proposed and never taken without the reader.

What counts as a plane is what the reader stated, else what the file's own words say; nothing is read off the pixels, and words burnt into
them are not read. Two stills that are known to show the two planes are compared by the node their words name, the depth of the node
measured on both, the order they were taken in, and their scale.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

from app.study.model import SeriesRecord
from app.study.store import StudyStore
from app.usecases.picture_draft import PictureDraft, Still
from dicom_io.headers import integer, items, read_header, text
from dicom_io.ultrasound import read_calibration
from volumetry.ellipsoid import depths_differ
from volumetry.errors import NodusError
from volumetry.finding import Finding

LONG, SHORT = "longitudinal", "transverse"
CONFIDENCES = ("strong", "fair", "weak")
# Words for the planes as makers and sonographers write them: English, German, Chinese; LS, TS, LAX, SAX only as capitals.
WORDS = {
    LONG: re.compile(r"\b(longitudinal|long|sagittal|sag|längs|laengs)\b|纵切|纵断|纵轴|长轴|矢状", re.I),
    SHORT: re.compile(r"\b(transverse|transversal|transv|trans|trv|axial|quer|short[ -]?axis)\b|横切|横断|横轴|短轴", re.I),
}
CAPITALS = {LONG: re.compile(r"\b(LS|LAX)\b"), SHORT: re.compile(r"\b(TS|SAX)\b")}
NODE_WORD = re.compile(r"\b(?:LN|N|node|lymph node|knoten)[ _#-]?(\d{1,2})\b", re.I)
SIDE_WORDS = {"left": re.compile(r"\b(left|lt|links)\b|左", re.I), "right": re.compile(r"\b(right|rt|rechts)\b|右", re.I)}
# What speaks for and against a pair; the window translates them.
REASONS = {
    "node": "Both files name {}.",
    "depth": "The depth of the node agrees: {} and {} mm.",
    "depth_apart": "The depth of the node differs: {} and {} mm.",
    "soon": "Taken {} s apart.",
    "late": "Taken {} min apart.",
    "next": "Taken one after the other.",
    "scale": "Same scale.",
    "rivals": "Other pairs that would fit as well: {}.",
    "alone": "Nothing but the planes speaks for it.",
}
TEXT_FIELDS = ("SeriesDescription", "ImageComments", "ViewName", "ViewPosition", "AcquisitionContext", "ProtocolName", "AcquisitionDeviceProcessingDescription")
SAME_SCALE = 0.01
SOON_S, LATE_S = 120.0, 1800.0
WEIGHTS = {"node": 4, "depth": 3, "next": 2, "soon": 2, "scale": 1, "late": -2}


@dataclass(frozen=True, slots=True)
class StillFacts:
    """What is known of a still. ``stated``: the plane by the reader; ``told``: by the file's words; ``node``: name of the node and ``side`` in
    those words; ``taken_s``: seconds of its day; ``order``: number in the examination; ``mm_per_pixel``: of the part it was measured in;
    ``depth_mm``: the node's diameter in depth by an outline or caliper of the reader."""

    still: Still
    name: str
    stated: str | None = None
    told: str | None = None
    node: str | None = None
    side: str | None = None
    taken_s: float | None = None
    order: int | None = None
    mm_per_pixel: float | None = None
    depth_mm: float | None = None

    @property
    def plane(self) -> str | None:
        """The reader's statement, else the file's words."""
        return self.stated or self.told


@dataclass(frozen=True, slots=True)
class PairProposal:
    """Two stills that may show one node in both planes; ``confidence`` of ``CONFIDENCES`` and why, in plain words."""

    long: StillFacts
    short: StillFacts
    confidence: str
    reasons: tuple[str, ...]

    def as_dict(self) -> dict:
        """Plain values."""
        ends = {plane: {"picture": one.still[0], "frame": one.still[1], "name": one.name, "plane_from": "reader" if one.stated else "file"} for plane, one in ((LONG, self.long), (SHORT, self.short))}
        return {**ends, "confidence": self.confidence, "reasons": list(self.reasons)}


@dataclass(frozen=True, slots=True)
class Pairing:
    """Proposals, best first; a still is in one of them at most. Findings: ``plane_not_told``, ``plane_against_file``, ``pair_plane_missing``."""

    proposals: tuple[PairProposal, ...]
    findings: tuple[Finding, ...] = ()


def plane_in_words(words: str) -> str | None:
    """The plane that some words tell; None where they tell none, or both."""
    told = [plane for plane in (LONG, SHORT) if WORDS[plane].search(_split(words)) or CAPITALS[plane].search(_split(words))]
    return told[0] if len(told) == 1 else None


def node_in_words(words: str) -> tuple[str | None, str | None]:
    """Name of a node (``N1``) and the side that some words tell; None where there is none, or more than one."""
    names = {f"N{int(n)}" for n in NODE_WORD.findall(_split(words))}
    sides = [side for side, pattern in SIDE_WORDS.items() if pattern.search(_split(words))]
    return (names.pop() if len(names) == 1 else None), (sides[0] if len(sides) == 1 else None)


def _split(words: str) -> str:
    return words.replace("_", " ")


def file_words(ds) -> str:
    """What a header says in words about the view: descriptions, comments, view names."""
    fields = [text(ds, k) or "" for k in TEXT_FIELDS] + [text(view, "CodeMeaning") or "" for view in items(ds, "ViewCodeSequence")]
    return " ; ".join(f for f in fields if f)


def still_facts(path, still: Still, name: str, words: str = "") -> StillFacts:
    """The facts of one file's header (a path or an archive's entry); ``words`` are added to the header's own. Raises ``NodusError`` where it cannot be read."""
    ds = read_header(path).ds
    all_words = f"{file_words(ds)} ; {words}"
    node, side = node_in_words(all_words)
    calibration = read_calibration(ds, integer(ds, "Columns") or 0, integer(ds, "Rows") or 0)
    scales = [r.mm_per_pixel[1] for r in calibration.regions if r.is_length] if calibration.refusal is None else []
    clock = next((s for s in (_seconds(text(ds, k)) for k in ("AcquisitionDateTime", "AcquisitionTime", "ContentTime")) if s is not None), None)
    return StillFacts(still, name, None, plane_in_words(all_words), node, side, clock, integer(ds, "InstanceNumber"), scales[0] if scales else None)


def _seconds(value: str | None) -> float | None:
    """Seconds of the day of a DICOM time or date-time."""
    digits = re.match(r"(?:\d{8})?(\d{2})(\d{2})(\d{2}(?:\.\d+)?)(?:[+-]\d{4})?$", value or "")
    return None if digits is None else 3600.0 * int(digits[1]) + 60.0 * int(digits[2]) + float(digits[3])


def with_draft(facts: Iterable[StillFacts], draft: PictureDraft | None) -> tuple[StillFacts, ...]:
    """The facts with what the reader stated and measured of one node."""
    out = []
    for one in facts:
        if draft is not None:
            measured = [c["length_mm"] for slot, c in draft.calipers.items() if slot.startswith("depth") and (c["source"], c["frame"]) == one.still and c["length_mm"]]
            outline = draft.outlines.get(one.still)
            depth = measured[0] if measured else None if outline is None else depth_of(outline.axes)
            one = replace(one, stated=draft.planes.get(one.still), depth_mm=depth)
        out.append(one)
    return tuple(out)


def depth_of(axes) -> float | None:
    """The axis of an outline (``OutlineAxes``) nearer to the beam, mm."""
    return axes.long_axis_mm if axes.tilt_deg > 45.0 else axes.short_axis_mm


def visit_stills(store: StudyStore, records: Sequence[SeriesRecord], planes: Mapping[Still, str] | None = None) -> tuple[StillFacts, ...]:
    """The facts of a visit's stills, and of frames of its loops that the reader stated a plane of (``planes``)."""
    out = []
    for record in records:
        frames = [0] if record.kind == "still" else [f for name, f in (planes or {}) if name == record.series_id] if record.kind == "cine" else []
        if not frames or not record.files:
            continue
        facts = still_facts(store.series_folder(record) / record.files[0], (record.series_id, 0), record.description, record.description)
        for frame in frames:
            still = (record.series_id, frame)
            name = facts.name if record.kind == "still" else f"{facts.name}, frame {frame + 1}"
            out.append(replace(facts, still=still, stated=(planes or {}).get(still), name=name))
    return tuple(out)


def propose_pairs(stills: Sequence[StillFacts], *, node: str | None = None) -> Pairing:
    """Pairs of a longitudinal and a transverse still, best first. ``node``: name of the node that is read; stills whose words name another
    are left out. Nothing is guessed: a still without a plane is in no pair, and a finding counts them."""
    looked = [s for s in stills if node is None or s.node is None or s.node.upper() == node.upper()]
    findings = []
    unknown = [s for s in looked if s.plane is None]
    if unknown:
        findings.append(Finding("plane_not_told", f"Which plane they show is not known of {len(unknown)} of {len(looked)} stills; they are in no pair. State it on each: longitudinal or transverse."))
    for one in looked:
        if one.stated and one.told and one.stated != one.told:
            findings.append(Finding("plane_against_file", f"{one.name} was stated to be {one.stated}, its file says {one.told}; the statement counts."))
    longs, shorts = ([s for s in looked if s.plane == plane] for plane in (LONG, SHORT))
    if not longs or not shorts:
        lacking = [plane for plane, found in ((LONG, longs), (SHORT, shorts)) if not found]
        findings += [Finding("pair_plane_missing", f"No {plane} still of this visit is known: there is no pair.") for plane in lacking]
        return Pairing((), tuple(findings))
    rated = [(*_rate(a, b), a, b) for a, b in product(longs, shorts) if a.still != b.still and not _apart(a, b)]
    rated.sort(key=lambda r: (-r[0], _gap(r[3], r[4]), r[3].still, r[4].still))
    proposals, used = [], set()
    for score, for_it, against, a, b in rated:
        if a.still in used or b.still in used:
            continue
        rivals = [r for r in rated if r[0] >= score and (r[3] is a) != (r[4] is b) and not {r[3].still, r[4].still} & used]
        reasons = [*(t for _, t in for_it), *against] or [REASONS["alone"]]
        if rivals:
            reasons.append(REASONS["rivals"].format(len(rivals)))
        names = {n for n, _ in for_it}
        confidence = "weak" if against or rivals or not names else "strong" if names & {"node", "depth"} else "fair"
        proposals.append(PairProposal(a, b, confidence, tuple(reasons)))
        used |= {a.still, b.still}
    proposals.sort(key=lambda p: CONFIDENCES.index(p.confidence))
    return Pairing(tuple(proposals), tuple(findings))


def _apart(a: StillFacts, b: StillFacts) -> bool:
    """Their words name two nodes, or the two sides."""
    return bool((a.node and b.node and a.node != b.node) or (a.side and b.side and a.side != b.side))


def _gap(a: StillFacts, b: StillFacts) -> float:
    if a.taken_s is not None and b.taken_s is not None:
        return abs(a.taken_s - b.taken_s)
    return float("inf") if a.order is None or b.order is None else float(abs(a.order - b.order))


def _rate(a: StillFacts, b: StillFacts) -> tuple[int, list[tuple[str, str]], list[str]]:
    """Score, what speaks for one node in both (name, words), and what against."""
    good: list[tuple[str, str]] = []
    bad: list[str] = []
    if a.node and a.node == b.node:
        good.append(("node", REASONS["node"].format(a.node)))
    if a.depth_mm and b.depth_mm:
        depths = f"{a.depth_mm:.1f}", f"{b.depth_mm:.1f}"
        if depths_differ(a.depth_mm, b.depth_mm):
            bad.append(REASONS["depth_apart"].format(*depths))
        else:
            good.append(("depth", REASONS["depth"].format(*depths)))
    score = -4 if bad else 0
    if a.taken_s is not None and b.taken_s is not None:
        seconds = abs(a.taken_s - b.taken_s)
        if seconds <= SOON_S:
            good.append(("soon", REASONS["soon"].format(f"{seconds:.0f}")))
        elif seconds > LATE_S:
            bad.append(REASONS["late"].format(f"{seconds / 60:.0f}"))
            score += WEIGHTS["late"]
    if a.order is not None and b.order is not None and abs(a.order - b.order) == 1:
        good.append(("next", REASONS["next"]))
    if a.mm_per_pixel and b.mm_per_pixel and abs(a.mm_per_pixel / b.mm_per_pixel - 1) <= SAME_SCALE:
        good.append(("scale", REASONS["scale"]))
    return score + sum(WEIGHTS[name] for name, _ in good), good, bad


def pairs_of_visit(store: StudyStore, subject_id: str, visit_name: str, *, node_label: str | None = None, reader: str | None = None) -> Pairing:
    """The pairs of a visit in a study; with ``node_label`` and ``reader`` also what that reader stated and measured of that node.

    Refuses as ``find_visit``, ``find_node`` and the store do; a file that cannot be read refuses by its own code."""
    from app.usecases.picture_draft import load_draft
    from app.usecases.readings import find_node, find_visit

    if (node_label is None) != (reader is None):
        raise NodusError("What a reader stated belongs to a node: give both or neither.", code="reader_missing", hint="Add --node and --reader.")
    visit = find_visit(store, subject_id, visit_name)
    draft = None
    if node_label is not None:
        draft = load_draft(store, find_node(store, subject_id, node_label).node_id, visit.visit_id, reader)
    facts = visit_stills(store, store.series(visit.visit_id), None if draft is None else draft.planes)
    return propose_pairs(with_draft(facts, draft), node=node_label)
