"""SAS transport files of version 5, the same bytes every time.

``pyreadstat`` writes the time of writing into four places of the header; it is replaced by the time of the content.
"""

from __future__ import annotations

import datetime as dt
import tempfile
from pathlib import Path

import pandas as pd
import pyreadstat

from app.edc.sdtm import Dataset
from app.study.errors import StudyRefused

# Two header records of the file and two of its one dataset end (or begin) with a time of 16 characters.
_TIMES = (144, 160, 464, 480)


def frame_of(dataset: Dataset) -> pd.DataFrame:
    """A dataset as a table: texts with "" for no value, numbers as float with NaN."""
    columns = {}
    for v in dataset.domain.variables:
        values = [r[v.name] for r in dataset.rows]
        columns[v.name] = pd.Series([float("nan") if x is None else float(x) for x in values], dtype=float) if v.is_number else pd.Series(["" if x is None else x for x in values], dtype=object)
    return pd.DataFrame(columns)


def xport_bytes(dataset: Dataset, created: str) -> bytes:
    """A dataset as a transport file of version 5; ``created`` is an ISO time in UTC. Raises ``export_failed`` where it does
    not read back as it was written."""
    frame = frame_of(dataset)
    labels = {v.name: v.label for v in dataset.domain.variables}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{dataset.domain.name.lower()}.xpt"
        pyreadstat.write_xport(frame, path, file_label=dataset.domain.label[:40], column_labels=labels, table_name=dataset.domain.name, file_format_version=5)
        data = with_time(path.read_bytes(), created)
        path.write_bytes(data)
        back, meta = pyreadstat.read_xport(path)
    if not same(frame, back) or list(meta.column_labels) != [labels[c] for c in frame.columns] or meta.table_name != dataset.domain.name:
        raise StudyRefused(f"{dataset.domain.name} does not read back as it was written.", code="export_failed")
    return data


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


def same(left: pd.DataFrame, right: pd.DataFrame) -> bool:
    """Whether two tables hold the same: numbers to the last bit, texts without their trailing spaces."""
    if list(left.columns) != list(right.columns) or len(left) != len(right):
        return False
    for name in left.columns:
        if left[name].dtype == float:
            if not all(a == b or (a != a and b != b) for a, b in zip(left[name], right[name], strict=True)):
                return False
        elif [str(x).rstrip() for x in left[name]] != [str(x) for x in right[name]]:
            return False
    return True
