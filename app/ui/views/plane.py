"""How a volume is cut for the screen: which array axis runs across, down and through a pane.

Pure geometry without any window. Slices are cut along the array's own axes (no resampling of an
oblique stack); the letters at the edges say where the pane's sides point in the patient.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations

import numpy as np

from volumetry.geometry import ImageGeometry

PLANES = ("axial", "coronal", "sagittal")
# LPS axes (and sense) that should point right, down and through in each plane: axial is seen from
# the feet, coronal from the front, sagittal from the patient's left.
_SCREEN = {
    "axial": ((0, 1), (1, 1), 2),
    "coronal": ((0, 1), (2, -1), 1),
    "sagittal": ((1, 1), (2, -1), 0),
}
_LETTERS = (("L", "R"), ("P", "A"), ("S", "I"))
# A volume in a frame of its own (3D ultrasound) has axes, but no left, front or head.
_OWN_AXES = (("+x", "−x"), ("+y", "−y"), ("+z", "−z"))
_TITLES = {"axial": "Axial", "coronal": "Coronal", "sagittal": "Sagittal"}
_OWN_TITLES = {"axial": "Plane x-y", "coronal": "Plane x-z", "sagittal": "Plane y-z"}


def axis_names(in_patient: bool) -> tuple[tuple[str, str], ...]:
    """What the plus and minus sides of x, y and z are called."""
    return _LETTERS if in_patient else _OWN_AXES


@dataclass(frozen=True, slots=True)
class PlaneAxes:
    """One way of cutting a volume. ``across``, ``down``, ``through`` are index axes (0 = i, 1 = j,
    2 = k); the senses are +1 where a growing index goes right or down on the screen, and for
    ``through`` towards the head, the front or the patient's left. The spacings are millimetres; ``left .. bottom`` are orientation letters."""

    plane: str
    across: int
    down: int
    through: int
    across_sense: int
    down_sense: int
    through_sense: int
    across_mm: float
    down_mm: float
    through_mm: float
    columns: int
    rows: int
    slices: int
    left: str
    right: str
    top: str
    bottom: str
    in_patient: bool = True

    @property
    def names(self) -> tuple[tuple[str, str], ...]:
        """What the plus and minus sides of x, y and z are called."""
        return axis_names(self.in_patient)

    @property
    def title(self) -> str:
        """What the plane is called, to be translated."""
        return (_TITLES if self.in_patient else _OWN_TITLES)[self.plane]

    def slice_of(self, array: np.ndarray, number: int) -> np.ndarray:
        """View ``[down, across]`` of one slice of ``array[k, j, i]``."""
        plane = array[_at(self.through, number)]
        # What is left is in k, j, i order; rows must be the down axis.
        return plane if self.down > self.across else plane.T

    def position_text(self, point_mm) -> str:
        """Where the slice through an LPS point lies, as ``S 12.5 mm`` (in a frame of its own ``+z 12.5 mm``)."""
        patient = {"axial": 2, "coronal": 1, "sagittal": 0}[self.plane]
        value = float(point_mm[patient])
        return f"{self.names[patient][0 if value >= 0 else 1]} {abs(value):.1f} mm"

    def letters(self) -> tuple[str, str, str, str]:
        """Letters at the left, right, top and bottom edge."""
        return self.left, self.right, self.top, self.bottom


def _at(axis: int, number: int) -> tuple:
    where: list = [slice(None)] * 3
    where[2 - axis] = number
    return tuple(where)


def plane_axes(geometry: ImageGeometry, plane: str, *, in_patient: bool = True) -> PlaneAxes:
    """Cut ``geometry`` as ``plane`` (one of PLANES); works for any oblique direction. ``in_patient`` False: a frame
    of its own, whose sides carry the names of its axes."""
    direction = geometry.direction
    # The assignment of index axes to patient axes that agrees best overall, so that even a very
    # oblique stack has one pane a plane.
    axes = max(permutations(range(3)), key=lambda order: sum(abs(direction[patient, order[patient]]) for patient in range(3)))
    (right, right_sense), (downward, down_sense), through = _SCREEN[plane]
    across, down = axes[right], axes[downward]
    across_sense = 1 if direction[right, across] * right_sense > 0 else -1
    down_sign = 1 if direction[downward, down] * down_sense > 0 else -1
    spacing, sizes = geometry.spacing_mm, geometry.shape[::-1]
    patient = {"axial": (2, 1), "coronal": (1, -1), "sagittal": (0, 1)}[plane]
    through_sense = 1 if direction[patient[0], axes[through]] * patient[1] > 0 else -1
    to_right, to_bottom = direction[:, across] * across_sense, direction[:, down] * down_sign
    return PlaneAxes(
        plane, across, down, axes[through], across_sense, down_sign, through_sense,
        spacing[across], spacing[down], spacing[axes[through]],
        sizes[across], sizes[down], sizes[axes[through]],
        *(direction_letters(v, axis_names(in_patient)) for v in (-to_right, to_right, -to_bottom, to_bottom)), in_patient,
    )  # fmt: skip


