"""The session's part for regions of a contrast loop: drawn in either pane at any frame, kept where they lie in the reference frame.

A region is of a node and has a role. The node's own may be taken from its outline on this picture: then no other is needed.
"""

from __future__ import annotations

import numpy as np

from app.ui.text import t
from app.usecases.contrast_panes import Panes
from app.usecases.perfusion_regions import PerfusionRegion, across, pane_of
from volumetry.errors import NodusError
from volumetry.perfusion.motion import Motion
from volumetry.perfusion.motion_pictures import moved_points

REGION_ROLES = ("node", "reference", "ablated_zone", "viable", "rim", "vessel")
OUTLINE_MOST_POINTS = 180


class ContrastRegionsPart:
    """Mixed into ``Session``. ``region_role`` is what is drawn next; ``open_region`` the corners of a polygon that is not closed yet, in the
    reference frame; ``region_points(...)`` says where a region lies on a frame."""

    def _start_contrast_regions(self) -> None:
        self.region_role = "reference"
        self.open_region: tuple[tuple[float, float], ...] = ()
        self.picture_changed.connect(self.drop_region_corners)

    def set_region_role(self, role: str) -> None:
        """What the next polygon stands for, of ``REGION_ROLES``."""
        if role in REGION_ROLES and role != self.region_role:
            self.region_role = role
            self.contrast_changed.emit()

    # ---- where they lie ------------------------------------------------------------------------
    def regions_of(self, node_id: str | None = None) -> tuple[PerfusionRegion, ...]:
        """Regions of a node (the current one) on the loop on screen, the one of its outline among them."""
        state, node_id = self.contrast, node_id or self.current_node_id
        if state is None or node_id is None:
            return ()
        drawn = state.regions.get(node_id, ())
        outlined = None if any(r.role == "node" for r in drawn) else self.loop_outline_region(node_id)
        return drawn if outlined is None else (outlined, *drawn)

    def loop_outline_region(self, node_id: str) -> PerfusionRegion | None:
        """The node's outline on a frame of this loop, carried to the reference frame; None where there is none, or it lies beside the panes."""
        state, node = self.contrast, self.nodes.get(node_id)
        if state is None or node is None or not state.is_read:
            return None
        own = {frame: m for (n, name, frame), m in self.picture_outlines.items() if n == node_id and name == state.name}
        placed = {f: state.index_of(f) for f in own}
        usable = [f for f, k in placed.items() if k is not None and state.motion.accepted[k]]
        if not usable:
            return None
        frame = min(usable, key=lambda f: abs(f - (state.region_frame or 0)))
        known = state.outlined.get(node_id)
        if known is not None and known[0] is own[frame]:
            return known[1]
        points = own[frame].outline.points_px
        points = points[:: max(1, len(points) // OUTLINE_MOST_POINTS)]
        there = to_reference(points, state.panes, state.motion, placed[frame])
        try:
            region = None if there is None else PerfusionRegion(node.node.label, "node", tuple((float(x), float(y)) for x, y in there))
        except NodusError:
            region = None  # of no size
        state.outlined[node_id] = own[frame], region
        return region

    def region_points(self, points_px, frame: int, *, pane: str | None = None) -> np.ndarray | None:
        """Points of the reference frame as they lie on a frame of the file, in ``pane`` (their own); None where that frame was not read."""
        state = self.contrast
        if state is None or not state.is_read:
            return None
        own = pane_of(points_px, state.panes)
        at = state.index_of(frame)
        if own is None or at is None:
            return None
        if pane is not None and pane != own:
            points_px = across(np.asarray(points_px), state.panes, own, pane)
        box = box_of(state.panes, pane or own)
        corner = np.array([box.x0, box.y0], float)
        points = np.asarray(points_px, float)
        return points if state.corrected else moved_points(points - corner, state.motion, at, state.loop.shape) + corner

    # ---- drawing -----------------------------------------------------------------------------
    def why_no_region(self) -> str:
        """Why no region can be drawn now; empty where one can."""
        state = self.contrast
        if state is None:
            return t("Open a contrast loop first.")
        if self.current is None:
            return t("Choose a node first.")
        if not state.is_read:
            return t("Read the loop first.")
        return ""

    def add_region_corner(self, frame: int, point_px) -> None:
        """A corner of the polygon under way, clicked on a frame of the file."""
        state, why = self.contrast, self.why_no_region()
        if why or self._contrast_refused():
            if why:
                self.notice.emit("info", why)
            return
        point = np.asarray(point_px, float)[None]
        there = self._in_reference(frame, point)
        if there is None:
            self.notice.emit("info", "Click within the contrast picture or the B-mode picture.")
            return
        corner = tuple(float(v) for v in there[0])
        if self.open_region and pane_of((*self.open_region, corner), state.panes) is None:
            # The other pane shows the same place: the polygon goes on where it began.
            start = pane_of(self.open_region, state.panes)
            corner = tuple(float(v) for v in across(np.array([corner]), state.panes, pane_of([corner], state.panes) or start, start)[0])
        self._set_corners((*self.open_region, corner))

    def drop_region_corner(self) -> None:
        """Take the last corner back."""
        if self.open_region:
            self._set_corners(self.open_region[:-1])

    def drop_region_corners(self) -> None:
        """Forget the polygon under way."""
        if self.open_region:
            self._set_corners(())

    def close_region(self) -> None:
        """The polygon under way becomes a region of the current node; one undo step."""
        points = self.open_region
        if not points:
            return
        if len(points) < 3:
            self.notice.emit("info", "Click at least three corners, then close the region.")
            return
        self.add_region(self.region_role, points)
        self._set_corners(())

    def add_region(self, role: str, points_px) -> None:
        """Give the current node a region of that role (points in the reference frame); a node has one outline, one step to undo."""
        state = self.contrast
        if state is None or self.current_node_id is None or self._contrast_refused():
            return
        node_id, label = self.current_node_id, self.current.node.label
        drawn = state.regions.get(node_id, ())
        if role == "node":
            drawn = tuple(r for r in drawn if r.role != "node")
        name = label if role == "node" else _free_name(role, drawn)
        try:
            region = PerfusionRegion(name, role, tuple(tuple(p) for p in points_px))
        except NodusError as refusal:
            self._on_refused(refusal)
            return
        self._put_regions("Draw a region", node_id, (*drawn, region))

    def remove_region(self, name: str) -> None:
        """Take a region of the current node away; one undo step."""
        state = self.contrast
        drawn = () if state is None or self.current_node_id is None else state.regions.get(self.current_node_id, ())
        if any(r.name == name for r in drawn) and not self._contrast_refused():
            self._put_regions("Remove a region", self.current_node_id, tuple(r for r in drawn if r.name != name))

    def _put_regions(self, text: str, node_id: str, regions: tuple[PerfusionRegion, ...]) -> None:
        state = self.contrast
        before = state.regions.get(node_id, ())

        def put(now: tuple[PerfusionRegion, ...]) -> None:
            state.regions = {**state.regions, node_id: now}
            self._contrast_settled()

        put(regions)
        self._push(text, lambda: put(regions), lambda: put(before))

    def _in_reference(self, frame: int, points: np.ndarray) -> np.ndarray | None:
        """Points of a frame in the reference frame; None beside the panes or on a frame that was not read."""
        state = self.contrast
        if pane_of(points, state.panes) is None:
            return None
        if state.corrected:
            return points
        at = state.index_of(frame)
        return None if at is None else to_reference(points, state.panes, state.motion, at)

    def _set_corners(self, corners: tuple) -> None:
        self.open_region = corners
        self.contrast_changed.emit()


def box_of(panes: Panes, pane: str):
    """The box of ``contrast`` or ``bmode``."""
    return panes.contrast if pane == "contrast" or panes.bmode is None else panes.bmode


def to_reference(points_px, panes: Panes, motion: Motion, at: int) -> np.ndarray | None:
    """Picture points of frame ``at`` of the loop where they lie in the reference frame, kept within their pane; None where they lie in no
    one pane."""
    own = pane_of(points_px, panes)
    if own is None:
        return None
    box = box_of(panes, own)
    corner = np.array([box.x0, box.y0], float)
    matrix = motion.matrices[at]
    back = np.linalg.inv(matrix[:, :2])
    wanted = np.asarray(points_px, float) - corner
    there = (wanted - matrix[:, 2]) @ back.T
    for _ in range(4 if motion.field is not None else 0):  # the field is smooth and small: each round leaves a fraction of the rest
        there = there + (wanted - moved_points(there, motion, at, box.shape)) @ back.T
    return np.clip(there, 0.0, np.array(box.shape[::-1]) - 1.0) + corner


def _free_name(role: str, drawn) -> str:
    taken = {r.name for r in drawn}
    name = role.replace("_", " ")
    return next(n for n in (name, *(f"{name} {k}" for k in range(2, 200))) if n not in taken)
