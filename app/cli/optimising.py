"""``optimise``: better needles and voltages for a plan, within hard limits."""

from __future__ import annotations

import signal
import threading
from pathlib import Path

from app.cli.output import add_command, add_json, emit, progress_context, say
from planning.errors import PlanRefused


def register(commands) -> None:
    """Add the command."""
    optimise = add_command(
        commands, "optimise", help="move needles and voltages of a nodus.plan/1 file within hard limits",
        description="Search for needles and voltages that cover the target. No proposal breaks a hard limit, and none is worse than the plan given. "
        "Limits and seed stand in the plan file: \"limits\": {\"spacing_mm\": [10, 24], \"voltage_v\": 3000, \"current_a\": 50, \"exposure_mm\": [10, 30], \"needles\": 4, "
        "\"path_clearance_mm\": 2, \"cone_deg\": 40}, \"seed\": 1; one number is the most, two are least and most, three or more exposures are those allowed. "
        "Ctrl-C ends the search and gives the best so far. The answer: \"proposals\" (\"name\", \"plan\", \"assessment\", \"trade_off\"), \"evaluations\" (plans solved), "
        "\"candidates\" (ranked by the quick model), \"seed\", \"stopped_by\" (converged, limits, cancelled, time), \"forbidden_by\" (limits in the way of full cover), "
        "\"start\" (trade-off of the plan given), \"limits\" (as kept), \"spacing_mm\", \"seconds\", \"warnings\".",
    )  # fmt: skip
    optimise.add_argument("plan", type=Path, metavar="PLAN.json", help="plan file, nodus.plan/1: its needles give the way in, diameter and pulses")
    optimise.add_argument("--out", type=Path, metavar="PLAN2.json", help="write the best proposal there as a plan file")
    optimise.add_argument("--seed", type=int, metavar="N", help="seed of the search instead of the plan's own")
    optimise.add_argument("--seconds", type=float, metavar="S", help="stop after S seconds with the best so far; the answer then depends on the machine")
    add_json(optimise)
    optimise.set_defaults(work=run_optimise)


def run_optimise(args) -> int:
    """Search, optionally write the best proposal."""
    from app.usecases.files import ensure_place
    from app.usecases.optimise import check_seed, load_request, optimise, write_best

    if args.seconds is not None and not args.seconds > 0:
        raise PlanRefused("The seconds of a search must be more than 0.", code="bad_limits")
    if args.out is not None:
        ensure_place(args.out)  # before the search
    plan, limits, seed = load_request(args.plan)
    if args.seed is not None:
        seed = check_seed(args.seed)
    context = progress_context()
    with Interrupts(context.token):
        result = optimise(plan, limits, seed, context, seconds=args.seconds)
    answer = result.to_dict()
    if args.out is not None and write_best(result, args.plan, args.out) is None:
        say(f"no proposal: {args.out} was not written")
    emit(answer, as_json=args.json, human=_human(answer))
    return 0


class Interrupts:
    """The first Ctrl-C ends the search in good order, the second as usual."""

    def __init__(self, token):
        self.token = token
        self.before = None

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():
            self.before = signal.signal(signal.SIGINT, self._stop)

    def _stop(self, *_) -> None:
        say("stopping; the best so far follows")
        self.token.cancel()
        signal.signal(signal.SIGINT, self.before)

    def __exit__(self, *_) -> None:
        if self.before is not None:
            signal.signal(signal.SIGINT, self.before)


def _human(answer: dict) -> str:
    lines = []
    for p in answer["proposals"]:
        t = p["trade_off"]
        lines.append(f"{p['name']}: {t['coverage_pct']:.2f} % covered, least field {t['min_v_per_cm']:.0f} V/cm, {t['needles']} needles, {t['pairs']} pairs, most {t['current_most_a']:.1f} A, "
                     f"{t['at_risk_above_lethal_ml']:.2f} ml of structures at risk and {t['collateral_ml']:.1f} ml beside the target at the lethal field")
    if not lines:
        lines.append("no proposal")
    lines += [f"forbidden by {b['message']} [{b['code']}]" for b in answer["forbidden_by"]]
    lines += [f"{w['message']} [{w['code']}]" for w in answer["warnings"]]
    lines.append(f"{answer['evaluations']} plans solved, {answer['candidates']} looked at in {answer['seconds']:.0f} s; seed {answer['seed']}; stopped by {answer['stopped_by']}")
    return "\n".join(lines)
