"""How the command line speaks: one JSON object on standard output, everything else on standard error."""

from __future__ import annotations

import json
import math
import sys
from typing import Any

import numpy as np

from app.jobs import JobContext, Progress
from volumetry.errors import NodusError


def plain(value: Any) -> Any:
    """Reduce numpy scalars and tuples to JSON's own types; NaN and infinity become null."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return float(value) if math.isfinite(value) else None
    return value


def emit(result: dict, *, as_json: bool, human: str | None = None) -> None:
    """Print the answer: exactly one JSON object with ``--json``, else the human text."""
    if as_json or human is None:
        print(json.dumps(plain(result), ensure_ascii=False, allow_nan=False, indent=None if as_json else 2))
    else:
        print(human)


def emit_error(refusal: NodusError, *, as_json: bool) -> None:
    """Print a refusal: the error object on standard output with ``--json``, a sentence otherwise."""
    if as_json:
        print(json.dumps({"error": refusal.as_dict()}, ensure_ascii=False))
    say(refusal.message + (f" {refusal.hint}" if refusal.hint else "") + f" [{refusal.code}]")


def say(text: str) -> None:
    """A line on standard error."""
    print(text, file=sys.stderr, flush=True)


def progress_context() -> JobContext:
    """A job context with a progress bar on a terminal, and silence elsewhere."""
    if not sys.stderr.isatty():
        return JobContext()

    def listener(event: Progress) -> None:
        fraction = 0.0 if event.fraction is None else event.fraction
        filled = round(24 * fraction)
        sys.stderr.write(f"\r\x1b[K[{'#' * filled}{'.' * (24 - filled)}] {fraction:4.0%} {event.message[:60]}")
        if fraction >= 1.0:
            sys.stderr.write("\n")
        sys.stderr.flush()

    return JobContext(listener)


def add_command(commands, name: str, *, help: str, description: str | None = None):
    """A command whose own help begins with at least what the list of commands says of it."""
    return commands.add_parser(name, help=help, description=description or help[:1].upper() + help[1:] + ".")


def add_json(parser) -> None:
    """The ``--json`` flag every answering command has."""
    parser.add_argument("--json", action="store_true", help="print exactly one JSON object on standard output")


def table(rows: list[list[str]], header: list[str]) -> str:
    """A plain aligned text table."""
    widths = [max(len(str(r[c])) for r in [header, *rows]) for c in range(len(header))]
    lines = ["  ".join(str(v).ljust(w) for v, w in zip(r, widths)).rstrip() for r in [header, *rows]]
    return "\n".join([lines[0], "  ".join("-" * w for w in widths), *lines[1:]])
