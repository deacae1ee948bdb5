"""The 3D scene: VTK without Qt, so that it can be built, rendered and compared anywhere."""
