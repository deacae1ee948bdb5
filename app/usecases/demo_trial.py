"""``nodus demo --trial``: a simulated trial in a study of its own, everything exported from it, and how long each step took."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from app import INVESTIGATIONAL_NOTICE, __version__
from app.demo.trial import ADMINISTRATOR, MANAGER, PASSWORD, simulate_trial
from app.jobs import JobContext
from app.study.audit import verify
from app.study.store import StudyStore
from app.usecases.assess_response import response_of
from app.usecases.cohort_tables import cohort_of, export_cohort
from app.usecases.export_edc import FORMATS, export_study
from app.usecases.files import FileRefused, ensure_folder, write_json
from app.usecases.trial_pictures import TrialPictures
from volumetry.errors import NodusError

SUBJECTS, SEED = 85, 2026


class Steps:
    """Seconds of each step: by the wall, and of this process."""

    def __init__(self) -> None:
        self.seconds: dict[str, dict[str, float]] = {}

    def __call__(self, name: str, work: Callable[[], Any]) -> Any:
        """Do it and note how long it took."""
        wall, cpu = time.perf_counter(), time.process_time()
        try:
            return work()
        finally:
            self.seconds[name] = {"wall_s": round(time.perf_counter() - wall, 3), "cpu_s": round(time.process_time() - cpu, 3)}


def run_trial(out: Path, context: JobContext, *, subjects: int = SUBJECTS, nodes: tuple[int, int] = (1, 10), seed: int = SEED) -> dict[str, Any]:
    """Simulate a trial into ``out``/study and write ``trial.json`` (what was put in), ``response.json``, ``cohort``/ and ``exports/FORMAT``; returns (and
    writes) the summary. What a format cannot hold stands in it with the reason. Raises ``folder_not_empty``, ``trial_refused``."""
    if not 1 <= subjects <= 999 or not 1 <= nodes[0] <= nodes[1] <= 10:
        raise NodusError("A simulated trial has 1 to 999 subjects of 1 to 10 nodes.", code="trial_refused")
    out = out.resolve()
    ensure_folder(out)
    if any(out.iterdir()):
        raise FileRefused(f"The folder {out.name} is not empty.", code="folder_not_empty", hint="Choose a new or empty folder.")
    step = Steps()
    pictures = TrialPictures(out / "study", seed)
    record = step("simulate", lambda: simulate_trial(out / "study", subjects=subjects, nodes=nodes, seed=seed, context=context.part(0.0, 0.6), pictures=pictures))
    write_json(out / "trial.json", record.to_dict())
    exported: dict[str, Any] = {}
    with StudyStore.open(out / "study") as store:
        context.report("Checking the audit trail", 0.6)
        store.sign_in(ADMINISTRATOR, PASSWORD)
        report = step("audit verify", lambda: verify(store))
        store.sign_out()
        store.sign_in(MANAGER, PASSWORD)
        context.report("Response and cohort", 0.65)
        answer = step("study response", lambda: response_of(store, as_of=record.last_day))
        write_json(out / "response.json", answer)
        view = step("study cohort", lambda: cohort_of(store, as_of=record.last_day))
        export_cohort(store, view, out / "cohort")
        for number, format_ in enumerate(FORMATS):
            context.report(f"Exporting {format_}", 0.7 + 0.3 * number / len(FORMATS))
            try:
                receipt = step(format_, lambda name=format_: export_study(store, name, out / "exports" / name))
                exported[format_] = {"files": len(receipt["files"]), "readings": receipt["readings"], "left_out": len(receipt.get("left_out", ()))}
            except NodusError as refusal:
                exported[format_] = {"refused": refusal.code, "message": refusal.message}
            store.touch()
    readings = [r for s in record.subjects for r in s.readings]
    summary = {
        "notice": INVESTIGATIONAL_NOTICE, "software_version": __version__, "seed": seed, "password": PASSWORD, "last_day": record.last_day.isoformat(),
        "subjects": len(record.subjects), "nodes": sum(len(s.nodes) for s in record.subjects), "visits": sum(len(s.visits) for s in record.subjects),
        "readings": dict(Counter("site" if r.reader == "site" else "central" for r in readings)), "adjudications": len(record.judgements),
        "audit": {"ok": report.ok, "events": report.events, "signatures": report.signatures_checked}, "exports": exported, "seconds": step.seconds,
        "endpoints": [{k: e.get(k) for k in ("endpoint", "title", "n_treated", "n_set", "n", "n_events", "mean_pct", "missing")} for e in answer["endpoints"] if e["set"] == "protocol"],
    }  # fmt: skip
    write_json(out / "summary.json", summary)
    context.report("Done", 1.0)
    return summary
