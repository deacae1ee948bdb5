"""What a reader states of the current node by eye: the grade of what still enhances, and the lesion as the protocol's response criteria ask for it."""

from __future__ import annotations

import re
from typing import Any

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QComboBox, QFormLayout, QLabel, QLineEdit, QSizePolicy, QWidget

from app.study.lesions import BY_NAME, CHOICE, FLAG, LENGTH_MM, LENGTHS_MM, LONGEST_TEXT, LesionField
from app.study.model import ENHANCEMENT_GRADES
from app.ui.models.plan_runs import NotANumber, typed_number
from app.ui.session_lesion import choice_names, field_names, value_words
from app.ui.text import t
from app.ui.widgets.labels import WrapLabel
from app.ui.widgets.sections import Section

_BETWEEN = re.compile(r"\s*[+;/]\s*|,\s+|\s+")


def field_tips() -> dict[str, str]:
    """What each field of a lesion is for, on hover."""
    return {
        "role": t("Target: measured, part of the sum. Non-target: followed by eye. New: came after the start of treatment."),
        "organ": t("The organ it lies in, as the protocol names it; two targets an organ at most"),
        "nodal": t("Of a lymph node the short axis counts, of anything else the long axis"),
        "treated": t("Ablated or irradiated before the baseline scan"),
        "progressed": t("A locally treated lesion is judged only where it has progressed since"),
        "state": t("A lesion followed by eye, at this visit; progression must be unequivocal"),
        "parts_mm": t("A lesion that has split: the axis of each part, for example 12.5 + 8"),
        "new_lesion_certain": t("A lesion that is only suspected is no progression yet"),
        "viable_diameter_mm": t("Longest diameter that enhances in the arterial phase; 0 where nothing does"),
        "control": t("Viable: tumour left in the zone or next to it"),
    }


class Choice(QComboBox):
    """A choice that begins with "not stated"; the wheel changes it only while it has the keys."""

    def __init__(self, items, not_stated: str, parent: QWidget | None = None):
        super().__init__(parent)
        self.addItem(not_stated, None)
        for data, words in items:
            self.addItem(words, data)
            self.setItemData(self.count() - 1, words, Qt.ItemDataRole.ToolTipRole)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)

    def wheelEvent(self, event) -> None:
        """Scroll the panel unless the choice has the keys."""
        if self.hasFocus():
            super().wheelEvent(event)
        else:
            event.ignore()

    def put(self, value: Any) -> None:
        """Show a value without telling anybody."""
        self.blockSignals(True)
        # Not findData: True and 1, and None and "", are the same to it.
        self.setCurrentIndex(next((n for n in range(self.count()) if type(self.itemData(n)) is type(value) and self.itemData(n) == value), 0))
        self.blockSignals(False)


class GradeSection(Section):
    """Residual enhancement, graded by eye: one of the protocol's grades, or not graded."""

    def __init__(self, session, parent: QWidget | None = None):
        super().__init__(t("Residual enhancement"), parent=parent)
        self.session = session
        self._node_id: str | None = None
        self._shown: tuple | None = None
        self._meanings: dict[str, str] = {}
        self.choice = Choice((), t("Not graded"))
        self.choice.setAccessibleName(t("Grade of what still enhances"))
        self.choice.currentIndexChanged.connect(self._chosen)
        self.hint = WrapLabel(tone="muted", small=True)
        for part in (self.choice, self.hint):
            self.body.addWidget(part)

    def refresh(self, state) -> None:
        """Show the grade of a node at this visit."""
        session = self.session
        said = None if state is None else session.statement_of(state.node.node_id)
        shown = (None if state is None else state.node.node_id, None if session.visit is None else session.visit.visit_id)
        if shown != self._shown:  # before anything was ablated there is nothing to grade
            self._shown = shown
            self.set_open(not session.is_before_treatment() or (said is not None and said.grade is not None))
        self._node_id = shown[0]
        self.setVisible(session.asks_grade() or (said is not None and said.grade is not None))
        meanings = session.grade_meanings()
        if meanings != self._meanings:
            self._meanings = meanings
            self.choice.blockSignals(True)
            while self.choice.count() > 1:
                self.choice.removeItem(1)
            for grade in ENHANCEMENT_GRADES:
                words = f"{t(grade)} · {meanings[grade]}"
                self.choice.addItem(words, grade)
                self.choice.setItemData(self.choice.count() - 1, words, Qt.ItemDataRole.ToolTipRole)
            self.choice.blockSignals(False)
        self.choice.put(None if said is None else said.grade)
        why = session.why_no_statement(self._node_id)
        self.choice.setEnabled(not why)
        self.choice.setToolTip(why or t("What still enhances in or at the ablated node, by eye; arrow keys or 0 to 3 choose a grade"))
        self.hint.show_text("" if said is None or said.grade is not None else t("Nothing is graded unless you say so."))

    def _chosen(self, _index: int) -> None:
        if self._node_id is not None:
            why = self.session.state_grade(self._node_id, self.choice.currentData())
            if why:
                self.session.notice.emit("warning", why)
                self.refresh(self.session.nodes.get(self._node_id))


