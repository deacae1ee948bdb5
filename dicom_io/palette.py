"""Colours of palette pictures (PS3.3 C.7.6.3.1.5 and 6).

The lookup of pydicom 3.0 holds the index in the table's own type, so that a table of 8-bit colours with more
than 256 entries wraps, and it reads 16-bit tables of big-endian files in the machine's order; plain tables are
therefore looked up here.
"""

from __future__ import annotations

import numpy as np
from pydicom.pixels import apply_color_lut

from dicom_io.headers import DicomRefused, Header, integer, numbers, value_of

BIG_ENDIAN = "1.2.840.10008.1.2.2"


def colour_table(header: Header) -> np.ndarray:
    """Red, green and blue (0..255, uint8) of every stored value a pixel can have: ``(2**bits, 3)``.

    Values below the first that the table maps have its first colour, values beyond its last the last. Raises
    ``DicomRefused`` (``decode_failed``) for a table that is absent or contradicts its own description.
    """
    ds, name = header.ds, header.path.name
    bits = min(integer(ds, "BitsAllocated") or 8, 16)
    stored = np.arange(1 << bits)
    try:
        if value_of(ds, "RedPaletteColorLookupTableData") is None:
            wide = _segmented(ds, stored.astype(np.uint16 if bits > 8 else np.uint8))
        else:
            wide = np.stack([_looked_up(ds, colour, stored, header.transfer_syntax == BIG_ENDIAN) for colour in ("Red", "Green", "Blue")], axis=-1)
    except DicomRefused:
        raise
    except Exception as error:  # broken tables raise many kinds
        raise DicomRefused(f"{name}: its colour table cannot be used ({type(error).__name__}).", code="decode_failed") from error
    # 16-bit tables: some makers fill the whole range, some only its lower byte.
    return (wide >> 8 if int(wide.max(initial=0)) > 255 else wide).astype(np.uint8)


def _looked_up(ds, colour: str, stored: np.ndarray, big_endian: bool) -> np.ndarray:
    """One channel's value for each stored value, as wide as the table has it."""
    described = numbers(ds, f"{colour}PaletteColorLookupTableDescriptor", 3)
    if described is None:
        raise ValueError("no description of the table")
    entries, first = int(described[0]) or 1 << 16, int(described[1])
    data = value_of(ds, f"{colour}PaletteColorLookupTableData")
    if isinstance(data, bytes):
        if len(data) >= 2 * entries:
            table = np.frombuffer(data[: 2 * entries], ">u2" if big_endian else "<u2")
        elif len(data) >= entries:
            raw = np.frombuffer(data, np.uint8)
            # Words of a big-endian file hold their two entries the other way round.
            table = (raw[: len(raw) // 2 * 2].reshape(-1, 2)[:, ::-1].ravel() if big_endian else raw)[:entries]
        else:
            raise ValueError("fewer entries than described")
    else:
        table = np.asarray(data, dtype=np.int64)[:entries]
    return table.astype(np.uint16)[np.clip(stored - first, 0, len(table) - 1)]


def _segmented(ds, stored: np.ndarray) -> np.ndarray:
    """Colours of a table stored in segments; refused where the library's lookup would wrap."""
    described = numbers(ds, "RedPaletteColorLookupTableDescriptor", 3)
    if described is not None and described[2] == 8 and (int(described[0]) or 1 << 16) > 256:
        raise ValueError("8-bit segments with more than 256 entries")
    return apply_color_lut(stored, ds)[..., :3].astype(np.uint16)
