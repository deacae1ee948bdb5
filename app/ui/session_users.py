"""The session's part for who is at work: signing in and out, the lock after a while without a hand, and what a role allows.

A study without users is opened as ever. What the window disables here the store refuses all the same: it keeps the rules.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, replace

from PySide6.QtCore import QTimer

from app.study.permissions import ANY_READER
from app.study.signing import meanings_of
from app.study.users import right_missing
from app.ui.text import t
from volumetry.errors import NodusError

LOCAL_READER = "Reader A"
LOOK_MS = 1000  # how often the time without a hand is looked at
BLINDED_STEPS = ("images", "measure")
ROLE_NAMES = {
    "administrator": "administrator",
    "trial_manager": "trial manager",
    "site_reader": "site reader",
    "central_reader": "central reader",
    "adjudicator": "adjudicator",
    "trainee": "trainee",
    "monitor": "monitor",
}
# Role of a user -> role of the readings that this user makes.
_READS = {"site_reader": "site", "central_reader": "central", "trainee": "training", "adjudicator": "adjudicator"}


@dataclass(frozen=True, slots=True)
class Signing:
    """What a lock dialog needs for an electronic signature: whose it is, and the meanings (word -> sentence) it may have."""

    user_id: str
    full_name: str
    meanings: dict[str, str]


class UsersPart:
    """Mixed into ``Session`` before ``OpeningPart``, whose opening it holds back until somebody has signed in."""

    def _start_users(self) -> None:
        self.is_locked = False
        self.locked_by_hand = False  # by a key, not by the time without a hand
        self._awaits_user = None  # a study that waits for somebody to sign in
        self._signs_in = self._locks_by_hand = False
        self._look = QTimer(self)
        self._look.setInterval(LOOK_MS)
        self._look.timeout.connect(self.look_at_lock)

    # ---- who ----------------------------------------------------------------------------------
    @property
    def signed_in(self):
        """The study's ``Session`` of who is at work; None where nobody signed in or need to."""
        return None if self.study is None else getattr(self.study, "session", None)

    @property
    def reader(self) -> str:
        """Under whose name readings are made: who signed in, else the local reader."""
        who = self.signed_in
        return self._own_reader if who is None else who.user_id

    @reader.setter
    def reader(self, name: str) -> None:
        self._own_reader = name

    @property
    def reading_role(self) -> str:
        """The role of the readings that are made now."""
        who = self.signed_in
        return "central" if who is None else next((_READS[r] for r in who.roles if r in _READS), "central")

    @property
    def is_blinded(self) -> bool:
        """True while a reader is at work who must not see identity, dates, other visits and other readers."""
        return self.study is not None and bool(getattr(self.study, "blinded", False))

    def user_words(self) -> str:
        """Name and roles of who is at work, for the header; empty in a study without users."""
        who = self.signed_in
        return "" if who is None else f"{who.full_name} · {', '.join(t(ROLE_NAMES.get(r, r)) for r in who.roles)}"

    def case_words(self) -> str:
        """What stands in the header: subject, visit and reader; for a blinded reader the case code only."""
        if self.is_locked:
            return t("Locked")
        if self.subject_id is None:
            if self.study is not None:
                return t("No case open") if self.is_blinded else t("No subject open")
            return t("No study open") if self.image is None and self.picture is None else t("Images without a study: nothing is saved")
        if self.is_blinded:
            return t("Case {code}").format(code=self.case_code or "–")
        visit = self.visit.name if self.visit else ""
        return " · ".join(x for x in (t("Subject") + f" {self.subject_id}", visit, "" if self.signed_in is not None else self.reader) if x)

    def signing(self) -> Signing | None:
        """What a lock means here: an electronic signature in a study with users, None in others."""
        who = self.signed_in
        return None if who is None else Signing(who.user_id, who.full_name, meanings_of(self.study.protocol.content))

    # ---- what a role allows ---------------------------------------------------------------------
    def why_not(self, *rights: str) -> str:
        """Why who is at work may not do what needs one of ``rights``; empty where it may be done."""
        who = self.signed_in
        if who is None or not rights or any(who.may(right) for right in rights):
            return ""
        refusal = right_missing(rights[0])
        return f"{t(refusal.message)} {t(refusal.hint)}".strip()

    def steps_here(self) -> tuple[str, ...]:
        """The steps there are: all, or those of a blinded reader; no plan where the trial treats nothing."""
        from app.ui.session import STEPS

        return BLINDED_STEPS if self.is_blinded else tuple(s for s in STEPS if s != "plan" or not self.treats_nothing)

    def may_compare(self) -> bool:
        """False too for a blinded reader, unless the protocol's readings are sequential."""
        return super().may_compare() and (not self.is_blinded or self.reads_in_sequence)

    def lockable(self, node_id: str) -> tuple[str | None, str]:
        """As ever, and nothing for who makes no readings, or at a visit that a blinded reader has open only to look."""
        why = self.why_not(*ANY_READER)
        if not why and self.is_blinded and self.case_item is not None and self.visit is not None and self.visit.visit_id != self.case_item.visit_id:
            why = t("This visit is open to look only: the case to read is another one.")
        return (None, why) if why else super().lockable(node_id)

    # ---- signing in -------------------------------------------------------------------------------
    @property
    def waits_for_sign_in(self) -> str:
        """Name of the study that waits for somebody to sign in; empty where none does."""
        return "" if self._awaits_user is None else self._awaits_user.name

    def _take_study(self, store) -> None:
        if self.when_drawn(lambda: self._take_study(store)):
            return
        if store.session is None and store.has_users():
            self._forget_waiting()
            self._awaits_user = store
            self.sign_in_asked.emit()
            return
        if store.blinded:
            self._take_blinded(store)
        else:
            super()._take_study(store)
        if store.session is not None:
            self._look.start()
        if self.step not in self.steps_here():
            self.set_step("measure")
        self.user_changed.emit()

    def sign_in(self, user_id: str, password: str) -> None:
        """Check name and password in a job; the study opens, or ``sign_in_refused`` says in words why not."""
        store = self._awaits_user
        if store is None or self._signs_in:
            return
        self._signs_in = True

        def done(_session) -> None:
            self._signs_in = False
            if self._awaits_user is store:
                self._awaits_user = None
                self.signed_in_as.emit()
                self._take_study(store)
            else:
                store.close()

        def refused(refusal: NodusError) -> None:
            self._signs_in = False
            if self._awaits_user is store:
                self.sign_in_refused.emit(in_words(refusal))
            else:
                store.close()

        def lost() -> None:
            self._signs_in = False

        self.jobs.start("Signing in", lambda _context: store.sign_in(user_id, password), write=True, on_done=done, on_refused=refused, on_lost=lost)

    def cancel_sign_in(self) -> None:
        """Open nothing after all; what was open stays."""
        self._forget_waiting()

    def _forget_waiting(self) -> None:
        store, self._awaits_user = self._awaits_user, None
        if store is not None and not self._signs_in:  # else it is closed when the answer is there
            store.close()

    def sign_out(self) -> None:
        """Save what is under way, end the session, and ask who comes next to the same study."""
        store = self.study
        if self.signed_in is None or self.when_drawn(self.sign_out):
            return
        if self.is_locked and self._unsaved:
            self.sign_in_refused.emit(t("An outline is not saved yet. Give your password first, so that it can be saved."))
            return
        place = store.place
        self.flush_drafts()

        def done(_result) -> None:
            if self.study is not store:
                return
            if self._unsaved:
                self.notice.emit("serious", t("Not signed out: an outline could not be saved."))
                return
            self._release_study()
            self._empty_screen()
            self.open_study(place)

        # Behind the writes that are still in line.
        self.jobs.start("Signing out", lambda _context: None, quiet=True, write=True, on_done=done)

    def _empty_screen(self) -> None:
        """Nothing of the study that was left stays on screen."""
        self._clear_screen()
        for signal in (self.study_changed, self.visit_changed, self.nodes_changed, self.readings_changed, self.user_changed):
            signal.emit()
        self.signed_out.emit()

    def _release_study(self) -> None:
        store = self.study
        if self.signed_in is not None:
            self._look.stop()
            if self.jobs.is_busy():
                self.jobs.start("Signing out", lambda _context: store.sign_out(), quiet=True, write=True)
            else:
                store.sign_out()
        self.is_locked = False
        self._leave_case()
        super()._release_study()

    # ---- the lock ---------------------------------------------------------------------------------
    def note_activity(self) -> None:
        """A key was pressed or the mouse moved: the time without a hand begins anew. Nothing wakes a locked session."""
        who = self.signed_in
        if who is None or self.is_locked:
            return
        now = self.study._clock()
        if (now - who.last_activity_utc).total_seconds() >= min(5.0, who.timeout_s / 10.0):
            self.study.touch()

    def look_at_lock(self) -> None:
        """Lock where the time without a hand is over."""
        who = self.signed_in
        locked = who is not None and who.is_locked(self.study._clock())
        if locked and not self.is_locked:
            if self._stroke is not None:
                self.end_stroke()
            self.is_locked, self.locked_by_hand, self._locks_by_hand = True, self._locks_by_hand, False
            self.user_changed.emit()

    def lock_now(self) -> None:
        """Lock at once, as when somebody leaves the desk; what was drawn is saved first."""
        store, who = self.study, self.signed_in
        if who is None or self.is_locked:
            return
        self.flush_drafts()

        def lock(_context) -> None:
            now = store._clock()
            store.session = replace(store.session, last_activity_utc=now - dt.timedelta(seconds=who.timeout_s + 1.0))

        self._locks_by_hand = True  # whichever looks first, the answer of the job or the clock
        self.jobs.start("Locking", lock, quiet=True, write=True, on_done=lambda _result: self.look_at_lock())

    def unlock(self, password: str) -> None:
        """Take up a locked session again; a job. ``sign_in_refused`` says why not."""
        store = self.study
        if not self.is_locked or store is None:
            return

        def done(_session) -> None:
            if self.study is not store:
                return
            self.is_locked = False
            self.user_changed.emit()
            self.flush_drafts()

        self.jobs.start("Unlocking", lambda _context: store.unlock(password), write=True, on_done=done, on_refused=lambda refusal: self.sign_in_refused.emit(in_words(refusal)))


def in_words(refusal: NodusError) -> str:
    """A refusal as one text: what, and what can be done."""
    return " ".join(t(part) for part in (refusal.message, refusal.hint) if part)
