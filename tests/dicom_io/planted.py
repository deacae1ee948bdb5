"""DICOM files with something to hide in every place that could hold it, and the search for what is left."""

from __future__ import annotations

import datetime as dt
import json
from importlib import resources
from pathlib import Path

import pydicom
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag

# The name that is planted, as text and in the bytes that real systems write it in.
NAME = "Quillfeather"
CODED = {
    "ISO_IR 100": "Müllerhöfer^Jürgen".encode("latin-1"),
    "ISO_IR 192": "Ωρίωνας^Ζηνόβιος".encode(),
    "GB18030": "张小东欧阳娜娜".encode("gb18030"),
    "GBK": "诸葛亮司马懿".encode("gbk"),
    "utf-16-le": "Quillfeather".encode("utf-16-le"),
    "utf-16-be": "Quillfeather".encode("utf-16-be"),
    "ISO 2022 IR 87": "Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B".encode("latin-1"),
    "ISO 2022 IR 149": b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7",
}
# What of the coded values must be nowhere: the bytes themselves, without the escapes around them.
CODED_BYTES = (
    "Müllerhöfer".encode("latin-1"), "Ωρίωνας".encode(), "张小东".encode("gb18030"), "诸葛亮".encode("gbk"), "Quillfeather".encode("utf-16-le"),
    "Quillfeather".encode("utf-16-be"), b";3ED", b"BB@O:", b"\xfb\xf3", b"\xd1\xce\xd4\xd7", b"Yamada", b"Gildong",
)  # fmt: skip
TEXT_VRS = ("LO", "SH", "PN", "LT", "ST", "UT", "UC", "UR", "AE", "CS", "AS")


def listed() -> dict[int, str]:
    """Tag -> VR of every element of the standard's table that the dictionary knows."""
    table = json.loads((resources.files("resources") / "deidentify" / "actions.json").read_text("utf-8"))["actions"]
    return {int(tag, 16): row[1] for tag, row in table.items() if row[1]}


def _day(n: int) -> str:
    """A day of one year: dates move by more than a year, so no moved date is another planted one."""
    return f"{dt.date(1963, 1, 1) + dt.timedelta(days=n % 365):%Y%m%d}"


def value_for(tag: int, vr: str, n: int) -> bytes | None:
    """Bytes to plant in an element of this VR, told apart by ``n``; None for a sequence."""
    if vr == "SQ":
        return None
    if vr in TEXT_VRS:
        coded = list(CODED.values())
        found = coded[n % len(coded)] if n % 3 == 0 else f"{NAME}{n:04d}".encode()
    elif vr == "UI":
        found = f"1.2.276.0.7230010.3.9.{n}.77".encode()
    elif vr == "DA":
        found = _day(n).encode()
    elif vr == "TM":
        found = f"07{n % 60:02d}{(n * 7) % 60:02d}.{n % 1000:03d}417".encode()
    elif vr == "DT":
        found = f"{_day(n)}07{n % 60:02d}{(n * 7) % 60:02d}.{n % 1000:03d}417+0100".encode()
    elif vr in ("DS", "IS"):
        found = f"4815{n:05d}".encode()
    elif vr in ("US", "SS"):
        found = (40000 + n).to_bytes(2, "little")
    else:
        found = f"{NAME}bytes{n:04d}".encode()
    return found + (b"\0" if vr in ("UI", "OB", "UN") else b" ") * (len(found) % 2)


def plant(ds: Dataset, tag: int, vr: str, value: bytes) -> None:
    """Put raw bytes into an element, whatever they are."""
    ds._dict[Tag(tag)] = RawDataElement(Tag(tag), vr, len(value), value, 0, False, True)


