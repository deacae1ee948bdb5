"""A treatment plan as a value: read strictly, checked once, then trusted."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from planning.anatomy import Anatomy, anatomy_from_dict
from planning.electrode import Electrode, on_one_shaft, segment_distance_mm
from planning.errors import PlanRefused
from planning.pulse import PulsePair
from planning.shapes import Box, Ellipsoid, MaskShape, Rod, Shape, Sphere
from planning.source import PlanSource, source_from_dict
from planning.tissue import Conductivity, conductivity_from_dict
from volumetry.mask import NodeMask

SCHEMA = "nodus.plan/1"
ROLES = ("target", "at_risk", "tissue")
CELLS_MOST = 64_000_000
REGIONS_MOST = 200
LARGEST = 1e12  # of any number in a plan file: beyond it products overflow


@dataclass(frozen=True, slots=True)
class Domain:
    """The box that is solved, LPS, with insulating walls."""

    center_mm: tuple[float, float, float]
    size_mm: tuple[float, float, float]
    spacing_mm: float

    def __post_init__(self) -> None:
        for name in ("center_mm", "size_mm"):
            p = tuple(float(v) for v in getattr(self, name))
            if len(p) != 3 or not all(math.isfinite(v) for v in p):
                raise PlanRefused(f"The domain's {name} must be three finite numbers.", code="not_a_number")
            object.__setattr__(self, name, p)
        if not math.isfinite(self.spacing_mm):
            raise PlanRefused("The domain's spacing is not a number.", code="not_a_number")
        if self.spacing_mm <= 0 or min(self.size_mm) <= 0:
            raise PlanRefused("The domain's size and spacing must be more than 0.", code="bad_domain")
        if min(self.size_mm) < 8 * self.spacing_mm:
            raise PlanRefused("The domain is less than 8 cells wide.", code="bad_domain", hint="Use a finer spacing or a larger domain.")
        if math.prod(size / self.spacing_mm for size in self.size_mm) > CELLS_MOST:
            raise PlanRefused(f"The domain has more than {CELLS_MOST // 1_000_000} million cells.", code="domain_too_fine",
                              hint="Use a coarser spacing or a smaller domain.")

    @property
    def low_mm(self) -> np.ndarray:
        """Low corner."""
        return np.subtract(self.center_mm, np.multiply(0.5, self.size_mm))

    @property
    def high_mm(self) -> np.ndarray:
        """High corner."""
        return np.add(self.center_mm, np.multiply(0.5, self.size_mm))

    def to_dict(self) -> dict:
        """As in a plan file."""
        return {"center_mm": list(self.center_mm), "size_mm": list(self.size_mm), "spacing_mm": self.spacing_mm}


@dataclass(frozen=True, slots=True)
class Region:
    """A named part of the domain; without ``conductivity`` it has the background's."""

    name: str
    role: str
    shape: Shape
    conductivity: Conductivity | None = None

    def __post_init__(self) -> None:
        if self.role not in ROLES:
            raise PlanRefused(f"Region {self.name!r}: role {self.role!r} is unknown; known are {', '.join(ROLES)}.", code="unknown_role")

    def to_dict(self) -> dict:
        """As in a plan file."""
        out = {"name": self.name, "role": self.role, "shape": self.shape.to_dict()}
        return out if self.conductivity is None else out | {"conductivity": self.conductivity.to_dict()}


