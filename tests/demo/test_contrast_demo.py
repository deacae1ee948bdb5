import json

import numpy as np
import pytest

from app.usecases.contrast_loop import load_loop, propose_colours, propose_panes
from dicom_io.contrast import ContrastFacts, read_contrast_facts
from dicom_io.ultrasound import read_cine


@pytest.fixture(scope="module")
def cine(demo_case):
    return read_cine(demo_case.visit("Day 30").cine)


def test_that_the_demonstration_cine_says_what_is_true_of_it(demo_case):
    truth = json.loads(demo_case.truth_path.read_text())["contrast_cine"]
    assert truth["viable_fraction"] == pytest.approx(0.22, abs=0.005)
    assert truth["viable_ml"] == pytest.approx(truth["viable_fraction"] * demo_case.true_node("N1", "Day 30")["volume_ml"])
    assert truth["viable_ml"] > 0.05
    assert truth["curves"]["reference"]["model"] == "lognormal"
    assert truth["curves"]["ablated"]["model"] == "none"
    assert 3 <= len(truth["frames_beside_plane"]) <= 8


def test_that_the_demonstration_cine_becomes_a_loop_in_which_a_focus_enhances(demo_case, cine):
    truth = demo_case.truth["contrast_cine"]
    proposal = propose_panes(cine)
    assert proposal.confidence > 0.8
    assert proposal.panes.contrast.x0 > proposal.panes.bmode.x1
    assert propose_colours(cine, proposal.panes).source == "grey"
    reference = truth["reference_frame"]
    first = max(0, reference - 30)
    loop = load_loop(cine, proposal.panes, range_db=truth["dynamic_range_db"], frames=(first, reference + 30))
    assert loop.frame_numbers[reference - first] == reference
    x, y = (round(v) for v in truth["viable_centre_px"])
    section, mm = truth["node_section"], loop.mm_per_pixel[0]
    y_node, x_node = round(section["depth_mm"] / mm), round(section["lateral_mm"] / mm + 0.5 * (loop.shape[1] - 1))
    at = reference - first  # near the peak: nothing has moved in it
    assert truth["curves"]["reference"]["ttp_s"] == pytest.approx(truth["times_s"][reference], abs=6.0)
    power = loop.power(at)
    focus = float(power[y - 8 : y + 9, x - 8 : x + 9].mean())
    core = float(power[y_node - 20 : y_node - 4, x_node + 6 : x_node + 22].mean())  # away from the focus
    far = float(power[250:300, 100:180].mean())
    assert focus > 10 * core
    assert 0.2 < focus / far < 1.2


def test_that_the_header_of_the_demonstration_names_its_agent_and_its_range(demo_case):
    facts = read_contrast_facts(demo_case.visit("Day 30").cine)
    assert "microbubbles" in facts.agent
    assert facts.range_db == demo_case.truth["contrast_cine"]["dynamic_range_db"]
    assert facts.range_source == "DynamicRange"
    assert facts.differences(facts) == ()
    assert facts.differences(ContrastFacts(maker="Other", depth_mm=30.0)) == ("maker",)
    assert np.isfinite(len(facts.model))
