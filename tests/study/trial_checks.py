"""What must hold of a simulated trial, of few subjects or of all 85: checks that the short and the long tests share."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jsonschema
import pyreadstat
from lxml import etree
from pypdf import PdfReader

from app.demo.trial import MANAGER, PASSWORD, TrialRecord, simulate_trial
from app.edc.xsd import schema_faults
from app.study.audit import AuditReport, verify
from app.study.model import ReadingState
from app.study.reader_answers import reader_responses
from app.study.store import StudyStore
from app.usecases.assess_response import response_of
from app.usecases.cohort import cohort_snapshot, gather, view_of
from app.usecases.cohort_tables import cohort_of, tables_of
from app.usecases.export_edc import MAPPED_FORMATS, export_study
from tests.edc.dataset_json_1_1 import SCHEMA
from tests.study.trial_by_pandas import ByPandas, product_limit, resampled, wilson

EDC_FORMATS = ("csv", *MAPPED_FORMATS, "pdf")
VRR_TABLES = ("vrr_12m_single_ire", "vrr_12m_single_or_salvage", "vrr_12m_high_risk")


@dataclass
class Made:
    """A simulated trial on the disk: its study, what was put in, and (once asked for) exports, response and the calculation by pandas."""

    folder: Path
    record: TrialRecord
    seconds: dict[str, tuple[float, float]] = field(default_factory=dict)  # wall, this process's CPU
    receipts: dict[str, dict] = field(default_factory=dict)
    known: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def make(cls, folder: Path, **options: Any) -> Made:
        """Simulate a trial into ``folder``/study."""
        made = cls(folder, None)  # type: ignore[arg-type]
        made.record = made.timed("simulate", lambda: simulate_trial(folder / "study", **options))
        return made

    def timed(self, name: str, work: Any) -> Any:
        """Do it and note how long it took."""
        wall, cpu = time.perf_counter(), time.process_time()
        out = work()
        self.seconds[name] = (time.perf_counter() - wall, time.process_time() - cpu)
        return out

    def opened(self) -> StudyStore:
        """The study, with the manager signed in."""
        store = StudyStore.open(self.folder / "study")
        store.sign_in(MANAGER, PASSWORD)
        return store

    def export(self, format_: str) -> Path:
        """The export of a format, made twice and found to be the same bytes with true receipts; its folder."""
        if format_ not in self.receipts:
            with self.opened() as store:
                receipt = self.timed(format_, lambda: export_study(store, format_, self.folder / format_))
                again = export_study(store, format_, self.folder / "again" / format_)
            assert receipt == again
            for file in receipt["files"]:
                data = (self.folder / format_ / file["path"]).read_bytes()
                assert hashlib.sha256(data).hexdigest() == file["sha256"], file["path"]
                assert data == (self.folder / "again" / format_ / file["path"]).read_bytes(), file["path"]
            assert sorted(p.name for p in (self.folder / format_).iterdir()) == sorted(f["path"] for f in receipt["files"])
            self.receipts[format_] = receipt
        return self.folder / format_

    def response(self) -> dict[str, Any]:
        """The answer of ``nodus study response``, cut on the trial's last day."""
        if "response" not in self.known:
            with self.opened() as store:
                self.known["response"] = self.timed("study response", lambda: response_of(store, as_of=self.record.last_day))
        return self.known["response"]

    def table(self, endpoint: str) -> dict[str, Any]:
        """One of the protocol's tables: accepted records, so one for all readers."""
        (found,) = [e for e in self.response()["endpoints"] if e["set"] == "protocol" and e["endpoint"] == endpoint]
        assert found["reader"] == "accepted"
        return found

    def by_pandas(self) -> ByPandas:
        """The same worked out independently."""
        if "pandas" not in self.known:
            with self.opened() as store:
                shot = store.snapshot()
            names = {v.visit_id: v.name for v in shot.visits}
            responses = {(subject, names[visit], reader): said for (subject, visit, reader), said in reader_responses(shot).items()}
            self.known["pandas"] = ByPandas(self.export("csv") / "readings.csv", self.record, responses)
        return self.known["pandas"]

    @property
    def last_day(self) -> Any:
        """The day the data were cut, for pandas."""
        import pandas as pd

        return pd.Timestamp(self.record.last_day)


