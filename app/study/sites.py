"""Whose subjects a user may see and change: an account that is bound to a site has those of its site and no others.

A subject's site is the setting ``site/SUBJECT``. A subject whose site was never stated belongs to nobody who is bound to one: nothing is guessed.
Central readers, adjudicators and trial managers work for every site, whatever their account says. What is decided here holds for the store itself:
window, exports and command line get nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from app.study import rows, schema
from app.study.canonical import canonical_json
from app.study.errors import StudyRefused
from app.study.model import StudySnapshot

SITE_PREFIX = "site/"
_OF_SUBJECT = (SITE_PREFIX, "arm/")  # settings that end with a subject
UNLIMITED_ROLES = ("trial_manager", "central_reader", "adjudicator")
OTHER_SITE = "other_site"


@dataclass(frozen=True, slots=True)
class SiteLimit:
    """What a bound user has: the subjects of ``site``."""

    site: str
    subjects: frozenset[str]


def bound_to(connection: sa.Connection, user_id: str | None) -> str | None:
    """The site that a user is bound to as the account is now; None for who works for every site."""
    if user_id is None:
        return None
    row = connection.execute(sa.select(schema.users).where(schema.users.c.user_id == user_id)).mappings().first()
    if row is None or not row["site"] or set(rows.user_from(row).roles) & set(UNLIMITED_ROLES):
        return None
    return row["site"]


def limit_of(connection: sa.Connection, user_id: str | None) -> SiteLimit | None:
    """The limit of a user as account and subjects are now; None for who works for every site."""
    own = bound_to(connection, user_id)
    return None if own is None else SiteLimit(own, frozenset(s for s, site in _sites(connection).items() if site == own))


def _sites(connection: sa.Connection) -> dict[str, str | None]:
    table = schema.settings
    found = connection.execute(sa.select(table.c.key, table.c.value).where(table.c.key.startswith(SITE_PREFIX, autoescape=True)))
    return {key.removeprefix(SITE_PREFIX): _id_of(value) for key, value in found}


def _site_of(connection: sa.Connection, subject_id: str) -> str | None:
    """The stated site of one subject: one row by its key, however many subjects there are."""
    value = connection.execute(sa.select(schema.settings.c.value).where(schema.settings.c.key == SITE_PREFIX + subject_id)).scalar_one_or_none()
    return None if value is None else _id_of(value)


def _id_of(value: str) -> str | None:
    stated = json.loads(value)
    return stated.get("id") if isinstance(stated, dict) else None


def other_site() -> StudyRefused:
    """The refusal of a subject that is none of the user's site; whether there is such a subject is not told."""
    return StudyRefused("This is no subject of your site.", code="other_site", hint="Your account is bound to one site; ask the study's manager.")


def guard_of(site: str | None) -> Callable[[sa.Connection, sa.Table, dict[str, Any]], None] | None:
    """What ``TrailWriter`` asks before each change: it raises ``other_site`` where the row belongs to a subject that is not of ``site``.

    One guard serves one write transaction: nobody else writes meanwhile, so that a subject's site is read once, and anew after the transaction
    itself changed it.
    """
    if site is None:
        return None
    known: dict[str, str | None] = {}

    def check(connection: sa.Connection, table: sa.Table, row: dict[str, Any]) -> None:
        subject = _subject_of(connection, table, row)
        if subject is None:
            return
        if subject not in known:
            known[subject] = _site_of(connection, subject)
        there = known[subject]
        if table is schema.settings and row["key"].startswith(SITE_PREFIX):
            new = connection.execute(sa.select(schema.subjects.c.subject_id).where(schema.subjects.c.subject_id == subject)).first() is None
            if _id_of(row["value"]) == site and (there == site or (there is None and new)):
                del known[subject]  # it is about to be written
                return  # a subject that comes in, or one that stays
        elif there == site:
            return
        raise other_site()

    return check


def _subject_of(connection: sa.Connection, table: sa.Table, row: dict[str, Any]) -> str | None:
    """The subject that a row of any table belongs to; None for what belongs to no subject."""
    if table is schema.settings:
        prefix = next((p for p in _OF_SUBJECT if row["key"].startswith(p)), None)
        return None if prefix is None else row["key"].removeprefix(prefix)
    if "subject_id" in table.c:
        return row["subject_id"]
    if "visit_id" in table.c:
        visits = schema.visits
        return connection.execute(sa.select(visits.c.subject_id).where(visits.c.visit_id == row["visit_id"])).scalar_one_or_none()
    return None


class SitesPart:
    """The part of ``StudyStore`` that keeps a bound user to the subjects of the site."""

    def site_limit(self, user_id: str | None = None) -> SiteLimit | None:
        """The limit of who signed in (or of ``user_id``); None in a study without users and for who works for every site."""
        who = user_id or (None if self.session is None else self.session.user_id)
        if who is None:
            return None
        with self._read() as connection:
            return limit_of(connection, who)

    def of_site(self, values: Iterable[Any]) -> list[Any]:
        """Of visits, nodes, readings, events ... those of subjects that the user at work may see."""
        limit = self.site_limit()
        return list(values) if limit is None else [v for v in values if v.subject_id in limit.subjects]

    def site_snapshot(self, snapshot: StudySnapshot, user_id: str | None = None) -> StudySnapshot:
        """A snapshot with the subjects that the user at work (or ``user_id``) may see."""
        limit = self.site_limit(user_id)
        return snapshot if limit is None else limited(snapshot, limit)

    def hides_site(self, key: str) -> bool:
        """Is this a setting of a subject of another site?"""
        prefix = next((p for p in _OF_SUBJECT if key.startswith(p)), None)
        if prefix is None:
            return False
        limit = self.site_limit()
        return limit is not None and key.removeprefix(prefix) not in limit.subjects

    def check_whole_study(self, what: str) -> None:
        """Refuse a bound user what is of every site: ``other_site``."""
        if self.site_limit() is not None:
            raise StudyRefused(f"{what} is of the whole study; your account is bound to one site.", code="other_site")


def claim(trail: Any, subject_id: str, limit: SiteLimit | None) -> None:
    """State the site of a subject that a bound user is about to add; refused ``other_site`` where it was stated to be another's."""
    if limit is None or _site_of(trail.connection, subject_id) == limit.site:
        return
    key = SITE_PREFIX + subject_id
    if trail.connection.execute(sa.select(schema.settings.c.key).where(schema.settings.c.key == key)).first() is not None:
        raise other_site()
    trail.insert(schema.settings, {"key": key, "value": canonical_json({"id": limit.site, "name": ""})}, action="setting_set")


def limited(snapshot: StudySnapshot, limit: SiteLimit) -> StudySnapshot:
    """The snapshot of one site: nothing of a subject that is not among ``limit.subjects``."""

    def own(values: tuple) -> tuple:
        return tuple(v for v in values if v.subject_id in limit.subjects)

    kept = {name: own(getattr(snapshot, name)) for name in ("subjects", "visits", "nodes", "readings", "events", "plan_runs", "deliveries", "adjudications")}
    ids = {r.reading_id for r in kept["readings"]} | {a.adjudication_id for a in kept["adjudications"]}
    signed = tuple(s for s in snapshot.signatures if s.object.partition(":")[2].partition("@")[0] in ids)
    return replace(snapshot, **kept, signatures=signed)
