"""A plan from ultrasound alone: what was measured at the skin mark, read strictly, before anything is placed.

The **local frame** has its origin at the skin mark above the node. *Depth* goes from the skin into the body, at right
angles to the skin at the mark; *cranial* runs along the skin towards the head; *lateral* runs along the skin at right
angles to both, away from the midline (in the transverse picture: away from the trachea; with a midline node towards the
patient's left). The skin is the plane of no depth. In the plan file x is lateral for a left or midline node and
minus lateral for a right one, y is depth, z is cranial: like LPS for a probe that looks straight back. The frame
is not registered to any image; how the probe was turned in the patient is not known.

``planning.schematic_scene`` places the shapes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields

import numpy as np

from planning.anatomy import NEAR_MM, SITES
from planning.errors import PlanRefused

SCHEMA = "nodus.schematic/1"
SIDES = ("left", "right", "midline")
# What can be placed: its tissue preset, and whether its name bears a side.
KINDS = {
    "carotid": ("blood", True), "jugular": ("blood", True), "other vessel": ("blood", False), "trachea": ("air", False), "larynx": ("cartilage", False),
    "oesophagus": ("oesophagus", False), "vagus nerve": ("nerve", True), "recurrent laryngeal nerve": ("nerve", True), "bone": ("bone", False),
}  # fmt: skip
WORDS = {  # direction words: lateral, cranial, depth of the local frame
    "lateral": (1.0, 0.0, 0.0), "medial": (-1.0, 0.0, 0.0), "cranial": (0.0, 1.0, 0.0), "caudal": (0.0, -1.0, 0.0), "deep": (0.0, 0.0, 1.0), "superficial": (0.0, 0.0, -1.0),
}  # fmt: skip
COURSES = {"craniocaudal": (0.0, 1.0, 0.0), "transverse": (1.0, 0.0, 0.0), "perpendicular": (0.0, 0.0, 1.0)}
FROM = ("node", "mark")
DEPTH_TO = ("near_surface", "centre")
LEAN_MOST_DEG = 80.0
LARGEST, LEAST = 1e6, 1e-3  # of any number, and of a length
UNCERTAINTY_MM = 3.0  # of distances measured by hand with a probe; the robustness of such a plan moves tips by as much


@dataclass(frozen=True, slots=True)
class NodeMeasure:
    """The node as the ellipsoid of its three diameters (mm): ``length`` cranially, ``width`` laterally, ``thickness`` in depth.

    ``depth_mm`` is from the skin to its near surface (or to its centre, ``depth_to``); ``lateral_mm`` and ``cranial_mm`` are of its centre
    from the mark. ``turn_deg`` turns the length from cranial towards lateral, ``tilt_deg`` then tips its cranial end deeper.
    """

    length_mm: float
    width_mm: float
    thickness_mm: float
    depth_mm: float
    depth_to: str = "near_surface"
    lateral_mm: float = 0.0
    cranial_mm: float = 0.0
    turn_deg: float = 0.0
    tilt_deg: float = 0.0
    name: str = "node"

    def __post_init__(self) -> None:
        _finite_fields(self, "The node", texts=("depth_to", "name"))
        for key in ("length_mm", "width_mm", "thickness_mm"):
            _positive(getattr(self, key), f"The node's {key[:-3]}")
        _choice(self.depth_to, DEPTH_TO, "The node's depth_to")
        _words_in(self.name, "The node's name")


@dataclass(frozen=True, slots=True)
class StructureMeasure:
    """A vessel, airway, gullet or nerve as a straight rod with round ends, of ``diameter_mm`` and ``length_mm``.

    ``distance_mm`` is the smallest distance between its surface and that of the node (``measured_from`` ``node``), or the mark. ``direction``
    says where its axis lies seen from the node's centre (or the mark), at right angles to ``course``: a word of ``WORDS``, several joined by
    ``-``, or (lateral, cranial, depth). The rod's middle lies beside the node's centre (or the mark).
    """

    kind: str
    distance_mm: float
    diameter_mm: float
    length_mm: float
    direction: str | tuple[float, float, float]
    measured_from: str = "node"
    course: str | tuple[float, float, float] = "craniocaudal"
    side: str | None = None
    name: str | None = None

    def __post_init__(self) -> None:
        _choice(self.kind, tuple(KINDS), "A structure's kind")
        what = f"The {self.kind}"
        _finite_fields(self, what, texts=("kind", "direction", "measured_from", "course", "side", "name"))
        _positive(self.diameter_mm, f"{what}: the diameter")
        _positive(self.length_mm, f"{what}: the length of its course")
        _choice(self.measured_from, FROM, f"{what}: measured_from")
        if self.distance_mm < 0:
            far = "overlaps the node" if self.measured_from == "node" else "has a negative distance from the mark"
            raise PlanRefused(f"{what} {far} ({self.distance_mm:g} mm).", code="structure_overlaps_node" if self.measured_from == "node" else "negative_distance")
        if self.side is not None:
            _choice(self.side, ("left", "right"), f"{what}: side")
        for key in ("direction", "course"):
            value = getattr(self, key)
            if not isinstance(value, str):
                object.__setattr__(self, key, tuple(float(v) for v in value))
        self.course_vector()
        self.direction_vector()

    def course_vector(self) -> np.ndarray:
        """Unit vector (lateral, cranial, depth) along the rod."""
        if isinstance(self.course, str):
            _choice(self.course, tuple(COURSES), f"The {self.kind}: course")
            return np.array(COURSES[self.course])
        return _unit(self.course, f"The {self.kind}: course")

    def direction_vector(self) -> np.ndarray:
        """Unit vector (lateral, cranial, depth) towards the rod, at right angles to its course. Refuses ``bad_direction``."""
        if isinstance(self.direction, str):
            parts = [p.strip() for p in self.direction.replace("+", "-").split("-") if p.strip()]
            unknown = [p for p in parts if p not in WORDS]
            if unknown or not parts:
                raise PlanRefused(f"The {self.kind}: direction {self.direction!r} is unknown; known are {', '.join(WORDS)}, joined by -.", code="bad_direction")
            towards = _unit(np.sum([WORDS[p] for p in parts], axis=0), f"The {self.kind}: direction")
        else:
            towards = _unit(self.direction, f"The {self.kind}: direction")
        along = self.course_vector()
        across = towards - (towards @ along) * along
        if np.linalg.norm(across) < 1e-3:
            raise PlanRefused(f"The {self.kind} cannot lie in the direction that it runs in ({self.direction}).", code="bad_direction", hint="Say on which side of the node it passes.")
        return across / np.linalg.norm(across)

    def label(self, node_side: str) -> str:
        """Its name in the plan: with the side where its kind has one. Refuses ``side_unstated`` with a midline node."""
        if self.name:
            return self.name
        if not KINDS[self.kind][1]:
            return self.kind
        side = self.side or node_side
        if side == "midline":
            raise PlanRefused(f"The {self.kind} beside a midline node must say its side.", code="side_unstated", hint="Add left or right as its side.")
        return f"{side} {self.kind}"


@dataclass(frozen=True, slots=True)
class FarStructure:
    """A structure that was looked for and lies farther than ``farther_than_mm`` (15 or more) from every needle, by the word of ``by``."""

    kind: str
    farther_than_mm: float
    by: str
    side: str | None = None

    def __post_init__(self) -> None:
        _choice(self.kind, tuple(KINDS), "A structure's kind")
        _finite_fields(self, f"The {self.kind}", texts=("kind", "by", "side"))
        if self.side is not None:
            _choice(self.side, ("left", "right"), f"The {self.kind}: side")
        _words_in(self.by, f"The {self.kind}: the person who states that it is far")
        if self.farther_than_mm < NEAR_MM:
            raise PlanRefused(f"The {self.kind} must be stated as farther than {NEAR_MM:g} mm or more, or be placed.", code="bad_anatomy")


@dataclass(frozen=True, slots=True)
class NeedleMeasure:
    """A needle relative to the node's centre: the tip ``lateral_mm``, ``cranial_mm`` and ``deep_mm`` from it, the shaft leaning, on its way
    from tip to skin, by these angles from the perpendicular to the skin."""

    id: str
    lateral_mm: float
    cranial_mm: float
    deep_mm: float
    lean_lateral_deg: float = 0.0
    lean_cranial_deg: float = 0.0
    exposure_mm: float = 20.0
    diameter_mm: float = 1.0

    def __post_init__(self) -> None:
        _words_in(self.id, "A needle's id")
        _finite_fields(self, f"Needle {self.id}", texts=("id",))
        _positive(self.exposure_mm, f"Needle {self.id}: the exposed length")
        _positive(self.diameter_mm, f"Needle {self.id}: the diameter")
        if max(abs(self.lean_lateral_deg), abs(self.lean_cranial_deg)) > LEAN_MOST_DEG:
            raise PlanRefused(f"Needle {self.id} lies along the skin and does not enter through it.", code="needle_not_through_skin", hint=f"Lean it by less than {LEAN_MOST_DEG:g} degrees.")

    def direction(self) -> np.ndarray:
        """Unit vector (lateral, cranial, depth) from tip to entry."""
        v = np.array([math.tan(math.radians(self.lean_lateral_deg)), math.tan(math.radians(self.lean_cranial_deg)), -1.0])
        return v / np.linalg.norm(v)


@dataclass(frozen=True, slots=True)
class PulseMeasure:
    """One train: ``voltage_v``, or ``v_per_cm`` times the distance of the exposed middles."""

    anode: str
    cathode: str
    v_per_cm: float | None = None
    voltage_v: float | None = None
    pulses: int = 90
    width_us: float = 70.0
    rate_hz: float = 1.0
    ecg_gated: bool | None = None

    def __post_init__(self) -> None:
        _finite_fields(self, f"Pair {self.anode}-{self.cathode}", texts=("anode", "cathode", "ecg_gated"))
        if (self.v_per_cm is None) == (self.voltage_v is None):
            raise PlanRefused(f"Pair {self.anode}-{self.cathode} must say either v_per_cm or voltage_v.", code="missing_field")
        if self.v_per_cm is not None:
            _positive(self.v_per_cm, f"Pair {self.anode}-{self.cathode}: v_per_cm")


@dataclass(frozen=True, slots=True)
class Schematic:
    """What was measured by ultrasound, checked: see the module's words on its frame. ``to_dict`` and ``from_dict`` are one ``nodus.schematic/1`` object."""

    side: str
    node: NodeMeasure
    structures: tuple[StructureMeasure, ...] = ()
    far: tuple[FarStructure, ...] = ()
    needles: tuple[NeedleMeasure, ...] = ()
    pulses: tuple[PulseMeasure, ...] = ()
    site: str = "neck"
    uncertainty_mm: float = UNCERTAINTY_MM
    background: str = "muscle"
    lethal_v_per_cm: float = 500.0
    thresholds_v_per_cm: tuple[float, ...] = (400.0, 500.0, 600.0, 800.0)
    margin_mm: float = 5.0
    spacing_mm: float = 1.0

    def __post_init__(self) -> None:
        if self.side not in SIDES:
            raise PlanRefused("The schematic does not say on which side the node lies.", code="side_unstated", hint=f"Side is {', '.join(SIDES)}.")
        _choice(self.site, SITES, "The site")
        _finite_fields(self, "The schematic", texts=("side", "node", "structures", "far", "needles", "pulses", "site", "background", "thresholds_v_per_cm"))
        if self.uncertainty_mm < 0:
            raise PlanRefused("The uncertainty of the distances must be 0 mm or more.", code="negative_distance")
        from planning.schematic_scene import check_scene

        check_scene(self)

    def to_dict(self) -> dict:
        """As in a schematic file."""

        def written(value) -> dict:
            return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(value).items() if v is not None}

        return {"schema": SCHEMA, "site": self.site, "side": self.side, "uncertainty_mm": self.uncertainty_mm, "node": written(self.node),
                "structures": [written(s) for s in self.structures], "farther_than": [written(s) for s in self.far], "needles": [written(n) for n in self.needles],
                "pulses": [written(p) for p in self.pulses], "background": self.background, "lethal_v_per_cm": self.lethal_v_per_cm,
                "thresholds_v_per_cm": list(self.thresholds_v_per_cm), "margin_mm": self.margin_mm, "spacing_mm": self.spacing_mm}  # fmt: skip

    @classmethod
    def from_dict(cls, d) -> Schematic:
        """Read a ``nodus.schematic/1`` object. Refuses what is missing (``missing_field``), not a number (``not_a_number``), unknown
        (``schematic_key``: a misspelt key would be a structure nobody places) or impossible, each with its code."""
        if not isinstance(d, Mapping):
            raise PlanRefused("This is not a schematic: a schematic is a JSON object.", code="not_a_schematic")
        if d.get("schema") != SCHEMA:
            raise PlanRefused(f"Schematic schema {d.get('schema')!r} is not known to this version.", code="wrong_schema", hint=f"Known: {SCHEMA}.")
        keys = {"schema", "farther_than"} | {f.name for f in fields(cls)} - {"far"}
        _known(d, keys, "The schematic")
        more = {k: d[k] for k in ("site", "uncertainty_mm", "background", "lethal_v_per_cm", "margin_mm", "spacing_mm") if k in d}
        if "thresholds_v_per_cm" in d:
            more["thresholds_v_per_cm"] = tuple(_listed(d, "thresholds_v_per_cm"))
        if not isinstance(d.get("node"), Mapping):
            raise PlanRefused("The schematic: node is missing or not an object.", code="missing_field")
        return cls(
            side=d.get("side"), node=_value(NodeMeasure, d["node"], "The node"),
            structures=tuple(_value(StructureMeasure, s, f"Structure {n + 1}") for n, s in enumerate(_listed(d, "structures"))),
            far=tuple(_value(FarStructure, s, f"Far structure {n + 1}") for n, s in enumerate(_listed(d, "farther_than"))),
            needles=tuple(_value(NeedleMeasure, s, f"Needle {n + 1}") for n, s in enumerate(_listed(d, "needles"))),
            pulses=tuple(_value(PulseMeasure, s, f"Pair {n + 1}") for n, s in enumerate(_listed(d, "pulses"))), **more,
        )  # fmt: skip

    def to_plan_dict(self) -> dict:
        """The ``nodus.plan/1`` object of this schematic, marked as one (``source``); see ``schematic_scene.plan_dict``."""
        from planning.schematic_scene import plan_dict

        return plan_dict(self)


