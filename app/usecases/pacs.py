"""A hospital's PACS: which there are, what they hold, what is fetched from them into a study, what is sent to them."""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from app.jobs import JobContext
from app.secrets import read_secret
from app.settings import cache_folder, load_entry, save_entry
from app.study.store import StudyStore
from app.usecases.import_images import ImportResult, import_folder
from dicom_io.deidentify import Confirmed
from dicom_io.peer import Limits, Pacs, PacsRefused, Peer, Query, QueryAnswer, QueryResult, RetrieveResult, SendResult
from dicom_io.transfer import retrieve_series, send_files
from volumetry.errors import NodusError

ENTRY = "pacs_peers"
KEPT_DAYS = 3  # pictures of an interrupted retrieve wait so long for the next try


@dataclass(frozen=True, slots=True)
class Wanted:
    """One series to fetch; a whole study where no series is named."""

    study_uid: str
    series_uid: str | None = None


# ---- which there are -----------------------------------------------------------------------------
def load_peers() -> list[Peer]:
    """The PACS kept in the settings, by name; an entry that is none is left out."""
    kept = load_entry(ENTRY)
    known = {f.name for f in dataclasses.fields(Peer)}
    peers = []
    for entry in kept if isinstance(kept, list) else ():
        try:
            peers.append(Peer(**{k: v for k, v in entry.items() if k in known}))
        except (NodusError, TypeError, AttributeError):
            continue
    return sorted(peers, key=lambda p: p.name.lower())


def save_peer(peer: Peer) -> None:
    """Keep a PACS, in place of the one of its name. Raises ``settings_not_kept``."""
    _keep([p for p in load_peers() if p.name != peer.name] + [peer])


def remove_peer(name: str) -> None:
    """Forget a PACS and its secret. Raises ``pacs_peer_missing``, ``settings_not_kept``, ``keyring_unusable``."""
    from app.secrets import forget_secret

    find_peer(name)
    _keep([p for p in load_peers() if p.name != name])
    forget_secret(name)


def _keep(peers: list[Peer]) -> None:
    try:
        save_entry(ENTRY, [{k: v for k, v in dataclasses.asdict(p).items() if v is not None} for p in peers])
    except OSError as problem:
        raise NodusError(f"The choice could not be kept: {problem.strerror or problem}.", code="settings_not_kept", hint="Check the disk and its permissions.") from problem


def find_peer(name: str | None) -> Peer:
    """The PACS of that name; the only one where no name is given. Raises ``pacs_peer_missing``."""
    peers = load_peers()
    if name is None and len(peers) == 1:
        return peers[0]
    for peer in peers:
        if peer.name == name:
            return peer
    told = ", ".join(p.name for p in peers) or "none"
    what = "No PACS was named" if name is None else f"No PACS is called {name}"
    raise NodusError(f"{what}; known: {told}.", code="pacs_peer_missing", hint="Add one with nodus pacs add-peer, or give its host, port and AE title.")


def connect(peer: Peer, *, limits: Limits | None = None) -> Pacs:
    """Something to speak to the PACS with; nothing is sent yet."""
    if peer.protocol == "dicomweb":
        from dicom_io.dicomweb import DicomWebPacs

        return DicomWebPacs(peer, secret=None if peer.sign_in == "none" else read_secret(peer.name), limits=limits)
    from dicom_io.pacs import DimsePacs

    return DimsePacs(peer, limits=limits)


# ---- what they hold ------------------------------------------------------------------------------
def echo(peer: Peer, context: JobContext) -> float:
    """Seconds until the PACS answered."""
    return connect(peer).echo(should_cancel=_stop(context))


def find(peer: Peer, query: Query, context: JobContext) -> QueryAnswer:
    """Studies, or the series of one, newest first. A name or description is also asked for in capitals, in small letters and
    with capital initials, because some PACS tell them apart."""
    pacs = connect(peer)
    found: dict[tuple, QueryResult] = {}
    more = False
    for change in (str, str.upper, str.lower, str.title):
        spelled = dataclasses.replace(query, patient_name=change(query.patient_name), description=change(query.description))
        if change is not str and spelled == query:
            continue
        context.report(f"Asking {peer.name}", None)
        answer = pacs.find(spelled, should_cancel=_stop(context))
        more = more or answer.more
        for result in answer.results:
            found.setdefault((result.study_uid, result.series_uid), result)
    results = _sorted(tuple(found.values()))
    return QueryAnswer(results[: query.limit], more or len(results) > query.limit)


def _sorted(results: Sequence[QueryResult]) -> tuple[QueryResult, ...]:
    """Newest study first; series by their numbers."""
    if results and results[0].level == "series":
        return tuple(sorted(results, key=lambda r: (r.series_number is None, r.series_number, r.series_uid)))
    return tuple(sorted(results, key=lambda r: (r.study_date or "", r.patient_name), reverse=True))


