"""What can be done with a PACS, as entries of the list in ``actions``."""

from __future__ import annotations

from app.ui.actions import Action
from app.ui.text import t


def pacs_actions(window) -> list[Action]:
    """Query, receive and send, for a ``MainWindow``."""
    s = window.session

    def query() -> None:
        from app.ui.dialogs.pacs_query import PacsQueryDialog

        dialog = PacsQueryDialog(s, window)
        window._remember(dialog)
        dialog.show()

    def send() -> None:
        from app.ui.dialogs.pacs_send import PacsSendDialog

        dialog = PacsSendDialog(s, window)
        window._remember(dialog)
        dialog.open()

    def receive() -> None:
        from app.ui.dialogs.pacs_receive import PacsReceiveDialog

        dialog = PacsReceiveDialog(s, window)
        window._remember(dialog)
        dialog.show()

    return [
        Action("pacs_query", t("Query the PACS…"), "study", query, ("Ctrl+Shift+I",), tip=t("Find studies at the hospital's PACS and retrieve them into this study"), group=1),
        Action("pacs_receive", t("Receive from a scanner…"), "study", receive, ("Ctrl+Shift+R",), tip=t("Listen for what a scanner or PACS sends, and import it into this study"), group=1),
        Action("pacs_send", t("Send to the PACS…"), "study", send, tip=t("Exports of the locked readings, or a folder of DICOM files"), group=2),
    ]  # fmt: skip
