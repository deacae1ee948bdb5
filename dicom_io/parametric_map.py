"""Writing a field map (V/m) as a DICOM Parametric Map with floating-point frames, compared voxel for voxel."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
from highdicom.sr.coding import CodedConcept

from dicom_io.enhanced_us import as_source
from dicom_io.headers import DicomRefused, Header, integer, item, items, number, read_header
from dicom_io.planes import frame_planes
from dicom_io.writing import INVESTIGATIONAL, MANUFACTURER, MODEL, Stamp, damaged_sources_refused, identify, not_as_written, replaced_when_checked
from volumetry.errors import NodusError
from volumetry.geometry import ImageGeometry

SERIES_NUMBER = 904
PARAMETRIC_MAP = "1.2.840.10008.5.1.4.1.1.30"
VOLT_PER_METRE = CodedConcept("V/m", "UCUM", "V/m")
# No public code names the strength of an electric field in tissue; a private one says whose it is.
FIELD_STRENGTH = CodedConcept("NODUS-E", "99NODUS", "Electric field strength, maximum over pulse pairs")
SQUARE = 1e-4  # how far from right angles the axes may be


@damaged_sources_refused("a map")
def write_field_map(field_v_per_m: np.ndarray, geometry: ImageGeometry, source_files: Sequence[Path], path: Path | str, stamp: Stamp, *, description: str = "Electric field of the plan") -> Path:
    """Write a field strength ``[k, j, i]`` in V/m on ``geometry`` as a Parametric Map (PS3.3 A.75) that refers to
    the series in ``source_files`` (its patient, study and frame of reference).

    Values are stored as float32 with a real-world mapping of slope 1, so that they read as they are. The grid must be at right
    angles; NaN marks voxels without tissue and is written as 0. Read back and compared before it counts.
    Raises ``NodusError``: ``bad_shape``, ``wrong_grid``, ``frame_of_reference_missing``, ``write_failed``.
    """
    path = Path(path)
    if field_v_per_m.shape != geometry.shape:
        raise NodusError(f"The field {field_v_per_m.shape} does not fit its grid {geometry.shape}.", code="bad_shape")
    direction = geometry.direction
    if np.abs(direction.T @ direction - np.eye(3)).max() > SQUARE:
        raise NodusError("A field map needs a grid at right angles.", code="wrong_grid")
    values = np.nan_to_num(np.asarray(field_v_per_m, dtype=np.float32), nan=0.0)
    if not np.isfinite(values).all():
        raise NodusError("The field holds values that are not numbers.", code="bad_shape")
    sources = [as_source(pydicom.dcmread(p, stop_before_pixels=True)) for p in source_files]
    if not sources or not all(s.get("FrameOfReferenceUID") for s in sources):
        raise NodusError("The series does not say in which frame of reference it lies; a map cannot be placed in it.", code="frame_of_reference_missing")
    if np.linalg.det(direction) < 0:  # frames are stored along row x column; a grid that runs against it is turned round
        affine = geometry.affine.copy()
        affine[:3, 3] = geometry.index_to_world([0.0, 0.0, geometry.shape[0] - 1])
        affine[:3, 2] *= -1
        values, geometry = np.ascontiguousarray(values[::-1]), ImageGeometry(geometry.shape, affine)
        direction = geometry.direction
    step = geometry.spacing_mm
    centres = geometry.index_to_world(np.array([[0, 0, k] for k in range(geometry.shape[0])], dtype=float))
    top = float(values.max()) or 1.0
    mapping = hd.pm.RealWorldValueMapping(
        lut_label="V/m", lut_explanation="Electric field strength", unit=VOLT_PER_METRE, value_range=(0.0, top), slope=1.0, intercept=0.0, quantity_definition=FIELD_STRENGTH
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about headers of the source that lack what only a viewer wants
        made = hd.pm.ParametricMap(
            source_images=sources,
            pixel_array=values,
            series_instance_uid=stamp.uid("PM series"),
            series_number=SERIES_NUMBER,
            sop_instance_uid=stamp.uid("PM instance"),
            instance_number=1,
            manufacturer=MANUFACTURER,
            manufacturer_model_name=MODEL,
            software_versions=stamp.software_version,
            device_serial_number="0",
            contains_recognizable_visual_features=False,
            real_world_value_mappings=[mapping],
            window_center=top / 2,
            window_width=top,
            content_description=f"{description}; {INVESTIGATIONAL}"[:64],
            content_label="E_FIELD",
            pixel_measures=hd.PixelMeasuresSequence(pixel_spacing=(step[1], step[0]), slice_thickness=step[2], spacing_between_slices=step[2]),
            plane_orientation=hd.PlaneOrientationSequence("PATIENT", [*direction[:, 0], *direction[:, 1]]),
            plane_positions=[hd.PlanePositionSequence("PATIENT", list(p)) for p in centres],
        )
    identify(made, stamp, "PM", sources[0])
    if "Laterality" not in made:
        made.Laterality = ""  # asked for where the source does not name an unpaired part of the body
    with replaced_when_checked(path) as partial:
        made.save_as(partial)
        back, placed = read_field_map(partial)
        if not placed.same_grid(geometry) or not np.array_equal(back, values):
            raise not_as_written(path, "the field")
    return path


def read_field_map(path: Path | str) -> tuple[np.ndarray, ImageGeometry]:
    """Values ``[k, j, i]`` as the file's real-world mapping states them, and their grid (k along row x column), of
    a Parametric Map with one frame a plane, all of one direction and size of a pixel. Raises ``NodusError``
    (``not_a_map``, or why the file cannot be read)."""
    header = read_header(path)
    ds, block = header.ds, header.pixels
    refusal = NodusError(f"{Path(path).name} is not a map of floating-point values, or does not say where they lie.", code="not_a_map")
    # Implicit files do not say OF; a map's other kind of pixels has 16 bits.
    floats = block is not None and (block.vr == "OF" or (header.sop_class == PARAMETRIC_MAP and integer(ds, "BitsAllocated") == 32))
    if not floats or header.is_encapsulated or not header.rows or not header.columns or min(header.rows, header.columns) < 1:
        raise refusal
    rows, columns, count = header.rows, header.columns, header.frames
    if block.length != 4 * rows * columns * count:
        raise DicomRefused(f"{Path(path).name} stores {block.length} bytes of values where its header declares {4 * rows * columns * count}.", code="header_size_mismatch")
    planes = frame_planes(ds, count)
    if any(p is None for p in planes):
        raise refusal
    first = planes[0]
    if any(np.abs(np.subtract(p.orientation, first.orientation)).max() > SQUARE or p.pixel_spacing_mm != first.pixel_spacing_mm for p in planes):
        raise refusal
    orientation, positions = np.array(first.orientation), np.array([p.position_mm for p in planes])
    normal = np.cross(orientation[:3], orientation[3:])
    order = np.argsort(positions @ normal, kind="stable")
    positions = positions[order]
    if count == 1 and first.thickness_mm is None:
        raise refusal
    step = (positions[-1] - positions[0]) / (count - 1) if count > 1 else normal * first.thickness_mm
    row_mm, column_mm = first.pixel_spacing_mm
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1], affine[:3, 2], affine[:3, 3] = orientation[:3] * column_mm, orientation[3:] * row_mm, step, positions[0]
    geometry = ImageGeometry((count, rows, columns), affine)
    array = _stored_values(header).reshape(geometry.shape)[order]
    holders = [item(ds, "SharedFunctionalGroupsSequence"), *items(ds, "PerFrameFunctionalGroupsSequence")[:1]]
    mapping = next((m for m in (item(h, "RealWorldValueMappingSequence") for h in holders if h is not None) if m is not None), None)
    slope = 1.0 if mapping is None else number(mapping, "RealWorldValueSlope")
    intercept = 0.0 if mapping is None else number(mapping, "RealWorldValueIntercept")
    if slope is None or intercept is None:
        raise refusal
    return (array if (slope, intercept) == (1.0, 0.0) else (array * slope + intercept).astype(np.float32)), geometry


def _stored_values(header: Header) -> np.ndarray:
    """The float32 values of a file as they are stored."""
    block = header.pixels
    if block.inline is not None:
        data = block.inline
    else:
        with header.path.open("rb") as fp:
            fp.seek(block.start)
            data = fp.read(block.length)
    return np.frombuffer(data, dtype=">f4" if header.transfer_syntax == "1.2.840.10008.1.2.2" else "<f4").astype(np.float32)
