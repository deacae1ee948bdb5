"""What the generator delivered, pair by pair: written once; a correction needs a reason. Nothing is filled in beforehand."""

from __future__ import annotations

import datetime as dt

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QCheckBox, QGridLayout, QLabel, QLineEdit, QWidget

from app.study.model import DeliveredPair, Delivery, PlanRun
from app.ui.dialogs.base import Question
from app.ui.models.plan_runs import NotANumber, typed_number
from app.ui.text import t
from app.ui.widgets.figures import number_text

FIELDS = (("pulses", "Pulses"), ("voltage_v", "Voltage V"), ("current_start_a", "Start A"), ("current_end_a", "End A"))


class PairLine:
    """The fields of one pair in the form's grid."""

    def __init__(self, anode: str, cathode: str, planned: dict | None, grid: QGridLayout, row: int, changed):
        self.anode, self.cathode = anode, cathode
        self.name = f"{anode} → {cathode}"
        gated = {True: t("ECG-gated"), False: t("not ECG-gated")}.get((planned or {}).get("ecg_gated"), "")
        name = QLabel(self.name + (f"  ({gated})" if gated else ""))
        grid.addWidget(name, row, 0)
        self.fields: dict[str, QLineEdit] = {}
        for column, (key, title) in enumerate(FIELDS, 1):
            field = QLineEdit()
            field.setFixedWidth(78)
            field.setAlignment(Qt.AlignmentFlag.AlignRight)
            field.setAccessibleName(f"{self.name}: {t(title)}")
            meant = (planned or {}).get(key)
            if meant is not None:
                field.setPlaceholderText(t("of {n}").format(n=number_text(meant, 0)))
                field.setToolTip(t("Planned: {n}. Type what was delivered.").format(n=number_text(meant, 0)))
            field.textChanged.connect(changed)
            self.fields[key] = field
            grid.addWidget(field, row, column)
        self.aborted = QCheckBox(t("aborted"))
        self.aborted.setAccessibleName(f"{self.name}: " + t("aborted"))
        self.reason = QLineEdit()
        self.reason.setMaxLength(200)
        self.reason.setMinimumWidth(180)
        self.reason.setPlaceholderText(t("why"))
        self.reason.setAccessibleName(f"{self.name}: " + t("why it was aborted"))
        self.reason.setEnabled(False)
        self.aborted.toggled.connect(self.reason.setEnabled)
        self.aborted.toggled.connect(changed)
        self.reason.textChanged.connect(changed)
        grid.addWidget(self.aborted, row, 5)
        grid.addWidget(self.reason, row, 6)

    def fill(self, pair: DeliveredPair) -> None:
        """Show what was recorded before."""
        for key, field in self.fields.items():
            value = getattr(pair, key)
            field.setText("" if value is None else f"{value:g}")
        self.aborted.setChecked(pair.aborted)
        self.reason.setText(pair.abort_reason or "")

    def read(self) -> tuple[DeliveredPair | None, str]:
        """(the pair, "") or (None, the sentence that says what is wrong)."""
        values: dict[str, float | None] = {}
        for key, title in FIELDS:
            try:
                values[key] = typed_number(self.fields[key].text())
            except NotANumber:
                return None, t("{pair}: {what} is not a number.").format(pair=self.name, what=t(title))
            if values[key] is not None and values[key] < 0:
                return None, t("{pair}: {what} is below 0.").format(pair=self.name, what=t(title))
        pulses = values["pulses"]
        if pulses is None:
            return None, t("{pair}: enter the number of pulses; 0 where it was never pulsed.").format(pair=self.name)
        if pulses != int(pulses):
            return None, t("{pair}: the number of pulses must be whole.").format(pair=self.name)
        if pulses > 0 and values["voltage_v"] is None:
            return None, t("{pair}: pulses were delivered, so enter the voltage.").format(pair=self.name)
        why = self.reason.text().strip()
        if self.aborted.isChecked() and not why:
            return None, t("{pair}: say why it was aborted.").format(pair=self.name)
        rest = {k: v for k, v in values.items() if k != "pulses"}
        return DeliveredPair(self.anode, self.cathode, int(pulses), **rest, aborted=self.aborted.isChecked(), abort_reason=why if self.aborted.isChecked() else None), ""


