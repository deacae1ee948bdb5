"""What a person can read in a window: every text of every visible widget, with tips and names for screen readers."""

from __future__ import annotations

import re

from PySide6.QtCore import QAbstractListModel, Qt
from PySide6.QtWidgets import QAbstractButton, QAbstractItemView, QComboBox, QGroupBox, QHeaderView, QLabel, QLineEdit, QMenu, QWidget

# Words that stay as they are in every language: standards, formats, keys, units, names of the program's own world.
KEPT = frozenset(
    [
        "Nodus",
        "DICOM",
        "DICOMDIR",
        "PACS",
        "DIMSE",
        "DICOMweb",
        "QIDO",
        "WADO",
        "STOW",
        "FIND",
        "GET",
        "MOVE",
        "STORE",
        "CSV",
        "PDF",
        "SEG",
        "RTSTRUCT",
        "Encapsulated",
        "Secondary",
        "Capture",
        "Parametric",
        "Map",
        "ZIP",
        "NIfTI",
        "EDC",
        "TLS",
        "PEM",
        "ICC",
        "VRR",
        "Ctrl",
        "Shift",
        "Alt",
        "Esc",
        "Enter",
        "Delete",
        "Backspace",
        "Return",
        "PgUp",
        "PgDn",
        "Tab",
        "Space",
        "Del",
        "Ins",
        "Home",
        "End",
        "IRE",
        "RFA",
        "Arrhenius",
        "Dask",
        "tcp",
        "tls",
        "host",
        "cluster",
        "UTC", "III", "VII", "ECG", "IEEE", "TMI", "Trans", "Med", "Imaging", "nbsp",
        "LPS",
        "Bland",
        "Altman",
        "Shrout",
        "Fleiss",
        "mRECIST",
        "RECIST",
        "Apache",
        "Python",
        "NumPy",
        "VTK",
        "JPEG",
        "RLE",
        "nii",
        "nrrd",
        "nhdr",
        "mha",
        "mhd",
        "dcm",
        "HTTP",
        "SHA",
        "SOPInstanceUID",
        "English",
        "YYYY",
        "deg",
        "min",
    ]
)
WORD = re.compile(r"[A-Za-z]{3,}")


def texts_of(root: QWidget) -> list[tuple[str, str]]:
    """(name of the widget, text) for all that is visible below ``root``, and the entries of its menus."""
    out: list[tuple[str, str]] = []
    for widget in (root, *root.findChildren(QWidget)):
        if not widget.isVisible():
            continue
        name = f"{type(widget).__name__} {widget.objectName()}".strip()
        said = [widget.toolTip(), widget.accessibleName(), widget.accessibleDescription(), widget.statusTip()]
        if widget.isWindow():
            said.append(widget.windowTitle())
        if isinstance(widget, QLabel | QAbstractButton):
            said.append(widget.text())
        if isinstance(widget, QLineEdit):
            said.append(widget.placeholderText())
        if isinstance(widget, QGroupBox):
            said.append(widget.title())
        if isinstance(widget, QComboBox):
            said += [widget.itemText(n) for n in range(widget.count())] + [widget.placeholderText()]
        if isinstance(widget, QHeaderView):
            continue
        if isinstance(widget, QAbstractItemView) and widget.model() is not None:
            model = widget.model()
            columns = range(1 if isinstance(model, QAbstractListModel) else model.columnCount())
            said += [
                model.headerData(c, Qt.Orientation.Horizontal, role) for c in columns for role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.ToolTipRole)
            ]
            roles = (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.ToolTipRole, Qt.ItemDataRole.AccessibleTextRole)
            said += [model.index(r, c).data(role) for r in range(model.rowCount()) for c in columns for role in roles]
        out += [(name, text) for text in said if isinstance(text, str) and text]
    for menu in root.findChildren(QMenu):
        out += [(f"menu {action.objectName()}", text) for action in menu.actions() for text in (action.text(), action.toolTip()) if text]
    return out


def english_in(text: str, data: tuple[str, ...] = ()) -> list[str]:
    """Words of English that are left in a text, once ``data`` (names of visits, series, files) and what every language
    keeps are taken away."""
    for name in sorted(filter(None, data), key=len, reverse=True):
        text = text.replace(name, " ")
    text = re.sub(r"<[^>]+>|&nbsp;|\[[a-z_]+\]|\S*[/\\]\S*", " ", text)  # marks of rich text, codes, places
    return [word for word in WORD.findall(text) if word not in KEPT]
