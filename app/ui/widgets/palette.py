"""The colours of the window, and the small style rules that panels add to its style sheet.

Every pair of text and ground has a contrast of at least 4.5:1. The node colours are Okabe and
Ito's, told apart by colour-blind readers, the dark ones lightened for a black picture; they are
never the only sign (labels and symbols go with them).
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path

BACKGROUND = "#101214"
PANEL = "#171A1D"
RAISED = "#1F2428"
LINE = "#2C3238"
TEXT = "#D8DEE4"
MUTED = "#9AA4AE"
FAINT = "#6F7982"  # disabled
ACCENT = "#4DB6E2"
DANGER = "#FF6B61"
WARNING = "#E8B339"
GOOD = "#6CC08B"

NODE_COLOURS = ("#F0A818", "#56B4E9", "#2FCB9A", "#F0E442", "#DE8FBB", "#7FA6FF", "#E9783A")
NODE_SYMBOLS = ("o", "s", "t", "d", "star", "p", "h")  # in charts, beside the colours


def node_colour(order: int) -> str:
    """Colour of the n-th node of a subject as ``#rrggbb``; it repeats after seven."""
    return NODE_COLOURS[order % len(NODE_COLOURS)]


_ICONS = (Path(str(resources.files("resources"))) / "icons").as_posix()

PANEL_STYLE = f"""
QLabel {{ background: transparent; }}
QLabel[tone="muted"] {{ color: {MUTED}; }}
QLabel[tone="warning"] {{ color: {WARNING}; }}
QLabel[tone="danger"] {{ color: {DANGER}; }}
QLabel[tone="good"] {{ color: {GOOD}; }}
QLabel[tone="accent"] {{ color: {ACCENT}; }}
QLabel[scale="small"] {{ font-size: 11px; }}
QLabel[scale="big"] {{ font-size: 26px; font-weight: 600; color: {TEXT}; }}
QLabel[scale="unit"] {{ font-size: 13px; color: {MUTED}; }}
QToolButton#SectionTitle {{ border: none; background: transparent; color: {TEXT}; font-size: 12px; font-weight: 600; padding: 3px 0; text-align: left; }}
QToolButton#SectionTitle:hover, QToolButton#SectionTitle:focus {{ color: {ACCENT}; }}
QFrame#SectionLine {{ background: {LINE}; max-height: 1px; min-height: 1px; border: none; }}
QWidget#PanelBody {{ background: {PANEL}; }}
QScrollArea#PanelScroll {{ background: {PANEL}; border: none; }}
QFrame#PanelFooter {{ background: {PANEL}; border: none; border-top: 1px solid {LINE}; }}
QFrame#FindingRow {{ background: {RAISED}; border: 1px solid transparent; border-radius: 4px; }}
QFrame#FindingRow[severity="serious"] {{ border: 1px solid {DANGER}; }}
QFrame#FigureBox {{ background: {BACKGROUND}; border: 1px solid {LINE}; border-radius: 4px; }}
QToolButton#FindingToggle {{ border: none; background: transparent; color: {ACCENT}; font-size: 11px; padding: 1px 2px; text-align: left; }}
QToolButton#ToolKey {{ background: {RAISED}; border: 1px solid {LINE}; border-radius: 4px; color: {TEXT}; padding: 4px 2px; font-size: 11px; }}
QToolButton#ToolKey:hover {{ border-color: {ACCENT}; }}
QToolButton#ToolKey:focus {{ border-color: {ACCENT}; }}
QToolButton#ToolKey:checked {{ background: {ACCENT}; border-color: {ACCENT}; color: {BACKGROUND}; font-weight: 600; }}
QToolButton#ToolKey:disabled {{ color: {FAINT}; }}
QAbstractSpinBox::up-button {{ subcontrol-origin: border; subcontrol-position: top right; width: 18px; border: none; background: transparent; }}
QAbstractSpinBox::down-button {{ subcontrol-origin: border; subcontrol-position: bottom right; width: 18px; border: none; background: transparent; }}
QAbstractSpinBox::up-button:hover, QAbstractSpinBox::down-button:hover {{ background: {RAISED}; }}
QAbstractSpinBox::up-arrow {{ image: url("{_ICONS}/arrow-up.svg"); width: 8px; height: 5px; }}
QAbstractSpinBox::down-arrow {{ image: url("{_ICONS}/arrow-down.svg"); width: 8px; height: 5px; }}
QComboBox::drop-down {{ border: none; width: 18px; background: transparent; }}
QComboBox::down-arrow {{ image: url("{_ICONS}/arrow-down.svg"); width: 8px; height: 5px; }}
QTableView#ValueTable {{ background: {BACKGROUND}; alternate-background-color: {PANEL}; border: 1px solid {LINE}; border-radius: 4px; gridline-color: {RAISED}; color: {TEXT}; font-size: 11px; selection-background-color: #234860; selection-color: {TEXT}; }}
QTableView#ValueTable QHeaderView::section {{ background: {RAISED}; color: {MUTED}; border: none; border-right: 1px solid {LINE}; padding: 3px 4px; font-size: 11px; font-weight: 400; }}
"""