def plant_everywhere(ds: Dataset, *, skip: tuple[str, ...] = ()) -> Dataset:
    """Plant in every listed element that the object does not need, and once more in a sequence within a sequence."""
    keep = {Tag(k) for k in ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", *skip)}
    inner = Dataset()
    for n, (tag, vr) in enumerate(sorted(listed().items())):
        if Tag(tag) in keep or Tag(tag).group < 8:
            continue
        value = value_for(tag, vr, n)
        if value is None:
            entry = Dataset()
            plant(entry, 0x00100010, "PN", f"{NAME}{n:04d}^In".encode() + b" " * ((len(NAME) + 7) % 2))
            plant(entry, 0x0040A160, "UT", f"{NAME} said {n:04d}".encode() + b" " * ((len(NAME) + 10) % 2))
            plant(entry, 0x00080104, "LO", f"{NAME} code {n:04d}".encode() + b" " * ((len(NAME) + 10) % 2))
            ds.add_new(tag, "SQ", Sequence([entry]))
        else:
            plant(ds, tag, vr, value)
            plant(inner, tag, vr, value)
    plant(ds, 0x00100010, "PN", f"{NAME}^Ada".encode())
    step = Dataset()
    step.add_new(0x00081140, "SQ", Sequence([inner]))
    ds.add_new(0x00400260, "SQ", Sequence([step]))
    return plant_beyond_the_table(ds)


def plant_beyond_the_table(ds: Dataset) -> Dataset:
    """Private and unknown elements, curves, overlays, free text that no table lists, and values that do not fit their element."""
    word = NAME.encode()
    ds.private_block(0x0029, "ACME 1.1", create=True).add_new(1, "LO", f"{NAME} private")
    within = Dataset()
    within.private_block(0x0031, "OTHER", create=True).add_new(2, "OB", word)
    ds.add_new(0x00082218, "SQ", Sequence([within]))
    plant(ds, 0x00111111, "UN", word)
    plant(ds, 0x00187777, "LO", word)  # even group, not in the dictionary
    plant(ds, 0x50003000, "OW", word)
    plant(ds, 0x60003000, "OW", word)
    plant(ds, 0x60000022, "LO", word)
    plant(ds, 0x60020045, "SH", word)
    plant(ds, 0x00204000, "LT", word)
    plant(ds, 0x00181250, "SH", word)  # receive coil: free text that the table does not list
    plant(ds, 0x00200052 + 0x1000000, "UI", b"1.2.3.Quill.")
    plant(ds, 0x00280008 + 0x2, "LO", word) if "Rows" not in ds else None
    plant(ds, 0x00180050, "DS", b"Quillfeather")  # slice thickness
    plant(ds, 0x00180015, "CS", b"QUILLFEATHER")  # body part: the patient's own name
    plant(ds, 0x00189073, "LO", word)  # a number by the dictionary
    plant(ds, 0xFFFCFFFC, "OB", word)
    plant(ds, 0xFFFAFFFA, "SQ", b"")
    return ds


def with_secrets_around(path: Path, trailing: bytes = b"Quillfeather behind the pixels") -> Path:
    """Put the name into the preamble, into the file meta information and behind the last element."""
    ds = pydicom.dcmread(path)
    ds.file_meta.PrivateInformationCreatorUID = "1.2.276.0.7230010.3.9.555.77"
    ds.file_meta.PrivateInformation = NAME.encode()
    ds.file_meta.SourceApplicationEntityTitle = ds.file_meta.SendingApplicationEntityTitle = NAME
    ds.file_meta.ImplementationVersionName = NAME
    pydicom.dcmwrite(path, ds)
    data = bytearray(path.read_bytes())
    data[:128] = (NAME.encode() * 11)[:128]
    path.write_bytes(bytes(data) + trailing)
    return path


def leaks(raw: bytes, planted: Dataset | None = None) -> list[str]:
    """What of the planted values is in ``raw``."""
    found = [repr(w) for w in (NAME.encode(), NAME.upper().encode(), *CODED_BYTES) if w in raw]
    if planted is not None:
        found += [f"{Tag(tag)} {value!r}" for tag, value in _plain_values(planted) if value in raw]
    return found


def _plain_values(ds: Dataset):
    """(tag, bytes) of the planted values that are long enough to be looked for."""
    for n, (tag, vr) in enumerate(sorted(listed().items())):
        value = value_for(tag, vr, n)
        if value is not None and vr not in ("US", "SS") and Tag(tag) in ds:
            stripped = value.rstrip(b"\0 ")
            if len(stripped) >= 4 and dictionary_VR(tag):
                yield tag, stripped
