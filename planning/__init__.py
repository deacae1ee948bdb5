"""What the needles do: devices, pulses and tissues as values, the field, the zone, the margin."""

from planning.electrode import Electrode, pair_distance_mm
from planning.errors import FieldNotConverged, PlanRefused
from planning.field.solution import FieldSolution
from planning.field.solve import solve_plan
from planning.plan import Domain, Region, TreatmentPlan
from planning.pulse import PulsePair
from planning.tissue import Conductivity, preset_from_dict

__all__ = [
    "Conductivity", "Domain", "Electrode", "FieldNotConverged", "FieldSolution", "PlanRefused", "PulsePair",
    "Region", "TreatmentPlan", "pair_distance_mm", "preset_from_dict", "solve_plan",
]
