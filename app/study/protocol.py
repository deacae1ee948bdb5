"""Trial protocols as data: found in ``resources/protocols`` or given as a file, checked, then trusted."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from app.study.errors import StudyRefused
from app.study.model import METHODS, MODALITIES

SCHEMA = "nodus.protocol/1"


@dataclass(frozen=True, slots=True)
class PlannedVisit:
    """A visit as the protocol plans it. ``phase`` is ``pre`` or ``post`` ablation; the target is
    ``day`` days or ``months`` calendar months after ``anchor`` (``first`` or ``last`` ablation);
    ``window_days`` are the offsets from the target that still count."""

    name: str
    phase: str
    order: int
    anchor: str
    day: int | None
    months: int | None
    window_days: tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class StudyProtocol:
    """A checked protocol. ``content`` is the whole file, as frozen into the study."""

    protocol_id: str
    version: str
    title: str
    visits: tuple[PlannedVisit, ...]
    content: dict

    @property
    def stamp(self) -> str:
        """What is written into every reading: ``ire-cervical-ln/1``."""
        return f"{self.protocol_id}/{self.version}"

    def visit(self, name: str) -> PlannedVisit | None:
        """The planned visit of that name, or None for an unscheduled one."""
        return next((v for v in self.visits if v.name == name), None)

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
    if str(name_or_path) in available():
        text = (resources.files("resources") / "protocols" / f"{name_or_path}.json").read_text("utf-8")
    elif Path(name_or_path).is_file():
        text = Path(name_or_path).read_text("utf-8")
    else:
        raise StudyRefused(
            f"There is no protocol {str(name_or_path)!r}.",
            code="protocol_missing",
            hint=f"Give a file, or one of: {', '.join(available())}.",
        )
    try:
        content = json.loads(text)
    except ValueError as error:
        raise StudyRefused(f"The protocol is not valid JSON: {error}.", code="protocol_refused") from error
    return protocol_from(content)


def protocol_from(content: Any) -> StudyProtocol:
    """The checked value of a protocol's content. Raises ``protocol_refused`` naming every fault."""
    faults = check_protocol(content)
    if faults:
        raise StudyRefused("The protocol has faults: " + "; ".join(faults) + ".", code="protocol_refused")
    visits = tuple(
        PlannedVisit(
            v["name"],
            v["phase"],
            v["order"],
            v["anchor"],
            v.get("day"),
            v.get("months"),
            tuple(v["window_days"]) if v.get("window_days") else None,
        )
        for v in content["visits"]
    )
    return StudyProtocol(content["id"], content["version"], content["title"], visits, content)


def check_protocol(content: Any) -> list[str]:
    """What is wrong with a protocol's content, one plain sentence each; empty if nothing is."""
    if not isinstance(content, dict):
        return ["the file is not an object"]
    faults = []
    if content.get("schema") != SCHEMA:
        faults.append(f"schema must be {SCHEMA!r}")
    for key in ("id", "version", "title"):
        if not isinstance(content.get(key), str) or not content[key].strip():
            faults.append(f"{key} must be text")
    visits = content.get("visits")
    if not isinstance(visits, list) or not visits:
        return [*faults, "visits must be a list with at least one visit"]
    for number, visit in enumerate(visits):
        faults += [f"visits[{number}]: {fault}" for fault in _visit_faults(visit)]
    for key in ("name", "order"):
        values = [v.get(key) for v in visits if isinstance(v, dict)]
        if len(set(map(str, values))) != len(values):
            faults.append(f"two visits have the same {key}")
    reading = content.get("reading")
    if not isinstance(reading, dict):
        return [*faults, "reading must be an object with modalities and methods"]
    for key, allowed in (("modalities", MODALITIES), ("methods", METHODS)):
        given = reading.get(key)
        if not isinstance(given, list) or not given or any(g not in allowed for g in given):
            faults.append(f"reading.{key} must be some of {', '.join(allowed)}")
    for key in ("allow_propagated_outlines", "allow_model_outlines"):
        if not isinstance(reading.get(key, False), bool):
            faults.append(f"reading.{key} must be true or false")
    if not isinstance(reading.get("compare_visits", True), bool):
        faults.append("reading.compare_visits must be true or false")
    stated = reading.get("repeatability_cv_pct", {})
    if not isinstance(stated, dict):
        faults.append("reading.repeatability_cv_pct must be an object")
    else:
        for key, value in stated.items():
            if value is not None and not (_is_number(value) and value > 0):
                faults.append(f"reading.repeatability_cv_pct[{key!r}] must be a positive number or null")
    return faults


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _visit_faults(visit: Any) -> list[str]:
    if not isinstance(visit, dict):
        return ["is not an object"]
    faults = []
    if not isinstance(visit.get("name"), str) or not visit["name"].strip():
        faults.append("name must be text")
    if visit.get("phase") not in ("pre", "post"):
        faults.append("phase must be 'pre' or 'post'")
    if visit.get("anchor") not in ("first", "last"):
        faults.append("anchor must be 'first' or 'last'")
    if not _is_whole(visit.get("order")):
        faults.append("order must be a whole number")
    day, months = visit.get("day"), visit.get("months")
    if (day is None) == (months is None) or not _is_whole(day if day is not None else months):
        faults.append("exactly one of day and months must be a whole number")
    window = visit.get("window_days")
    if window is not None and not (isinstance(window, list) and len(window) == 2 and all(map(_is_whole, window)) and window[0] <= window[1]):
        faults.append("window_days must be two whole numbers, the smaller first, or null")
    return faults
