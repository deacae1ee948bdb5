"""Where to look: layouts to begin with, and an evolution strategy that moves all needles at once.

Everything is drawn from one ``numpy.random.Generator`` and judged in whole batches by a kernel whose answer does not
depend on the number of threads: the same seed gives the same arrangements.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from planning.kernels import quick_field as kq
from planning.optimise.scene import Scene

# one unit of the search is: direction (rad), depth, exposure, place across the needles, own depth (mm)
STEP_DIRECTION, STEP_DEPTH, STEP_EXPOSURE, STEP_PLACE, STEP_OWN = 0.12, 2.0, 4.0, 2.5, 1.2
LAYOUTS = 600
STARTS = 3
GENERATIONS = 45
STILL = 14  # generations without gain that end a search
WEIGHTS = {"risk_ml": 60.0, "risk_mean": 1.0, "collateral_ml": 1.0, "pairs": 0.15, "current_a": 0.004}


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """One arrangement: parallel ``needles`` (n, 4: tip xyz, exposure), ``direction`` from tip to entry, ``volts`` of all
    pairs (0: not fired), the quick model's ``figures`` and what the search made of them."""

    needles: np.ndarray
    direction: np.ndarray
    volts: np.ndarray
    figures: np.ndarray
    merit: float

    @property
    def covers(self) -> bool:
        """True where the quick model holds the whole target at its goal within the limits."""
        return bool(self.figures[kq.VIOLATION] <= 0 and self.figures[kq.UNCOVERED] <= 0)


def merit_of(figures: np.ndarray) -> np.ndarray:
    """One number to go down, limits before cover before structures at risk before the rest; ``figures (c, FIGURES)``."""
    last = (WEIGHTS["risk_ml"] * figures[:, kq.RISK_ML] + WEIGHTS["risk_mean"] * figures[:, kq.RISK_MEAN] + WEIGHTS["collateral_ml"] * figures[:, kq.COLLATERAL_ML]
            + WEIGHTS["pairs"] * figures[:, kq.PAIRS] + WEIGHTS["current_a"] * figures[:, kq.CURRENT_A])
    short = 1e4 * (1 + 10 * figures[:, kq.UNCOVERED] + 100 * figures[:, kq.SHORTFALL])
    out = np.where(figures[:, kq.UNCOVERED] > 0, short, last)
    return np.where(figures[:, kq.VIOLATION] > 0, 1e8 * (1 + figures[:, kq.VIOLATION]), out)


