"""``study``, ``export``, ``audit``: the trial's side of the command line."""

from __future__ import annotations

from pathlib import Path

from app.cli import adjudicating, cohort, pairing, reading_entry, reconciling, responding, subjects, treating
from app.cli.deidentify import add_confirmations, confirmations
from app.cli.output import add_command, add_json, emit, progress_context, say, table
from app.cli.signing_in import need, refuse_blinded
from app.study.model import LEVELS, MODALITIES, ROLES, UNKNOWN_LEVEL, Side
from app.study.permissions import ANY_READER, READING_RIGHTS
from app.study.schedule import STATUSES
from volumetry.errors import NodusError

NAMED = {
    "subject": "pseudonym of the subject",
    "visit": "name of the visit",
    "node": "label of the node, for example N1",
    "reader": "name of the reader",
    "reason": "why it is changed",
}


def register(commands) -> None:
    """Add study, export and audit commands."""
    study = add_command(commands, "study", help="subjects, visits, readings of a study folder")
    verbs = study.add_subparsers(dest="verb", metavar="VERB", required=True)

    init = add_command(verbs, "init", help="make a new study in an empty folder")
    init.add_argument("study", type=Path, metavar="STUDY", help="folder of the study")
    init.add_argument("--protocol", default="ire-cervical-ln", help="a shipped protocol's name, or a protocol file")
    init.set_defaults(work=run_init)

    bring = add_command(verbs, "import", help="import a folder of DICOM for one subject and visit; identifying header values are removed")
    bring.add_argument("study", type=Path, metavar="STUDY", help="folder of the study")
    bring.add_argument("path", type=Path, metavar="FOLDER", help="folder (or file) of DICOM")
    bring.add_argument("--subject", required=True, help="pseudonym")
    bring.add_argument("--visit", required=True, help="the visit's name, for example Baseline")
    bring.add_argument("--site", metavar="ID", help="site that the subject belongs to, written into the trial modules of what is stored and exported")
    bring.add_argument("--dates-shifted", action="store_true", help="the dates were moved before the pictures came; the subject is marked and every export says so")
    add_confirmations(bring, "FOLDER")
    bring.set_defaults(work=run_import)

    node = add_command(verbs, "add-node", help="add a target node to a subject")
    node.add_argument("study", type=Path, metavar="STUDY", help="folder of the study")
    node.add_argument("--subject", required=True, help=NAMED["subject"])
    node.add_argument("--node", required=True, help="short label, for example N1")
    node.add_argument("--side", required=True, choices=[s.value for s in Side], help="the patient's side")
    node.add_argument("--level", required=True, choices=(*LEVELS, UNKNOWN_LEVEL), help="neck level; unknown for what is no node of the neck")
    node.set_defaults(work=run_add_node)

    change = add_command(verbs, "set-node", help="state or change a node's side and level, with a reason")
    change.add_argument("study", type=Path, metavar="STUDY", help="folder of the study")
    for name in ("subject", "node", "reason"):
        change.add_argument(f"--{name}", required=True, help=NAMED[name])
    change.add_argument("--side", required=True, choices=[s.value for s in Side], help="the patient's side")
    change.add_argument("--level", required=True, choices=(*LEVELS, UNKNOWN_LEVEL), help="neck level; unknown for what is no node of the neck")
    change.set_defaults(work=run_set_node)

    reading_entry.register(verbs)
    pairing.register(verbs)

    carry = add_command(verbs, "propagate", help="carry a node's outline to another visit after registration, as a draft marked propagated")
    carry.add_argument("study", type=Path, metavar="STUDY", help="folder of the study")
    for name in ("subject", "node", "reader"):
        carry.add_argument(f"--{name}", required=True, help=NAMED[name])
    carry.add_argument("--from", dest="from_visit", required=True, metavar="VISIT", help="visit of the outline")
    carry.add_argument("--to", dest="to_visit", required=True, metavar="VISIT", help="visit it is carried to")
    carry.add_argument("--modality", default="CT", choices=MODALITIES, help="what the node was read on (CT without it)")
    carry.add_argument("--role", default="central", choices=ROLES, help="role of the reader (central without it)")
    carry.add_argument("--series", help="UID of the series to carry it onto, where the visit has several")
    carry.add_argument("--reason", help="why an earlier copy is replaced")
    carry.set_defaults(work=run_propagate)

    lock = add_command(verbs, "lock", help="lock measured readings: an electronic signature in a study with users, else under a typed name")
    lock.add_argument("study", type=Path, metavar="STUDY", help="folder of the study")
    lock.add_argument("--reading", help="one reading; all measured readings that match the filters without it")
    for name in ("subject", "visit", "node", "reader"):
        lock.add_argument(f"--{name}", help=f"only: {NAMED[name]}")
    lock.add_argument("--name", default="", help="your name, as it will stand on the report (required in a study without users)")
    lock.add_argument("--meaning", default="I have read and confirm this measurement", help="what locking means: reading, correction, review or the sentence itself (that you read and confirm it, without it)")
    lock.set_defaults(work=run_lock)

    status = add_command(
        verbs, "status", help="what is in the study, who is due and until when a salvage may be done",
        description="Subjects with nodes and readings, and each visit as the protocol plans it: target day, window, actual date and status on the stated day ("
        + "; ".join(f"{name}: {meaning}" for name, meaning in STATUSES.items()) + "). With --json, schedule lists the visits of each subject and salvage its deadline with days left.",
    )  # fmt: skip
    status.add_argument("study", type=Path, metavar="STUDY", help="folder of the study")
    status.add_argument("--on", metavar="DATE", help="the day that due and overdue are told for, YYYY-MM-DD (today without it)")
    status.set_defaults(work=run_status)

    response = add_command(
        verbs, "response", help="volume reduction rates, response by the protocol's criteria, endpoint tables",
        description="Volume reduction rates, response by the protocol's criteria, endpoint tables. Fields beside the fixed ones: subjects (their nodes together), courses (residual, salvage, regrowth), responses "
        "(RECIST 1.1 or mRECIST); endpoints with set 'protocol' follow the protocol's populations, clocks and windows, those with set 'visit' go visit by visit.",
    )  # fmt: skip
    response.add_argument("study", type=Path, metavar="STUDY", help="folder of the study")
    response.add_argument("--subject", help="only this subject")
    response.add_argument("--as-of", metavar="YYYY-MM-DD", help="day on which the data were cut: a window not over by then is told apart from a missing scan")
    response.set_defaults(work=run_response)

    agree = add_command(verbs, "agreement", help="how well readers agree on the volumes they have locked: ICC, Bland-Altman, repeatability")
    agree.add_argument("study", type=Path, metavar="STUDY", help="folder of the study")
    agree.set_defaults(work=run_agreement)

    keep = add_command(verbs, "backup", help="copy the whole study into an empty folder, hashed file by file")
    keep.add_argument("study", type=Path, metavar="STUDY", help="the study folder")
    keep.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="an absent or empty folder")
    keep.set_defaults(work=run_backup)

    back = add_command(verbs, "restore", help="make a study from a backup, after every file was checked")
    back.add_argument("backup", type=Path, metavar="BACKUP", help="a folder written by study backup")
    back.add_argument("--out", type=Path, required=True, metavar="STUDY", help="an absent or empty folder")
    back.set_defaults(work=run_restore)

    check = add_command(
        verbs, "check-protocol", help="check a protocol file",
        description="Check a protocol file. Every mistake is told with its place in the file, its code and a sentence. Exit code 4 where there is a fault, 0 with warnings alone.",
    )  # fmt: skip
    check.add_argument("file", type=Path, metavar="FILE", help="protocol file (nodus.protocol/2, or /1 of earlier studies), or a shipped protocol's name")
    check.set_defaults(work=run_check_protocol)
    treating.register(verbs)
    adjudicating.register(verbs)
    reconciling.register(verbs)
    subjects.register(verbs)
    cohort.register(verbs)
    for verb in verbs.choices.values():
        add_json(verb)

    export = add_command(commands, "export", help="write locked readings for the EDC, with a receipt")
    export.add_argument("study", type=Path, metavar="STUDY", help="folder of the study")
    export.add_argument("--format", required=True, help="csv, redcap, odm-1.3.2, odm-2.0, sdtm-xpt, dataset-json, pdf, plan-sheet (of every kept plan run that is not refused), dicom-sr (with its segmentation), dicom-seg, dicom-labelmap, dicom-rtstruct, dicom-pdf, dicom-key-image or dicom-field")
    export.add_argument("--out", type=Path, required=True, metavar="PATH", help="folder to write into (for one PDF also a file)")
    export.add_argument("--subject", help="PDF and DICOM: only this subject")
    export.add_argument("--per", choices=("subject", "visit", "reading"), help="PDF: a report of every subject (the default), visit or reading")
    export.add_argument("--visit", metavar="NAME", help="PDF: only visits of this name; without --per a report of each")
    export.add_argument("--reading", metavar="ID", help="PDF: only this reading, in the version that is locked")
    export.add_argument("--mapping", type=Path, metavar="FILE", help="the trial's own EDC mapping (nodus.edc/1) instead of the shipped one")
    add_json(export)
    export.set_defaults(work=run_export)

    audit = add_command(commands, "audit", help="the study's chain of changes")
    checks = audit.add_subparsers(dest="verb", metavar="VERB", required=True)
    verify = add_command(checks, "verify", help="find any altered, removed, reordered or inserted change")
    verify.add_argument("study", type=Path, metavar="STUDY", help="folder of the study")
    verify.add_argument("--anchor", type=Path, metavar="FILE", help="an audit head kept elsewhere; finds truncation and rebuilds")
    add_json(verify)
    adjudicating.register_audit(checks)
    verify.set_defaults(work=run_verify)


