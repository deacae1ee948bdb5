"""The endpoints of a simulated trial once more, by pandas alone: from the exported readings.csv and what the generator says it put in.

Written from the protocol's text and the definitions of the reference (a rate by one reader, baseline the last evaluable reading before the
first ablation by the same modality and method, windows on each node's own clock), not from the program: nothing of ``app.study`` is used here but
the simulated trial's own record. What is taken over is each reader's overall response by RECIST, one of the triggers of adjudication: that engine is
held against published cases elsewhere.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from app.demo.trial import TrialRecord

WINDOW = pd.Timedelta(days=28)
KEY = ["subject", "node", "modality"]
PRE = ("Screening", "Baseline")
NOT_SEEN = ("not_evaluable", "not_imaged", "merged_into", "split_from")
ENDS = {"DEATH": "died", "WITHDRAWAL": "withdrew", "LOST": "lost", "PROGRESSION": "progressed"}
MODALITIES = ["CT", "CEUS"]
FOLLOW_UP = {"Month 3": 3, "Month 6": 6, "Month 9": 9, "Month 12": 12, "Month 15": 15, "Month 18": 18, "Month 21": 21, "Month 24": 24}


class ByPandas:
    """Frames of a trial: ``readings`` (locked), ``visits``, ``events``, ``nodes``; and the endpoints worked out of them."""

    def __init__(self, readings_csv: Path, record: TrialRecord, responses: dict[tuple[str, str, str], tuple]) -> None:
        """``responses``: (subject, visit, reader) -> (overall response, since when there is progression)."""
        self.responses = responses
        self._at_12: dict[tuple, pd.DataFrame] = {}
        frame = pd.read_csv(readings_csv, keep_default_na=False, dtype=str)
        for column in ("volume_ml", "viable_ml", "long_axis_mm"):
            frame[column] = pd.to_numeric(frame[column])
        frame["scan"] = pd.to_datetime(frame.scan_date.replace("", None))
        frame["version"] = frame.version.astype(int)
        self.readings = frame
        planned = [asdict(s) for s in record.subjects]
        self.visits = pd.DataFrame([{"subject": s["subject_id"], "visit": v["name"], "scan": pd.Timestamp(v["stated"]) if v["stated"] else pd.NaT, "held": pd.Timestamp(v["date"])} for s in planned for v in s["visits"]])
        self.events = pd.DataFrame([{"subject": s["subject_id"], "kind": e["kind"], "day": pd.Timestamp(e["date"]), "node": e["node"], "detail": e["detail"]} for s in planned for e in s["events"]])
        self.nodes = pd.DataFrame([{"subject": s["subject_id"], "node": n["label"], "high_risk": bool(n["high_risk"])} for s in planned for n in s["nodes"]]).set_index(["subject", "node"], drop=False).sort_index()
        self.unlocked = pd.DataFrame(
            [{"subject": s["subject_id"], "node": r["node"], "visit": r["visit"], "reader": r["reader"], "modality": r["modality"]} for s in planned for r in s["readings"] if not r["locked"]],
            columns=["subject", "node", "visit", "reader", "modality"],
        )  # fmt: skip
        self.chosen = {(j.subject_id, j.node, j.modality): j.reader for j in reversed(record.judgements)}
        self.ablated = {key: self._ablations(*key) for key in self.nodes.index}
        self.central = frame[frame.role == "central"].copy()
        self.central["early"] = [self._early(r) for r in self.central.itertuples()]
        self.rates = self._rates()
        self.pending: set[tuple] = set()
        self.rates["counts"] = False
        self.accepted = self._accepted()
        self.rates["counts"] = [(r.reading_id in self.accepted) for r in self.rates.itertuples()]

    # -- what a reading is worth ----------------------------------------------------------------------

    def _ablations(self, subject: str, node: str) -> pd.DataFrame:
        """Ablations of a node, in time: those that name it and those of all nodes."""
        e = self.events
        mine = e[(e.subject == subject) & e.kind.isin(["IRE", "SALVAGE"]) & (e.node.isna() | (e.node == node))]
        return mine.sort_values("day", kind="stable")

    def _early(self, r: Any) -> bool:
        """Before the node's first ablation: by date; on that day, without a date or without an ablation by the protocol's phase."""
        done = self.ablated[r.subject, r.node]
        if not pd.isna(r.scan) and len(done) and r.scan != done.day.iloc[0]:
            return bool(r.scan < done.day.iloc[0])
        if r.visit in PRE or r.visit == "Day 30" or r.visit in FOLLOW_UP:
            return r.visit in PRE
        of_node = self.central[(self.central.subject == r.subject) & (self.central.node == r.node)]
        return int(r.visit_order) == of_node.visit_order.astype(int).min()  # a visit that the protocol does not know: the node's first

    def _rates(self) -> pd.DataFrame:
        """Every later central reading with its reader's baseline: the last measured one before, of the same modality and method if there is one."""
        base = self.central[self.central.early & (self.central.status == "measured") & (self.central.volume_ml > 0)].copy()
        base["at"] = base.visit_order.astype(int)
        base = base.sort_values("at", kind="stable")
        alike = base.groupby([*KEY, "method", "reader"]).last()
        other = base.groupby(["subject", "node", "reader"]).last()
        later = self.central[~self.central.early].copy()
        found = []
        for r in later.itertuples():
            key, loose = (r.subject, r.node, r.modality, r.method, r.reader), (r.subject, r.node, r.reader)
            same = key in alike.index
            ml = alike.loc[key].volume_ml if same else other.loc[loose].volume_ml if loose in other.index else np.nan
            found.append((ml, same))
        later["base_ml"] = [f[0] for f in found]
        later["comparable"] = [f[1] for f in found]
        later["vrr"] = 100 * (later.base_ml - later.volume_ml) / later.base_ml
        later["usable"] = later.vrr.notna() & later.comparable
        return later

    def _accepted(self) -> set[str]:
        """Readings that count: the adjudicated reader's at all visits of the node; else reader 1's where the two do not differ by the
        protocol's triggers; the only reader's where one alone has read the node."""
        taken: set[str] = set()
        rate = self.rates.set_index("reading_id").vrr
        usable_rate = self.rates.set_index("reading_id").comparable
        at_visit = self.central.groupby(["subject", "visit", "modality"]).reader.agg(set)
        for key, of_node in self.central.groupby(KEY):
            readers = sorted(of_node.reader.unique())
            own = self.chosen.get(key, readers[0])
            baseline_there = bool(of_node.early.any())
            for visit, both in of_node.groupby("visit"):
                mine = both[both.reader == own]
                if key not in self.chosen:
                    differ = len(both) > 1 and self._differ(both, rate, usable_rate)
                    others = at_visit[key[0], visit, key[2]] - set(both.reader)
                    if not baseline_there and len(both) == 1 and others and both.status.iloc[0] in ("measured", "too_small"):
                        differ = True  # a new lesion that the other reader did not see
                    if differ:
                        self.pending.add((key[0], key[1], visit))
                        continue
                taken |= set(mine.reading_id)
        return taken

    def _differ(self, both: pd.DataFrame, rate: pd.Series, comparable: pd.Series) -> bool:
        seen = both[~both.status.isin(["not_evaluable", "not_imaged"])]
        gone = seen.status == "disappeared_assessed"
        volumes = seen.volume_ml.dropna()
        apart, mean = volumes.max() - volumes.min(), volumes.mean()
        rates = rate[[i for i in both.reading_id if i in rate.index and comparable[i]]].dropna().round(6)
        said = {self.responses.get((r.subject, r.visit, r.reader), (None, None)) for r in both.itertuples() if r.modality == "CT"}
        return bool(
            0 < len(seen) < len(both)
            or len({answer for answer, _ in said}) > 1
            or len({since for _, since in said}) > 1
            or (len(seen) > 1 and gone.nunique() > 1)
            or seen.enhancement_grade[seen.enhancement_grade != ""].nunique() > 1
            or (len(volumes) > 1 and round(apart, 9) > 0.05 and round(100 * apart / mean, 6) > 30)
            or (len(rates) > 1 and (round(rates.max() - rates.min(), 6) >= 15 or (rates >= 50).nunique() > 1))
        )

    # -- one node, one clock --------------------------------------------------------------------------

    def nodes_at_12_months(self, anchor: str, keep: Any = None, last_day: pd.Timestamp | None = None) -> pd.DataFrame:
        """Each treated node with what it gives at 12 months of its own ``first`` or ``last`` ablation."""
        if (anchor, keep, last_day) not in self._at_12:
            self._at_12[anchor, keep, last_day] = self._nodes_at_12_months(anchor, keep, last_day)
        return self._at_12[anchor, keep, last_day].copy()

    def _nodes_at_12_months(self, anchor: str, keep: Any, last_day: pd.Timestamp | None) -> pd.DataFrame:
        out = []
        counted = dict(iter(self.rates[self.rates.counts].groupby(["subject", "node"])))
        every = dict(iter(self.rates.groupby(["subject", "node"])))
        none = self.rates.iloc[:0]
        for (subject, node), done in self.ablated.items():
            risk = bool(self.nodes.loc[(subject, node)].high_risk)
            if done.empty or (keep == "high_risk" and not risk):
                continue
            days = done[done.kind == "IRE"].day if anchor == "first" else done.day
            target = (days.min() if anchor == "first" else days.max()) + pd.DateOffset(months=12)
            low, high = target - WINDOW, target + WINDOW
            rows = counted.get((subject, node), none)
            inside = rows[(rows.scan >= low) & (rows.scan <= high)]
            row: dict[str, Any] = {"subject": subject, "node": node, "target": target, "high": high, "vrr": np.nan, "base_ml": np.nan, "ml": np.nan, "status": None, "missing": None, "scan": pd.NaT, "modality": None}
            if len(inside):
                off = (inside.scan - target).dt.days
                best = inside.assign(unusable=~inside.usable, far=off.abs(), off=off, place=inside.modality.map(MODALITIES.index)).sort_values(["unusable", "far", "off", "place"], kind="stable").iloc[0]
                row |= {"status": best.status, "scan": best.scan, "modality": best.modality}
                if best.usable:
                    row |= {"vrr": best.vrr, "base_ml": best.base_ml, "ml": best.volume_ml}
                else:
                    row["missing"] = best.status if pd.isna(best.volume_ml) else "no_baseline" if pd.isna(best.base_ml) else "not_comparable"
            else:
                row["missing"] = self._why_none(subject, node, low, high, every.get((subject, node), none), last_day)
            until = row["scan"] if not pd.isna(row["scan"]) else high
            row["salvaged"] = bool(((done.kind == "SALVAGE") & (done.day <= until)).any()) or done.day[done.day <= until].nunique() > 1
            again = pd.concat([done.day[done.kind == "SALVAGE"], done.day[done.day > done.day.iloc[0]]])
            before = rows[rows.usable & (rows.scan < again.min())].sort_values("scan", kind="stable") if len(again) else none
            before = before[before.scan == before.scan.max()].assign(place=lambda f: f.modality.map(MODALITIES.index)).sort_values("place") if len(before) else before
            row["carried"] = before.vrr.iloc[0] if len(before) else np.nan
            row["carried_ml"] = before.volume_ml.iloc[0] if len(before) else np.nan
            row["carried_base_ml"] = before.base_ml.iloc[0] if len(before) else np.nan
            out.append(row)
        frame = pd.DataFrame(out)
        frame["assessed"] = frame.status.notna() & ~frame.status.isin(NOT_SEEN)
        frame["gone"] = frame.status == "disappeared_assessed"
        return frame

    def _why_none(self, subject: str, node: str, low: pd.Timestamp, high: pd.Timestamp, rows: pd.DataFrame, last_day: pd.Timestamp | None) -> str:
        visits = self.visits[self.visits.subject == subject]
        held = visits[(visits.scan >= low) & (visits.scan <= high)]
        drafts = self.unlocked[(self.unlocked.subject == subject) & (self.unlocked.node == node)]
        inside = rows[(rows.scan >= low) & (rows.scan <= high)]
        if any((subject, node, v) in self.pending for v in held.visit):
            return "adjudication_pending"
        if len(inside):
            return "not_accepted"
        if drafts.visit.isin(held.visit).any():
            return "not_locked"
        ends = self.events[(self.events.subject == subject) & self.events.kind.isin(ENDS) & (self.events.day <= high) & (self.events.node.isna() | (self.events.node == node))]
        if len(ends):
            return ENDS[ends.sort_values(["day", "kind"]).kind.iloc[0]]
        if len(held):
            return "not_read"
        there = visits[visits.visit == "Month 12"]
        if there.scan.notna().any():
            return "scan_outside_window"
        if len(there) and ((rows.visit == "Month 12").any() or (drafts.visit == "Month 12").any()):
            return "visit_without_date"
        return "window_not_over" if last_day is not None and last_day <= high else "no_scan_in_window"

    # -- the tables -----------------------------------------------------------------------------------

    @staticmethod
    def units(values: pd.DataFrame) -> dict[str, dict[str, Any]]:
        """Node, subject sum and subject mean of ``vrr``, ``base_ml``, ``ml``; rows without a rate count as missing nodes."""
        known = values[values.vrr.notna()]
        by_subject = known.groupby("subject")
        sums = 100 * (1 - by_subject.ml.sum() / by_subject.base_ml.sum())
        means = by_subject.vrr.mean()
        whole = ~values.vrr.isna().groupby(values.subject).any()
        out = {"node": known.vrr, "subject_sum": sums, "subject_mean": means}
        told = {name: {"n": len(v), "mean_pct": v.mean(), "median_pct": v.median(), "sd_pct": v.std(), "min_pct": v.min(), "max_pct": v.max(), "n_subjects": known.subject.nunique()} for name, v in out.items()}
        for name in ("subject_sum", "subject_mean"):
            complete = out[name][whole.reindex(out[name].index)]
            told[name] |= {"n_partial": len(out[name]) - len(complete), "n_without": values.subject.nunique() - len(out[name]), "mean_of_complete_pct": complete.mean()}
        return told

    def vrr_table(self, name: str, last_day: pd.Timestamp | None = None) -> dict[str, Any]:
        """One of the three endpoints of volume reduction."""
        single = name == "vrr_12m_single_ire"
        frame = self.nodes_at_12_months("first" if single else "last", "high_risk" if name == "vrr_12m_high_risk" else None, last_day)
        kept, out = (frame[~frame.salvaged], frame[frame.salvaged]) if single else (frame, frame.iloc[:0])
        table = {
            "n_treated": len(frame), "n_excluded": len(out), "n_set": len(kept), "n_in_window": int(kept.assessed.sum()), "n": int(kept.vrr.notna().sum()), "n_subjects": kept.subject.nunique(),
            "missing": counts(kept.missing), "units": self.units(kept), "mean_pct": kept.vrr.mean(),
            "coverage": {
                "of_treated": (int(kept.vrr.notna().sum()), len(kept), counts(kept.missing)),
                "of_in_window": (int(kept[kept.assessed].vrr.notna().sum()), int(kept.assessed.sum()), counts(kept[kept.assessed].missing)),
            },
            "by_modality": {m: (len(v), v.mean()) for m, v in kept[kept.vrr.notna()].groupby("modality").vrr},
        }  # fmt: skip
        if single:
            carried = out.assign(vrr=out.carried, ml=out.carried_ml, base_ml=out.carried_base_ml)
            table["sensitivity"] = {"n_carried": int(out.carried.notna().sum()), "n_without": int(out.carried.isna().sum()), "units": self.units(pd.concat([kept, carried]))}
        return table

    def disappearance(self, last_day: pd.Timestamp | None = None) -> dict[str, tuple]:
        """Numerator, denominator and missing by reason of the four rates."""
        frame = self.nodes_at_12_months("last", None, last_day)
        seen, lost = frame[frame.assessed], counts(frame[~frame.assessed].missing)
        some = frame.groupby("subject")
        there = (frame.assessed & ~frame.gone).groupby(frame.subject).any()
        judged = there | some.assessed.all()
        missing = {"node_not_assessed": int((~judged).sum())} if (~judged).any() else {}
        return {
            "node_of_treated": (int(frame.gone.sum()), len(frame), lost), "node_of_in_window": (int(seen.gone.sum()), len(seen), lost),
            "subject_of_treated": (int((judged & ~there).sum()), len(there), missing), "subject_of_assessed": (int((judged & ~there).sum()), int(judged.sum()), missing),
        }  # fmt: skip

    def recurrence(self, last_day: pd.Timestamp | None = None) -> dict[str, Any]:
        """The four rates, and subjects by kind."""
        frame = self.nodes_at_12_months("last", None, last_day)
        frame["back"] = [self._local(r.subject, r.node, r.high) for r in frame.itertuples()]
        seen = frame[frame.assessed | frame.back]
        lost = counts(frame[~(frame.assessed | frame.back)].missing)
        kinds: Counter = Counter()
        answers = {}
        for subject, nodes in frame.groupby("subject"):
            e = self.events[(self.events.subject == subject) & (self.events.kind == "PROGRESSION") & (self.events.day <= nodes.high.max())]
            types = {d.get("type") or "untyped" for d, n in zip(e.detail, e.node, strict=True) if not (isinstance(n, str) and (d.get("type") or "untyped") in ("local", "untyped"))}
            types |= {"local"} if nodes.back.any() else set()
            kinds.update(types)
            answers[subject] = True if types else False if nodes.assessed.all() else None
        judged = [a for a in answers.values() if a is not None]
        missing = {"node_not_assessed": len(answers) - len(judged)} if len(judged) < len(answers) else {}
        return {
            "rates": {
                "node_of_treated": (int(frame.back.sum()), len(frame), lost), "node_of_in_window": (int(seen.back.sum()), len(seen), lost),
                "subject_of_treated": (sum(judged), len(answers), missing), "subject_of_assessed": (sum(judged), len(judged), missing),
            },
            "subjects_by_kind": dict(sorted(kinds.items())),
        }  # fmt: skip

    def _local(self, subject: str, node: str, until: pd.Timestamp) -> bool:
        """Back by the day: more than half above its smallest volume, seen again after it was gone, enhancing after a look without, or logged."""
        done = self.ablated[subject, node].day
        last = done[done <= until].max()
        r = self.rates
        rows = r[r.counts & (r.subject == subject) & (r.node == node) & (r.scan > last) & (r.scan <= until)].sort_values("scan", kind="stable")
        for _, same in rows.groupby(["reader", "modality", "method"]):
            smallest, gone, clean = np.nan, False, False
            for x in same.itertuples():
                away = x.status == "disappeared_assessed"
                enhances = False if away else x.viable_ml > 0 if not pd.isna(x.viable_ml) else {"0": False, "1": False, "2": True, "3": True}.get(x.enhancement_grade)
                if x.volume_ml > 0 and (gone or x.volume_ml > 1.5 * smallest * (1 + 1e-12)):
                    return True
                if clean and enhances:
                    return True
                gone, clean = gone or away, clean or enhances is False
                smallest = np.nanmin([smallest, x.volume_ml]) if x.volume_ml > 0 else smallest
        e = self.events
        logged = e[(e.subject == subject) & (e.kind == "PROGRESSION") & (e.node == node) & (e.day <= until)]
        return any(d.get("type", "local") == "local" for d in logged.detail)

    def survival(self, kind: str, *, strict: bool = False) -> pd.DataFrame:
        """Days, event and reason a subject: ``PFS`` or ``OS``; ``strict`` censors events after two or more missed visits."""
        out = []
        for subject, e in self.events.groupby("subject"):
            ire = e[e.kind == "IRE"].day
            if ire.empty:
                continue
            start = ire.min()
            death = e[e.kind == "DEATH"].day.min()
            if kind == "OS":
                seen = pd.concat([self.visits[self.visits.subject == subject].scan, e[~e.kind.isin(["DEATH", "LOST"])].day]).max()
                out.append((subject, (death - start).days, True, "death") if not pd.isna(death) else (subject, (seen - start).days, False, "alive"))
                continue
            r = self.rates
            looks = r[r.counts & (r.subject == subject) & (r.scan >= start) & ~r.status.isin(["not_evaluable", "not_imaged"])].scan
            progressed = e[e.kind == "PROGRESSION"]
            new = pd.Series([d.get("type") in ("new_node", "new_lesion", "distant") for d in progressed.detail], index=progressed.index, dtype=bool)
            ends = [(day, place, reason) for day, place, reason in ((progressed[~new].day.min(), 0, "progression"), (progressed[new].day.min(), 1, "new_lesion"), (death, 2, "death")) if not pd.isna(day)]
            if not ends:
                out.append((subject, (looks.max() - start).days, False, "no_event") if len(looks) else (subject, 0, False, "no_post_baseline"))
                continue
            day, _, reason = min(ends)
            seen = pd.concat([looks[looks < day], progressed[~new & (progressed.day < day)].day]).max()
            since = start if pd.isna(seen) else seen
            last = e[e.kind.isin(["IRE", "SALVAGE"])].day.max()
            planned = [start + pd.Timedelta(days=30), *(last + pd.DateOffset(months=m) for m in FOLLOW_UP.values())]
            missed = sum(since < p < day for p in planned)
            out.append((subject, (since - start).days, False, "missed_visits") if strict and missed >= 2 else (subject, (day - start).days, True, reason))
        return pd.DataFrame(out, columns=["subject", "days", "event", "reason"])

    def pain(self) -> pd.DataFrame:
        """Area under the curve and sustained pain (two scheduled scores of 4 or more in a row) of every treated subject; empty where not known."""
        out = []
        scores = self.events[self.events.kind == "NRS"]
        for subject in sorted(self.events[self.events.kind == "IRE"].subject.unique()):
            mine = {d["hours"]: d["score"] for d in scores[scores.subject == subject].detail}
            series = pd.Series([mine.get(h) for h in (0, 4, 8, 24, 48, 72)], index=[0, 4, 8, 24, 48, 72], dtype=float)
            high, maybe = series >= 4, (series >= 4) | series.isna()
            sustained = True if (high & high.shift(fill_value=False)).any() else None if (maybe & maybe.shift(fill_value=False)).any() else False
            out.append((subject, float(np.trapezoid(series, series.index)) if series.notna().all() else np.nan, sustained, bool(series.isna().all()), bool(series.isna().any())))
        return pd.DataFrame(out, columns=["subject", "auc", "sustained", "none", "gap"])


