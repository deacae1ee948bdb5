"""``study pair-planes``: which stills of a visit may show one node in both planes."""

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
