"""``pacs``: ask a PACS, fetch from it, send to it. What a scanner sends: ``pacs_receive``."""

from __future__ import annotations

import dataclasses
import datetime as dt
import getpass
import sys
from pathlib import Path

from app.cli import pacs_receive
from app.cli.deidentify import add_confirmations, confirmations
from app.cli.output import add_command, add_json, emit, progress_context, say, table
from volumetry.errors import NodusError

PEER_OPTIONS = ("host", "port", "aet", "our_aet", "tls", "ca_file", "cert_file", "key_file", "retrieve", "receive_host", "receive_port", "url", "sign_in", "user")
FIELDS = {"aet": "ae_title", "our_aet": "our_ae_title", "cert_file": "certificate_file"}


def register(commands) -> None:
    """Add the pacs commands."""
    pacs = add_command(commands, "pacs", help="ask a PACS, fetch from it, send to it; by DIMSE or DICOMweb")
    verbs = pacs.add_subparsers(dest="verb", metavar="VERB", required=True)

    echo = add_command(verbs, "echo", help="ask whether the PACS answers")
    _add_peer(echo)
    echo.set_defaults(work=run_echo)

    find = add_command(verbs, "find", help="find studies, or the series of one; * and ? are wildcards")
    _add_peer(find)
    find.add_argument("--patient-id", default="", help="patient ID (any without it)")
    find.add_argument("--patient-name", default="", help="patient name, for example 'DOE*' (any without it)")
    find.add_argument("--accession", default="", help="accession number (any without it)")
    find.add_argument("--from", dest="date_from", type=_day, metavar="YYYY-MM-DD", help="first study date")
    find.add_argument("--to", dest="date_to", type=_day, metavar="YYYY-MM-DD", help="last study date")
    find.add_argument("--modality", default="", help="CT, US, MR ... (any without it)")
    find.add_argument("--description", default="", help="description, for example '*neck*' (any without it)")
    find.add_argument("--study-uid", default="", help="list the series of this study")
    find.add_argument("--limit", type=int, default=200, help="at most so many answers (200 without it)")
    find.set_defaults(work=run_find)

    get = add_command(verbs, "get", help="fetch whole series into a folder, or into a study")
    _add_peer(get)
    get.add_argument("--study-uid", required=True, help="the study")
    get.add_argument("--series-uid", action="append", default=[], metavar="UID", help="a series of it, as often as needed (all without it)")
    place = get.add_mutually_exclusive_group(required=True)
    place.add_argument("--out", type=Path, metavar="FOLDER", help="folder to fetch into; what is there already is not fetched again")
    place.add_argument("--study", type=Path, metavar="STUDY", help="study folder to import into; identifying header values are removed")
    get.add_argument("--subject", help="with --study: pseudonym of the subject")
    get.add_argument("--visit", help="with --study: name of the visit")
    add_confirmations(get, "the folder that it was fetched into")
    get.set_defaults(work=run_get)

    send = add_command(verbs, "send", help="send DICOM files or folders as they are; what the PACS has is not sent again")
    _add_peer(send)
    send.add_argument("paths", type=Path, nargs="+", metavar="PATH", help="file or folder")
    send.set_defaults(work=run_send)

    pacs_receive.register(verbs)

    add = add_command(verbs, "add-peer", help="keep a PACS under a name, in place of an earlier one of that name")
    add.add_argument("name", metavar="NAME", help="short name")
    _add_place(add)
    add.set_defaults(work=run_add_peer)

    listing = add_command(verbs, "list-peers", help="the PACS that are kept")
    listing.set_defaults(work=run_list_peers)

    remove = add_command(verbs, "remove-peer", help="forget a PACS, and its password or token")
    remove.add_argument("name", metavar="NAME", help="its name")
    remove.set_defaults(work=run_remove_peer)

    token = add_command(verbs, "set-token", help="put the password or token of a PACS, read from standard input, into the system's keyring")
    token.add_argument("name", metavar="NAME", help="name of the PACS")
    token.set_defaults(work=run_set_token)
    for verb in verbs.choices.values():
        add_json(verb)


