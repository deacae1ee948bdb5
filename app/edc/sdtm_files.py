"""The datasets of SDTM as files of one format or another, with their Define-XML."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from app.edc.define_xml import define_bytes
from app.edc.forms import sent_readings
from app.edc.mapping import EdcMapping
from app.edc.output import OutFile, created_utc, write_files
from app.edc.sdtm import Dataset, datasets
from app.edc.sdtm_people import Known
from app.study.model import StudySnapshot


def write_datasets(
    snapshot: StudySnapshot, mapping: EdcMapping, out: Path, suffix: str, data: Callable[[Dataset, str], bytes], *, check: Callable[[Path, Dataset], None] | None = None,
    accepted: Collection[tuple[str, int]] | None = None, known: Known | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Write ``tu``, ``tr`` and so on with ``suffix``, as far as there are rows, and ``define.xml``; returns the receipt. ``data`` makes a file of a dataset and
    the time of the content, one after the other; ``check`` looks at it on the disk. Raises ``nothing_locked``, ``export_invalid``, ``export_failed``.
    """
    created = created_utc(snapshot)
    sets = datasets(snapshot, mapping, accepted=accepted, known=known)

    def files() -> Iterator[OutFile]:
        for one in sets:
            yield OutFile(f"{one.domain.name.lower()}.{suffix}", data(one, created), len(one.rows), None if check is None else partial(check, dataset=one))
        yield OutFile("define.xml", define_bytes(sets, mapping, created, suffix=suffix), len(sets))

    return write_files(out, files(), snapshot, readings=len(sent_readings(snapshot)), accepted=accepted)
