"""``study save-plan``, ``add-delivery``, ``plans``, ``compare-plan``: what was planned, how needles lay, what was delivered."""

from __future__ import annotations

from pathlib import Path

from app.cli.output import add_command, emit, progress_context
from app.cli.signing_in import need
from app.study.model import SESSIONS
from app.study.treatment import check_treats


def register(verbs) -> None:
    """Add the verbs to ``study``."""
    save = add_command(verbs, "save-plan", help="solve a plan file and keep it in the study as a run that is written once", description="Solve a plan file and keep it in the study as a run that is written once. The answer names the run, its kind (planned, or actual: needles as they lie), node, session, predecessor, and what refuses approval. A refused plan is kept and says so. Of a nodus.thermal/1 file the chart zones are kept, and with --bioheat those of the solved course; lesions named like nodes of the subject are theirs, and the answer names rounds and nodes.")
    save.add_argument("study", type=Path, metavar="STUDY", help="folder of the study")
    save.add_argument("plan", type=Path, metavar="PLAN.json", help="plan file, nodus.plan/1 or nodus.thermal/1")
    save.add_argument("--subject", required=True, help="pseudonym of the subject")
    save.add_argument("--visit", help="name of the visit whose pictures the plan lies on")
    save.add_argument("--node", help="label of the node that it is for, for example N1")
    save.add_argument("--session", choices=SESSIONS, help="session of treatment")
    which = save.add_mutually_exclusive_group()
    which.add_argument("--follows", metavar="RUN", help="plan run that this one follows; the newest of the node that fits, without it")
    which.add_argument("--needles-of", metavar="RUN", help="the file holds the needles of this plan run as they lie")
    save.add_argument("--no-heat", action="store_true", help="leave out temperature and thermal damage")
    save.add_argument("--bioheat", action="store_true", help="thermal plans: also solve and keep freezing and heating (minutes)")
    save.set_defaults(work=run_save_plan)

    given = add_command(verbs, "add-delivery", help="record what the generator delivered for a plan run; written once")
    given.add_argument("study", type=Path, metavar="STUDY", help="folder of the study")
    given.add_argument("--run", required=True, help="plan run that was delivered")
    given.add_argument("--pairs", type=Path, required=True, metavar="FILE.json", help="list of pairs in the order of delivery: anode, cathode, pulses, voltage_v, current_start_a, current_end_a, aborted, abort_reason")
    given.add_argument("--name", required=True, help="name of who enters this")
    given.add_argument("--date", help="day of the session, YYYY-MM-DD")
    given.add_argument("--note", help="anything else worth keeping")
    given.add_argument("--replaces", metavar="RECORD", help="earlier record that this one corrects")
    given.add_argument("--reason", help="why it is corrected")
    given.set_defaults(work=run_add_delivery)

    plans = add_command(verbs, "plans", help="plan runs of the study, with what was delivered")
    plans.add_argument("study", type=Path, metavar="STUDY", help="folder of the study")
    plans.add_argument("--subject", help="only this subject")
    plans.set_defaults(work=run_plans)

    sheet = add_command(verbs, "plan-sheet", help="write the sheet of a plan run as PDF; a refused plan has none")
    sheet.add_argument("study", type=Path, metavar="STUDY", help="folder of the study")
    sheet.add_argument("--run", required=True, help="plan run")
    sheet.add_argument("--out", type=Path, required=True, metavar="OUT.pdf", help="file to write")
    sheet.set_defaults(work=run_sheet)

    dicom = add_command(verbs, "plan-dicom", help="write field (Parametric Map) and lethal zone (SEG) of a plan run on its volume")
    dicom.add_argument("study", type=Path, metavar="STUDY", help="folder of the study")
    dicom.add_argument("--run", required=True, help="plan run")
    dicom.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write to")
    dicom.set_defaults(work=run_plan_dicom)

    compare = add_command(verbs, "compare-plan", help="needles as they lie and what was delivered, against the plan; or two runs", description="Needles as they lie and what was delivered, against the plan. Every figure is {planned, actual, difference}; needles: tip_shift_mm, deeper_mm (positive: deeper), aside_mm, angle_deg; spacing, pairs, targets, at_risk, newly_refused, delivered. With --with, two runs of one kind: planned is the first, actual the second, and for thermal plans zone_ml, collateral_ml, liver_pct, lesions, at_risk.")
    compare.add_argument("study", type=Path, metavar="STUDY", help="folder of the study")
    compare.add_argument("--run", required=True, help="run of needles as they lie; with --with any run")
    compare.add_argument("--with", dest="other", metavar="RUN", help="set the first run against this one")
    compare.set_defaults(work=run_compare)


