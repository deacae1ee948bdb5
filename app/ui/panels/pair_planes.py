"""Which two stills may show the node in both planes: a button, what was found and why, and the reader's statement."""

from __future__ import annotations

from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from app.ui.session import Session
from app.ui.text import said, t
from app.ui.widgets.key_button import key_button
from app.ui.widgets.labels import WrapLabel
from app.usecases.pair_planes import LONG, SHORT

TONES = {"strong": "good", "fair": "muted", "weak": "warning"}


class PairBox(QWidget):
    """Asks for a proposal; shows it with both stills to look at; states both planes once they were looked at."""

    def __init__(self, session: Session, parent: QWidget | None = None):
        super().__init__(parent)
        self.session = session
        self.propose = key_button(t("Propose the pair"), t("Which two stills of this visit may show the node in both planes; nothing is filed by it"))
        self.propose.clicked.connect(session.propose_pair)
        self.told = WrapLabel(tone="muted", small=True)
        self.long = key_button(t("Longitudinal"), t("Show the longitudinal still of the proposal"))
        self.short = key_button(t("Transverse"), t("Show the transverse still of the proposal"))
        for button in (self.long, self.short):
            button.setCheckable(True)
        self.long.clicked.connect(lambda: self._show_still(LONG))
        self.short.clicked.connect(lambda: self._show_still(SHORT))
        self.confirm = key_button(t("State both planes"), t("You state that the two stills show the node's two planes; look at both first"))
        self.confirm.clicked.connect(session.confirm_pair)
        self.findings = WrapLabel(tone="warning", small=True)
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(4)
        row = QHBoxLayout()
        row.setSpacing(4)
        row.addWidget(self.long, 1)
        row.addWidget(self.short, 1)
        for part in (self.propose, self.told):
            box.addWidget(part)
        box.addLayout(row)
        box.addWidget(self.confirm)
        box.addWidget(self.findings)
        for signal in (session.outlines_changed, session.picture_changed, session.frame_changed, session.nodes_changed, session.visit_changed):
            signal.connect(self.refresh)
        self.refresh()

    def _show_still(self, plane: str) -> None:
        self.session.show_of_pair(plane)
        self.refresh()  # the one on screen is the one that is pressed

    def refresh(self, *_) -> None:
        """Show what was proposed for the current node."""
        session = self.session
        self.setVisible(session.can_propose_pair())
        pairing, pair = session.pairing, session.proposed_pair
        for part in (self.long, self.short, self.confirm):
            part.setVisible(pair is not None)
        self.findings.show_text("" if pairing is None else "\n".join(said(f.message) for f in pairing.findings))
        if pair is None:
            self.told.show_text("" if pairing is None else t("No pair can be proposed."), "muted")
            return
        stated = session.plane_of_still(pair.long.still) == LONG and session.plane_of_still(pair.short.still) == SHORT
        words = {"strong": t("They fit well."), "fair": t("They fit."), "weak": t("Doubtful.")}
        head = t("{long} with {short}.").format(long=said(pair.long.name), short=said(pair.short.name))
        last = [t("Both planes are stated.")] if stated else []
        self.told.show_text("\n".join([head, words[pair.confidence], *(said(r) for r in pair.reasons), *last]), "good" if stated else TONES[pair.confidence])
        for button, one in ((self.long, pair.long), (self.short, pair.short)):
            button.setChecked(session.still == one.still)
        self.confirm.setEnabled(not stated and {pair.long.still, pair.short.still} <= session.pair_seen)