@dataclass(frozen=True, slots=True)
class TreatmentPlan:
    """Needles, pulses and tissue of one session.

    Regions later in the list override earlier ones. Refused with a code: fewer than two needles
    (``one_needle``), needles that touch or cross (``needles_touch``), two on one shaft (``one_shaft``), exposed metal outside the
    domain (``needle_outside_domain``), a target outside it (``target_outside_domain``), pulses that
    name no needle (``unknown_electrode``), no pulses (``no_pulses``), non-finite thresholds.
    """

    domain: Domain
    background: Conductivity
    electrodes: tuple[Electrode, ...]
    pulses: tuple[PulsePair, ...]
    regions: tuple[Region, ...] = ()
    thresholds_v_per_cm: tuple[float, ...] = (400.0, 500.0, 600.0, 800.0)
    lethal_v_per_cm: float = 500.0
    margin_mm: float = 5.0
    notes: tuple[tuple[str, str], ...] = ()  # (code, sentence) of what was noticed while reading the file
    anatomy: Anatomy | None = None  # what must be known around the needles; None: nothing is asked for
    source: PlanSource | None = None  # where the geometry comes from; None: not said

    def __post_init__(self) -> None:
        if self.background.is_air:
            raise PlanRefused("The background conducts no current.", code="bad_conductivity")
        if len(self.electrodes) < 2:
            raise PlanRefused("A plan needs at least two needles.", code="one_needle", hint="Place a second needle.")
        ids = [e.id for e in self.electrodes]
        if len(set(ids)) != len(ids):
            raise PlanRefused("Two needles have the same id.", code="duplicate_electrode")
        if not self.pulses:
            raise PlanRefused("The plan has no pulses.", code="no_pulses", hint="Add at least one pair of needles with a voltage.")
        for p in self.pulses:
            for name in (p.anode, p.cathode):
                if name not in ids:
                    raise PlanRefused(f"The pulses name needle {name}, which the plan does not have.", code="unknown_electrode",
                                      hint=f"Needles of the plan: {', '.join(ids)}.")
        for value in (*self.thresholds_v_per_cm, self.lethal_v_per_cm):
            if not math.isfinite(value) or value <= 0:
                raise PlanRefused("Thresholds must be finite numbers above 0 V/cm.", code="bad_threshold")
        if not math.isfinite(self.margin_mm) or self.margin_mm < 0:
            raise PlanRefused("The margin must be a finite number, 0 or more.", code="bad_margin")
        if len(self.regions) > REGIONS_MOST:
            raise PlanRefused(f"The plan has more than {REGIONS_MOST} regions.", code="too_many_regions")
        self._check_needles()
        self._check_targets()

    def _check_needles(self) -> None:
        low, high = self.domain.low_mm, self.domain.high_mm
        for e in self.electrodes:
            for point in (np.asarray(e.tip_mm), e.exposed_end_mm):
                if (point < low).any() or (point > high).any():
                    raise PlanRefused(f"The exposed part of needle {e.id} reaches outside the domain.", code="needle_outside_domain",
                                      hint="Enlarge the domain or move the needle.")
        for n, a in enumerate(self.electrodes):
            for b in self.electrodes[:n]:
                if on_one_shaft(a, b):
                    raise PlanRefused(f"Needles {b.id} and {a.id} are two electrodes on one shaft (a bipolar probe): its field cannot be solved in this version.", code="one_shaft",
                                      hint="Plan with needles of one electrode each.")
                gap = segment_distance_mm(a.tip_mm, self.shaft_end_mm(a), b.tip_mm, self.shaft_end_mm(b)) - 0.5 * (a.diameter_mm + b.diameter_mm)
                if gap <= 0:
                    raise PlanRefused(f"Needles {b.id} and {a.id} touch or cross.", code="needles_touch", hint="Move them apart.")

    def _check_targets(self) -> None:
        slack = 1e-6
        for r in self.regions:
            low, high = r.shape.bounds_mm()
            if r.role == "target" and ((low < self.domain.low_mm - slack).any() or (high > self.domain.high_mm + slack).any()):
                raise PlanRefused(f"Target {r.name!r} reaches outside the domain.", code="target_outside_domain",
                                  hint="Enlarge the domain so that it holds the whole target.")

    def shaft_reach_mm(self, electrode: Electrode) -> float:
        """Length of the needle from its tip to where it leaves the domain (mm)."""
        t = electrode.direction
        with np.errstate(divide="ignore"):
            wall = np.where(t > 0, self.domain.high_mm, self.domain.low_mm)
            steps = np.where(np.abs(t) > 1e-12, (wall - electrode.tip_mm) / np.where(np.abs(t) > 1e-12, t, 1.0), np.inf)
        return float(steps.min())

    def shaft_end_mm(self, electrode: Electrode) -> np.ndarray:
        """Where the needle's axis leaves the domain, or its entry if that lies further out."""
        reach = max(self.shaft_reach_mm(electrode), electrode.length_mm)
        return np.asarray(electrode.tip_mm) + reach * electrode.direction

    def electrode(self, id: str) -> Electrode:
        """The needle of that id; KeyError if there is none."""
        return {e.id: e for e in self.electrodes}[id]

    def with_spacing(self, spacing_mm: float) -> TreatmentPlan:
        """The same plan on another grid."""
        return replace(self, domain=replace(self.domain, spacing_mm=spacing_mm))

    @classmethod
    def from_dict(cls, d, presets: Mapping[str, Conductivity], load_mask: Callable[[str, int], NodeMask] | None = None) -> TreatmentPlan:
        """Read a ``nodus.plan/1`` object.

        ``presets`` maps tissue names to laws; ``load_mask(path, label)`` gives a region's mask (its
        own refusals pass through). Keys that are not known, and defaults taken for keys that are
        missing, are kept in ``notes``: a misspelt threshold must not pass unseen. Raises ``PlanRefused``.
        """
        if not isinstance(d, Mapping):
            raise PlanRefused("This is not a plan: a plan is a JSON object.", code="not_a_plan")
        if "schema" not in d:
            raise PlanRefused("This is not a plan: it does not say its schema.", code="not_a_plan", hint=f'A plan begins with "schema": "{SCHEMA}".')
        if d["schema"] != SCHEMA:
            raise PlanRefused(f"Plan schema {d['schema']!r} is not known to this version.", code="wrong_schema", hint=f"Known: {SCHEMA}.")
        boundary = d.get("boundary", "insulating")
        if boundary != "insulating":
            raise PlanRefused(f"Boundary {boundary!r} is not known; only insulating walls are.", code="unknown_boundary")
        domain = _object(d, "domain", "the plan")
        regions = tuple(_region(r, n, presets, load_mask) for n, r in enumerate(_list(d, "regions", optional=True)))
        electrodes = tuple(_electrode(e, n) for n, e in enumerate(_list(d, "electrodes")))
        pulses = tuple(_pulse(p, n) for n, p in enumerate(_list(d, "pulses")))
        more = {}
        if "thresholds_v_per_cm" in d:
            more["thresholds_v_per_cm"] = tuple(_finite(v, "A threshold") for v in _list(d, "thresholds_v_per_cm"))
        for key in ("lethal_v_per_cm", "margin_mm"):
            if key in d:
                more[key] = _finite(d[key], key)
        more["anatomy"] = anatomy_from_dict(d.get("anatomy"))
        more["source"] = source_from_dict(d.get("source"))
        box = Domain(_vector(domain, "center_mm", "domain"), _vector(domain, "size_mm", "domain"), _number(domain, "spacing_mm", "domain"))
        background = conductivity_from_dict(d.get("background"), presets, "background")
        return cls(box, background, electrodes, pulses, regions, notes=_notes(d), **more)

    def to_dict(self) -> dict:
        """The plan as a ``nodus.plan/1`` object; ``from_dict`` reads it back."""
        anatomy = {} if self.anatomy is None else {"anatomy": self.anatomy.to_dict()}
        source = {} if self.source is None else {"source": self.source.to_dict()}
        return {"schema": SCHEMA, "domain": self.domain.to_dict(), "background": self.background.to_dict(),
                "regions": [r.to_dict() for r in self.regions], "electrodes": [e.to_dict() for e in self.electrodes],
                "pulses": [p.to_dict() for p in self.pulses], "thresholds_v_per_cm": list(self.thresholds_v_per_cm),
                "lethal_v_per_cm": self.lethal_v_per_cm, "boundary": "insulating", "margin_mm": self.margin_mm, **anatomy, **source}


