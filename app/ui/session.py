"""What is open and what is on screen: the one object that panes and panels look at and speak to.

Panes and panels never call each other. They call a method here and listen to the signals; every
method that takes time hands its work to the job runner and returns at once.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from PySide6.QtCore import QObject, Signal
from PySide6.QtGui import QUndoStack

from app.study.model import Reading, SeriesRecord, TargetNode, Visit
from app.ui.job_runner import JobRunner
from app.usecases.plan import PlanDraft
from volumetry.image import Cine, ImageVolume

STEPS = ("images", "measure", "plan", "follow_up", "report")
TOOLS = ("crosshair", "node", "brush", "eraser", "caliper", "ellipsoid", "needle")
WINDOW_PRESETS = {  # name: (centre, width) in HU
    "Soft tissue": (50.0, 350.0),
    "Neck contrast": (80.0, 450.0),
    "Bone": (500.0, 2000.0),
    "Lung and airway": (-500.0, 1500.0),
    "Narrow": (60.0, 160.0),
}


@dataclass(frozen=True, slots=True)
class Caliper:
    """A drawn length. ``plane`` is None on a volume, else longitudinal or transverse on a still.
    ``points`` are LPS mm (volume) or pixels (picture); ``length_mm`` is None where refused."""

    points: tuple
    length_mm: float | None
    label: str
    plane: str | None = None
    frame: int = 0
    refusal: str | None = None


@dataclass(slots=True)
class NodeState:
    """A node at the visit on screen: its outline, numbers and reading."""

    node: TargetNode
    draft: object | None = None  # app.usecases.mask_draft.MaskDraft
    measurement: object | None = None  # volumetry.measure.NodeMeasurement
    reading: Reading | None = None
    outline_surface: tuple | None = None  # (vertices_mm (n, 3), faces (m, 3)) from the click, for 3D
    calipers: dict = field(default_factory=dict)  # "length" | "width" | "depth" -> Caliper
    ellipsoid: object | None = None


class Session(QObject):
    """State of the window.

    Attributes that views read: ``study`` (StudyStore or None), ``subject_id``, ``visits``,
    ``series`` (of the current visit), ``visit``, ``image`` (ImageVolume or None), ``picture``
    (Cine or None) with ``frame_index``, ``crosshair_mm``, ``window`` (centre, width), ``tool``,
    ``brush_radius_mm``, ``brush_3d``, ``nodes`` (node_id -> NodeState), ``current_node_id``,
    ``calipers``, ``plan`` (PlanDraft), ``solution``, ``assessment``, ``field_opacity``,
    ``step``, ``findings``, ``undo_stack``, ``jobs``.
    """

    study_changed = Signal()
    visit_changed = Signal()
    image_changed = Signal()
    picture_changed = Signal()
    frame_changed = Signal(int)
    crosshair_changed = Signal()
    window_changed = Signal()
    tool_changed = Signal(str)
    step_changed = Signal(str)
    nodes_changed = Signal()  # list of nodes, selection or readings of this visit
    mask_changed = Signal(str)  # node_id
    preview_changed = Signal()  # segmentation preview while dragging
    measurement_changed = Signal(str)  # node_id
    calipers_changed = Signal()
    plan_changed = Signal()
    field_changed = Signal()
    display_changed = Signal()  # opacity, which overlays are shown
    readings_changed = Signal()  # any reading of the subject
    findings_changed = Signal()
    saved = Signal(str)  # what was confirmed on disk, with its time
    notice = Signal(str, str)  # severity, sentence: shown without a modal dialog

    def __init__(self, parent: QObject | None = None):
        super().__init__(parent)
        self.jobs = JobRunner(self)
        self.undo_stack = QUndoStack(self)
        self.study = None
        self.subject_id: str | None = None
        self.reader = "Reader A"
        self.visits: list[Visit] = []
        self.series: list[SeriesRecord] = []
        self.visit: Visit | None = None
        self.image: ImageVolume | None = None
        self.picture: Cine | None = None
        self.frame_index = 0
        self.crosshair_mm = np.zeros(3)
        self.window = WINDOW_PRESETS["Neck contrast"]
        self.tool = "crosshair"
        self.brush_radius_mm = 3.0
        self.brush_3d = False
        self.nodes: dict[str, NodeState] = {}
        self.current_node_id: str | None = None
        self.preview: tuple | None = None  # (NodeMask, vertices_mm, faces) while the radius is dragged
        self.calipers: list[Caliper] = []
        self.plan = PlanDraft()
        self.plan_target_id: str | None = None
        self.solution = None  # planning FieldSolution of the plan on screen, or None
        self.assessment = None  # planning PlanAssessment
        self.field_is_preview = False
        self.field_opacity = 0.45
        self.show_field = True
        self.step = "images"
        self.findings: list = []
        self.subject_readings: list[Reading] = []
        self.subject_nodes: list[TargetNode] = []

    # ---- opening -------------------------------------------------------------------------
    def open_demo(self, folder=None) -> None:
        """Make (or reuse) the demonstration study in ``folder`` and open it; a job."""

    def open_study(self, folder) -> None:
        """Open a study folder; a job. The first visit's volume follows."""

    def import_images(self, path, subject_id: str, visit_name: str) -> None:
        """Import a folder of DICOM into the open study under a pseudonym and visit; a job."""

    def open_folder(self, path) -> None:
        """Look at a folder of DICOM without a study (nothing is saved); a job."""

    def open_visit(self, visit_id: str) -> None:
        """Make a visit current: its series, its volume, its outlines and readings; a job."""

    def open_series(self, series_id: str) -> None:
        """Show one series of the current visit, volume or ultrasound; a job."""

    def save(self) -> None:
        """Save drafts now (they are also saved after every edit); emits ``saved``."""

    def close(self) -> None:
        """Stop jobs, save drafts, release the study."""
        self.jobs.close()

    # ---- looking -------------------------------------------------------------------------
    def set_step(self, step: str) -> None:
        """Go to one of STEPS."""
        if step != self.step:
            self.step = step
            self.step_changed.emit(step)

    def set_tool(self, tool: str) -> None:
        """Take one of TOOLS in hand; ``crosshair`` is no tool (Esc)."""
        if tool != self.tool:
            self.tool = tool
            self.tool_changed.emit(tool)

    def set_crosshair(self, point_mm) -> None:
        """Put the crosshair at an LPS point (clamped to the image)."""
        point = np.asarray(point_mm, dtype=float)
        if self.image is not None:
            g = self.image.geometry
            index = np.clip(g.world_to_index(point), 0, np.array(g.shape[::-1]) - 1)
            point = g.index_to_world(index)
        self.crosshair_mm = point
        self.crosshair_changed.emit()

    def set_window(self, centre: float, width: float) -> None:
        """Window/level in HU; width at least 1."""
        self.window = (float(centre), max(1.0, float(width)))
        self.window_changed.emit()

    def set_frame(self, index: int) -> None:
        """Show one frame of the cine."""
        if self.picture is not None:
            self.frame_index = int(np.clip(index, 0, self.picture.frame_count - 1))
            self.frame_changed.emit(self.frame_index)

    def set_field_display(self, *, opacity: float | None = None, shown: bool | None = None) -> None:
        """Opacity 0 to 1 and visibility of the colour wash and iso-lines."""
        if opacity is not None:
            self.field_opacity = float(np.clip(opacity, 0, 1))
        if shown is not None:
            self.show_field = shown
        self.display_changed.emit()

    # ---- nodes and outlines --------------------------------------------------------------
    def add_node(self, label: str, side: str, level: str) -> None:
        """New target node, same identity at every visit; becomes current."""

    def select_node(self, node_id: str | None) -> None:
        """Make a node current; the crosshair goes to it where it has an outline."""

    def preview_segmentation(self, seed_mm, radius_mm: float) -> None:
        """Outline while the radius is dragged: quiet job, latest wins, emits ``preview_changed``."""

    def commit_segmentation(self, seed_mm, radius_mm: float) -> None:
        """Outline the current node (a new one is made if none is current); one undo step."""

    def add_anchor(self, point_mm) -> None:
        """Pull the surface of the last click through a point; one undo step."""

    def begin_stroke(self, text: str) -> None:
        """A brush or eraser stroke begins; all dabs until ``end_stroke`` are one undo step."""

    def dab(self, point_mm, add: bool, plane_axis: int | None) -> None:
        """Paint or erase at a point; ``plane_axis`` 0, 1, 2 = disc in the slice across k, j, i;
        None = ball."""

    def end_stroke(self) -> None:
        """The stroke ends: push the undo step, measure, autosave."""

    def edit_mask(self, operation: str) -> None:
        """``fill``, ``keep_largest``, ``grow``, ``shrink``, ``smooth`` or ``clear``; one undo step."""

    # ---- calipers ------------------------------------------------------------------------
    def add_caliper(self, points, *, role: str | None = None, plane: str | None = None) -> None:
        """Measure two points: LPS mm on a volume, pixels on a picture. ``role`` length, width or
        depth files it under the current node's ellipsoid."""

    def remove_caliper(self, index: int) -> None:
        """Take a caliper away; one undo step."""

    # ---- readings ------------------------------------------------------------------------
    def set_reading_status(self, node_id: str, status: str, reason: str | None = None) -> None:
        """Record what was seen (disappeared_assessed, too_small, not_evaluable …)."""

    def lock_reading(self, node_id: str, name: str, meaning: str) -> None:
        """Lock the reading of a node at this visit with a typed name; a job."""

    def follow_up_rows(self) -> list:
        """Readings of the subject with VRR: list of dicts as in ``study response`` plus
        ``visit_order``, ``volume_ml``, ``volume_interval_ml``, ``state``, ``label``."""
        return []

    def step_needs(self, step: str) -> str:
        """One short sentence on what a step still needs, or an empty string."""
        return ""

    # ---- plan ----------------------------------------------------------------------------
    def set_plan(self, plan: PlanDraft, text: str = "Change plan", *, live: bool = False) -> None:
        """Replace the plan. ``live`` (while dragging) keeps it out of undo and asks for a quick
        preview; otherwise it is one undo step and the old field is dropped."""

    def suggest_needles(self, count: int) -> None:
        """Place needles around the current node as a starting position; one undo step."""

    def solve(self) -> None:
        """Solve the plan at full resolution; a job with progress and cancel."""

    def save_plan(self) -> None:
        """Write the solved plan into the study as a write-once run."""

    # ---- out -----------------------------------------------------------------------------
    def export(self, kind: str, path) -> None:
        """``csv`` (into a folder) or ``pdf`` (one page a subject); a job; notice tells the place."""

    def replace_state(self, node_id: str, **changes) -> None:
        """Swap fields of a NodeState and tell the views."""
        self.nodes[node_id] = replace(self.nodes[node_id], **changes)
        self.nodes_changed.emit()
