"""How sure the cover is, over a slice: share of samples at or above the lethal field, as colour wash with named lines.

Values are sampled from the map's own grid at the pane's pixels.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from PySide6.QtCore import QLineF, QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QImage, QPainter, QPen

from app.ui import kernels
from app.ui.style import DANGER, TEXT, pixel_font, shadow_text
from app.ui.text import t
from app.ui.views.field_legend import EDGE_PX, ColourBar, Tick, bar_height, draw_colour_bar
from app.ui.views.overlays import HALO
from app.ui.views.plane import PlaneView

LEVELS = (0.5, 0.9, 0.95)
SURE = 0.95  # the level of the bold line, the hatching and the surface in space
MARK = " ◂"  # beside colour and weight
LEAST = 0.02  # shares below are left out: the picture below them stays as it is
HATCH = np.uint32(0xFFFF4A40)
LINE_COLOURS = {0.5: "#9FC7FF", 0.9: "#FFE08A", 0.95: "#FFFFFF"}

# Eight knots of the magma colour map (Smith and van der Walt, CC0): nobody takes it for the field's colours.
_MAGMA = ((59, 15, 112), (100, 26, 128), (140, 41, 129), (183, 55, 121), (222, 73, 104), (247, 112, 92), (254, 159, 109), (252, 253, 191))


@cache
def probability_table() -> np.ndarray:
    """256 RGB rows, uint8, for shares from 0 to 1."""
    knots, at = np.linspace(0, 1, len(_MAGMA)), np.linspace(0, 1, 256)
    channels = np.array(_MAGMA, float)
    return np.ascontiguousarray(np.stack([np.interp(at, knots, channels[:, c]) for c in range(3)], 1).round().astype(np.uint8))


def sample(probability: np.ndarray, geometry, image_geometry, view: PlaneView, number: int, step: float) -> np.ndarray:
    """Shares at every ``step``-th pixel of the pane, float32 ``[y, x]``, NaN outside the map's grid."""
    width, height = max(2, math.ceil(view.width / step) + 1), max(2, math.ceil(view.height / step) + 1)
    points = [view.index_point(x, y, number) for x, y in ((0.0, 0.0), (step, 0.0), (0.0, step))]
    start, right, below = geometry.world_to_index(image_geometry.index_to_world(np.array(points)))
    out = np.empty((height, width), np.float32)
    kernels.sample_volume(np.ascontiguousarray(probability, np.float32), np.ascontiguousarray(start), right - start, below - start, out)
    return out


