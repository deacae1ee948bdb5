"""Compiled kernels of other sources are never taken from the cache."""

from __future__ import annotations

from pathlib import Path

from app.settings import KERNEL_ROOMS, kernel_stamp

ROOT = Path(__file__).resolve().parents[2]


def test_that_every_room_of_kernels_is_in_the_stamp():
    rooms = {p.relative_to(ROOT).as_posix() for top in ("volumetry", "planning", "dicom_io", "app") for p in (ROOT / top).rglob("kernels") if p.is_dir()}
    assert rooms == set(KERNEL_ROOMS)


def test_that_any_change_of_a_kernel_source_gives_another_stamp(tmp_path):
    stamps = set()
    for room in KERNEL_ROOMS:
        (tmp_path / room).mkdir(parents=True)
        (tmp_path / room / "some.py").write_text("def one(): return 1")
        stamps.add(kernel_stamp(tmp_path))
    (tmp_path / KERNEL_ROOMS[0] / "some.py").write_text("def one(): return 2")
    stamps.add(kernel_stamp(tmp_path))
    assert len(stamps) == len(KERNEL_ROOMS) + 1
    assert kernel_stamp(tmp_path) == kernel_stamp(tmp_path)
