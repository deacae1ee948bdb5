"""The session's part for RFA and cryo + RF: what is planned with, a setting a needle, the zones, and the solved course.

Zones of a chart are joined at once after every change, in a job; the course is solved when it is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from app.ui.text import t

MODALITIES = ("ire", "rfa", "cryo_rf")
NOTHING = "none"  # the trial treats nothing: there is no Plan step
BIOHEAT = "Freezing and heating"  # title of the job
COARSE_MM = 1.5  # of the course solved in the window; the command line takes any


@dataclass(frozen=True, slots=True)
class NeedleChoice:
    """What is applied through one needle; with ``pull_back_mm`` a second time after pulling it back."""

    device: str
    setting: str
    round: int = 1
    pull_back_mm: float = 0.0


@dataclass(frozen=True, slots=True)
class _Kept:
    modality: str
    choices: tuple[tuple[str, NeedleChoice], ...]
    liver: str | None


class ThermalPart:
    """Mixed into ``Session`` before ``PlanPart``, whose changes of the plan it follows."""

    def _drop_plan(self) -> None:
        self._thermal_by_visit: dict[str, _Kept] = {}
        super()._drop_plan()

    def _start_plan(self) -> None:
        self.jobs.drop("thermal")
        self.jobs.drop("bioheat")
        self.modality = self._modality_of_protocol()
        self.thermal_choices: dict[str, NeedleChoice] = {}
        self.liver_node_id: str | None = None
        self.thermal = None  # ThermalResult of what is on screen
        self.thermal_refusal = ""
        self._solving_bioheat = None
        super()._start_plan()

    def _modality_of_protocol(self) -> str:
        """What the protocol treats with: its ``treatment`` names it; ``NOTHING`` where it says that nothing is."""
        treatment = "" if self.study is None else str(self.study.protocol.content.get("treatment", "")).upper()
        if treatment == "NONE":
            return NOTHING
        if "CRYO" in treatment or "MTT" in treatment:
            return "cryo_rf"
        return "rfa" if "RFA" in treatment or "RADIOFREQUENCY" in treatment else "ire"

    @property
    def treats_nothing(self) -> bool:
        """True where the protocol of the open study ablates nothing."""
        return self.study is not None and self._modality_of_protocol() == NOTHING

    def why_no_plan(self) -> str:
        """Why there is no Plan step here; empty where there is one."""
        return t("This trial treats nothing: there is no plan.") if self.treats_nothing else ""

    def _put_plan_aside(self) -> None:
        if self.visit is not None:
            self._thermal_by_visit[self.visit.visit_id] = _Kept(self.modality, tuple(self.thermal_choices.items()), self.liver_node_id)
        super()._put_plan_aside()

    def _take_up_plan(self) -> None:
        super()._take_up_plan()
        kept = self._thermal_by_visit.get(self.visit.visit_id)
        if kept is not None:
            self.modality, self.thermal_choices, self.liver_node_id = kept.modality, dict(kept.choices), kept.liver
        self._zones_are_stale()

    def _field_is_stale(self) -> None:
        super()._field_is_stale()
        self._zones_are_stale()

    def _target_edited(self, node_id: str) -> None:
        super()._target_edited(node_id)
        self._zones_are_stale()

    def _preview_field(self) -> None:
        if self.modality == "ire":
            super()._preview_field()

    def solve(self) -> None:
        """What the Solve key means for what is planned with."""
        if self.treats_nothing:
            self.notice.emit("warning", self.why_no_plan())
        elif self.modality == "ire":
            super().solve()
        else:
            self.solve_bioheat()

    def thermal_needs(self) -> str:
        """What planning with heat or cold still needs, or an empty string."""
        return t("no needle") if not self.plan.needles and self.modality != NOTHING else ""

    # ---- choosing --------------------------------------------------------------------------
    def set_modality(self, modality: str) -> None:
        """Plan with one of MODALITIES; one undo step. Needles stay."""
        if modality != self.modality:
            before = self.modality

            def put(value: str) -> None:
                self.modality = value
                self._field_is_stale()  # an electric field is not shown beside zones of heat

            self._thermal_step(t("Plan with {name}").format(name=modality_names()[modality]), lambda: put(modality), lambda: put(before))

    def set_liver(self, node_id: str | None) -> None:
        """Take this outline for the liver; None: no liver is outlined. One undo step."""
        if node_id != self.liver_node_id:
            before = self.liver_node_id
            self._thermal_step(t("Choose the liver"), lambda: setattr(self, "liver_node_id", node_id), lambda: setattr(self, "liver_node_id", before))

    def set_needle_choice(self, needle_id: str, **changes) -> None:
        """Change device, setting, round or pull-back of a needle; one undo step."""
        before = self.needle_choice(needle_id)
        after = replace(before, **changes)
        if after != before:
            put = lambda choice: self.thermal_choices.__setitem__(needle_id, choice)  # noqa: E731
            self._thermal_step(t("Change needle {id}").format(id=needle_id), lambda: put(after), lambda: put(before))

    def _thermal_step(self, text: str, redo, undo) -> None:
        def and_tell(change):
            def step() -> None:
                change()
                self._zones_are_stale()

            return step

        and_tell(redo)()
        self._push(text, and_tell(redo), and_tell(undo))

    def thermal_device_list(self) -> list:
        """Devices of the modality on screen."""
        from app.usecases.thermal import thermal_devices

        return [d for d in thermal_devices().values() if d.modality == self.modality]

    def needle_choice(self, needle_id: str) -> NeedleChoice:
        """What is chosen for a needle; the first setting of the modality's first device where nothing was, or nothing that
        this modality has."""
        devices = self.thermal_device_list()
        kept = self.thermal_choices.get(needle_id)
        if kept is not None and any(d.id == kept.device for d in devices):
            return kept
        device = devices[0]
        return NeedleChoice(device.id, device.rows[0].setting, kept.round if kept else 1, kept.pull_back_mm if kept else 0.0)

    # ---- working out -----------------------------------------------------------------------
    def thermal_content(self) -> dict | None:
        """The plan on screen as a ``nodus.thermal/1`` object with masks in it; None without a needle."""
        if self.modality in ("ire", NOTHING) or not self.plan.needles:
            return None
        outlined = {i: s for i, s in self.nodes.items() if s.draft is not None and not s.draft.is_empty}
        shape = lambda mask: {"shape": {"type": "mask", "mask": mask}}  # noqa: E731
        applications = []
        for n in self.plan.needles:
            c = self.needle_choice(n.id)
            for back in (0.0, c.pull_back_mm) if c.pull_back_mm > 0 else (0.0,):
                applications.append({"needle": n.id, "device": c.device, "setting": c.setting, "round": c.round, "pull_back_mm": back})
        liver = outlined.get(self.liver_node_id or "")
        return {
            "schema": "nodus.thermal/1", "margin_mm": self.plan.margin_mm, "applications": applications,
            "liver": None if liver is None else shape(liver.draft.as_mask(name=liver.node.label)),
            "lesions": [{"name": s.node.label, **shape(s.draft.as_mask(name=s.node.label))} for i, s in outlined.items() if i != self.liver_node_id],
            "at_risk": [{"name": name, **shape(mask)} for name, mask, _preset in self.plan.at_risk],
            "needles": [{"id": n.id, "tip_mm": list(n.tip_mm), "entry_mm": list(n.entry_mm)} for n in self.plan.needles],
        }  # fmt: skip

    def _zones_are_stale(self) -> None:
        """Zones of other needles, settings or outlines than those on screen are not shown; new ones are joined."""
        self.jobs.drop("bioheat")
        self._solving_bioheat = None
        self.thermal, self.thermal_refusal = None, ""
        self._join_zones()
        self.thermal_changed.emit()

    def _join_zones(self) -> None:
        from app.usecases.thermal import solve_thermal, thermal_plan

        content = self.thermal_content()
        if content is None:
            self.jobs.drop("thermal")
            return

        def done(result) -> None:
            self.thermal = result
            self.thermal_changed.emit()

        self.jobs.start(t("Joining zones"), lambda context: solve_thermal(thermal_plan(content), context), key="thermal", quiet=True, on_done=done, on_refused=self._zones_refused)

    def _zones_refused(self, error) -> None:
        self._solving_bioheat = None
        self.thermal_refusal = error.message + (f" {error.hint}" if error.hint else "")
        self.thermal_changed.emit()

    @property
    def is_solving_bioheat(self) -> bool:
        """True while the course of the plan on screen is solved."""
        return self._solving_bioheat is not None

    def solve_bioheat(self) -> None:
        """Freeze and heat the tissue of the plan on screen; a job with progress and cancel."""
        from app.usecases.thermal import solve_thermal, thermal_plan

        content = self.thermal_content()
        if content is None:
            self.notice.emit("warning", t("Place a needle first."))
            return

        def done(result) -> None:
            self._solving_bioheat = None
            self.thermal = result
            self.thermal_changed.emit()

        def lost() -> None:
            self._solving_bioheat = None
            self.thermal_changed.emit()

        def work(context):
            return solve_thermal(thermal_plan(content), context, bioheat=True, spacing_mm=COARSE_MM)

        self._solving_bioheat = self.jobs.start(BIOHEAT, work, key="bioheat", on_done=done, on_refused=self._zones_refused, on_lost=lost)
        self.thermal_changed.emit()

    def stop_bioheat(self) -> None:
        """Cancel it; nothing of it is kept, the chart zones stay."""
        if self._solving_bioheat is not None:
            self.jobs.cancel(self._solving_bioheat)

    def save_thermal(self, folder) -> None:
        """Write the zones on screen into a folder; a job."""
        from app.usecases.thermal import write_thermal_folder

        result = self.thermal
        if result is None:
            self.notice.emit("warning", t("There are no zones yet."))
            return
        self.jobs.start(t("Writing zones"), lambda _context: write_thermal_folder(result, Path(folder)), write=True, on_done=lambda paths: self.notice.emit("info", t("{n} files written to {folder}").format(n=len(paths), folder=folder)))


def modality_names() -> dict[str, str]:
    """What is planned with, in words."""
    return {"ire": t("IRE"), "rfa": t("RFA"), "cryo_rf": t("Cryo + RF")}