def opened(path: Path):
    """Open a study folder or database URL; in a study with users, as the user of the command line."""
    from app.cli.signing_in import sign_in
    from app.study.store import StudyStore

    return sign_in(StudyStore.open(path))


def run_init(args) -> int:
    """Make a study."""
    from app.study.store import StudyStore

    with StudyStore.create(args.study, protocol=args.protocol) as store:
        emit({"study": store.place.label, "study_id": store.study_id, "protocol": store.protocol.stamp}, as_json=args.json, human=f"study made in {store.place.label}, protocol {store.protocol.stamp}")
    return 0


def run_import(args) -> int:
    """Import pictures."""
    from app.usecases.import_images import import_folder
    from app.usecases.trial_identity import set_site

    with opened(args.study) as store:
        need(store, "images")
        if args.site:
            set_site(store, args.subject, args.site)
        result = import_folder(store, args.subject, args.visit, args.path, progress_context(), confirmed=confirmations(args), confirm_all=args.confirm_all, dates_shifted=args.dates_shifted)
        shifted = next(s.dates_shifted for s in store.subjects() if s.subject_id == args.subject)
    answer = {
        "visit": result.visit.name,
        "actual_date": result.visit.actual_date,
        "dates_shifted": shifted,
        "series": [{"series_id": s.series_id, "series_uid": s.series_uid, "modality": s.modality, "kind": s.kind, "files": len(s.files), "findings": list(s.findings)} for s in result.series],
        "skipped": [s.to_dict() for s in result.skipped],
        "findings": [f.as_dict() for f in result.findings],
    }
    emit(answer, as_json=args.json, human="".join(f"{f.message} [{f.code}]\n" for f in result.findings) + f"{len(result.series)} series imported for {args.subject}, {result.visit.name}; {len(result.skipped)} files left out" + "".join(f"\n  {s.file}: {s.message} [{s.code}]" for s in result.skipped if s.code == "needs_review"))
    return 0


