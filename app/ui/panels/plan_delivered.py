"""What is known of the run that the reader stands on: needles as they lie against the plan, and what was delivered."""

from __future__ import annotations

from PySide6.QtWidgets import QVBoxLayout, QWidget

from app.ui.models.plan_runs import both_columns, both_rows, delivered_columns, shift_columns
from app.ui.text import t
from app.ui.widgets.labels import WrapLabel
from app.ui.widgets.tables import ValueTable


class LookBox(QWidget):
    """Planned against actual, and delivered against planned, of one run."""

    def __init__(self, session, parent=None):
        super().__init__(parent)
        self.session = session
        self.heading = WrapLabel(t("Planned against actual"))
        self.shifts = ValueTable(shift_columns(), t("Needles: planned against actual"), max_rows=6)
        self.figures = ValueTable(both_columns(t("Plan"), t("Actual")), t("Figures: planned against actual"), max_rows=16, row_height=21)
        self.new = WrapLabel(tone="danger", small=True)
        self.delivered_heading = WrapLabel(t("Delivered"))
        self.records = WrapLabel(small=True, tone="muted")
        self.delivered = ValueTable(delivered_columns(), t("Delivered pulses"), max_rows=15)
        self.extra = WrapLabel(small=True, tone="warning")
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 4, 0, 0)
        box.setSpacing(6)
        for part in (self.heading, self.shifts, self.figures, self.new, self.delivered_heading, self.records, self.delivered, self.extra):
            box.addWidget(part)
        session.run_looked_at.connect(self.show_run)
        session.study_changed.connect(self._forget)
        self.show_run(None)

    def _forget(self) -> None:
        self.show_run(None)

    def show_run(self, looked) -> None:
        """A ``LookedAt`` or None."""
        found = None if looked is None else looked.found
        for part in (self.heading, self.shifts, self.figures):
            part.setVisible(found is not None)
        if found is not None:
            self.shifts.set_rows(found["needles"])
            self.figures.set_rows(both_rows(found))
        self.new.show_text("" if found is None or not found["newly_refused"] else t("Refused now, not in the plan: {why}").format(why=" ".join(t(c["message"]) for c in found["newly_refused"])))
        given = None if looked is None else looked.delivered
        for part in (self.delivered_heading, self.records, self.delivered):
            part.setVisible(given is not None)
        if given is not None:
            self.delivered.set_rows(given["pairs"])
            self.records.show_text("\n".join(self._record_words(d) for d in looked.deliveries))
        self.extra.show_text("" if given is None or not given["not_planned"] else t("Delivered, not planned: {pairs}").format(pairs=", ".join(f"{d['anode']} → {d['cathode']}" for d in given["not_planned"])))
        self.setVisible(found is not None or given is not None)

    @staticmethod
    def _record_words(record) -> str:
        when = record.date or t("entered {day} UTC").format(day=record.created_utc[:10])
        words = t("{when}, entered by {who}").format(when=when, who=record.entered_by)
        if record.replaces:
            words += "; " + t("corrected: {why}").format(why=record.reason)
        return words + (f". {record.note}" if record.note else "")