# -- reading, with a sentence for every way it can go wrong ---------------------------------------


# ``limits`` and ``seed`` belong to the optimiser, the last two to a plan written with its answer.
_KNOWN_KEYS = {
    "schema", "domain", "background", "regions", "electrodes", "pulses", "thresholds_v_per_cm", "lethal_v_per_cm", "boundary", "margin_mm",
    "anatomy", "source", "limits", "seed", "assessment", "files", "software_version",
}


def _notes(d: Mapping) -> tuple[tuple[str, str], ...]:
    """What a person should know of how the file was read."""
    unknown = sorted(str(k) for k in set(d) - _KNOWN_KEYS)
    notes = [("unknown_key", f"The plan's key {key!r} is not known and was not used.") for key in unknown]
    notes += _nested_notes(d)
    for key, default, unit in (("lethal_v_per_cm", TreatmentPlan.__dataclass_fields__["lethal_v_per_cm"].default, "V/cm"), ("margin_mm", TreatmentPlan.__dataclass_fields__["margin_mm"].default, "mm")):
        if key not in d:
            notes.append(("default_used", f"The plan does not say {key}: {default:g} {unit} was used."))
    return tuple(notes)


_KNOWN_IN = {
    "domain": {"center_mm", "size_mm", "spacing_mm"},
    "electrodes": {"id", "tip_mm", "entry_mm", "exposure_mm", "diameter_mm"},
    "pulses": {"anode", "cathode", "voltage_v", "pulses", "width_us", "rate_hz", "ecg_gated"},
    "regions": {"name", "role", "shape", "conductivity"},
    "sphere": {"type", "center_mm", "diameter_mm"},
    "ellipsoid": {"type", "center_mm", "axes_mm", "rotation"},
    "cylinder": {"type", "from_mm", "to_mm", "diameter_mm"},
    "capsule": {"type", "from_mm", "to_mm", "diameter_mm"},
    "box": {"type", "center_mm", "size_mm", "rotation"},
    "mask": {"type", "path", "label", "mask"},
    "constant": {"model", "sigma_s_per_m", "temperature_coefficient_per_c", "source", "spread_pct", "assumed"},
    "law": {"model", "sigma0_s_per_m", "sigma1_s_per_m", "e_low_v_per_cm", "e_high_v_per_cm", "temperature_coefficient_per_c", "source", "spread_pct", "assumed"},
}
_PULSE_DEFAULTS = {"pulses": 90, "width_us": 70, "rate_hz": 1}


