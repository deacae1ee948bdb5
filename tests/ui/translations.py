"""What the window can show, read out of the source: every text given to ``t()``, the tables whose entries are given to it,
and the sentences that other parts of the program put together. ``python -m tests.ui.translations`` says what is missing."""

from __future__ import annotations

import ast
import importlib
import json
import re
import sys
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
I18N = ROOT / "resources" / "i18n"
# Constants whose texts reach t() through a variable: (module, name).
TABLES = (
    ("app", "INVESTIGATIONAL_NOTICE"), ("app.ui.actions", "STEP_TITLES"), ("app.ui.actions", "GESTURES"), ("app.ui.session", "WINDOW_PRESETS"),
    ("app.ui.views.slice_pane", "PLANE_TITLES"), ("app.ui.views.plane", "_OWN_TITLES"), ("app.ui.dialogs.look_at", "KINDS"), ("app.ui.dialogs.keys", "MENU_TITLES"),
    ("app.ui.dialogs.review_pictures", "SHORT"), ("app.ui.dialogs.lock", "lock_meanings"), ("app.ui.dialogs.delivery", "FIELDS"), ("app.ui.models.measures", "SOURCES"), ("app.ui.models.nodes", "_SHORT_STATUS"),
    ("app.ui.dialogs.pacs_door", "ENCRYPTIONS"), ("app.ui.dialogs.pacs_peers", "TLS_NAMES"), ("app.ui.dialogs.pacs_peers", "SIGN_INS"), ("app.ui.dialogs.pacs_peers", "RETRIEVES"),
    ("app.ui.dialogs.pacs_query", "COLUMNS"), ("app.ui.dialogs.pacs_receive", "COLUMNS"), ("app.ui.dialogs.pacs_send", "EXPORTS_SAY"), ("app.ui.dialogs.pacs_send", "FOLDER_SAYS"),
    ("app.ui.models.pacs", "DATE_NAMES"), ("app.ui.panels.report", "DICOM_KINDS"), ("app.ui.session_ablation_margin", "MEASURING"), ("planning.anatomy", "REQUIRED"),
    ("app.ui.views.colour_tables", "MARGIN_BANDS"), ("app.ui.panels.ellipsoid", "ROLES"), ("volumetry.quantity", "QUANTITIES"), ("volumetry.uncertainty", "OUTLINED"), ("volumetry.calibration", "DATA_TYPES"), ("volumetry.calibration", "SPATIAL_FORMATS"),
    ("app.ui.panels.visit_board", "EVENT_WORDS"), ("app.ui.session_users", "ROLE_NAMES"), ("app.ui.dialogs.export_edc", "FORMATS"), ("app.study.signing", "MEANINGS"), ("app.ui.models.eligibility_words", "_LIMITS"), ("app.usecases.contrast_panes", "REASONS"), ("app.usecases.pair_planes", "REASONS"),
)  # fmt: skip
# Rows of which one entry is words: the rest are signs, colours and keys.
ROWS = (("app.ui.models.visit_board", "LOOKS", 1), ("app.ui.models.visit_board", "SALVAGE_LOOKS", 1), ("app.ui.models.worklist", "STATE_WORDS", 1), ("app.ui.panels.visit_board", "_FIELDS", None))
# Names of the planning rooms that the window shows with a capital letter.
CAPITALISED = (("planning.schematic", "KINDS"), ("planning.schematic", "SIDES"), ("app.usecases.structures", "NECK_STRUCTURES"), ("app.ui.panels.plan_schematic", "DIRECTIONS"))
# Calls of the window whose words are shown as they are, through said(); each with where the words stand.
SAYING = {"emit": (1, 0), "start": (0,), "_push": (0,), "_say_saved": (0,), "StepCommand": (0,), "beginMacro": (0,), "_Gesture": (0,), "set_plan": (1,), "_draw": (), "report": (0, 1)}
FINDINGS = ("Finding", "Constraint", "_warn", "add", "Reason", "SkippedFile")
NOT_IN_THE_WINDOW = ("app/usecases/bench.py", "app/usecases/selftest.py", "app/usecases/deidentify.py", "app/usecases/demo.py")
KEYED = ("FIELDS", "DICOM_KINDS", "WAYS", "FORMATS")  # rows whose first entry is a key
# Put together from pieces, or kept in data, where no reading of the source finds them.
COMPOSED = (
    "{} ({})", "preset {}", "{}, give or take {} %", "cine", "background", "{}; {} left out: {}", "{}, {} were there already", "{}; {} not taken, the first: {}", "central", "site", "longitudinal", "transverse", "voxel", "contour", "coverage",
    # rows of eligibility, what roles may not do, what signing says: texts of the study
    "Ask the study's administrator.",
    "The one inside can be bridged by its neighbours.", "{} % of the liver", "{} result", "{} scan",
    "{}: {} by {}, {}, {}, signed", "{}: {} by {}, {}, {}, not signed yet",
    "Creatinine clearance",
    "I have corrected and confirm this measurement",
    "I have read and confirm this measurement",
    "I have reviewed this measurement",
    "Lesions",
    "Levels",
    "Liver to be ablated",
    "Longest axis",
    "Measurable lesions",
    "Metal",
    "Name or password is wrong.",
    "Nodes left",
    "Nodes right",
    "This account is disabled.",
    "Too many wrong passwords; this account rests for five minutes.",
    "Your role does not let you add a node.",
    "Your role does not let you add or change subjects, visits, nodes and events.",
    "Your role does not let you adjudicate.",
    "Your role does not let you change settings of the study.",
    "Your role does not let you copy the study.",
    "Your role does not let you export.",
    "Your role does not let you import pictures.",
    "Your role does not let you keep plans and what was delivered.",
    "Your role does not let you look through a reader's eyes.",
    "Your role does not let you make central readings.",
    "Your role does not let you make site readings.",
    "Your role does not let you make training readings.",
    "Your role does not let you manage users.",
    "Your role does not let you see all readings, dates and events.",
    "Your role does not let you see dates, events and site readings.",
    "Your role does not let you see the audit trail.",
)  # fmt: skip
WORDS = re.compile(r"[A-Za-z]{2,}")


