"""Decoded frames of the cine on screen: a few behind, a few ahead, never the whole loop.

Pure bookkeeping without a window: which frames are here, which one is decoded next, which go.
"""

from __future__ import annotations

from collections import OrderedDict

import numpy as np

BUDGET_BYTES = 96_000_000  # about 60 frames of 800 x 600 in colour
FEWEST, MOST = 12, 256
AHEAD = 8


class FramesAhead:
    """``frames`` decoded of a loop of ``count``; ``wanted`` is the one on screen, or awaited."""

    def __init__(self, count: int = 0, frame_bytes: int = 1):
        self.count = count
        self.room = int(np.clip(BUDGET_BYTES // max(frame_bytes, 1), FEWEST, MOST))
        self.wanted: int | None = None
        self._step = 1
        self._frames: OrderedDict[int, np.ndarray] = OrderedDict()
        self._failed: set[int] = set()

    def __contains__(self, index: int) -> bool:
        return index in self._frames

    def __getitem__(self, index: int) -> np.ndarray:
        return self._frames[index]

    def __len__(self) -> int:
        return len(self._frames)

    def want(self, index: int) -> None:
        """The frame that belongs on screen now; the way there says which follow (a loop that begins again goes on)."""
        if self.wanted is not None and index != self.wanted:
            by = index - self.wanted
            self._step = 1 if (by > 0) == (abs(by) <= self.count // 2) else -1
        self.wanted = index
        self._failed.discard(index)  # the reader may try again

    def put(self, index: int, pixels: np.ndarray) -> None:
        """A frame was decoded. Beyond the room the oldest go, never those that are just ahead."""
        self._frames[index] = pixels
        self._frames.move_to_end(index)
        needed = set(self._coming())
        for old in [n for n in self._frames if n not in needed][: max(0, len(self._frames) - self.room)]:
            del self._frames[old]

    def fail(self, index: int) -> None:
        """A frame cannot be decoded; it is not tried again until it is wanted."""
        self._failed.add(index)

    def next_to_decode(self, in_flight: set[int]) -> int | None:
        """The frame to decode next: the one that is waited for, then those ahead; None where all are here or on their way."""
        for n in self._coming():
            if n not in self._frames and n not in in_flight and n not in self._failed:
                return n
        return None

    def _coming(self) -> list[int]:
        if self.wanted is None or self.count == 0:
            return []
        return list(dict.fromkeys((self.wanted + self._step * k) % self.count for k in range(min(AHEAD + 1, self.count, self.room))))