def _nested_notes(d: Mapping) -> list[tuple[str, str]]:
    """The same of what a plan that has been read holds within: keys that were not used, numbers that were taken."""
    parts = [("the domain", "domain", d["domain"]), ("the background", "law", d["background"])]
    for key, word in (("electrodes", "needle"), ("pulses", "pulse pair"), ("regions", "region")):
        parts += [(f"{word} {n + 1}", key, part) for n, part in enumerate(d.get(key, ()))]
    found: dict[str, list[str]] = {}
    for where, kind, part in list(parts):
        if kind == "regions":
            parts.append((where, str(part["shape"].get("type")), part["shape"]))
            if isinstance(part.get("conductivity"), Mapping):
                parts.append((where, "law", part["conductivity"]))
    for where, kind, part in parts:
        known = _KNOWN_IN[kind]
        if kind == "law":
            known = {"preset"} if "preset" in part else _KNOWN_IN["constant" if part.get("model") == "constant" else "law"]
        for name in sorted(str(k) for k in set(part) - known):
            found.setdefault(name, []).append(where)
    notes = [("unknown_key", f"The key {name!r} of {_listed(places)} is not known there and was not used.") for name, places in found.items()]
    for key, default in _PULSE_DEFAULTS.items():
        if missing := [f"pulse pair {n + 1}" for n, p in enumerate(d["pulses"]) if key not in p]:
            notes.append(("default_used", f"The plan does not say {key} of {_listed(missing)}: {default} was used."))
    if missing := [f"region {n + 1}" for n, r in enumerate(d.get("regions", ())) if "role" not in r]:
        notes.append(("default_used", f"The plan does not say the role of {_listed(missing)}: tissue was used."))
    return notes


def _listed(places: list[str]) -> str:
    return ", ".join(places[:3]) + (f" and {len(places) - 3} more" if len(places) > 3 else "")


