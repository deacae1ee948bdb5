"""The demonstration case: one synthetic trial subject at five visits, with every answer known."""

from __future__ import annotations

import json
import math
import shutil
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import numpy as np

from app.demo import anatomy
from app.demo.contrast_demo import demo_cine, demo_pictures, demo_truth
from app.demo.dicom_files import Occasion, write_cine, write_ct_series, write_still
from app.demo.font import write_text
from app.demo.neck import NeckScan, Node, Pose, render_neck
from app.demo.shapes import LobulatedEllipsoid, rotation_from
from app.demo.ultrasound import NodeSection, cine_boxes, render_still
from app.jobs.progress import CancelToken, JobContext
from volumetry.errors import Cancelled, NodusError
from volumetry.geometry import ImageGeometry

PIXEL_MM, SLICE_MM, MATRIX, SLICES = 0.625, 1.25, 360, 104
VISITS: tuple[tuple[str, date], ...] = (
    ("Baseline", date(2025, 1, 13)),
    ("Day 30", date(2025, 2, 14)),
    ("Month 3", date(2025, 4, 15)),
    ("Month 6", date(2025, 7, 16)),
    ("Month 12", date(2026, 1, 14)),
)
TREATED_ON = date(2025, 1, 15)
PLANES = ("longitudinal", "transverse")
CINE_VISIT, CINE_NODE, CINE_FRAMES = "Day 30", "N1", 120


@dataclass(frozen=True, slots=True)
class DemoStill:
    """One ultrasound picture of one node."""

    node_id: str
    plane: str  # longitudinal or transverse
    path: Path


@dataclass(frozen=True, slots=True)
class DemoVisit:
    """The files of one visit. ``date`` is ISO; ``cine`` only where one was made."""

    name: str
    date: str
    folder: Path
    ct_folder: Path
    ct_series_uid: str
    stills: tuple[DemoStill, ...]
    cine: Path | None = None

    def still(self, node_id: str, plane: str) -> Path:
        """The picture of ``node_id`` in ``plane``."""
        return next(s.path for s in self.stills if s.node_id == node_id and s.plane == plane)


@dataclass(frozen=True, slots=True)
class DemoNode:
    """A target node as the protocol names it."""

    id: str
    label: str
    side: str  # left or right
    level: str  # II, III, IV


@dataclass(frozen=True, slots=True)
class DemoStructure:
    """A piece of a vessel or the windpipe at baseline, as a capsule in scanner LPS mm."""

    name: str
    from_mm: tuple[float, float, float]
    to_mm: tuple[float, float, float]
    diameter_mm: float


@dataclass(frozen=True, slots=True, eq=False)
class DemoCase:
    """Where everything lies. ``truth`` (also in ``truth.json``) is for tests and summaries only."""

    root: Path
    dicom_dir: Path
    visits: tuple[DemoVisit, ...]
    nodes: tuple[DemoNode, ...]
    truth: dict = field(repr=False)
    structures: tuple[DemoStructure, ...] = ()

    @property
    def truth_path(self) -> Path:
        """The file that holds ``truth``."""
        return self.root / "truth.json"

    def visit(self, name: str) -> DemoVisit:
        """The visit called ``name``."""
        return next(v for v in self.visits if v.name == name)

    def true_node(self, node_id: str, visit: str) -> dict:
        """What is true of a node at a visit: status, volume_ml, vrr_pct, centre_mm, ..."""
        return next(n for n in self.truth["nodes"] if n["id"] == node_id)["visits"][visit]


@dataclass(frozen=True, slots=True)
class _Target:
    """A node's baseline and its fate: remaining share of volume per visit; 0 = gone."""

    node: DemoNode
    centre_mm: tuple[float, float, float]
    volume_ml: float
    ratios: tuple[float, float, float]
    angles_deg: tuple[float, float, float]
    hu: tuple[float, ...]
    remaining: tuple[float, ...]
    us_depth_mm: float


