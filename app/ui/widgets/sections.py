"""The frame that every step's panel shares: a scrolling body and one primary button below it."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFrame, QPushButton, QScrollArea, QSizePolicy, QToolButton, QVBoxLayout, QWidget

from app.ui.text import t
from app.ui.widgets.labels import WrapLabel
from app.ui.widgets.palette import PANEL_STYLE


class Section(QWidget):
    """A titled part of a panel that folds; ``body`` is its layout."""

    def __init__(self, title: str, *, folded: bool = False, parent: QWidget | None = None):
        super().__init__(parent)
        self._title = QToolButton(self)
        self._title.setObjectName("SectionTitle")
        self._title.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self._title.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._title.setCheckable(True)
        self._title.setChecked(not folded)
        self._title.setText(title)
        self._title.setAccessibleName(title)
        self._title.toggled.connect(self._fold)
        self._content = QWidget(self)
        self.body = QVBoxLayout(self._content)
        self.body.setContentsMargins(0, 2, 0, 4)
        self.body.setSpacing(6)
        line = QFrame(self)
        line.setObjectName("SectionLine")
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.setSpacing(3)
        outer.addWidget(self._title)
        outer.addWidget(line)
        outer.addWidget(self._content)
        self._fold(not folded)

    def set_title(self, title: str) -> None:
        """Change the heading."""
        self._title.setText(title)
        self._title.setAccessibleName(title)

    def set_open(self, shown: bool) -> None:
        """Unfold or fold."""
        self._title.setChecked(shown)

    def is_open(self) -> bool:
        """True while unfolded."""
        return self._title.isChecked()

    def _fold(self, shown: bool) -> None:
        self._title.setArrowType(Qt.ArrowType.DownArrow if shown else Qt.ArrowType.RightArrow)
        self._content.setVisible(shown)


class StepPanel(QWidget):
    """Base of the panels: body that scrolls up and down only, footer with the one primary button.

    Subclasses add widgets to ``self.content`` and name the primary action with ``set_primary``.
    """

    def __init__(self, session, step: str, parent: QWidget | None = None):
        super().__init__(parent)
        self.session = session
        self.step = step
        self.setObjectName(f"Panel_{step}")
        self.setStyleSheet(PANEL_STYLE)
        self.setMinimumWidth(280)
        body = QWidget()
        body.setObjectName("PanelBody")
        self.content = QVBoxLayout(body)
        self.content.setContentsMargins(10, 8, 10, 10)
        self.content.setSpacing(10)
        self.scroll = QScrollArea(self)
        self.scroll.setObjectName("PanelScroll")
        self.scroll.setWidgetResizable(True)
        self.scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.scroll.setFrameShape(QFrame.Shape.NoFrame)
        self.scroll.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.scroll.setWidget(body)
        footer = QFrame(self)
        footer.setObjectName("PanelFooter")
        self.footer = QVBoxLayout(footer)
        self.footer.setContentsMargins(10, 8, 10, 10)
        self.footer.setSpacing(6)
        self.needs = WrapLabel(tone="muted", small=True)
        self.needs.setAccessibleName(t("What this step still needs"))
        self.primary = QPushButton(footer)
        self.primary.setObjectName("PrimaryButton")
        self.primary.setProperty("primary", True)
        self.primary.setMinimumHeight(32)
        self.footer.addWidget(self.needs)
        self.footer.addWidget(self.primary)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.setSpacing(0)
        outer.addWidget(self.scroll, 1)
        outer.addWidget(footer)
        self.needs.show_text("")

    def set_primary(self, text: str, enabled: bool, tip: str = "") -> None:
        """Text and state of the primary button; ``tip`` says why it waits."""
        self.primary.setText(text)
        self.primary.setEnabled(enabled)
        self.primary.setToolTip(tip)
        self.primary.setAccessibleName(text.replace("&", ""))

    def show_needs(self) -> None:
        """Refresh the sentence above the primary button."""
        self.needs.show_text(self.session.step_needs(self.step))
