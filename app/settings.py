"""Where Nodus keeps its own things, and the settings libraries read once at import."""

from __future__ import annotations

import os
import sys
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


def prepare_process() -> None:
    """Environment for numba, OpenMP, BLAS and VTK; must run before any of them is imported.

    - compiled kernels go into the user's cache, because an installed program's folder may be
      read-only;
    - the OpenMP layer, because Numba's own ``workqueue`` aborts the process when two threads run
      parallel kernels at once; passive waiting, because spinning starves a busy render thread;
    - one BLAS thread, because BLAS and Numba threads fight over the same cores;
    - VTK draws off screen by EGL on Linux, which works with and without a display.
    """
    os.environ.setdefault("NUMBA_CACHE_DIR", str(cache_folder() / "numba"))
    os.environ.setdefault("NUMBA_THREADING_LAYER", "omp")
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    os.environ.setdefault("GOMP_SPINCOUNT", "0")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    if sys.platform.startswith("linux"):
        os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")
