"""A thermal plan as a value: lesions, needles and what is applied through them, over sessions and rounds."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from planning.errors import PlanRefused
from planning.plan import _finite, _list, _number, _object, _text, _vector, shape_from_dict
from planning.shapes import Shape
from planning.thermal.chart import ChartRow, ThermalDevice, device_from_dict
from volumetry.mask import NodeMask

SCHEMA = "nodus.thermal/1"
APPLICATIONS_MOST = 200


@dataclass(frozen=True, slots=True)
class Part:
    """A named shape: a lesion or a structure at risk."""

    name: str
    shape: Shape

    def to_dict(self) -> dict:
        """As in a plan file."""
        return {"name": self.name, "shape": self.shape.to_dict()}


@dataclass(frozen=True, slots=True)
class ThermalNeedle:
    """Tip and entry in LPS mm of the needle's own round."""

    id: str
    tip_mm: tuple[float, float, float]
    entry_mm: tuple[float, float, float]

    def __post_init__(self) -> None:
        if math.dist(self.tip_mm, self.entry_mm) < 1e-6:
            raise PlanRefused(f"Needle {self.id}: tip and entry are the same point.", code="no_direction", hint="Place the entry away from the tip.")

    @property
    def direction(self) -> np.ndarray:
        """Unit vector from the tip to the entry."""
        d = np.subtract(self.entry_mm, self.tip_mm)
        return d / np.linalg.norm(d)

    def to_dict(self) -> dict:
        """As in a plan file."""
        return {"id": self.id, "tip_mm": list(self.tip_mm), "entry_mm": list(self.entry_mm)}


@dataclass(frozen=True, slots=True)
class Application:
    """One setting of a device applied through a needle that is pulled back by ``pull_back_mm``.

    Applications of one round and session with the same ``step`` run at once; without a step each runs by itself, in
    list order."""

    needle: str
    device: str
    setting: str
    round: int = 1
    session: int = 1
    pull_back_mm: float = 0.0
    step: int | None = None

    def __post_init__(self) -> None:
        if self.round < 1 or self.session < 1:
            raise PlanRefused("Rounds and sessions count from 1.", code="bad_round")
        if self.pull_back_mm < 0:
            raise PlanRefused(f"Needle {self.needle} is pulled back by {self.pull_back_mm:g} mm: give 0 or more.", code="bad_pull_back")

    def to_dict(self) -> dict:
        """As in a plan file."""
        return {"needle": self.needle, "device": self.device, "setting": self.setting, "round": self.round, "session": self.session,
                "pull_back_mm": self.pull_back_mm, "step": self.step}


@dataclass(frozen=True, slots=True)
class ThermalLimits:
    """Limits as data; None: not checked. ``liver_fraction`` is the share of the liver from which a plan is refused."""

    liver_fraction: float | None = None
    rounds_most: int | None = None
    lesions_per_session_most: int | None = None
    lesion_longest_mm: float | None = None

    def to_dict(self) -> dict:
        """As in a plan file."""
        return {"liver_fraction": self.liver_fraction, "rounds_most": self.rounds_most, "lesions_per_session_most": self.lesions_per_session_most,
                "lesion_longest_mm": self.lesion_longest_mm}


