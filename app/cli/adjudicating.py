"""``study adjudicate``, ``worklist``, ``readers``; ``audit key``, ``anchor``, ``list``."""

from __future__ import annotations

import os
from pathlib import Path

from app.cli.output import add_command, add_json, emit, table
from app.cli.signing_in import read_password, refuse_blinded, signing_password
from app.study.errors import StudyRefused
from app.study.model import METHODS, MODALITIES

KEY_VARIABLE, PASSPHRASE_VARIABLE = "NODUS_AUDIT_KEY", "NODUS_AUDIT_PASSPHRASE"


def register(verbs) -> None:
    """Add the verbs to ``study``."""
    judge = add_command(verbs, "adjudicate", help="list the pairs of readings that wait for an adjudicator, or select a reader for one", description="List the pairs of readings that differ as the protocol says and wait for an adjudicator, or, with --select, select the reader who counts for the node's baseline and visit. The selected reader's baseline then stays fixed.")
    judge.add_argument("study", type=Path, metavar="STUDY", help="folder of the study")
    judge.add_argument("--subject", help="pseudonym or case code")
    judge.add_argument("--node", help="label of the node, for example N1")
    judge.add_argument("--visit", help="name of the visit")
    judge.add_argument("--select", metavar="READER", help="reader who counts: a name, or A or B as the list shows them")
    judge.add_argument("--reason", help="why (required with --select)")
    judge.add_argument("--name", help="name of the adjudicator, in a study without users")
    judge.add_argument("--modality", choices=MODALITIES, help="where several differ")
    judge.add_argument("--method", choices=METHODS, help="where several differ")
    judge.set_defaults(work=run_adjudicate)

    work = add_command(verbs, "worklist", help="what a reader has to read, in the reader's own order")
    work.add_argument("study", type=Path, metavar="STUDY", help="folder of the study")
    work.add_argument("--reader", help="reader (who signed in, without it)")
    work.set_defaults(work=run_worklist)

    readers = add_command(verbs, "readers", help="how the central readers agree: agreement, adjudication rate, disagreement index, drift")
    readers.add_argument("study", type=Path, metavar="STUDY", help="folder of the study")
    readers.set_defaults(work=run_readers)


def register_audit(checks) -> None:
    """Add the verbs to ``audit``."""
    key = add_command(checks, "key", help="make or take the key that signs the audit head, and name it in the study", description=f"Make or take the key that signs the audit head, and name it in the study. Without --file it lies in the system's keyring; a file is kept under a passphrase ({PASSPHRASE_VARIABLE}, or asked for), and {KEY_VARIABLE} names it in later runs.")
    key.add_argument("study", type=Path, metavar="STUDY", help="folder of the study")
    key.add_argument("--file", type=Path, metavar="KEY.pem", help="key file outside the study; made where there is none")
    add_json(key)
    key.set_defaults(work=run_key)

    anchor = add_command(checks, "anchor", help="write the audit head, signed where the study has a key, to keep elsewhere")
    anchor.add_argument("study", type=Path, metavar="STUDY", help="folder of the study")
    anchor.add_argument("--out", type=Path, required=True, metavar="FILE", help="file to write, on another disk")
    add_json(anchor)
    anchor.set_defaults(work=run_anchor)

    listing = add_command(checks, "list", help="events of the audit trail, newest last")
    listing.add_argument("study", type=Path, metavar="STUDY", help="folder of the study")
    listing.add_argument("--object", metavar="TEXT", help="only objects whose name begins so, for example readings:")
    listing.add_argument("--by", metavar="USER", help="only by this user")
    listing.add_argument("--action", help="only this action")
    listing.add_argument("--since", metavar="UTC", help="only from this time on, for example 2026-03-31")
    listing.add_argument("--limit", type=int, default=100, help="the newest so many that fit (100 without it)")
    add_json(listing)
    listing.set_defaults(work=run_list)


def run_adjudicate(args) -> int:
    """List or select."""
    from app.cli.study import opened
    from app.study.adjudication import open_differences, reader_codes
    from app.usecases.readings import find_node, find_visit

    with opened(args.study) as store:
        if args.select is None:
            store.require("adjudicate") if store.blinded else store.require("see_all")
            shot, seen = store.site_snapshot(store._whole_snapshot()), store.snapshot()
            codes = {s.subject_id: c for s, c in zip(shot.subjects, _case_codes(store, shot), strict=True)}
            labels, visits = {n.node_id: n.label for n in shot.nodes}, {v.visit_id: v.name for v in shot.visits}
            waiting = []
            for d in open_differences(shot):
                names = reader_codes(d.node_id, d.readings)
                waiting.append(
                    {
                        "subject": codes[d.subject_id], "node": labels[d.node_id], "visit": visits[d.visit_id], "modality": d.modality, "method": d.method, "triggers": list(d.triggers),
                        "readings": [
                            {"reader": names[r], "status": str(x.status), "volume_ml": x.volume_ml, "baseline_volume_ml": None if d.baselines.get(r) is None else d.baselines[r].volume_ml, "enhancement_grade": x.enhancement_grade}
                            for r, x in sorted(d.readings.items(), key=lambda item: names[item[0]])
                        ],
                    }
                )  # fmt: skip
            rows = [[w["subject"], w["node"], w["visit"], f"{w['modality']} {w['method']}", ", ".join(w["triggers"])] for w in waiting]
            done = [{"adjudication_id": a.adjudication_id, "node": labels[a.node_id], "visit": visits[a.visit_id], "selected_reader": a.selected_reader, "adjudicator": a.adjudicator, "reason": a.reason, "created_utc": a.created_utc} for a in seen.adjudications]
            emit({"waiting": waiting, "adjudicated": done}, as_json=args.json, human=table(rows, ["subject", "node", "visit", "read by", "differs"]) if rows else "nothing waits for an adjudicator")
            return 0
        for option in ("subject", "node", "visit", "reason"):
            if not getattr(args, option):
                raise StudyRefused(f"--select needs --{option}.", code="adjudication_unclear")
        made = store.adjudicate(
            find_node(store, args.subject, args.node).node_id, find_visit(store, args.subject, args.visit).visit_id, args.select,
            reason=args.reason, modality=args.modality, method=args.method, adjudicator=args.name, password=signing_password(store),
        )  # fmt: skip
        # Whom a code stood for is not told to a blinded adjudicator.
        chosen = args.select if store.blinded else made.selected_reader
    emit(
        {"adjudication_id": made.adjudication_id, "selected_reader": chosen, "triggers": list(made.triggers), "adjudicator": made.adjudicator, "created_utc": made.created_utc, "signature_id": made.signature_id},
        as_json=args.json,
        human=f"{chosen} counts for {args.node} from now on",
    )
    return 0