# -- the study -------------------------------------------------------------------------------------


def check_audit(made: Made) -> AuditReport:
    """The trail verifies, every lock has its signature, and the anchor beside the study is the head."""
    with StudyStore.open(made.folder / "study") as store:
        store.sign_in("administrator", PASSWORD)
        report = made.timed("audit verify", lambda: verify(store))
        locked = [r for r in (store._whole_snapshot()).readings if r.state in (ReadingState.LOCKED, ReadingState.SUPERSEDED)]
        assert verify(store, store.write_anchor(made.folder / "anchor.json")).ok
    assert report.ok, report.faults[:5]
    assert all(r.signature_id for r in locked)
    assert report.signatures_checked == len(locked) + len(made.record.judgements)
    return report


def check_content(made: Made) -> None:
    """What lies in the study is what the generator put in, no more and no less."""
    planned = made.record.subjects
    with made.opened() as store:
        shot = store.snapshot()
    nodes = {n.node_id: (n.subject_id, n.label) for n in shot.nodes}
    visits = {v.visit_id: (v.subject_id, v.name) for v in shot.visits}
    assert sorted(s.subject_id for s in shot.subjects) == [s.subject_id for s in planned]
    assert {(*visits[v.visit_id], v.actual_date) for v in shot.visits} == {(s.subject_id, v.name, v.stated.isoformat() if v.stated else None) for s in planned for v in s.visits}
    assert {(*nodes[n.node_id], n.high_risk, n.found_by) for n in shot.nodes} == {(s.subject_id, n.label, n.high_risk, n.found_by) for s in planned for n in s.nodes}
    assert Counter((e.subject_id, e.kind, e.date, nodes[e.node_id][1] if e.node_id else None) for e in shot.events) == Counter((s.subject_id, e.kind, e.date.isoformat(), e.node) for s in planned for e in s.events)
    wanted, corrected = Counter(), 0
    for s in planned:
        for r in s.readings:
            fixed = r.correction_ml is not None and r.locked
            corrected += fixed
            volume = r.correction_ml if fixed else 0.0 if r.status == "disappeared_assessed" else r.volume_ml
            wanted[s.subject_id, r.visit, r.node, "site" if r.reader == "site" else r.reader, r.modality, str(r.status), volume, "locked" if r.locked else "measured"] += 1
    standing = [r for r in shot.readings if r.state is not ReadingState.SUPERSEDED]
    found = Counter((r.subject_id, visits[r.visit_id][1], nodes[r.node_id][1], "site" if r.role == "site" else r.reader, r.modality, str(r.status), r.volume_ml, str(r.state)) for r in standing)
    assert found == wanted
    assert len(shot.readings) - len(standing) == corrected > 0
    assert [(a.subject_id, nodes[a.node_id][1], visits[a.visit_id][1], a.modality, a.selected_reader) for a in shot.adjudications] == [(j.subject_id, j.node, j.visit, j.modality, j.reader) for j in made.record.judgements]
    assert len(shot.adjudications) > 0


def locked_readings(made: Made, *, corrections: bool = False) -> int:
    """Locked readings of the record; with ``corrections`` the replaced ones too."""
    return sum(1 + (corrections and r.correction_ml is not None) for s in made.record.subjects for r in s.readings if r.locked)


# -- exports ---------------------------------------------------------------------------------------


def rows_of(path: Path) -> list[dict[str, str]]:
    """A CSV file."""
    return list(csv.DictReader(io.StringIO(path.read_text("utf-8"), newline="")))


