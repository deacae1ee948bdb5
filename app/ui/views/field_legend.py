"""Legends over a pane: a colour bar with its ticks, and bands with their names. QPainter only, no state.

They know nothing of fields: whoever shows a quantity in colours (field, margin, probability of cover) hands over its
title, unit, table and ticks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QBrush, QColor, QFontMetricsF, QImage, QPainter, QPen, QPolygonF

from app.ui.style import TEXT, pixel_font, shadow_text

BAR_WIDTH = 9.0
LINE_PX = 12.0  # tick names stand at least this far apart
HIGHEST, LOWEST = 150.0, 66.0  # height of a bar on screen
EDGE_PX = 28.0  # kept free at the right for the letter of orientation


@dataclass(frozen=True, slots=True)
class Tick:
    """A named place on the bar. ``bold`` marks the one that decides; ``mark`` goes behind its name."""

    value: float
    text: str
    bold: bool = False
    colour: str = TEXT
    mark: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class ColourBar:
    """A quantity in colours: ``table`` (uint8 (n, 3)) runs evenly from ``low`` to ``high``.

    ``open_above`` says that the last colour holds for everything beyond ``high``, ``open_below`` the same for the first.
    """

    title: str
    unit: str
    low: float
    high: float
    table: np.ndarray
    ticks: tuple[Tick, ...]
    open_above: bool = False
    open_below: bool = False

    @property
    def heading(self) -> str:
        """Title and unit as they stand over the bar."""
        return f"{self.title} {self.unit}".strip()


@dataclass(frozen=True, slots=True)
class Band:
    """A row of a legend: a swatch and its words; ``hatched`` draws stripes instead of a plain colour."""

    text: str
    rgb: tuple[int, int, int]
    hatched: bool = False
    see_through: bool = False  # an outline with a faint fill, as a translucent surface looks


def spread_ticks(places: Sequence[float], low: float, high: float, least: float = LINE_PX) -> list[float]:
    """Places (pixels, ascending) moved apart to ``least`` and kept within ``low`` and ``high`` as far as they go."""
    out: list[float] = []
    for place in places:
        out.append(max(place, out[-1] + least) if out else max(place, low))
    shift = max(0.0, out[-1] - high) if out else 0.0
    if shift:
        out[-1] -= shift
        for n in range(len(out) - 2, -1, -1):
            out[n] = min(out[n], out[n + 1] - least)
    return out


def bar_height(pane_height: float) -> float:
    """How high a bar is in a pane of this height; 0 where there is no room for one."""
    room = pane_height - 120.0
    return 0.0 if room < LOWEST else min(HIGHEST, room)


def draw_colour_bar(painter: QPainter, bar: ColourBar, right: float, top: float, height: float) -> QRectF:
    """Draw the bar with its right edge at ``right``, ticks and names to its left, the heading above; returns the box
    that it takes, so that names on the picture can keep clear of it."""
    painter.save()
    painter.setFont(pixel_font(11))
    metrics = painter.fontMetrics()
    heading_px = metrics.height() + 12.0
    left, first = right - BAR_WIDTH, top + heading_px
    colours = np.ascontiguousarray(bar.table[::-1])
    image = QImage(colours.data, 1, len(colours), 3, QImage.Format.Format_RGB888)
    painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, False)
    body = QRectF(left, first, BAR_WIDTH, height)
    painter.fillRect(body.adjusted(-2, -2, 2, 2), QColor(0, 0, 0, 150))
    painter.drawImage(body, image)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing, True)
    if bar.open_above:
        _arrow(painter, body, up=True, rgb=bar.table[-1])
    if bar.open_below:
        _arrow(painter, body, up=False, rgb=bar.table[0])
    ordered = sorted(bar.ticks, key=lambda tick: -tick.value)
    true = [first + (bar.high - tick.value) / (bar.high - bar.low) * height for tick in ordered]
    for tick, y, at in zip(ordered, true, spread_ticks(true, first, first + height), strict=True):
        painter.setPen(QPen(QColor(tick.colour), 2.0 if tick.bold else 1.0))
        painter.drawLine(QPointF(left - 3, y), QPointF(right, y))
        painter.setPen(QPen(QColor(tick.colour), 1.0))
        if abs(at - y) > 1.5:
            painter.drawLine(QPointF(left - 3, y), QPointF(left - 8, at))
        painter.setFont(pixel_font(11, bold=tick.bold))
        text = tick.text + tick.mark
        shadow_text(painter, QPointF(left - 10 - painter.fontMetrics().horizontalAdvance(text), at + 4), text, tick.colour)
    painter.setFont(pixel_font(11))
    shadow_text(painter, QPointF(right - metrics.horizontalAdvance(bar.heading), top + metrics.ascent()), bar.heading, TEXT)
    painter.restore()
    return bar_box(bar, right, top, height)


def bar_box(bar: ColourBar, right: float, top: float, height: float) -> QRectF:
    """The box that ``draw_colour_bar`` takes, before it is drawn: names drawn earlier keep clear of it."""
    metrics, bold = QFontMetricsF(pixel_font(11)), QFontMetricsF(pixel_font(11, bold=True))
    wide = max([bold.horizontalAdvance(tick.text + tick.mark) for tick in bar.ticks], default=0.0)
    left = min(right - BAR_WIDTH - 12 - wide, right - metrics.horizontalAdvance(bar.heading))
    return QRectF(left, top, right - left + 2, metrics.height() + 20 + height)


def draw_bands(painter: QPainter, title: str, bands: Sequence[Band], left: float, top: float) -> QRectF:
    """Draw a list of swatches with their words below a title; returns the box that it takes."""
    painter.save()
    painter.setFont(pixel_font(11))
    metrics = painter.fontMetrics()
    row = metrics.height() + 3.0
    y = top
    wide = max([metrics.horizontalAdvance(title), *(19 + metrics.horizontalAdvance(band.text) for band in bands)])
    whole = QRectF(left - 5, top - 3, wide + 12, row * len(bands) + (row + 1 if title else 0) + 6)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(QColor(10, 12, 13, 165))  # bone behind it would be as bright as the words
    painter.drawRoundedRect(whole, 3, 3)
    painter.setBrush(Qt.BrushStyle.NoBrush)
    if title:
        shadow_text(painter, QPointF(left, y + metrics.ascent()), title, TEXT)
        y += row + 1
    for band in bands:
        swatch = QRectF(left, y + 2, 13, row - 5)
        colour = QColor(*band.rgb)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)
        painter.fillRect(swatch.adjusted(-1, -1, 1, 1), QColor(0, 0, 0, 170))
        if band.hatched:
            painter.fillRect(swatch, QBrush(colour, Qt.BrushStyle.BDiagPattern))
        elif band.see_through:
            faint = QColor(colour)
            faint.setAlpha(90)
            painter.fillRect(swatch, faint)
        else:
            painter.fillRect(swatch, colour)
        painter.setPen(QPen(colour, 1))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawRect(swatch)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, True)
        shadow_text(painter, QPointF(left + 19, y + metrics.ascent()), band.text, TEXT)
        y += row
    painter.restore()
    return whole


def _arrow(painter: QPainter, body: QRectF, *, up: bool, rgb) -> None:
    """The pointed end of a bar whose last colour goes on."""
    edge, tip = (body.top(), body.top() - 6) if up else (body.bottom(), body.bottom() + 6)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(QColor(*(int(v) for v in rgb)))
    painter.drawPolygon(QPolygonF([QPointF(body.left(), edge), QPointF(body.right(), edge), QPointF(body.center().x(), tip)]))
    painter.setBrush(Qt.BrushStyle.NoBrush)
