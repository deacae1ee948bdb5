"""Below the visit board: eligibility, pain and events of the chosen subject, and a small form to log an event."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QComboBox, QFormLayout, QFrame, QHBoxLayout, QLabel, QLineEdit, QPushButton, QScrollArea, QSizePolicy, QVBoxLayout, QWidget

from app.study.model import ABLATION_KINDS
from app.ui.models.eligibility_words import criterion_text, eligibility_tip, limit_text, value_text
from app.ui.models.plan_runs import NotANumber, typed_number
from app.ui.models.records import Column
from app.ui.text import t
from app.ui.widgets.fill_table import FillTable
from app.ui.widgets.labels import WrapLabel
from app.ui.widgets.palette import DANGER, GOOD, WARNING

VERDICTS = {True: ("✓", "met", GOOD), False: ("✕", "not met", DANGER), None: ("?", "not known", WARNING)}
EVENT_WORDS = {
    "IRE": "IRE ablation", "SALVAGE": "Salvage ablation", "RFA": "RFA round", "CRYO_RF": "Cryo + RF ablation", "SYSTEMIC": "Systemic therapy", "PROGRESSION": "Progression",
    "WITHDRAWAL": "Withdrawal", "LOST": "Lost to follow-up", "DEATH": "Death", "ENROLMENT": "Enrolment", "ALLOCATION": "Allocation", "SURGERY": "Surgery",
    "NRS": "Pain score (NRS)", "LAB": "Creatinine", "ELIGIBILITY": "Eligibility opinion",
}  # fmt: skip
OF_A_NODE = ("IRE", "SALVAGE", "RFA", "CRYO_RF", "PROGRESSION", "SURGERY")
WITHOUT_REASON = ("LAB", "ALLOCATION")  # the store takes no free words with them
# How a value is called in the detail -> the label of its field.
_FIELDS = {
    "NRS": (("hours", "Hours after (planned)"), ("actual_hours", "Hours after (actual)"), ("score", "Score 0–10")),
    "LAB": (("value", "Creatinine"), ("unit", "Unit"), ("age_years", "Age, years"), ("weight_kg", "Weight, kg"), ("sex", "Sex")),
    "ALLOCATION": (("arm", "Arm"),),
    "ELIGIBILITY": (("criterion", "Criterion"), ("met", "Verdict")),
}
_NEEDED = {"LAB": ("value", "unit", "age_years", "weight_kg", "sex"), "NRS": ("hours",), "ALLOCATION": ("arm",), "ELIGIBILITY": ("criterion", "met")}
_WORDS_ALONE = ("reason", "note", "text", "zone_source")  # of who logged the event: they stand for themselves
_NUMBERS = ("hours", "actual_hours", "value", "age_years", "weight_kg")


def verdict_text(row: dict[str, Any]) -> str:
    """Sign and word."""
    sign, word, _ = VERDICTS[row["met"]]
    return f"{sign} {t(word)}"


def pain_words(pain: dict[str, Any]) -> str:
    """The pain series in one paragraph: scores at their hours, area, whether it was sustained."""
    points = ", ".join(f"{p['hours']:g} h: " + ("–" if p["score"] is None else str(p["score"])) for p in pain["points"])
    area = t("area {auc} score × hours, mean over time {mean}").format(auc=f"{pain['auc']:g}", mean=f"{pain['time_weighted_mean']:.1f}") if pain["auc"] is not None else t(pain["note"]) or t("No area.")
    level, run = pain["sustained_from"], pain["sustained_consecutive"]
    sustained = {True: t("sustained at {level} or more"), False: t("not sustained at {level} or more"), None: t("sustained at {level} or more: not known")}[pain["sustained"]]
    return f"{points}\n{area}\n{sustained.format(level=level)} ({t('{n} in a row').format(n=run)})"


def _heading(text: str) -> QLabel:
    label = QLabel(text)
    label.setProperty("role", "section")
    label.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
    return label


class SubjectPanel(QWidget):
    """Three columns: eligibility, pain with events, the form."""

    def __init__(self, session, parent: QWidget | None = None):
        super().__init__(parent)
        self.session = session
        self.eligibility_title = _heading("")
        self.eligibility = FillTable(
            [
                Column(t("Criterion"), criterion_text, tip=eligibility_tip, weight=5),
                Column(t("Value"), value_text, tip=eligibility_tip, weight=3),
                Column(t("Limit"), limit_text, tip=eligibility_tip, weight=4),
                Column(t("Verdict"), verdict_text, tip=eligibility_tip, colour=lambda r: VERDICTS[r["met"]][2], weight=3),
            ],
            t("Eligibility"),
        )
        self.eligibility_words = WrapLabel("", tone="warning", small=True)
        self.pain_title = _heading(t("Pain (NRS)"))
        self.pain = WrapLabel("")
        self.events = FillTable(
            [Column(t("Date"), lambda e: e.date, weight=3), Column(t("Event"), self._event_words, tip=self._event_words, weight=5), Column(t("Detail"), self._detail, tip=self._detail, weight=6)],
            t("Events"),
        )
        self.warnings = WrapLabel("", tone="warning", small=True)
        self.form = EventForm(session)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 6, 0, 0)
        row.setSpacing(16)
        row.addWidget(_column(self.eligibility_title, self.eligibility, self.eligibility_words), 5)
        row.addWidget(_column(self.pain_title, self.pain, _heading(t("Events")), self.events, self.warnings), 4)
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # Tab goes to the fields in it
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setWidget(self.form)
        side = QWidget()
        side.setFixedWidth(300)
        column = QVBoxLayout(side)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(6)
        column.addWidget(scroll, 1)
        column.addWidget(self.form.problem)  # these two stay in view while the fields scroll
        column.addWidget(self.form.send)
        row.addWidget(side)
        self.setMinimumHeight(210)
        session.facts_changed.connect(self.show_facts)
        self.show_facts()

    def show_facts(self) -> None:
        """What is known of the chosen subject."""
        facts, board = self.session.facts, self.session.board
        name = "" if facts is None else facts.subject
        self.eligibility_title.setText(t("Eligibility by pictures and logged values") + (f" · {name}" if name else ""))
        rows = [] if facts is None or facts.eligibility is None else facts.eligibility["rows"]
        self.eligibility.set_rows(rows)
        self.eligibility_words.show_text("" if facts is None else facts.eligibility_problem)
        self.pain.show_text(t("Choose a subject.") if facts is None else facts.pain_problem or pain_words(facts.pain))
        self.events.set_rows([] if facts is None else sorted(facts.events, key=lambda e: (e.date, e.event_id), reverse=True))
        self.warnings.show_text("" if board is None or facts is None else "\n".join(t(w) for w in board.warnings.get(facts.subject, ())))
        self.form.show_facts(facts)

    def _labels(self) -> Mapping[str, str]:
        return {} if self.session.facts is None else self.session.facts.labels

    def _event_words(self, event) -> str:
        label = self._labels().get(event.node_id)
        return t(EVENT_WORDS[event.kind]) + (f" · {label}" if label else "")

    def _detail(self, event) -> str:
        return event_detail(event, self._labels())


def event_detail(event, labels: Mapping[str, str] | None = None) -> str:
    """What an event says beside its kind and date; zones of several nodes by their ``labels`` (node id -> label)."""
    detail = {k: v for k, v in event.detail.items() if v is not None and k not in ("replaces", "test")}
    several = sorted(((labels or {}).get(node, node), ml) for node, ml in (detail.pop("zones_ml", None) or {}).items())
    zones = {t("zone of {node}").format(node=label): f"{ml:g} ml" for label, ml in several}
    if "zone_volume_ml" in detail:
        zones[t("zone")] = f"{detail.pop('zone_volume_ml'):g} ml"
    names, words = dict(_FIELDS.get(event.kind, ())), [f"{name} {ml}" for name, ml in zones.items()]
    for key, value in detail.items():
        shown = f"{value:g}" if isinstance(value, float) else _value_words(key, value)
        words.append(f"{t(names[key])} {shown}" if key in names else shown if key in _WORDS_ALONE else f"{t(key.replace('_', ' '))} {shown}")
    return ", ".join(words)


def _value_words(key: str, value: Any) -> str:
    """A value as the form offers it; the reader's own words as they are."""
    if key == "met":
        return t("met") if value else t("not met")
    if key == "sex":
        return {"M": t("male"), "F": t("female")}.get(value, str(value))
    if key == "criterion":
        return criterion_text({"criterion": str(value)})
    return {"umol/L": "µmol/L"}.get(value, str(value)) if key == "unit" else str(value)