def check_export(made: Made, format_: str) -> None:
    """One format: valid by its standard, and every locked reading in it once."""
    out, count = made.export(format_), locked_readings(made)
    receipt = made.receipts[format_]
    assert receipt["readings"] == count
    pairs = sum(len({(e.node, e.date) for e in s.events if e.kind == "IRE"}) for s in made.record.subjects)
    if format_ == "csv":
        rows = rows_of(out / "readings.csv")
        assert len({r["reading_id"] for r in rows}) == len(rows) == count
        assert len(rows_of(out / "treatment.csv")) == pairs
        assert {f["path"]: f["rows"] for f in receipt["files"]}["readings.csv"] == count
    elif format_ == "redcap":
        rows, fields = rows_of(out / "import.csv"), {r["Variable / Field Name"]: r for r in rows_of(out / "data_dictionary.csv")}
        assert Counter(r["redcap_repeat_instrument"] for r in rows) == {"node_reading": count, "treated_pair": pairs}
        codes = {name: {c.split(",")[0].strip() for c in f["Choices, Calculations, OR Slider Labels"].split("|")} for name, f in fields.items() if f["Field Type"] == "radio"}
        for row in rows:
            assert all(row[name] in allowed for name, allowed in codes.items() if row.get(name))
    elif format_ in ("odm-1.3.2", "odm-2.0"):
        for name in ("snapshot.xml", "transactional.xml"):
            assert schema_faults((out / name).read_bytes(), format_) == [], name
        item = "FormData" if format_ == "odm-1.3.2" else "ItemGroupData"
        tree = etree.parse(out / "snapshot.xml")
        if format_ == "odm-1.3.2":
            assert len(tree.findall(f".//{{*}}{item}")) == count + pairs
    elif format_ == "dataset-json":
        datasets = [p for p in sorted(out.iterdir()) if p.suffix == ".json"]
        for path in datasets:
            content = json.loads(path.read_text("utf-8"))
            jsonschema.validate({**content, "rows": content["rows"][:50]}, SCHEMA, cls=jsonschema.Draft202012Validator)
            assert content["records"] == len(content["rows"]) == next(f["rows"] for f in receipt["files"] if f["path"] == path.name)
        assert schema_faults((out / "define.xml").read_bytes(), "define-2.1") == []
        assert len({r[c] for path in datasets if path.name == "tr.json" for content in [json.loads(path.read_text("utf-8"))] for c in [[x["name"] for x in content["columns"]].index("TRSPID")] for r in content["rows"] if r[c]}) > 0
    elif format_ == "sdtm-xpt":
        volumes = 0
        for file in receipt["files"]:
            if file["path"].endswith(".xpt"):
                frame, _meta = pyreadstat.read_xport(out / file["path"])
                assert len(frame) == file["rows"], file["path"]
                if file["path"] == "tr.xpt":
                    volumes = int(((frame.TRTESTCD == "VOLUME") & (frame.TRSTAT != "NOT DONE")).sum())
        measured = sum(r.volume_ml is not None or r.status == "disappeared_assessed" for s in made.record.subjects for r in s.readings if r.locked)
        assert volumes == measured, (volumes, measured)
        assert schema_faults((out / "define.xml").read_bytes(), "define-2.1") == []
    else:
        assert len(receipt["files"]) == len(made.record.subjects)
        for file in (receipt["files"][0], receipt["files"][-1]):
            assert len(PdfReader(out / file["path"]).pages) >= 1


# -- endpoints -------------------------------------------------------------------------------------


def assert_same(found: Any, wanted: Any, where: str) -> None:
    """Alike to the last digits that two ways of adding leave; NaN and None are both: there is none."""
    if isinstance(wanted, dict):
        for key, value in wanted.items():
            assert_same(found[key], value, f"{where}.{key}")
    elif isinstance(wanted, float) and math.isnan(wanted):
        assert found is None, where
    elif isinstance(wanted, float):
        assert found is not None, where
        assert math.isclose(found, wanted, rel_tol=1e-9, abs_tol=1e-9), (where, found, wanted)
    else:
        assert found == wanted, where


