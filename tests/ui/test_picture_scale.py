"""A scale by hand in the window: drawn, stated, used for one picture alone, marked everywhere, kept, taken back."""

from __future__ import annotations

import csv
import shutil
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pypdf import PdfReader

from app.demo.dicom_files import Occasion
from app.jobs import JobContext
from app.study.model import ReadingState
from app.study.store import StudyStore
from app.ui.panels.picture_scale import ScaleSection
from app.ui.tools.box import ToolBox
from app.ui.views.calibration_words import calibration_state
from app.ui.views.picture_pane import PicturePane
from app.usecases.export_edc import export_study
from app.usecases.import_images import import_folder
from dicom_io.report import read_report
from tests.factories import write_ultrasound_cine, write_ultrasound_still
from tests.ui import mouse

WAIT_MS = 20_000
DAY = Occasion(1, "Baseline", date(2025, 1, 13))


def without_units(path: Path) -> None:
    """The file as a machine writes it that knows where the picture is, but not how large."""
    ds = pydicom.dcmread(path)
    for region in ds.SequenceOfUltrasoundRegions:
        region.PhysicalUnitsXDirection = region.PhysicalUnitsYDirection = 0
        region.PhysicalDeltaX = region.PhysicalDeltaY = 1.0
    ds.save_as(path)


@pytest.fixture(scope="module")
def template(tmp_path_factory) -> Path:
    """A study of two stills (12 x 8 mm and 10 x 8 mm at 0.1 mm a pixel) and a cine that say no scale, and a still that does."""
    root = tmp_path_factory.mktemp("scales")
    (root / "us").mkdir()
    for n, axes in enumerate(((12.0, 8.0), (10.0, 8.0), (9.0, 9.0))):
        write_ultrasound_still(root / "us" / f"{n}.dcm", occasion=DAY, instance=n + 1, ellipse_mm=axes)
    write_ultrasound_cine(root / "us" / "cine.dcm", occasion=replace(DAY))
    for name in ("0.dcm", "1.dcm", "cine.dcm"):
        without_units(root / "us" / name)
    with StudyStore.create(root / "study") as store:
        import_folder(store, "S-001", "Baseline", root / "us", JobContext())
        store.add_node("S-001", "N1", "left", "II")
    return root / "study"


class Desk:
    """The session, its picture pane and the section of the panel."""

    def __init__(self, qtbot, session):
        self.qtbot, self.session, self.told = qtbot, session, []
        session.notice.connect(lambda severity, text: self.told.append(text))
        session.jobs.failed.connect(lambda _error, text: self.told.append("bug: " + text))
        self.pane = PicturePane(session, ToolBox(session))
        qtbot.addWidget(self.pane, before_close_func=lambda w: w.shutdown())
        self.pane.resize(900, 700)
        self.pane.show()
        self.section = ScaleSection(session)
        qtbot.addWidget(self.section)
        qtbot.waitExposed(self.pane)

    def settle(self) -> None:
        self.qtbot.waitUntil(lambda: not self.session.jobs.is_busy(), timeout=WAIT_MS)

    def open(self, study) -> None:
        self.session.open_study(study)
        self.qtbot.waitUntil(lambda: self.session.picture is not None, timeout=WAIT_MS)
        self.settle()

    def reopen(self, study) -> None:
        assert self.session.close() == []
        self.session.jobs.reopen()
        self.open(study)

    def show(self, *, calibrated: bool = False, number: int = 0, kind: str = "still") -> None:
        """One of the pictures of that kind with or without a scale of its own, in the order of the rail."""
        found = []
        for record in (s for s in self.session.series if s.kind == kind):
            self.session.open_series(record.series_id)
            self.settle()
            if self.session._as_opened.calibration.gives_lengths == calibrated:
                found.append((-int((self.session.picture.read_frame(0)[70:170, 90:230] < 95).sum()), record.series_id))
        self.session.open_series(sorted(found)[number][1])
        self.settle()
        self.qtbot.waitUntil(lambda: self.pane.frame.shown_frame is not None, timeout=WAIT_MS)

    def drag(self, a, b) -> None:
        mouse.drag(self.pane.frame, self.pane.frame.screen_of(a), self.pane.frame.screen_of(b))
        self.settle()

    def drag_with_shift(self, a, b) -> None:
        mouse.drag(self.pane.frame, self.pane.frame.screen_of(a), self.pane.frame.screen_of(b), modifiers=mouse.SHIFT)
        self.settle()

    def scale(self, *lines, frame_only: bool = False) -> None:
        """Draw lines (end, end, mm) with the tool and state them in the panel."""
        self.session.set_tool("scale")
        for a, b, _ in lines:
            self.drag(a, b)
        for (_, _, mm), length in zip(sorted(lines, key=lambda line: abs(line[1][1] - line[0][1]) > abs(line[1][0] - line[0][0])), self.section.lengths, strict=False):
            length.setValue(mm)
        self.section.frame_only.setChecked(frame_only)
        self.section.use.click()
        self.settle()

    def said(self, words: str) -> bool:
        return any(words in text for text in self.told)


