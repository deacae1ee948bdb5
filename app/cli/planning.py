"""``plan``: solve and assess a plan file."""

from __future__ import annotations

from pathlib import Path

from app.cli.output import add_command, add_json, emit, progress_context


def register(commands) -> None:
    """Add the planning commands."""
    plan = add_command(commands, "plan", help="solve and assess a nodus.plan/1 file", description="Solve the field of a plan and judge it. A constraint never suppresses the answer.")
    plan.add_argument("plan", type=Path, metavar="PLAN.json", help="plan file, nodus.plan/1")
    plan.add_argument("--out", type=Path, metavar="DIR", help="also write field_v_per_cm.nii.gz, ablation.nii.gz and plan.json there")
    plan.add_argument("--sheet", type=Path, metavar="OUT.pdf", help="also write the plan sheet; a refused plan has none, and the answer's \"sheet\" says why")
    plan.add_argument("--no-heat", action="store_true", help="leave out temperature and thermal damage; their fields are then null")
    add_json(plan)
    plan.set_defaults(work=run_plan)


def run_plan(args) -> int:
    """Solve, assess, optionally write the field."""
    from app.usecases.files import ensure_folder, ensure_place
    from app.usecases.plan import load_plan, solve_and_assess
    from app.usecases.plan_files import write_plan_folder

    if args.out is not None:
        ensure_folder(args.out)  # before minutes of solving
    if args.sheet is not None:
        ensure_place(args.sheet)
    plan = load_plan(args.plan)
    context = progress_context()
    solution, assessment = solve_and_assess(plan, context, heat=not args.no_heat)
    answer = assessment.to_dict()
    if args.out is not None:
        write_plan_folder(plan, solution, assessment, args.out)
    sheet_line = []
    if args.sheet is not None:
        answer = answer | {"sheet": _sheet(plan, solution, assessment, args.sheet)}
        told = answer["sheet"]
        sheet_line = [f"plan sheet {told['path']}" if told["path"] else f"no plan sheet: {told['message']} [{told['code']}]"]
    lines = [f"{p['anode']} to {p['cathode']}: {p['voltage_v']:.0f} V over {p['distance_mm']:.1f} mm ({p['v_per_cm'] or 0:.0f} V/cm), {p['current_a']:.1f} A" for p in answer["pairs"]]
    for target in answer["targets"]:
        cover = "cover not known" if target["coverage_pct"] is None else f"{target['coverage_pct']:.1f} % of {target['volume_ml']:.2f} ml covered"
        least = "not known" if target["minimal_margin_mm"] is None else f"{target['minimal_margin_mm']:.1f} mm"
        lines.append(f"{target['name']}: {cover}, smallest margin {least}")
    lines.append(f"ablation {answer['ablation_ml']:.2f} ml at {plan.lethal_v_per_cm:g} V/cm")
    if (heat := answer["heat"]) is not None:
        lines.append(f"hottest tissue {heat['peak_c']:.1f} °C in {heat['where']['tissue']}; thermal damage {heat['thermal_damage_ml']:.2f} ml (kinetics: {heat['damage_set']}), {heat['cem43_240_ml']:.2f} ml by 240 min at 43 °C")
        lines += [f"{p['anode']} to {p['cathode']}: {p['current_end_of_train_a']:.1f} A at the end of the train, {p['energy_j']:.0f} J" for p in heat["pairs"]]
    lines += [f"{c['level']}: {c['message']} [{c['code']}]" for c in answer["constraints"]] + [f"! {w['message']} [{w['code']}]" for w in answer["warnings"]]
    emit(answer, as_json=args.json, human="\n".join(lines + sheet_line))
    return 0


def _sheet(plan, solution, assessment, path: Path) -> dict:
    """Write the sheet; where the plan is refused, what stands against it: the answer itself is never held back."""
    from app.usecases.plan_sheet import SheetRefused, sheet_of_plan, write_sheet

    try:
        sheet = sheet_of_plan(plan, solution, assessment)
    except SheetRefused as refusal:
        return {"path": None, "sha256": None, "pages": None, "code": refusal.code, "message": refusal.message}
    return {**write_sheet(sheet, path), "code": None, "message": None}
