"""What several parts of one export work out of the same snapshot is worked out once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import wraps
from typing import Any


def once_per_snapshot(work: Callable) -> Callable:
    """Keep the last answer of ``work(snapshot, *more)`` for as long as it is asked about the very same snapshot (which never
    changes) and the same hashable ``more``. One answer is kept, one a thread; callers must not change it."""
    kept = threading.local()

    @wraps(work)
    def asked(snapshot: Any, *more: Any) -> Any:
        last = getattr(kept, "last", None)
        if last is None or last[0] is not snapshot or last[1] != more:
            last = kept.last = (snapshot, more, work(snapshot, *more))
        return last[2]

    return asked
