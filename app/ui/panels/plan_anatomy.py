"""What must be known around the needles: the kind of structure a click outlines, and what the reader states to be far."""

from __future__ import annotations

from PySide6.QtWidgets import QCheckBox, QComboBox, QVBoxLayout, QWidget

from app.ui.text import t
from app.usecases.structures import NECK_STRUCTURES
from planning.anatomy import NEAR_MM, REQUIRED, is_named


class AnatomyBox(QWidget):
    """The kind for the structure tool, and a tick for each vessel that is required and not outlined.

    A tick is the reader's own word about the needles as they lie: it goes as soon as one of them moves.
    """

    def __init__(self, session, parent=None):
        super().__init__(parent)
        self.session = session
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(4)
        self.kind = QComboBox()
        self.kind.setAccessibleName(t("Kind of structure"))
        self.kind.setToolTip(t("What the next click with the structure tool (A) outlines"))
        for kind, _preset in NECK_STRUCTURES:
            self.kind.addItem(t(kind.capitalize()), kind)
        self.kind.activated.connect(lambda _n: session.set_structure_kind(self.kind.currentData()))
        box.addWidget(self.kind)
        self.clear: dict[str, QCheckBox] = {}
        for name in REQUIRED["neck"]:
            tick = QCheckBox(t("I state: the {name} is farther than {mm} mm").format(name=t(name), mm=f"{NEAR_MM:g}"))
            tick.setToolTip(
                t("The {name} is not outlined. Tick only if you have seen that it lies farther than {mm} mm from every needle.").format(name=t(name), mm=f"{NEAR_MM:g}")
                + "\n" + t("Without an outline or this statement the plan is refused. The tick goes when a needle moves.")
            )
            tick.clicked.connect(lambda on, name=name: session.state_clear(name, on))
            self.clear[name] = tick
            box.addWidget(tick)

    def refresh(self) -> None:
        """Follow the plan."""
        plan = self.session.plan
        self.kind.setCurrentIndex(self.kind.findData(self.session.structure_kind))
        outlined = [name for name, _, _ in plan.at_risk]
        for name, tick in self.clear.items():
            tick.setVisible(len(plan.needles) > 1 and not any(is_named(o, name) for o in outlined))
            tick.blockSignals(True)
            tick.setChecked(any(is_named(s.name, name) and not s.no_longer_holds_for(plan.needles) for s in plan.stated_clear))
            tick.blockSignals(False)
