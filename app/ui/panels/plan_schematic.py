"""Plan from ultrasound alone: the form of measured distances, and the schematic that it makes."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QComboBox, QDoubleSpinBox, QFrame, QGridLayout, QHBoxLayout, QLabel, QPushButton, QSizePolicy, QToolButton, QVBoxLayout, QWidget

from app.ui.text import t
from app.ui.widgets.key_button import key_button
from app.ui.widgets.labels import WrapLabel
from app.ui.widgets.sections import Section
from planning.anatomy import NEAR_MM
from planning.schematic import KINDS, SCHEMA, SIDES, Schematic
from volumetry.errors import NodusError

DIRECTIONS = ("medial", "deep-medial", "deep", "deep-lateral", "lateral", "superficial-lateral", "superficial", "superficial-medial")
FAR = "far"
LENGTH_MM = 60.0  # of a course, unless it is changed
EXPOSURE_MM = 20.0
NEEDLES_MOST = 6
STRUCTURES_MOST = 12
START_OFF_MM = 7.5  # two needles to begin with, a usual spacing apart


class SchematicSection(Section):
    """Three diameters, depth, structures and needles typed; ``Place`` makes the schematic. Nothing that was not typed is taken as measured."""

    def __init__(self, session, parent: QWidget | None = None):
        super().__init__(t("Plan from ultrasound"), folded=True, parent=parent)
        self.session = session
        self._shown: object = None  # the schematic that the form was filled from
        self._visit: str | None = None
        self._node_of: object = None  # the node whose diameters were offered
        self.mark = WrapLabel(t("SCHEMATIC – not image-registered"), tone="warning")
        self.about = WrapLabel(t("For a node that has ultrasound only. Type what was measured; shapes are placed from it in a frame at the skin mark."), tone="muted", small=True)
        self.side = QComboBox()
        for side, name in (("", t("Side?")), *((s, t(s.capitalize())) for s in SIDES)):
            self.side.addItem(name, side)
        self.side.setAccessibleName(t("Side of the node"))
        self.side.setToolTip(t("Lateral is away from the midline; at the midline, to the patient's left"))
        self.length, self.width_, self.thickness = (_number(n, tip, 1, 100) for n, tip in _DIAMETERS())
        self.depth = _number(t("Skin to node"), t("From the skin to the node's near surface, at right angles to the skin"), 0, 100)
        node = QGridLayout()
        node.setHorizontalSpacing(6)
        node.setVerticalSpacing(4)
        for n, (caption, field) in enumerate(((t("Length"), self.length), (t("Width"), self.width_), (t("Thickness"), self.thickness), (t("Skin to node"), self.depth))):
            node.addWidget(_caption(caption, field), 2 * (n // 2), n % 2)
            node.addWidget(field, 2 * (n // 2) + 1, n % 2)
        node.setColumnStretch(0, 1)
        node.setColumnStretch(1, 1)
        side = QHBoxLayout()
        side.addWidget(_caption(t("Node's side"), self.side))
        side.addWidget(self.side, 1)
        self.structures: list[_StructureRow] = []
        self.needles: list[_NeedleRow] = []
        self.structures_box, self.needles_box = QVBoxLayout(), QVBoxLayout()
        for box in (self.structures_box, self.needles_box):
            box.setSpacing(5)
        self.course = _number(t("Length of courses"), t("Straight length of every vessel, airway and nerve, its middle beside the node"), 10, 200)
        self.course.setValue(LENGTH_MM)
        course = QHBoxLayout()
        course.addWidget(_caption(t("Length of courses"), self.course))
        course.addWidget(self.course, 1)
        self.more_structures = _button(t("Add structure"), t("A vessel, airway, gullet or nerve at a measured distance, or stated to be far"), lambda: self.add_structure())
        self.more_needles = _button(t("Add needle"), t("A needle by its tip relative to the node's centre"), lambda: self.add_needle())
        self.trouble = WrapLabel(tone="warning", small=True)
        self.place = QPushButton(t("Place schematic"))
        self.place.setAccessibleName(t("Place schematic"))
        self.place.setToolTip(t("Make shapes, skin and needles from the form and show them in the panes"))
        self.place.clicked.connect(lambda _checked=False: self.make())
        self.show_again = _button(t("Show schematic"), t("Bring this visit's schematic back on screen"), lambda: session.show_schematic())
        for part in (self.mark, self.about):
            self.body.addWidget(part)
        self.body.addLayout(side)
        self.body.addLayout(node)
        self.body.addWidget(WrapLabel(t("Structures: the distance is the gap between the surfaces of structure and node"), tone="muted", small=True))
        self.body.addLayout(self.structures_box)
        self.body.addWidget(self.more_structures)
        self.body.addLayout(course)
        self.body.addWidget(WrapLabel(t("Needles: tip from the node's centre; lean from the perpendicular to the skin, on the way out"), tone="muted", small=True))
        self.body.addLayout(self.needles_box)
        self.body.addWidget(self.more_needles)
        self.body.addWidget(self.trouble)
        buttons = QHBoxLayout()
        buttons.setSpacing(4)
        buttons.addWidget(self.place, 2)
        buttons.addWidget(self.show_again, 1)
        self.body.addLayout(buttons)
        self.trouble.show_text("")
        for kind in ("carotid", "jugular"):
            self.add_structure(kind)
        for off in (-START_OFF_MM, START_OFF_MM):
            self.add_needle(cranial_mm=off)
        for signal in (session.plan_changed, session.nodes_changed, session.visit_changed, session.picture_changed, session.image_changed):
            signal.connect(self.refresh)
        self.refresh()

    # ---- rows --------------------------------------------------------------------------------
    def add_structure(self, kind: str = "vagus nerve") -> _StructureRow | None:
        """Another row, empty but for its kind."""
        if len(self.structures) >= STRUCTURES_MOST:
            return None
        row = _StructureRow(kind, self._drop_structure)
        self.structures.append(row)
        self.structures_box.addWidget(row)
        self._show_room()
        return row

    def add_needle(self, cranial_mm: float = 0.0) -> _NeedleRow | None:
        """Another needle: straight in, its exposed part centred on the node's depth."""
        if len(self.needles) >= NEEDLES_MOST:
            return None
        used = {r.id for r in self.needles}
        row = _NeedleRow(next(f"E{n}" for n in range(1, 100) if f"E{n}" not in used), cranial_mm, self._drop_needle)
        self.needles.append(row)
        self.needles_box.addWidget(row)
        self._show_room()
        return row

    def _drop_structure(self, row) -> None:
        self.structures.remove(row)
        _take_away(self.structures_box, row)
        self._show_room()

    def _drop_needle(self, row) -> None:
        self.needles.remove(row)
        _take_away(self.needles_box, row)
        self._show_room()

    def _show_room(self) -> None:
        self.more_structures.setEnabled(len(self.structures) < STRUCTURES_MOST)
        self.more_needles.setEnabled(len(self.needles) < NEEDLES_MOST)

    # ---- following the session ------------------------------------------------------------------
    def refresh(self) -> None:
        """Offer the node's diameters and side; follow needles that were dragged; say what is on screen."""
        session = self.session
        on_screen = session.is_schematic and session.picture is None
        self.mark.setVisible(session.is_schematic)
        self.about.setVisible(not session.is_schematic)
        self.place.setText(t("Place again") if session.is_schematic else t("Place schematic"))
        self.show_again.setVisible(session.kept_schematic is not None and not on_screen)
        if self._visit != session._visit_key():
            self._visit = session._visit_key()
            self.set_open(self._visit is not None and not any(s.kind == "volume" for s in session.series))
        kept = session.plan.schematic
        if kept is not None and kept is not self._shown:
            self._fill(kept)
        self._follow_needles()
        state = session.current
        if kept is None and state is not None and self._node_of != (state.node.node_id, session._visit_key()):
            self._node_of = (state.node.node_id, session._visit_key())
            self._shown = None
            side = str(state.node.side)
            self.side.setCurrentIndex(max(0, self.side.findData(side)))
            for field in (self.length, self.width_, self.thickness):
                field.setValue(field.minimum())
        if kept is None and state is not None and state.ellipsoid is not None:
            for field, value in zip((self.length, self.width_, self.thickness), state.ellipsoid.axes_mm, strict=True):
                if _value(field) is None:
                    field.setValue(float(value))

    def _follow_needles(self) -> None:
        """Numbers of needles as they lie now, so that placing again moves nothing back."""
        from planning.schematic_scene import needle_measure

        plan, rows = self.session.plan, {r.id: r for r in self.needles}
        if plan.schematic is None:
            return
        for needle in plan.needles:
            try:
                measure = needle_measure(plan.schematic, needle)
            except NodusError:
                continue  # it points away from the skin; solving says so
            row = rows.get(needle.id) or self.add_needle()
            if row is not None:
                row.id = needle.id
                row.fill(measure)
        for row in [r for r in self.needles if r.id not in {n.id for n in plan.needles} and r.was_placed]:
            self._drop_needle(row)

    def _fill(self, schematic: Schematic) -> None:
        self._shown = schematic
        node = schematic.node
        self.side.setCurrentIndex(max(0, self.side.findData(schematic.side)))
        for field, value in ((self.length, node.length_mm), (self.width_, node.width_mm), (self.thickness, node.thickness_mm), (self.depth, node.depth_mm)):
            field.setValue(value)
        for row in list(self.structures):
            self._drop_structure(row)
        for s in schematic.structures:
            row = self.add_structure(s.kind)
            if row is not None:
                row.fill(s.direction if isinstance(s.direction, str) else None, s.measured_from, s.distance_mm, s.diameter_mm, s)
        for f in schematic.far:
            row = self.add_structure(f.kind)
            if row is not None:
                row.fill(FAR, "node", f.farther_than_mm, None, f)
        if schematic.structures:
            self.course.setValue(schematic.structures[0].length_mm)

    # ---- making ----------------------------------------------------------------------------------
    def schematic_dict(self) -> dict:
        """The form as a ``nodus.schematic/1`` object; what was not typed is missing there, and refused."""
        state, kept = self.session.current, self.session.plan.schematic
        node = {} if kept is None else {k: v for k, v in kept.to_dict()["node"].items() if k not in ("length_mm", "width_mm", "thickness_mm", "depth_mm")}
        name = kept.node.name if kept is not None else state.node.label if state is not None else "node"
        length = _value(self.course)
        midline = self.side.currentData() == "midline"
        structures = [r.to_dict(length, midline) for r in self.structures if not r.is_far]
        return {
            "schema": SCHEMA, "site": self.session.plan.site, "side": self.side.currentData() or None,
            "node": node | {"name": name, "length_mm": _value(self.length), "width_mm": _value(self.width_), "thickness_mm": _value(self.thickness), "depth_mm": _value(self.depth)},
            "structures": structures, "farther_than": [r.far_dict(self.session.reader) for r in self.structures if r.is_far],
            "needles": [r.to_dict() for r in self.needles],
        }  # fmt: skip

    def make(self) -> None:
        """Check the form and place the schematic, or say what is missing."""
        try:
            schematic = Schematic.from_dict(self.schematic_dict())
        except NodusError as refusal:
            self.trouble.show_text(refusal.message + (f" {refusal.hint}" if refusal.hint else ""))
            return
        self.trouble.show_text("")
        self.session.make_schematic(schematic)


