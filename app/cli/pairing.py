"""``study pair-planes``: which stills of a visit may show one node in both planes; ``study contrast-compare``: its size beside what Day 0 was meant to reach."""

from __future__ import annotations

from pathlib import Path

from app.cli.output import add_command, emit, table


def register(verbs) -> None:
    """Add the verb to ``study``."""
    pair = add_command(
        verbs, "pair-planes", help="propose which longitudinal and transverse stills of a visit show one node",
        description="Propose which longitudinal and transverse stills of a visit show one node. A plane is what the reader stated, else what the file's own words said when it was imported; stills without either are in no pair. "
        "The proposal files nothing: the reader looks at both stills and states their planes. Fields of --json: pairs (longitudinal and transverse: picture, frame, name, plane_from; confidence strong, fair or weak; reasons), findings.",
    )  # fmt: skip
    pair.add_argument("study", type=Path, metavar="STUDY", help="folder of the study")
    pair.add_argument("--subject", required=True, help="pseudonym of the subject")
    pair.add_argument("--visit", required=True, help="name of the visit")
    pair.add_argument("--node", help="label of the node: stills whose words name another are left out; needs --reader")
    pair.add_argument("--reader", help="name of the reader whose stated planes, outlines and calipers of that node count")
    pair.set_defaults(work=run_pair_planes)

    beside = add_command(
        verbs, "contrast-compare", help="sizes of a node on contrast ultrasound beside the zone that the plan of Day 0 predicts",
        description="Sizes of a node on contrast ultrasound beside the ablation zone that the kept plan of Day 0 predicts: the newest run that was delivered, else the newest. It is cut through the middle of the node that was planned for, in the plane stated of the loop "
        "(longitudinal, transverse), else in that of its largest section. Sizes only: no place in the picture follows from it. Fields of --json: planned (run, kind, session, delivered, delivered_on, plane, area_mm2, long_mm: longest diameter, across_mm: extent at right angles to it, zone_ml of the whole zone, node_ml), "
        "measured_day0 (zone_ml as logged with --zone-ml, date, source), drawn_earlier (visit, of, area_mm2, long_mm, across_mm), today (area_mm2, long_mm, across_mm, not_enhancing_mm2, not_enhancing_pct, node_ml, not_enhancing_ml), warnings. The last two need --reader. Blinded readers see none of it.",
    )  # fmt: skip
    beside.add_argument("study", type=Path, metavar="STUDY", help="folder of the study")
    beside.add_argument("--subject", required=True, help="pseudonym of the subject")
    beside.add_argument("--visit", required=True, help="name of the visit of the contrast loop")
    beside.add_argument("--node", required=True, help="label of the node, for example N1")
    beside.add_argument("--reader", help="name of the reader whose outlines, stated plane and results of that visit count")
    beside.set_defaults(work=run_contrast_compare)


def run_pair_planes(args) -> int:
    """Propose pairs."""
    from app.cli.signing_in import need
    from app.cli.study import opened
    from app.study.permissions import ANY_READER
    from app.usecases.pair_planes import pairs_of_visit

    with opened(args.study) as store:
        need(store, *ANY_READER)
        if args.reader:
            store.check_own(args.reader)
        found = pairs_of_visit(store, args.subject, args.visit, node_label=args.node, reader=args.reader)
    rows = [[p.long.name, p.short.name, p.confidence, " ".join(p.reasons) or "-"] for p in found.proposals]
    lines = [table(rows, ["longitudinal", "transverse", "confidence", "because"])] if rows else ["no pair"]
    lines += [f"{f.message} [{f.code}]" for f in found.findings]
    emit({"pairs": [p.as_dict() for p in found.proposals], "findings": [f.as_dict() for f in found.findings]}, as_json=args.json, human="\n".join(lines))
    return 0


def run_contrast_compare(args) -> int:
    """Sizes beside each other."""
    from app.cli.signing_in import need
    from app.cli.study import opened
    from app.study.treatment import SEE_TREATMENT
    from app.usecases.zone_section import contrast_comparison

    with opened(args.study) as store:
        need(store, *SEE_TREATMENT)
        found = contrast_comparison(store, args.subject, args.visit, args.node, args.reader)
    planned, today, drawn, logged = found["planned"], found["today"], found["drawn_earlier"], found["measured_day0"]
    rows = []
    if planned is not None:
        rows.append([f"planned zone ({planned['plane']})", *_sizes(planned), _number(planned["zone_ml"], 2)])
    if drawn is not None:
        rows.append([f"{'zone' if drawn['of'] == 'ablated_zone' else 'node'} drawn at {drawn['visit']}", *_sizes(drawn), "-"])
    if today is not None:
        rows.append([f"{found['node']} at {found['visit']}", *_sizes(today), _number(today["node_ml"], 2)])
        rows.append(["  not enhancing", _number(today["not_enhancing_mm2"], 0), "-", _number(today["not_enhancing_ml"], 2)])
    if logged is not None:
        rows.append([f"zone measured {logged['date']}", "-", "-", _number(logged["zone_ml"], 2)])
    lines = [table(rows, ["", "mm2", "mm x mm", "ml"])] if rows else []
    lines += [*(f"{w['message']} [{w['code']}]" for w in found["warnings"]), found["meaning"]]
    emit(found, as_json=args.json, human="\n".join(lines))
    return 0


def _number(value: float | None, decimals: int) -> str:
    return "-" if value is None else f"{value:.{decimals}f}"


def _sizes(part: dict) -> tuple[str, str]:
    return _number(part["area_mm2"], 0), f"{_number(part['long_mm'], 1)} x {_number(part['across_mm'], 1)}" if part["long_mm"] is not None else "-"
