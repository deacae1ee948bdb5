"""Ultrasound: three diameters in two planes, and the ellipsoid they span."""

from __future__ import annotations

from PySide6.QtWidgets import QComboBox, QHBoxLayout, QPushButton, QToolButton, QVBoxLayout, QWidget

from app.ui.panels.pair_planes import PairBox
from app.ui.session import Caliper, NodeState, Session
from app.ui.text import t
from app.ui.widgets.figure_table import FigureTable
from app.ui.widgets.figures import Figure, number_text, volume_decimals
from app.ui.widgets.key_button import key_button
from app.ui.widgets.labels import WrapLabel
from app.ui.widgets.sections import Section

ROLES = ("length", "width", "depth")
PLANES = ("longitudinal", "transverse")
SLOTS = ("length", "depth_longitudinal", "width", "depth_transverse")  # as filed under a node


def role_names() -> dict[str, str]:
    """The three diameters for people."""
    return {"length": t("Length"), "width": t("Width"), "depth": t("Depth")}


def plane_names() -> dict[str, str]:
    """The two planes for people."""
    return {"longitudinal": t("Longitudinal"), "transverse": t("Transverse")}


def slot_names() -> dict[str, str]:
    """The four calipers of an ellipsoid: depth is seen in both planes."""
    return {"length": t("Length"), "depth_longitudinal": t("Depth, longitudinal"), "width": t("Width"), "depth_transverse": t("Depth, transverse")}


def caliper_figures(state: NodeState | None) -> list[Figure]:
    """The four calipers with their planes, then the volume of the ellipsoid."""
    out = []
    for slot, name in slot_names().items():
        caliper: Caliper | None = state.calipers.get(slot) if state is not None else None
        if caliper is None:
            out.append(Figure(name, None, reason=t("Not drawn yet.")))
        elif caliper.length_mm is None:
            out.append(Figure(name, None, reason=caliper.refusal or t("The picture gives no length here.")))
        else:
            where = plane_names().get(caliper.plane or "", t("volume"))
            out.append(Figure(name, caliper.length_mm, "mm", 1, source=t("Caliper, {plane} plane.").format(plane=where)))
    ellipsoid = state.ellipsoid if state is not None else None
    volume = ellipsoid.volume_ml if ellipsoid is not None else None
    out.append(
        Figure(
            t("Ellipsoid volume"),
            volume,
            "ml",
            volume_decimals(volume),
            getattr(ellipsoid, "interval_ml", None),
            source=t("π/6 · length · width · depth"),
            reason=t("Needs length and depth in the longitudinal plane, width and depth in the transverse one."),
        )
    )
    return out


