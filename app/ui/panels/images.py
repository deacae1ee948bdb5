"""Step 1: open pictures, and know what they are worth."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QDialog, QFileDialog, QGridLayout, QPushButton, QSizePolicy, QWidget

from app.ui.dialogs.import_images import ImportDialog
from app.ui.dialogs.look_at import LookDialog
from app.ui.dialogs.review_pictures import import_after_looking
from app.ui.session import Session
from app.ui.text import t
from app.ui.widgets.figure_table import FigureTable
from app.ui.widgets.figures import Figure
from app.ui.widgets.findings import FindingsList
from app.ui.widgets.labels import WrapLabel
from app.ui.widgets.sections import Section, StepPanel
from volumetry.image import Cine


def series_figures(session: Session) -> list[Figure]:
    """What the pictures on screen are, as named values."""
    out: list[Figure] = []
    if session.image is not None:
        image = session.image
        nk, nj, ni = image.geometry.shape
        if image.source.description:
            out.append(Figure(t("Series"), image.source.description))
        out += [
            Figure(t("Modality"), image.source.modality, reason=t("The header does not name it.")),
            Figure(t("Columns × rows × slices"), f"{ni} × {nj} × {nk}"),
            Figure(t("Spacing"), image.geometry.spacing_mm, "mm", 2, source=t("From the positions of the slices, never from the slice thickness.")),
            Figure(t("Voxel"), image.geometry.voxel_size_mm3, "mm³", 3, source=t("Determinant of the grid, right for tilted stacks too.")),
            Figure(t("Values in"), image.unit, source=t("What a voxel holds.")),
        ]
        if image.source.acquired_on:
            out.append(Figure(t("Acquired"), image.source.acquired_on, source=t("Kept in the study only.")))
    if session.picture is not None:
        cine = session.picture
        rows, columns = cine.shape
        out += [
            Figure(t("Ultrasound"), t("still") if cine.is_still else t("cine, {n} frames").format(n=cine.frame_count)),
            Figure(t("Columns × rows"), f"{columns} × {rows}"),
            _scale(cine, session.frame_index),
        ]
        if not cine.is_still:
            out.append(_duration(cine))
    return out


def _scale(cine: Cine, frame: int) -> Figure:
    """Millimetres a pixel where the header supports lengths."""
    calibration = cine.calibration_at(frame)
    name = t("Pixel")
    if calibration.manual_mm_per_pixel is not None:
        return Figure(name, calibration.manual_mm_per_pixel, "mm", 4, source=t("Set by the reader against a drawn scale."))
    if calibration.refusal is not None:
        return Figure(name, None, reason=calibration.refusal[1])
    lengths = [r for r in calibration.regions if r.is_length]
    if not lengths:
        return Figure(name, None, reason=t("The header gives no scale: lengths stay in pixels."))
    scales = {tuple(round(v, 6) for v in r.mm_per_pixel) for r in lengths}
    if len(scales) > 1:
        return Figure(name, t("{n} scales").format(n=len(scales)), source=t("Regions of the picture differ in scale; a line takes that of its region."))
    return Figure(name, lengths[0].mm_per_pixel, "mm", 3, source=t("From the picture's ultrasound regions."))


def _duration(cine: Cine) -> Figure:
    """Length of a cine in seconds of true time."""
    times = cine.frame_times_ms
    if times is None:
        return Figure(t("Duration"), None, reason=t("The file gives no frame times."))
    return Figure(t("Duration"), float(times[-1] - times[0]) / 1000.0, "s", 2, source=t("From the frame times in the file."))


class ImagesPanel(StepPanel):
    """Open, import, what is open, what was noticed about it."""

    def __init__(self, session: Session, parent: QWidget | None = None):
        super().__init__(session, "images", parent)
        self.dialog: QDialog | None = None
        self.open_demo = self._button(t("Open demonstration"), t("A synthetic subject with five visits"), session_call=lambda: session.open_demo())
        self.open_study = self._button(t("Open study…"), t("Open a study folder"), session_call=lambda: self._pick_folder(t("Open study"), session.open_study))
        self.import_images = self._button(t("Import…"), t("Copy images into the study, without identifying header values"), session_call=self.ask_import)
        self.open_folder = self._button(t("Look at images…"), t("Look at a folder, ZIP archive, DICOMDIR or file; nothing is saved"), session_call=self.ask_look)
        grid = QGridLayout()
        grid.setSpacing(6)
        for n, button in enumerate((self.open_demo, self.open_study, self.import_images, self.open_folder)):
            grid.addWidget(button, n // 2, n % 2)
        opening = Section(t("Open"))
        opening.body.addLayout(grid)
        self.facts = FigureTable(t("Facts about the series"), max_rows=14)
        self.no_series = WrapLabel(t("No images are open."), tone="muted")
        shown = Section(t("On screen"))
        shown.body.addWidget(self.no_series)
        shown.body.addWidget(self.facts)
        self.findings = FindingsList(t("Findings"), t("Nothing to report on these images."))
        self.noticed = Section(t("Findings"))
        self.noticed.body.addWidget(self.findings)
        for section in (opening, shown, self.noticed):
            self.content.addWidget(section)
        self.content.addStretch(1)
        self.primary.clicked.connect(self._go_on)
        for signal in (session.study_changed, session.visit_changed, session.image_changed, session.picture_changed):
            signal.connect(self.refresh)
        session.findings_changed.connect(self.refresh_findings)
        self.refresh()

    def refresh(self) -> None:
        """Show what is open now."""
        session = self.session
        figures = series_figures(session)
        self.facts.show_figures(figures)
        self.facts.setVisible(bool(figures))
        self.no_series.setVisible(not figures)
        why = t("Open a study first: images are imported into it") if session.study is None else session.why_not("images")
        self.import_images.setEnabled(not why)
        self.import_images.setToolTip(why or t("Copy images into the study, without identifying header values"))
        if figures:
            self.set_primary(t("Measure nodes"), True, t("Go to step 2"))
        else:
            self.set_primary(t("Open demonstration"), True, t("A synthetic subject with five visits"))
        self.refresh_findings()
        self.show_needs()

    def refresh_findings(self) -> None:
        """Show the findings of what is open."""
        found = list(self.session.findings)
        self.findings.show_findings(found)
        self.noticed.set_title(t("Findings ({n})").format(n=len(self.findings.rows)) if found else t("Findings"))

    def ask_look(self) -> None:
        """Ask where the pictures lie; the dialog does not block the window."""
        self.dialog = LookDialog(self.window())
        self.dialog.chosen.connect(self.session.open_folder)
        self.dialog.open()

    def ask_import(self) -> None:
        """Ask for folder, pseudonym and visit; the dialog does not block the window."""
        session = self.session
        self.dialog = ImportDialog(session.subject_id, [v.name for v in session.visits], self.window())
        self.dialog.chosen.connect(lambda *where: import_after_looking(session, self.window(), *where))
        self.dialog.open()

    def _go_on(self) -> None:
        if self.session.image is None and self.session.picture is None:
            self.session.open_demo()
        else:
            self.session.set_step("measure")

    def _button(self, text: str, tip: str, session_call) -> QPushButton:
        button = QPushButton(text)
        button.setToolTip(tip)
        button.setAccessibleName(text)
        button.setAccessibleDescription(tip)
        button.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        button.clicked.connect(lambda _checked=False: session_call())
        return button

    def _pick_folder(self, title: str, then) -> None:
        chooser = QFileDialog(self.window(), title)
        chooser.setFileMode(QFileDialog.FileMode.Directory)
        chooser.setOption(QFileDialog.Option.ShowDirsOnly, True)
        chooser.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        chooser.fileSelected.connect(then)
        self.dialog = chooser
        chooser.open()
