"""Another visit beside the one on screen: its volume, and what a reader outlined there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from app.jobs import JobContext
from app.study.model import Reading, ReadingState, SeriesRecord, Visit
from app.study.store import StudyStore
from app.usecases.import_images import open_record
from app.usecases.readings import mask_of_reading, unpack_mask
from volumetry.errors import NodusError
from volumetry.image import ImageVolume
from volumetry.mask import NodeMask
from volumetry.measure import measure_node


@dataclass(frozen=True, slots=True, eq=False)
class OtherOutline:
    """A reader's outline of a node at the other visit, with its volume. ``reading`` is what was saved
    of it (None for an outline kept only as a draft)."""

    mask: NodeMask
    volume_ml: float
    volume_interval_ml: tuple[float, float] | None
    reading: Reading | None


@dataclass(frozen=True, slots=True, eq=False)
class OtherVisit:
    """``image`` is the volume of ``record`` at ``visit``; ``outlines`` are by node identity."""

    visit: Visit
    record: SeriesRecord
    image: ImageVolume
    outlines: dict[str, OtherOutline]


def own_readings(readings: Iterable[Reading], visit_id: str, reader: str) -> dict[str, Reading]:
    """A reader's newest reading of each node at a visit, by node identity."""
    own: dict[str, Reading] = {}
    for reading in readings:
        if reading.visit_id != visit_id or reading.reader != reader or reading.state == ReadingState.SUPERSEDED:
            continue
        if reading.node_id not in own or reading.version > own[reading.node_id].version:
            own[reading.node_id] = reading
    return own


def series_to_compare(series: Iterable[SeriesRecord], modality: str | None, readings: Iterable[Reading], description: str | None = None) -> tuple[SeriesRecord, int]:
    """The volume of the other visit to lay beside, and how many there were to choose from.

    The one that this reader's outlines lie on; else one described as the volume on screen; else the first.
    Refuses ``series_missing`` where there is no volume of that modality.
    """
    fitting = [s for s in series if s.kind == "volume" and (modality is None or s.modality == modality)]
    if not fitting:
        raise NodusError(f"That visit has no volume of {modality or 'any kind'} to compare with.", code="series_missing", hint="Import its pictures first.")
    read_on = {r.series_uid for r in readings if r.mask_sha256 is not None}
    for wanted in (lambda s: s.series_uid in read_on, lambda s: description is not None and s.description == description):
        for record in fitting:
            if wanted(record):
                return record, len(fitting)
    return fitting[0], len(fitting)


def open_other_visit(
    store: StudyStore, visit: Visit, record: SeriesRecord, readings: Mapping[str, Reading], waiting: Mapping[str, NodeMask], reader: str, context: JobContext
) -> OtherVisit:
    """Read the volume of ``record`` and the outlines of ``reader`` that lie on its grid.

    ``readings`` are this reader's at that visit by node; an autosaved draft is newer than a reading's
    outline, and ``waiting`` (not on disk yet) newer than both.
    """
    image = open_record(store, record, context.part(0.0, 0.85))
    outlines = {}
    for node in store.nodes(visit.subject_id):
        context.report("Loading outlines", 0.9)
        reading = readings.get(node.node_id)
        kept = None if node.node_id in waiting else store.load_draft_mask(node.node_id, visit.visit_id, reader=reader)
        mask = waiting.get(node.node_id)
        if mask is None:
            mask = unpack_mask(kept) if kept is not None else mask_of_reading(store, reading) if reading is not None else None
        if mask is not None and mask.array.any() and mask.geometry.same_grid(image.geometry):
            measured = measure_node(mask)
            outlines[node.node_id] = OtherOutline(mask, measured.voxel_volume_ml, measured.volume_interval_ml, reading)
    context.report("Opened", 1.0)
    return OtherVisit(visit, record, image, outlines)