@dataclass(frozen=True, slots=True, eq=False)
class ThermalPlan:
    """Lesions, needles, applications, and the charts that these name.

    ``frames``: for rounds whose pictures were registered to the plan's own, the rigid 4 x 4 matrix that carries points of
    that round (LPS mm) into the plan. Refused with a code: no needles (``one_needle``), no applications
    (``no_applications``), names that are not there (``unknown_electrode``, ``unknown_device``, ``unknown_setting``),
    two needles with one id (``duplicate_electrode``), a needle pulled back beyond its entry (``bad_pull_back``).
    """

    needles: tuple[ThermalNeedle, ...]
    applications: tuple[Application, ...]
    devices: Mapping[str, ThermalDevice]
    lesions: tuple[Part, ...] = ()
    at_risk: tuple[Part, ...] = ()
    liver: Shape | None = None
    limits: ThermalLimits = ThermalLimits()
    margin_mm: float = 5.0
    capsule_mm: float = 5.0
    spacing_mm: float = 1.0
    frames: Mapping[int, tuple] = field(default_factory=dict)
    notes: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        if not self.needles:
            raise PlanRefused("A thermal plan needs at least one needle.", code="no_needles", hint="Place a needle.")
        ids = [n.id for n in self.needles]
        if len(set(ids)) != len(ids):
            raise PlanRefused("Two needles have the same id.", code="duplicate_electrode")
        if not self.applications:
            raise PlanRefused("Nothing is applied through the needles.", code="no_applications", hint="Choose a device and a setting for a needle.")
        if len(self.applications) > APPLICATIONS_MOST:
            raise PlanRefused(f"The plan has more than {APPLICATIONS_MOST} applications.", code="too_many_regions")
        if not 0.2 <= self.spacing_mm <= 4.0:
            raise PlanRefused("The spacing must lie between 0.2 and 4 mm.", code="bad_domain")
        for value in (self.margin_mm, self.capsule_mm):
            if not math.isfinite(value) or value < 0:
                raise PlanRefused("The margin must be a finite number, 0 or more.", code="bad_margin")
        for a in self.applications:
            if a.needle not in ids:
                raise PlanRefused(f"An application names needle {a.needle}, which the plan does not have.", code="unknown_electrode", hint=f"Needles of the plan: {', '.join(ids)}.")
            self.row(a)
            n = self.needle(a.needle)
            if a.pull_back_mm >= math.dist(n.tip_mm, n.entry_mm):
                raise PlanRefused(f"Needle {a.needle} is pulled back by {a.pull_back_mm:g} mm, out of its entry.", code="bad_pull_back")
        for seen, part in enumerate((*self.lesions, *self.at_risk)):
            if part.name in [p.name for p in (*self.lesions, *self.at_risk)[:seen]]:
                raise PlanRefused(f"Two lesions or structures are named {part.name!r}.", code="duplicate_name")

    def needle(self, id: str) -> ThermalNeedle:
        """The needle of that id; KeyError if there is none."""
        return {n.id: n for n in self.needles}[id]

    def device(self, application: Application) -> ThermalDevice:
        """The application's device. Raises ``PlanRefused`` (``unknown_device``)."""
        if application.device not in self.devices:
            raise PlanRefused(f"There is no device {application.device!r}.", code="unknown_device", hint=f"Known: {', '.join(sorted(self.devices))}.")
        return self.devices[application.device]

    def row(self, application: Application) -> ChartRow:
        """The application's row of the chart. Raises ``PlanRefused`` (``unknown_setting``)."""
        return self.device(application).row(application.setting)

    def placed(self, application: Application) -> tuple[np.ndarray, np.ndarray]:
        """``(tip, entry)`` of its needle in the plan's frame, LPS mm, before any pull-back."""
        needle = self.needle(application.needle)
        ends = np.array([needle.tip_mm, needle.entry_mm])
        if application.round in self.frames:
            matrix = np.asarray(self.frames[application.round])
            ends = ends @ matrix[:3, :3].T + matrix[:3, 3]
        return ends[0], ends[1]

    @property
    def rounds(self) -> tuple[int, ...]:
        """Numbers of the rounds, ascending."""
        return tuple(sorted({a.round for a in self.applications}))

    @classmethod
    def from_dict(cls, d, devices: Mapping[str, ThermalDevice], limits: Mapping, load_mask: Callable[[str, int], NodeMask] | None = None, capsule_mm: float = 5.0) -> ThermalPlan:
        """Read a ``nodus.thermal/1`` object. ``devices``: the known charts, to which the plan's own ``devices`` are added;
        ``limits``: values that hold where the plan states none. Raises ``PlanRefused``."""
        if not isinstance(d, Mapping) or "schema" not in d:
            raise PlanRefused("This is not a thermal plan: it does not say its schema.", code="not_a_plan", hint=f'A thermal plan begins with "schema": "{SCHEMA}".')
        if d["schema"] != SCHEMA:
            raise PlanRefused(f"Plan schema {d['schema']!r} is not a thermal plan.", code="wrong_schema", hint=f"Known here: {SCHEMA}.")
        own = {device.id: device for device in (device_from_dict(e) for e in _list(d, "devices", optional=True))}
        parts = {key: tuple(_part(p, f"{what} {n + 1}", load_mask) for n, p in enumerate(_list(d, key, optional=True))) for key, what in (("lesions", "lesion"), ("at_risk", "structure"))}
        liver = None
        if d.get("liver") is not None:
            liver = shape_from_dict(_object(_object(d, "liver", "the plan"), "shape", "the liver"), "the liver", load_mask)
        more = {key: _finite(d[key], key) for key in ("margin_mm", "capsule_mm", "spacing_mm") if key in d}
        more.setdefault("capsule_mm", capsule_mm)
        notes = tuple(("unknown_key", f"The plan's key {key!r} is not known and was not used.") for key in sorted(str(k) for k in set(d) - _KNOWN))
        return cls(tuple(_needle(n, f"needle {i + 1}") for i, n in enumerate(_list(d, "needles"))),
                   tuple(_application(a, f"application {i + 1}") for i, a in enumerate(_list(d, "applications"))),
                   {**devices, **own}, parts["lesions"], parts["at_risk"], liver, _limits(d.get("limits", {}), limits),
                   frames=_frames(_list(d, "rounds", optional=True)), notes=notes, **more)

    def to_dict(self) -> dict:
        """The plan without its charts; ``from_dict`` reads it back where these are known."""
        return {"schema": SCHEMA, "liver": None if self.liver is None else {"shape": self.liver.to_dict()}, "lesions": [p.to_dict() for p in self.lesions],
                "at_risk": [p.to_dict() for p in self.at_risk], "needles": [n.to_dict() for n in self.needles],
                "applications": [a.to_dict() for a in self.applications], "limits": self.limits.to_dict(), "margin_mm": self.margin_mm,
                "capsule_mm": self.capsule_mm, "spacing_mm": self.spacing_mm, "rounds": [{"round": n, "matrix": [list(r) for r in m]} for n, m in self.frames.items()]}


