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


def pixelmed_errors(path: Path) -> list[str]:
    """What PixelMed's DicomSRValidator calls an error in the template tree of a report.

    Its tables are of 2022. Left out is only what they get wrong, each by its own rule: a number that belongs to the
    context of a group (TID 1502) or to the properties of another number (TID 310) is taken for a measurement because
    the tables let any number stand there; the reader's role and ultrasound are newer than its context groups.
    """
    java = need("java", "default-jre-headless")
    jar = Path("/usr/share/java/pixelmed.jar")
    if not jar.exists():
        need("pixelmed-jar-is-missing", "libpixelmed-java")
    limits = [f"-Djdk.xml.xpath{name}Limit=0" for name in ("ExprOp", "TotalOp", "ExprGrp")]  # its sheets are larger than Java likes
    # One run of a large style sheet is over before it pays to optimise, verify or collect.
    short = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-XX:+UnlockDiagnosticVMOptions", "-XX:-BytecodeVerificationRemote", "-Xms600m", "-Xmn300m"]
    done = subprocess.run([java, *short, *limits, "-cp", str(jar), "com.pixelmed.validate.DicomSRValidator", str(path)], capture_output=True, text=True, timeout=300, check=False)
    said = (done.stdout + done.stderr).splitlines()
    assert any("Root Template Validation Complete" in line for line in said), said
    return [line for line in said if line.startswith("Error") and not any(all(part in line for part in rule) for rule in _PIXELMED_IS_WRONG)]


_PIXELMED_IS_WRONG = (
    ("Time Point Order", "expected CONTAINS - found HAS OBS CONTEXT"),
    ("Longitudinal Temporal Offset from Event", "expected CONTAINS - found HAS OBS CONTEXT"),
    ("measurement uncertainty", "expected INFERRED FROM - found HAS PROPERTIES"),
    ("C28747,NCIt", "not found in context group 7453"),
    ("16310003,SCT", "not found in context group 100"),
)
# The validator chooses between TID 1410, 1411 and 1501 once for a whole document: where one group has a region, a group
# without one (TID 1501, a node that was not outlined) is taken for one that misses its region.
NO_REGION = "Missing conditional content item"


def sr_dump(path: Path) -> str:
    """The tree as dcmtk's ``dsrdump`` reads it."""
    done = subprocess.run([need("dsrdump", "dcmtk"), str(path)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
