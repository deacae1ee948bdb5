"""The list of keys and gestures, made from the actions themselves so that it cannot be out of date."""

from __future__ import annotations

import html

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QDialog, QDialogButtonBox, QTextBrowser, QVBoxLayout

from app.ui.actions import GESTURES, Action
from app.ui.style import LINE, MUTED
from app.ui.text import t

MENU_TITLES = {"study": "Study", "edit": "Edit", "view": "View", "tools": "Tools", "help": "Help"}


def keys_html(actions: list[Action]) -> str:
    """Two tables: gestures, then every action that has a key."""

    def table(rows) -> str:
        cells = "".join(
            f'<tr><td style="padding:3px 18px 3px 0; white-space:nowrap"><b>{html.escape(key)}</b></td><td style="padding:3px 0">{html.escape(text)}</td></tr>' for key, text in rows
        )
        return f'<table cellspacing="0">{cells}</table>'

    parts = [f"<h3>{t('Mouse')}</h3>", table((t(key), t(text)) for key, text in GESTURES)]
    for menu, title in MENU_TITLES.items():
        rows = [(" · ".join(_text(k, a) for k in a.shortcuts), a.title.rstrip("…")) for a in actions if a.menu == menu and a.shortcuts]
        if rows:
            parts += [f'<h3 style="color:{MUTED}; border-top:1px solid {LINE}">{t(title)}</h3>', table(rows)]
    return "".join(parts)


def _text(key: str, action: Action) -> str:
    return action.shortcut_text if key == action.shortcuts[0] else key


class KeysDialog(QDialog):
    """Stays open beside the work; it blocks nothing."""

    def __init__(self, actions: list[Action], parent=None):
        super().__init__(parent)
        self.setWindowTitle(t("Keys and gestures"))
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setModal(False)
        self.resize(620, 600)
        self.text = QTextBrowser()
        self.text.setHtml(keys_html(actions))
        buttons = QDialogButtonBox()
        buttons.addButton(t("Close"), QDialogButtonBox.ButtonRole.RejectRole)
        buttons.rejected.connect(self.reject)
        box = QVBoxLayout(self)
        box.addWidget(self.text)
        box.addWidget(buttons)
