"""The first measurement and the first click of a process, each kernel coming from the cache on disk.

Run as a module in a fresh process by ``nodus bench volumetry``; prints the times as JSON.
"""

from __future__ import annotations

import json
import sys
import time

from app.settings import prepare_process


def first_use(prepared: bool) -> dict[str, float]:
    """Seconds of the first measurement and the first click; with ``prepared`` after the warm-up that
    the window does in the background when it opens, and how long that took."""
    import numpy as np

    from app.demo.phantoms import make_phantom
    from app.jobs import JobContext
    from app.usecases.warm_up import warm_up
    from volumetry.mask import NodeMask
    from volumetry.measure import measure_node
    from volumetry.segmentation.star_convex import segment_node

    phantom = make_phantom(np.random.default_rng(3), spacing_mm=(0.7, 0.7, 1.25))
    mask = NodeMask(phantom.truth, phantom.image.geometry)
    times = {"warm_up_s": warm_up(JobContext())} if prepared else {}
    started = time.perf_counter()
    measure_node(mask)
    times["measure_s"] = time.perf_counter() - started
    started = time.perf_counter()
    segment_node(phantom.image, phantom.centre_mm, phantom.radius_mm)
    times["click_s"] = time.perf_counter() - started
    return times


if __name__ == "__main__":
    prepare_process()
    print(json.dumps(first_use("prepared" in sys.argv[1:])))