_KNOWN = {"schema", "liver", "lesions", "at_risk", "needles", "applications", "limits", "margin_mm", "capsule_mm", "spacing_mm", "rounds", "devices",
          "assessment", "software_version"}


def _part(d, where: str, load_mask) -> Part:
    if not isinstance(d, Mapping):
        raise PlanRefused(f"{where} is not an object.", code="missing_field")
    name = str(d.get("name") or where)
    return Part(name, shape_from_dict(_object(d, "shape", name), name, load_mask))


def _needle(d, where: str) -> ThermalNeedle:
    if not isinstance(d, Mapping):
        raise PlanRefused(f"{where} is not an object.", code="missing_field")
    return ThermalNeedle(_text(d, "id", where), _vector(d, "tip_mm", where), _vector(d, "entry_mm", where))


def _whole(d: Mapping, key: str, where: str, default: int | None) -> int | None:
    if d.get(key) is None:
        return default
    number = _number(d, key, where)
    if number != int(number):
        raise PlanRefused(f"{where}: {key} must be a whole number.", code="bad_round")
    return int(number)


def _application(d, where: str) -> Application:
    if not isinstance(d, Mapping):
        raise PlanRefused(f"{where} is not an object.", code="missing_field")
    return Application(_text(d, "needle", where), _text(d, "device", where), _text(d, "setting", where), _whole(d, "round", where, 1),
                       _whole(d, "session", where, 1), _number(d, "pull_back_mm", where, 0.0), _whole(d, "step", where, None))


def _limits(d, defaults: Mapping) -> ThermalLimits:
    if not isinstance(d, Mapping):
        raise PlanRefused("The plan's limits are not an object.", code="missing_field")
    known = ThermalLimits.__dataclass_fields__
    if unknown := sorted(set(d) - set(known)):
        raise PlanRefused(f"Limits {', '.join(unknown)} are not known.", code="bad_limits", hint=f"Known: {', '.join(known)}.")
    values = {key: d.get(key, defaults.get(key)) for key in known}
    for key, value in values.items():
        if value is not None and _finite(value, f"Limit {key}") <= 0:
            raise PlanRefused(f"Limit {key} must be more than 0.", code="bad_limits")
    return ThermalLimits(**values)


def _frames(entries: list) -> dict[int, tuple]:
    out = {}
    for n, entry in enumerate(entries):
        where = f"round entry {n + 1}"
        if not isinstance(entry, Mapping):
            raise PlanRefused(f"{where} is not an object.", code="missing_field")
        number = _whole(entry, "round", where, None)
        if number is None:
            raise PlanRefused(f"{where}: round is missing.", code="missing_field")
        out[number] = rigid_matrix(entry.get("matrix"), f"The matrix of round {number}")
    return out


def rigid_matrix(value, what: str) -> tuple:
    """A rigid 4 x 4 matrix as rows. Raises ``PlanRefused`` (``bad_transform``)."""
    try:
        matrix = np.array(value, dtype=float)
    except (TypeError, ValueError):
        raise PlanRefused(f"{what} must be four rows of four numbers.", code="bad_transform") from None
    if matrix.shape != (4, 4) or not np.isfinite(matrix).all():
        raise PlanRefused(f"{what} must be four rows of four numbers.", code="bad_transform")
    turn = matrix[:3, :3]
    if np.abs(turn @ turn.T - np.eye(3)).max() > 1e-3 or np.linalg.det(turn) < 0 or np.abs(matrix[3] - [0, 0, 0, 1]).max() > 1e-6:
        raise PlanRefused(f"{what} is not rigid: it stretches, mirrors or shears.", code="bad_transform")
    return tuple(map(tuple, matrix.tolist()))
