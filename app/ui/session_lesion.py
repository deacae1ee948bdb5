"""The session's part for what a reader states of a node by eye: the grade of what still enhances, and the lesion as response criteria ask for it.

What was stated is kept in the study as a setting of this reader until a reading holds it, so that it is there again when the visit is opened
anew. Nothing is stated beforehand, and what a reading holds is never cleared by saving it again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from app.study.asked import asked_finding, fields_missing
from app.study.lesions import BASELINE, BY_NAME, FIELDS, FOLLOW_UP, LesionField, fields_asked, lesion_said, lesion_statement
from app.study.model import ENHANCEMENT_GRADES, Reading, ReadingState, ReadingStatus
from app.study.permissions import ANY_READER
from app.ui.text import said, t
from volumetry.errors import NodusError
from volumetry.finding import Finding


@dataclass(slots=True)
class Statement:
    """What is stated of a node at the visit on screen. ``is_new``: stated here and in no reading yet."""

    grade: str | None = None
    lesion: dict[str, Any] = field(default_factory=dict)
    is_new: bool = False

    def to_setting(self) -> dict[str, Any]:
        """As it is kept until a reading holds it."""
        return {"enhancement_grade": self.grade, "lesion": self.lesion}


def _setting(visit_id: str, node_id: str, reader: str) -> str:
    return f"stated:{visit_id}:{node_id}:{reader}"


class LesionSessionPart:
    """Mixed into ``Session``; uses its signals, jobs and study."""

    def _start_statements(self) -> None:
        self._statements_unsaved: dict[str, tuple] = {}

    # ---- asking ----------------------------------------------------------------------------
    def lesion_fields(self, node_id: str | None = None) -> tuple[LesionField, ...]:
        """What the protocol's response criteria ask of a lesion on the picture on screen, at this visit, and what is stated of the node already."""
        if self.study is None:
            return ()
        before = self.is_before_treatment()
        when = None if before is None else BASELINE if before else FOLLOW_UP
        modality = self._modality(self.picture is not None) if self.picture is not None or self.image is not None else None
        asked = fields_asked(self.study.protocol, modality=modality, when=when)
        said = None if node_id is None else self.statement_of(node_id)
        return tuple(f for f in FIELDS if f in asked or (said is not None and f.name in said.lesion))

    def is_before_treatment(self) -> bool | None:
        """Whether the protocol plans the visit on screen before the treatment; None for a visit that it does not plan."""
        planned = None if self.study is None or self.visit is None else self.study.protocol.visit(self.visit.name)
        return None if planned is None else planned.phase == "pre"

    def asks_grade(self) -> bool:
        """True where the protocol grades residual enhancement, or ablates anything that could leave some."""
        if self.study is None:
            return False
        protocol = self.study.protocol
        return bool(protocol.section("reading").get("residual_grades")) or bool(protocol.ablation_kinds)

    def grade_meanings(self) -> dict[str, str]:
        """What each grade means, in one line: the protocol's own words where it has some."""
        own = {} if self.study is None else {str(g["grade"]): str(g["text"]) for g in self.study.protocol.section("reading").get("residual_grades") or ()}
        names = grade_names()
        return {grade: t(own[grade]) if own.get(grade) else names[grade] for grade in ENHANCEMENT_GRADES}

    def statement_of(self, node_id: str) -> Statement | None:
        """What is stated of a node at this visit; None for a node that is not there."""
        state = self.nodes.get(node_id)
        if state is None:
            return None
        if state.statement is None:
            state.statement = self._statement_before(state)
        return state.statement

    def why_no_statement(self, node_id: str | None) -> str:
        """Why nothing can be stated of a node now; empty where it can."""
        state = self.nodes.get(node_id or "")
        if state is None:
            return t("Choose a node first.")
        if state.reading is not None and state.reading.state == ReadingState.LOCKED:
            return t("The reading is locked: begin a correction to change it.")
        if self.jobs.is_busy(f"lock-{node_id}"):
            return t("The reading is being locked.")
        return self.why_not(*ANY_READER)

    # ---- stating ---------------------------------------------------------------------------
    def state_grade(self, node_id: str, grade: str | None) -> str:
        """Grade what still enhances (one of ``ENHANCEMENT_GRADES``), or None: not graded. Kept at once. Returns why not, or an empty text."""
        why = self.why_no_statement(node_id)
        if why:
            return why
        if grade is not None and grade not in ENHANCEMENT_GRADES:
            raise ValueError(grade)
        said = self.statement_of(node_id)
        return "" if said.grade == grade else self._take_statement(node_id, replace(said, grade=grade))

    def state_lesion(self, node_id: str, name: str, value: Any) -> str:
        """State one field of ``app.study.lesions.FIELDS``, or None: not stated. Kept at once. Returns why not, or an empty text: what contradicts
        itself is not kept."""
        why = self.why_no_statement(node_id)
        if why:
            return why
        said, reading = self.statement_of(node_id), self.nodes[node_id].reading
        status = ReadingStatus.MEASURED if reading is None else reading.status
        try:
            lesion = lesion_statement({**said.lesion, name: value}, status=status)
        except NodusError as refusal:
            return in_words(refusal, name)
        return "" if lesion == said.lesion else self._take_statement(node_id, replace(said, lesion=lesion))

    def statement_doubts(self, node_id: str) -> tuple[Finding, ...]:
        """What the protocol asks of a node that is about to be saved and nobody stated yet: what its reading will be told of. None of a node that
        nothing was drawn or said of, and of a locked reading, which holds its own."""
        state = self.nodes.get(node_id)
        if self.study is None or self.visit is None or state is None or (state.draft is None and state.ellipsoid is None and state.reading is None):
            return ()
        kept, said = state.reading, self.statement_of(node_id)
        if kept is not None and kept.state == ReadingState.LOCKED:
            return ()
        status, viable_ml = (ReadingStatus.MEASURED, None) if kept is None else (kept.status, kept.viable_ml)
        shown = Reading("", state.node.subject_id, self.visit.visit_id, node_id, self.reader, self.reading_role, self._modality(self.picture is not None), "voxel", status, ReadingState.DRAFT)
        shown = replace(shown, viable_ml=viable_ml, enhancement_grade=said.grade, measurement={"lesion": said.lesion})
        missing = tuple(name for name in fields_missing(self.study.protocol, state.node, self.visit, shown) if name != "control" or state.enhancing is None)  # a part that is drawn answers it
        return (asked_finding(missing),) if missing else ()

    def _take_statement(self, node_id: str, statement: Statement) -> str:
        statement.is_new = True
        self.nodes[node_id].statement = statement
        self._keep_statement(node_id, statement)
        self.measurement_changed.emit(node_id)
        return ""

    def _keep_statement(self, node_id: str, statement: Statement) -> None:
        store, visit, state, reader = self.study, self.visit, self.nodes[node_id], self.reader
        if visit is None:
            return
        key = _setting(visit.visit_id, node_id, reader)
        waiting = key in self._statements_unsaved
        self._statements_unsaved[key] = (store, statement.to_setting())
        if waiting:
            return  # the write that is in line takes the newest

        def work(_context) -> None:
            owner, value = self._statements_unsaved.pop(key)
            owner.set_setting(key, value)

        label = state.node.label
        self.jobs.start("Saving", work, quiet=True, write=True, on_done=lambda _: self._say_saved(f"what was stated of {label} saved"))

    def _statement_before(self, state) -> Statement:
        """What this reader stated at this visit: the reading's where it is locked, else the newest that was kept, else the reading's."""
        reading: Reading | None = state.reading
        if self.study is not None and self.visit is not None and (reading is None or reading.state != ReadingState.LOCKED):
            key = _setting(self.visit.visit_id, state.node.node_id, self.reader)
            kept = self._statements_unsaved[key][1] if key in self._statements_unsaved else self.study.get_setting(key)
            if isinstance(kept, Mapping):
                return Statement(kept.get("enhancement_grade"), dict(kept.get("lesion") or {}), True)
        return Statement() if reading is None else Statement(reading.enhancement_grade, dict(lesion_said(reading)))

    # ---- into the reading ------------------------------------------------------------------
    def _statement_work(self, state, modality: str, method: str) -> Callable[[], Statement]:
        """A function that gives, in a job, what goes into a reading of this kind: what is stated now, else what that reading holds already."""
        said, node_id = self.statement_of(state.node.node_id) or Statement(), state.node.node_id
        store, visit, reader, role = self.study, self.visit, self.reader, self.reading_role

        def work() -> Statement:
            if said.is_new:
                return said
            found = store.find_reading(visit_id=visit.visit_id, node_id=node_id, reader=reader, role=role, modality=modality, method=method)
            return Statement() if found is None else Statement(found.enhancement_grade, dict(lesion_said(found)))

        return work

    def _forget_statement(self, store, visit_id: str, node_id: str, reader: str, held: Statement) -> None:
        """The reading holds it now, unless something else was stated meanwhile; in a job of writes."""
        key = _setting(visit_id, node_id, reader)
        if store.get_setting(key) == held.to_setting():
            store.set_setting(key, None)


