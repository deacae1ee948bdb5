"""The work of a robustness run: items that can be done anywhere in any order, and their gathering."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace

import numba
import numpy as np

from planning.errors import FieldNotConverged, PlanRefused
from planning.field.grid import FieldGrid
from planning.field.solve import solve_plan
from planning.kernels import sampling as ks
from planning.plan import Domain, Region, TreatmentPlan
from planning.robustness.sampling import COMPARED_V_PER_CM, REACH_MM, TOLERANCE, Draw, Spread, draw, sampled_plan, tissues_of
from planning.robustness.summary import WORST_LOOKED_AT, Robustness, summarise
from planning.shapes import MaskShape
from planning.threads import ONE_AT_A_TIME
from planning.tissue_map import RegionBits, clear, clear_cells, needle_bits, own_field, sample_bits, tissue_rows
from volumetry.errors import Cancelled

SPACING_MM = 1.0
SAMPLES_MOST = 100_000
PLANNED, WHOLE_BOX = -1, -2


@dataclass(frozen=True, slots=True)
class Item:
    """One solve: the sample (``PLANNED``: the plan as it is; ``WHOLE_BOX``: that in its uncut box), or that sample with needle ``placed`` where it was planned."""

    index: int
    placed: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What came of an item. ``code`` is None where it was solved; volumes are ml by target, ``covered_ml`` at the chosen
    threshold, at 700 V/cm and at the drawn one; ``zone`` and ``zone_drawn`` are the voxels at or above the chosen and the
    drawn threshold, packed 8 to a byte."""

    item: Item
    code: str | None = None
    message: str | None = None
    volume_ml: tuple[float, ...] = ()
    covered_ml: tuple[tuple[float, float, float], ...] = ()
    current_most_a: float | None = None
    zone: bytes = b""
    zone_drawn: bytes = b""


Run = Callable[[Sequence[Item]], Iterable[Outcome]]


