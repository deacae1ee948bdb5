"""A whole copy of a study, and the way back, both checked file by file before they count."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from pathlib import Path

from app.study.blobs import flush_folder, sha256_file, temporary_name
from app.study.engine import transaction
from app.study.errors import StudyRefused
from app.study.migrations import upgrade
from app.study.places import DATABASE, Place, copy_database, copy_rows, place_of
from app.study.store import StudyStore

MANIFEST = "backup.json"
FOLDERS = ("blobs", "images")


def backup(store: StudyStore, folder: Path) -> dict:
    """Copy an open study into ``folder`` (absent or empty), while others may go on working in it.

    The database is copied as of one moment of the study, always into an SQLite file (a study on a server too, so that
    its backup opens anywhere); files are content-addressed or never change, so copying them afterwards misses nothing the database
    names. Every copy is hashed into ``backup.json``, which is written last. Returns the manifest.
    Raises ``folder_not_empty``, ``study_write_failed``; in a study with users ``right_missing``.
    """
    store.require("backup")
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise StudyRefused("A backup needs an empty folder; this one holds other files.", code="folder_not_empty", hint="Choose a new folder name.")
    half = folder.parent / temporary_name(folder.name)
    try:
        half.mkdir(parents=True)
        copy_database(store.place, half / DATABASE)
        for name in FOLDERS:
            if (store.folder / name).is_dir():
                shutil.copytree(store.folder / name, half / name, ignore=shutil.ignore_patterns(".*"))
        manifest = {"study_id": store.study_id, "name": store.name, "files": _hashes(half)}
        (half / MANIFEST).write_text(json.dumps(manifest, indent=1, sort_keys=True), encoding="utf-8")
        flush_folder(half)
        if folder.exists():
            folder.rmdir()
        os.replace(half, folder)
    except (OSError, sqlite3.Error) as problem:
        raise StudyRefused(f"The backup could not be written: {getattr(problem, 'strerror', None) or problem}.", code="study_write_failed") from problem
    finally:
        shutil.rmtree(half, ignore_errors=True)
    return manifest


def restore(backup_folder: Path, folder: Path | str) -> StudyStore:
    """Make a study in ``folder`` (absent or empty), or in the empty database of a URL, from a backup, and open it.

    Every file is compared with the backup's manifest before anything is copied. Raises
    ``backup_missing``, ``backup_damaged`` (naming the first file), ``folder_not_empty``, ``study_exists``.
    """
    backup_folder, place = Path(backup_folder), place_of(folder)
    folder = place.folder
    try:
        manifest = json.loads((backup_folder / MANIFEST).read_text(encoding="utf-8"))
        wanted = manifest["files"]
    except FileNotFoundError:
        raise StudyRefused("There is no backup in this folder.", code="backup_missing") from None
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise StudyRefused(f"The backup's list of files cannot be read: {problem}.", code="backup_damaged") from None
    found = _hashes(backup_folder)
    wrong = sorted(set(wanted.items()) ^ set(found.items()))
    if wrong:
        raise StudyRefused(f"The backup is damaged: {wrong[0][0]} is missing, strange or changed.", code="backup_damaged", hint="Use another backup.")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise StudyRefused("A study is restored into an empty folder; this one holds other files.", code="folder_not_empty", hint="Choose a new folder name.")
    if place.url is not None and place.revision() is not None:
        raise StudyRefused("There is already a study in this database.", code="study_exists")
    half = folder.parent / temporary_name(folder.name)
    try:
        shutil.copytree(backup_folder, half, ignore=shutil.ignore_patterns(MANIFEST))
        if place.url is not None:
            _into_server(half / DATABASE, place)
            (half / DATABASE).unlink()
        flush_folder(half)
        if folder.exists():
            folder.rmdir()
        os.replace(half, folder)
    except OSError as problem:
        raise StudyRefused(f"The study could not be written: {problem.strerror or problem}.", code="study_write_failed") from problem
    finally:
        shutil.rmtree(half, ignore_errors=True)
    return StudyStore.open(place)


def _into_server(database: Path, place: Place) -> None:
    """Fill an empty database of a server from an SQLite file, in one transaction."""
    source, target = Place(database.parent).engine(), place.engine()
    try:
        with transaction(source, write=False) as out, transaction(target, write=True) as to:
            upgrade(to, out.exec_driver_sql("SELECT version_num FROM alembic_version").scalar_one())
            copy_rows(out, to)
    finally:
        source.dispose()
        target.dispose()
    for name in (f"{DATABASE}-wal", f"{DATABASE}-shm"):
        (database.parent / name).unlink(missing_ok=True)


def _hashes(folder: Path) -> dict[str, str]:
    """Relative path -> SHA-256 of every file but the manifest."""
    return {p.relative_to(folder).as_posix(): sha256_file(p) for p in sorted(folder.rglob("*")) if p.is_file() and p.name != MANIFEST}
