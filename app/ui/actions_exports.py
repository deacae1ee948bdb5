"""Exports with a preview, the audit trail and adjudication, as entries of the list in ``actions``."""

from __future__ import annotations

from app.ui.actions import Action
from app.ui.text import t


def exports_actions(window) -> list[Action]:
    """The way to the export for a ``MainWindow``."""
    s = window.session

    def export() -> None:
        from app.ui.dialogs.export_edc import open_export

        open_export(s, window)

    def allowed() -> bool:
        return s.study is not None and not s.is_blinded and not s.why_not("export")

    return [Action("export_edc", t("Export with a preview…"), "study", export, ("Ctrl+E",), tip=t("Every format; what goes out, what stays and why, and the receipt"), group=2, enabled=allowed)]


def review_actions(window) -> list[Action]:
    """The ways to adjudication and the audit trail."""
    s = window.session

    def audit() -> None:
        from app.ui.dialogs.audit_view import open_audit

        open_audit(s, window)

    def adjudicate() -> None:
        from app.ui.dialogs.adjudicate import open_adjudication

        open_adjudication(s, window)

    def may_see_audit() -> bool:
        return s.study is not None and not s.is_blinded and not s.why_no_audit()

    def may_adjudicate() -> bool:
        return s.study is not None and not s.why_no_adjudication()

    return [
        Action("adjudicate", t("Adjudication…"), "study", adjudicate, ("Ctrl+Alt+J",), tip=t("What two readers made of a node, side by side, where they differ"), group=4, enabled=may_adjudicate),
        Action("audit_trail", t("Audit trail…"), "study", audit, ("Ctrl+Alt+A",), tip=t("Every event of the study, and the check that none was changed"), group=4, enabled=may_see_audit),
    ]