DOWN = ((160.0, 60.0), (160.0, 160.0), 10.0)  # 0.1 mm a pixel
WRONG = ((160.0, 60.0), (160.0, 160.0), 20.0)


@pytest.fixture
def desk(qtbot, session, template, tmp_path) -> Desk:
    made = Desk(qtbot, session)
    made.study = shutil.copytree(template, tmp_path / "study")
    made.open(made.study)
    made.show()
    yield made
    made.settle()
    session.close()
    assert [text for text in made.told if text.startswith("bug")] == []


def length_mm(session, a=(100.0, 120.0), b=(200.0, 120.0)) -> float | None:
    session.add_caliper([a, b])
    return session.calipers[-1].length_mm


def test_that_a_scale_is_offered_only_where_the_header_gives_none(desk):
    assert desk.session.needs_scale()
    assert desk.section.isVisibleTo(desk.section.parentWidget())
    desk.show(calibrated=True)
    assert not desk.session.needs_scale()
    desk.session.set_tool("scale")
    desk.drag((100, 60), (100, 160))
    assert desk.session.scale_lines == ()
    assert desk.said("The header gives this picture's scale")


def test_that_a_drawn_and_stated_scale_gives_lengths_that_say_so(desk):
    session = desk.session
    assert length_mm(session) is None
    session.set_tool("scale")
    desk.drag(DOWN[0], DOWN[1])
    assert len(session.scale_lines) == 1
    assert not desk.section.use.isEnabled()  # nothing is preset
    assert desk.section.lengths[0].text() == "state mm"
    desk.section.lengths[0].setValue(10.0)
    assert "whole picture 32 × 24 mm" in desk.section.effect.text()
    desk.section.use.click()
    desk.settle()
    assert session.tool == "crosshair"
    assert session.calipers[0].length_mm == pytest.approx(10.0, rel=0.01)  # drawn before, in pixels until now
    assert length_mm(session) == pytest.approx(10.0, rel=0.01)
    assert [w.code for w in session.calipers[-1].warnings] == ["manual_calibration", "square_pixels_assumed"]
    assert calibration_state(session.picture.calibration)[0] == "Calibrated by hand"


def test_that_a_length_in_centimetres_is_refused_before_it_is_used(desk):
    desk.session.set_tool("scale")
    desk.drag(DOWN[0], DOWN[1])
    desk.section.lengths[0].setValue(1.0)
    assert not desk.section.use.isEnabled()
    assert "no ultrasound picture has" in desk.section.effect.text()


def test_that_a_second_line_across_gives_each_direction_its_own_scale(desk):
    desk.scale(DOWN, ((100.0, 150.0), (200.0, 150.0), 20.0))
    scale = desk.session.scale_in_use()[1]
    assert scale.mm_per_pixel == pytest.approx((0.2, 0.1), rel=0.02)
    assert desk.pane.frame.aspect == pytest.approx(0.5, rel=0.02)  # the picture is drawn true to shape
    desk.scale(DOWN)
    assert desk.session.scale_in_use()[1].mm_per_pixel == pytest.approx((0.1, 0.1), rel=0.02)


