"""Synthetic contrast loops as a machine stores them: panes laid out in a picture, coloured, with letters and bars, as DICOM."""

from __future__ import annotations

import io
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGBaseline8Bit

from app.demo import dicom_files
from app.demo.contrast_colours import colour_table, tinted
from app.demo.dicom_files import Occasion, contrast_agent, header, multi_frame, pixels, region, ultrasound
from app.demo.font import text_mask, write_text
from app.demo.ultrasound import Box
from volumetry.calibration import Calibration, PictureRegion
from volumetry.finding import Finding
from volumetry.image import Cine, ImageSource

if TYPE_CHECKING:
    from app.demo.contrast_cine import SyntheticCine
    from app.demo.contrast_scene import CineOptions

TOP, BOTTOM, SIDE, GAP = 26, 16, 10, 26
BAR_WIDTH, BAR_GAP = 8, 6
TISSUE_REGION, COLOUR_BAR_REGION = 1, 14  # Region Data Type, DICOM PS3.3 C.8.5.5.1.2
JPEG_QUALITY = 92


@dataclass(frozen=True, slots=True)
class Layout:
    """Picture size (rows, columns); boxes of the panes and of the contrast's colour bar (brightest on top)."""

    size: tuple[int, int]
    contrast: Box
    bmode: Box | None
    bar: Box


def layout_of(options: CineOptions) -> Layout:
    """Where everything lies for these options."""
    rows, columns = options.shape
    px = options.mm_per_pixel

    def box(x: int, y: int) -> Box:
        return Box(x, y, x + columns - 1, y + rows - 1, px)

    first = box(SIDE, TOP)
    if options.layout in ("overlay", "single"):
        second = None
    elif options.layout == "left_right":
        second = box(SIDE + columns + GAP, TOP)
    elif options.layout == "top_bottom":
        second = box(SIDE, TOP + rows + GAP)
    else:
        raise ValueError(f"no layout {options.layout}")
    if second is None:
        contrast, bmode = first, first if options.layout == "overlay" else None
    else:
        bmode, contrast = (second, first) if options.contrast_first else (first, second)
    last = second or first
    bar = Box(contrast.x1 + BAR_GAP, contrast.y0, contrast.x1 + BAR_GAP + BAR_WIDTH - 1, contrast.y0 + min(rows, 128) - 1, px)
    return Layout((last.y1 + 1 + BOTTOM, last.x1 + 1 + GAP), contrast, bmode, bar)


def _in_colour(options: CineOptions) -> bool:
    return options.rgb or options.colour_map != "grey" or options.layout == "overlay"


def drawn_mask(options: CineOptions) -> np.ndarray:
    """Bool ``[row, column]`` of the contrast pane: letters over it."""
    mask = np.zeros(options.shape, dtype=bool)
    if options.drawn_text:
        letters = text_mask("MI 0.08")
        mask[4 : 4 + letters.shape[0], 4 : 4 + letters.shape[1]] = letters
    return mask


def compose(options: CineOptions, levels: np.ndarray, tissue: np.ndarray, time_s: float) -> np.ndarray:
    """One picture: uint8 ``[row, column]``, or RGB where anything is coloured."""
    layout = layout_of(options)
    table = colour_table(options.colour_map)
    picture = np.zeros((*layout.size, 3), dtype=np.uint8)
    canvas = np.moveaxis(picture, 2, 0)
    write_text(canvas, "SYNTHETIC", 3, SIDE, 235)
    write_text(canvas, f"{time_s:6.1f} S", layout.size[0] - 10, SIDE, 190)
    write_text(canvas, f"DR {options.range_db:.0f} DB", layout.size[0] - 10, SIDE + 60, 170)
    box = layout.contrast
    inside = tinted(levels, tissue, table, *options.overlay_shares) if options.layout == "overlay" else table[levels]
    if options.drawn_text:
        inside[drawn_mask(options)] = (235, 235, 90) if _in_colour(options) else (235, 235, 235)
    picture[box.y0 : box.y1 + 1, box.x0 : box.x1 + 1] = inside
    write_text(canvas, "CONTRAST", box.y0 - 10, box.x0, 170)
    if layout.bmode is not None and layout.bmode is not box:
        other = layout.bmode
        picture[other.y0 : other.y1 + 1, other.x0 : other.x1 + 1] = tissue[..., None]
        write_text(canvas, "B-MODE", other.y0 - 10, other.x0, 170)
    bar = layout.bar
    steps = np.rint(np.linspace(255, 0, bar.y1 - bar.y0 + 1)).astype(int)
    picture[bar.y0 : bar.y1 + 1, bar.x0 : bar.x1 + 1] = table[steps][:, None, :]
    return picture if _in_colour(options) else np.ascontiguousarray(picture[..., 0])