def grade_names() -> dict[str, str]:
    """What the grades mean where the protocol has no words of its own, one line each."""
    return {
        "0": t("none"),
        "1": t("smooth rim"),
        "2": t("focal nodular, inside or at the margin"),
        "3": t("diffuse or partial"),
        "NE": t("not evaluable"),
    }


def field_names() -> dict[str, str]:
    """Short names of the fields of a lesion."""
    return {
        "role": t("Counts as"),
        "organ": t("Organ"),
        "nodal": t("Lymph node"),
        "treated": t("Treated before"),
        "progressed": t("Has progressed"),
        "state": t("Non-target is"),
        "parts_mm": t("Parts, mm"),
        "new_lesion_certain": t("New lesion is"),
        "viable_diameter_mm": t("Enhancing, mm"),
        "control": t("Ablated lesion is"),
    }


def choice_names(name: str) -> dict[Any, str]:
    """The values that a field of choices or a yes-and-no may have, in words."""
    return {
        "role": {"target": t("target"), "non_target": t("non-target"), "new": t("new")},
        "nodal": {True: t("yes: short axis"), False: t("no: long axis")},
        "treated": {True: t("yes"), False: t("no")},
        "progressed": {True: t("yes"), False: t("no")},
        "state": {"gone": t("gone"), "present": t("present"), "progressed": t("progressed"), "not_evaluated": t("not evaluated")},
        "new_lesion_certain": {True: t("certain"), False: t("suspected only")},
        "control": {"complete": t("complete ablation"), "viable": t("viable tumour"), "not_evaluable": t("not evaluable")},
    }.get(name, {})


