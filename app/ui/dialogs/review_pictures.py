"""Before an import: what will be masked on each ultrasound picture, and which pictures somebody must confirm."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path, PurePosixPath

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QAbstractItemView, QHBoxLayout, QHeaderView, QPushButton, QSlider, QTreeWidget, QTreeWidgetItem, QVBoxLayout, QWidget

from app.ui.dialogs.base import Question
from app.ui.session import Session
from app.ui.text import t
from app.ui.widgets.labels import WrapLabel
from app.ui.widgets.mask_preview import MaskPreview
from app.ui.widgets.palette import MUTED
from app.usecases.review_pictures import PictureReview, preview, review_pictures
from dicom_io.deidentify import Confirmed

LIST_WIDTH_PX = 400
PICTURE, NOTICED = 0, 1
# The sentences of ``dicom_io.deidentify.review``, short, for the list.
SHORT = {
    "no_regions": "no region known",
    "regions_do_not_fit": "regions do not fit",
    "regions_clipped": "cropped",
    "region_is_whole_picture": "nothing is masked",
    "text_in_picture": "looks like writing",
    "burned_in_stated": "writing stated",
    "burned_in_not_stated": "",
}


def noticed(picture: PictureReview) -> str:
    """Why to look, in a few words; the reasons that hold it first."""
    reasons = sorted(picture.found.reasons, key=lambda r: not r.holds)
    return ", ".join(dict.fromkeys(t(SHORT[r.code]) for r in reasons if SHORT.get(r.code)))


class ReviewDialog(Question):
    """Emits ``chosen(confirmed)``: the pictures that were ticked or cut to a part, by file; None for those whose tick was
    taken away."""

    chosen = Signal(object)

    def __init__(self, session: Session, pictures: tuple[PictureReview, ...], parent: QWidget | None = None):
        held = sum(p.found.holds for p in pictures)
        heading = t("{n} of {all} pictures may show a name. Tick those that do not; the others are left out.").format(n=held, all=len(pictures))
        super().__init__(t("Look before the import"), heading if held else t("The hatched part of these pictures is made black."), t("Import"), parent)
        self.session, self.pictures = session, pictures
        self.drawn: dict[str, Confirmed] = {}
        self.list = self._make_list()
        self.preview = MaskPreview()
        self.why = WrapLabel(tone="muted", small=True)
        self.why.setMinimumHeight(46)
        self.frame = QSlider(Qt.Orientation.Horizontal)
        self.frame.setAccessibleName(t("Frame"))
        self.frame.setToolTip(t("Frame of the loop"))
        self.also = QPushButton(t("&Keep another part"))
        self.also.setCheckable(True)
        self.also.setAutoDefault(False)
        self.also.setToolTip(t("The next rectangle is kept as well (or hold Shift): for example the ticks of a drawn scale"))
        self.reset = QPushButton(t("&As found"))
        self.reset.setAutoDefault(False)
        self.reset.setToolTip(t("Forget the rectangles that were drawn"))
        under = QHBoxLayout()
        under.addWidget(self.frame, 1)
        under.addWidget(self.also)
        under.addWidget(self.reset)
        right = QVBoxLayout()
        right.setSpacing(6)
        right.addWidget(self.preview, 1)
        right.addLayout(under)
        right.addWidget(self.why)
        both = QHBoxLayout()
        both.setSpacing(12)
        both.addWidget(self.list)
        both.addLayout(right, 1)
        self.form.addRow(both)
        self.form.addRow(WrapLabel(t("Hatched: made black. Red: looks like writing. Drag a rectangle to keep only what lies in it. Take the tick away to leave a picture out."), tone="muted", small=True))
        self.list.currentItemChanged.connect(lambda *_: self._show())
        self.list.itemChanged.connect(self.check)
        self.frame.valueChanged.connect(lambda *_: self._fetch())
        self.reset.clicked.connect(self._forget)
        self.preview.kept.connect(self._keep)
        self.preview.kept_also.connect(self._keep_also)
        self.also.toggled.connect(lambda on: setattr(self.preview, "adding", on))
        self.accepted.connect(lambda: self.chosen.emit(self.confirmed()))
        self.list.setCurrentItem(self.list.topLevelItem(0))
        self.check()

    def _make_list(self) -> QTreeWidget:
        found = QTreeWidget()
        found.setStyleSheet(f"QTreeView::item {{ padding: 4px 0; }} QTreeView::indicator:unchecked {{ width: 12px; height: 12px; border: 1px solid {MUTED}; border-radius: 2px; }}")
        found.setRootIsDecorated(False)
        found.setUniformRowHeights(True)
        found.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        found.setHeaderLabels([t("Picture"), t("Noticed")])
        found.setMinimumWidth(LIST_WIDTH_PX)
        found.setAccessibleName(t("Pictures"))
        for picture in self.pictures:
            name = PurePosixPath(picture.file).name
            row = QTreeWidgetItem([name + ("  " + t("{n} frames").format(n=picture.frames) if picture.frames > 1 else ""), noticed(picture)])
            row.setToolTip(PICTURE, picture.file)
            row.setToolTip(NOTICED, "\n".join(t(r.message) for r in picture.found.reasons))
            row.setFlags(Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable | Qt.ItemFlag.ItemIsUserCheckable)
            row.setCheckState(PICTURE, Qt.CheckState.Unchecked if picture.found.holds else Qt.CheckState.Checked)
            found.addTopLevelItem(row)
        found.header().setSectionResizeMode(PICTURE, QHeaderView.ResizeMode.Stretch)
        found.header().setSectionResizeMode(NOTICED, QHeaderView.ResizeMode.ResizeToContents)
        found.header().setStretchLastSection(False)
        return found

    # ---- what is chosen -------------------------------------------------------------------------
    def confirmed(self) -> dict[str, Confirmed | None]:
        """Held pictures that were ticked, and pictures cut to drawn parts, by file; None for others without their tick."""
        found: dict[str, Confirmed | None] = {}
        for n, picture in enumerate(self.pictures):
            if self.list.topLevelItem(n).checkState(PICTURE) == Qt.CheckState.Checked:
                if picture.found.holds or picture.file in self.drawn:
                    found[picture.file] = self.drawn.get(picture.file, Confirmed())
            elif not picture.found.holds:
                found[picture.file] = None
        return found

    def left_out(self) -> int:
        """How many pictures stay behind."""
        return sum(self.list.topLevelItem(n).checkState(PICTURE) != Qt.CheckState.Checked for n in range(len(self.pictures)))

    def check(self, *_changed) -> None:
        """Say how many are left out; that is never a reason not to go on."""
        super().check()
        n = self.left_out()
        self.missing.show_text(t("{n} pictures are left out.").format(n=n) if n else "")

    # ---- what is shown --------------------------------------------------------------------------
    def current(self) -> PictureReview:
        """The picture of the selected row."""
        return self.pictures[max(self.list.indexOfTopLevelItem(self.list.currentItem()), 0)]

    def _show(self) -> None:
        picture = self.current()
        marks = next((r for r in picture.found.reasons if r.boxes), None)
        self.frame.blockSignals(True)
        self.frame.setRange(0, max(picture.frames - 1, 0))
        self.frame.setValue(0 if marks is None or marks.frame is None else marks.frame)
        self.frame.blockSignals(False)
        self.frame.setEnabled(picture.frames > 1)
        self._show_boxes()
        self._fetch()

    def _show_boxes(self) -> None:
        picture = self.current()
        drawn = self.drawn.get(picture.file)
        kept = (drawn or Confirmed()).kept(picture.found.boxes)
        whole = ((0, 0, picture.columns - 1, picture.rows - 1),)
        # A held picture without a known part goes in whole once it is ticked; nothing is hatched that would stay.
        self.preview.show_boxes(kept or whole, tuple(b for r in picture.found.reasons for b in r.boxes))
        self.reset.setEnabled(drawn is not None)
        words = [t(r.message) for r in sorted(picture.found.reasons, key=lambda r: not r.holds)]
        if picture.found.holds and not kept:
            words.append(t("Ticked as it is, the whole picture stays: draw the part to keep, and its scale."))
        self.why.show_text(" ".join(words))

    def _fetch(self) -> None:
        picture, frame = self.current(), self.frame.value()

        def shown(array) -> None:
            if self.current() is picture and self.frame.value() == frame:
                self.preview.show_picture(array)

        def refused(error) -> None:
            self.preview.show_message(t(error.message))

        self.session.jobs.start("Showing a picture", lambda _context: preview(picture, frame), key="review", quiet=True, on_done=shown, on_refused=refused)

    def _keep(self, box) -> None:
        """Only this part stays; who draws it has looked."""
        self._draw(Confirmed((tuple(box),)))

    def _keep_also(self, box) -> None:
        """This part stays as well."""
        earlier = self.drawn.get(self.current().file, Confirmed())
        self._draw(replace(earlier, also=(*earlier.also, tuple(box))))
        self.also.setChecked(False)

    def _draw(self, wanted: Confirmed) -> None:
        self.drawn[self.current().file] = wanted
        self.list.currentItem().setCheckState(PICTURE, Qt.CheckState.Checked)
        self._show_boxes()

    def _forget(self) -> None:
        picture = self.current()
        self.drawn.pop(picture.file, None)
        if picture.found.holds:
            self.list.currentItem().setCheckState(PICTURE, Qt.CheckState.Unchecked)
        self._show_boxes()

    def done(self, result: int) -> None:
        """Close; a preview still on its way is dropped."""
        self.session.jobs.drop("review")
        super().done(result)


def look_first(session: Session, parent: QWidget, path: str | Path, go_on: Callable[[dict[str, Confirmed | None]], object]) -> None:
    """Look for pictures under ``path`` that may show a name, show them, then call ``go_on`` with what was confirmed; at once
    where there is nothing to show. Nothing waits on the window; who cancels the dialog imports nothing."""

    def looked(pictures: tuple[PictureReview, ...]) -> None:
        if not pictures:
            go_on({})
            return
        dialog = ReviewDialog(session, pictures, parent)
        dialog.chosen.connect(go_on)
        dialog.open()

    session.jobs.start("Looking for names in the pictures", lambda context: review_pictures(Path(path), context), key="review-folder", on_done=looked)


def import_after_looking(session: Session, parent: QWidget, path: str, subject_id: str, visit_name: str, dates_shifted: bool = False) -> None:
    """Import a folder into the open study, after a person has seen what may show a name."""
    if session.study is None:
        session.import_images(path, subject_id, visit_name, None, dates_shifted)  # says what is missing
    else:
        look_first(session, parent, path, lambda confirmed: session.import_images(path, subject_id, visit_name, confirmed, dates_shifted))
