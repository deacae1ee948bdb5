"""How big a node is, and what it became. Pure numbers: no files, no DICOM, no window."""
