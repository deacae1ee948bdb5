"""What was proposed on a contrast loop, as columns of the readings: from ``measurement["perfusion"]`` (``app.usecases.perfusion_reading``)."""

from __future__ import annotations

from typing import Any

from app.study.model import Reading

TIMES = ("arrival_s", "ttp_s", "rise_time_s", "mtt_s")
RATIOS = {"auc_ratio": "auc", "peak_ratio": "peak", "wash_in_ratio": "wash_in_rate"}
NAMES = ("grade_proposed", "enhancing_pct", *TIMES, *RATIOS, "curve_model", "curve_r_squared", "perfusion_sha256")


def perfusion_columns(reading: Reading) -> dict[str, Any]:
    """The proposal that stands beside a reading, by name of its column; all None without one. Curve numbers are those of the node, ratios
    against the reference region."""
    out: dict[str, Any] = dict.fromkeys(NAMES)
    record = reading.measurement.get("perfusion") if reading.measurement else None
    if not isinstance(record, dict):
        return out
    residual = record.get("residual") or {}
    out |= {"grade_proposed": residual.get("grade"), "enhancing_pct": residual.get("viable_pct"), "perfusion_sha256": record.get("input_sha256")}
    node = next((r for r in record.get("regions") or () if r.get("role") == "node"), None)
    if node is None:
        return out
    numbers, ratios = node.get("parameters") or {}, node.get("ratios") or {}
    out |= {name: numbers.get(name) for name in TIMES}
    out |= {name: (ratios.get(key) or {}).get("value") for name, key in RATIOS.items()}
    return out | {"curve_model": node.get("model"), "curve_r_squared": node.get("r_squared")}
