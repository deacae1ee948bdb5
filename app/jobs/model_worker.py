"""A user's network, run in a process of its own: what it does wrong stays there."""

from __future__ import annotations

import importlib.util
import json
import multiprocessing
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from app.jobs.progress import JobContext
from volumetry.errors import Cancelled, SegmentationRefused
from volumetry.image import ImageVolume
from volumetry.mask import NodeMask
from volumetry.segmentation.model_slot import ModelManifest, check_model, manifest_from, mask_from_output, model_input

LONGEST_S = 120.0
POLL_S = 0.1


def runtime_is_there() -> bool:
    """True where the runtime for networks is installed."""
    return importlib.util.find_spec("onnxruntime") is not None


def load_model(manifest_path: Path) -> tuple[ModelManifest, bytes]:
    """The checked manifest and the network's bytes; the network lies beside it, named as the manifest with
    the ending ``.onnx``. Refuses ``model_missing``, ``manifest_invalid``, ``licence_missing``, ``model_changed``."""
    manifest_path = Path(manifest_path)
    model_path = manifest_path.with_suffix(".onnx")
    for path in (manifest_path, model_path):
        if not path.is_file():
            raise SegmentationRefused(f"There is no {path.name} here.", code="model_missing", hint="Put the model and its manifest side by side.")
    try:
        content = json.loads(manifest_path.read_text("utf-8"))
    except ValueError as error:
        raise SegmentationRefused(f"The model's manifest is not valid JSON: {error}.", code="manifest_invalid") from error
    manifest = manifest_from(content)
    data = model_path.read_bytes()
    check_model(manifest, data)
    return manifest, data


def outline_with_model(image: ImageVolume, centre_mm, manifest_path: Path, *, enabled: bool = False, context: JobContext | None = None) -> NodeMask:
    """A proposal by the user's network for the node under a click, marked ``model_outline``.

    ``enabled`` is the user's setting and off unless given: refused ``model_off``. Refuses as ``load_model``,
    ``model_input`` and ``mask_from_output`` do, ``model_runtime_missing``, ``model_failed`` (it failed,
    died or took longer than two minutes). Raises ``Cancelled``.
    """
    context = context or JobContext()
    if not enabled:
        raise SegmentationRefused("Outlining by a trained model is switched off.", code="model_off", hint="Switch it on for this study if its protocol allows it.")
    manifest, data = load_model(manifest_path)
    if not runtime_is_there():
        raise SegmentationRefused("The runtime for models is not installed.", code="model_runtime_missing", hint="Install onnxruntime, or use another tool.")
    tensor, patch = model_input(manifest, image, centre_mm)
    context.report("The model is working", 0.3)
    return mask_from_output(manifest, run_network(data, tensor, context), patch, image)


def run_network(data: bytes, tensor: np.ndarray, context: JobContext, *, longest_s: float = LONGEST_S) -> np.ndarray:
    """The first output of the network for one input tensor, worked out in a new process.

    The bytes that were checked are the bytes that run. Refuses ``model_failed``; raises ``Cancelled``.
    """
    spawn = multiprocessing.get_context("spawn")
    mine, theirs = spawn.Pipe()
    child = spawn.Process(target=_work, args=(theirs,), daemon=True)
    child.start()
    theirs.close()
    try:
        mine.send((data, tensor))
        waited = 0.0
        while not mine.poll(POLL_S):
            waited += POLL_S
            if context.token.is_cancelled:
                raise Cancelled
            if waited > longest_s:
                raise SegmentationRefused(f"The model did not answer within {longest_s:.0f} s.", code="model_failed")
        told, answer = mine.recv()
    except (EOFError, OSError) as error:
        raise SegmentationRefused("The model's process ended without an answer.", code="model_failed") from error
    finally:
        mine.close()
        child.terminate()
        child.join(5)
    if not told:
        raise SegmentationRefused(f"The model failed: {answer}.", code="model_failed")
    return answer


def _work(line: Connection) -> None:
    """What the child does: one network, one tensor, one answer."""
    data, tensor = line.recv()
    try:
        import onnxruntime

        onnxruntime.disable_telemetry_events()  # nothing about a picture leaves the machine
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 2
        session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        answer = session.run(None, {session.get_inputs()[0].name: tensor})[0]
        line.send((True, np.asarray(answer)))
    except Exception as problem:  # whatever a foreign network raises is told to the parent in words
        line.send((False, f"{type(problem).__name__}: {str(problem)[:300]}"))
