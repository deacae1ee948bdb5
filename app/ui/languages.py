"""The language of the window: kept for this computer, Qt's own texts, and the window made anew in another one."""

from __future__ import annotations

from PySide6.QtCore import QLibraryInfo, QTranslator
from PySide6.QtWidgets import QApplication

from app.settings import load_entry, save_entry
from app.ui import text

ENTRY = "language"
_of_qt: list[QTranslator] = []


def kept_language() -> str:
    """The language that was chosen on this computer; English where none was, or where it is not there any more."""
    kept = load_entry(ENTRY)
    return kept if isinstance(kept, str) and kept in text.languages() else text.ENGLISH


def use_language(code: str) -> None:
    """Speak a language from now on: our texts, and those of Qt's own dialogs. Raises ``LanguageUnknown``."""
    text.set_language(code)
    application = QApplication.instance()
    while _of_qt:
        QApplication.removeTranslator(_of_qt.pop())
    if application is None or text.language() == text.ENGLISH:
        return
    translator = QTranslator(application)
    if translator.load(f"qtbase_{text.language().replace('-', '_')}", QLibraryInfo.path(QLibraryInfo.LibraryPath.TranslationsPath)):
        QApplication.installTranslator(translator)
        _of_qt.append(translator)


def keep_language(code: str) -> None:
    """Begin with this language from the next start on. Raises ``OSError``."""
    save_entry(ENTRY, code)


def window_anew(old):
    """Another ``MainWindow`` on the same session, where ``old`` stands and as it is laid out, in the language of now. The
    session goes over whole: the open study, drafts, plan, undo steps. The old window frees its graphics and goes."""
    from app.ui.main_window import MainWindow

    new = MainWindow(old.session)
    new.setGeometry(old.geometry())
    new.setWindowState(old.windowState())
    if new.panes.layout_name != old.panes.layout_name:
        new.panes.set_layout(old.panes.layout_name)
    new.show()
    old.hand_over()
    new.prepare()
    return new
