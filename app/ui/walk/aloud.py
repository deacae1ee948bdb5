"""What a person can read in a window: every text of every visible widget, with tips and names for screen readers, and which
of it is English in a window that speaks another language."""

from __future__ import annotations

import re
from collections.abc import Iterable

import pyqtgraph as pg
from PySide6.QtCore import QAbstractListModel, Qt
from PySide6.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QAbstractSpinBox,
    QComboBox,
    QGroupBox,
    QHeaderView,
    QLabel,
    QLineEdit,
    QMenu,
    QPlainTextEdit,
    QProgressBar,
    QTabBar,
    QTableView,
    QTableWidget,
    QWidget,
)

from app.study.model import LEVELS, StudySnapshot
from app.ui.text import ENGLISH, language

# Words that stay as they are in every language: standards, formats, keys, units, names of the program's own world.
# fmt: off
KEPT = frozenset((
    "Nodus", "DICOM", "DICOMDIR", "PACS", "DIMSE", "DICOMweb", "QIDO", "WADO", "STOW", "FIND", "GET", "MOVE", "STORE", "CSV", "PDF", "SEG", "RTSTRUCT",
    "Encapsulated", "Secondary", "Capture", "Parametric", "Map", "ZIP", "NIfTI", "EDC", "TLS", "PEM", "ICC", "VRR", "Ctrl", "Shift", "Alt", "Esc", "Enter",
    "Delete", "Backspace", "Return", "PgUp", "PgDn", "Tab", "Space", "Del", "Ins", "Home", "End", "IRE", "RFA", "Arrhenius", "Dask", "tcp", "tls", "host",
    "cluster", "UTC", "III", "VII", "ECG", "IEEE", "TMI", "Trans", "Med", "Imaging", "nbsp", "LPS", "Bland", "Altman", "Shrout", "Fleiss", "mRECIST",
    "RECIST", "Apache", "Python", "NumPy", "VTK", "JPEG", "RLE", "nii", "nrrd", "nhdr", "mha", "mhd", "dcm", "HTTP", "SHA", "SOPInstanceUID", "English",
    "YYYY", "deg", "min", "REDCap", "CDISC", "ODM", "SDTM", "XPT", "SAS", "henriques", "PNG", "JSON", "Dataset", "Define", "XML", "Kaplan", "Meier", "Wilson", "NRS", "PFS", "CEUS", "SQLite", "PostgreSQL", "DD", "TTP", "MTT", "AUC", "WiR", "WoR", "WiAUC", "WoAUC",
))
# fmt: on
# Property of a widget whose cells or entries are records as they lie in the study or in a file: codes, names, dates. Its
# headings are still read.
RECORDS = "holdsRecords"
WORD = re.compile(r"[A-Za-z]{3,}")
# Keys, identities and hashes, names of files, settings of a protocol.
_NO_WORDS = re.compile(
    r"\b(?:Alt|Ctrl|Shift)\+\w+|\bC-[0-9A-F]{8}\b|\b[A-Z]{1,2}-[0-9a-f]{6,}\S*|\b[0-9a-f]{16,}\b|\b[0-9a-f]{8}\b|\b[a-z]+\.[a-z]+_[a-z_]+\b|\b\w+\.(?:csv|xml|json|xpt|pdf|dcm|png)\b"
)
MOST_ROWS = 60  # of a table: those further down are made by the same code
_CELL_ROLES = (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.ToolTipRole, Qt.ItemDataRole.AccessibleTextRole)


def texts_of(root: QWidget) -> list[tuple[str, str]]:
    """(name of the widget, text) for all that is visible below ``root``, and the entries of its menus."""
    out: list[tuple[str, str]] = []
    for widget in (root, *root.findChildren(QWidget)):
        if widget.isVisible() and not isinstance(widget, QHeaderView):
            name = f"{type(widget).__name__} {widget.objectName()}".strip()
            out += [(name, text) for text in _said_by(widget) if isinstance(text, str) and text]
    for menu in root.findChildren(QMenu):
        out += [(f"menu {action.objectName()}", text) for action in menu.actions() for text in (action.text(), action.toolTip()) if text and action.isVisible()]
    return out


