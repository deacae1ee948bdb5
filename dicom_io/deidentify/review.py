"""Which part of a picture may stay, and whether a person has to look before it goes anywhere.

Ultrasound: what lies in no region with a picture, a trace or a spectrum in it is masked. Where the header gives no
such region, or one that cannot be trusted, nothing is known about the picture and it is held back.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dicom_io.deidentify.burned_in import Box, find_text
from dicom_io.headers import Header, integer, text
from dicom_io.pixels import FrameDecoder
from dicom_io.ultrasound import ENHANCED_US_VOLUME, is_ultrasound, read_calibration

# Spatial formats (PS3.3 C.8.5.5.1.1) of regions that hold what was measured: 2D, M-mode, spectrum, wave form.
KEPT_FORMATS = frozenset({1, 2, 3, 4})
# Data types (C.8.5.5.1.2) of grey and colour bars: without its bar a coloured picture can no longer be undone. A bar is long and narrow,
# and what lies in it is looked through for writing like the rest of what stays.
BARS = frozenset({13, 14})
BAR_ASPECT, BAR_LARGEST_SHARE = 3.0, 0.05
# A region that leaves less than this of the picture to be masked protects nothing.
LEAST_MASKED_SHARE = 0.005
SAMPLED_FRAMES = 8
# Pictures that a scanner reconstructs: nobody writes on them before they are captured from a screen.
RECONSTRUCTED = frozenset({"CT", "MR", "PT", "NM", "SEG", "RTDOSE", "REG", "FID"})
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66."
DOCUMENTS = ("1.2.840.10008.5.1.4.1.1.104.",)
_CAPTURED = ("SCREEN", "CAPTURE", "DOSE", "PROTOCOL")


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a person should look. ``holds``: nothing is written until one confirms."""

    code: str
    message: str
    holds: bool
    frame: int | None = None
    boxes: tuple[Box, ...] = ()

    def to_dict(self) -> dict:
        """As in the answer of ``nodus deidentify``."""
        return {"reason": self.code, "message": self.message, "held": self.holds, "frame": self.frame, "boxes_px": [list(b) for b in self.boxes]}


@dataclass(frozen=True, slots=True)
class Review:
    """What is kept of a picture (``boxes``; None: all of it) and why a person should look at it."""

    boxes: tuple[Box, ...] | None
    reasons: tuple[Reason, ...] = ()

    @property
    def holds(self) -> bool:
        """True where nothing may be written before a person has confirmed."""
        return any(r.holds for r in self.reasons)


@dataclass(frozen=True, slots=True)
class Confirmed:
    """A person has looked at the picture. ``boxes`` is the part that they want kept; None: as the review says. ``also``
    stays as well: a drawn scale beside the picture, say, that lengths are to be calibrated on."""

    boxes: tuple[Box, ...] | None = None
    also: tuple[Box, ...] = ()

    def kept(self, found: tuple[Box, ...] | None) -> tuple[Box, ...] | None:
        """What stays of a picture whose review gives ``found``; None: all of it. Who names only a part where no region is
        known keeps that part."""
        own = self.boxes if self.boxes is not None else found or None
        return own if not self.also else (*(own or ()), *self.also)


def kept_mask(boxes: tuple[Box, ...] | None, rows: int, columns: int) -> np.ndarray:
    """Bool ``[row, column]``, true where pixels stay. Boxes are clipped to the picture."""
    if boxes is None:
        return np.ones((rows, columns), dtype=bool)
    kept = np.zeros((rows, columns), dtype=bool)
    for x0, y0, x1, y1 in boxes:
        kept[max(y0, 0) : max(y1 + 1, 0), max(x0, 0) : max(x1 + 1, 0)] = True
    return kept


def is_captured(header: Header) -> bool:
    """True for pictures of a screen: secondary captures, dose sheets, colour pictures from a scanner of slices."""
    kind = (text(header.ds, "ImageType") or "").upper()
    if (header.sop_class or "").startswith(SECONDARY_CAPTURE) or text(header.ds, "ConversionType"):
        return True
    return any(word in kind for word in _CAPTURED) or (integer(header.ds, "SamplesPerPixel") or 1) == 3


