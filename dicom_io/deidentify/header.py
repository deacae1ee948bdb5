"""Cleaning one header, sequences and all, by the rules."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from pydicom.datadict import dictionary_keyword, dictionary_VR
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.tag import BaseTag
from pydicom.uid import UID, ExplicitVRLittleEndian

from dicom_io.deidentify.dates import DateShift, partner, shift_of
from dicom_io.deidentify.report import ChangeLog
from dicom_io.deidentify.rules import PREFER_DUMMY, TEXT_VRS, Action, Profile, decide, is_left_out_whole, values_of
from dicom_io.deidentify.structured import REMOVED, Words, clean_code, content_text, is_coded, segment_label, tracking_id
from dicom_io.deidentify.uids import CODING_SCHEME_ROOTS, map_uid
from dicom_io.headers import integer, text, value_of
from dicom_io.trial_modules import Trial, add_trial_modules
from dicom_io.ultrasound import is_synthetic
from volumetry.errors import NodusError

# Identifies this program's files in the file meta; a fixed UUID under 2.25.
IMPLEMENTATION_UID = "2.25.161204911217482651894236573124519034527"
IMPLEMENTATION_NAME = "NODUS"
# Present but empty, as the image modules ask for.
BLANK = ("StudyDate", "StudyTime", "AccessionNumber", "ReferringPhysicianName", "StudyID", "PatientBirthDate", "PatientSex")
MOST_LEVELS = 64
NAMES = ("PatientName", "OtherPatientNames", "PatientBirthName", "PatientMotherBirthName", "ReferringPhysicianName", "OperatorsName", "PerformingPhysicianName")
NUMBERS_OF_A_PERSON = ("PatientID", "OtherPatientIDs", "AccessionNumber")
# Code strings that say what kind of object it is: their words come from the standard's own lists.
TERMS = frozenset(["Modality", "PhotometricInterpretation", "ImageType", "FrameType", "ValueType", "SegmentationType", "ContinuityOfContent", "RelationshipType", "PatientPosition"])
_DUMMIES = {"DA": "19000101", "TM": "000000", "DT": "19000101000000", "AS": "000Y", "UR": "", "CS": "REMOVED", "AE": "REMOVED", "DS": "0", "IS": "0"}
_BYTES = frozenset({"OB", "OW", "OF", "OD", "OL", "OV", "UN"})
_NUMBERS = frozenset({"US", "SS", "UL", "SL", "UV", "SV", "FL", "FD"})


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom a cleaned object belongs to: the pseudonym, the key that everything follows from, and the trial if there is one."""

    subject: str
    key: bytes
    trial: Trial | None = None

    def __post_init__(self) -> None:
        if not self.subject or not self.key:
            raise NodusError("Cleaning a header needs a pseudonym and a key.", code="pseudonym_missing")


def dummy(vr: str):
    """A value that means nothing, legal for the VR."""
    if vr in _BYTES:
        return b"\0\0"
    if vr in _NUMBERS or vr == "AT":
        return 0
    return _DUMMIES.get(vr, REMOVED)


class _Named:
    """The names and numbers of this patient, looked for a second time in what the rules would keep."""

    def __init__(self, ds: Dataset):
        found = {k: [str(v) for v in values_of(value_of(ds, k))] for k in (*NAMES, *NUMBERS_OF_A_PERSON)}
        words = {w.casefold() for k in NAMES for v in found[k] for w in re.split(r"[^\w]+", v) if len(w) >= 4}
        numbers = {v.strip() for k in NUMBERS_OF_A_PERSON for v in found[k] if len(v.strip()) >= 5}
        self.words, self.numbers = words | {n.casefold() for n in numbers}, numbers

    def told_by(self, keyword: str, vr: str, value) -> bool:
        """True where a value says a name of the patient, or is one of their numbers."""
        if vr in ("IS", "DS"):
            return any(str(v).strip() in self.numbers for v in values_of(value))
        if vr == "CS":
            return keyword not in TERMS and any(str(v).strip().casefold() in self.words for v in values_of(value))
        return vr in TEXT_VRS and any(w in str(v).casefold() for v in values_of(value) for w in self.words)


