"""RECIST, mRECIST and local control of whole subjects, each worked by hand for the trial it belongs to."""

from __future__ import annotations

import pytest

from app.study.criteria import cases_of, mrecist_of, recist_of
from app.study.endpoint_criteria import response_courses
from app.study.endpoint_tables import protocol_tables
from app.study.followup import respond
from app.study.model import ReadingStatus
from app.study.reader_answers import reader_responses
from tests.study.snapshots import Trial


def tables(trial: Trial) -> dict:
    """Endpoint -> table of a trial with one reader."""
    snapshot = trial.snapshot()
    return {t["endpoint"]: t for t in protocol_tables(snapshot, respond(snapshot))}


def lesion(**stated) -> dict:
    """What a reader states of a lesion."""
    return {"measurement": {"lesion": stated}}


# -- latc-neoadjuvant: RECIST 1.1 -----------------------------------------------------------------


@pytest.fixture
def latc() -> Trial:
    """Therapy from 10 January, surgery on 20 June 2026. T1 thyroid tumour, N1 node of 16 mm (target), N2 node of 12 mm (non-target).

    Sums: baseline 50 + 16 = 66 mm; 10 March 30 + 12 = 42 mm (-36.4 %, PR); 15 June 28 + 9 = 37 mm (-43.9 %, PR, 97 days later: confirmed);
    20 December, six months after surgery, 45 mm with N1 at 9 mm: 54 mm, 17 mm and 46 % above the nadir of 37 mm: PD.
    """
    trial = Trial("latc-neoadjuvant")
    visits = {"Baseline": "2026-01-05", "Restaging 1": "2026-03-10", "Preoperative": "2026-06-15", "Month 6 after surgery": "2026-12-20"}
    trial.subject("L-1", visits, {"T1": {"level": "unknown"}, "N1": {}, "N2": {}})
    trial.event("L-1", "ALLOCATION", "2026-01-06", arm="neoadjuvant")
    trial.event("L-1", "SYSTEMIC", "2026-01-10")
    trial.event("L-1", "SURGERY", "2026-06-20")
    for visit, tumour, node in zip(visits, (50.0, 30.0, 28.0, 45.0), (16.0, 12.0, 9.0, 9.0)):
        trial.read("L-1", visit, "T1", tumour**3 / 2000, long_axis_mm=tumour, short_axis_mm=tumour - 5, **lesion(organ="thyroid", nodal=False))
        trial.read("L-1", visit, "N1", node**3 / 2000, long_axis_mm=node + 6, short_axis_mm=node)
        trial.read("L-1", visit, "N2", 0.5, long_axis_mm=15.0, short_axis_mm=12.0)
    return trial


def test_that_the_recist_subject_worked_by_hand_comes_out(latc: Trial) -> None:
    (course,) = response_courses(latc.snapshot())
    assert course.targets == ("N1", "T1")
    assert [(v["visit"], v["sumdiam_mm"], v["target"], v["non_target"], v["overall"]) for v in course.visits] == [
        ("Restaging 1", 42.0, "PR", "NON-CR/NON-PD", "PR"), ("Preoperative", 37.0, "PR", "NON-CR/NON-PD", "PR"), ("Month 6 after surgery", 54.0, "PD", "NON-CR/NON-PD", "PD"),
    ]  # fmt: skip
    assert [round(v["pcbsd_pct"], 1) for v in course.visits] == [-36.4, -43.9, -18.2]
    assert (course.best, course.best_confirmed, course.best_date, course.progression) == ("PR", "PR", "2026-03-10", "2026-12-20")


def test_that_the_tables_of_the_recist_trial_come_out(latc: Trial) -> None:
    # Response before surgery: 15 June lies 5 days before it. PFS: 10 January to 20 December 2026, 344 days.
    # Volumes by the same subject: T1 50 to 28 mm cubed, 1 - 0.56^3 = 82.4 %.
    found = tables(latc)
    orr = found["orr_neoadjuvant"]
    assert (orr["n_measurable"], orr["n"], orr["responses"], orr["rates"]["subject_of_measurable"]["pct"]) == (1, 1, {"PR": 1}, 100.0)
    assert orr["rates"]["best_response_confirmed"]["numerator"] == 1
    (row,) = found["pfs"]["subjects"]
    assert (row["days"], row["event"], row["reason"]) == (344, True, "progression")
    rates = {o["node"]: o["value_pct"] for o in found["volume_change_preoperative"]["nodes"]}
    assert rates["T1"] == pytest.approx(100 * (1 - 0.56**3))
    said = reader_responses(latc.snapshot())
    assert (said["L-1", "L-1/Preoperative", "r1"], said["L-1", "L-1/Month 6 after surgery", "r1"]) == (("PR", None), ("PD", "2026-12-20"))


