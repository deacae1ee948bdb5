"""The worklist's columns, and the node map: which nodes a case has, with a small picture of where each lies."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from app.study.worklist import DONE, IN_WORK, OPEN, WorkItem
from app.ui.models.records import Column
from app.ui.models.visit_board import days
from app.ui.text import t
from app.ui.widgets.palette import ACCENT, GOOD, MUTED, WARNING
from volumetry.image import ImageVolume

STATE_WORDS = {OPEN: ("○", "To read"), IN_WORK: ("◐", "In work"), DONE: ("✓", "Locked")}
_COLOURS = {OPEN: None, IN_WORK: ACCENT, DONE: GOOD}
SOON_DAYS = 7
KEY_IMAGE_MM, KEY_IMAGE_PX = 64.0, 128  # side of the piece around a node, and of its picture


def state_text(item: WorkItem) -> str:
    """Sign and word of an entry's state."""
    sign, word = STATE_WORDS[item.state]
    return f"{sign} {t(word)}"


def salvage_text(item: WorkItem) -> str:
    """The deadline with the days left, in words."""
    left = item.salvage_days_left
    if item.salvage_deadline is None or left is None:
        return ""
    return item.salvage_deadline + " · " + (t("passed {days} ago").format(days=days(left)) if left < 0 else t("last day") if left == 0 else t("{days} left").format(days=days(left)))


def waiting_text(item: WorkItem) -> str:
    """Why an entry cannot be opened yet, in a sentence; empty where it can."""
    return "" if item.waits_for is None else t("{visit} of this case is not locked yet; the protocol has visits read in order.").format(visit=item.waits_for)


def _salvage_colour(item: WorkItem) -> str | None:
    left = item.salvage_days_left
    return None if left is None else MUTED if left < 0 else WARNING if left <= SOON_DAYS else None


def columns(items: list[WorkItem], *, blinded: bool) -> list[Column]:
    """Columns of the list; a blinded reader's has no salvage deadline, and where visits are read in order the one that each waits for."""
    place = {item.visit_id: n for n, item in enumerate(items, 1)}
    found = [
        Column("#", lambda i: place[i.visit_id], heading_tip=t("Place in your own order; it was drawn once and stands in the audit trail") if blinded else "", weight=1),
        Column(t("Case") if blinded else t("Subject"), lambda i: i.case, weight=4),
        Column(t("Visit"), lambda i: i.visit, weight=4),
        Column(t("State"), state_text, colour=lambda i: _COLOURS[i.state], weight=3),
        Column(t("Nodes locked"), lambda i: i.nodes_locked, text=lambda i: t("{n} of {m}").format(n=i.nodes_locked, m=i.nodes), right=True, weight=3),
    ]
    if any(i.waits_for is not None for i in items):
        found.insert(4, Column(t("Waits for"), lambda i: i.waits_for, text=lambda i: i.waits_for or "", tip=waiting_text, colour=lambda _i: MUTED, heading_tip=t("The protocol has visits read in order: this earlier one must be locked first"), weight=4))
    if not blinded:
        found.append(Column(t("Salvage until"), lambda i: i.salvage_deadline, text=salvage_text, colour=_salvage_colour, weight=6))
    return found


@dataclass(frozen=True, slots=True, eq=False)
class MapEntry:
    """A node of the map: number, side and level, and a grey picture uint8 [row, column] with the node in its middle (None: none is there)."""

    node_id: str
    label: str
    side: str
    level: str
    picture: np.ndarray | None

    @property
    def words(self) -> str:
        """Number, side and level."""
        return f"{self.label} · {t(self.side)} · {self.level}"


def key_image(image: ImageVolume, seed_mm: tuple[float, float, float]) -> np.ndarray | None:
    """The axial piece around a point (LPS mm), uint8 [row, column], KEY_IMAGE_PX square and KEY_IMAGE_MM wide, the point in its middle; nearest
    voxels, soft-tissue window for HU, else by the slice's own values. None where the volume does not hold the point."""
    g = image.geometry
    if not g.contains(seed_mm):
        return None
    steps = (np.arange(KEY_IMAGE_PX) + 0.5) / KEY_IMAGE_PX * KEY_IMAGE_MM - KEY_IMAGE_MM / 2.0
    points = np.empty((KEY_IMAGE_PX, KEY_IMAGE_PX, 3))
    points[..., 0] = seed_mm[0] + steps[None, :]
    points[..., 1] = seed_mm[1] + steps[:, None]
    points[..., 2] = seed_mm[2]
    index = np.rint(g.world_to_index(points.reshape(-1, 3))).astype(int)
    shape = np.array(g.shape[::-1])
    inside = ((index >= 0) & (index < shape)).all(axis=1)
    at = np.clip(index, 0, shape - 1)
    values = np.asarray(image.array)[at[:, 2], at[:, 1], at[:, 0]].astype(float)
    if image.unit == "HU":
        grey = (values + 125.0) / 350.0
    else:
        low, high = np.percentile(values[inside], (1, 99)) if inside.any() else (0.0, 1.0)
        grey = (values - low) / max(high - low, 1e-6)
    return np.where(inside, np.clip(grey * 255.0, 0, 255), 0).astype(np.uint8).reshape(KEY_IMAGE_PX, KEY_IMAGE_PX)


def node_map(store, subject_id: str, context) -> list[MapEntry]:
    """The nodes of a case, each with its place in the first visit's volume where that holds its seed. Nothing else of that visit is handed on."""
    from app.usecases.import_images import open_record

    nodes = store.nodes(subject_id)
    image = None
    if any(n.seed_mm is not None for n in nodes):
        first = next((s for v in sorted(store.visits(subject_id), key=lambda v: v.order) for s in store.series(v.visit_id) if s.kind == "volume"), None)
        image = None if first is None else open_record(store, first, context)
    return [MapEntry(n.node_id, n.label, str(n.side), n.level, None if image is None or n.seed_mm is None else key_image(image, n.seed_mm)) for n in nodes]
