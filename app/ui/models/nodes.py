"""Rows of the node lists: identity, state, volume."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.study.model import UNKNOWN_LEVEL, ReadingState, ReadingStatus, TargetNode
from app.ui.models.records import Column
from app.ui.text import t
from app.ui.widgets.figures import DASH, interval_text, number_text, volume_decimals
from app.ui.widgets.palette import GOOD, MUTED, node_colour


def status_names() -> dict[str, str]:
    """Reading statuses for people, by their stored value."""
    return {
        "measured": t("Measured"),
        "too_small": t("Too small to measure"),
        "disappeared_assessed": t("Disappeared, assessed"),
        "merged_into": t("Merged into another node"),
        "split_from": t("Split from another node"),
        "not_evaluable": t("Not evaluable"),
        "not_imaged": t("Not imaged"),
    }


_SHORT_STATUS = {"too_small": "too small", "disappeared_assessed": "gone", "merged_into": "merged", "split_from": "split", "not_evaluable": "not eval.", "not_imaged": "not imaged"}


def state_mark(reading) -> tuple[str, str]:
    """(mark, what it says) of a reading or None: open circle, half, lock sign with words."""
    if reading is None:
        return "○", t("No reading yet")
    state = str(reading.state if not isinstance(reading, dict) else reading.get("state") or "")
    status = str(reading.status if not isinstance(reading, dict) else reading.get("status") or "")
    sign, words = {
        ReadingState.LOCKED.value: ("✓", t("Locked")),
        ReadingState.MEASURED.value: ("◐", t("Measured, not locked")),
        ReadingState.DRAFT.value: ("◔", t("Draft, not locked")),
        ReadingState.SUPERSEDED.value: ("✗", t("Superseded by a newer version")),
    }.get(state, ("○", t("No reading yet")))
    if status and status != ReadingStatus.MEASURED.value:
        words += " · " + status_names().get(status, status)
    return sign, words


def short_mark(reading) -> str:
    """The mark with a short word where the node was not simply measured."""
    sign, _ = state_mark(reading)
    status = "" if reading is None else str(reading.get("status") if isinstance(reading, dict) else reading.status)
    word = _SHORT_STATUS.get(status, "")
    return f"{sign} {t(word)}" if word else sign


def state_words(reading) -> str:
    """The mark with a word: ``✓ locked``, ``◐ open``, ``✓ gone``."""
    sign, _ = state_mark(reading)
    status = "" if reading is None else str(reading.get("status") if isinstance(reading, dict) else reading.status)
    word = t(_SHORT_STATUS[status]) if status in _SHORT_STATUS else {"✓": t("locked"), "◐": t("open"), "◔": t("draft"), "✗": t("old")}.get(sign, "")
    return f"{sign} {word}".strip()


@dataclass(frozen=True, slots=True)
class NodeRow:
    """One node of the subject with what is known of it at the visit on screen."""

    node: TargetNode
    order: int  # among the subject's nodes; fixes its colour
    volume_ml: float | None
    interval_ml: tuple[float, float] | None
    reading: object | None
    method: str = ""

    @property
    def volume_text(self) -> str:
        """Volume without its unit."""
        return number_text(self.volume_ml, volume_decimals(self.volume_ml))


def node_volume(state, what: str | None = None) -> tuple[float | None, tuple[float, float] | None, str]:
    """(ml, interval, method) of a NodeState: its locked reading, else what is on screen now.

    ``what`` (``ellipsoid``, ``status``) asks for what a lock would lock, see ``Session.lockable``.
    """
    reading, measurement = state.reading, state.measurement
    if what == "ellipsoid" and state.ellipsoid is not None:
        return state.ellipsoid.volume_ml, state.ellipsoid.interval_ml, "ellipsoid"
    if what == "status" and reading is not None:
        return reading.volume_ml, reading.volume_interval_ml, reading.method
    if reading is not None and reading.state == ReadingState.LOCKED:
        return reading.volume_ml, reading.volume_interval_ml, reading.method
    if reading is not None and reading.status in (ReadingStatus.DISAPPEARED_ASSESSED, ReadingStatus.NOT_EVALUABLE, ReadingStatus.NOT_IMAGED, ReadingStatus.TOO_SMALL):
        return reading.volume_ml, reading.volume_interval_ml, reading.method
    if measurement is not None and getattr(measurement, "voxel_count", 0):
        # The voxel volume, as the reading stores it: what is on screen is what is locked.
        return measurement.voxel_volume_ml, measurement.volume_interval_ml, "voxel"
    if state.ellipsoid is not None:
        return state.ellipsoid.volume_ml, state.ellipsoid.interval_ml, "ellipsoid"
    if reading is not None:
        return reading.volume_ml, reading.volume_interval_ml, reading.method
    return None, None, ""


def node_rows(session, nodes: Sequence[TargetNode] | None = None) -> list[NodeRow]:
    """Rows for the nodes of this visit, in the subject's order."""
    known = list(session.subject_nodes) or [s.node for s in session.nodes.values()]
    orders = {n.node_id: i for i, n in enumerate(known)}
    nodes = known if nodes is None else nodes
    extra = [s.node for s in session.nodes.values() if s.node.node_id not in orders]
    rows = []
    for node in [*nodes, *extra]:
        state = session.nodes.get(node.node_id)
        volume, interval, method = node_volume(state) if state is not None else (None, None, "")
        rows.append(NodeRow(node, orders.get(node.node_id, len(orders)), volume, interval, state.reading if state is not None else None, method))
    return rows


