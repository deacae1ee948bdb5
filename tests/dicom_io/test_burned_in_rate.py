"""How often writing is found and how often tissue is taken for it, on pictures that the check was not adjusted on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from app.demo.font import text_mask
from app.demo.ultrasound import NodeSection, render_still
from dicom_io.deidentify.burned_in import find_text
from dicom_io.deidentify.review import kept_mask
from tests.dicom_io.test_deidentify_pixels import speckle, squeezed

pytestmark = pytest.mark.long
SEEDS = range(100, 130)
FONTS = ("DejaVuSans-Bold.ttf", "DejaVuSansMono.ttf", "DejaVuSerif.ttf", "dots 1", "dots 3")
WORDS = ("LI WEI", "Quillfeather", "07/11/1931", "Smith J 44Y", "HOSP-77123")
SIZES, CONTRASTS, QUALITIES = (8, 10, 12, 14, 18, 24, 32, 44), (40, 70, 120, 200), (None, 90, 75)
Ground = tuple[str, np.ndarray, np.ndarray | None]


def _compressed_speckle(seed: int) -> np.ndarray:
    """Log-compressed speckle on layers, with a correlation length of its own."""
    rng = np.random.default_rng(seed)
    sigma, shape = (rng.uniform(0.6, 3), rng.uniform(0.8, 5)), (400, 500)
    power = sum(ndimage.gaussian_filter(rng.standard_normal(shape), sigma) ** 2 for _ in range(2))
    layers = ndimage.gaussian_filter(rng.standard_normal(shape), (rng.uniform(4, 30), rng.uniform(10, 90)))
    db = 10 * np.log10(np.maximum(power / power.mean(), 1e-6)) + 8 * layers / layers.std() + rng.uniform(-25, -5)
    return np.clip(255 * (db + rng.uniform(45, 65)) / 60, 0, 255).astype(np.uint8)


def grounds(shared: Path) -> Iterator[Ground]:
    """(kind, picture, what is kept of it) without writing."""
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        node = NodeSection(depth_mm=rng.uniform(12, 20), lateral_mm=rng.uniform(-5, 5), height_mm=rng.uniform(5, 11), width_mm=rng.uniform(8, 16)) if seed % 3 else None
        picture, box = render_still(rng, node, plane=("longitudinal", "transverse")[seed % 2], side="left", title="N1", visit="Baseline", treated=seed % 4 / 4)
        kept = kept_mask(((box.x0, box.y0, box.x1, box.y1),), *picture.shape)
        yield "made neck", picture, kept
        yield "made neck, JPEG", squeezed(picture, (95, 85, 70)[seed % 3]), kept
        yield "speckle", speckle(400, 500, seed=seed, mean=20 + 3 * (seed % 30)), None
        yield "log-compressed speckle", _compressed_speckle(seed), None
        yield "log-compressed speckle, JPEG", squeezed(_compressed_speckle(seed + 1000), (92, 80)[seed % 2]), None
    folder = shared / "us_lesion_png"
    for path in (*sorted((folder / "breast_lesions_usg" / "images").glob("*.png")), *sorted((folder / "hc18").glob("*_HC.png"))):
        yield "real breast and fetal heads", np.asarray(Image.open(path).convert("RGB")), None


def _write(picture: np.ndarray, words: str, at: tuple[int, int], size: int, level: int, font: str, soft: bool) -> tuple[np.ndarray, tuple[int, int, int, int]]:
    out, (x, y) = picture.copy(), at
    if font.startswith("dots"):
        mask = text_mask(words, int(font[-1]))
        mask = mask[: out.shape[0] - y, : out.shape[1] - x]
        out[y : y + mask.shape[0], x : x + mask.shape[1]][mask] = level
        return out, (x, y, x + mask.shape[1], y + mask.shape[0])
    image = Image.fromarray(out)
    draw, face = ImageDraw.Draw(image), ImageFont.truetype(font, size)
    draw.fontmode = "L" if soft else "1"
    draw.text(at, words, fill=level if out.ndim == 2 else (level,) * 3, font=face)
    return np.asarray(image), tuple(int(v) for v in draw.textbbox(at, words, font=face))


def written(found: list[Ground]) -> Iterator[tuple[np.ndarray, tuple, np.ndarray | None, int, int, int | None, bool]]:
    """(picture, where the words stand, kept, size, contrast, JPEG quality, soft) for every fifth combination."""
    rng = np.random.default_rng(77)
    every = [(f, s, c, soft, q) for f in FONTS for s in SIZES for c in CONTRASTS for soft in (False, True) for q in QUALITIES if not (f.startswith("dots") and (soft or s > 12))]
    for font, size, contrast, soft, quality in every[::5]:
        _, picture, kept = found[rng.integers(len(found))]
        words = WORDS[rng.integers(len(WORDS))]
        rows, columns = np.nonzero(kept) if kept is not None else np.nonzero(np.ones(picture.shape[:2]))
        width = int(len(words) * max(size, 18 if font == "dots 3" else 0) * 0.75) + 4
        if columns.max() - columns.min() < width + 8:
            continue
        at = int(rng.integers(columns.min() + 2, columns.max() - width)), int(rng.integers(rows.min() + 2, rows.max() - int(1.6 * size) - 20))
        around = np.percentile(picture[at[1] : at[1] + int(1.4 * size), at[0] : at[0] + width], 75)
        level = int(min(around + contrast, 255))
        if level - around < 30:
            continue
        planted, box = _write(picture, words, at, size, level, font, soft)
        yield planted if quality is None else squeezed(planted, quality), box, kept, 7 * int(font[-1]) if font.startswith("dots") else size, contrast, quality, soft


def test_that_most_writing_is_found_and_hardly_any_tissue_taken_for_it(shared_data, record_result):
    found = list(grounds(shared_data))
    alarms, seen = Counter(), Counter()
    for kind, picture, kept in found:
        seen[kind] += 1
        alarms[kind] += bool(find_text(picture, kept))
    hits, tried = Counter(), Counter()
    plain = [g for g in found if "JPEG" not in g[0]]
    for picture, (x0, y0, x1, y1), kept, size, contrast, quality, soft in written(plain):
        hit = any(a < x1 and c > x0 and b < y1 and d > y0 for a, b, c, d in find_text(picture, kept))
        for key in ("all", f"{size if size < 10 else '10 to 14' if size < 16 else '18 and more'} px", f"{contrast} grey levels above its ground", "no JPEG" if quality is None else f"JPEG {quality}", "soft edges" if soft else "hard edges"):
            tried[key] += 1
            hits[key] += hit
    rows = [(f"words found, {key}", f"{hits[key]} of {tried[key]} ({100 * hits[key] / tried[key]:.0f} %)") for key in sorted(tried)]
    rows += [(f"pictures without writing that raised an alarm, {kind}", f"{alarms[kind]} of {seen[kind]}") for kind in sorted(seen)]
    body = "\n".join(["| what | figure |", "| --- | --- |", *(f"| {what} | {figure} |" for what, figure in rows)])
    record_result("burned_in", "Writing in ultrasound pictures: what the check finds, and what it takes for writing", body)
    assert hits["all"] >= 0.85 * tried["all"]
    assert sum(alarms.values()) <= 0.05 * sum(seen.values())
    assert alarms["made neck"] == alarms["real breast and fetal heads"] == 0
