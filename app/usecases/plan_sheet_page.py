"""How the plan sheet is laid out on its pages. Knows the JSON objects of plan and answer, and no study."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from reportlab.lib.pagesizes import A4

from app import INVESTIGATIONAL_NOTICE, __version__
from app.usecases.field_colours import UNCOVERED_RGB, field_range, field_table, shown_levels
from app.usecases.report_page import ALARM, GREY, INK, Page, TableColumn, draw_table, fit, text_width, wrap

if TYPE_CHECKING:
    from app.usecases.plan_sheet import PlanSheet

MARGIN = 34.0
ROW, SIZE, SMALL = 10.6, 7.4, 6.8
FOOT = 46.0
RISK_LEVELS = ("100", "200", "400")
BOLD = True
CHECKS = (
    "Deep muscle relaxation is complete before the first pulse (muscle contracts at about a hundredth of the field that ablates).",
    "The needles were imaged where they lie, entered, and the plan was solved again with them.",
    "Skin, airway and great vessels were looked at along the whole path of every needle; injected fluid is in the plan as a region of its own.",
    "Voice and vocal cords were looked at before treatment. No lower limit of harm is known for nerves.",
)


def draw_sheet(canvas, sheet: PlanSheet, pages: int) -> int:
    """Draw all pages; ``pages`` is their number for the foot (0 where it is only counted). Returns how many there are."""
    flow = _Flow(canvas, sheet, pages)
    for part in (_head, _pictures, _needles, _pairs, _targets, _constraints, _at_risk, _heat, _robustness, _assumed, _delivered, _checks, _hashes):
        part(flow, sheet)
    flow.end()
    return flow.number


class _Flow:
    """A page that goes on on the next one where it is full."""

    def __init__(self, canvas, sheet: PlanSheet, pages: int):
        self.page, self.sheet, self.pages = Page(canvas), sheet, pages
        self.left, self.width = MARGIN, A4[0] - 2 * MARGIN
        self.number = 0
        self.y = 0.0
        self._begin()

    def _begin(self) -> None:
        self.number += 1
        self.y = A4[1] - MARGIN
        if self.number > 1:
            run = dict(self.sheet.facts)
            told = "  ·  ".join(v for v in (run.get("Subject"), run.get("Node"), run.get("Run")) if v)
            self.page.text(self.left, self.y - 8, fit(f"Plan sheet  ·  {told}", self.width * 0.6, 8, BOLD), 8, bold=True)
            self.page.text(self.left + self.width, self.y - 8, INVESTIGATIONAL_NOTICE, 7.5, bold=True, colour=ALARM, align="right")
            self.y -= 13
            if self.sheet.schematic:
                self.band("SCHEMATIC – not image-registered")
            self.page.line(self.left, self.y, self.left + self.width, self.y, colour=GREY)
            self.y -= 4

    def end(self) -> None:
        """The foot of the page on hand."""
        count = f"page {self.number} of {self.pages}" if self.pages else f"page {self.number}"
        self.page.text(self.left, MARGIN - 6, f"Nodus {__version__}  ·  {INVESTIGATIONAL_NOTICE}", 6.5, colour=GREY)
        self.page.text(self.left + self.width, MARGIN - 6, count, 6.5, colour=GREY, align="right")
        self.page.canvas.showPage()

    def need(self, height: float) -> None:
        """Go on to a new page where this one has less than ``height`` left."""
        if self.y - height < FOOT:
            self.end()
            self._begin()

    def band(self, text: str) -> None:
        """A line that cannot be missed."""
        self.page.box(self.left, self.y - 15, self.width, 15, fill=ALARM, stroke=None)
        self.page.text(self.left + self.width / 2, self.y - 11, text, 9.5, bold=True, colour=(1, 1, 1), align="center")
        self.y -= 20

    def heading(self, text: str, room: float = 40.0) -> None:
        """A heading with at least ``room`` below it on the same page."""
        self.need(room + 18)
        self.y -= 15
        self.page.heading(self.left, self.y, text, self.width)
        self.y -= 4

    def lines(self, text: str, *, colour=INK, bold: bool = False, indent: float = 0.0, most: int = 4) -> None:
        """A paragraph."""
        for line in wrap(text, self.width - indent, SIZE, most, bold):
            self.need(ROW)
            self.y -= 9.4
            self.page.text(self.left + indent, self.y, line, SIZE, bold=bold, colour=colour)

    def table(self, columns: Sequence[tuple[str, float, str]], rows: Sequence[Sequence[Any]]) -> None:
        """A table over the whole width; ``columns`` are (title, share, alignment)."""
        total = sum(share for _, share, _ in columns)
        made = [TableColumn(title, self.width * share / total, align) for title, share, align in columns]
        left = list(rows)
        while left:
            self.need(ROW * 2 + 8)
            fits = max(1, int((self.y - FOOT - ROW - 6) // ROW))
            now, left = left[:fits], left[fits:]
            self.y = draw_table(self.page, self.left, self.y, made, now, row_height=ROW, groups=list(range(len(now)))) - 3


def num(value: Any, decimals: int = 1) -> str:
    """A number as printed; a dash where it is not known."""
    return "–" if value is None or (isinstance(value, float) and not math.isfinite(value)) else f"{round(value, decimals) + 0.0:.{decimals}f}".replace("-", "–")


# ---- the parts --------------------------------------------------------------------------------------
def _head(flow: _Flow, sheet: PlanSheet) -> None:
    page, right = flow.page, flow.left + flow.width
    page.text(flow.left, flow.y - 13, "Plan sheet · irreversible electroporation", 14, bold=True)
    page.text(right, flow.y - 10, INVESTIGATIONAL_NOTICE, 8.5, bold=True, colour=ALARM, align="right")
    flow.y -= 22
    if sheet.schematic:
        flow.band("SCHEMATIC – not image-registered: simple shapes placed from distances measured by ultrasound")
    column = flow.width / 3
    for n, (name, value) in enumerate(sheet.facts):
        x, y = flow.left + n % 3 * column, flow.y - 9 - n // 3 * 10.5
        page.text(x, y, name, SMALL, colour=GREY)
        page.text(x + 42, y, fit(value, column - 48, 8, BOLD), 8, bold=True)
    flow.y -= 6 + math.ceil(len(sheet.facts) / 3) * 10.5
    page.line(flow.left, flow.y, right, flow.y, colour=INK, width=0.8)
    flow.y -= 4


def _pictures(flow: _Flow, sheet: PlanSheet) -> None:
    if not sheet.pictures:
        return
    page, gap = flow.page, 6.0
    size = (flow.width - 2 * gap) / 3
    flow.need(size + 46)
    flow.y -= 2
    for n, picture in enumerate(sheet.pictures):
        x = flow.left + n * (size + gap)
        if flow.pages:  # not where pages are only counted
            page.picture(x, flow.y - size, size, size, picture.png)
        page.text(x, flow.y - size - 8, f"{picture.title} · {picture.position}", SMALL, bold=True)
    flow.y -= size + 13
    _legend(flow, sheet)


def _legend(flow: _Flow, sheet: PlanSheet) -> None:
    """The bar of the wash with its ticks, and words for every line and hatching."""
    page, plan = flow.page, sheet.plan
    levels, lethal = plan["thresholds_v_per_cm"], plan["lethal_v_per_cm"]
    low, high = field_range(levels)
    table, wide, tall = field_table(), 150.0, 7.0
    x, y = flow.left, flow.y - tall - 2
    for n in range(64):
        rgb = table[int(n / 63 * 255)] / 255
        page.canvas.setFillColorRGB(*(float(v) for v in rgb))
        page.canvas.rect(x + wide * n / 64, y, wide / 64 + 0.3, tall, fill=1, stroke=0)
    free = -1e9
    for value in (*shown_levels(levels, lethal), high):
        at = x + wide * (value - low) / (high - low)
        if 0 <= at - x <= wide + 0.1:
            page.line(at, y - 2, at, y + tall, colour=INK, width=1.3 if value == lethal else 0.5)
            text = f"{value:g}"
            if at - text_width(text, 6) / 2 > free:
                page.text(at, y - 8.5, text, 6, bold=value == lethal, align="center")
                free = at + text_width(text, 6) / 2 + 2
    page.text(x + wide + 10, y, "V/cm", SMALL)
    words = [f"bold white line: lethal field {lethal:g} V/cm", "needle: exposed metal thick, shaft thin, dashed off the slice", "dotted: structure at risk"]
    if sheet.picture_note:
        words.append(sheet.picture_note)
    tx = x + wide + 40
    for n, line in enumerate(wrap("  ·  ".join(words), flow.width - wide - 40, SMALL, 3)):
        page.text(tx, y + 2 - 8 * n, line, SMALL, colour=GREY)
    flow.y = y - 18
    if any(p.uncovered for p in sheet.pictures):
        page.box(x, flow.y - 1, 9, 7, fill=tuple(v / 255 for v in UNCOVERED_RGB))
        page.text(x + 13, flow.y, f"hatched red: target below {lethal:g} V/cm", SMALL, bold=True, colour=ALARM)
        flow.y -= 6


def _needles(flow: _Flow, sheet: PlanSheet) -> None:
    told = {e.get("id"): e for e in sheet.answer.get("electrodes") or ()}
    flow.heading("Needles (LPS mm: + left, posterior, superior)")
    rows = []
    for e in sheet.plan["electrodes"]:
        own = told.get(e["id"], {})
        depth = own.get("depth_mm")
        if depth is None:
            depth = math.dist(e["tip_mm"], e["entry_mm"])
        near = min((c for c in own.get("path_clearance") or () if c.get("distance_mm") is not None), key=lambda c: c["distance_mm"], default=None)
        rows.append([
            (e["id"], True, INK), _point(e["tip_mm"]), _point(e["entry_mm"]), num(depth), num(e["exposure_mm"], 0), num(e["diameter_mm"], 2), num(own.get("max_angle_to_others_deg")),
            "–" if near is None else f"{num(near['distance_mm'])} {near['name']}",
        ])  # fmt: skip
    flow.table((("Needle", 3, "left"), ("Tip", 7, "left"), ("Entry", 7, "left"), ("Depth mm", 4, "right"), ("Exposure mm", 4.6, "right"), ("Ø mm", 3, "right"), ("Angle to others °", 5.4, "right"), ("Nearest structure mm", 7, "left")), rows)


def _point(point: Sequence[float]) -> str:
    return ", ".join(num(v) for v in point)


def _pairs(flow: _Flow, sheet: PlanSheet) -> None:
    limits = sheet.limits
    volts, amps = limits.get("voltage_most_v", 3000.0), limits.get("current_most_a", 50.0)
    flow.heading(f"Pairs, in the order of delivery (limits {volts:g} V and {amps:g} A)")
    rows = []
    for given, pair in itertools.zip_longest(sheet.plan["pulses"], sheet.answer.get("pairs") or ()):
        given, pair = given or {}, pair or {}
        end = pair.get("current_end_of_train_a")
        most = max((v for v in (pair.get("current_a"), end) if v is not None), default=None)
        head = None if most is None else 100.0 * (1.0 - most / amps)
        energy = pair.get("energy_with_heat_j")
        rows.append([
            (f"{given.get('anode')} – {given.get('cathode')}", True, INK), num(pair.get("distance_mm")), num(pair.get("v_per_cm"), 0), num(given.get("voltage_v"), 0),
            num(100.0 * (1.0 - given.get("voltage_v", 0.0) / volts), 0), f"{given.get('pulses')} × {given.get('width_us'):g} µs", num(given.get("rate_hz")),
            {True: "yes", False: "no"}.get(given.get("ecg_gated"), "not stated"), num(pair.get("current_a")), num(end),
            (num(head, 0), head is not None and head < limits.get("current_headroom_pct", 10.0), INK), num(pair.get("resistance_ohm"), 0),
            num(pair.get("energy_j") if energy is None else energy, 0),
        ])  # fmt: skip
    columns = (("Pair", 4, "left"), ("mm", 3, "right"), ("V/cm", 3, "right"), ("V", 3, "right"), ("V spare %", 3.8, "right"), ("Pulses", 5, "right"), ("Hz", 2.4, "right"), ("ECG gated", 4, "right"), ("A now", 3.2, "right"), ("A at end", 3.6, "right"), ("A spare %", 3.8, "right"), ("Ohm", 3, "right"), ("J", 3, "right"))
    flow.table(columns, rows)
    if not any(p.get("current_end_of_train_a") is not None for p in sheet.answer.get("pairs") or ()):
        flow.lines("Heat was not worked out for this plan: currents at the end of the train are not known, energy is with the first current.", colour=ALARM)


def _targets(flow: _Flow, sheet: PlanSheet) -> None:
    plan, answer = sheet.plan, sheet.answer
    lethal, margin = plan["lethal_v_per_cm"], plan["margin_mm"]
    flow.heading(f"Coverage and margin (lethal field {lethal:g} V/cm, set by convention; no threshold is published for human nodes)")
    targets = answer.get("targets") or ()
    if not targets:
        flow.lines("The plan has no target: coverage and margin are not known.", bold=True, colour=ALARM)
    levels = [f"{v:g}" for v in plan["thresholds_v_per_cm"] if v != lethal]
    rows = [[
        (t["name"], True, INK), num(t.get("volume_ml"), 2), (num(t.get("coverage_pct")), True, INK), *(num((t.get("coverage_pct_by_v_per_cm") or {}).get(v)) for v in levels),
        num(t.get("margin_coverage_pct")), num(t.get("min_v_per_cm"), 0), (num(t.get("minimal_margin_mm")), True, INK),
    ] for t in targets]  # fmt: skip
    if rows:
        flow.table((("Target", 6, "left"), ("ml", 3, "right"), (f"% at {lethal:g}", 3.6, "right"), *((f"% at {v}", 3.6, "right") for v in levels), (f"% with {margin:g} mm", 4.6, "right"), ("Lowest V/cm", 4.2, "right"), ("Margin mm", 4, "right")), rows)
    for t in targets:
        shares, percentiles = t.get("margin_surface_below_pct"), t.get("margin_percentiles_mm")
        if shares and percentiles:
            flow.lines(
                f"{t['name']}, signed margin to the lethal surface: smallest {num(t.get('minimal_margin_mm'))} mm; percentiles of the surface "
                + ", ".join(f"P{p} {num(v)}" for p, v in _by_number(percentiles)) + " mm; share of the surface below "
                + ", ".join(f"{limit} mm: {num(v)} %" for limit, v in _by_number(shares)) + "."
            )  # fmt: skip
    flow.lines(f"Ablation {num(answer.get('ablation_ml'), 2)} ml, of it {num(answer.get('collateral_ml'), 2)} ml outside the targets.")


def _by_number(figures: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Entries whose keys are numbers, ascending: a kept run holds them in the order of their letters."""
    return sorted(figures.items(), key=lambda kv: float(kv[0]))


