"""Colours of field and margin for panes: those of ``app.usecases.field_colours``."""

from __future__ import annotations

from app.usecases.field_colours import MARGIN_BANDS, UNCOVERED_RGB, field_range, field_table, line_colour, margin_colours, shown_levels

__all__ = ["MARGIN_BANDS", "UNCOVERED_RGB", "field_range", "field_table", "line_colour", "margin_colours", "shown_levels"]
