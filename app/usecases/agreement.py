"""Agreement between readers: from a table ``item,reader,replicate,value``, or from a study's locked readings."""

from __future__ import annotations

import csv
from itertools import combinations
from pathlib import Path
from typing import Any

from app.study.endpoints import ENDPOINT_ROLE
from app.study.followup import counting_readings
from app.study.model import StudySnapshot
from volumetry.errors import NodusError

NODES_NEEDED = 3  # limits of agreement do not exist below


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


def agreement_of_readings(snapshot: StudySnapshot) -> dict[str, Any]:
    """Agreement of every two readers who read the same nodes alike; a baseline and a follow-up of a
    node are two items.

    Only locked central readings with a volume count, and only by one modality and method. ``pairs`` has,
    for every two readers with at least ``NODES_NEEDED`` nodes in common, the answer of
    ``agreement_from_rows`` (differences are first minus second reader, in ml) with ``modality``,
    ``method``, ``nodes`` and the ``values`` it is made of; the pair with most items first. ``missing``
    says what is still needed where there is no pair, else it is None.
    """
    from volumetry.agreement import agreement_from_rows

    pairs = []
    best: tuple[int, str] = (0, "")
    groups = _volumes(snapshot)
    for (modality, method), by_reader in groups.items():
        for first, second in combinations(sorted(by_reader), 2):
            common = [item for item in by_reader[first] if item in by_reader[second]]
            nodes = len({item[:2] for item in common})
            best = max(best, (nodes, f"{first} and {second} have both locked {nodes} of {NODES_NEEDED} nodes by {modality} {method}"))
            if nodes < NODES_NEEDED:
                continue
            values = [{"subject": s, "node": n, "visit": v, "first_ml": by_reader[first][s, n, v], "second_ml": by_reader[second][s, n, v]} for s, n, v in common]
            rows = [(" ".join(item), reader, "1", by_reader[reader][item]) for reader in (first, second) for item in common]
            pairs.append({"modality": modality, "method": method, "nodes": nodes, **agreement_from_rows(rows), "values": values})
    pairs.sort(key=lambda p: (-p["items"], p["readers"], p["modality"], p["method"]))
    return {"pairs": pairs, "missing": None if pairs else _missing(groups, best), "role": ENDPOINT_ROLE}


def _volumes(snapshot: StudySnapshot) -> dict[tuple[str, str], dict[str, dict[tuple[str, str, str], float]]]:
    """(modality, method) -> reader -> (subject, node, visit) -> ml, in the order of subject, node, visit."""
    labels = {n.node_id: n.label for n in snapshot.nodes}
    visits = {v.visit_id: v for v in snapshot.visits}
    locked = [r for r in counting_readings(snapshot.readings, locked_only=True) if r.role == ENDPOINT_ROLE and r.volume_ml is not None]
    locked.sort(key=lambda r: (r.subject_id, labels[r.node_id], visits[r.visit_id].order, r.visit_id))
    out: dict = {}
    for r in locked:
        out.setdefault((r.modality, r.method), {}).setdefault(r.reader, {})[r.subject_id, labels[r.node_id], visits[r.visit_id].name] = r.volume_ml
    return out


def _missing(groups: dict, best: tuple[int, str]) -> str:
    readers = sorted({reader for by_reader in groups.values() for reader in by_reader})
    needed = f"Agreement needs two readers who have locked the same {NODES_NEEDED} nodes by one modality and method"
    if len(readers) < 2:
        return f"{needed}; {'nobody has locked a volume' if not readers else f'only {readers[0]} has locked volumes'} yet."
    return f"{needed}; {best[1] if best[0] else 'no node was read by two of them alike'}."
