"""One row of ``nodus bench``, and how a time is taken."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Row:
    """One comparison. ``ratio`` is peer time over ours (above 1 we are faster)."""

    task: str
    ours_s: float
    peer: str | None = None
    peer_s: float | None = None
    ratio: float | None = None
    same_result: bool | None = None


def compare(task: str, ours_s: float, peer: str | None = None, peer_s: float | None = None, same: bool | None = None) -> Row:
    """A row with its ratio."""
    return Row(task, ours_s, peer, peer_s, None if not peer_s else peer_s / ours_s, same)


def best_of(work: Callable[[], object], times: int = 5) -> tuple[float, object]:
    """Shortest of several runs, and the last result; the shortest is the least disturbed."""
    best, result = float("inf"), None
    for _ in range(times):
        started = time.perf_counter()
        result = work()
        best = min(best, time.perf_counter() - started)
    return best, result


def machine_name() -> str:
    """CPU, cores, system and Python, for the report's head."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    return f"{model}, {os.cpu_count()} cores, {platform.system()} {platform.release()}, Python {platform.python_version()}"
