"""Decoding single frames, each straight from its place in the file.

One frame at a time is read and decoded, so that a long cine never has to fit in memory, and sizes
are compared with what is really stored before anything is allocated.
"""

from __future__ import annotations

import functools

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID

from dicom_io.codecs import MAX_SAMPLES, FrameCodec
from dicom_io.frame_spans import frame_spans
from dicom_io.headers import MAX_FRAME_BYTES, DicomRefused, Header, integer, number, numbers, text, value_of
from dicom_io.palette import colour_table
from dicom_io.quick_frames import quick_frame
from volumetry.finding import Finding

RLE = "1.2.840.10008.1.2.5"
SHOWN_AS_STORED = ("RGB", "YBR_RCT", "YBR_ICT")  # the two of JPEG 2000 are undone by its decoder
_PIXEL_KEYWORDS = (
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "PlanarConfiguration",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
)


@functools.lru_cache(maxsize=64)
def storage_fault(header: Header) -> DicomRefused | None:
    """Why the stored pixels cannot be what the header declares; None where they fit.

    Codes: ``not_an_image``, ``header_size_mismatch``, ``truncated``, ``too_large``.
    """
    name, block = header.path.name, header.pixels
    if header.transfer_syntax is None:
        return DicomRefused(f"{name} does not say how it is encoded (no transfer syntax).", code="unreadable")
    if block is None:
        if header.rows or header.columns:
            return DicomRefused(f"{name} has an image header but no image: it ends before the pixel data.", code="not_an_image")
        return DicomRefused(f"{name} holds no image.", code="not_an_image")
    if value_of(header.ds, "NumberOfFrames") is not None and (integer(header.ds, "NumberOfFrames") or 0) < 1:
        return DicomRefused(f"{name} does not give a legal number of frames.", code="header_size_mismatch")
    frame = header.frame_bytes()
    if frame is None:
        return DicomRefused(f"{name} does not give the size of its picture.", code="header_size_mismatch")
    samples = header.rows * header.columns * (integer(header.ds, "SamplesPerPixel") or 1)
    if header.is_encapsulated and samples > MAX_SAMPLES:  # nothing stored says whether it is really that large
        return DicomRefused(f"{name} declares a compressed picture of {header.columns} x {header.rows}, more than is opened here.", code="too_large")
    if frame > MAX_FRAME_BYTES:
        return DicomRefused(f"{name} declares a picture of {header.columns} x {header.rows}, more than 1 GB a frame.", code="too_large")
    if not header.is_encapsulated:
        need = int(np.ceil(frame * header.frames))
        if block.length < need:
            if not block.complete:
                return DicomRefused(f"{name} was cut off: {block.length} of {need} bytes of its pixels are there.", code="truncated")
            return DicomRefused(f"{name} stores {block.length} bytes of pixels where its header declares {need}.", code="header_size_mismatch")
        return None
    if not block.fragments:
        return DicomRefused(f"{name} holds no compressed picture.", code="truncated")
    if len(block.fragments) < header.frames:
        if not block.complete:
            return DicomRefused(f"{name} was cut off: {len(block.fragments)} of {header.frames} frames are there.", code="truncated")
        return DicomRefused(f"{name} stores {len(block.fragments)} frames where its header declares {header.frames}.", code="header_size_mismatch")
    if not block.complete:
        return DicomRefused(f"{name} was cut off in the middle of its pixels.", code="truncated")
    return None