TARGETS = (
    _Target(DemoNode("N1", "Level II left", "left", "II"), (40.0, -6.8, 46.5), 1.60, (1.42, 0.93, 0.757), (22, -18, 35), (108, 92, 90, 86, 84), (1.0, 0.65, 0.40, 0.22, 0.12), 18.5),
    _Target(DemoNode("N2", "Level III right", "right", "III"), (-26.4, -12.9, 8.0), 0.90, (1.40, 0.95, 0.752), (-14, 16, -25), (105, 100, 102, 101, 104), (1.0, 0.90, 0.82, 0.75, 0.78), 19.5),
    _Target(DemoNode("N3", "Level IV left", "left", "IV"), (34.4, -8.5, -30.5), 0.60, (1.38, 0.97, 0.747), (18, 24, -40), (104, 90, 86, 84, 0), (1.0, 0.50, 0.20, 0.05, 0.0), 17.5),
)  # fmt: skip
REACTIVE = (  # centre, semi-axes, angles, fatty centre
    ((-42.0, -6.0, 47.0), (6.0, 3.4, 2.8), (15, 0, 20), True),
    ((-24.0, -42.0, 45.0), (3.4, 2.4, 2.2), (0, 30, 0), False),
    ((25.0, -45.0, 46.0), (3.2, 2.3, 2.0), (0, -20, 10), False),
    ((-45.0, 20.0, 8.0), (4.6, 2.6, 2.0), (10, 10, 60), False),
    ((46.0, 21.0, 14.0), (4.2, 2.4, 2.1), (-12, 8, 50), True),
    ((-38.0, -3.0, -33.0), (3.8, 2.4, 2.1), (20, 10, 0), False),
    ((38.0, 3.0, 20.0), (3.6, 2.2, 2.0), (30, 0, 0), False),
)
POSES = (
    Pose((1.2, -0.8, 0.9), (1.5, -2.0, 0.6)),
    Pose((-1.6, 0.9, -1.8), (-3.1, 1.4, 2.7)),
    Pose((2.3, 1.2, 1.1), (2.4, 3.0, -3.2)),
    Pose((-0.7, -1.9, 2.6), (-1.2, -3.6, 1.9)),
    Pose((1.9, 0.6, -2.4), (3.6, 1.1, -2.3)),
)


def node_shape(target: _Target, visit: int, seed: int) -> LobulatedEllipsoid | None:
    """The target in the body's frame at a visit; None where it is gone.

    It keeps its form but for a little settling: each visit has slightly different lobes.
    """
    share = target.remaining[visit]
    if share <= 0:
        return None
    number = int(target.node.id[1:])
    rng = np.random.default_rng([seed, 7, number])
    lobes = LobulatedEllipsoid.random_lobes(rng, strength=0.055, count=4)
    rng = np.random.default_rng([seed, 8, number, visit])
    if visit:
        lobes = lobes.copy()
        lobes[:, 4] *= rng.uniform(0.7, 1.2, size=len(lobes))
    ratios = np.array(target.ratios) * (1 + (0.04 * rng.standard_normal(3) if visit else 0.0))
    axes = (3 * target.volume_ml * 1000 * share / (4 * math.pi * np.prod(ratios))) ** (1 / 3) * ratios
    # the long axis runs up and down, tilted
    turn = rotation_from(*target.angles_deg) @ rotation_from(0, -90, 0)
    drift = 0.5 * rng.standard_normal(3) if visit else np.zeros(3)
    return LobulatedEllipsoid.make(np.array(target.centre_mm) + drift, axes, turn, lobes)


def nodes_at(visit: int, seed: int, pose: Pose) -> list[Node]:
    """Targets and harmless nodes at a visit, in the scanner's frame."""
    turn, shift = pose.rotation, np.asarray(pose.shift_mm)
    out = []
    for centre, axes, angles, hilum in REACTIVE:
        rng = np.random.default_rng([seed, 9, len(out)])
        shape = LobulatedEllipsoid.make(centre, axes, rotation_from(*angles) @ rotation_from(0, -90, 0), LobulatedEllipsoid.random_lobes(rng, 0.05))
        out.append(Node(shape.moved(turn, shift), 82.0 + 3.0 * math.sin(len(out)), hilum_hu=-45.0 if hilum else None))
    for target in TARGETS:
        shape = node_shape(target, visit, seed)
        if shape is not None:
            out.append(Node(shape.moved(turn, shift), target.hu[visit], rim_hu=6.0))
    return out


