"""What a key turns identities into: UIDs, pseudonyms, short names, and the number of days that dates move.

Everything follows from the key by HMAC-SHA-256 (RFC 2104), so nothing but the key has to be kept, and the same
key gives the same answer for pictures, segmentations and reports alike. The key never goes into an export.
"""

from __future__ import annotations

import hashlib
import hmac

STANDARD_UIDS = "1.2.840.10008."
# Roots under which coding schemes are registered (HL7, NCI); they name vocabularies, nobody.
CODING_SCHEME_ROOTS = (STANDARD_UIDS, "2.16.840.1.113883.6.", "2.16.840.1.113883.3.26.", "2.16.840.1.113883.4.")
# Dates move back by more than a year, so that they are plainly not this year's, and by less than ten.
LEAST_DAYS, SPAN_DAYS = 366, 3285


def digest(key: bytes, *parts: str) -> bytes:
    """HMAC of the parts under the key, 32 bytes."""
    return hmac.new(key, "|".join(parts).encode("utf-8", "replace"), hashlib.sha256).digest()


def key_check(key: bytes) -> str:
    """A short word by which a key is known again and from which it cannot be worked out."""
    return digest(key, "which key").hex()[:16]


def map_uid(uid: str, key: bytes) -> str:
    """The UID that stands for ``uid`` under this key; standard UIDs stay. Same in, same out."""
    if uid.startswith(STANDARD_UIDS):
        return uid
    number = hmac.new(key, uid.encode("ascii", "replace"), hashlib.sha256).digest()
    return "2.25." + str(int.from_bytes(number[:16], "big"))


def token(text: str, key: bytes) -> str:
    """A short name that stands for a free text, the same wherever that text stands."""
    return f"T{digest(key, 'text', text.strip()).hex()[:10]}"


def pseudonym(patient: str, key: bytes) -> str:
    """A pseudonym that follows from whatever names a patient in the files."""
    return f"S-{digest(key, 'subject', patient.strip()).hex()[:8].upper()}"


def days_back(subject: str, key: bytes) -> int:
    """By how many whole days all dates of a subject move back: one number a subject."""
    return LEAST_DAYS + int.from_bytes(digest(key, "dates", subject)[:8], "big") % SPAN_DAYS
