"""Trial protocols as data: found in ``resources/protocols`` or given as a file, checked, then trusted.

A study keeps the protocol that it was made with. One of the earlier schema ``nodus.protocol/1`` stays as it
was frozen (``content``); ``terms`` says the same in the words of ``nodus.protocol/2``, with nothing added that it
did not state. What the keys mean: ``resources/docs/protocols.md``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from app.study.errors import StudyRefused
from app.study.protocol_check import find_faults
from app.study.protocol_faults import SCHEMA, SCHEMA_1, ProtocolFault

__all__ = ["SCHEMA", "SCHEMA_1", "PlannedVisit", "ProtocolFault", "StudyProtocol", "available", "check_file", "check_protocol", "load_protocol", "protocol_from", "upgraded"]


@dataclass(frozen=True, slots=True)
class PlannedVisit:
    """A visit as the protocol plans it. ``phase`` is ``pre`` or ``post`` treatment; the target is
    ``day`` days or ``months`` calendar months after ``anchor`` (a name among the protocol's anchors);
    ``window_days`` are the offsets from the target that still count, None where none is stated. ``imaging``: of each
    group one modality is acquired, empty for a visit without pictures. ``arms``: only subjects of these, empty for all.
    ``ends_with``: event kinds after which the visit is no longer asked for."""

    name: str
    phase: str
    order: int
    anchor: str
    day: int | None
    months: int | None
    window_days: tuple[int, int] | None
    imaging: tuple[tuple[str, ...], ...] = ()
    arms: tuple[str, ...] = ()
    optional: bool = False
    ends_with: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StudyProtocol:
    """A checked protocol. ``content`` is the whole file, as frozen into the study; ``terms`` the same as
    ``nodus.protocol/2``: whoever asks what the protocol says reads ``terms``."""

    protocol_id: str
    version: str
    title: str
    visits: tuple[PlannedVisit, ...]
    content: dict
    terms: dict = field(default_factory=dict)

    @property
    def stamp(self) -> str:
        """What is written into every reading: ``ire-cervical-ln/2``."""
        return f"{self.protocol_id}/{self.version}"

    def visit(self, name: str) -> PlannedVisit | None:
        """The planned visit of that name, or None for an unscheduled one."""
        return next((v for v in self.visits if v.name == name), None)

    def section(self, name: str) -> dict:
        """An object of the protocol (``limits``, ``reading``, ``adjudication``, ``salvage``, ``ablation``, ``pain``, ``edc``), empty
        where the protocol has none."""
        return self.terms.get(name) or {}

    @property
    def ablation_kinds(self) -> tuple[str, ...]:
        """Event kinds that are an ablation in this trial; empty where none is done."""
        return tuple(self.section("ablation").get("kinds", ()))

    @property
    def endpoints(self) -> tuple[dict, ...]:
        """The endpoints in the file's order; empty where none is stated."""
        return tuple(self.terms.get("endpoints") or ())

    @property
    def open_items(self) -> tuple[dict, ...]:
        """What the sponsor must confirm: ``field``, ``default`` taken, ``note``."""
        return tuple(self.terms.get("open") or ())

    def cv_pct(self, modality: str, method: str) -> float | None:
        """Stated repeatability of a volume (coefficient of variation, percent), None where none is stated."""
        stated = self.content.get("reading", {}).get("repeatability_cv_pct", {})
        value = stated.get(f"{modality}/{method}")
        return None if value is None else float(value)

    @property
    def allows_propagated_outlines(self) -> bool:
        """True where a reading for an endpoint may start from another visit's outline; False unless stated."""
        return self.content.get("reading", {}).get("allow_propagated_outlines", False) is True

    @property
    def shows_other_visits(self) -> bool:
        """False where a reader must not see a subject's other visits beside the one that is read; True unless stated."""
        return self.content.get("reading", {}).get("compare_visits", True) is not False

    @property
    def allows_model_outlines(self) -> bool:
        """True where a reading for an endpoint may rest on an outline that a trained model proposed; False unless stated."""
        return self.content.get("reading", {}).get("allow_model_outlines", False) is True


def available() -> tuple[str, ...]:
    """Ids of the protocols that ship with the program."""
    folder = resources.files("resources") / "protocols"
    return tuple(sorted(f.name[:-5] for f in folder.iterdir() if f.name.endswith(".json")))


def load_protocol(name_or_path: str | Path) -> StudyProtocol:
    """A protocol by id or by file. Raises ``protocol_missing`` or ``protocol_refused``."""
    return protocol_from(_read(name_or_path))


def check_file(name_or_path: str | Path) -> tuple[Any, tuple[ProtocolFault, ...]]:
    """What a protocol file holds, and everything that is wrong or worth knowing about it. Raises
    ``protocol_missing``; a file that is no JSON raises ``protocol_refused``."""
    content = _read(name_or_path)
    return content, find_faults(content)


def _read(name_or_path: str | Path) -> Any:
    try:
        if str(name_or_path) in available():
            text = (resources.files("resources") / "protocols" / f"{name_or_path}.json").read_text("utf-8")
        elif Path(name_or_path).is_file():
            text = Path(name_or_path).read_text("utf-8-sig")
        else:
            raise StudyRefused(
                f"There is no protocol {str(name_or_path)!r}.",
                code="protocol_missing",
                hint=f"Give a file, or one of: {', '.join(available())}.",
            )
        return json.loads(text, object_pairs_hook=_without_twins)
    except ValueError as error:  # also text that is not UTF-8
        raise StudyRefused(f"The protocol is not valid JSON: {error}.", code="protocol_refused") from error


def _without_twins(pairs: list[tuple[str, Any]]) -> dict:
    """An object, unless a key stands in it twice: JSON would take the last one without a word."""
    out = dict(pairs)
    if len(out) != len(pairs):
        twice = sorted({k for k, _ in pairs if sum(k == other for other, _ in pairs) > 1})
        raise ValueError(f"the key {twice[0]!r} stands twice in one object")
    return out


def protocol_from(content: Any) -> StudyProtocol:
    """The checked value of a protocol's content. Raises ``protocol_refused`` naming every fault."""
    faults = check_protocol(content)
    if faults:
        raise StudyRefused("The protocol has faults: " + "; ".join(faults) + ".", code="protocol_refused")
    terms = upgraded(content)
    visits = tuple(
        PlannedVisit(
            v["name"],
            v["phase"],
            v["order"],
            v["anchor"],
            v.get("day"),
            v.get("months"),
            tuple(v["window_days"]) if v.get("window_days") else None,
            tuple(tuple(group) for group in v.get("imaging", [terms["reading"]["modalities"]])),
            tuple(v.get("arms", ())),
            v.get("optional", False),
            tuple(v.get("ends_with", terms["ends_follow_up"])),
        )
        for v in terms["visits"]
    )
    return StudyProtocol(content["id"], content["version"], content["title"], visits, content, terms)


def check_protocol(content: Any) -> list[str]:
    """What is wrong with a protocol's content, one plain sentence each; empty if nothing is. Warnings are not faults."""
    return [fault.message for fault in find_faults(content) if fault.severity == "error"]


def upgraded(content: dict) -> dict:
    """A checked protocol in the words of ``nodus.protocol/2``; a new dict, the given one stays as it is.

    What ``/1`` could not say is left empty (no endpoints, no criteria, no triggers), never filled in: a
    study made with it asks for no more than it said. Its anchors ``first`` and ``last`` were the first and the last ablation, of whatever kind.
    """
    if content["schema"] == SCHEMA:
        return content
    kinds = ["IRE", "SALVAGE", "RFA", "CRYO_RF"]
    said = content.get("anchors") or {}
    limits = dict(content.get("limits") or {})
    if limits.pop("metal_in_neck", None) == "excluded":
        limits["metal"] = {"excluded": True, "hu_from": None, "within_mm": None, "voxels_from": None}
    salvage = content.get("salvage")
    if salvage:
        after = next((v["name"] for v in content["visits"] if v["phase"] == "post"), None)
        salvage = {"allowed": salvage.get("allowed"), "after_visit": after, "within_days": salvage.get("within_days"), "counted_from": "result" if str(salvage.get("counted_from")).endswith("result") else "scan"}
    last_pre = max((v["order"] for v in content["visits"] if v["phase"] == "pre"), default=0)  # the baseline: the one before the treatment with pictures
    reading = {**content["reading"], "baseline": {"before": "first", "rule": "last_evaluable", "same": ["reader", "modality", "method"]}}
    return {
        **content,
        "schema": SCHEMA,
        "treatment": str(content.get("treatment") or "NONE"),
        "arms": [],
        "month_arithmetic": "calendar_month_clamped",
        "anchors": {which: {"kinds": kinds, "which": which, "meaning": str(said.get(which, f"the subject's {which} ablation"))} for which in ("first", "last")},
        "visits": [{**v, "imaging": [] if v["phase"] == "pre" and v["order"] < last_pre else [content["reading"]["modalities"]]} for v in content["visits"]],
        "ends_follow_up": ["PROGRESSION", "WITHDRAWAL", "LOST", "DEATH"],
        "ablation": {"kinds": kinds, "rounds_max": None, "lesions_per_round": None},
        "salvage": salvage,
        "limits": limits,
        "reading": reading,
        "adjudication": None,
        "response": [],
        "endpoints": [],
        "edc": None,
        "open": [{"default": None, **entry} for entry in content.get("open", [])],
    }
