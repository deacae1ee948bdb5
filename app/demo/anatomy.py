"""A neck written down as shapes: where things lie, how dense they are.

Body frame: LPS mm, x to the left, y to the back, z up; z = 0 lies at the upper border of the
cricoid, the slices run from about -64 (sternal notch) to +65 (angle of the jaw). Values are typical
adult anatomy after total thyroidectomy, venous-phase contrast; nothing is copied from a person.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace

import numpy as np
from scipy.interpolate import PchipInterpolator

ELLIPSE, CAPSULE, BAND = 0, 1, 2
FAT, MUSCLE, ARTERY, VEIN, GLAND, CARTILAGE, BONE, MARROW, AIR = -102, 62, 235, 215, 98, 150, 900, 280, -995


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """One painted shape. ``knots`` rows are (z, x, y, a, b, angle_deg) for ellipses and bands, and
    (x, y, z, radius) along a chain for capsules. ``cap_mm`` rounds off the ends in z."""

    name: str
    kind: int
    knots: np.ndarray
    hu: float
    grain: float = 5.0
    strand: float = 0.0
    bend: float = 0.0  # mm per mm2; for bands the thickness in mm
    power: float = 2.0  # exponent; for bands the cosine of the opening
    cap_mm: float = 2.0
    halo_mm: float = 0.0  # fat between this part and what was painted before it

    def mirrored(self) -> Part:
        """The same part on the other side."""
        knots = self.knots.copy()
        if self.kind == CAPSULE:
            knots[:, 0] *= -1
        else:
            knots[:, 1] *= -1
            knots[:, 5] *= -1
        name = self.name.replace("left", "right")
        return Part(name, self.kind, knots, self.hu, self.grain, self.strand, self.bend, self.power, self.cap_mm, self.halo_mm)


def tube(name, knots, hu, **more) -> Part:
    """A body whose cross-sections are bent ellipses: rows (z, x, y, a, b[, angle_deg])."""
    rows = np.array([tuple(r) + (0.0,) * (6 - len(r)) for r in knots], dtype=np.float64)
    return Part(name, ELLIPSE, rows[np.argsort(rows[:, 0])], hu, **more)


def band(name, knots, hu, thickness, opening=2.0, **more) -> Part:
    """A hollow tube of ``thickness`` mm, open to the back where ``opening`` (a cosine) says so."""
    rows = np.array([tuple(r) + (0.0,) * (6 - len(r)) for r in knots], dtype=np.float64)
    return Part(name, BAND, rows[np.argsort(rows[:, 0])], hu, bend=thickness, power=opening, **more)


def chain(name, points, hu, **more) -> Part:
    """Capsules strung along (x, y, z, radius)."""
    return Part(name, CAPSULE, np.array(points, dtype=np.float64), hu, **more)


def bone_chain(name, points, shell_mm=1.3, cortex=BONE, marrow=MARROW) -> list[Part]:
    """A bone along capsules: dense shell, spongy inside."""
    inner = [(x, y, z, max(r - shell_mm, 0.3)) for x, y, z, r in points]
    return [chain(name, points, cortex, grain=40.0), chain(name + " marrow", inner, marrow, grain=55.0)]


def both(parts) -> list[Part]:
    """A left part (or several) and the mirror image."""
    parts = [parts] if isinstance(parts, Part) else list(parts)
    return parts + [p.mirrored() for p in parts]


_SPINE = PchipInterpolator([-70, -64, -45, -20, 5, 25, 45, 65, 70], [18, 16, 10, 4, 0, 0, 2, 6, 7])


def spine_shift(z) -> np.ndarray:
    """How far back of the straight line the spine lies at height ``z`` (lordosis, kyphosis)."""
    return _SPINE(np.clip(z, -70, 70))


def _back(knots):
    """Let posterior parts follow the spine."""
    zs = np.arange(-66.0, 68.0, 6.0)
    rows = np.array([tuple(r) + (0.0,) * (6 - len(r)) for r in knots], dtype=np.float64)
    rows = rows[np.argsort(rows[:, 0])]
    zs = zs[(zs > rows[0, 0]) & (zs < rows[-1, 0])]
    zs = np.concatenate([[rows[0, 0]], zs, [rows[-1, 0]]])
    out = np.column_stack([zs] + [PchipInterpolator(rows[:, 0], rows[:, c])(zs) for c in range(1, 6)])
    out[:, 2] += spine_shift(zs)
    return out


SKIN_TABLE = np.array(
    # z, half width, front y, back y, exponent front, exponent back
    [
        (-70, 142, -48, 96, 2.6, 2.5),
        (-58, 122, -46, 92, 2.6, 2.5),
        (-48, 97, -44, 89, 2.4, 2.4),
        (-38, 79, -43.5, 86, 2.2, 2.3),
        (-26, 68, -45, 83, 2.1, 2.2),
        (-12, 62, -47, 79, 2.1, 2.1),
        (4, 59.5, -50, 76, 2.1, 2.1),
        (20, 59, -53, 75, 2.05, 2.1),
        (34, 60, -56, 75, 2.0, 2.1),
        (42, 62, -68, 76, 1.95, 2.1),
        (48, 64, -86, 77, 1.9, 2.1),
        (56, 67, -95, 78, 1.95, 2.15),
        (72, 70, -97, 79, 2.0, 2.2),
    ],
    dtype=np.float64,
)
SKIN_CENTRE_Y = 8.0


def skin_radius(z, angles: int = 256) -> np.ndarray:
    """Body radius (mm) over ``angles`` even directions about (0, SKIN_CENTRE_Y), per height."""
    z = np.clip(np.atleast_1d(np.asarray(z, dtype=np.float64)), SKIN_TABLE[0, 0], SKIN_TABLE[-1, 0])
    w, front, back, pf, pb = (PchipInterpolator(SKIN_TABLE[:, 0], SKIN_TABLE[:, c])(z)[:, None] for c in range(1, 6))
    t = 2 * np.pi * np.arange(angles)[None, :] / angles
    c, s = np.cos(t), np.sin(t)
    depth = np.where(s < 0, SKIN_CENTRE_Y - front, back - SKIN_CENTRE_Y)
    power = np.where(s < 0, pf, pb)
    radius = (np.abs(c / w) ** power + np.abs(s / depth) ** power) ** (-1 / power)

    def bump(at_deg, width_deg, height):
        gap = (np.rad2deg(t) - at_deg + 180) % 360 - 180
        return height * np.exp(-0.5 * (gap / width_deg) ** 2)

    prominence = 2.5 * np.exp(-0.5 * ((z - 18) / 9) ** 2)[:, None]
    furrow = 2.5 * np.exp(-0.5 * ((z - 30) / 30) ** 2)[:, None]
    notch = 3.0 * np.exp(-0.5 * ((z + 52) / 14) ** 2)[:, None]
    fossa = 3.5 * np.exp(-0.5 * ((z + 38) / 10) ** 2)[:, None]
    radius = radius + bump(270, 9, prominence) - bump(90, 9, furrow) - bump(270, 10, notch)
    radius = radius - bump(325, 14, fossa) - bump(215, 14, fossa)  # above the collar bones
    return radius + 0.5 * np.sin(3 * t + 0.05 * z[:, None]) + 0.35 * np.sin(5 * t + 1.0 + 0.03 * z[:, None])


CAROTID = {
    "left": [(-70, 17, -2), (-50, 18, -5), (-30, 19.5, -8.5), (-10, 23.5, -7), (10, 26, -5), (24, 27, -4)],
    "right": [(-70, 15, -8), (-50, 16.5, -8), (-30, 19, -8.5), (-10, 23, -7), (10, 25.5, -5), (24, 27, -4)],
}
JUGULAR = {
    "left": [(-70, 21, -16), (-50, 24, -15), (-30, 27.5, -13), (-10, 31, -7), (10, 33, -1.5), (30, 35, 1), (50, 35.5, 5), (70, 34, 9)],
    "right": [(-70, 25, -16), (-50, 27, -14), (-30, 29, -12), (-10, 32, -7), (10, 33.5, -1), (30, 35.5, 1), (50, 35.5, 4), (70, 34, 9)],
}


def _uneven(part: Part) -> Part:
    """Nobody is symmetric: a right-sided part is shifted and scaled a little, by its name."""
    if "right" not in part.name:
        return part
    rng = np.random.default_rng(zlib.crc32(part.name.encode()))
    knots = part.knots.copy()
    knots[:, 1:3] += rng.uniform(-0.7, 0.7, size=2)
    knots[:, 3:5] *= rng.uniform(0.93, 1.07, size=2)
    knots[:, 5] += rng.uniform(-3, 3)
    return replace(part, knots=knots)


def _small_vessels() -> list[Part]:
    """Thin vessels wandering through the fat; whatever is painted later covers them."""
    rng = np.random.default_rng(77)
    out = []
    for n in range(56):
        angle = rng.uniform(-2.9, 0.9) if n % 2 else rng.uniform(-3.1, 3.1)
        z = rng.uniform(-60, 58)
        rim = float(skin_radius(z)[0, int((angle % (2 * np.pi)) / (2 * np.pi) * 256)])
        radius = rim * rng.uniform(0.55, 0.93)
        points = []
        for _ in range(5):
            thick = rng.uniform(0.35, 0.75)
            points.append((radius * np.cos(angle), SKIN_CENTRE_Y + radius * np.sin(angle), z, thick))
            angle += rng.normal(0, 0.10)
            z += rng.normal(3.0, 4.0)
            radius = min(radius + rng.normal(0, 2.0), 0.94 * rim)
        out.append(chain(f"small vessel {n}", points, float(rng.uniform(60, 190)), grain=3.0))
    return out


def _muscles() -> list[Part]:
    scm = tube(
        "sternocleidomastoid left",
        [(70, 52, 19, 14, 6.5, 98), (45, 50, 8, 16, 6.3, 86), (25, 47, -1, 17, 6.2, 76), (5, 43, -10, 17, 6.0, 62),
         (-20, 34, -22, 15, 5.3, 47), (-42, 25, -29, 11, 4.6, 34), (-60, 17, -33, 7, 4.2, 22), (-70, 14, -35, 5, 4, 10)],
        MUSCLE + 2, bend=0.006, grain=7.0,
    )  # fmt: skip
    clavicular = tube(
        "sternocleidomastoid clavicular head left",
        [(-70, 41, -27, 9, 3, 20), (-55, 39, -26, 9, 3, 25), (-40, 38, -21, 7, 2.8, 35), (-28, 38, -16, 4, 2, 45)],
        MUSCLE, grain=7.0,
    )  # fmt: skip
    left = [
        tube("longus colli left", _back([(70, 8, 2.5, 6.5, 3.2, -8), (20, 9, 1.5, 7, 3.6, -8), (-20, 9.5, 1.5, 6.5, 3.4, -8), (-64, 9, 3, 5, 2.6, -10)]), MUSCLE),
        tube("longus capitis left", _back([(70, 16, 0, 6, 3.6, 25), (35, 17, 1, 5.5, 3.2, 25), (8, 18, 4, 3, 2, 30)]), MUSCLE - 2),
        tube("longissimus left", _back([(70, 28, 33, 8, 8, 30), (20, 28, 36.5, 8.5, 8, 20), (-30, 28, 42, 10, 8, 5), (-70, 26, 46, 12, 8, 0)]), MUSCLE - 3, grain=8.0, power=2.4),
        tube("multifidus left", _back([(70, 11, 40, 10, 8, -12), (20, 10.5, 41, 9.8, 8.4, -14), (-30, 10.5, 45, 9.6, 8.6, -12), (-70, 10.5, 46, 9.6, 8.5, -8)]), MUSCLE - 6, grain=10.0, power=2.5),
        tube("semispinalis left", _back([(70, 14, 53, 13, 6.6, -12), (20, 12.5, 53.5, 11.5, 6.4, -14), (-30, 11.5, 57, 10, 5.6, -14), (-70, 10.5, 58, 8, 4.0, -12)]), MUSCLE - 3, grain=9.0, power=2.5),
        tube("scalenus anterior left", _back([(35, 23, 7, 3, 3, 40), (10, 26, 8, 5, 5, 40), (-20, 27, 4, 6.5, 5.2, 30), (-45, 30, -4, 7, 5, 20), (-62, 34, -8, 6, 4, 15)]), MUSCLE),
        tube("scalenus medius left", _back([(52, 27, 14, 5, 5, 60), (20, 32, 16, 8, 8, 60), (-15, 36, 16, 9.5, 9, 60), (-45, 42, 16, 12, 9, 65), (-70, 48, 18, 12, 8, 70)]), MUSCLE, power=2.3),
        tube("levator scapulae left", _back([(70, 37, 23, 7, 9.5, 20), (30, 41, 28, 7, 12, 15), (-5, 43, 31, 7.5, 13, 5), (-40, 49, 38, 7.5, 14, -20), (-70, 54, 46, 7, 13, -30)]), MUSCLE + 1, power=2.3),
        tube("splenius left", _back([(70, 33, 47, 18, 4.6, -40), (20, 29, 50.5, 18, 4.5, -36), (-15, 25, 55, 16, 3.8, -29), (-50, 16, 62, 11, 2.8, -20)]), MUSCLE, bend=-0.006),
        tube("trapezius left", _back([(70, 11, 61, 10, 2.1, -14), (30, 16, 61.5, 15, 2.5, -20), (0, 24, 61, 24, 3.2, -24), (-25, 37, 60, 38, 5.0, -24), (-45, 53, 57, 54, 8.5, -22), (-58, 68, 56, 64, 10.5, -19), (-70, 78, 55, 68, 11, -16)]), MUSCLE + 1, bend=-0.0035),
        tube("rhomboid left", _back([(-36, 20, 60, 9, 1.8, -22), (-52, 27, 61, 19, 3, -22), (-70, 31, 60, 24, 3.4, -20)]), MUSCLE),
        tube("serratus anterior left", [(-50, 58, 40, 8, 4, 60), (-62, 66, 34, 14, 5, 70), (-70, 70, 30, 16, 6, 75)], MUSCLE),
        tube("supraspinatus left", [(-44, 86, 46, 8, 4, -15), (-56, 92, 48, 22, 11, -15), (-70, 94, 46, 28, 15, -15)], MUSCLE, grain=8.0, power=2.4),
        tube("subclavius and pectoral left", [(-58, 62, -28, 10, 3, 12), (-70, 70, -30, 30, 6, 14)], MUSCLE, grain=8.0),
        tube("deltoid left", [(-42, 96, 30, 10, 14, 20), (-54, 112, 10, 14, 20, 20), (-70, 118, 4, 18, 28, 20)], MUSCLE, grain=8.0),
        tube("omohyoid left", [(34, 13, -42, 4, 1.6, 40), (10, 25, -29, 4.5, 1.7, 55), (-10, 33, -18.5, 4.5, 1.6, 55), (-24, 41, -12, 5, 1.5, 40), (-32, 50, -4, 6, 1.6, 35)], MUSCLE),
        tube("sternohyoid left", [(37, 6, -46.5, 5, 1.7, 25), (20, 10, -42.5, 8, 1.9, 42), (2, 10, -39, 9, 2.0, 32), (-15, 9, -35.5, 9.5, 2.1, 16), (-40, 9, -33, 9, 2.0, 10), (-66, 11, -33, 8, 1.8, 8)], MUSCLE, bend=0.008),
        tube("sternothyroid left", [(8, 13.5, -32, 6, 1.6, 45), (-10, 12, -29.5, 8, 1.8, 28), (-35, 11, -28, 9, 1.9, 14), (-66, 11, -28.5, 8, 1.7, 10)], MUSCLE - 2, bend=0.008),
        tube("thyrohyoid left", [(34, 11, -36.5, 6, 1.5, 47), (20, 12.5, -32.5, 6.5, 1.7, 47)], MUSCLE),
        scm, clavicular,
        # floor of the mouth and jaw muscles
        tube("geniohyoid left", [(70, 5, -62, 4, 13, 0), (52, 4.5, -60, 4, 13, 0), (43, 4, -52, 3.5, 6, 0)], MUSCLE + 4),
        tube("anterior digastric left", [(56, 12, -64, 4.5, 8, 20), (48, 10, -62, 4.5, 11, 18), (42, 8, -54, 3.5, 6, 10)], MUSCLE),
        tube("mylohyoid left", [(70, 27, -47, 20, 1.7, 118), (56, 21, -52, 17, 1.7, 118), (47, 14, -52, 10, 1.7, 120)], MUSCLE),
        tube("masseter left", [(70, 56, -22, 14, 5.5, 95), (58, 54.5, -22, 12, 4.8, 95), (51, 52, -24, 7, 3, 95)], MUSCLE + 4, grain=7.0),
        tube("medial pterygoid left", [(70, 41, -18, 11, 5, 80), (56, 43, -18, 8, 3.4, 80)], MUSCLE),
        tube("digastric posterior left", [(70, 44, 6, 7, 3.6, 60), (60, 40, -6, 6, 3.0, 50), (54, 33, -16, 5, 2.2, 30)], MUSCLE),
        tube("pharyngeal constrictor left", [(70, 19, -12, 2.0, 8, -25), (45, 18.5, -13, 2.2, 8, -25), (22, 17, -13.5, 2, 6, -30)], MUSCLE + 8),
    ]  # fmt: skip
    parts = [replace(_uneven(p), halo_mm=0.5, strand=-26.0) for p in both(left)]
    parts.append(tube("tongue base", [(70, 0, -42, 21, 21), (58, 0, -40, 19, 18), (50, 0, -38, 15, 11), (44, 0, -36, 10, 5)], 76, grain=9.0))
    parts.append(tube("nuchal ligament", [(70, 0, 58, 0.8, 9), (0, 0, 60, 0.8, 8), (-60, 0, 76, 0.8, 8)], 40))
    parts.append(tube("platysma left", [(48, 47, -38, 14, 0.7, 60), (20, 40, -32, 16, 0.7, 52), (-10, 41, -33, 17, 0.7, 45), (-35, 42, -32, 16, 0.6, 35)], 45, bend=0.005))
    parts.append(parts[-1].mirrored())
    return parts


def _airway() -> list[Part]:
    parts = [
        tube("pharyngeal wall", [(70, 0, -13, 23, 11), (58, 0, -13, 22, 11), (45, 0, -15, 21, 13), (34, 0, -20, 18, 17)], 82, grain=6.0),
        tube("larynx", [(40, 0, -22, 15, 15), (28, 0, -24, 16.5, 16), (14, 0, -25, 16, 16), (2, 0, -24, 13, 14), (-10, 0, -22.5, 11, 12)], 84, grain=6.0),
        tube("postcricoid", [(24, 0, -8.5, 17, 4.5), (8, 0, -8.5, 15, 4.2), (-10, 0, -8.5, 11, 4.4)], 68, bend=-0.006),
        tube("pre-epiglottic fat", [(40, 0, -37, 5, 3.5), (32, 0, -36, 8, 4.5), (24, 0, -35.5, 5, 2.6)], -70, cap_mm=5.0),
        *both(tube("paraglottic fat left", [(28, 11, -27, 1.6, 6, -35), (12, 12.5, -26, 1.2, 5, -40)], -40)),
        tube("oesophagus", [(-8, 1, -8.5, 9, 4.2), (-30, 4, -6, 7.5, 4.6), (-66, 6, 2, 7.5, 5)], 66),
        tube("oesophageal air", [(-18, 2, -7, 1.2, 0.7), (-30, 4, -6, 1.8, 0.9), (-40, 4.5, -4, 1.0, 0.6)], -250, grain=0.0),
        tube("tracheal wall", [(-8, 0, -22.5, 10.6, 10.6), (-35, 0.5, -17.5, 10.2, 10), (-70, 1, -9, 10.2, 10)], 60),
    ]  # fmt: skip
    rings = [band(f"tracheal ring {n}", [(z + 1.5, 0.02 * n, y, 9.8, 9.8), (z - 1.5, 0.02 * n, y - 0.0, 9.8, 9.8)], 165, 1.6, 0.66, cap_mm=0.6, grain=15.0)
             for n, (z, y) in enumerate((z, float(np.interp(z, [-70, -35, -8], [-9, -17.5, -22.5]))) for z in np.arange(-12.5, -66, -4.2))]  # fmt: skip
    lumen = [
        tube("airway", [(70, 0, -15, 15, 5.5), (58, 0, -15, 14, 6.5), (46, 0, -17, 15, 7), (38, 0, -18.5, 13, 7.5), (30, 0, -20, 9.5, 8.5),
                        (22, 0, -22.5, 7, 10), (16.5, 0, -24.5, 4, 11), (12.5, 0, -25.5, 1.5, 11), (9.5, 0, -25.5, 2.6, 10.5),
                        (4, 0, -24, 6.5, 9.5), (-4, 0, -23, 7.8, 9.2), (-12, 0, -22.2, 8.6, 8.6), (-35, 0.5, -17.5, 8.4, 8.2), (-72, 1, -9, 8.4, 8.2)],
             AIR, grain=0.0, power=2.0),
        *both(tube("piriform sinus left", [(32, 12.5, -16, 2.2, 4, -30), (24, 13, -14, 2.4, 4.5, -30), (16, 12, -12.5, 1.5, 3, -30)], AIR, grain=0.0, cap_mm=4.0)),
        *both(tube("vallecula left", [(46, 6, -28, 4, 2.4), (41, 6, -28.5, 3.5, 2)], AIR, grain=0.0, cap_mm=3.0)),
        tube("epiglottis", [(50, 0, -21, 8, 1.1), (42, 0, -26, 9, 1.4), (34, 0, -29.5, 7, 1.5), (26, 0, -33, 3, 1.4)], 90, bend=0.02),
        tube("membranous trachea", [(-12, 0, -13.3, 6.5, 1.4), (-35, 0.5, -9.2, 6.5, 1.4), (-70, 1, -0.8, 6.5, 1.4)], 55, bend=-0.012),
    ]  # fmt: skip
    laminae = []
    for name, r, hu in (("thyroid cartilage left", 1.9, 230), ("thyroid cartilage core left", 0.8, 95)):
        laminae += [chain(name, [(0.5, -40.5, z, r), (9.5, -31.5, z - 0.5, r), (18.5, -19.5, z + 0.5, r)], hu, grain=25.0) for z in np.arange(6.0, 25.1, 1.9)]
        laminae += [chain(name, [(9.5, -31, z, r), (18.3, -19, z, r)], hu, grain=25.0) for z in (4.2, 26.0)]
    laminae += [chain("superior horn left", [(18.5, -19, 26, 1.6), (19.5, -16, 36, 1.3)], 240, grain=20.0), chain("inferior horn left", [(17.5, -18, 4, 1.7), (14, -15.5, -5, 1.4)], 230, grain=20.0)]  # fmt: skip
    cricoid = [
        band("cricoid arch", [(-2, 0, -23, 10.3, 11.2), (-9, 0, -22.8, 10.3, 10.8)], 250, 2.8, cap_mm=1.0, grain=30.0),
        tube("cricoid lamina", [(10, 0, -12.6, 7.5, 2.3), (2, 0, -12.4, 9.5, 2.5), (-8, 0, -12.4, 9, 2.4)], 260, bend=-0.012, grain=30.0),
        tube("cricoid marrow", [(8, 0, -12.6, 6, 1.0), (-7, 0, -12.4, 7.5, 1.1)], 120, bend=-0.012, grain=30.0),
        *both(chain("arytenoid left", [(4.5, -14.5, 10, 2.2), (3.6, -17.5, 13, 1.6), (4, -15, 16.5, 1.0)], 240, grain=25.0)),
    ]
    hyoid = bone_chain("hyoid body", [(-9, -43, 39, 3.2), (0, -45.5, 39, 3.6), (9, -43, 39, 3.2)], 1.2, 650, 230)
    hyoid += both(bone_chain("hyoid horn left", [(9, -43, 39, 2.6), (16, -34, 40, 2.0), (20, -24, 41.5, 1.6)], 1.0, 600, 230))
    return parts + rings + hyoid + lumen + both(laminae) + cricoid


VERTEBRA_Z = (74.0, 57.5, 40.0, 22.5, 5.5, -11.5, -29.5, -49.0, -70.0)


def _bones() -> list[Part]:
    parts: list[Part] = [tube("discs", _back([(70, 0, 12, 12.5, 8), (-20, 0, 12, 13.5, 8.4), (-70, 0, 12, 14.5, 10)]), 92, power=2.6)]
    parts.append(tube("epidural fat", _back([(70, 0, 28, 12.5, 8), (-70, 0, 28.5, 11.5, 8.2)]), -40))
    parts.append(tube("dural sac", _back([(70, 0, 27.5, 10.5, 6.8), (-70, 0, 27.5, 10, 6.8)]), 22, grain=3.0))
    parts.append(tube("spinal cord", _back([(70, 0, 27.5, 6.3, 4.1), (-10, 0, 27.3, 6.8, 4.1), (-70, 0, 27.3, 5.0, 4.0)]), 46, grain=3.0))
    for n, zc in enumerate(VERTEBRA_Z):
        half = 5.9 if zc > -40 else 7.2
        wide, deep = 12.5 + 0.25 * n, 8.2 + (1.6 if zc < -35 else 0.05 * n)
        dy = float(spine_shift(zc))
        lean = 0.10 * half  # the plates are tilted a little forward
        for z0, z1, a, b, hu, grain, cap in ((zc - half, zc + half, wide, deep, 620, 45.0, 1.0), (zc - half + 1.2, zc + half - 1.2, wide - 1.1, deep - 1.1, MARROW, 70.0, 0.8)):
            waist = 0.93
            parts.append(tube(f"vertebra {n}", [(z0, 0, 12 + dy + lean, a, b), (zc, 0, 12.4 + dy, a * waist, b * waist), (z1, 0, 12 + dy - lean, a, b)], hu, power=2.7, cap_mm=cap, grain=grain))
        left: list[Part] = []
        if zc > -35:
            left += bone_chain("uncus left", [(wide - 1.5, 11 + dy, zc + half - 0.5, 2.4), (wide - 1.0, 14 + dy, zc + half + 2.0, 1.6)], 0.9)
            left += bone_chain("transverse process left", [(12, 11 + dy, zc - 1, 2.4), (19, 7.5 + dy, zc - 2, 2.2), (24, 9 + dy, zc - 3, 2.3)], 1.0, 700)
            left += bone_chain("posterior tubercle left", [(21, 20 + dy, zc, 2.8), (26, 14.5 + dy, zc - 3, 2.4)], 1.0, 700)
        else:
            left += bone_chain("transverse process left", [(14, 24 + dy, zc + 1, 4.2), (24, 27 + dy, zc + 2, 3.6), (33, 31 + dy, zc + 3, 3.4)], 1.3, 750)
        left += bone_chain("articular pillar left", [(18.5, 23 + dy, zc - 5.2, 5.0), (18, 22.5 + dy, zc + 4.4, 5.2)], 1.2, 760)
        left += bone_chain("pedicle left", [(11, 16 + dy, zc, 2.6), (17, 21 + dy, zc, 3.2)], 1.0, 720)
        left += bone_chain("lamina left", [(16.5, 28 + dy, zc, 2.6), (9, 34.5 + dy, zc - 2, 2.4), (0, 38 + dy, zc - 4, 2.5)], 0.9, 760)
        parts += both(left)
        tip = (52.0, 10.0) if zc > -5 else ((60.0, 12.0) if zc > -20 else (66.0, 17.0))
        if n == 3:
            tip = (47.0, 8.0)
        parts += bone_chain(f"spinous process {n}", [(0, 38 + dy, zc - 4, 2.6), (0, tip[0] - 3 + dy, zc - tip[1] + 1, 2.4), (0, tip[0] + dy, zc - tip[1], 3.2)], 1.0, 720)
    jaw = [(46, -4, 70, 4.0), (46.5, -13, 58, 4.2), (46, -22, 53, 4.4), (42, -38, 51, 4.8), (33, -56, 52, 5.2), (20, -72, 53, 5.6), (7, -80, 53.5, 6.0), (0, -81, 54, 6.0)]
    ramus = [(46, -28, 70, 3.8), (46, -24, 60, 4.0)]
    upper = [(43, -36, 59, 4.4), (33, -55, 59, 4.6), (20, -71, 59, 5.0), (0, -80, 60, 5.2)]
    top = [(43, -36, 67, 4.2), (33, -54, 68, 4.4), (20, -70, 68, 4.6), (0, -78, 69, 4.6)]
    for n, points in enumerate((jaw, ramus, upper, top)):
        parts += both(bone_chain(f"mandible {n} left", points, 1.7, 1250, 260))
    fill = [(46, -8, 69, 3.2), (46, -26, 64, 3.4), (46, -16, 64, 3.2)]
    parts += both(bone_chain("ramus left", fill, 1.5, 1250, 260))
    # girdle: collar bones, first ribs, breast bone, lung tops
    clavicle = [(13, -36, -68, 6.5), (28, -35, -63, 5.8), (50, -27, -58, 5.2), (80, -8, -53, 5.2), (125, 12, -48, 5.5)]
    parts += both(bone_chain("clavicle left", clavicle, 1.6, 1050, 230))
    parts += both(tube("lung apex left", [(-47, 33, 16, 4, 4), (-54, 34, 16, 16, 16), (-62, 35, 14, 23, 24), (-72, 36, 10, 28, 31)], -860, grain=25.0, cap_mm=7.0))
    parts += both(bone_chain("first rib left", [(33, 42, -49, 4.0), (47, 38, -51, 4.0), (60, 24, -57, 4.0), (63, 6, -63, 4.2), (54, -14, -70, 4.4)], 1.2, 800, 220))
    return parts


def _vessels() -> list[Part]:
    parts: list[Part] = []
    for side, sign in (("left", 1), ("right", -1)):
        r = 3.5
        common = [(z, sign * x, y, r, r) for z, x, y in CAROTID[side]]
        common[-1] = (24, sign * 27, -4, 4.6, 3.9)
        parts.append(tube(f"common carotid {side}", [*common, (30, sign * 27.4, -4, 5.0, 3.8, sign * 20)], ARTERY, grain=3.0))
        parts.append(tube(f"internal carotid {side}", [(26, sign * 29, -3, 3.0, 2.8), (40, sign * 29.5, -0.5, 2.7, 2.6), (55, sign * 28.5, 1.5, 2.5, 2.5), (72, sign * 27, 3.5, 2.5, 2.5)], ARTERY, grain=3.0))
        parts.append(tube(f"external carotid {side}", [(26, sign * 25.5, -7, 2.5, 2.4), (38, sign * 25, -11.5, 2.2, 2.2), (55, sign * 30, -9.5, 2.0, 2.0), (72, sign * 38, -4, 1.9, 1.9)], ARTERY, grain=3.0))
        big = 1.0 if side == "right" else 0.76
        sizes = [(5.6, 8.6), (5.4, 8.2), (5.2, 7.8), (5.0, 7.6), (5.0, 7.4), (4.8, 7.0), (4.5, 6.2), (4.3, 5.6)]
        jugular = [(z, sign * x, y, b * big, a * big, sign * t) for (z, x, y), (b, a), t in zip(JUGULAR[side], sizes, (60, 50, 35, -5, -15, -10, 0, 20), strict=True)]
        parts.append(tube(f"internal jugular {side}", jugular, VEIN, grain=3.0))
        parts.append(tube(f"vertebral artery {side}", _back([(72, sign * 17.3, 14, 1.9, 1.9), (-12, sign * 17.3, 14, 2.0, 2.0), (-30, sign * 19, 4, 2.0, 2.0), (-50, sign * 21, -8, 2.0, 2.0)]), ARTERY - 10, grain=3.0))
        parts.append(tube(f"external jugular {side}", [(60, sign * 54, 4, 1.7, 1.5), (30, sign * 55.5, 8, 2.0, 1.5), (0, sign * 54, 6, 2.2, 1.6), (-25, sign * 51, 3, 2.4, 1.8), (-45, sign * 46, -4, 2.6, 2.0)], VEIN - 20, grain=3.0))
        parts.append(tube(f"anterior jugular {side}", [(30, sign * 8, -51, 1.2, 1.0), (0, sign * 8.5, -44, 1.5, 1.1), (-45, sign * 7, -38, 1.6, 1.2)], VEIN - 30, grain=3.0))
        parts.append(chain(f"facial vein {side}", [(sign * 36, -44, 54, 1.2), (sign * 38, -34, 42, 1.5), (sign * 36, -18, 34, 1.7), (sign * 36, -6, 30, 1.9)], VEIN - 15, grain=3.0))
        parts.append(chain(f"facial artery {side}", [(sign * 25, -12, 42, 1.3), (sign * 24, -22, 50, 1.2), (sign * 34, -32, 56, 1.2), (sign * 42, -44, 52, 1.1)], ARTERY - 20, grain=3.0))
        parts.append(chain(f"superior thyroid artery {side}", [(sign * 25, -9, 29, 1.2), (sign * 21, -16, 24, 1.0), (sign * 20.5, -21, 14, 0.9)], ARTERY - 30, grain=3.0))
        parts.append(chain(f"lingual artery {side}", [(sign * 25, -11, 37, 1.1), (sign * 21, -20, 41, 1.0), (sign * 14, -34, 48, 1.0)], ARTERY - 30, grain=3.0))
        parts.append(chain(f"transverse cervical artery {side}", [(sign * 22, -3, -46, 1.2), (sign * 34, -7, -42, 1.0), (sign * 50, 3 + sign, -36, 0.8), (sign * 60, 18, -32, 0.7)], ARTERY - 30, grain=3.0))
        parts.append(chain(f"subclavian artery {side}", [(sign * 14, 0, -72, 4.0), (sign * 24, 4, -58, 3.9), (sign * 36, 2, -54, 3.7), (sign * 52, -4, -58, 3.6), (sign * 66, -12, -66, 3.5)], ARTERY, grain=3.0))
        parts.append(chain(f"subclavian vein {side}", [(sign * 26, -16, -62, 4.8), (sign * 42, -18, -62, 4.4), (sign * 64, -17, -67, 4.2)], VEIN - 10, grain=3.0))
    return parts


def _glands() -> list[Part]:
    left = [
        tube("submandibular gland left", [(62, 33, -30, 6, 9, -25), (54, 33, -32, 8.5, 12.5, -25), (46, 32.5, -32.5, 8.5, 12, -28), (38, 30, -33, 5, 8, -30)], GLAND, grain=8.0, cap_mm=5.0),
        tube("parotid tail left", [(72, 56, -4, 7, 13, 10), (62, 56, -3, 5.5, 11, 10), (54, 55, -1, 3, 6, 10)], 18, grain=14.0, strand=-30.0, cap_mm=4.0),
        tube("palatine tonsil left", [(70, 16, -20, 4, 7, -15), (58, 16, -20, 3.5, 6, -15)], 92, cap_mm=4.0),
        tube("lower trunk of the brachial plexus left", [(-20, 33, 9, 1.6, 1.4), (-45, 40, 6, 2.0, 1.6), (-62, 56, 2, 2.2, 1.8)], 40),
        tube("vagus left", [(60, 32.5, 3.5, 1.0, 1.0), (10, 29.5, -0.5, 1.0, 1.0), (-50, 22.5, -8.5, 1.0, 1.0)], 40),
    ]  # fmt: skip
    scar = [
        chain("scar in the thyroid bed", [(11, -21, 6, 1.2), (12.5, -20, -6, 1.6), (12, -17, -18, 1.2)], 48, grain=8.0),
        chain("scar in the thyroid bed right", [(-11.5, -20, 3, 1.0), (-12.5, -19, -10, 1.5), (-11.5, -16, -24, 1.0)], 45, grain=8.0),
        chain("clip left", [(14, -16, -13, 0.5), (15.2, -16.5, -11.6, 0.5)], 2600, grain=0.0),
        chain("clip right", [(-14.5, -15, -19, 0.5), (-15.4, -15.8, -17.8, 0.5)], 2500, grain=0.0),
    ]
    return [replace(_uneven(p), halo_mm=0.4) for p in both(left)] + scar


def neck_parts() -> list[Part]:
    """Every part in painting order: soft tissue, airway, bone, glands, vessels."""
    return _small_vessels() + _muscles() + _airway() + _bones() + _glands() + _vessels()


def capsule_chain(name: str, parts: list[Part], z_from: float, z_to: float, step_mm: float = 10.0) -> list[dict]:
    """A tube's centre line as capsules in the body frame: ``{"from_mm", "to_mm", "diameter_mm"}``."""
    part = next(p for p in parts if p.name == name)
    zs = np.linspace(z_from, z_to, max(2, round(abs(z_to - z_from) / step_mm) + 1))
    x, y, a, b = (PchipInterpolator(part.knots[:, 0], part.knots[:, c])(zs) for c in (1, 2, 3, 4))
    points = np.column_stack([x, y, zs])
    return [
        {"from_mm": points[n], "to_mm": points[n + 1], "diameter_mm": float(2 * max(a[n], b[n], a[n + 1], b[n + 1]))}
        for n in range(len(zs) - 1)
    ]
