"""``study reconcile``: an EDC's export against the study."""

from __future__ import annotations

from pathlib import Path

from app.cli.output import add_command, emit


def register(verbs) -> None:
    """Add the verb."""
    command = add_command(verbs, "reconcile", help="compare an EDC's export with the study and list the differences; exit code 4 where there are any")
    command.add_argument("study", type=Path, metavar="STUDY", help="folder of the study")
    command.add_argument("export", type=Path, metavar="EXPORT.csv", help="flat CSV export of REDCap, or a readings.csv of Nodus")
    command.add_argument("--mapping", type=Path, metavar="FILE", help="the trial's own EDC mapping (nodus.edc/1) instead of the shipped one")
    command.set_defaults(work=run_reconcile)


def run_reconcile(args) -> int:
    """List the differences; 4 where there are any."""
    from app.cli.study import opened
    from app.usecases.reconcile import reconcile

    with opened(args.study) as store:
        answer = reconcile(store, args.export, mapping_file=args.mapping)
    lines = [f"{answer['compared']} records compared, {len(answer['differences'])} differences"]
    for d in answer["differences"]:
        what = f"{d['field']}: EDC {d['edc']!r}, study {d['study']!r}" if d["field"] else d["kind"].replace("_", " ")
        lines.append(f"  {d['subject']} {d['visit']} {d['node']} {d['key']}: {what} [{d['kind']}]")
    emit(answer, as_json=args.json, human="\n".join(lines))
    return 0 if answer["ok"] else 4