def _boxes(layout: Layout) -> list[Box]:
    panes = [layout.contrast] + ([layout.bmode] if layout.bmode not in (None, layout.contrast) else [])
    return sorted(panes, key=lambda b: (b.y0, b.x0))


def as_cine(synthetic: SyntheticCine, *, regions: bool = True, times: bool = True, bar: bool = True, frames: int | None = None) -> Cine:
    """The loop as ``dicom_io`` would give it, without a file: ``regions`` and ``times`` as its header has them or not;
    ``bar``: the colour bar has a region; ``frames``: how many are whole (then cut off)."""
    layout, options = synthetic.layout, synthetic.options
    there = synthetic.times_s.size if frames is None else frames
    found: list[PictureRegion] = []
    if regions:
        found = [
            PictureRegion(n, 1, TISSUE_REGION, 0, b.x0, b.y0, b.x1, b.y1, 3, 3, b.mm_per_pixel / 10, b.mm_per_pixel / 10)
            for n, b in enumerate(_boxes(layout))
        ]
        if bar:
            b = layout.bar
            found.append(PictureRegion(len(found), 0, COLOUR_BAR_REGION, 0, b.x0, b.y0, b.x1, b.y1, 0, 0, 0.0, 0.0))
    calibration = Calibration(tuple(found), findings=() if regions else (Finding("uncalibrated", "The header gives no length scale: lengths are shown in pixels only."),))
    findings = list(calibration.findings)
    if there < synthetic.times_s.size:
        findings.append(Finding("truncated", f"The file was cut off: {there} of {synthetic.times_s.size} frames are whole.", "serious"))
    if not times:
        findings.append(Finding("frame_times_missing", "The header gives no frame times: the loop has no true speed and no time curve."))
    return Cine(
        there, layout.size, synthetic.picture, calibration, 1000.0 * synthetic.times_s[:there] if times else None,
        ImageSource(modality="US", description=f"SYNTHETIC contrast {options.layout}", synthetic=True), tuple(findings),
    )  # fmt: skip


def write_dicom(
    synthetic: SyntheticCine, path: Path, compression: str = "raw", *, occasion: Occasion | None = None, comment: str = "contrast loop",
    times: bool = True, regions: bool = True, range_tag: bool = False, quality: int = JPEG_QUALITY,
) -> None:  # fmt: skip
    """Write the loop as an Ultrasound Multi-frame file with regions, a Frame Time Vector and the agent.

    ``compression``: ``raw`` or ``jpeg`` (baseline, chroma at half width as scanners do). ``times`` and ``regions`` False
    leave them out; ``range_tag`` states the dynamic range (0018,5030).
    """
    if compression not in ("raw", "jpeg"):
        raise ValueError(f"no compression {compression}")
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    occasion = occasion or Occasion(synthetic.seed, "Day 30", date(2025, 2, 14))
    ds = header(occasion, "US", "US contrast cine", 4, dicom_files.UltrasoundMultiFrameImageStorage, 1, "104500")
    ds.ImageType = ["ORIGINAL", "PRIMARY", "SMALL PARTS", "0001"]
    ds.ImageComments = f"{dicom_files.COMMENT}; {comment}"
    layout = synthetic.layout
    items = []
    if regions:
        items = [region(box) for box in _boxes(layout)]
        items.append(region(layout.bar, COLOUR_BAR_REGION))
    ultrasound(ds, items)
    multi_frame(ds, synthetic.intervals_s * 1000 if times else None, synthetic.times_s.size)
    contrast_agent(ds)
    if range_tag:
        ds.DynamicRange = f"{synthetic.options.range_db:g}"
    shown = (synthetic.picture(n) for n in range(synthetic.times_s.size))
    if compression == "raw":
        pixels(ds, np.stack(list(shown)))
    else:
        encoded = [_jpeg(picture, quality) for picture in shown]
        colour = _in_colour(synthetic.options)
        pixels(ds, np.zeros((1, *layout.size, 3) if colour else (1, *layout.size), dtype=np.uint8))
        if colour:
            ds.PhotometricInterpretation = "YBR_FULL_422"
        ds.PixelData = encapsulate(encoded)
        ds["PixelData"].VR = "OB"
        ds["PixelData"].is_undefined_length = True
        ds.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
        ds.LossyImageCompression = "01"
        ds.LossyImageCompressionMethod = "ISO_10918_1"
        plain = int(np.prod(layout.size)) * (3 if colour else 1) * len(encoded)
        ds.LossyImageCompressionRatio = f"{plain / sum(map(len, encoded)):.1f}"
    ds.save_as(path, enforce_file_format=True)


def _jpeg(picture: np.ndarray, quality: int) -> bytes:
    out = io.BytesIO()
    kwargs = {"subsampling": "4:2:2"} if picture.ndim == 3 else {}
    Image.fromarray(picture).save(out, "JPEG", quality=quality, **kwargs)
    return out.getvalue()
