"""The session's part for gestures that change an outline: clicks, points, contours, scribbles, repairs.

Every gesture is handed over once and waits its turn, whatever the node and the tool: none is lost, and
each is one undo step. It is worked out in a job on a copy of the outline; where that changed meanwhile, it
is worked out anew on what is there now. What would take the outline off the screen (another visit, another
picture, undo) waits until all are done. What an outline was drawn with (lines, strokes, a ball) is
remembered by the voxels it gave: after an undo or another tool's edit it holds exactly where they do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np

from app.usecases import drawing
from app.usecases.mask_draft import MaskDraft
from volumetry.image import ImageVolume
from volumetry.mask import NodeMask

DRAW_KEY = "draw"
KEPT = 100  # states of one outline whose lines or strokes are remembered


@dataclass(frozen=True, slots=True, eq=False)
class Gesture:
    """One gesture in line. ``begin()`` is asked when its turn comes and gives its work, a function for a
    thread that gives a ``drawing.Drawn``, or None where it means nothing any more. One that is ``anew``
    does not depend on the outline before it. Gestures for the same node of the kind ``instead_of`` that
    are not done yet are left out."""

    state: object
    image: ImageVolume
    text: str
    begin: Callable[[], Callable[[], drawing.Drawn] | None]
    anew: bool = False
    kind: str = ""
    instead_of: str = ""


class GesturesPart:
    """Mixed into ``Session``; uses its signals, jobs and undo stack."""

    def _begin_gestures(self) -> None:
        self._gestures: list[Gesture] = []
        self._at_work: Gesture | None = None
        self._waiting: list[Callable[[], None]] = []
        self._drawn: WeakKeyDictionary = WeakKeyDictionary()  # draft -> list of drawing.Memo
        self._drawn_now: dict[str, object] = {}
        self.mask_changed.connect(lambda node_id: self._drawn_now.pop(node_id, None))
        self.jobs.ended.connect(self._go_on_waiting)

    # ---- what is under way -------------------------------------------------------------------
    @property
    def is_drawing(self) -> bool:
        """True while a gesture is being worked out or waits."""
        return bool(self._gestures)

    def current_drawing(self):
        """What the current node's outline was drawn with as it stands: ``DrawnOutlines``,
        ``drawing.Strokes``, ``drawing.Ball``, or None."""
        state = self.current
        if state is None or state.draft is None or not self._drawn.get(state.draft):
            return None
        node_id = state.node.node_id
        if node_id not in self._drawn_now:
            self._drawn_now[node_id] = drawing.recall(self._drawn[state.draft], state.draft.array, state.draft.box)
        return self._drawn_now[node_id]

    def when_drawn(self, then: Callable[[], None]) -> bool:
        """True where outlines are still being worked out: ``then`` is called once they are. False where
        nothing is under way: go on. A stroke under way ends."""
        self.end_stroke()
        if not self._is_outlining():
            return False
        self._waiting.append(then)
        return True

    def _is_outlining(self) -> bool:
        return self.is_drawing or any(self.is_outlining_picture(node_id) for node_id in self.nodes)

    def _go_on_waiting(self, _key) -> None:
        while self._waiting and not self._is_outlining():
            self._waiting.pop(0)()

    def undo(self) -> None:
        """Take the last step back, also one that is still being worked out."""
        if not self.when_drawn(self.undo):
            self.undo_stack.undo()

    def redo(self) -> None:
        """Do again what was taken back."""
        if not self.when_drawn(self.redo):
            self.undo_stack.redo()

    # ---- one after the other -----------------------------------------------------------------
    def _ask(self, gesture: Gesture) -> None:
        """Put a gesture in line."""
        pointless = [g for g in self._gestures if gesture.instead_of and g.state is gesture.state and g.kind == gesture.instead_of]
        if self._at_work in pointless:
            self.jobs.drop(DRAW_KEY)
            self._at_work = None
        self._gestures = [g for g in self._gestures if g not in pointless]
        self._gestures.append(gesture)
        self._next_gesture()

    def _is_there(self, gesture: Gesture) -> bool:
        """True while the gesture's node and picture are on screen."""
        return self.image is gesture.image and self.nodes.get(gesture.state.node.node_id) is gesture.state

    def _is_painted(self, state) -> bool:
        return self._stroke is not None and self._stroke[0] == state.node.node_id

    def _next_gesture(self) -> None:
        """Work on the first gesture in line, on the outline as it is by then; not under the reader's hand."""
        while self._at_work is None and self._gestures and not self._is_painted(self._gestures[0].state):
            gesture = self._gestures[0]
            work = gesture.begin() if self._is_there(gesture) else None
            if work is None:
                self._gestures.pop(0)
                self._drop_preview()
                continue
            self._work_on(gesture, work)

    def _work_on(self, gesture: Gesture, work: Callable[[], drawing.Drawn]) -> None:
        state, self._at_work = gesture.state, gesture
        version = _version(state)

        def worked_out(context):
            drawn = work()
            context.token.check()  # cancelled by the reader: what comes is not wanted any more
            return drawn, drawing.Memo.of(drawn.array, drawn.value)

        def ended(result=None, error=None) -> None:
            self._at_work = None
            touched = self._is_painted(state) or _version(state) != version
            if self._is_there(gesture) and touched and result is not None and not gesture.anew:
                self._next_gesture()  # the reader's hand is, or was meanwhile, on it
                return
            self._gestures.remove(gesture)
            self._drop_preview()
            if error is not None:
                self._on_refused(error)
            if result is not None and self._is_there(gesture) and not self._refuse_locked(state):
                self._take_drawn(gesture, *result)
                if touched:
                    self.notice.emit("info", f"{state.node.label} was outlined anew over what was drawn meanwhile; undo (Ctrl+Z) brings that back.")
            self._next_gesture()

        self.jobs.start(gesture.text, worked_out, key=DRAW_KEY, quiet=True, on_done=ended, on_refused=lambda error: ended(None, error), on_lost=ended)

    def _take_drawn(self, gesture: Gesture, drawn: drawing.Drawn, memo: drawing.Memo) -> None:
        """Take over what a gesture gave: undo step, what it was drawn with, what is worth knowing."""
        state = gesture.state
        if drawn.repairs:
            step = self._draft_of(state).edit(drawn.array, gesture.text, method=drawn.origin.method, box=memo.box)
        else:
            if self._is_painted(state):
                self.end_stroke()  # a step of its own, beneath the outline that comes
            mask = NodeMask(drawn.array, gesture.image.geometry, coverage_volume_ml=drawn.coverage_volume_ml, origin=drawn.origin)
            step = self._draft_of(state).replace(mask, gesture.text, click=drawn.click, box=memo.box)
        if memo.value is not None:
            self._drawn[state.draft] = [*self._drawn.get(state.draft, ()), memo][-KEPT:]
            self._drawn_now.pop(state.node.node_id, None)
        for finding in drawn.findings:
            self.notice.emit(finding.severity, finding.message)
        if drawn.problem is not None:
            self._on_refused(drawn.problem)
        if step is not None:
            self._did(state.node.node_id, step, drawn.surface)
        else:
            if drawn.problem is None and not drawn.findings and not isinstance(drawn.value, drawing.Strokes):
                self.notice.emit("info", f"{gesture.text}: the outline of {state.node.label} stays as it is.")
            self.display_changed.emit()

    def _draft_of(self, state) -> MaskDraft:
        """The outline in work of a node on the picture on screen; an empty one where there was none."""
        if state.draft is None:
            state.draft = MaskDraft(self.image.geometry)
        return state.draft

    def _take_whole(self, state, mask: NodeMask, text: str, box) -> bool:
        """Put a whole outline that was made elsewhere (``box`` holds its voxels) in the place of a node's; one
        undo step. False where it is the same already."""
        if self._is_painted(state):
            self.end_stroke()
        step = self._draft_of(state).replace(mask, text, box=box)
        if step is not None:
            self._did(state.node.node_id, step)
        return step is not None

    def _drop_preview(self) -> None:
        if self.preview is not None:
            self.preview = None
            self.preview_changed.emit()

    def _forget_gestures(self) -> None:
        """Another picture comes: what was not worked out belongs to the one before."""
        self.jobs.drop(DRAW_KEY)
        self._gestures.clear()
        self._at_work = None
        self._drawn_now.clear()
        self.outline_points_mm = None

    def _before(self, state) -> Callable[[Callable], Callable[[], drawing.Drawn]]:
        """The outline as it stands, handed to ``work(before, known)`` in a thread."""
        draft = self._draft_of(state)
        copy, memos, box = draft.copy_later(), tuple(self._drawn.get(draft, ())), draft.box

        def on_copy(work):
            before = copy()
            return work(before, drawing.recall(memos, before, box))

        return lambda work: lambda: on_copy(work)


def _version(state) -> int:
    return -1 if state.draft is None else state.draft.version


def point_of(values) -> tuple[float, float, float]:
    """A point as plain numbers, as outlines keep it."""
    x, y, z = (float(v) for v in np.asarray(values, dtype=float))
    return x, y, z