def test_that_a_new_lesion_is_progression_at_its_first_scan_unless_only_suspected(latc: Trial) -> None:
    trial = latc
    trial.nodes.append(type(trial.nodes[0])("L-1/X", "L-1", "X", trial.nodes[0].side, "IV"))
    trial.read("L-1", "Preoperative", "X", 0.4, long_axis_mm=14.0, short_axis_mm=11.0, **lesion(new_lesion_certain=False))
    assert response_courses(trial.snapshot())[0].progression == "2026-12-20"
    trial.readings[-1].measurement["lesion"].clear()
    (course,) = response_courses(trial.snapshot())
    assert (course.progression, course.new_lesion) == ("2026-06-15", "2026-06-15")
    assert tables(trial)["pfs"]["subjects"][0]["reason"] == "new_lesion"


def test_that_ultrasound_has_no_part_in_recist_and_a_missing_target_is_not_evaluable() -> None:
    trial = Trial("latc-neoadjuvant")
    trial.subject("L-1", {"Baseline": "2026-01-05", "Restaging 1": "2026-03-10"}, {"T1": {"level": "unknown"}, "N1": {}})
    trial.event("L-1", "SYSTEMIC", "2026-01-10")
    trial.read("L-1", "Baseline", "T1", 3.0, long_axis_mm=20.0)
    trial.read("L-1", "Baseline", "N1", 3.0, modality="US", method="ellipsoid", long_axis_mm=30.0, short_axis_mm=20.0)
    trial.read("L-1", "Restaging 1", "T1", status=ReadingStatus.NOT_EVALUABLE)
    (case,) = cases_of(trial.snapshot())
    course = recist_of(case, trial.protocol)
    assert (course.targets, [v["overall"] for v in course.visits]) == (("T1",), ["NE"])


def test_that_an_ablated_target_is_not_evaluable_unless_it_progressed() -> None:
    trial = Trial("rfa-crlm")
    trial.subject("R-1", {"Baseline": "2026-01-05", "Response scan 1": "2026-03-10", "Month 1": "2026-05-10", "Month 3": "2026-07-10"}, {"A": {"level": "unknown"}})
    trial.event("R-1", "SYSTEMIC", "2026-01-10")
    trial.event("R-1", "RFA", "2026-04-10", "A")
    for visit, mm, stated in (("Baseline", 30.0, {}), ("Response scan 1", 20.0, {}), ("Month 1", 45.0, {}), ("Month 3", 40.0, {"progressed": True})):
        trial.read("R-1", visit, "A", mm, long_axis_mm=mm, **lesion(organ="liver", **stated))
    (course,) = response_courses(trial.snapshot())
    assert [v["overall"] for v in course.visits] == ["PR", "NE", "PD"]


# -- mtt-liver: mRECIST ---------------------------------------------------------------------------


@pytest.fixture
def mtt() -> Trial:
    """Treated on 1 February 2026. Enhancing diameters H1 30 and H2 20 mm: 50. Month 1 0 + 8 (-84 %, PR); Month 6 0 + 0 (CR);
    Month 9 0 + 12: enhancement after none, PD on 5 November, 277 days."""
    trial = Trial("mtt-liver")
    visits = {"Baseline": "2026-01-20", "Month 1": "2026-03-01", "Month 6": "2026-08-01", "Month 9": "2026-11-05"}
    trial.subject("M-1", visits, {"H1": {"level": "unknown"}, "H2": {"level": "unknown"}})
    trial.event("M-1", "ENROLMENT", "2026-01-15")
    trial.event("M-1", "CRYO_RF", "2026-02-01")
    for visit, one, two in zip(visits, (30.0, 0.0, 0.0, 0.0), (20.0, 8.0, 0.0, 12.0)):
        trial.read("M-1", visit, "H1", 20.0, long_axis_mm=40.0, **lesion(organ="liver", viable_diameter_mm=one))
        trial.read("M-1", visit, "H2", 10.0, long_axis_mm=30.0, **lesion(organ="liver", viable_diameter_mm=two))
    return trial


def test_that_the_mrecist_subject_worked_by_hand_comes_out(mtt: Trial) -> None:
    (course,) = response_courses(mtt.snapshot())
    assert [(v["visit"], v["sumvdiam_mm"], v["overall"]) for v in course.visits] == [("Month 1", 8.0, "PR"), ("Month 6", 0.0, "CR"), ("Month 9", 12.0, "PD")]
    assert course.visits[0]["from_baseline_pct"] == pytest.approx(-84.0)
    assert (course.best, course.best_date, course.progression) == ("CR", "2026-08-01", "2026-11-05")
    found = tables(mtt)
    assert found["orr_6m"]["responses"] == {"CR": 1}
    (row,) = found["pfs_12m"]["subjects"]
    assert (row["days"], row["event"]) == (277, True)
    # From enrolment, 15 January 2026, to the last scan: 294 days alive.
    assert found["os_36m"]["subjects"][0]["days"] == 294


