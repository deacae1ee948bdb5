"""Which session of treatment a solved plan is for, asked beside the key that keeps it: a run never changes."""

from __future__ import annotations

from PySide6.QtWidgets import QHBoxLayout, QToolButton, QVBoxLayout, QWidget

from app.ui.models.plan import assessment_dict
from app.ui.models.plan_runs import session_names
from app.ui.text import t
from app.ui.widgets.key_button import key_button
from app.ui.widgets.labels import WrapLabel


class SessionAsk(QWidget):
    """Amber words and two keys; hidden once the session is stated, and while there is nothing to keep."""

    def __init__(self, session, parent: QWidget | None = None):
        super().__init__(parent)
        self.session = session
        self.words = WrapLabel(tone="warning", small=True)
        self.keys: dict[str, QToolButton] = {}
        row = QHBoxLayout()
        row.setSpacing(4)
        for value, name in session_names().items():
            if value is None:
                continue
            key = key_button(name, t("Keep the plan under this session; it can be changed until it is saved"))
            key.setAccessibleName(t("This plan is for {session}").format(session=name))
            key.clicked.connect(lambda _checked=False, value=value: session.set_plan_session(value))
            row.addWidget(key, 1)
            self.keys[value] = key
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(4)
        box.addWidget(self.words)
        box.addLayout(row)
        for signal in (session.kept_runs_changed, session.field_changed, session.plan_changed, session.nodes_changed, session.study_changed, session.visit_changed):
            signal.connect(self.refresh)
        self.refresh()

    def refresh(self, *_args) -> None:
        """Follow the session."""
        s = self.session
        final = bool(assessment_dict(s.assessment)) and not s.field_is_preview
        why = s.why_no_plan_save() if final and s.study is not None and s.field_run is None else ""
        self.words.show_text(why)
        self.setVisible(bool(why))
