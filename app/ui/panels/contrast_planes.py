"""Two contrast loops of one node as one: which two, that they stand at a right angle, what both say, and the way into the reading. And the
tick for motion that is followed in parts."""

from __future__ import annotations

from functools import partial

from PySide6.QtWidgets import QCheckBox, QComboBox, QWidget

from app.ui.panels.ellipsoid import plane_names
from app.ui.text import t
from app.ui.widgets.figure_table import FigureTable
from app.ui.widgets.figures import Figure, number_text, volume_decimals
from app.ui.widgets.findings import FindingsList
from app.ui.widgets.key_button import key_button
from app.ui.widgets.labels import WrapLabel
from app.ui.widgets.sections import Section

_key = partial(key_button, tab_only=True)


def loop_words(one, head: str) -> str:
    """A loop in a line: which, its plane, its grade, what enhances in it."""
    plane = t("stated as both planes on different frames") if one.is_torn else plane_names()[one.plane] if one.plane else t("plane not stated")
    if one.section is None:
        return f"{head}: {plane} · {t('not analysed')}"
    if not one.is_fresh:
        return f"{head}: {plane} · {t('changed since its analysis')}"
    share = one.section.share
    said = t("not evaluable") if share.viable_pct is None else with_range(share.viable_pct, share.viable_interval_pct, 0, "%")
    return f"{head}: {plane} · {t('grade {grade}').format(grade=t(share.grade))} · {said}"


def with_range(value: float, ends: tuple[float, float], decimals: int, unit: str) -> str:
    """A number and what it may be; these are bounds, not 95 % intervals."""
    low, high = (number_text(v, decimals) for v in ends)
    return f"{number_text(value, decimals)}\u00a0{unit}\u00a0[{low}–{high}]"


def joined_figures(found, node_ml: float | None, source: str) -> list[Figure]:
    """What both planes say, as rows."""
    share = found.viable_pct
    if share is None:
        return []
    why = t("The node has no volume at this visit yet: outline it, or draw its three diameters.")
    of = t("Share of both sections, times the node's volume ({source}).").format(source=source) if source else ""
    decimals, (low, high) = volume_decimals(found.viable_ml), found.volume_interval_pct
    beside = t("From a part in the middle of the node to one all around the middle: its place beside both sections was not seen.")
    rows = [
        Figure(t("Vt, the node"), node_ml, "ml", volume_decimals(node_ml), source=source, reason=why),
        Figure(t("Va, not enhancing"), found.ablated_ml, "ml", volume_decimals(found.ablated_ml), source=of, reason=why),
        Figure(t("Vv, enhancing"), None if found.viable_ml is None else with_range(found.viable_ml, found.viable_interval_ml, decimals, "ml"), source=f"{of} {beside}".strip(), reason=why),
        Figure(t("Vv / Vt of both sections"), with_range(share, found.viable_interval_pct, 0, "%"), source=t("Both sections weighted by their area; the interval spans those of both.")),
        Figure(t("Vv / Vt of the volume"), f"{number_text(low, 0)}–{number_text(high, 0)}", "%", source=beside),
    ]
    if found.solid_pct is not None:
        rows.append(Figure(t("Vv / Vt as a solid"), found.solid_pct, "%", 0, source=t("Both sections show the part as one piece inside the node and in its middle.")))
    return rows


