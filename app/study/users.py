"""Users of a study: accounts with roles, passwords kept as Argon2id hashes, and the session of who is at work.

A study without users belongs to the local account, which may do everything. With the first user that ends: from then
on every change, and every look at readings, needs a user who signed in. Accounts, their changes and every attempt that
failed stand in the audit trail.
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass, replace
from typing import Any

import argon2
import sqlalchemy as sa

from app.study import rows, rules, schema
from app.study.canonical import canonical_json
from app.study.errors import StudyRefused
from app.study.model import User
from app.study.permissions import BLINDED_ROLES, RIGHTS, check_roles, rights_of

DEFAULT_TIMEOUT_S = 15 * 60.0
PASSWORD_LENGTH = 10
# After so many failures in so many seconds the account rests, whoever types.
FAILURES, PAUSE_S = 5, 300.0
_EVENTS_AT_ONCE = 500
_USER_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")
_HASHER = argon2.PasswordHasher()
_WRONG = "Name or password is wrong."


@dataclass(frozen=True, slots=True)
class Session:
    """Who is at work, since when, and when something was done last (both UTC)."""

    user_id: str
    full_name: str
    roles: tuple[str, ...]
    signed_in_utc: dt.datetime
    last_activity_utc: dt.datetime
    timeout_s: float = DEFAULT_TIMEOUT_S

    @property
    def rights(self) -> frozenset[str]:
        """What the user may do, from the roles at sign-in; a change is checked against the study anew."""
        return rights_of(self.roles)

    @property
    def blinded(self) -> bool:
        """True for a reader who must not see identity, dates, events or others' readings."""
        return any(role in BLINDED_ROLES for role in self.roles)

    def may(self, right: str) -> bool:
        """True if the user has the right."""
        return right in self.rights

    def left_s(self, now: dt.datetime) -> float:
        """Seconds until the session locks; 0 where it is locked."""
        return max(0.0, self.timeout_s - max(0.0, (now - self.last_activity_utc).total_seconds()))

    def is_locked(self, now: dt.datetime) -> bool:
        """True after ``timeout_s`` seconds without activity."""
        return self.left_s(now) <= 0.0

    def touched(self, now: dt.datetime) -> Session:
        """The session after something was done; a locked one stays locked."""
        return self if self.is_locked(now) else replace(self, last_activity_utc=now)


def hash_password(password: str) -> str:
    """The Argon2id hash of a password, with its salt and parameters."""
    return _HASHER.hash(password)


def password_fits(hashed: str, password: str) -> bool:
    """True if the password is the one that was hashed; False also for a damaged hash."""
    try:
        return _HASHER.verify(hashed, password)
    except argon2.exceptions.VerificationError:
        return False
    except argon2.exceptions.InvalidHashError:
        return False


def check_password(password: str, user_id: str, full_name: str) -> str:
    """A password that may be used, else ``password_refused``. It is never repeated in a message."""
    if len(password) < PASSWORD_LENGTH or password.strip().lower() in (user_id.lower(), full_name.lower()) or len(set(password)) < 4:
        raise StudyRefused(
            f"The password needs at least {PASSWORD_LENGTH} characters, not all alike, and must not be the user's name.",
            code="password_refused",
        )
    return password


