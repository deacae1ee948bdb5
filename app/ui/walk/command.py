"""``nodus walk``: the steps in their order, the pictures, and what was found untranslated."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from PySide6.QtCore import QEvent
from PySide6.QtWidgets import QApplication

from app.ui.text import LanguageUnknown
from app.ui.walk.aloud import Listener
from app.ui.walk.case_steps import CaseWalk, copy_case
from app.ui.walk.hands import Album, WalkFailed
from app.ui.walk.study_steps import StudyWalk
from app.ui.walk.trial import People, make_trial

EXIT_FAILED, EXIT_FAULT = 1, 4
CASE, STUDY, CONTRAST = "case", "study", "contrast"


@dataclass(frozen=True, slots=True)
class Walked:
    """Pictures in their order; texts that stayed in English (text -> where it was first seen) and how many texts were read."""

    pictures: list[Path]
    untranslated: dict[str, str]
    texts_read: int


def walk(
    out_dir: Path | str,
    size: tuple[int, int] = (1280, 800),
    scale: float = 1.0,
    *,
    case: Path | str | None = None,
    trial: Path | str | None = None,
    parts: tuple[str, ...] = (CASE, STUDY),
    tell: Callable[[str], None] | None = None,
) -> Walked:
    """Walk through the window and write a PNG a step into ``out_dir``.

    ``size`` is the size of the pictures in pixels; at ``scale`` 1.5 everything in them is half as
    large again. ``case`` is a folder made by the demonstration; without it one is made in a
    temporary folder. ``trial`` is a simulated trial, or a study without users, for the steps with users; without it the
    demonstration's study is filled with made-up subjects. Raises ``WalkFailed`` with what did not happen.
    """
    existing = QApplication.instance()
    if existing is None:
        os.environ["QT_SCALE_FACTOR"] = f"{scale:g}"
    from app.ui.application import make_application

    application = make_application()
    if abs(application.primaryScreen().devicePixelRatio() - scale) > 1e-3:
        raise WalkFailed(f"The screen's scale is {application.primaryScreen().devicePixelRatio():g}; a walk at {scale:g} needs a process of its own.")
    album = Album(Path(out_dir), Listener())
    logical = round(size[0] / scale), round(size[1] / scale)
    with tempfile.TemporaryDirectory(prefix="nodus-walk-") as temporary:
        place = Path(temporary)
        source = _case(place, Path(case) if case is not None else None)
        if CASE in parts:
            _walk_case(album, copy_case(source, place / "one"), place, logical, tell)
        if CONTRAST in parts:
            _walk_contrast(album, copy_case(source, place / "contrast"), logical, tell)
        if STUDY in parts:
            folder, people = _trial(source, Path(trial) if trial is not None else None, place / "many", tell)
            _walk_study(album, folder, people, place / "export", logical, tell)
    return Walked(album.pictures, album.listener.english, album.listener.heard)


def _case(place: Path, case: Path | None) -> Path:
    """The folder of the demonstration, made where none is given."""
    if case is not None:
        return case
    from app.jobs import JobContext
    from app.usecases.demo import prepare_study

    made = place / "new"
    made.mkdir()
    prepare_study(made, JobContext())
    return made


def _trial(source: Path, trial: Path | None, place: Path, tell) -> tuple[Path, People]:
    """A copy of the study of many subjects, with the accounts of this walk."""
    from app.study.store import StudyStore

    begun, people = time.perf_counter(), People()
    if trial is None:
        folder = copy_case(source, place) / "study"
        make_trial(folder, people)
    else:
        folder = copy_case(trial.parent, place, study=trial.name) / "study"
        with StudyStore.open(folder) as store:
            people = People(prefix="walk-" if store.has_users() else "")
            people.add_to(store)
    _tell(tell, "the study of many subjects", begun)
    return folder, people


def _walk_case(album: Album, case: Path, place: Path, size: tuple[int, int], tell) -> None:
    from app.ui.application import open_window

    window = open_window()
    window.resize(*size)
    walker = CaseWalk(window, album)
    steps = (
        ("opening the case", lambda: walker.open_case(case)),
        ("images", walker.images),
        ("outline", walker.outline),
        ("repair", walker.repair),
        ("enhancing part", walker.enhancing),
        ("contour", walker.contour),
        ("ultrasound", walker.ultrasound),
        ("plan", walker.plan),
        ("lock", walker.lock),
        ("follow-up", walker.follow_up),
        ("compare", walker.compare),
        ("report", lambda: walker.report(place)),
    )
    _run(walker, steps, window, tell)


def _walk_contrast(album: Album, case: Path, size: tuple[int, int], tell) -> None:
    """The visit with the contrast loop, in a copy of the case where nothing was drawn before."""
    from app.ui.application import open_window

    window = open_window()
    window.resize(*size)
    walker = CaseWalk(window, album)
    _run(walker, (("opening the case", lambda: walker.open_case(case)), ("a visit with contrast", lambda: walker.contrast_visit(tell))), window, tell)


def _walk_study(album: Album, folder: Path, people: People, out: Path, size: tuple[int, int], tell) -> None:
    from app.ui.application import open_window

    window = open_window()
    window.resize(*size)
    walker = StudyWalk(window, album, folder, people)
    _run(walker, study_steps(walker, out), window, tell)


def study_steps(walker: StudyWalk, out: Path) -> tuple[tuple[str, Callable[[], None]], ...]:
    """The steps with users, in their order; the export goes to ``out``."""
    return (
        ("signing in", walker.enter),
        ("visit board", walker.visit_board),
        ("cohort", walker.cohort),
        ("audit trail", walker.audit),
        ("export", lambda: walker.export(out)),
        ("locked screen", walker.lock_screen),
        ("blinded reading", walker.blinded),
        ("adjudication", walker.adjudicate),
        ("who treats", walker.site),
        ("leaving", walker.leave),
    )


def _run(walker, steps, window, tell) -> None:
    try:
        for name, step in steps:
            begun = time.perf_counter()
            step()
            walker.complaints.check()
            _tell(tell, name, begun)
    finally:
        window.close()
        window.deleteLater()
        QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)


def _tell(tell: Callable[[str], None] | None, name: str, begun: float) -> None:
    if tell is not None:
        tell(f"{name}: {time.perf_counter() - begun:.1f} s")


def main(arguments: list[str] | None = None) -> int:
    """Command line of the walk; exit 0 when every step was pictured, 1 with a sentence when not, 4 when a text was not
    translated (they are listed, and written to ``untranslated.json`` beside the pictures)."""
    parser = argparse.ArgumentParser(
        prog="nodus walk", description="Walk through the window and picture each step: a case read and planned, and a study of many subjects with users."
    )
    parser.add_argument("out", type=Path, help="folder for the pictures")
    parser.add_argument("--case", type=Path, help="a folder made by nodus demo; without it a case is made for this walk")
    parser.add_argument("--trial", type=Path, help="a study folder for the steps with users: a simulated trial, or one without users; it is copied")
    parser.add_argument("--only", choices=(CASE, STUDY, CONTRAST), help="only the steps of the case, those of the study with users, or the visit with a contrast loop (asked for by itself)")
    parser.add_argument("--size", default="1280x800", help="size of the pictures in pixels (default 1280x800)")
    parser.add_argument("--scale", type=float, default=1.0, help="pixels a logical pixel (default 1)")
    parser.add_argument(
        "--language", help="language of the texts, as named in resources/i18n; every text on screen is then read, and what is still English is listed (exit 4)"
    )
    options = parser.parse_args(arguments)
    try:
        width, height = (int(v) for v in options.size.lower().split("x"))
    except ValueError:
        parser.error("--size is WIDTHxHEIGHT, for example 1920x1080")
    parts = (CASE, STUDY) if options.only is None else (options.only,)
    try:
        if options.language:
            from app.ui.text import set_language

            set_language(options.language)
        done = walk(
            options.out,
            (width, height),
            options.scale,
            case=options.case,
            trial=options.trial,
            parts=parts,
            tell=lambda line: print(line, file=sys.stderr, flush=True),
        )
    except (WalkFailed, LanguageUnknown) as failure:
        print(failure.message, file=sys.stderr)
        return EXIT_FAILED
    for picture in done.pictures:
        print(picture)
    return _say_untranslated(done, options.out)


def _say_untranslated(done: Walked, out: Path) -> int:
    if done.texts_read:
        (out / "untranslated.json").write_text(json.dumps(done.untranslated, ensure_ascii=False, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        print(f"{done.texts_read} texts were read aloud; {len(done.untranslated)} are not translated.", file=sys.stderr)
    for text, where in sorted(done.untranslated.items(), key=lambda item: item[1]):
        print(f"not translated: {text!r} ({where})", file=sys.stderr)
    return EXIT_FAULT if done.untranslated else 0
