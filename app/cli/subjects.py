"""``study add-visit``, ``set-visit``, ``add-event``, ``eligibility`` and ``pain``: values of one subject, and what they say with the pictures."""

from __future__ import annotations

import argparse
import datetime as dt
import json
import math
from pathlib import Path

from app.cli.output import add_command, emit, progress_context, table
from app.study.model import EVENT_KINDS
from volumetry.errors import NodusError


def register(verbs) -> None:
    """Add the verbs to ``study``."""
    visit = add_command(verbs, "add-visit", help="add a visit with the date of its scan, where its pictures are not imported")
    visit.add_argument("study", type=Path, metavar="STUDY", help="folder of the study")
    visit.add_argument("--subject", required=True, help="pseudonym of the subject; added where it is new")
    visit.add_argument("--visit", required=True, help="the visit's name, for example Baseline")
    visit.add_argument("--date", help="date of its scan, YYYY-MM-DD; not known without it")
    visit.set_defaults(work=run_add_visit)

    moved = add_command(verbs, "set-visit", help="state or change the date of a visit's scan, with a reason")
    moved.add_argument("study", type=Path, metavar="STUDY", help="folder of the study")
    moved.add_argument("--subject", required=True, help="pseudonym of the subject")
    moved.add_argument("--visit", required=True, help="the visit's name")
    moved.add_argument("--date", required=True, help="date of its scan, YYYY-MM-DD")
    moved.add_argument("--reason", required=True, help="why it is changed")
    moved.set_defaults(work=run_set_visit)

    event = add_command(
        verbs, "add-event", help="log an ablation, a pain score, a creatinine or another clinical event",
        description="Log an ablation or another clinical event. Details by kind: LAB test=CREATININE value= unit=mg/dL|umol/L age_years= weight_kg= sex=M|F (age and weight of that date); "
        "NRS hours= (as scheduled) actual_hours= score= (or score=null reason=); ALLOCATION arm=; ELIGIBILITY criterion= met=true|false. replaces=EVENT corrects an earlier one.",
    )  # fmt: skip
    event.add_argument("study", type=Path, metavar="STUDY", help="folder of the study")
    event.add_argument("--subject", required=True, help="pseudonym of the subject")
    event.add_argument("--kind", required=True, help=", ".join(EVENT_KINDS))
    event.add_argument("--date", required=True, help="YYYY-MM-DD")
    event.add_argument("--node", help="only this node; all nodes of the subject without it")
    event.add_argument("--detail", action="append", default=[], metavar="KEY=VALUE", help="a value that belongs to the event; may be given several times")
    event.add_argument("--zone-ml", action="append", default=[], type=zone_of, metavar="NODE=ML", help="an ablation: volume of the zone of that node as measured the same day; may be given for several nodes. Rates against it are reported second (vrr_zone_pct)")
    event.add_argument("--zone-source", metavar="TEXT", help="what the zones were measured on, for example CEUS 10 min after")
    event.set_defaults(work=run_add_event)

    eligible = add_command(
        verbs, "eligibility", help="the protocol's criteria that pictures and logged values can answer, for one subject",
        description="The protocol's criteria that pictures and logged values can answer. Each row: criterion, value, unit, limit, verdict (met, not met, not known), source, note. What is missing is not known, never met. The investigator decides.",
    )  # fmt: skip
    eligible.add_argument("study", type=Path, metavar="STUDY", help="folder of the study")
    eligible.add_argument("--subject", required=True, help="pseudonym of the subject")
    eligible.add_argument("--on", metavar="DATE", help="the day it is asked for, YYYY-MM-DD (today without it)")
    eligible.add_argument("--reader", help="whose lengths count; the site reader's, or the only reader's, without it")
    eligible.add_argument("--metal", action="store_true", help="open the CT of each outline and look for metal near it")
    eligible.add_argument("--liver-pct", type=float, metavar="PCT", help="share of the liver that the plan would ablate, percent")
    eligible.add_argument("--liver-spread-pct", type=float, nargs=2, metavar=("LOW", "HIGH"), help="that share with smaller and larger zones")
    eligible.set_defaults(work=run_eligibility)

    pain = add_command(
        verbs, "pain", help="pain scores of one subject: area under the curve, time-weighted mean, sustained pain",
        description="Pain scores of one subject by their actual times. The area is given only where no scheduled value is missing; auc_one_gap_bridged holds it with a single value inside bridged by its neighbours.",
    )  # fmt: skip
    pain.add_argument("study", type=Path, metavar="STUDY", help="folder of the study")
    pain.add_argument("--subject", required=True, help="pseudonym of the subject")
    pain.set_defaults(work=run_pain)


def run_add_visit(args) -> int:
    """Add a visit."""
    from app.cli.study import opened
    from app.study.rules import check_date

    check_date(args.date, "visit date")  # before a subject is added for it
    with opened(args.study) as store:
        made = []
        if args.subject not in {s.subject_id for s in store.subjects()}:
            store.add_subject(args.subject)
            made.append({"code": "subject_added", "message": f"Subject {args.subject} was new and was added."})
        visit = store.add_visit(args.subject, args.visit, actual_date=args.date)
    emit({"visit_id": visit.visit_id, "visit": visit.name, "actual_date": visit.actual_date, "warnings": made}, as_json=args.json, human="".join(f"{w['message']} [{w['code']}]\n" for w in made) + f"visit {visit.name} added")
    return 0


