"""The slot for a user's network: what is refused, what goes in and comes out, and one real network run."""

from __future__ import annotations

import copy
import hashlib
import json
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest

from app.jobs import CancelToken, JobContext
from app.jobs.model_worker import load_model, outline_with_model, run_network
from tests.factories import ellipsoid_image, write_ellipsoid_ct
from tests.model_files import endless_network, model_folder, wait_until_at_work
from volumetry.errors import Cancelled, SegmentationRefused
from volumetry.segmentation.model_slot import check_model, manifest_from, mask_from_output, model_input

CONTENT = {
    "schema": "nodus.model/1", "name": "soft tissue", "version": "1", "licence": "CC0-1.0", "sha256": hashlib.sha256(b"net").hexdigest(), "modality": "CT",
    "spacing_mm": [1.0, 1.0, 1.0], "shape": [24, 32, 32], "intensity": {"rule": "window", "low": -100, "high": 100},
    "prompt": {"kind": "point", "sigma_mm": 3.0}, "output": {"kind": "probability", "threshold": 0.5},
}  # fmt: skip
CENTRE = (12.3, -8.1, 105.2)


@pytest.fixture(scope="module")
def ct():
    return ellipsoid_image()


def refusal(call) -> str:
    with pytest.raises(SegmentationRefused) as refused:
        call()
    assert refused.value.message.endswith(".")
    return refused.value.code


def slot(folder, data=b"net", **changes):
    """A manifest and a network side by side; the manifest vouches for the bytes unless told otherwise."""
    path = folder / "model.json"
    path.write_text(json.dumps({**CONTENT, "sha256": hashlib.sha256(data).hexdigest(), **changes}))
    path.with_suffix(".onnx").write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"schema": "x"}, "manifest_invalid"),
        ({"name": " "}, "manifest_invalid"),
        ({"sha256": "abc"}, "manifest_invalid"),
        ({"modality": "US"}, "manifest_invalid"),
        ({"spacing_mm": [1, 0, 1]}, "manifest_invalid"),
        ({"spacing_mm": [1, float("nan"), 1]}, "manifest_invalid"),
        ({"shape": [9999, 9999, 9999]}, "manifest_invalid"),
        ({"shape": [True, 8, 8]}, "manifest_invalid"),
        ({"intensity": {"rule": "window", "low": 5, "high": 5}}, "manifest_invalid"),
        ({"intensity": None}, "manifest_invalid"),
        ({"prompt": {"kind": "text"}}, "manifest_invalid"),
        ({"output": {"kind": "probability", "threshold": 1.5}}, "manifest_invalid"),
        ({"licence": ""}, "licence_missing"),
        ({"licence": None}, "licence_missing"),
    ],
)
def test_that_a_manifest_that_leaves_something_open_is_refused(change, code):
    assert refusal(lambda: manifest_from({**copy.deepcopy(CONTENT), **change})) == code


def test_that_a_changed_or_absent_network_is_refused(tmp_path):
    manifest, data = load_model(slot(tmp_path))
    check_model(manifest, data)
    assert refusal(lambda: check_model(manifest, b"nets")) == "model_changed"
    (tmp_path / "model.onnx").write_bytes(b"other")
    assert refusal(lambda: load_model(tmp_path / "model.json")) == "model_changed"
    (tmp_path / "model.onnx").unlink()
    assert refusal(lambda: load_model(tmp_path / "model.json")) == "model_missing"
    assert refusal(lambda: load_model(tmp_path / "none.json")) == "model_missing"
    slot(tmp_path)
    (tmp_path / "model.json").write_text("{")
    assert refusal(lambda: load_model(tmp_path / "model.json")) == "manifest_invalid"


def test_that_it_is_off_unless_switched_on(ct, tmp_path):
    assert refusal(lambda: outline_with_model(ct.image, CENTRE, slot(tmp_path))) == "model_off"


def test_that_the_patch_is_centred_on_the_click_and_scaled_as_stated(ct):
    tensor, patch = model_input(manifest_from(CONTENT), ct.image, CENTRE)
    assert tensor.shape == (1, 2, 24, 32, 32)
    assert tensor.dtype == np.float32
    assert patch.spacing_mm == pytest.approx((1, 1, 1))
    assert patch.index_to_world((np.array(patch.shape[::-1]) - 1) / 2) == pytest.approx(CENTRE)
    assert tensor[0, 0, 12, 16, 16] > 0.9  # 100 HU of -100..100
    assert tensor[0, 0].min() == 0.0
    assert np.unravel_index(tensor[0, 1].argmax(), patch.shape) in [(k, j, i) for k in (11, 12) for j in (15, 16) for i in (15, 16)]
    plain = manifest_from({**CONTENT, "intensity": {"rule": "zscore"}, "prompt": {"kind": "none"}})
    tensor, _ = model_input(plain, ct.image, CENTRE)
    assert tensor.shape[1] == 1
    assert (float(tensor.mean()), float(tensor.std())) == pytest.approx((0, 1), abs=1e-3)