class LesionSection(Section):
    """The fields that the protocol asks for, each empty until it is stated. What cannot be is said at once, and is not kept."""

    def __init__(self, session, parent: QWidget | None = None):
        super().__init__(t("Lesion"), folded=True, parent=parent)
        self.session = session
        self._node_id: str | None = None
        self._visit_id: str | None = None
        self._shown: tuple[str, ...] = ()
        self._refused: dict[str, str] = {}
        self.fields: dict[str, QWidget] = {}
        self.form = QFormLayout()
        self.form.setVerticalSpacing(4)
        self.form.setHorizontalSpacing(8)
        self.form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        self.form.setRowWrapPolicy(QFormLayout.RowWrapPolicy.DontWrapRows)
        self.problem = WrapLabel(tone="warning", small=True)
        self.hint = WrapLabel(tone="muted", small=True)
        self.body.addLayout(self.form)
        self.body.addWidget(self.problem)
        self.body.addWidget(self.hint)
        session.keep_typed.connect(self.commit)

    # ---- showing ---------------------------------------------------------------------------
    def refresh(self, state) -> None:
        """Show what is stated of a node at this visit."""
        session = self.session
        node_id = None if state is None else state.node.node_id
        visit_id = None if session.visit is None else session.visit.visit_id
        if (node_id, visit_id) != (self._node_id, self._visit_id):
            self._node_id, self._visit_id, self._refused = node_id, visit_id, {}
            self._drop_typed()
        asked = session.lesion_fields(node_id)
        self.setVisible(bool(asked))
        names = tuple(f.name for f in asked)
        if names != self._shown:
            self._build(asked)
        said = None if node_id is None else session.statement_of(node_id)
        why = session.why_no_statement(node_id)
        tips = field_tips()
        for name, field in self.fields.items():
            value = None if said is None else said.lesion.get(name)
            field.setEnabled(not why)
            field.setToolTip(why or tips[name])
            if isinstance(field, Choice):
                field.put(value)
            elif name not in self._refused and not field.isModified():
                field.setText("" if value is None else value_words(name, value))
        if said is not None and said.lesion and not self.is_open():
            self.set_open(True)
        self._say()
        self.hint.show_text("" if said is not None and said.lesion else t("Asked by the protocol's response criteria. What is left open is taken from axes and status, never guessed."))

    def _drop_typed(self) -> None:
        for field in self.fields.values():
            if isinstance(field, QLineEdit):
                field.setModified(False)

    def _build(self, asked: tuple[LesionField, ...]) -> None:
        """The fields that are asked for now."""
        self.commit()
        while self.form.rowCount():
            self.form.removeRow(0)
        self._shown, self.fields = tuple(f.name for f in asked), {}
        captions = field_names()
        for spec in asked:
            field = self._field(spec)
            field.setAccessibleName(captions[spec.name])
            caption = QLabel(captions[spec.name])
            caption.setBuddy(field)
            self.fields[spec.name] = field
            self.form.addRow(caption, field)

    def _field(self, spec: LesionField) -> QWidget:
        if spec.kind in (CHOICE, FLAG):
            choice = Choice(choice_names(spec.name).items(), t("not stated"))
            choice.currentIndexChanged.connect(lambda _n: self._state(spec.name, choice.currentData()))
            return choice
        edit = QLineEdit()
        edit.setMaxLength(LONGEST_TEXT)
        edit.setPlaceholderText(t("not stated"))
        edit.editingFinished.connect(lambda: self._typed(spec))
        return edit

    # ---- doing -----------------------------------------------------------------------------
    def commit(self) -> str:
        """State what was typed and not left yet; the sentence that says what could not be kept, or an empty text."""
        for name, field in list(self.fields.items()) if self._node_id is not None else ():
            if isinstance(field, QLineEdit) and field.isModified():
                self._typed(BY_NAME[name])
        return self.problem.text() if self._refused else ""

    def _typed(self, spec: LesionField) -> None:
        field = self.fields.get(spec.name)
        if not isinstance(field, QLineEdit) or not field.isModified():
            return  # left without a change
        text = field.text().strip()
        try:
            value: Any = text or None
            if value is not None and spec.kind == LENGTH_MM:
                value = typed_number(text)
            elif value is not None and spec.kind == LENGTHS_MM:
                value = [typed_number(part) for part in _BETWEEN.split(text) if part]
        except NotANumber:
            self._refused[spec.name] = t("{name}: {text} is no number. It is not kept.").format(name=field_names()[spec.name], text=text)
            self._say()
            return
        self._state(spec.name, value)

    def _state(self, name: str, value: Any) -> None:
        if self._node_id is None:
            return
        # A choice that was refused went back to what is kept; what was typed still stands there.
        self._refused = {n: words for n, words in self._refused.items() if n != name and isinstance(self.fields.get(n), QLineEdit)}
        field = self.fields[name]
        why = self.session.state_lesion(self._node_id, name, value)
        if why:
            self._refused[name] = t("{why} Not kept.").format(why=why)
        if isinstance(field, QLineEdit) and not why:
            field.setModified(False)
        self.refresh(self.session.nodes.get(self._node_id))

    def _say(self) -> None:
        self.problem.show_text("\n".join(self._refused.values()))
