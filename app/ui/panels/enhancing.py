"""The enhancing part of the current node: not assessed, or by a threshold in HU that the reader states."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QComboBox, QDoubleSpinBox, QHBoxLayout, QLabel, QLineEdit, QWidget

from app.study.model import Reading, ReadingState
from app.ui.panels.enhancing_pair import PairBox
from app.ui.text import t
from app.ui.widgets.figure_table import FigureTable
from app.ui.widgets.figures import Figure, number_text, volume_decimals
from app.ui.widgets.labels import WrapLabel
from app.ui.widgets.sections import Section
from app.usecases.enhancing_part import STATED_BY_READER
from app.usecases.perfusion_reading import is_joined, proposed_part

LOWEST_HU, HIGHEST_HU = -200.0, 1500.0
NOT_STATED = LOWEST_HU - 1


def way_names() -> dict[str, str]:
    """How a part was come by, for people, by its stored code."""
    return {
        "hu_threshold": t("Voxels of the outline at or above the threshold"),
        "outlined": t("An outline of its own"),
        "stated": t("Stated as a number"),
        "derived": t("What is left of the whole"),
        "enhancing_share": t("The enhancing share on contrast pictures, of the node's volume"),
        "contrast_pair": t("Voxels of the outline that rise from the CT before contrast to the one after it"),
    }


def part_figures(volumes_ml: tuple[float | None, float | None], total_ml: float | None, sources: tuple[str | None, str | None], reason: str) -> list[Figure]:
    """Rows for the enhancing and the not enhancing part, in ml with the share of the whole."""
    out = []
    for name, value, source in zip((t("Enhancing (viable)"), t("Not enhancing (ablated)")), volumes_ml, sources, strict=True):
        share = "" if not total_ml or value is None else f" · {number_text(100 * value / total_ml, 0)} %"
        shown = None if value is None else f"{number_text(value, volume_decimals(value))} ml{share}"
        out.append(Figure(name, shown, source=way_names().get(source or "", ""), reason=reason))
    return out


def part_words(state) -> str:
    """One line about the parts as a lock would keep them, for the lock dialog; empty without an outline."""
    stated = getattr(state, "enhancing", None)
    if getattr(state, "contrast_taken", None) is not None:
        return _contrast_words(state)
    if stated is not None and stated.pair is not None:
        viable, ablated = stated.volumes_ml
        return t("Enhancing {viable} ml, not enhancing {ablated} ml by the pair of CTs").format(viable=number_text(viable, volume_decimals(viable)), ablated=number_text(ablated, volume_decimals(ablated)))
    if stated is not None and stated.volumes_ml is not None:
        viable, ablated = stated.volumes_ml
        return t("Enhancing {viable} ml, not enhancing {ablated} ml at {hu} HU and above").format(
            viable=number_text(viable, volume_decimals(viable)), ablated=number_text(ablated, volume_decimals(ablated)), hu=f"{stated.threshold_hu:g}"
        )
    if stated is not None and stated.keeps:
        return t("Enhancing part: as it was read before")
    return t("Enhancing part: not assessed")


def _contrast_words(state) -> str:
    """The parts by the share on contrast ultrasound, as far as the reader's grade bears them."""
    record, grade = state.contrast_taken, None if state.statement is None else state.statement.grade
    share, total = record["residual"]["viable_pct"], None if state.measurement is None else state.measurement.voxel_volume_ml
    part = proposed_part(record, grade, total)
    if share is None:
        return t("Enhancing part: by contrast ultrasound, not evaluable")
    words = (t("Enhancing part: {share} % of both sections on contrast ultrasound") if is_joined(record) else t("Enhancing part: {share} % of the section on contrast ultrasound")).format(share=number_text(share, 0))
    if part is None:
        return words
    return words + t("; enhancing {viable} ml, not enhancing {ablated} ml").format(
        viable=number_text(part.viable_ml, volume_decimals(part.viable_ml)), ablated=number_text(part.ablated_ml, volume_decimals(part.ablated_ml))
    )


class _Threshold(QDoubleSpinBox):
    """A field that the wheel changes only while it is in use, so that scrolling the panel changes nothing."""

    def wheelEvent(self, event) -> None:
        """Scroll the panel unless the field has the keys."""
        if self.hasFocus():
            super().wheelEvent(event)
        else:
            event.ignore()


