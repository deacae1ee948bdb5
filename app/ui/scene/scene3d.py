"""Nodes, needles and field in space, rendered off screen by VTK and read back as pixels.

No Qt here. ``render`` must be called on one thread, always the same; ``finalize`` frees the
graphics context and must be called before the program ends.
"""

from __future__ import annotations

import os
import sys

if sys.platform.startswith("linux"):
    # EGL renders without any display; it must be chosen before VTK makes its first window.
    os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")

import numpy as np
import vtkmodules.vtkRenderingOpenGL2  # noqa: F401  (registers the OpenGL factories)
from vtkmodules.util.numpy_support import numpy_to_vtk, numpy_to_vtkIdTypeArray, vtk_to_numpy
from vtkmodules.vtkCommonCore import vtkPoints, vtkUnsignedCharArray
from vtkmodules.vtkCommonDataModel import vtkCellArray, vtkPolyData
from vtkmodules.vtkFiltersCore import vtkPolyDataNormals, vtkTubeFilter
from vtkmodules.vtkFiltersSources import vtkLineSource, vtkSphereSource
from vtkmodules.vtkRenderingCore import vtkActor, vtkPolyDataMapper, vtkRenderer, vtkRenderWindow

BACKGROUND = (0.039, 0.047, 0.051)
VIEWS = {  # name: (direction from the patient to the camera, up), LPS
    "front": ((0.0, -1.0, 0.0), (0.0, 0.0, 1.0)),
    "left": ((1.0, 0.0, 0.0), (0.0, 0.0, 1.0)),
    "right": ((-1.0, 0.0, 0.0), (0.0, 0.0, 1.0)),
    "feet": ((0.0, 0.0, -1.0), (0.0, -1.0, 0.0)),
    "oblique": ((0.55, -0.8, 0.25), (0.0, 0.0, 1.0)),
}