class ContrastPlanesSection(Section):
    """Shown once the current node was worked out on another loop of this visit."""

    def __init__(self, session, parent: QWidget | None = None):
        super().__init__(t("Contrast: both planes"), parent=parent)
        self.session = session
        self.here, self.there = WrapLabel(small=True), WrapLabel(small=True)
        self.other = QComboBox()
        self.other.setAccessibleName(t("The other loop"))
        self.other.activated.connect(lambda _n: session.choose_other_loop(self.other.currentData()))
        self.show_other = _key(t("Show the other loop"), t("Bring the other loop on screen, to look at it or to state its plane"))
        self.show_other.clicked.connect(self._show_other)
        self.right_angle = QCheckBox(t("At a right angle, through the middle"))
        self.right_angle.setToolTip(t("You state that the two loops stand at a right angle to each other and both go through the node's middle. Not needed where one is stated longitudinal and the other transverse."))
        self.right_angle.clicked.connect(lambda on: session.tick_right_angle(on))
        self.why = WrapLabel(tone="muted", small=True)
        self.join = _key(t("Join both planes") + " Shift+J", "")
        self.join.clicked.connect(session.join_planes)
        self.grade, self.accept = WrapLabel(), _key("", t("The proposed grade becomes yours (Shift+U); another one is chosen below, under Residual enhancement"))
        self.accept.clicked.connect(session.accept_joined_grade)
        self.figures = FigureTable(t("Enhancing and not enhancing part, by both planes"), max_rows=6)
        self.findings = FindingsList(t("Findings of both planes"), "")
        self.beside = WrapLabel(t("What lies beside both sections was not seen."), tone="muted", small=True)
        self.take = _key(t("Take both planes into the reading"), "")
        self.take.clicked.connect(session.take_joined)
        self.part = _key(t("Each loop by itself"), t("Both planes are no longer shown as one; what is in the reading stays until it is taken out"))
        self.part.clicked.connect(session.part_planes)
        self.taken = WrapLabel(tone="good", small=True)
        for part in (self.here, self.there, self.other, self.show_other, self.right_angle, self.why, self.join, self.grade, self.accept, self.figures, self.beside, self.findings, self.take, self.taken, self.part):
            self.body.addWidget(part)
        for signal in (session.contrast_changed, session.picture_changed, session.nodes_changed, session.measurement_changed, session.readings_changed, session.outlines_changed, session.calipers_changed):
            signal.connect(self.refresh)
        self.refresh()

    def refresh(self, *_) -> None:
        """Show both loops of the current node; hidden while there is no second one."""
        session = self.session
        other = session.other_loop()
        self.setVisible(other is not None)
        if other is None:
            return
        others, joined, why = session.other_loops(), session.loops_joined(), session.why_not_join()
        self.here.show_text(loop_words(session.loop_here(), t("On screen")))
        self.there.show_text(loop_words(other, other.title))
        self.other.setVisible(len(others) > 1)
        self.other.clear()
        for one in others:
            self.other.addItem(one.title, one.name)
        self.other.setCurrentIndex(self.other.findData(other.name))
        pair, stated = session.loop_pair(), session.planes_are_stated()
        self.right_angle.setVisible(not stated)
        self.right_angle.setChecked(pair.right_angle)
        self.why.show_text(why, "warning" if pair.joined else "muted")
        self.join.setVisible(joined is None)
        self.join.setEnabled(not why)
        self.join.setToolTip(why or t("What enhances of this node, by two loops at a right angle"))
        for part in (self.grade, self.accept, self.figures, self.beside, self.take, self.part):
            part.setVisible(joined is not None)
        if joined is None:
            self.findings.setVisible(False)
        if joined is not None:
            self._show_joined(joined)
        self._show_taken(joined)

    def _show_joined(self, joined) -> None:
        session, grade = self.session, joined.found.grade
        self.grade.show_text(t("Proposed: grade {grade}, {meaning}").format(grade=t(grade), meaning=session.grade_meanings().get(grade, "")))
        stated = session.statement_of(session.current_node_id)
        agreed = stated is not None and stated.grade == grade
        self.accept.setText(t("Grade {grade} is yours").format(grade=t(grade)) if agreed else t("Accept grade {grade}").format(grade=t(grade)) + " (Shift+U)")
        self.accept.setEnabled(not agreed and not session.why_no_statement(session.current_node_id))
        figures = joined_figures(joined.found, *session.contrast_node_ml())
        self.figures.show_figures(figures)
        self.figures.setVisible(bool(figures))
        told = [f for f in joined.found.findings if f.severity != "info"]
        self.findings.show_findings(told)
        self.findings.setVisible(bool(told))

    def _show_taken(self, joined) -> None:
        session = self.session
        record = None if session.current is None else session.current.contrast_taken
        both = record is not None and record.get("two_planes") is not None
        same, why = session.joined_is_taken(), session.why_not_take_joined()
        self.take.setEnabled(not why and not same)
        self.take.setToolTip(why or t("Enhancing and ablated part in ml by both planes go into this reading, with both loops named; the curves' numbers are those of the longitudinal loop (Shift+W)"))
        self.taken.show_text("" if not both else t("Both planes are in the reading.") if same else t("In the reading are both planes as they were joined before."), "good" if same else "warning")

    def _show_other(self) -> None:
        other = self.session.other_loop()
        if other is not None:
            self.session.open_series(other.name)


class InPartsBox(QCheckBox):
    """Whether the analysis follows the tissue in parts as well."""

    def __init__(self, session, parent: QWidget | None = None):
        super().__init__(t("Follow the tissue in parts as well (slower)"), parent)
        self.session = session
        self.setToolTip(t("The analysis also follows what bends within the node and beside it, not only the whole; the reading says so"))
        self.clicked.connect(session.follow_in_parts)
        for signal in (session.contrast_changed, session.picture_changed, session.nodes_changed):
            signal.connect(self.refresh)
        self.refresh()

    def refresh(self, *_) -> None:
        """Shown once the loop was read and has a B-mode picture, which the tissue is followed by."""
        state = self.session.contrast
        shown = state is not None and state.is_read and state.loop.tissue is not None
        self.setVisible(shown)
        if shown:
            self.setChecked(state.in_parts)
            self.setEnabled(state.job is None)
