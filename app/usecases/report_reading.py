"""The report of one locked reading: what was measured, against which baseline, by whom it was signed, and every version before. The same bytes every time."""

from __future__ import annotations

from typing import Any

from app.edc.accepted import CENTRAL, accepted_records
from app.edc.rows import outline_columns
from app.study.errors import StudyRefused
from app.study.model import Reading, ReadingStatus, StudySnapshot
from app.study.signing import lock_note
from app.usecases.report_frame import LEFT, RIGHT, WIDTH, Sheets, sheets_bytes, shifted_text
from app.usecases.report_page import GREY, INK, TableColumn, fit, wrap
from app.usecases.report_table import Line, rate_cell
from app.usecases.report_text import STATUS_TEXT, axes_text, interval_text, part_rate, part_text, part_way, volume_text
from app.usecases.report_visit import subject_lines
from volumetry.quantity import quantity

PICTURE = 190.0
LABEL = 92.0
SIZE = 7.5
TABLE_SIZE = 7.4
VERSIONS = (
    TableColumn("Version", 36, "right"), TableColumn("Locked, UTC", 78), TableColumn("By", 96), TableColumn("Volume, ml (95 %)", 90, "right"), TableColumn("Axes, mm", 54, "right"),
    TableColumn("Status", 56), TableColumn("Reason for the change", 125.27),
)  # fmt: skip
BASES = {
    "adjudicated": "yes, chosen by an adjudicator", "no_difference": "yes, the readers did not differ", "only_reader": "yes, there is one reader only", "stated": "yes, as stated",
}  # fmt: skip
Rows = list[tuple[str, str]]


def render_reading_report(snapshot: StudySnapshot, reading_id: str, *, picture: bytes | None = None) -> bytes:
    """The PDF of one reading in the version that counts. Raises ``reading_missing``, and ``nothing_locked`` where it is not locked."""
    known = [r for r in snapshot.readings if r.reading_id == reading_id]
    if not known:
        raise StudyRefused("There is no such reading in this study.", code="reading_missing")
    lines = [line for line in subject_lines(snapshot, known[0].subject_id)[0] if line.reading.reading_id == reading_id and not line.parts]
    if not lines:
        raise StudyRefused("This reading is not locked: there is nothing to report.", code="nothing_locked", hint="Lock the reading first.")
    line = lines[0]
    visit = next(v for v in snapshot.visits if v.visit_id == line.reading.visit_id)
    node = next(n for n in snapshot.nodes if n.node_id == line.reading.node_id)
    scanned = f"Scan {visit.actual_date}" if visit.actual_date else "The day of the scan is not known"
    since = "" if line.day is None else f", day {line.day} from the node's first ablation" if line.day >= 0 else f", {-line.day} days before the node's first ablation"
    place = f"{node.label}: {node.side}, level {node.level}" + (f", near {', '.join(node.high_risk)}" if node.high_risk else "")
    text = f"{shifted_text(snapshot, line.reading.subject_id)}Read by {line.reading.reader} ({line.reading.role}).  {scanned}{since}.  {place}."

    def fill(sheets: Sheets) -> None:
        _body(sheets, snapshot, line, known, picture)

    return sheets_bytes(snapshot, f"Subject {line.reading.subject_id}  ·  {node.label}  ·  {visit.name}", text, [line.reading], fill)


def _body(sheets: Sheets, snapshot: StudySnapshot, line: Line, versions: list[Reading], picture: bytes | None) -> None:
    top = sheets.y
    width = WIDTH - PICTURE - 16 if picture is not None else WIDTH
    for title, rows in (("Measurement", _measured(line)), ("Against the baseline", _compared(line))):
        _fields(sheets, title, rows, width)
    if picture is not None:
        sheets.page.picture(RIGHT - PICTURE, top - 4 - PICTURE, PICTURE, PICTURE, picture)
        sheets.page.text(RIGHT - PICTURE, top - 13 - PICTURE, "Key picture", 7, colour=GREY)
        sheets.y = min(sheets.y, top - PICTURE - 22)
    warnings = list(dict.fromkeys(w["message"] for w in (*line.reading.warnings, *(line.response.warnings if line.response else ()))))
    if warnings:
        sheets.heading("Warnings")
        for sentence in warnings:
            sheets.paragraph(sentence, size=SIZE, lines=12)
        sheets.y -= 6
    _fields(sheets, "Record and signature", _recorded(snapshot, line), WIDTH)
    locked = sorted((r for r in versions if r.locked_utc is not None), key=lambda r: r.version)
    sheets.heading("Locked versions", 40)
    sheets.table(VERSIONS, [_version(r, r.version == line.reading.version) for r in locked], [0] * len(locked))
    sheets.y -= 2
    for r in locked:
        told = _version(r, False)
        if any(fit(told[n], VERSIONS[n].width - 4, TABLE_SIZE) != told[n] for n in (2, 6)):
            sheets.paragraph(f"Version {r.version}: locked by {told[2]}" + (f"; {told[6]}" if told[6] else ""), size=6.5, colour=GREY)


