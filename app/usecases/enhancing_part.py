"""The part of a node that enhances, apart from the whole: by a stated threshold in HU, or its own outline.

On contrast CT a voxel inside the outline counts as enhancing at or above the threshold that the reader
states. Nothing chooses a threshold: what is told about the values inside the outline helps to state one.
Where nobody assessed enhancement there is no part, and never a part of 0 ml.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from app.study.model import Reading, ReadingState
from app.study.protocol import StudyProtocol
from volumetry.errors import NodusError
from volumetry.finding import Finding
from volumetry.geometry import ImageGeometry
from volumetry.image import ImageVolume
from volumetry.mask import NodeMask
from volumetry.response.viable import ADD_UP_PCT, ViableVolumes
from volumetry.segmentation.editing import bounding_box

STATED_BY_READER = "stated by the reader"
_OFF_GRID = 0.02  # of a voxel


@dataclass(frozen=True, slots=True, eq=False)
class OutlineValues:
    """The voxels of an outline and what the picture holds there: ``index`` (n, 3) as (i, j, k) on the
    mask's grid, ``hu`` (n,)."""

    geometry: ImageGeometry
    index: np.ndarray
    hu: np.ndarray

    @property
    def total_ml(self) -> float:
        """All voxels of the outline."""
        return len(self.hu) * self.geometry.voxel_size_mm3 / 1000.0

    def at_or_above(self, threshold_hu: float) -> np.ndarray:
        """Which of the voxels enhance (n,) bool. Refuses ``threshold_missing``."""
        if threshold_hu is None or not math.isfinite(threshold_hu):
            raise NodusError("State the threshold as a number in HU.", code="threshold_missing")
        return self.hu >= threshold_hu

    def volumes_ml(self, threshold_hu: float) -> tuple[float, float]:
        """(enhancing, not enhancing) in ml; together they are the whole."""
        voxel_ml = self.geometry.voxel_size_mm3 / 1000.0
        count = int(self.at_or_above(threshold_hu).sum())
        return count * voxel_ml, (len(self.hu) - count) * voxel_ml

    def spread_hu(self) -> tuple[float, float, float]:
        """5th percentile, median and 95th percentile, to help a reader state a threshold."""
        low, middle, high = np.percentile(self.hu, (5, 50, 95))
        return float(low), float(middle), float(high)


@dataclass(frozen=True, slots=True, eq=False)
class EnhancingPart:
    """The two parts of one reading in ml with how each was come by (``PART_SOURCES``); the threshold and
    who stated it, and the voxels that count, where there are any."""

    viable_ml: float | None
    ablated_ml: float | None
    viable_from: str | None
    ablated_from: str | None
    threshold_hu: float | None = None
    source: str | None = None
    mask: NodeMask | None = None
    findings: tuple[Finding, ...] = ()
    evidence: dict | None = None  # entries of the reading's measurement that say how it was made


def values_in_outline(image: ImageVolume, mask: NodeMask) -> OutlineValues:
    """What the picture holds inside an outline, voxel by voxel, without interpolation.

    The mask's voxels must be voxels of the picture; the mask may cover a part of it. Refuses
    ``not_in_hu`` (no CT), ``empty_mask``, ``wrong_grid`` and ``not_a_number`` (voxels without a value).
    """
    if image.unit != "HU" or image.source.modality not in (None, "CT"):
        raise NodusError("A threshold in HU needs a CT; this picture is none.", code="not_in_hu", hint="Use the contrast CT, or state the part's volume.")
    box = bounding_box(mask.array)
    if box is None:
        raise NodusError("The outline holds no voxel.", code="empty_mask")
    index = (np.argwhere(mask.array[box]) + [s.start for s in box])[:, ::-1]
    at = index
    if not mask.geometry.same_grid(image.geometry):
        exact = image.geometry.world_to_index(mask.geometry.index_to_world(index))
        at = np.rint(exact).astype(int)
        same_size = math.isclose(mask.geometry.voxel_size_mm3, image.geometry.voxel_size_mm3, rel_tol=1e-3)
        if not same_size or np.abs(exact - at).max() > _OFF_GRID or at.min() < 0 or (at >= image.geometry.shape[::-1]).any():
            raise NodusError("The outline does not lie on the voxels of this picture.", code="wrong_grid", hint="Use the series it was drawn on.")
    hu = image.array[at[:, 2], at[:, 1], at[:, 0]].astype(np.float32)
    if not np.isfinite(hu).all():
        raise NodusError("The picture has voxels without a value inside the outline.", code="not_a_number")
    return OutlineValues(mask.geometry, index, hu)