def templates(node: ast.AST) -> list[str]:
    """The texts an expression can give, ``{}`` for each part that varies; none where it is no text."""
    if isinstance(node, ast.Constant):
        return [node.value] if isinstance(node.value, str) else []
    if isinstance(node, ast.IfExp):
        return templates(node.body) + templates(node.orelse)
    if isinstance(node, ast.BoolOp):
        return [text for value in node.values for text in templates(value)]
    if isinstance(node, ast.JoinedStr):
        out = [""]
        for part in node.values:
            inner = [part.value] if isinstance(part, ast.Constant) else (templates(part.value) if isinstance(part.value, ast.IfExp) else []) or ["{}"]
            out = [before + text for before in out for text in inner]
        return out
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return [a + b for a in templates(node.left) or ["{}"] for b in templates(node.right) or ["{}"]]
    return []


def _is_t(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "t"


@cache
def _tree(path: Path) -> ast.AST:
    return ast.parse(path.read_text(encoding="utf-8"))


def _trees(*packages: str) -> list[tuple[str, ast.AST]]:
    return [(p.relative_to(ROOT).as_posix(), _tree(p)) for package in packages for p in sorted((ROOT / package).rglob("*.py"))]


@cache
def spoken() -> dict[str, str]:
    """Every literal given to ``t()`` in the window, and the file it stands in."""
    return {text: path for path, tree in _trees("app/ui") for node in ast.walk(tree) if _is_t(node) and node.args for text in templates(node.args[0]) if text}


@cache
def tabled() -> dict[str, str]:
    """Every text of the tables, and where it stands."""
    found: dict[str, str] = {}

    def take(value, where: str) -> None:
        if isinstance(value, str):
            if WORDS.search(value):
                found.setdefault(value, where)
        elif isinstance(value, dict):
            for key, entry in value.items():
                take(entry, where)
                if name == "WINDOW_PRESETS":
                    take(key, where)
        elif isinstance(value, tuple | list):
            for entry in value[1:] if name in KEYED and value and isinstance(value[0], str) else value:
                take(entry, where)
        else:  # a value class: what names it
            take(next((getattr(value, known) for known in ("label", "source", "text") if isinstance(getattr(value, known, None), str)), None), where) if value is not None else None

    for module, name in TABLES:
        value = getattr(importlib.import_module(module), name)
        take(value() if callable(value) else value, f"{module}.{name}")
    for module, name, place in ROWS:
        for row in getattr(importlib.import_module(module), name).values():
            take(row[place] if place is not None else [label for _, label in row], f"{module}.{name}")
    for module, name in CAPITALISED:
        for entry in getattr(importlib.import_module(module), name):
            take((entry if isinstance(entry, str) else entry[0]).capitalize(), f"{module}.{name}")
    for file in sorted((ROOT / "resources" / "tissues").glob("*.json")):
        found[json.loads(file.read_text(encoding="utf-8"))["name"]] = "resources/tissues"
    for file in sorted((ROOT / "resources" / "protocols").glob("*.json")):  # words of the shipped protocols that the board shows
        content = json.loads(file.read_text(encoding="utf-8"))
        for anchor in content["anchors"].values():
            found[anchor["meaning"]] = "resources/protocols"
        for endpoint in content["endpoints"]:
            found[endpoint["title"]] = "resources/protocols"
        for opinion in content["limits"].get("opinions", ()):
            found[opinion["text"]] = found[opinion["name"].replace("_", " ").capitalize()] = "resources/protocols"
    for entry in json.loads((ROOT / "resources" / "repeatability" / "published.json").read_text(encoding="utf-8"))["volumes"].values():
        found[entry["source"]] = "resources/repeatability"
    for structure in importlib.import_module("planning.anatomy").REQUIRED["neck"]:
        for side in ("left", "right"):
            take(f"{side} {structure}", "planning.anatomy.REQUIRED")
    return found


def is_said(text: str, least: int = 1) -> bool:
    """True for words that a person reads: not a code, a key or a style."""
    if len(WORDS.findall(text.replace("{}", " "))) < least or "``" in text or re.search(r"padding|rgb|px;", text):
        return False
    return " " in text.strip() or text[:1].isupper()


@cache
def put_together() -> dict[str, str]:
    """Sentences of the window outside ``t()``, of findings and constraints of the rooms below, and of jobs under way."""
    found: dict[str, str] = dict.fromkeys(COMPOSED, "put together from pieces")

    def take(path: str, node: ast.AST, least: int) -> None:
        if not _is_t(node):
            found.update({text: path for text in templates(node) if is_said(text, least) and text not in found})

    for path, tree in _trees("app/ui"):
        if path == "app/ui/probe.py" or path.startswith("app/ui/walk/"):
            continue
        nodes = list(ast.walk(tree))
        alone = {id(n.value) for n in nodes if isinstance(n, ast.Expr)}
        alone |= {id(part) for n in nodes if _is_t(n) for part in ast.walk(n)}
        alone |= {id(part) for n in nodes if isinstance(n, ast.JoinedStr) for part in n.values}
        for node in nodes:
            if isinstance(node, ast.Call):
                name = getattr(node.func, "id", getattr(node.func, "attr", ""))
                for place in SAYING.get(name, ()):
                    if place < len(node.args):
                        take(path, node.args[place], 1)
            if path.startswith(("app/ui/session", "app/ui/comparison")) and isinstance(node, ast.Constant | ast.JoinedStr) and id(node) not in alone:
                take(path, node, 2)
    for path, tree in _trees("volumetry", "planning", "dicom_io", "app/usecases", "app/jobs"):
        if path in NOT_IN_THE_WINDOW:
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                name = getattr(node.func, "id", getattr(node.func, "attr", ""))
                if name in FINDINGS:
                    for argument in (*node.args, *(k.value for k in node.keywords if k.arg == "message")):
                        take(path, argument, 2)
                elif name == "report" and node.args:
                    for argument in (*node.args, *(k.value for k in node.keywords)):
                        take(path, argument, 1)
            elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id in ("words", "why", "where", "message", "told"):
                take(path, node.value, 4)
            elif isinstance(node, ast.Dict) and {"code", "message"} <= {k.value for k in node.keys if isinstance(k, ast.Constant)}:
                for key, value in zip(node.keys, node.values, strict=True):
                    if isinstance(key, ast.Constant) and key.value == "message":
                        take(path, value, 2)
    return found


def anywhere() -> set[str]:
    """Every text that any part of the program can put together."""
    return {text for _path, tree in _trees("app", "volumetry", "planning", "dicom_io") for node in ast.walk(tree) if isinstance(node, ast.Constant | ast.JoinedStr | ast.BinOp) for text in templates(node)}


def content(language: str) -> dict:
    """What a language's file holds."""
    return json.loads((I18N / f"{language}.json").read_text(encoding="utf-8"))


@cache
def shown() -> dict[str, str]:
    """Everything that needs a translation, and where it stands."""
    return put_together() | tabled() | spoken()


def main() -> None:
    """Say what a translation lacks and what it holds for nothing: ``python -m tests.ui.translations zh-CN``."""
    held = content(sys.argv[1] if len(sys.argv) > 1 else "zh-CN")
    wanted, there = shown(), anywhere()
    for text in sorted(wanted.keys() - held["texts"].keys() - held["sentences"].keys(), key=lambda text: wanted[text]):
        print(f"missing  {wanted[text]}: {text!r}")
    for text in sorted((held["texts"].keys() - wanted.keys()) | (held["sentences"].keys() - wanted.keys() - there)):
        print(f"gone     {text!r}")


if __name__ == "__main__":
    main()
