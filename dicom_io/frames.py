"""Many frames of a loop one after the other, decoded side by side.

Decoders let other threads run while they work. A few frames are decoded ahead of the one that is
asked for, so that all cores are busy and a loop of any length needs the memory of those few.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from dicom_io.headers import check_cancelled
from volumetry.image import Cine

MOST_WORKERS = 8


def iter_frames(
    cine: Cine, frames: Iterable[int] | None = None, *, workers: int | None = None, should_cancel: Callable[[], bool] | None = None
) -> Iterator[np.ndarray]:
    """The given frames (all of them without ``frames``) in their order, as ``cine.read_frame`` gives them.

    At most twice as many frames as ``workers`` (all cores without it) are in memory at a time.
    ``should_cancel()`` is asked before each (raises ``Cancelled``); a frame's own refusal is raised
    where its turn comes.
    """
    chosen = iter(range(cine.frame_count) if frames is None else frames)
    count = workers or min(MOST_WORKERS, os.cpu_count() or 1)
    waiting: deque[Future[np.ndarray]] = deque()
    with ThreadPoolExecutor(count, thread_name_prefix="frames") as pool:
        try:
            for frame in chosen:
                check_cancelled(should_cancel)
                waiting.append(pool.submit(cine.read_frame, frame))
                if len(waiting) >= 2 * count:
                    yield waiting.popleft().result()
            while waiting:
                check_cancelled(should_cancel)
                yield waiting.popleft().result()
        finally:
            for one in waiting:
                one.cancel()
