"""Pairs of readings that wait for an adjudicator, side by side and under codes: nobody's name, and case codes for who is blinded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from app.jobs import JobContext
from app.study.adjudication import Difference, open_differences, reader_codes
from app.study.model import Reading, StudySnapshot
from app.study.protocol import protocol_from
from app.study.reader_answers import answered_by, answered_modalities, reader_responses
from app.study.store import StudyStore
from app.study.users import right_missing

MARGIN_MM = 12.0  # around both outlines


@dataclass(frozen=True, slots=True)
class Side:
    """One reader's work: locked readings of visit and baseline (None where there is none) without name and dates, and the volume reduction in %.
    ``response`` is the overall one at this visit by the reader's readings of the whole subject, ``progressed_at`` the visit that first showed
    progression up to here; None where there is none."""

    code: str
    reading: Reading
    baseline: Reading | None
    vrr_pct: float | None
    response: str | None = None
    progressed_at: str | None = None


@dataclass(frozen=True, slots=True)
class Pair:
    """A node at a visit that several readers have read differently. ``case`` is a case code for who is blinded, else the subject; ``criteria``
    names what responses are worked out by, empty where readers are not compared by response here."""

    node_id: str
    visit_id: str
    case: str
    node: str
    visit: str
    modality: str
    method: str
    triggers: tuple[str, ...]
    sides: tuple[Side, ...]
    criteria: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class OutlinesOnSlice:
    """Outlines of several readers on one slice. ``picture`` [row, column] is 0 to 255, turned as a radiologist looks at it; ``outlines`` maps a code to closed polygons of
    (column, row) in its pixels, empty where the reader has nothing on this slice; ``pixel_mm`` is (width, height)."""

    picture: np.ndarray
    pixel_mm: tuple[float, float]
    slice_index: int
    slice_count: int
    outlines: Mapping[str, tuple[np.ndarray, ...]]
    missing: tuple[str, ...]  # codes of readers without an outline on this series
    edges: tuple[str, str, str, str]  # letters at the left, right, upper and lower edge


def waiting_pairs(store: StudyStore) -> tuple[Pair, ...]:
    """What waits, in the study's order. Raises ``right_missing``."""
    store.require("adjudicate")
    if store.blinded and not store._is_adjudicator:
        raise right_missing("adjudicate")  # looking through the eyes of a reader
    shot = store._whole_snapshot()
    cases = {s.subject_id: s.subject_id for s in shot.subjects}
    if store.blinded:
        view = store.view_as(store.user, role="adjudicator")
        cases = {subject: view.case_of(subject) for subject in cases}
    waiting = open_differences(shot)
    answers = reader_responses(shot, subjects={d.subject_id for d in waiting})
    return tuple(_pair(d, shot, cases, answers) for d in waiting)


def _pair(d: Difference, shot: StudySnapshot, cases: dict[str, str], answers: Mapping[tuple[str, str, str], tuple[str, str | None]]) -> Pair:
    entry = answered_by(protocol_from(shot.protocol)) if d.modality in answered_modalities(shot.protocol) else None
    scans = {v.actual_date: v.name for v in shot.visits if v.subject_id == d.subject_id and v.actual_date is not None}
    codes = reader_codes(d.node_id, d.readings)
    sides = []
    for reader, reading in sorted(d.readings.items(), key=lambda item: codes[item[0]]):
        baseline = d.baselines.get(reader)
        base = None if baseline is None or baseline.reading_id == reading.reading_id else baseline
        rate = (1.0 - reading.volume_ml / base.volume_ml) * 100.0 if base is not None and base.volume_ml and reading.volume_ml is not None else None
        response, day = answers.get((d.subject_id, d.visit_id, reader), (None, None)) if entry is not None else (None, None)
        shown = None if base is None else _unnamed(base, codes[reader], cases)
        sides.append(Side(codes[reader], _unnamed(reading, codes[reader], cases), shown, rate, response, scans.get(day)))
    node = next(n for n in shot.nodes if n.node_id == d.node_id)
    visit = next(v for v in shot.visits if v.visit_id == d.visit_id)
    return Pair(d.node_id, d.visit_id, cases[d.subject_id], node.label, visit.name, d.modality, d.method, d.triggers, tuple(sides), "" if entry is None else entry["criteria"])


