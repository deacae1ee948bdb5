"""The SDTM datasets of a study, ready to be written in one format or another, and the checks that each must pass."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from operator import itemgetter
from typing import Any

from app.edc.mapping import EdcMapping
from app.edc.sdtm_columns import DOMAINS, LABEL_LONGEST, NAME_LONGEST, TEXT_LONGEST, Domain
from app.edc.sdtm_device import device_rows, procedures
from app.edc.sdtm_people import Known, people_rows
from app.edc.sdtm_tumour import Row, Tumours
from app.study.errors import StudyRefused
from app.study.model import StudySnapshot

_SPILL = {"TRREASND": ("SUPPTR", "TRREASN", "Reason Not Done")}


@dataclass(frozen=True, slots=True)
class Dataset:
    """One dataset: its definition and its rows, each with every variable (None where there is no value)."""

    domain: Domain
    rows: tuple[Row, ...]
    _distinct: dict[str, frozenset] = field(default_factory=dict, repr=False, compare=False)

    def column(self, name: str) -> list[Any]:
        """The values of a variable, row by row."""
        return [r[name] for r in self.rows]

    def distinct(self, name: str) -> frozenset:
        """The different values of a variable; None among them where one has none."""
        if name not in self._distinct:
            self._distinct[name] = frozenset(self.column(name))
        return self._distinct[name]

    def length(self, name: str) -> int:
        """The longest text of a variable in bytes, 1 at least."""
        return max([len(str(x).encode("utf-8")) for x in self.distinct(name) if x is not None] or [1]) or 1


def datasets(
    snapshot: StudySnapshot, mapping: EdcMapping, *, accepted: Collection[tuple[str, int]] | None = None, known: Known | None = None
) -> tuple[Dataset, ...]:
    """Every dataset that has rows, in a fixed order. Raises ``export_invalid`` where a value does not fit its variable."""
    tumours = Tumours(snapshot, mapping, accepted)
    rows = {**tumours.rows, **device_rows(tumours), **people_rows(tumours, known or Known())}
    rows["RELREC"] = _related(tumours, rows)
    made = []
    for domain in DOMAINS:
        empty = dict.fromkeys(v.name for v in domain.variables)
        found = [{**empty, **row} for row in _spilled(domain, rows)]
        if not found:
            continue
        unknown = sorted({name for row in found if len(row) > len(empty) for name in row} - set(empty))
        if unknown:
            raise StudyRefused(f"{domain.name} has no variable {', '.join(unknown)}.", code="export_invalid")
        one = Dataset(domain, tuple(found))
        # A transport file fills texts up with spaces: none can end with one.
        ragged = [name for name in empty if any(isinstance(x, str) and x != x.rstrip() for x in one.distinct(name))]
        if ragged:
            for row in found:
                row.update({name: x.rstrip() for name in ragged if isinstance(x := row[name], str)})
            one = Dataset(domain, tuple(found))
        if domain.sparse:
            told = tuple(v for v in domain.variables if v.core == "Req" or one.distinct(v.name) - {None, ""})
            found = [{v.name: row[v.name] for v in told} for row in found]
            one = Dataset(replace(domain, variables=told), tuple(found))
        made.append(replace(one, rows=tuple(sorted(found, key=_sort_key(one)))))
    faults = [fault for one in made for fault in check_dataset(one)]
    if faults:
        raise StudyRefused("The SDTM datasets have faults: " + "; ".join(faults[:5]) + ".", code="export_invalid")
    return tuple(made)


def _sort_key(one: Dataset) -> Callable[[Row], Any]:
    """The key by which the rows of a dataset are put in order, and by which no two may be the same: a row without a value comes first."""
    keys = sorted((v for v in one.domain.variables if v.key is not None), key=lambda v: v.key)
    if all(None not in one.distinct(v.name) for v in keys):
        return itemgetter(*(v.name for v in keys))
    return lambda row: tuple((row[v.name] is not None, row[v.name] if v.is_number else str(row[v.name] or "")) for v in keys)


def _spilled(domain: Domain, rows: dict[str, list[Row]]) -> list[Row]:
    """Rows of a domain; a text longer than a transport file takes goes on in the supplemental qualifiers, as is the habit."""
    for name, (supp, qualifier, label) in _SPILL.items():
        if not name.startswith(domain.name) or len(domain.name) != 2:
            continue
        for row in rows.get(domain.name, ()):
            parts = split_text(row.get(name))
            if len(parts) > 1:
                row[name] = parts[0]
                for number, part in enumerate(parts[1:], start=1):
                    sequence = str(row[f"{domain.name}SEQ"])
                    rows[supp].append(
                        {
                            "STUDYID": row["STUDYID"], "RDOMAIN": domain.name, "USUBJID": row["USUBJID"], "IDVAR": f"{domain.name}SEQ", "IDVARVAL": sequence,
                            "QNAM": f"{qualifier}{number}", "QLABEL": f"{label}, continued {number}", "QVAL": part, "QORIG": "Collected", "QEVAL": "",
                        }
                    )  # fmt: skip
    return rows.get(domain.name, [])


def split_text(text: str | None) -> list[str]:
    """A text in parts of at most 200 bytes, cut between characters, at spaces where there are any."""
    if not text:
        return [] if text is None else [text]
    parts, current = [], ""
    for word in text.split(" "):
        trial = f"{current} {word}" if current else word
        if len(trial.encode("utf-8")) <= TEXT_LONGEST:
            current = trial
            continue
        if current:
            parts.append(current)
        current = ""
        for character in word:
            if len((current + character).encode("utf-8")) > TEXT_LONGEST:
                parts.append(current)
                current = ""
            current += character
    return [*parts, current]


def _related(tumours: Tumours, rows: dict[str, list[Row]]) -> list[Row]:
    """RELREC: whole datasets by their link variables; a procedure to the tumours that it was done to, record by record."""
    study = tumours.mapping.sdtm["studyid"]
    out: list[Row] = []

    def whole(relation: str, *sides: tuple[str, str, str]) -> None:
        if all(rows.get(domain) for domain, _var, _type in sides):
            out.extend({"STUDYID": study, "RDOMAIN": d, "USUBJID": None, "IDVAR": var, "IDVARVAL": None, "RELTYPE": kind, "RELID": relation} for d, var, kind in sides)

    whole("TUTR", ("TU", "TULNKID", "ONE"), ("TR", "TRLNKID", "MANY"))
    whole("TRRS", ("TR", "TRLNKGRP", "MANY"), ("RS", "RSLNKGRP", "ONE" if _one_a_group(rows["RS"]) else "MANY"))
    whole("PRDU", ("PR", "PRLNKGRP", "ONE"), ("DU", "DULNKGRP", "MANY"))
    whole("AGTR", ("AG", "AGSPID", "ONE"), ("TR", "TRREFID", "MANY"))
    whole("DUXD", ("DU", "DUGRPID", "MANY"), ("XD", "XDGRPID", "MANY"))
    identified: dict[tuple[str, str], list[Row]] = {}
    for r in rows["TU"]:
        if r["TUTESTCD"] == "TUMIDENT":
            identified.setdefault((r["USUBJID"], r["TULNKID"].split("-", 1)[1]), []).append(r)
    for number, one in procedures(tumours):
        subject = tumours.usubjid(one["subject"])
        mine = [] if one["node"] is None else identified.get((subject, one["node"]), [])
        if mine:
            relation = f"PRTU{number}"
            out.append({"STUDYID": study, "RDOMAIN": "PR", "USUBJID": subject, "IDVAR": "PRSEQ", "IDVARVAL": str(number), "RELTYPE": None, "RELID": relation})
            out += [{"STUDYID": study, "RDOMAIN": "TU", "USUBJID": subject, "IDVAR": "TUSEQ", "IDVARVAL": str(r["TUSEQ"]), "RELTYPE": None, "RELID": relation} for r in mine]
    return out


def _one_a_group(rows: list[Row]) -> bool:
    groups = [(r["USUBJID"], r["RSLNKGRP"]) for r in rows]
    return len(set(groups)) == len(groups)


def check_dataset(dataset: Dataset) -> list[str]:
    """What a dataset breaks of the rules that hold for all: names, labels, lengths, required values, unique keys,
    sequence numbers, units, evaluators. Empty if nothing."""
    domain, faults = dataset.domain, []
    for v in domain.variables:
        if len(v.name) > NAME_LONGEST or len(v.label) > LABEL_LONGEST:
            faults.append(f"{domain.name}.{v.name}: name or label is too long")
        values = dataset.distinct(v.name)
        if v.core == "Req" and (None in values or "" in values):
            faults.append(f"{domain.name}.{v.name} is required")
        if not v.is_number and any(value is not None and (not isinstance(value, str) or len(value.encode("utf-8")) > TEXT_LONGEST) for value in values):
            faults.append(f"{domain.name}.{v.name} holds a text of more than {TEXT_LONGEST} bytes, or no text")
        if v.is_number and not set(map(type, dataset.column(v.name))) <= {int, float, type(None)}:
            faults.append(f"{domain.name}.{v.name} holds what is no number")
        elif v.is_number and not all(value is None or math.isfinite(value) for value in values):
            faults.append(f"{domain.name}.{v.name} holds a number without end")
    keys = set(map(_sort_key(dataset), dataset.rows))
    if len(keys) != len(dataset.rows):
        faults.append(f"{domain.name}: two records have the same keys")
    p, has = domain.name, {v.name for v in domain.variables}
    if {f"{p}EVALID", f"{p}EVAL"} <= has and any(r[f"{p}EVALID"] and not r[f"{p}EVAL"] for r in dataset.rows):
        faults.append(f"{p}EVALID needs {p}EVAL")
    if f"{p}ACPTFL" in has and any(r[f"{p}ACPTFL"] and r[f"{p}EVAL"] != "INDEPENDENT ASSESSOR" for r in dataset.rows):
        faults.append(f"{p}ACPTFL is of the independent assessor only")
    if f"{p}STAT" in has and any(r[f"{p}STAT"] and r[f"{p}ORRES"] for r in dataset.rows):
        faults.append(f"{p}: a result that was not done")
    return sorted(set(faults))
