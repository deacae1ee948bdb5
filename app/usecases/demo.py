"""The main job on the demonstration case, from DICOM to report, without a window.

A scripted reader clicks near each node (a jittered place and radius, as a hand would), repairs the
outline by the same edits that the window offers, saves and locks the readings, plans needles and
exports. The truth of the synthetic case is used only for where to click and, at the end, for the
comparison printed in ``summary.json``; outlines come from the pictures alone.
"""

from __future__ import annotations

import shutil
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from app import INVESTIGATIONAL_NOTICE, __version__
from app.demo.case import DemoCase, generate_case
from app.jobs import JobContext
from app.study.model import ReadingStatus
from app.study.store import StudyStore
from app.usecases.export_edc import export_study
from app.usecases.files import FileRefused, ensure_folder, read_json, sha256_of, write_json
from app.usecases.import_images import import_folder, open_record
from app.usecases.mask_draft import MaskDraft
from app.usecases.needle_start import suggest_needles
from app.usecases.plan import PlanDraft, draft_to_plan, solve_and_assess
from app.usecases.plan_files import write_plan_folder
from app.usecases.plan_runs import save_plan_run
from app.usecases.readings import mask_of_reading, save_reading
from app.usecases.segment import segment_volume
from app.usecases.structures import grow_structure
from volumetry.errors import NodusError, SegmentationRefused
from volumetry.image import ImageVolume
from volumetry.measure import measure_node

SUBJECT = "DEMO-001"
SCRIPTED_READER = "Scripted reader"
SCRIPTED_NAME = "Scripted reader (demonstration)"
MEANING = "Demonstration reading by a script"
MARKER = "demonstration.json"
SEED = 2026
PLANNED_NODE = "N1"
FAT_BELOW_HU = -20.0  # where a node was, fat alone is left: it has disappeared


class StageClock:
    """How long each stage of the job took, for the summary and the benchmark."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str):
        """Time the block under ``name``."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = round(self.seconds.get(name, 0.0) + time.perf_counter() - started, 3)


def prepare_study(place: Path, context: JobContext) -> Path:
    """The demonstration study in ``place``/study, made where it is not there yet; returns its folder."""
    study = place / "study"
    marker = place / MARKER
    if marker.exists() and (study / "study.sqlite").exists() and read_json(marker).get("version") == __version__:
        return study
    clear_output(place)
    clock = StageClock()
    case = make_case(place, context.part(0.0, 0.4), clock)
    with make_study(case, study, context.part(0.4, 0.6), clock) as store:
        read_all(store, case, context.part(0.6, 1.0), clock)
    write_json(marker, {"version": __version__, "seed": SEED})
    return study


def clear_output(place: Path) -> None:
    """Remove an earlier run's output; refuse a folder that holds anything else."""
    ensure_folder(place)
    ours = {"dicom", "study", "masks", "plan", "tables", "screenshots", "truth.json", "case.json", "readings.json", "report.pdf", "summary.json", MARKER}
    strangers = sorted(p.name for p in place.iterdir() if p.name not in ours and not p.name.startswith(".partial-"))
    if strangers:
        raise FileRefused(f"The folder {place.name} holds other files ({strangers[0]}).", code="folder_not_empty", hint="Choose a new or empty folder.")
    for path in place.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def make_case(place: Path, context: JobContext, clock: StageClock) -> DemoCase:
    """Generate the DICOM files of the synthetic subject."""
    with clock.stage("generate DICOM"):
        return generate_case(place, seed=SEED, context=context)


def make_study(case: DemoCase, folder: Path, context: JobContext, clock: StageClock) -> StudyStore:
    """A study with every visit imported, the nodes, and the ablation on its day."""
    stills = {s.path.name: f"Ultrasound {s.node_id} {s.plane}" for v in case.visits for s in v.stills}

    def describe(summary) -> str:
        if summary.kind == "volume":
            return "Contrast CT neck"
        if summary.kind == "cine":
            return "Contrast ultrasound N1"
        return stills.get(Path(summary.files[0]).name, "Ultrasound still")

    with clock.stage("import into study"):
        store = StudyStore.create(folder, name="Demonstration (synthetic)")
        for n, visit in enumerate(case.visits):
            part = context.part(n / len(case.visits), (n + 1) / len(case.visits))
            import_folder(store, SUBJECT, visit.name, visit.folder, part, describe)
        for node in case.nodes:
            first = case.true_node(node.id, case.visits[0].name)
            store.add_node(SUBJECT, node.id, node.side, node.level, seed_mm=tuple(round(float(v), 1) for v in first["centre_mm"]))
        store.add_event(SUBJECT, "IRE", case.truth["treated_on"])
    return store


