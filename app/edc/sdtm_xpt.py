"""SDTM as SAS transport files of version 5, with their Define-XML."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from app.edc.define_xml import define_bytes
from app.edc.forms import sent_readings
from app.edc.mapping import EdcMapping
from app.edc.output import OutFile, created_utc, write_files
from app.edc.sdtm import datasets
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
    created = created_utc(snapshot)
    sets = datasets(snapshot, mapping, accepted=accepted, known=known)
    define = OutFile("define.xml", define_bytes(sets, mapping, created, suffix="xpt"), len(sets))
    files = (OutFile(f"{one.domain.name.lower()}.xpt", xport_bytes(one, created), len(one.rows), partial(check_xport, dataset=one)) for one in sets)
    return write_files(out, chain(files, (define,)), snapshot, readings=len(sent_readings(snapshot)), accepted=accepted)
