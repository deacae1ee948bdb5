"""Public codes for what we write: DICOM PS3.16 (DCM), SNOMED CT (SCT), NCI Thesaurus (NCIt), UCUM.

Where no public code exists the scheme 99NODUS says that the code is ours.
"""

from __future__ import annotations

from highdicom.sr.coding import CodedConcept

ONCOLOGY_REPORT = CodedConcept("126001", "DCM", "Oncology Measurement Report")
# CID 100, which lists no ultrasound and may be extended.
COMPUTED_TOMOGRAPHY = CodedConcept("25045-6", "LN", "CT unspecified body region")
MAGNETIC_RESONANCE = CodedConcept("25056-3", "LN", "MRI unspecified body region")
ULTRASOUND = CodedConcept("16310003", "SCT", "Ultrasonography")
PROCEDURES = {"CT": COMPUTED_TOMOGRAPHY, "US": ULTRASOUND, "CEUS": ULTRASOUND, "MR": MAGNETIC_RESONANCE}

VOLUME = CodedConcept("118565006", "SCT", "Volume")
LONG_AXIS = CodedConcept("103339001", "SCT", "Long Axis")
SHORT_AXIS = CodedConcept("103340004", "SCT", "Short Axis")
# The third diameter of an ellipsoid has no code in the tables that hold the other two.
LENGTH = CodedConcept("410668003", "SCT", "Length")
WIDTH = CodedConcept("103355008", "SCT", "Width")
DEPTH = CodedConcept("131197000", "SCT", "Depth")
# No public code keeps the parts of a treated node apart as volumes; these are ours.
VIABLE_VOLUME = CodedConcept("NODUS-VIABLE", "99NODUS", "Volume of enhancing part")
ABLATED_VOLUME = CodedConcept("NODUS-ABLATED", "99NODUS", "Volume of non-enhancing part")
PERCENT_CHANGE = CodedConcept("C96621", "NCIt", "Percent Change From Baseline")
CUBIC_CENTIMETRE = CodedConcept("cm3", "UCUM", "cubic centimeter")  # CID 7462 lists no ml
MILLIMETRE = CodedConcept("mm", "UCUM", "mm")
PERCENT = CodedConcept("%", "UCUM", "Percent")
DAY = CodedConcept("d", "UCUM", "day")

# How a volume was come by (CID 7474).
METHODS = {
    "voxel": CodedConcept("126030", "DCM", "Sum of segmented voxel volumes"),
    "coverage": CodedConcept("126030", "DCM", "Sum of segmented voxel volumes"),
    "ellipsoid": CodedConcept("126029", "DCM", "Ellipsoid"),
    "contour": CodedConcept("122503", "DCM", "Multiple slice"),
}

NEOPLASM_SECONDARY = CodedConcept("14799000", "SCT", "Neoplasm, Secondary")
MORPHOLOGICALLY_ALTERED = CodedConcept("49755003", "SCT", "Morphologically Altered Structure")
SPATIAL_CONCEPT = CodedConcept("309825002", "SCT", "Spatial and Relational Concept")
PLANNED_ZONE = CodedConcept("NODUS-ZONE", "99NODUS", "Zone of a planned ablation")
FIELD_SIMULATION = CodedConcept("NODUS-FIELD", "99NODUS", "Simulation of an electric field")
CERVICAL_NODE = CodedConcept("81105003", "SCT", "Cervical lymph node")
SIDES = {"left": CodedConcept("7771000", "SCT", "Left"), "right": CodedConcept("24028007", "SCT", "Right")}
LEVELS = {
    "IA": ("1162616006", "Lymph node level IA"), "IB": ("1162617002", "Lymph node level IB"), "II": ("258401000", "Lymph node level II"),
    "IIA": ("1284814003", "Lymph node level IIA"), "IIB": ("1284815002", "Lymph node level IIB"), "III": ("258402007", "Lymph node level III"),
    "IV": ("258403002", "Lymph node level IV"), "IVA": ("1162620005", "Lymph node level IVA"), "IVB": ("1162621009", "Lymph node level IVB"),
    "V": ("258404008", "Lymph node level V"), "VA": ("1162622002", "Lymph node level VA"), "VB": ("1162623007", "Lymph node level VB"),
    "VC": ("1162624001", "Lymph node level VC"), "VI": ("258405009", "Lymph node level VI"), "VII": ("395168005", "Lymph node level VII"),
}  # fmt: skip

READER = CodedConcept("C28747", "NCIt", "Reader")
ADJUDICATOR = CodedConcept("C96561", "NCIt", "Adjudicator")
# What the days of a time point count from (CID 6320 and beyond); a treatment without one public code is ours.
ABLATION = CodedConcept("NODUS-ABLATION", "99NODUS", "Ablation")
ABLATIONS = {
    "IRE": CodedConcept("C131483", "NCIt", "Irreversible Electroporation"),
    "RFA": CodedConcept("879916008", "SCT", "Radiofrequency ablation"),
}
# Kinds of pictures (CID 29), as an image library names them.
MODALITIES = {
    "CT": CodedConcept("CT", "DCM", "Computed Tomography"),
    "MR": CodedConcept("MR", "DCM", "Magnetic Resonance"),
    "PT": CodedConcept("PT", "DCM", "Positron emission tomography"),
    "US": CodedConcept("US", "DCM", "Ultrasound"),
}
# Kinds of time points (CID 6146).
BASELINE = CodedConcept("C1442488", "UMLS", "Baseline")
POSTTREATMENT = CodedConcept("126074", "DCM", "Posttreatment")
UNSCHEDULED = CodedConcept("C1699701", "UMLS", "Unscheduled")

# Where a picture's header gave no scale and the reader stated one.
CALIBRATION = CodedConcept("122505", "DCM", "Calibration")
BY_READER = CodedConcept("NODUS-BY-READER", "99NODUS", "By the reader against a drawn scale")

STATUS = CodedConcept("NODUS-STATUS", "99NODUS", "Reading status")
STATUSES = {
    "measured": "Measured", "too_small": "Present, too small to measure", "disappeared_assessed": "Disappeared, assessed", "merged_into": "Merged into another node",
    "split_from": "Split from another node", "not_evaluable": "Not evaluable", "not_imaged": "Not imaged",
}  # fmt: skip


def level_code(level: str) -> CodedConcept | None:
    """SNOMED CT's qualifier of a neck level; None for one that is not stated."""
    found = LEVELS.get(level)
    return None if found is None else CodedConcept(found[0], "SCT", found[1])


def status_code(status: str) -> CodedConcept:
    """Our own code of a reading's status."""
    return CodedConcept(f"NODUS-{status.upper().replace('_', '-')}"[:16], "99NODUS", STATUSES.get(status, status))
