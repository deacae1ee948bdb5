"""One user at random work on a study, who remembers what was confirmed. Run as a program it is made to be killed."""

from __future__ import annotations

import json
import random
import sys
from dataclasses import replace
from typing import Any

from app.study import trail
from app.study.errors import StudyRefused
from app.study.model import Reading, ReadingState, ReadingStatus
from app.study.store import StudyStore
from tests.study.people import PASSWORD

# What may happen to a reader at work; each of these must leave everything confirmed as it was.
REFUSED = {"reading_exists", "reading_locked", "state_refused", "changed_meanwhile", "reason_missing", "not_locked", "correction_open", "reading_missing", "nothing"}


class Worker:
    """A central reader. ``confirmed`` maps (reading id, version) to state and volume as the store gave them back."""

    def __init__(self, place: Any, reader: str, seed: int, *, tell: bool = False) -> None:
        self.place, self.reader, self.rng, self.tell = place, reader, random.Random(seed), tell
        self.confirmed: dict[tuple[str, int], tuple[str, float | None]] = {}
        self.stale: list[Reading] = []
        self.store: StudyStore | None = None
        self.codes: dict[str, int] = {}
        self.open()
        for r in self.store._whole_snapshot().readings:  # what is there already, past what a reader sees
            if r.reader == reader:
                self.confirmed[(r.reading_id, r.version)] = (str(r.state), r.volume_ml)

    def open(self) -> None:
        """Open the study anew and sign in."""
        if self.store is not None:
            self.store.close()
        self.store = StudyStore.open(self.place, user="local")
        self.store.sign_in(self.reader, PASSWORD)

    def volume(self) -> float:
        """A volume that nobody else has: what it was can be told from the number."""
        mark = {"reader-a": 1, "reader-b": 2}[self.reader]
        return round(0.1 + self.rng.random() * 3, 4) + mark * 1e-6

    def note(self, reading: Reading) -> None:
        """The store said that this is so."""
        key = (reading.reading_id, reading.version)
        self.confirmed[key] = (str(reading.state), reading.volume_ml)
        if reading.state is ReadingState.LOCKED and reading.version > 1:
            before = (reading.reading_id, reading.version - 1)
            self.confirmed[before] = ("superseded", self.confirmed[before][1])
        if self.tell:
            print(json.dumps([*key, str(reading.state), reading.volume_ml]), flush=True)

    def step(self) -> str:
        """Do one thing; its name, or the code with which it was refused."""
        act = self.rng.choice([self.new, self.new, self.change, self.change, self.lock, self.lock, self.correct, self.overwrite, self.touch_locked, self.draft])
        try:
            act()
            said = act.__name__
        except StudyRefused as refusal:
            if refusal.code not in REFUSED:
                raise
            said = refusal.code
        self.codes[said] = self.codes.get(said, 0) + 1
        return said

    def _own(self, *states: ReadingState) -> Reading:
        found = [r for r in self.store.readings() if r.reader == self.reader and r.state in states]
        if not found:
            raise StudyRefused("nothing there", code="nothing")
        return self.rng.choice(found)

    def new(self) -> None:
        """A new reading of any node at any visit."""
        subject = self.rng.choice(["S-001", "S-002"])
        node = self.rng.choice(self.store.nodes(subject))
        visit = self.rng.choice(self.store.visits(subject))
        state = self.rng.choice([ReadingState.DRAFT, ReadingState.MEASURED])
        method = self.rng.choice(["voxel", "ellipsoid"])
        fresh = Reading("", subject, visit.visit_id, node.node_id, self.reader, "central", "CT", method, ReadingStatus.MEASURED, state, volume_ml=self.volume(), measurement={"by": self.reader})
        self.note(self.store.save_reading(replace(fresh, mask_sha256=self.store.put_blob(self.rng.randbytes(200)))))

    def change(self) -> None:
        """Another volume for one in work."""
        seen = self._own(ReadingState.DRAFT, ReadingState.MEASURED)
        self.stale.append(seen)
        self.note(self.store.save_reading(replace(seen, volume_ml=self.volume(), state=ReadingState.MEASURED), reason="looked again"))

    def overwrite(self) -> None:
        """A save over a state that is no longer the newest: refused, unless it still is."""
        if not self.stale:
            raise StudyRefused("nothing there", code="nothing")
        seen = self.stale.pop()
        self.store.save_reading(replace(seen, volume_ml=self.volume(), state=ReadingState.MEASURED), reason="late")
        raise AssertionError("a stale state was saved over a newer one")

    def lock(self) -> None:
        """Sign one."""
        seen = self._own(ReadingState.MEASURED)
        self.note(self.store.lock_reading(seen.reading_id, "", "reading", password=PASSWORD, edition=seen.edition))

    def _locked_id(self) -> str:
        locked = [key for key, (state, _) in self.confirmed.items() if state == "locked"]
        if not locked:
            raise StudyRefused("nothing there", code="nothing")
        return self.rng.choice(locked)[0]

    def correct(self) -> None:
        """A new version of a locked one."""
        self.note(self.store.correct_reading(self._locked_id(), "slip", volume_ml=self.volume()))

    def touch_locked(self) -> None:
        """A change of a locked one itself: refused."""
        reading_id = self._locked_id()
        with self.store._read() as connection:
            newest = self.store._need_reading(connection, reading_id)
        if newest.state is not ReadingState.LOCKED:
            raise StudyRefused("a correction is open", code="nothing")
        self.store.save_reading(replace(newest, state=ReadingState.MEASURED, volume_ml=self.volume()), reason="x")
        raise AssertionError("a locked value changed")

    def draft(self) -> None:
        """An outline in work."""
        node = self.rng.choice(self.store.nodes("S-001"))
        visit = self.rng.choice(self.store.visits("S-001"))
        data = self.rng.randbytes(100)
        sha256 = self.store.save_draft_mask(node.node_id, visit.visit_id, data)
        assert self.store.get_blob(sha256) == data

    def fail(self, monkeypatch: Any) -> None:
        """A write that fails in the middle, at a random event."""
        before, left = self.store.head(), self.rng.randrange(1, 4)
        whole = trail.TrailWriter.append
        count = iter(range(left))

        def broken(writer: trail.TrailWriter, *given: Any, **more: Any) -> None:
            if next(count, None) is None:
                raise OSError("the disk is gone")
            whole(writer, *given, **more)

        known, stale = dict(self.confirmed), list(self.stale)
        monkeypatch.setattr(trail.TrailWriter, "append", broken)
        try:
            self.step()
            return  # it was over before the disk went
        except OSError:
            self.confirmed, self.stale = known, stale
        finally:
            monkeypatch.setattr(trail.TrailWriter, "append", whole)
        assert self.store.head() == before, "half of a failed write is there"


def main(place: str, reader: str, seed: str) -> None:
    """Work until killed; each line printed was confirmed before."""
    worker = Worker(place, reader, int(seed), tell=True)
    print("ready", flush=True)
    while True:
        worker.step()


if __name__ == "__main__":
    main(*sys.argv[1:])
