"""SDTM as SAS transport files of version 5, with their Define-XML."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from app.edc.mapping import EdcMapping
from app.edc.sdtm_files import write_datasets
from app.edc.sdtm_people import Known
from app.edc.xport import check_xport, xport_bytes
from app.study.model import StudySnapshot


def write_sdtm_xpt(
    snapshot: StudySnapshot, mapping: EdcMapping, out: Path, *, accepted: Collection[tuple[str, int]] | None = None, known: Known | None = None
) -> dict[str, Any]:
    """Write ``tu.xpt``, ``tr.xpt`` and so on, as far as there are rows, and ``define.xml``; returns the receipt. ``known``: what is known
    beside the records.

    Raises ``nothing_locked``, ``export_invalid``, ``export_failed``.
    """
    return write_datasets(snapshot, mapping, out, "xpt", xport_bytes, check=check_xport, accepted=accepted, known=known)
