"""Two readers' figures side by side, and why an adjudicator is asked, in words."""

from __future__ import annotations

from dataclasses import dataclass

from app.study.lesions import lesion_said
from app.ui.models.nodes import status_names
from app.ui.session_lesion import grade_names, lesion_words
from app.ui.text import t
from app.ui.widgets.figures import DASH, interval_text, number_text, volume_decimals
from app.usecases.adjudication_pairs import Pair, Side

# Trigger -> rows of the comparison that it is about.
ABOUT = {
    "volume_difference": ("volume",),
    "vrr_difference": ("vrr",),
    "vrr_class_differs": ("vrr",),
    "disappearance_differs": ("status",),
    "evaluability_differs": ("status",),
    "residual_enhancement_differs": ("grade", "lesion"),
    "new_lesion_differs": ("status", "volume", "lesion"),
    "response_differs": ("response",),
    "response_date_differs": ("progression",),
}


@dataclass(frozen=True, slots=True)
class Line:
    """One row: a name and a text for each reader, in the pair's order; ``asked`` where it is why an adjudicator is asked."""

    name: str
    texts: tuple[str, ...]
    asked: bool


def trigger_words(trigger: str) -> str:
    """A trigger of the protocol as a sentence."""
    words = {
        "volume_difference": t("The volumes differ by more than the protocol allows."),
        "vrr_difference": t("The volume reductions differ by more points than the protocol allows."),
        "vrr_class_differs": t("The volume reductions lie on two sides of the protocol's limit."),
        "disappearance_differs": t("One reader says the node has disappeared, the other does not."),
        "residual_enhancement_differs": t("The readers judge differently what still enhances."),
        "new_lesion_differs": t("One reader has a new lesion here, the other has none."),
        "evaluability_differs": t("One reader finds the node not evaluable, the other has measured it."),
        "response_differs": t("The overall responses differ, worked out of all lesions of the subject as each reader has read them."),
        "response_date_differs": t("Progression begins at different visits, as each reader has read them."),
    }
    return words.get(trigger, trigger)


def why_asked(pair: Pair) -> str:
    """Every trigger of a pair, or that the protocol has each pair adjudicated."""
    return "\n".join(trigger_words(x) for x in pair.triggers) or t("Nothing differs; the protocol has every pair adjudicated.")


def pair_title(pair: Pair) -> str:
    """Which case, node and visit."""
    return f"{pair.case} · {pair.node} · {pair.visit}"


def comparison(pair: Pair) -> tuple[Line, ...]:
    """The readers' figures, a row each; rows that no reader has are left out, those that are asked about never."""
    asked = {row for trigger in pair.triggers for row in ABOUT.get(trigger, ())}
    rows = (
        ("status", t("Finding"), _status),
        ("volume", t("Volume, ml"), lambda s: _volume(s.reading)),
        ("long", t("Long axis, mm"), lambda s: number_text(s.reading.long_axis_mm, 1)),
        ("short", t("Short axis, mm"), lambda s: number_text(s.reading.short_axis_mm, 1)),
        ("viable", t("Enhancing part, ml"), lambda s: number_text(s.reading.viable_ml, volume_decimals(s.reading.viable_ml))),
        ("grade", t("Grade of what still enhances"), lambda s: _grade(s.reading.enhancement_grade)),
        ("lesion", t("Lesion"), lambda s: "\n".join(lesion_words(lesion_said(s.reading))) or DASH),
        ("response", t("Overall response") + (f" ({criteria_words(pair.criteria)})" if pair.criteria else ""), lambda s: s.response or DASH),
        ("progression", t("Progression since"), lambda s: s.progressed_at or DASH),
        ("baseline", t("Own baseline, ml"), lambda s: DASH if s.baseline is None else _volume(s.baseline)),
        ("vrr", t("Volume reduction, %"), lambda s: number_text(s.vrr_pct, 1)),
        ("warnings", t("Warnings"), lambda s: "\n".join(t(str(w.get("message") or w.get("code"))) for w in s.reading.warnings) or DASH),
    )
    lines = (Line(name, tuple(text(side) for side in pair.sides), key in asked) for key, name, text in rows)
    return tuple(line for line in lines if line.asked or any(text != DASH for text in line.texts))


def criteria_words(criteria: str) -> str:
    """Response criteria as people call them."""
    return {"RECIST_1_1": "RECIST 1.1", "MRECIST": "mRECIST"}.get(criteria, criteria)


def _grade(grade: str | None) -> str:
    return DASH if grade is None else f"{t(grade)}: {grade_names().get(grade, '')}"


def _volume(r) -> str:
    decimals = volume_decimals(r.volume_ml)
    interval = interval_text(r.volume_interval_ml, decimals)
    return number_text(r.volume_ml, decimals) + (f"  ({interval})" if interval and r.volume_ml is not None else "")


def _status(side: Side) -> str:
    words = status_names().get(str(side.reading.status), str(side.reading.status))
    return f"{words}: {side.reading.status_reason}" if side.reading.status_reason else words