def ct_geometry() -> ImageGeometry:
    """The grid of every CT of the case."""
    half = 0.5 * (MATRIX - 1) * PIXEL_MM
    return ImageGeometry.from_spacing((SLICES, MATRIX, MATRIX), (PIXEL_MM, PIXEL_MM, SLICE_MM), (-half, 8.0 - half, -64.0))


def _true_nodes(seed: int) -> list[dict]:
    out = []
    for target in TARGETS:
        visits = {}
        for n, (name, _) in enumerate(VISITS):
            shape = node_shape(target, n, seed)
            vrr = 100 * (1 - target.remaining[n]) if n else 0.0
            if shape is None:
                # Where it was, so that a reader can look there; the place moves with the neck.
                place = node_shape(target, 0, seed).moved(POSES[n].rotation, np.asarray(POSES[n].shift_mm)).centre_mm
                visits[name] = {"status": "disappeared", "volume_ml": 0.0, "vrr_pct": 100.0, "centre_mm": list(place), "semi_axes_mm": None}
                continue
            shape = shape.moved(POSES[n].rotation, np.asarray(POSES[n].shift_mm))
            a, b, c = (2 * v for v in shape.semi_axes_mm)
            visits[name] = {
                "status": "measured",
                "volume_ml": shape.volume_ml,
                "vrr_pct": vrr,
                "centre_mm": list(shape.centre_mm),
                "semi_axes_mm": list(shape.semi_axes_mm),
                "rotation": shape.rotation.tolist(),
                "lobes": shape.lobes.tolist(),
                "lobe_scale": shape.scale,
                "us_length_mm": a,
                "us_width_mm": b,
                "us_height_mm": c,
            }
        node = target.node
        out.append({"id": node.id, "label": node.label, "side": node.side, "level": node.level, "visits": visits})
    return out


def _structures() -> tuple[DemoStructure, ...]:
    parts = anatomy.neck_parts()
    spans = (
        ("common carotid left", -62, 26), ("common carotid right", -62, 26),
        ("internal carotid left", 28, 62), ("internal carotid right", 28, 62),
        ("internal jugular left", -62, 62), ("internal jugular right", -62, 62),
        ("trachea", -62, -12),
    )  # fmt: skip
    out = []
    for name, low, high in spans:
        source = "tracheal wall" if name == "trachea" else name
        for piece in anatomy.capsule_chain(source, parts, low, high):
            start, end = (tuple(float(v) for v in POSES[0].apply(piece[key])) for key in ("from_mm", "to_mm"))
            out.append(DemoStructure(name, start, end, piece["diameter_mm"]))
    return tuple(out)


def section_of(target_id: str, plane: str, truth: dict) -> NodeSection | None:
    """The ellipse a picture shows: true diameters in that plane, None where the node is gone."""
    if truth["status"] == "disappeared":
        return None
    target = next(t for t in TARGETS if t.node.id == target_id)
    width = truth["us_length_mm"] if plane == "longitudinal" else truth["us_width_mm"]
    return NodeSection(width, truth["us_height_mm"], 1.5 if plane == "longitudinal" else 0.0, target.us_depth_mm)


def _folder_name(text: str) -> str:
    return text.replace(" ", "_")


def _write_visit_ct(folder: Path, occasion: Occasion, visit: int, seed: int, context: JobContext) -> str:
    geometry = ct_geometry()
    rng = np.random.default_rng([seed, 5, visit])
    scan = NeckScan(
        geometry, POSES[visit], tuple(nodes_at(visit, seed, POSES[visit])), seed=seed * 10 + visit,
        noise_sd_hu=9.5 + float(rng.uniform(-0.7, 0.7)), contrast_hu=float(rng.uniform(-18, 12)),
    )  # fmt: skip
    hu = render_neck(scan, context.part(0.0, 0.8))
    write_text(hu, "SYNTHETIC", 5, 6, 180)

    def before(k: int, total: int) -> None:
        if k % 13 == 0:
            context.report("Writing slices", 0.8 + 0.2 * k / total)

    return write_ct_series(folder, occasion, hu, geometry, before_slice=before)


