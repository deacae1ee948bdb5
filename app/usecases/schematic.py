"""Plan from ultrasound alone: from a file of measured distances to a plan file, and to a canvas that panes can show."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from app.usecases.files import read_json, write_json
from app.usecases.plan import tissue_presets
from planning.plan import TreatmentPlan
from planning.schematic import Schematic
from planning.schematic_scene import distances, frame_words, node_shape, plan_dict, structures_of, warnings_of
from planning.shapes import inside
from planning.source import SCHEMATIC_MARK
from volumetry.geometry import ImageGeometry
from volumetry.image import ImageSource, ImageVolume
from volumetry.mask import NodeMask

CANVAS_UNIT = "schematic"  # no HU: nothing that reads Hounsfield units takes this for a CT
CANVAS_SPACING_MM = 0.5
GREY = {"air": 0, "tissue": 40, "node": 100}
STRUCTURE_GREY = 70


@dataclass(frozen=True, slots=True, eq=False)
class Canvas:
    """A schematic as voxels for the panes: pictures, never the source of a number. ``target`` and ``structures`` are on the image's grid."""

    image: ImageVolume
    target: tuple[str, NodeMask, str]
    structures: tuple[tuple[str, NodeMask, str], ...]


def load_schematic(path: Path) -> Schematic:
    """Read and check a ``nodus.schematic/1`` file. Refuses as ``Schematic.from_dict``."""
    return Schematic.from_dict(read_json(path, code="not_a_schematic"))


def make_plan(schematic: Schematic) -> tuple[dict, dict]:
    """``(plan, answer)``: the plan file's object, checked as a plan where it has needles and pulses, and what ``nodus schematic`` says of it."""
    written = plan_dict(schematic)
    if schematic.needles or schematic.pulses:
        TreatmentPlan.from_dict(written, tissue_presets())
    else:
        written.pop("electrodes")
        written.pop("pulses")
    answer = {"mark": SCHEMATIC_MARK, "frame": frame_words(schematic.side), "uncertainty_mm": schematic.uncertainty_mm, **distances(schematic), "warnings": warnings_of(schematic)}
    return written, answer


def write_plan(written: dict, out: Path) -> Path:
    """Write the plan file whole or not at all."""
    return write_json(out, written)


def draw_canvas(schematic: Schematic, spacing_mm: float = CANVAS_SPACING_MM) -> Canvas:
    """Voxels of the solver's box, with the structures and the skin in plain greys; its source says that it is no picture of a patient."""
    domain = plan_dict(schematic)["domain"]
    low, size = np.subtract(domain["center_mm"], np.multiply(0.5, domain["size_mm"])), np.asarray(domain["size_mm"])
    counts = np.rint(size / spacing_mm).astype(int)
    affine = np.diag([spacing_mm, spacing_mm, spacing_mm, 1.0])
    affine[:3, 3] = low + 0.5 * spacing_mm
    geometry = ImageGeometry(tuple(int(n) for n in counts[::-1]), affine)
    array = np.full(geometry.shape, GREY["tissue"], np.int16)

    def mask_of(shape, name: str) -> NodeMask:
        full = np.zeros(geometry.shape, bool)
        first, last = (geometry.world_to_index(corner) for corner in shape.bounds_mm())
        box = tuple(slice(max(0, int(np.floor(a)) - 1), min(n, int(np.ceil(b)) + 2)) for a, b, n in zip(first[::-1], last[::-1], geometry.shape, strict=True))
        k, j, i = np.meshgrid(*(np.arange(s.start, s.stop) for s in box), indexing="ij")
        full[box] = inside(shape, geometry.index_to_world(np.stack([i, j, k], axis=-1)))
        return NodeMask(full, geometry, name=name)

    target = mask_of(node_shape(schematic), schematic.node.name)
    array[target.array] = GREY["node"]
    structures = []
    for name, rod, preset in structures_of(schematic):
        mask = mask_of(rod, name)
        array[mask.array] = GREY["air"] if preset == "air" else STRUCTURE_GREY
        structures.append((name, mask, preset))
    depth_mm = low[1] + (np.arange(geometry.shape[1]) + 0.5) * spacing_mm
    array[:, depth_mm < 0] = GREY["air"]
    source = ImageSource(description=SCHEMATIC_MARK, in_patient_space=False)
    return Canvas(ImageVolume(array, geometry, unit=CANVAS_UNIT, source=source), (schematic.node.name, target, "node"), tuple(structures))
