"""The session's part for a hospital's PACS: asked, fetched from and sent to beside the window.

What a scanner sends comes in beside it, too (``receiver``). What goes over the network never stands in the line of writes to the study: a slow PACS holds up no outline. Only the
import of what has come whole, and the export before a send, do.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from app.ui.receiver import Receiving
from app.usecases.pacs import Wanted
from app.usecases.pacs_receive import ReceivedStudy
from dicom_io.peer import Peer, Query
from volumetry.errors import NodusError

FIND_KEY, RECEIVED_KEY = "pacs_find", "pacs_received"
Look = Callable[[Path, Callable[[dict], object]], object]
"""``look(folder, go_on)``: show what may name somebody, then call ``go_on`` with what was confirmed."""


class PacsPart:
    """Mixed into ``Session``; uses its jobs, study and signals."""

    def pacs_peers(self) -> list[Peer]:
        """The PACS that are kept (a small file)."""
        from app.usecases.pacs import load_peers

        return load_peers()

    def keep_pacs(self, peer: Peer, secret: str, then: Callable[[], object], refused: Callable[[NodusError], object]) -> None:
        """Keep a PACS and, where one was typed, its password or token; a job."""
        from app.secrets import keep_secret
        from app.usecases.pacs import save_peer

        def work(_context) -> None:
            if secret:
                keep_secret(peer.name, secret)
            save_peer(peer)

        self.jobs.start("Keeping the PACS", work, quiet=True, write=True, on_done=lambda _done: then(), on_refused=refused)

    def forget_pacs(self, name: str, then: Callable[[], object], refused: Callable[[NodusError], object]) -> None:
        """Forget a PACS and its secret; a job."""
        from app.usecases.pacs import remove_peer

        self.jobs.start("Forgetting the PACS", lambda _context: remove_peer(name), quiet=True, write=True, on_done=lambda _done: then(), on_refused=refused)

    def check_pacs(self, peer: Peer, then: Callable[[float], object], refused: Callable[[NodusError], object]) -> None:
        """Ask whether it answers; a job, the latest wins."""
        from app.usecases.pacs import echo

        self.jobs.start(f"Asking {peer.name}", lambda context: echo(peer, context), key="pacs_echo", quiet=True, on_done=then, on_refused=refused)

    def find_in_pacs(self, peer: Peer, query: Query, then: Callable, refused: Callable[[NodusError], object]) -> int:
        """Studies, or the series of one; a job. The latest search for studies wins; series of several may come together."""
        from app.usecases.pacs import find

        key = FIND_KEY if query.level == "study" else f"{FIND_KEY}:{query.study_uid}"
        return self.jobs.start(f"Asking {peer.name}", lambda context: find(peer, query, context), key=key, quiet=True, on_done=then, on_refused=refused)

    def stop_pacs_search(self) -> None:
        """Drop the search that is under way."""
        self.jobs.drop(FIND_KEY)

    def retrieve_from_pacs(self, peer: Peer, wanted: Sequence[Wanted], subject_id: str, visit_name: str, refused: Callable[[NodusError], object] | None = None, look: Look | None = None, then: Callable | None = None) -> int | None:
        """Fetch whole series, then import them under a pseudonym and visit; two jobs. Gives the first one's number, None without
        a study. Nothing is imported before all have come; what has come stays for the next try. ``look`` lets somebody see
        what may show a name before the import; without it such pictures are left out."""
        from app.usecases.pacs import fetch_for_study, import_waiting

        store = self.study
        if store is None:
            self.notice.emit("warning", "Open or make a study first; pictures are imported into it.")
            return None

        def fetched(folder: Path) -> None:
            if self.study is not store:
                self.notice.emit("warning", "The study was closed before all pictures had come; nothing was imported. They are kept for three days: retrieve again.")
                return
            if look is None:
                bring(folder, {})
            else:
                look(folder, lambda confirmed: bring(folder, confirmed))

        def bring(folder: Path, confirmed: dict) -> None:
            if self.study is store:
                self.jobs.start("Importing pictures", lambda context: import_waiting(store, subject_id, visit_name, folder, context, confirmed=confirmed), write=True, on_done=imported)

        def imported(result) -> None:
            if self.study is store:
                self._imported(subject_id, result)
                if then is not None:
                    then(result)

        return self.jobs.start(f"Retrieving from {peer.name}", lambda context: fetch_for_study(peer, wanted, context), on_done=fetched, on_refused=refused)

    # ---- what scanners send ----------------------------------------------------------
    @property
    def receiving(self) -> Receiving:
        """The receiver, made when it is first asked for; closed until somebody opens it."""
        if "_receiving" not in self.__dict__:
            self._receiving = Receiving(self.jobs, self)
        return self._receiving

    def end_receiving(self) -> None:
        """Close the receiver for good, where there was one."""
        if "_receiving" in self.__dict__:
            self._receiving.end()
            del self._receiving

    def list_received(self, then: Callable[[list[ReceivedStudy]], object], refused: Callable[[NodusError], object]) -> None:
        """The studies that wait; a job, the latest wins."""
        from app.usecases.pacs_receive import inbox, received_studies

        self.jobs.start("Looking at what has come", lambda _context: received_studies(inbox(), self.receiving.arriving), key=RECEIVED_KEY, quiet=True, on_done=then, on_refused=refused)

    def import_received(self, study: ReceivedStudy, subject_id: str, visit_name: str, confirmed: dict, then: Callable, refused: Callable[[NodusError], object]) -> None:
        """Import a study that waits under a pseudonym and visit; a job. It is looked at once more first: more may have come."""
        from app.usecases.pacs_receive import find_received, import_received

        store = self.study
        if store is None:
            self.notice.emit("warning", "Open or make a study first; pictures are imported into it.")
            return

        def work(context):
            now = find_received(study.folder.parent, study.study_uid, self.receiving.arriving)
            return import_received(store, subject_id, visit_name, now, context, confirmed=confirmed)

        def done(result) -> None:
            if self.study is store:
                self._imported(subject_id, result)
            then(result)

        self.jobs.start("Importing pictures", work, write=True, on_done=done, on_refused=refused)

    def remove_received(self, study: ReceivedStudy, then: Callable[[], object], refused: Callable[[NodusError], object]) -> None:
        """Remove a study from those that wait; a job."""
        from app.usecases.pacs_receive import remove_received

        self.jobs.start("Removing what was received", lambda _context: remove_received(study), quiet=True, write=True, on_done=lambda _none: then(), on_refused=refused)

    # ---- out -------------------------------------------------------------------------
    def send_to_pacs(self, peer: Peer, format_: str, folder: str) -> None:
        """Send an export of the locked readings in ``format_``, or (empty) the files of ``folder`` as they are; jobs."""
        if format_:
            self._send_export(peer, format_)
        else:
            self._send(peer, Path(folder))

    def _send_export(self, peer: Peer, format_: str) -> None:
        from app.usecases.export_edc import export_study

        store = self.study
        if store is None:
            self.notice.emit("warning", "Open a study first; exports are made from it.")
            return
        self.flush_drafts()

        def work(_context) -> Path:
            folder = Path(tempfile.mkdtemp(prefix="nodus-send-"))
            try:
                export_study(store, format_, folder)
            except BaseException:
                shutil.rmtree(folder, ignore_errors=True)
                raise
            return folder

        self.jobs.start("Writing what is sent", work, write=True, on_done=lambda folder: self._send(peer, folder, ours=True))

    def _send(self, peer: Peer, folder: Path, *, ours: bool = False) -> None:
        from app.usecases.pacs import send

        def work(context):
            try:
                return send(peer, [folder], context)
            finally:
                if ours:
                    shutil.rmtree(folder, ignore_errors=True)

        def done(result) -> None:
            meant = [x for x in result.left_out if x.code not in ("not_dicom", "duplicate_slice")]
            there = f", {result.already_there} were there already" if result.already_there else ""
            out = f"; {len(meant)} not taken, the first: {meant[0].message}" if meant else ""
            self.notice.emit("warning" if meant else "info", f"{result.sent} files sent to {peer.name}{there}{out}")

        self.jobs.start(f"Sending to {peer.name}", work, on_done=done)
