"""What must be known around the needles: structures that a plan outlines, or that the reader states to be far."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from planning.electrode import Electrode
from planning.errors import PlanRefused

NEAR_MM = 15.0  # a structure that may lie nearer than this to a needle must be outlined
SITES = ("neck", "liver", "other")
SIDES = ("left", "right", "midline", "unknown")
REQUIRED = {"neck": ("carotid", "jugular")}
# How a name says what it is: beginnings of its words, and abbreviations that are whole words. Names that only
# mention a vessel (a node of the jugular chain, a body at the fork of the carotid) are not the vessel.
BEGINNINGS = {"carotid": ("carotid", "carotis"), "jugular": ("jugular",), "oesophagus": ("oesophag", "esophag"), "vagus": ("vagus", "vagal")}
ABBREVIATIONS = {"carotid": ("cca", "ica", "eca"), "jugular": ("ijv",)}
NOT_THE_VESSEL = ("node", "nodes", "ln", "chain", "body", "bodies", "nerve", "canal", "foramen")
SIDE_WORDS = {"left": ("left", "l", "lt", "sin", "sinister", "sinistra"), "right": ("right", "r", "rt", "dex", "dexter", "dextra")}
MOVED_SLACK_MM = 1e-6


def _words(name: str) -> list[str]:
    words = re.findall(r"[^\W\d_]+", name.lower())
    known = [a for group in ABBREVIATIONS.values() for a in group]
    out = []
    for word in words:  # lica, rijv: the side before the abbreviation
        out += [word[0], word[1:]] if word[:1] in "lr" and word[1:] in known else [word]
    return out


def is_named(name: str, structure: str) -> bool:
    """Whether a region's name says that it is this structure ("left carotid", "CCA l" are a carotid; "jugular
    chain node" is no jugular)."""
    wanted, words = structure.lower(), _words(name)
    if wanted in ABBREVIATIONS and any(w in NOT_THE_VESSEL for w in words):
        return False
    if wanted in BEGINNINGS:
        return any(w.startswith(BEGINNINGS[wanted]) or w in ABBREVIATIONS.get(wanted, ()) for w in words)
    asked = [w for w in _words(structure) if not any(w in ways for ways in SIDE_WORDS.values())]
    return bool(asked) and all(any(w.startswith(a) for w in words) for a in asked)


def side_named(name: str) -> str | None:
    """``left`` or ``right`` where a name says one of them, else None."""
    words = _words(name)
    said = [side for side, ways in SIDE_WORDS.items() if any(w in ways for w in words)]
    return said[0] if len(said) == 1 else None


@dataclass(frozen=True, slots=True)
class StatedClear:
    """A reader's word that a structure, not outlined, lies farther than ``farther_than_mm`` from every needle.

    ``needles`` keeps ``(id, tip_mm, entry_mm)`` of the needles it was said of: it holds for a needle that moved by no
    more than the distance beyond ``NEAR_MM``. None: said without needles, in a file written by hand.
    """

    name: str
    by: str
    farther_than_mm: float = NEAR_MM
    utc: str | None = None
    needles: tuple[tuple[str, tuple[float, float, float], tuple[float, float, float]], ...] | None = None

    def __post_init__(self) -> None:
        for value, what in ((self.name, "structure"), (self.by, "person")):
            if not isinstance(value, str) or not value.strip():
                raise PlanRefused(f"A statement that a structure is far away must name the {what}.", code="bad_anatomy")
        if isinstance(self.farther_than_mm, bool) or not isinstance(self.farther_than_mm, int | float) or not math.isfinite(self.farther_than_mm) or self.farther_than_mm < NEAR_MM:
            raise PlanRefused(f"A structure that was not outlined must be stated as farther than {NEAR_MM:g} mm or more.", code="bad_anatomy")

    @classmethod
    def of(cls, name: str, by: str, electrodes, *, farther_than_mm: float = NEAR_MM, utc: str | None = None) -> StatedClear:
        """The statement about these needles as they lie now (anything with ``id``, ``tip_mm``, ``entry_mm``)."""
        return cls(name, by, farther_than_mm, utc, tuple((e.id, tuple(map(float, e.tip_mm)), tuple(map(float, e.entry_mm))) for e in electrodes))

    def no_longer_holds_for(self, electrodes: tuple[Electrode, ...]) -> list[str]:
        """Ids of needles that are new or moved farther than the statement reaches. No point of a needle moves
        farther than the farther of its two ends."""
        if self.needles is None:
            return []
        was = {id: (tip, entry) for id, tip, entry in self.needles}
        reserve = self.farther_than_mm - NEAR_MM + MOVED_SLACK_MM
        return [e.id for e in electrodes if e.id not in was or max(math.dist(e.tip_mm, was[e.id][0]), math.dist(e.entry_mm, was[e.id][1])) > reserve]

    def to_dict(self) -> dict:
        """As in a plan file."""
        out = {"name": self.name, "by": self.by, "farther_than_mm": self.farther_than_mm}
        if self.utc is not None:
            out["utc"] = self.utc
        if self.needles is not None:
            out["needles"] = [{"id": id, "tip_mm": list(tip), "entry_mm": list(entry)} for id, tip, entry in self.needles]
        return out


