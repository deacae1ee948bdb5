"""One caller of parallel kernels at a time: not every threading layer of Numba survives two."""

from __future__ import annotations

import threading

ONE_AT_A_TIME = threading.RLock()
