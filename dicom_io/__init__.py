"""Files and networks to values and back. Nothing downstream of here reads DICOM again."""

from dicom_io.ct import read_geometry, read_volume
from dicom_io.listing import SkippedFile
from dicom_io.masks import choose_series, open_image, read_image, read_masks
from dicom_io.scan import ScanResult, SeriesSummary, scan_folder
from dicom_io.ultrasound import read_cine
from dicom_io.volume_files import write_array, write_masks, write_volume

__all__ = [
    "ScanResult",
    "SeriesSummary",
    "SkippedFile",
    "choose_series",
    "open_image",
    "read_cine",
    "read_geometry",
    "read_image",
    "read_masks",
    "read_volume",
    "scan_folder",
    "write_array",
    "write_masks",
    "write_volume",
]
