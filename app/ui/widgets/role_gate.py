"""Controls that a role does not allow: off, with the reason on hover, whatever else would have them on. The store refuses the same."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from PySide6.QtCore import QEvent, QObject, Qt
from PySide6.QtWidgets import QWidget


class RoleGate(QObject):
    """Keeps ``widgets`` off while who is at work has none of ``rights``. ``refresh`` is the panel's own: it has the last word once they may."""

    def __init__(self, session, widgets: Iterable[QWidget], rights: tuple[str, ...], refresh: Callable[[], object]):
        widgets = tuple(widgets)
        super().__init__(widgets[0])
        self.session, self.widgets, self.rights, self._refresh = session, widgets, rights, refresh
        self._why = ""
        self._tips = {id(w): w.toolTip() for w in widgets}
        for widget in widgets:
            widget.installEventFilter(self)
        for signal in (session.user_changed, session.study_changed):
            signal.connect(self.look)
        self.look()

    def look(self) -> None:
        """Ask again what the role allows."""
        why = self.session.why_not(*self.rights)
        if why == self._why:
            return
        self._why = why
        for widget in self.widgets:
            widget.setEnabled(not why)
            widget.setToolTip(self._tips[id(widget)])
        if not why:
            self._refresh()

    def eventFilter(self, widget, event) -> bool:
        """Switched on, or given another tooltip, by whoever does not know the role."""
        if event.type() == QEvent.Type.ToolTipChange and widget.toolTip() != self._worded(widget):
            self._tips[id(widget)] = widget.toolTip()
            if self._why:
                widget.setToolTip(self._worded(widget))
        elif event.type() == QEvent.Type.EnabledChange and self._why and not widget.testAttribute(Qt.WidgetAttribute.WA_ForceDisabled):
            widget.setEnabled(False)
        return False

    def _worded(self, widget) -> str:
        tip = self._tips[id(widget)]
        return "\n".join(line for line in (tip, self._why) if line)
