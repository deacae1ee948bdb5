"""How much of the cover survives: what may be off, the run with its progress, percentiles, worst needle, the map."""

from __future__ import annotations

from PySide6.QtWidgets import QButtonGroup, QGridLayout, QHBoxLayout, QLabel, QLineEdit, QPushButton, QSizePolicy, QToolButton

from app.ui.models.plan_proposals import fifth_percentile, robustness_figures, spread_words, worst_needle_words
from app.ui.panels.plan_optimise import SEED_MOST, has_target, number_box
from app.ui.session_robustness import SAMPLING
from app.ui.text import t
from app.ui.widgets.figure_table import FigureTable
from app.ui.widgets.findings import FindingsList
from app.ui.widgets.job_line import JobLine
from app.ui.widgets.labels import BigFigure, WrapLabel
from app.ui.widgets.sections import Section
from planning.robustness import Spread
from planning.robustness.sampling import ULTRASOUND_ONLY_TIP_MM

SAMPLES = 200


class RobustnessSection(Section):
    """Figures and map belong to the plan on screen; they go as soon as it changes."""

    def __init__(self, session, parent=None):
        super().__init__(t("Robustness"), folded=True, parent=parent)
        self.session = session
        self.intro = WrapLabel(t("Solves the plan many times with everything a little off, drawn evenly within these bounds. Samples know nothing of bending, motion, or a whole image shifted."), tone="muted", small=True)
        self.start = QPushButton(t("Run robustness"))
        self.start.setAccessibleName(t("Run robustness"))
        self.start.clicked.connect(lambda _checked=False: self._start())
        self.job = JobLine(session, SAMPLING, t("Cancel"), t("Cancel the run; nothing of it is kept"), session.stop_robustness)
        self.state_text = WrapLabel(small=True)
        self.fifth = BigFigure(t("5th percentile of cover"))
        self.worst = WrapLabel()
        self.figures = FigureTable(t("Robustness of the plan"), max_rows=10)
        self.findings = FindingsList(t("What the run says"), "")
        self.how = WrapLabel(tone="muted", small=True)
        self.body.addWidget(self.intro)
        self.body.addLayout(self._make_spread())
        for part in (self.start, self.job, self.state_text, self.fifth):
            self.body.addWidget(part)
        self.body.addLayout(self._make_switch())
        for part in (self.worst, self.figures, self.findings, self.how):
            self.body.addWidget(part)
        for signal in (session.robustness_changed, session.plan_changed, session.nodes_changed, session.study_changed, session.visit_changed, session.display_changed):
            signal.connect(self.refresh)
        session.measurement_changed.connect(self._show_start)
        self._shown = None
        self._tip_by_hand = False
        self.tip.valueChanged.connect(self._tip_changed)
        self.refresh()

    def _make_spread(self) -> QGridLayout:
        own = Spread()
        self.tip = number_box(0, 20, own.tip_mm, 0.5, 1, " mm", t("How far a tip may lie from its place: a ball of this radius"))
        self.angle = number_box(0, 45, own.angle_deg, 1, 1, "°", t("How far a needle may be turned about its tip: a cone of this half angle"))
        self.sigma = number_box(0, 99, own.sigma_pct, 5, 0, " %", t("How far the conductivity of each tissue may be off"))
        self.low = number_box(50, 3000, own.threshold_v_per_cm[0], 50, 0, "", t("Lowest lethal field, V/cm"))
        self.high = number_box(50, 3000, own.threshold_v_per_cm[1], 50, 0, "", t("Highest lethal field, V/cm"))
        self.samples = number_box(1, 10_000, SAMPLES, 50, 0, "", t("Number of samples; from 72 on the 5th percentile is bounded from below"))
        self.seed = number_box(0, SEED_MOST, 0, 1, 0, "", t("Seed: the same seed gives the same samples"))
        self.scheduler = QLineEdit()
        self.scheduler.setPlaceholderText(t("this machine, or tcp://host:8786"))
        self.scheduler.setAccessibleName(t("Address of a Dask scheduler"))
        self.scheduler.setToolTip(t("A Dask cluster (extra 'cluster', same version on every worker). It is sent geometry and conductivities, no names. Whoever reaches a scheduler can run programs on it: use tls:// beyond your own network."))
        grid = QGridLayout()
        grid.setHorizontalSpacing(6)
        grid.setVerticalSpacing(4)
        for column in (1, 3):
            grid.setColumnStretch(column, 1)
        pairs = (
            (t("Tip ±"), self.tip, t("Angle ±"), self.angle),
            (t("Conduct. ±"), self.sigma, t("Samples"), self.samples),
            (t("Lethal from"), self.low, t("to V/cm"), self.high),
        )
        for row, (left, box, right, other) in enumerate(pairs):
            for column, part in enumerate((QLabel(left), box, QLabel(right), other)):
                grid.addWidget(part, row, column)
        grid.addWidget(QLabel(t("Seed")), 3, 0)
        grid.addWidget(self.seed, 3, 1)
        grid.addWidget(QLabel(t("Cluster")), 4, 0)
        grid.addWidget(self.scheduler, 4, 1, 1, 3)
        return grid

    def _make_switch(self) -> QHBoxLayout:
        row = QHBoxLayout()
        row.setSpacing(4)
        self.switch_caption = QLabel(t("Colours show"))
        row.addWidget(self.switch_caption)
        self.switch: dict[str, QToolButton] = {}
        group = QButtonGroup(self)
        for name, text, tip in (("field", t("Field"), t("Colours, lines and surfaces of the field")), ("probability", t("Probability"), t("Share of samples at or above the lethal field: colours, lines at 50, 90 and 95 %, surfaces"))):
            key = QToolButton()
            key.setObjectName("ToolKey")
            key.setText(text)
            key.setToolTip(tip)
            key.setAccessibleName(t("Colours show: {what}").format(what=text))
            key.setCheckable(True)
            key.setMinimumHeight(28)
            key.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
            key.clicked.connect(lambda _checked=False, name=name: self.session.set_shown_map(name))
            group.addButton(key)
            self.switch[name] = key
            row.addWidget(key, 1)
        return row

    # ---- doing -----------------------------------------------------------------------------
    def asked_spread(self) -> dict:
        """Fields of ``Spread`` as on screen."""
        return {"tip_mm": self.tip.value(), "angle_deg": self.angle.value(), "sigma_pct": self.sigma.value(), "threshold_v_per_cm": (self.low.value(), self.high.value())}

    def _start(self) -> None:
        self.set_open(True)
        self.job.begin()
        self.session.start_robustness(self.asked_spread(), samples=int(self.samples.value()), seed=int(self.seed.value()), scheduler=self.scheduler.text())

    def _tip_changed(self, _value: float) -> None:
        self._tip_by_hand = True

    # ---- showing ---------------------------------------------------------------------------
    def refresh(self) -> None:
        """Follow the session."""
        session, kept = self.session, self.session.robustness
        if not self._tip_by_hand:
            self.tip.blockSignals(True)
            self.tip.setValue(ULTRASOUND_ONLY_TIP_MM if session.is_schematic else Spread().tip_mm)
            self.tip.blockSignals(False)
        self._show_start()
        known = kept is not None
        for part in (self.fifth, self.worst, self.figures, self.how, self.switch_caption, *self.switch.values()):
            part.setVisible(known)
        self.intro.setVisible(not known)
        self.state_text.show_text("" if known else session.robustness_refusal, "warning")
        for name, key in self.switch.items():
            key.setChecked(session.shown_map == name)
        if kept is self._shown:
            return
        self._shown = kept
        if not known:
            self.findings.setVisible(False)
            return
        self.set_open(True)
        answer = kept.result.answer
        self.fifth.show_figure(fifth_percentile(answer))
        self.worst.setText(worst_needle_words(answer))
        self.figures.show_figures(robustness_figures(answer))
        self.findings.show_findings([{"code": w["code"], "severity": "warning", "message": w["message"]} for w in answer["warnings"]])
        self.findings.setVisible(bool(answer["warnings"]))
        self.how.setText(spread_words(answer))

    def _show_start(self, _node: str = "") -> None:
        session = self.session
        if session.is_sampling:
            if not self.job.isVisibleTo(self):
                self.job.begin()
        else:
            self.job.hide()
        self.start.setVisible(not session.is_sampling)
        if not has_target(session):
            can, tip = False, t("Outline the target first (step 2): without it there is no cover to be sure of.")
        elif len(session.plan.needles) < 2:
            can, tip = False, t("A field needs at least two needles.")
        else:
            can, tip = True, t("Works beside the window, on all cores; a change of the plan ends it")
        self.start.setEnabled(can)
        self.start.setToolTip(tip)
