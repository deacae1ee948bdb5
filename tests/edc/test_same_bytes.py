"""Fast writers against slow twins, byte for byte: ODM against one tree of lxml, transport files against pyreadstat, JSON against json."""

from __future__ import annotations

import json
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyreadstat
import pytest
from lxml import etree

from app.edc import odm_1_3_2, odm_2_0
from app.edc.dataset_json import dataset_bytes
from app.edc.odm_parts import SNAPSHOT, TRANSACTIONAL, content_of
from app.edc.odm_write import _root, attribute_text, document, element_text
from app.edc.sdtm import Dataset, datasets
from app.edc.xport import check_xport, frame_of, ibm_double, with_time, xport_bytes
from app.edc.xsd import SCHEMAS, check_file, schema_faults
from app.study.errors import StudyRefused
from app.usecases.bench_study import simulated_trial
from tests.edc.conftest import Whole
from tests.edc.odm_tree import tree_bytes

DIALECTS = {"odm-1.3.2": odm_1_3_2.DIALECT, "odm-2.0": odm_2_0.DIALECT}
CREATED = "2026-05-01T08:00:00Z"
AWKWARD = "a < b & c > \"d\" 'e' é 李 \t tab \n line \r return"


@pytest.fixture(scope="module")
def sets(whole: Whole) -> tuple[Dataset, ...]:
    return datasets(whole.snapshot, whole.mapping)


@pytest.mark.parametrize("name", DIALECTS)
@pytest.mark.parametrize("kind", [SNAPSHOT, TRANSACTIONAL])
def test_that_odm_is_what_one_tree_would_be(whole: Whole, name: str, kind: str) -> None:
    readings = tuple(replace(r, status_reason=AWKWARD, change_reason=AWKWARD, locked_by=AWKWARD) for r in whole.snapshot.readings)
    content = content_of(replace(whole.snapshot, readings=readings), whole.mapping)
    root = _root(content, kind, DIALECTS[name])
    DIALECTS[name].head(root, content)
    wanted = tree_bytes(content, kind, DIALECTS[name], root)
    assert "李".encode() in wanted
    assert b"".join(document(content, kind, DIALECTS[name])) == wanted


def test_that_awkward_characters_are_told_as_lxml_tells_them_and_impossible_ones_refused() -> None:
    element = etree.Element("a", v=AWKWARD)
    element.text = AWKWARD
    assert etree.tostring(element, encoding="unicode") == f'<a v="{attribute_text(AWKWARD)}">{element_text(AWKWARD)}</a>'
    for character in ("\x00", "\x0b", "\x1f", "\ufffe", "\ud800"):
        with pytest.raises(StudyRefused) as caught:
            attribute_text(f"a{character}b")
        assert caught.value.code == "export_invalid"
        with pytest.raises(ValueError, match=r"."):
            etree.Element("a", v=f"a{character}b")


@pytest.mark.parametrize("name", DIALECTS)
def test_that_the_flowing_check_says_what_the_check_of_a_tree_says(whole: Whole, name: str, tmp_path: Path) -> None:
    dialect = DIALECTS[name]
    data = b"".join(document(content_of(whole.snapshot, whole.mapping), TRANSACTIONAL, dialect))
    first, second = (data.split(b'<ItemDef OID="')[n].split(b'"')[0] for n in (1, 2))
    spoiled = [
        data,
        data.replace(b'FileType="Transactional"', b'FileType="Photo"'),
        data.replace(b"</ItemGroupData>", b"<Colour/></ItemGroupData>", 1),
        data[::-1].replace(b'"txetnoC"=epyTnoitcasnarT', b'"ecnO"=epyTnoitcasnarT', 1)[::-1],  # the very last subject
        data.replace(b"<DateTimeStamp>2026", b"<DateTimeStamp>soon", 1),
        data.replace(b'<ItemDef OID="' + second, b'<ItemDef OID="' + first),  # one identity twice
        data.replace(b"SubjectKey", b"SubjectKay", 1),
    ]
    assert len(set(spoiled)) == len(spoiled)
    for number, one in enumerate(spoiled):
        path = tmp_path / f"{number}.xml"
        path.write_bytes(one)
        if schema_faults(one, name):
            with pytest.raises(StudyRefused) as caught:
                check_file(path, name, "The file")
            assert caught.value.code == "export_invalid"
        else:
            assert number == 0
            check_file(path, name, "The file")
    (tmp_path / "cut.xml").write_bytes(data[:-60])
    with pytest.raises(StudyRefused, match="does not fit"):
        check_file(tmp_path / "cut.xml", name, "The file")
    assert name in SCHEMAS