def value_words(name: str, value: Any) -> str:
    """One stated value as text."""
    names = choice_names(name)
    if names:
        return names.get(value, str(value))
    if isinstance(value, (list, tuple)):
        return " + ".join(f"{v:g}" for v in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def statement_words(statement: Statement | None, meanings: Mapping[str, str]) -> list[str]:
    """One line for the grade and one for the lesion; nothing where nothing is stated."""
    out = []
    if statement is not None and statement.grade is not None:
        out.append(t("Residual enhancement: grade {grade}, {meaning}").format(grade=t(statement.grade), meaning=meanings.get(statement.grade, "")))
    if statement is not None and statement.lesion:
        out.append(t("Lesion") + ": " + "; ".join(lesion_words(statement.lesion)))
    return out


def lesion_words(lesion: Mapping[str, Any]) -> list[str]:
    """Each stated field with its value."""
    names = field_names()
    return [f"{names[k]}: {value_words(k, v)}" for k, v in lesion.items() if k in BY_NAME]


def in_words(refusal: NodusError, name: str = "") -> str:
    """A refusal of a value for people: the field by its short name."""
    if refusal.code == "lesion_value_refused" and name in BY_NAME:
        return f"{field_names()[name]}: " + _WANTED[BY_NAME[name].kind]()
    return said(refusal.message)


_WANTED: dict[str, Callable[[], str]] = {
    "choice": lambda: t("choose one of the list."),
    "flag": lambda: t("choose one of the list."),
    "length_mm": lambda: t("a length from 0 to 500 mm."),
    "lengths_mm": lambda: t("two lengths at least, each above 0 and at most 500 mm, with + between them."),
    "text": lambda: t("one line of at most 60 characters."),
}