class Scene3D:
    """A small scene with named parts. Colours are RGB 0 to 1; points LPS mm."""

    def __init__(self) -> None:
        self._window = vtkRenderWindow()
        self._window.SetOffScreenRendering(1)
        self._window.SetMultiSamples(0)
        self._window.SetShowWindow(False)
        self._renderer = vtkRenderer()
        self._renderer.SetBackground(*BACKGROUND)
        # No depth peeling: it takes three times as long without a graphics card, and the few faint
        # surfaces here look the same without it.
        self._window.AddRenderer(self._renderer)
        self._actors: dict[str, list] = {}
        self._keep: dict[str, tuple] = {}
        self._pixels = vtkUnsignedCharArray()
        self._placed = False
        self.finalized = False

    # ---- parts -----------------------------------------------------------------------
    @property
    def parts(self) -> tuple[str, ...]:
        """Names of what is in the scene."""
        return tuple(self._actors)

    def set_surface(self, name: str, vertices: np.ndarray, faces: np.ndarray, colour, opacity: float = 1.0, *, specular: float = 0.15, colours: np.ndarray | None = None) -> None:
        """Add or replace a triangle surface; an empty one removes the part. ``colours`` (n, 3) uint8
        colours each vertex instead of the one ``colour``."""
        self.remove(name)
        if len(faces) == 0:
            return
        points_array = np.ascontiguousarray(vertices, np.float32)
        cells_array = np.ascontiguousarray(faces, np.int64)
        data = vtkPolyData()
        points = vtkPoints()
        points.SetData(numpy_to_vtk(points_array, deep=0))
        data.SetPoints(points)
        cells = vtkCellArray()
        cells.SetData(3, numpy_to_vtkIdTypeArray(cells_array.ravel(), deep=0))
        data.SetPolys(cells)
        colours_array = None
        if colours is not None:
            colours_array = np.ascontiguousarray(colours, np.uint8)
            data.GetPointData().SetScalars(numpy_to_vtk(colours_array, deep=0))
        normals = vtkPolyDataNormals()
        normals.SetInputData(data)
        normals.SplittingOff()
        normals.ConsistencyOff()
        mapper = vtkPolyDataMapper()
        mapper.SetInputConnection(normals.GetOutputPort())
        actor = vtkActor()
        actor.SetMapper(mapper)
        look = actor.GetProperty()
        look.SetColor(*colour)
        look.SetOpacity(opacity)
        look.SetSpecular(specular)
        look.SetSpecularPower(20)
        look.SetAmbient(0.15)
        self._put(name, [actor], (points_array, cells_array, colours_array))

    def set_needle(self, name: str, tip_mm, entry_mm, exposure_mm: float, diameter_mm: float) -> None:
        """A needle: exposed part bright and thick, shaft grey and thin, a ball at the tip."""
        tip, entry = np.asarray(tip_mm, float), np.asarray(entry_mm, float)
        length = float(np.linalg.norm(entry - tip))
        if length < 1e-6:
            self.remove(name)
            return
        bare = tip + (entry - tip) * min(1.0, exposure_mm / length)
        radius = max(diameter_mm / 2, 0.7)  # true ones would be a hair at this size
        ball = vtkSphereSource()
        ball.SetCenter(*tip)
        ball.SetRadius(radius * 1.25)
        ball.SetThetaResolution(16)
        ball.SetPhiResolution(12)
        parts = [
            _tube(tip, bare, radius, (1.0, 0.93, 0.55)),
            _tube(bare, entry, radius * 0.55, (0.62, 0.67, 0.72)),
            _actor(ball, (1.0, 0.93, 0.55)),
        ]
        self._put(name, parts, ())

    def remove(self, name: str) -> None:
        """Take a part out; nothing happens if it is not there."""
        for actor in self._actors.pop(name, ()):
            self._renderer.RemoveActor(actor)
        self._keep.pop(name, None)

    def remove_all(self, prefix: str = "") -> None:
        """Take out every part whose name begins with ``prefix``."""
        for name in [n for n in self._actors if n.startswith(prefix)]:
            self.remove(name)

    def set_visible(self, name: str, visible: bool) -> None:
        """Show or hide a part."""
        for actor in self._actors.get(name, ()):
            actor.SetVisibility(visible)

    def set_opacity(self, name: str, opacity: float) -> None:
        """How much a part hides what is behind it, 0 to 1; nothing happens if it is not there."""
        for actor in self._actors.get(name, ()):
            actor.GetProperty().SetOpacity(opacity)

    def set_colour(self, name: str, colour) -> None:
        """One colour (RGB 0 to 1) for all of a part."""
        for actor in self._actors.get(name, ()):
            actor.GetProperty().SetColor(*colour)

    def _put(self, name: str, actors: list, keep: tuple) -> None:
        self.remove(name)
        for actor in actors:
            self._renderer.AddActor(actor)
        self._actors[name] = actors
        self._keep[name] = keep  # VTK looks into these arrays without owning them
        if not self._placed:
            self.look_from("oblique")

    # ---- camera ----------------------------------------------------------------------
    def look_from(self, view: str) -> None:
        """See all parts from one of VIEWS."""
        if not self._actors:
            return
        direction, up = VIEWS[view]
        camera = self._renderer.GetActiveCamera()
        camera.SetFocalPoint(0, 0, 0)
        camera.SetPosition(*direction)
        camera.SetViewUp(*up)
        self._renderer.ResetCamera()
        camera.Zoom(1.25)
        self._placed = True

    def focus_on(self, point_mm) -> None:
        """Turn about this point from now on; the direction of view stays."""
        camera = self._renderer.GetActiveCamera()
        move = np.asarray(point_mm, float) - np.array(camera.GetFocalPoint())
        camera.SetPosition(*(np.array(camera.GetPosition()) + move))
        camera.SetFocalPoint(*point_mm)

    def look_closely(self, point_mm, reach_mm: float) -> None:
        """See this point from the same side with ``reach_mm`` around it."""
        self.focus_on(point_mm)
        camera = self._renderer.GetActiveCamera()
        distance = reach_mm / np.tan(np.radians(camera.GetViewAngle() / 2))
        camera.SetPosition(*(np.asarray(point_mm, float) - distance * np.array(camera.GetDirectionOfProjection())))

    def rotate(self, right_deg: float, up_deg: float) -> None:
        """Turn the patient by a drag to the right and up."""
        camera = self._renderer.GetActiveCamera()
        camera.Azimuth(-right_deg)
        camera.Elevation(-up_deg)
        camera.OrthogonalizeViewUp()

    def zoom(self, factor: float) -> None:
        """Come nearer (above 1) or go away."""
        self._renderer.GetActiveCamera().Zoom(factor)

    def pan(self, right_px: float, up_px: float) -> None:
        """Shift the picture by pixels."""
        camera = self._renderer.GetActiveCamera()
        height = max(1, self._window.GetSize()[1])
        size = 2 * camera.GetDistance() * np.tan(np.radians(camera.GetViewAngle() / 2)) / height
        right, up, _ = self.directions()
        move = -(right * right_px + up * up_px) * size
        camera.SetPosition(*(np.array(camera.GetPosition()) + move))
        camera.SetFocalPoint(*(np.array(camera.GetFocalPoint()) + move))

    def project(self, points_mm) -> np.ndarray:
        """Pixels ``(n, 2)`` from the top left of the last rendered size for LPS points."""
        width, height = self._window.GetSize()
        matrix = self._renderer.GetActiveCamera().GetCompositeProjectionTransformMatrix(width / max(1, height), -1, 1)
        m = np.array([[matrix.GetElement(r, c) for c in range(4)] for r in range(4)])
        points = np.atleast_2d(np.asarray(points_mm, float))
        clip = np.c_[points, np.ones(len(points))] @ m.T
        unit = clip[:, :2] / clip[:, 3:4]
        return np.stack([(unit[:, 0] + 1) / 2 * width, (1 - unit[:, 1]) / 2 * height], 1)

    def directions(self) -> np.ndarray:
        """3x3: rows are the screen's right, up and towards-the-viewer in LPS."""
        camera = self._renderer.GetActiveCamera()
        toward = -np.array(camera.GetDirectionOfProjection())
        up = np.array(camera.GetViewUp())
        up = up - toward * (up @ toward)
        up /= np.linalg.norm(up)
        return np.array([np.cross(up, toward), up, toward])

    def unproject(self, x: float, y: float, depth_point_mm) -> np.ndarray:
        """LPS point under a pixel, in the plane through ``depth_point_mm`` that faces the camera."""
        camera = self._renderer.GetActiveCamera()
        eye, normal = np.array(camera.GetPosition()), np.array(camera.GetDirectionOfProjection())
        width, height = self._window.GetSize()
        right, up, _ = self.directions()
        half = np.tan(np.radians(camera.GetViewAngle() / 2))
        ray = normal + right * ((2 * x / width - 1) * half * width / height) + up * ((1 - 2 * y / height) * half)
        return eye + ray * (np.dot(np.asarray(depth_point_mm, float) - eye, normal) / np.dot(ray, normal))

    # ---- pixels ----------------------------------------------------------------------
    def render(self, width: int, height: int) -> np.ndarray:
        """Render and read back: uint8 ``[height, width, 4]`` RGBX, top row first."""
        if tuple(self._window.GetSize()) != (width, height):
            self._window.SetSize(width, height)
        self._renderer.ResetCameraClippingRange()
        self._window.Render()
        self._window.GetRGBACharPixelData(0, 0, width - 1, height - 1, 0, self._pixels)
        return np.ascontiguousarray(vtk_to_numpy(self._pixels).reshape(height, width, 4)[::-1])

    def finalize(self) -> None:
        """Free the graphics context; the scene cannot be rendered afterwards."""
        if not self.finalized:
            self.remove_all()
            self._window.Finalize()
            self.finalized = True


def _actor(source, colour) -> vtkActor:
    mapper = vtkPolyDataMapper()
    mapper.SetInputConnection(source.GetOutputPort())
    actor = vtkActor()
    actor.SetMapper(mapper)
    actor.GetProperty().SetColor(*colour)
    actor.GetProperty().SetAmbient(0.25)
    return actor


def _tube(start, stop, radius: float, colour) -> vtkActor:
    line = vtkLineSource()
    line.SetPoint1(*start)
    line.SetPoint2(*stop)
    tube = vtkTubeFilter()
    tube.SetInputConnection(line.GetOutputPort())
    tube.SetRadius(radius)
    tube.SetNumberOfSides(14)
    tube.CappingOn()
    return _actor(tube, colour)
