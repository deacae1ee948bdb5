"""Receive from a scanner: how this computer listens, what has come, and into which visit it goes."""

from __future__ import annotations

import datetime as dt

from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QAbstractItemView,
    QCheckBox,
    QDialog,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QPushButton,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)
from shiboken6 import isValid

from app.ui.dialogs.base import Question
from app.ui.dialogs.pacs_door import DoorFields
from app.ui.dialogs.pacs_target import TargetFields
from app.ui.dialogs.review_pictures import look_first
from app.ui.models.pacs import person
from app.ui.text import t
from app.ui.widgets.labels import WrapLabel
from app.ui.widgets.palette import MUTED, PANEL_STYLE
from app.usecases.pacs_receive import QUIET_S, ReceivedStudy, load_receiver
from volumetry.errors import NodusError

STUDY = Qt.ItemDataRole.UserRole
COLUMNS = ("Patient", "Study date", "Modality", "Series", "Pictures", "Came last", "State")
WIDTHS = (0, 100, 90, 64, 74, 130, 120)  # 0 takes the rest
STYLE = f"QTreeView::item {{ padding: 4px 0; }} QCheckBox::indicator:unchecked {{ width: 12px; height: 12px; border: 1px solid {MUTED}; border-radius: 2px; }}"


class PacsReceiveDialog(QDialog):
    """Stays beside the window. Closing it closes no door: the receiver is the session's, and says so."""

    def __init__(self, session, parent: QWidget | None = None):
        super().__init__(parent)
        self.session, self.receiving = session, session.receiving
        self._gone = False
        self.setWindowTitle(t("Receive from a scanner"))
        self.setStyleSheet(PANEL_STYLE + STYLE)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.resize(900, 620)
        self.setMinimumSize(760, 520)
        self.door = DoorFields(self.receiving.receiver or load_receiver())
        self.door.changed.connect(self._check)
        self.listen_button = self._button(t("&Start receiving"), self._start_or_stop)
        self.listen_button.setProperty("primary", True)
        self.state = WrapLabel()
        line = QHBoxLayout()
        line.addWidget(self.state, 1)
        line.addWidget(self.listen_button, 0, Qt.AlignmentFlag.AlignTop)
        self.names = QCheckBox(t("Show &names"))
        self.names.setToolTip(t("Whole names and IDs, as long as this is ticked"))
        self.names.toggled.connect(self._show_patients)
        over = QHBoxLayout()
        over.addWidget(QLabel(t("What has come and is in no study yet")), 1)
        over.addWidget(self.names)
        self.table = self._table()
        box = QVBoxLayout(self)
        box.setContentsMargins(16, 14, 16, 14)
        box.setSpacing(10)
        box.addWidget(self.door)
        self.trouble = WrapLabel(tone="warning", small=True)
        box.addLayout(line)
        box.addWidget(self.trouble)
        box.addLayout(over)
        box.addWidget(self.table, 1)
        box.addLayout(self._under())
        self.finished.connect(self._leave)
        self.receiving.changed.connect(self._look_again)
        self._look_again()

    # ---- parts -----------------------------------------------------------------------
    def _table(self) -> QTreeWidget:
        table = QTreeWidget()
        table.setAccessibleName(t("What has come"))
        table.setHeaderLabels([t(c) for c in COLUMNS])
        table.setRootIsDecorated(False)
        table.setAlternatingRowColors(True)
        table.setUniformRowHeights(True)
        table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        table.header().setStretchLastSection(False)
        for n, width in enumerate(WIDTHS):
            table.header().setSectionResizeMode(n, QHeaderView.ResizeMode.Interactive if width else QHeaderView.ResizeMode.Stretch)
            if width:
                table.setColumnWidth(n, width)
        table.itemSelectionChanged.connect(self._check)
        return table

    def _under(self) -> QVBoxLayout:
        self.target = TargetFields(self.session)
        self.target.changed.connect(self._check)
        self.import_button = self._button(t("&Import"), self._import)
        self.import_button.setProperty("primary", True)
        self.remove_button = self._button(t("Remo&ve…"), self._ask_remove, t("Forget what is selected; its sender may not have it any more"))
        row = QHBoxLayout()
        row.setSpacing(8)
        row.addWidget(self.target)
        row.addStretch(1)
        row.addWidget(self.remove_button)
        row.addWidget(self._button(t("Close"), self.reject))
        row.addWidget(self.import_button)
        self.why_not = WrapLabel(tone="muted", small=True)
        under = QVBoxLayout()
        under.setSpacing(6)
        under.addLayout(row)
        under.addWidget(self.why_not)
        return under

    def _button(self, text: str, work, tip: str = "") -> QPushButton:
        button = QPushButton(text)
        button.setAutoDefault(False)
        button.setToolTip(tip)
        button.clicked.connect(lambda _checked=False: work())
        return button

    # ---- listening -------------------------------------------------------------------
    def _start_or_stop(self) -> None:
        self.listen_button.setEnabled(False)
        if self.receiving.is_on:
            self.receiving.stop()
            return
        self.state.show_text(t("Opening …"), "muted")
        self.receiving.start(self.door.receiver(), lambda: None, self._unless_gone(self._refused))

    def _show_state(self) -> None:
        receiving, how = self.receiving, self.receiving.receiver
        self.door.setVisible(not receiving.is_on)
        self.listen_button.setText(t("&Stop receiving") if receiving.is_on else t("&Start receiving"))
        self.trouble.setVisible(receiving.is_on)
        if how is None:
            problem = self.door.problem()
            self.listen_button.setEnabled(not problem)
            self.state.show_text(problem or t("Not receiving."), "muted")
            return
        self.listen_button.setEnabled(True)
        came = receiving.received
        text = t("Receiving as {title} at {host}, port {port}, from {allow}.").format(title=how.ae_title, host=how.host, port=how.port, allow=", ".join(how.allow))
        text += " " + t("Pictures that have come: {n}.").format(n=came.kept)
        self.state.show_text(text, "good")
        words = []
        if receiving.is_open_to_network and not how.certificate_file:
            words.append(t("Other computers can reach this port, and what they send is not encrypted."))
        if came.refused:
            words.append(t("Pictures refused (the sender was told): {n}.").format(n=came.refused))
        if came.rejected_callers:
            words.append(t("Callers turned away, because they are not on the list or called another AE title: {n}.").format(n=came.rejected_callers))
        self.trouble.show_text(" ".join(words))

    # ---- what has come ---------------------------------------------------------------
    def _look_again(self) -> None:
        self._show_state()
        self.session.list_received(self._unless_gone(self._show), self._unless_gone(self._refused))

    def _show(self, studies: list[ReceivedStudy]) -> None:
        kept = self.chosen()
        self.table.clear()
        for study in studies:
            came = dt.datetime.fromtimestamp(study.newest_s)
            when = f"{came:%H:%M:%S}" if came.date() == dt.date.today() else f"{came:%Y-%m-%d %H:%M}"
            state = t("still arriving") if study.is_arriving else (t("several patients") if len(study.patients) > 1 else (t("no pictures") if not study.pictures else t("ready")))
            row = QTreeWidgetItem(["", study.study_date or "", " ".join(study.modalities), str(study.series), str(study.pictures), when, state])
            for n in (3, 4):
                row.setTextAlignment(n, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            row.setData(0, STUDY, study)
            self.table.addTopLevelItem(row)
            row.setSelected(kept is not None and kept.study_uid == study.study_uid)
        self._show_patients()
        if any(s.is_arriving for s in studies):  # after a while they are ready, and nothing is heard of that
            self.receiving.look_later(round(1000 * QUIET_S / 4))

    def _show_patients(self, *_toggled) -> None:
        for n in range(self.table.topLevelItemCount()):
            row = self.table.topLevelItem(n)
            study = row.data(0, STUDY)
            whole = "; ".join(f"{person(name) or t('no name')} ({patient_id or t('no ID')})" for patient_id, name in study.patients)
            row.setText(0, whole if self.names.isChecked() else study.masked)
        self._check()

    def chosen(self) -> ReceivedStudy | None:
        """The study that is selected."""
        rows = self.table.selectedItems()
        return rows[0].data(0, STUDY) if rows else None

    def problem(self) -> str:
        """What keeps the selection from being imported; empty when nothing does."""
        study = self.chosen()
        if self.session.study is None:
            return t("Open or make a study first; pictures are imported into it.")
        if study is None:
            return t("Choose what is to be imported.") if self.table.topLevelItemCount() else t("Nothing has come yet.")
        if study.is_arriving:
            return t("More pictures of this study may still come. Wait until its sender has finished.")
        if len(study.patients) > 1:
            return t("The sender put several patients into this study. Have it sent again, and remove this one.")
        if not study.pictures:
            return t("It holds no pictures, so there is nothing to import.")
        return self.target.problem()

    def _check(self, *_changed) -> None:
        if not self.receiving.is_on:
            self._show_state()
        problem = self.problem()
        self.import_button.setEnabled(not problem)
        self.remove_button.setEnabled(self.chosen() is not None)
        study = self.chosen()
        if problem:
            self.why_not.show_text(problem, "muted")
        else:
            words = t("{n} pictures of {who} into {subject}, {visit}. The study keeps a copy without identifying header values.")
            self.why_not.show_text(words.format(n=study.pictures, who=self.table.selectedItems()[0].text(0), subject=self.target.subject_id, visit=self.target.visit_name), "")

    # ---- into the study, or away -----------------------------------------------------
    def _import(self) -> None:
        """Show what may name somebody, then import."""
        study = self.chosen()
        if self.problem() or study is None:
            return
        where = (self.target.subject_id, self.target.visit_name)
        window = self.parentWidget() or self
        self.import_button.setEnabled(False)
        look_first(self.session, window, study.folder, lambda confirmed: self.session.import_received(study, *where, confirmed, self._unless_gone(self._imported, self._tell), self._unless_gone(self._refused, self.session._on_refused)))

    def _imported(self, result) -> None:
        if result.skipped:
            self.state.show_text(t("{n} files were left out and still wait here; the first: {why}").format(n=len(result.skipped), why=t(result.skipped[0].message)), "warning")
            self.session.list_received(self._unless_gone(self._show), self._unless_gone(self._refused))
        else:
            self._look_again()

    def _tell(self, _result) -> None:
        """Imported after the dialog was closed: the window shows it."""

    def _ask_remove(self) -> None:
        study = self.chosen()
        if study is None:
            return
        ask = Question(t("Remove what was received"), t("{n} files of {who} are deleted. Their sender may not have them any more.").format(n=study.pictures + study.others, who=study.masked), t("Remove"), self)
        ask.accept_button.setProperty("primary", False)
        ask.accept_button.style().polish(ask.accept_button)
        ask.accept_button.setDefault(False)
        ask.cancel_button.setDefault(True)
        ask.cancel_button.setFocus()
        ask.accepted.connect(lambda: self.session.remove_received(study, self._unless_gone(lambda *_none: self._look_again()), self._unless_gone(self._refused)))
        ask.open()

    # ---- end -------------------------------------------------------------------------
    def _refused(self, refusal: NodusError) -> None:
        self._show_state()
        self.state.show_text(refusal.message + (f" {refusal.hint}" if refusal.hint else ""), "danger")
        self.import_button.setEnabled(not self.problem())

    def _unless_gone(self, work, or_else=None):
        """``work``, unless the dialog was closed meanwhile; then ``or_else``."""

        def call(*value) -> None:
            if not self._gone and isValid(self):
                work(*value)
            elif or_else is not None:
                or_else(*value)

        return call

    def _leave(self, *_how) -> None:
        self._gone = True
        self.receiving.changed.disconnect(self._look_again)
        how = self.receiving.receiver
        if how is not None:
            self.session.notice.emit("info", t("Still receiving as {title} at port {port}. Study ▾ → Receive from a scanner… shows it and stops it.").format(title=how.ae_title, port=how.port))
