"""A wire that follows edges from the last anchor to the cursor, on one ultrasound picture or CT slice.

The way is the cheapest on a cost that is low on edges ("live-wire"; Mortensen and Barrett, Graph Models
Image Process 1998;60:349). All ways from an anchor are worked out when it is set, so that following the
cursor is only a look-up.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from volumetry.errors import SegmentationRefused
from volumetry.segmentation.polar import outline_mask

EDGE_PX = 2.5  # sd of the smoothing: wider than a grain of speckle
NEAR_PX = 150  # ways are worked out this far around an anchor, and over the whole picture once the cursor leaves
FLOOR = 0.1  # cost of a pixel on the clearest edge: what length itself costs, so that no wire goes round the far side
AWAY_PX, BACK = 4.0, 5.0  # on closing, pixels this near to what is drawn cost this much more
ROUND_PX = 2.0  # sd along the wire that rounds off its pixel steps
REACH_PX = 6.0  # how far across the way its edge is looked for
SETTLE_PX = 4.0  # sd along the way over which neighbours look together
STRONG_PCT = 97.0  # an edge as strong as this share of the picture's pixels is a clear one


class Livewire:
    """The wire on one picture. Points are (x, y) = (column, row), pixel centres at whole numbers.

    ``picture`` is grey ``[row, column]``, at least 8 x 8, of finite numbers; ``edge_px`` the sd of the
    smoothing in pixels. Refuses ``not_a_picture`` and ``nan``.
    """

    def __init__(self, picture: np.ndarray, *, edge_px: float = EDGE_PX):
        grey = np.asarray(picture)
        if grey.ndim != 2 or min(grey.shape) < 8:
            raise SegmentationRefused("The wire needs a grey picture of at least 8 x 8 pixels.", code="not_a_picture")
        grey = grey.astype(np.float32)
        if not np.isfinite(grey).all() or not (np.isfinite(edge_px) and edge_px > 0):
            raise SegmentationRefused("The picture has undefined values.", code="nan")
        self.shape: tuple[int, int] = grey.shape
        self.strength = ndimage.gaussian_gradient_magnitude(grey, edge_px, mode="nearest")
        clear = float(np.percentile(self.strength, STRONG_PCT))
        self.cost = FLOOR + (1 - np.clip(self.strength / (clear or 1.0), 0, 1)) ** 2
        self.anchor: tuple[float, float] | None = None
        self._ways = None
        self._low = (0, 0)
        self._size = (0, 0)

    def set_anchor(self, xy, *, snap_px: float = 0.0) -> tuple[float, float]:
        """Fix the wire here and work out all ways from here; returns the anchor.

        With ``snap_px`` the anchor goes to the strongest edge within that distance. Refuses
        ``seed_outside`` and ``nan``.
        """
        x, y = self._inside(xy)
        if snap_px > 0:
            rows, columns = np.indices(self.shape)
            near = np.hypot(columns - x, rows - y) <= max(snap_px, 0.5)
            if near.any():
                row, column = np.unravel_index(int(np.where(near, self.strength, -1.0).argmax()), self.shape)
                x, y = float(column), float(row)
        self.anchor = (x, y)
        self._work_out(NEAR_PX)
        return self.anchor

    def path_to(self, xy) -> np.ndarray:
        """(n, 2) points of the wire from the anchor to ``xy``, both included. Refuses ``seed_outside``,
        ``nan``, and ``wire_not_begun`` before the first anchor."""
        if self.anchor is None:
            raise SegmentationRefused("The wire has no anchor yet.", code="wire_not_begun", hint="Click on the node's edge first.")
        x, y = self._inside(xy)
        row, column = round(y) - self._low[0], round(x) - self._low[1]
        if not (0 <= row < self._size[0] and 0 <= column < self._size[1]):
            self._work_out(max(self.shape))
            row, column = round(y) - self._low[0], round(x) - self._low[1]
        steps = np.array(self._ways.traceback((row, column)), dtype=np.float64)[:, ::-1] + self._low[::-1]
        steps[0], end = self.anchor, np.array([x, y])
        steps = np.vstack([steps, end]) if len(steps) == 1 else np.vstack([steps[:-1], end])
        if len(steps) < 4:
            return steps
        # point reflection at both ends keeps them where they were set
        pad = min(len(steps) - 1, int(4 * ROUND_PX))
        long = np.vstack([2 * steps[0] - steps[pad:0:-1], steps, 2 * steps[-1] - steps[-2 : -2 - pad : -1]])
        return self._settled(ndimage.gaussian_filter1d(long, ROUND_PX, axis=0)[pad:-pad])

    def _settled(self, way: np.ndarray) -> np.ndarray:
        """``way`` moved across itself to where the edge near it is strongest, both ends staying.

        The cheapest way cuts corners, for length itself costs: round a node it runs to the inner side. The
        middle of the edge's strength on a line across the way has no such lean. Neighbours settle together.
        """
        along = np.gradient(way, axis=0)
        across = np.column_stack([-along[:, 1], along[:, 0]])
        across /= np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-9)
        off = np.arange(-REACH_PX, REACH_PX + 0.25, 0.5)
        at = way[:, None] + off[:, None] * across[:, None]
        strength = ndimage.map_coordinates(self.strength, [at[..., 1], at[..., 0]], order=1, mode="nearest")
        # Along the way first: one grain of speckle is no edge.
        strength = ndimage.gaussian_filter1d(strength, SETTLE_PX, axis=0, mode="nearest") * np.exp(-0.5 * (off / (0.5 * REACH_PX)) ** 2)
        strength = np.clip(strength - 0.5 * strength.max(axis=1, keepdims=True), 0, None)
        moved = (strength * off).sum(axis=1) / np.maximum(strength.sum(axis=1), 1e-9)
        moved = ndimage.gaussian_filter1d(moved, ROUND_PX, mode="nearest")
        ends = np.minimum(np.arange(len(way)), np.arange(len(way))[::-1])
        return way + (moved * np.minimum(1.0, ends / (2 * ROUND_PX)))[:, None] * across

    def closed(self, points) -> np.ndarray:
        """(m, 2) ``points`` and the wire from the last of them back to the first (not repeated).

        The anchor goes to the last point. The wire does not run back along what is drawn, however
        clear that edge is. Refuses ``bad_contour`` (fewer than three points).
        """
        drawn = self._drawn(points)
        self.set_anchor(drawn[-1])
        ends = np.minimum(*(np.linalg.norm(drawn - drawn[n], axis=1) for n in (0, -1)))
        used = np.ones(self.shape, dtype=bool)
        row, column = np.clip(np.rint(drawn[ends > 2 * AWAY_PX]).astype(int)[:, ::-1].T, 0, np.array(self.shape)[:, None] - 1)
        used[row, column] = False
        self._work_out(max(self.shape), self.cost + BACK * (ndimage.distance_transform_edt(used) <= AWAY_PX) if len(row) else self.cost)
        wire = self.path_to(drawn[0])[1:-1]
        self._work_out(NEAR_PX)  # the next wire is free again
        return np.vstack([drawn, wire])

    def close(self, points) -> np.ndarray:
        """Bool ``[row, column]``: what the closed wire holds. Refuses ``bad_contour`` where that is nothing."""
        mask = outline_mask(self.closed(points), self.shape)
        if not mask.any():
            raise SegmentationRefused("The wire encloses nothing.", code="bad_contour", hint="Set anchors all the way round the node.")
        return mask

    def _inside(self, xy) -> tuple[float, float]:
        point = np.asarray(xy, dtype=np.float64).reshape(-1)
        if point.shape != (2,) or not np.isfinite(point).all():
            raise SegmentationRefused("The point is not a place on the picture.", code="nan")
        x, y = (float(v) for v in point)
        if not (-0.5 <= x <= self.shape[1] - 0.5 and -0.5 <= y <= self.shape[0] - 0.5):
            raise SegmentationRefused("The point lies outside the picture.", code="seed_outside")
        return min(max(x, 0.0), self.shape[1] - 1.0), min(max(y, 0.0), self.shape[0] - 1.0)

    def _drawn(self, points) -> np.ndarray:
        drawn = np.asarray(points, dtype=np.float64)
        if drawn.ndim != 2 or drawn.shape[1] != 2 or len(drawn) < 3 or not np.isfinite(drawn).all():
            raise SegmentationRefused("A drawn outline needs at least three points.", code="bad_contour")
        return drawn

    def _work_out(self, reach_px: int, cost: np.ndarray | None = None) -> None:
        from skimage.graph import MCP_Geometric  # only who draws with the wire pays the import

        row, column = round(self.anchor[1]), round(self.anchor[0])
        low = (max(0, row - reach_px), max(0, column - reach_px))
        part = (self.cost if cost is None else cost)[low[0] : row + reach_px + 1, low[1] : column + reach_px + 1]
        self._ways = MCP_Geometric(part, fully_connected=True)
        self._ways.find_costs([(row - low[0], column - low[1])])
        self._low, self._size = low, part.shape
