"""The four trials as files: what they say, and every mistake of a broken one told by place, code and sentence."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest

from app.cli import main
from app.study.model import EVENT_KINDS
from app.study.protocol import SCHEMA, available, check_file, check_protocol, load_protocol, protocol_from
from app.study.protocol_check import find_faults
from volumetry.errors import NodusError

TRIALS = ("ire-cervical-ln", "latc-neoadjuvant", "mtt-liver", "rfa-crlm")


def test_that_the_four_trials_ship_and_have_no_fault() -> None:
    assert set(TRIALS) <= set(available())
    for name in available():
        content, found = check_file(name)
        assert [f for f in found if f.severity == "error"] == []
        assert content["schema"] == SCHEMA
        assert load_protocol(name).protocol_id == name


@pytest.mark.parametrize("name", TRIALS)
def test_that_what_is_open_has_a_default_and_asks_the_sponsor(name: str) -> None:
    protocol = load_protocol(name)
    assert len(protocol.open_items) >= 5
    assert all("sponsor" in item["note"] or "charter" in item["note"] for item in protocol.open_items)


@pytest.mark.parametrize("name", TRIALS)
def test_that_open_items_name_fields_that_are_there(name: str) -> None:
    content = load_protocol(name).content
    missing = []
    for item in content["open"]:
        at = content
        for part in item["field"].replace("]", "").replace("[", ".").split("."):
            if ":" in part:
                first, _, last = part.partition(":")
                assert 0 <= int(first) < (int(last) if last else len(at)) <= len(at)
                at = at[int(first)]
            elif isinstance(at, list):
                at = at[int(part)]
            elif part not in at:
                missing.append(item["field"])
                break
            else:
                at = at[part]
    assert missing == (["salvage.control_visit"] if name == "ire-cervical-ln" else [])  # what the trial does not plan has no key


def test_that_nothing_about_a_trial_stands_in_the_code() -> None:
    root = Path(__file__).resolve().parents[2]
    words = [name for trial in TRIALS for name in (trial, load_protocol(trial).content["registry"]) if name]
    code = [p for p in (root / "app").rglob("*.py") if p.relative_to(root).as_posix() not in ("app/cli/study.py", "app/study/store.py", "app/study/protocol.py")]
    found = {(p.name, w) for p in code for w in words if w in p.read_text("utf-8")}
    assert {f for f in found if f[1] != "ire-cervical-ln"} == set()


def test_that_the_neck_trial_says_what_its_document_says() -> None:
    terms = load_protocol("ire-cervical-ln").terms
    assert (terms["participants"], terms["treatment"]) == (85, "IRE")
    assert terms["endpoints"][0]["rank"] == "primary"
    first = terms["endpoints"][0]
    assert (first["population"], first["clock"], first["visit"], first["window_days"]) == ("nodes_never_salvaged", {"of": "node", "anchor": "first"}, "Month 12", [-28, 28])
    assert terms["endpoints"][1]["clock"] == {"of": "node", "anchor": "last"}
    assert (first["units"], first["primary_unit"]) == (["node", "subject_sum", "subject_mean"], None)
    triggers = terms["adjudication"]["triggers"]
    assert (triggers["vrr_difference_points"], triggers["volume_relative_difference_pct"], triggers["volume_difference_ml"]) == (15, 30, 0.05)
    assert terms["pain"]["hours"] == [0, 4, 8, 24, 48, 72]
    assert terms["limits"]["creatinine_clearance_from_ml_per_min"] == 50


def test_that_the_liver_and_thyroid_trials_say_what_their_documents_say() -> None:
    mtt, crlm, latc = (load_protocol(n).terms for n in ("mtt-liver", "rfa-crlm", "latc-neoadjuvant"))
    assert (mtt["participants"], mtt["limits"]["lesions_max"], mtt["limits"]["long_axis_at_most_mm"]) == (120, 5, 50)
    assert mtt["limits"]["liver_fraction_below"] == 1 / 3
    assert [(e["kind"], e["visit"]) for e in mtt["endpoints"]] == [("PFS", "Month 12"), ("ORR", "Month 6"), ("LOCAL_CONTROL", "Month 6"), ("OS", "Month 36 contact")]
    assert mtt["endpoints"][3]["clock"]["anchor"] == "enrolment"
    assert "arm" in mtt["reading"]["hide"]
    assert (crlm["ablation"]["rounds_max"], crlm["ablation"]["lesions_per_round"], crlm["ablation"]["days_from_systemic_from"]) == (3, [2, 6], 7)
    assert (crlm["limits"]["lesions_min"], crlm["limits"]["long_axis_below_mm"]) == (2, 50)
    imaging = {v["name"]: v["imaging"] for v in crlm["visits"]}
    assert [["CT", "MR"] in imaging[f"Month {m}"] for m in (24, 27, 30, 33, 36)] == [True, False, True, False, True]
    assert (latc["treatment"], latc["ablation"], latc["response"][0]["criteria"]) == ("NONE", None, "RECIST_1_1")


def put(path: str, value) -> object:
    """A change: set the value at a dotted path."""

    def change(content: dict) -> None:
        at, *rest = path.split(".")
        target: object = content
        keys = [at, *rest]
        for key in keys[:-1]:
            target = target[int(key)] if isinstance(target, list) else target[key]
        if isinstance(target, list):
            target[int(keys[-1])] = value
        else:
            target[keys[-1]] = value

    return change


def drop(path: str) -> object:
    """A change: remove what is at a dotted path."""

    def change(content: dict) -> None:
        target: object = content
        keys = path.split(".")
        for key in keys[:-1]:
            target = target[int(key)] if isinstance(target, list) else target[key]
        del target[int(keys[-1]) if isinstance(target, list) else keys[-1]]

    return change


BROKEN = [
    (put("schema", "nodus.protocol/9"), "protocol_schema", "schema"),
    (put("colour", "red"), "protocol_unknown_key", "colour"),
    (put("visits.3.windows", [1, 2]), "protocol_unknown_key", "visits[3].windows"),
    (put("limits.long_axis_under_mm", 30), "protocol_unknown_key", "limits.long_axis_under_mm"),
    (put("reading.reader", 2), "protocol_unknown_key", "reading.reader"),
    (put("endpoints.0.unit", "node"), "protocol_unknown_key", "endpoints[0].unit"),
    (put("adjudication.triggers.vrr", 15), "protocol_unknown_key", "adjudication.triggers.vrr"),
    (drop("endpoints"), "protocol_key_missing", "endpoints"),
    (drop("treatment"), "protocol_key_missing", "treatment"),
    (drop("reading.order"), "protocol_key_missing", "reading.order"),
    (drop("endpoints.0.clock"), "protocol_key_missing", "endpoints[0].clock"),
    (drop("endpoints.5.events"), "protocol_key_missing", "endpoints[5].events"),
    (put("ablation", None), "protocol_key_missing", "ablation"),
    (put("pain", None), "protocol_key_missing", "pain"),
    (put("treatment", "MICROWAVE"), "protocol_value", "treatment"),
    (put("id", "two words"), "protocol_value", "id"),
    (put("version", 2), "protocol_value", "version"),
    (put("participants", "85"), "protocol_value", ".participants"),
    (put("month_arithmetic", "30 days"), "protocol_value", "month_arithmetic"),
    (put("ends_follow_up", ["HOLIDAY"]), "protocol_value", "ends_follow_up"),
    (put("anchors.last.which", "middle"), "protocol_value", "anchors.last.which"),
    (put("anchors.last.kinds", []), "protocol_value", "anchors.last.kinds"),
    (put("anchors.last.kinds", [["IRE"]]), "protocol_value", "anchors.last.kinds"),
    (put("anchors.last", 5), "protocol_value", "anchors.last"),
    (put("anchors", {}), "protocol_value", "anchors"),
    (put("reading.order", "as it comes"), "protocol_value", "reading.order"),
    (put("reading.hide", ["colour"]), "protocol_value", "reading.hide"),
    (put("reading.baseline.rule", "best"), "protocol_value", "reading.baseline.rule"),
    (put("reading.compare_visits", "yes"), "protocol_value", "reading.compare_visits"),
    (put("salvage.counted_from", "day_30_scan"), "protocol_value", "salvage.counted_from"),
    (put("adjudication.method", "mean"), "protocol_value", "adjudication.method"),
    (put("adjudication.without_trigger", "mean"), "protocol_value", "adjudication.without_trigger"),
    (put("adjudication.triggers.vrr_class_bounds_pct", [50, 20]), "protocol_value", "adjudication.triggers.vrr_class_bounds_pct"),
    (put("endpoints.0.population", "everybody"), "protocol_value", "endpoints[0].population"),
    (put("endpoints.0.primary_unit", "lobe"), "protocol_value", "endpoints[0].primary_unit"),
    (put("endpoints.0.criteria", "MRECIST"), "protocol_value", "endpoints[0].criteria"),
    (put("endpoints.0.salvaged.handling", "kept"), "protocol_value", "endpoints[0].salvaged.handling"),
    (put("endpoints", {"vrr": 1}), "protocol_value", "endpoints"),
    (put("response.0.criteria", "WHO"), "protocol_value", "response[0].criteria"),
    (put("pain.hours", [0, 8, 4]), "protocol_value", "pain.hours"),
    (put("edc.mapping", "../secret"), "protocol_value", "edc.mapping"),
    (put("limits.opinions", [{"name": "x"}]), "protocol_value", "limits.opinions"),
    (put("open.0", "windows"), "protocol_value", "open[0]"),
    (put("open.0.note", ""), "protocol_value", "open[0].note"),
    (put("visits", {}), "protocol_visit_missing", "visits"),
    (put("salvage.after_visit", "Day 31"), "protocol_visit_missing", "salvage.after_visit"),
    (put("anchors.last", {"visit": "Day 31"}), "protocol_visit_missing", "anchors.last.visit"),
    (lambda p: [v.update(phase="post") for v in p["visits"]], "protocol_visit_missing", "visits"),
    (put("visits.4.name", "Month 3"), "protocol_duplicate", "visits"),
    (put("endpoints.1.name", "vrr_12m_single_ire"), "protocol_duplicate", "endpoints"),
    (put("response.1.primary", True), "protocol_duplicate", "response"),
    (put("reading.modalities", ["CT", "CT"]), "protocol_duplicate", "reading.modalities"),
    (put("visits.3.window_days", [-14, 80]), "protocol_windows_overlap", "visits"),
    (put("visits.2.window_days", [-7, 47]), "protocol_windows_overlap", "visits"),  # Day 30 and Month 3: two anchors, one event
    (put("visits.5.window_days", [-75, 14]), "protocol_windows_overlap", "visits"),  # only where the months between are short
    (put("visits.4.anchor", "enrolment"), "protocol_anchor_unknown", "visits[4].anchor"),
    (put("endpoints.0.clock.anchor", "surgery"), "protocol_anchor_unknown", "endpoints[0].clock.anchor"),
    (put("reading.baseline.before", "surgery"), "protocol_anchor_unknown", "reading.baseline.before"),
    (put("pain.anchor", "surgery"), "protocol_anchor_unknown", "pain.anchor"),
    (put("visits.4.months", 2), "protocol_month_order", "visits"),
    (put("reading.modalities", ["CT", "XR"]), "protocol_modality_unknown", "reading.modalities"),
    (put("visits.3.imaging", [["XR"]]), "protocol_modality_unknown", "visits[3].imaging[0]"),
    (put("response.0.modalities", []), "protocol_modality_unknown", "response[0].modalities"),
    (put("reading.methods", ["guess"]), "protocol_method_unknown", "reading.methods"),
    (put("endpoints.0.visit", "Year 1"), "protocol_endpoint_visit", "endpoints[0].visit"),
    (put("endpoints.0.visit", None), "protocol_endpoint_visit", "endpoints[0].visit"),
    (put("limits.nodes_per_side", 0), "protocol_limit_impossible", "limits.nodes_per_side"),
    (put("limits.long_axis_below_mm", 0), "protocol_limit_impossible", "limits.long_axis_below_mm"),
    (put("limits.liver_fraction_below", 33), "protocol_limit_impossible", "limits.liver_fraction_below"),
    (lambda p: p["limits"].update(lesions_min=6, lesions_max=5), "protocol_limit_impossible", "limits.lesions_min"),
    (put("limits.metal.hu_from", 40), "protocol_limit_impossible", "limits.metal.hu_from"),
    (put("ablation.lesions_per_round", [6, 2]), "protocol_limit_impossible", "ablation.lesions_per_round"),
    (put("ablation.rounds_max", 0), "protocol_limit_impossible", "ablation.rounds_max"),
    (put("salvage.within_days", -14), "protocol_limit_impossible", "salvage.within_days"),
    (put("reading.readers", 0), "protocol_limit_impossible", "reading.readers"),
    (put("pain.sustained_from", 11), "protocol_limit_impossible", "pain.sustained_from"),
    (put("pain.sustained_consecutive", 7), "protocol_limit_impossible", "pain.sustained_consecutive"),
    (put("visits.10.months", 2400), "protocol_limit_impossible", "visits[10].day"),
    (put("visits.3.window_days", [-14, 10**30]), "protocol_limit_impossible", "visits[3].window_days"),
    (put("salvage.within_days", 10**30), "protocol_limit_impossible", "salvage.within_days"),
    (put("reading.baseline", None), "protocol_value", "reading.baseline"),
    (put("signature", {"meanings": {"read": ""}}), "protocol_value", "signature.meanings"),
    (put("limits.long_axis_below_mm", float("inf")), "protocol_value", "limits.long_axis_below_mm"),
    (lambda p: (p["reading"].update(readers=1), p["adjudication"].update(without_trigger="reader_2")), "protocol_limit_impossible", "adjudication.without_trigger"),
    (drop("open.0.default"), "protocol_open_without_default", "open[0].default"),
    (put("open.0.field", "windows"), "protocol_open_field", "open[0].field"),
]


@pytest.mark.parametrize(("change", "code", "path"), BROKEN, ids=[f"{n}-{code}-{path}" for n, (_, code, path) in enumerate(BROKEN)])
def test_that_every_mistake_is_told_by_place_code_and_sentence(change, code: str, path: str) -> None:
    content = copy.deepcopy(load_protocol("ire-cervical-ln").content)
    change(content)
    found = {(f.code, f.path.lstrip(".")): f for f in find_faults(content) if f.severity == "error"}
    assert (code, path.lstrip(".")) in found, sorted(found)
    assert len(found[code, path.lstrip(".")].message) > 12
    with pytest.raises(NodusError) as caught:
        protocol_from(content)
    assert caught.value.code == "protocol_refused"


def test_that_arms_must_be_declared_before_they_are_named() -> None:
    content = copy.deepcopy(load_protocol("rfa-crlm").content)
    content["visits"][2]["arms"] = ["placebo"]
    content["anchors"]["last"]["by_arm"]["placebo"] = {"visit": "No such visit"}
    content["anchors"]["induction"]["count_to"] = 1
    paths = [f.path for f in find_faults(content) if f.severity == "error"]
    assert paths == ["anchors.induction.count_to", "anchors.last.by_arm.placebo", "anchors.last.by_arm.placebo.visit", "visits[2].arms"]


def test_that_no_content_makes_the_check_fail_itself() -> None:
    """Every value of a good file, one after the other, becomes something else: the check answers with faults, it never breaks."""
    good = load_protocol("rfa-crlm").content
    other = [None, 7, -1.5, "x", [], {}, [None], [{}], {"x": 1}, True, float("nan"), 10**30]
    places: list[tuple] = []

    def walk(value, path: tuple) -> None:
        if path:
            places.append(path)
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
            if not (isinstance(value, list) and key > 1):  # two of a list are enough
                walk(inner, (*path, key))

    walk(good, ())
    assert len(places) > 200
    whole = json.dumps(good)
    for number, path in enumerate(places):
        content = json.loads(whole)
        target = content
        for key in path[:-1]:
            target = target[key]
        target[path[-1]] = other[number * 7 % len(other)]
        if not [f for f in find_faults(content) if f.severity == "error"]:
            protocol_from(content)  # what the check lets through can be used
    for broken in (None, 3, [], "text", {}):
        assert check_protocol(broken)


def test_that_the_earlier_schema_is_kept_and_its_words_are_not_added_to() -> None:
    old = {
        "schema": "nodus.protocol/1", "id": "old", "version": "7", "title": "An earlier study", "limits": {"nodes_per_side": 5, "metal_in_neck": "excluded"},
        "visits": [{"name": "Baseline", "phase": "pre", "order": 0, "anchor": "first", "day": 0, "months": None, "window_days": [-28, 0]}],
        "reading": {"modalities": ["CT"], "methods": ["voxel"], "baseline": "last evaluable"}, "open": [{"field": "x", "note": "y"}],
    }  # fmt: skip
    before = copy.deepcopy(old)
    protocol = protocol_from(old)
    assert old == before
    assert protocol.content is old
    assert protocol.stamp == "old/7"
    assert (protocol.endpoints, protocol.terms["response"], protocol.terms["adjudication"], protocol.section("salvage")) == ((), [], None, {})
    assert protocol.terms["limits"] == {"nodes_per_side": 5, "metal": {"excluded": True, "hu_from": None, "within_mm": None, "voxels_from": None}}
    assert [f.code for f in find_faults(old)] == ["protocol_schema_old"]
    unsaid = {f.path for f in find_faults(protocol.terms) if f.code == "protocol_key_missing"}
    assert unsaid == {"reading.readers", "reading.order", "reading.hide"}
    assert set(EVENT_KINDS) >= set(protocol.ablation_kinds)


def asked(capsys, *words: str) -> tuple[int, dict]:
    code = main([*words, "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_that_the_command_tells_all_faults_and_exits_with_4(tmp_path: Path, capsys) -> None:
    content = copy.deepcopy(load_protocol("ire-cervical-ln").content)
    path = tmp_path / "trial.json"
    path.write_text(json.dumps(content | {"id": "own"}), "utf-8")
    code, told = asked(capsys, "study", "check-protocol", str(path))
    assert (code, told["ok"], told["protocol"], told["faults"]) == (0, True, "own/2", [])
    content["visits"][3]["window_days"] = None
    path.write_text("\ufeff" + json.dumps(content), "utf-8")  # as some editors save
    code, told = asked(capsys, "study", "check-protocol", str(path))
    assert (code, [w["code"] for w in told["warnings"] if w["code"] == "protocol_window_open"]) == (0, ["protocol_window_open"])
    content["limits"]["nodes_per_side"] = -1
    content["endpoints"][0]["visit"] = "Year 1"
    path.write_text(json.dumps(content), "utf-8")
    code, told = asked(capsys, "study", "check-protocol", str(path))
    assert (code, told["ok"], told["protocol"]) == (4, False, None)
    assert [(f["path"], f["code"]) for f in told["faults"]] == [("limits.nodes_per_side", "protocol_limit_impossible"), ("endpoints[0].visit", "protocol_endpoint_visit")]
    assert main(["study", "check-protocol", str(path)]) == 4
    assert "endpoints[0].visit" in capsys.readouterr().out


def test_that_a_file_that_is_no_protocol_is_refused(tmp_path: Path, capsys) -> None:
    path = tmp_path / "trial.json"
    for text in ("{", '{"id": 1, "id": 2}'):
        path.write_text(text, "utf-8")
        assert asked(capsys, "study", "check-protocol", str(path))[1]["error"]["code"] == "protocol_refused"
    path.write_bytes(b"\xff\xfe\x00")
    assert asked(capsys, "study", "check-protocol", str(path))[1]["error"]["code"] == "protocol_refused"
    assert asked(capsys, "study", "check-protocol", str(tmp_path / "none.json"))[1]["error"]["code"] == "protocol_missing"


def test_that_status_lists_subjects_by_visits_and_the_salvage_deadline(tmp_path: Path, capsys) -> None:
    study = str(tmp_path / "s")
    assert asked(capsys, "study", "init", study)[0] == 0
    from app.study.store import StudyStore

    with StudyStore.open(study) as store:
        store.add_subject("S-1")
        store.add_visit("S-1", "Baseline", actual_date="2025-01-20")
        store.add_visit("S-1", "Day 30", actual_date="2025-03-01")
        store.add_subject("S-2", dates_shifted=True)
    assert asked(capsys, "study", "add-event", study, "--subject", "S-1", "--kind", "IRE", "--date", "2025-01-31")[0] == 0
    code, told = asked(capsys, "study", "add-event", study, "--subject", "S-1", "--kind", "NRS", "--date", "2025-01-31", "--detail", "hours=4", "--detail", "score=5")
    assert (code, told["detail"]) == (0, {"hours": 4, "score": 5})
    code, told = asked(capsys, "study", "status", study, "--on", "2025-03-05")
    assert (code, told["on"]) == (0, "2025-03-05")
    first, second = told["subjects"]
    rows = {r["visit"]: r for r in first["schedule"]}
    assert (rows["Day 30"]["status"], rows["Month 3"]["status"], rows["Month 3"]["target_date"], rows["Month 3"]["window_first"]) == ("done", "planned", "2025-04-30", "2025-04-16")
    assert (first["salvage"]["deadline"], first["salvage"]["days_left"], first["salvage"]["state"]) == ("2025-03-15", 10, "open")
    assert (second["dates_shifted"], {r["status"] for r in second["schedule"]}) == (True, {"not_planned"})
    code, told = asked(capsys, "study", "status", study, "--on", "soon")
    assert told["error"]["code"] == "date_refused"
    assert main(["study", "status", study, "--on", "2025-03-16"]) == 0
    assert "passed, 2025-03-15, 1 days ago" in capsys.readouterr().out
    code, told = asked(capsys, "study", "pain", study, "--subject", "S-1")
    assert (code, told["auc"], told["missing_hours"]) == (0, None, [0, 8, 24, 48, 72])
    code, told = asked(capsys, "study", "eligibility", study, "--subject", "S-1", "--on", "2025-03-05")
    assert (code, {r["verdict"] for r in told["rows"]}) == (0, {"not known"})