def _add_peer(parser) -> None:
    parser.add_argument("--peer", metavar="NAME", help="a PACS that is kept (the only one without it)")
    _add_place(parser)


def _add_place(parser) -> None:
    parser.add_argument("--host", help="DIMSE: host of the PACS")
    parser.add_argument("--port", type=int, help="DIMSE: its port (104 without it)")
    parser.add_argument("--aet", help="DIMSE: its AE title")
    parser.add_argument("--our-aet", help="DIMSE: our AE title (NODUS without it)")
    parser.add_argument("--retrieve", choices=("get", "move"), help="DIMSE: fetch by C-GET, or by C-MOVE to us (get without it)")
    parser.add_argument("--receive-host", help="C-MOVE: address we listen on (this computer only without it)")
    parser.add_argument("--receive-port", type=int, help="C-MOVE: port we listen on (11112 without it)")
    parser.add_argument("--url", help="DICOMweb: address, for example https://host/dicom-web")
    parser.add_argument("--sign-in", choices=("none", "basic", "bearer"), help="DICOMweb: with a password, a token or neither (none without it)")
    parser.add_argument("--user", help="DICOMweb: user name for a password")
    parser.add_argument("--tls", choices=("none", "system", "own"), help="encryption: trust what this computer trusts, or only --ca-file (none without it; https always encrypts)")
    parser.add_argument("--ca-file", metavar="FILE", help="own encryption: certificate authority to trust")
    parser.add_argument("--cert-file", metavar="FILE", help="own encryption: our certificate")
    parser.add_argument("--key-file", metavar="FILE", help="own encryption: its key")


def _day(text: str) -> dt.date:
    return dt.date.fromisoformat(text)


def _peer_from(args, name: str | None = None):
    """The PACS that the options describe, or the one that is kept."""
    from app.usecases.pacs import find_peer
    from dicom_io.peer import Peer

    given = {FIELDS.get(k, k): v for k in PEER_OPTIONS if (v := getattr(args, k)) is not None}
    for key in ("ca_file", "certificate_file", "key_file"):
        if key in given:
            given[key] = str(Path(given[key]).resolve())
    if name is not None:
        return Peer(name, **given)
    if "host" in given or "url" in given:
        if args.peer is not None:
            raise NodusError("Give --peer, or the place of the PACS, not both.", code="pacs_request_invalid")
        return Peer("PACS", **given)
    return dataclasses.replace(find_peer(args.peer), **given)


def _peer_dict(peer) -> dict:
    return {k: v for k, v in dataclasses.asdict(peer).items() if v is not None} | {"protocol": peer.protocol}


def run_echo(args) -> int:
    """Ask whether the PACS answers."""
    from app.usecases.pacs import echo

    peer = _peer_from(args)
    seconds = echo(peer, progress_context())
    emit({"ok": True, "peer": peer.name, "protocol": peer.protocol, "seconds": seconds}, as_json=args.json, human=f"{peer.name} answers ({peer.place}, {seconds:.2f} s)")
    return 0


def run_find(args) -> int:
    """Studies, or the series of one."""
    from app.usecases.pacs import find
    from dicom_io.peer import Query

    peer = _peer_from(args)
    query = Query(args.patient_id, args.patient_name, args.date_from, args.date_to, args.modality, args.description, args.study_uid, args.limit, args.accession)
    answer = find(peer, query, progress_context())
    rows = [dataclasses.asdict(r) for r in answer.results]
    if query.level == "study":
        human = table([[r.patient_id, r.patient_name, r.study_date or "", r.modality.replace("\\", "/"), r.description, r.accession, r.instance_count, r.study_uid] for r in answer.results], ["patient", "name", "date", "modality", "description", "accession", "images", "study"])
    else:
        human = table([[r.series_number, r.modality, r.description, r.instance_count, r.series_uid] for r in answer.results], ["no", "modality", "description", "images", "series"])
    emit({"level": query.level, "results": rows, "more": answer.more}, as_json=args.json, human=human + ("\n(more were found; narrow the search)" if answer.more else ""))
    return 0


