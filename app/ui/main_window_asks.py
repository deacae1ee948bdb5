"""What the window's menus and keys do: questions for a folder or a file, and what concerns several panes at once."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFileDialog

from app.ui.text import t


class WindowAsks:
    """Mixed into ``MainWindow``; every question is a dialog that never blocks the window."""

    def _remember(self, dialog) -> None:
        """Keep a dialog alive while it is open; it never blocks the window."""
        self._dialogs.append(dialog)
        dialog.destroyed.connect(lambda *_: self._dialogs.remove(dialog) if dialog in self._dialogs else None)

    def _ask_folder(self, title: str, then) -> QFileDialog:
        dialog = QFileDialog(self, title)
        dialog.setFileMode(QFileDialog.FileMode.Directory)
        dialog.setOption(QFileDialog.Option.ShowDirsOnly, True)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.fileSelected.connect(then)
        self._remember(dialog)
        dialog.open()
        return dialog

    def ask_new_study(self) -> None:
        """Choose an empty folder for a new study."""
        self._ask_folder(t("Empty folder for the new study"), self.session.create_study)

    def ask_open_study(self) -> None:
        """Choose a study folder."""
        self._ask_folder(t("Study folder"), self.session.open_study)

    def ask_open_folder(self) -> None:
        """Choose a folder, archive, medium or file to look at."""
        from app.ui.dialogs.look_at import LookDialog

        dialog = LookDialog(self)
        dialog.chosen.connect(self.session.open_folder)
        self._remember(dialog)
        dialog.open()

    def ask_series(self, found) -> None:
        """Choose one of several series that were found."""
        from app.ui.dialogs.look_at import SeriesDialog

        dialog = SeriesDialog(found, self)
        dialog.chosen.connect(self.session.open_found)
        self._remember(dialog)
        dialog.open()

    def ask_import(self) -> None:
        """Ask for folder, pseudonym and visit."""
        from app.ui.dialogs.import_images import ImportDialog
        from app.ui.dialogs.review_pictures import import_after_looking

        dialog = ImportDialog(self.session.subject_id, [v.name for v in self.session.visits], self)
        dialog.chosen.connect(lambda *where: import_after_looking(self.session, self, *where))
        self._remember(dialog)
        dialog.open()

    def ask_export_csv(self) -> None:
        """Choose the folder for the tables."""
        self._ask_folder(t("Folder for the exported tables"), lambda folder: self.session.export("csv", folder))

    def ask_export_dicom(self) -> None:
        """Choose the folder for structured reports and segmentations."""
        self._ask_folder(t("Folder for the DICOM files"), lambda folder: self.session.export("dicom-sr", folder))

    def ask_export_pdf(self) -> None:
        """Choose the file of the report."""
        dialog = QFileDialog(self, t("Report"))
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setNameFilter("PDF (*.pdf)")
        dialog.setDefaultSuffix("pdf")
        dialog.selectFile(f"{self.session.subject_id or 'report'}.pdf")
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.fileSelected.connect(lambda path: self.session.export("pdf", path))
        self._remember(dialog)
        dialog.open()

    def remove_last_needle(self) -> None:
        """Take the last needle out of the plan; one undo step."""
        needle = self.session.plan.needles[-1]
        self.session.set_plan(self.session.plan.without_needle(needle.id), t("Remove needle {name}").format(name=needle.id))

    def escape(self) -> None:
        """Leave the view in place of the pictures, else put the tool away."""
        if not self.pages.back():
            self.toolbox.escape()

    def step_slice(self, steps: int) -> None:
        """Slice or frame of the active pane; the 3D view has none, so the axial one goes."""
        pane = self.panes.active_pane()
        (pane if hasattr(pane, "scroll") else self.panes.panes["axial"]).scroll(steps)

    def zoom_to_node(self) -> None:
        """The current node large in every plane, with room for the needles around it."""
        measured = self.session.nodes[self.session.current_node_id].measurement
        if measured is not None and measured.centroid_mm is not None:
            self.panes.zoom_to(measured.centroid_mm, max(35.0, 2.0 * (measured.max_3d_diameter_mm or 0.0)))

    def toggle_linear(self) -> None:
        """Blend between voxels or show them as they are, in every pane."""
        on = not self.panes.slice_panes[0].linear
        for pane in self.panes.slice_panes:
            pane.set_linear(on)

    def enlarge_active(self) -> None:
        """The active pane large, and back."""
        active = self.panes.active_pane()
        self.panes.toggle_large_pane(active)

    def show_keys(self) -> None:
        """The list of keys, beside the work."""
        from app.ui.dialogs.keys import KeysDialog

        dialog = KeysDialog(self.actions_list, self)
        self._remember(dialog)
        dialog.show()

    def show_about(self) -> None:
        """What this program is."""
        from app.ui.dialogs.about import AboutDialog

        dialog = AboutDialog(self)
        self._remember(dialog)
        dialog.show()
