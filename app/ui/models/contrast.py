"""What the contrast workspace shows, without a window: words for roles, reasons and ways, colours and patterns, rows of its table, colours of a map."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from app.ui.text import said, t
from app.ui.widgets.figures import compact_interval, number_text
from app.usecases.field_colours import field_table
from app.usecases.perfusion import PROPOSED_REFERENCE, TIMES_OF_LOOP, PerfusionResult, RegionResult
from volumetry.perfusion.maps import CODES
from volumetry.perfusion.models import DERIVED

# Colour, pen pattern (of Qt's pens: empty is a whole line) and symbol of each role: told apart without colour too.
ROLE_LOOKS: dict[str, tuple[str, tuple[float, ...], str]] = {
    "node": ("#F0A818", (), "o"),
    "reference": ("#7FA6FF", (6.0, 3.0), "s"),
    "ablated_zone": ("#DE8FBB", (8.0, 2.0, 2.0, 2.0), "d"),
    "viable": ("#E9783A", (3.0, 2.0), "t"),
    "rim": ("#F0E442", (1.0, 2.0), "p"),
    "vessel": ("#56B4E9", (1.0, 3.0), "h"),
    "tissue": ("#2FCB9A", (4.0, 4.0), "star"),
}
VIABLE_RGB, RIM_RGB = (233, 120, 58), (240, 228, 66)
# Of frames that take no part: colour and pattern in the strip.
REASON_LOOKS = {"out_of_plane": ("#E8784A", "slant"), "flash": ("#F0E442", "bars"), "outside": ("#B58CF0", "cross"), "gain": ("#8FB8C9", "slant")}
IN_TABLE = ("arrival_s", "ttp_s", "rise_time_s", "mtt_s", "fall_time_s", "peak", "wash_in_rate", "wash_out_rate", "auc", "wi_auc", "wo_auc")
MAPPED = ("peak", "ttp_s", "rise_time_s", "mtt_s", "auc", "wash_in_rate")
UNITS = {d.name: d.unit for d in DERIVED}
SECONDS = tuple(n for n, unit in UNITS.items() if unit == "s")


def role_names() -> dict[str, str]:
    """What a region stands for, by role."""
    return {
        "node": t("Node"),
        "reference": t("Reference"),
        "ablated_zone": t("Ablated zone"),
        "viable": t("Viable part"),
        "rim": t("Rim"),
        "vessel": t("Vessel"),
        "tissue": t("Tissue"),
    }


def region_name(region) -> str:
    """A region's name in the reader's language, where it is that of its role."""
    if region.name == PROPOSED_REFERENCE:
        return t("Reference (proposed)")
    return role_names()[region.role] if region.name == region.role.replace("_", " ") else region.name


def mark_names() -> dict[str, str]:
    """The marks of a loop."""
    return {"arrival": t("Arrival"), "peak": t("Peak"), "late": t("Late")}


def layout_names() -> dict[str, str]:
    """How the panes lie, by ``contrast_panes.LAYOUTS``."""
    return {
        "side_by_side": t("Two pictures side by side"),
        "stacked": t("Two pictures, one above the other"),
        "overlay": t("Contrast laid over the B-mode picture"),
        "single": t("One picture, without B-mode"),
    }


def frame_reasons() -> dict[str, str]:
    """Why a frame takes no part."""
    return {
        "out_of_plane": t("out of plane: the B-mode picture is another one"),
        "flash": t("flash: a high-power pulse"),
        "outside": t("the tissue lies partly outside the picture"),
        "gain": t("gain: recorded with another gain"),
        "not_read": t("not read: trimmed off, or it could not be used"),
    }


def colour_words(proposal) -> str:
    """How the contrast pane's colours are undone."""
    if proposal is None:
        return ""
    words = {
        "grey": t("grey, nothing to undo"),
        "region": t("by the colour bar the header names"),
        "found": t("by the colour bar in the picture"),
        "stated": t("by the colour bar that was stated"),
        "none": t("unknown: no colour bar explains the colours"),
    }[proposal.source]
    return words if proposal.source in ("grey", "none") else words + f" · {100 * proposal.fit:.0f} %"