def test_that_a_part_drawn_with_shift_keeps_the_scale_to_itself(desk):
    session = desk.session
    session.set_tool("scale")
    desk.drag(DOWN[0], DOWN[1])
    assert desk.section.part.text().startswith("Holds for the whole picture")
    desk.drag_with_shift((150.0, 200.0), (20.0, 20.0))
    assert len(session.scale_lines) == 1  # the part is no second line
    assert session.scale_box == pytest.approx((20.0, 20.0, 150.0, 200.0), abs=1.0)
    assert "130 × 180 px" in desk.section.part.text()
    desk.section.lengths[0].setValue(10.0)
    assert "the dashed part 13 × 18 mm" in desk.section.effect.text()
    desk.section.use.click()
    desk.settle()
    assert length_mm(session, (40.0, 120.0), (140.0, 120.0)) == pytest.approx(10.0, rel=0.01)
    assert length_mm(session, (40.0, 120.0), (240.0, 120.0)) is None  # into the other pane
    assert "outside the part" in session.calipers[-1].refusal
    desk.reopen(desk.study)
    desk.show()
    assert session.scale_in_use()[1].box == pytest.approx((20.0, 20.0, 150.0, 200.0), abs=1.0)
    assert "dashed part only" in desk.section.note.text()
    assert desk.section.part.text() == ""
    session.set_tool("scale")
    desk.drag(DOWN[0], DOWN[1])
    assert session.scale_box is None  # a new scale begins with the whole picture
    desk.drag_with_shift((20.0, 20.0), (22.0, 200.0))
    assert desk.said("at least 10 pixels")
    desk.drag_with_shift((20.0, 20.0), (150.0, 200.0))
    desk.section.whole.click()
    assert session.scale_box is None


def test_that_it_is_never_used_for_another_picture(desk):
    desk.scale(DOWN)
    desk.show(number=1)
    assert desk.session.needs_scale()
    assert desk.session.scale_in_use() is None
    assert length_mm(desk.session) is None
    desk.show(number=0)
    assert desk.session.scale_in_use() is not None


def test_that_it_is_undone_redone_and_taken_back_with_everything_made_with_it(desk):
    session = desk.session
    session.state_plane("longitudinal")
    session.set_tool("node")
    desk.drag((159.5, 119.5), (209.5, 119.5))
    assert session.outline_on().axes.long_axis_mm is None
    desk.scale(WRONG)
    assert session.outline_on().axes.long_axis_mm == pytest.approx(24.0, rel=0.05)
    session.use_as_calipers()
    assert session.current.calipers["length"].length_mm == pytest.approx(24.0, rel=0.05)
    desk.scale(DOWN)
    assert session.outline_on().axes.long_axis_mm == pytest.approx(12.0, rel=0.05)
    assert session.current.calipers["length"].length_mm == pytest.approx(12.0, rel=0.05)
    session.undo_stack.undo()
    desk.settle()
    assert session.current.calipers["length"].length_mm == pytest.approx(24.0, rel=0.05)
    session.undo_stack.redo()
    desk.settle()
    assert session.current.calipers["length"].length_mm == pytest.approx(12.0, rel=0.05)
    session.remove_reader_scale()
    desk.settle()
    assert session.current.calipers == {}
    assert session.outline_on().axes.long_axis_mm is None
    assert session.picture.calibration.manual_mm_per_pixel is None
    assert desk.said("were removed")
    session.undo_stack.undo()
    desk.settle()
    assert session.current.calipers["length"].length_mm == pytest.approx(12.0, rel=0.05)


def test_that_it_is_kept_with_the_study_by_series_and_reader(desk):
    session = desk.session
    desk.scale(DOWN)
    name = session.picture_name
    desk.reopen(desk.study)
    desk.show()
    assert session.picture_name == name
    assert session.scale_in_use()[1].mm_per_pixel == pytest.approx((0.1, 0.1), rel=0.02)
    trail = [e for e in session.study.events() if name in str(e.get("object"))]
    assert any(e["action"] == "setting_set" and e["reason"] == "scale drawn by the reader" for e in trail)
    session.close()
    session.jobs.reopen()
    session.reader = "Reader B"
    desk.open(desk.study)
    desk.show()
    assert session.scale_in_use() is None  # another reader's eyes
    session.reader = "Reader A"


