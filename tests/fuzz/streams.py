"""Damaged compressed streams by the thousand straight to the decoders that are compiled here, with every index checked.

A compiled loop that reaches beyond its arrays need not crash, and then nobody outside sees it. ``python -m
tests.fuzz.streams COUNT SEED`` must be run with ``NUMBA_BOUNDSCHECK=1``, which lets such a reach raise ``IndexError``; it
prints what became of the streams and ends with 1 where anything but a picture or a refusal came out.
"""

from __future__ import annotations

import random
import struct
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator

import numba
import numpy as np
from pydicom.pixels.encoders.native import _encode_segment

from dicom_io import jpeg_ls, lossless_jpeg, rle
from dicom_io.lossless_jpeg import StreamDamaged
from tests.dicom_io.test_jpeg_ls import packed
from tests.dicom_io.test_lossless_jpeg import encoded
from tests.fuzz.mutate_plain import damage_bytes

ROWS, COLUMNS = 13, 11


def _rle(array: np.ndarray) -> bytes:
    """A run-length coded frame (PS3.5 annex G) of ``[row, column, sample]``."""
    big = array.astype(array.dtype.newbyteorder(">"))
    planes = [big[..., n].copy().view(np.uint8).reshape(*array.shape[:2], -1)[..., b] for n in range(array.shape[2]) for b in range(array.itemsize)]
    segments = [bytes(_encode_segment(np.ascontiguousarray(p).tobytes(), COLUMNS)) for p in planes]
    segments = [s + b"\0" * (len(s) % 2) for s in segments]
    starts = [64 + sum(map(len, segments[:n])) for n in range(len(segments))]
    return struct.pack("<16L", len(segments), *starts, *[0] * (15 - len(starts))) + b"".join(segments)


def streams() -> Iterator[tuple[str, bytes, Callable[[bytes], object]]]:
    """Healthy streams of every decoder: name, bytes, and how they are decoded (a picture or None, or ``StreamDamaged``)."""
    rng = np.random.default_rng(1)
    for bits, samples in ((8, 1), (8, 3), (12, 1), (16, 1)):
        kind = np.uint8 if bits == 8 else np.uint16
        noise = rng.integers(0, 1 << bits, (ROWS, COLUMNS, samples)).astype(kind)
        calm = np.repeat(noise[:, :3], 4, axis=1)[:, :COLUMNS]
        for array in (noise, calm):
            for predictor in (1, 4, 7):
                for restarts in (0, 2):
                    yield f"lossless JPEG {bits}", encoded(array, predictor, bits, restarts), lambda d, n=samples: lossless_jpeg.decode(d, ROWS, COLUMNS, n)
            for near in (0, 2):
                for order in (0,) if samples == 1 else (0, 1, 2):
                    yield f"JPEG-LS {bits}", packed(array if samples == 3 else array[..., 0], near, order), lambda d, n=samples: jpeg_ls.decode(d, ROWS, COLUMNS, n)
            yield f"RLE {bits}", _rle(array), lambda d, n=samples, k=kind: rle.decode(d, ROWS, COLUMNS, n, np.dtype(k))


def damaged(data: bytes, rng: random.Random, other: bytes) -> bytes:
    """One to four damages, a third of them in the head, where a stream says what it is."""
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        if rng.random() < 0.35:
            out = bytearray(data)
            for _ in range(rng.choice((1, 2, 6))):
                out[rng.randrange(min(len(out), 80))] = rng.choice((0, 1, 2, 127, 128, 129, 254, 255, rng.randrange(256)))
            data = bytes(out)
        else:
            data = damage_bytes(data, rng, other)
        if len(data) < 4:
            break
    return data


def run(count: int, seed: int) -> tuple[Counter, list[str], float]:
    """What became of ``count`` streams, what was neither a picture nor a refusal, and the longest time in s."""
    healthy = list(streams())
    for name, data, decode in healthy:
        if decode(data) is None:
            raise RuntimeError(f"a healthy stream is not decoded: {name}")
    outcomes, failures, slowest = Counter(), [], 0.0
    for number in range(count):
        rng = random.Random(f"{seed}:{number}")
        name, data, decode = rng.choice(healthy)
        bad = damaged(data, rng, rng.choice(healthy)[1])
        started = time.process_time()
        try:
            outcome = "refused" if decode(bad) is None else "decoded"
        except StreamDamaged:
            outcome = "refused"
        except Exception as error:  # whatever it is: this is what is looked for
            outcome = "FAILED"
            failures.append(f"{number} {name} {type(error).__name__}: {error}")
        slowest = max(slowest, time.process_time() - started)
        outcomes[name.rsplit(" ", 1)[0], outcome] += 1
    return outcomes, failures, slowest


def main() -> int:
    """Read the arguments and run."""
    if not numba.config.BOUNDSCHECK:
        print("run this with NUMBA_BOUNDSCHECK=1")
        return 2
    outcomes, failures, slowest = run(int(sys.argv[1]), int(sys.argv[2]))
    for (name, outcome), n in sorted(outcomes.items()):
        print(f"{name} {outcome} {n}")
    print(f"slowest {slowest:.3f} s")
    print(*failures[:20], sep="\n")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
