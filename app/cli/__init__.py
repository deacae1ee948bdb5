"""The command line: a public interface that sites script. Names and exit codes are fixed.

Exit codes: 0 done; 1 a bug; 2 wrong usage; 3 input refused; 4 a check found a fault.
"""

from __future__ import annotations

import argparse
import sys
import traceback
from pathlib import Path

from app import INVESTIGATIONAL_NOTICE, __version__
from app.cli import (
    deidentify,
    images,
    measuring,
    optimising,
    pacs,
    perfusion,
    planning,
    registering,
    robustness,
    schematic,
    segmenting,
    signing_in,
    study,
    system,
    thermal,
    users,
)
from app.cli.output import emit_error, say
from volumetry.errors import Cancelled, NodusError

EXIT_DONE, EXIT_BUG, EXIT_USAGE, EXIT_REFUSED, EXIT_FAULT = 0, 1, 2, 3, 4


def build_parser() -> argparse.ArgumentParser:
    """The whole command tree."""
    parser = argparse.ArgumentParser(prog="nodus", description=f"Ablation planning and lymph-node volumetry. {INVESTIGATIONAL_NOTICE}.")
    parser.add_argument("--version", action="version", version=f"nodus {__version__}")
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    parser.add_argument("--language", metavar="CODE", help="language of the window this time: en or zh-CN (View ▾ chooses it for good)")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    for part in (system, images, deidentify, measuring, segmenting, perfusion, registering, planning, schematic, optimising, robustness, thermal, study, users, pacs):
        part.register(commands)
    for command in _leaves(commands):
        signing_in.add_options(command)
        command.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help="show tracebacks")
    return parser


def _leaves(commands) -> list[argparse.ArgumentParser]:
    """Every command and every verb below one."""
    found = []
    for command in commands.choices.values():
        verbs = [a for a in command._actions if isinstance(a, argparse._SubParsersAction)]
        found += [command, *(leaf for v in verbs for leaf in _leaves(v))]
    return found


def main(argv: list[str]) -> int:
    """Run one command and return its exit code; without a command, open the window."""
    parser = build_parser()
    if argv[:1] == ["walk"]:
        return system.walk(argv[1:])
    try:
        args = parser.parse_args(argv)
    except SystemExit as stop:
        return int(stop.code or 0)
    for name, value in vars(args).items():
        if isinstance(value, Path) and value.name in ("", ".."):
            setattr(args, name, value.resolve())  # so that messages can name it
    signing_in.remember(args)
    try:
        return (system.run_window if args.command is None else args.work)(args) or EXIT_DONE
    except NodusError as refusal:
        emit_error(refusal, as_json=getattr(args, "json", False))
        return EXIT_REFUSED
    except (KeyboardInterrupt, Cancelled):
        say("stopped; nothing was half-written")
        return 130
    except BrokenPipeError:
        return EXIT_DONE
    except OSError as problem:
        # A folder that cannot be written, a disk that is full: the person's to mend, no bug.
        emit_error(NodusError(f"{problem.filename or 'A file'} cannot be used: {problem.strerror or problem}.", code="file_unusable"), as_json=getattr(args, "json", False))
        return EXIT_REFUSED
    except Exception as bug:  # the last net: a person gets one sentence, a developer asks for --debug
        if args.debug:
            traceback.print_exc()
        if getattr(args, "json", False):
            emit_error(NodusError(f"Internal error ({type(bug).__name__}).", code="internal", hint="Run again with --debug and report it."), as_json=True)
        say(f"internal error ({type(bug).__name__}): {bug}. Run again with --debug and report it; nothing of yours was changed by the failure itself.")
        return EXIT_BUG


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
