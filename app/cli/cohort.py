"""``study cohort``: all nodes of a study at one visit, figures over the visits, endpoint tables; and their numbers as files."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from app.cli.output import add_command, emit, table
from app.usecases.cohort import FILTERS
from volumetry.response.statistics import SEED


def register(verbs) -> None:
    """Add the verb to ``study``."""
    cohort = add_command(
        verbs, "cohort", help="all nodes of the study at one visit, and the endpoint tables",
        description="All nodes of the study at one visit with their volume reduction, subjects, box plots over the visits, survival, and the protocol's endpoint tables. "
        f"Filters narrow table and figures: {', '.join(FILTERS)}; high_risk and salvage take yes or no, status is a reading's or missing, reader is a reader's name or accepted. Endpoint tables and survival are of the whole study.",
    )  # fmt: skip
    cohort.add_argument("study", type=Path, metavar="STUDY", help="folder of the study")
    cohort.add_argument("--filter", action="append", default=[], metavar="KEY=VALUE", help="narrow what is shown; may be given several times, each key once")
    cohort.add_argument("--as-of", metavar="DATE", help="day the data were cut, YYYY-MM-DD (today without it): a window that is not over by then is told from a scan that is missing")
    cohort.add_argument("--seed", type=int, default=SEED, help=f"seed of the resampled intervals ({SEED} without it)")
    cohort.add_argument("--out", type=Path, metavar="DIR", help="write every table and figure as CSV into this folder, with cohort.json that says what they are of")
    cohort.set_defaults(work=run_cohort)


def run_cohort(args) -> int:
    """Answer, and write files where asked."""
    from app.cli.study import opened
    from app.study.rules import check_date
    from app.usecases.cohort import filter_from
    from app.usecases.cohort_tables import answer_of, cohort_of, endpoint_lines, export_cohort, tables_of

    chosen = filter_from(args.filter)
    as_of = dt.date.fromisoformat(check_date(args.as_of, "day") or dt.date.today().isoformat())
    with opened(args.study) as store:
        view = cohort_of(store, chosen, as_of=as_of, seed=args.seed)
        answer = answer_of(view)
        if args.out is not None:
            answer["files"] = export_cohort(store, view, args.out)["files"]

    def number(value, form: str = "{:.1f}") -> str:
        return "-" if value is None else form.format(value)

    def span(low, high) -> str:
        return "-" if low is None else f"{low:.1f} to {high:.1f}"

    nodes = [
        [r.subject, r.node, r.status, f"{r.modality} {r.method}".strip() or "-", number(r.vrr_pct), span(*(r.interval_pct or (None, None))), "-" if r.vrr_pct is None else "yes" if r.comparable else "no", "yes" if r.salvaged else "no", ", ".join(r.reasons) or "-"]
        for r in view.table
    ]
    rates = [
        [x.endpoint, x.quantity, x.of, f"{number(x.value)} {x.unit}".strip(), span(x.low, x.high), f"{number(x.numerator, '{}')}/{number(x.denominator, '{}')}", "; ".join(f"{k}: {v}" for k, v in sorted(x.missing.items())) or "-", number(x.seed, "{}")]
        for x in endpoint_lines(tables_of(view))
    ]
    human = f"{view.chosen.visit or 'no visit read yet'}, {view.chosen.reader or 'no reader'}, as of {as_of}\n" + table(nodes, ["subject", "node", "status", "read by", "VRR %", "95 %", "comparable", "salvaged", "left out because"])
    human += "\n\nendpoints of the whole study\n" + table(rates, ["endpoint", "quantity", "of", "value", "95 %", "n/of", "missing", "seed"])
    human += "".join(f"\n{f['path']}: {f['rows']} rows" for f in answer.get("files", ()))
    emit(answer, as_json=args.json, human=human)
    return 0
