"""A user's network, run in a process of its own: what it does wrong stays there."""

from __future__ import annotations

import importlib.util
import json
import multiprocessing
import os
import threading
import time
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
END_S = 2.0


def runtime_is_there() -> bool:
    """True where the runtime for networks is installed."""
    return importlib.util.find_spec("onnxruntime") is not None


def model_files(place: Path) -> tuple[Path, Path]:
    """(manifest, network) of a model: ``place`` is its folder, or the manifest in it.

    The manifest is ``manifest.json``, ``model.json`` or the only ``.json`` of the folder; the network has the
    manifest's name with the ending ``.onnx``, or is the only ``.onnx`` there. Refuses ``model_missing``
    and ``several_models``.
    """
    place = Path(place)
    if place.is_dir():
        found = sorted(place.glob("*.json"))
        named = [p for name in ("manifest.json", "model.json") for p in found if p.name == name]
        manifest = _only(named[:1] or found, "manifest (.json)", place)
    else:
        manifest = place
        _there(manifest)
    network = manifest.with_suffix(".onnx")
    if not network.is_file():
        network = _only(sorted(manifest.parent.glob("*.onnx")), "network (.onnx)", manifest.parent)
    return manifest, network


def _only(found: list[Path], what: str, folder: Path) -> Path:
    if len(found) > 1:
        raise SegmentationRefused(f"The folder {folder.name} holds {len(found)} files that could be its {what}.", code="several_models", hint="Keep one model a folder.")
    if not found:
        raise SegmentationRefused(f"There is no {what} here.", code="model_missing", hint="Put the model and its manifest side by side.")
    return found[0]


def _there(path: Path) -> None:
    if not path.is_file():
        raise SegmentationRefused(f"There is no {path.name} here.", code="model_missing", hint="Put the model and its manifest side by side.")


def load_model(place: Path) -> tuple[ModelManifest, bytes]:
    """The checked manifest and the network's bytes of ``model_files(place)``. Refuses ``model_missing``,
    ``several_models``, ``manifest_invalid``, ``licence_missing``, ``model_changed``."""
    manifest_path, network_path = model_files(place)
    try:
        content = json.loads(manifest_path.read_text("utf-8"))
    except ValueError as error:
        raise SegmentationRefused(f"The model's manifest is not valid JSON: {error}.", code="manifest_invalid") from error
    manifest = manifest_from(content)
    data = network_path.read_bytes()
    check_model(manifest, data)
    return manifest, data


def outline_with_model(image: ImageVolume, centre_mm, place: Path, *, enabled: bool = False, context: JobContext | None = None) -> NodeMask:
    """A proposal by the user's network for the node under a click, marked ``model_outline``.

    ``enabled`` is the user's setting and off unless given: refused ``model_off``. Refuses as ``load_model``,
    ``model_input`` and ``mask_from_output`` do (``place`` is the model's folder or manifest), ``model_runtime_missing``, ``model_failed`` (it failed,
    died or took longer than two minutes). Raises ``Cancelled``.
    """
    context = context or JobContext()
    if not enabled:
        raise SegmentationRefused("Outlining by a trained model is switched off.", code="model_off", hint="Switch it on for this study if its protocol allows it.")
    manifest, data = load_model(place)
    if not runtime_is_there():
        raise SegmentationRefused("The runtime for models is not installed.", code="model_runtime_missing", hint="Install onnxruntime, or use another tool.")
    tensor, patch = model_input(manifest, image, centre_mm)
    context.report("The model is working", 0.3)
    return mask_from_output(manifest, run_network(data, tensor, context), patch, image)


def run_network(data: bytes, tensor: np.ndarray, context: JobContext, *, longest_s: float = LONGEST_S) -> np.ndarray:
    """The first output of the network for one input tensor, worked out in a new process.

    The bytes that were checked are the bytes that run. The process is ended on every way out: an answer,
    a refusal, a cancelled job. Refuses ``model_failed``; raises ``Cancelled``.
    """
    spawn = multiprocessing.get_context("spawn")
    mine, theirs = spawn.Pipe()
    child = spawn.Process(target=_work, args=(theirs,), daemon=True)
    # A large network is handed over in a thread: while the child starts up, the job can still be stopped.
    sender = threading.Thread(target=_hand_over, args=(mine, data, tensor), daemon=True)
    ends_s = time.monotonic() + longest_s
    child.start()
    theirs.close()
    try:
        sender.start()
        while not mine.poll(POLL_S):
            if context.token.is_cancelled:
                raise Cancelled
            if time.monotonic() > ends_s:
                raise SegmentationRefused(f"The model did not answer within {longest_s:.0f} s.", code="model_failed")
        told, answer = mine.recv()
    except (EOFError, OSError) as error:
        raise SegmentationRefused("The model's process ended without an answer.", code="model_failed") from error
    finally:
        _end(child)
        sender.join()  # its line is dead once the child is
        mine.close()
        child.close()
    if not told:
        raise SegmentationRefused(f"The model failed: {answer}.", code="model_failed")
    return answer


def _hand_over(line: Connection, data: bytes, tensor: np.ndarray) -> None:
    try:
        line.send((data, tensor))
    except OSError:
        return  # the child is gone; who waits for its answer learns it there


def _end(child) -> None:
    """End the child for certain: asked first, killed where it does not listen."""
    child.terminate()
    child.join(END_S)
    if child.is_alive():
        child.kill()
        child.join()


def _end_with_parent() -> None:
    """In the child: a program that was killed leaves no network running behind it."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(line: Connection) -> None:
    """What the child does: one network, one tensor, one answer."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
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
