"""The way from the follow-up step to the cohort; not there in a blinded session."""

from __future__ import annotations

from PySide6.QtWidgets import QPushButton, QWidget

from app.ui.text import t
from app.ui.widgets.labels import WrapLabel
from app.ui.widgets.sections import Section


def open_cohort(session, parent: QWidget | None):
    """The cohort's window, in front; None where it may not be seen. There is one a window."""
    from app.ui.views.cohort_window import CohortWindow

    if not session.may_see_cohort():
        session.notice.emit("warning", t("Open a study first.") if session.study is None else t("The cohort is not shown in a blinded session."))
        return None
    window = next((w for w in (parent.findChildren(CohortWindow) if parent is not None else []) if w.isVisible()), None)
    if window is None:
        window = CohortWindow(session, parent)
        window.show()
    window.raise_()
    window.activateWindow()
    return window


class CohortSection(Section):
    """What the cohort is, and its button."""

    def __init__(self, session, parent: QWidget | None = None):
        super().__init__(t("Cohort"), parent=parent)
        self.session = session
        self.body.addWidget(WrapLabel(t("All subjects together: waterfall, spider, box plot, survival, and the endpoint tables."), tone="muted", small=True))
        self.button = QPushButton(t("Open the cohort"))
        self.button.setToolTip(t("Open the cohort") + " (Ctrl+Alt+C)")
        self.button.clicked.connect(lambda _checked=False: open_cohort(session, self.window()))
        self.body.addWidget(self.button)
        for signal in (session.study_changed, session.step_changed):
            signal.connect(self.refresh)
        self.refresh()

    def refresh(self, *_what) -> None:
        """There only for who may see all subjects together."""
        self.setVisible(self.session.may_see_cohort())