def _column(*widgets: QWidget) -> QWidget:
    made = QWidget()
    column = QVBoxLayout(made)
    column.setContentsMargins(0, 0, 0, 0)
    column.setSpacing(4)
    for widget in widgets:
        column.addWidget(widget, 1 if isinstance(widget, FillTable) else 0)
    return made


class EventForm(QWidget):
    """Kind, date, what the kind needs, and a reason; nothing is guessed, no date is filled in."""

    def __init__(self, session, parent: QWidget | None = None):
        super().__init__(parent)
        self.setObjectName("EventForm")
        self.session = session
        self._subject: str | None = None
        self.kind = QComboBox()
        for kind, words in EVENT_WORDS.items():
            self.kind.addItem(t(words), kind)
        self.date = QLineEdit()
        self.date.setPlaceholderText("YYYY-MM-DD")
        self.date.setMaxLength(10)
        self.node = QComboBox(self)
        self.reason = QLineEdit(self)
        self.reason.setMaxLength(200)
        self.fields: dict[str, QWidget] = {}
        self.zones: dict[str, QLineEdit] = {}  # label of a node -> its zone
        self.zone_source = QLineEdit(self)
        self.zone_source.setMaxLength(120)
        self.zone_source.setToolTip(t("What the zones were measured on, for example CEUS 10 min after"))
        self.send = QPushButton(t("Log the event"))
        self.send.setProperty("primary", True)
        self.problem = WrapLabel("", tone="warning", small=True)
        self.form = QFormLayout()
        self.form.setVerticalSpacing(4)
        self.form.setHorizontalSpacing(8)
        self.form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 6, 0)
        column.setSpacing(6)
        self.title = _heading(t("Log an event"))
        column.addWidget(self.title)
        column.addLayout(self.form)
        column.addWidget(self.problem)
        column.addWidget(self.send)
        column.addStretch(1)
        self.kind.activated.connect(self._build)
        self.node.activated.connect(self._build)
        self.zone_source.textChanged.connect(self.check)
        self.date.textChanged.connect(self.check)
        self.reason.textChanged.connect(self.check)
        self.send.clicked.connect(self._send)
        self.reason.returnPressed.connect(self._send)
        session.event_logged.connect(self._answered)
        self._waits = False
        self._build()

    # ---- fields ----------------------------------------------------------------------------
    def _build(self, *_index) -> None:
        """The fields of the kind that is chosen."""
        focused = next((box for box in (self.kind, self.node) if box.hasFocus()), None)
        typed = {label: field.text() for label, field in self.zones.items()}
        for widget in (*self.fields.values(), *self.zones.values()):
            widget.setParent(None)
            widget.deleteLater()
        while self.form.rowCount():
            taken = self.form.takeRow(0)
            if taken.labelItem is not None:
                taken.labelItem.widget().hide()  # at once: two captions must never lie over each other
                taken.labelItem.widget().deleteLater()
        self.fields, self.zones = {}, {}
        kind = self.kind.currentData()
        self._row(t("Event"), self.kind)
        self._row(t("Date"), self.date)
        self.node.setVisible(kind in OF_A_NODE)
        if kind in OF_A_NODE:
            self._row(t("Node"), self.node)
        for key, words in _FIELDS.get(kind, ()):
            field = self.fields[key] = self._field(key)
            self._row(t(words), field)
        self.zone_source.setVisible(kind in ABLATION_KINDS)
        if kind in ABLATION_KINDS:
            self._zone_rows(typed)
        self.reason.setVisible(kind not in WITHOUT_REASON)
        if kind not in WITHOUT_REASON:
            self.reason.setPlaceholderText(t("Only where no score was taken") if kind == "NRS" else "")
            self._row(t("Reason"), self.reason)
        if focused is not None:
            focused.setFocus()
        self.check()

    def _zone_rows(self, typed: Mapping[str, str]) -> None:
        """A field for the zone of each node that is ablated: nothing is filled in, and none is needed."""
        chosen = self.node.currentData()
        labels = [chosen] if chosen is not None else [self.node.itemData(n) for n in range(self.node.count()) if self.node.itemData(n) is not None]
        for label in labels:
            field = self.zones[label] = QLineEdit(typed.get(label, ""))
            field.setMaxLength(12)
            field.setPlaceholderText(t("not measured"))
            field.setToolTip(t("Volume of the ablation zone as it was measured on the same day; later volumes are compared with it beside the baseline"))
            field.textChanged.connect(self.check)
            self._row(t("Zone of {node}, ml").format(node=label), field)
        if labels:
            self._row(t("Zone measured on"), self.zone_source)
        else:
            self.zone_source.hide()

    def _row(self, words: str, field: QWidget) -> None:
        caption = QLabel(words)
        caption.setBuddy(field)
        field.setAccessibleName(words)
        self.form.addRow(caption, field)

    def _field(self, key: str) -> QWidget:
        choices = self._choices(key)
        if choices is None:
            edit = QLineEdit()
            edit.setMaxLength(12)
            edit.textChanged.connect(self.check)
            return edit
        box = QComboBox()
        box.addItem("–", None)
        for words, value in choices:
            box.addItem(words, value)
        box.currentIndexChanged.connect(self.check)
        return box

    def _choices(self, key: str) -> list[tuple[str, Any]] | None:
        store = self.session.study
        terms = {} if store is None else store.protocol.terms
        if key == "unit":
            return [("mg/dL", "mg/dL"), ("µmol/L", "umol/L")]
        if key == "sex":
            return [(t("male"), "M"), (t("female"), "F")]
        if key == "score":
            return [(str(n), n) for n in range(11)]
        if key == "met":
            return [(t("met"), True), (t("not met"), False)]
        if key == "arm":
            return [(a["name"], a["name"]) for a in terms.get("arms", [])]
        if key == "criterion":
            return [] if store is None else [(o["name"].replace("_", " "), o["name"]) for o in store.protocol.section("limits").get("opinions") or ()]
        if key == "hours" and store is not None and store.protocol.section("pain"):
            return [(f"{h:g}", float(h)) for h in store.protocol.section("pain")["hours"]]
        return None

    def show_facts(self, facts) -> None:
        """The nodes of another subject."""
        subject = None if facts is None else facts.subject
        if subject != self._subject:
            self.problem.show_text("")
        self._subject = subject
        self.title.setText(t("Log an event") + (f" · {subject}" if subject else ""))
        kept = self.node.currentData()
        self.node.clear()
        self.node.addItem(t("all nodes"), None)
        for label, words in () if facts is None else facts.nodes:
            self.node.addItem(words, label)
        self.node.setCurrentIndex(max(0, self.node.findData(kept)))
        shown = [kept] if self.node.currentData() is not None else [label for label, _ in (() if facts is None else facts.nodes)]
        if not self.fields and (self.kind.currentData() not in ABLATION_KINDS or list(self.zones) != shown):
            self._build()
        self.check()

    # ---- what was filled in ------------------------------------------------------------------
    def detail(self) -> dict[str, Any]:
        """The event's detail as it stands in the form. Raises ``ValueError`` for a number that is none."""
        found: dict[str, Any] = {}
        for key, field in self.fields.items():
            value = field.currentData() if isinstance(field, QComboBox) else field.text().strip() or None
            if value is not None and key in _NUMBERS and not isinstance(value, float):
                value = float(str(value).replace(",", "."))
            if value is not None:
                found[key] = value
        kind, reason = self.kind.currentData(), self.reason.text().strip()
        if kind == "LAB":
            found["test"] = "CREATININE"  # the only laboratory value that is kept
        if reason and kind not in WITHOUT_REASON:
            found["note" if kind == "ELIGIBILITY" else "reason"] = reason
        return found

    def zones_ml(self) -> dict[str, float]:
        """Label of a node -> its zone as typed. Raises ``ValueError`` for what is no volume above 0."""
        found = {label: typed_number(field.text()) for label, field in self.zones.items()}
        if any(value is not None and value <= 0 for value in found.values()):
            raise NotANumber
        return {label: value for label, value in found.items() if value is not None}

    def missing(self) -> str:
        """What is still missing; empty when complete."""
        kind = self.kind.currentData()
        if self._subject is None:
            return t("Choose a subject.")
        why = self.session.why_not("records")
        if why:
            return why
        try:
            day = dt.date.fromisoformat(self.date.text().strip())
        except ValueError:
            return t("Give the date as YYYY-MM-DD.")
        if day > dt.date.today():
            return t("The date lies in the future.")
        try:
            found = self.detail()
        except ValueError:
            return t("A number is not readable.")
        try:
            zones = self.zones_ml()
        except ValueError:
            return t("A zone is a volume above 0 ml; leave it empty where none was measured.")
        if zones and not self.zone_source.text().strip():
            return t("Say what the zone was measured on.")
        if self.zones and not zones and self.zone_source.text().strip():
            return t("Give the volume of the zone, or leave empty what it was measured on.")
        if any(found.get(key) is None for key in _NEEDED.get(kind, ())):
            return t("Fill in every value of this event.")
        if kind == "NRS" and found.get("score") is None and "reason" not in found:
            return t("Give the score, or the reason why none was taken.")
        if kind not in (*WITHOUT_REASON, "NRS") and not self.reason.text().strip():
            return t("Give a reason: what the event rests on.")
        return ""

    def check(self, *_changed) -> None:
        """The button, with what is missing on hover."""
        missing = self.missing()
        self.send.setEnabled(not missing and not self._waits)
        self.send.setToolTip(missing)

    def _send(self) -> None:
        missing = self.missing()
        if missing or self._waits or self._subject is None:
            self.problem.show_text(missing, "warning")
            return
        self._waits = True
        self.check()
        kind, zones = self.kind.currentData(), self.zones_ml()
        source = {"zone_source": self.zone_source.text().strip()} if zones else {}
        self.session.log_clinical_event(
            self._subject, kind, self.date.text().strip(), node=self.node.currentData() if kind in OF_A_NODE else None, detail={**self.detail(), **source}, zones_ml=zones
        )  # fmt: skip

    def _answered(self, why_not: str) -> None:
        if not self._waits:
            return
        self._waits = False
        if why_not:
            self.problem.show_text(why_not, "warning")
            self.check()
            return
        self.problem.show_text(t("Logged."), "good")
        self.reason.clear()
        for field in (*self.fields.values(), *self.zones.values(), self.zone_source):
            if isinstance(field, QComboBox):
                field.setCurrentIndex(0)
            else:
                field.clear()
        self.check()