class EllipsoidSection(Section):
    """Take the ellipsoid tool, or file a drawn caliper under a diameter and a plane; the three
    diameters, and the volume they span."""

    def __init__(self, session: Session, parent: QWidget | None = None):
        super().__init__(t("Ultrasound: three diameters"), folded=True, parent=parent)
        self.session = session
        self._was_picture = False
        self.draw = key_button(t("Draw diameters"), t("Length and depth in the longitudinal plane, then width in the transverse one (Shift+C)"))
        self.draw.setCheckable(True)
        self.draw.clicked.connect(self._take_tool)
        self.plane = QComboBox()
        self.plane.setAccessibleName(t("Plane of the caliper"))
        for value, name in plane_names().items():
            self.plane.addItem(name, value)
        self.filing = WrapLabel(tone="muted", small=True)
        self.role_buttons: dict[str, QToolButton] = {}
        roles = QHBoxLayout()
        roles.setSpacing(4)
        for role, name in role_names().items():
            button = key_button(name, t("The last caliper is the {role} in this plane").format(role=name.lower()))
            button.clicked.connect(lambda _checked=False, role=role: self.file_last(role))
            self.role_buttons[role] = button
            roles.addWidget(button, 1)
        self.filing_box = QWidget()
        box = QVBoxLayout(self.filing_box)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(4)
        box.addWidget(self.filing)
        row = QHBoxLayout()
        row.setSpacing(4)
        row.addWidget(self.plane, 1)
        box.addLayout(row)
        box.addLayout(roles)
        self.figures = FigureTable(t("Diameters"), max_rows=5)
        self.warning = WrapLabel(tone="warning", small=True)
        self.clear = QPushButton(t("Remove last caliper"))
        self.clear.clicked.connect(self._remove_last)
        self.pair = PairBox(session)
        for part in (self.draw, self.pair, self.figures, self.warning, self.filing_box, self.clear):
            self.body.addWidget(part)
        session.tool_changed.connect(self._show_tool)
        session.frame_changed.connect(self._show_filing)

    def refresh(self, state: NodeState | None) -> None:
        """Show the diameters of a node; unfolds itself when a picture comes on screen."""
        session = self.session
        is_picture = session.picture is not None
        if is_picture and not self._was_picture:
            self.set_open(True)
        self._was_picture = is_picture
        self.figures.show_figures(caliper_figures(state))
        ellipsoid = state.ellipsoid if state is not None else None
        messages = [w.message for w in ellipsoid.warnings] if ellipsoid is not None else []
        messages += [session.ellipsoid_refusals[state.node.node_id]] if state is not None and state.node.node_id in session.ellipsoid_refusals else []
        messages += [c.refusal for c in session.calipers[-1:] if c.refusal]
        self.warning.show_text("\n".join(dict.fromkeys(messages)))
        self.clear.setVisible(bool(session.calipers))
        self.pair.refresh()
        self._show_filing()
        self._show_tool()

    def _show_filing(self, *_) -> None:
        """Which diameter the last caliper can be, on the still and frame on screen."""
        session, state, is_picture = self.session, self.session.current, self.session.picture is not None
        last = self.last_unfiled()
        self.filing_box.setVisible(last is not None and state is not None)
        plane = session.plane_of_still()
        self.plane.setVisible(not is_picture)  # a still's plane is stated once, above
        for role, button in self.role_buttons.items():
            button.setEnabled(not is_picture or (plane is not None and (role, plane) not in (("width", "longitudinal"), ("length", "transverse"))))
        if last is not None:
            length = number_text(last.length_mm, 1)
            if not is_picture:
                self.filing.show_text(t("The last caliper, {length} mm, is of this node in the plane:").format(length=length))
            elif plane is None:
                self.filing.show_text(t("The last caliper is {length} mm. State the plane of this still to file it.").format(length=length))
            else:
                self.filing.show_text(t("The last caliper, {length} mm, is of this node, {plane}, its:").format(length=length, plane=plane_names()[plane].lower()))
        self.draw.setEnabled(state is not None and (plane is not None if is_picture else session.image is not None))

    def last_unfiled(self) -> Caliper | None:
        """The last drawn caliper with a length that is not yet one of the three diameters."""
        last = self.session.calipers[-1] if self.session.calipers else None
        if last is None or last.length_mm is None or last.label in ROLES:
            return None
        is_here = self.session.picture is None or (last.source, last.frame) == self.session.still
        return last if is_here else None

    def file_last(self, role: str) -> None:
        """The last caliper becomes the node's length, width or depth."""
        last, session = self.last_unfiled(), self.session
        if last is None:
            return
        session.undo_stack.beginMacro(t("Caliper is {role}").format(role=role_names()[role].lower()))
        session.remove_caliper(len(session.calipers) - 1)
        session.add_caliper(last.points, role=role, plane=self.plane.currentData())
        session.undo_stack.endMacro()

    def _take_tool(self) -> None:
        self.session.set_tool("crosshair" if self.session.tool == "ellipsoid" else "ellipsoid")
        self._show_tool()

    def _show_tool(self) -> None:
        self.draw.setChecked(self.session.tool == "ellipsoid")

    def _remove_last(self) -> None:
        if self.session.calipers:
            self.session.remove_caliper(len(self.session.calipers) - 1)
