"""Drawing on the page of a report: text in any script, tables, a chart, pictures. Knows no study."""

from __future__ import annotations

import io
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from reportlab.pdfbase import pdfmetrics
from reportlab.pdfgen.canvas import Canvas

INK = (0.10, 0.12, 0.15)
GREY = (0.42, 0.45, 0.50)
RULE = (0.78, 0.80, 0.83)
SHADE = (0.945, 0.95, 0.96)
ALARM = (0.70, 0.10, 0.08)

# Told apart without colour vision (Okabe and Ito) and, by marker and dash, in a grey print.
SERIES_COLOURS = ((0.0, 0.45, 0.70), (0.84, 0.37, 0.0), (0.0, 0.62, 0.45), (0.80, 0.47, 0.65), (0.34, 0.34, 0.34), (0.60, 0.50, 0.0))
DASHES: tuple[tuple[float, ...], ...] = ((), (4, 2), (1.2, 1.8), (6, 2, 1.2, 2))


@cache
def _wide_font() -> str:
    """A font for what the built-in Latin fonts cannot write (names in Chinese)."""
    from reportlab.pdfbase.cidfonts import UnicodeCIDFont

    pdfmetrics.registerFont(UnicodeCIDFont("STSong-Light"))
    return "STSong-Light"


def _runs(text: str, bold: bool) -> list[tuple[str, str]]:
    """Text cut into pieces of one font each."""
    latin = "Helvetica-Bold" if bold else "Helvetica"
    runs: list[tuple[str, str]] = []
    for letter in text:
        try:
            letter.encode("cp1252")
            font = latin
        except UnicodeEncodeError:
            font = _wide_font()
        if runs and runs[-1][0] == font:
            runs[-1] = (font, runs[-1][1] + letter)
        else:
            runs.append((font, letter))
    return runs


def text_width(text: str, size: float, bold: bool = False) -> float:
    """Width in points."""
    return sum(pdfmetrics.stringWidth(piece, font, size) for font, piece in _runs(text, bold))


def fit(text: str, width: float, size: float, bold: bool = False) -> str:
    """The text, cut with an ellipsis where it is wider than ``width`` points."""
    if text_width(text, size, bold) <= width:
        return text
    while text and text_width(text + "…", size, bold) > width:
        text = text[:-1]
    return text.rstrip() + "…"


def wrap(text: str, width: float, size: float, lines: int, bold: bool = False) -> list[str]:
    """The text in at most ``lines`` lines; the last one is cut where it does not fit."""
    out: list[str] = []
    words = text.split()
    while words:
        if len(out) == lines - 1:
            out.append(fit(" ".join(words), width, size, bold))
            break
        take = 1
        while take < len(words) and text_width(" ".join(words[: take + 1]), size, bold) <= width:
            take += 1
        out.append(fit(" ".join(words[:take]), width, size, bold))
        words = words[take:]
    return out