def run_add_node(args) -> int:
    """Add a node."""
    with opened(args.study) as store:
        node = store.add_node(args.subject, args.node, args.side, args.level)
    emit({"node_id": node.node_id, "node": node.label}, as_json=args.json, human=f"node {node.label} added")
    return 0


def run_propagate(args) -> int:
    """Carry an outline to another visit."""
    from app.usecases.propagate import propagate_reading

    with opened(args.study) as store:
        need(store, READING_RIGHTS[args.role])
        store.check_own(args.reader)
        saved, outline = propagate_reading(
            store, subject=args.subject, node=args.node, from_visit=args.from_visit, to_visit=args.to_visit, reader=args.reader, modality=args.modality,
            role=args.role, series_uid=args.series, reason=args.reason, context=progress_context(),
        )  # fmt: skip
    fit = "fit not measured" if outline.residual_mm is None else f"residual {outline.residual_mm:.1f} mm"
    emit(
        {"reading_id": saved.reading_id, "version": saved.version, "state": str(saved.state), "volume_ml": saved.volume_ml, "volume_interval_ml": saved.volume_interval_ml, "propagated": True, "registration": outline.as_dict(), "warnings": list(saved.warnings)},
        as_json=args.json,
        human=f"draft {saved.reading_id} of {args.node} at {args.to_visit}: {saved.volume_ml:.3f} ml, carried over from {args.from_visit} ({fit}); check it slice by slice before it is measured",
    )
    return 0