def assert_rate(found: dict[str, Any], wanted: tuple, where: str) -> None:
    """Numerator, denominator and missing by reason; the share and, of subjects, Wilson's interval."""
    assert (found["numerator"], found["denominator"], found["missing"]) == wanted, where
    assert found["n_missing"] == sum(wanted[2].values()), where
    assert_same(found["pct"], 100 * wanted[0] / wanted[1] if wanted[1] else math.nan, where)
    if found["interval_from"] == "Wilson":
        low, high = wilson(wanted[0], wanted[1])
        assert math.isclose(found["interval_pct"][0], low, abs_tol=1e-6), where
        assert math.isclose(found["interval_pct"][1], high, abs_tol=1e-6), where


def check_accepted(made: Made) -> None:
    """Exactly the records that the protocol's rule accepts carry the flag, one a node, visit and modality; rates agree."""
    mine = made.by_pandas()
    flagged = mine.readings[mine.readings.accepted == "1"]
    assert set(flagged.reading_id) == mine.accepted
    assert not flagged.duplicated(["subject", "node", "visit", "modality"]).any()
    assert len(flagged) > 0
    rates = {r["reading_id"]: r for r in rows_of(made.export("csv") / "vrr.csv")}
    assert {i for i, r in rates.items() if r["role"] == "central"} == set(mine.rates.reading_id)
    for r in mine.rates.itertuples():
        told = rates[r.reading_id]
        assert_same(float(told["vrr_pct"]) if told["vrr_pct"] else None, float(r.vrr), f"{r.subject} {r.node} {r.visit} {r.reader}")
        assert (told["comparable"] == "1") == r.comparable


def check_vrr(made: Made, endpoint: str) -> None:
    """A table of volume reduction: every count, every reason, every mean, all three units, node by node."""
    found, mine = made.table(endpoint), made.by_pandas()
    wanted = mine.vrr_table(endpoint, made.last_day)
    assert found["missing"] == wanted.pop("missing")
    for name, rate in wanted.pop("coverage").items():
        assert_rate(found["coverage"][name], rate, f"{endpoint}.coverage.{name}")
    told = {m["modality"]: (m["n"], m["mean_pct"]) for m in found["by_modality"]}
    for modality, (n, mean) in wanted.pop("by_modality").items():
        assert told[modality][0] == n
        assert_same(told[modality][1], float(mean), modality)
    assert_same(found, wanted, endpoint)
    frame = mine.nodes_at_12_months("first" if endpoint == VRR_TABLES[0] else "last", None, made.last_day).set_index(["subject", "node"])
    for o in (*found["nodes"], *found["excluded"]):
        one = frame.loc[(o["subject"], o["node"])]
        assert_same(o["value_pct"], float(one.vrr), f"{o['subject']} {o['node']}")
        assert (o["missing"], o["target"], o["salvaged"]) == (one.missing if isinstance(one.missing, str) else None, one.target.date().isoformat(), one.salvaged), o
    never = sorted((s, n) for (s, n), done in mine.ablated.items() if done.empty and (endpoint != VRR_TABLES[2] or mine.nodes.loc[(s, n)].high_risk))
    assert sorted((x["subject"], x["node"]) for x in found["not_treated"]) == never


def check_intervals(made: Made) -> None:
    """Intervals of nodes against draws of one's own: as near as two sets of 2000 draws come to each other. Of a trial with many subjects."""
    mine = made.by_pandas()
    for endpoint in VRR_TABLES:
        frame = mine.nodes_at_12_months("first" if endpoint == VRR_TABLES[0] else "last", "high_risk" if endpoint == VRR_TABLES[2] else None, made.last_day)
        known = frame[frame.vrr.notna() & (~frame.salvaged if endpoint == VRR_TABLES[0] else True)]
        low, high = resampled(known.vrr, known.subject)
        found = made.table(endpoint)["units"]["node"]["interval_pct"]
        assert max(abs(found[0] - low), abs(found[1] - high)) < 0.1 * (high - low), (endpoint, found, low, high)
    frame = mine.nodes_at_12_months("last", None, made.last_day)
    low, high = resampled(100.0 * frame.gone, frame.subject)
    found = made.table("disappearance_12m")["rates"]["node_of_treated"]["interval_pct"]
    assert max(abs(found[0] - low), abs(found[1] - high)) < 0.1 * (high - low), (found, low, high)


