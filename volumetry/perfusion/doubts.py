"""What stands against a judgement of what still enhances: the outline, the reference, and the stretch of the loop that was seen.

Each doubt is a finding; none of them changes a number. Most come from a region that was drawn a millimetre too large or in the wrong place, which
a picture of the answer does not show.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from volumetry.finding import Finding
from volumetry.perfusion.curves import TimeIntensityCurve
from volumetry.perfusion.rim import BORDER_MM, RIM_MOST_MM

LEFT_INSIDE = 0.75  # of the node's inner radius; what reaches further in is not only at the outline
HELD_BACK_PCT = 10.0  # share of a section that the least area that is told may be, before it is said
ARRIVAL_APART_S = 2.0
STILL_AT_TOP = 0.9
OVERLAP = 0.05
REFERENCE_TIMES = 2.0  # tissue of one depth differs by less; vessels hold several times the bubbles


def outline_doubts(viable: np.ndarray, node: np.ndarray, mm_per_pixel: tuple[float, float]) -> list[Finding]:
    """``only_at_outline`` where viable parts (bool ``[row, column]``, within ``node``) reach no deeper than a rim's width and the millimetre by which an
    outline is drawn too large: enhancing tissue outside the node would look the same."""
    pieces, count = ndimage.label(viable)
    if not count:
        return []
    inward = ndimage.distance_transform_edt(np.pad(node, 1), sampling=mm_per_pixel[::-1])[1:-1, 1:-1]
    numbers = np.arange(1, count + 1)
    reach = min(RIM_MOST_MM + BORDER_MM, LEFT_INSIDE * float(inward.max()))
    begins, ends = ndimage.minimum(inward, pieces, numbers), ndimage.maximum(inward, pieces, numbers)
    shallow = np.isin(pieces, numbers[(begins <= BORDER_MM) & (ends <= reach)])
    if not shallow.any():
        return []
    share, deepest = 100.0 * shallow.sum() / node.sum(), float(inward[shallow].max())
    return [Finding("only_at_outline", f"{share:.0f} % of the section enhances only within {deepest:.1f} mm of the outline: tissue beside the node, where the outline is drawn slightly too large, or a rim looks the same.")]


def size_doubts(node_mm2: float, least_mm2: float) -> list[Finding]:
    """``small_node`` where the least part that is told is a considerable share of the section."""
    share = 100.0 * least_mm2 / node_mm2
    return [] if share <= HELD_BACK_PCT else [Finding("small_node", f"The section has only {node_mm2:.1f} mm\u00b2: parts below {least_mm2:g} mm\u00b2, {share:.0f} % of it, are not told from speckle.")]


def reference_doubts(node: np.ndarray, reference: np.ndarray) -> list[Finding]:
    """``reference_in_node`` where more than a twentieth of the reference lies in the node."""
    share = float((reference & node).sum()) / float(reference.sum())
    return [] if share <= OVERLAP else [Finding("reference_in_node", f"{100 * share:.0f} % of the reference lies in the node: the node is compared with itself.", "serious")]


def course_doubts(curve: TimeIntensityCurve, arrival_s: float, stated: bool) -> list[Finding]:
    """``passage_cut`` where the loop ends with the reference at its brightest; ``arrival_unlike_curve`` where the stated arrival lies after the
    reference has risen. ``curve``: the reference's."""
    smooth = ndimage.median_filter(curve.power, 5, mode="nearest")
    top = int(smooth.argmax())
    floor = float(np.quantile(smooth[: top + 1], 0.05))
    rise, found = float(smooth[top]) - floor, []
    if rise <= 0:
        return found
    if float(smooth[-3:].max()) >= floor + STILL_AT_TOP * rise:
        found.append(Finding("passage_cut", "The loop ends while the reference is at its brightest: what fills later is not seen."))
    low = np.flatnonzero(smooth[: top + 1] < floor + 0.1 * rise)
    seen_s = float(curve.times_s[low[-1] + 1]) if low.size and low[-1] < top else None
    if stated and seen_s is not None and arrival_s - seen_s > ARRIVAL_APART_S:
        found.append(Finding("arrival_unlike_curve", f"Contrast is stated to arrive at {arrival_s:.1f} s, but the reference has risen from {seen_s:.1f} s on: frames with contrast are taken off.", "serious"))
    return found


def unlike_tissue(reference: TimeIntensityCurve, beside: TimeIntensityCurve) -> list[Finding]:
    """``reference_unlike_tissue`` where the drawn reference rises to more than twice, or less than half, of what tissue ``beside`` the node rises to."""
    rises = [float(np.quantile(c.power, 0.95) - np.quantile(c.power, 0.05)) for c in (reference, beside)]
    if min(rises) <= 0 or 1 / REFERENCE_TIMES <= rises[0] / rises[1] <= REFERENCE_TIMES:
        return []
    ratio = rises[0] / rises[1]
    if ratio > 1:
        return [Finding("reference_unlike_tissue", f"The reference rises to {ratio:.1f} times the tissue beside the node. Where it lies in a vessel, too little of the node counts as enhancing; or the tissue beside was ablated too.")]
    return [Finding("reference_unlike_tissue", f"The reference rises to only {ratio:.2f} times the tissue beside the node. Where it lies in ablated tissue, too much of the node counts as enhancing.")]