class DeliveryDialog(Question):
    """Emits ``given(pairs, entered_by, date, note, replaces, reason)``. With ``replaces`` it corrects that record."""

    given = Signal(object, str, object, object, object, object)

    def __init__(self, run: PlanRun, entered_by: str, replaces: Delivery | None = None, parent: QWidget | None = None):
        heading = t("What the generator delivered for plan run {run}. Kept as entered; a later correction stands beside it.").format(run=run.plan_run_id)
        if replaces is not None:
            heading = t("Correction of the record of {when} by {who}. The wrong record is kept, too.").format(when=replaces.created_utc[:10], who=replaces.entered_by)
        super().__init__(t("Delivered values"), heading, t("Keep for good"), parent)
        self._replaces = replaces
        grid = QGridLayout()
        grid.setHorizontalSpacing(8)
        grid.setVerticalSpacing(6)
        for column, title in enumerate((t("Pair"), *(t(title) for _, title in FIELDS), "", t("Reason of the abort"))):
            caption = QLabel(title)
            caption.setProperty("tone", "muted")
            grid.addWidget(caption, 0, column)
        planned = run.content.get("plan", {}).get("pulses", ())
        self.lines: list[PairLine] = []
        before = () if replaces is None else replaces.pairs
        rows = [(p["anode"], p["cathode"]) for p in planned] if replaces is None else [(p.anode, p.cathode) for p in before]
        for n, (anode, cathode) in enumerate(rows):
            meant = next((p for p in planned if {p["anode"], p["cathode"]} == {anode, cathode}), None)
            line = PairLine(anode, cathode, meant, grid, n + 1, self.check)
            if replaces is not None:
                line.fill(before[n])
            self.lines.append(line)
        self.layout().insertLayout(self.layout().indexOf(self.form), grid)
        self.entered_by = QLineEdit(entered_by)
        self.date = QLineEdit("" if replaces is None else replaces.date or "")
        self.date.setPlaceholderText("YYYY-MM-DD")
        self.note = QLineEdit("" if replaces is None else replaces.note or "")
        self.note.setMaxLength(400)
        self.add_field(t("Entered &by"), self.entered_by)
        self.add_field(t("&Day of the session"), self.date)
        self.add_field(t("&Note"), self.note)
        self.reason = QLineEdit()
        self.reason.setMaxLength(200)
        if replaces is not None:
            self.add_field(t("&Reason for the correction"), self.reason)
        for field in (self.entered_by, self.date, self.note, self.reason):
            field.textChanged.connect(self.check)
        self.accepted.connect(self._give)
        self.check()
        if self.lines:
            self.lines[0].fields["pulses"].setFocus()

    def problem(self) -> str:
        """What is still missing or cannot be."""
        for line in self.lines:
            pair, words = line.read()
            if pair is None:
                return words
        if not self.entered_by.text().strip():
            return t("Enter the name of who enters this.")
        date = self.date.text().strip()
        if date:
            try:
                if dt.date.fromisoformat(date).isoformat() != date:
                    return t("Write the day as YYYY-MM-DD.")
            except ValueError:
                return t("Write the day as YYYY-MM-DD.")
        if self._replaces is not None and not self.reason.text().strip():
            return t("Say why the record is corrected.")
        return ""

    def _give(self) -> None:
        pairs = tuple(line.read()[0] for line in self.lines)
        self.given.emit(
            pairs, self.entered_by.text().strip(), self.date.text().strip() or None, self.note.text().strip() or None,
            None if self._replaces is None else self._replaces.delivery_id, self.reason.text().strip() or None,
        )  # fmt: skip
