"""The session's part for calipers, and the ellipsoid of the diameters filed under a node."""

from __future__ import annotations

import numpy as np

from volumetry.errors import NodusError


class CalipersPart:
    """Mixed into ``Session``; uses its signals and undo stack."""

    def add_caliper(self, points, *, role: str | None = None, plane: str | None = None) -> None:
        """Measure two points: LPS mm on a volume, pixels on a picture. ``role`` length, width or
        depth files it under the current node's ellipsoid (with the plane of the still)."""
        from app.ui.session import Caliper
        from volumetry.ultrasound_length import length_on_picture

        label = role or "caliper"
        pairs = tuple(tuple(float(v) for v in p) for p in points)
        if self.picture is not None:
            length, refusal = None, None
            try:
                length = length_on_picture(self.picture.calibration, *pairs).length_mm
            except NodusError as error:
                refusal = error.message
                self.notice.emit("warning", error.message)
            caliper = Caliper(pairs, length, label, plane, self.frame_index, refusal, self.picture_name)
        else:
            caliper = Caliper(pairs, float(np.linalg.norm(np.subtract(*pairs))), label, None)
        state = self.current
        filed = dict(state.calipers) if state is not None else {}
        if role is not None and state is not None and caliper.length_mm is not None:
            filed[role if role != "depth" else f"depth_{plane}"] = caliper
        self._change_calipers("Caliper", [*self.calipers, caliper], filed)

    def remove_caliper(self, index: int) -> None:
        """Take a caliper away; one undo step."""
        if not 0 <= index < len(self.calipers):
            return
        gone, state = self.calipers[index], self.current
        filed = {slot: c for slot, c in state.calipers.items() if c is not gone} if state is not None else {}
        self._change_calipers("Remove caliper", [c for n, c in enumerate(self.calipers) if n != index], filed)

    def _change_calipers(self, text: str, calipers: list, filed: dict) -> None:
        """Put these calipers on screen and ``filed`` under the current node; one undo step."""
        state = self.current
        before = (list(self.calipers), dict(state.calipers) if state is not None else {})

        def put(now) -> None:
            self.calipers = list(now[0])
            if state is not None:
                state.calipers = dict(now[1])
                self._update_ellipsoid(state)
            self.calipers_changed.emit()

        after = (calipers, filed)
        put(after)
        self._push(text, lambda: put(after), lambda: put(before))

    def _update_ellipsoid(self, state) -> None:
        """The ellipsoid of the node's filed calipers, or None while some are missing."""
        from volumetry.caliper import Caliper as MeasuredCaliper
        from volumetry.ellipsoid import ellipsoid_from_calipers

        state.ellipsoid = None
        slots = ("length", "depth_longitudinal", "width", "depth_transverse")
        if all(s in state.calipers for s in slots):
            try:
                measured = [MeasuredCaliper(c.points, c.length_mm, c.plane or "other", c.source, c.frame) for c in (state.calipers[s] for s in slots)]
                state.ellipsoid = ellipsoid_from_calipers(*measured)
            except NodusError as refusal:
                self._on_refused(refusal)
        self.measurement_changed.emit(state.node.node_id)
