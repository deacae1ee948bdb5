"""Nothing that identifies survives, wherever it was put: shown by looking for its bytes."""

from __future__ import annotations

import json
import random
from importlib import resources

import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pydicom.datadict import DicomDictionary, dictionary_VR
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence

from dicom_io.deidentify import Confirmed, NeedsReview, clean_copy, clean_dataset, load_profile, profile_names
from dicom_io.deidentify.rules import KEEP_TEXT, table
from tests.dicom_io.made import ct_slice, region, save, us_picture
from tests.dicom_io.planted import NAME, leaks, listed, plant, plant_everywhere, with_secrets_around
from volumetry.errors import NodusError

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # the parser's, on what is planted
KEY = b"0123456789abcdef0123456789abcdef"


def _made(kind: str) -> Dataset:
    if kind == "ct":
        return ct_slice((0.0, 0.0, 0.0), 1)
    return us_picture([region((10, 10, 60, 50))], frames=3 if kind == "loop" else None, FrameTime=20.0)


@pytest.mark.parametrize("profile", ["basic", "trial"])
@pytest.mark.parametrize("kind", ["ct", "still", "loop"])
def test_that_no_planted_value_survives_in_any_byte(tmp_path, kind, profile):
    planted = plant_everywhere(_made(kind))
    source = with_secrets_around(save(planted, tmp_path / "in" / f"{NAME}.dcm"))
    assert len(leaks(source.read_bytes(), planted)) > 300  # the search finds what is there
    (clean,) = clean_copy([source], tmp_path / "out", "S-007", KEY, profile=profile, confirmed={source: Confirmed()})
    raw = clean.path.read_bytes()
    assert leaks(raw, planted) == []
    assert raw[:128] == bytes(128)
    assert NAME not in str(clean.path.relative_to(tmp_path))
    assert not {NAME} & {c.keyword for c in clean.changed}


def test_that_the_table_is_the_standards():
    # Spot checks against PS3.15 Table E.1-1, and its size.
    rows = {keyword: action for keyword, _, action in table().values()}
    assert len(rows) > 600
    expected = {
        "PatientName": "Z", "PatientID": "Z/D", "PatientBirthDate": "Z", "AccessionNumber": "Z", "StudyDate": "Z", "StudyInstanceUID": "U", "InstitutionName": "X/Z/D",
        "ClinicalTrialProtocolID": "D", "ClinicalTrialTimePointID": "Z", "ContentSequence": "D", "UID": "U", "TrackingUID": "U", "IconImageSequence": "X", "SourceImageSequence": "X/Z/U*",
        "ContentDate": "Z/D", "OriginalAttributesSequence": "X", "PatientAge": "X", "DeviceSerialNumber": "X/Z/D",
    }  # fmt: skip
    assert {k: rows[k] for k in expected} == expected
    assert "SequenceOfUltrasoundRegions" not in rows


def test_that_trial_device_keeps_the_scanner_and_nothing_else_more(tmp_path):
    ds = ct_slice((0.0, 0.0, 0.0), 1, DeviceSerialNumber="SN-31415", StationName="ROOM7", InstitutionName="Waldrand")
    assert set(profile_names()) == {"basic", "trial", "trial-device"}
    kept = clean_dataset(ds, subject="S-1", salt=KEY, profile="trial-device")
    gone = clean_dataset(ds, subject="S-1", salt=KEY)
    assert (kept.DeviceSerialNumber, kept.StationName, kept.get("InstitutionName")) == ("SN-31415", "ROOM7", None)
    assert "SN-31415" not in str(gone)
    assert "ROOM7" not in str(gone)
    codes = [e.CodeValue for e in kept.DeidentificationMethodCodeSequence]
    assert codes == ["113100", "113101", "113104", "113107", "113109"]


def test_that_an_unknown_profile_is_refused():
    with pytest.raises(NodusError) as refused:
        load_profile("everything")
    assert refused.value.code == "profile_missing"


def _identifying(ds: Dataset, tags: set[int]):
    for element in ds:
        if element.VR == "SQ":
            for entry in element.value:
                yield from _identifying(entry, tags)
        elif int(element.tag) in tags:
            for value in element.value if isinstance(element.value, MultiValue) else [element.value]:
                raw = value if isinstance(value, bytes) else str(value).encode()
                if len(raw) >= 4:
                    yield element.keyword, raw


def test_that_no_value_of_the_header_list_survives_in_the_shared_ultrasound_files(cleaned_ultrasound):
    tags, looked_for = set(table()), 0
    for source, clean in cleaned_ultrasound.items():
        raw = clean.path.read_bytes()
        values = set(_identifying(pydicom.dcmread(source, stop_before_pixels=True), tags))
        looked_for += len(values)
        assert [(k, v) for k, v in values if v in raw] == [], source.name
    assert looked_for > 150