def each_series(pacs: Pacs, wanted: Sequence[Wanted], context: JobContext) -> list[Wanted]:
    """The series wanted, each once; for a whole study, all that the PACS has now."""
    found: dict[Wanted, None] = {}
    for one in wanted:
        if one.series_uid is not None:
            found[one] = None
            continue
        series = pacs.find(Query(study_uid=one.study_uid, limit=10_000), should_cancel=_stop(context)).results
        if not series:
            raise PacsRefused("The PACS has no such study.", code="pacs_nothing_found")
        found |= {Wanted(one.study_uid, r.series_uid): None for r in series}
    return list(found)


# ---- what is fetched -----------------------------------------------------------------------------
def retrieve(pacs: Pacs, wanted: Sequence[Wanted], folder: Path, context: JobContext) -> list[RetrieveResult]:
    """Whole series into ``folder``, one folder each; see ``retrieve_series``."""
    done = []
    wanted = each_series(pacs, wanted, context)
    for n, one in enumerate(wanted):
        part = context.part(n / len(wanted), (n + 1) / len(wanted))
        label = f"Series {n + 1} of {len(wanted)}: " if len(wanted) > 1 else ""
        done.append(retrieve_series(pacs, one.study_uid, one.series_uid, folder, progress=lambda text, f, part=part, label=label: part.report(label + text, f), should_cancel=_stop(context)))
    return done


def waiting_folder(peer: Peer, wanted: Sequence[Wanted]) -> Path:
    """Where pictures on their way into a study wait until all are there: in the user's cache, readable by the user
    alone, under a name that says nothing."""
    what = "|".join([peer.name, peer.place, *sorted(f"{w.study_uid}/{w.series_uid or ''}" for w in wanted)])
    return cache_folder() / "pacs" / hashlib.sha256(what.encode()).hexdigest()[:32]


def fetch_for_study(peer: Peer, wanted: Sequence[Wanted], context: JobContext) -> Path:
    """Bring whole series into a waiting folder and give it; nothing is imported. What an interrupted try brought is not
    fetched again. A series that was changed at the PACS since then is fetched anew."""
    if not wanted:
        raise PacsRefused("No series was chosen.", code="pacs_nothing_found")
    folder = waiting_folder(peer, wanted)
    sweep_waiting()
    folder.mkdir(parents=True, exist_ok=True)
    folder.parent.chmod(0o700)
    folder.touch()
    pacs = connect(peer)
    try:
        retrieve(pacs, wanted, folder, context)
    except PacsRefused as error:
        if error.code != "pacs_stray_files":
            raise
        shutil.rmtree(folder)
        retrieve(pacs, wanted, folder, context)
    return folder


def import_waiting(
    store: StudyStore, subject_id: str, visit_name: str, folder: Path, context: JobContext, *,
    confirmed: Mapping[str, Confirmed] | None = None, confirm_all: bool = False,
) -> ImportResult:  # fmt: skip
    """Import what waits whole in ``folder``, as every import does (identifying header values are removed, pictures that may show
    a name wait for ``confirmed``), then remove the folder."""
    result = import_folder(store, subject_id, visit_name, folder, context, confirmed=confirmed, confirm_all=confirm_all)
    shutil.rmtree(folder, ignore_errors=True)
    return result


def retrieve_into_study(
    store: StudyStore, subject_id: str, visit_name: str, peer: Peer, wanted: Sequence[Wanted], context: JobContext, *,
    confirmed: Mapping[str, Confirmed] | None = None, confirm_all: bool = False,
) -> ImportResult:  # fmt: skip
    """Fetch whole series, and only when all are there import them for one subject and visit."""
    folder = fetch_for_study(peer, wanted, context.part(0.0, 0.8))
    return import_waiting(store, subject_id, visit_name, folder, context.part(0.8, 1.0), confirmed=confirmed, confirm_all=confirm_all)


def sweep_waiting(older_than_days: float = KEPT_DAYS) -> None:
    """Remove pictures of retrieves that nobody took up again."""
    place = cache_folder() / "pacs"
    if place.is_dir():
        for folder in place.iterdir():
            if folder.is_dir() and time.time() - folder.stat().st_mtime > older_than_days * 86_400:
                shutil.rmtree(folder, ignore_errors=True)


# ---- what is sent --------------------------------------------------------------------------------
def send(peer: Peer, paths: Sequence[Path], context: JobContext) -> SendResult:
    """Send files and folders; see ``send_files``."""
    return send_files(connect(peer), paths, progress=context.report, should_cancel=_stop(context))


def send_export(store: StudyStore, format_: str, peer: Peer, context: JobContext, *, subject_id: str | None = None) -> SendResult:
    """Write locked readings as ``format_`` (one of ``DICOM_FORMATS``) and send them; nothing stays on the disk."""
    from app.usecases.export_edc import export_study

    with tempfile.TemporaryDirectory(prefix="nodus-send-") as folder:
        export_study(store, format_, Path(folder), subject_id=subject_id)
        return send(peer, [Path(folder)], context)


def _stop(context: JobContext):
    return lambda: context.token.is_cancelled
