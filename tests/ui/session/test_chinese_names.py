"""Chinese words of people and sites: letters and not boxes on screen, and the same words in board, tables, CSV and PDF."""

from __future__ import annotations

import csv

import numpy as np
from pypdf import PdfReader
from PySide6.QtCore import Qt
from PySide6.QtGui import QColor, QFontMetrics, QImage, QPainter

from app.study.model import ReadingState
from app.study.store import StudyStore
from app.ui.models.audit_view import event_words
from app.ui.style import pixel_font
from app.ui.views.visit_board import VisitBoardView
from app.usecases.audit_page import AuditFilter, audit_page
from app.usecases.export_edc import export_study
from app.usecases.readings import save_reading
from app.usecases.subject_values import log_event
from app.usecases.trial_identity import set_site
from tests.factories import ellipsoid_image
from tests.ui.session.hands import settle
from tests.ui.session.users import SITE, WORD, sign_in
from tests.ui.translations import content

NAME, CLINIC, REASON = "欧阳娜娜", "示例医院 放射科", "残余强化，按计划挽救"


def drawn(letter: str) -> np.ndarray:
    """A letter as the window draws it, grey [row, column]."""
    image = QImage(32, 32, QImage.Format.Format_Grayscale8)
    image.fill(Qt.GlobalColor.black)
    painter = QPainter(image)
    painter.setPen(QColor("white"))
    painter.setFont(pixel_font(24))
    painter.drawText(image.rect(), Qt.AlignmentFlag.AlignCenter, letter)
    painter.end()
    return np.frombuffer(image.constBits(), np.uint8).reshape(32, image.bytesPerLine())[:, :32].copy()


def test_that_every_letter_of_the_translation_has_a_glyph(styled_qapp):
    held = content("zh-CN")
    letters = {c for words in (*held["texts"].values(), *held["sentences"].values(), NAME, CLINIC, REASON) for c in words if ord(c) > 0x2E7F}
    assert len(letters) > 800
    metrics = QFontMetrics(pixel_font(12))
    assert not [c for c in letters if not metrics.inFontUcs4(ord(c))]


def test_that_letters_are_drawn_and_no_boxes(styled_qapp):
    pictures = [drawn(c) for c in ("欧", "阳", "娜", "科", "\U000f1234")]  # the last one is of no font: a box, or nothing
    assert all(p.max() > 100 for p in pictures[:4])
    assert all((a != b).any() for n, a in enumerate(pictures) for b in pictures[n + 1 :])


def test_that_chinese_words_stand_in_board_trail_csv_and_pdf(qtbot, opened, tmp_path):
    store = opened.study
    set_site(store, "S-001", "02", CLINIC)
    log_event(store, "S-001", "IRE", "2025-01-15", detail={"reason": REASON})
    view = VisitBoardView(opened)
    qtbot.addWidget(view)
    view.entered()
    settle(qtbot, opened)
    assert view.model.rows == ["S-001"]

    assert REASON in view.subject.events.as_text()
    node, visit, image = store.nodes("S-001")[0], store.visits("S-001")[0], ellipsoid_image()
    kept = save_reading(store, visit, node, reader="reader-a", modality="CT", mask=image.truth, status_reason=None)
    assert store.lock_reading(kept.reading_id, NAME, "I have reviewed this measurement").state == ReadingState.LOCKED
    page = audit_page(store, AuditFilter(text=NAME))
    assert page.found >= 1
    assert NAME in "".join(event_words(row) for row in page.rows)
    export_study(store, "csv", tmp_path / "csv")
    with (tmp_path / "csv" / "readings.csv").open(encoding="utf-8", newline="") as stream:
        (row,) = csv.DictReader(stream)
    assert row["locked_by"] == NAME
    export_study(store, "pdf", tmp_path / "pdf")
    text = "".join(p.extract_text() for file in sorted((tmp_path / "pdf").glob("*.pdf")) for p in PdfReader(file).pages)
    assert NAME in text.replace("\n", "")
    view.left()


def test_that_a_chinese_name_stands_in_header_signature_and_trail(qtbot, session, window, users_study):
    with StudyStore.open(users_study) as store:
        store.sign_in("admin", WORD)
        store.add_user("ouyang", NAME, ["site_reader"], WORD)
        set_site(store, "S-001", "02", CLINIC)
    sign_in(qtbot, session, users_study, "ouyang")
    settle(qtbot, session)
    assert NAME in window.user_button.text()
    assert session.signing().full_name == NAME
    assert session.reader != SITE
    session.close()
