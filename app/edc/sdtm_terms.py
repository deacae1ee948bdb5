"""Terms of SDTM controlled terminology that the exports use, with what stands in for a term that does not exist.

``None`` for a C-code marks an extension of an extensible list. The terminology itself is not part of the program: before a
submission the define file is to be checked against the release named in it.
"""

from __future__ import annotations

CT_VERSION = "2025-03-25"

# TRTESTCD -> (TRTEST, C-code).
TR_TESTS: dict[str, tuple[str, str | None]] = {
    "VOLUME": ("Volume", "C74720"),
    "LDIAM": ("Longest Diameter", "C96684"),
    "LPERP": ("Longest Perpendicular", "C96685"),
    "TUMSTATE": ("Tumor State", "C96643"),
    "PCHGBL": ("Percent Change From Baseline", "C96621"),
    "SUMVOL": ("Sum of Volume", "C96635"),
    "PCBSV": ("Percent Change Baseline in Sum of Volume", "C112372"),
    "SUMDIAM": ("Sum of Diameter", "C96631"),
    "PCBSD": ("Percent Change Baseline in Sum of Diam", "C112370"),
    "PCNSD": ("Percent Change Nadir in Sum of Diam", "C112373"),
    "ACNSD": ("Absolute Change Nadir in Sum of Diam", "C112218"),
    "SUMVDIAM": ("Sum of Viable Tumor Diameters", "C96634"),
    "VIAVOL": ("Viable Volume", None),
    "ABLVOL": ("Ablated Volume", None),
    "PCHGVIA": ("Percent Change From Baseline in Viable", None),
    "RESENH": ("Residual Enhancement Grade", None),
}
TU_TESTS: dict[str, tuple[str, str | None]] = {"TUMIDENT": ("Tumor Identification", "C94523"), "TUSPLIT": ("Tumor Split", "C96642"), "TUMERGE": ("Tumor Merged", "C94525")}
RS_TESTS: dict[str, tuple[str, str | None]] = {
    "TRGRESP": ("Target Response", "C94534"),
    "NTRGRESP": ("Non-target Response", "C94535"),
    "NEWLPROG": ("New Lesion Progression", "C103420"),
    "OVRLRESP": ("Overall Response", "C96613"),
    "BESTRESP": ("Best Overall Response", "C94536"),
    "CMPLDIS": ("Complete Disappearance", None),
}
METHODS: dict[str, tuple[str, str | None]] = {
    "CT": ("CT SCAN", "C17204"),
    "MR": ("MRI", "C16809"),
    "PT": ("PET SCAN", "C17007"),
    "US": ("ULTRASOUND", "C17230"),
    "CEUS": ("CONTRAST ENHANCED ULTRASOUND", None),
}
EVALUATORS: dict[str, tuple[str, str, str | None]] = {
    "site": ("INVESTIGATOR", "INV", "C25936"),
    "central": ("INDEPENDENT ASSESSOR", "R", "C78720"),
    "adjudicator": ("ADJUDICATOR", "ADJ", "C96561"),
}
UNITS: dict[str, str | None] = {
    "mL": "C28254", "mm": "C28251", "%": "C25613", "V": "C42551", "amp": "C42536", "us": "C69149", "Hz": "C42545", "V/cm": None, "PULSES": None,
}  # fmt: skip
# Neck level -> (LOC, what the term does not say). Level VI has no term of its own.
LOCATIONS: dict[str, tuple[str, str | None]] = {
    "IA": ("SUBMENTAL LYMPH NODE", None),
    "IB": ("SUBMANDIBULAR LYMPH NODE", None),
    **{level: ("CERVICAL LYMPH NODE LEVEL II", None if level == "II" else f"LEVEL {level}") for level in ("II", "IIA", "IIB")},
    "III": ("CERVICAL LYMPH NODE LEVEL III", None),
    **{level: ("CERVICAL LYMPH NODE LEVEL IV", None if level == "IV" else f"LEVEL {level}") for level in ("IV", "IVA", "IVB")},
    **{level: ("CERVICAL LYMPH NODE LEVEL V", None if level == "V" else f"LEVEL {level}") for level in ("V", "VA", "VB", "VC")},
    "VI": ("CERVICAL LYMPH NODE", "LEVEL VI"),
    "VII": ("CERVICAL LYMPH NODE", "LEVEL VII"),
}
LATERALITY = {"left": "LEFT", "right": "RIGHT", "midline": "MIDLINE"}
# Settings of a pair: item of treatment.csv planned, delivered -> (DUTESTCD, DUTEST, unit, C-code).
SETTINGS = (
    ("planned_voltage_v", "delivered_voltage_v", "SIGAMP", "Signal Amplitude", "V", "C112416"),
    ("width_us", None, "SIGW", "Signal Width", "us", "C112418"),
    ("rate_hz", None, "SIGFREQ", "Signal Frequency", "Hz", "C112417"),
    ("planned_pulses", "delivered_pulses", "PULSNUM", "Number of Pulses", "PULSES", None),
    ("planned_distance_mm", "actual_distance_mm", "ELECDIST", "Electrode Distance", "mm", None),
    ("anode_exposure_mm", None, "EXPANOD", "Exposed Length of Anode", "mm", None),
    ("cathode_exposure_mm", None, "EXPCATH", "Exposed Length of Cathode", "mm", None),
    ("planned_v_per_cm", None, "VPERCM", "Voltage over Distance", "V/cm", None),
)
CURRENTS = (("current_start_a", "CURSTART", "Current at First Pulse"), ("current_end_a", "CUREND", "Highest Current at Last Pulse"))
DEVICE_ELEMENTS = {
    "DEVTYPE": "Device Type", "MANUF": "Manufacturer", "MODEL": "Model Number", "SERIAL": "Serial Number", "LOT": "Lot Number",
    "FDAUDI": "FDA Unique Device Identifier", "TRADENAM": "Trade Name",
}  # fmt: skip