def _case_codes(store, shot) -> list[str]:
    if not store.blinded:
        return [s.subject_id for s in shot.subjects]
    view = store.view_as(store.user, role="adjudicator")
    return [view.case_of(s.subject_id) for s in shot.subjects]


def run_worklist(args) -> int:
    """List what is to be read."""
    from app.cli.study import opened

    with opened(args.study) as store:
        items = [item.to_dict() for item in store.worklist(args.reader or args.eyes)]
    rows = [[i["case"], i["visit"], i["state"] if i["waits_for"] is None else f"after {i['waits_for']}", f"{i['nodes_locked']} of {i['nodes']}", "-" if i["salvage_days_left"] is None else str(i["salvage_days_left"])] for i in items]
    emit({"worklist": items}, as_json=args.json, human=table(rows, ["case", "visit", "state", "nodes locked", "days left for a salvage"]))
    return 0


def run_readers(args) -> int:
    """Statistics of readers."""
    from app.cli.study import opened
    from app.study.blinding import reader_statistics

    with opened(args.study) as store:
        refuse_blinded(store, "Statistics of readers")
        answer = reader_statistics(store.snapshot())

    def number(value) -> str:
        return "-" if value is None else f"{value:.2f}"

    pairs = [[" and ".join(p["readers"]), str(p["read_by_both"]), str(p["differ"]), number(p["agreement_rate"]), str(p["adjudicated"]), number(p["adjudication_rate"])] for p in answer["pairs"]]
    readers = [[r["reader"], f"{r['not_selected']} of {r['adjudicated']}", number(r["disagreement_index"]), number(r["mean_difference_pct"]), number(r["drift_pct"])] for r in answer["readers"]]
    human = table(pairs, ["readers", "read by both", "differ", "agreement", "adjudicated", "rate"]) + "\n\n" + table(readers, ["reader", "not selected", "disagreement index", "mean difference %", "drift %"])
    emit(answer, as_json=args.json, human=human if pairs else "no node was locked by two central readers")
    return 0


def run_key(args) -> int:
    """Make or take the signing key."""
    from app.cli.study import opened
    from app.study.anchors import KEY_SETTING, key_from_file, key_from_keyring, new_key_file

    with opened(args.study) as store:
        if args.file is None:
            signer, place = key_from_keyring(make=True), "keyring"
        else:
            passphrase = read_password("Passphrase of the key: ", from_stdin=False, variable=PASSPHRASE_VARIABLE)
            if passphrase is None:
                raise StudyRefused("The passphrase is missing.", code="password_missing", hint=f"Use a terminal, or {PASSPHRASE_VARIABLE}.")
            signer, place = (key_from_file if args.file.exists() else new_key_file)(args.file, passphrase), "file"
        store.set_setting(KEY_SETTING + signer.fingerprint, {"public_key": signer.public_key, "kept_in": place})
        store.signer = signer
        store.write_anchor()
    note = f"; set {KEY_VARIABLE}={args.file} in later runs" if place == "file" and os.environ.get(KEY_VARIABLE) != str(args.file) else ""
    emit({"fingerprint": signer.fingerprint, "public_key": signer.public_key, "kept_in": place}, as_json=args.json, human=f"audit heads are signed with key {signer.fingerprint} ({place}){note}")
    return 0


def run_anchor(args) -> int:
    """Write the head."""
    from app.cli.study import opened
    from app.study.audit import read_anchor_content

    with opened(args.study) as store:
        store.write_anchor(args.out)
    content = read_anchor_content(args.out)
    signed = "signed" if "signature" in content else "not signed"
    emit({"anchor": str(args.out), **content}, as_json=args.json, human=f"{content['events']} events, {content['sha256'][:16]}, {signed}: {args.out}")
    return 0


def run_list(args) -> int:
    """List events."""
    from app.cli.study import opened

    with opened(args.study) as store:
        events = [
            e for e in store.events(object_prefix=args.object)
            if args.by in (None, e["user"]) and args.action in (None, e["action"]) and (args.since is None or e["utc"] >= args.since)
        ][-max(args.limit, 0) :]  # fmt: skip
    rows = [[str(e["seq"]), e["utc"][:19], e["user"], e["action"], e["object"], e["field"] or "", _short(e["old"]), _short(e["new"]), e["reason"] or ""] for e in events]
    emit({"events": events}, as_json=args.json, human=table(rows, ["no", "UTC", "who", "what", "object", "field", "old", "new", "why"]))
    return 0


def _short(text: str | None) -> str:
    return "" if text is None else text if len(text) <= 24 else text[:23] + "…"