def test_that_a_frame_of_a_loop_can_have_its_own_scale(desk):
    session = desk.session
    desk.show(kind="cine")
    session.set_frame(2)
    desk.qtbot.waitUntil(lambda: desk.pane.frame.shown_frame == 2, timeout=WAIT_MS)
    desk.scale(DOWN, frame_only=True)
    assert session.scale_in_use()[0] == 2
    assert length_mm(session) == pytest.approx(10.0, rel=0.01)
    session.set_frame(3)
    assert session.scale_in_use() is None
    assert length_mm(session) is None
    desk.qtbot.waitUntil(lambda: desk.pane.frame.shown_frame == 3, timeout=WAIT_MS)
    desk.scale(WRONG)
    assert session.scale_in_use()[0] is None
    assert length_mm(session) == pytest.approx(20.0, rel=0.01)
    session.set_frame(2)
    assert length_mm(session) == pytest.approx(10.0, rel=0.01)  # a frame's own goes before that of all


def test_that_a_volume_made_with_it_is_marked_in_reading_table_report_and_dicom(desk, tmp_path):
    session = desk.session
    for number, plane in ((0, "longitudinal"), (1, "transverse")):
        desk.show(number=number)
        desk.scale(DOWN)
        session.state_plane(plane)
        session.set_tool("node")
        desk.drag((159.5, 119.5), (209.5, 119.5))
        session.use_as_calipers()
    node_id = session.current_node_id
    session.set_node(node_id, "left", "II", None)
    desk.settle()
    assert "manual_calibration" in [w.code for w in session.current.ellipsoid.warnings]
    session.lock_reading(node_id, "Dr Tester", "read by me")
    desk.settle()
    (reading,) = session.study.readings("S-001")
    assert reading.state == ReadingState.LOCKED
    assert reading.measurement["ellipsoid_axes_mm"] == pytest.approx([12.0, 10.0, 8.0], rel=0.08)
    assert reading.volume_ml == pytest.approx(np.pi / 6 * np.prod(reading.measurement["ellipsoid_axes_mm"]) / 1000)
    assert {"manual_calibration", "square_pixels_assumed"} <= {w["code"] for w in reading.warnings}
    kept = reading.measurement["reader_scales"]
    assert [k["mm_per_pixel"] for k in kept] == [pytest.approx([0.1, 0.1], rel=0.02)] * 2
    out = tmp_path / "out"
    export_study(session.study, "csv", out / "csv")
    table = next(p for p in (out / "csv").rglob("*.csv") if "reading" in p.name)
    (row,) = csv.DictReader(table.open(encoding="utf-8"))
    assert "manual_calibration" in row["warnings"].split(";")
    export_study(session.study, "dicom-sr", out / "sr")
    (path,) = (out / "sr").rglob("*.dcm")
    assert read_report(path)[0].calibrated_by_reader
    export_study(session.study, "pdf", out / "pdf")
    (page,) = (out / "pdf").rglob("*.pdf")
    assert "drawn scale" in " ".join(" ".join(p.extract_text().split()) for p in PdfReader(page).pages)


def test_that_a_volume_of_echoes_is_windowed_by_its_own_values(session):
    from volumetry.geometry import ImageGeometry
    from volumetry.image import ImageSource, ImageVolume

    grid = ImageGeometry.from_spacing((6, 30, 30), (0.5, 0.5, 0.5))
    ramp = np.linspace(0, 200, 6 * 30 * 30).reshape(grid.shape).astype(np.int16)
    session.set_window(50.0, 350.0)
    session._show(ImageVolume(ramp, grid, "grey", ImageSource(modality="US", in_patient_space=False)))
    centre, width = session.window
    assert (centre, width) == (pytest.approx(100, abs=6), pytest.approx(200, abs=12))
    session._clear_screen()  # between visits
    session._show(ImageVolume(ramp, grid, "HU", ImageSource(modality="CT")))
    assert session.window == (50.0, 350.0)
