"""The main job on files that other people made."""

from __future__ import annotations

import json

import pytest

pytestmark = pytest.mark.slow

# In the left nodal mass of ct_neck, chosen by looking at the slices; LPS mm.
NECK_MASS_MM = (38.0, -219.0, -702.0)


def test_that_the_sarcoma_has_its_published_volume_from_both_masks(nodus, shared_data):
    case = shared_data / "ct_rtstruct" / "STS_002"
    for arguments in ([case / "nifti" / "CT_mask.nii.gz"], [case / "mask" / "RS.dcm", "--image", case / "image"]):
        node = nodus("measure", *arguments, "--json").json["nodes"][0]
        assert node["voxel_count"] == 17090
        assert node["voxel_volume_ml"] == pytest.approx(53.2954, abs=0.001)


def test_that_the_digital_phantom_has_its_two_volumes(nodus, shared_data):
    mask = shared_data / "reference_values" / "ibsi_1_digital_phantom" / "nifti" / "mask" / "mask.nii.gz"
    node = nodus("measure", mask, "--json").json["nodes"][0]
    assert node["voxel_volume_mm3"] == pytest.approx(592)
    assert node["mesh_volume_mm3"] == pytest.approx(556, abs=4)


def test_that_a_thyroid_picture_is_measured_by_its_tissue_region(nodus, shared_data):
    answer = nodus("length", shared_data / "us_dicom" / "YBR_FULL-RLE.dcm", "--points", "300,152.5", "300,257.5", "--json").json
    assert answer["length_mm"] == pytest.approx(10.01, abs=0.02)
    assert answer["region"] == 1  # the second of the header's list, counted from 0


def test_that_a_picture_without_calibration_is_listed_but_gives_no_length(nodus, shared_data):
    picture = shared_data / "us_dicom" / "US1_UNCR.dcm"
    series = nodus("scan", picture, "--json").json["series"]
    assert [s["kind"] for s in series] == ["still"]
    assert "uncalibrated" in {f["code"] for f in series[0]["findings"]}
    refused = nodus("length", picture, "--points", "100,100", "200,200", "--json")
    assert (refused.code, refused.json["error"]["code"]) == (3, "uncalibrated")


def test_that_a_real_nodal_mass_goes_from_click_to_export(nodus, shared_data, tmp_path):
    """One click, a repair (smooth, keep largest), a reading, a plan, an export: on a real neck."""
    from app.jobs import JobContext
    from app.study.store import StudyStore
    from app.usecases.import_images import open_record
    from app.usecases.mask_draft import MaskDraft
    from app.usecases.needle_start import suggest_needles
    from app.usecases.plan import PlanDraft, draft_to_plan, solve_and_assess
    from app.usecases.plan_runs import save_plan_run
    from app.usecases.readings import save_reading
    from app.usecases.segment import segment_volume
    from volumetry.segmentation import editing

    study = tmp_path / "study"
    nodus("study", "init", study)
    imported = nodus("study", "import", study, shared_data / "ct_neck", "--subject", "S-002", "--visit", "Baseline", "--json").json
    assert [s["kind"] for s in imported["series"]] == ["volume"]
    with StudyStore.open(study) as store:
        visit = store.visits("S-002")[0]
        node = store.add_node("S-002", "N1", "left", "II")
        image = open_record(store, store.series(visit.visit_id)[0], JobContext())
        result = segment_volume(image, NECK_MASS_MM, 17.0)
        draft = MaskDraft(image.geometry, result.mask)
        draft.edit(editing.keep_largest(editing.smooth(draft.array, image.geometry)), "Smooth and keep largest")
        mask = draft.as_mask()
        reading = save_reading(store, visit, node, reader="A", modality="CT", mask=mask, image=image)
        # No reference outline exists; a mass of 3 to 4.5 cm seen on the slices has this order of volume.
        assert 5 < reading.volume_ml < 45
        assert reading.volume_interval_ml[0] < reading.volume_ml < reading.volume_interval_ml[1]
        plan = PlanDraft(targets=(("N1", mask, "node"),))
        for needle in suggest_needles(mask, 4, spacing_mm=18.0, exposure_mm=30.0, image=image):
            plan = plan.with_needle(needle)
        plan = draft_to_plan(plan)
        solution, assessment = solve_and_assess(plan, JobContext(), heat=False)
        assert assessment.to_dict()["targets"][0]["volume_ml"] == pytest.approx(reading.volume_ml, rel=0.02)
        save_plan_run(store, "S-002", visit.visit_id, plan, solution, assessment)
        store.lock_reading(reading.reading_id, "A. Reader", "confirmed")
    receipt = nodus("export", study, "--format", "pdf", "--out", tmp_path / "report.pdf", "--json").json
    assert receipt["readings"] == 1
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF")
    assert nodus("audit", "verify", study, "--json").json["ok"] is True


def test_that_a_click_on_the_command_line_writes_a_mask_that_measures_the_same(nodus, shared_data, tmp_path):
    out = tmp_path / "mass.nii.gz"
    seed = ",".join(str(v) for v in NECK_MASS_MM)
    answer = nodus("segment", shared_data / "ct_neck", f"--seed={seed}", "--radius-mm", 17, "--out", out, "--json")
    assert answer.code == 0, answer.out
    first = answer.json["nodes"][0]
    again = nodus("measure", out, "--json").json["nodes"][0]
    assert json.dumps(first["voxel_count"]) == json.dumps(again["voxel_count"])
    assert first["voxel_volume_ml"] == pytest.approx(again["voxel_volume_ml"])