def direction_letters(vector, names=_LETTERS) -> str:
    """Orientation letters of an LPS direction: the main one, and a second where it leans more than
    about 20 degrees that way (``"LA"``)."""
    vector = np.asarray(vector, float) / np.linalg.norm(vector)
    order = np.argsort(-np.abs(vector))
    letters = [names[a][0 if vector[a] > 0 else 1] for a in order if a == order[0] or abs(vector[a]) > 0.34]
    return "".join(letters[:2])


@dataclass(slots=True)
class PlaneView:
    """A pane's window on a plane: what lies at its middle (index across, down) and how many screen
    pixels a millimetre takes."""

    axes: PlaneAxes
    middle: tuple[float, float]
    px_per_mm: float
    width: int
    height: int

    def to_screen(self, across: float, down: float) -> tuple[float, float]:
        """Pixel (x, y) of in-plane index coordinates."""
        a = self.axes
        return (
            self.width / 2 + (across - self.middle[0]) * a.across_sense * a.across_mm * self.px_per_mm,
            self.height / 2 + (down - self.middle[1]) * a.down_sense * a.down_mm * self.px_per_mm,
        )

    def to_index(self, x: float, y: float) -> tuple[float, float]:
        """In-plane index coordinates (across, down) of a pixel."""
        a = self.axes
        return (
            self.middle[0] + (x - self.width / 2) / (a.across_sense * a.across_mm * self.px_per_mm),
            self.middle[1] + (y - self.height / 2) / (a.down_sense * a.down_mm * self.px_per_mm),
        )

    def index_point(self, x: float, y: float, number: float) -> np.ndarray:
        """Index point (i, j, k) of a pixel on slice ``number``."""
        point = np.empty(3)
        point[self.axes.across], point[self.axes.down] = self.to_index(x, y)
        point[self.axes.through] = number
        return point

    def from_index_point(self, point) -> tuple[float, float, float]:
        """Pixel (x, y) and slice (fractional) of an index point (i, j, k)."""
        x, y = self.to_screen(point[self.axes.across], point[self.axes.down])
        return x, y, float(point[self.axes.through])

    def fit(self, body: tuple | None = None, margin: float = 0.98) -> None:
        """Show the whole slice, or only ``body``: lowest and highest index point (i, j, k)."""
        a = self.axes
        if body is None:
            low, high = np.zeros(3), np.zeros(3)
            high[a.across], high[a.down] = a.columns - 1, a.rows - 1
        else:
            low, high = body
        self.middle = (float(low[a.across] + high[a.across]) / 2, float(low[a.down] + high[a.down]) / 2)
        across_mm = (high[a.across] - low[a.across] + 1) * a.across_mm
        down_mm = (high[a.down] - low[a.down] + 1) * a.down_mm
        self.px_per_mm = margin * min(self.width / across_mm, self.height / down_mm)

    def zoom_at(self, factor: float, x: float, y: float) -> None:
        """Zoom about a pixel, which stays where it is."""
        before = self.to_index(x, y)
        self.px_per_mm = float(np.clip(self.px_per_mm * factor, 0.05, 200.0))
        after = self.to_index(x, y)
        self.middle = (self.middle[0] + before[0] - after[0], self.middle[1] + before[1] - after[1])

    def pan(self, dx: float, dy: float) -> None:
        """Move the picture by pixels."""
        a = self.axes
        self.middle = (
            self.middle[0] - dx / (a.across_sense * a.across_mm * self.px_per_mm),
            self.middle[1] - dy / (a.down_sense * a.down_mm * self.px_per_mm),
        )


def body_box(image) -> tuple[np.ndarray, np.ndarray] | None:
    """Lowest and highest index point (i, j, k) of the patient in a CT, a little widened: what is
    worth showing of a large field of view. None for other pictures or an empty one.

    Looks at a coarse grid only; table and headrest are left out as smaller pieces.
    """
    if image.unit != "HU":
        return None
    from scipy.ndimage import find_objects, label

    steps = [max(1, n // 64) for n in image.array.shape]
    coarse = image.array[:: steps[0], :: steps[1], :: steps[2]] > -300
    pieces, count = label(coarse)
    if count == 0:
        return None
    largest = int(np.bincount(pieces.ravel())[1:].argmax())
    box = find_objects(pieces)[largest]
    low = np.array([(s.start - 1) * step for s, step in zip(box, steps, strict=True)][::-1], float)
    high = np.array([s.stop * step for s, step in zip(box, steps, strict=True)][::-1], float)
    limit = np.array(image.array.shape[::-1], float) - 1
    return np.clip(low, 0, limit), np.clip(high, 0, limit)