class Page:
    """One A4 page; ``y`` counts from the bottom, in points."""

    def __init__(self, canvas: Canvas) -> None:
        self.canvas = canvas

    def text(self, x: float, y: float, text: str, size: float, *, bold: bool = False, colour=INK, align: str = "left") -> None:
        """Draw a line of text; ``x`` is its left end, its middle or its right end."""
        if align != "left":
            width = text_width(text, size, bold)
            x -= width if align == "right" else width / 2
        self.canvas.setFillColorRGB(*colour)
        for font, piece in _runs(text, bold):
            self.canvas.setFont(font, size)
            self.canvas.drawString(x, y, piece)
            x += pdfmetrics.stringWidth(piece, font, size)

    def line(self, x1: float, y1: float, x2: float, y2: float, *, colour=RULE, width: float = 0.5, dash: Sequence[float] = ()) -> None:
        """Draw a straight line."""
        self.canvas.setStrokeColorRGB(*colour)
        self.canvas.setLineWidth(width)
        self.canvas.setDash(*([list(dash)] if dash else []))
        self.canvas.line(x1, y1, x2, y2)
        self.canvas.setDash()

    def box(self, x: float, y: float, width: float, height: float, *, fill=None, stroke=RULE) -> None:
        """Draw a rectangle."""
        if fill is not None:
            self.canvas.setFillColorRGB(*fill)
        if stroke is not None:
            self.canvas.setStrokeColorRGB(*stroke)
            self.canvas.setLineWidth(0.5)
        self.canvas.rect(x, y, width, height, fill=int(fill is not None), stroke=int(stroke is not None))

    def heading(self, x: float, y: float, text: str, width: float) -> None:
        """A small heading with a rule below."""
        self.text(x, y, text, 8.5, bold=True)
        self.line(x, y - 3, x + width, y - 3, colour=GREY, width=0.6)

    def picture(self, x: float, y: float, width: float, height: float, png: bytes) -> None:
        """Draw a PNG inside the box, keeping its proportions, on black."""
        from PIL import Image
        from reportlab.lib.utils import ImageReader

        image = Image.open(io.BytesIO(png)).convert("RGB")
        limit = 600  # pixels: enough for print at this size, and the file stays small
        if max(image.size) > limit:
            image.thumbnail((limit, limit), Image.Resampling.LANCZOS)
        scale = min(width / image.width, height / image.height)
        w, h = image.width * scale, image.height * scale
        self.box(x, y, width, height, fill=(0, 0, 0), stroke=None)
        self.canvas.drawImage(ImageReader(image), x + (width - w) / 2, y + (height - h) / 2, w, h)

    def marker(self, x: float, y: float, kind: int, colour, size: float = 2.6) -> None:
        """A data point: circle, square, triangle, diamond."""
        canvas = self.canvas
        canvas.setFillColorRGB(*colour)
        canvas.setStrokeColorRGB(1, 1, 1)
        canvas.setLineWidth(0.4)
        path = canvas.beginPath()
        if kind % 4 == 0:
            canvas.circle(x, y, size, fill=1, stroke=1)
            return
        corners = {
            1: ((-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)),
            2: ((-1.1, -0.9), (1.1, -0.9), (0, 1.15)),
            3: ((0, -1.25), (1.25, 0), (0, 1.25), (-1.25, 0)),
        }[kind % 4]
        path.moveTo(x + corners[0][0] * size, y + corners[0][1] * size)
        for dx, dy in corners[1:]:
            path.lineTo(x + dx * size, y + dy * size)
        path.close()
        canvas.drawPath(path, fill=1, stroke=1)


@dataclass(frozen=True, slots=True)
class TableColumn:
    """A column of a table: heading, width in points, alignment (``left`` or ``right``)."""

    title: str
    width: float
    align: str = "left"


def draw_table(
    page: Page, x: float, top: float, columns: Sequence[TableColumn], rows: Sequence[Sequence[Any]], *, row_height: float, groups: Sequence[int]
) -> float:
    """Draw a table and return its lower edge. ``groups`` numbers each row's group: a rule and a
    change of shade part the groups. A cell may be text or ``(text, bold, colour)``."""
    size = min(7.4, row_height * 0.66)
    width = sum(c.width for c in columns)
    head = row_height + 2
    y = top - head
    cursor = x
    for column in columns:
        _cell(page, cursor, y + head * 0.3, column, (column.title, True, GREY), min(size, 7.0))
        cursor += column.width
    page.line(x, y, x + width, y, colour=GREY, width=0.6)
    for index, (row, group) in enumerate(zip(rows, groups, strict=True)):
        y -= row_height
        if group % 2 == 1:
            page.box(x, y, width, row_height, fill=SHADE, stroke=None)
        if index and groups[index - 1] != group:
            page.line(x, y + row_height, x + width, y + row_height)
        cursor = x
        for column, cell in zip(columns, row, strict=True):
            _cell(page, cursor, y + row_height * 0.3, column, cell, size)
            cursor += column.width
    page.line(x, y, x + width, y, colour=GREY, width=0.6)
    return y


def _cell(page: Page, x: float, y: float, column: TableColumn, cell: Any, size: float) -> None:
    text, bold, colour = cell if isinstance(cell, tuple) else (cell, False, INK)
    text = fit(text, column.width - 4, size, bold)
    if column.align == "right":
        page.text(x + column.width - 4, y, text, size, bold=bold, colour=colour, align="right")
    else:
        page.text(x + 2, y, text, size, bold=bold, colour=colour)


@dataclass(frozen=True, slots=True)
class ChartPoint:
    """A point of the chart: place on the axis, value and interval in percent."""

    x: float
    y: float
    interval: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class ChartLine:
    """One line of the chart with its legend."""

    name: str
    points: tuple[ChartPoint, ...]