def counts(missing: pd.Series) -> dict[str, int]:
    """Reasons with how often each stands, in the order of their names."""
    return {str(k): int(v) for k, v in missing.dropna().value_counts().sort_index().items()}


def product_limit(frame: pd.DataFrame, day: int) -> float | None:
    """Share in percent free of the event just after a day; None where the curve has ended before."""
    share = 1.0
    for time, here in frame.groupby("days"):
        if time <= day:
            share *= 1 - here.event.sum() / (frame.days >= time).sum()
    return None if day > frame.days.max() and share > 0 else 100 * share


def wilson(numerator: int, denominator: int) -> tuple[float, float]:
    """Wilson's interval in percent, as the two roots of its quadratic."""
    z2, p = 1.959963984540054**2, numerator / denominator
    roots = np.roots([1 + z2 / denominator, -(2 * p + z2 / denominator), p * p])
    return 100 * float(min(roots.real)), 100 * float(max(roots.real))


def resampled(values: pd.Series, subjects: pd.Series, *, times: int = 2000, seed: int = 7) -> tuple[float, float]:
    """95 % percentile interval of the mean when whole subjects are drawn again with all their nodes, by draws of its own."""
    sums, counted = values.groupby(subjects).sum(), values.groupby(subjects).size()
    rng = np.random.default_rng(seed)
    drawn = [rng.choice(len(sums), len(sums)) for _ in range(times)]
    means = [sums.iloc[d].sum() / counted.iloc[d].sum() for d in drawn]
    return float(np.percentile(means, 2.5)), float(np.percentile(means, 97.5))