class Coding:
    """Between the search's numbers and needles, for ``count`` needles."""

    def __init__(self, scene: Scene, count: int):
        self.scene, self.count = scene, count
        self.size = 4 + 3 * count
        side = np.cross(scene.base, [0.0, 0.0, 1.0] if abs(scene.base[2]) < 0.9 else [1.0, 0.0, 0.0])
        self.side = side / np.linalg.norm(side)
        self.third = np.cross(scene.base, self.side)
        self.lean = math.tan(math.radians(scene.limits.cone_deg))
        self.exposures = np.array(scene.limits.exposures_mm)

    def directions(self, lean: np.ndarray) -> np.ndarray:
        """Unit vectors of ``lean (c, 2)`` (tangents), held in the cone."""
        length = np.linalg.norm(lean, axis=1, keepdims=True)
        lean = lean * np.minimum(1.0, self.lean / np.maximum(length, 1e-9))
        d = self.scene.base + lean[:, :1] * self.side + lean[:, 1:] * self.third
        return d / np.linalg.norm(d, axis=1, keepdims=True)

    def frame(self, directions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Two unit vectors across each direction."""
        u = self.side - (directions @ self.side)[:, None] * directions
        u /= np.linalg.norm(u, axis=1, keepdims=True)
        return u, np.cross(directions, u)

    def decode(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """``(needles (c, n, 4), directions (c, 3))`` of ``x (c, size)``."""
        n = self.count
        d = self.directions(x[:, :2] * STEP_DIRECTION)
        u, v = self.frame(d)
        exposure = self.exposures[np.abs(x[:, 3, None] * STEP_EXPOSURE - self.exposures).argmin(1)]
        place = x[:, 4:4 + 2 * n].reshape(-1, n, 2) * STEP_PLACE
        deep = (0.5 * exposure + STEP_DEPTH * x[:, 2])[:, None] + STEP_OWN * x[:, 4 + 2 * n:]
        tips = self.scene.center_mm + place[..., :1] * u[:, None] + place[..., 1:] * v[:, None] - deep[..., None] * d[:, None]
        return np.concatenate([tips, np.broadcast_to(exposure[:, None, None], (len(x), n, 1))], axis=2), d

    def encode(self, needles: np.ndarray, direction: np.ndarray) -> np.ndarray:
        """The numbers of one arrangement."""
        base = float(direction @ self.scene.base)
        lean = np.array([direction @ self.side, direction @ self.third]) / max(base, 0.05)
        d = self.directions(lean[None])
        u, v = self.frame(d)
        off = needles[:, :3] - self.scene.center_mm
        exposure = float(needles[0, 3])
        deep = -(off @ d[0]) - 0.5 * exposure
        middle = float(deep.mean())
        return np.concatenate([lean / STEP_DIRECTION, [middle / STEP_DEPTH, exposure / STEP_EXPOSURE],
                               (np.stack([off @ u[0], off @ v[0]], 1) / STEP_PLACE).ravel(), (deep - middle) / STEP_OWN])


def layouts(coding: Coding, rng: np.random.Generator, wanted: int) -> np.ndarray:
    """Arrangements to begin with: rings around the target's outline across the needles, with and without a needle in the
    middle, at random turns, sizes and directions in the cone; one in four along the plan's own direction."""
    scene, n = coding.scene, coding.count
    lean = coding.lean * np.sqrt(rng.random(wanted))[:, None] * _circle(rng.random(wanted))
    lean[::4] = 0.0
    d = coding.directions(lean)
    u, v = coding.frame(d)
    off = scene.target.points.T - scene.center_mm
    x = np.zeros((wanted, coding.size))
    x[:, :2] = lean / STEP_DIRECTION
    turn, swell, along = rng.random(wanted), rng.uniform(0.6, 1.15, wanted), rng.normal(0.0, 1.5, wanted)
    longer = rng.uniform(-4.0, 12.0, wanted)
    centred = rng.random(wanted) < (0.35 if n >= 5 else 0.2 if n == 4 else 0.0)
    least = scene.limits.spacing_least_mm * 1.02
    for c in range(wanted):
        a, b, h = off @ u[c], off @ v[c], off @ d[c]
        values, axes = np.linalg.eigh(np.cov(np.stack([a, b])))
        half = np.sqrt(np.maximum(values, 1e-6) * 5.0) * swell[c]
        ring = n - 1 if centred[c] else n
        angle = 2 * math.pi * (turn[c] + np.arange(ring) / ring)
        if n == 2:
            angle = np.array([0.5, 1.5]) * math.pi + (turn[c] - 0.5)  # across the longer axis or along it
        foot = np.stack([half[0] * np.cos(angle), half[1] * np.sin(angle)], 1) @ axes.T
        if centred[c]:
            foot = np.concatenate([[[0.0, 0.0]], foot])
        apart = min(float(np.hypot(*(foot[p] - foot[q]))) for p in range(n) for q in range(p))
        foot *= max(1.0, least / max(apart, 1e-3))
        x[c, 2] = along[c] / STEP_DEPTH
        x[c, 3] = (h.max() - h.min() + longer[c]) / STEP_EXPOSURE
        x[c, 4:4 + 2 * n] = (foot / STEP_PLACE).ravel()
    return x


def _circle(turn: np.ndarray) -> np.ndarray:
    return np.stack([np.cos(2 * math.pi * turn), np.sin(2 * math.pi * turn)], 1)


class Evolution:
    """Covariance matrix adaptation (Hansen, The CMA Evolution Strategy: A Tutorial, arXiv 1604.00772)."""

    def __init__(self, mean: np.ndarray, sigma: float, rng: np.random.Generator):
        n = mean.size
        self.mean, self.sigma, self.rng = mean.copy(), sigma, rng
        self.size = 4 + int(3 * math.log(n)) + 4
        keep = self.size // 2
        w = math.log(keep + 0.5) - np.log(np.arange(1, keep + 1))
        self.w = w / w.sum()
        self.mu = 1 / (self.w**2).sum()
        self.cs = (self.mu + 2) / (n + self.mu + 5)
        self.ds = 1 + 2 * max(0.0, math.sqrt((self.mu - 1) / (n + 1)) - 1) + self.cs
        self.cc = (4 + self.mu / n) / (n + 4 + 2 * self.mu / n)
        self.c1 = 2 / ((n + 1.3) ** 2 + self.mu)
        self.cmu = min(1 - self.c1, 2 * (self.mu - 2 + 1 / self.mu) / ((n + 2) ** 2 + self.mu))
        self.ps, self.pc, self.c = np.zeros(n), np.zeros(n), np.eye(n)
        self.b, self.d = np.eye(n), np.ones(n)
        self.norm = math.sqrt(n) * (1 - 1 / (4 * n) + 1 / (21 * n * n))
        self.generation = 0

    def ask(self) -> np.ndarray:
        """Points of one generation."""
        self.y = (self.rng.standard_normal((self.size, self.mean.size)) * self.d) @ self.b.T
        return self.mean + self.sigma * self.y

    def tell(self, merit: np.ndarray) -> None:
        """Move towards the better ones."""
        best = self.y[np.argsort(merit, kind="stable")[:self.w.size]]
        step = self.w @ best
        self.mean = self.mean + self.sigma * step
        self.ps = (1 - self.cs) * self.ps + math.sqrt(self.cs * (2 - self.cs) * self.mu) * (self.b @ ((self.b.T @ step) / self.d))
        self.generation += 1
        long = np.linalg.norm(self.ps) / math.sqrt(1 - (1 - self.cs) ** (2 * self.generation)) < (1.4 + 2 / (self.mean.size + 1)) * self.norm
        self.pc = (1 - self.cc) * self.pc + (math.sqrt(self.cc * (2 - self.cc) * self.mu) * step if long else 0.0)
        self.c = (1 - self.c1 - self.cmu) * self.c + self.c1 * np.outer(self.pc, self.pc) + self.cmu * (best.T * self.w) @ best
        self.sigma *= math.exp(min(1.0, (self.cs / self.ds) * (np.linalg.norm(self.ps) / self.norm - 1)))
        if self.generation % 4 == 0:
            values, self.b = np.linalg.eigh(0.5 * (self.c + self.c.T))
            self.d = np.sqrt(np.maximum(values, 1e-12))


class Searcher:
    """Counts what is looked at and asks before every batch whether to go on (``check`` raises)."""

    def __init__(self, scene: Scene, rng: np.random.Generator, check: Callable[[], None]):
        self.scene, self.rng, self.check = scene, rng, check
        self.looked_at = 0

    def judge(self, coding: Coding, x: np.ndarray, goal: float, **other) -> tuple[np.ndarray, tuple]:
        """Merits of a batch, and all that was found of it."""
        self.check()
        needles, directions = coding.decode(x)
        figures, volts = self.scene.score(needles, directions, goal, **other)
        self.looked_at += len(x)
        return merit_of(figures), (needles, directions, volts, figures)

    def explore(self, count: int, goal: float, *, starts: int = STARTS, wanted: int = LAYOUTS, generations: int = GENERATIONS, **other) -> list[Candidate]:
        """The best arrangements of ``count`` needles, best first: random layouts, then a search from the best of each share."""
        coding = Coding(self.scene, count)
        x = layouts(coding, self.rng, wanted)
        merit, _ = self.judge(coding, x, goal, **other)
        shares = [np.arange(s, wanted, starts) for s in range(starts)]
        means = [x[share[np.argmin(merit[share])]] for share in shares]
        return self.evolve(coding, means, 1.0, goal, generations, **other)

    def improve(self, start: Candidate, goal: float, *, sigma: float = 0.5, generations: int = GENERATIONS, **other) -> Candidate:
        """The best arrangement found around one."""
        coding = Coding(self.scene, len(start.needles))
        return self.evolve(coding, [coding.encode(start.needles, start.direction)], sigma, goal, generations, **other)[0]

    def evolve(self, coding: Coding, means: list[np.ndarray], sigma: float, goal: float, generations: int, **other) -> list[Candidate]:
        """All searches side by side, one batch a generation; their best, best first. The means are judged, too."""
        runs = [Evolution(m, sigma, self.rng) for m in means]
        merit, found = self.judge(coding, np.array(means), goal, **other)
        best = [(float(merit[r]), *(part[r] for part in found)) for r in range(len(runs))]
        still = [0] * len(runs)
        for _ in range(generations):
            alive = [r for r in range(len(runs)) if still[r] < STILL]
            if not alive:
                break
            asked = [runs[r].ask() for r in alive]
            merit, found = self.judge(coding, np.concatenate(asked), goal, **other)
            a = 0
            for r, x in zip(alive, asked, strict=True):
                own = slice(a, a + len(x))
                a += len(x)
                runs[r].tell(merit[own])
                top = own.start + int(np.argmin(merit[own]))
                still[r] += 1
                if merit[top] < best[r][0]:
                    if merit[top] < best[r][0] * (1 - 2e-3):
                        still[r] = 0
                    best[r] = (float(merit[top]), *(part[top].copy() for part in found))
        out = [Candidate(needles, direction, volts, figures, value) for value, needles, direction, volts, figures in best]
        return sorted(out, key=lambda c: c.merit)
