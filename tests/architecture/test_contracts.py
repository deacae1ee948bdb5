"""Who may know whom, what may stand at the top level, and what no file may say."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ALLOWED_AT_TOP = {
    "app", "volumetry", "planning", "dicom_io", "resources", "tests", "build_installer.spec", "pyproject.toml",
    "README.md", "CHANGELOG.md", "LICENSE", "run", "test", "requirements.lock",
}


def tracked_files() -> list[Path]:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    out = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [Path(p) for p in out.split("\0") if p]


def test_that_import_contracts_hold():
    run = subprocess.run([str(Path(sys.executable).with_name("lint-imports")), "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-2000:]


def test_that_the_top_level_holds_only_what_it_may():
    top = {p.parts[0] for p in tracked_files()}
    assert {t for t in top if not t.startswith(".")} <= ALLOWED_AT_TOP


def test_that_resources_hold_no_code():
    code = [str(p) for p in tracked_files() if p.parts[0] == "resources" and p.suffix == ".py" and p.name != "__init__.py"]
    assert code == []


def test_that_no_file_names_a_machine_path_or_a_package_registry():
    hosts = "|".join(("py" + "pi", "python" + "hosted", "deb" + "ian", "npm" + "js"))
    folders = "|".join(("wo" + "rk", "ro" + "ot", "t" + "mp", "ho" + "me"))
    pattern = re.compile(rf"https?://[\w.-]*({hosts})[\w.-]*|file:///\w+|(?<![\w.])/({folders})/[\w.-]+/")
    bad = []
    for path in tracked_files():
        try:
            text = (ROOT / path).read_text(encoding="utf-8")
        except (UnicodeDecodeError, FileNotFoundError):
            continue
        bad += [f"{path}:{n}" for n, line in enumerate(text.splitlines(), 1) if pattern.search(line)]
    assert bad == []


def test_that_pinned_requirements_are_hashed_and_without_addresses():
    text = (ROOT / "requirements.lock").read_text()
    assert "://" not in text
    pins = re.findall(r"^[\w.\[\]-]+==", text, re.M)
    assert len(pins) > 30
    assert text.count("--hash=sha256:") >= len(pins)


def test_that_no_gpl_package_is_needed_at_run_time():
    # Build and test tools may be GPL; what a closed installer carries may not.
    import importlib.metadata as metadata
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    todo = [re.split(r"[\s<>=!~;\[]", d)[0] for d in project["project"]["dependencies"]]
    seen: set[str] = set()
    offending = []
    while todo:
        name = todo.pop().lower().replace("_", "-")
        if name in seen:
            continue
        seen.add(name)
        try:
            package = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue  # for another platform or Python version
        stated = " ".join([package.metadata.get("License-Expression") or "", *(package.metadata.get_all("Classifier") or [])])
        if re.search(r"(?<!L)GPL|(?<!Lesser )General Public License", stated) and not re.search(r"LGPL|Lesser", stated):
            offending.append(f"{name}: {stated[:120]}")
        todo += [re.split(r"[\s<>=!~;\[(]", d)[0] for d in package.requires or [] if "extra ==" not in d]
    assert len(seen) > 20
    assert offending == []
