"""Named values of a measurement, as the table beside the pictures shows them."""

from __future__ import annotations

from app.ui.models.measures import interval_causes, measurement_figures
from tests.ui.panel_cases import ellipsoid_mask
from volumetry.measure import measure_node


def test_that_the_interval_says_what_it_is_made_of_the_widest_cause_first():
    by_hand = interval_causes(measure_node(ellipsoid_mask(), outlined="by_hand").uncertainty)
    by_click = interval_causes(measure_node(ellipsoid_mask(), outlined="star_convex").uncertainty)
    assert by_hand.value.startswith("outline ")
    shares = [float(part.split()[-2]) for part in by_hand.source.splitlines()[0].split(" · ")]
    assert shares == sorted(shares, reverse=True)
    assert by_hand.value != by_click.value
    assert "slices" in by_hand.source


def test_that_a_measurement_without_an_interval_says_so():
    assert interval_causes(None).value is None
    assert interval_causes(None).reason


def test_that_every_row_has_a_source_or_a_reason():
    for figure in measurement_figures(measure_node(ellipsoid_mask())):
        assert figure.source or figure.reason, figure.label
