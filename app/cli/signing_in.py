"""Who works on a study from the command line: ``--user``, with the password from a prompt, standard input or the
environment, never from an argument that others on the computer could read."""

from __future__ import annotations

import argparse
import getpass
import os
import sys

from app.cli.output import say
from app.study.errors import StudyRefused
from app.study.store import StudyStore

PASSWORD_VARIABLE, USER_VARIABLE = "NODUS_PASSWORD", "NODUS_USER"
# Commands that show what a blinded reader must not see can be asked for as that reader.
_THROUGH_EYES = ("status", "response", "agreement", "export", "worklist")
_given: argparse.Namespace | None = None
_password: str | None = None


def add_options(parser: argparse.ArgumentParser) -> None:
    """``--user`` (``--study-user`` where a PACS has a user of its own) and ``--password-stdin`` on a command that works on a study."""
    have = {o for action in parser._actions for o in action.option_strings}
    if not any(action.dest == "study" for action in parser._actions) or "--password-stdin" in have:
        return
    who = parser.add_argument_group("a study with users")
    who.add_argument("--study-user" if "--user" in have else "--user", dest="sign_in_as", metavar="USER", help=f"who works on it (or {USER_VARIABLE}); the password is asked for")
    who.add_argument("--password-stdin", action="store_true", help=f"read the password from standard input (or give it in {PASSWORD_VARIABLE})")
    if parser.prog.split()[-1] in _THROUGH_EYES:
        who.add_argument("--as", dest="eyes", metavar="USER", help="as this reader may see it: what is blinded is hidden or refused")


def remember(args: argparse.Namespace) -> None:
    """Keep what the command line says about who works, for ``sign_in``."""
    global _given, _password
    _given, _password = args, None


def password() -> str | None:
    """The password given for this run, None where there is none to be had. Asked for once."""
    global _password
    if _password is None:
        _password = read_password("Password: ", from_stdin=bool(getattr(_given, "password_stdin", False)), variable=PASSWORD_VARIABLE)
    return _password


def read_password(prompt: str, *, from_stdin: bool, variable: str) -> str | None:
    """A password from standard input (its first line), the environment, or asked for on a terminal; else None."""
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if os.environ.get(variable):
        return os.environ[variable]
    return getpass.getpass(prompt) if sys.stdin.isatty() else None


def sign_in(store: StudyStore) -> StudyStore:
    """Sign in to a study that has users, as the command line says; nothing to do in others. Raises ``sign_in_needed``
    and those of ``StudyStore.sign_in``; the study is closed then."""
    eyes = getattr(_given, "eyes", None)
    try:
        if store.has_users():
            user = getattr(_given, "sign_in_as", None) or os.environ.get(USER_VARIABLE) or eyes
            if not user:
                store.require("see_all")  # says that a user is needed, and notes the attempt
            given = password()
            if given is None:
                raise StudyRefused("The password is missing.", code="password_missing", hint=f"Use a terminal, --password-stdin or {PASSWORD_VARIABLE}.")
            store.sign_in(user, given)
        if eyes is not None:
            store.look_as(eyes)
        if store.blinded and getattr(_given, "subject", None):
            _given.subject = store.subject_of_case(_given.subject)  # a blinded reader names a case, never a subject
    except BaseException:
        store.close()
        raise
    return store


def need(store: StudyStore, *rights: str) -> None:
    """Refuse who has none of these rights before anything is read, fetched or solved for them; what is done afterwards is checked all the same."""
    store._check_may(*rights)


def refuse_blinded(store: StudyStore, what: str) -> None:
    """Refuse what a blinded reader must not see at all: ``hidden_from_reader``."""
    if store.blinded:
        raise StudyRefused(f"{what} are hidden from a blinded reader.", code="hidden_from_reader")


def signing_password(store: StudyStore) -> str | None:
    """The password for a signature: given anew on a terminal, else the one of signing in. None in a study without users."""
    if not store.has_users():
        return None
    if sys.stdin.isatty() and not os.environ.get(PASSWORD_VARIABLE) and not getattr(_given, "password_stdin", False):
        say(f"signing as {store.user}")
        return getpass.getpass("Password again, to sign: ")
    return password()
