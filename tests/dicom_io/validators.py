"""Other people's programs that judge what we write. Absent ones skip, and fail where CI is true."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest


def need(program: str, package: str) -> str:
    """Path of a program, or a skip that names the Debian package."""
    found = shutil.which(program)
    if found is None:
        if os.environ.get("CI") == "true":
            pytest.fail(f"{program} (Debian package {package}) has to be installed in CI")
        pytest.skip(f"{program} (Debian package {package}) is not installed")
    return found


def dciodvfy_errors(path: Path) -> list[str]:
    """Lines of ``dciodvfy`` that say Error."""
    done = subprocess.run([need("dciodvfy", "dicom3tools"), "-new", str(path)], capture_output=True, text=True, timeout=120, check=False)
    said = (done.stdout + done.stderr).splitlines()
    assert said, "the validator said nothing at all"
    return [line for line in said if line.startswith("Error")]
