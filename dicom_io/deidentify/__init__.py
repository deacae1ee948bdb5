"""Taking identifying values out of DICOM objects, fail closed (PS3.15 annex E).

``rules`` and the tables in ``resources/deidentify`` say what happens to which element; ``header`` does it; ``review``
and ``burned_in`` decide what of a picture may stay and when a person is asked; ``pixels`` writes the frames; ``files``
does all of it for a file. Everything that must match between objects follows from one key (``uids``).
"""

from dicom_io.deidentify.files import CleanedFile, NeedsReview, clean_copy, clean_dataset, clean_file
from dicom_io.deidentify.header import Identity
from dicom_io.deidentify.report import Change, as_csv, merged
from dicom_io.deidentify.review import Confirmed, Reason, Review, review
from dicom_io.deidentify.rules import load_profile, profile_names
from dicom_io.deidentify.uids import days_back, key_check, map_uid, pseudonym

__all__ = [
    "Change", "CleanedFile", "Confirmed", "Identity", "NeedsReview", "Reason", "Review", "as_csv", "clean_copy", "clean_dataset", "clean_file", "days_back", "key_check", "load_profile",
    "map_uid", "merged", "profile_names", "pseudonym", "review",
]  # fmt: skip
