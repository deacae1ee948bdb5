"""The predicted zone of Day 0 beside what is seen later: which run, which plane, which numbers, and what is said of them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from app.cli import main
from app.study.model import DeliveredPair
from app.usecases.contrast_draft import ContrastDraft, LoopDraft, save_contrast
from app.usecases.contrast_panes import PaneBox, Panes
from app.usecases.perfusion_regions import PerfusionRegion
from app.usecases.subject_values import log_event
from app.usecases.zone_section import contrast_comparison, planned_zone, run_to_compare
from tests.usecases.zones import ZONE_MM, keep_zone

FULL = (DeliveredPair("E1", "E2", 90, 2250.0),)


def codes(findings) -> set[str]:
    return {f["code"] if isinstance(f, dict) else f.code for f in findings}


@pytest.fixture
def visit(case):
    return max(case.store.visits("S-001"), key=lambda v: v.order)


def test_that_the_zone_is_cut_along_and_across_the_node_with_the_axes_of_its_ellipsoid(case, visit):
    run = keep_zone(case.store, "S-001", node_id=case.node.node_id, session="day0")
    zone = planned_zone(case.store, case.node, visit)
    assert (zone.run_id, zone.is_delivered) == (run.plan_run_id, False)
    for stated, (a, b) in (("transverse", ZONE_MM[1:]), ("longitudinal", ZONE_MM[:2]), (None, ZONE_MM[:2])):
        plane, section = zone.in_plane(stated)
        assert plane == (stated or "largest")
        assert (section.long_mm, section.across_mm) == pytest.approx((a, b), abs=0.3)
        assert section.area_mm2 == pytest.approx(np.pi / 4 * a * b, rel=0.012)
    assert zone.node_ml == pytest.approx(np.pi / 6 * 20 * 12 * 10 / 1000, rel=0.02)
    assert codes(zone.findings) == {"planned_not_delivered"}


def test_that_the_delivered_run_counts_before_a_newer_one_and_what_speaks_against_it_is_said(case, visit):
    store, node = case.store, case.node
    assert run_to_compare(store, node, visit) is None
    keep_zone(store, "S-001", node_id=node.node_id, session="salvage")
    unnamed = keep_zone(store, "S-001", node_mm=(12.0, 12.0, 12.0))
    zone = planned_zone(store, node, visit)
    assert zone.run_id == unnamed.plan_run_id
    assert codes(zone.findings) == {"planned_not_delivered", "planned_for_label", "planned_session_open", "planned_plane_open"}
    assert zone.in_plane("transverse")[0] == "largest"
    meant = keep_zone(store, "S-001", node_id=node.node_id, session="day0")
    lying = keep_zone(store, "S-001", kind="actual", planned_id=meant.plan_run_id)
    store.add_delivery(meant.plan_run_id, FULL, entered_by="Dr A", date="2025-01-14")
    zone = planned_zone(store, node, visit)
    assert (zone.run_id, zone.kind, zone.delivered_on, zone.findings) == (lying.plan_run_id, "actual", "2025-01-14", ())
    keep_zone(store, "S-001", node_id=node.node_id, session="day0")
    store.add_delivery(lying.plan_run_id, (DeliveredPair("E1", "E2", 40, 2250.0, aborted=True, abort_reason="current"),), entered_by="Dr A")
    zone = planned_zone(store, node, visit)
    assert zone.run_id == lying.plan_run_id
    assert codes(zone.findings) == {"delivered_otherwise", "planned_zone_superseded"}


def test_that_the_command_line_gives_sizes_beside_each_other(case, visit, capsys):
    store, node = case.store, case.node
    assert codes(contrast_comparison(store, "S-001", visit.name, "N1")["warnings"]) == {"no_planned_zone"}
    keep_zone(store, "S-001", node_id=node.node_id, session="day0")
    log_event(store, "S-001", "IRE", "2026-01-06", detail={"zone_source": "CEUS 10 min after"}, zones_ml={"N1": 6.5})
    log_event(store, "S-001", "SALVAGE", "2026-02-10", node="N1", detail={}, zones_ml={})
    panes = Panes("side_by_side", PaneBox(0, 0, 99, 99), PaneBox(100, 0, 199, 99), (0.5, 0.5))
    outline = PerfusionRegion("N1", "node", ((10.0, 10.0), (50.0, 10.0), (50.0, 40.0), (10.0, 40.0)))
    save_contrast(store, visit.visit_id, "reader-a", ContrastDraft({"L0": LoopDraft(panes, 60.0, region_frame=3, regions={node.node_id: (outline,)}, plane="transverse")}))
    folder = store.folder
    store.close()
    assert main(["study", "contrast-compare", str(folder), "--subject", "S-001", "--visit", visit.name, "--node", "N1", "--reader", "reader-a", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["planned"]["zone_ml"] == pytest.approx(np.pi / 6 * np.prod(ZONE_MM) / 1000)
    assert (found["planned"]["plane"], found["planned"]["delivered"]) == ("transverse", False)
    assert found["measured_day0"] == {"zone_ml": 6.5, "date": "2026-01-06", "source": "CEUS 10 min after"}
    assert (found["today"]["area_mm2"], found["today"]["long_mm"]) == pytest.approx((300.0, 25.0))
    assert codes(found["warnings"]) == {"planned_not_delivered", "ablated_again"}
    assert "Sizes only" in found["meaning"]
    assert main(["study", "contrast-compare", str(folder), "--subject", "S-001", "--visit", visit.name, "--node", "N1"]) == 0
    assert "planned zone (largest)" in capsys.readouterr().out