def run_set_visit(args) -> int:
    """Change the date of a visit."""
    from app.cli.study import opened
    from app.usecases.readings import find_visit

    with opened(args.study) as store:
        visit = store.update_visit(find_visit(store, args.subject, args.visit).visit_id, reason=args.reason, actual_date=args.date)
    emit({"visit_id": visit.visit_id, "visit": visit.name, "actual_date": visit.actual_date}, as_json=args.json, human=f"{visit.name}: scan of {visit.actual_date}")
    return 0


def detail_of(given: list[str]) -> dict:
    """``KEY=VALUE`` words as a dict; a number, true, false and null are what they look like, all else is text. Raises ``detail_refused``."""
    out: dict = {}
    for word in given:
        key, equals, text = word.partition("=")
        if not equals or not key.strip() or key in out:
            raise NodusError(f"{word!r} is no KEY=VALUE, or its key is given twice.", code="detail_refused")
        try:
            value = json.loads(text)
        except ValueError:
            value = text
        if isinstance(value, float) and not math.isfinite(value):
            raise NodusError(f"{word!r} is no number.", code="detail_refused")
        out[key] = value if value is None or isinstance(value, (bool, int, float)) else text
    return out


def zone_of(text: str) -> tuple[str, float]:
    """``NODE=ML`` as label and volume."""
    label, _, number = text.rpartition("=")
    try:
        return label, float(number)
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is not like N1=4.2") from None


def run_add_event(args) -> int:
    """Log a clinical event."""
    from app.cli.study import opened
    from app.usecases.subject_values import log_event

    detail = detail_of(args.detail)
    zones = dict(args.zone_ml)
    if len(zones) != len(args.zone_ml) or (args.zone_source and not zones):
        raise NodusError("A zone is given once for a node, and --zone-source goes with --zone-ml.", code="zone_refused")
    if args.zone_source:
        detail["zone_source"] = args.zone_source
    with opened(args.study) as store:
        event = log_event(store, args.subject, args.kind, args.date, node=args.node, detail=detail, zones_ml=zones)
    emit({"event_id": event.event_id, "kind": event.kind, "date": event.date, "detail": event.detail}, as_json=args.json, human=f"{event.kind} on {event.date} logged")
    return 0


def run_eligibility(args) -> int:
    """Eligibility of a subject."""
    from app.cli.study import opened
    from app.study.rules import check_date
    from app.usecases.subject_values import eligibility_of

    on = dt.date.fromisoformat(check_date(args.on, "day") or dt.date.today().isoformat())
    shares = [args.liver_pct, *(args.liver_spread_pct or ())]
    if any(v is not None and not 0 <= v <= 100 for v in shares) or (args.liver_spread_pct and args.liver_pct is None):
        raise NodusError("A share of the liver is 0 to 100 percent, its spread goes with the share.", code="value_refused")
    liver = None if args.liver_pct is None else (args.liver_pct / 100, *(v / 100 for v in args.liver_spread_pct or ())) if args.liver_spread_pct else (args.liver_pct / 100, None, None)
    with opened(args.study) as store:
        answer = eligibility_of(
            store, args.subject, on=on, reader=args.reader, look_for_metal=args.metal, liver_fraction=liver, liver_source="given on the command line", context=progress_context(),
        )  # fmt: skip

    def value(row: dict) -> str:
        shown = row["value"]
        return "-" if shown is None else f"{shown:.4g} {row['unit']}".strip() if isinstance(shown, float) else f"{shown} {row['unit']}".strip()

    rows = [[r["criterion"], value(r), r["limit"], r["verdict"], " ".join(x for x in (r["source"], r["note"]) if x)] for r in answer["rows"]]
    emit(answer, as_json=args.json, human=table(rows, ["criterion", "value", "limit", "verdict", "source"]))
    return 0


def run_pain(args) -> int:
    """Pain of a subject."""
    from app.cli.study import opened
    from app.usecases.subject_values import pain_of_subject

    with opened(args.study) as store:
        answer = pain_of_subject(store, args.subject)

    def shown(value, form: str = "{}") -> str:
        return "-" if value is None else form.format(value)

    rows = [[f"{p['hours']:g}", shown(p["actual_hours"], "{:g}"), shown(p["score"])] for p in answer["points"]]
    told = {True: "yes", False: "no", None: "not known"}[answer["sustained"]]
    human = table(rows, ["hours", "actual", "score"]) + f"\narea {shown(answer['auc'], '{:.1f}')}, mean {shown(answer['time_weighted_mean'], '{:.2f}')}, sustained from {answer['sustained_from']:g} on: {told}"
    emit(answer, as_json=args.json, human=human + (f"\n{answer['note']}" if answer["note"] else ""))
    return 0