def _unnamed(r: Reading, code: str, cases: dict[str, str]) -> Reading:
    return replace(r, subject_id=cases[r.subject_id], reader=code, locked_by=None, locked_utc=None, created_utc=None, signature_id=None, change_reason=None)


def outlines_of(store: StudyStore, pair: Pair, context: JobContext) -> OutlinesOnSlice | None:
    """Both readers' outlines over the slice on which they cover most together; None where they do not lie on one volume of this visit.

    Raises what reading pictures and outlines refuses.
    """
    from app.usecases.import_images import open_record
    from app.usecases.readings import unpack_mask
    from volumetry.image import ImageVolume

    drawn = {s.code: s.reading for s in pair.sides if s.reading.mask_sha256 is not None}
    series = {r.series_uid for r in drawn.values()}
    if len(drawn) < 1 or len(series) != 1:
        return None
    record = next((x for x in store.series(pair.visit_id) if x.series_uid in series), None)
    if record is None:
        return None
    masks = {code: unpack_mask(store.get_blob(r.mask_sha256)) for code, r in drawn.items()}
    context.token.check()
    image = open_record(store, record, context)
    if not isinstance(image, ImageVolume) or any(not m.geometry.same_grid(image.geometry) for m in masks.values()):
        return None
    context.token.check()
    together = np.any([m.array for m in masks.values()], axis=0)
    if not together.any():
        return None
    return _on_slice(image, {code: m.array for code, m in masks.items()}, together, tuple(s.code for s in pair.sides if s.code not in drawn))


def _as_seen(affine: np.ndarray) -> tuple[tuple[bool, bool], tuple[str, str, str, str]]:
    """Whether a slice [j, i] must be turned left-right and up-down to lie as a radiologist looks at it (right of the patient at the left,
    front above or at the left, head above), and the letters at its left, right, upper and lower edge: of the patient's axis that is nearest."""
    letters = (("R", "L"), ("A", "P"), ("I", "S"))
    across, down = affine[:3, 0], affine[:3, 1]
    i, j = int(np.argmax(np.abs(across))), int(np.argmax(np.abs(down)))
    turned = (bool(across[i] < 0), bool(down[j] > 0 if j == 2 else down[j] < 0))
    upper, lower = letters[j][::-1] if j == 2 else letters[j]
    return turned, (*letters[i], upper, lower)


def _on_slice(image, masks: Mapping[str, np.ndarray], together: np.ndarray, missing: tuple[str, ...]) -> OutlinesOnSlice:
    from skimage.measure import find_contours

    turned, edges = _as_seen(image.geometry.affine)
    turn = (slice(None, None, -1 if turned[1] else 1), slice(None, None, -1 if turned[0] else 1))
    k = int(np.argmax(together.sum(axis=(1, 2))))
    width_mm, height_mm, _ = (float(x) for x in image.geometry.spacing_mm)
    rows, columns = np.nonzero(together.any(axis=0))

    def span(found: np.ndarray, pixel_mm: float, size: int) -> slice:
        margin = int(np.ceil(MARGIN_MM / pixel_mm))
        return slice(max(0, int(found.min()) - margin), min(size, int(found.max()) + margin + 1))

    down, across = span(rows, height_mm, together.shape[1]), span(columns, width_mm, together.shape[2])
    values = np.asarray(image.array[k, down, across], dtype=float)[turn]
    low, high = (-145.0, 305.0) if image.unit == "HU" else np.percentile(values, (1, 99))
    picture = (np.clip((values - low) / max(high - low, 1e-6), 0, 1) * 255).astype(np.uint8)
    outlines = {}
    for code, mask in masks.items():
        padded = np.pad(mask[k, down, across].astype(float)[turn], 1)
        outlines[code] = tuple(line[:, ::-1] - 1.0 for line in find_contours(padded, 0.5))
    return OutlinesOnSlice(picture, (width_mm, height_mm), k, together.shape[0], outlines, missing, edges)
