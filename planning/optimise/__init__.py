"""Placing the needles: hard limits first, then cover, structures at risk, healthy tissue, pairs and current."""

from planning.optimise.limits import Breach, PlanLimits, limits_from_dict
from planning.optimise.proposals import Effort, Optimisation, Proposal, optimise_plan

__all__ = ["Breach", "Effort", "Optimisation", "PlanLimits", "Proposal", "limits_from_dict", "optimise_plan"]
