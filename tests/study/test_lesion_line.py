"""Lesions of the liver trials entered by the command line alone, and what the criteria make of them: each subject worked by hand."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from tests.study.test_command_line import Line


@pytest.fixture
def line(tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Line:
    return Line(tmp_path / "study", capsys, monkeypatch)


def begin(line: Line, protocol: str, visits: dict[str, str], nodes: tuple[str, ...]) -> None:
    line("study", "init", "--protocol", protocol)
    for visit, day in visits.items():
        line("study", "add-visit", "--subject", "M-1", "--visit", visit, "--date", day)
    for node in nodes:
        line("study", "add-node", "--subject", "M-1", "--node", node, "--side", "unknown", "--level", "unknown")


def read(line: Line, visit: str, node: str, *words: str, code: int = 0) -> dict:
    return line("study", "add-reading", "--subject", "M-1", "--visit", visit, "--node", node, "--reader", "r1", "--modality", "CT", *words, code=code)


def test_that_the_command_line_alone_gives_mrecist_and_local_control(line: Line) -> None:
    """Treated on 1 February 2026. Enhancing diameters H1 30 and H2 20 mm: 50. Month 1: 0 + 8 (-84 %, PR), Month 6: 0 + 0 (CR), Month 9: 0 + 12, PD.
    Controls: H1 complete from Month 1 on; H2 viable at Month 1 (residual), complete at Month 6, viable at Month 9 (progression)."""
    visits = {"Baseline": "2026-01-20", "Month 1": "2026-03-01", "Month 6": "2026-08-01", "Month 9": "2026-11-05"}
    begin(line, "mtt-liver", visits, ("H1", "H2"))
    line("study", "add-event", "--subject", "M-1", "--kind", "ENROLMENT", "--date", "2026-01-15")
    line("study", "add-event", "--subject", "M-1", "--kind", "CRYO_RF", "--date", "2026-02-01")
    for node, sizes in (("H1", (30, 0, 0, 0)), ("H2", (20, 8, 0, 12))):
        for visit, mm in zip(visits, sizes, strict=True):
            control = () if visit == "Baseline" else ("--ablation-control", "viable" if mm else "complete")
            saved = read(line, visit, node, "--long-axis-mm", "40", "--viable-diameter-mm", str(mm), "--lesion-organ", "liver", *control)
            assert saved["lesion"] == {"organ": "liver", "viable_diameter_mm": float(mm), **({"control": control[1]} if control else {})}
    line("study", "lock", "--name", "Dr Local")
    answer = line("study", "response")
    (course,) = [c for c in answer["responses"] if c["criteria"] == "MRECIST"]
    assert [(v["visit"], v["sumvdiam_mm"], v["overall"]) for v in course["visits"]] == [("Month 1", 8.0, "PR"), ("Month 6", 0.0, "CR"), ("Month 9", 12.0, "PD")]
    assert (course["best"], course["progression"]) == ("CR", "2026-11-05")
    tables = {t["endpoint"]: t for t in answer["endpoints"] if t["set"] == "protocol"}
    assert tables["orr_6m"]["responses"] == {"CR": 1}
    assert tables["pfs_12m"]["subjects"][0]["days"] == 277
    control = {n["node"]: n["value"] for n in tables["lcr_6m"]["nodes"]}
    assert control == {"H1": True, "H2": True}  # Month 6 alone: H2 comes back three months later
    courses = {c["tumour_id"]: (c["residual"], c["progression_date"]) for c in tables["lcr_6m"]["courses"]}
    assert courses == {"H1": (False, None), "H2": (True, "2026-11-05")}


def test_that_the_command_line_alone_gives_recist_of_split_new_and_non_target_lesions(line: Line) -> None:
    """Systemic therapy from 10 January 2026, no ablation. Targets A 40 and B 20 mm: 60. Scan 1: A in two parts of 12 and 14 = 26, B 10: 36 mm, -40 %, PR.
    Month 3: 26 + 10 and a new lesion: PD. C is too small for a target at 8 mm and is gone at the first scan."""
    visits = {"Baseline": "2026-01-05", "Response scan 1": "2026-03-10", "Month 3": "2026-06-10"}
    begin(line, "rfa-crlm", visits, ("A", "B", "C", "D"))
    line("study", "add-event", "--subject", "M-1", "--kind", "ALLOCATION", "--date", "2026-01-06", "--detail", "arm=control")
    for day in ("2026-01-10", "2026-01-31"):
        line("study", "add-event", "--subject", "M-1", "--kind", "SYSTEMIC", "--date", day)
    liver = ("--lesion-organ", "liver", "--lesion-nodal", "no")
    for node, mm in (("A", "40"), ("B", "20"), ("C", "8")):
        read(line, "Baseline", node, "--long-axis-mm", mm, *liver)
    for visit in ("Response scan 1", "Month 3"):
        read(line, visit, "A", "--volume-ml", "2", "--parts-mm", "12", "14")
        read(line, visit, "B", "--long-axis-mm", "10", "--short-axis-mm", "8")
        read(line, visit, "C", "--status", "disappeared_assessed", "--lesion-state", "gone")
    read(line, "Month 3", "D", "--long-axis-mm", "15", "--lesion-role", "new", "--new-lesion", "suspected")
    line("study", "lock", "--name", "Dr Local")

    def course() -> dict:
        return next(c for c in line("study", "response")["responses"] if c["criteria"] == "RECIST_1_1")

    seen = [(v["sumdiam_mm"], v["target"], v["non_target"], v["overall"]) for v in course()["visits"]]
    assert seen == [(36.0, "PR", "CR", "PR"), (36.0, "PR", "CR", "PR")]  # suspected only
    read(line, "Month 3", "D", "--long-axis-mm", "15", "--lesion-role", "new", "--new-lesion", "certain", "--reason", "confirmed by MR")
    line("study", "lock", "--name", "Dr Local")
    assert (course()["visits"][1]["overall"], course()["new_lesion"]) == ("PD", "2026-06-10")


def test_that_nothing_is_written_where_a_statement_or_an_axis_is_refused(line: Line) -> None:
    line("study", "init", "--protocol", "mtt-liver")
    for words, code in (
        (("--long-axis-mm", "30", "--ablation-control", "complete", "--viable-diameter-mm", "4"), "lesion_contradiction"),
        (("--long-axis-mm", "30", "--parts-mm", "12"), "lesion_value_refused"),
        (("--long-axis-mm", "20", "--short-axis-mm", "21"), "value_refused"),
        (("--long-axis-mm", "0"), "value_refused"),
        (("--status", "disappeared_assessed", "--long-axis-mm", "4"), "value_refused"),
        ((), "volume_missing"),
    ):
        assert read(line, "Baseline", "H1", *words, code=3)["error"]["code"] == code
    assert line("study", "status")["subjects"] == []


def test_that_a_statement_left_out_of_a_changed_reading_is_told_and_a_doubt_stays_with_it(line: Line) -> None:
    begin(line, "mtt-liver", {"Baseline": "2026-01-20"}, ("H1",))
    saved = read(line, "Baseline", "H1", "--long-axis-mm", "30", "--viable-diameter-mm", "32", "--lesion-organ", "liver")
    assert [w["code"] for w in saved["warnings"]] == ["viable_above_axis", "lesion_not_stated"]
    again = read(line, "Baseline", "H1", "--long-axis-mm", "33", "--viable-diameter-mm", "32", "--reason", "measured again")
    assert again["lesion"] == {"viable_diameter_mm": 32.0}
    assert [w["code"] for w in again["warnings"]] == ["lesion_not_stated", "statement_dropped"]
    assert "organ" in again["warnings"][1]["message"]


def test_that_what_the_protocol_asks_for_and_a_reading_does_not_state_is_told_until_it_is_stated(line: Line) -> None:
    begin(line, "mtt-liver", {"Baseline": "2026-01-20", "Month 1": "2026-03-01"}, ("H1",))

    def missing(visit: str, *words: str) -> str:
        found = [w["message"] for w in read(line, visit, "H1", "--long-axis-mm", "30", "--reason", "more is stated", *words)["warnings"] if w["code"] == "lesion_not_stated"]
        assert len(found) <= 1
        return found[0].partition(": ")[2] if found else ""

    assert missing("Baseline") == "what the lesion counts as, the organ, lymph node or not, the enhancing diameter."
    stated = ("--lesion-role", "target", "--lesion-organ", "liver", "--lesion-nodal", "no")
    assert missing("Baseline", *stated) == "the enhancing diameter."
    assert missing("Baseline", *stated, "--viable-diameter-mm", "20") == ""
    assert missing("Month 1") == "the enhancing diameter, the ablated lesion at its control."
    assert missing("Month 1", "--enhancement-grade", "0") == ""  # the criteria take both from the grade
    assert missing("Month 1", "--lesion-role", "new") == "new lesion certain or suspected, the enhancing diameter."
    assert missing("Month 1", "--lesion-role", "non_target") == "how the non-target lesion is, the ablated lesion at its control."
    unseen = read(line, "Month 1", "H1", "--status", "not_evaluable", "--reason", "breathing")
    assert "lesion_not_stated" not in {w["code"] for w in unseen["warnings"]}


def test_that_a_visit_is_added_with_its_date_and_changed_for_a_reason_only(line: Line) -> None:
    line("study", "init")
    assert line("study", "add-visit", "--subject", "S-1", "--visit", "Baseline")["actual_date"] is None
    assert line.refused("study", "add-visit", "--subject", "S-2", "--visit", "Baseline", "--date", "05.01.2026") == "date_refused"
    assert line("study", "set-visit", "--subject", "S-1", "--visit", "Baseline", "--date", "2026-01-05", "--reason", "from the report")["actual_date"] == "2026-01-05"
    assert [s["subject"] for s in line("study", "status")["subjects"]] == ["S-1"]
    (event,) = [e for e in line("audit", "list")["events"] if e["action"] == "visit_changed" and e["field"] == "actual_date"]
    assert event["reason"] == "from the report"


def test_that_the_zone_of_day_0_is_entered_with_the_ablation_and_gives_a_second_rate(line: Line, tmp_path: Path) -> None:
    """N1 2 ml, zone 5 ml, Month 3 1 ml: 50 % of the node, 80 % of the zone. N2 has no zone; the zone is mended by a new event."""
    line("study", "init")
    for visit, day, volume in (("Baseline", "2026-02-20", "2"), ("Month 3", "2026-06-01", "1")):
        line("study", "add-visit", "--subject", "S-1", "--visit", visit, "--date", day)
        for node in ("N1", "N2"):
            line("study", "add-reading", "--subject", "S-1", "--visit", visit, "--node", node, "--reader", "r1", "--modality", "CT", "--volume-ml", volume)
    event = ("study", "add-event", "--subject", "S-1", "--date", "2026-03-01", "--kind")
    for words in (("LAB", "--zone-ml", "N1=5"), ("IRE", "--zone-ml", "N1=0"), ("IRE", "--zone-ml", "N1=5", "--zone-ml", "N1=6"), ("IRE", "--node", "N2", "--zone-ml", "N1=5"), ("IRE", "--zone-source", "CEUS"), ("IRE", "--detail", "zones_ml=5")):
        assert line.refused(*event, *words) == ("detail_refused" if words[0] == "LAB" else "zone_refused")
    assert line.refused(*event, "IRE", "--zone-ml", "N9=5") == "node_missing"
    made = line(*event, "IRE", "--zone-ml", "N1=50", "--zone-source", "CEUS 10 min after")
    assert made["detail"]["zone_source"] == "CEUS 10 min after"
    line(*event, "IRE", "--zone-ml", "N1=5", "--detail", f"replaces={made['event_id']}")
    rates = {n["node"]: (n["vrr_pct"], n["zone_volume_ml"], n["vrr_zone_pct"]) for n in line("study", "response")["nodes"]}
    assert rates == {"N1": (50.0, 5.0, 80.0), "N2": (50.0, None, None)}
    line("study", "lock", "--name", "Dr Local")
    line("export", "--format", "csv", "--out", str(tmp_path / "out"))
    rows = list(csv.DictReader((tmp_path / "out" / "vrr.csv").open(encoding="utf-8-sig")))
    assert {r["node"]: (r["zone_volume_ml"], r["vrr_zone_pct"]) for r in rows} == {"N1": ("5.0", "80.0"), "N2": ("", "")}
