"""A mistake in a protocol file as a value, and the small questions that find them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

SCHEMA = "nodus.protocol/2"
SCHEMA_1 = "nodus.protocol/1"
FARTHEST_DAYS = 36525  # a hundred years: beyond is a mistyped number


@dataclass(frozen=True, slots=True)
class ProtocolFault:
    """One mistake: ``path`` into the file, stable ``code``, a sentence, ``error`` or ``warning``."""

    code: str
    path: str
    message: str
    severity: str = "error"

    def to_dict(self) -> dict[str, str]:
        """An entry of ``faults`` or ``warnings`` in the answer of ``nodus study check-protocol --json``."""
        return {"path": self.path, "code": self.code, "message": self.message}


def is_number(value: Any) -> bool:
    """A finite number; true and false are none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def is_whole(value: Any) -> bool:
    """A whole number; true and false are none."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_text(value: Any) -> bool:
    """Text that is not blank."""
    return isinstance(value, str) and bool(value.strip())


class Faults:
    """Collects faults section by section; each section is looked at even where another is broken."""

    def __init__(self) -> None:
        self.found: list[ProtocolFault] = []

    def fault(self, code: str, path: str, message: str, severity: str = "error") -> None:
        self.found.append(ProtocolFault(code, path, message, severity))

    # -- small questions ----------------------------------------------------------------------------

    def keys(self, value: dict, path: str, known: Iterable[str], needed: Iterable[str] = ()) -> None:
        where = f"{path}." if path else ""
        for key in value:
            if key not in known:
                self.fault("protocol_unknown_key", f"{where}{key}", f"{where}{key} is no key of {SCHEMA}")
        for key in needed:
            if key not in value:
                self.fault("protocol_key_missing", f"{where}{key}", f"{where}{key} is missing")

    def is_object(self, content: dict, key: str, path: str = "") -> bool:
        """True for an object that is there; a fault where something else is. None and absent are neither."""
        value = content.get(key)
        if value is None:
            return False
        if not isinstance(value, dict):
            self.fault("protocol_value", path + key, f"{path}{key} must be an object")
            return False
        return True

    def one_of(self, value: Any, allowed: Iterable[Any], path: str, code: str = "protocol_value") -> bool:
        allowed = tuple(allowed)
        if not (isinstance(value, str) and value in allowed):
            self.fault(code, path, f"{path} must be one of {', '.join(map(str, allowed)) or 'nothing: none is declared'}")
            return False
        return True

    def some_of(self, value: Any, allowed: Iterable[str], path: str, code: str = "protocol_value", *, empty: bool = False) -> None:
        allowed = tuple(allowed)
        if not isinstance(value, list) or (not value and not empty) or any(not isinstance(v, str) or v not in allowed for v in value):
            self.fault(code, path, f"{path} must be some of {', '.join(allowed) or 'nothing: none is declared'}")
        elif len(set(value)) != len(value):
            self.fault("protocol_duplicate", path, f"{path} names something twice")

    def flag(self, section: dict, key: str, path: str) -> None:
        if not isinstance(section.get(key, False), bool):
            self.fault("protocol_value", f"{path}.{key}", f"{path}.{key} must be true or false")

    def number(self, section: dict, key: str, path: str, *, whole: bool = False, low: float = 0.0, high: float = math.inf, open_low: bool = False, null: bool = False) -> None:
        """A number between limits (``open_low``: above the lower one); ``protocol_limit_impossible`` outside."""
        if key not in section or (null and section[key] is None):
            return
        value, where = section[key], f"{path}.{key}"
        if not (is_whole(value) if whole else is_number(value)):
            self.fault("protocol_value", where, f"{where} must be a {'whole ' if whole else ''}number{' or null' if null else ''}")
        elif value < low or (open_low and value == low) or value > high:
            bound = f"{'above' if open_low else 'at least'} {low:g}" + ("" if math.isinf(high) else f" and at most {high:g}")
            self.fault("protocol_limit_impossible", where, f"{where} is {value}: it must be {bound}")

    def days(self, window: Any, path: str) -> bool:
        good = isinstance(window, list) and len(window) == 2 and all(map(is_whole, window)) and window[0] <= window[1]
        if good and max(map(abs, window)) > FARTHEST_DAYS:
            self.fault("protocol_limit_impossible", f"{path}.window_days", f"{path}: window_days reach more than a hundred years")
            return False
        if window is not None and not good:
            self.fault("protocol_value", f"{path}.window_days", f"{path}: window_days must be two whole numbers, the smaller first, or null")
        return good