def generate_case(out_dir: Path, *, seed: int = 2026, context: JobContext | None = None, workers: int = 2) -> DemoCase:
    """Write the case's DICOM files, ``truth.json`` and ``case.json`` under ``out_dir``.

    The same ``seed`` gives the same bytes. An earlier case in the folder is replaced; a folder
    ``dicom`` that is not ours is refused (code ``not_a_demo_folder``). Nothing is left behind when
    the job is cancelled or fails.
    """
    context = context or JobContext()
    out_dir = Path(out_dir)
    final, partial = out_dir / "dicom", out_dir / ".dicom-partial"
    if final.exists() and not (out_dir / "case.json").is_file():
        raise NodusError(
            "The folder already holds a 'dicom' folder that this program did not make.",
            code="not_a_demo_folder",
            hint="Choose an empty folder.",
        )
    out_dir.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(partial, ignore_errors=True)
    truth = {
        "synthetic": True,
        "seed": seed,
        "treated_on": TREATED_ON.isoformat(),
        "visits": [{"name": name, "date": day.isoformat()} for name, day in VISITS],
        "nodes": _true_nodes(seed),
    }
    try:
        visits = _write_files(partial, seed, truth, context, workers)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    shutil.rmtree(final, ignore_errors=True)
    partial.rename(final)
    structures = _structures()
    truth["structures"] = [
        {"name": s.name, "from_mm": list(s.from_mm), "to_mm": list(s.to_mm), "diameter_mm": s.diameter_mm} for s in structures
    ]
    (out_dir / "truth.json").write_text(json.dumps(truth, indent=1), encoding="utf-8")
    (out_dir / "case.json").write_text(json.dumps({"synthetic": True, "seed": seed, "visits": visits}, indent=1), encoding="utf-8")
    context.report("Demonstration case is ready", 1.0)
    return open_case(out_dir)


def _write_files(root: Path, seed: int, truth: dict, context: JobContext, workers: int) -> list[dict]:
    """All DICOM files under ``root``; the visits' files relative to it."""
    occasions = [Occasion(seed, name, day) for name, day in VISITS]
    stop = CancelToken()  # one failing job stops the others
    shares = [0.0] * (len(VISITS) + 1)
    weights = [1.0] * len(VISITS) + [0.9]

    def watch(n: int) -> JobContext:
        def listen(event) -> None:
            shares[n] = max(shares[n], event.fraction or 0.0)
            done = sum(s * w for s, w in zip(shares, weights, strict=True)) / sum(weights)
            name = VISITS[n][0] if n < len(VISITS) else "Ultrasound"
            context.report(f"{name}: {event.message.lower()}", min(done, 0.99))

        return JobContext(listen, stop)

    visits = []
    for name, day in VISITS:
        folder = _folder_name(name)
        stills = [
            {"node": t.node.id, "plane": plane, "path": f"{folder}/US_stills/{t.node.id}_{plane}.dcm"} for t in TARGETS for plane in PLANES
        ]
        cine = f"{folder}/US_cine/{CINE_NODE}_contrast.dcm" if name == CINE_VISIT else None
        visits.append({"name": name, "date": day.isoformat(), "folder": folder, "ct": f"{folder}/CT_neck", "stills": stills, "cine": cine})

    def ct(n: int) -> None:
        visits[n]["ct_series_uid"] = _write_visit_ct(root / visits[n]["ct"], occasions[n], n, seed, watch(n))

    def ultrasound() -> None:
        reports = watch(len(VISITS))
        truth["contrast_cine"] = _write_cine_file(root, occasions, visits, seed, truth, reports.part(0.0, 0.6))
        _write_stills(root, occasions, visits, seed, truth, reports.part(0.6, 1.0))

    with ThreadPoolExecutor(max_workers=max(1, workers)) as pool:
        jobs = [pool.submit(ultrasound)] + [pool.submit(ct, n) for n in range(len(VISITS))]
        try:
            wait(jobs, return_when=FIRST_EXCEPTION)
        finally:
            if any(j.done() and j.exception() for j in jobs) or not all(j.done() for j in jobs):
                stop.cancel()
        errors = [j.exception() for j in jobs if j.exception()]
    for error in errors:
        if not isinstance(error, Cancelled):
            raise error
    if errors:
        raise Cancelled
    return visits


