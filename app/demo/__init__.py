"""Synthetic subjects: true DICOM files of a neck that never was, with every answer known.

Shared by ``nodus demo`` and by the tests' factories. Nothing here knows of Qt or of the study store.
"""