def whole_frames(header: Header) -> int:
    """How many frames of a file that was cut off are there whole; all of them where it is complete."""
    if header.pixels is None:
        return 0
    if header.is_encapsulated:
        return len(frame_spans(header).spans)
    frame = header.frame_bytes()
    return min(header.frames, int(header.pixels.length // frame)) if frame else 0


def cut_off(header: Header) -> Finding | None:
    """The finding ``truncated`` of a loop that lost frames at its end but has whole ones; None for all others,
    also for those that are refused (``storage_fault``)."""
    fault = storage_fault(header)
    if fault is None or fault.code != "truncated" or header.frames < 2:
        return None
    whole = whole_frames(header)
    if whole == 0:
        return None
    if whole == header.frames:
        return Finding("truncated", "The file was cut off behind its last frame; all frames are whole.", "warning")
    return Finding("truncated", f"The file was cut off: {whole} of its {header.frames} frames are whole and shown, the others are lost.", "serious")


def surplus_bytes(header: Header) -> int:
    """Bytes stored beyond what the header declares (a single pad byte is legal); 0 where compressed."""
    frame = header.frame_bytes()
    if header.pixels is None or header.is_encapsulated or frame is None:
        return 0
    need = int(np.ceil(frame * header.frames))
    need += need % 2
    return max(0, header.pixels.length - need)


class FrameDecoder:
    """Decodes any frame of one file on demand. Safe to call from several threads.

    With ``whole_only`` a loop that was cut off is taken as the frames that are whole (``frames`` counts
    them; see ``cut_off``); else it is refused. Raises ``DicomRefused`` when built (``codec_missing`` or why the stored pixels do not fit the
    header) and when a frame's stream is damaged (``decode_failed``) or disagrees with the header
    about its size (``header_size_mismatch``).
    """

    def __init__(self, header: Header, *, whole_only: bool = False):
        self.header = header
        fault = storage_fault(header)
        if fault is not None and whole_only and cut_off(header) is not None:
            fault = None
        if fault is not None and fault.code in ("unreadable", "not_an_image"):
            raise fault
        self._codec = FrameCodec(header.transfer_syntax, header.path.name)
        if fault is not None:
            raise fault
        self._lut: np.ndarray | None = None
        self._spans = frame_spans(header).spans if header.is_encapsulated else None
        self._frames = whole_frames(header) if whole_only else header.frames
        values = {k: (text if k == "PhotometricInterpretation" else integer)(header.ds, k) for k in _PIXEL_KEYWORDS}
        self._template = {k: v for k, v in values.items() if v is not None}
        self._template.setdefault("SamplesPerPixel", 1)
        self._template.setdefault("PixelRepresentation", 0)
        self._template.setdefault("PhotometricInterpretation", "MONOCHROME2" if self._template["SamplesPerPixel"] == 1 else "RGB")
        self._template.setdefault("BitsStored", self._template.get("BitsAllocated"))
        if not header.is_encapsulated and header.frame_bytes() == header.full_frame_bytes() and self._template["PhotometricInterpretation"] == "YBR_FULL_422":
            self._template["PhotometricInterpretation"] = "YBR_FULL"  # called halved, stored whole
        self._shift = self._drop_low_bits()
        self._ends: tuple[float, float] | None = None
        self._plain = self._plain_dtype()

    def _drop_low_bits(self) -> int:
        """How many bits below the stored ones do not belong to the value: some old files keep twelve bits in the upper
        part of a word. The decoder is told that they belong to it, and they are shifted out afterwards."""
        stored, high, allocated = (self._template.get(k) for k in ("BitsStored", "HighBit", "BitsAllocated"))
        aligned = self._spans is not None and self.header.transfer_syntax != RLE  # streams of codecs hold values, not words
        if aligned or None in (stored, high, allocated) or not 0 < stored <= high < allocated:
            return 0
        self._template["BitsStored"] = high + 1
        return high + 1 - stored

    @property
    def frames(self) -> int:
        """Frames that can be decoded."""
        return self._frames

    def _plain_dtype(self) -> np.dtype | None:
        """Type of uncompressed one-sample pixels in whole bytes, which need no codec; else None."""
        allocated, samples = self._template.get("BitsAllocated"), self._template["SamplesPerPixel"]
        if self._spans is not None or samples != 1 or self._shift or allocated not in (8, 16, 32):
            return None
        stored = self._template["BitsStored"]
        if not isinstance(stored, int) or not 1 <= stored <= allocated or self._template.get("HighBit", stored - 1) != stored - 1:
            return None
        order = ">" if self.header.transfer_syntax == "1.2.840.10008.1.2.2" else "<"
        if order == ">" and allocated == 8:
            return None  # bytes may be swapped in pairs; left to the codec
        return np.dtype(f"{order}{'i' if self._template['PixelRepresentation'] else 'u'}{allocated // 8}")

    @property
    def plain(self) -> np.dtype | None:
        """Type of the stored pixels where they need no codec (see ``read_plain``), else None."""
        return self._plain

    def read_plain(self, index: int, out: np.ndarray) -> tuple[int, int]:
        """Read frame ``index`` straight from the file into ``out`` (``[row, column]``, contiguous, of the
        type ``plain``); returns its lowest and highest value."""
        offset = int(self.header.frame_bytes() * index)
        block = self.header.pixels
        if block.inline is not None:
            out.reshape(-1).view(np.uint8)[:] = np.frombuffer(block.inline, np.uint8, out.nbytes, offset)
        else:
            with self.header.path.open("rb", buffering=0) as fp:
                fp.seek(block.start + offset)
                rest = memoryview(out.reshape(-1).view(np.uint8))
                while rest:
                    got = fp.readinto(rest)
                    if not got:
                        raise DicomRefused(f"{self.header.path.name} is shorter than when it was listed.", code="file_changed", hint="Scan the folder again.")
                    rest = rest[got:]
        low, high = int(out.min()), int(out.max())
        stored, width = self._template["BitsStored"], 8 * self._plain.itemsize
        least, most = (-(1 << (stored - 1)), (1 << (stored - 1)) - 1) if self._plain.kind == "i" else (0, (1 << stored) - 1)
        if low < least or high > most:
            # Bits beyond those stored may hold anything; shifting keeps the sign.
            np.left_shift(out, width - stored, out=out)
            np.right_shift(out, width - stored, out=out)
            low, high = int(out.min()), int(out.max())
        return low, high

    def _bytes(self, index: int) -> bytes:
        block = self.header.pixels
        if self._spans is not None:
            with self.header.path.open("rb") as fp:
                pieces = []
                for offset, length in self._spans[index]:
                    fp.seek(offset)
                    pieces.append(fp.read(length))
            return b"".join(pieces)
        size = int(np.ceil(self.header.frame_bytes()))
        start = int(self.header.frame_bytes() * index)
        if block.inline is not None:
            return block.inline[start : start + size]
        with self.header.path.open("rb") as fp:
            fp.seek(block.start + start)
            return fp.read(size)

    def _dataset(self, data: bytes) -> Dataset:
        ds = Dataset()
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = UID(self.header.transfer_syntax)
        for keyword, value in self._template.items():
            setattr(ds, keyword, value)
        ds.NumberOfFrames = 1
        if self._spans is not None:
            ds.PixelData = encapsulate([data], has_bot=False)
            ds["PixelData"].VR = "OB"
        else:
            ds.PixelData = data + b"\x00" * (len(data) % 2)
            ds["PixelData"].VR = "OB" if self.header.pixels.vr == "OB" else "OW"
        return ds

    def raw(self, index: int, *, colour: bool = False) -> tuple[np.ndarray, str]:
        """Frame ``index`` as stored ``[row, column]`` or ``[row, column, sample]`` and its
        photometric interpretation after decoding. ``colour`` asks for RGB in place of YBR."""
        if not 0 <= index < self.frames:
            raise DicomRefused(f"There is no frame {index}: the picture has {self.frames}.", code="frame_out_of_range")
        if self._plain is not None:
            frame = np.empty((self.header.rows, self.header.columns), self._plain)
            self.read_plain(index, frame)
            return frame.astype(self._plain.newbyteorder("="), copy=False), self._template["PhotometricInterpretation"]
        data = self._bytes(index)
        if self._spans is not None:
            if len(data) < 2:
                raise DicomRefused(f"{self.header.path.name}: frame {index} is empty.", code="decode_failed")
            self._codec.check(data, self.header.rows, self.header.columns, self._template["SamplesPerPixel"])
        found = quick_frame(self.header.transfer_syntax, data, self.header.rows, self.header.columns, self._template, colour)
        if found is None:
            array, meta = self._codec.decode(self._dataset(data), raw=not colour)
            found = array, str(meta.get("photometric_interpretation", self._template["PhotometricInterpretation"]))
        array, kind = found
        if array.shape[:2] != (self.header.rows, self.header.columns):
            raise DicomRefused(f"{self.header.path.name}: frame {index} decodes to another size than declared.", code="header_size_mismatch")
        if self._shift and array.dtype.kind in "iu":
            array = array >> self._shift
        return array, kind

    def picture(self, index: int) -> np.ndarray:
        """Frame ``index`` for the screen: uint8 ``[row, column]`` grey or ``[row, column, 3]`` RGB."""
        array, photometric = self.raw(index, colour=True)
        ds = self.header.ds
        if photometric == "PALETTE COLOR":
            return self._palette(array)
        if array.ndim == 3:
            if photometric not in SHOWN_AS_STORED:
                raise DicomRefused(f"{self.header.path.name} stores its colours as {photometric}, which is not read.", code="decode_failed", hint="Export the picture in RGB.")
            return _to_8_bit(array, integer(ds, "BitsStored") or 8 * array.itemsize)
        return self._grey(array, photometric)

    def _palette(self, array: np.ndarray) -> np.ndarray:
        """Colours of palette indices; the table is made once."""
        if self._lut is None:
            self._lut = colour_table(self.header)
        if array.dtype.kind == "i":
            array = array.view(np.dtype(f"u{array.itemsize}"))
        return self._lut[np.minimum(array, len(self._lut) - 1)]

    def _rescaled(self, array: np.ndarray) -> np.ndarray:
        return array.astype(np.float32) * (number(self.header.ds, "RescaleSlope") or 1.0) + (number(self.header.ds, "RescaleIntercept") or 0.0)

    def _extremes(self) -> tuple[float, float]:
        """Darkest and brightest value of a loop without a window, from its first, middle and last frame: one scale of
        greys for all of them, so that what grows brighter looks brighter."""
        if self._ends is None:
            values = [self._rescaled(self.raw(n)[0]) for n in sorted({0, self.frames // 2, self.frames - 1})]
            self._ends = min(float(v.min()) for v in values), max(float(v.max()) for v in values)
        return self._ends

    def _grey(self, array: np.ndarray, photometric: str) -> np.ndarray:
        ds = self.header.ds
        bits = integer(ds, "BitsStored") or 8 * array.itemsize
        if array.dtype == np.uint8 and bits <= 8:
            grey = array if bits == 8 else _to_8_bit(array, bits)
        else:
            values = self._rescaled(array)
            centre, width = numbers(ds, "WindowCenter"), numbers(ds, "WindowWidth")
            if centre and width and width[0] > 0:
                low, high = centre[0] - width[0] / 2, centre[0] + width[0] / 2
            else:
                low, high = self._extremes() if self.frames > 1 else (float(values.min()), float(values.max()))
            grey = np.clip((values - low) * (255.0 / max(high - low, 1e-6)), 0, 255).astype(np.uint8)
        return 255 - grey if photometric == "MONOCHROME1" else grey


def _to_8_bit(array: np.ndarray, bits: int) -> np.ndarray:
    """Scale ``bits``-wide samples to 0..255."""
    if bits == 8:
        return np.ascontiguousarray(array.astype(np.uint8, copy=False))
    if bits < 8:
        return (array.astype(np.uint16) * 255 // ((1 << bits) - 1)).astype(np.uint8)
    return (array >> (bits - 8)).astype(np.uint8)


def photometric(header: Header) -> str:
    """The stored photometric interpretation, empty where absent."""
    return text(header.ds, "PhotometricInterpretation") or ""
