"""Panes with the ellipsoid on screen."""

from __future__ import annotations

import pytest

from app.study.model import Side, TargetNode
from app.ui.session import NodeState
from app.ui.tools.box import ToolBox
from app.ui.views.pane_grid import PaneGrid
from tests.factories import ellipsoid_image
from tests.ui.drawing.hands import (
    AXES_MM,
    CENTRE,
)


@pytest.fixture(scope="package")
def case():
    return ellipsoid_image(semi_axes_mm=AXES_MM, angles_deg=(0.0, 0.0, 0.0), shape=(30, 56, 56))


@pytest.fixture
def grid(qtbot, session, case):
    toolbox = ToolBox(session)
    panes = PaneGrid(session, toolbox)
    panes.toolbox = toolbox
    qtbot.addWidget(panes, before_close_func=lambda w: w.shutdown())
    panes.resize(1000, 800)
    session.image = case.image
    session.image_changed.emit()
    session.nodes["a"] = NodeState(TargetNode("a", "S-1", "N1", Side.LEFT, "II"))
    session.current_node_id = "a"
    session.nodes_changed.emit()
    panes.show()
    qtbot.waitExposed(panes)
    for pane in panes.slice_panes:
        pane.zoom_to(CENTRE, 16.0)
    session.set_crosshair(CENTRE)
    return panes


@pytest.fixture
def told(session):
    lines = []
    session.notice.connect(lambda severity, text: lines.append((severity, text)))
    session.jobs.failed.connect(lambda _problem, trace: lines.append(("bug", trace)))
    yield lines
    assert [text for severity, text in lines if severity == "bug"] == []


@pytest.fixture
def axial(grid, told):
    return grid.panes["axial"]
