"""``thermal``: zones of a thermal plan; ``margin``: the margin that an ablation really reached."""

from __future__ import annotations

from pathlib import Path

from app.cli.output import add_command, add_json, emit, progress_context

DESCRIPTION = (
    "Zones of radiofrequency, or of freezing and heating, in the liver, from a nodus.thermal/1 file. Chart zones are a prior from normal animal liver and do not "
    "predict volumes in patients. The answer: applications (with chart row, source, spread, assumed), zone_ml, zone_ml_spread, collateral_ml, rounds (zone_ml, cumulative_ml, "
    "cumulative_liver_fraction, lesions), lesions (volume_ml, coverage_pct, coverage_pct_spread, minimal_margin_mm, margin_mm_percentiles, surface_below_pct, without_capsule), at_risk "
    "(overlap_ml, zone_distance_mm: negative where a zone reaches in, needle_distance_mm), liver (volume_ml, ablated_ml, ablated_fraction), constraints, bioheat, warnings. "
    "A constraint never suppresses the answer."
)


def register(commands) -> None:
    """Add the commands."""
    thermal = add_command(commands, "thermal", help="zones of a nodus.thermal/1 plan (RFA, cryo + RF)", description=DESCRIPTION)
    thermal.add_argument("plan", type=Path, metavar="PLAN.json", help="plan file, nodus.thermal/1")
    thermal.add_argument("--out", type=Path, metavar="DIR", help="also write zones as label maps and thermal.json there")
    thermal.add_argument("--bioheat", action="store_true", help="also solve freezing and heating in tissue (minutes)")
    add_json(thermal)
    thermal.set_defaults(work=run_thermal)


def run_thermal(args) -> int:
    """Join and assess the zones, optionally solve the bioheat and write it all."""
    from app.usecases.files import ensure_folder
    from app.usecases.thermal import load_thermal_plan, solve_thermal, write_thermal_folder

    if args.out is not None:
        ensure_folder(args.out)
    plan = load_thermal_plan(args.plan)
    result = solve_thermal(plan, progress_context(), bioheat=args.bioheat)
    answer = result.answer()
    if args.out is not None:
        write_thermal_folder(result, args.out)
    emit(answer, as_json=args.json, human="\n".join(_lines(answer)))
    return 0


def _lines(answer: dict) -> list[str]:
    lines = []
    for row in answer["rounds"]:
        lines.append(f"round {row['round']}: {row['applications']} applications, chart zones {row['zone_ml']:.1f} ml, with earlier rounds {row['cumulative_ml']:.1f} ml")
    for row in answer["lesions"]:
        least = "unknown" if row["minimal_margin_mm"] is None else f"{row['minimal_margin_mm']:.1f} mm"
        lines.append(f"{row['name']}: {row['coverage_pct']:.1f} % of {row['volume_ml']:.2f} ml inside the chart zones, smallest margin {least}")
    if answer["liver"]:
        lines.append(f"{100 * answer['liver']['ablated_fraction']:.1f} % of {answer['liver']['volume_ml']:.0f} ml liver")
    lines += [f"{c['level']}: {c['message']} [{c['code']}]" for c in answer["constraints"]]
    return lines + [f"! {w['message']} [{w['code']}]" for w in answer["warnings"]]