@dataclass(frozen=True, slots=True, eq=False)
class RobustnessJob:
    """All that an item needs, small enough to be sent: the plan on the run's own grid without names of regions and with its
    masks cut to what they hold, and the targets' sub-points. ``names``: the targets', which stay here."""

    plan: TreatmentPlan
    spread: Spread
    samples: int
    seed: int
    grid: FieldGrid
    targets: tuple[RegionBits, ...]
    names: tuple[str, ...] = ()
    whole: Domain | None = None  # the plan's own box where the samples' is cut

    @classmethod
    def of(cls, plan: TreatmentPlan, spread: Spread | None = None, *, samples: int = 200, seed: int = 0, spacing_mm: float = SPACING_MM) -> RobustnessJob:
        """Prepare ``samples`` draws of a seed. Refuses ``bad_samples``, ``no_target``, ``target_empty`` and as a plan does."""
        spread = spread or Spread()
        if not (math.isfinite(spacing_mm) and spacing_mm > 0):
            raise PlanRefused("The grid of the samples must be a number of millimetres above 0.", code="bad_samples")
        if isinstance(samples, bool) or not isinstance(samples, int) or not 1 <= samples <= SAMPLES_MOST:
            raise PlanRefused(f"The number of samples must be a whole number from 1 to {SAMPLES_MOST}.", code="bad_samples")
        if not any(r.role == "target" for r in plan.regions):
            raise PlanRefused("The plan has no target region: there is no coverage to be sure of.", code="no_target", hint="Add the node as a target.")
        cut = replace(plan, domain=cut_domain(plan, spread, spacing_mm), regions=tuple(_bare(r, n) for n, r in enumerate(plan.regions)),
                      source=None if plan.source is None else replace(plan.source, details_json="{}"))
        grid = FieldGrid.around(cut.domain.center_mm, cut.domain.size_mm, cut.domain.spacing_mm)
        targets = _target_bits(cut, grid)
        for region, bits in zip((r for r in plan.regions if r.role == "target"), targets, strict=True):
            if region.conductivity is not None and region.conductivity.is_air:
                raise PlanRefused(f"Target {region.name!r} is air and holds no tissue.", code="target_empty")
            if ks.count_bits(bits.bits) == 0:
                raise PlanRefused(f"Target {region.name!r} holds no tissue: later regions cover it.", code="target_empty")
        return cls(cut, spread, samples, seed, grid, targets, tuple(r.name for r in plan.regions if r.role == "target"),
                   None if cut.domain.size_mm == plan.domain.size_mm else replace(plan.domain, spacing_mm=spacing_mm))

    def work(self) -> Callable[[Item], Outcome]:
        """``do`` as it can be sent to other processes and machines."""
        return replace(self, names=()).do

    def draw(self, index: int) -> Draw:
        """A sample's draw."""
        return draw(self.spread, self.seed, index, len(self.plan.electrodes), len(tissues_of(self.plan)))

    def plan_of(self, item: Item) -> TreatmentPlan:
        """The plan that an item solves. Refuses as a plan does."""
        return self.plan if item.index < 0 else sampled_plan(self.plan, self.draw(item.index), item.placed)

    def do(self, item: Item) -> Outcome:
        """Solve one item on one thread: a process solves one field at a time and two processes are faster than two threads; and
        on one thread the figures are the same to the bit wherever the item is worked out."""
        try:
            if item.index == WHOLE_BOX:
                return replace(self._uncut().do(Item(PLANNED)), item=item, zone=b"", zone_drawn=b"")
            plan = self.plan_of(item)
            with ONE_AT_A_TIME, _one_thread():
                return self._measure(item, plan, solve_plan(plan, tolerance=TOLERANCE))
        except (PlanRefused, FieldNotConverged) as refusal:
            return Outcome(item, refusal.code, refusal.message)

    def _uncut(self) -> RobustnessJob:
        plan = replace(self.plan, domain=self.whole)
        grid = FieldGrid.around(plan.domain.center_mm, plan.domain.size_mm, plan.domain.spacing_mm)
        return replace(self, plan=plan, grid=grid, targets=_target_bits(plan, grid), whole=None)

    def _measure(self, item: Item, plan: TreatmentPlan, solution) -> Outcome:
        drawn = self.plan.lethal_v_per_cm if item.index == PLANNED else self.draw(item.index).threshold_v_per_cm
        thresholds = np.array([plan.lethal_v_per_cm, COMPARED_V_PER_CM, drawn], np.float64)
        e, taken, point_ml = solution.e_max_v_per_cm, needle_bits(plan, self.grid), self.grid.spacing_mm**3 / ks.POINTS / 1000.0
        volumes, covered = [], []
        rows = [row for row, r in zip(tissue_rows(plan), plan.regions, strict=True) if r.role == "target"]
        for target, row in zip(self.targets, rows, strict=True):
            mine = RegionBits(target.box, target.bits.copy())
            clear_cells(mine, self.grid, *taken)
            counts = np.zeros((mine.bits.shape[0], thresholds.size), np.int64)
            own, there = own_field(e, solution.label, mine, row)
            ks.count_above(own, there.bits, *there.start, thresholds, counts)
            volumes.append(ks.count_bits(mine.bits) * point_ml)
            covered.append(tuple(float(c) * point_ml for c in counts.sum(axis=0)))
        zones = (np.packbits(e >= t).tobytes() if item.placed is None else b"" for t in (plan.lethal_v_per_cm, drawn))
        return Outcome(item, None, None, tuple(volumes), tuple(covered), max(abs(p.current_a) for p in solution.pairs), *zones)


def cut_domain(plan: TreatmentPlan, spread: Spread, spacing_mm: float) -> Domain:
    """The plan's box on the run's grid, cut to 25 mm around the targets and all that the needles' metal can reach.

    One box holds for all samples, so that fields can be laid over one another. Cuts lie on whole cells of the whole box's grid.
    """
    points = [np.asarray(c) for r in plan.regions if r.role == "target" for c in r.shape.bounds_mm()]
    for e in plan.electrodes:
        for point, reach in zip((np.asarray(e.tip_mm), e.exposed_end_mm), spread.reach_mm(e), strict=True):
            points += [point - reach, point + reach]
    whole = FieldGrid.around(plan.domain.center_mm, plan.domain.size_mm, spacing_mm)
    low, high = [], []
    for axis in range(3):
        values, zero = [p[axis] for p in points], whole.origin_mm[axis] - 0.5 * spacing_mm
        a = zero + spacing_mm * math.floor((min(values) - REACH_MM - zero) / spacing_mm)
        b = zero + spacing_mm * math.ceil((max(values) + REACH_MM - zero) / spacing_mm)
        low.append(max(float(plan.domain.low_mm[axis]), a))
        high.append(min(float(plan.domain.high_mm[axis]), b))
    if np.allclose(low, plan.domain.low_mm) and np.allclose(high, plan.domain.high_mm):
        return replace(plan.domain, spacing_mm=spacing_mm)
    return Domain(tuple(0.5 * np.add(low, high)), tuple(np.subtract(high, low)), spacing_mm)


