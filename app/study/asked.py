"""What the protocol asks of a lesion and a reading does not state: a doubt that stays with the reading, never a refusal.

Not asked again is what follows from something else in the reading (``criteria`` and ``control`` say how), what belongs to another kind of lesion, and
anything of a lesion that was not seen.
"""

from __future__ import annotations

from dataclasses import replace

from app.study.control import control_of
from app.study.criteria import viable_diameter
from app.study.lesions import BASELINE, FOLLOW_UP, fields_asked, lesion_said
from app.study.model import LEVELS, Reading, ReadingStatus, TargetNode, Visit
from app.study.protocol import StudyProtocol
from volumetry.finding import Finding

NOT_STATED = "lesion_not_stated"
# Fields in the words of the finding; what a lesion has split into is stated where it has, so its absence is no doubt.
ASKED_WORDS = {
    "role": "what the lesion counts as", "organ": "the organ", "nodal": "lymph node or not", "treated": "treated before or not", "progressed": "progressed since or not",
    "state": "how the non-target lesion is", "new_lesion_certain": "new lesion certain or suspected", "viable_diameter_mm": "the enhancing diameter", "control": "the ablated lesion at its control",
}  # fmt: skip
_SEEN = (ReadingStatus.MEASURED, ReadingStatus.TOO_SMALL, ReadingStatus.SPLIT_FROM)


def fields_missing(protocol: StudyProtocol, node: TargetNode, visit: Visit, reading: Reading) -> tuple[str, ...]:
    """Names of the fields that the protocol's criteria ask for at this visit (by the reading's modality) and that the reading does not state.

    What a lesion counts as is asked before the treatment; after it a lesion that is not said to be new is followed as it was. At a visit that the
    protocol does not plan only what is asked at every visit counts.
    """
    if reading.status not in _SEEN:
        return ()
    said, planned = lesion_said(reading), protocol.visit(visit.name)
    when = None if planned is None else BASELINE if planned.phase == "pre" else FOLLOW_UP
    role, nodal = said.get("role"), said.get("nodal", node.level in LEVELS)
    follows = {
        # A node is chosen by its axes where nobody chose; to ask at each baseline of a neck would only teach readers to pass warnings over.
        "role": when == FOLLOW_UP or bool(nodal),
        "treated": bool(nodal),
        "organ": bool(nodal),
        "nodal": node.level in LEVELS,
        "progressed": said.get("treated") is not True,
        "state": role != "non_target",
        "new_lesion_certain": role != "new",
        "viable_diameter_mm": role == "non_target" or viable_diameter(reading) is not None,
        "control": role == "new" or control_of(reading) is not None,
    }
    asked = [f for f in fields_asked(protocol, modality=reading.modality, when=when) if when is not None or {BASELINE, FOLLOW_UP} <= set(f.asked)]
    return tuple(f.name for f in asked if f.name in ASKED_WORDS and f.name not in said and not follows.get(f.name, False))


def asked_finding(missing: tuple[str, ...]) -> Finding:
    """The doubt about these fields, in words."""
    names = ", ".join(ASKED_WORDS[name] for name in missing)
    return Finding("lesion_not_stated", f"The protocol asks for what is not stated of this lesion: {names}.")


def with_asked(protocol: StudyProtocol, node: TargetNode, visit: Visit, reading: Reading) -> Reading:
    """The reading with ``lesion_not_stated`` among its warnings where something is missing, and without an older one."""
    warnings = tuple(w for w in reading.warnings if w["code"] != NOT_STATED)
    missing = fields_missing(protocol, node, visit, reading)
    if missing:
        warnings += (asked_finding(missing).as_warning(),)
    return replace(reading, warnings=warnings)
