"""Another visit beside the one on screen: which, what links them and how well, landmarks, copy."""

from __future__ import annotations

from PySide6.QtWidgets import QButtonGroup, QComboBox, QGridLayout, QHBoxLayout, QPushButton, QRadioButton

from app.ui.comparison import METHODS, NEEDED_PAIRS, Landmarks
from app.ui.session import Session
from app.ui.text import t
from app.ui.widgets.findings import FindingsList
from app.ui.widgets.labels import WrapLabel
from app.ui.widgets.sections import Section


def _mm(value: float | None) -> str:
    return t("residual not known") if value is None else t("residual {mm:.1f} mm").format(mm=value)


class CompareSection(Section):
    """Part of the follow-up step; hidden where the protocol shows no other visit."""

    def __init__(self, session: Session, parent=None):
        super().__init__(t("Baseline | follow-up"), parent=parent)
        self.session = session
        self.visits = QComboBox()
        self.visits.setAccessibleName(t("Visit to compare with"))
        self.visits.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.visits.setMinimumContentsLength(8)
        self.start = QPushButton(t("Compare"))
        self.start.setToolTip(t("Lay that visit beside the one on screen, registered and linked (Ctrl+Alt+B)"))
        self.start.clicked.connect(self._start_or_end)
        row = QHBoxLayout()
        row.addWidget(self.visits, 1)
        row.addWidget(self.start)
        self.state = WrapLabel(small=True)
        self.links: dict[str, QRadioButton] = {}
        self._group = QButtonGroup(self)
        for method in METHODS:
            button = QRadioButton()
            button.clicked.connect(lambda _checked=False, method=method: session.use_link(method))
            self._group.addButton(button)
            self.links[method] = button
        self.links["automatic"].setToolTip(t("By the content of both pictures. The residual is what is left between places that were found again."))
        self.links["landmarks"].setToolTip(t("By points that you set in both. The residual is the root mean square of what is left at them."))
        self.links["position"].setToolTip(t("As if the patient had lain in the scanner in the same place both times. Nothing can be copied so."))
        self.again = QPushButton(t("Register again"))
        self.again.clicked.connect(session.register_comparison)
        self.landmark = QPushButton(t("Landmarks (M)"))
        self.landmark.setCheckable(True)
        self.landmark.setToolTip(t("Click the same anatomical point in both visits; three pairs or more (M)"))
        self.landmark.clicked.connect(lambda: session.set_tool("crosshair" if session.tool == "landmark" else "landmark"))
        self.drop = QPushButton(t("Remove last"))
        self.drop.setToolTip(t("Remove the last landmark (Shift+Delete); undo brings it back"))
        self.drop.clicked.connect(session.remove_landmark)
        self.fits = WrapLabel(tone="muted", small=True)
        self.copy = QPushButton()
        self.copy.setToolTip(t("As a draft on the visit on screen, marked propagated; one step of undo (Ctrl+Alt+V)"))
        self.copy.clicked.connect(lambda: session.copy_outline())
        self.why_no_copy = WrapLabel(tone="muted", small=True)
        self.warnings = FindingsList(t("Warnings about the registration"), "")
        buttons = QGridLayout()
        buttons.setSpacing(4)
        buttons.addWidget(self.landmark, 0, 0)
        buttons.addWidget(self.drop, 0, 1)
        self.body.addLayout(row)
        self.body.addWidget(self.state)
        for button in self.links.values():
            self.body.addWidget(button)
        self.body.addWidget(self.again)
        self.body.addLayout(buttons)
        self.body.addWidget(self.fits)
        self.body.addWidget(self.warnings)
        self.body.addWidget(self.copy)
        self.body.addWidget(self.why_no_copy)
        for signal in (session.comparison_changed, session.tool_changed, session.nodes_changed, session.readings_changed, session.image_changed, session.visit_changed, session.study_changed):
            signal.connect(self.refresh)
        self.visits.activated.connect(self._chosen)
        self.refresh()

    def refresh(self, *_) -> None:
        """Show the comparison as it stands."""
        session, c = self.session, self.session.comparison
        offered = session.comparable_visits()
        self.setVisible(bool(offered))
        wanted = c.visit.visit_id if c is not None else self.visits.currentData()
        self.visits.blockSignals(True)
        self.visits.clear()
        for visit in offered:
            self.visits.addItem(visit.name, visit.visit_id)
        self.visits.setCurrentIndex(max(0, self.visits.findData(wanted)))
        self.visits.blockSignals(False)
        self.start.setText(t("Compare") if c is None else t("End"))
        for widget in (*self.links.values(), self.landmark, self.drop, self.copy):
            widget.setVisible(c is not None)
        self.again.setVisible(c is not None and c.automatic is None and not session.is_registering)
        if c is None:
            for label in (self.state, self.fits, self.why_no_copy):
                label.show_text("")
            self.warnings.setVisible(False)
            return
        here = session.visit.name if session.visit is not None else ""
        if session.is_registering:
            self.state.show_text(t("{visit} is being registered with {here}…").format(visit=c.visit.name, here=here), "muted")
        elif not c.is_linked:
            self.state.show_text(t("Not linked: each visit scrolls by itself. Set landmarks, or say that the scanner's position will do."), "warning")
        else:
            self.state.show_text("")
        pairs = len(c.landmarks.pairs)
        self.links["automatic"].setText(t("Automatic") + (f", {_mm(c.automatic.residual_mm)}" if c.automatic is not None else ""))
        self.links["landmarks"].setText(t("Landmarks") + (f" ({pairs}), {_mm(c.by_landmarks.residual_mm)}" if c.by_landmarks is not None else f" ({pairs} / {NEEDED_PAIRS})"))
        self.links["position"].setText(t("Scanner position, not registered"))
        self.links["automatic"].setEnabled(c.automatic is not None)
        self.links["landmarks"].setEnabled(c.by_landmarks is not None)
        self._group.setExclusive(False)
        for method, button in self.links.items():
            button.setChecked(method == c.method)
        self._group.setExclusive(True)
        self.landmark.setChecked(session.tool == "landmark")
        self.drop.setEnabled(c.landmarks != Landmarks())
        self.fits.show_text(self._fit_text(c))
        self.warnings.show_findings(c.findings())
        self.warnings.setVisible(bool(c.findings()))
        self._show_copy()

    def _fit_text(self, c) -> str:
        if c.landmarks_refusal:
            return c.landmarks_refusal
        if c.by_landmarks is None:
            return ""
        return t("Left at each: {list} mm").format(list=" · ".join(f"{n}: {mm:.1f}" for n, mm in enumerate(c.by_landmarks.point_residuals_mm, 1)))

    def _show_copy(self) -> None:
        session = self.session
        label = session.current.node.label if session.current is not None else ""
        self.copy.setText(t("Copy outline of {label}").format(label=label))
        self.copy.setAccessibleName(t("Copy outline of {label} from {visit}").format(label=label, visit=session.comparison.visit.name))
        why_not = session.why_no_copy()
        self.copy.setEnabled(not why_not)
        self.why_no_copy.show_text(why_not)

    def _start_or_end(self) -> None:
        if self.session.comparison is not None:
            self.session.end_comparison()
        else:
            self.session.compare_with(self.visits.currentData())

    def _chosen(self, _index: int) -> None:
        if self.session.comparison is not None:
            self.session.compare_with(self.visits.currentData())