def test_that_transport_files_are_what_the_library_writes(sets: tuple[Dataset, ...], tmp_path: Path) -> None:
    for one in sets:
        path = tmp_path / f"{one.domain.name}.xpt"
        pyreadstat.write_xport(
            frame_of(one), path, file_label=one.domain.label[:40], column_labels={v.name: v.label for v in one.domain.variables}, table_name=one.domain.name, file_format_version=5
        )
        assert xport_bytes(one, CREATED) == with_time(path.read_bytes(), CREATED), one.domain.name


def test_that_a_transport_file_that_does_not_read_back_is_refused(sets: tuple[Dataset, ...], tmp_path: Path) -> None:
    one = next(d for d in sets if d.domain.name == "TR")
    path = tmp_path / "tr.xpt"
    path.write_bytes(xport_bytes(one, CREATED))
    check_xport(path, one)
    number = next(n for n, r in enumerate(one.rows) if r["TRSTRESN"])
    for change in ({"TRSTRESN": np.nextafter(one.rows[number]["TRSTRESN"], 9e9)}, {"TRSTRESN": None}, {"TRTEST": "Volum"}):
        rows = [r | change if n == number else r for n, r in enumerate(one.rows)]
        with pytest.raises(StudyRefused, match="read back"):
            check_xport(path, Dataset(one.domain, tuple(rows)))


def test_that_numbers_go_into_ibm_floating_point_whole_or_not_at_all(tmp_path: Path) -> None:
    generator = np.random.default_rng(3)
    numbers = [0.0, 1.0, -1.0, 0.1, 2.5e-7, 1e-70, -1e60, 118.625, *(generator.normal(size=300) * 10.0 ** generator.integers(-60, 60, size=300))]
    pyreadstat.write_xport(pd.DataFrame({"X": numbers}), tmp_path / "x.xpt", file_format_version=5)
    body = (tmp_path / "x.xpt").read_bytes().partition(b"HEADER RECORD*******OBS     HEADER RECORD!!!!!!!000000000000000000000000000000  ")[2]
    assert b"".join(map(ibm_double, numbers)) == body[: 8 * len(numbers)]
    assert ibm_double(-118.625) == bytes.fromhex("c276a00000000000")  # a textbook's example
    for beyond in (1e76, -1e300, float("inf"), float("nan")):
        with pytest.raises(StudyRefused) as caught:
            ibm_double(beyond)
        assert caught.value.code == "export_failed"


def test_that_dataset_json_rows_are_what_json_writes(sets: tuple[Dataset, ...], whole: Whole) -> None:
    for one in sets:
        data = dataset_bytes(one, whole.mapping, CREATED)
        told = [[("" if r[v.name] is None and not v.is_number else float(r[v.name]) if v.kind == "float" and r[v.name] is not None else r[v.name]) for v in one.domain.variables] for r in one.rows]
        rows = ",\n  ".join(json.dumps(row, ensure_ascii=False) for row in told)
        assert data.decode().split(' "rows": [\n  ')[1] == f"{rows}\n ]\n}}\n"


def test_that_a_trials_odm_is_never_in_memory_as_a_whole(whole: Whole, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.edc.odm_write.PIECE", 20_000)
    pieces = document(content_of(simulated_trial(2, 4), whole.mapping), TRANSACTIONAL, DIALECTS["odm-2.0"])
    head = len(next(pieces))
    tracemalloc.start()
    size = sum(len(piece) for piece in pieces)
    _now, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size > 6 * head
    assert peak < size / 2
