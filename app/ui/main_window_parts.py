"""How the window is put together: top bar with menus and steps, tool strip, rail, panes, panel, status."""

from __future__ import annotations

from PySide6.QtCore import QSize, Qt
from PySide6.QtWidgets import QButtonGroup, QComboBox, QHBoxLayout, QMenu, QSizePolicy, QStackedWidget, QToolButton, QVBoxLayout, QWidget

from app.ui.actions_study import UserButton
from app.ui.pages import Pages
from app.ui.session import STEPS, WINDOW_PRESETS
from app.ui.text import t
from app.ui.widgets.labels import ElidedLabel

STRIP_TOOLS = ("crosshair", "node", "brush", "eraser", "contour", "caliper", "ellipsoid", "needle")
STRIP_LAYOUTS = ("reset", "layout_1", "layout_1x2", "layout_2x2", "layout_compare")
SIDE_WIDTH = 316


class WindowParts:
    """Mixed into ``MainWindow``: makes its widgets once; what they show is said elsewhere."""

    def _build(self) -> None:
        window = QWidget()
        window.setObjectName("window")
        self.side = QStackedWidget()
        self.side.setObjectName("sideColumn")
        self.side.setFixedWidth(SIDE_WIDTH)
        centre = QWidget()
        column = QVBoxLayout(centre)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self._tool_strip())
        column.addWidget(self.panes, 1)
        work = QWidget()
        middle = QHBoxLayout(work)
        middle.setContentsMargins(0, 0, 0, 0)
        middle.setSpacing(0)
        middle.addWidget(self.rail)
        middle.addWidget(centre, 1)
        middle.addWidget(self.side)
        outer = QVBoxLayout(window)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.setSpacing(0)
        outer.addWidget(self._top_bar())
        self.pages = Pages(self.session, work)
        outer.addWidget(self.pages, 1)
        outer.addWidget(self.notice_bar)
        outer.addWidget(self.status)
        self.setCentralWidget(window)

    def _menu_button(self, title: str, menu: str) -> QToolButton:
        button = QToolButton()
        button.setText(title + " ▾")
        button.setAccessibleName(title)
        button.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        entries = QMenu(button)
        group = None
        for action in self.actions_list:
            if action.menu == menu:
                if group is not None and action.group != group:
                    entries.addSeparator()
                group = action.group
                entries.addAction(self.qactions[action.id])
        entries.aboutToShow.connect(self.refresh_actions)
        button.setMenu(entries)
        return button

    def _top_bar(self) -> QWidget:
        bar = QWidget()
        bar.setObjectName("topBar")
        bar.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        bar.setFixedHeight(42)
        self.menus = {menu: self._menu_button(t(title), menu) for menu, title in (("study", "Study"), ("edit", "Edit"), ("view", "View"), ("tools", "Tools"))}
        self.case = ElidedLabel("")
        self.case.setObjectName("caseTitle")
        self.help_button = self._menu_button("?", "help")
        self.help_button.setText("?")
        self.help_button.setAccessibleName(t("Help"))
        self.help_button.setToolTip(t("Keys, gestures, about (F1)"))
        row = QHBoxLayout(bar)
        row.setContentsMargins(6, 0, 6, 0)
        row.setSpacing(2)
        for button in self.menus.values():
            row.addWidget(button)
        row.addSpacing(10)
        row.addWidget(self.case, 1)
        self.step_buttons: dict[str, QToolButton] = {}
        self._step_group = QButtonGroup(self)
        for step in STEPS:
            button = QToolButton()
            button.setCheckable(True)
            button.setProperty("step", True)
            button.setObjectName(f"step_{step}")
            button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
            button.clicked.connect(lambda _checked=False, step=step: self.session.set_step(step))
            self._step_group.addButton(button)
            self.step_buttons[step] = button
            row.addWidget(button)
        row.addSpacing(6)
        self.user_button = UserButton(self)
        row.addWidget(self.user_button)
        row.addWidget(self.help_button)
        return bar

    def _tool_strip(self) -> QWidget:
        self.strip = QWidget()
        self.strip.setObjectName("toolStrip")
        self.strip.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.strip.setFixedHeight(34)
        row = QHBoxLayout(self.strip)
        row.setContentsMargins(6, 0, 6, 0)
        row.setSpacing(1)
        self.tool_buttons: dict[str, QToolButton] = {}
        for name in STRIP_TOOLS:
            row.addWidget(self._strip_button(name))
        row.addStretch(1)
        self.presets = QComboBox()
        self.presets.setAccessibleName(t("Window preset"))
        self.presets.setToolTip(t("Window preset (Alt+1 to Alt+5)"))
        self.presets.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        for name, (centre, width) in WINDOW_PRESETS.items():
            self.presets.addItem(t(name), (centre, width))
        self.presets.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.presets.activated.connect(lambda row: self.session.set_window(*self.presets.itemData(row)))
        row.addWidget(self.presets)
        row.addSpacing(4)
        for name in STRIP_LAYOUTS:
            button = self._strip_button(name)
            button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonIconOnly)
            row.addWidget(button)
        return self.strip

    def _strip_button(self, name: str) -> QToolButton:
        button = QToolButton()
        button.setDefaultAction(self.qactions[name])
        button.setIconSize(QSize(18, 18))
        button.setAccessibleName(self.qactions[name].text())
        button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.tool_buttons[name] = button
        return button
