"""The whole main job on the demonstration case, against its known answers."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def summary(demo_folder) -> dict:
    return json.loads((demo_folder / "summary.json").read_text())


def test_that_every_artefact_is_there_as_it_was_hashed(summary, demo_folder):
    kinds = {a["kind"] for a in summary["artefacts"]}
    assert {"dicom", "study", "mask", "plan", "csv", "pdf", "screenshot", "json"} <= kinds
    for artefact in summary["artefacts"]:
        assert hashlib.sha256((demo_folder / artefact["path"]).read_bytes()).hexdigest() == artefact["sha256"], artefact["path"]


def test_that_volumes_are_right_within_3_percent_or_20_microlitres(summary):
    rows = [n for n in summary["nodes"] if n["status"] == "measured"]
    assert len(rows) == 14
    bad = {(n["node"], n["visit"]): n["error_ml"] for n in rows if abs(n["error_ml"]) > max(0.03 * n["true_volume_ml"], 0.02)}
    assert bad == {}


def test_that_the_interval_of_a_small_node_holds_the_truth(summary):
    small = [n for n in summary["nodes"] if n["status"] == "measured" and n["true_volume_ml"] < 0.2]
    assert small
    assert all(n["interval_holds_truth"] for n in small)


def test_that_the_vanished_node_is_reported_as_disappeared(summary):
    gone = [n for n in summary["nodes"] if n["true_volume_ml"] == 0]
    assert [(n["status"], n["volume_ml"], n["vrr_pct"]) for n in gone] == [("disappeared_assessed", 0.0, 100.0)]


def test_that_reduction_rates_are_right_within_1_5_points(summary):
    large = {n["node"] for n in summary["nodes"] if n["visit"] == "Baseline" and n["true_volume_ml"] >= 0.5}
    rows = [n for n in summary["nodes"] if n["node"] in large and n["vrr_pct"] is not None]
    assert len(rows) == 12
    bad = {(n["node"], n["visit"]): round(n["vrr_pct"] - n["true_vrr_pct"], 2) for n in rows if abs(n["vrr_pct"] - n["true_vrr_pct"]) > 1.5}
    assert bad == {}


def test_that_the_study_it_leaves_verifies(demo_folder, nodus):
    answer = nodus("audit", "verify", demo_folder / "study", "--json")
    assert (answer.code, answer.json["ok"]) == (0, True)


def test_that_a_saved_mask_measures_as_its_reading(demo_folder, summary, nodus):
    row = next(n for n in summary["nodes"] if n["node"] == "N1" and n["visit"] == "Baseline")
    answer = nodus("measure", demo_folder / "masks" / "N1_Baseline.nii.gz", "--json").json["nodes"][0]
    assert answer["voxel_volume_ml"] == pytest.approx(row["volume_ml"], rel=1e-9)


def test_that_no_identifying_header_value_is_in_the_study_folder(demo_folder):
    # The synthetic headers carry a name and an identifier precisely so that this can fail.
    words = (b"SYNTHETIC^DEMO",)
    found = [str(p) for p in (demo_folder / "study").rglob("*") if p.is_file() and any(w in p.read_bytes() for w in words)]
    assert found == []
    assert any(w in p.read_bytes() for w in words for p in list((demo_folder / "dicom").rglob("*.dcm"))[:3])


def test_that_the_job_done_again_gives_the_same_numbers(demo_folder, demo_case, summary):
    """The case made by another process, its first visit outlined anew; the whole job again is below."""
    import numpy as np

    from app.jobs import JobContext
    from app.study.store import StudyStore
    from app.usecases.demo import SEED, SUBJECT, outline
    from app.usecases.import_images import open_record
    from volumetry.measure import measure_node

    files = sorted((demo_folder / "dicom").rglob("*.dcm"))
    assert len(files) > 500
    assert [str(p.relative_to(demo_folder)) for p in files] == [str(p.relative_to(demo_case.root)) for p in sorted(demo_case.dicom_dir.rglob("*.dcm"))]
    assert all((demo_case.root / p.relative_to(demo_folder)).read_bytes() == p.read_bytes() for p in files[::40])
    with StudyStore.open(demo_folder / "study") as store:
        visit = store.visits(SUBJECT)[0]
        image = open_record(store, next(s for s in store.series(visit.visit_id) if s.kind == "volume"), JobContext())
    rng, volumes = np.random.default_rng(SEED), {}
    for label in ("N1", "N2", "N3"):
        truth = demo_case.true_node(label, visit.name)
        click = np.asarray(truth["centre_mm"], float) + rng.normal(0.0, 0.7, 3)
        volumes[label] = measure_node(outline(image, click, max(truth["semi_axes_mm"]) * rng.uniform(1.0, 1.25))).voxel_volume_ml
    assert volumes == {n["node"]: n["volume_ml"] for n in summary["nodes"] if n["visit"] == visit.name}


@pytest.mark.long
def test_that_a_second_run_into_the_same_folder_gives_the_same_numbers(demo_folder, summary, nodus, tmp_path):
    other = tmp_path / "again"
    assert nodus("demo", "--headless", "--no-screenshots", "--out", other, own_process=True).code == 0
    again = json.loads((other / "summary.json").read_text())
    assert again["nodes"] == summary["nodes"]
    same = list(Path(demo_folder / "dicom").rglob("*.dcm"))
    assert all((other / p.relative_to(demo_folder)).read_bytes() == p.read_bytes() for p in same)


def test_that_everything_a_run_leaves_is_known_to_the_next_run(demo_folder, tmp_path):
    from app.usecases.demo import clear_output

    for path in demo_folder.iterdir():
        (tmp_path / path.name).mkdir() if path.is_dir() else (tmp_path / path.name).write_text("{}")
    clear_output(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_that_a_folder_with_other_files_is_left_alone(nodus, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    answer = nodus("demo", "--headless", "--out", tmp_path)
    assert answer.code == 3
    assert (tmp_path / "mine.txt").read_text() == "mine"
