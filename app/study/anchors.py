"""The audit head signed with a key that lies outside the study: Ed25519, in the system's keyring or in a file under a
passphrase.

Whoever can rewrite a whole study can make its chain fit again, but cannot sign the head that was written before. The
public keys that a study's heads are signed with stand in the study's settings, so that a head names which one to use.
"""

from __future__ import annotations

import base64
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat, PublicFormat, load_pem_private_key

from app.study.blobs import write_file
from app.study.canonical import canonical_json
from app.study.errors import StudyRefused

SERVICE, KEY_NAME = "nodus-audit", "signing-key"
KEY_SETTING = "audit_key/"
PASSPHRASE_LENGTH = 10
# A keyring that forgets, or that writes plain files, keeps no key.
_UNSAFE = ("keyring.backends.fail", "keyring.backends.null", "keyring.backends.chainer", "keyrings.alt")


@dataclass(frozen=True, slots=True, eq=False)
class AuditSigner:
    """A private key that signs audit heads."""

    key: Ed25519PrivateKey

    @property
    def public_key(self) -> str:
        """The public key, base64 of its 32 bytes."""
        return base64.b64encode(self.key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()

    @property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits that name the key on paper."""
        return fingerprint_of(self.public_key)

    def sign(self, content: dict[str, Any]) -> dict[str, Any]:
        """The content with ``signature``: algorithm, public key, fingerprint and value over the canonical JSON."""
        value = self.key.sign(canonical_json(content).encode())
        signature = {"algorithm": "Ed25519", "public_key": self.public_key, "fingerprint": self.fingerprint, "value": base64.b64encode(value).decode()}
        return {**content, "signature": signature}


def fingerprint_of(public_key: str) -> str:
    """Sixteen hexadecimal digits of the SHA-256 of a public key in base64."""
    return hashlib.sha256(public_key.encode()).hexdigest()[:16]


def signature_state(content: dict[str, Any]) -> tuple[str, str | None]:
    """``unsigned``, ``good`` or ``broken``, and the fingerprint of the key, of an audit head as it was read."""
    signature = content.get("signature")
    if signature is None:
        return "unsigned", None
    try:
        raw = base64.b64decode(signature["public_key"], validate=True)
        value = base64.b64decode(signature["value"], validate=True)
        Ed25519PublicKey.from_public_bytes(raw).verify(value, canonical_json({k: v for k, v in content.items() if k != "signature"}).encode())
    except (InvalidSignature, KeyError, TypeError, ValueError):
        return "broken", None
    return "good", fingerprint_of(signature["public_key"])


def new_key_file(path: Path, passphrase: str) -> AuditSigner:
    """Make a key in a file under a passphrase. Raises ``key_exists``, ``passphrase_refused``."""
    if len(passphrase) < PASSPHRASE_LENGTH:
        raise StudyRefused(f"The passphrase of the audit key needs at least {PASSPHRASE_LENGTH} characters.", code="passphrase_refused")
    if path.exists():
        raise StudyRefused("There is already a file of that name; a key is never overwritten.", code="key_exists")
    key = Ed25519PrivateKey.generate()
    write_file(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(passphrase.encode())))
    path.chmod(0o600)
    return AuditSigner(key)


def key_from_file(path: Path, passphrase: str) -> AuditSigner:
    """The key of a file. Raises ``key_file_refused`` for a wrong passphrase or a file that is none."""
    try:
        key = load_pem_private_key(path.read_bytes(), passphrase.encode())
    except (OSError, ValueError, TypeError):
        raise StudyRefused("The audit key cannot be read: wrong passphrase, or no key file.", code="key_file_refused") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise StudyRefused("This file holds a key of another kind.", code="key_file_refused")
    return AuditSigner(key)


def key_from_keyring(*, make: bool = False) -> AuditSigner | None:
    """The key of this account in the system's keyring; ``make`` makes one where there is none. None without a key.
    Raises ``keyring_unusable``."""
    ring = _keyring()
    if ring is None:
        if make:
            raise StudyRefused("This computer has no keyring that keeps keys.", code="keyring_unusable", hint="Keep the key in a file under a passphrase: --file KEY.pem")
        return None
    try:
        text = ring.get_password(SERVICE, KEY_NAME)
        if text is None and make:
            text = base64.b64encode(Ed25519PrivateKey.generate().private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())).decode()
            ring.set_password(SERVICE, KEY_NAME, text)
    except Exception as error:  # each system's keyring fails in its own way
        raise StudyRefused("The system's keyring cannot be used.", code="keyring_unusable", hint="Unlock it, or keep the key in a file.") from error
    if text is None:
        return None
    try:
        return AuditSigner(Ed25519PrivateKey.from_private_bytes(base64.b64decode(text, validate=True)))
    except ValueError:
        raise StudyRefused("The key in the system's keyring is damaged.", code="keyring_unusable") from None


def signer_for(keys: dict[str, dict[str, Any]]) -> AuditSigner | None:
    """The key that a study names and this computer holds: in the file of ``NODUS_AUDIT_KEY`` (passphrase in
    ``NODUS_AUDIT_PASSPHRASE``), else in the keyring. ``keys`` maps fingerprints to what the study says of them. None where
    the key is not to be had here: heads are then written unsigned, and the audit says so."""
    if not keys:
        return None
    named, passphrase = os.environ.get("NODUS_AUDIT_KEY"), os.environ.get("NODUS_AUDIT_PASSPHRASE")
    try:
        if named and passphrase:
            signer = key_from_file(Path(named), passphrase)
        elif any(isinstance(key, dict) and key.get("kept_in") == "keyring" for key in keys.values()):
            signer = key_from_keyring()
        else:
            return None
    except StudyRefused:
        return None  # a locked keyring or a wrong passphrase must not keep anybody from the study
    return signer if signer is not None and signer.fingerprint in keys else None


def _keyring() -> Any:
    import keyring

    ring = keyring.get_keyring()
    rings = ring.backends if type(ring).__module__ == "keyring.backends.chainer" else [ring]
    return next((r for r in rings if not type(r).__module__.startswith(_UNSAFE)), None)
