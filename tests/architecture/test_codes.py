"""Every code that the program can say stands in the documentation, and every option has a help text."""

from __future__ import annotations

import argparse
import ast
import re
from functools import cache
from pathlib import Path

import pytest

from app.cli import build_parser

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("app", "volumetry", "planning", "dicom_io")
PAGE = ROOT / "resources" / "docs" / "codes.md"
CODE = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
# Which argument of a call is the code, where it is not named ``code=``.
PLACES = {
    "Finding": 0, "Constraint": 0, "AuditFault": 0, "_warn": 0, "fault": 0, "Reason": 0, "SkippedFile": 1, "check_text": 2, "_refuse": 2,
}  # fmt: skip
# Functions that work a code out of a word; these are the words.
FORMED = {
    "{}_missing": ("subject", "visit", "node"),
    "{}_refused": ("role", "modality", "method"),
    "unlike_{}": ("modality", "method"),
}


def constants(node: ast.AST) -> set[str]:
    """Text constants a code expression can give: itself, both arms of a condition, a formed one."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return {node.value}
    if isinstance(node, ast.IfExp):
        return constants(node.body) | constants(node.orelse)
    if isinstance(node, ast.BoolOp):
        return set().union(*(constants(v) for v in node.values))
    if isinstance(node, ast.JoinedStr):
        pattern = "".join(v.value if isinstance(v, ast.Constant) else "{}" for v in node.values)
        assert pattern in FORMED, f"a code is formed as {pattern!r}: state its words here"
        return {pattern.format(word) for word in FORMED[pattern]}
    return set()


def codes_in(tree: ast.AST, *, safety: bool = False) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            for keyword in node.keywords:
                if keyword.arg == "code":
                    found |= constants(keyword.value)
            place = 0 if safety and name == "add" else PLACES.get(name)
            if place is not None and len(node.args) > place:
                found |= constants(node.args[place])
        elif isinstance(node, ast.FunctionDef):
            arguments = node.args.posonlyargs + node.args.args
            for argument, default in zip(arguments[len(arguments) - len(node.args.defaults) :], node.args.defaults, strict=True):
                if argument.arg == "code":
                    found |= constants(default)
        elif isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and key.value == "code":
                    found |= constants(value)
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(getattr(t, "id", "") in ("default_code", "code") for t in targets) and node.value is not None:
                found |= constants(node.value)
        elif isinstance(node, ast.Tuple) and len(node.elts) == 2:  # (code, sentence)
            first, second = node.elts
            sentence = isinstance(second, ast.JoinedStr) or (isinstance(second, ast.Constant) and isinstance(second.value, str) and second.value.endswith("."))
            if sentence and isinstance(first, ast.Constant) and isinstance(first.value, str) and "_" in first.value:
                found |= {first.value}
    return {c for c in found if CODE.fullmatch(c)}


@cache
def codes_used() -> dict[str, set[str]]:
    """Code -> files in which it is said."""
    used: dict[str, set[str]] = {}
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            for code in codes_in(ast.parse(path.read_text(encoding="utf-8")), safety=path.name == "safety.py"):
                used.setdefault(code, set()).add(path.relative_to(ROOT).as_posix())
    return used


def codes_told() -> dict[str, tuple[str, str]]:
    """Code -> (what it means, what you can do), as the page says."""
    rows = re.findall(r"^\| `([a-z0-9_]+)` \| (.*?) \| (.*?) \|$", PAGE.read_text(encoding="utf-8"), re.M)
    assert len(rows) == len({code for code, _, _ in rows}), "a code stands twice on the page"
    return {code: (meaning, doing) for code, meaning, doing in rows}


def test_that_every_code_in_the_program_is_explained_on_the_page():
    missing = {code: sorted(files) for code, files in codes_used().items() if code not in codes_told()}
    assert missing == {}


def test_that_the_page_explains_no_code_that_does_not_exist():
    assert sorted(set(codes_told()) - set(codes_used())) == []


def test_that_every_explanation_says_something():
    assert {code for code, (meaning, doing) in codes_told().items() if len(meaning) < 10 or len(doing) < 5} == set()


def test_that_the_scan_sees_every_way_in_which_a_code_is_said():
    used = codes_used()
    for code in ("thin", "path_crosses", "current_headroom", "chain_broken", "duplicate_slice", "regions_do_not_fit", "reason_missing", "visit_missing", "unlike_method", "no_target", "refused"):
        assert code in used, code


def parsers(parser: argparse.ArgumentParser, path: str = "nodus"):
    yield path, parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, child in action.choices.items():
                yield from parsers(child, f"{path} {name}")


def test_that_every_command_and_option_has_a_help_text():
    silent = []
    for path, parser in parsers(build_parser()):
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                told = {a.dest for a in action._choices_actions if a.help}
                silent += [f"{path} {name}" for name in action.choices if name not in told]
            elif not action.help or action.help is argparse.SUPPRESS:
                silent.append(f"{path}: {'/'.join(action.option_strings) or action.dest}")
    assert silent == []


def test_that_every_command_describes_itself_when_asked():
    assert [path for path, parser in parsers(build_parser()) if not parser.description] == []


@pytest.mark.parametrize("path", [p for p, _ in parsers(build_parser())])
def test_that_the_help_of_every_command_prints(path, capsys):
    with pytest.raises(SystemExit) as stop:
        build_parser().parse_args([*path.split()[1:], "--help"])
    assert stop.value.code == 0
    assert "usage: nodus" in capsys.readouterr().out
