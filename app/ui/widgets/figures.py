"""One number as it is shown: with unit, interval and source, or a dash with the reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.ui.text import t

DASH = "–"


def number_text(value: float | None, decimals: int) -> str:
    """A number for the screen with a true minus sign; a dash for None."""
    if value is None:
        return DASH
    text = f"{value:.{decimals}f}"
    if float(text) == 0:
        text = text.lstrip("-")
    return text.replace("-", "−")


def volume_decimals(volume_ml: float | None) -> int:
    """Decimals that show a volume in ml to about three figures."""
    if volume_ml == 0:
        return 0
    if volume_ml is None or abs(volume_ml) >= 100:
        return 1
    return 2 if abs(volume_ml) >= 1 else 3


def interval_text(interval: Sequence[float] | None, decimals: int) -> str:
    """``1.10 to 1.32``; empty where there is no interval."""
    if interval is None:
        return ""
    low, high = interval
    return t("{low} to {high}").format(low=number_text(low, decimals), high=number_text(high, decimals))


def compact_interval(interval: Sequence[float] | None, decimals: int) -> str:
    """``1.10–1.32`` for narrow cells; with a negative end the dash would mislead, so ``to``."""
    if interval is None or min(interval) < 0:
        return interval_text(interval, decimals)
    return f"{number_text(interval[0], decimals)}–{number_text(interval[1], decimals)}"


@dataclass(frozen=True, slots=True)
class Figure:
    """A value for a table or a label.

    ``value`` is a number, several numbers (axes), words (modality), or None. ``interval`` is the 95 % interval in
    the value's unit. ``source`` says how it was obtained; ``reason`` says why it is unknown.
    """

    label: str
    value: float | Sequence[float] | str | None
    unit: str = ""
    decimals: int = 1
    interval: tuple[float, float] | None = None
    source: str = ""
    reason: str = ""
    joiner: str = " × "  # between several numbers
    needs_interval: bool = False  # say so where the interval is not known

    @property
    def number(self) -> str:
        """The number without its unit."""
        if self.value is None:
            return DASH
        if isinstance(self.value, str):
            return self.value
        if isinstance(self.value, (int, float)):
            return number_text(self.value, self.decimals)
        return self.joiner.join(number_text(v, self.decimals) for v in self.value)

    @property
    def text(self) -> str:
        """The number with its unit; a dash alone where it is unknown."""
        return self.number if self.value is None or not self.unit else f"{self.number} {self.unit}"

    @property
    def interval_line(self) -> str:
        """``95 % interval 1.10 to 1.32 ml``, or empty."""
        if self.interval is None:
            return ""
        return t("95 % interval {interval} {unit}").format(interval=interval_text(self.interval, self.decimals), unit=self.unit).strip()

    @property
    def tip(self) -> str:
        """Everything known about the number, one line each."""
        lines = [f"{self.label}: {self.text}"]
        if self.interval_line:
            lines.append(self.interval_line)
        if self.value is None and self.reason:
            lines.append(self.reason)
        if self.source:
            lines.append(self.source)
        return "\n".join(lines)
