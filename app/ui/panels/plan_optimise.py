"""Looking for better needles: limits, the search with its progress, proposals with their trade-offs, taking one."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QDoubleSpinBox, QGridLayout, QLabel, QPushButton

from app.ui.models.plan import has_target_outline
from app.ui.models.plan_proposals import against_start, proposal_columns, proposal_rows, proposal_words, trouble_words
from app.ui.session_optimise import SEARCHING
from app.ui.text import t
from app.ui.widgets.figures import number_text
from app.ui.widgets.findings import FindingsList
from app.ui.widgets.job_line import JobLine
from app.ui.widgets.labels import WrapLabel
from app.ui.widgets.sections import Section
from app.ui.widgets.tables import ValueTable
from app.usecases.optimise import device, read_limits

SEED_MOST = 999_999


def number_box(low: float, high: float, value: float, step: float, decimals: int, suffix: str, name: str) -> QDoubleSpinBox:
    """A compact box for one number; the wheel over a panel that scrolls must not change it."""
    box = QDoubleSpinBox()
    box.setRange(low, high)
    box.setDecimals(decimals)
    box.setSingleStep(step)
    box.setSuffix(suffix)
    box.setValue(value)
    box.setAccessibleName(name)
    box.setToolTip(name)
    box.setKeyboardTracking(False)
    box.setMinimumWidth(58)
    box.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
    box.wheelEvent = lambda event: event.ignore()
    return box


class OptimiseSection(Section):
    """The plan on screen stays as it is until a proposal is taken, and that is one step of undo."""

    def __init__(self, session, parent=None):
        super().__init__(t("Optimise"), folded=True, parent=parent)
        self.session = session
        self.intro = WrapLabel(t("Looks for needles and voltages within the limits: cover first, then structures at risk, healthy tissue, pairs, current. Your plan stays until you take a proposal."), tone="muted", small=True)
        self.start = QPushButton(t("Look for better needles"))
        self.start.setAccessibleName(t("Look for better needles"))
        self.start.clicked.connect(lambda _checked=False: self._start())
        self.job = JobLine(session, SEARCHING, t("Stop"), t("End the search; the best so far is kept"), session.stop_search)
        self.state_text = WrapLabel(small=True)
        self.table = ValueTable(proposal_columns(), t("Proposals"), max_rows=5)
        self.table.chosen.connect(lambda row: session.show_proposal(row.index))
        self.words = WrapLabel(small=True)
        self.against = WrapLabel(small=True)
        self.trouble = WrapLabel(small=True)
        self.blind = WrapLabel(t("No structure at risk is outlined: the search cannot keep needles clear of vessels, airway or gullet. Outline them first."), tone="warning", small=True)
        self.take = QPushButton(t("Take this proposal"))
        self.take.setAccessibleName(t("Take this proposal"))
        self.take.clicked.connect(lambda _checked=False: self._take())
        self.forbidden = WrapLabel(tone="warning")
        self.findings = FindingsList(t("What the search says"), "")
        self.body.addWidget(self.intro)
        self.within = Section(t("Limits"))
        self.within.body.addLayout(self._make_limits())
        self.within.body.addWidget(self.source)
        self.body.addWidget(self.within)
        for part in (self.blind, self.start, self.job, self.state_text, self.table, self.words, self.against, self.trouble, self.take, self.forbidden, self.findings):
            self.body.addWidget(part)
        self._rows_of = None
        for signal in (session.proposals_changed, session.plan_changed, session.nodes_changed, session.study_changed, session.visit_changed):
            signal.connect(self.refresh)
        session.measurement_changed.connect(self._show_start)
        self.refresh()

    def _make_limits(self) -> QGridLayout:
        own = read_limits(None)
        grid = QGridLayout()
        grid.setHorizontalSpacing(6)
        grid.setVerticalSpacing(4)
        grid.setColumnStretch(1, 1)
        grid.setColumnStretch(2, 1)
        for column, text in ((1, t("least")), (2, t("most"))):
            label = QLabel(text)
            label.setProperty("tone", "muted")
            label.setProperty("scale", "small")
            label.setAlignment(Qt.AlignmentFlag.AlignRight)
            grid.addWidget(label, 0, column)
        self.limits: dict[str, tuple[QDoubleSpinBox, ...]] = {}
        exposures = own.exposures_mm
        rows = (
            ("needles", t("Needles"), own.needles_least, own.needles_most, 1, 0, ""),
            ("spacing_mm", t("Spacing"), own.spacing_least_mm, own.spacing_most_mm, 1, 1, " mm"),
            ("exposure_mm", t("Exposed"), exposures[0], exposures[-1], 5, 0, " mm"),
            ("voltage_v", t("Voltage"), own.voltage_least_v, own.voltage_most_v, 100, 0, " V"),
        )
        for n, (key, text, low, high, step, decimals, unit) in enumerate(rows, 1):
            boxes = tuple(number_box(low, high, value, step, decimals, unit, t("{name}, {end}").format(name=text, end=end)) for value, end in ((low, t("least")), (high, t("most"))))
            self.limits[key] = boxes
            grid.addWidget(QLabel(text), n, 0)
            grid.addWidget(boxes[0], n, 1)
            grid.addWidget(boxes[1], n, 2)
        current = number_box(1, own.current_most_a, own.current_most_a, 1, 1, " A", t("Predicted current of a pair, most"))
        clear = number_box(own.path_clearance_mm, 20, own.path_clearance_mm, 0.5, 1, " mm", t("Distance of every needle's whole path from vessels, airway, gullet, bone and nerves, least"))
        self.limits |= {"current_a": (current,), "path_clearance_mm": (clear,)}
        self.seed = number_box(0, SEED_MOST, 0, 1, 0, "", t("Seed: the same seed gives the same proposals"))
        for n, (text, box, column) in enumerate(((t("Current"), current, 2), (t("Path clear"), clear, 1), (t("Seed"), self.seed, 2)), len(rows) + 1):
            grid.addWidget(QLabel(text), n, 0)
            grid.addWidget(box, n, column)
        self.source = WrapLabel(t("* Limits of the device: general knowledge, not verified (assumed). Current: 10 % below the generator's {a} A.").format(a=f"{device()[0].current_most_a:g}"), tone="warning", small=True)
        return grid

    # ---- doing -----------------------------------------------------------------------------
    def asked_limits(self) -> dict:
        """The limits on screen, as in a plan file."""
        values = {key: [box.value() for box in boxes] for key, boxes in self.limits.items()}
        out = {key: pair if len(pair) == 2 else pair[0] for key, pair in values.items()}
        return out | {"needles": [int(v) for v in out["needles"]]}

    def _start(self) -> None:
        self.set_open(True)
        self.job.begin()
        self.session.start_search(self.asked_limits(), int(self.seed.value()))

    def _take(self) -> None:
        row = self.table.current_row()
        if row is not None and row.index is not None and self.session.search is not None:
            self.session.take_proposal(row.index)

    # ---- showing ---------------------------------------------------------------------------
    def refresh(self) -> None:
        """Follow the session."""
        session, search = self.session, self.session.search
        answer = {} if search is None else search.answer
        self._show_start()
        if search is not self._rows_of:
            self._rows_of = search
            self.table.set_rows(proposal_rows(answer))
            if search is not None:
                self.set_open(True)
                self.within.set_open(False)
                if search.drafts:
                    self.table.selectRow(0)
                    session.show_proposal(0)
        self.table.setVisible(bool(answer))
        row = self.table.current_row() if answer else None
        self.words.show_text("" if row is None else proposal_words(row))
        self.against.show_text("" if row is None else against_start(row, answer), "muted")
        self.trouble.show_text("" if row is None else trouble_words(row), "danger")
        self._show_take(row)
        self._show_state(answer)
        why = answer.get("forbidden_by", ())
        self.forbidden.show_text(t("Full cover is forbidden by:") + "".join(f"\n• {_bounded(b)}" for b in why) if why else "")
        self.findings.show_findings([{"code": w["code"], "severity": "warning", "message": _short(w, bool(why))} for w in answer.get("warnings", ())])
        self.findings.setVisible(bool(answer.get("warnings")))

    def _show_start(self, _node: str = "") -> None:
        session = self.session
        if session.is_searching:
            if not self.job.isVisibleTo(self):
                self.job.begin()
        else:
            self.job.hide()
        self.start.setVisible(not session.is_searching)
        if not has_target(session):
            can, tip = False, t("Outline the target first (step 2): cover is what is looked for.")
        elif len(session.plan.needles) < 2:
            can, tip = False, t("Place or have suggested two needles first: their direction is the way in.")
        else:
            can, tip = True, t("Search beside the window; you can go on working, and stop at any time")
        self.start.setEnabled(can)
        self.start.setToolTip(tip)
        self.intro.setVisible(session.search is None)
        self.blind.setVisible(not session.plan.at_risk and session.search is None)

    def _show_take(self, row) -> None:
        session = self.session
        usable = row is not None and row.index is not None
        same = usable and _same(session.search.drafts[row.index], session.plan)
        self.take.setVisible(row is not None)
        self.take.setEnabled(usable and not same)
        if not usable:
            self.take.setToolTip(t("Select a proposal in the table first"))
        elif same:
            self.take.setToolTip(t("The plan on screen is this proposal."))
        else:
            self.take.setToolTip(t("Replaces needles and pulses of the plan, one step of undo, and solves the field"))

    def _show_state(self, answer: dict) -> None:
        session, search = self.session, self.session.search
        if search is None:
            self.state_text.show_text(session.search_refusal, "warning")
            return
        ends = {"converged": t("Search ended."), "limits": t("Search ended: full cover is not reached within the limits."), "cancelled": t("Stopped: the best so far."), "time": t("Stopped by time: the best so far.")}
        text = ends.get(answer["stopped_by"], answer["stopped_by"]) + " " + t("{n} arrangements looked at, {m} solved in full, {s} s, seed {seed}.").format(
            n=answer["candidates"], m=answer["evaluations"], s=number_text(answer["seconds"], 0), seed=answer["seed"])
        changed = session.plan.needles != search.asked.needles or session.plan.pairs != search.asked.pairs
        if changed and not any(_same(d, session.plan) for d in search.drafts):
            self.state_text.show_text(text + "\n" + t("You changed the plan after the search began; it was left as you made it. Taking a proposal replaces its needles."), "warning")
        else:
            self.state_text.show_text(text + " " + t("Figures of the search; those that count follow when a proposal is taken and solved."), "muted")


def has_target(session) -> bool:
    """True where there is something to cover: an outline, the part that a salvage is for, or a schematic's node."""
    return session.is_schematic or session.target_from != "outline" or has_target_outline(session)


def _same(draft, plan) -> bool:
    def places(d) -> list:
        return [(n.id, n.tip_mm, n.exposure_mm) for n in d.needles]  # where the shaft ends is no difference

    return places(draft) == places(plan) and draft.pairs == plan.pairs


def _bounded(breach: dict) -> str:
    words = t(breach["message"])
    return words[:1].upper() + words[1:]


def _short(warning: dict, listed: bool) -> str:
    """The message without the list of limits where they are named above."""
    return warning["message"].split(": ", 1)[0] + "." if listed and warning["code"] == "cover_not_reached" else warning["message"]