def run_set_node(args) -> int:
    """State or change a node's side and level."""
    from app.usecases.readings import find_node

    with opened(args.study) as store:
        node = store.update_node(find_node(store, args.subject, args.node).node_id, reason=args.reason, side=args.side, level=args.level)
    emit({"node": node.label, "side": str(node.side), "level": node.level}, as_json=args.json, human=f"{node.label}: {node.side}, level {node.level}")
    return 0


def run_lock(args) -> int:
    """Lock readings."""
    from app.cli.signing_in import signing_password
    from app.study.signing import lock_note
    from app.usecases.readings import find_node, find_visit

    with opened(args.study) as store:
        need(store, *ANY_READER)
        if args.reading:
            chosen = [args.reading]
        else:
            filters = {"subject_id": args.subject, "reader": args.reader, "state": "measured"}
            if (args.visit or args.node) and not args.subject:
                raise NodusError("--visit and --node need --subject.", code="subject_missing")
            if args.visit:
                filters["visit_id"] = find_visit(store, args.subject, args.visit).visit_id
            if args.node:
                filters["node_id"] = find_node(store, args.subject, args.node).node_id
            chosen = [r.reading_id for r in store.readings(**filters)]
        if not chosen:
            raise NodusError("No measured reading fits; nothing was locked.", code="nothing_to_lock")
        password = signing_password(store)
        locked = [store.lock_reading(reading_id, args.name, args.meaning, password=password) for reading_id in chosen]
    emit(
        {"locked": [{"reading_id": r.reading_id, "version": r.version, "locked_utc": r.locked_utc, "locked_by": r.locked_by, "meaning": r.lock_meaning, "note": lock_note(r), "signature_id": r.signature_id} for r in locked]},
        as_json=args.json,
        human=f"{len(locked)} readings locked by {locked[0].locked_by} ({lock_note(locked[0])})",
    )
    return 0


def run_status(args) -> int:
    """List subjects, visits with their windows and status, nodes and readings."""
    import datetime as dt

    from app.study.rules import check_date
    from app.study.schedule import study_schedule

    on = dt.date.fromisoformat(check_date(args.on, "day") or dt.date.today().isoformat())
    with opened(args.study) as store:
        shot = store.snapshot()
    planned = study_schedule(shot, on=on)
    answer = {
        "study_id": shot.study_id,
        "name": shot.name,
        "on": on.isoformat(),
        "subjects": [
            {
                "subject": s.subject_id,
                "visits": [{"visit": v.name, "order": v.order, "actual_date": v.actual_date} for v in shot.visits if v.subject_id == s.subject_id],
                "nodes": [{"node": n.label, "side": str(n.side), "level": n.level} for n in shot.nodes if n.subject_id == s.subject_id],
                "readings": {
                    state: sum(1 for r in shot.readings if r.subject_id == s.subject_id and str(r.state) == state) for state in ("draft", "measured", "locked", "superseded")
                },
                **planned[s.subject_id],
            }
            for s in shot.subjects
        ],
    }

    def now(subject: dict) -> str:
        return ", ".join(f"{r['visit']} {r['status']}" for r in subject["schedule"] if r["status"] in ("due", "overdue", "missed", "out_of_window")) or "-"

    def salvage(subject: dict) -> str:
        told = subject["salvage"]
        left = "" if told is None or not told["indicated"] else f" ({', '.join(n['node'] for n in told['nodes'] if n['residual'])} enhances)"
        return "-" if told is None else told["state"] + left + ("" if told["days_left"] is None else f", {told['deadline']}, {abs(told['days_left'])} days {'left' if told['days_left'] >= 0 else 'ago'}")

    rows = [
        [s["subject"], str(len(s["visits"])), str(len(s["nodes"])), str(s["readings"]["measured"]), str(s["readings"]["locked"]), now(s), salvage(s)] for s in answer["subjects"]
    ]
    emit(answer, as_json=args.json, human=f"on {on.isoformat()}\n" + table(rows, ["subject", "visits", "nodes", "measured", "locked", "to do", "salvage"]))
    return 0


