"""The part of the protocol check that looks at arms, anchors, visits and their windows."""

from __future__ import annotations

import calendar
import datetime as dt
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

from app.study import protocol_words as words
from app.study.model import EVENT_KINDS, MODALITIES
from app.study.months import add_months
from app.study.protocol_faults import FARTHEST_DAYS, Faults, is_text, is_whole

# Anchor days at which two windows are tried for overlap: beginning, middle and end of every month of a leap year and the year after.
_TRIED = tuple(
    dt.date(year, month, day) for year in (2024, 2025) for month in range(1, 13) for day in (1, 15, 28, 29, 30, 31) if day <= calendar.monthrange(year, month)[1]
)


class CalendarFaults(Faults):
    """Arms, anchors, visits."""

    def visits(self, content: dict, anchors: Iterable[str]) -> list[dict]:
        visits = content.get("visits")
        if not isinstance(visits, list) or not visits:
            self.fault("protocol_visit_missing", "visits", "visits must be a list with at least one visit")
            return []
        for number, visit in enumerate(visits):
            self.visit(visit, f"visits[{number}]", tuple(anchors))
        objects = [v for v in visits if isinstance(v, dict)]
        for key in ("name", "order"):
            values = [str(v.get(key)) for v in objects]
            if len(set(values)) != len(values):
                self.fault("protocol_duplicate", "visits", f"two visits have the same {key}")
        return objects

    def visit(self, visit: Any, path: str, anchors: tuple[str, ...]) -> None:
        if not isinstance(visit, dict):
            self.fault("protocol_value", path, f"{path}: is not an object")
            return
        if not is_text(visit.get("name")):
            self.fault("protocol_value", f"{path}.name", f"{path}: name must be text")
        if visit.get("phase") not in ("pre", "post"):
            self.fault("protocol_value", f"{path}.phase", f"{path}: phase must be 'pre' or 'post'")
        if visit.get("anchor") not in anchors:
            self.fault("protocol_anchor_unknown", f"{path}.anchor", f"{path}: anchor must be {' or '.join(map(repr, anchors)) or 'declared under anchors'}")
        if not is_whole(visit.get("order")):
            self.fault("protocol_value", f"{path}.order", f"{path}: order must be a whole number")
        day, months = visit.get("day"), visit.get("months")
        if (day is None) == (months is None) or not is_whole(day if day is not None else months):
            self.fault("protocol_value", f"{path}.day", f"{path}: exactly one of day and months must be a whole number")
        elif abs(day if day is not None else months * 31) > FARTHEST_DAYS:
            self.fault("protocol_limit_impossible", f"{path}.day", f"{path}: the visit is more than a hundred years away")
        self.days(visit.get("window_days"), path)

    def arms(self, content: dict) -> tuple[str, ...]:
        arms = content.get("arms", [])
        if not isinstance(arms, list) or any(not isinstance(a, dict) or not is_text(a.get("name")) for a in arms):
            self.fault("protocol_value", "arms", "arms must be a list of objects with a name and a title")
            return ()
        names = tuple(a["name"] for a in arms)
        if len(set(names)) != len(names):
            self.fault("protocol_duplicate", "arms", "two arms have the same name")
        for number, arm in enumerate(arms):
            self.keys(arm, f"arms[{number}]", ("name", "title"), ("title",))
        return names

    def anchors(self, content: dict, visits: list[str], arms: tuple[str, ...]) -> tuple[str, ...]:
        anchors = content.get("anchors")
        if not isinstance(anchors, dict) or not anchors:
            if "anchors" in content:
                self.fault("protocol_value", "anchors", "anchors must be an object with at least one anchor")
            return ()
        for name, anchor in anchors.items():
            self.anchor(anchor, f"anchors.{name}", visits)
            by_arm = anchor.get("by_arm") if isinstance(anchor, dict) else None
            if by_arm is not None and not isinstance(by_arm, dict):
                self.fault("protocol_value", f"anchors.{name}.by_arm", f"anchors.{name}.by_arm must be an object")
            for arm, other in (by_arm or {}).items() if isinstance(by_arm, dict) else ():
                if arm not in arms:
                    self.fault("protocol_value", f"anchors.{name}.by_arm.{arm}", f"anchors.{name}.by_arm names the arm {arm!r}, which is not declared")
                self.anchor(other, f"anchors.{name}.by_arm.{arm}", visits)
        return tuple(anchors)

    def anchor(self, anchor: Any, path: str, visits: list[str]) -> None:
        if not isinstance(anchor, dict):
            self.fault("protocol_value", path, f"{path} must be an object")
            return
        self.keys(anchor, path, words.ANCHOR)
        if "visit" in anchor:
            if anchor["visit"] not in visits:
                self.fault("protocol_visit_missing", f"{path}.visit", f"{path} counts from the visit {anchor['visit']!r}, which is not planned")
            if "kinds" in anchor:
                self.fault("protocol_value", path, f"{path} counts from a visit or from events, not from both")
            return
        self.some_of(anchor.get("kinds"), EVENT_KINDS, f"{path}.kinds")
        self.one_of(anchor.get("which"), ("first", "last"), f"{path}.which")
        self.number(anchor, "after_rounds", path, whole=True)
        for key in ("count_from", "count_to"):
            self.number(anchor, key, path, whole=True, low=1)
        if is_whole(anchor.get("count_from")) and is_whole(anchor.get("count_to")) and anchor["count_from"] > anchor["count_to"]:
            self.fault("protocol_limit_impossible", f"{path}.count_to", f"{path}: count_from is above count_to")

    def visit_2(self, visit: dict, path: str, arms: tuple[str, ...]) -> None:
        self.keys(visit, path, words.VISIT)
        if visit.get("window_days") is None:
            self.fault("protocol_window_open", f"{path}.window_days", f"{path}: without window_days no scan is assigned to this visit by its date", "warning")
        imaging = visit.get("imaging", [])
        if not isinstance(imaging, list):
            self.fault("protocol_value", f"{path}.imaging", f"{path}.imaging must be a list of groups of modalities")
        else:
            for number, group in enumerate(imaging):
                self.some_of(group, MODALITIES, f"{path}.imaging[{number}]", code="protocol_modality_unknown")
        if "arms" in visit:
            self.some_of(visit["arms"], arms, f"{path}.arms")
        self.flag(visit, "optional", path)
        if "ends_with" in visit:
            self.some_of(visit["ends_with"], EVENT_KINDS, f"{path}.ends_with", empty=True)

    def calendar(self, visits: list[dict], anchors: dict) -> None:
        """Targets in the order of the visits, windows that do not overlap, a visit before and one after the treatment."""
        for phase in ("pre", "post"):
            if visits and not any(v.get("phase") == phase for v in visits) and all(v.get("phase") in ("pre", "post") for v in visits):
                self.fault("protocol_visit_missing", "visits", f"no visit has the phase {phase!r}: a response needs one before and one after the treatment")
        fit = [v for v in visits if is_whole(v.get("order")) and (is_whole(v.get("day")) != is_whole(v.get("months"))) and isinstance(v.get("anchor"), str)]
        if any(abs(v["day"] if is_whole(v.get("day")) else v["months"] * 31) > FARTHEST_DAYS for v in fit):
            return
        fit.sort(key=lambda v: v["order"])
        for one, two in pairwise(fit):
            if one["anchor"] == two["anchor"] and target_of(one, _TRIED[0]) > target_of(two, _TRIED[0]):
                self.fault("protocol_month_order", "visits", f"{two.get('name')} comes after {one.get('name')} by its order but before it by its day or month")
        with_window = [v for v in fit if self._window(v) and v.get("imaging", [1]) != []]
        for number, one in enumerate(with_window):
            for two in with_window[number + 1 :]:
                if _may_coincide(one, two, anchors) and (day := _overlap(one, two)):
                    self.fault("protocol_windows_overlap", "visits", f"the windows of {one.get('name')} and {two.get('name')} overlap, for example counted from {day.isoformat()}")

    @staticmethod
    def _window(visit: dict) -> bool:
        window = visit.get("window_days")
        return isinstance(window, list) and len(window) == 2 and all(map(is_whole, window)) and window[0] <= window[1] and max(map(abs, window)) < FARTHEST_DAYS