def _constraints(flow: _Flow, sheet: PlanSheet) -> None:
    told = [c.get("message", "") for c in sheet.answer.get("constraints") or ()] + [w.get("message", "") for w in sheet.answer.get("warnings") or ()]
    flow.heading("Warnings")
    for text in dict.fromkeys(told):
        flow.lines(f"• {text}", most=3)
    if not told:
        flow.lines("None was raised by the limits of device and anatomy that were checked.")


def _at_risk(flow: _Flow, sheet: PlanSheet) -> None:
    rows = []
    lethal = sheet.plan["lethal_v_per_cm"]
    for r in sheet.answer.get("at_risk") or ():
        volumes = r.get("volume_ml_by_v_per_cm") or {}
        rows.append([
            (r["name"], True, INK), num(r.get("min_distance_mm")), num(r.get("max_v_per_cm"), 0), num(r.get("mean_v_per_cm"), 0), *(num(volumes.get(v), 3) for v in RISK_LEVELS),
            num(r.get("volume_above_lethal_ml"), 3), num(r.get("volume_ml"), 2), num(r.get("max_temperature_c")), num(r.get("thermal_damage_ml"), 3),
        ])  # fmt: skip
    flow.heading("Structures at risk (no lower limit of harm is known for nerves)")
    if not rows:
        flow.lines("None is outlined. What is not outlined is not judged.", bold=True, colour=ALARM)
        return
    flow.table((("Structure", 6, "left"), ("Needle mm", 3.8, "right"), ("Emax V/cm", 4, "right"), ("Emean V/cm", 4.2, "right"), *((f"ml at {v}", 3.4, "right") for v in RISK_LEVELS), (f"ml at {lethal:g}, lethal", 5, "right"), ("of ml", 3, "right"), ("°C", 2.6, "right"), ("Damage ml", 4, "right")), rows)


