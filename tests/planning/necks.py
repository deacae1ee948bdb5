"""Synthetic necks: a node under the skin, with vessels, airway and bone around it, drawn from a seed."""

from __future__ import annotations

import numpy as np

AIR = {"model": "constant", "sigma_s_per_m": 0.0}


def neck(seed: int, *, spacing: float = 1.0, tissue: str = "node") -> dict:
    """A ``nodus.plan/1`` object: skin at y = 0 with air in front (y < 0), a target ellipsoid with axes of 10 to 28 mm turned at
    random with its centre 8 to 25 mm deep (at least 3 mm of tissue over it), carotid and jugular, trachea, a block of
    bone. The plan to begin with is poor: two needles, 15 mm apart, at 1000 V."""
    rng = np.random.default_rng(seed)
    axes = rng.uniform(10.0, 28.0, 3)
    turn = _rotation(rng)
    tall = float(np.sqrt(((turn[:, 1] * axes / 2) ** 2).sum()))  # half height towards the skin
    depth = max(rng.uniform(8.0, 25.0), tall + 3.0)
    centre = np.array([0.0, depth, 0.0])
    reach = np.array([float(np.sqrt(((turn[:, a] * axes / 2) ** 2).sum())) for a in range(3)])

    def tube(name, x, y, diameter, lean, preset):
        low, high = [x - 60 * lean[0], y - 60 * lean[1], -60.0], [x + 60 * lean[0], y + 60 * lean[1], 60.0]
        return {"name": name, "role": "at_risk", "shape": {"type": "cylinder", "from_mm": low, "to_mm": high, "diameter_mm": diameter}, "conductivity": preset}

    side = rng.choice([-1.0, 1.0])
    # Vessels lie beside or under the node, at times touching it.
    carotid = (side * (reach[0] + rng.uniform(3.0, 9.0)), depth + rng.uniform(-2.0, 0.5 * reach[1] + 4.0))
    jugular = (carotid[0] + side * rng.uniform(9.0, 12.0), carotid[1] + rng.uniform(-6.0, 3.0))
    if rng.random() < 0.4:  # under the node
        jugular = (rng.uniform(-4.0, 4.0), depth + reach[1] + rng.uniform(4.0, 8.0))
    trachea = (-side * (reach[0] + rng.uniform(14.0, 22.0)), depth + rng.uniform(0.0, 8.0))
    bone = depth + reach[1] + rng.uniform(12.0, 20.0)
    lean = rng.uniform(-0.08, 0.08, (3, 2))
    regions = [
        {"name": "air", "role": "tissue", "shape": {"type": "box", "center_mm": [0, -50, 0], "size_mm": [200, 100, 200]}, "conductivity": AIR},
        {"name": "vertebra", "role": "tissue", "shape": {"type": "box", "center_mm": [rng.uniform(-8, 8), bone + 15.0, 0], "size_mm": [30, 30, 120]}, "conductivity": {"preset": "bone"}},
        tube("carotid", *carotid, rng.uniform(5.0, 7.0), lean[0], {"preset": "blood"}),
        tube("jugular", *jugular, rng.uniform(6.0, 11.0), lean[1], {"preset": "blood"}),
        tube("trachea", *trachea, rng.uniform(16.0, 20.0), lean[2], AIR),
        {"name": "node", "role": "target", "shape": {"type": "ellipsoid", "center_mm": centre.tolist(), "axes_mm": axes.tolist(), "rotation": turn.tolist()},
         "conductivity": {"preset": tissue}},
    ]
    tip = centre + np.array([0, 10.0, 0])
    return {
        "schema": "nodus.plan/1",
        "domain": {"center_mm": [0, round(depth) + 2.0, 0], "size_mm": [80, 80, 80], "spacing_mm": spacing},
        "background": {"preset": "muscle"},
        "regions": regions,
        "electrodes": [{"id": f"E{n + 1}", "tip_mm": [x, tip[1], tip[2]], "entry_mm": [x, 0.0, tip[2]], "exposure_mm": 10, "diameter_mm": 1.1} for n, x in enumerate((-7.5, 7.5))],
        "pulses": [{"anode": "E1", "cathode": "E2", "voltage_v": 1000, "pulses": 90, "width_us": 70, "rate_hz": 1}],
        "thresholds_v_per_cm": [400, 500, 600, 800],
        "lethal_v_per_cm": 500,
        "margin_mm": 5,
    }


def _rotation(rng) -> np.ndarray:
    """A rotation, evenly distributed (QR of normal numbers)."""
    q, r = np.linalg.qr(rng.standard_normal((3, 3)))
    q = q * np.sign(np.diag(r))
    return q if np.linalg.det(q) > 0 else q[:, [1, 0, 2]]
