"""What a wrong dynamic range does: nothing in the loop tells it, so its harm is measured here and told to the reader."""

import numpy as np
import pytest

from app.demo.contrast_cine import make_cine
from app.demo.contrast_scene import CineOptions
from volumetry.perfusion.compare import ratios
from volumetry.perfusion.curves import region_curve
from volumetry.perfusion.enhancement import assess_enhancement
from volumetry.perfusion.fit import fit_curve
from volumetry.perfusion.loop import ContrastLoop
from volumetry.perfusion.motion import Motion, estimate_motion

TRUE_DB = 60.0


def read_at(made, motion: Motion, range_db: float) -> dict[str, float | None]:
    """Viable part, ratios to the reference and times, of a loop that is read with ``range_db``."""
    loop, truth = made.loop(), made.truth
    loop = ContrastLoop(loop.levels, loop.tissue, loop.times_s, range_db, loop.mm_per_pixel, flash_frames=loop.flash_frames)
    beside = truth.mask("reference", 2.0)
    fits = [fit_curve(region_curve(loop, mask, motion)) for mask in (truth.mask("viable", 1.5), beside)]
    against = ratios(*fits)
    found = assess_enhancement(loop, truth.section.node, beside, motion)
    told = {f.code for fit in fits for f in fit.findings if f.severity != "info"} | {f.code for f in found.findings if f.severity != "info"}
    return {
        "viable_pct": found.viable_pct, "auc_ratio": against["auc"].value, "peak_ratio": against["peak"].value, "ttp_s": fits[0].derived["ttp_s"],
        "rise_time_s": fits[0].derived["rise_time_s"], "mtt_s": fits[0].derived["mtt_s"], "warnings": ", ".join(sorted(told)) or "none",
    }  # fmt: skip


@pytest.mark.long
def test_that_a_wrong_range_is_written_down_with_what_it_does(record_result):
    rows = []
    for seed in range(50_000, 50_005):
        made = make_cine(seed, CineOptions(residual="nodule", viable_fraction=0.2, range_db=TRUE_DB))
        motion = estimate_motion(made.loop(), reference_frame=made.truth.motion.reference_frame)
        curves = made.truth.curves
        grid = np.arange(0.0, 600.0, 0.05)
        area = {n: float(curves[n].power(grid).sum()) for n in ("viable", "reference")}
        found = {db: read_at(made, motion, db) for db in (30.0, 45.0, TRUE_DB, 80.0, 120.0)}
        assert found[TRUE_DB]["auc_ratio"] == pytest.approx(area["viable"] / area["reference"], rel=0.1)
        for db, values in found.items():
            cells = " | ".join("withheld" if v is None else v if isinstance(v, str) else f"{v:.3g}" for v in values.values())
            rows.append(f"| {seed} | {100 * made.truth.viable_fraction:.1f} % | {area['viable'] / area['reference']:.3f} | {db:g} dB | {cells} |")
    body = (
        f"Five made loops of {TRUE_DB:g} dB, read as if their dynamic range were another. True: viable share of the section, ratio of the areas under the curves to the reference's.\n\n"
        "| seed | truly viable | true AUC ratio | read at | viable, % | AUC ratio | peak ratio | TTP, s | rise time, s | MTT, s | warnings |\n"
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n" + "\n".join(rows)
    )  # fmt: skip
    record_result("wrong_range", "A contrast loop read with the wrong dynamic range", body)