def _finite(value, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise PlanRefused(f"{what} must be a number, not {value!r}.", code="not_a_number")
    try:
        number = float(value)
    except OverflowError:  # an integer beyond what a number can hold
        number = math.inf
    if not math.isfinite(number):
        raise PlanRefused(f"{what} is not a finite number.", code="not_a_number")
    if abs(number) > LARGEST:
        raise PlanRefused(f"{what} is {number:g}: no plan has such a number.", code="not_a_number")
    return number


def _number(d: Mapping, key: str, where: str, default: float | None = None) -> float:
    if key not in d:
        if default is not None:
            return default
        raise PlanRefused(f"{where}: {key} is missing.", code="missing_field")
    return _finite(d[key], f"{where}: {key}")


def _vector(d: Mapping, key: str, where: str) -> tuple[float, float, float]:
    if key not in d:
        raise PlanRefused(f"{where}: {key} is missing.", code="missing_field")
    value = d[key]
    if not isinstance(value, list | tuple) or len(value) != 3:
        raise PlanRefused(f"{where}: {key} must be three numbers.", code="not_a_number")
    return tuple(_finite(v, f"{where}: {key}") for v in value)


def _object(d: Mapping, key: str, where: str) -> Mapping:
    value = d.get(key)
    if not isinstance(value, Mapping):
        raise PlanRefused(f"{where}: {key} is missing or not an object.", code="missing_field")
    return value


def _list(d: Mapping, key: str, optional: bool = False) -> list:
    value = d.get(key, [] if optional else None)
    if not isinstance(value, list | tuple):
        raise PlanRefused(f"The plan's {key} must be a list.", code="missing_field")
    return list(value)


def _text(d: Mapping, key: str, where: str) -> str:
    value = d.get(key)
    if not isinstance(value, str) or not value:
        raise PlanRefused(f"{where}: {key} is missing or not a text.", code="missing_field")
    return value


def _electrode(d, n: int) -> Electrode:
    where = f"needle {n + 1}"
    if not isinstance(d, Mapping):
        raise PlanRefused(f"{where} is not an object.", code="missing_field")
    return Electrode(_text(d, "id", where), _vector(d, "tip_mm", where), _vector(d, "entry_mm", where),
                     _number(d, "exposure_mm", where), _number(d, "diameter_mm", where))


def _pulse(d, n: int) -> PulsePair:
    where = f"pulse pair {n + 1}"
    if not isinstance(d, Mapping):
        raise PlanRefused(f"{where} is not an object.", code="missing_field")
    count = _number(d, "pulses", where, 90)
    if count != int(count):
        raise PlanRefused(f"{where}: the number of pulses must be whole.", code="bad_pulses")
    return PulsePair(_text(d, "anode", where), _text(d, "cathode", where), _number(d, "voltage_v", where), int(count),
                     _number(d, "width_us", where, 70), _number(d, "rate_hz", where, 1), d.get("ecg_gated"))


def _region(d, n: int, presets, load_mask) -> Region:
    where = f"region {n + 1}"
    if not isinstance(d, Mapping):
        raise PlanRefused(f"{where} is not an object.", code="missing_field")
    name = where if d.get("name") is None else _text(d, "name", where)
    law = conductivity_from_dict(d["conductivity"], presets, f"region {name!r}") if d.get("conductivity") is not None else None
    return Region(name, d.get("role", "tissue"), shape_from_dict(_object(d, "shape", f"region {name!r}"), f"region {name!r}", load_mask), law)


def shape_from_dict(d: Mapping, where: str, load_mask) -> Shape:
    """Read a region's shape; refusals name ``where``."""
    kind = d.get("type")
    if kind == "sphere":
        return Sphere(_vector(d, "center_mm", where), _number(d, "diameter_mm", where))
    if kind == "ellipsoid":
        return Ellipsoid(_vector(d, "center_mm", where), _vector(d, "axes_mm", where), d.get("rotation"))
    if kind in ("cylinder", "capsule"):
        return Rod(_vector(d, "from_mm", where), _vector(d, "to_mm", where), _number(d, "diameter_mm", where), kind == "capsule")
    if kind == "box":
        return Box(_vector(d, "center_mm", where), _vector(d, "size_mm", where), d.get("rotation"))
    if kind == "mask":
        mask, path = d.get("mask"), d.get("path")
        label = d.get("label", 1)
        if isinstance(label, bool) or not isinstance(label, int | float) or label != int(label):
            raise PlanRefused(f"{where}: the mask's label must be a whole number, not {label!r}.", code="not_a_number")
        label = int(label)
        if isinstance(mask, NodeMask):
            return MaskShape(mask, path, label)
        if not isinstance(path, str) or not path:
            raise PlanRefused(f"{where}: the mask has no path.", code="missing_field")
        if load_mask is None:
            raise PlanRefused(f"{where}: masks cannot be read here.", code="mask_unreadable")
        return MaskShape(load_mask(path, label), path, label)
    raise PlanRefused(f"{where}: shape {kind!r} is unknown.", code="unknown_shape",
                      hint="Known shapes: sphere, ellipsoid, cylinder, capsule, box, mask.")
