"""``robustness``: how much of a plan survives needles, tissue and threshold that are a little off."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from app.cli.output import add_command, add_json, emit, progress_context
from planning.errors import PlanRefused


def register(commands) -> None:
    """Add the command."""
    robustness = add_command(
        commands, "robustness", help="coverage of a nodus.plan/1 file under misplaced needles, other conductivities and thresholds",
        description="Solve the plan many times with tips, angles, conductivities and threshold drawn uniformly around it, and report what cover remains. "
        "One seed gives the same figures on any number of cores or on a Dask cluster.",
    )  # fmt: skip
    robustness.add_argument("plan", type=Path, metavar="PLAN.json", help="plan file, nodus.plan/1")
    robustness.add_argument("--samples", type=int, default=200, metavar="N", help="number of samples (200)")
    robustness.add_argument("--seed", type=int, default=0, metavar="S", help="seed of the draws (0)")
    robustness.add_argument("--tip-mm", type=float, metavar="MM", help="radius of the ball in which a tip may lie (2; 3 for a plan marked as schematic, from ultrasound alone)")
    robustness.add_argument("--angle-deg", type=float, default=5.0, metavar="DEG", help="half angle of the cone in which an axis may lie (5)")
    robustness.add_argument("--sigma-pct", type=float, default=50.0, metavar="PCT", help="spread of every tissue's conductivity (50)")
    robustness.add_argument("--threshold", default="400,800", metavar="LOW,HIGH", help="interval of the lethal threshold in V/cm (400,800)")
    robustness.add_argument("--spacing-mm", type=float, default=1.0, metavar="MM", help="grid of the samples (1.0)")
    robustness.add_argument("--scheduler", metavar="ADDRESS", help="work on the Dask cluster whose scheduler listens there, as tcp://host:8786 or tls://host:8786")
    robustness.add_argument("--processes", type=int, metavar="N", help="processes on this machine (one a core)")
    robustness.add_argument("--out", type=Path, metavar="DIR", help="also write robustness.json and the probability maps (NIfTI) there")
    add_json(robustness)
    robustness.set_defaults(work=run_robustness)


def run_robustness(args) -> int:
    """Sample, optionally write maps and samples."""
    from app.usecases.files import ensure_folder
    from app.usecases.optimise import check_seed
    from app.usecases.plan import load_plan
    from app.usecases.robustness import assess_robustness, tip_spread_mm, write_robustness
    from planning.robustness import Spread

    if args.processes is not None and not 1 <= args.processes <= 1024:
        raise PlanRefused("The number of processes must be from 1 to 1024.", code="bad_samples")
    spread = Spread(*(() if args.tip_mm is None else (args.tip_mm,)), angle_deg=args.angle_deg, sigma_pct=args.sigma_pct, threshold_v_per_cm=_interval(args.threshold))
    seed = check_seed(args.seed)
    if args.out is not None:
        ensure_folder(args.out)  # before minutes of solving
    plan = load_plan(args.plan)
    if args.tip_mm is None:
        spread = replace(spread, tip_mm=tip_spread_mm(plan))
    result = assess_robustness(plan, spread, progress_context(), samples=args.samples, seed=seed, spacing_mm=args.spacing_mm, scheduler=args.scheduler, processes=args.processes)
    if args.out is not None:
        write_robustness(result, args.out)
    emit(result.to_dict(), as_json=args.json, human=_human(result.to_dict()))
    return 0


def _interval(text: str) -> tuple[float, float]:
    try:
        low, high = (float(v) for v in text.split(","))
    except ValueError:
        raise PlanRefused(f"The thresholds {text!r} are not two numbers with a comma between.", code="bad_spread", hint="Write them as 400,800.") from None
    return low, high


def _human(answer: dict) -> str:
    cover, spread = answer["coverage_pct"], answer["spread"]
    lines = [f"{answer['samples']} samples, seed {answer['seed']}: tip ± {spread['tip_mm']:g} mm, angle ± {spread['angle_deg']:g}°, conductivity ± {spread['sigma_pct']:g} %, threshold {spread['threshold_v_per_cm'][0]:g} to {spread['threshold_v_per_cm'][1]:g} V/cm"]
    for kind, what in (("chosen", f"{answer['lethal_v_per_cm']:g} V/cm"), ("compared", f"{answer['compared_v_per_cm']:g} V/cm"), ("drawn", "the drawn threshold")):
        c = cover[kind]
        low, high = c["p5_interval_95"]
        bounds = f"{'0.0' if low is None else format(low, '.1f')} to {'100.0' if high is None else format(high, '.1f')}"
        plan = f", planned {c['planned']:.1f} %" if "planned" in c else ""
        lines.append(f"coverage at {what}: 5th percentile {c['p5']:.1f} % (95 % interval {bounds}), median {c['p50']:.1f} %, least {c['least']:.1f} %{plan}")
    full = answer["full_cover"]
    lines.append(f"whole target covered in {100 * full['share']:.0f} % of samples ({100 * full['interval_95'][0]:.0f} to {100 * full['interval_95'][1]:.0f})")
    if answer["worst_needle"] is None:
        lines.append("no single needle, put where it was planned, would mend the worst samples")
    else:
        row = next(n for n in answer["needles"] if n["id"] == answer["worst_needle"])
        lines.append(f"worst needle {row['id']}: placed as planned it alone would give the worst samples {row['gain_if_placed_pct']:+.1f} % of cover ({row['gain_if_placed_compared_pct']:+.1f} % at {answer['compared_v_per_cm']:g} V/cm)")
    lines += [f"{w['message']} [{w['code']}]" for w in answer["warnings"]]
    return "\n".join(lines)
