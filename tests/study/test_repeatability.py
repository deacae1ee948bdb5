"""Where the coefficient of variation behind an interval comes from."""

from __future__ import annotations

import math

from app.study.protocol import load_protocol, protocol_from
from app.study.repeatability import published, stated_repeatability


def with_reading(**changes):
    """The shipped protocol with other reading rules."""
    content = load_protocol("ire-cervical-ln").content
    return protocol_from({**content, "reading": {**content["reading"], **changes}})


def test_that_every_published_figure_has_a_source_with_year_and_pages() -> None:
    assert published()
    for key, found in published().items():
        assert 0 < found.cv_pct < 100, key
        assert "201" in found.source, key


def test_that_limits_between_readers_become_a_cv_of_one_reading() -> None:
    assert published()["US/ellipsoid"].cv_pct == round(44.1 / (1.96 * math.sqrt(2)), 1)


def test_that_the_protocol_goes_before_what_was_published() -> None:
    own = stated_repeatability(with_reading(repeatability_cv_pct={"CT/voxel": 8.0}), "CT", "voxel")
    assert (own.cv_pct, own.source) == (8.0, "protocol ire-cervical-ln/2")
    told = stated_repeatability(with_reading(repeatability_cv_pct={"CT/voxel": 8.0}, repeatability_source={"CT/voxel": "pilot of 20 nodes"}), "CT", "voxel")
    assert told.source == "protocol ire-cervical-ln/2: pilot of 20 nodes"


def test_that_a_protocol_that_states_none_falls_back_and_what_nobody_stated_is_none() -> None:
    protocol = load_protocol("ire-cervical-ln")
    assert stated_repeatability(protocol, "CT", "voxel") == published()["CT/voxel"]
    assert stated_repeatability(protocol, "CEUS", "ellipsoid") is None
    assert stated_repeatability(protocol, "CT", "ellipsoid") is None