class EnhancingSection(Section):
    """Choice, threshold with who stated it, and what it gives."""

    def __init__(self, session, parent: QWidget | None = None):
        super().__init__(t("Enhancing part"), folded=True, parent=parent)
        self.session = session
        self._node_id: str | None = None
        self._wants_threshold: str | None = None  # node for which a threshold was chosen and not stated yet
        self.choice = QComboBox()
        self.choice.setAccessibleName(t("How the enhancing part is assessed"))
        self.choice.addItem(t("Not assessed"), "")
        self.choice.addItem(t("By HU threshold in the outline"), "hu")
        self.choice.activated.connect(self._chosen)
        self.threshold = _Threshold()
        self.threshold.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.threshold.setDecimals(0)
        self.threshold.setRange(NOT_STATED, HIGHEST_HU)
        self.threshold.setSpecialValueText(t("state it"))
        self.threshold.setSuffix(" HU")
        self.threshold.setAccessibleName(t("Threshold in HU"))
        self.threshold.setToolTip(t("Voxels of the outline at or above this count as enhancing and are hatched in the pictures"))
        self.threshold.valueChanged.connect(self._stated)
        caption = QLabel(t("At or &above"))
        caption.setBuddy(self.threshold)
        self.threshold_box = QWidget()
        row = QHBoxLayout(self.threshold_box)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(8)
        row.addWidget(caption)
        row.addWidget(self.threshold, 1)
        self.source = QLineEdit()
        self.source.setMaxLength(120)
        self.source.setPlaceholderText(t("Where the threshold is from"))
        self.source.setAccessibleName(t("Where the threshold is from"))
        self.source.setToolTip(t("Kept with the reading, for example: charter 4.2, muscle plus 20 HU"))
        self.source.editingFinished.connect(self._source_given)
        self.spread = WrapLabel(tone="muted", small=True)
        self.figures = FigureTable(t("Parts of the node"), max_rows=2)
        self.hint = WrapLabel(tone="muted", small=True)
        self.pair = PairBox(session)
        session.jobs.ended.connect(lambda key: self.pair.refresh(session.current) if str(key).startswith("pair-") else None)
        for part in (self.choice, self.threshold_box, self.source, self.figures, self.spread, self.hint, self.pair):
            self.body.addWidget(part)

    # ---- showing ---------------------------------------------------------------------------
    def refresh(self, state) -> None:
        """Show the parts of a node at this visit."""
        node_id = None if state is None else state.node.node_id
        if node_id != self._node_id:
            self._node_id, self._wants_threshold = node_id, None
        reading: Reading | None = None if state is None else state.reading
        stated = None if state is None else self.session.enhancing_of(node_id)
        locked = reading is not None and reading.state == ReadingState.LOCKED
        outlined = state is not None and state.measurement is not None
        is_ct = self.session.image is not None and self.session.image.unit == "HU"
        keeps = stated is not None and stated.keeps
        by_hu = stated is not None and stated.threshold_hu is not None
        if by_hu:
            self._wants_threshold = None
        by_pair = stated is not None and stated.pair is not None
        asks = by_hu or (self._wants_threshold is not None and self._wants_threshold == node_id)
        self._offer("kept", t("As it was read before"), keeps)
        self._offer("pair", t("By the pair of CTs"), by_pair)
        self.choice.setCurrentIndex(self.choice.findData("hu" if asks else "kept" if keeps else "pair" if by_pair else ""))
        self.choice.setEnabled(outlined and is_ct and not locked)
        self.threshold_box.setVisible(asks)
        self.source.setVisible(by_hu)
        self.threshold.setEnabled(not locked)
        self.source.setEnabled(not locked)
        if not self.threshold.hasFocus() or (by_hu and self.threshold.value() != stated.threshold_hu):
            self.threshold.blockSignals(True)
            self.threshold.setDecimals(1 if by_hu and stated.threshold_hu % 1 else 0)
            self.threshold.setValue(stated.threshold_hu if by_hu else NOT_STATED)
            self.threshold.blockSignals(False)
        if not self.source.hasFocus():
            self.source.setText(stated.source if by_hu else "")
        self._show_figures(state, reading, locked, keeps, asks)
        self.hint.show_text("" if (by_pair and not asks) or (stated is not None and stated.proposed is not None) else self._hint(state, outlined, is_ct, locked, asks, stated))
        self.pair.refresh(state)
        if asks or keeps or by_pair:
            self.set_open(True)

    def _offer(self, data: str, text: str, there: bool) -> None:
        """An entry that is only there while it is what is taken."""
        at = self.choice.findData(data)
        if there and at < 0:
            self.choice.addItem(text, data)
        elif not there and at >= 0:
            self.choice.removeItem(at)

    def _show_figures(self, state, reading, locked: bool, keeps: bool, asks: bool) -> None:
        stated = None if state is None else state.enhancing
        volumes = None if stated is None else stated.volumes_ml
        rows: list[Figure] = []
        pair = None if stated is None else stated.proposed or (None if asks else stated.pair)
        if pair is not None:
            stale = stated.fits(pair, state.measurement) is False  # no number stands beside an outline that it is not of
            part = (None, None) if stale else (pair.record["viable_ml"], pair.record["ablated_ml"])
            reason = t("The outline was changed since: work it out again.") if stale else t("Not evaluable by the pair.")
            rows = part_figures(part, pair.record["node_ml"], ("contrast_pair", "derived"), reason)
        elif reading is not None and (locked or keeps):
            if reading.viable_from or reading.ablated_from:
                rows = part_figures((reading.viable_ml, reading.ablated_ml), reading.volume_ml, (reading.viable_from, reading.ablated_from), t("Not assessed."))
        elif asks:
            total = stated.values.total_ml if stated is not None and stated.values is not None else None
            rows = part_figures(volumes or (None, None), total, ("hu_threshold", "derived"), t("State the threshold."))
        self.figures.show_figures(rows)
        self.figures.setVisible(bool(rows))
        values = stated.values if stated is not None and asks and not locked else None
        low, middle, high = values.spread_hu() if values is not None else (0.0, 0.0, 0.0)
        self.spread.show_text(
            "" if values is None else t("Inside the outline: 5 % of voxels below {low} HU, half below {middle}, 5 % above {high}.").format(low=number_text(low, 0), middle=number_text(middle, 0), high=number_text(high, 0))
        )

    def _hint(self, state, outlined: bool, is_ct: bool, locked: bool, asks: bool, stated) -> str:
        if state is None:
            return t("Choose a node first.")
        if locked:
            return "" if asks else t("The locked reading keeps what was assessed.")
        if not is_ct:
            return t("A threshold needs the contrast CT on screen.")
        if not outlined:
            return t("Outline the node first.")
        if stated is not None and stated.refusal:
            return stated.refusal
        if asks:
            return t("On contrast CT only, with one threshold at all visits. Enhancing voxels are hatched in the pictures.")
        return t("None is assessed unless you say so; the volume above is of the whole.")

    # ---- doing -----------------------------------------------------------------------------
    def _chosen(self, _index: int) -> None:
        node_id, chosen = self._node_id, self.choice.currentData()
        state = self.session.nodes.get(node_id or "")
        if state is None or chosen in ("kept", "pair"):
            return
        if not chosen:
            self._wants_threshold = None
            self.session.set_enhancing(node_id, None)
            self.refresh(state)
            return
        known = self.session.threshold_to_begin_with(node_id)
        if known is not None:
            self.session.set_enhancing(node_id, *known)
            self.refresh(state)
            return
        self._wants_threshold = node_id
        self.session.look_inside(node_id)
        self.refresh(state)
        self.threshold.setFocus(Qt.FocusReason.OtherFocusReason)
        self.threshold.selectAll()

    def _stated(self, value: float) -> None:
        if self._node_id is not None and value > NOT_STATED:
            self.session.set_enhancing(self._node_id, value, STATED_BY_READER)

    def _source_given(self) -> None:
        state = self.session.nodes.get(self._node_id or "")
        if state is not None and state.enhancing is not None and state.enhancing.threshold_hu is not None and self.source.text().strip() != state.enhancing.source:
            self.session.set_enhancing(self._node_id, state.enhancing.threshold_hu, self.source.text())
