"""Users that tests sign in as."""

from __future__ import annotations

import datetime as dt

from app.study.store import StudyStore

PASSWORD = "a long pass phrase"
PEOPLE = {
    "admin": ("Ann Admin", ("administrator",)),
    "manager": ("Max Manager", ("trial_manager",)),
    "site": ("Sue Site", ("site_reader",)),
    "reader-a": ("Dr A Reader", ("central_reader",)),
    "reader-b": ("Dr B Reader", ("central_reader",)),
    "judge": ("Dr J Judge", ("adjudicator",)),
    "monitor": ("Mona Monitor", ("monitor",)),
}


def add_people(store: StudyStore, *names: str) -> None:
    """Add users (all, or those named and the administrator); nobody is signed in afterwards."""
    store.add_user("admin", *PEOPLE["admin"], PASSWORD)
    store.sign_in("admin", PASSWORD)
    for name, (full, roles) in PEOPLE.items():
        if name != "admin" and (not names or name in names):
            store.add_user(name, full, roles, PASSWORD)
    store.sign_out()


def as_user(store: StudyStore, name: str) -> StudyStore:
    """Sign in as somebody."""
    store.sign_out()
    store.sign_in(name, PASSWORD)
    return store


class Clock:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.now = dt.datetime(2026, 3, 1, 8, 0, tzinfo=dt.UTC)

    def __call__(self) -> dt.datetime:
        return self.now

    def pass_s(self, seconds: float) -> None:
        """Let time pass."""
        self.now += dt.timedelta(seconds=seconds)