def test_that_a_lesion_without_a_stated_enhancing_diameter_is_not_judged() -> None:
    trial = Trial("mtt-liver")
    trial.subject("M-1", {"Baseline": "2026-01-20", "Month 1": "2026-03-01"}, {"H1": {"level": "unknown"}})
    trial.event("M-1", "CRYO_RF", "2026-02-01")
    trial.read("M-1", "Baseline", "H1", 20.0, long_axis_mm=40.0)
    trial.read("M-1", "Month 1", "H1", 30.0, long_axis_mm=50.0)
    (case,) = cases_of(trial.snapshot())
    course = mrecist_of(case, trial.protocol)
    assert (course.missing, [f.code for f in course.findings]) == ("no_target_at_baseline", ["viable_not_stated"])
    assert tables(trial)["orr_6m"]["not_measurable"] == [{"subject": "M-1", "reason": "no_target_at_baseline"}]


# -- rfa-crlm: local control ----------------------------------------------------------------------


@pytest.fixture
def rfa() -> Trial:
    """A and B ablated on 1 May 2026. A: complete on 1 June 2026 and 3 May 2027. B: residual on 1 June, ablated again on 20 June, complete on 20 July,
    viable on 15 June 2027: local progression. A third tumour C, ablated on 1 May too, has no control."""
    trial = Trial("rfa-crlm")
    visits = {"Baseline": "2026-01-05", "Month 1": "2026-06-01", "Control": "2026-07-20", "Month 12": "2027-05-03", "Extra": "2027-06-15"}
    trial.subject("R-1", visits, {label: {"level": "unknown"} for label in "ABC"})
    trial.event("R-1", "SYSTEMIC", "2026-01-10")
    for label in "ABC":
        trial.event("R-1", "RFA", "2026-05-01", label)
        trial.read("R-1", "Baseline", label, 4.0, long_axis_mm=20.0)
    trial.event("R-1", "RFA", "2026-06-20", "B")
    trial.read("R-1", "Month 1", "A", 12.0, **lesion(control="complete"))
    trial.read("R-1", "Month 12", "A", 6.0, enhancement_grade="1")
    trial.read("R-1", "Month 1", "B", 10.0, enhancement_grade="2")
    trial.read("R-1", "Control", "B", 12.0, enhancement_grade="0")
    trial.read("R-1", "Extra", "B", 9.0, **lesion(control="viable"))
    return trial


def test_that_the_local_control_subject_worked_by_hand_comes_out(rfa: Trial) -> None:
    found = tables(rfa)
    # One month: A primary success, B residual (secondary success), C without a control.
    once = found["technique_efficacy_1m"]
    assert [(r["node"], r["value"], r["secondary"], r["missing"]) for r in once["nodes"]] == [("A", True, True, None), ("B", False, True, None), ("C", None, None, "no_control")]
    assert (once["rates"]["node_of_treated"]["numerator"], once["rates"]["node_of_treated"]["denominator"], once["missing"]) == (1, 3, {"no_control": 1})
    # Twelve months on each tumour's own clock: A 1 May 2027 (2 days late), B 20 June 2027 (5 days early): progression.
    year = found["local_control_12m"]
    assert [(r["node"], r["value"], r["target"]) for r in year["nodes"]] == [("A", True, "2027-05-01"), ("B", False, "2027-06-20"), ("C", None, "2027-05-01")]
    assert year["nodes"][1]["progression_date"] == "2027-06-15"
    assert {k: (r["numerator"], r["denominator"]) for k, r in year["rates"].items()} == {
        "node_of_treated": (1, 3), "node_of_assessed": (1, 2), "subject_of_treated": (0, 1), "subject_of_assessed": (0, 1),
    }  # fmt: skip
    to_date = year["to_date"]["by_tumour"]
    assert {k: (r["numerator"], r["denominator"]) for k, r in to_date.items()} == {
        "residual": (1, 2), "primary_efficacy": (1, 2), "local_progression": (1, 2), "secondary_efficacy": (1, 2),
    }  # fmt: skip
    assert year["to_date"]["by_session"]["primary_efficacy"]["denominator"] == 1


# -- pain -----------------------------------------------------------------------------------------


def test_that_pain_is_tabled_without_filling_in() -> None:
    # NRS 2, 5, 4, 3, 1, 0 at 0, 4, 8, 24, 48, 72 h: area 148, sustained (5, 4). The second subject misses 24 h.
    trial = Trial()
    for name, scores in (("S-1", (2, 5, 4, 3, 1, 0)), ("S-2", (2, 3, 3, None, 1, 0))):
        trial.subject(name, {"Baseline": "2026-02-20"})
        trial.event(name, "IRE", "2026-03-01")
        for hours, score in zip((0, 4, 8, 24, 48, 72), scores):
            if score is not None:
                trial.event(name, "NRS", "2026-03-01", hours=hours, score=score)
    found = tables(trial)
    assert (found["nrs_auc"]["n"], found["nrs_auc"]["mean"], found["nrs_auc"]["missing"]) == (1, 148.0, {"score_missing": 1})
    rates = found["nrs_sustained"]["rates"]
    assert (rates["subject_of_treated"]["numerator"], rates["subject_of_treated"]["denominator"]) == (1, 2)