def _side(node: TargetNode) -> str:
    return {"left": t("Left"), "right": t("Right"), "midline": t("Midline")}.get(str(node.side), "?")  # unknown: to be stated


def _level(node: TargetNode) -> str:
    return "?" if node.level == UNKNOWN_LEVEL else node.level


def _volume_tip(row: NodeRow) -> str:
    lines = [f"{row.node.label}: {row.volume_text}" + (" ml" if row.volume_ml is not None else "")]
    if row.interval_ml is not None:
        lines.append(t("95 % interval {interval} {unit}").format(interval=interval_text(row.interval_ml, volume_decimals(row.volume_ml)), unit="ml"))
    if row.volume_ml is None:
        lines.append(state_mark(row.reading)[1] if row.reading is not None else t("The node has no outline at this visit."))
    return "\n".join(lines)


def _label_column() -> Column:
    return Column(t("Node"), lambda r: r.node.label, lambda r: f"● {r.node.label}", colour=lambda r: node_colour(r.order), tip=lambda r: r.node.label, weight=4)


def measure_columns() -> tuple[Column, ...]:
    """Node list of the measure step."""
    return (
        _label_column(),
        Column(t("Side"), lambda r: str(r.node.side), lambda r: _side(r.node), weight=4),
        Column(t("Level"), lambda r: r.node.level, lambda r: _level(r.node), weight=3),
        Column(t("Volume"), lambda r: r.volume_ml, lambda r: r.volume_text, unit="ml", tip=_volume_tip, colour=lambda r: MUTED if r.volume_ml is None else None, weight=5),
        Column(t("State"), lambda r: state_mark(r.reading)[1], lambda r: short_mark(r.reading), tip=lambda r: state_mark(r.reading)[1], colour=lambda r: GOOD if state_mark(r.reading)[0] == "✓" else None, weight=5),
    )


def identity_columns() -> tuple[Column, ...]:
    """Node list of the follow-up step: who is who."""
    return (
        _label_column(),
        Column(t("Side"), lambda r: str(r.node.side), lambda r: _side(r.node), weight=4),
        Column(t("Level"), lambda r: r.node.level, lambda r: _level(r.node), weight=3),
        Column(t("High-risk features"), lambda r: ", ".join(r.node.high_risk) or None, lambda r: ", ".join(r.node.high_risk) or DASH, tip=lambda r: ", ".join(r.node.high_risk) or t("None recorded"), weight=8),
    )
