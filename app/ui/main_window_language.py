"""The window in another language: chosen at once, changed when no job is running whose answer it waits for."""

from __future__ import annotations

from PySide6.QtCore import QTimer

from app.ui.text import language, t


class WindowLanguage:
    """Mixed into ``MainWindow``: a window in another language takes its place on the same session."""

    def change_language(self, code: str) -> None:
        """Speak another language from now on: kept for the next start, and the window is made anew on the same session
        once no job is running whose answer this window waits for."""
        from app.ui.languages import keep_language

        if code == language() and self._language_to_come is None:
            return
        try:
            keep_language(code)
        except OSError as problem:
            self.notice_bar.tell("warning", t("The language could not be kept for the next start: {why}.").format(why=problem.strerror or problem))
        waits = self._language_to_come is not None
        self._language_to_come = code
        if self.session.jobs.is_busy():
            self.notice_bar.tell("info", t("The language changes as soon as what is running has ended."))
            if not waits:
                self.session.jobs.ended.connect(self._change_when_idle)
        else:
            self._change_when_idle()

    def _change_when_idle(self, _key=None) -> None:
        # Later, when the answer of the job has been taken up: it may have started another one.
        QTimer.singleShot(0, self, self._change_now)

    def _change_now(self) -> None:
        code = self._language_to_come
        if code is None or self._closed or self.session.jobs.is_busy():
            return
        from app.ui.languages import use_language, window_anew

        self._language_to_come = None
        use_language(code)
        if code != self.spoken:
            self.successor = window_anew(self)
            self.replaced.emit(self.successor)

    def hand_over(self) -> None:
        """Go without closing the session: another window has it now."""
        self.toolbox.release()
        self._closed = True
        for dialog in list(self._dialogs):
            dialog.close()
        self.panes.shutdown()
        self.close()
        self.deleteLater()