def short_names() -> dict[str, str]:
    """As radiologists abbreviate what is read off a curve."""
    return {
        "arrival_s": t("Arrival"), "ttp_s": "TTP", "rise_time_s": "RT", "fall_time_s": "FT", "mtt_s": "MTT", "peak": "PE",
        "wash_in_rate": "WiR", "wash_out_rate": "WoR", "auc": "AUC", "wi_auc": "WiAUC", "wo_auc": "WoAUC",
    }  # fmt: skip


def parameter_names() -> dict[str, str]:
    """Names of what is read off a curve."""
    return {
        "arrival_s": t("Arrival (of the loop)"),
        "ttp_s": t("Time to peak (of the loop)"),
        "rise_time_s": t("Rise time (RT)"),
        "fall_time_s": t("Fall time (FT)"),
        "mtt_s": t("Mean transit time (MTT)"),
        "peak": t("Peak enhancement"),
        "wash_in_rate": t("Wash-in rate"),
        "wash_out_rate": t("Wash-out rate"),
        "auc": t("Area under the curve (AUC)"),
        "wi_auc": t("AUC of the wash-in"),
        "wo_auc": t("AUC of the wash-out"),
    }


def withheld_words() -> dict[str, str]:
    """Why a value is not given, by the codes of fits, ratios and maps."""
    return {
        "no_value": t("not decided by this loop"),
        "reference_not_positive": t("the reference has no rise"),
        "no_enhancement": t("does not enhance"),
        "curve_unlike_model": t("rises, but not as this model does"),
        "fit_not_converged": t("the fit found no end"),
        "peak_not_seen": t("the peak is not in the loop"),
        "wash_out_not_seen": t("the wash-out is not in the loop"),
        "arrival_not_seen": t("the arrival is not in the loop"),
        "outside": t("outside the region"),
        "not_seen": t("not seen in enough frames"),
        "not_identified": t("these frames do not decide it"),
        "fit_at_bound": t("the fit runs to the edge of what is looked for"),
        "few_frames_on_rise": t("too few frames on the rise"),
        "plateau_not_seen": t("the plateau is not in the loop"),
        "ambiguous_fit": t("a clearly different curve fits as well"),
        "too_few_frames": t("too few frames"),
    }


def unit_words(unit: str) -> str:
    """Units for people; echo power has an arbitrary one."""
    return {"power": t("a.u."), "power/s": t("a.u./s"), "power s": t("a.u.·s")}.get(unit, unit)


def magnitude_text(value: float | None, unit: str) -> str:
    """A number of seconds to 0.1, of power to three figures."""
    if value is None:
        return number_text(None, 0)
    if unit == "s":
        return number_text(value, 1)
    size = abs(value)
    if 1e4 <= size < 1e7:
        return number_text(value / 1000, 1 if size < 1e5 else 0) + "k"
    return number_text(value, 0 if size >= 100 else 1 if size >= 10 else 2 if size >= 1 else 3) if 1e-3 <= size < 1e5 or value == 0 else f"{value:.2e}"


@dataclass(frozen=True, slots=True)
class ParameterRow:
    """One quantity of a region: value, interval, ratio to the reference (of times the difference in s), and why not."""

    name: str
    label: str
    short: str
    unit: str
    value: float | None
    interval: tuple[float, float] | None
    ratio: float | None
    ratio_interval: tuple[float, float] | None
    is_difference: bool
    why: str = ""
    ratio_why: str = ""

    @property
    def value_text(self) -> str:
        """The value with its interval, or a dash."""
        if self.value is None:
            return "–"
        text = magnitude_text(self.value, self.unit)
        if self.interval is None:
            return text
        return f"{text} [{_pair(self.interval, self.unit)}]"

    @property
    def ratio_text(self) -> str:
        """The ratio (or the difference in s) with its interval, or a dash."""
        if self.ratio is None:
            return "–"
        if self.is_difference:
            return f"{self.ratio:+.1f} s".replace("-", "−")
        text = number_text(self.ratio, 2)
        return text if self.ratio_interval is None else f"{text} [{compact_interval(self.ratio_interval, 2)}]"

    @property
    def tip(self) -> str:
        """All of it in sentences."""
        lines = [f"{self.label}: {magnitude_text(self.value, self.unit)} {unit_words(self.unit)}" if self.value is not None else f"{self.label}: {self.why or t('not decided by this loop')}"]
        if self.interval is not None:
            lines.append(t("95 % interval {interval} {unit}").format(interval=_pair(self.interval, self.unit), unit=unit_words(self.unit)))
        if self.ratio is not None:
            words = t("Difference to the reference") if self.is_difference else t("Ratio to the reference")
            interval = "" if self.ratio_interval is None else f" [{compact_interval(self.ratio_interval, 2)}]"
            lines.append(f"{words}: {number_text(self.ratio, 2)}{interval}")
        elif self.ratio_why:
            lines.append(t("No ratio: {why}").format(why=self.ratio_why))
        if self.unit != "s":
            lines.append(t("Echo power has an arbitrary unit: compare ratios within one loop at equal depth, not these values."))
        return "\n".join(lines)