class UsersPart:
    """The part of ``StudyStore`` that knows who may do what."""

    session: Session | None

    # -- accounts ---------------------------------------------------------------------------------

    def has_users(self) -> bool:
        """True once a user was added; a user is never removed, so it stays true."""
        if not self._users_known:
            with self._read() as connection:
                self._users_known = _any_user(connection)
        return self._users_known

    def users(self) -> list[User]:
        """All accounts, without passwords. With users in the study, an administrator, manager or monitor may see them."""
        if self.has_users():
            self._check_may("users", "see_audit")
        with self._read() as connection:
            return [rows.user_from(row) for row in connection.execute(sa.select(schema.users).order_by(schema.users.c.user_id)).mappings()]

    def add_user(self, user_id: str, full_name: str, roles: tuple[str, ...] | list[str], password: str, *, site: str | None = None) -> User:
        """Add an account. The first one must be an administrator. Raises ``user_refused``, ``user_exists``,
        ``role_unknown``, ``roles_conflict``, ``password_refused``, ``first_user_not_administrator``."""
        if not _USER_ID.fullmatch(user_id or ""):
            raise StudyRefused("A user's short name has letters, digits, dot, dash and underscore, at most 32.", code="user_refused")
        full_name = rules.check_text(full_name, "the user's full name", "name_missing")
        chosen = check_roles(tuple(roles))
        hashed = hash_password(check_password(password, user_id, full_name))
        with self._write("users") as trail:
            if _row(trail.connection, user_id) is not None:
                raise StudyRefused("There is already a user of that name.", code="user_exists")
            if not _any_user(trail.connection) and "administrator" not in chosen:
                raise StudyRefused("The first user must be an administrator.", code="first_user_not_administrator", hint="Else nobody could add the others.")
            row = {
                "user_id": user_id,
                "full_name": full_name,
                "roles": canonical_json(list(chosen)),
                "site": (site or "").strip() or None,
                "password_hash": hashed,
                "disabled": 0,
                "created_utc": trail.utc,
            }
            trail.insert(schema.users, row, action="user_added")
        self._users_known = True
        self.write_anchor()
        return rows.user_from(row)

    def set_roles(self, user_id: str, roles: tuple[str, ...] | list[str], *, reason: str) -> User:
        """Give a user other roles. Raises ``user_missing``, ``last_administrator`` and those of ``add_user``."""
        chosen = check_roles(tuple(roles))
        return self._change_user(user_id, {"roles": canonical_json(list(chosen))}, "user_roles_changed", reason)

    def disable_user(self, user_id: str, *, reason: str) -> User:
        """A user who may no longer sign in; what was signed stays signed. Raises ``user_missing``, ``last_administrator``."""
        return self._change_user(user_id, {"disabled": 1}, "user_disabled", reason)

    def enable_user(self, user_id: str, *, reason: str) -> User:
        """Let a disabled user sign in again. Raises ``user_missing``."""
        return self._change_user(user_id, {"disabled": 0}, "user_enabled", reason)

    def set_password(self, user_id: str, password: str, *, current: str | None = None) -> None:
        """A new password: one's own with the ``current`` one, another's as administrator. Raises ``user_missing``,
        ``password_refused``, ``password_wrong``."""
        own = self.session is not None and self.session.user_id == user_id
        if own and not self.session.may("users"):
            self.check_again(current)
        with self._write(None if own else "users") as trail:
            row = _need_user(trail.connection, user_id)
            hashed = hash_password(check_password(password, user_id, row["full_name"]))
            trail.update(schema.users, {"user_id": user_id}, {"password_hash": hashed}, action="password_set")

    def set_site(self, user_id: str, site: str | None, *, reason: str) -> User:
        """Bind a user to a site, or (None) to none; what a bound user sees and changes is in ``app.study.sites``. Raises ``user_missing``."""
        return self._change_user(user_id, {"site": (site or "").strip() or None}, "user_site_changed", reason)

    def _change_user(self, user_id: str, changes: dict[str, Any], action: str, reason: str) -> User:
        reason = rules.check_text(reason, "a reason for the change", "reason_missing")
        with self._write("users") as trail:
            _need_user(trail.connection, user_id)
            trail.update(schema.users, {"user_id": user_id}, changes, action=action, reason=reason)
            everybody = [rows.user_from(r) for r in trail.connection.execute(sa.select(schema.users)).mappings()]
            if not any("administrator" in u.roles and not u.disabled for u in everybody):
                raise StudyRefused("This is the last administrator of the study.", code="last_administrator", hint="Make another one first.")
        self.write_anchor()
        return next(u for u in everybody if u.user_id == user_id)

    def _account_roles(self, user_id: str) -> tuple[str, ...] | None:
        with self._read() as connection:
            row = _row(connection, user_id)
        return None if row is None else rows.user_from(row).roles

    # -- the session ------------------------------------------------------------------------------

    def sign_in(self, user_id: str, password: str) -> Session:
        """Sign in; the session is also kept in ``session``. Raises ``password_wrong`` (also for an unknown name),
        ``user_disabled``, ``sign_in_paused``; each attempt is in the trail."""
        row = self._authenticate(user_id, password, "sign_in_failed")
        now = self._clock()
        timeout_s = float(self.get_setting("session_timeout_s", DEFAULT_TIMEOUT_S))
        user = rows.user_from(row)
        session = Session(user.user_id, user.full_name, user.roles, now, now, timeout_s)
        self.session = session
        self._append("signed_in", f"users:{user_id}", user=user_id)
        return session

    def sign_out(self) -> None:
        """End the session; nothing where there is none."""
        if self.session is not None:
            self._append("signed_out", f"users:{self.session.user_id}", user=self.session.user_id)
            self.session = None

    def touch(self) -> Session | None:
        """Note that the user did something; the session as it is now."""
        if self.session is not None:
            self.session = self.session.touched(self._clock())
        return self.session

    def unlock(self, password: str) -> Session:
        """Take up a locked session again with the password. Raises ``sign_in_needed`` and those of ``sign_in``."""
        if self.session is None:
            raise sign_in_needed()
        self._authenticate(self.session.user_id, password, "sign_in_failed")
        self.session = replace(self.session, last_activity_utc=self._clock())
        return self.session

    def check_again(self, password: str | None) -> None:
        """Re-authentication of who is signed in, for a signature. Raises ``sign_in_needed``,
        ``reauthentication_needed``, ``password_wrong``, ``user_disabled``, ``sign_in_paused``."""
        if self.session is None:
            raise sign_in_needed()
        if not password:
            raise StudyRefused("Please give your password again to sign.", code="reauthentication_needed")
        self._authenticate(self.session.user_id, password, "signature_failed")

    def _authenticate(self, user_id: str, password: str, failed: str) -> Any:
        with self._read() as connection:
            row = _row(connection, user_id)
            recent = [] if row is None else self._recent_failures(connection, user_id)
        if row is None:
            hash_password(password or "")  # takes as long as a known name, so that names cannot be told by time
            self._append(failed, "users:?", user=self._account, reason="no such user")
            raise StudyRefused(_WRONG, code="password_wrong")
        if len(recent) >= FAILURES:
            raise StudyRefused("Too many wrong passwords; this account rests for five minutes.", code="sign_in_paused", hint="An administrator can set a new password.")
        if not password_fits(row["password_hash"], password or ""):
            self._append(failed, f"users:{user_id}", user=user_id, reason="wrong password")
            raise StudyRefused(_WRONG, code="password_wrong")
        if row["disabled"]:
            self._append(failed, f"users:{user_id}", user=user_id, reason="disabled")
            raise StudyRefused("This account is disabled.", code="user_disabled", hint="Ask the study's administrator.")
        return row

    def _recent_failures(self, connection: sa.Connection, user_id: str) -> list[str]:
        """Times of failures since the last success or new password, within the pause. The trail is read backwards, no further
        than the pause reaches: a signature must not take longer the more was ever signed."""
        table = schema.audit_events
        since = (self._clock() - dt.timedelta(seconds=PAUSE_S)).astimezone(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        found: list[str] = []
        last = connection.execute(sa.select(sa.func.max(table.c.seq))).scalar_one() or 0
        while last > 0:
            here = sa.and_(table.c.seq <= last, table.c.seq > last - _EVENTS_AT_ONCE)
            for action, utc in connection.execute(sa.select(table.c.action, table.c.utc).where(here, table.c.object == f"users:{user_id}").order_by(table.c.seq.desc())):
                if action not in ("sign_in_failed", "signature_failed") or utc < since or len(found) == FAILURES:
                    return found
                found.append(utc)
            if connection.execute(sa.select(table.c.seq).where(here, table.c.utc >= since).limit(1)).first() is None:
                break
            last -= _EVENTS_AT_ONCE
        return found

    # -- what is allowed --------------------------------------------------------------------------

    def refusal(self, connection: sa.Connection, rights: tuple[str, ...]) -> StudyRefused | None:
        """Why who is at work may not do what needs one of ``rights`` (none: any user), or None. Roles are read from
        the study, so that a change of them holds at once."""
        if not self._users_known and not _any_user(connection):
            return None
        self._users_known = True
        if self.session is None:
            return sign_in_needed()
        if self.session.is_locked(self._clock()):
            return StudyRefused("The session was locked because nothing was done for a while.", code="session_locked", hint="Give your password again; nothing is lost.")
        row = _row(connection, self.session.user_id)
        if row is None or row["disabled"]:
            return StudyRefused("This account is disabled.", code="user_disabled", hint="Ask the study's administrator.")
        has = rights_of(rows.user_from(row).roles)
        if rights and not has.intersection(rights):
            return right_missing(rights[0])
        return None

    def _check_may(self, *rights: str) -> None:
        """Refuse a look that needs one of these rights; the attempt is in the trail."""
        if not self.has_users():
            return
        with self._read() as connection:
            refusal = self.refusal(connection, rights)
        if refusal is None and rights == ("see_audit",):
            self.check_whole_study("The audit trail")
        if refusal is not None:
            if rights:  # a look that anybody may have is refused for want of a session only: no attempt to note
                self._append("access_refused", "study", user=self.user, new={"code": refusal.code, "needs": list(rights)})
            raise refusal

    def require(self, right: str) -> None:
        """Refuse what needs this right: ``sign_in_needed``, ``session_locked``, ``user_disabled``, ``right_missing``."""
        self._check_may(right)

    @property
    def sees_all(self) -> bool:
        """True where nothing is hidden: a study without users, or a user with that right."""
        return not self.has_users() or (self.session is not None and self.session.may("see_all"))


def sign_in_needed() -> StudyRefused:
    """The refusal of what needs a user."""
    return StudyRefused("This study has users; please sign in.", code="sign_in_needed", hint="On the command line: --user NAME, the password is asked for.")


def right_missing(right: str) -> StudyRefused:
    """The refusal of what a role does not allow."""
    return StudyRefused(f"Your role does not let you {RIGHTS[right]}.", code="right_missing", hint="Ask the study's administrator.")


def _any_user(connection: sa.Connection) -> bool:
    return connection.execute(sa.select(schema.users.c.user_id).limit(1)).first() is not None


def _row(connection: sa.Connection, user_id: str) -> Any:
    return connection.execute(sa.select(schema.users).where(schema.users.c.user_id == user_id)).mappings().first()


def _need_user(connection: sa.Connection, user_id: str) -> Any:
    row = _row(connection, user_id)
    if row is None:
        raise StudyRefused("There is no such user in this study.", code="user_missing")
    return row
