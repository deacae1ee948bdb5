"""What the needles do: devices, pulses and tissues as values, the field, the zone, the margin."""

from planning.assessment import PlanAssessment, assess_plan
from planning.electrode import Electrode, pair_distance_mm
from planning.errors import FieldNotConverged, PlanRefused
from planning.field.solution import FieldSolution
from planning.field.solve import solve_plan
from planning.plan import Domain, Region, TreatmentPlan
from planning.pulse import PulsePair
from planning.safety import Constraint, DeviceLimits
from planning.tissue import Conductivity, preset_from_dict

__all__ = [
    "Conductivity", "Constraint", "DeviceLimits", "Domain", "Electrode", "FieldNotConverged", "FieldSolution",
    "PlanAssessment", "PlanRefused", "PulsePair", "Region", "TreatmentPlan", "assess_plan", "pair_distance_mm",
    "preset_from_dict", "solve_plan",
]
