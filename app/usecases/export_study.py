"""Export locked readings: CSV into a folder, one PDF page a subject; a receipt with hashes."""

from __future__ import annotations

from pathlib import Path

from app.jobs import JobContext
from app.study.store import StudyStore
from volumetry.errors import NodusError

FORMATS = ("csv", "pdf")


def export_study(store: StudyStore, kind: str, out: Path, context: JobContext, *, subject_id: str | None = None) -> dict:
    """Write one format and log the export; returns the receipt of ``nodus export``.

    Refuses a format that is not there yet (``format_unknown``). For PDF ``out`` is a file, or a
    folder that gets one file a subject.
    """
    if kind == "csv":
        from app.usecases.export_edc import export_csv

        context.report("Writing tables", 0.2)
        receipt = export_csv(store, out)
    elif kind == "pdf":
        from app.usecases.report import export_pdf

        context.report("Drawing the report", 0.2)
        receipt = export_pdf(store, out, subject_id=subject_id)
    else:
        raise NodusError(f"There is no export format '{kind}' in this version; there are {', '.join(FORMATS)}.", code="format_unknown")
    context.report("Written", 1.0)
    return receipt
