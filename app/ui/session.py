"""What is open and what is on screen: the one object that panes and panels look at and speak to.

Panes and panels never call each other. They call a method here and listen to the signals; every
method that takes time hands its work to the job runner and returns at once. What is open is in
``session_opening``, outlines in ``session_nodes``, the rest in the ``session_`` files of their names.
"""

from __future__ import annotations

import datetime as dt
import threading
from pathlib import Path

import numpy as np
from PySide6.QtCore import QObject, Signal
from PySide6.QtGui import QUndoStack

from app.study.model import Reading, ReadingState, SeriesRecord, TargetNode, Visit
from app.ui.commands import StepCommand
from app.ui.job_runner import JobRunner
from app.ui.session_ablation_margin import AblationMarginPart
from app.ui.session_audit import AuditPart
from app.ui.session_board import BoardPart
from app.ui.session_calipers import CalipersPart
from app.ui.session_cohort import CohortPart
from app.ui.session_compare import ComparePart
from app.ui.session_contrast import ContrastPart
from app.ui.session_drawing import DrawingPart
from app.ui.session_earlier_zone import EarlierZonePart
from app.ui.session_field_display import FieldDisplayPart
from app.ui.session_gestures import GesturesPart
from app.ui.session_model import ModelPart
from app.ui.session_nodes import NodesPart
from app.ui.session_opening import OpeningPart
from app.ui.session_optimise import OptimisePart
from app.ui.session_pacs import PacsPart
from app.ui.session_pictures import PicturesPart
from app.ui.session_plan import PlanPart
from app.ui.session_plan_runs import PlanRunsPart
from app.ui.session_readings import ReadingsPart
from app.ui.session_robustness import RobustnessPart
from app.ui.session_schematic import SchematicPart
from app.ui.session_stills import StillsPart
from app.ui.session_thermal import ThermalPart
from app.ui.session_thermal_runs import ThermalRunsPart
from app.ui.session_users import LOCAL_READER, UsersPart
from app.ui.session_values import Caliper, NodeState
from app.ui.session_worklist import WorklistPart
from app.ui.text import said, told
from app.usecases.plan import PlanDraft
from volumetry.errors import NodusError
from volumetry.image import Cine, ImageVolume

STEPS = ("images", "measure", "plan", "follow_up", "report")
TOOLS = ("crosshair", "node", "brush", "eraser", "caliper", "ellipsoid", "needle", "structure", "model", "landmark", "livewire", "contour", "scribble", "region", "threshold", "cut", "scale", "contrast_region", "contrast_panes")
WINDOW_PRESETS = {  # name: (centre, width) in HU
    "Soft tissue": (50.0, 350.0),
    "Neck contrast": (80.0, 450.0),
    "Bone": (500.0, 2000.0),
    "Lung and airway": (-500.0, 1500.0),
    "Narrow": (60.0, 160.0),
}


