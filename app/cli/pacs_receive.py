"""``pacs receive`` and what follows: take what a scanner or PACS sends, list it, import it, remove it."""

from __future__ import annotations

import dataclasses
import datetime as dt
import signal
import threading
from pathlib import Path

from app.cli.deidentify import add_confirmations, confirmations
from app.cli.output import add_command, emit, progress_context, say, table


def register(verbs) -> None:
    """Add the verbs to those of ``pacs``."""
    receive = add_command(verbs, "receive", help="receive what a scanner or PACS sends, until stopped with Ctrl+C")
    receive.add_argument("--port", type=int, required=True, help="port to listen on")
    receive.add_argument("--allow", action="append", required=True, metavar="AET", help="AE title that may send, as often as needed; nobody else may")
    _add_folder(receive, "--out", "folder to write into")
    receive.add_argument("--aet", default="NODUS", help="our AE title (NODUS without it)")
    receive.add_argument("--host", default="127.0.0.1", help="address to listen on (this computer only without it)")
    receive.add_argument("--cert-file", metavar="FILE", help="encrypt with this certificate of ours")
    receive.add_argument("--key-file", metavar="FILE", help="its key")
    receive.add_argument("--ca-file", metavar="FILE", help="only senders whose certificate this authority signed come in")
    receive.set_defaults(work=run_receive)

    received = add_command(verbs, "received", help="studies that were received and wait; patients masked")
    _add_folder(received, "--from", "folder that was received into")
    received.add_argument("--names", action="store_true", help="show names and IDs")
    received.set_defaults(work=run_received)

    bring = add_command(verbs, "import-received", help="import a study that was received for one subject and visit; identifying header values are removed")
    bring.add_argument("study_uid", metavar="UID", help="its study UID, as pacs received lists it")
    bring.add_argument("--study", type=Path, required=True, metavar="STUDY", help="study folder to import into")
    bring.add_argument("--subject", required=True, help="pseudonym of the subject")
    bring.add_argument("--visit", required=True, help="name of the visit")
    _add_folder(bring, "--from", "folder that was received into")
    add_confirmations(bring, "the received study")
    bring.set_defaults(work=run_import_received)

    remove = add_command(verbs, "remove-received", help="remove a study that was received; its sender may not have it any more")
    remove.add_argument("study_uid", metavar="UID", help="its study UID, as pacs received lists it")
    _add_folder(remove, "--from", "folder that was received into")
    remove.set_defaults(work=run_remove_received)


def _add_folder(command, name: str, what: str) -> None:
    command.add_argument(name, dest="folder", type=Path, metavar="FOLDER", help=f"{what} (the one that the window shows without it)")


def _folder(args) -> Path:
    from app.usecases.pacs_receive import inbox

    return args.folder or inbox()


def run_receive(args) -> int:
    """Listen until stopped; then say what came."""
    from app.usecases.pacs_receive import Receiver

    def path(name: str | None) -> str | None:
        return None if name is None else str(Path(name).resolve())

    receiver = Receiver(args.aet, args.port, args.host, tuple(args.allow), path(args.cert_file), path(args.key_file), path(args.ca_file))
    stop = threading.Event()
    for name in ("SIGINT", "SIGTERM"):
        signal.signal(getattr(signal, name), lambda *_: stop.set())
    with receiver.server(_folder(args)) as server:
        how = "encrypted" if server.is_encrypted else "not encrypted"
        say(f"Listening as {args.aet} on {args.host}:{args.port} for {', '.join(args.allow)}, {how}; Ctrl+C stops.")
        if server.is_open_to_network and not server.is_encrypted:
            say("Other computers can reach this port, and what they send is not encrypted: use it on a trusted network only.")
        elif server.is_open_to_network and not receiver.ca_file:
            say("Other computers can reach this port; an AE title proves nobody. With --ca-file senders must prove themselves.")
        while not stop.wait(0.2):
            continue
    emit(dataclasses.asdict(server.received), as_json=args.json, human=f"{server.received.kept} pictures received, {server.received.already_there} were there, {server.received.refused} refused; {server.received.rejected_callers} connections rejected")
    return 0


def run_received(args) -> int:
    """The studies that wait."""
    from app.usecases.pacs_receive import received_studies

    studies = received_studies(_folder(args))
    rows = []
    for s in studies:
        who = [{"patient_id": i, "patient_name": n} for i, n in s.patients] if args.names else s.masked
        newest = dt.datetime.fromtimestamp(s.newest_s, dt.UTC).isoformat(timespec="seconds")
        rows.append({"study_uid": s.study_uid, "patients": who, "study_date": s.study_date, "modalities": list(s.modalities), "series": s.series, "pictures": s.pictures, "others": s.others, "newest_utc": newest, "is_arriving": s.is_arriving})
    shown = [["; ".join(f"{n} ({i})" for i, n in s.patients) if args.names else s.masked, s.study_date or "", "/".join(s.modalities), s.series, s.pictures, "arriving" if s.is_arriving else "", s.study_uid] for s in studies]
    emit({"studies": rows}, as_json=args.json, human=table(shown, ["patient", "date", "modality", "series", "pictures", "", "study"]))
    return 0


def run_import_received(args) -> int:
    """Import one of them."""
    from app.cli.signing_in import need, sign_in
    from app.study.store import StudyStore
    from app.usecases.pacs_receive import find_received, import_received

    with sign_in(StudyStore.open(args.study)) as store:
        need(store, "images")
        study = find_received(_folder(args), args.study_uid)
        result = import_received(store, args.subject, args.visit, study, progress_context(), confirmed=confirmations(args), confirm_all=args.confirm_all)
    emit_import(args, result)
    return 0


def run_remove_received(args) -> int:
    """Remove one of them."""
    from app.usecases.pacs_receive import find_received, remove_received

    study = find_received(_folder(args), args.study_uid)
    remove_received(study)
    emit({"removed": study.study_uid}, as_json=args.json, human=f"{study.pictures + study.others} files removed")
    return 0


def emit_import(args, result) -> None:
    """What came into the study, and what was left out and why."""
    rows = [{"series_uid": r.series_uid, "modality": r.modality, "kind": r.kind} for r in result.series]
    skipped = [s.to_dict() for s in result.skipped]
    said = "".join(f"\n  {s.file}: {s.message} [{s.code}]" for s in result.skipped)
    emit({"visit": result.visit.name, "series": rows, "skipped": skipped}, as_json=args.json, human=f"{len(rows)} series imported for {args.subject}, {result.visit.name}" + (f"; {len(skipped)} files left out{said}" if skipped else ""))