def draw_chart(
    page: Page,
    x: float,
    y: float,
    width: float,
    height: float,
    lines: Sequence[ChartLine],
    ticks: Sequence[tuple[float, str]],
    *,
    axis_title: str,
) -> None:
    """Volume reduction rate over time: 0 to 100 %, further down where a node grew."""
    values = [v for line in lines for p in line.points for v in (p.y, *(p.interval or ()))]
    lowest = min([0.0, *values])
    bottom = -25.0 * -(-max(0.0, -lowest) // 25.0)
    step = 25.0 if bottom >= -100 else 25.0 * -(-(100.0 - bottom) // 200.0)
    bottom = -step * -(-max(0.0, -bottom) // step)
    left, right = x + 30, x + width - 6
    legend_columns = 3 if len(lines) <= 6 else 5
    legend_rows = -(-len(lines) // legend_columns)
    low, high = y + 33 + 10 * legend_rows, y + height - 8
    span = [t for t, _ in ticks] + [p.x for line in lines for p in line.points]
    first, last = (min(span), max(span)) if span else (0.0, 1.0)
    scale_x = (right - left - 12) / max(last - first, 1e-9)
    scale_y = (high - low) / (100.0 - bottom)

    def at(px: float, py: float) -> tuple[float, float]:
        return left + 6 + (px - first) * scale_x, low + (min(max(py, bottom), 100.0) - bottom) * scale_y

    value = bottom
    while value <= 100.0:
        _, gy = at(first, value)
        page.line(left, gy, right, gy, colour=GREY if value == 0 else RULE, width=0.8 if value == 0 else 0.4)
        page.text(left - 3, gy - 2.2, f"{value:.0f}", 6.5, colour=GREY, align="right")
        value += step
    _draw_ticks(page, ticks, at, low)
    page.text((left + right) / 2, low - 25.5, axis_title, 6.5, colour=GREY, align="center")
    page.canvas.saveState()
    page.canvas.translate(x + 7, (low + high) / 2)
    page.canvas.rotate(90)
    page.text(0, 0, "Volume reduction rate (%)", 6.5, colour=GREY, align="center")
    page.canvas.restoreState()
    for number, line in enumerate(lines):
        colour, dash = SERIES_COLOURS[number % len(SERIES_COLOURS)], DASHES[number // len(SERIES_COLOURS) % len(DASHES)]
        # A small sidestep keeps the whiskers of several nodes at one visit apart.
        aside = (number - (len(lines) - 1) / 2) * min(2.6, 9.0 / max(len(lines), 1))
        places = [(px + aside, py) for px, py in (at(p.x, p.y) for p in line.points)]
        for (x1, y1), (x2, y2) in itertools.pairwise(places):
            page.line(x1, y1, x2, y2, colour=colour, width=1.1, dash=dash)
        for point, (px, _py) in zip(line.points, places, strict=True):
            if point.interval is not None:
                lo, hi = at(point.x, point.interval[0])[1], at(point.x, point.interval[1])[1]
                page.line(px, lo, px, hi, colour=colour, width=0.7)
                for end in (lo, hi):
                    page.line(px - 1.8, end, px + 1.8, end, colour=colour, width=0.7)
        for px, py in places:
            page.marker(px, py, number, colour)
        column, row = number % legend_columns, number // legend_columns
        lx, ly = left + column * (right - left) / legend_columns, low - 37 - 10 * row
        page.line(lx, ly + 2.2, lx + 14, ly + 2.2, colour=colour, width=1.1, dash=dash)
        page.marker(lx + 7, ly + 2.2, number, colour)
        page.text(lx + 17, ly, fit(line.name, (right - left) / legend_columns - 20, 6.5), 6.5)


def _draw_ticks(page: Page, ticks: Sequence[tuple[float, str]], at, low: float) -> None:
    """Ticks with their names in two rows, so that neighbours do not run into each other; a name that
    fits in neither is left out."""
    free = [float("-inf"), float("-inf")]
    for place, name in ticks:
        tx, _ = at(place, 0.0)
        half = text_width(name, 6.2) / 2
        row = next((n for n in (0, 1) if tx - half >= free[n]), None)
        page.line(tx, low, tx, low - (2.5 if row != 1 else 9.5), colour=GREY, width=0.4)
        if row is not None:
            page.text(tx, low - 9 - 7.2 * row, name, 6.2, align="center")
            free[row] = tx + half + 3
