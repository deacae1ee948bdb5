"""The walk through a study with users, by keys: sign-in, board, cohort, trail, export, lock, a blinded reading, adjudication.

Whoever signs in does what their role is for. Windows are opened by their shortcuts and left by Esc.
"""

from __future__ import annotations

from pathlib import Path

from PySide6.QtWidgets import QApplication

from app.ui.dialogs.sign_in import SignInDialog
from app.ui.pages import LOCK, WORK
from app.ui.walk.aloud import names_in
from app.ui.walk.case_steps import OPENING_SECONDS
from app.ui.walk.hands import PATIENCE_SECONDS, Album, Complaints, WalkFailed, in_front, keys, settle, shown_window, type_in, wait_until
from app.ui.walk.reading_steps import WALKED_NODE, ReadingSteps
from app.ui.walk.trial import FULL_NAMES, ROLES, SITES, People

WRONG = "not-the-password"
REASON = "contours differ at the hilum"
EXPORTED = ("csv", "odm-1.3.2", "pdf")  # previews that are pictured


class StudyWalk(ReadingSteps):
    """The walk over a study of many subjects: one method a step, in order."""

    def __init__(self, window, album: Album, folder: Path, people: People):
        self.window, self.session, self.album = window, window.session, album
        self.folder, self.people = folder, people
        self.complaints = Complaints(window.session)
        album.listener.names |= {*FULL_NAMES.values(), *(people.user(who) for who in ROLES), *(name for site in SITES for name in site), REASON, WRONG}

    @property
    def panel(self):
        """Panel of the step on screen."""
        return self.window.side.currentWidget()

    def node_id(self, label: str = WALKED_NODE) -> str:
        """Identity of a node of the case that is open."""
        return next(n.node_id for n in self.session.subject_nodes if n.label == label)

    def state(self):
        """Its state at the visit on screen."""
        return self.session.nodes[self.node_id()]

    def wait(self, condition, what: str, seconds: float = PATIENCE_SECONDS) -> None:
        """As ``wait_until``; a job that failed ends it."""
        wait_until(lambda: self.complaints.check() or condition(), what, seconds)

    # ---- who is at work ------------------------------------------------------------------------
    def sign_in(self, user: str, *, pictured: bool = False) -> None:
        """Name and password by keys; with pictures a wrong password first."""
        if not self.session.waits_for_sign_in:
            self.session.open_study(self.folder)
            self.wait(lambda: bool(self.session.waits_for_sign_in), "the question who is at work")
        self.album.listener.names.add(self.session.waits_for_sign_in)
        dialog = shown_window(SignInDialog)
        dialog.user.setFocus()
        type_in(self.people.user(user))
        keys(dialog.user, "Tab")
        if pictured:
            self.album.take(dialog, "sign_in")
            type_in(WRONG)
            keys(QApplication.focusWidget(), "Return")
            self.wait(lambda: bool(dialog.refused.text()), "the refused password")
            self.album.take(dialog, "sign_in_refused")
        type_in(self.people.word)
        keys(QApplication.focusWidget(), "Return")
        self.wait(lambda: self.session.signed_in is not None, "the session that was signed in to")
        settle(self.session)
        in_front(self.window)

    def change_user(self, user: str) -> None:
        """Sign out, and somebody else in."""
        self.session.sign_out()
        self.wait(lambda: bool(self.session.waits_for_sign_in), "the question who comes next")
        settle(self.session)
        self.sign_in(user)

    def enter(self) -> None:
        """The manager comes."""
        self.sign_in("manager", pictured=True)
        self.album.listener.names |= names_in(self.session.study.snapshot()) | {e["action"] for e in self.session.study.events()}
        self.album.listener.names |= {series.description for visit in self.session.visits for series in self.session.study.series(visit.visit_id)}
        self.wait(lambda: self.window.is_ready and not self.session.jobs.is_busy(), "the study", OPENING_SECONDS)

    # ---- what the manager looks at -----------------------------------------------------------------
    def visit_board(self) -> None:
        """The board: from the first subject to the last, as of another day, only who waits."""
        session, window = self.session, self.window
        keys(window, "F3")
        self.wait(lambda: session.board is not None, "the board")
        settle(session)
        view = window.pages.page("visit_board")
        self.album.take(window, "visit_board")
        keys(view.table, "Ctrl+End")
        settle(session)
        self.album.take(window, "visit_board_end")
        keys(view.table, "Alt+D")
        type_in("2026-06-30")
        keys(QApplication.focusWidget(), "Return")
        settle(session)
        self.album.take(window, "visit_board_as_of")
        view.day.clear()
        settle(session)
        keys(window, "Ctrl+F")
        type_in(session.board.subjects[-1][:4])
        settle(session)
        self.album.take(window, "visit_board_found")
        view.find.clear()
        keys(window, "Esc")
        if window.pages.name != WORK:
            raise WalkFailed("Esc did not leave the board.")

    def cohort(self) -> None:
        """Every figure and every table."""
        from app.ui.views.cohort_window import CohortWindow

        keys(self.window, "Ctrl+Alt+C")
        dialog = shown_window(CohortWindow)
        self.wait(lambda: self.session.cohort_shown is not None, "the cohort")
        settle(self.session)
        for n in range(dialog.figures.count()):
            dialog.figures.setCurrentIndex(n)
            if n < dialog.tables.count():
                dialog.tables.setCurrentIndex(n)
            settle(self.session)
            self.album.take(dialog, f"cohort_{('waterfall', 'spider', 'box_plot', 'survival')[n]}")
        keys(dialog, "Esc")
        in_front(self.window)

    def audit(self) -> None:
        """The trail, filtered, and checked."""
        from app.ui.dialogs.audit_view import AuditWindow

        keys(self.window, "Ctrl+Alt+A")
        dialog = shown_window(AuditWindow)
        self.wait(lambda: dialog.page is not None, "the trail")
        settle(self.session)
        dialog.table.selectRow(0)
        self.album.take(dialog, "audit")
        keys(dialog, "Ctrl+F")
        type_in(self.session.study.subjects()[1].subject_id)
        self.wait(lambda: not dialog._timer.isActive() and not self.session.jobs.is_busy() and dialog.page.found < dialog.page.events, "the filtered trail")
        dialog.table.selectRow(0)
        keys(dialog, "Alt+V")
        self.wait(lambda: dialog.outcome.isVisible() and dialog.verify.isEnabled(), "the check of the trail")
        self.album.take(dialog, "audit_filtered")
        keys(dialog, "Esc")
        in_front(self.window)

    def export(self, folder: Path) -> None:
        """Previews, one export, its receipt."""
        from app.ui.dialogs.export_edc import ExportWindow

        keys(self.window, "Ctrl+E")
        dialog = shown_window(ExportWindow)
        for n in range(dialog.formats.count()):
            dialog.formats.setCurrentRow(n)
            if dialog.format_ in EXPORTED:
                self.wait(lambda: dialog.preview is not None or bool(dialog.refused.text()), f"the preview of {dialog.format_}")
                settle(self.session)
                self.album.take(dialog, f"export_{dialog.format_.replace('.', '_')}")
        dialog.formats.setCurrentRow(0)
        self.wait(lambda: dialog.preview is not None, "the preview")
        dialog.write(folder)
        self.wait(lambda: getattr(dialog, "receipt", None) is not None or not dialog._writing, "the export")
        settle(self.session)
        self.album.take(dialog, "export_receipt")
        keys(dialog, "Esc")
        in_front(self.window)

    def lock_screen(self) -> None:
        """Locked by a key, a wrong password, the right one; the work stands where it stood."""
        session, window = self.session, self.window
        subject = session.subject_id
        keys(window, "Ctrl+Alt+L")
        self.wait(lambda: session.is_locked and window.pages.name == LOCK, "the lock")
        settle(session)
        self.album.take(window, "locked")
        screen = window.pages.page(LOCK)
        in_front(window)
        type_in(WRONG)
        keys(QApplication.focusWidget(), "Return")
        self.wait(lambda: screen.password.isEnabled() and bool(screen.problem.text()), "the refused password")
        self.album.take(window, "locked_refused")
        type_in(self.people.word)
        keys(QApplication.focusWidget(), "Return")
        self.wait(lambda: not session.is_locked, "the window unlocked")
        settle(session)
        if session.subject_id != subject:
            raise WalkFailed("The lock lost the subject that was open.")

    # ---- what the others do ------------------------------------------------------------------------
    def blinded(self) -> None:
        """The worklist under codes, a case from it, outlined and signed, and the next one."""
        session, window = self.session, self.window
        self.change_user("reader")
        self.wait(lambda: window.pages.name == "worklist" and bool(session.worklist), "the worklist")
        settle(session)
        self.album.take(window, "worklist_blinded")
        item = next((i for i in session.worklist if i.visit == "Baseline" and any(r.kind == "volume" for r in session.study.series(i.visit_id))), None)
        if item is None:
            raise WalkFailed("No case of the worklist has a volume at baseline.")
        view = window.pages.page("worklist")
        view.table.setFocus()
        view.table.selectRow(session.worklist.index(item))
        keys(view.table, "Return")
        self.wait(lambda: session.image is not None and session.case_item is not None, "the case")
        settle(session)
        session.select_node(self.node_id() if any(n.label == WALKED_NODE for n in session.subject_nodes) else session.subject_nodes[0].node_id)
        if session.current.node.seed_mm is not None:  # of pictures whose nodes' places are known
            self.read_and_sign()
        else:
            self.album.take(window, "blinded_case")
        keys(window, "F2")
        settle(session)
        self.album.take(window, "worklist_blinded_read")
        first = session.case_item.visit_id
        keys(window, "F4")
        self.wait(lambda: session.case_item is not None and session.case_item.visit_id != first, "the next case")
        settle(session)

    def read_and_sign(self) -> None:
        """The node of the case outlined by a drag, and the reading signed."""
        session, window = self.session, self.window
        session.set_crosshair(self.state().node.seed_mm)
        settle(session)
        self.album.take(window, "blinded_case")
        self.complaints.refusals.clear()
        self.outline("blinded_outline_under_way")
        self.album.take(window, "blinded_outline")
        self.complaints.refusals.clear()
        self.panel.primary.click()
        dialog = self.panel.dialog
        in_front(dialog)
        dialog._password.setFocus()
        type_in(self.people.word)
        self.album.take(dialog, "blinded_signature")
        keys(dialog._password, "Return")
        self.wait(lambda: self.state().reading is not None and self.state().reading.locked_utc is not None, "the signed reading")
        settle(session)
        in_front(window)

    def adjudicate(self) -> None:
        """Two readers side by side; one selected, with a reason, signed."""
        from app.ui.dialogs.adjudicate import AdjudicateWindow

        session = self.session
        self.change_user("adjudicator")
        keys(self.window, "Ctrl+Alt+J")
        dialog = shown_window(AdjudicateWindow)
        self.wait(lambda: dialog.pairs is not None, "what waits for an adjudicator")
        settle(session)
        for row in range(len(dialog.pairs)):  # one with outlines on a volume
            dialog.waiting.setCurrentRow(row)
            settle(session)
            if any(picture.found is not None for picture in dialog.pictures):
                break
        self.album.take(dialog, "adjudicate")
        waited = len(dialog.pairs)
        if not waited:
            keys(dialog, "Esc")
            in_front(self.window)
            return
        keys(dialog, "Alt+1")
        self.wait(lambda: bool(dialog.chosen_code), "the chosen reader")
        dialog.reason.setFocus()
        type_in(REASON)
        dialog.password.setFocus()
        type_in(self.people.word)
        self.album.take(dialog, "adjudicate_reason")
        keys(dialog, "Alt+S")
        self.wait(lambda: len(dialog.pairs) < waited or bool(self.complaints.refusals), "the selection")
        settle(session)
        self.album.take(dialog, "adjudicate_done")
        keys(dialog, "Esc")
        in_front(self.window)

    def site(self) -> None:
        """Who treats: a list with salvage deadlines, and an event in the form of the board."""
        session, window = self.session, self.window
        self.change_user("site")
        keys(window, "F2")
        self.wait(lambda: bool(session.worklist), "the worklist")
        settle(session)
        self.album.take(window, "worklist_site")
        keys(window, "F3")
        self.wait(lambda: session.board is not None, "the board")
        settle(session)
        form = window.pages.page("visit_board").subject.form
        form.kind.setFocus()
        form.kind.setCurrentIndex(form.kind.findData("LAB"))
        form.kind.activated.emit(form.kind.currentIndex())
        self.album.take(window, "visit_board_event")
        keys(window, "Esc")
        if form.isVisible() or (session.board is not None and window.pages.name != WORK):
            raise WalkFailed("Esc did not leave the board.")

    def leave(self) -> None:
        """The last one goes."""
        self.session.sign_out()
        self.wait(lambda: bool(self.session.waits_for_sign_in), "the question who comes next")
        keys(shown_window(SignInDialog), "Esc")
        self.wait(lambda: not self.session.waits_for_sign_in, "a window without a study")
        if self.session.study is not None or self.session.image is not None:
            raise WalkFailed("Something of the study was left open.")
