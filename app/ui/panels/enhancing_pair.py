"""The enhancing part by a CT before and one after contrast: which picture, what was found, taken or left."""

from __future__ import annotations

from PySide6.QtWidgets import QComboBox, QHBoxLayout, QLabel, QSizePolicy, QVBoxLayout, QWidget

from app.study.model import ReadingState
from app.study.permissions import ANY_READER
from app.ui.actions_enhancing import KEYS
from app.ui.session_enhancing_pair import pair_job
from app.ui.text import said, t
from app.ui.widgets.figures import number_text
from app.ui.widgets.findings import FindingsList
from app.ui.widgets.key_button import key_button
from app.ui.widgets.labels import WrapLabel
from app.ui.widgets.role_gate import RoleGate


def fit_words(record: dict) -> str:
    """How well the two pictures lie on each other, and from what rise on a place counts."""
    residual = record["registration"]["residual_mm"]
    fit = t("The pictures fit to {mm} mm").format(mm=number_text(residual, 1)) if residual is not None else t("The fit of the pictures is not known")
    return t("{fit}; a rise of {hu} HU and more counts.").format(fit=fit, hu=number_text(record["threshold_hu"], 0))


def grade_words(record: dict) -> str:
    """The proposed grade with its reasons."""
    return " ".join((t("Proposed grade: {grade}.").format(grade=t(record["grade"])), *(said(reason) for reason in record["reasons"])))


class PairBox(QWidget):
    """Shown where the visit holds another CT."""

    def __init__(self, session, parent: QWidget | None = None):
        super().__init__(parent)
        self.session = session
        self.before = QComboBox()
        self.before.setAccessibleName(t("The picture before contrast"))
        self.before.setPlaceholderText(t("choose"))
        self.before.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.before.setToolTip(t("The CT of this visit that was taken before contrast; the one after it is on screen. Names as in the list of series; those alike are numbered in its order"))
        self.before.activated.connect(self._chosen)
        caption = QLabel(t("&Before contrast"))
        caption.setBuddy(self.before)
        keys = {name: f" ({key})" for name, key in KEYS.items()}
        self.work = key_button(t("From the pair"), t("Registers the picture before contrast and works out what of the outline rises; nothing is kept until you take it") + keys["enhancing_pair"])
        self.take = key_button(t("Take"), t("This becomes the enhancing part of the reading; one step to undo") + keys["enhancing_take"])
        self.leave = key_button(t("Leave"), t("Puts what was worked out aside") + keys["enhancing_leave"])
        self.work.clicked.connect(session.work_out_pair)
        self.take.clicked.connect(session.take_pair)
        self.leave.clicked.connect(session.leave_pair)
        self.told = WrapLabel(small=True)
        self.state = WrapLabel(tone="muted", small=True)
        self.findings = FindingsList(t("What was noticed about the pair"), "")
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(6)
        row = QHBoxLayout()
        row.setSpacing(8)
        row.addWidget(caption)
        row.addWidget(self.before, 1)
        column.addLayout(row)
        buttons = QHBoxLayout()
        buttons.setSpacing(6)
        for button in (self.work, self.take, self.leave):
            buttons.addWidget(button, 1)
        column.addLayout(buttons)
        for part in (self.told, self.findings, self.state):
            column.addWidget(part)
        self.gate = RoleGate(session, (self.work, self.take), ANY_READER, lambda: self.refresh(session.current))

    def refresh(self, state) -> None:
        """Show the pair of a node at this visit."""
        session = self.session
        there, chosen = session.pair_series(), session.pair_before
        stated = None if state is None else session.enhancing_of(state.node.node_id)
        pair = None if stated is None else stated.proposed or stated.pair
        locked = state is not None and state.reading is not None and state.reading.state == ReadingState.LOCKED
        self.setVisible(state is not None and (pair is not None or (bool(there) and not locked)))
        entries = [(name, series_id) for series_id, name in self._names().items() if series_id in {s.series_id for s in there}]
        if entries != [(self.before.itemText(n), self.before.itemData(n)) for n in range(self.before.count())]:
            self.before.clear()
            for text, series_id in entries:
                self.before.addItem(text, series_id)
        self.before.setCurrentIndex(-1 if chosen is None else self.before.findData(chosen.series_id))
        self.before.setEnabled(bool(there) and not locked)
        why, why_take = session.why_not_pair(state), session.why_not_take_pair(state)
        self.work.setEnabled(not why)
        proposed = stated is not None and stated.proposed is not None
        for button in (self.take, self.leave):
            button.setVisible(proposed)
        self.take.setEnabled(not why_take)
        self.told.show_text("" if pair is None else f"{grade_words(pair.record)} {fit_words(pair.record)}")
        found = () if pair is None else pair.findings
        self.findings.show_findings(list(found))
        self.findings.setVisible(bool(found))
        working = state is not None and session.jobs.is_busy(pair_job(state.node.node_id))
        stale = pair is not None and stated.fits(pair, state.measurement) is False
        refused = stated is not None and stated.proposed is None and bool(stated.pair_refusal)
        self.state.show_text(self._state_words(state, stated, working, why if there and not locked else "", why_take), "warning" if (stale or refused) and not working else "muted")

    def _names(self) -> dict[str, str]:
        """The volumes of the visit as the list of series names them; where it names several alike, with their place among those."""
        volumes = sorted((s for s in self.session.series if s.kind == "volume"), key=lambda s: s.description)
        names = [t(s.description or "series") for s in volumes]
        return {s.series_id: name if names.count(name) == 1 else f"{name} · {names[: n + 1].count(name)}" for n, (s, name) in enumerate(zip(volumes, names, strict=True))}

    def _state_words(self, state, stated, working: bool, why: str, why_take: str) -> str:
        if working:
            return t("Registering and working out; the status bar can cancel it.")
        if stated is None:
            return ""
        if stated.proposed is not None:
            return why_take or t("Worked out, not taken: hatched in the pictures for you to judge.")
        if stated.pair_refusal:
            return stated.pair_refusal
        if stated.pair is not None:
            return self.session.why_stale(state) or t("Taken for this reading. The grade is yours to state.")
        return why

    def _chosen(self, _index: int) -> None:
        self.session.choose_pair_before(self.before.currentData())
        self.refresh(self.session.current)
