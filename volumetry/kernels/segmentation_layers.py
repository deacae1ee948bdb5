"""Which border explains the profile along a ray: least squares over places and layers."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def weigh_layers(yy, yu, yv, yf, uu, vv, uv, ff, fu, fv, depth, pull, chance_before, part, pitch, out):
    """Posterior place of the border per ray.

    Model of a profile y (rays): ``a u + b v + depth f`` with templates u (places), v and f
    (places, kinds of layer), a and b free. The arguments are the sums of products over the profile:
    ``yy`` (rays), ``yu`` (rays, places), ``yv`` ``yf`` (rays, places, kinds), and of the templates
    with each other: ``uu`` (places), ``vv uv ff fu fv`` (places, kinds). ``pull`` (places) is added to the
    squared error, ``chance_before`` (kinds) is the prior, ``part`` the sd of one sample's noise,
    ``pitch`` the distance between places. ``out`` (rays, 6): place (in pitches from the first), its sd
    (in pitches), most likely kind, and there a, b and the squared error.
    """
    rays = yy.shape[0]
    places, kinds = vv.shape
    best_place = np.empty(kinds)
    best_error = np.empty(kinds)
    spread = np.empty(kinds)
    at = np.empty(kinds, dtype=np.int64)
    error = np.empty((kinds, places))
    for r in range(rays):
        least = np.inf
        for h in range(kinds):
            low = 0
            for p in range(places):
                gu = yu[r, p] - depth * fu[p, h]
                gv = yv[r, p, h] - depth * fv[p, h]
                rest = yy[r] - 2.0 * depth * yf[r, p, h] + depth * depth * ff[p, h]
                det = uu[p] * vv[p, h] - uv[p, h] * uv[p, h]
                a = (gu * vv[p, h] - gv * uv[p, h]) / det
                b = (gv * uu[p] - gu * uv[p, h]) / det
                error[h, p] = rest - a * gu - b * gv + pull[p]
                if error[h, p] < error[h, low]:
                    low = p
            low = min(max(low, 1), places - 2)
            down, here, up = error[h, low - 1], error[h, low], error[h, low + 1]
            curve = max(down - 2.0 * here + up, 1e-9 * part * part)
            shift = min(max(0.5 * (down - up) / curve, -1.0), 1.0)
            at[h] = low
            best_place[h] = low + shift
            best_error[h] = here - 0.25 * (down - up) * shift
            spread[h] = min(part * np.sqrt(2.0 / curve), 3.0 / pitch)
            least = min(least, best_error[h])
        total = 0.0
        mean = 0.0
        top = -1.0
        kind = 0
        for h in range(kinds):
            w = chance_before[h] * spread[h] * np.exp(-0.5 * (best_error[h] - least) / (part * part))
            total += w
            mean += w * best_place[h]
            if w > top:
                top = w
                kind = h
            best_error[h] = w  # kept for the second pass
        mean /= total
        variance = 0.0
        for h in range(kinds):
            variance += best_error[h] / total * (spread[h] * spread[h] + (best_place[h] - mean) ** 2)
        p = at[kind]
        gu = yu[r, p] - depth * fu[p, kind]
        gv = yv[r, p, kind] - depth * fv[p, kind]
        det = uu[p] * vv[p, kind] - uv[p, kind] * uv[p, kind]
        out[r, 0] = mean
        out[r, 1] = np.sqrt(variance)
        out[r, 2] = kind
        out[r, 3] = (gu * vv[p, kind] - gv * uv[p, kind]) / det
        out[r, 4] = (gv * uu[p] - gu * uv[p, kind]) / det
        out[r, 5] = error[kind, p]
