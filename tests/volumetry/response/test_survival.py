"""Survival: a published curve, scipy's, and the rules of censoring case by case."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest
from scipy.stats import CensoredData, ecdf

from volumetry.errors import MeasurementRefused
from volumetry.response.survival import Assessment, kaplan_meier, overall, progression_free

# Freireich et al. 1963, remission in weeks on 6-mercaptopurine; a + is censored.
REMISSION = ["6", "6", "6", "6+", "7", "9+", "10", "10+", "11+", "13", "16", "17+", "19+", "20+", "22", "23", "25+", "32+", "32+", "34+", "35+"]
TIMES, EVENTS = [float(t.rstrip("+")) for t in REMISSION], [not t.endswith("+") for t in REMISSION]


def day(text: str) -> dt.date:
    return dt.date.fromisoformat(text)


def test_that_the_published_curve_comes_out():
    # Kalbfleisch and Prentice; standard errors by Greenwood as printed in Kleinbaum and Klein, table 2.
    curve = kaplan_meier(TIMES, EVENTS)
    printed = {6: (0.857, 0.0764), 7: (0.807, 0.0869), 10: (0.753, 0.0963), 13: (0.690, 0.1068), 16: (0.627, 0.1141), 22: (0.538, 0.1282), 23: (0.448, 0.1346)}
    for time, (share, error) in printed.items():
        at = int(np.nonzero(curve.time == time)[0][0])
        assert curve.survival[at] == pytest.approx(share, abs=6e-4)
        assert curve.standard_error[at] == pytest.approx(error, abs=6e-5)
    assert curve.median == 23.0
    assert [int(n) for n in curve.at_risk[:3]] == [21, 17, 16]
    assert curve.at(15) == curve.at(13)
    assert np.isnan(curve.at(40))


def test_that_curve_and_band_agree_with_scipy():
    curve = kaplan_meier(TIMES, EVENTS)
    peer = ecdf(CensoredData(uncensored=[t for t, e in zip(TIMES, EVENTS) if e], right=[t for t, e in zip(TIMES, EVENTS) if not e])).sf
    with np.errstate(all="ignore"):
        band = peer.confidence_interval(method="log-log")
    assert [curve.at(t) for t in peer.quantiles] == pytest.approx(peer.probabilities.tolist())
    known = np.isfinite(band.low.probabilities) & (curve.survival < 1)
    assert known.sum() >= 7
    assert curve.low[known] == pytest.approx(band.low.probabilities[known])
    assert curve.high[known] == pytest.approx(band.high.probabilities[known])


def test_that_a_curve_that_ends_at_zero_or_never_falls_claims_no_band_there():
    down = kaplan_meier([1, 2, 3], [True, True, True])
    assert down.survival[-1] == 0.0
    assert np.isnan(down.low[-1])
    flat = kaplan_meier([5, 6], [False, False])
    assert (flat.survival.tolist(), flat.median, flat.to_dict()["low"]) == ([1.0, 1.0], None, [None, None])
    assert kaplan_meier([], []).to_dict()["n"] == 0
    with pytest.raises(MeasurementRefused):
        kaplan_meier([1.0, -1.0], [True, True])


START = day("2026-01-01")
SCANS = [day(d) for d in ("2026-02-01", "2026-04-01", "2026-07-01", "2026-10-01")]


def test_that_the_event_is_the_first_scan_that_shows_it():
    found = progression_free(START, [Assessment(SCANS[0]), Assessment(SCANS[2], progression=True), Assessment(SCANS[3], progression=True)])
    assert (found.event, found.date, found.reason, found.days) == (True, SCANS[2], "progression", 181)


def test_that_a_new_lesion_counts_from_its_first_detection():
    found = progression_free(START, [Assessment(SCANS[0]), Assessment(SCANS[1]), Assessment(SCANS[2], progression=True)], new_lesion=SCANS[1])
    assert (found.date, found.reason) == (SCANS[1], "new_lesion")


def test_that_death_is_an_event_and_comes_after_progression_on_the_same_day():
    assert progression_free(START, [Assessment(SCANS[0])], death=day("2026-03-03")).reason == "death"
    assert progression_free(START, [Assessment(SCANS[0], progression=True)], death=SCANS[0]).reason == "progression"


def test_that_without_an_event_the_last_evaluable_assessment_ends_it():
    found = progression_free(START, [Assessment(SCANS[0]), Assessment(SCANS[1]), Assessment(SCANS[2], evaluable=False)])
    assert (found.event, found.date, found.reason) == (False, SCANS[1], "no_event")


def test_that_without_any_assessment_it_ends_on_day_0():
    for scans in ([], [Assessment(SCANS[0], evaluable=False)], [Assessment(day("2025-12-20"))]):
        found = progression_free(START, scans)
        assert (found.event, found.date, found.days, found.reason) == (False, START, 0, "no_post_baseline")


def test_that_two_missed_visits_before_death_censor_it_in_the_sensitivity_table_only():
    scans = [Assessment(SCANS[0]), Assessment(SCANS[1], evaluable=False), Assessment(SCANS[2], evaluable=False)]
    main = progression_free(START, scans, death=day("2026-08-01"), planned=SCANS)
    assert (main.event, main.days, main.missed_visits) == (True, 212, 2)
    strict = progression_free(START, scans, death=day("2026-08-01"), planned=SCANS, max_missed=2)
    assert (strict.event, strict.date, strict.reason) == (False, SCANS[0], "missed_visits")
    one = progression_free(START, [*scans[:2], Assessment(SCANS[2])], death=day("2026-08-01"), planned=SCANS, max_missed=2)
    assert one.event


def test_that_other_therapy_before_progression_censors_at_the_last_look_before_it():
    found = progression_free(START, [Assessment(SCANS[0]), Assessment(SCANS[2], progression=True)], other_therapy=SCANS[1])
    assert (found.event, found.date, found.reason) == (False, SCANS[0], "other_therapy")
    later = progression_free(START, [Assessment(SCANS[0], progression=True)], other_therapy=SCANS[1])
    assert later.event


def test_that_overall_survival_ends_with_death_or_the_last_day_known_alive():
    assert overall(START, death=day("2026-03-01")).to_dict() == {"start": "2026-01-01", "date": "2026-03-01", "days": 59, "event": True, "reason": "death", "missed_visits": 0}
    assert (overall(START, last_known_alive=SCANS[1]).event, overall(START, last_known_alive=SCANS[1]).date) == (False, SCANS[1])
    assert overall(START).days == 0
    for wrong in (lambda: overall(START, death=day("2025-12-01")), lambda: progression_free(START, [], death=day("2025-12-01"))):
        with pytest.raises(MeasurementRefused) as refused:
            wrong()
        assert refused.value.code == "date_before_start"
