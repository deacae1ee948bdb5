"""Step 4: what became of each node, visit by visit."""

from __future__ import annotations

from PySide6.QtWidgets import QComboBox, QHBoxLayout, QLabel, QWidget

from app.ui.models.follow_up import chart_points, follow_up_columns, has_parts, interval_notes, part_columns, readers
from app.ui.models.nodes import identity_columns, node_rows
from app.ui.panels.ablation_margin import AblationMarginSection
from app.ui.panels.agreement import AgreementSection
from app.ui.panels.cohort import CohortSection
from app.ui.panels.compare import CompareSection
from app.ui.session import Session
from app.ui.text import t
from app.ui.widgets.chart import VrrChart
from app.ui.widgets.labels import WrapLabel
from app.ui.widgets.sections import Section, StepPanel
from app.ui.widgets.tables import ValueTable


class FollowUpPanel(StepPanel):
    """Chart, table of readings with VRR, and the nodes' identities."""

    def __init__(self, session: Session, parent: QWidget | None = None):
        super().__init__(session, "follow_up", parent)
        self.chart = VrrChart()
        self.reader = QComboBox()
        self.reader.setAccessibleName(t("Reader whose readings are shown"))
        self.reader.setToolTip(t("Readings of different readers are never joined into one curve"))
        self.reader.activated.connect(self._reader_chosen)
        self._wanted_reader: str | None = None
        caption = QLabel(t("&Reader"))
        caption.setBuddy(self.reader)
        self.reader_box = QWidget()
        row = QHBoxLayout(self.reader_box)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(caption)
        row.addWidget(self.reader, 1)
        change = Section(t("Volume reduction rate (VRR)"))
        change.body.addWidget(self.reader_box)
        change.body.addWidget(self.chart)
        self.intervals = WrapLabel(tone="muted", small=True)
        change.body.addWidget(self.intervals)
        self.table = ValueTable(follow_up_columns(session), t("Readings by node and visit"), max_rows=20, row_height=34)
        self.table.activated_row.connect(self._open_row)
        self.empty = WrapLabel(t("No readings yet."), tone="muted")
        readings = Section(t("Readings"))
        readings.body.addWidget(self.empty)
        readings.body.addWidget(self.table)
        self.hint = WrapLabel(t("Below each number stands its 95 % interval; ≠ marks what is not comparable with baseline. Enter or a double click opens the visit."), tone="muted", small=True)
        readings.body.addWidget(self.hint)
        self.part_table = ValueTable(part_columns(session), t("Enhancing and not enhancing part by node and visit"), max_rows=12, row_height=34)
        self.part_table.activated_row.connect(self._open_row)
        self.parts = Section(t("Enhancing part"))
        self.parts.body.addWidget(self.part_table)
        self.parts.body.addWidget(WrapLabel(t("Below each volume stands its own reduction against the same part at baseline; ≠ marks another threshold or way than there."), tone="muted", small=True))
        self.agreement = AgreementSection(session)
        self.nodes = ValueTable(identity_columns(), t("Nodes"), max_rows=8)
        self.nodes.chosen.connect(lambda row: session.select_node(row.node.node_id) if row.node.node_id in session.nodes else None)
        self.identity = Section(t("Nodes, one identity at all visits"))
        self.identity.body.addWidget(self.nodes)
        self.compare = CompareSection(session)
        self.ablation = AblationMarginSection(session)
        self.cohort = CohortSection(session)
        for section in (change, self.cohort, self.compare, self.ablation, readings, self.parts, self.agreement, self.identity):
            self.content.addWidget(section)
        self.content.addStretch(1)
        self.primary.clicked.connect(lambda: session.set_step("report"))
        for signal in (session.readings_changed, session.nodes_changed, session.study_changed, session.visit_changed):
            signal.connect(self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Read the rows again."""
        session = self.session
        every = session.follow_up_rows()
        shown = self._show_readers(readers(every))
        rows = sorted((r for r in every if str(r.get("reader") or "–") == shown), key=lambda r: (str(r.get("label")), r.get("visit_order") or 0))
        self.table.set_rows(rows)
        self.table.setVisible(bool(rows))
        self.hint.setVisible(bool(rows))
        self.intervals.show_text(interval_notes(rows))
        assessed = [r for r in rows if has_parts(r)]
        self.part_table.set_rows(assessed)
        self.parts.setVisible(bool(assessed))
        self.empty.setVisible(not rows)
        orders = {node.label: n for n, node in enumerate(session.subject_nodes)}
        self.chart.show_points(chart_points(rows, session), orders)
        identity = node_rows(session, session.subject_nodes)
        self.identity.setVisible(bool(identity))
        self.nodes.set_rows(identity, lambda row: row.node.node_id == session.current_node_id)
        self.set_primary(t("Go to report"), True, t("Step 5: export what is locked"))
        self.show_needs()

    def _show_readers(self, names: list[str]) -> str | None:
        """Offer the readers; returns the one shown: chosen by hand, else with most readings."""
        shown = self._wanted_reader if self._wanted_reader in names else (names[0] if names else None)
        self.reader.blockSignals(True)
        self.reader.clear()
        for name in names:
            self.reader.addItem(name, name)
        self.reader.setCurrentIndex(self.reader.findData(shown))
        self.reader.blockSignals(False)
        self.reader_box.setVisible(len(names) > 1)
        return shown

    def _reader_chosen(self, _index: int) -> None:
        self._wanted_reader = self.reader.currentData()
        self.refresh()

    def _open_row(self, row: dict) -> None:
        session = self.session
        visit = next((v for v in session.visits if row.get("visit") in (v.visit_id, v.name)), None)
        node = next((n for n in session.subject_nodes if row.get("node") in (n.node_id, n.label)), None)
        if node is not None:
            session.select_node(node.node_id)
        if visit is not None and (session.visit is None or visit.visit_id != session.visit.visit_id):
            session.open_visit(visit.visit_id)