def run_get(args) -> int:
    """Fetch whole series into a folder or a study."""
    from app.usecases.pacs import Wanted, connect, retrieve, retrieve_into_study

    if args.study is not None and not (args.subject and args.visit):
        raise NodusError("An import needs --subject and --visit.", code="pacs_request_invalid")
    peer, context = _peer_from(args), progress_context()
    wanted = [Wanted(args.study_uid, uid) for uid in args.series_uid] or [Wanted(args.study_uid)]
    if args.out is not None:
        done = retrieve(connect(peer), wanted, args.out, context)
        rows = [{"series_uid": r.series_uid, "folder": str(r.folder), "instances": r.instances, "fetched": r.fetched, "already_there": r.already_there} for r in done]
        emit({"series": rows}, as_json=args.json, human=f"{sum(r.instances for r in done)} pictures of {len(done)} series in {args.out} ({sum(r.fetched for r in done)} fetched now)")
        return 0
    from app.cli.signing_in import need, sign_in
    from app.study.store import StudyStore

    with sign_in(StudyStore.open(args.study)) as store:
        need(store, "images")
        result = retrieve_into_study(store, args.subject, args.visit, peer, wanted, context, confirmed=confirmations(args), confirm_all=args.confirm_all)
    pacs_receive.emit_import(args, result)
    return 0


def run_send(args) -> int:
    """Send files and folders; 3 where the PACS refused any."""
    from app.usecases.pacs import send

    result = send(_peer_from(args), args.paths, progress_context())
    refused = [dataclasses.asdict(x) for x in result.left_out]
    answer: dict = {"sent": result.sent, "already_there": result.already_there, "left_out": refused}
    for entry in refused:
        say(f"{entry['message']} [{entry['code']}]")
    # A file that is no DICOM was never meant; one that the PACS did not take was.
    meant = [x for x in result.left_out if x.code not in ("not_dicom", "duplicate_slice")]
    if meant:
        answer["error"] = NodusError(f"{len(meant)} files were not taken; the first: {meant[0].message}", code=meant[0].code).as_dict()
    emit(answer, as_json=args.json, human=f"{result.sent} files sent, {result.already_there} were there, {len(refused)} left out")
    return 3 if meant else 0


def run_add_peer(args) -> int:
    """Keep a PACS."""
    from app.usecases.pacs import save_peer

    peer = _peer_from(args, args.name)
    save_peer(peer)
    emit(_peer_dict(peer), as_json=args.json, human=f"{peer.name}: {peer.place}")
    return 0


def run_list_peers(args) -> int:
    """The PACS that are kept."""
    from app.usecases.pacs import load_peers

    peers = load_peers()
    emit({"peers": [_peer_dict(p) for p in peers]}, as_json=args.json, human=table([[p.name, p.protocol, p.place] for p in peers], ["name", "protocol", "place"]))
    return 0


def run_remove_peer(args) -> int:
    """Forget a PACS."""
    from app.usecases.pacs import remove_peer

    remove_peer(args.name)
    emit({"removed": args.name}, as_json=args.json, human=f"{args.name} is forgotten")
    return 0


def run_set_token(args) -> int:
    """Put a secret into the keyring; it is never an argument, which others on the computer could read."""
    from app.secrets import keep_secret
    from app.usecases.pacs import find_peer

    peer = find_peer(args.name)
    secret = getpass.getpass(f"Password or token of {peer.name}: ") if sys.stdin.isatty() else sys.stdin.readline()
    secret = secret.strip()
    if not secret:
        raise NodusError("Nothing was given.", code="pacs_token_missing")
    keep_secret(peer.name, secret)
    emit({"kept": peer.name}, as_json=args.json, human=f"The secret of {peer.name} is in the system's keyring")
    return 0