def check_rates(made: Made) -> None:
    """Disappearance and recurrence, with both denominators."""
    mine = made.by_pandas()
    for name, rate in mine.disappearance(made.last_day).items():
        assert_rate(made.table("disappearance_12m")["rates"][name], rate, name)
    found, wanted = made.table("recurrence_12m"), mine.recurrence(made.last_day)
    for name, rate in wanted["rates"].items():
        assert_rate(found["rates"][name], rate, name)
    assert found["subjects_by_kind"] == wanted["subjects_by_kind"]
    assert found["rates"]["node_of_treated"]["numerator"] > 0


def check_survival(made: Made) -> None:
    """Survival subject by subject, and the curves on day 730."""
    for kind, strict in (("PFS", False), ("PFS", True), ("OS", False)):
        table = made.table(kind.lower())
        found = table["sensitivity"] if strict else table
        wanted = made.by_pandas().survival(kind, strict=strict)
        assert [(s["subject"], s["days"], s["event"], s["reason"]) for s in found["subjects"]] == [tuple(r) for r in wanted.itertuples(index=False)]
        assert (found["n"], found["n_events"], found["ended_by"]) == (len(wanted), int(wanted.event.sum()), dict(sorted(Counter(wanted.reason).items())))
        share = product_limit(wanted, 730)
        assert_same(found["at_pct"], math.nan if share is None else share, f"{kind} {strict}")


def check_pain(made: Made) -> None:
    """Pain: area and sustained pain, and what has none."""
    wanted = made.by_pandas().pain()
    area, share = made.table("nrs_auc"), made.table("nrs_sustained")
    assert (area["n_treated"], area["n"]) == (len(wanted), int(wanted.auc.notna().sum()))
    assert_same(area, {"mean": float(wanted.auc.mean()), "median": float(wanted.auc.median()), "sd": float(wanted.auc.std())}, "nrs_auc")
    assert area["missing"] == {k: v for k, v in (("no_score", int(wanted.none.sum())), ("score_missing", int((wanted.gap & ~wanted.none).sum()))) if v}
    unknown = wanted[wanted.sustained.isna()]
    lost = {k: v for k, v in (("no_score", int(unknown.none.sum())), ("score_missing", int((~unknown.none).sum()))) if v}
    yes = int((wanted.sustained == True).sum())  # noqa: E712 - the column holds None too
    assert_rate(share["rates"]["subject_of_treated"], (yes, len(wanted), lost), "treated")
    assert_rate(share["rates"]["subject_of_assessed"], (yes, len(wanted) - len(unknown), lost), "assessed")


def check_by_visit(made: Made) -> None:
    """The tables that go visit by visit: number and mean of each visit, modality and method."""
    rates = made.by_pandas().rates
    rates = rates[rates.counts & rates.usable & rates.vrr.notna()]
    wanted = {key: (len(v), float(v.mean()), float(v.median())) for key, v in rates.groupby(["visit", "modality", "method"]).vrr}
    found = {(e["visit"], e["modality"], e["method"]): (e["n"], e["mean_pct"], e["median_pct"]) for e in made.response()["endpoints"] if e["set"] == "visit" and e["endpoint"] == "vrr_pct"}
    assert found.keys() == wanted.keys()
    for key, (n, mean, median) in wanted.items():
        assert found[key][0] == n
        assert_same(found[key][1], mean, str(key))
        assert_same(found[key][2], median, str(key))


def check_cohort(made: Made) -> None:
    """The cohort shows the same tables as ``nodus study response``, and opens."""
    with made.opened() as store:
        view = made.timed("study cohort", lambda: cohort_of(store, as_of=made.record.last_day))
        shown = made.timed("cohort, read again and worked out", lambda: view_of(gather(cohort_snapshot(store), as_of=made.record.last_day)))
    assert {e["endpoint"]: e for e in tables_of(view)} == {e["endpoint"]: e for e in made.response()["endpoints"] if e["set"] == "protocol"}
    assert len(shown.table) == len(view.table) > 0