def test_that_writing_inside_a_region_holds_a_shared_file_back(shared_data, tmp_path):
    # "DOE" is drawn into the picture itself, inside the calibrated region.
    source = shared_data / "us_dicom" / "YBR_FULL-RLE.dcm"
    with pytest.raises(NeedsReview) as held:
        clean_copy([source], tmp_path / "out", "S-007", KEY)
    (found,) = [r for r in held.value.reasons if r.code == "text_in_picture"]
    assert any(x0 <= 120 and x1 >= 140 and y0 <= 376 and y1 >= 384 for x0, y0, x1, y1 in found.boxes)
    assert list((tmp_path / "out").iterdir()) == []


# ---- anything, nested anyhow -----------------------------------------------------------------
SECRET = "Zq7Wilhelmine"
# Elements whose text is kept as it is are left out: they are known to name nobody.
_TAGS = sorted(
    t for t, row in DicomDictionary.items()
    if row[4] and row[4] not in KEEP_TEXT and t >> 16 >= 8 and t >> 16 < 0x7FE0 and row[4] not in ("CodingSchemeDesignator", "CodeValue", "LongCodeValue", "URNCodeValue")
)  # fmt: skip
_SEQUENCES = [t for t in _TAGS if dictionary_VR(t) == "SQ"]
_NUMBERS = ("SQ", "US", "SS", "UL", "SL", "FL", "FD", "AT", "UV", "SV", "OF", "OD", "OL", "OV")
CODINGS = ("ascii", "utf-16-le", "utf-16-be")
_VRS = ("LO", "SH", "PN", "LT", "ST", "UT", "UC", "UR", "AE", "CS", "AS", "DA", "TM", "DT", "IS", "DS", "UI", "OB", "UN", "OW")


def _random_dataset(rng: random.Random, depth: int = 0) -> Dataset:
    """Elements that hold the secret under their own or a wrong VR, in sequences up to four deep, and private ones."""
    ds = Dataset()
    for tag in rng.sample(_TAGS, rng.randint(1, 12)) + ([rng.choice(_SEQUENCES)] if rng.random() < 0.7 else []):
        if dictionary_VR(tag) == "SQ" and depth < 4:
            ds.add_new(tag, "SQ", Sequence([_random_dataset(rng, depth + 1) for _ in range(rng.randint(0, 2))]))
        else:
            secret = rng.choice([SECRET, SECRET + "^Anna", f"Dr {SECRET}", SECRET * 2]).encode(rng.choice(CODINGS))
            own = dictionary_VR(tag).split(" ")[0]
            vr = rng.choice((own if own not in _NUMBERS else "LO", *_VRS))
            plant(ds, tag, vr, secret + b" " * (len(secret) % 2))
    if rng.random() < 0.5:
        ds.private_block(rng.choice([0x0009, 0x0029, 0x7053]), "ACME", create=True).add_new(1, "LO", SECRET)
    return ds


@settings(max_examples=120, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2**32), st.sampled_from(["basic", "trial"]))
def test_that_a_secret_anywhere_in_a_random_dataset_is_gone(tmp_path, seed, profile):
    ds = _random_dataset(random.Random(seed))
    ds.add_new(0x00080016, "UI", "1.2.840.10008.5.1.4.1.1.88.34")
    ds.add_new(0x00080018, "UI", "1.2.3.4")
    clean = clean_dataset(ds, subject="S-007", salt=KEY, profile=profile)
    path = tmp_path / "clean.dcm"
    pydicom.dcmwrite(path, clean, enforce_file_format=True)
    raw = path.read_bytes()
    assert [coding for coding in CODINGS if SECRET.encode(coding) in raw] == []


def test_that_every_text_element_that_stays_is_on_a_list_and_not_in_the_table():
    listed_keywords = {row[0] for row in table().values()}
    assert not KEEP_TEXT & listed_keywords
    content = json.loads((resources.files("resources") / "deidentify" / "actions.json").read_text("utf-8"))
    assert {int(t, 16) for t in content["actions"]} >= set(listed())


def test_that_bits_beyond_those_stored_hold_nothing(tmp_path):
    # An old overlay lies in the four upper bits of each pixel.
    pixels = np.full((6, 5), 0x0123, dtype=np.uint16)
    pixels[2] |= 0xA000
    ds = ct_slice((0.0, 0.0, 0.0), 1, array=pixels)
    ds.BitsStored, ds.HighBit = 12, 11
    source = save(ds, tmp_path / "a.dcm")
    (clean,) = clean_copy([source], tmp_path / "out", "S1", KEY)
    back = np.frombuffer(pydicom.dcmread(clean.path).PixelData, "<u2")
    assert set(back.tolist()) == {0x0123}


def test_that_the_patients_own_name_is_found_where_the_rules_would_keep_it(tmp_path):
    ds = ct_slice((0.0, 0.0, 0.0), 1, PatientName="Zimmermann^Ida", PatientID="4711225", SeriesNumber=4711225, Manufacturer="Zimmermann GmbH", BodyPartExamined="ZIMMERMANN")
    (clean,) = clean_copy([save(ds, tmp_path / "a.dcm")], tmp_path / "out", "S1", KEY)
    raw = clean.path.read_bytes()
    assert b"immermann" not in raw
    assert b"ZIMMERMANN" not in raw
    assert b"4711225" not in raw
