"""A reader's scale of an ultrasound picture, kept in the study by series and reader.

Every change is an event of the audit trail: a scale by hand decides what every length on the picture is worth.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from app.study.store import StudyStore
from volumetry.calibration import ReaderScale, calibrated_by_reader, reader_scale_from
from volumetry.errors import NodusError
from volumetry.image import Cine

Scales = dict[int | None, ReaderScale]
"""Scales of one picture by frame; None holds for every frame that has none of its own."""


def scaled(cine: Cine, scales: Scales) -> Cine:
    """The picture as opened, with a reader's scales where its header gives no lengths; frames that the header
    calibrates stay as they are."""
    if not scales:
        return cine
    whole, frames = cine.calibration, dict(cine.frame_calibrations)
    everywhere = scales.get(None)
    if everywhere is not None:
        frames = {n: c if c.gives_lengths else calibrated_by_reader(c, everywhere) for n, c in frames.items()}
        whole = whole if whole.gives_lengths else calibrated_by_reader(whole, everywhere)
    for n, scale in scales.items():
        if n is not None and not cine.calibration_at(n).gives_lengths:
            frames[n] = calibrated_by_reader(cine.calibration_at(n), scale)
    return replace(cine, calibration=whole, frame_calibrations=frames)


def save_scales(store: StudyStore, series_id: str, reader: str, scales: Scales) -> None:
    """Keep a reader's scales of one picture in place of those before."""
    kept = [{"frame": frame, **scale.as_dict()} for frame, scale in sorted(scales.items(), key=lambda item: (item[0] is not None, item[0] or 0))]
    if (store.get_setting(_key(series_id, reader)) or []) != kept:
        store.set_setting(_key(series_id, reader), kept, reason="scale drawn by the reader" if kept else "scale taken back by the reader")


def load_scales(store: StudyStore, series_ids: Iterable[str], reader: str) -> dict[str, Scales]:
    """A reader's scales of these pictures, those that have any. Refuses ``picture_scale_damaged``."""
    out: dict[str, Scales] = {}
    for series_id in series_ids:
        kept = store.get_setting(_key(series_id, reader))
        try:
            found = {None if entry["frame"] is None else int(entry["frame"]): reader_scale_from(entry) for entry in kept or ()}
        except (KeyError, TypeError, ValueError, NodusError) as problem:
            raise NodusError("The scale kept of an ultrasound picture cannot be read.", code="picture_scale_damaged", hint="Draw it again.") from problem
        if found:
            out[series_id] = found
    return out


def _key(series_id: str, reader: str) -> str:
    return f"picture_scale/{series_id}/{reader}"
