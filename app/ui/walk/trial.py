"""The study that the walk goes through with users: the demonstration's pictures, and many subjects who have records only.

All of it is made up: dates lie around today, so that the board has something due, overdue and done; volumes follow a seed.
"""

from __future__ import annotations

import datetime as dt
import random
import secrets
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from app.demo.trial import ADMINISTRATOR, PASSWORD
from app.demo.trial_plan import SITES as TRIAL_SITES
from app.jobs import JobContext
from app.study.model import Reading, ReadingState, ReadingStatus, TargetNode, Visit
from app.study.store import StudyStore
from app.usecases.import_images import open_record
from app.usecases.readings import mask_of_reading, save_reading
from app.usecases.subject_values import log_event
from app.usecases.trial_identity import set_site

READERS = ("reader1", "reader2")
SITES = (("01", "Example Clinic"), ("02", "示例医院 放射科"), ("03", "Clinique d’Exemple"))
WITH_READINGS = 24  # subjects whose nodes were read at every visit that is past
SIGNED = "I have reviewed this measurement"
SHRUNK_SHARE = 0.55  # of the columns that the second reader leaves out of an outline, so that both differ
FULL_NAMES = {"admin": "Ada Admin", "manager": "Maria 林", "reader": "陈 Chen", "adjudicator": "Jun 王", "site": "Sofia Sitte"}
ROLES = {"admin": "administrator", "manager": "trial_manager", "reader": "central_reader", "adjudicator": "adjudicator", "site": "site_reader"}


@dataclass(frozen=True, slots=True)
class People:
    """Who signs in during the walk, by what they do, and the password that all of them have. ``prefix`` begins their user
    ids where the study has users of its own."""

    word: str = field(default_factory=lambda: "walk-" + secrets.token_urlsafe(12))
    prefix: str = ""

    def user(self, who: str) -> str:
        """The user id of whoever does what ``ROLES`` names."""
        return self.prefix + who

    def add_to(self, store: StudyStore) -> None:
        """Make the accounts; the administrator first, as the store wants it. In a simulated trial its own administrator adds them."""
        site = SITES[1][0]
        if store.has_users():
            site = TRIAL_SITES[0]
            store.sign_in(ADMINISTRATOR, PASSWORD)
        else:
            store.add_user(self.user("admin"), FULL_NAMES["admin"], [ROLES["admin"]], self.word)
            store.sign_in(self.user("admin"), self.word)
        for who, role in ROLES.items():
            if who != "admin":
                store.add_user(self.user(who), FULL_NAMES[who], [role], self.word, site=site if who == "site" else None)
        store.sign_out()


def make_trial(folder: Path, people: People, *, subjects: int = 84, with_readings: int = WITH_READINGS, today: dt.date | None = None, seed: int = 7) -> None:
    """Fill a study folder that has the demonstration's subject (and no users yet): more subjects with visits, events and
    readings, a visit that two readers see differently, and then the accounts of ``people``."""
    rng, today = random.Random(seed), today or dt.date.today()
    with StudyStore.open(folder) as store:
        pictured = store.subjects()[0].subject_id
        set_site(store, pictured, *SITES[1])
        for n in range(subjects):
            _add_subject(store, f"T-{n + 1:03d}", rng, today, n, read=n < with_readings)
        _two_readers(store, pictured)
        people.add_to(store)


def _add_subject(store: StudyStore, name: str, rng: random.Random, today: dt.date, n: int, *, read: bool) -> None:
    """A subject treated somewhere in the last two years, with most visits that are past, some late, some not held."""
    treated = today - dt.timedelta(days=rng.randint(5, 700))
    store.add_subject(name)
    set_site(store, name, *SITES[n % len(SITES)])
    nodes = [
        store.add_node(name, f"N{k + 1}", rng.choice(("left", "right")), rng.choice(("II", "III", "IV")), high_risk=("carotid",) if rng.random() < 0.3 else ())
        for k in range(1 + n % 3)
    ]
    log_event(store, name, "IRE", treated.isoformat(), detail={"reason": "as planned"})
    if n % 9 == 4:
        log_event(
            store,
            name,
            "SALVAGE",
            (treated + dt.timedelta(days=rng.randint(36, 44))).isoformat(),
            node=nodes[0].label,
            detail={"reason": "residual enhancement 残余强化"},
        )
    if n % 13 == 7:
        log_event(store, name, "WITHDRAWAL", min(today, treated + dt.timedelta(days=rng.randint(40, 200))).isoformat(), detail={"reason": "withdrew consent"})
    visits: list[Visit] = []
    for planned in store.protocol.visits:
        days = planned.day if planned.months is None else round(planned.months * 365.25 / 12)
        day = treated + dt.timedelta(days=rng.randint(-20, -3) if planned.order == 0 else days + rng.choice((-6, -3, 0, 2, 5, 9, 33)))
        if day <= today and rng.random() > 0.12:
            visits.append(store.add_visit(name, planned.name, actual_date=day.isoformat()))
    if read:
        for node in nodes:
            volume, rate = rng.uniform(0.3, 4.0), rng.uniform(0.55, 0.95)
            for visit in visits:
                for reader in READERS:
                    _lock(store, node, visit, reader, volume * rate ** max(visit.order, 0) * rng.uniform(0.96, 1.04))


def _lock(store: StudyStore, node: TargetNode, visit: Visit, reader: str, volume_ml: float) -> None:
    long_axis = round(12.4 * (2 * volume_ml) ** (1 / 3), 1)
    values = {"measurement": {"simulated": True}, "long_axis_mm": long_axis, "short_axis_mm": round(0.7 * long_axis, 1)}
    made = Reading(
        "",
        node.subject_id,
        visit.visit_id,
        node.node_id,
        reader,
        "central",
        "CT",
        "voxel",
        ReadingStatus.MEASURED,
        ReadingState.MEASURED,
        volume_ml=volume_ml,
        **values,
    )
    store.lock_reading(store.save_reading(made).reading_id, reader, SIGNED)


def _two_readers(store: StudyStore, subject: str) -> None:
    """A second reader for the pictured subject's first node: the first one's outline at baseline, a part of it at the next visit."""
    node, visits = store.nodes(subject)[0], {v.visit_id: v for v in store.visits(subject)}
    outlined = [
        r
        for r in store.readings(subject_id=subject)
        if r.node_id == node.node_id and r.mask_sha256 is not None and r.modality == "CT" and r.state == ReadingState.LOCKED
    ]
    outlined.sort(key=lambda r: visits[r.visit_id].order)
    for source, whole in zip(outlined, (True, False), strict=False):
        mask = mask_of_reading(store, source)
        drawn = mask if whole else replace(mask, array=_smaller(mask.array), coverage_volume_ml=None)
        record = next(r for r in store.series(source.visit_id) if r.series_uid == source.series_uid)
        kept = save_reading(store, visits[source.visit_id], node, reader=READERS[1], modality="CT", mask=drawn, image=open_record(store, record, JobContext()))
        store.lock_reading(kept.reading_id, READERS[1], SIGNED)


def _smaller(array: np.ndarray) -> np.ndarray:
    """The outline [k, j, i] without its last columns."""
    columns = np.nonzero(array.any(axis=(0, 1)))[0]
    cut = array.copy()
    cut[:, :, int(columns[0] + round(len(columns) * SHRUNK_SHARE)) :] = False
    return cut