def by_threshold(values: OutlineValues, threshold_hu: float, source: str = STATED_BY_READER) -> EnhancingPart:
    """The enhancing part of an outline by threshold; the ablated part is the rest of it."""
    chosen = values.index[values.at_or_above(threshold_hu)]
    array = np.zeros(values.geometry.shape, bool)
    array[chosen[:, 2], chosen[:, 1], chosen[:, 0]] = True
    viable_ml, ablated_ml = values.volumes_ml(threshold_hu)
    return EnhancingPart(viable_ml, ablated_ml, "hu_threshold", "derived", float(threshold_hu), source.strip() or STATED_BY_READER, NodeMask(array, values.geometry, name="enhancing part"))


def by_outline(mask: NodeMask, viable: NodeMask) -> EnhancingPart:
    """The enhancing part by an outline of its own, on the grid of the node's outline.

    An empty one says that nothing enhances. A little may lie outside the node (two outlines never
    agree exactly; warning ``part_outside_node``); more than a tenth of it is refused by the same code.
    Also refused: ``wrong_grid``.
    """
    if not viable.geometry.same_grid(mask.geometry):
        raise NodusError("The outline of the enhancing part lies on another grid than the node's.", code="wrong_grid", hint="Draw both on one series.")
    count, outside = int(viable.array.sum()), int((viable.array & ~mask.array).sum())
    text = f"{outside} of {count} voxels of the enhancing part lie outside the node."
    if outside > ADD_UP_PCT / 100 * count:
        raise NodusError(text, code="part_outside_node", hint="Check which outline is which.")
    voxel_ml = mask.geometry.voxel_size_mm3 / 1000.0
    volumes = ViableVolumes.measured(int(mask.array.sum()) * voxel_ml, viable_ml=count * voxel_ml)
    found = (Finding("part_outside_node", text, "warning"),) if outside else ()
    return EnhancingPart(volumes.viable_ml, volumes.ablated_ml, "outlined", "derived", mask=viable, findings=found)


def stated(total_ml: float, *, viable_ml: float | None = None, ablated_ml: float | None = None) -> EnhancingPart:
    """Parts measured elsewhere and given as numbers; the one that is missing is what is left of the whole.
    Refusals of ``ViableVolumes``; ``parts_do_not_add`` is a warning."""
    volumes = ViableVolumes.measured(total_ml, ablated_ml=ablated_ml, viable_ml=viable_ml)
    return EnhancingPart(
        volumes.viable_ml,
        volumes.ablated_ml,
        "derived" if volumes.derived == "viable" else "stated",
        "derived" if volumes.derived == "ablated" else "stated",
        findings=volumes.findings,
    )


def part_fields(part: EnhancingPart | None) -> dict:
    """The fields of a ``Reading`` that hold the parts; all None where they were not assessed."""
    if part is None:
        return dict.fromkeys(("viable_ml", "viable_from", "ablated_ml", "ablated_from", "enhancing_above_hu", "enhancing_source", "viable_mask_sha256"))
    return {
        "viable_ml": part.viable_ml,
        "viable_from": part.viable_from,
        "ablated_ml": part.ablated_ml,
        "ablated_from": part.ablated_from,
        "enhancing_above_hu": part.threshold_hu,
        "enhancing_source": part.source,
        "viable_mask_sha256": None,
    }


def known_threshold(protocol: StudyProtocol, readings: Iterable[Reading], reader: str, visit_names: dict[str, str], node_id: str) -> tuple[float, str] | None:
    """A threshold to begin with, and where it is from: the protocol's, else the one this reader used
    last (of the same node before others'). None where nobody has stated any: nothing is made up."""
    of_protocol = protocol.content.get("reading", {}).get("enhancing_above_hu")
    if isinstance(of_protocol, (int, float)) and not isinstance(of_protocol, bool):
        return float(of_protocol), f"protocol {protocol.stamp}"
    own = [r for r in readings if r.reader == reader and r.enhancing_above_hu is not None and r.state is not ReadingState.SUPERSEDED]
    if not own:
        return None
    found = max(own, key=lambda r: (r.node_id == node_id, r.created_utc or ""))
    return found.enhancing_above_hu, f"as at {visit_names.get(found.visit_id, 'another visit')}"
