"""The session's part for calipers, and the ellipsoid of the diameters filed under a node."""

from __future__ import annotations

import numpy as np

from app.ui.session_values import Caliper
from volumetry.errors import NodusError


class CalipersPart:
    """Mixed into ``Session``; uses its signals and undo stack."""

    def add_caliper(self, points, *, role: str | None = None, plane: str | None = None) -> None:
        """Measure two points: LPS mm on a volume, pixels on a picture. ``role`` length, width or
        depth files it under the current node's ellipsoid. The plane of a still is what the reader stated
        for it; while none is stated, nothing is filed."""
        from volumetry.ultrasound_length import length_on_picture

        if role is not None and self.current is not None and self._refuse_locked(self.current):
            role = None  # the line is kept as a plain caliper
        if role is not None and self.picture is not None:
            plane = self.plane_of_still()
            if plane is None:
                role = None
                self.notice.emit("warning", "State first what this still shows: longitudinal (Shift+L) or transverse (Shift+T).")
        label = role or "caliper"
        pairs = tuple(tuple(float(v) for v in p) for p in points)
        if self.picture is not None:
            length, refusal, warnings = None, None, ()
            try:
                measured = length_on_picture(self.picture.calibration_at(self.frame_index), *pairs)
                length, warnings = measured.length_mm, measured.warnings
            except NodusError as error:
                refusal = error.message
                self.notice.emit("warning", error.message)
            caliper = Caliper(pairs, length, label, plane, self.frame_index, refusal, self.picture_name, warnings)
        else:
            caliper = Caliper(pairs, float(np.linalg.norm(np.subtract(*pairs))), label, None)
        state = self.current
        if role is not None and state is not None and caliper.length_mm is not None:
            self.file_calipers("Caliper", {role if role != "depth" else f"depth_{plane}": caliper})
            return
        filed = dict(state.calipers) if state is not None else {}
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
                self._keep_pictures(state.node.node_id)
            self.calipers_changed.emit()

        after = (calipers, filed)
        put(after)
        self._push(text, lambda: put(after), lambda: put(before), None if state is None or before[1] == after[1] else self._unless_locked(state))

    def _update_ellipsoid(self, state) -> None:
        """The ellipsoid of the node's filed calipers, or None while some are missing."""
        from volumetry.caliper import Caliper as MeasuredCaliper
        from volumetry.ellipsoid import ellipsoid_from_calipers

        state.ellipsoid = None
        self.ellipsoid_refusals.pop(state.node.node_id, None)
        slots = ("length", "depth_longitudinal", "width", "depth_transverse")
        if all(s in state.calipers for s in slots):
            try:
                measured = [MeasuredCaliper(c.points, c.length_mm, c.plane or "other", c.source, c.frame, c.warnings) for c in (state.calipers[s] for s in slots)]
                state.ellipsoid = ellipsoid_from_calipers(*measured)
            except NodusError as refusal:
                self.ellipsoid_refusals[state.node.node_id] = refusal.message
                self._on_refused(refusal)
        self.measurement_changed.emit(state.node.node_id)
