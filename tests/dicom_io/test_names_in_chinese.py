"""Texts of Chinese scanners: UTF-8, GB18030, GBK and ISO 2022 IR 58 are read right where a reader sees them before the import."""

from __future__ import annotations

from datetime import date

import pydicom
import pytest

from app.demo.dicom_files import Occasion
from app.jobs import JobContext
from app.study.store import StudyStore
from app.usecases.import_images import import_folder
from dicom_io.elements import read_elements
from dicom_io.headers import text
from dicom_io.scan import scan_folder
from tests.factories import write_ellipsoid_ct

SERIES, PLAIN_SERIES, PERSON = "颈部增强扫描 龘镕", "颈部增强扫描", "王^小明"  # 龘 and 镕 are in GBK, not in GB2312
IN_58 = b"\x1b$)A"  # what follows is GB2312
# What the header states, and the text as a scanner of that kind stores it.
CASES = {
    "UTF-8": ("ISO_IR 192", SERIES, SERIES.encode("utf-8")),
    "GB18030": ("GB18030", SERIES, SERIES.encode("gb18030")),
    "GBK": ("GBK", SERIES, SERIES.encode("gbk")),
    "ISO 2022 IR 58": (["", "ISO 2022 IR 58"], PLAIN_SERIES, IN_58 + PLAIN_SERIES.encode("gb2312")),
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A short CT for each encoding."""
    root = tmp_path_factory.mktemp("chinese")
    write_ellipsoid_ct(root / "plain", occasion=Occasion(3, "Baseline", date(2025, 1, 13)), shape=(6, 32, 32), noise_sd_hu=0.0)
    out = {}
    for number, (name, (stated, series, stored)) in enumerate(CASES.items()):
        out[name] = root / str(number)
        out[name].mkdir()
        for file in sorted((root / "plain").rglob("*.dcm")):
            ds = pydicom.dcmread(file)
            texts = {series: stored, PERSON: b"^".join(IN_58 + part.encode("gb2312") for part in PERSON.split("^"))}
            # pydicom writes no such text by itself: letters of the same length are exchanged for its bytes.
            letters = {words: chr(65 + n) * len(raw) for n, (words, raw) in enumerate(texts.items())} if name == "ISO 2022 IR 58" else {}
            ds.SpecificCharacterSet, ds.SeriesDescription, ds.PatientName = stated, letters.get(series, series), letters.get(PERSON, PERSON)
            ds.save_as(out[name] / file.name)
            content = (out[name] / file.name).read_bytes()
            for words, made in letters.items():
                assert content.count(made.encode()) == 1
                content = content.replace(made.encode(), texts[words])
            (out[name] / file.name).write_bytes(content)
            assert stored in (out[name] / file.name).read_bytes()
    return out


@pytest.mark.parametrize("name", CASES)
def test_that_descriptions_are_read_right_in_the_list_of_series(folders, name):
    found = scan_folder(folders[name])
    assert [s.description for s in found.series] == [CASES[name][1]]


@pytest.mark.parametrize("name", CASES)
def test_that_names_are_read_right(folders, name):
    with next(iter(folders[name].glob("*.dcm"))).open("rb") as file:
        elements, _, _ = read_elements(file)
    assert text(elements, "PatientName") == PERSON
    assert text(pydicom.dcmread(next(iter(folders[name].glob("*.dcm"))), stop_before_pixels=True), "PatientName") == PERSON


@pytest.mark.parametrize("name", CASES)
def test_that_names_enter_no_study(folders, name, tmp_path):
    with StudyStore.create(tmp_path / "study") as store:
        import_folder(store, "S-001", "Baseline", folders[name], JobContext())
    kept = [p.read_bytes() for p in (tmp_path / "study").rglob("*") if p.is_file()]
    assert kept
    for encoding in ("utf-8", "gb18030"):
        assert not any("小明".encode(encoding) in content for content in kept)
