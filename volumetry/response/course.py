"""The course of treated nodes: rates of a subject's nodes together, disappearance, regrowth, recurrence, residual and salvage.

Built on ``vrr``. Nothing missing is filled in: a subject's rate names the nodes that it is made of and those that are not in it.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from volumetry.errors import MeasurementRefused
from volumetry.response.vrr import volume_reduction_rate

REGROWTH_ABOVE_PCT = 50.0  # above the smallest recorded volume (Front Endocrinol 2021;12:774228)


@dataclass(frozen=True, slots=True)
class NodePair:
    """Baseline and follow-up volume of one node in ml, by one reader, modality and method. ``followup_ml`` None: not known, for
    the reason in ``missing``. 0 ml only for a node assessed as gone (``disappeared``)."""

    node: str
    baseline_ml: float | None
    followup_ml: float | None
    disappeared: bool = False
    missing: str | None = None
    rate_pct: float | None = None  # the rate of these two volumes where it is known already

    def __post_init__(self) -> None:
        if self.followup_ml == 0 and not self.disappeared:
            raise MeasurementRefused("A volume of 0 ml is kept only for a node that was looked for and has disappeared.", code="zero_volume", hint="State that the disappearance was assessed, or leave the reading out.")

    @property
    def vrr_pct(self) -> float | None:
        """The node's own rate."""
        if self.rate_pct is not None:
            return self.rate_pct
        return None if self.baseline_ml is None or self.followup_ml is None else volume_reduction_rate(self.baseline_ml, self.followup_ml).vrr_pct


@dataclass(frozen=True, slots=True)
class SubjectRate:
    """All nodes of a subject together. ``sum_pct``: rate of the summed volumes (SDTM's PCBSV with the other sign);
    ``mean_pct``: mean of the nodes' rates; both over the ``counted`` nodes. ``missing`` is by node. ``all_gone``: every node was assessed
    as disappeared; None where that hangs on a missing one."""

    sum_pct: float | None
    mean_pct: float | None
    counted: tuple[str, ...]
    missing: Mapping[str, str] = field(default_factory=dict)
    all_gone: bool | None = None

    @property
    def complete(self) -> bool:
        """True where no node is missing."""
        return bool(self.counted) and not self.missing


def subject_rate_of(pairs: Sequence[NodePair]) -> SubjectRate:
    """Sum and mean over a subject's nodes: baseline and follow-up are summed over the same nodes."""
    rates = [(p, p.vrr_pct) for p in pairs]
    known = [p for p, rate in rates if rate is not None]
    missing = {p.node: p.missing or "no_volume" for p, rate in rates if rate is None}
    gone = False if any(not p.disappeared for p in known) else None if missing or not known else True
    if not known:
        return SubjectRate(None, None, (), missing, gone)
    total = volume_reduction_rate(math.fsum(p.baseline_ml for p in known), math.fsum(p.followup_ml for p in known)).vrr_pct
    return SubjectRate(total, math.fsum(rate for _, rate in rates if rate is not None) / len(known), tuple(p.node for p in known), missing, gone)


def zone_rate(zone_ml: float, followup_ml: float) -> float:
    """A second rate, against the ablation zone of Day 0 in ml (which is larger than the node was), in percent."""
    return volume_reduction_rate(zone_ml, followup_ml).vrr_pct


@dataclass(frozen=True, slots=True)
class Point:
    """One look at a treated node: volume and enhancing part in ml (None: not assessed). ``enhancing``: does anything enhance (None: not
    assessed). One reader, modality and method; in the order of scans."""

    when: str  # a visit's name or a date
    volume_ml: float | None
    viable_ml: float | None = None
    disappeared: bool = False
    enhancing: bool | None = None
    date: dt.date | None = None

    @property
    def complete(self) -> bool | None:
        """True where nothing is left that enhances, None where that was not assessed."""
        if self.disappeared:
            return True
        if self.viable_ml is not None:
            return self.viable_ml == 0
        return None if self.enhancing is None else not self.enhancing


@dataclass(frozen=True, slots=True)
class Sign:
    """A sign that a treated node is back: ``regrowth`` (volume), ``viable_rise`` (its enhancing part, the earlier sign),
    ``reappeared`` (was gone), ``enhancement_back`` (a look had shown none). ``above_smallest_pct`` where it is a matter of size."""

    kind: str
    point: Point
    smallest_ml: float | None = None
    above_smallest_pct: float | None = None


def signs_of_return(points: Sequence[Point], *, above_pct: float = REGROWTH_ABOVE_PCT) -> tuple[Sign, ...]:
    """The first of each sign, in the order of the points.

    Regrowth: a volume more than ``above_pct`` above the smallest recorded before it; exactly so much is none. The enhancing part is
    held to the same share above its own smallest. From 0 there is no share: a node seen again has ``reappeared``, and enhancement
    after none is ``enhancement_back``. ``points`` begin with the first look after ablation; before it there is nothing to grow back from.
    """
    out: list[Sign] = []
    smallest = smallest_viable = None
    gone = complete = False
    for p in points:
        if gone and not p.disappeared and (p.volume_ml or 0) > 0:
            _once(out, Sign("reappeared", p, 0.0))
        if complete and p.complete is False:
            _once(out, Sign("enhancement_back", p, 0.0))
        if p.volume_ml is not None and smallest and p.volume_ml > smallest * (1 + above_pct / 100) * (1 + 1e-12):
            _once(out, Sign("regrowth", p, smallest, 100 * (p.volume_ml / smallest - 1)))
        if p.viable_ml is not None and smallest_viable and p.viable_ml > smallest_viable * (1 + above_pct / 100) * (1 + 1e-12):
            _once(out, Sign("viable_rise", p, smallest_viable, 100 * (p.viable_ml / smallest_viable - 1)))
        gone, complete = gone or p.disappeared, complete or p.complete is True
        if p.volume_ml:
            smallest = p.volume_ml if smallest is None else min(smallest, p.volume_ml)
        if p.viable_ml:
            smallest_viable = p.viable_ml if smallest_viable is None else min(smallest_viable, p.viable_ml)
    return tuple(out)


def _once(out: list[Sign], sign: Sign) -> None:
    if all(s.kind != sign.kind for s in out):
        out.append(sign)


RECURRENCE_KINDS = ("local", "new_node", "distant")
LOCAL_SIGNS = ("regrowth", "reappeared", "enhancement_back")


@dataclass(frozen=True, slots=True)
class Recurrence:
    """What came back and when it was first seen: ``kind`` is of ``RECURRENCE_KINDS``; ``sign`` of ``LOCAL_SIGNS`` or ``event``."""

    kind: str
    date: dt.date | None
    sign: str


def local_recurrence(signs: Sequence[Sign], *, counted: Sequence[str] = LOCAL_SIGNS) -> Recurrence | None:
    """The first sign that the protocol counts as local recurrence; None where there is none. A rise of the enhancing part alone is
    told apart and does not count unless ``counted`` names it."""
    return next((Recurrence("local", s.point.date, s.kind) for s in signs if s.kind in counted), None)


def residual_at(first: Point | None) -> bool | None:
    """Was something left at the first look after the ablation (before any further one)? None where not assessed. What is
    found at the first look is residual, never recurrence."""
    if first is None or first.complete is None:
        return None
    return not first.complete
