"""How much of a plan survives needles that land elsewhere, other conductivities and another threshold."""

from planning.robustness.job import Item, Outcome, RobustnessJob, run_robustness
from planning.robustness.sampling import Spread
from planning.robustness.summary import Robustness

__all__ = ["Item", "Outcome", "Robustness", "RobustnessJob", "Spread", "run_robustness"]