def run_save_plan(args) -> int:
    """Solve and keep a plan, or needles as they lie."""
    from app.cli.study import opened
    from app.usecases.files import read_json
    from app.usecases.kept_plans import THERMAL_SCHEMA, need_electric
    from app.usecases.plan import load_plan, solve_and_assess
    from app.usecases.plan_runs import newest_predecessor, save_plan_run
    from app.usecases.readings import find_node, find_visit

    content = read_json(args.plan, code="not_a_plan")
    if isinstance(content, dict) and content.get("schema") == THERMAL_SCHEMA:
        return _save_thermal(args, content)
    with opened(args.study) as store:
        need(store, "plan")  # before minutes of solving
        check_treats(store)
        visit = None if args.visit is None else find_visit(store, args.subject, args.visit)
        node = None if args.node is None else find_node(store, args.subject, args.node)
        if args.needles_of is not None:
            need_electric(store.plan_run(args.needles_of))  # refused before minutes of solving
        follows = args.follows
        if follows is not None:
            need_electric(store.plan_run(follows))
        elif args.needles_of is None and node is not None and args.session is not None:
            before = newest_predecessor(store, args.subject, node.node_id, args.session)
            follows = None if before is None else before.plan_run_id
        plan = load_plan(args.plan)
        solution, assessment = solve_and_assess(plan, progress_context(), heat=not args.no_heat)
        run = save_plan_run(
            store, args.subject, None if visit is None else visit.visit_id, plan, solution, assessment,
            node_id=None if node is None else node.node_id, session=args.session, predecessor_id=follows, planned_id=args.needles_of,
        )  # fmt: skip
    refused = [c for c in run.content["assessment"]["constraints"] if c["level"] == "refuse"]
    lines = [f"plan run {run.plan_run_id} kept" + (f", follows {run.predecessor_id}" if run.predecessor_id else "") + (f", needles of {run.planned_id}" if run.planned_id else "")]
    lines += [f"refuse: {c['message']} [{c['code']}]" for c in refused]
    emit(_run_row(run) | {"can_be_approved": assessment.can_be_approved, "constraints": run.content["assessment"]["constraints"]}, as_json=args.json, human="\n".join(lines))
    return 0


def _save_thermal(args, content: dict) -> int:
    from app.cli.study import opened
    from app.study.errors import StudyRefused
    from app.usecases.readings import find_node, find_visit
    from app.usecases.thermal import solve_thermal, thermal_plan
    from app.usecases.thermal_runs import newest_thermal, save_thermal_run

    if args.needles_of is not None:
        raise StudyRefused("Needles as they lie are kept for plans of an electric field.", code="run_is_thermal", hint="Leave out --needles-of.")
    with opened(args.study) as store:
        need(store, "plan")
        check_treats(store)
        visit = None if args.visit is None else find_visit(store, args.subject, args.visit)
        plan = thermal_plan(content, args.plan.parent)
        names = [p.name for p in plan.lesions]
        nodes = [n.node_id for n in store.nodes(args.subject) if n.label in names]
        if args.node is not None:
            first = find_node(store, args.subject, args.node).node_id
            nodes = [first, *(n for n in nodes if n != first)]
        follows = args.follows
        if follows is not None:
            store.plan_run(follows)  # refused before minutes of solving
        elif nodes:
            before = newest_thermal(store, args.subject, nodes[0])
            follows = None if before is None else before.plan_run_id
        result = solve_thermal(plan, progress_context(), bioheat=args.bioheat)
        run = save_thermal_run(store, args.subject, None if visit is None else visit.visit_id, result, node_ids=nodes, session=args.session, predecessor_id=follows, devices=content.get("devices") or ())
    constraints = run.content["assessment"]["constraints"]
    lines = [f"thermal plan run {run.plan_run_id} kept, round {', '.join(str(r['round']) for r in run.content['rounds'])}" + (f", follows {run.predecessor_id}" if run.predecessor_id else "")]
    lines += [f"refuse: {c['message']} [{c['code']}]" for c in constraints if c["level"] == "refuse"]
    emit(_run_row(run) | {"can_be_approved": not any(c["level"] == "refuse" for c in constraints), "constraints": constraints}, as_json=args.json, human="\n".join(lines))
    return 0


def run_add_delivery(args) -> int:
    """Record what was delivered."""
    from app.cli.study import opened
    from app.usecases.files import read_json
    from app.usecases.kept_plans import need_electric
    from app.usecases.plan_runs import delivered_pairs

    pairs = delivered_pairs(read_json(args.pairs, code="delivery_refused"))
    with opened(args.study) as store:
        need_electric(store.plan_run(args.run))
        kept = store.add_delivery(args.run, pairs, entered_by=args.name, date=args.date, note=args.note, replaces=args.replaces, reason=args.reason)
    emit(_delivery_row(kept), as_json=args.json, human=f"record {kept.delivery_id} of {args.run} kept: {len(kept.pairs)} pairs, {sum(p.aborted for p in kept.pairs)} aborted")
    return 0