def _heat(flow: _Flow, sheet: PlanSheet) -> None:
    heat = sheet.answer.get("heat")
    flow.heading("Heat")
    if not heat:
        flow.lines("Temperature and thermal damage were not worked out for this plan.", bold=True, colour=ALARM)
        return
    where = (heat.get("where") or {}).get("tissue", "")
    flow.lines(f"Hottest tissue {num(heat.get('peak_c'))} °C in {where}, {num(heat.get('pulse_rise_k'))} K more at most right after a pulse; {num(heat.get('cem43_240_ml'), 3)} ml with 240 or more equivalent minutes at 43 °C (most {num(heat.get('cem43_max_min'), 0)} min).")
    sets = ", ".join(f"{name} {num(v, 3)} ml" for name, v in (heat.get("thermal_damage_ml_by_set") or {}).items())
    flow.lines(f"Thermal damage (Arrhenius Omega of 1 or more) {num(heat.get('thermal_damage_ml'), 3)} ml by the set of each tissue: {heat.get('damage_set')}. By every set: {sets}. The sets differ more than a thousandfold at 43 °C.")


def _robustness(flow: _Flow, sheet: PlanSheet) -> None:
    found = sheet.robustness
    flow.heading("Robustness")
    if not found:
        flow.lines("Not kept with this run: what is left of the cover when needles, tissue and threshold are off is not known.")
        return
    cover, spread = found.get("coverage_pct") or {}, found.get("spread") or {}
    words = []
    for key, title in (("chosen", f"at {found.get('lethal_v_per_cm', sheet.plan['lethal_v_per_cm']):g} V/cm"), ("compared", f"at {found.get('compared_v_per_cm', 700):g} V/cm"), ("drawn", "at each sample's own threshold")):
        row = cover.get(key) or {}
        if row.get("p5") is not None:
            words.append(f"{title}: 5th percentile {num(row['p5'])} %, median {num(row.get('p50'))} %")
    drawn = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in spread.items())
    flow.lines(f"Coverage {'; '.join(words)}. Worst needle: {found.get('worst_needle') or 'none'}. {found.get('samples')} samples, seed {found.get('seed')}; spread: {drawn}.")