def target_of(visit: dict, anchor: dt.date) -> dt.date:
    """The planned day of a visit of the file, counted from ``anchor``."""
    return add_months(anchor, visit["months"]) if is_whole(visit.get("months")) else anchor + dt.timedelta(days=visit["day"])


def _may_coincide(one: dict, two: dict, anchors: Any) -> bool:
    """Can both visits count from the same day? The same anchor, or two that rest on common events; not in different arms."""
    arms = [v.get("arms") for v in (one, two)]
    if all(isinstance(a, list) and a for a in arms) and not {*map(str, arms[0])} & {*map(str, arms[1])}:
        return False
    if one["anchor"] == two["anchor"]:
        return True
    told = [anchors.get(v["anchor"]) if isinstance(anchors, dict) else None for v in (one, two)]
    if any(not isinstance(a, dict) or "after_rounds" in a or not isinstance(a.get("kinds"), list) for a in told):
        return False
    return bool({*map(str, told[0]["kinds"])} & {*map(str, told[1]["kinds"])})


def _overlap(one: dict, two: dict) -> dt.date | None:
    """An anchor day at which the two windows share a day, or None."""
    apart = abs((target_of(one, _TRIED[0]) - target_of(two, _TRIED[0])).days)
    if apart > max(map(abs, one["window_days"])) + max(map(abs, two["window_days"])) + 8:
        return None  # months are at most three days longer or shorter than on the day tried
    for anchor in _TRIED:
        spans = []
        for visit in (one, two):
            target = target_of(visit, anchor)
            spans.append((target + dt.timedelta(days=visit["window_days"][0]), target + dt.timedelta(days=visit["window_days"][1])))
        if spans[0][0] <= spans[1][1] and spans[1][0] <= spans[0][1]:
            return anchor
    return None
