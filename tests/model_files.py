"""Small real networks in the model slot's form, made anew for each test that needs one."""

from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path

import pytest

MANIFEST = {
    "schema": "nodus.model/1", "name": "soft tissue", "version": "1", "licence": "CC0-1.0", "modality": "CT",
    "spacing_mm": [1.0, 1.0, 1.0], "shape": [24, 32, 32], "intensity": {"rule": "window", "low": -100, "high": 100},
    "prompt": {"kind": "none"}, "output": {"kind": "probability", "threshold": 0.5},
}  # fmt: skip


def threshold_network() -> bytes:
    """A network that calls soft tissue everything above the middle of the window."""
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper

    shape = [1, 1, *MANIFEST["shape"]]
    nodes = [helper.make_node("Sub", ["x", "half"], ["d"]), helper.make_node("Mul", ["d", "gain"], ["s"]), helper.make_node("Sigmoid", ["s"], ["y"])]
    constants = [helper.make_tensor(n, TensorProto.FLOAT, [1], [v]) for n, v in (("half", 0.5), ("gain", 20.0))]
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n in ("x", "y")]
    model = helper.make_model(helper.make_graph(nodes, "g", ends[:1], ends[1:], constants), opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def endless_network() -> bytes:
    """A network that never answers: a loop of 2**62 turns."""
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper

    shape = [1, 1, *MANIFEST["shape"]]
    turn = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["go_on"]), helper.make_node("Mul", ["v", "v"], ["w"])],
        "turn",
        [helper.make_tensor_value_info("n", TensorProto.INT64, []), helper.make_tensor_value_info("go", TensorProto.BOOL, []), helper.make_tensor_value_info("v", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("go_on", TensorProto.BOOL, []), helper.make_tensor_value_info("w", TensorProto.FLOAT, shape)],
    )
    loop = helper.make_node("Loop", ["turns", "yes", "x"], ["y"], body=turn)
    constants = [helper.make_tensor("turns", TensorProto.INT64, [], [2**62]), helper.make_tensor("yes", TensorProto.BOOL, [], [True])]
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n in ("x", "y")]
    model = helper.make_model(helper.make_graph([loop], "g", ends[:1], ends[1:], constants), opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def model_folder(folder: Path, data: bytes, **changes) -> Path:
    """A folder with a network and a manifest that vouches for it, unless ``changes`` say otherwise."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.json").write_text(json.dumps({**MANIFEST, "sha256": hashlib.sha256(data).hexdigest(), **changes}), "utf-8")
    (folder / "model.onnx").write_bytes(data)
    return folder


def wait_until_at_work(pid: int | str, *, busy_s: float = 1.5, within_s: float = 60.0) -> None:
    """Return once a process has computed for ``busy_s``: it is past its imports, however busy the machine is.

    Where the system does not tell (no ``/proc``), after two seconds."""
    told = Path(f"/proc/{pid}/stat")
    if not told.exists():
        time.sleep(2.0)
        return
    ends_s = time.monotonic() + within_s
    while time.monotonic() < ends_s:
        user, system = told.read_text().rpartition(")")[2].split()[11:13]
        if (int(user) + int(system)) / os.sysconf("SC_CLK_TCK") >= busy_s:
            return
        time.sleep(0.1)