def _said_by(widget: QWidget) -> list:
    said: list = [widget.toolTip(), widget.accessibleName(), widget.accessibleDescription(), widget.statusTip()]
    records = bool(widget.property(RECORDS)) or isinstance(widget, QTableWidget)  # a preview of a file
    if widget.isWindow():
        said.append(widget.windowTitle())
    if isinstance(widget, QLabel | QAbstractButton) and not records:
        said.append(widget.text())
    if isinstance(widget, QLineEdit | QPlainTextEdit):
        said.append(widget.placeholderText())
    if isinstance(widget, QGroupBox):
        said.append(widget.title())
    if isinstance(widget, QAbstractSpinBox):
        said.append(widget.text())
    if isinstance(widget, QProgressBar):
        said.append(widget.format())
    if isinstance(widget, QTabBar):
        said += [text for n in range(widget.count()) for text in (widget.tabText(n), widget.tabToolTip(n))]
    if isinstance(widget, QComboBox):
        said += [widget.placeholderText()] + [widget.itemText(n) for n in range(1 if records else widget.count())]
    if isinstance(widget, QAbstractItemView) and widget.model() is not None:
        said += _cells_of(widget, records)
    if isinstance(widget, pg.PlotWidget):
        said += [widget.getAxis(side).labelText for side in ("left", "bottom", "right", "top")] + [
            item.textItem.toPlainText() for item in widget.getPlotItem().items if isinstance(item, pg.TextItem)
        ]
    return said


def _cells_of(view: QAbstractItemView, records: bool) -> list:
    model = view.model()
    columns = range(1 if isinstance(model, QAbstractListModel) else model.columnCount())
    rows = range(0 if records else min(MOST_ROWS, model.rowCount()))
    across = (
        []
        if isinstance(view, QTableWidget) and records
        else [model.headerData(c, Qt.Orientation.Horizontal, role) for c in columns for role in _CELL_ROLES[:2]]
    )
    down = (
        [model.headerData(r, Qt.Orientation.Vertical, _CELL_ROLES[0]) for r in rows]
        if isinstance(view, QTableView) and view.verticalHeader().isVisible()
        else []
    )
    return across + down + [model.index(r, c).data(role) for r in rows for c in columns for role in _CELL_ROLES]


def english_in(text: str, data: Iterable[str] = ()) -> list[str]:
    """Words of English that are left in a text, once ``data`` (names of visits, series, files) and what every language
    keeps are taken away."""
    text = _NO_WORDS.sub(" ", text)
    for name in sorted(filter(None, data), key=len, reverse=True):
        text = text.replace(name, " ")
    text = re.sub(r"<[^>]+>|&nbsp;|\[[a-z_]+\]|\S*[/\\]\S*", " ", text)  # marks of rich text, codes, places
    return [word for word in WORD.findall(text) if word not in KEPT]


def names_in(snapshot: StudySnapshot) -> set[str]:
    """What people and the trial named: pseudonyms, visits, nodes, series, readers, arms, words in events, the study itself."""
    protocol = snapshot.protocol
    names = {snapshot.name, *(s.subject_id for s in snapshot.subjects), *(v.name for v in snapshot.visits), *(n.label for n in snapshot.nodes)}
    for reading in snapshot.readings:
        names |= {reading.reader, reading.locked_by or "", reading.lock_meaning or "", reading.status_reason or "", reading.change_reason or ""}
    names |= set(LEVELS)
    names |= {feature for node in snapshot.nodes for feature in node.high_risk}
    for event in snapshot.events:
        names |= {str(value) for value in event.detail.values() if isinstance(value, str)}
    names |= {str(protocol.get(key, "")) for key in ("id", "title", "version")}
    names |= {
        str(row.get(key, "")) for part in ("visits", "arms") for row in protocol.get(part, []) if isinstance(row, dict) for key in ("name", "title", "id")
    }
    return {name for name in names if len(name) > 1}


class Listener:
    """Reads what is on screen at each picture, and keeps what is English where another language is spoken."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.heard = 0
        self.english: dict[str, str] = {}  # text -> where it was first seen; of texts with the same English words the first
        self._known: set[tuple[str, ...]] = set()

    def hear(self, widget: QWidget, step: str) -> None:
        """Read a window aloud."""
        if language() == ENGLISH:
            return
        for where, text in texts_of(widget):
            self.heard += 1
            words = tuple(english_in(text, self.names))
            if words and words not in self._known:
                self._known.add(words)
                self.english[text] = f"{step}, {where}: {' '.join(words)}"
