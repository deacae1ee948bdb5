"""What an export of the subject holds and what it lacks."""

from __future__ import annotations

from dataclasses import dataclass

from app.study.model import ReadingState
from app.ui.models.nodes import status_names
from app.ui.text import t
from app.ui.widgets.figures import Figure


@dataclass(frozen=True, slots=True)
class Missing:
    """A node and visit without a locked reading."""

    node_id: str
    label: str
    visit_id: str
    visit: str
    visit_order: int
    why: str


def _newest(session) -> dict[tuple[str, str], object]:
    """The newest reading of each node and visit that was not superseded."""
    newest: dict[tuple[str, str], object] = {}
    for reading in session.subject_readings:
        if reading.state == ReadingState.SUPERSEDED:
            continue
        key = (reading.node_id, reading.visit_id)
        if key not in newest or reading.version >= newest[key].version:
            newest[key] = reading
    return newest


def missing_readings(session) -> list[Missing]:
    """Every node and visit whose reading is absent or not locked, in order of visits."""
    newest = _newest(session)
    out = []
    for visit in sorted(session.visits, key=lambda v: v.order):
        for node in session.subject_nodes:
            reading = newest.get((node.node_id, visit.visit_id))
            if reading is None:
                out.append(Missing(node.node_id, node.label, visit.visit_id, visit.name, visit.order, t("No reading")))
            elif reading.state != ReadingState.LOCKED:
                out.append(Missing(node.node_id, node.label, visit.visit_id, visit.name, visit.order, t("Not locked")))
    return out


def export_counts(session) -> list[Figure]:
    """How much leaves with the export."""
    locked = [r for r in session.subject_readings if r.state == ReadingState.LOCKED]
    out = [
        Figure(t("Subject"), session.subject_id, source=t("Pseudonym; no name leaves the study."), reason=t("No study is open.")),
        Figure(t("Locked readings"), str(len(locked)), source=t("Only these are exported.")),
        Figure(t("Nodes"), str(len({r.node_id for r in locked})), source=t("Nodes with a locked reading.")),
        Figure(t("Visits"), str(len({r.visit_id for r in locked})), source=t("Visits with a locked reading.")),
    ]
    not_measured = [r for r in locked if r.status != "measured"]
    if not_measured:
        names = ", ".join(sorted({status_names().get(str(r.status), str(r.status)) for r in not_measured}))
        out.append(Figure(t("Without a volume"), str(len(not_measured)), source=names))
    return out