def read_all(store: StudyStore, case: DemoCase, context: JobContext, clock: StageClock) -> None:
    """The scripted reader measures and locks every node at every visit."""
    rng = np.random.default_rng(SEED)
    nodes = {n.label: n for n in store.nodes(SUBJECT)}
    visits = store.visits(SUBJECT)
    for n, visit in enumerate(visits):
        context.report(f"Reading {visit.name}", n / len(visits))
        with clock.stage("open CT"):
            record = next(s for s in store.series(visit.visit_id) if s.kind == "volume")
            image = open_record(store, record, JobContext(token=context.token))
        for label, node in nodes.items():
            truth = case.true_node(label, visit.name)
            seed = np.asarray(truth["centre_mm"], float) + rng.normal(0.0, 0.7, 3)
            radius = max(truth["semi_axes_mm"] or (4.0,)) * rng.uniform(1.0, 1.25)
            with clock.stage("outline and measure"):
                outlined = outline(image, seed, radius)
            with clock.stage("save readings"):
                if outlined is None:
                    saved = save_reading(
                        store, visit, node, reader=SCRIPTED_READER, modality="CT", status=ReadingStatus.DISAPPEARED_ASSESSED, image=image,
                        status_reason="Only fat is left where the node was",
                    )
                else:
                    saved = save_reading(store, visit, node, reader=SCRIPTED_READER, modality="CT", mask=outlined, image=image)
                store.lock_reading(saved.reading_id, SCRIPTED_NAME, MEANING)


def outline(image: ImageVolume, seed_mm, radius_mm: float):
    """One click with a scripted repair; None where only fat is left at the click.

    The repair is what a reader does when an outline has run into a bright vessel: erase what is
    far brighter than the node's core, keep the largest piece and fill it.
    """
    if local_mean_hu(image, seed_mm) < FAT_BELOW_HU:
        return None
    result = segment_volume(image, seed_mm, radius_mm)
    draft = MaskDraft(image.geometry, result.mask)
    repaired = erase_brighter(image, draft.array, result.inside_hu)
    if repaired is not None:
        draft.edit(repaired, "Erase vessel")
    if draft.is_empty:
        raise SegmentationRefused("The repair left nothing of the outline.", code="empty_mask")
    return draft.as_mask()


def local_mean_hu(image: ImageVolume, point_mm, radius_mm: float = 1.5) -> float:
    """Mean value in a small ball."""
    g = image.geometry
    index = g.world_to_index(point_mm)
    half = np.ceil(radius_mm / np.array(g.spacing_mm)).astype(int)
    low = np.maximum(np.floor(index).astype(int) - half, 0)
    high = np.minimum(np.ceil(index).astype(int) + half + 1, np.array(g.shape[::-1]))
    grid = np.stack(np.meshgrid(*(np.arange(a, b) for a, b in zip(low, high)), indexing="ij"), axis=-1)
    inside = np.linalg.norm(g.index_to_world(grid) - np.asarray(point_mm), axis=-1) <= radius_mm
    chosen = grid[inside]
    if not len(chosen):
        raise SegmentationRefused("The click lies outside the image.", code="seed_outside")
    return float(image.array[chosen[:, 2], chosen[:, 1], chosen[:, 0]].mean())


def erase_brighter(image: ImageVolume, array: np.ndarray, inside_hu: tuple[float, float]) -> np.ndarray | None:
    """Mask without connected vessel that the outline took in; None where there is none.

    A voxel counts as vessel where its 3 x 3 in-plane mean exceeds the node's mean by six of its
    standard deviations of single voxels: averaging nine voxels leaves noise far below that.
    """
    from scipy import ndimage

    from volumetry.segmentation.editing import fill_holes, keep_largest

    mean, sd = inside_hu
    smooth = ndimage.uniform_filter(image.array.astype(np.float32), size=(1, 3, 3))
    vessel = array & (smooth > mean + 6.0 * max(sd, 5.0))
    if not vessel.any():
        return None
    return fill_holes(keep_largest(array & ~vessel))


def plan_node(store: StudyStore, case: DemoCase, context: JobContext):
    """Needles around one node at baseline, with carotid and jugular grown from one click each."""
    visit = store.visits(SUBJECT)[0]
    node = next(n for n in store.nodes(SUBJECT) if n.label == PLANNED_NODE)
    reading = next(r for r in store.readings(SUBJECT, visit_id=visit.visit_id, node_id=node.node_id, reader=SCRIPTED_READER))
    record = next(s for s in store.series(visit.visit_id) if s.kind == "volume")
    image = open_record(store, record, JobContext(token=context.token))
    mask = mask_of_reading(store, reading)
    centre = np.asarray(measure_node(mask).centroid_mm)
    at_risk = []
    for structure in ("carotid", "jugular"):
        near = [np.add(s.from_mm, s.to_mm) / 2 for s in case.structures if structure in s.name.lower()]
        if near:
            click = min(near, key=lambda p: np.linalg.norm(p - centre))
            grown = grow_structure(image, click, structure, reach_mm=35.0)
            at_risk.append((structure, replace(grown, array=grown.array & ~mask.array), "blood"))
    draft = PlanDraft(targets=((node.label, mask, "node"),), at_risk=tuple(at_risk), background="muscle", side=str(node.side))
    for needle in suggest_needles(mask, 3, spacing_mm=13.0, exposure_mm=20.0, image=image, at_risk=tuple(m for _, m, _ in at_risk)):
        draft = draft.with_needle(needle)
    plan = draft_to_plan(draft)
    return visit, node, plan, *solve_and_assess(plan, context)


