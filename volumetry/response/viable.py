"""Total, ablated and viable volume of a treated node, kept apart, and the reduction rate of each.

After ablation the zone that does not enhance stays for months: the total shrinks slowly, what counts
is the part that still enhances. A part that nobody assessed (no contrast, phase missed) is None and
never zero; and a node is gone only when somebody looked for it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from volumetry.errors import MeasurementRefused
from volumetry.finding import Finding
from volumetry.response.vrr import VRR, volume_reduction_rate

Part = Literal["total", "ablated", "viable"]
PARTS: tuple[Part, ...] = ("total", "ablated", "viable")
# Two parts outlined by themselves never add up exactly; beyond this share of the total they contradict.
ADD_UP_PCT = 10.0


@dataclass(frozen=True, slots=True)
class ViableVolumes:
    """Volumes in ml at one visit: ``total_ml`` of node and zone together, ``ablated_ml`` what does
    not enhance, ``viable_ml`` what does. None: not assessed. ``derived`` names the part that was
    worked out from the other two. Make them by ``measured``, ``before_ablation`` or ``disappeared``.
    """

    total_ml: float
    ablated_ml: float | None = None
    viable_ml: float | None = None
    derived: Part | None = None
    disappearance_assessed: bool = False
    findings: tuple[Finding, ...] = ()

    def __post_init__(self) -> None:
        for part in PARTS:
            value = self.of(part)
            if value is None and part != "total":
                continue
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value) or value < 0:
                raise MeasurementRefused(f"A {part} volume of {value} ml cannot be.", code="value_refused")
        if self.total_ml == 0 and not self.disappearance_assessed:
            raise MeasurementRefused(
                "A volume of 0 ml is kept only for a node that was looked for and has disappeared.",
                code="zero_volume",
                hint="State that the disappearance was assessed, or leave the reading out.",
            )
        if self.disappearance_assessed and any(self.of(part) for part in PARTS):
            raise MeasurementRefused("A node that has disappeared has no volume left.", code="status_contradicts_volume")
        for part in ("ablated", "viable"):
            if (self.of(part) or 0.0) > self.total_ml * (1 + ADD_UP_PCT / 100):
                raise MeasurementRefused(
                    f"The {part} part ({self.of(part):.3g} ml) is larger than the whole ({self.total_ml:.3g} ml).",
                    code="part_exceeds_total",
                    hint="Check which outline is which.",
                )

    @classmethod
    def measured(cls, total_ml: float, *, ablated_ml: float | None = None, viable_ml: float | None = None) -> ViableVolumes:
        """One reading. Of ``ablated_ml`` and ``viable_ml`` the one that is missing is worked out (not
        below 0); with neither, enhancement was not assessed. Both given stay as measured; the
        warning ``parts_do_not_add`` says where they miss the total by more than 10 % of it."""
        plain = cls(total_ml, ablated_ml, viable_ml)
        if ablated_ml is not None and viable_ml is None:
            return cls(total_ml, ablated_ml, max(0.0, total_ml - ablated_ml), "viable")
        if viable_ml is not None and ablated_ml is None:
            return cls(total_ml, max(0.0, total_ml - viable_ml), viable_ml, "ablated")
        if ablated_ml is None or viable_ml is None or abs(total_ml - ablated_ml - viable_ml) <= ADD_UP_PCT / 100 * total_ml:
            return plain
        text = f"Ablated and viable part add up to {ablated_ml + viable_ml:.3g} ml, the whole is {total_ml:.3g} ml."
        return cls(total_ml, ablated_ml, viable_ml, None, False, (Finding("parts_do_not_add", text, "warning"),))

    @classmethod
    def before_ablation(cls, total_ml: float) -> ViableVolumes:
        """A node that was never treated: all of it is viable."""
        return cls(total_ml, 0.0, total_ml, "viable")

    @classmethod
    def disappeared(cls) -> ViableVolumes:
        """A node that was looked for and is not there any more: the only way to a volume of 0."""
        return cls(0.0, 0.0, 0.0, None, True)

    def of(self, part: Part) -> float | None:
        """Volume of ``total``, ``ablated`` or ``viable`` in ml."""
        return getattr(self, f"{part}_ml")

    @property
    def ablated_share_pct(self) -> float | None:
        """Ablated over total volume (non-perfused volume ratio); None where not assessed or gone."""
        return None if self.ablated_ml is None or self.total_ml == 0 else 100.0 * self.ablated_ml / self.total_ml

    @property
    def viable_share_pct(self) -> float | None:
        """Viable over total volume (residual vital ratio); None where not assessed or gone."""
        return None if self.viable_ml is None or self.total_ml == 0 else 100.0 * self.viable_ml / self.total_ml


@dataclass(frozen=True, slots=True)
class ViableRates:
    """Reduction rate of each part against one baseline; None where it does not exist, with the
    finding ``part_not_assessed`` or ``no_baseline_part`` that says why."""

    total: VRR
    ablated: VRR | None
    viable: VRR | None
    findings: tuple[Finding, ...] = ()


def viable_rates(baseline: ViableVolumes, followup: ViableVolumes, cv_pct: float | None = None) -> ViableRates:
    """VRR of total, ablated and viable volume, each against the same part at baseline.

    Against a baseline from before the ablation the ablated part has no rate (it was 0); against the
    zone of day 0 it has one. ``cv_pct`` as in ``volume_reduction_rate``. Refuses
    ``baseline_not_positive`` where the node was gone at baseline.
    """
    findings = list(dict.fromkeys((*baseline.findings, *followup.findings)))
    rates: dict[str, VRR | None] = {}
    for part in PARTS:
        before, after = baseline.of(part), followup.of(part)
        if part == "total" or (before is not None and before > 0 and after is not None):
            rates[part] = volume_reduction_rate(before, after, cv_pct)
            continue
        rates[part] = None
        if before is None or after is None:
            when = "at baseline" if before is None else "at follow-up"
            findings.append(Finding("part_not_assessed", f"The {part} part was not assessed {when}; it has no reduction rate.", "info"))
        else:
            findings.append(Finding("no_baseline_part", f"There was no {part} part at baseline; it has no reduction rate.", "info"))
    return ViableRates(rates["total"], rates["ablated"], rates["viable"], tuple(findings))
