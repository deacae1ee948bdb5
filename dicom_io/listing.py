"""Which files a scan has to look at: a folder, one file, a ZIP archive, or what a DICOMDIR lists.

Nothing that lies there is passed over in silence: what is not looked at is listed with the reason.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from dicom_io.dicomdir import Directory, ListedFile, read_dicomdir
from dicom_io.headers import DicomRefused, check_cancelled
from dicom_io.sources import ArchiveRefused, Source, is_archive, list_archive
from volumetry.errors import NodusError

ARCHIVE_SUFFIX = ".zip"
# File IDs are upper case on the medium; copies of it often are not, and some add a version.
VERSION = ";1"


@dataclass(frozen=True, slots=True)
class SkippedFile:
    """A file that belongs to no series, and why."""

    file: str
    code: str
    message: str

    def to_dict(self) -> dict:
        """The object listed under ``skipped`` by ``nodus scan``."""
        return {"file": self.file, "code": self.code, "message": self.message}


@dataclass(slots=True)
class Listing:
    """Files by their name relative to ``root`` with forward slashes (an entry of an archive has the
    archive's name in front), what is left out and why, and files that a directory lists but that
    are not there."""

    root: Path
    files: list[tuple[str, Source]] = field(default_factory=list)
    skipped: list[SkippedFile] = field(default_factory=list)
    missing: list[ListedFile] = field(default_factory=list)


def is_container(path: Path) -> bool:
    """True for a file that stands for many: a ZIP archive or a DICOMDIR."""
    return path.is_file() and (is_archive(path) or _is_dicomdir(path))


def list_sources(path: Path, should_cancel: Callable[[], bool] | None = None) -> Listing:
    """Everything that lies under ``path``. Raises ``NodusError`` (``file_missing``), ``ArchiveRefused``
    where ``path`` is an archive that is refused as a whole, ``DicomRefused`` where it is a DICOMDIR
    that cannot be read."""
    if path.is_file():
        if is_archive(path):
            listing = Listing(path)
            _add_archive(listing, path, "")
            return listing
        if _is_dicomdir(path):
            return _listed_by(path, should_cancel)
        return Listing(path.parent, [(path.name, path)])
    if not path.is_dir():
        if path.exists():
            raise NodusError(f"{path.name} is neither a file nor a folder.", code="not_an_image")
        raise NodusError(f"There is nothing at {path}.", code="file_missing")
    listing = Listing(path)
    _add_folder(listing, should_cancel)
    return listing


def _is_dicomdir(path: Path) -> bool:
    """By its bytes: the class of a medium's directory stands in the first few hundred."""
    try:
        with open(path, "rb") as fp:
            head = fp.read(1024)
    except OSError:
        return False
    return head[128:132] == b"DICM" and re.search(rb"1\.2\.840\.10008\.1\.3\.10(?![.0-9])", head[132:512]) is not None


def _walk(root: Path, listing: Listing, should_cancel: Callable[[], bool] | None) -> Iterable[tuple[str, Path]]:
    """Files below ``root`` in order of name; folders that cannot be opened are told."""

    def told(error: OSError) -> None:
        name = Path(error.filename).relative_to(root).as_posix() if error.filename else ""
        listing.skipped.append(SkippedFile(name, "unreadable", f"The folder {name} cannot be opened: {error.strerror or error}."))

    top = str(root)
    for folder, folders, names in os.walk(root, onerror=told):
        check_cancelled(should_cancel)
        folders.sort()
        place = os.path.relpath(folder, top).replace(os.sep, "/")
        prefix = "" if place == "." else place + "/"
        for name in sorted(names):
            yield prefix + name, Path(folder, name)


def _add_folder(listing: Listing, should_cancel: Callable[[], bool] | None) -> None:
    """Plain files first: of a picture that lies in an archive too, the plain file is used."""
    archives = []
    for name, file in _walk(listing.root, listing, should_cancel):
        packed = name.lower().endswith(ARCHIVE_SUFFIX) and file.is_file() and is_archive(file)
        (archives if packed else listing.files).append((name, file))
    for name, file in archives:
        check_cancelled(should_cancel)
        try:
            _add_archive(listing, file, name + "/")
        except ArchiveRefused as refusal:
            listing.skipped.append(SkippedFile(name, refusal.code, refusal.message))


def _add_archive(listing: Listing, path: Path, prefix: str) -> None:
    entries, refused = list_archive(path)
    listing.skipped += [SkippedFile(prefix + name, refusal.code, refusal.message) for name, refusal in refused]
    for entry in sorted(entries, key=lambda e: e.entry):
        if entry.entry.lower().endswith(ARCHIVE_SUFFIX):
            listing.skipped.append(SkippedFile(prefix + entry.entry, "nested_archive", f"{entry.name} is an archive within an archive; unpack it to see what it holds."))
        else:
            listing.files.append((prefix + entry.entry, entry))


def _listed_by(path: Path, should_cancel: Callable[[], bool] | None) -> Listing:
    """The files a DICOMDIR lists, those it does not, and those that are not there."""
    listing = Listing(path.parent)
    directory = read_dicomdir(path)
    there = [(name, file) for name, file in _walk(path.parent, listing, should_cancel) if file != path]
    listing.missing = _missing(directory, {_key(name) for name, _ in there})
    wanted = {_key(listed.name) for listed in directory.files}
    for name, file in there:
        if _key(name) in wanted:
            listing.files.append((name, file))
        else:
            listing.skipped.append(SkippedFile(name, "not_listed", f"{name} is not listed in {path.name}; open the folder itself to see it."))
    listing.skipped += [SkippedFile(m.name, "file_missing", f"{m.name} is listed in {path.name} but is not there.") for m in listing.missing]
    if directory.outside:
        listing.skipped.append(SkippedFile(path.name, "unsafe_name", f"{directory.outside} file(s) that {path.name} lists have names that lead out of its folder."))
    if not directory.files and not directory.outside:
        raise DicomRefused(f"{path.name} lists no files.", code="not_an_image", hint="Open the folder it lies in.")
    return listing


def _key(name: str) -> str:
    name = name.upper()
    return name.removesuffix(VERSION).removesuffix(".")


def _missing(directory: Directory, there: set[str]) -> list[ListedFile]:
    return [listed for listed in directory.files if _key(listed.name) not in there]


def missing_beside(name: str, source: Source, names: Iterable[str]) -> list[ListedFile]:
    """Files that the directory ``source``, found as ``name`` in a heap, lists but that are not among
    ``names``. A directory that cannot be read misses nothing."""
    try:
        directory = read_dicomdir(source)
    except NodusError:
        return []
    folder = name.rpartition("/")[0]
    prefix = _key(folder + "/") if folder else ""
    there = {key.removeprefix(prefix) for key in map(_key, names) if key.startswith(prefix)}
    return _missing(directory, there)
