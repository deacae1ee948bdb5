"""What ``nodus study response`` prints for a person: rates reading by reading, then the protocol's endpoints with all their counts."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from app.cli.output import table
from app.study.rules import check_date


def day(text: str) -> dt.date:
    """A stated day. Raises ``date_refused``."""
    return dt.date.fromisoformat(check_date(text, "day the data were cut"))


def human(answer: Mapping[str, Any]) -> str:
    """The answer as text: a table of readings, the notes on intervals, and the endpoints of the protocol."""
    rows = [
        [n["subject"], n["node"], n["visit"], n["reader"], n["status"], number(n["vrr_pct"]), interval(n["interval_pct"]), "yes" if n["comparable"] else "NO", number(n["vrr_viable_pct"]), number(n["vrr_ablated_pct"]), number(n.get("vrr_zone_pct"))]
        for n in answer["nodes"]
    ]
    notes = [n["interval_note"] for n in answer["nodes"] if n["vrr_pct"] is not None]
    text = table(rows, ["subject", "node", "visit", "reader", "status", "VRR %", "95 %", "comparable", "enhancing VRR %", "ablated VRR %", "VRR of zone %"])
    lines = [text, *dict.fromkeys(notes)]
    for course in answer["responses"]:
        if course["visits"]:
            each = ", ".join(f"{v['visit']} {v['overall']}" for v in course["visits"])
            lines.append(f"{course['criteria']} {course['subject']} {course['reader']}: {each}; best {course['best']}" + (f", confirmed {course['best_confirmed']}" if course["best_confirmed"] else ""))
    for endpoint in answer["endpoints"]:
        if endpoint["set"] == "protocol":
            lines += ["", *endpoint_lines(endpoint)]
    return "\n".join(lines)


def endpoint_lines(e: Mapping[str, Any]) -> list[str]:
    """One endpoint of the protocol: what it is, its numbers, and what is missing by reason."""
    reader = "" if e["reader"] == "accepted" else f", reader {e['reader'] or '-'}"
    lines = [f"{e['title']} [{e['endpoint']}, {e['rank']}{reader}]"]
    missing = "; missing: " + ", ".join(f"{n} {reason}" for reason, n in e["missing"].items()) if e.get("missing") else ""
    if "units" in e:
        lines.append(f"  {e['n']} of {e['n_set']} nodes of the set, {e['n_in_window']} assessed in the window; {e['n_treated']} treated, {e['n_excluded']} salvaged and left out{missing}")
        for unit, u in e["units"].items():
            partial = f"; {u['n_partial']} with a node missing" if u.get("n_partial") else ""
            lines.append(f"  {unit.replace('_', ' ')}: mean {number(u['mean_pct'])} % ({interval(u['interval_pct'])}), median {number(u['median_pct'])} %, n {u['n']}{partial}")
        if "sensitivity" in e:
            lines.append(f"  with the last volume before a salvage carried ({e['sensitivity']['n_carried']} nodes): node mean {number(e['sensitivity']['units']['node']['mean_pct'])} %")
        lines.append(f"  intervals: subjects resampled {e['resamples']} times, seed {e['seed']}")
    elif "curve" in e:
        median = "not reached" if e["median_days"] is None else f"{e['median_days']:.0f} days"
        at = "" if e["at_pct"] is None else f"; at day {e['at_day']} {number(e['at_pct'])} %"
        lines.append(f"  {e['n_events']} events in {e['n']} subjects, median {median}{at}{missing}")
    elif "rates" in e:
        for rate in e["rates"].values():
            lines.append(f"  {rate['numerator']} of {rate['denominator']} {rate['of']}: {number(rate['pct'])} % ({interval(rate['interval_pct'])}{', ' + rate['interval_from'] if rate['interval_pct'] else ''}), {rate['n_missing']} missing")
        lines += [f"  {missing[2:]}"] if missing else []
    else:
        lines.append(f"  mean {number(e.get('mean'))}, n {e['n']} of {e['n_treated']}{missing}")
    return lines


def number(value: float | None) -> str:
    """One decimal, a dash where unknown."""
    return "-" if value is None else f"{value:.1f}"


def interval(pair: list[float] | None) -> str:
    """An interval in words, a dash where there is none."""
    return "-" if pair is None else f"{pair[0]:.1f} to {pair[1]:.1f}"
