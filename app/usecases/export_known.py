"""What SDTM asks of a study beside its records: the site of each subject, and what the stored pictures say of their contrast agent."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pydicom
from pydicom.errors import InvalidDicomError

from app.edc.forms import sent_readings
from app.edc.sdtm_people import Contrast, Known
from app.study.model import StudySnapshot
from app.study.store import StudyStore

_TAGS = ["ContrastBolusAgent", "ContrastBolusAgentSequence", "ContrastBolusVolume", "ContrastBolusRoute"]


def known_of(store: StudyStore, snapshot: StudySnapshot) -> Known:
    """Sites of the subjects, and the contrast agent of every series that a reading goes out of. One header a series is opened; of pictures that
    are not there, or cannot be read, nothing is known."""
    sites = {s.subject_id: str((store.get_setting(f"site/{s.subject_id}") or {}).get("id") or "") for s in snapshot.subjects}
    wanted = {r.series_uid for r in sent_readings(snapshot) if r.series_uid}
    contrast = {}
    for record in store.series() if wanted else ():
        if record.series_uid in wanted and record.files:
            found = contrast_of(store.series_folder(record) / record.files[0])
            if found != Contrast():
                contrast[record.series_uid] = found
    return Known({subject: site for subject, site in sites.items() if site}, contrast)


def contrast_of(path: Path) -> Contrast:
    """What the header of a DICOM file says of the agent (its name, else the meaning of its first code), the volume in ml and the route."""
    try:
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=_TAGS)
    except (OSError, InvalidDicomError):
        return Contrast()
    coded = header.get("ContrastBolusAgentSequence") or []
    agent = _text(header.get("ContrastBolusAgent")) or (_text(coded[0].get("CodeMeaning")) if coded else None)
    return Contrast(agent, _millilitres(header.get("ContrastBolusVolume")), _text(header.get("ContrastBolusRoute")))


def _text(value: Any) -> str | None:
    return str(value).strip()[:200] or None if value else None


def _millilitres(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) and number > 0 else None
