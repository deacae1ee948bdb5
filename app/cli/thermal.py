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
    thermal.add_argument("--spacing-mm", type=float, default=1.0, metavar="MM", help="cubes of the bioheat (default 1)")
    thermal.add_argument("--bioheat", action="store_true", help="also solve freezing and heating in tissue (minutes)")
    add_json(thermal)
    thermal.set_defaults(work=run_thermal)
    _register_margin(commands)


def run_thermal(args) -> int:
    """Join and assess the zones, optionally solve the bioheat and write it all."""
    from app.usecases.files import ensure_folder
    from app.usecases.thermal import load_thermal_plan, solve_thermal, write_thermal_folder

    if args.out is not None:
        ensure_folder(args.out)
    plan = load_thermal_plan(args.plan)
    result = solve_thermal(plan, progress_context(), bioheat=args.bioheat, spacing_mm=args.spacing_mm)
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
    if (heat := answer["bioheat"]) is not None:
        for name, zone in heat["zones"].items():
            cover = ", ".join(f"{row['name']} {row['coverage_pct']:.1f} %" for row in zone["lesions"])
            lines.append(f"bioheat {name}: {zone['zone_ml']:.1f} ml" + (f" ({cover})" if cover else ""))
    lines += [f"{c['level']}: {c['message']} [{c['code']}]" for c in answer["constraints"]]
    return lines + [f"! {w['message']} [{w['code']}]" for w in answer["warnings"]]


MARGIN_DESCRIPTION = (
    "The margin that an ablation reached: the lesion outlined before it, brought into the picture after it, against the zone outlined there. Signed distances in mm, positive "
    "where the zone reaches beyond the lesion. The answer: lesions (one a label: minimal_margin_mm, margin_mm_percentiles of 5 and 50 %% of the surface, surface_below_pct for 0, 5 and "
    "10 mm, margin_less_residual_mm, without_capsule: the same without the surface near the liver's capsule), registration (method, residual_mm, matrix), capsule_mm, warnings."
)


def _register_margin(commands) -> None:
    margin = add_command(commands, "margin", help="margin between a lesion before and the zone after an ablation", description=MARGIN_DESCRIPTION)
    margin.add_argument("--lesion", type=Path, required=True, metavar="PRE_MASK", help="mask of the lesion, drawn before the ablation")
    margin.add_argument("--zone", type=Path, required=True, metavar="POST_MASK", help="mask of the ablation zone, drawn after it; all its labels count together")
    margin.add_argument("--pre", type=Path, metavar="IMAGE", help="picture before, to be registered with --post")
    margin.add_argument("--post", type=Path, metavar="IMAGE", help="picture after")
    margin.add_argument("--landmarks", type=Path, metavar="FILE", help="register --pre (fixed) and --post (moving) by these, as in nodus register")
    margin.add_argument("--transform", type=Path, metavar="FILE", help="instead of pictures: what nodus register PRE POST --json printed")
    margin.add_argument("--liver", type=Path, metavar="PRE_MASK", help="the liver before: its surface is the capsule, and the part that must fit in a registration")
    margin.add_argument("--capsule-mm", type=float, default=5.0, metavar="MM", help="surface nearer to the capsule is left out of the second set of figures (default 5)")
    margin.add_argument("--label", type=int, metavar="N", help="only this label of --lesion")
    margin.add_argument("--zone-label", type=int, metavar="N", help="only this label of --zone")
    add_json(margin)
    margin.set_defaults(work=run_margin)


def run_margin(args) -> int:
    """Register where asked, measure and print."""
    from app.usecases.ablation_margin import margin_files

    found = margin_files(args.lesion, args.zone, progress_context(), pre=args.pre, post=args.post, transform=args.transform, landmarks=args.landmarks, liver_path=args.liver,
                         label=args.label, zone_label=args.zone_label, capsule_mm=args.capsule_mm)
    answer = found.to_dict()
    lines = []
    for row in answer["lesions"]:
        below = ", ".join(f"{pct:.0f} % below {mm} mm" for mm, pct in row["surface_below_pct"].items())
        lines.append(f"{row['name'] or 'label ' + str(row['label'])}: smallest margin {row['minimal_margin_mm']:.1f} mm, half of the surface below {row['margin_mm_percentiles']['50']:.1f} mm; {below}")
        if (away := row["without_capsule"]) is not None and away["minimal_margin_mm"] is not None:
            lines.append(f"  without the surface within {answer['capsule_mm']:g} mm of the capsule: smallest {away['minimal_margin_mm']:.1f} mm")
    error = answer["registration"]["residual_mm"]
    lines.append(f"registration: {answer['registration']['method']}, error " + ("not known" if error is None else f"{error:.1f} mm"))
    emit(answer, as_json=args.json, human="\n".join(lines + [f"! {w['message']}" for w in answer["warnings"]]))
    return 0