class _StructureRow(QFrame):
    """Kind and direction in one line; distance, diameter and what it is measured from in the next."""

    def __init__(self, kind: str, drop):
        super().__init__()
        self.kept: object = None  # the measure it was filled from: what the form has no field for stays
        self.kind = QComboBox()
        for name in KINDS:
            self.kind.addItem(t(name.capitalize()), name)
        self.kind.setCurrentIndex(self.kind.findData(kind))
        self.kind.setAccessibleName(t("Kind of structure"))
        self.direction = QComboBox()
        self.direction.addItem(t("Where?"), "")
        for name in DIRECTIONS:
            self.direction.addItem(t(name.capitalize()), name)
        self.direction.addItem(t("Far (stated)"), FAR)
        self.direction.setAccessibleName(t("Direction from the node"))
        self.direction.setToolTip(t("Where its middle lies, seen from the node's centre in the transverse picture. Far: I state that it lies farther than this from every needle."))
        self.origin = QComboBox()
        self.origin.addItem(t("from node"), "node")
        self.origin.addItem(t("from mark"), "mark")
        self.origin.setAccessibleName(t("Measured from"))
        self.origin.setToolTip(t("From the node's surface, or from the skin mark, to the structure's surface"))
        self.distance = _number(t("Distance"), t("Gap to the structure's surface"), 0, 150)
        self.diameter = _number(t("Diameter"), t("Diameter of the structure"), 0.5, 60)
        self.diameter.setPrefix("⌀ ")
        away = _cross(t("Take this structure out of the form"), lambda: drop(self))
        top, below = QHBoxLayout(), QHBoxLayout()
        for row, parts in ((top, ((self.kind, 6), (self.direction, 6), (away, 0))), (below, ((self.distance, 5), (self.origin, 5), (self.diameter, 5)))):
            row.setSpacing(3)
            for part, stretch in parts:
                row.addWidget(part, stretch)
        _stack(self, top, below)
        self.direction.currentIndexChanged.connect(lambda _n: self._show_far())
        for box in (self.kind, self.direction, self.origin):
            box.setMinimumContentsLength(6)
            box.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)

    @property
    def is_far(self) -> bool:
        """Stated to be far, not placed."""
        return self.direction.currentData() == FAR

    def _show_far(self) -> None:
        self.diameter.setVisible(not self.is_far)
        self.origin.setVisible(not self.is_far)
        self.distance.setPrefix("> " if self.is_far else "")
        if self.is_far and (_value(self.distance) or 0.0) < NEAR_MM:
            self.distance.setValue(NEAR_MM)

    def fill(self, direction: str | None, origin: str, distance_mm: float, diameter_mm: float | None, kept) -> None:
        """Show a structure."""
        self.kept = kept
        if direction is None or self.direction.findData(direction) < 0:
            self.direction.addItem(t("As measured"), direction or list(kept.direction))
            self.direction.setCurrentIndex(self.direction.count() - 1)
        else:
            self.direction.setCurrentIndex(self.direction.findData(direction))
        self.origin.setCurrentIndex(self.origin.findData(origin))
        self.distance.setValue(distance_mm)
        if diameter_mm is not None:
            self.diameter.setValue(diameter_mm)

    def to_dict(self, length_mm: float | None, midline: bool) -> dict:
        """As in a schematic file; an empty field is missing. Beside a midline node the direction says which side's vessel it is."""
        out = {"kind": self.kind.currentData(), "distance_mm": _value(self.distance), "diameter_mm": _value(self.diameter), "length_mm": length_mm,
               "direction": self.direction.currentData() or None, "measured_from": self.origin.currentData()}  # fmt: skip
        for key in ("course", "side", "name"):
            value = getattr(self.kept, key, None)
            if value is not None:
                out[key] = value
        towards = str(out["direction"])
        if midline and KINDS[out["kind"]][1] and "side" not in out and ("lateral" in towards or "medial" in towards):
            out["side"] = "left" if "lateral" in towards else "right"
        return out

    def far_dict(self, by: str) -> dict:
        """A statement that it is far, by the reader."""
        side = getattr(self.kept, "side", None)
        return {"kind": self.kind.currentData(), "farther_than_mm": _value(self.distance), "by": by} | ({} if side is None else {"side": side})


