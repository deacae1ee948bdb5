"""Where Nodus keeps its own things, what a person chose for this computer, and the settings libraries read
once at import."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import platformdirs


def cache_folder() -> Path:
    """The user's cache: compiled kernels. Safe to delete."""
    return Path(platformdirs.user_cache_dir("nodus", appauthor=False))


def data_folder() -> Path:
    """The user's data: the demonstration study lives here unless told otherwise."""
    return Path(platformdirs.user_data_dir("nodus", appauthor=False))


def log_folder() -> Path:
    """The user's logs. Nothing that names a patient is ever written there."""
    return Path(platformdirs.user_log_dir("nodus", appauthor=False))


@dataclass(frozen=True, slots=True)
class Settings:
    """What a person chose for this computer. ``model_on`` lets outlines be proposed by the user's own network in
    ``model_folder``; it is off unless somebody switched it on."""

    model_on: bool = False
    model_folder: str | None = None


def settings_file() -> Path:
    """Where the choices are kept: ``NODUS_SETTINGS``, else in the user's configuration folder."""
    named = os.environ.get("NODUS_SETTINGS")
    return Path(named) if named else Path(platformdirs.user_config_dir("nodus", appauthor=False)) / "settings.json"


def load_settings() -> Settings:
    """The choices kept, and the default for whatever is absent, unreadable or of another kind: a damaged file
    switches nothing on."""
    try:
        content = json.loads(settings_file().read_text("utf-8"))
    except (OSError, ValueError):
        return Settings()
    if not isinstance(content, dict):
        return Settings()
    folder = content.get("model_folder")
    return Settings(content.get("model_on") is True, folder if isinstance(folder, str) and folder else None)


def save_settings(settings: Settings) -> None:
    """Keep the choices, whole or not at all; entries of another version stay. Raises ``OSError``."""
    known = {f.name for f in fields(Settings)}
    _rewrite({k: v for k, v in _entries().items() if k not in known} | asdict(settings))


def load_entry(name: str):
    """An entry of the settings that is no choice of ``Settings`` (the PACS list); None where absent or unreadable."""
    return _entries().get(name)


def save_entry(name: str, value) -> None:
    """Keep such an entry (anything JSON can hold); all others stay. Raises ``OSError``."""
    _rewrite(_entries() | {name: value})


def _entries() -> dict:
    try:
        kept = json.loads(settings_file().read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return kept if isinstance(kept, dict) else {}


def _rewrite(content: dict) -> None:
    place = settings_file()
    place.parent.mkdir(parents=True, exist_ok=True)
    fresh = place.with_name(place.name + ".new")
    fresh.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", "utf-8")
    os.replace(fresh, place)


KERNEL_ROOMS = ("volumetry/kernels", "planning/kernels", "dicom_io/kernels", "app/demo/kernels")


def kernel_stamp(root: Path | None = None) -> str:
    """A short name for the present sources of all kernels.

    Numba sees that the file of a kernel changed, not that a file it calls into did: after an update
    a kernel from an older cache could answer with older code. In the frozen program there are no
    source files; there Numba goes by the program file itself.
    """
    digest = hashlib.sha256()
    root = root or Path(__file__).resolve().parents[1]
    for room in KERNEL_ROOMS:
        for source in sorted((root / room).glob("*.py")):
            digest.update(source.name.encode() + source.read_bytes())
    return digest.hexdigest()[:12]


def prepare_process() -> None:
    """Environment for numba, OpenMP, BLAS and VTK; must run before any of them is imported.

    - compiled kernels go into the user's cache, because an installed program's folder may be
      read-only, each set of kernel sources into a folder of its own (``kernel_stamp``);
    - the OpenMP layer, because Numba's own ``workqueue`` aborts the process when two threads run
      parallel kernels at once; passive waiting, because spinning starves a busy render thread;
    - one BLAS thread, because BLAS and Numba threads fight over the same cores;
    - VTK draws off screen by EGL on Linux, which works with and without a display.
    """
    os.environ.setdefault("NUMBA_CACHE_DIR", str(cache_folder() / "numba" / kernel_stamp()))
    os.environ.setdefault("NUMBA_THREADING_LAYER", "omp")
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    os.environ.setdefault("GOMP_SPINCOUNT", "0")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    if sys.platform.startswith("linux"):
        os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")
