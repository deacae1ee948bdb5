"""Compile every numeric kernel ahead of the first click; from the cache this takes well under a second."""

from __future__ import annotations

import time

from app.jobs import JobContext


def warm_up(context: JobContext) -> float:
    """Run each room's warm-up on tiny arrays; returns the seconds it took."""
    started = time.perf_counter()
    context.report("Preparing measurements", 0.0)
    import volumetry.measure

    volumetry.measure.warm_up()
    context.report("Preparing the outline tool", 0.3)
    import volumetry.segmentation.star_convex

    volumetry.segmentation.star_convex.warm_up()
    context.report("Preparing contrast loops", 0.4)
    import volumetry.perfusion.warmup

    volumetry.perfusion.warmup.warm_up()
    context.report("Preparing the field solver", 0.5)
    import planning.warmup

    planning.warmup.warm_up()
    context.report("Preparing the picture decoders", 0.9)
    import dicom_io.codecs

    dicom_io.codecs.warm_up()
    context.report("Ready", 1.0)
    return time.perf_counter() - started