class _NeedleRow(QFrame):
    """A needle: tip off the node's centre, lean and exposure."""

    def __init__(self, id: str, cranial_mm: float, drop):
        super().__init__()
        self.id = id
        self.was_placed = False
        self._diameter_mm = 1.0
        self._exact: object = None  # the needle as it lies: a tenth of a millimetre is what is shown, not what is kept
        self.name = QLabel(id)
        self.name.setMinimumWidth(20)
        self.lateral = _number(t("Lateral"), t("Tip from the node's centre, away from the midline (minus: towards it)"), -80, 80, "")
        self.cranial = _number(t("Cranial"), t("Tip from the node's centre, towards the head (minus: towards the feet)"), -80, 80, "")
        self.deep = _number(t("Deep"), t("Tip below the node's centre (minus: nearer to the skin)"), -80, 100, "")
        self.lean_lateral = _number(t("Lean lateral"), t("The shaft leans away from the midline on its way out, by this angle from the perpendicular to the skin"), -79, 79, "°")
        self.lean_cranial = _number(t("Lean cranial"), t("The shaft leans towards the head on its way out, by this angle from the perpendicular to the skin"), -79, 79, "°")
        self.exposure = _number(t("Exposed"), t("Exposed metal from the tip"), 2, 60, "")
        for field, value in ((self.lateral, 0.0), (self.cranial, cranial_mm), (self.deep, EXPOSURE_MM / 2), (self.lean_lateral, 0.0), (self.lean_cranial, 0.0), (self.exposure, EXPOSURE_MM)):
            field.setValue(value)
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 2, 0, 2)
        grid.setHorizontalSpacing(3)
        grid.setVerticalSpacing(1)
        grid.addWidget(self.name, 1, 0)
        grid.addWidget(_cross(t("Take this needle out of the form"), lambda: drop(self)), 3, 0)
        for n, (caption, field) in enumerate(
            ((t("lateral mm"), self.lateral), (t("cranial mm"), self.cranial), (t("deep mm"), self.deep), (t("lean lat."), self.lean_lateral), (t("lean cran."), self.lean_cranial), (t("bare mm"), self.exposure))
        ):
            grid.addWidget(_caption(caption, field), 2 * (n // 3), 1 + n % 3)
            grid.addWidget(field, 2 * (n // 3) + 1, 1 + n % 3)
            grid.setColumnStretch(1 + n % 3, 1)

    def fill(self, measure) -> None:
        """Show a needle as it lies."""
        self.name.setText(measure.id)
        self.was_placed, self._diameter_mm, self._exact = True, measure.diameter_mm, measure
        for field, value in (
            (self.lateral, measure.lateral_mm), (self.cranial, measure.cranial_mm), (self.deep, measure.deep_mm),
            (self.lean_lateral, measure.lean_lateral_deg), (self.lean_cranial, measure.lean_cranial_deg), (self.exposure, measure.exposure_mm),
        ):  # fmt: skip
            if abs(field.value() - value) > 0.051:  # a tenth is what is shown
                field.setValue(value)

    def to_dict(self) -> dict:
        """As in a schematic file."""
        shown = {"lateral_mm": self.lateral, "cranial_mm": self.cranial, "deep_mm": self.deep, "lean_lateral_deg": self.lean_lateral,
                 "lean_cranial_deg": self.lean_cranial, "exposure_mm": self.exposure}  # fmt: skip
        return {"id": self.id, "diameter_mm": self._diameter_mm} | {key: self._unless_typed(key, _value(field)) for key, field in shown.items()}

    def _unless_typed(self, key: str, value: float | None) -> float | None:
        exact = getattr(self._exact, key, None)
        return exact if exact is not None and value is not None and abs(exact - value) <= 0.0501 else value


def _DIAMETERS() -> tuple[tuple[str, str], ...]:
    return ((t("Length"), t("Diameter along the neck, in the longitudinal picture")), (t("Width"), t("Diameter across, in the transverse picture")), (t("Thickness"), t("Diameter from the skin inwards")))


def _number(name: str, tip: str, low: float, high: float, unit: str = " mm") -> QDoubleSpinBox:
    """A field that is empty until somebody types: its lowest step is no number."""
    box = QDoubleSpinBox()
    box.setDecimals(1)
    box.setRange(low - 0.1, high)
    box.setSpecialValueText("–")
    box.setSuffix(unit)
    box.setSingleStep(1.0)
    box.setValue(box.minimum())
    box.setKeyboardTracking(False)
    box.setAccessibleName(name)
    box.setToolTip(tip)
    box.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
    box.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
    box.wheelEvent = lambda event: event.ignore()  # scrolling the panel must not change a distance
    return box


def _value(box: QDoubleSpinBox) -> float | None:
    return None if box.value() <= box.minimum() + 0.05 else round(box.value(), 1)


def _caption(text: str, buddy: QWidget) -> QLabel:
    label = QLabel(text)
    label.setObjectName("SmallCaption")
    label.setBuddy(buddy)
    return label


def _button(text: str, tip: str, work) -> QToolButton:
    button = key_button(text, tip)
    button.clicked.connect(lambda _checked=False: work())
    return button


def _cross(tip: str, work) -> QToolButton:
    button = _button("✕", tip, work)
    button.setAccessibleName(tip)
    button.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
    button.setFixedWidth(24)
    button.setMinimumHeight(24)
    return button


def _stack(frame: QFrame, *rows) -> None:
    box = QVBoxLayout(frame)
    box.setContentsMargins(0, 0, 0, 2)
    box.setSpacing(3)
    for row in rows:
        box.addLayout(row)


def _take_away(box: QVBoxLayout, row: QWidget) -> None:
    box.removeWidget(row)
    row.hide()
    row.deleteLater()
