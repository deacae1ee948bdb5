"""Hand locked readings over to the trial's EDC, with a receipt in the audit trail."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from app.edc.csv_writer import write_csv
from app.study.errors import StudyRefused
from app.study.store import StudyStore
from app.usecases.export_dicom import DICOM_FORMATS, export_dicom

# Formats that ``nodus export`` names; those not written yet are refused by name.
FORMATS = ("csv", "redcap", "odm-1.3.2", "odm-2.0", "sdtm-xpt", "dataset-json", "pdf", "plan-sheet", *DICOM_FORMATS)


def export_study(store: StudyStore, format_: str, out: Path, *, subject_id: str | None = None) -> dict[str, Any]:
    """Export locked readings of the study as ``format_`` to the folder ``out`` (for ``pdf`` also a
    file ending in .pdf, where there is one subject); returns the receipt.

    The export is logged in the audit trail and the trail's head is written beside the database.
    Raises ``format_unknown``, ``format_not_available``, ``subject_missing``, ``nothing_locked``.
    """
    if format_ not in FORMATS:
        raise StudyRefused(f"{format_!r} is no export format; use one of {', '.join(FORMATS)}.", code="format_unknown")
    if subject_id is not None and subject_id not in {s.subject_id for s in store.subjects()}:
        raise StudyRefused("There is no such subject in this study.", code="subject_missing")
    snapshot = store.snapshot()
    if format_ == "csv":
        receipt = write_csv(snapshot, out)
    elif format_ == "pdf":
        from app.usecases.report import export_reports

        receipt = export_reports(store, snapshot, out, subject_id=subject_id)
    elif format_ == "plan-sheet":
        from app.usecases.export_plan import export_sheets

        receipt = export_sheets(store, snapshot, out, subject_id=subject_id)
    elif format_ in DICOM_FORMATS:
        receipt = export_dicom(store, snapshot, format_, out, subject_id=subject_id)
    else:
        raise StudyRefused(
            f"This version of Nodus does not write {format_}.",
            code="format_not_available",
            hint=f"Use csv, pdf, plan-sheet, {', '.join(DICOM_FORMATS)}.",
        )
    store.log_event("exported", f"export:{format_}", new={k: receipt[k] for k in ("files", "readings", "study_sha256")})
    store.write_anchor()
    return receipt
