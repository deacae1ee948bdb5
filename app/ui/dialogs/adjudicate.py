"""Adjudication: what two blinded readers made of the same node, side by side, under codes; one is selected, with a reason, for good."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QImage, QKeySequence, QPen, QPolygonF, QShortcut
from PySide6.QtWidgets import (
    QButtonGroup,
    QComboBox,
    QDialog,
    QFormLayout,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QRadioButton,
    QScrollArea,
    QSizePolicy,
    QSplitter,
    QVBoxLayout,
    QWidget,
)
from shiboken6 import isValid

from app.ui.dialogs.audit_view import STYLE, push_button
from app.ui.dialogs.export_edc import LIST_STYLE, ROW_PX
from app.ui.models.adjudicate import comparison, pair_title, why_asked
from app.ui.painting import painting
from app.ui.session_audit import OUTLINES_KEY, PAIRS_KEY
from app.ui.text import t
from app.ui.widgets.labels import WrapLabel
from app.ui.widgets.palette import BACKGROUND, MUTED, PANEL_STYLE, TEXT, node_colour

LEAST_REASON = 3  # characters


def open_adjudication(session, parent: QWidget | None = None) -> AdjudicateWindow | None:
    """The window, or None with a notice where nobody may adjudicate here."""
    why = t("Open a study first.") if session.study is None else session.why_no_adjudication()
    if why:
        session.notice.emit("warning", why)
        return None
    window = AdjudicateWindow(session, parent)
    window.show()
    return window


class OutlinePicture(QWidget):
    """One slice with one reader's outline drawn firmly and the others' dotted. The colours are none that warn."""

    def __init__(self, code: str, order: int):
        super().__init__()
        self.code, self.colour = code, node_colour(order)
        self.found = None
        self.words = ""
        self.setMinimumSize(160, 150)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)

    def show_outlines(self, found, words: str) -> None:
        """``OutlinesOnSlice``, or None and why there is none."""
        self.found, self.words = found, words
        self.setAccessibleName(f"{t(self.code)}: {words}")
        self.update()

    def sizeHint(self) -> QSize:
        """Room for a node to be seen."""
        return QSize(330, 260)

    def paintEvent(self, _event) -> None:
        """The slice, the outlines, or the reason why there are none."""
        with painting(self) as p:
            p.fillRect(self.rect(), QColor(BACKGROUND))
            if self.found is None:
                p.setPen(QColor(MUTED))
                p.drawText(self.rect().adjusted(12, 12, -12, -12), Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap, self.words)
                return
            picture = np.ascontiguousarray(self.found.picture)
            rows, columns = picture.shape
            width_mm, height_mm = self.found.pixel_mm
            scale = min(self.width() / (columns * width_mm), self.height() / (rows * height_mm))
            w, h = columns * width_mm * scale, rows * height_mm * scale
            left, top = (self.width() - w) / 2, (self.height() - h) / 2
            p.setRenderHint(p.RenderHint.SmoothPixmapTransform)
            p.setRenderHint(p.RenderHint.Antialiasing)
            p.drawImage(QRectF(left, top, w, h), QImage(picture.data, columns, rows, columns, QImage.Format.Format_Grayscale8))
            for code, lines in sorted(self.found.outlines.items(), key=lambda item: item[0] == self.code):
                own = code == self.code
                p.setPen(QPen(QColor(self.colour if own else MUTED), 2.0 if own else 1.4, Qt.PenStyle.SolidLine if own else Qt.PenStyle.DotLine))
                for line in lines:
                    p.drawPolygon(QPolygonF([QPointF(left + (x + 0.5) * width_mm * scale, top + (y + 0.5) * height_mm * scale) for x, y in line]))
            p.setPen(QColor(TEXT))
            inside = self.rect().adjusted(6, 4, -6, -4)
            sides = (Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, Qt.AlignmentFlag.AlignHCenter | Qt.AlignmentFlag.AlignTop, Qt.AlignmentFlag.AlignHCenter | Qt.AlignmentFlag.AlignBottom)
            names = {"R": t("R"), "L": t("L")}
            for side, letter in zip(sides, self.found.edges, strict=True):
                p.drawText(inside, side, names.get(letter, letter))
            p.setPen(QColor(MUTED))
            p.drawText(inside, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignBottom, self.words)


class AdjudicateWindow(QDialog):
    """The pairs that wait at the left, one of them at the right. Nothing is kept until it is signed; Esc closes."""

    def __init__(self, session, parent: QWidget | None = None):
        super().__init__(parent)
        self.session = session
        self.signing = session.signing()
        self.pairs: tuple | None = None
        self.pair = None
        self._writing = False
        self.setWindowTitle(t("Adjudication"))
        self.setStyleSheet(PANEL_STYLE + STYLE + LIST_STYLE)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowFlag(Qt.WindowType.WindowMaximizeButtonHint, True)
        self.waiting = QListWidget()
        self.waiting.setAccessibleName(t("What waits for an adjudicator"))
        self.waiting.setMinimumWidth(230)
        self.title = WrapLabel()
        self.title.setProperty("scale", "unit")
        self.why = WrapLabel(tone="warning")
        self.sides = QGridLayout()
        self.sides.setHorizontalSpacing(12)
        self.sides.setVerticalSpacing(4)
        self.choices = QButtonGroup(self)
        self.pictures: list[OutlinePicture] = []
        self.reason = QLineEdit()
        self.reason.setMaxLength(400)
        self.name = QLineEdit()
        self.name.setMaxLength(80)
        self.password = QLineEdit()
        self.password.setEchoMode(QLineEdit.EchoMode.Password)
        self.meaning = QComboBox()
        self.missing = WrapLabel(tone="warning", small=True)
        self.said = WrapLabel()
        self.said.hide()
        self._build()
        self.waiting.currentRowChanged.connect(self._show_pair)
        self.choices.buttonToggled.connect(lambda *_: self.check())
        for field in (self.reason, self.name, self.password):
            field.textChanged.connect(lambda _text: self.check())
        session.study_changed.connect(self._still_allowed)
        session.user_changed.connect(self._still_allowed)
        QShortcut(QKeySequence.StandardKey.Close, self, self.close)
        room = self.screen().availableGeometry()
        self.resize(min(1140, room.width() - 30), min(740, room.height() - 50))
        self.ask()

    def _build(self) -> None:
        self.sign = push_button(t("&Sign and select") if self.signing is not None else t("&Select"), t("Kept for good: a selection is never changed"), self.select)
        self.sign.setProperty("primary", True)
        self.leave = push_button(t("Close"), t("Nothing is kept by closing"), self.close)
        held = QWidget()
        held.setObjectName("PanelBody")
        box = QVBoxLayout(held)
        box.setContentsMargins(0, 0, 6, 0)
        box.addLayout(self.sides, 1)
        scroll = QScrollArea()
        scroll.setObjectName("PanelScroll")
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        scroll.setWidget(held)
        form = QFormLayout()
        form.setLabelAlignment(Qt.AlignmentFlag.AlignRight)
        form.setVerticalSpacing(6)
        fields = [(t("&Reason"), self.reason)]
        if self.signing is None:
            fields.append((t("Your &name"), self.name))
        else:
            for key, words in self.signing.meanings.items():
                self.meaning.addItem(t(words), key)
            self.meaning.setCurrentIndex(max(0, self.meaning.findData("adjudication")))
            fields += [(t("&Meaning"), self.meaning), (t("&Password"), self.password)]
        for caption, field in fields:
            label = QLabel(caption)
            label.setBuddy(field)
            field.setAccessibleName(caption.replace("&", ""))
            form.addRow(label, field)
        if self.signing is None:
            words = t("This is not an electronic signature. Name, reason and time (UTC) are kept with the selection.")
        else:
            words = t("Signed by {name}: an electronic signature, bound to the content of the selection.").format(name=self.signing.full_name)
        self.form = QWidget()
        box = QVBoxLayout(self.form)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(5)
        box.addLayout(form)
        box.addWidget(WrapLabel(t("The selected reader's readings count for this node at every visit, with that reader's own baseline. A selection is never changed.") + " " + words, tone="muted", small=True))
        right = QWidget()
        box = QVBoxLayout(right)
        box.setContentsMargins(8, 0, 0, 0)
        box.setSpacing(6)
        for part in (self.title, self.why):
            box.addWidget(part)
        box.addWidget(scroll, 1)
        box.addWidget(self.form)
        box.addWidget(self.said)
        split = QSplitter()
        split.setChildrenCollapsible(False)
        split.addWidget(self.waiting)
        split.addWidget(right)
        split.setStretchFactor(1, 1)
        split.setSizes([250, 880])
        buttons = QHBoxLayout()
        buttons.addWidget(self.missing, 1)
        buttons.addWidget(self.leave)
        buttons.addWidget(self.sign)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(12, 10, 12, 10)
        whole.setSpacing(8)
        whole.addWidget(split, 1)
        whole.addLayout(buttons)
        self._show_pair(-1)

    # ---- what waits ---------------------------------------------------------------------------
    def ask(self) -> None:
        """Fetch what waits."""
        self.session.ask_waiting_pairs(self._take, self._refused)

    def _take(self, pairs) -> None:
        if not isValid(self):
            return
        self.pairs = pairs
        self.waiting.blockSignals(True)
        self.waiting.clear()
        for pair in pairs:
            item = QListWidgetItem(pair_title(pair))
            item.setToolTip(why_asked(pair))
            item.setSizeHint(QSize(0, ROW_PX))
            self.waiting.addItem(item)
        self.waiting.setCurrentRow(0 if pairs else -1)
        self.waiting.blockSignals(False)
        self._show_pair(0 if pairs else -1)
        self.waiting.setFocus()

    def _refused(self, words: str) -> None:
        if isValid(self):
            self._writing = False
            self.said.show_text(t(words), "danger")
            self.check()

    # ---- one pair -----------------------------------------------------------------------------
    def _show_pair(self, row: int) -> None:
        self.pair = pair = self.pairs[row] if self.pairs and 0 <= row < len(self.pairs) else None
        for button in self.choices.buttons():
            self.choices.removeButton(button)
        while self.sides.count():
            widget = self.sides.takeAt(0).widget()
            widget.hide()
            widget.deleteLater()
        self.pictures = []
        self.reason.clear()
        self.password.clear()
        self.form.setEnabled(pair is not None)
        self.session.jobs.drop(OUTLINES_KEY)
        if pair is None:
            self.title.setText(t("Fetching…") if self.pairs is None else t("Nothing waits for an adjudicator."))
            self.why.show_text("")
            self.check()
            return
        self.title.setText(f"{pair_title(pair)} · {t(pair.modality)}, {t(pair.method)}")
        self.why.show_text(why_asked(pair))
        self._fill(pair)
        self.session.ask_pair_outlines(pair, lambda found, pair=pair: self._take_outlines(pair, found), lambda words, pair=pair: self._take_outlines(pair, None, words))
        self.check()

    def _fill(self, pair) -> None:
        for n, side in enumerate(pair.sides):
            choice = QRadioButton(t("&{number}: {reader}").format(number=n + 1, reader=t(side.code)))
            choice.setToolTip(t("Select {reader} (Alt+{number})").format(reader=t(side.code), number=n + 1))
            choice.setProperty("code", side.code)
            choice.setStyleSheet(f"QRadioButton {{ color: {node_colour(n + 1)}; font-weight: 600; }}")
            self.choices.addButton(choice)
            self.sides.addWidget(choice, 0, n + 1)
            picture = OutlinePicture(side.code, n + 1)
            picture.show_outlines(None, t("Fetching the outlines…"))
            self.pictures.append(picture)
            self.sides.addWidget(picture, 1, n + 1)
            self.sides.setColumnStretch(n + 1, 3)
        self.sides.setColumnStretch(0, 1)
        self.sides.setRowStretch(1, 1)
        for r, line in enumerate(comparison(pair), start=2):
            name = QLabel(line.name)
            name.setProperty("tone", "warning" if line.asked else "muted")
            self.sides.addWidget(name, r, 0)
            for n, text in enumerate(line.texts):
                value = WrapLabel(text, tone="warning" if line.asked else "")
                value.setAccessibleName(f"{t(pair.sides[n].code)}, {line.name}: {text}")
                self.sides.addWidget(value, r, n + 1)

    def _take_outlines(self, pair, found, words: str = "") -> None:
        if not isValid(self) or pair is not self.pair:
            return
        for picture in self.pictures:
            if found is None:
                picture.show_outlines(None, t(words) if words else t("There are no outlines on one volume with axial slices; the figures stand alone."))
            else:
                where = t("slice {k} of {n}").format(k=found.slice_index + 1, n=found.slice_count)
                own = picture.code in found.outlines
                picture.show_outlines(found, where + ("" if own else " · " + t("no outline by this reader")))

    # ---- selecting ----------------------------------------------------------------------------
    @property
    def chosen_code(self) -> str:
        """Code of the reader that is selected on screen; empty where none is."""
        button = self.choices.checkedButton()
        return "" if button is None else str(button.property("code"))

    def problem(self) -> str:
        """What is still missing; empty when complete."""
        if self.pair is None:
            return ""
        if not self.chosen_code:
            return t("Select one of the readers.")
        if len(self.reason.text().strip()) < LEAST_REASON:
            return t("State the reason.")
        if self.signing is None and len(self.name.text().strip()) < 2:
            return t("Type your name.")
        if self.signing is not None and not self.password.text():
            return t("Give your password again to sign.")
        return ""

    def check(self) -> None:
        """Show what is missing and enable the button once nothing is."""
        words = self.problem()
        self.missing.setText(words)
        self.sign.setEnabled(self.pair is not None and not words and not self._writing)

    def select(self) -> None:
        """Keep the selection."""
        if self.pair is None or self.problem() or self._writing:
            return
        pair, code = self.pair, self.chosen_code
        self._writing = True
        self.check()
        self.said.show_text(t("Keeping the selection…"), "muted")
        signing = {"name": self.name.text().strip()} if self.signing is None else {"password": self.password.text(), "meaning": self.meaning.currentData()}
        self.password.clear()
        self.session.select_reader(pair, code, self.reason.text().strip(), lambda _made: self._kept(pair, code), self._refused, **signing)

    def _kept(self, pair, code: str) -> None:
        if not isValid(self):
            return
        self._writing = False
        self.said.show_text(t("{reader} counts for {pair} from now on.").format(reader=t(code), pair=pair_title(pair)), "good")
        self.ask()

    # ---- leaving ------------------------------------------------------------------------------
    def _still_allowed(self) -> None:
        signing = None if self.session.study is None else self.session.signing()
        if self.session.study is None or self.session.why_no_adjudication() or (signing and signing.user_id) != (self.signing and self.signing.user_id):
            self.close()

    def done(self, result: int) -> None:
        """Closed: nothing is fetched any more; a selection that is being kept is kept."""
        self.password.clear()
        self.session.jobs.drop(PAIRS_KEY, OUTLINES_KEY)
        super().done(result)
