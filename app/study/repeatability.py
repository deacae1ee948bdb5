"""How well a volume repeats: what the protocol states, else what was published for its modality and method.

The coefficient of variation (CV) is that of one volume reading. Each comes with its source, because an
interval is only worth what stands behind it; where there is none, none is made up.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources

from app.study.protocol import StudyProtocol


@dataclass(frozen=True, slots=True)
class Repeatability:
    """``cv_pct`` of one volume, and where it is stated."""

    cv_pct: float
    source: str


@lru_cache(maxsize=1)
def published() -> dict[str, Repeatability]:
    """The shipped table by ``MODALITY/method``."""
    text = (resources.files("resources") / "repeatability" / "published.json").read_text("utf-8")
    return {key: Repeatability(float(row["cv_pct"]), row["source"]) for key, row in json.loads(text)["volumes"].items()}


def stated_repeatability(protocol: StudyProtocol, modality: str, method: str) -> Repeatability | None:
    """The protocol's own figure before the published one; None where neither has any."""
    of_protocol = protocol.cv_pct(modality, method)
    if of_protocol is not None:
        sources = protocol.content["reading"].get("repeatability_source")
        given = sources.get(f"{modality}/{method}") if isinstance(sources, dict) else None
        return Repeatability(of_protocol, f"protocol {protocol.stamp}" + (f": {given}" if given else ""))
    return published().get(f"{modality}/{method}")
