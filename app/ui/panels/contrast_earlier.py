"""Today's node beside what was before, in numbers: the shape that is laid over it, the zone measured on Day 0, what enhances no more."""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtWidgets import QVBoxLayout, QWidget

from app.ui.models.records import Column
from app.ui.text import t
from app.ui.widgets.figures import DASH, number_text, volume_decimals
from app.ui.widgets.labels import WrapLabel
from app.ui.widgets.tables import ValueTable


@dataclass(frozen=True, slots=True)
class SizeRow:
    """One thing of which sizes are known; None where they are not."""

    name: str
    tip: str
    area_mm2: float | None = None
    diameters_mm: tuple[float, float] | None = None
    volume_ml: float | None = None

    @property
    def diameters(self) -> str:
        """Longest diameter and the extent across it."""
        return DASH if self.diameters_mm is None else " × ".join(number_text(v, 1) for v in self.diameters_mm)


def size_columns() -> tuple[Column, ...]:
    """What, area, both diameters, volume."""
    return (
        Column(t("Sizes"), lambda r: r.name, lambda r: r.name, tip=lambda r: r.tip, weight=13),
        Column("mm²", lambda r: r.area_mm2, lambda r: number_text(r.area_mm2, 0), tip=lambda r: r.tip, weight=5, right=True, heading_tip=t("Area of the section")),
        Column("mm", lambda r: r.diameters_mm, lambda r: r.diameters, tip=lambda r: r.tip, weight=10, right=True, heading_tip=t("Longest diameter of the section, and its extent at right angles to that")),
        Column("ml", lambda r: r.volume_ml, lambda r: number_text(r.volume_ml, volume_decimals(r.volume_ml)), tip=lambda r: r.tip, weight=6, right=True),
    )


def size_rows(session) -> list[SizeRow]:
    """What is shown, the zone as measured on Day 0, today's node and the part of it that does not enhance."""
    found, shape, today, result = session.earlier_found, session.earlier_shape, session.today_section(), session.contrast_result()
    node_ml, source = session.contrast_node_ml()
    rows = []
    if shape is not None:
        tip = t("Section of the predicted zone through the middle of the node planned for; the volume is of the whole zone.") if shape.along_node else t("As drawn at that visit.")
        rows.append(SizeRow(shape.name, tip, shape.section.area_mm2, (shape.section.long_mm, shape.section.across_mm), shape.volume_ml))
    elif found is not None and found.planned is not None:
        rows.append(SizeRow(t("Planned zone"), t("Its section is not known."), volume_ml=found.planned.zone_ml))
    if found is not None and found.measured is not None:
        rows.append(SizeRow(t("Zone, Day 0"), t("Volume logged with the ablation of {date}. {source}").format(date=found.measured.date, source=found.measured.source or "").strip(), volume_ml=found.measured.ml))
    rows.append(SizeRow(t("Node today"), t("Its outline on this loop; volume by {source}.").format(source=source) if source else t("Its outline on this loop."), *((None, None) if today is None else (today.area_mm2, (today.long_mm, today.across_mm))), node_ml))
    assessed = None if result is None else result.assessment
    if assessed is not None and assessed.viable_pct is not None:
        dead = 1.0 - assessed.viable_pct / 100.0
        rows.append(SizeRow(t("  not enhancing"), t("Share of this section, times the node's volume ({source}).").format(source=source) if source else "", assessed.node_mm2 - assessed.viable_mm2, None, None if node_ml is None else dead * node_ml))
    return rows


class EarlierSizes(QWidget):
    """Shown while a shape of before lies over the loop."""

    def __init__(self, session, parent: QWidget | None = None):
        super().__init__(parent)
        self.session = session
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        self.table = ValueTable(size_columns(), t("Sizes beside each other"), max_rows=5, row_height=21)
        self.table.setSortingEnabled(False)
        self.meaning = WrapLabel(tone="muted", small=True)
        self.doubts = WrapLabel(tone="warning", small=True)
        for part in (self.table, self.doubts, self.meaning):
            column.addWidget(part)

    def refresh(self) -> None:
        """Show what belongs to the shape on screen; hidden without one."""
        shown = self.session.earlier_found is not None
        self.setVisible(shown)
        if not shown:
            return
        self.table.set_rows(size_rows(self.session))
        notes, doubts = self.session.earlier_notes()
        self.meaning.show_text("\n".join([t("A comparison of sizes, not of places: the planes are not the same."), *notes]))
        self.doubts.show_text("\n".join(doubts))
        self.doubts.setVisible(bool(doubts))