# -- reading, with a sentence for every way it can go wrong ---------------------------------------


def _value(kind, d, where: str):
    if not isinstance(d, Mapping):
        raise PlanRefused(f"{where} is not an object.", code="missing_field")
    own = {f.name: f for f in fields(kind)}
    _known(d, set(own), where)
    from dataclasses import MISSING

    for name, f in own.items():
        if f.default is MISSING and d.get(name) is None:
            raise PlanRefused(f"{where}{_of(d)}: {name} is missing.", code="missing_field")
    return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in d.items() if v is not None or own[k].default is None})


def _of(d: Mapping) -> str:
    said = d.get("kind") or d.get("id")
    return f" ({said})" if isinstance(said, str) else ""


def _known(d: Mapping, keys: set[str], where: str) -> None:
    unknown = sorted(str(k) for k in set(d) - keys)
    if unknown:
        raise PlanRefused(f"{where}: {', '.join(unknown)} is not known.", code="schematic_key", hint=f"Known: {', '.join(sorted(keys))}.")


def _listed(d: Mapping, key: str) -> list:
    value = d.get(key, [])
    if not isinstance(value, list | tuple):
        raise PlanRefused(f"The schematic's {key} must be a list.", code="missing_field")
    return list(value)


def _finite_fields(value, what: str, texts: tuple[str, ...]) -> None:
    """Every field that is not among ``texts`` must be a finite number (or None by default)."""
    for f in fields(value):
        v = getattr(value, f.name)
        if f.name in texts or (v is None and f.default is None):
            continue
        if isinstance(v, bool) or not isinstance(v, int | float) or not abs(v) <= LARGEST:
            raise PlanRefused(f"{what}: {f.name} must be a finite number that can be measured.", code="not_a_number")


def _positive(value: float, what: str) -> None:
    if value < LEAST:
        raise PlanRefused(f"{what} must be more than 0, not {value:g}.", code="bad_shape")


def _choice(value, known: tuple[str, ...], what: str) -> None:
    if value not in known:
        raise PlanRefused(f"{what} {value!r} is unknown; known are {', '.join(known)}.", code="schematic_choice")


def _words_in(value, what: str) -> None:
    if not isinstance(value, str) or not value.strip():
        raise PlanRefused(f"{what} must be a text.", code="missing_field")


def _unit(value, what: str) -> np.ndarray:
    given = value if isinstance(value, list | tuple | np.ndarray) else ()
    numbers = np.array([float(v) if isinstance(v, int | float | np.floating) and not isinstance(v, bool) and abs(v) <= LARGEST else math.nan for v in given])
    if numbers.shape != (3,) or not np.isfinite(numbers).all() or np.linalg.norm(numbers) < 1e-9:
        raise PlanRefused(f"{what} must point somewhere: lateral, cranial and depth as three finite numbers.", code="bad_direction")
    return numbers / np.linalg.norm(numbers)