class _Cleaner:
    def __init__(self, ds: Dataset, identity: Identity, profile: Profile, shift: DateShift, swap: bool):
        trial = identity.trial
        self.named = _Named(ds)
        self.key, self.profile, self.shift, self.swap = identity.key, profile, shift, swap
        self.words = Words(identity.key, identity.subject, trial.protocol_id if trial else "", trial.time_point if trial else "")
        self.log = ChangeLog()

    def clean(self, ds: Dataset, level: int = 0) -> Dataset:
        """A clean copy of one data set and all that is in it."""
        if level > MOST_LEVELS:
            raise NodusError("The header nests its sequences too deeply to be cleaned.", code="unreadable")
        out = Dataset()
        if level and is_coded(ds):
            self._code(ds, out)
            return out
        moved: dict[str, str | None] = {}
        for tag in sorted(ds.keys()):
            try:
                action = decide(ds, tag, self.profile)
                vr, value = str(ds[tag].VR), ds[tag].value
                if action is Action.ENTER and not isinstance(value, (list, DicomSequence)):
                    action = Action.REMOVE
                if action is Action.KEEP and self.named.told_by(dictionary_keyword(tag), vr, value):
                    action = Action.EMPTY
            except Exception:  # an element that cannot be read cannot be vouched for
                action = Action.REMOVE
            if action is Action.REMOVE:
                self._note(tag, "removed")
            elif action is Action.ENTER:
                out.add_new(tag, "SQ", DicomSequence([self.clean(entry, level + 1) for entry in value]))
            elif action is Action.KEEP:
                out.add_new(tag, vr, self._bytes(value, vr))
            elif action is Action.MAP:
                self._map(tag, value, out)
            elif action is Action.SHIFT:
                self._shift(ds, tag, value, out, moved)
            else:
                self._replace(ds, tag, value, action, out)
        self._names(ds, out)
        return out

    def _note(self, tag: BaseTag, action: str) -> None:
        try:
            keyword = "" if is_left_out_whole(tag) and tag.is_private else dictionary_keyword(tag)
        except KeyError:
            keyword = ""
        self.log.add(tag, keyword, action)

    def _bytes(self, value, vr: str):
        """Words of tables turned round where the file has them big end first."""
        if self.swap and isinstance(value, bytes) and "OW" in vr and len(value) % 2 == 0:
            turned = bytearray(value)
            turned[0::2], turned[1::2] = value[1::2], value[0::2]
            return bytes(turned)
        return value

    def _map(self, tag: BaseTag, value, out: Dataset) -> None:
        given = [str(v) for v in values_of(value)]
        if dictionary_keyword(tag) == "CodingSchemeUID":
            kept = [v for v in given if v.startswith(CODING_SCHEME_ROOTS)]
        else:
            kept = [map_uid(v, self.key) for v in given]
        if kept != given:
            self._note(tag, "mapped")
        out.add_new(tag, "UI", kept if len(kept) != 1 else kept[0])

    def _shift(self, ds: Dataset, tag: BaseTag, value, out: Dataset, moved: dict[str, str | None]) -> None:
        keyword, vr = dictionary_keyword(tag), dictionary_VR(tag)
        given = [str(v) for v in values_of(value)]
        other = partner(keyword) if vr == "DA" else None
        paired = text(ds, other) if other else None
        if keyword in moved:  # a time whose date was moved with it
            done = [moved[keyword]]
        elif paired is not None and len(given) == 1 and "\\" not in paired:
            date, moved[other] = self.shift.pair(given[0], paired)
            done = [date]
        else:
            move = {"DA": self.shift.date, "TM": self.shift.time, "DT": self.shift.moment}[vr]
            done = [move(v) for v in given]
        if not given:
            out.add_new(tag, vr, "")
        elif None in done:  # it cannot be told: as if the profile took dates out
            out.add_new(tag, vr, dummy(vr) if keyword in PREFER_DUMMY else "")
            self._note(tag, "replaced" if keyword in PREFER_DUMMY else "emptied")
        else:
            out.add_new(tag, vr, done if len(done) != 1 else done[0])
            self._note(tag, "shifted")

    def _replace(self, ds: Dataset, tag: BaseTag, value, action: Action, out: Dataset) -> None:
        vr = dictionary_VR(tag).split(" ")[0]
        was_empty = value is None or (hasattr(value, "__len__") and len(value) == 0)
        if action is Action.DUMMY and not was_empty:
            out.add_new(tag, vr, dummy(vr))
        else:
            out.add_new(tag, vr, DicomSequence([]) if vr == "SQ" else b"" if vr in _BYTES else None if vr in _NUMBERS else "")
        if not was_empty:
            self._note(tag, action.value)

    def _code(self, ds: Dataset, out: Dataset) -> None:
        changed = clean_code(ds, out)
        if self.named.told_by("CodeMeaning", "LO", out.CodeMeaning):
            out.CodeMeaning, changed = REMOVED, True
        if changed:
            self._note(BaseTag(0x00080104), "replaced")
        for tag in ds.keys() - out.keys():
            self._note(tag, "removed")

    def _names(self, ds: Dataset, out: Dataset) -> None:
        """Labels and texts that are told in other words rather than taken out."""
        for keyword, number in (("SegmentLabel", "SegmentNumber"), ("ROIName", "ROINumber"), ("ROIObservationLabel", "ObservationNumber")):
            if keyword in ds:
                self._say(out, keyword, text(ds, keyword), segment_label(text(ds, keyword), integer(ds, number)))
        if text(ds, "TrackingID"):
            self._say(out, "TrackingID", text(ds, "TrackingID"), tracking_id(text(ds, "TrackingID"), self.key))
        if "TextValue" in ds:
            self._say(out, "TextValue", text(ds, "TextValue"), content_text(ds, self.words))

    def _say(self, out: Dataset, keyword: str, old: str | None, new: str) -> None:
        setattr(out, keyword, new)
        if old != new:
            self._note(out[keyword].tag, "replaced")