def _assumed(flow: _Flow, sheet: PlanSheet) -> None:
    flow.heading("Tissue values, their source and their doubt")
    rows = [[(r["name"], False, INK), r["law"], f"±{r['spread_pct']:g} %" if r["spread_pct"] is not None else "not stated", ("ASSUMED", True, ALARM) if r["assumed"] else "published"] for r in sheet.laws]
    flow.table((("Tissue", 8, "left"), ("Conductivity", 12, "left"), ("Spread", 4, "left"), ("", 4, "left")), rows)
    for r in sheet.laws:
        flow.lines(f"{r['name']}: {r['source'] or 'no source stated'}", colour=GREY, most=3)
    assumed = sorted({f"{t.get('name')} ({', '.join(_property(p) for p in t['assumed'])})" for t in (sheet.answer.get("heat") or {}).get("tissues", ()) if t.get("assumed")})
    if assumed:
        flow.lines(f"Thermal values assumed: {'; '.join(assumed)}.", most=3)


def _property(name: str) -> str:
    """The name of a thermal property in words."""
    known = {"conductivity": "heat conduction", "density": "density", "heat_capacity": "heat capacity", "perfusion": "perfusion", "metabolic_heat": "metabolic heat", "sigma_rise": "rise of conductivity"}
    return next((words for begin, words in known.items() if name.startswith(begin)), name.replace("_", " "))


