"""SAS transport files of version 5, the same bytes every time.

The head of a file is ``pyreadstat``'s, made of one record with the widest text of every variable; it writes the time of writing into four
places there, which is replaced by the time of the content. The records behind it are fixed in width, so they are put together here: with
a quarter of a million of them that takes seconds where the library takes a minute. What was written is read back by the library.
"""

from __future__ import annotations

import datetime as dt
import math
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyreadstat

from app.edc.sdtm import Dataset
from app.edc.sdtm_columns import Variable
from app.study.errors import StudyRefused

# Two header records of the file and two of its one dataset end (or begin) with a time of 16 characters.
_TIMES = (144, 160, 464, 480)
_RECORDS = b"HEADER RECORD*******OBS     HEADER RECORD!!!!!!!000000000000000000000000000000  "
_LINE = 80  # a transport file comes in lines of so many bytes
_MISSING = b".\0\0\0\0\0\0\0"


def frame_of(dataset: Dataset) -> pd.DataFrame:
    """A dataset as a table: texts with "" for no value, numbers as float with NaN."""
    columns = {}
    for v in dataset.domain.variables:
        values = dataset.column(v.name)
        columns[v.name] = pd.Series([float("nan") if x is None else float(x) for x in values], dtype=float) if v.is_number else pd.Series(["" if x is None else x for x in values], dtype=object)
    return pd.DataFrame(columns)


def xport_bytes(dataset: Dataset, created: str) -> bytes:
    """A dataset as a transport file of version 5; ``created`` is an ISO time in UTC. Raises ``export_failed`` where a number is beyond
    what such a file holds."""
    head = _head(dataset, created)
    body = b"".join(map(b"".join, zip(*(_cells(dataset, v) for v in dataset.domain.variables), strict=True)))
    return head + body + b" " * (-len(body) % _LINE)


def check_xport(path: Path, dataset: Dataset) -> None:
    """Read a transport file back. Raises ``export_failed`` where it does not hold what the dataset does: numbers to the last bit, texts whole."""
    back, meta = pyreadstat.read_xport(path, output_format="dict")
    variables = dataset.domain.variables
    told = list(back) == [v.name for v in variables] and list(meta.column_labels) == [v.label for v in variables] and meta.table_name == dataset.domain.name
    if not told or not all(_same(dataset, v, back[v.name]) for v in variables):
        raise StudyRefused(f"{dataset.domain.name} does not read back as it was written.", code="export_failed")


def _same(dataset: Dataset, v: Variable, back) -> bool:
    wanted = dataset.column(v.name)
    if v.is_number:
        return np.array_equal(np.array(wanted, dtype=float), np.asarray(back, dtype=float), equal_nan=True)  # None becomes NaN
    return wanted == back or [x or "" for x in wanted] == [x or "" for x in back]


def _head(dataset: Dataset, created: str) -> bytes:
    """Everything before the records, with the widths of the whole dataset."""
    domain = dataset.domain
    widest = {v.name: [0.0] if v.is_number else [max((x or "" for x in dataset.distinct(v.name)), key=lambda x: len(x.encode("utf-8")))] for v in domain.variables}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{domain.name.lower()}.xpt"
        labels = {v.name: v.label for v in domain.variables}
        pyreadstat.write_xport(pd.DataFrame(widest), path, file_label=domain.label[:40], column_labels=labels, table_name=domain.name, file_format_version=5)
        data = path.read_bytes()
    head, mark, _record = data.partition(_RECORDS)
    if not mark:
        raise StudyRefused("A transport file has no records where they should begin.", code="export_failed")
    return with_time(head + mark, created)


def _cells(dataset: Dataset, v: Variable) -> list[bytes]:
    """The values of a variable as they stand in the records; each different one is worked out once."""
    if v.is_number:
        told = {x: _MISSING if x is None else ibm_double(x) for x in dataset.distinct(v.name)}
    else:
        width = dataset.length(v.name)
        told = {x: (x or "").encode("utf-8").ljust(width) for x in dataset.distinct(v.name)}
    return [told[x] for x in dataset.column(v.name)]


def ibm_double(value: float) -> bytes:
    """A number in IBM's floating point of eight bytes: sign, exponent to the base 16 (excess 64), fraction of 56 bits. The 53 bits of
    an IEEE double always fit. Raises ``export_failed`` beyond 16**63 and for what is not finite."""
    if value == 0:
        return b"\0" * 8
    if math.isfinite(value):
        fraction, exponent = math.frexp(abs(value))
        sixteens = -(-exponent // 4)
        if 0 <= sixteens + 64 <= 127:
            bits = (int(fraction * 2.0**53) << 3) >> (4 * sixteens - exponent)
            return bytes([(128 if value < 0 else 0) + sixteens + 64]) + bits.to_bytes(7, "big")
    raise StudyRefused(f"The number {value!r} is beyond what a transport file holds.", code="export_failed")


def with_time(data: bytes, created: str) -> bytes:
    """A transport file with the four times of its header replaced."""
    moment = dt.datetime.fromisoformat(created.replace("Z", "+00:00")).astimezone(dt.UTC)
    months = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
    text = f"{moment.day:02d}{months[moment.month - 1]}{moment.year % 100:02d}:{moment:%H:%M:%S}".encode("ascii")
    out = bytearray(data)
    for place in _TIMES:
        if out[place + 7 : place + 8] != b":" or len(text) != 16:
            raise StudyRefused("A transport file has no time where one should stand.", code="export_failed")
        out[place : place + 16] = text
    return bytes(out)
