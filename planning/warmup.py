"""Compile every kernel once, on tiny arrays, so that no click waits for it."""

from __future__ import annotations

import numpy as np

from planning.assessment import assess_plan
from planning.electrode import Electrode
from planning.field.grid import FieldGrid
from planning.field.problem import FieldProblem, ProblemParts
from planning.field.solve import solve_plan
from planning.heat.damage import DamageSet
from planning.heat.properties import HeatData, HeatSettings, ThermalTissue, ThermalValue
from planning.heat.train import solve_heat
from planning.optimise.proposals import Effort, optimise_plan
from planning.plan import Domain, Region, TreatmentPlan
from planning.pulse import PulsePair
from planning.shapes import Sphere
from planning.thermal.freezing import FreezeSolver, FreezeTissue, ProbeWall
from planning.tissue import Conductivity


def _probe() -> FieldProblem:
    parts = ProblemParts.on(FieldGrid.around((0, 0, 0), (16, 16, 16), 2.0), 0, [Conductivity("constant", 1.0).law_row()])
    parts.add_needles(np.array([[0.1, 0.2, -4.0, 0.0, 0.0, 1.0, 1.0, 6.0]]))
    return parts.finish()


def warm_up() -> None:
    """Solve and assess a 16-cell plan that passes through every kernel (seconds when compiled
    anew, a third of a second from the cache)."""
    law = Conductivity("ramp", 0.1, 0.3, 300.0, 700.0)
    needles = tuple(Electrode(f"E{n}", (x, y, -3.0), (x, y, 20.0), 6.0, 1.0) for n, (x, y) in enumerate([(-4, -2), (4, -2), (0, 4)]))
    plan = TreatmentPlan(
        Domain((0, 0, 0), (16, 16, 16), 1.0), law, needles, (PulsePair("E0", "E1", 400.0), PulsePair("E1", "E2", 400.0)),
        (Region("target", "target", Sphere((0, 0, 0), 5.0), Conductivity("constant", 0.2)), Region("risk", "at_risk", Sphere((0, 0, 5), 3.0)),
         Region("air", "tissue", Sphere((0, -7, 0), 3.0), Conductivity("constant", 0.0))),
        (100.0, 300.0), 300.0, 1.0)
    solution = solve_plan(plan, tolerance=1e-4, keep_pair_fields=True)
    tissue = ThermalTissue("default", *(ThermalValue(v, "none", 0.0, True) for v in (0.5, 1000.0, 3600.0, 0.001, 0.0, 0.01)), "none")
    data = HeatData({"default": tissue}, {"none": DamageSet("none", 1.0, 1e5, "none", "none")}, HeatSettings(pause_s=0.0, cooling_s=0.0))
    assess_plan(plan, solution, heat=solve_heat(plan, solution, data, segment_s=200.0, step_s=100.0))
    ice = FreezeSolver((8, 8, 8), 2.0, FreezeTissue(2.0, 0.5, 2e6, 3.6e6, 3e8), walls=(-20.0, None, None, None, None, None), problem=_probe(), tables=np.array([[1.0, 1e5]]))
    ice.run(20.0, {0: ProbeWall(-100.0, 0.1)}, source_w_per_m3=np.full((8, 8, 8), 1e3), limit_c=90.0)
    optimise_plan(plan, effort=Effort(layouts=8, generations=1, shortlist=1, solves=1, rounds=0))
