"""Damaged files by the hundred in every run, by fifty thousand in ``./test long``: a value, a finding or a refusal, never anything else."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.fuzz.dicom_bytes import lay_out, with_value
from tests.fuzz.run import ROOT, page, portion, shared_folder
from tests.fuzz.seeds import gather, weights
from tests.fuzz.workers import Result, Tally, damaged, read_damaged

LONG_RUN_FILES, LONG_RUN_SEED = 50_000, 5
SHORT_RUN_FILES, SHORT_RUN_SEED = 200, 11

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits and watches are Linux's")


@pytest.fixture(scope="module")
def seeds(tmp_path_factory):
    return gather(tmp_path_factory.mktemp("made"), shared_folder())


@linux
@pytest.mark.slow
def test_that_damaged_files_are_read_or_refused(tmp_path):
    tally, _ = portion(tmp_path, SHORT_RUN_SEED, SHORT_RUN_FILES)
    assert {failure: found[0] for failure, found in tally.failures.items()} == {}
    assert tally.files == SHORT_RUN_FILES
    assert tally.outcomes["open image"]["value"] > 15  # damage that leaves something to read
    assert sum(n for o, n in tally.outcomes["open image"].items() if o.startswith("refused")) > 60


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # what the library says about damaged files
def test_that_hypothesis_finds_no_edit_of_a_small_file_that_is_not_read_or_refused(seeds, tmp_path):
    small = [s for s in seeds if len(s.data) < 9000]
    edit = st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 40), st.binary(max_size=12))  # where, how much goes, what comes

    @settings(max_examples=80, derandomize=True, database=None, deadline=None, phases=(Phase.generate, Phase.target, Phase.shrink))
    @given(seed=st.sampled_from(small), edits=st.lists(edit, min_size=1, max_size=6))
    def check(seed, edits):
        data = bytearray(seed.data)
        for place, gone, come in edits:
            at = int(place * len(data))
            data[at : at + gone] = come
        answers = read_damaged(seed, bytes(data), random.Random(1), tmp_path, lambda _: None)
        assert [a for a in answers if a.failure] == []
        assert answers

    check()


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_that_no_compiled_decoder_reaches_beyond_its_arrays(tmp_path):
    environment = os.environ | {"NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-m", "tests.fuzz.streams", "200000", "4"], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    counts = {line.rsplit(" ", 1)[0]: int(line.rsplit(" ", 1)[1]) for line in done.stdout.splitlines() if "coded " in line or "refused " in line}
    assert sum(counts.values()) == 200_000
    assert all(counts[f"{name} decoded"] > 1000 for name in ("JPEG-LS", "RLE", "lossless JPEG"))


@linux
@pytest.mark.long
@pytest.mark.timeout(6 * 3600)
def test_that_fifty_thousand_damaged_files_neither_crash_nor_hang_nor_eat_the_memory(tmp_path, shared_data, record_result):
    # A run that was begun in portions (python -m tests.fuzz FOLDER --seed ...) is gone on with.
    tally, fuzz = portion(Path(os.environ.get("NODUS_FUZZ_STATE") or tmp_path), LONG_RUN_SEED, LONG_RUN_FILES)
    record_result("fuzz", "Damaged files", page(tally, fuzz.seeds, LONG_RUN_SEED))
    assert tally.files >= LONG_RUN_FILES
    assert {failure: found[0] for failure, found in tally.failures.items()} == {}


def test_that_a_number_names_a_file(seeds):
    for number in range(40):
        one, again = damaged(seeds, 5, number), damaged(seeds, 5, number)
        assert (one[0].name, one[1]) == (again[0].name, again[1])
    assert len({damaged(seeds, 5, n)[1] for n in range(40)}) > 35
    assert damaged(seeds, 5, 1)[1] != damaged(seeds, 6, 1)[1]


def test_that_nearly_every_file_is_really_damaged(seeds):
    changed = [damaged(seeds, 7, n) for n in range(300)]
    assert sum(data != seed.data for seed, data, _ in changed) > 270


def test_that_every_kind_of_file_is_among_the_healthy_ones(seeds):
    share = {}
    for seed, weight in zip(seeds, weights(seeds), strict=True):
        share[seed.kind] = share.get(seed.kind, 0.0) + weight
    assert {"ultrasound", "SEG", "RT", "SR", "Parametric Map", "PDF", "NIfTI", "NRRD", "MetaImage", "DICOMDIR", "ZIP", "slice in its stack"} <= set(share)
    assert min(share.values()) > 0


def test_that_a_healthy_file_is_laid_out_element_by_element(seeds):
    for name in ("made/slice 0 of a stack", "made/seg binary", "made/loop RLE"):
        data = next(s.data for s in seeds if s.name == name)
        layout = lay_out(data)
        (pixels,) = layout.named("PixelData")
        assert pixels.end == len(data) or data[pixels.end :] == b""
        (rows,) = layout.named("Rows")
        longer = with_value(data, layout, layout.named("StudyInstanceUID")[0], b"2.25.1234567890")
        assert lay_out(longer).named("Rows")[0].at - rows.at == len(longer) - len(data)


def test_that_a_tally_keeps_the_worst_and_one_of_each_failure():
    tally = Tally()
    for n in range(3):
        tally.add(Result(n, "a", "SEG", [("masks", "FAILED")], [("masks: IndexError", "told")], cpu_s=float(n), process_mb=10.0 - n))
    assert (tally.files, tally.slowest[2], tally.largest[2]) == (3, 2, 0)
    assert [n for n, _, _ in tally.failures["masks: IndexError"]] == [0, 1, 2]
    assert "| masks | 0 | 0 | 3 |" in page(tally, [], 1)
    tally.add(Result(3, "a", "SEG", [("open image", "refused not_an_image"), ("masks", "refused truncated")]))
    assert "| SEG | 0 | 4 | 0 | 1 | 3 | `truncated` 1 |" in page(tally, [], 1)
    tally.take_back(1)
    assert (tally.files, tally.outcomes["masks"]["FAILED"], sorted(tally.bad)) == (3, 2, [0, 2])
