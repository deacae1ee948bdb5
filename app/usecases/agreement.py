"""Agreement between readers from a table ``item,reader,replicate,value``."""

from __future__ import annotations

import csv
from pathlib import Path

from volumetry.errors import NodusError


def agreement_of_table(path: Path) -> dict:
    """Read the table and work out ICC, Bland-Altman and repeatability."""
    from volumetry.agreement import agreement_from_rows

    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            rows = [(r["item"], r["reader"], r["replicate"], float(r["value"])) for r in csv.DictReader(stream)]
    except FileNotFoundError:
        raise NodusError(f"There is no table {path.name}.", code="file_missing") from None
    except (KeyError, TypeError, ValueError, UnicodeDecodeError) as problem:
        raise NodusError(f"{path.name} is not a table with the columns item, reader, replicate and value: {problem}", code="not_a_table") from None
    return agreement_from_rows(rows)
