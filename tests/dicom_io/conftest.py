"""The shared ultrasound pictures, cleaned once for all tests that look at what is left of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from dicom_io.deidentify import CleanedFile, Confirmed, clean_copy


@pytest.fixture(scope="session")
def cleaned_ultrasound(shared_data, tmp_path_factory) -> dict[Path, CleanedFile]:
    """Each shared ultrasound file, let go by a person, and what was written of it. Read only."""
    out, key = tmp_path_factory.mktemp("cleaned"), b"0123456789abcdef0123456789abcdef"
    sources = sorted((shared_data / "us_dicom").glob("*.dcm"))
    return {source: clean_copy([source], out / source.stem, "S-007", key, confirmed={source: Confirmed()})[0] for source in sources}