class Session(UsersPart, WorklistPart, BoardPart, SchematicPart, OpeningPart, NodesPart, GesturesPart, DrawingPart, CalipersPart, ContrastPart, PicturesPart, StillsPart, ReadingsPart, ThermalRunsPart, PlanRunsPart, EarlierZonePart, OptimisePart, RobustnessPart, ThermalPart, PlanPart, FieldDisplayPart, AblationMarginPart, ComparePart, ModelPart, PacsPart, CohortPart, AuditPart, QObject):
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
    outlines_changed = Signal()  # outlines, wires, planes of ultrasound pictures
    contrast_changed = Signal()  # a contrast loop: panes, marks, regions, what was read of it
    plan_changed = Signal()
    field_changed = Signal()
    kept_runs_changed = Signal()  # the subject's plan runs, and what the plan on screen is kept under
    run_looked_at = Signal(object)  # compare_kept.LookedAt, or None
    plans_side_by_side = Signal(object)  # compare_kept.SideBySide
    delivery_asked = Signal(object, object)  # a PlanRun and its deliveries
    proposals_changed = Signal()  # a search begun or ended, its proposals, the one looked at
    robustness_changed = Signal()
    thermal_changed = Signal()  # modality, settings or zones of RFA and cryo + RF
    display_changed = Signal()  # opacity, which overlays are shown
    readings_changed = Signal()  # any reading of the subject
    findings_changed = Signal()
    node_details_needed = Signal(str)  # node_id whose side or level is not stated yet; empty: a node must be added first
    saved = Signal(str)  # what was confirmed on disk, with its time
    ablation_changed = Signal()  # the margin after an ablation: what is chosen, measured, shown
    comparison_changed = Signal()  # the visit beside, its link, landmarks
    other_crosshair_changed = Signal()
    cohort_changed = Signal()  # what is worked out of all subjects together
    sign_in_asked = Signal()  # a study with users waits for somebody
    sign_in_refused = Signal(str)  # in words
    signed_in_as = Signal()
    signed_out = Signal()
    user_changed = Signal()  # who is at work, or whether the session is locked
    worklist_changed = Signal()
    case_opened = Signal()
    board_changed = Signal()
    facts_changed = Signal()  # of the subject chosen on the board
    event_logged = Signal(str)  # empty, or why it was refused
    series_found = Signal(object)  # several series to choose one from (a ScanResult)
    keep_typed = Signal()  # fields that hold what was typed and not left yet give it now: the visit is left, saved or closed
    notice = Signal(str, str)  # severity, sentence: shown without a modal dialog

    def __init__(self, parent: QObject | None = None):
        super().__init__(parent)
        self.jobs = JobRunner(self)
        self.jobs.refused.connect(self._on_refused)
        self.undo_stack = QUndoStack(self)
        self.study = None
        self._start_users()
        self._start_worklist()
        self.subject_id: str | None = None
        self.reader = LOCAL_READER
        self.visits: list[Visit] = []
        self.series: list[SeriesRecord] = []
        self.series_by_visit: dict[str, list[SeriesRecord]] = {}
        self.visit: Visit | None = None
        self.image: ImageVolume | None = None
        self.picture: Cine | None = None
        self.current_series_id: str | None = None
        self.frame_index = 0
        self.crosshair_mm = np.zeros(3)
        self.window = self._hu_window = WINDOW_PRESETS["Neck contrast"]
        self._window_unit = "HU"  # of the volume that the window was set for
        self.tool = "crosshair"
        self.brush_radius_mm = 3.0
        self.brush_3d = False
        self.nodes: dict[str, NodeState] = {}
        self.current_node_id: str | None = None
        self.preview: tuple | None = None  # (NodeMask, vertices_mm, faces) while the radius is dragged
        self.calipers: list[Caliper] = []
        self.plan: PlanDraft
        self.plan_target_id: str | None
        self.solution: object | None  # planning FieldSolution of the plan on screen
        self.assessment: object | None  # planning PlanAssessment
        self._drop_plan()
        self.field_opacity = 0.45
        self.show_field = True
        self.step = "images"
        self.findings: list = []
        self.subject_readings: list[Reading] = []
        self.subject_nodes: list[TargetNode] = []
        self._unsaved: dict[tuple[str, str, str], tuple] = {}  # drafts not yet confirmed on disk
        self._newest_step: dict[tuple[str, str, str], int] = {}
        self._step_number = 0
        self._saving = threading.Lock()
        self._rows: list[dict] = []
        self._start_enhancing()
        self._start_statements()
        self._begin_gestures()
        self._begin_drawing()
        self._start_pictures()
        self._start_contrast()
        self._start_comparing()
        self._start_plan_runs()
        self._start_cohort()
        self._start_board()

    @property
    def picture_name(self) -> str | None:
        """Identity of the ultrasound picture on screen."""
        if self.picture is None:
            return None
        own = next(iter(self.picture.source.sop_instance_uids), None)  # stills of one examination share their series
        return self.current_series_id or own or self.picture.source.series_uid or "picture"

    def save(self) -> None:
        """Save what is not on disk yet (every edit is also saved by itself); emits ``saved`` once it is."""
        self.flush_drafts()
        if self.study is None:
            return

        def done(_result) -> None:
            if not self._unsaved:
                self._say_saved("everything is saved")

        # Writes are done in order: when this one is, all before it are.
        self.jobs.start("Saving", lambda _context: None, quiet=True, write=True, on_done=done)

    def close(self) -> list[Exception]:
        """Let writes finish, stop everything else, release the study.

        Returns what could not be written: then the study stays open with the outlines in memory,
        and ``close`` can be called again.
        """
        if self._stroke is not None:
            self.end_stroke()
        self.keep_typed.emit()
        self.end_receiving()
        problems = self.jobs.close() + self.write_drafts_now()
        if problems:
            self.jobs.reopen()
            return problems
        self._release_study()
        return []

    def _say_saved(self, what: str) -> None:
        what = said(what)
        self.saved.emit(f"{what[:1].upper()}{what[1:]} {dt.datetime.now():%H:%M:%S}")

    def _on_refused(self, refusal: NodusError) -> None:
        self.notice.emit("warning", told(refusal.message, refusal.code) + (f" {said(refusal.hint)}" if refusal.hint else ""))

    def _push(self, text: str, redo, undo, is_valid=None) -> None:
        """Put a step that was just done on the undo stack; see ``StepCommand`` for ``is_valid``."""
        self.undo_stack.push(StepCommand(text, redo, undo, is_valid))

    # ---- looking -------------------------------------------------------------------------
    def set_step(self, step: str) -> None:
        """Go to one of STEPS."""
        if step != self.step and step in self.steps_here():
            self.step = step
            self.step_changed.emit(step)

    def set_tool(self, tool: str) -> None:
        """Take one of TOOLS in hand; ``crosshair`` is no tool (Esc)."""
        if tool != self.tool:
            self.tool = tool
            self.tool_changed.emit(tool)

    def set_brush(self, radius_mm: float | None = None, ball: bool | None = None) -> None:
        """Brush radius (0.5 to 20 mm) and whether it paints a ball or a disc."""
        if radius_mm is not None:
            self.brush_radius_mm = float(np.clip(radius_mm, 0.5, 20.0))
        if ball is not None:
            self.brush_3d = ball
        self.display_changed.emit()

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

    def step_needs(self, step: str) -> str:
        """One short sentence on what a step still needs, or an empty string."""
        if step == "images":
            return "" if self.image is not None or self.picture is not None else "no pictures open"
        if step == "measure":
            open_ones = [s for s in self.nodes.values() if s.reading is None or s.reading.state != ReadingState.LOCKED]
            begun = sum(1 for s in open_ones if s.reading is not None or s.ellipsoid is not None or (s.draft is not None and not s.draft.is_empty))
            missing = len(open_ones) - begun
            parts = (f"{missing} node{'s' if missing > 1 else ''} without a reading" if missing else "", f"{begun} to lock" if begun else "")
            return ", ".join(said(part) for part in parts if part)
        if step == "plan":
            if self.modality != "ire":
                return self.thermal_needs()
            if len(self.plan.needles) < 2:
                return "fewer than 2 needles"
            return "" if self.assessment is not None and not self.field_is_preview else "field not solved"
        drafts = sum(1 for r in self.subject_readings if r.locked_utc is None and r.state != "superseded")
        if step == "follow_up":
            return "" if len(self.subject_readings) > 0 else "no readings yet"
        return f"{drafts} reading{'s' if drafts > 1 else ''} not locked" if drafts else ""

    def follow_up_rows(self) -> list:
        """Readings of the subject with VRR: dicts as in ``study response`` plus ``label``,
        ``visit_name``, ``visit_order``, ``volume_ml``, ``volume_interval_ml``, ``state``."""
        return self._rows

    # ---- out -----------------------------------------------------------------------------
    def export(self, kind: str, path) -> None:
        """``csv`` or a ``dicom-`` format (into a folder) or ``pdf`` (one page a subject); a job; notice tells the place."""
        from app.usecases.export_edc import export_study

        store, subject = self.study, self.subject_id
        if store is None or subject is None:
            self.notice.emit("warning", "Open a study first; exports are made from it.")
            return
        self.flush_drafts()

        def done(receipt) -> None:
            names = ", ".join(Path(f["path"]).name for f in receipt["files"])
            self.last_exports = [*getattr(self, "last_exports", []), receipt]
            what = names if len(names) < 160 else f"{len(receipt['files'])} files"
            out = f"; {len(receipt['left_out'])} left out: {receipt['left_out'][0]['message']}" if receipt.get("left_out") else ""
            self.notice.emit("warning" if out else "info", f"Exported {receipt['readings']} locked readings: {what} in {path}{out}")
            self._say_saved("export written")
            self.readings_changed.emit()

        self.jobs.start(f"Exporting {kind.upper()}", lambda _context: export_study(store, kind, Path(path), subject_id=subject if kind == "pdf" else None), write=True, on_done=done)