def _write_stills(root: Path, occasions, visits, seed: int, truth: dict, context: JobContext) -> None:
    for n, visit in enumerate(visits):
        for m, still in enumerate(visit["stills"]):
            context.report("Drawing ultrasound stills", (n + m / len(visit["stills"])) / len(visits))
            target = next(t for t in TARGETS if t.node.id == still["node"])
            fact = next(x for x in truth["nodes"] if x["id"] == still["node"])["visits"][visit["name"]]
            section = section_of(still["node"], still["plane"], fact)
            side, plane = target.node.side, still["plane"]
            image, box = render_still(
                np.random.default_rng([seed, 41, n, m]), section, plane=plane, side=side,
                title=f"{target.node.id} LEVEL {target.node.level} {side.upper()}", visit=visit["name"], treated=min(1.0, n / 2),
            )  # fmt: skip
            comment = f"{target.node.id} level {target.node.level} {side}, {plane}"
            write_still(root / still["path"], occasions[n], image, [box], m + 1, comment)


def _write_cine_file(root: Path, occasions, visits, seed: int, truth: dict, context: JobContext) -> dict:
    n = next(i for i, v in enumerate(visits) if v["cine"])
    target = next(t for t in TARGETS if t.node.id == CINE_NODE)
    fact = next(x for x in truth["nodes"] if x["id"] == CINE_NODE)["visits"][visits[n]["name"]]
    section = section_of(CINE_NODE, "transverse", fact)
    cine = demo_cine(seed, section, fact["volume_ml"], side=target.node.side, frames=CINE_FRAMES, context=context)
    frames = demo_pictures(cine, title=f"{CINE_NODE} LEVEL {target.node.level} {target.node.side.upper()}", visit=visits[n]["name"])
    # What the picture's own letters say of the range is masked at import, so the header says it.
    write_cine(
        root / visits[n]["cine"], occasions[n], frames, cine.intervals_s * 1000, cine_boxes(), f"{CINE_NODE} contrast, left pane B-mode, right pane contrast",
        range_db=cine.options.range_db,
    )  # fmt: skip
    return {"visit": visits[n]["name"], "node": CINE_NODE, **demo_truth(cine, section)}


def open_case(out_dir: Path) -> DemoCase:
    """The case already written under ``out_dir``; code ``not_a_demo_folder`` where there is none."""
    out_dir = Path(out_dir)
    if not (out_dir / "case.json").is_file():
        raise NodusError("There is no demonstration case in this folder.", code="not_a_demo_folder")
    index = json.loads((out_dir / "case.json").read_text(encoding="utf-8"))
    truth = json.loads((out_dir / "truth.json").read_text(encoding="utf-8"))
    root = out_dir / "dicom"
    visits = tuple(
        DemoVisit(
            v["name"], v["date"], root / v["folder"], root / v["ct"], v["ct_series_uid"],
            tuple(DemoStill(s["node"], s["plane"], root / s["path"]) for s in v["stills"]),
            root / v["cine"] if v["cine"] else None,
        )
        for v in index["visits"]
    )  # fmt: skip
    structures = tuple(
        DemoStructure(s["name"], tuple(s["from_mm"]), tuple(s["to_mm"]), s["diameter_mm"]) for s in truth["structures"]
    )
    return DemoCase(out_dir, root, visits, tuple(t.node for t in TARGETS), truth, structures)


__all__ = ["VISITS", "DemoCase", "DemoNode", "DemoStill", "DemoStructure", "DemoVisit", "generate_case", "open_case"]