def _pair(interval: tuple[float, float], unit: str) -> str:
    low, high = (magnitude_text(v, unit) for v in interval)
    return f"{low}–{high}" if interval[0] >= 0 else t("{low} to {high}").format(low=low, high=high)


def reason_words(code: str) -> str:
    """Why a value is withheld, in words; an unknown code stands for itself."""
    return withheld_words().get(code, code.replace("_", " ")) if code else ""


def parameter_rows(region: RegionResult) -> list[ParameterRow]:
    """The table of one region; empty where there is no fit."""
    fit, names, short = region.fit, parameter_names(), short_names()
    if fit is None:
        return []
    rows = []
    for name in IN_TABLE:
        ratio = None if region.ratios is None else region.ratios.get(name)
        why = reason_words(fit.reasons.get(name, ""))
        rows.append(
            ParameterRow(
                name, names[name], short[name], UNITS[name], fit.derived.get(name), fit.derived_intervals.get(name), None if ratio is None else ratio.value, None if ratio is None else ratio.interval,
                name in TIMES_OF_LOOP, why, "" if ratio is None else reason_words(ratio.reason),
            )
        )  # fmt: skip
    return rows


def region_refusal(region: RegionResult) -> str:
    """Why a region has no curve or no fit; empty where it has both."""
    if region.refusal is not None:
        return said(region.refusal.message)
    if region.fit is not None and not region.fit.ok:
        return " ".join(said(f.message) for f in region.fit.findings) or t("No curve fits this region.")
    return ""


@dataclass(frozen=True, slots=True, eq=False)
class MapPicture:
    """A parameter map as colours: ``rgba`` uint8 [row, column, 4] (transparent where there is no value), and the ends of its colour bar."""

    name: str
    rgba: np.ndarray
    low: float
    high: float
    unit: str
    valid_pct: float


def map_picture(result: PerfusionResult, name: str) -> MapPicture | None:
    """Colours of a parameter; None where it was not mapped or no pixel has a value."""
    maps = result.maps
    values = None if maps is None else maps.maps.get(name)
    if values is None:
        return None
    seen = np.isfinite(values)
    if not seen.any():
        return None
    low, high = (float(v) for v in np.percentile(values[seen], (2, 98)))
    if high <= low:
        high = low + max(abs(low), 1e-6) * 1e-3
    table = field_table()
    at = np.clip(np.nan_to_num((values - low) / (high - low)) * 255, 0, 255).astype(np.uint8)
    rgba = np.zeros((*values.shape, 4), np.uint8)
    rgba[..., :3], rgba[..., 3] = table[at], np.where(seen, 255, 0)
    inside = int((maps.code != CODES.index("outside")).sum())
    return MapPicture(name, np.ascontiguousarray(rgba), low, high, UNITS.get(name, ""), 100.0 * float(seen.sum()) / max(inside, 1))


def frame_states(state) -> list[tuple[str, float | None]]:
    """Of each frame of the file: "" where it counts, else of ``frame_reasons``; and its likeness to the reference."""
    out: list[tuple[str, float | None]] = [("not_read", None)] * state.cine.frame_count
    if state.is_read:
        flashes = set(state.loop.flash_frames)
        for k, n in enumerate(state.loop.frame_numbers):
            why = state.motion.reasons[k] or ("flash" if k in flashes else "")
            out[int(n)] = (why, float(state.motion.correlation[k]))
    return out
