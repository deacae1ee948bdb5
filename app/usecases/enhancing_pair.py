"""The enhancing part of an outline by two CTs of one visit, before and after contrast: worked out, kept, taken into a reading.

It is of the outline that it was worked out for and of no other: where that was changed since, it is refused, never applied to another one.
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass, replace

import numpy as np

from app import __version__
from app.jobs.progress import JobContext
from app.study.model import Reading, SeriesRecord
from app.study.store import StudyStore
from app.usecases.ct_enhancement import register_around, two_days, unlike_pictures
from app.usecases.enhancing_part import EnhancingPart
from app.usecases.import_images import open_record
from app.usecases.readings import pack_mask, unpack_mask
from app.usecases.register import registration_numbers
from dicom_io.headers import read_header
from dicom_io.ultrasound import acquired_on
from volumetry.errors import NodusError
from volumetry.finding import Finding
from volumetry.image import ImageVolume
from volumetry.mask import NodeMask
from volumetry.perfusion.ct_enhancement import enhancement_by_pair

SOURCE = "contrast_pair"  # of ``app.study.model.PART_SOURCES``
KEY = "enhancing_pair"  # in ``Reading.measurement``
_KEPT = ("grade", "viable_ml", "ablated_ml", "node_ml", "viable_pct", "viable_interval_pct", "rim_ml", "rim_mm", "foci", "threshold_hu", "noise_hu", "reasons")


@dataclass(frozen=True, slots=True, eq=False)
class PairPart:
    """What was found: ``record`` in plain values (method, both series, registration, numbers, findings, hash of the outline) as the reading
    keeps it; ``viable`` on the outline's grid and its voxels ``index`` (n, 3) as (i, j, k)."""

    record: dict
    viable: NodeMask
    index: np.ndarray

    @classmethod
    def of(cls, record: dict, viable: NodeMask) -> PairPart:
        """With the voxels listed."""
        return cls(record, viable, np.argwhere(viable.array)[:, ::-1])

    @property
    def evaluable(self) -> bool:
        """Whether there is a part at all."""
        return self.record["viable_ml"] is not None

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What was noticed."""
        return tuple(Finding(f["code"], f["message"], f["severity"]) for f in self.record["findings"])

    @property
    def residual_mm(self) -> float | None:
        """What is left between the pictures after they were brought together."""
        return self.record["registration"]["residual_mm"]

    @property
    def source(self) -> str:
        """How it was made, in a line."""
        fit = "" if self.residual_mm is None else f", fit {self.residual_mm:.1f} mm"
        return f"CT before and after contrast{fit}, rise of {self.record['threshold_hu']:.0f} HU"

    def part(self, mask: NodeMask) -> EnhancingPart:
        """The parts of ``mask`` for a reading. Refuses ``enhancing_stale`` for any other outline than its own, ``contrast_not_evaluable``
        where nothing could be told."""
        if outline_sha256(mask) != self.record["outline_sha256"]:
            raise NodusError(
                "The outline was changed after its enhancing part was worked out from the pair of CTs.", code="enhancing_stale",
                hint="Work it out again, undo the change, or choose Not assessed.",
            )  # fmt: skip
        if not self.evaluable:
            raise NodusError("The pair of CTs tells of no enhancing part.", code="contrast_not_evaluable", hint="Look at the reasons; state a threshold instead.")
        found = tuple(f for f in self.findings if f.severity != "info")
        return EnhancingPart(
            self.record["viable_ml"], self.record["ablated_ml"], SOURCE, "derived", source=self.source, mask=self.viable, findings=found, evidence={KEY: self.record}
        )

    def as_plain(self) -> dict:
        """For a setting of the study; ``pair_of_plain`` reads it back."""
        return {"record": self.record, "viable": base64.b64encode(pack_mask(self.viable)).decode("ascii")}


def pair_of_plain(plain: dict) -> PairPart:
    """What ``as_plain`` gave."""
    return PairPart.of(plain["record"], unpack_mask(base64.b64decode(plain["viable"])))


def pair_of_reading(store: StudyStore, reading: Reading | None) -> PairPart | None:
    """The part that a reading holds by a pair of CTs; None where it was come by in another way."""
    record = None if reading is None or reading.viable_from != SOURCE else reading.measurement.get(KEY)
    if record is None or reading.viable_mask_sha256 is None:
        return None
    return PairPart.of(record, unpack_mask(store.get_blob(reading.viable_mask_sha256)))


def outline_sha256(mask: NodeMask) -> str:
    """Hash of an outline's voxels and where they lie; by which a part knows its outline again."""
    digest = hashlib.sha256(np.round(mask.geometry.affine, 6).tobytes())
    box = mask.bounding_slices()
    if box is not None:
        digest.update(json.dumps([[s.start, s.stop] for s in box]).encode())
        digest.update(np.packbits(mask.array[box]).tobytes())
    return digest.hexdigest()


def part_of_pair(store: StudyStore, before: SeriesRecord, after: SeriesRecord, post: ImageVolume, node: NodeMask, context: JobContext) -> PairPart:
    """Open the picture ``before`` contrast, register it round ``node`` and tell what of it enhances on ``post``, the opened ``after``.

    Reads only; nothing is kept. Raises ``Cancelled``, what the readers, the registration and ``enhancement_by_pair`` refuse,
    ``one_picture_twice`` and ``not_in_hu``.
    """
    pre = open_record(store, before, context.part(0.0, 0.3))
    if not isinstance(pre, ImageVolume):
        raise NodusError("Enhancement in HU needs CTs; this picture is none.", code="not_in_hu", hint="Use the contrast CT.")
    unlike_pictures(pre, post)
    told = two_days(_day(store, before), _day(store, after))
    context.token.check()
    registration = register_around(post, pre, node, context.part(0.3, 0.8))
    found = enhancement_by_pair(pre, post, node, registration, progress=context.part(0.8, 1.0).report)
    context.token.check()
    found = replace(found, findings=(*told, *found.findings))
    record = {
        "method": "pair of CTs, registered",
        "series_uid": after.series_uid,
        "pre_series_uid": before.series_uid,
        "registration": registration_numbers(registration),
        **{name: getattr(found, name) for name in _KEPT},
        "findings": [f.as_dict() for f in found.findings],
        "outline_sha256": outline_sha256(node),
        "software_version": __version__,
    }
    return PairPart.of(json.loads(json.dumps(record, default=float)), found.viable)


def _day(store: StudyStore, record: SeriesRecord) -> str | None:
    """The day in the stored files: moved, but alike within a subject."""
    return acquired_on(read_header(store.series_folder(record) / record.files[0]).ds) if record.files else None
