"""``demo``, ``selftest``, ``bench``, ``warm-up``: the program shows and proves itself."""

from __future__ import annotations

import sys
from pathlib import Path

from app.cli.output import add_command, add_json, emit, progress_context, say, table
from volumetry.errors import NodusError


def register(commands) -> None:
    """Add the system commands."""
    demo = add_command(
        commands, "demo",
        help="the main job on the synthetic demonstration case",
        description="The main job on the synthetic demonstration case: in the window, or headless with every artefact written to --out. With --trial a simulated trial instead, headless: "
        "a study of made-up subjects over 24 months with sites, two blinded readers and an adjudicator, and everything that is exported from it (takes some minutes).",
    )
    demo.add_argument("--headless", action="store_true", help="no window: write every artefact and summary.json")
    demo.add_argument("--out", type=Path, metavar="DIR", help="where the case and the study are written")
    demo.add_argument("--no-screenshots", action="store_true", help="headless: leave the pictures of the window out")
    demo.add_argument("--trial", action="store_true", help="a simulated trial: study, exports, response and cohort in --out, with trial.json (what was put in) and summary.json")
    demo.add_argument("--subjects", type=int, metavar="N", help="trial: number of subjects (85)")
    demo.add_argument("--nodes", type=int, metavar="N", help="trial: most nodes a subject has (10); the seed draws 1 to N")
    demo.add_argument("--seed", type=int, metavar="S", help="trial: seed of all that happens (2026)")
    demo.set_defaults(work=run_demo)

    show = add_command(commands, "open", help="the window on a study folder, or on a folder or file of pictures")
    show.add_argument("path", type=Path, metavar="PATH", help="study folder, DICOM folder or file, or volume file")
    show.set_defaults(work=run_open)

    # Its options belong to the window's own script; see ``walk`` below.
    add_command(commands, "walk", help="pictures of the window at each step of the demonstration case")

    selftest = add_command(commands, "selftest", help="closed forms and standards, on this machine")
    add_json(selftest)
    selftest.set_defaults(work=run_selftest)

    bench = add_command(commands, "bench", help="our time against a peer's on the same work, in one run")
    bench.add_argument("name", nargs="?", metavar="NAME", help="window, volumetry, planning, perfusion, study or dicom; all without a name")
    bench.add_argument("--short", action="store_true", help="dicom: every row on little data, to see that all run; its ratios say nothing")
    add_json(bench)
    bench.set_defaults(work=run_bench)

    warm = add_command(commands, "warm-up", help="compile the numeric kernels ahead of the first click")
    warm.set_defaults(work=run_warm_up)


def open_window(**what) -> int:
    """The window, on a study, images or the demonstration case; stays until it is closed."""
    from app.ui.application import run

    return run(**what)


def run_window(args) -> int:
    """The window with nothing open."""
    return open_window(in_language=args.language)


def run_open(args) -> int:
    """The window on a study folder or on pictures."""
    path = args.path.resolve()
    if not path.exists():
        raise NodusError(f"There is nothing at {args.path}.", code="file_missing")
    return open_window(in_language=args.language, **({"study": path} if (path / "study.sqlite").exists() else {"images": path}))


def walk(arguments: list[str]) -> int:
    """``nodus walk``: walk the real window and picture each step."""
    from app.ui.walk import main

    return main(arguments)


def run_demo(args) -> int:
    """The main job, or a simulated trial."""
    if args.trial:
        return run_demo_trial(args)
    if any(value is not None for value in (args.subjects, args.nodes, args.seed)):
        raise NodusError("--subjects, --nodes and --seed belong to --trial.", code="option_needs_trial")
    if not args.headless:
        return open_window(in_language=args.language, demo=args.out or True)
    from app.usecases.demo import run_headless

    out = args.out or Path.cwd() / "demo-output"
    summary = run_headless(out, progress_context(), screenshots=not args.no_screenshots)

    def number(value) -> str:
        return "-" if value is None else f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"

    rows = [[n["node"], n["visit"], n["status"], number(n["volume_ml"]), number(n["true_volume_ml"]), number(n["vrr_pct"]), number(n["true_vrr_pct"])] for n in summary["nodes"]]
    print(table(rows, ["node", "visit", "status", "ml", "true ml", "VRR %", "true VRR %"]))
    say(f"{len(summary['artefacts'])} files in {out} after {summary['seconds']:.1f} s; see summary.json, report.pdf and screenshots/")
    return 0


def run_demo_trial(args) -> int:
    """A simulated trial, headless."""
    from app.usecases.demo_trial import SEED, SUBJECTS, run_trial

    out = args.out or Path.cwd() / "demo-trial"
    summary = run_trial(
        out, progress_context(), subjects=SUBJECTS if args.subjects is None else args.subjects, nodes=(1, 10 if args.nodes is None else args.nodes), seed=SEED if args.seed is None else args.seed
    )
    rows = [[e["endpoint"], "-" if e["n_treated"] is None else e["n_treated"], "-" if e["n"] is None else e["n"], "-" if e["mean_pct"] is None else f"{e['mean_pct']:.1f}"] for e in summary["endpoints"]]
    print(table(rows, ["endpoint", "treated", "with a value", "mean VRR %"]))
    made = [[name, e.get("files", "-"), e.get("message", "")] for name, e in summary["exports"].items()]
    print(table(made, ["export", "files", "not written because"]))
    say(f"{summary['subjects']} subjects, {summary['nodes']} nodes, {sum(summary['readings'].values())} readings, {summary['audit']['events']} events ({'trail verifies' if summary['audit']['ok'] else 'TRAIL DOES NOT VERIFY'}) in {out}; see summary.json. Every account's password is \"{summary['password']}\".")
    return 0 if summary["audit"]["ok"] else 4


def run_selftest(args) -> int:
    """Run the checks; 4 if one fails."""
    from app.usecases.selftest import run_checks

    report = run_checks(progress_context())
    rows = [["ok" if c["ok"] else "NO", c["name"], f"{c['value']:.6g}", f"{c['expected']:.6g}", f"{c['tolerance']:.3g}"] for c in report["checks"]]
    emit(report, as_json=args.json, human=table(rows, ["", "check", "value", "expected", "tolerance"]) + f"\n{report['seconds']:.1f} s")
    return 0 if report["ok"] else 4


def run_bench(args) -> int:
    """Time our work against peers."""
    from app.usecases.bench import run_bench as bench

    report = bench(args.name, progress_context(), short=args.short)
    rows = [
        [r["task"], f"{r['ours_s']:.4g}", r["peer"] or "-", "-" if r["peer_s"] is None else f"{r['peer_s']:.4g}", "-" if r["ratio"] is None else f"{r['ratio']:.2f}x", {True: "yes", False: "NO", None: "-"}[r["same_result"]]]
        for r in report["rows"]
    ]
    emit(report, as_json=args.json, human=f"{report['machine']}\n" + table(rows, ["task", "ours s", "peer", "peer s", "ratio", "same result"]))
    return 0


def run_warm_up(_args) -> int:
    """Compile kernels into the user's cache."""
    from app.usecases.warm_up import warm_up

    seconds = warm_up(progress_context())
    print(f"kernels ready in {seconds:.1f} s", file=sys.stderr)
    return 0