def run_response(args) -> int:
    """Volume reduction rates of the study."""
    from app.usecases.assess_response import response_of

    on = None if args.as_of is None else responding.day(args.as_of)
    with opened(args.study) as store:
        refuse_blinded(store, "Rates and volumes of other visits")
        answer = response_of(store, args.subject, as_of=on)
    emit(answer, as_json=args.json, human=responding.human(answer))
    return 0


def run_agreement(args) -> int:
    """Agreement of the study's readers."""
    from app.usecases.agreement import agreement_of_readings

    with opened(args.study) as store:
        refuse_blinded(store, "Figures of other readers")
        answer = agreement_of_readings(store.snapshot())

    def number(value) -> str:
        return "-" if value is None else f"{value:.3f}"

    rows = [
        [" and ".join(p["readers"]), f"{p['modality']} {p['method']}", str(p["nodes"]), str(p["items"]), number(p["icc"]["ICC(2,1)"]["value"]), *(number(v) for v in p["bland_altman"]["limits"]), number(p["repeatability_coefficient"])]
        for p in answer["pairs"]
    ]
    human = answer["missing"] or table(rows, ["readers", "read by", "nodes", "items", "ICC(2,1)", "lower limit ml", "upper limit ml", "repeatability ml"])
    emit(answer, as_json=args.json, human=human)
    return 0


def run_backup(args) -> int:
    """Copy a study."""
    from app.study.backup import backup

    with opened(args.study) as store:
        manifest = backup(store, args.out)
    emit({"backup": str(args.out), "study_id": manifest["study_id"], "files": len(manifest["files"])}, as_json=args.json, human=f"{len(manifest['files'])} files copied to {args.out}")
    return 0


def run_restore(args) -> int:
    """Bring a study back and verify its chain."""
    from app.study.audit import verify
    from app.study.backup import restore

    with restore(args.backup, args.out) as store:
        report = verify(store)
        answer = {"study": str(args.out), "study_id": store.study_id, "audit_ok": report.ok}
    emit(answer, as_json=args.json, human=f"study restored to {args.out}; audit {'verifies' if report.ok else 'FAILS'}")
    return 0 if report.ok else 4


def run_check_protocol(args) -> int:
    """Check a protocol file; 4 where it has a fault, 0 with warnings alone."""
    from app.study.protocol import check_file

    content, found = check_file(args.file)
    faults, notes = ([f for f in found if (f.severity == "error") is errors] for errors in (True, False))
    stamp = None if faults else f"{content['id']}/{content['version']}"
    answer = {"ok": not faults, "protocol": stamp, "faults": [f.to_dict() for f in faults], "warnings": [f.to_dict() for f in notes]}
    lines = [f"{stamp}: no fault found" if not faults else f"{args.file.name}: {len(faults)} fault{'s' if len(faults) > 1 else ''}"]
    lines += [f"  {f.path or 'file'}: {f.message} [{f.code}]" + ("" if f.severity == "error" else " (warning)") for f in (*faults, *notes)]
    emit(answer, as_json=args.json, human="\n".join(lines))
    return 0 if not faults else 4


def run_export(args) -> int:
    """Export locked readings."""
    from app.usecases.export_edc import export_study

    with opened(args.study) as store:
        refuse_blinded(store, "Exports")
        store.require("export")
        receipt = export_study(store, args.format, args.out, subject_id=args.subject, visit=args.visit, reading_id=args.reading, per=args.per, mapping_file=args.mapping)
    emit(receipt, as_json=args.json, human="\n".join(f"{f['path']}: {f['rows']} rows, sha256 {f['sha256']}" for f in receipt["files"]))
    return 0


def run_verify(args) -> int:
    """Verify the chain; 4 where it is broken, also where the study no longer opens."""
    from app.study.audit import verify_folder

    report = verify_folder(args.study, args.anchor)
    answer = report.to_dict()
    human = f"{answer['events']} events, " + ("no fault found" if answer["ok"] else f"{len(answer['faults'])} faults, the first at event {answer['first_bad_event']}")
    for fault in answer["faults"]:
        human += f"\n  {fault['where']}: {fault['message']} [{fault['code']}]"
    if args.anchor is None:
        say("no anchor was given: a chain cut off or rebuilt as a whole cannot be told from a short one; give --anchor FILE")
    elif answer["anchor_note"]:
        say(answer["anchor_note"])
    elif answer["anchor_signature"] == "good":
        human += f", up to an anchor signed by key {answer['anchor_key']}"
    emit(answer, as_json=args.json, human=human)
    return 0 if answer["ok"] else 4
