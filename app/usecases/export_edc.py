"""Hand locked readings over to the trial's EDC, with a receipt in the audit trail."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from app.edc.csv_writer import write_csv
from app.edc.mapping import EdcMapping, available, load_mapping
from app.study.errors import StudyRefused
from app.study.model import StudySnapshot
from app.study.store import StudyStore
from app.usecases.export_dicom import DICOM_FORMATS, export_dicom
from app.usecases.trial_identity import shifted_snapshot, study_key

# Formats that go by the trial's mapping file.
MAPPED_FORMATS = ("redcap", "odm-1.3.2", "odm-2.0", "sdtm-xpt", "dataset-json")
# Formats that ``nodus export`` names.
FORMATS = ("csv", *MAPPED_FORMATS, "pdf", "plan-sheet", *DICOM_FORMATS)
# Setting of a study: "shifted" lets no true date leave it for an EDC, whatever the mapping says.
DATES_SETTING = "export/dates"


def export_study(
    store: StudyStore,
    format_: str,
    out: Path,
    *,
    subject_id: str | None = None,
    visit: str | None = None,
    reading_id: str | None = None,
    per: str | None = None,
    mapping_file: Path | None = None,
    accepted: Collection[tuple[str, int]] | None = None,
) -> dict[str, Any]:
    """Export locked readings of the study as ``format_`` to the folder ``out`` (for ``pdf`` also a
    file ending in .pdf, where there is one report); returns the receipt. ``visit`` (a name), ``reading_id`` and ``per`` are of ``pdf`` alone:
    see ``app.usecases.report_files``.

    ``mapping_file`` is the trial's own mapping instead of the shipped one; ``accepted`` the study's accepted
    (reading, version), None: the rule of ``app.edc.accepted``. The export is logged in the audit trail and the trail's
    head is written beside the database. Raises ``format_unknown``, ``subject_missing``, ``nothing_locked``,
    ``mapping_missing``, ``mapping_refused``, ``export_failed``, ``export_invalid``, ``report_kind_refused``, and for a user without the right
    ``right_missing``.
    """
    if format_ not in FORMATS:
        raise StudyRefused(f"{format_!r} is no export format; use one of {', '.join(FORMATS)}.", code="format_unknown")
    if subject_id is not None and subject_id not in {s.subject_id for s in store.subjects()}:
        raise StudyRefused("There is no such subject in this study.", code="subject_missing")
    if format_ != "pdf" and (visit, reading_id, per) != (None, None, None):
        raise StudyRefused("Visits and readings are reported one by one as PDF only.", code="report_kind_refused", hint="Use --format pdf, or leave out --visit, --reading and --per.")
    store.require("export")
    snapshot = store.snapshot()
    if format_ == "csv":
        receipt = write_csv(outgoing_snapshot(store, mapping_of(store, mapping_file, needed=False), snapshot), out, accepted=accepted)
    elif format_ in MAPPED_FORMATS:
        mapping = mapping_of(store, mapping_file)
        receipt = write_mapped(store, format_, outgoing_snapshot(store, mapping, snapshot), mapping, out, accepted=accepted)
    elif format_ == "pdf":
        from app.usecases.report_files import export_reports

        receipt = export_reports(store, snapshot, out, per=per, subject_id=subject_id, visit=visit, reading_id=reading_id)
    elif format_ == "plan-sheet":
        from app.usecases.export_plan import export_sheets

        receipt = export_sheets(store, snapshot, out, subject_id=subject_id)
    else:
        receipt = export_dicom(store, snapshot, format_, out, subject_id=subject_id)
    store.log_event("exported", f"export:{format_}", new={k: receipt[k] for k in ("files", "readings", "study_sha256")})
    store.write_anchor()
    return receipt


def write_mapped(
    store: StudyStore, format_: str, snapshot: StudySnapshot, mapping: EdcMapping, out: Path, *, accepted: Collection[tuple[str, int]] | None = None
) -> dict[str, Any]:
    """Write one of ``MAPPED_FORMATS`` of a study as it may leave it; its writer is loaded only now. Returns the receipt."""
    if format_ == "redcap":
        from app.edc.redcap import write_redcap

        return write_redcap(snapshot, mapping, out, accepted=accepted)
    if format_ == "odm-1.3.2":
        from app.edc.odm_1_3_2 import write_odm_1_3_2

        return write_odm_1_3_2(snapshot, mapping, out, accepted=accepted)
    if format_ == "odm-2.0":
        from app.edc.odm_2_0 import write_odm_2_0

        return write_odm_2_0(snapshot, mapping, out, accepted=accepted)
    from app.edc.dataset_json import write_dataset_json
    from app.edc.sdtm_xpt import write_sdtm_xpt
    from app.usecases.export_known import known_of

    write = write_sdtm_xpt if format_ == "sdtm-xpt" else write_dataset_json
    return write(snapshot, mapping, out, accepted=accepted, known=known_of(store, snapshot))


def mapping_of(store: StudyStore, mapping_file: Path | None = None, *, needed: bool = True) -> EdcMapping | None:
    """The EDC mapping of the study's protocol: the file that is given, else the one that ships. None where there is none
    and none is ``needed``. Raises ``mapping_missing``, ``mapping_refused``."""
    protocol = store.protocol
    name = str((protocol.content.get("edc") or {}).get("mapping") or protocol.protocol_id)
    if mapping_file is None and not needed and name not in available():
        return None
    return load_mapping(name, mapping_file, protocol_id=protocol.protocol_id)


def outgoing_snapshot(store: StudyStore, mapping: EdcMapping | None, snapshot: StudySnapshot) -> StudySnapshot:
    """The study as it may leave it: true dates where the trial sends true dates, else every subject's dates moved back by
    the subject's own days (the same as in its DICOM objects), and the subject marked. Free text is not searched for dates."""
    asked = {store.get_setting(DATES_SETTING), "as_stored" if mapping is None else mapping.dates}
    if "shifted" not in asked:
        return snapshot
    key = study_key(store)
    for subject in snapshot.subjects:
        if not subject.dates_shifted:
            snapshot = shifted_snapshot(snapshot, subject.subject_id, key)
    return snapshot