class ProbabilityOverlay:
    """The map in one pane, kept until the slice, the view or the map changes."""

    def __init__(self, pane):
        self.pane = pane
        self._key: tuple | None = None
        self._of = None
        self._pixels: tuple = ()
        self._wash = self._hatch = None
        self._step = 1.0
        self._lines: list = []
        self.short = 0  # pixels of the target on this slice that fewer samples than SURE reach

    @property
    def is_shown(self) -> bool:
        """True while the session shows the map."""
        return self.pane.session.shown_probability is not None

    def draw(self, painter: QPainter) -> None:
        """Wash, hatching of what is not sure in the target, lines."""
        self._make()
        h, w = self._pixels[0].shape
        whole = QRectF(0, 0, w * self._step, h * self._step)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, True)
        painter.drawImage(whole, self._wash)
        if self.short:
            painter.drawImage(whole, self._hatch)
        for level, segments in self._lines:
            bold = level == SURE
            lines = [QLineF(*four) for four in (segments * self._step).tolist()]
            for pen in (QPen(HALO, 4.2 if bold else 2.4), QPen(QColor(LINE_COLOURS[level]), 2.6 if bold else 1.1)):
                pen.setCapStyle(Qt.PenCapStyle.RoundCap)
                painter.setPen(pen)
                painter.drawLines(lines)

    def name_lines(self, painter: QPainter, avoid: list[QRectF]) -> None:
        """Name each line once, where the name covers nothing of ``avoid`` and no other name."""
        painter.setFont(pixel_font(11, bold=True))
        taken, metrics, view = list(avoid), painter.fontMetrics(), self.pane.view
        for n, (level, segments) in enumerate(self._lines):
            text = f"{100 * level:g} %" + (MARK if level == SURE else "")
            size = metrics.boundingRect(text)
            points = segments[:, :2] * self._step
            points = points[(points[:, 0] > 4) & (points[:, 0] < view.width - size.width() - 12)]
            for turn in range(24 if len(points) else 0):
                angle = 0.2 + 0.6 * n + 0.37 * turn  # names of nodes stand above
                best = points[int(np.argmax(points @ np.array([math.cos(angle), math.sin(angle)])))]
                box = QRectF(best[0] + 3, best[1] - size.height() / 2, size.width() + 4, size.height())
                if not any(box.intersects(other) for other in taken):
                    taken.append(box)
                    shadow_text(painter, QPointF(box.left(), box.bottom() - 3), text, LINE_COLOURS[level])
                    break

    def notes(self) -> list[tuple[str, str]]:
        """What the corner says: colour is never the only sign."""
        short = [(t("▨ hatched: target under {p} % of samples").format(p=f"{100 * SURE:g}"), DANGER)] if self.short else []
        s = self.pane.session
        return [*short, (t("share of samples at {v} V/cm or more").format(v=f"{s.plan.lethal_v_per_cm:g}"), TEXT)]

    def _make(self) -> None:
        pane, s = self.pane, self.pane.session
        result, view = s.shown_probability, pane.view
        target = pane.shown_target
        if target is not None and not target.geometry.same_grid(pane.geometry):
            target = None  # outlined on another series
        key = (pane.slice_number, view.middle, view.px_per_mm, view.width, view.height, s.field_opacity, pane._mask_version, target is None)
        if key == self._key and result is self._of:
            return
        self._key = None  # until all of it is made: after an error nothing half made is taken for the picture
        self._step = 1.0 if view.width * view.height <= 420_000 else 2.0
        share = sample(result.probability, result.geometry, pane.geometry, view, pane.slice_number, self._step)
        wash = np.empty(share.shape, np.uint32)
        kernels.colour_wash(share, probability_table(), LEAST, 1.0, s.field_opacity, wash)
        hatch, self.short = np.zeros((1, 1), np.uint32), 0
        if target is not None:
            plane = view.axes.slice_of(target.array, pane.slice_number).view(np.uint8)
            (across0, down0), (across1, down1) = view.to_index(0, 0), view.to_index(self._step, self._step)
            hatch = np.empty(share.shape, np.uint32)
            # Half a sample's worth below: a share that is exactly the level counts.
            self.short = kernels.hatch_uncovered(share, plane, across0, across1 - across0, down0, down1 - down0, SURE - 1e-6, max(4, int(8 / self._step)), HATCH, hatch)
        lines = [(level, kernels.contour_segments(share, level)) for level in LEVELS]
        self._lines = [(level, segments) for level, segments in lines if len(segments)]
        self._wash, self._hatch = _image(wash), _image(hatch)  # the old pictures go before the memory that they look into
        self._pixels, self._key, self._of = (wash, hatch), key, result


def colour_bar() -> ColourBar:
    """The bar of the wash, with ticks at the lines."""
    ticks = tuple(Tick(level, f"{100 * level:g}", level == SURE, LINE_COLOURS[level], MARK if level == SURE else "") for level in LEVELS)
    return ColourBar(t("samples"), "%", 0.0, 1.0, probability_table(), (Tick(0.0, "0"), *ticks, Tick(1.0, "100")))


def draw_legend(painter: QPainter, width: int, height: int) -> QRectF:
    """The bar where the field's would stand; an empty box where the pane is too low for it."""
    tall = bar_height(height)
    return draw_colour_bar(painter, colour_bar(), width - EDGE_PX, 44.0, tall) if tall and width > 220 else QRectF()


def _image(pixels: np.ndarray) -> QImage:
    h, w = pixels.shape
    return QImage(pixels.data, w, h, 4 * w, QImage.Format.Format_ARGB32_Premultiplied)