@dataclass(frozen=True, slots=True)
class Anatomy:
    """Where in the body a plan lies, on which side, and what must be known there before it can be approved."""

    site: str
    side: str = "unknown"
    required: tuple[str, ...] = ()
    stated_clear: tuple[StatedClear, ...] = ()

    def __post_init__(self) -> None:
        if self.site not in SITES:
            raise PlanRefused(f"Anatomy: site {self.site!r} is unknown; known are {', '.join(SITES)}.", code="bad_anatomy")
        if self.side not in SIDES:
            raise PlanRefused(f"Anatomy: side {self.side!r} is unknown; known are {', '.join(SIDES)}.", code="bad_anatomy")

    @classmethod
    def of_site(cls, site: str, side: str = "unknown", stated_clear: tuple[StatedClear, ...] = ()) -> Anatomy:
        """With the structures that the site requires."""
        return cls(site, side, REQUIRED.get(site, ()), tuple(stated_clear))

    def to_dict(self) -> dict:
        """As in a plan file."""
        return {"site": self.site, "side": self.side, "required": list(self.required), "stated_clear": [s.to_dict() for s in self.stated_clear]}


def anatomy_from_dict(d) -> Anatomy | None:
    """Read a plan's ``anatomy``; None where it has none. What a site requires can be added to, not taken away. Raises
    ``PlanRefused`` (``bad_anatomy``): a misspelt key here would be a structure nobody asks for."""
    if d is None:
        return None
    _check(isinstance(d, Mapping), "it must be an object")
    _check(not set(d) - {"site", "side", "required", "stated_clear"}, "it knows site, side, required and stated_clear")
    _check(isinstance(d.get("site"), str), "its site is missing")
    own = REQUIRED.get(d["site"], ())
    required = d.get("required", [])
    _check(isinstance(required, list | tuple) and all(isinstance(r, str) and r.strip() for r in required), "required must be a list of structures")
    required = tuple(r.strip().lower() for r in required)
    stated = d.get("stated_clear", [])
    _check(isinstance(stated, list | tuple), "stated_clear must be a list")
    return Anatomy(d["site"], d.get("side", "unknown"), (*own, *(r for r in required if r not in own)), tuple(_stated(s) for s in stated))


def _check(ok: bool, words: str) -> None:
    if not ok:
        raise PlanRefused(f"The plan's anatomy cannot be read: {words}.", code="bad_anatomy")


def _stated(d) -> StatedClear:
    _check(isinstance(d, Mapping) and not set(d) - {"name", "by", "farther_than_mm", "utc", "needles"}, "an entry of stated_clear knows name, by, farther_than_mm, utc and needles")
    _check(d.get("utc") is None or isinstance(d["utc"], str), "the time of a statement is a text")
    needles = d.get("needles")
    if needles is not None:
        _check(isinstance(needles, list | tuple), "needles of a statement must be a list")
        needles = tuple(_needle(n) for n in needles)
    return StatedClear(d.get("name"), d.get("by"), d.get("farther_than_mm", NEAR_MM), d.get("utc"), needles)


def _needle(d) -> tuple:
    _check(isinstance(d, Mapping) and isinstance(d.get("id"), str), "a needle of a statement has id, tip_mm and entry_mm")
    out = [d["id"]]
    for key in ("tip_mm", "entry_mm"):
        point = d.get(key)
        numbers = isinstance(point, list | tuple) and len(point) == 3 and all(isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(v) for v in point)
        _check(numbers, f"{key} of a statement's needle must be three numbers")
        out.append(tuple(float(v) for v in point))
    return tuple(out)