def clean_header(ds: Dataset, identity: Identity, profile: Profile) -> tuple[Dataset, ChangeLog]:
    """A copy of ``ds`` without its pixels that names nobody but the pseudonym, and what was changed; ``ds`` is left as it was.

    The copy is meant to be written as Explicit VR Little Endian. A SYNTHETIC stamp survives in the series description.
    """
    big = getattr(ds, "original_encoding", (None, None))[1] is False
    cleaner = _Cleaner(ds, identity, profile, shift_of(ds, identity.subject, identity.key), big)
    out = cleaner.clean(ds)
    for keyword in BLANK:
        if keyword not in out:
            setattr(out, keyword, "")
    _say_who(out, identity.subject, cleaner.log)
    out.PatientIdentityRemoved = "YES"
    out.DeidentificationMethod = [f"Nodus profile {profile.name}", "PS3.15 2026c"]
    out.DeidentificationMethodCodeSequence = DicomSequence(_codes(profile.codes))
    out.LongitudinalTemporalInformationModified = "MODIFIED" if profile.shifts_dates else "REMOVED"
    for keyword in ("PatientIdentityRemoved", "DeidentificationMethod", "DeidentificationMethodCodeSequence", "LongitudinalTemporalInformationModified"):
        cleaner.log.add(out[keyword].tag, keyword, "added")
    if identity.trial is not None:
        for keyword in add_trial_modules(out, identity.subject, identity.trial):
            cleaner.log.add(out[keyword].tag, keyword, "added")
    if is_synthetic(ds):
        out.SeriesDescription = "SYNTHETIC"
    # Everything that is left is plain ASCII or this program's own words.
    out.SpecificCharacterSet = "ISO_IR 192"
    out.file_meta = _file_meta(ds, out)
    return out, cleaner.log


def _say_who(out: Dataset, subject: str, log: ChangeLog) -> None:
    out.PatientName = out.PatientID = subject
    for keyword in ("PatientName", "PatientID"):
        log.add(out[keyword].tag, keyword, "replaced")


def _codes(options: Iterable[tuple[str, str]]) -> list[Dataset]:
    found = []
    for code, meaning in options:
        entry = Dataset()
        entry.CodeValue, entry.CodingSchemeDesignator, entry.CodeMeaning = code, "DCM", meaning
        found.append(entry)
    return found


def _file_meta(ds: Dataset, out: Dataset) -> FileMetaDataset:
    source = getattr(ds, "file_meta", None) or {}
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = out.get("SOPClassUID") or source.get("MediaStorageSOPClassUID", "")
    meta.MediaStorageSOPInstanceUID = out.get("SOPInstanceUID", "")
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = UID(IMPLEMENTATION_UID)
    meta.ImplementationVersionName = IMPLEMENTATION_NAME
    return meta