def run_plans(args) -> int:
    """List plan runs."""
    from app.cli.study import opened

    with opened(args.study) as store:
        runs, records = store.list_plan_runs(args.subject), store.deliveries()
        labels = {n.node_id: n.label for n in store.nodes(args.subject)}
    answer = [_run_row(r) | {"node": labels.get(r.node_id), "deliveries": [_delivery_row(d) for d in records if d.plan_run_id == r.plan_run_id]} for r in runs]
    lines = [
        f"{r['plan_run_id']}  {r['created_utc'][:16]}  {r['subject_id']}  {r['node'] or '-'}  {r['session'] or '-'}  "
        + ("needles as they lie, of " + r["planned_id"] if r["kind"] == "actual" else _kind_words(r) + (f", follows {r['predecessor_id']}" if r["predecessor_id"] else ""))
        + "".join(f"\n  delivered {d['date'] or d['created_utc'][:10]}: {len(d['pairs'])} pairs, entered by {d['entered_by']}" for d in r["deliveries"])
        for r in answer
    ]
    emit({"plan_runs": answer}, as_json=args.json, human="\n".join(lines) or "no plan runs")
    return 0


def run_sheet(args) -> int:
    """The sheet of a run."""
    from app.cli.study import opened
    from app.usecases.export_plan import export_run_sheet

    with opened(args.study) as store:
        receipt = export_run_sheet(store, args.run, args.out, progress_context())
    emit(receipt, as_json=args.json, human=f"plan sheet of {args.run}: {args.out}, {receipt['pages']} pages")
    return 0


def run_plan_dicom(args) -> int:
    """Field and zone of a run."""
    from app.cli.study import opened
    from app.usecases.export_plan import export_run_dicom

    with opened(args.study) as store:
        receipt = export_run_dicom(store, args.run, args.out, progress_context())
    lines = [f"{f['path']}  {f['sha256'][:12]}" for f in receipt["files"]] + [f"left out: {x['message']} [{x['code']}]" for x in receipt["left_out"]]
    emit(receipt, as_json=args.json, human="\n".join(lines))
    return 0


def run_compare(args) -> int:
    """Planned against actual."""
    from app.cli.study import opened
    from app.usecases.plan_runs import compare_any, compare_runs

    with opened(args.study) as store:
        found = compare_runs(store, args.run) if args.other is None else compare_any(store, args.run, args.other)
    if "lesions" in found:
        emit(found, as_json=args.json, human="\n".join(_thermal_lines(found)))
        return 0
    lines = [f"{n['id']}: tip {n['tip_shift_mm']:.1f} mm off ({n['deeper_mm']:+.1f} mm deeper, {n['aside_mm']:.1f} mm aside), turned by {n['angle_deg']:.1f} degrees" for n in found["needles"]]
    lines += [f"{a}-{b}: {_words(row['distance_mm'], 'mm', 1)} apart" for row in found["spacing"] for a, b in (row["needles"],)]
    lines += [f"{row['name']}: coverage {_words(row['coverage_pct'], '%', 1)}, smallest margin {_words(row['minimal_margin_mm'], 'mm', 1)}" for row in found["targets"]]
    if (delivered := found.get("delivered")) is not None:
        lines += [f"{p['anode']}-{p['cathode']}: {p['pulses']['actual']} of {p['pulses']['planned']} pulses" + (f", aborted: {'; '.join(p['abort_reasons'])}" if p["aborted"] else "") for p in delivered["pairs"]]
    lines += [f"refuse: {c['message']} [{c['code']}]" for c in found["newly_refused"]]
    emit(found, as_json=args.json, human="\n".join(lines))
    return 0


def _thermal_lines(found: dict) -> list[str]:
    lines = [f"chart zones: {_words(found['zone_ml'], 'ml', 1)}", f"share of the liver: {_words(found['liver_pct'], '%', 1)}"]
    return lines + [f"{row['name']}: inside the zones {_words(row['coverage_pct'], '%', 1)}, smallest margin {_words(row['minimal_margin_mm'], 'mm', 1)}" for row in found["lesions"]]


def _kind_words(row: dict) -> str:
    return f"thermal plan, round {', '.join(map(str, row['rounds']))}" if row["thermal"] else "planned"


def _words(row: dict, unit: str, decimals: int) -> str:
    told = ["not known" if v is None else f"{v:.{decimals}f}" for v in (row["planned"], row["actual"])]
    return f"{told[0]} planned, {told[1]} actual {unit}"


def _run_row(run) -> dict:
    from app.usecases.kept_plans import is_thermal

    row = {name: getattr(run, name) for name in ("plan_run_id", "subject_id", "visit_id", "created_utc", "kind", "node_id", "session", "predecessor_id", "planned_id", "software_version")}
    if not is_thermal(run):
        return row | {"thermal": False}
    return row | {"thermal": True, "modality": run.content["modality"], "rounds": [r["round"] for r in run.content["rounds"]], "node_ids": run.content["nodes"]}


def _delivery_row(kept) -> dict:
    return {name: getattr(kept, name) for name in ("delivery_id", "plan_run_id", "created_utc", "entered_by", "date", "note", "replaces", "reason")} | {"pairs": [p.to_dict() for p in kept.pairs]}