def _bare(region: Region, n: int) -> Region:
    """The region without its name and, if it is a mask, without the empty rest of its picture: nobody else needs to be sent them."""
    shape = region.shape
    if isinstance(shape, MaskShape):
        box = shape.mask.bounding_slices()
        mask = replace(shape.mask, array=np.ascontiguousarray(shape.mask.array[box]), geometry=shape.mask.geometry.cropped(box), name=None, findings=(), origin=None)
        shape = MaskShape(mask)
    return replace(region, name=f"region {n + 1}", shape=shape)


def _target_bits(plan: TreatmentPlan, grid: FieldGrid) -> tuple[RegionBits, ...]:
    """Sub-points of each target, less those of later regions; needles still in."""
    out: list[RegionBits] = []
    for region in plan.regions:
        late = sample_bits(region, grid)
        if late is None:
            continue
        for early in out:
            clear(early, late)
        if region.role == "target":
            out.append(late)
    return tuple(out)


@contextmanager
def _one_thread() -> Iterator[None]:
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        yield
    finally:
        numba.set_num_threads(before)


def run_robustness(job: RobustnessJob, run: Run | None = None, *, progress: Callable[[str, float], None] | None = None,
                   should_cancel: Callable[[], bool] | None = None) -> Robustness:
    """Do all items of a job and sum them up.

    ``run(items)`` does items wherever it likes and gives outcomes in any order (``job.do`` for each; default: here, one by
    one). First the plan and its samples; then, for the worst samples, each needle put where it was planned. ``progress(text, 0..1)``.
    Raises the plan's own refusal or ``FieldNotConverged`` where the plan as it is cannot be solved, ``Cancelled``.
    """
    run = run or (lambda items: map(job.do, items))
    needles = len(job.plan.electrodes)
    first = [Item(PLANNED)] if job.whole is None else [Item(PLANNED), Item(WHOLE_BOX)]
    total, done = len(first) + job.samples + min(WORST_LOOKED_AT, job.samples) * needles, 0

    def gather(items: list[Item], text: str) -> Iterator[Outcome]:
        nonlocal done
        with closing(iter_of(run(items))) as outcomes:
            for outcome in outcomes:
                if should_cancel is not None and should_cancel():
                    raise Cancelled
                done += 1
                if progress is not None:
                    progress(text.format(min(done, job.samples), job.samples), min(done / total, 0.999))
                yield outcome

    planned, whole, samples = None, None, [None] * job.samples
    counts = np.zeros((2, job.grid.cells), np.uint32)
    for outcome in gather([*first, *(Item(n) for n in range(job.samples))], "Sample {} of {}"):
        if outcome.item.index == WHOLE_BOX:
            whole = outcome
            continue
        if outcome.item.index == PLANNED:
            if outcome.code is not None:
                raise (FieldNotConverged if outcome.code in ("field_not_converged", "no_current_path") else PlanRefused)(outcome.message, code=outcome.code)
            planned = outcome
            continue
        if outcome.code is None:
            for row, zone in zip(counts, (outcome.zone, outcome.zone_drawn), strict=True):
                row += np.unpackbits(np.frombuffer(zone, np.uint8), count=job.grid.cells)
        samples[outcome.item.index] = replace(outcome, zone=b"", zone_drawn=b"")
    put_right: dict[tuple[int, int], Outcome] = {}
    for outcome in gather([Item(o.item.index, n) for o in _worst(samples) for n in range(needles)], "Needles of the worst samples put right"):
        put_right[outcome.item.index, outcome.item.placed] = outcome
    result = summarise(job, planned, whole, samples, put_right, counts.reshape(2, *job.grid.shape))
    if progress is not None:
        progress("Robustness known", 1.0)
    return result


def iter_of(outcomes: Iterable[Outcome]) -> Iterator[Outcome]:
    """A generator over them, so that leaving early closes what works for it."""
    yield from outcomes


def _worst(samples: list[Outcome]) -> list[Outcome]:
    """Solved samples with the least covered at the chosen threshold, then at 700 V/cm, then the first."""
    solved = [o for o in samples if o.code is None]

    def covered(o: Outcome, which: int) -> float:
        return sum(c[which] for c in o.covered_ml) / max(sum(o.volume_ml), 1e-12)

    return sorted(solved, key=lambda o: (covered(o, 0), covered(o, 1), o.item.index))[:WORST_LOOKED_AT]
