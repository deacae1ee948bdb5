"""Electronic signatures: a name, the time in UTC and a meaning, given with the password once more, and bound to the
content that was signed.

What is bound is the record as it lies in the database, without its state: a locked reading that a correction replaces
becomes superseded, and its signature still stands for what was signed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app import __version__
from app.study import schema
from app.study.canonical import content_sha256
from app.study.errors import StudyRefused
from app.study.model import Reading

if TYPE_CHECKING:
    from app.study.trail import TrailWriter

# What a signature means, by a short word. A protocol may name its own under signature.meanings.
MEANINGS = {
    "reading": "I have read and confirm this measurement",
    "correction": "I have corrected and confirm this measurement",
    "review": "I have reviewed this measurement",
    "adjudication": "I have compared both readings and select this reader",
}
NOT_A_SIGNATURE = "not an electronic signature"
A_SIGNATURE = "electronic signature"


def meanings_of(protocol_content: dict) -> dict[str, str]:
    """The meanings that a study's signatures may have: the protocol's own, else ``MEANINGS``."""
    own = protocol_content.get("signature", {})
    named = own.get("meanings") if isinstance(own, dict) else None
    return {str(k): str(v) for k, v in named.items()} if isinstance(named, dict) and named else dict(MEANINGS)


def check_meaning(meaning: str, protocol_content: dict) -> str:
    """The sentence of a meaning, given as its word or as itself. Raises ``meaning_refused``."""
    known = meanings_of(protocol_content)
    if meaning in known:
        return known[meaning]
    if meaning in known.values():
        return meaning
    raise StudyRefused("A signature has one of the study's meanings.", code="meaning_refused", hint="One of: " + "; ".join(f"{k} ({v})" for k, v in known.items()))


def signed_sha256(row: dict[str, Any]) -> str:
    """Hash of what a signature stands for: the stored row without its state."""
    return content_sha256({k: v for k, v in row.items() if k != "state"})


def write_signature(trail: TrailWriter, signature_id: str, object_: str, content: str, *, user_id: str, name: str, meaning: str) -> dict[str, Any]:
    """Insert a signature in the transaction of what it signs; returns its row."""
    row = {
        "signature_id": signature_id,
        "object": object_,
        "user_id": user_id,
        "name": name,
        "meaning": meaning,
        "signed_utc": trail.utc,
        "content_sha256": content,
        "software_version": __version__,
    }
    trail.insert(schema.signatures, row, action="signed", reason=meaning)
    return row


def lock_note(reading: Reading) -> str:
    """What a lock is, as it stands beside it on paper and in tables."""
    return NOT_A_SIGNATURE if reading.signature_id is None else A_SIGNATURE


def signature_faults(tables: dict[str, list[dict[str, Any]]]) -> list[tuple[str, str, str]]:
    """Code, place and sentence of every signature that does not stand for its record, for the audit. ``tables`` holds the
    rows of ``readings``, ``adjudications`` and ``signatures`` as they lie in the database."""
    found: list[tuple[str, str, str]] = []

    def fault(code: str, where: str, message: str) -> None:
        found.append((code, where, message))

    records: dict[str, dict[str, Any]] = {}
    for table in (schema.readings, schema.adjudications):
        for row in tables[table.name]:
            records[schema.object_name(table, row)] = row
    signed = {row["signature_id"]: row for row in tables["signatures"]}
    for name, row in records.items():
        given = row.get("signature_id")
        if given is not None and given not in signed:
            fault("signature_missing", name, "The record names a signature that is not there.")
    for signature_id, row in signed.items():
        where = f"signatures:{signature_id}"
        record = records.get(row["object"])
        if record is None or record.get("signature_id") != signature_id:
            fault("signature_broken", where, "The signature belongs to no record of the study.")
        elif signed_sha256(record) != row["content_sha256"]:
            fault("signature_broken", where, f"What was signed is not what {row['object']} holds now.")
        elif "locked_utc" in record and (record["locked_utc"], record["locked_by"], record["lock_meaning"]) != (row["signed_utc"], row["name"], row["meaning"]):
            fault("signature_broken", where, "Name, time or meaning of the signature are not those of the lock.")
    return found