def test_that_an_answer_comes_back_onto_the_pictures_grid_and_says_what_it_is(ct):
    manifest = manifest_from(CONTENT)
    tensor, patch = model_input(manifest, ct.image, CENTRE)
    mask = mask_from_output(manifest, tensor[:, :1], patch, ct.image)  # half-way between fat and node
    assert 2 * (mask.array & ct.truth.array).sum() / (mask.array.sum() + ct.truth.array.sum()) > 0.93
    (finding,) = mask.findings
    assert finding.code == "model_outline"
    assert manifest.sha256[:12] in finding.message
    logits = replace(manifest, is_logit=True)
    same = mask_from_output(logits, 8 * (tensor[:, :1] - 0.5), patch, ct.image)
    assert np.array_equal(same.array, mask.array) or (same.array ^ mask.array).mean() < 0.002


def test_that_an_answer_that_means_nothing_is_refused(ct):
    manifest = manifest_from(CONTENT)
    tensor, patch = model_input(manifest, ct.image, CENTRE)
    one = tensor[:, :1]
    assert refusal(lambda: mask_from_output(manifest, one[..., :-1], patch, ct.image)) == "model_failed"
    assert refusal(lambda: mask_from_output(manifest, one * np.nan, patch, ct.image)) == "model_failed"
    assert refusal(lambda: mask_from_output(manifest, one * 0, patch, ct.image)) == "no_boundary"
    assert refusal(lambda: mask_from_output(manifest, one * 0 + 1, patch, ct.image)) == "no_boundary"


def test_that_a_picture_it_was_not_made_for_is_refused(ct):
    manifest = manifest_from({**CONTENT, "modality": "MR"})
    assert refusal(lambda: model_input(manifest, ct.image, CENTRE)) == "model_modality"
    manifest = manifest_from(CONTENT)
    assert refusal(lambda: model_input(manifest, ct.image, (1e5, 0, 0))) == "seed_outside"
    assert refusal(lambda: model_input(manifest, ct.image, (np.nan, 0, 0))) == "nan"


def test_that_bytes_that_are_no_network_fail_in_their_own_process():
    assert refusal(lambda: run_network(b"no network", np.zeros((1, 1, 2, 2, 2), np.float32), JobContext())) == "model_failed"


def test_that_a_run_can_be_stopped_and_has_an_end():
    token = CancelToken()
    token.cancel()
    with pytest.raises(Cancelled):
        run_network(b"", np.zeros((1, 1, 2, 2, 2), np.float32), JobContext(token=token))
    assert refusal(lambda: run_network(b"", np.zeros((1, 1, 2, 2, 2), np.float32), JobContext(), longest_s=0.0)) == "model_failed"


@pytest.mark.skipif(sys.platform == "win32", reason="signals of another kind")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_that_a_program_that_is_stopped_or_killed_leaves_no_network_running(tmp_path, how):
    pytest.importorskip("onnxruntime")
    folder = model_folder(tmp_path / "slot", endless_network())
    case = write_ellipsoid_ct(tmp_path / "ct")
    call = ["segment", str(case.folder), "--seed=12.3,-8.1,105.2", "--method=model", "--model", str(folder), "--out", str(tmp_path / "m.nii.gz")]
    program = subprocess.Popen([sys.executable, "-m", "app", *call], stderr=subprocess.DEVNULL)

    def worker() -> list[str]:
        listed = subprocess.run(["ps", "-ww", "-eo", "pid,ppid,args"], capture_output=True, text=True, check=True).stdout.splitlines()
        return [line.split()[0] for line in listed if "spawn_main" in line and line.split()[1] == str(program.pid)]

    try:
        ends_s = time.monotonic() + 60
        while not worker() and time.monotonic() < ends_s:
            time.sleep(0.2)
        (pid,) = worker()
        wait_until_at_work(pid)
        assert is_running(pid)
        program.send_signal(how)
        assert program.wait(60) == (130 if how == signal.SIGINT else -signal.SIGKILL)
        ends_s = time.monotonic() + 30
        while is_running(pid) and time.monotonic() < ends_s:
            time.sleep(0.2)
        assert not is_running(pid)
        assert not (tmp_path / "m.nii.gz").exists()
    finally:
        program.kill()
        program.wait()


def is_running(pid: str) -> bool:
    """True while a process of that number works; one that has ended and waits to be noticed does not."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", pid], capture_output=True, text=True, check=False).stdout.strip()
    return bool(state) and not state.startswith("Z")


def test_that_a_real_network_runs_and_outlines(ct, tmp_path):
    pytest.importorskip("onnxruntime")
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper

    shape = [1, 1, *CONTENT["shape"]]
    nodes = [helper.make_node("Sub", ["x", "half"], ["d"]), helper.make_node("Mul", ["d", "gain"], ["s"]), helper.make_node("Sigmoid", ["s"], ["y"])]
    constants = [helper.make_tensor(n, TensorProto.FLOAT, [1], [v]) for n, v in (("half", 0.5), ("gain", 20.0))]
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n in ("x", "y")]
    model = helper.make_model(helper.make_graph(nodes, "g", ends[:1], ends[1:], constants), opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    path = slot(tmp_path, model.SerializeToString(), prompt={"kind": "none"})
    mask = outline_with_model(ct.image, CENTRE, path, enabled=True)
    assert 2 * (mask.array & ct.truth.array).sum() / (mask.array.sum() + ct.truth.array.sum()) > 0.93
    # a network made for another shape fails in words, not in a crash
    path = slot(tmp_path, model.SerializeToString(), prompt={"kind": "none"}, shape=[20, 32, 32])
    assert refusal(lambda: outline_with_model(ct.image, CENTRE, path, enabled=True)) == "model_failed"