def run_headless(out: Path, context: JobContext, *, screenshots: bool = True) -> dict:
    """Do the whole job into ``out`` and return (and write) the summary of ``nodus demo --headless``."""
    started = time.perf_counter()
    out = out.resolve()
    clear_output(out)
    clock = StageClock()
    case = make_case(out, context.part(0.0, 0.3), clock)
    with make_study(case, out / "study", context.part(0.3, 0.45), clock) as store:
        read_all(store, case, context.part(0.45, 0.65), clock)
        with clock.stage("solve the field and assess"):
            visit, node, plan, solution, assessment = plan_node(store, case, context.part(0.65, 0.75))
        with clock.stage("save plan"):
            save_plan_run(store, SUBJECT, visit.visit_id, plan, solution, assessment, node_id=node.node_id, session="day0")
            write_plan_folder(plan, solution, assessment, out / "plan")
        with clock.stage("write masks"):
            write_masks(store, out / "masks")
        nodes = summarise(store, case)
        write_json(out / "readings.json", {"readings": nodes})
        with clock.stage("export CSV"):
            export_study(store, "csv", out / "tables")
        with clock.stage("export PDF"):
            export_study(store, "pdf", out / "report.pdf", subject_id=SUBJECT)
    write_json(out / MARKER, {"version": __version__, "seed": SEED})
    if screenshots:
        context.report("Taking screenshots of the window", 0.8)
        with clock.stage("screenshots"):
            take_screenshots(out)
    artefacts = [{"path": str(p.relative_to(out)), "kind": kind_of(p.relative_to(out)), "sha256": sha256_of(p)} for p in sorted(out.rglob("*")) if p.is_file() and p.name != "summary.json"]
    summary = {
        "notice": INVESTIGATIONAL_NOTICE,
        "software_version": __version__,
        "nodes": nodes,
        "plan": {"node": PLANNED_NODE, "targets": assessment.to_dict()["targets"], "constraints": assessment.to_dict()["constraints"]},
        "stage_seconds": clock.seconds,
        "seconds": round(time.perf_counter() - started, 2),
        "artefacts": artefacts,
    }
    write_json(out / "summary.json", summary)
    context.report("Done", 1.0)
    return summary


def write_masks(store: StudyStore, folder: Path) -> None:
    """Every outline of the scripted reader as NIfTI."""
    from app.usecases.readings import write_mask_file

    names = {v.visit_id: v.name.replace(" ", "_") for v in store.visits(SUBJECT)}
    labels = {n.node_id: n.label for n in store.nodes(SUBJECT)}
    for reading in store.readings(SUBJECT):
        if reading.mask_sha256 is not None:
            write_mask_file(store, reading, folder / f"{labels[reading.node_id]}_{names[reading.visit_id]}.nii.gz")


def summarise(store: StudyStore, case: DemoCase) -> list[dict]:
    """Measured against true, node by node and visit by visit."""
    from app.usecases.assess_response import follow_up_rows

    out = []
    for row in follow_up_rows(store, SUBJECT):
        truth = case.true_node(row["label"], row["visit_name"])
        interval = row["volume_interval_ml"]
        true_ml = float(truth["volume_ml"])
        out.append(
            {
                "node": row["label"],
                "visit": row["visit_name"],
                "status": row["status"],
                "volume_ml": row["volume_ml"],
                "volume_interval_ml": None if interval is None else list(interval),
                "true_volume_ml": true_ml,
                "error_ml": None if row["volume_ml"] is None else row["volume_ml"] - true_ml,
                "interval_holds_truth": None if interval is None else bool(interval[0] <= true_ml <= interval[1]),
                "vrr_pct": row["vrr_pct"],
                "vrr_interval_pct": None if row["interval_pct"] is None else list(row["interval_pct"]),
                "true_vrr_pct": None if row["is_baseline"] else float(truth["vrr_pct"]),
            }
        )
    return out


def kind_of(path: Path) -> str:
    """What an artefact is, by its place."""
    kinds = {"dicom": "dicom", "study": "study", "masks": "mask", "plan": "plan", "tables": "csv", "screenshots": "screenshot"}
    return kinds.get(path.parts[0], {".pdf": "pdf", ".json": "json"}.get(path.suffix, "other"))


def take_screenshots(out: Path) -> None:
    """Walk the real window over the study just made, in a process of its own, off screen if need be."""
    import os
    import subprocess
    import sys

    environment = dict(os.environ)
    if not (environment.get("DISPLAY") or environment.get("WAYLAND_DISPLAY") or sys.platform in ("win32", "darwin")):
        environment["QT_QPA_PLATFORM"] = "offscreen"
    program = [sys.executable] if getattr(sys, "frozen", False) else [sys.executable, "-m", "app"]
    run = subprocess.run([*program, "walk", str(out / "screenshots"), "--case", str(out), "--only", "case"], env=environment, capture_output=True, text=True)
    if run.returncode != 0:
        raise NodusError(f"The window could not be pictured: {run.stderr.strip().splitlines()[-1] if run.stderr.strip() else run.returncode}", code="screenshots_failed", hint="Run again with --no-screenshots.")
