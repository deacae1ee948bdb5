"""Passwords and tokens: in the system's keyring, or in the environment of one run. Never in a file or a log of ours."""

from __future__ import annotations

import os
import re

from volumetry.errors import NodusError

SERVICE = "nodus-pacs"
# No keyring at all, one that forgets, and those that write plain or home-made files.
UNSAFE = ("keyring.backends.fail", "keyring.backends.null", "keyring.backends.chainer", "keyrings.alt")


class SecretRefused(NodusError):
    """A secret that cannot be kept or read (``keyring_unusable``)."""

    default_code = "keyring_unusable"


def variable_of(peer_name: str) -> str:
    """The environment variable that gives a PACS's password or token where there is no keyring."""
    return "NODUS_PACS_TOKEN_" + re.sub(r"[^A-Za-z0-9]", "_", peer_name).upper()


def read_secret(peer_name: str) -> str | None:
    """The secret of a PACS, None where none is kept. The environment comes first: where it names one, the keyring is
    not asked, so that a run without a desktop never waits for somebody to unlock it."""
    given = os.environ.get(variable_of(peer_name))
    if given:
        return given
    ring = _keyring()
    if ring is None:
        return None
    try:
        return ring.get_password(SERVICE, peer_name)
    except Exception as error:  # each system's keyring fails in its own way
        raise SecretRefused("The system's keyring cannot be read.", hint=f"Unlock it, or set {variable_of(peer_name)}.") from error


def keep_secret(peer_name: str, secret: str) -> None:
    """Put a PACS's secret into the system's keyring. Refuses a keyring that would keep it in a plain file."""
    ring = _keyring()
    if ring is None:
        raise SecretRefused("This computer has no keyring that keeps secrets safely.", hint=f"Give it in the environment variable {variable_of(peer_name)}.")
    try:
        ring.set_password(SERVICE, peer_name, secret)
    except Exception as error:  # as above
        raise SecretRefused("The system's keyring does not take the secret.", hint=f"Unlock it, or set {variable_of(peer_name)}.") from error


def forget_secret(peer_name: str) -> None:
    """Remove a PACS's secret from the keyring; nothing where there is none."""
    from keyring.errors import PasswordDeleteError

    ring = _keyring()
    if ring is None:
        return
    try:
        ring.delete_password(SERVICE, peer_name)
    except PasswordDeleteError:
        return  # there was none
    except Exception as error:  # as above
        raise SecretRefused("The system's keyring does not remove the secret.", hint="Unlock it.") from error


def _keyring():
    """The keyring in use, None where there is none or it keeps secrets in a plain file. Of several that are asked in turn
    the first that keeps them safely."""
    import keyring

    ring = keyring.get_keyring()
    rings = ring.backends if type(ring).__module__ == "keyring.backends.chainer" else [ring]
    return next((r for r in rings if not type(r).__module__.startswith(UNSAFE)), None)