def may_hold_writing(header: Header) -> bool:
    """True for pictures that somebody or something may have written on."""
    if header.sop_class == ENHANCED_US_VOLUME:
        return False
    return is_ultrasound(header) or is_captured(header) or text(header.ds, "Modality") not in RECONSTRUCTED


def may_hold_bitmap(header: Header) -> bool:
    """True for pictures of one bit a pixel that are no masks: scanned letters, captured screens."""
    return integer(header.ds, "BitsAllocated") == 1 and header.pixels is not None and not (header.sop_class or "").startswith(SEGMENTATION)


def ultrasound_boxes(header: Header) -> tuple[tuple[Box, ...], list[Reason]]:
    """The regions that stay in an ultrasound picture, and why a person should look at it."""
    rows, columns = header.rows, header.columns
    calibration = read_calibration(header.ds, columns, rows)
    boxes = tuple((r.x0, r.y0, r.x1, r.y1) for r in calibration.regions if r.spatial_format in KEPT_FORMATS)
    if calibration.refusal is not None:
        return (), [Reason("regions_do_not_fit", "The ultrasound regions do not fit the picture, so it is not known what may stay.", True)]
    if not boxes:
        return (), [Reason("no_regions", "The header gives no ultrasound region, so it is not known what may stay.", True)]
    boxes += tuple((r.x0, r.y0, r.x1, r.y1) for r in calibration.regions if r.data_type in BARS and _is_narrow(r, rows * columns))
    reasons = []
    if any(f.code == "regions_clipped" for f in calibration.findings):
        reasons.append(Reason("regions_clipped", "The picture was cropped after the regions were written; they may not lie where they say.", True))
    if 1.0 - kept_mask(boxes, rows, columns).mean() < LEAST_MASKED_SHARE:
        reasons.append(Reason("region_is_whole_picture", "The ultrasound region covers the whole picture, so nothing is masked.", False))
    return boxes, reasons


def _is_narrow(region, pixels: int) -> bool:
    short, long = sorted((region.x1 - region.x0 + 1, region.y1 - region.y0 + 1))
    return long >= BAR_ASPECT * short and long * short <= BAR_LARGEST_SHARE * pixels


def sampled(frames: int) -> list[int]:
    """Frames to look at: first, last, and evenly between."""
    return sorted({round(n * (frames - 1) / (SAMPLED_FRAMES - 1)) for n in range(SAMPLED_FRAMES)})


def text_reasons(decoder: FrameDecoder, boxes: tuple[Box, ...] | None, *, document: bool) -> list[Reason]:
    """Writing found inside what is kept, in the first of the sampled frames that shows any."""
    kept = kept_mask(boxes, decoder.header.rows, decoder.header.columns)
    for frame in sampled(decoder.frames):
        found = find_text(decoder.picture(frame), kept, dark_too=document)
        if found:
            return [Reason("text_in_picture", "Inside the part that stays, one place looks like writing." if len(found) == 1 else f"Inside the part that stays, {len(found)} places look like writing.", True, frame, found)]
    return []


def review(header: Header) -> Review:
    """What is kept of a picture and why a person should look. Raises ``DicomRefused`` where it cannot be decoded."""
    said = text(header.ds, "BurnedInAnnotation")
    if not may_hold_writing(header):
        return Review(None, (Reason("burned_in_stated", "The header says that writing is burned into the picture.", True),) if said == "YES" else ())
    ultrasound = is_ultrasound(header)
    boxes, reasons = ultrasound_boxes(header) if ultrasound else (None, [])
    if said == "YES":
        reasons.append(Reason("burned_in_stated", "The header says that writing is burned into the picture.", True))
    elif said != "NO":
        # A captured screen without a word on it is a name in the corner; regions at least say where the picture is.
        reasons.append(Reason("burned_in_not_stated", "The header does not say whether writing is burned into the picture.", not ultrasound))
    if boxes is None or boxes:
        reasons += text_reasons(FrameDecoder(header, whole_only=True), boxes, document=not ultrasound)
    return Review(boxes, tuple(reasons))
