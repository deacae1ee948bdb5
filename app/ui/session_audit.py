"""The session's part for what goes out and what is looked over: the audit trail, exports with a preview, adjudication.

Each method starts a job and hands the answer to ``done``, a refusal in words to ``refused``; whoever asked may be gone by then.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from app.study.audit import verify
from app.ui.session_users import in_words
from app.usecases.audit_page import AuditFilter, audit_page

PAGE_KEY, VERIFY_KEY, PREVIEW_KEY, PAIRS_KEY, OUTLINES_KEY = "audit_page", "audit_verify", "export_preview", "adjudication_pairs", "adjudication_outlines"


class AuditPart:
    """Mixed into ``Session``; uses its jobs and study."""

    def _ask_study(self, title: str, work: Callable, done: Callable, refused: Callable[[str], None], **how) -> None:
        """Run ``work(store, context)`` unless there is no study; an answer of a study that is closed meanwhile is dropped."""
        store = self.study
        if store is None:
            refused("Open a study first.")
            return

        def still_open(then: Callable) -> Callable:
            return lambda answer: then(answer) if self.study is store else None

        self.jobs.start(title, lambda context: work(store, context), on_done=still_open(done), on_refused=still_open(lambda refusal: refused(in_words(refusal))), **how)

    def why_no_audit(self) -> str:
        """Why who is at work may not see the audit trail; empty where it may be seen."""
        return self.why_not("see_audit")

    def ask_audit_page(self, chosen: AuditFilter, offset: int, done: Callable, refused: Callable[[str], None]) -> None:
        """One page of the trail; the latest question wins."""
        self._ask_study("Reading the audit trail", lambda store, _context: audit_page(store, chosen, offset=offset), done, refused, key=PAGE_KEY, quiet=True)

    def ask_audit_check(self, anchor: Path | None, done: Callable, refused: Callable[[str], None]) -> None:
        """Check trail, records and files against an anchor file or none."""
        self._ask_study("Checking the audit trail", lambda store, _context: verify(store, anchor), done, refused, key=VERIFY_KEY)

    def ask_export_preview(self, format_: str, subject_id: str | None, mapping_file: Path | None, done: Callable, refused: Callable[[str], None]) -> None:
        """What an export would hand over; nothing leaves the study. The latest question wins."""

        def work(store, _context):
            from app.usecases.export_preview import preview_export  # loads the writers

            return preview_export(store, format_, subject_id=subject_id, mapping_file=mapping_file)

        self._ask_study("Preparing the preview", work, done, refused, key=PREVIEW_KEY, quiet=True)

    def export_to(self, format_: str, out: Path, subject_id: str | None, mapping_file: Path | None, done: Callable, refused: Callable[[str], None], *, per: str | None = None) -> None:
        """Export into the folder ``out``; ``done`` gets the receipt, which is kept with the report's as well. ``per``: what a PDF is of."""
        self.flush_drafts()

        def work(store, _context) -> dict:
            from app.usecases.export_edc import export_study  # loads the writers

            return export_study(store, format_, out, subject_id=subject_id, mapping_file=mapping_file, per=per)

        def written(receipt: dict) -> None:
            self.last_exports = [*getattr(self, "last_exports", []), receipt]
            self._say_saved("export written")
            done(receipt)

        self._ask_study(f"Exporting {format_}", work, written, refused, write=True)

    def why_no_adjudication(self) -> str:
        """Why who is at work may not adjudicate; empty where it may be done."""
        return self.why_not("adjudicate")

    def ask_waiting_pairs(self, done: Callable, refused: Callable[[str], None]) -> None:
        """The pairs of readings that wait for an adjudicator, under codes."""

        def work(store, _context):
            from app.usecases.adjudication_pairs import waiting_pairs

            return waiting_pairs(store)

        self._ask_study("Fetching what waits for an adjudicator", work, done, refused, key=PAIRS_KEY, quiet=True)

    def ask_pair_outlines(self, pair, done: Callable, refused: Callable[[str], None]) -> None:
        """Outlines of a pair on one slice; the latest question wins."""

        def work(store, context):
            from app.usecases.adjudication_pairs import outlines_of

            return outlines_of(store, pair, context)

        self._ask_study("Fetching the outlines", work, done, refused, key=OUTLINES_KEY, quiet=True)

    def select_reader(self, pair, code: str, reason: str, done: Callable, refused: Callable[[str], None], *, name: str | None = None, password: str | None = None, meaning: str = "adjudication") -> None:
        """Select the reader behind ``code`` for this pair's node; written once and never changed. Signed where the study has users."""

        def work(store, _context):
            return store.adjudicate(pair.node_id, pair.visit_id, code, reason=reason, modality=pair.modality, method=pair.method, adjudicator=name, password=password, meaning=meaning)

        def written(made) -> None:
            self._say_saved("selection kept")
            done(made)
            self.readings_changed.emit()

        self._ask_study("Keeping the selection", work, written, refused, write=True)