def _fields(sheets: Sheets, title: str, rows: Rows, width: float) -> None:
    """Labels with their values, wrapped; nothing is cut."""
    sheets.need(46)
    sheets.page.heading(LEFT, sheets.y - 10, title, width)
    sheets.y -= 22
    for label, value in rows:
        pieces = wrap(value, width - LABEL - 4, SIZE, 12) or ["–"]
        sheets.need(10.0 * len(pieces))
        sheets.page.text(LEFT + 2, sheets.y, label, SIZE, colour=GREY)
        for piece in pieces:
            sheets.page.text(LEFT + LABEL, sheets.y, piece, SIZE)
            sheets.y -= 10.0
    sheets.y -= 4


def _measured(line: Line) -> Rows:
    r = line.reading
    volume = volume_text(r) + (" ml" if r.volume_ml is not None and r.status is not ReadingStatus.DISAPPEARED_ASSESSED else "")
    rows = [("Volume (95 %)", volume), ("Long × short axis", axes_text(r) + (" mm" if r.long_axis_mm is not None else ""))]
    if r.viable_from or r.ablated_from:
        rows.append(("Enhancing | not", f"{part_text(r.viable_ml)} | {part_text(r.ablated_ml)} ml, {part_way(r)}" + (f" ({r.enhancing_source})" if r.enhancing_source else "")))
    if r.enhancement_grade is not None:
        rows.append(("Residual enhancement", f"grade {r.enhancement_grade}" if r.enhancement_grade != "NE" else "not evaluable"))
    rows += [("Status", STATUS_TEXT[r.status] + (f": {r.status_reason}" if r.status_reason else "")), ("Method", f"{r.modality}, {r.method}")]
    origin = outline_columns(r)
    if origin["outlined_by"]:
        model = f", proposed by {origin['model_name']}" if origin["model_name"] else ""
        rows.append(("Outline", f"{origin['outlined_by'].replace('_', ' ')}{', changed by hand' if origin['outline_edited'] else ''}{model}"))
    return rows


def _compared(line: Line) -> Rows:
    response = line.response
    if response is None:
        return [("Baseline", "this reading is a baseline" if line.is_baseline else "a reading before the ablation")]
    base = "none of this reader" if response.baseline_reading_id is None else f"{response.baseline_visit}, {_ml(response.baseline_volume_ml)} ({response.baseline_reading_id}, version {response.baseline_version})"
    rate = rate_cell(line)
    text = rate if isinstance(rate, str) else rate[0]
    rows = [("Baseline", base), ("Volume reduction", text.replace(" †", "") + (" %" if response.vrr_pct is not None else ""))]
    if response.vrr_pct is not None and not response.comparable:
        rows.append(("", "By another modality or method than the baseline: shown, but not comparable and not used for endpoints."))
    if response.interval_note:
        rows.append(("Interval", response.interval_note))
    if (response.vrr_viable_pct, response.vrr_ablated_pct) != (None, None):
        apart = "" if response.parts_comparable else " (not comparable)"
        rows.append(("Of the parts", f"{part_rate(response.vrr_viable_pct)} | {part_rate(response.vrr_ablated_pct)} %{apart}"))
    if response.n_ablations_before_scan is not None:
        rows.append(("Ablations before", str(response.n_ablations_before_scan)))
    return rows


def _recorded(snapshot: StudySnapshot, line: Line) -> Rows:
    r = line.reading
    basis = accepted_records(snapshot).get((r.reading_id, r.version))
    rows = [("Reader", f"{r.reader} ({r.role})")]
    if r.role == CENTRAL:
        rows.append(("Accepted record", BASES[basis] if basis else "no, or not settled yet"))
    rows += [("Reading", f"{r.reading_id}, version {r.version}"), ("Locked", f"{_moment(r.locked_utc)} UTC by {r.locked_by or r.reader}, “{r.lock_meaning or ''}”; {lock_note(r)}")]
    signature = next((s for s in snapshot.signatures if s.signature_id == r.signature_id), None) if r.signature_id else None
    if signature is not None:
        rows += [("Signature", f"{signature.signature_id}: {signature.name} ({signature.user_id}), {_moment(signature.signed_utc)} UTC, “{signature.meaning}”"), ("bound to content", signature.content_sha256)]
    for label, value in (("Protocol", r.protocol_version), ("Measured by", r.software_version and f"Nodus {r.software_version}"), ("Series", r.series_uid), ("Outline, SHA-256", r.mask_sha256)):
        rows.append((label, value or "–"))
    return rows


def _version(r: Reading, counts: bool) -> list[Any]:
    # Name and reason stand below the table as a whole where they are cut here.
    return [(str(r.version), counts, INK), _moment(r.locked_utc), r.locked_by or "", volume_text(r), axes_text(r), STATUS_TEXT[r.status], r.change_reason or ""]


def _moment(utc: str | None) -> str:
    return (utc or "")[:19].replace("T", " ")


def _ml(value: float | None) -> str:
    return "no volume" if value is None else interval_text(value, None, quantity("voxel_volume_ml").decimals) + " ml"
