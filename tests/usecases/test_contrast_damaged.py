"""Contrast loops with damaged bytes or values: an answer that is plain JSON, or a refusal with a code and a sentence, never anything else."""

from __future__ import annotations

import json
import random
import struct
from pathlib import Path

import pydicom
import pytest
from pydicom.dataelem import RawDataElement

from app.cli.output import plain
from app.jobs.progress import JobContext
from app.usecases.perfusion_files import PerfusionRequest, analyse_file
from tests.usecases.contrast_loops import beside, made, node
from volumetry.errors import NodusError

SHORT, LONG = 12, 400
ODD = {
    "DS": (b"NaN", b"inf", b"-1", b"0", b"1e308", b"", b"x", b"1\\2\\3"), "IS": (b"-1", b"0", b"99999999999", b"", b"x", b"3\\4"), "US": (0, 1, 2, 7, 16, 255, 65535),
    "UL": (0, 1, 50, 2**31 - 1, 2**32 - 1), "SL": (0, -1, 2**31 - 1), "FD": (0.0, -1.0, float("nan"), float("inf"), 1e300, 1e-300), "CS": (b"YBR_FULL", b"PALETTE COLOR", b"MONOCHROME1", b"", b"XX"),
}  # fmt: skip
PACKED = {"US": "<H", "UL": "<I", "SL": "<i", "FD": "<d"}


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A small loop raw and compressed, and its regions."""
    folder = tmp_path_factory.mktemp("damaged")
    cine = made(frames=24, frame_s=2.0, shape=(64, 80), mm_per_pixel=0.45)
    cine.write_dicom(folder / "raw.dcm", range_tag=True)
    cine.write_dicom(folder / "jpeg.dcm", "jpeg", range_tag=True)
    (folder / "roi.json").write_text(json.dumps({"regions": [node(cine).to_dict(), beside(cine).to_dict()]}))
    return folder


def damaged(data: bytes, rng: random.Random) -> bytes:
    """Bytes changed, lost and added, mostly in the header."""
    made = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 5, 20))):
        header = made.find(b"\xe0\x7f\x10\x00") + 12
        at = rng.randrange(132, header if header > 200 and rng.random() < 0.8 else len(made))
        match rng.randrange(5):
            case 0:
                made[at] = rng.randrange(256)
            case 1:
                del made[at : at + rng.choice((1, 2, 8, 200))]
            case 2:
                made[at:at] = rng.randbytes(rng.choice((1, 2, 8)))
            case 3:
                made[at : at + 4] = rng.choice((b"\xff\xff\xff\xff", b"\0\0\0\0", b"NaN ", b"1e99", b"\x7f\xff\xff\xff"))
            case 4:
                return bytes(made[:at])
    return bytes(made)


def spoilt(path: Path, rng: random.Random, to: Path) -> None:
    """Values of the header, or of a region, in place of which stand odd ones."""
    ds = pydicom.dcmread(path)
    for _ in range(rng.choice((1, 1, 2, 3))):
        regions = ds.get("SequenceOfUltrasoundRegions") or ()
        of = regions[rng.randrange(len(regions))] if regions and rng.random() < 0.4 else ds
        element = rng.choice([e for e in of if e.VR in ODD and e.tag.group in (0x08, 0x18, 0x28)])
        odd = rng.choice(ODD[element.VR])
        value = odd if isinstance(odd, bytes) else struct.pack(PACKED[element.VR], odd)
        value += b" " * (len(value) % 2)
        of[element.tag] = RawDataElement(element.tag, element.VR, len(value), value, 0, False, True)
    ds.save_as(to)


def check(folder: Path, path: Path, seeds: range) -> tuple[int, int]:
    """Number of answers and of refusals."""
    answers, refusals = 0, []
    for seed in seeds:
        rng = random.Random(seed)
        source = folder / rng.choice(("raw.dcm", "jpeg.dcm"))
        if rng.random() < 0.6:
            path.write_bytes(damaged(source.read_bytes(), rng))
        else:
            spoilt(source, rng, path)
        try:
            result, more = analyse_file(PerfusionRequest(path, folder / "roi.json"), JobContext())
            json.dumps(plain(result.to_dict(curves=True) | more), allow_nan=False)
            answers += 1
        except NodusError as refusal:
            refusals.append(refusal)
    assert [r for r in refusals if not r.code or r.message[-1:] not in (".", ")")] == []
    return answers, len(refusals)


@pytest.mark.filterwarnings("ignore")  # what the library says about damaged files
def test_that_a_damaged_loop_is_answered_or_refused(whole, tmp_path):
    answers, refusals = check(whole, tmp_path / "d.dcm", range(SHORT))
    assert min(answers, refusals) >= 3


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")
def test_that_400_damaged_loops_are_answered_or_refused(whole, tmp_path):
    answers, refusals = check(whole, tmp_path / "d.dcm", range(1000, 1000 + LONG))
    assert min(answers, refusals) >= LONG // 5
