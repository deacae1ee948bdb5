"""Files and networks to values and back. Nothing downstream of here reads DICOM again."""
