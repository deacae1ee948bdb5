"""Start Qt, open the window, and catch what nobody expected."""

from __future__ import annotations

import datetime as dt
import os
import re
import sys
import threading
import traceback
from pathlib import Path

if sys.platform.startswith("linux"):
    # EGL needs no display; it must be chosen before VTK makes its first window.
    os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")

from PySide6.QtWidgets import QApplication

from app import __version__
from app.ui.languages import kept_language, use_language
from app.ui.style import apply_style
from app.ui.text import language, set_language


def make_application(arguments: list[str] | None = None) -> QApplication:
    """The one QApplication, styled; made anew only where there is none."""
    application = QApplication.instance()
    if application is None:
        application = QApplication(["nodus"] if arguments is None else arguments)
    application.setApplicationName("Nodus")
    application.setApplicationVersion(__version__)
    use_language(language())
    apply_style(application)
    return application


def open_window(session=None, *, prepare: bool = True):
    """A shown ``MainWindow`` on a session (a new one unless given).

    ``prepare`` loads slow libraries and kernels in a job. The caller keeps the window alive.
    """
    from app.ui.main_window import MainWindow
    from app.ui.session import Session

    window = MainWindow(session if session is not None else Session())
    window.show()
    if prepare:
        window.prepare()
    return window


def run(*, study: str | Path | None = None, images: str | Path | None = None, demo: bool | str | Path = False, in_language: str | None = None, arguments: list[str] | None = None) -> int:
    """Open the window on a study, a folder of images, the demonstration case (True, or the folder
    it is kept in), or nothing, and stay until it is closed; returns the exit status. ``in_language`` holds for this time;
    without it the window speaks the language that was chosen on this computer."""
    set_language(in_language or kept_language())
    application = make_application(arguments)
    window = open_window()
    install_excepthook(window)
    if study is not None:
        window.session.open_study(study)
    elif images is not None:
        window.session.open_folder(images)
    elif demo:
        window.session.open_demo(None if demo is True else demo)
    status = application.exec()
    while window.successor is not None:
        window = window.successor
    window.panes.shutdown()
    return status


# What an error's message may tell of a patient: quoted values, names of files, long numbers.
_TELLING = re.compile(r"""'[^'\n]*'|"[^"\n]*"|\S*[/\\]\S*|\S+\.(?:dcm|zip|nii|nrrd|mha)\S*|\d{4,}""", re.IGNORECASE)


def without_values(trace: str) -> str:
    """A trace with the places in the program, and messages without what an input may have put there."""
    lines = trace.splitlines()
    return "\n".join(line if line.startswith("  ") else _TELLING.sub("…", line) for line in lines)


def write_failure(trace: str) -> Path:
    """Append an unexpected error to the log and return its place. Values, file names and long numbers of the message are
    left out, as they may name a patient."""
    import platformdirs

    folder = Path(os.environ.get("NODUS_LOG_DIR") or platformdirs.user_log_dir("nodus", appauthor=False))
    folder.mkdir(parents=True, exist_ok=True)
    place = folder / "failures.log"
    with place.open("a", encoding="utf-8") as log:
        log.write(f"{dt.datetime.now(dt.UTC).isoformat(timespec='seconds')} nodus {__version__}\n{without_values(trace)}\n")
    return place


def install_excepthook(window) -> None:
    """From now on an unexpected error is written down, the drafts are saved, and the window says so
    and goes on."""

    def report(kind, problem, trace) -> None:
        if issubclass(kind, KeyboardInterrupt):
            sys.__excepthook__(kind, problem, trace)
            return
        text = "".join(traceback.format_exception(kind, problem, trace))
        print(text, file=sys.stderr)
        place = write_failure(text)
        try:
            window.session.save()
        except Exception as second:  # saving is what the reader needs most; that it failed is said too
            write_failure("".join(traceback.format_exception(second)))
            window.session.notice.emit("serious", f"Something went wrong, and saving failed too ({second}). See {place}.")
            return
        window.session.notice.emit("serious", f"Something went wrong; your work is saved. What happened is written to {place}.")

    sys.excepthook = report
    # Errors in plain threads cannot touch widgets: they are written down, and that is all.
    threading.excepthook = lambda args: write_failure("".join(traceback.format_exception(args.exc_type, args.exc_value, args.exc_traceback)))