def _delivered(flow: _Flow, sheet: PlanSheet) -> None:
    if not sheet.delivered:
        return
    flow.heading("Delivered, beside what was planned")
    planned = {(p["anode"], p["cathode"]): p for p in sheet.plan["pulses"]}
    rows = []
    for d in sheet.delivered:
        meant = planned.get((d["anode"], d["cathode"])) or planned.get((d["cathode"], d["anode"])) or {}
        rows.append([
            (f"{d['anode']} – {d['cathode']}", True, INK), f"{d['pulses']} of {meant.get('pulses', '–')}", f"{num(d.get('voltage_v'), 0)} of {num(meant.get('voltage_v'), 0)}", num(d.get("current_start_a")),
            num(d.get("current_end_a")), (f"aborted: {d.get('abort_reason') or 'no reason given'}", True, ALARM) if d.get("aborted") else "",
        ])  # fmt: skip
    flow.table((("Pair", 4, "left"), ("Pulses", 4, "right"), ("V", 5, "right"), ("A at start", 4, "right"), ("A at end", 4, "right"), ("", 12, "left")), rows)


def _checks(flow: _Flow, sheet: PlanSheet) -> None:
    gated = [p.get("ecg_gated") for p in sheet.plan["pulses"]]
    ecg = "Pulses wait for the heart beat (ECG gating): " + ("set for every pair." if all(g is True for g in gated) else "NOT set for every pair of this plan." if any(g is not None for g in gated) else "not stated in this plan.")
    flow.heading("To be checked before the first pulse", 100)
    for text in (CHECKS[0], ecg, *CHECKS[1:]):
        for n, line in enumerate(wrap(text, flow.width - 60, SIZE, 2)):
            flow.need(12)
            flow.y -= 11 if n == 0 else 9
            if n == 0:
                flow.page.box(flow.left + 1, flow.y - 0.5, 6.5, 6.5, stroke=INK)
            flow.page.text(flow.left + 13, flow.y, line, SIZE)
    flow.need(30)
    flow.y -= 22
    for x, name in ((0.0, "Checked by"), (0.35, "Date and time"), (0.7, "Signature")):
        flow.page.line(flow.left + flow.width * x, flow.y, flow.left + flow.width * (x + 0.3), flow.y, colour=GREY)
        flow.page.text(flow.left + flow.width * x, flow.y - 8, name, SMALL, colour=GREY)
    flow.y -= 10


def _hashes(flow: _Flow, sheet: PlanSheet) -> None:
    solver: Mapping[str, Any] = sheet.answer.get("solver") or {}
    flow.heading("How it was solved, and what it was made of", 24)
    shape = " × ".join(str(v) for v in solver.get("shape") or ())
    flow.lines(f"Grid {shape} of {num(solver.get('spacing_mm'), 2)} mm; relative residual {solver.get('relative_residual', float('nan')):.1e}; current balance {solver.get('current_balance', float('nan')):.1e}; {solver.get('nonlinear_steps', '–')} conductivity steps.")
    for name, digest in sheet.hashes:
        flow.need(9)
        flow.y -= 8.2
        flow.page.text(flow.left, flow.y, fit(f"SHA-256 of {name}: {digest}", flow.width, 6.5), 6.5, colour=GREY)
