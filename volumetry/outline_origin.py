"""How an outline came about: kept with the voxels from the first click to the locked reading.

A number is only as good as the outline under it, and a reviewer has to see whether that was drawn by hand,
followed a click, was carried over from another visit or was proposed by a model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

HAND = ("brush", "contours", "livewire", "by_hand")
"""Methods that are the reader's hand from the start: more of it is no repair."""

NOT_RECORDED = "not_recorded"
MODEL_RECORD = ("name", "version", "licence", "sha256")


@dataclass(frozen=True, slots=True)
class OutlineOrigin:
    """``method``: ``star_convex``, ``polar``, ``region_growing``, ``threshold``, ``scribbles``, ``contours``,
    ``livewire``, ``brush``, ``by_hand``, ``propagated``, ``model``, ``file`` or ``not_recorded``.

    ``edited`` is True once a hand has changed what the method gave. ``details`` are plain values (texts,
    numbers, lists) that belong to the method: of a model its name, version, licence and SHA-256; of an outline
    carried over from another visit, ``outline`` is what ``as_dict`` gave of the one it was copied from.
    """

    method: str
    edited: bool = False
    details: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "details", dict(self.details))

    def by_hand(self) -> OutlineOrigin:
        """The same after a repair by hand."""
        return self if self.method in HAND or self.edited else replace(self, edited=True)

    @property
    def outlined(self) -> str | None:
        """The way of outlining as the interval of a volume knows it (``volumetry.uncertainty.OUTLINED``);
        what a hand repaired is no surer than a hand. None where nobody said."""
        if self.method in ("file", NOT_RECORDED):
            return None
        if self.method == "propagated":
            return "propagated"
        if self.method in HAND or self.edited:
            return "brush" if self.method == "brush" else "manual"
        return "star_convex" if self.method == "star_convex" else "semi_automatic"

    @property
    def model(self) -> dict[str, Any] | None:
        """``name``, ``version``, ``licence`` and ``sha256`` of the trained model that the outline rests on, also where
        it was carried over from another visit; None where there is none."""
        if self.method == "model":
            return {key: self.details[key] for key in MODEL_RECORD}
        before = origin_from(self.details.get("outline"))
        return None if before is None else before.model

    def as_dict(self) -> dict[str, Any]:
        """Plain values: ``{"method", "edited", ...details}``."""
        return {"method": self.method, "edited": self.edited, **self.details}


def origin_from(kept: Mapping[str, Any] | None) -> OutlineOrigin | None:
    """What ``as_dict`` gave, as a value again; None for nothing."""
    if not kept:
        return None
    return OutlineOrigin(str(kept["method"]), bool(kept.get("edited", False)), {k: v for k, v in kept.items() if k not in ("method", "edited")})
