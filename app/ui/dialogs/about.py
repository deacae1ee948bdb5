"""What this program is. It does not block the window."""

from __future__ import annotations

import platform

import numpy
import PySide6
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QDialog, QDialogButtonBox, QVBoxLayout, QWidget
from vtkmodules.vtkCommonCore import vtkVersion

from app import INVESTIGATIONAL_NOTICE, __version__
from app.ui.dialogs.base import WIDTH_PX
from app.ui.text import t
from app.ui.widgets.labels import WrapLabel
from app.ui.widgets.palette import PANEL_STYLE


class AboutDialog(QDialog):
    """Version, notice, licence and the libraries; show it with ``show()``."""

    def __init__(self, parent: QWidget | None = None):
        super().__init__(parent)
        self.setWindowTitle(t("About Nodus"))
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setModal(False)
        self.setStyleSheet(PANEL_STYLE)
        title = WrapLabel(f"Nodus {__version__}")
        title.setProperty("scale", "big")
        libraries = f"Python {platform.python_version()} · Qt {PySide6.__version__} · VTK {vtkVersion.GetVTKVersion()} · NumPy {numpy.__version__}"
        self.notice = WrapLabel(t(INVESTIGATIONAL_NOTICE), tone="warning")
        buttons = QDialogButtonBox()
        buttons.addButton(t("Close"), QDialogButtonBox.ButtonRole.RejectRole)
        buttons.rejected.connect(self.reject)
        box = QVBoxLayout(self)
        box.setContentsMargins(16, 14, 16, 14)
        box.setSpacing(8)
        box.addStrut(WIDTH_PX)
        box.setSizeConstraint(QVBoxLayout.SizeConstraint.SetFixedSize)
        box.addWidget(title)
        box.addWidget(WrapLabel(t("Ultrasound-guided ablation planning and lymph-node volumetry, from DICOM to EDC.")))
        box.addWidget(self.notice)
        box.addWidget(WrapLabel(t("Licence: Apache-2.0"), tone="muted", small=True))
        box.addWidget(WrapLabel(libraries, tone="muted", small=True))
        box.addWidget(buttons)
