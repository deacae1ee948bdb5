"""A contrast loop in the Measure step: panes confirmed, what the display is worth, the loop read, marks, regions, one key for the way."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QGridLayout, QHBoxLayout, QLabel, QPushButton, QToolButton, QWidget

from app.ui.models.contrast import ROLE_LOOKS, colour_words, layout_names, mark_names, region_name, role_names
from app.ui.models.records import Column
from app.ui.panels.contrast_planes import InPartsBox
from app.ui.panels.enhancing import _Threshold
from app.ui.session_contrast_regions import REGION_ROLES
from app.ui.text import said, t
from app.ui.widgets.figures import number_text
from app.ui.widgets.findings import FindingsList
from app.ui.widgets.key_button import key_button
from app.ui.widgets.labels import WrapLabel
from app.ui.widgets.palette import ACCENT
from app.ui.widgets.sections import Section
from app.ui.widgets.tables import ValueTable
from app.usecases.contrast_draft import MARKS
from volumetry.perfusion.loop import PLAUSIBLE_RANGE_DB

MARK_KEYS = {"arrival": "F5", "peak": "F6", "late": "F7"}
NOT_STATED = PLAUSIBLE_RANGE_DB[0] - 1

_key = partial(key_button, tab_only=True)  # a click must not take the focus, or the next letter would not reach the tools


def region_columns() -> tuple[Column, ...]:
    """The list of regions."""
    names = role_names()
    return (
        Column(t("Region"), lambda r: r.name, region_name, colour=lambda r: ROLE_LOOKS[r.role][0], weight=5),
        Column(t("Stands for"), lambda r: r.role, lambda r: names[r.role], weight=4),
    )


class ContrastSection(Section):
    """Everything before the analysis, in the order in which it is done."""

    def __init__(self, session, parent: QWidget | None = None):
        super().__init__(t("Contrast loop"), parent=parent)
        self.session = session
        self._shown: str | None = None
        self.next = QPushButton()
        # The step's one primary button stays the lock.
        self.next.setStyleSheet(f"QPushButton:enabled {{ border: 1px solid {ACCENT}; color: {ACCENT}; font-weight: 600; }}")
        self.next.clicked.connect(self._go_on)
        self.note = WrapLabel(tone="muted", small=True)
        self.panes = WrapLabel(small=True)
        self.why = WrapLabel(tone="muted", small=True)
        self.swap = _key(t("Swap"), t("Contrast and B-mode the other way round (Shift+Q)"))
        self.draw = _key(t("Draw…"), t("Draw the boxes yourself (Shift+B)"))
        self.draw.setCheckable(True)
        self.swap.clicked.connect(session.swap_panes)
        self.draw.clicked.connect(lambda _on: session.set_tool("crosshair" if session.tool == "contrast_panes" else "contrast_panes"))
        self.bar = _key(t("Colour bar…"), t("Draw a box round the contrast's colour bar: its colours tell how bright each pixel is (Shift+K)"))
        self.bar.setCheckable(True)
        self.bar.clicked.connect(lambda _on: session.set_tool("crosshair" if session.tool == "contrast_bar" else "contrast_bar"))
        panes = _row(self.swap, self.draw, self.bar)
        self.range = _Threshold()
        self.range.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.range.setDecimals(1)
        self.range.setRange(NOT_STATED, PLAUSIBLE_RANGE_DB[1])
        self.range.setKeyboardTracking(False)
        self.range.setSpecialValueText(t("state it"))
        self.range.setSuffix(" dB")
        self.range.setAccessibleName(t("Dynamic range of the contrast display in dB"))
        self.range.setToolTip(t("As the scanner shows it in the picture, often DR or C. It turns grey levels into echo power."))
        self.range.valueChanged.connect(self._range_stated)
        self.range.lineEdit().returnPressed.connect(self._range_done)
        caption = QLabel(t("D&ynamic range"))
        caption.setBuddy(self.range)
        self.range_row = QWidget()
        row = QHBoxLayout(self.range_row)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(8)
        row.addWidget(caption)
        row.addWidget(self.range, 1)
        self.worth = WrapLabel(tone="muted", small=True)
        self.read = WrapLabel(small=True)
        self.marks: dict[str, QToolButton] = {}
        grid = QGridLayout()
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(4)
        names = mark_names()
        self.sets: dict[str, QToolButton] = {}
        for n, name in enumerate(MARKS):
            jump = _key(names[name], t("Go to this mark ({key})").format(key=MARK_KEYS[name]))
            move = _key(t("set here"), t("This mark is at the frame on screen (Shift+{key})").format(key=MARK_KEYS[name]))
            jump.clicked.connect(lambda _on=False, name=name: session.go_to_mark(name))
            move.clicked.connect(lambda _on=False, name=name: session.set_mark(name))
            grid.addWidget(jump, 0, n)
            grid.addWidget(move, 1, n)
            self.marks[name], self.sets[name] = jump, move
        self.marks_box = QWidget()
        self.marks_box.setLayout(grid)
        self.first = _key(t("Start here") + " F8", t("Nothing before the frame on screen counts (F8)"))
        self.last = _key(t("End here"), t("Nothing after the frame on screen counts (Shift+F8)"))
        self.whole = _key(t("Whole loop"), t("All frames count again"))
        self.first.clicked.connect(lambda: session.trim_loop(first=session.frame_index))
        self.last.clicked.connect(lambda: session.trim_loop(last=session.frame_index))
        self.whole.clicked.connect(lambda: session.trim_loop())
        self.trim = _row(self.first, self.last, self.whole)
        self.still = _key(t("Motion corrected") + " F9", t("Show every frame moved back to where the tissue lies in the reference frame (F9)"))
        self.still.setCheckable(True)
        self.still.clicked.connect(lambda on: session.show_corrected(on))
        self.findings = FindingsList(t("Findings of the loop"), "")
        self.roles: dict[str, QToolButton] = {}
        role_grid = QGridLayout()
        role_grid.setContentsMargins(0, 0, 0, 0)
        role_grid.setSpacing(4)
        words = role_names()
        for n, role in enumerate(REGION_ROLES):
            button = _key(f"{words[role]} {n + 1}", t("Draw this region in either picture: click corners, or drag round it (Shift+G, then {n})").format(n=n + 1))
            button.setCheckable(True)
            button.clicked.connect(lambda _on=False, role=role: self._take(role))
            role_grid.addWidget(button, n // 3, n % 3)
            self.roles[role] = button
        self.roles_box = QWidget()
        self.roles_box.setLayout(role_grid)
        self.regions = ValueTable(region_columns(), t("Regions of the current node"), max_rows=5, row_height=21)
        self.drop = _key(t("Remove region"), t("Take the chosen region away; undo brings it back"))
        self.drop.clicked.connect(self._drop)
        self.region_note = WrapLabel(tone="muted", small=True)
        for part in (self.next, self.note, self.panes, self.why, panes, self.range_row, self.worth, self.read, self.marks_box, self.trim, self.still, self.findings, self.roles_box, self.regions, self.drop, self.region_note):
            self.body.addWidget(part)
        self.in_parts = InPartsBox(session)
        self.body.addWidget(self.in_parts)
        self.pane_buttons = panes
        for signal in (session.contrast_changed, session.picture_changed, session.nodes_changed, session.measurement_changed, session.tool_changed, session.readings_changed):
            signal.connect(self.refresh)
        self.refresh()

    # ---- showing ---------------------------------------------------------------------------
    def refresh(self, *_) -> None:
        """Show the loop on screen; hidden where there is none."""
        session, state = self.session, self.session.contrast
        self.setVisible(state is not None)
        if state is None:
            self._shown = None
            return
        if state.name != self._shown or (state.is_contrast and not self.is_open() and state.proposal is not None and self._shown_proposal is not state.proposal):
            self._shown = state.name
            self.set_open(state.is_contrast)
        self._shown_proposal = state.proposal
        self._show_next(state)
        self._show_panes(state)
        self._show_range(state)
        self._show_read(state)
        self._show_regions(state)
        why = session.why_no_statement(session.current_node_id) if session.current is not None else ""
        for button in (*self.roles.values(), self.drop):
            button.setEnabled(state.is_read and not why)
        self.drop.setEnabled(self.drop.isEnabled() and bool(state.regions.get(session.current_node_id)))

    _shown_proposal: object | None = None
    _asked: object | None = None

    def _show_next(self, state) -> None:
        what, words = self.session.contrast_next()
        working = state.job is not None
        self.next.setText(t("Cancel") if working else words + " (J)" if what else t("Next step (J)"))
        self.next.setEnabled(working or bool(what))
        self.next.setAccessibleName(self.next.text())
        self.note.show_text("" if what or working else words)

    def _show_panes(self, state) -> None:
        names = layout_names()
        self.panes.show_text("" if state.panes is None else names[state.panes.layout] + (" · " + t("confirmed") if state.confirmed else " · " + t("proposed")), "good" if state.confirmed else "")
        proposal = state.proposal
        reasons = [] if proposal is None or state.confirmed else [said(r) for r in proposal.reasons] + [said(f.message) for f in proposal.findings]
        self.why.show_text("\n".join(reasons) or (said(state.refusal) if state.panes is None else ""))
        self.swap.setEnabled(state.panes is not None and state.panes.bmode is not None)
        self.draw.setChecked(self.session.tool == "contrast_panes")
        self.bar.setVisible(state.panes is not None and (state.colours is None or state.colours.source != "grey"))
        self.bar.setChecked(self.session.tool == "contrast_bar")

    def _show_range(self, state) -> None:
        if not self.range.hasFocus() or (state.range_db is not None and self.range.value() != state.range_db):
            self.range.blockSignals(True)
            self.range.setValue(NOT_STATED if state.range_db is None else state.range_db)
            self.range.blockSignals(False)
        if state.confirmed and state.range_db is None and state.proposal is not None and self._asked is not state and self.isVisible():
            self._asked = state  # asked once: the value can be typed at once
            self.range.setFocus(Qt.FocusReason.OtherFocusReason)
            self.range.selectAll()
        source = {"header": t("from the header"), "stated": t("as you stated it")}.get(state.range_source, t("not in the header: read it off the picture (often DR)"))
        colours = colour_words(state.colours)
        self.worth.show_text(t("Range {source}.").format(source=source) + (" " + t("Colours: {words}.").format(words=colours) if colours else ""), "muted" if state.range_db is not None else "warning")

    def _show_read(self, state) -> None:
        read = state.is_read
        for part in (self.marks_box, self.trim, self.still, self.roles_box):
            part.setVisible(read)
        self.still.setChecked(state.corrected)
        found = []
        if read:
            loop, motion = state.loop, state.motion
            flashes = set(loop.flash_frames)
            counts = sum(bool(ok) and n not in flashes for n, ok in enumerate(motion.accepted))
            words = t("{n} of {of} frames count, {seconds} s.").format(n=counts, of=state.cine.frame_count, seconds=number_text(float(loop.times_s[-1]), 1))
            if motion.residual_mm is not None:
                words += " " + t("Motion left over: {mm} mm.").format(mm=number_text(motion.residual_mm, 2) if motion.residual_mm >= 0.01 else "< 0.01")
            self.read.show_text(words, "")
            found = [*loop.findings, *motion.findings]
        else:
            self.read.show_text(said(state.refusal) if state.refusal else "", "warning")
        names = mark_names()
        for name, button in self.marks.items():
            at = state.marks.get(name)
            when = state.time_s(at)
            button.setText(names[name] + ("" if when is None else f" {when:.1f} s") + ("" if at is None or name in state.moved_marks else " ?"))
            button.setEnabled(at is not None)
        self.whole.setEnabled(state.trim is not None)
        self.findings.show_findings(dict.fromkeys(found))
        self.findings.setVisible(bool(found))

    def _show_regions(self, state) -> None:
        session = self.session
        rows = session.regions_of() if state.is_read else ()
        chosen = self.regions.current_row()
        self.regions.set_rows(rows, lambda r: chosen is not None and r.name == chosen.name)
        self.regions.setVisible(bool(rows))
        self.drop.setVisible(bool(state.regions.get(session.current_node_id)))
        for role, button in self.roles.items():
            button.setChecked(session.tool == "contrast_region" and session.region_role == role)
        words = ""
        if state.is_read:
            roles = {r.role for r in rows}
            if session.current is None:
                words = t("Choose a node first.")
            elif not roles & {"node", "ablated_zone"}:
                words = t("Outline the node in either picture (N, or region 1).")
            elif "reference" not in roles:
                words = t("Without a reference region, tissue 2 to 7 mm beside the node stands in for it.")
        self.region_note.show_text(words)

    # ---- doing -----------------------------------------------------------------------------
    def _go_on(self) -> None:
        state = self.session.contrast
        if state is not None and state.job is not None:
            self.session.cancel_contrast()
        else:
            self.session.do_contrast_next()

    def _range_stated(self, value: float) -> None:
        self.session.state_range(None if value <= NOT_STATED else value)

    def _range_done(self) -> None:
        self.range.interpretText()
        self.range.clearFocus()  # the next letter is a key of the window again

    def _take(self, role: str) -> None:
        session = self.session
        again = session.tool == "contrast_region" and session.region_role == role
        session.set_region_role(role)
        session.set_tool("crosshair" if again else "contrast_region")
        self.refresh()

    def _drop(self) -> None:
        session, state = self.session, self.session.contrast
        drawn = () if state is None else state.regions.get(session.current_node_id, ())
        chosen = self.regions.current_row()
        name = chosen.name if chosen is not None and any(r.name == chosen.name for r in drawn) else drawn[-1].name if drawn else None
        if name is not None:
            session.remove_region(name)


def _row(*buttons: QToolButton) -> QWidget:
    box = QWidget()
    row = QHBoxLayout(box)
    row.setContentsMargins(0, 0, 0, 0)
    row.setSpacing(4)
    for button in buttons:
        row.addWidget(button, 1)
    return box
