"""The session's part for the zone of an earlier session: a kept run's field at its lethal threshold, carried to the pictures on screen.

It is shown where it is known to lie: on its own visit's pictures, or through a registration between the visits.
"""

from __future__ import annotations

from dataclasses import dataclass

from app.ui.models.plan_runs import session_names
from app.ui.text import t
from app.usecases.kept_plans import KeptField


@dataclass(frozen=True, slots=True, eq=False)
class EarlierZone:
    """``field`` lies in the frame of the pictures on screen; ``label`` names it there."""

    run_id: str
    field: KeptField
    lethal_v_per_cm: float
    label: str


class EarlierZonePart:
    """Mixed into ``Session``. ``earlier_wanted`` is the reader's wish, ``earlier_zone`` what can be shown,
    ``earlier_words()`` why not."""

    earlier_wanted = False
    _earlier_read: tuple | None = None  # (OpenedRun, series of its pictures)
    _earlier_made: tuple | None = None

    def show_earlier_zone(self, on: bool) -> None:
        """Show the zone of the run that the plan on screen follows; its field is read in a job."""
        self.earlier_wanted = on
        self._follow_earlier()
        self.kept_runs_changed.emit()

    def _follow_earlier(self) -> None:
        from app.usecases.kept_plans import open_run

        wanted = self.plan_follows if self.earlier_wanted else None
        if wanted is None or self.study is None:
            self._earlier_read = self._earlier_made = None
            return
        if self._earlier_read is not None and self._earlier_read[0].run.plan_run_id == wanted:
            return
        self._earlier_read = self._earlier_made = None
        store = self.study

        def done(opened) -> None:
            if self.study is store and self.earlier_wanted and self.plan_follows == wanted:
                self._earlier_read = (opened, (opened.run.content.get("inputs") or {}).get("picture", {}).get("series_uid"))
                self.kept_runs_changed.emit()

        self.jobs.start(t("Reading the earlier zone"), lambda _context: open_run(store, wanted), key="earlier", quiet=True, on_done=done)

    def _earlier_link(self) -> tuple[object, str] | None:
        """(registration of points here to there, or None on the same pictures; words), or None where nothing links them."""
        opened, series = self._earlier_read
        if self.image is None or opened.run.visit_id is None or self._is_no_place(opened):
            return None
        here = self.image.source.series_uid
        if self.visit is not None and opened.run.visit_id == self.visit.visit_id and (series is None or series == here):
            return None, t("on its own pictures")
        c = self.comparison
        if c is not None and c.registration is not None and c.visit.visit_id == opened.run.visit_id and series in (None, str(c.there.source.series_uid)):
            return c.registration, self._link_words(c.registration)
        for record in self.series_by_visit.get(opened.run.visit_id, ()):
            kept = self._brought_together.get((str(here), str(record.series_uid)))
            if kept is not None and kept.method == "automatic" and kept.automatic is not None and series in (None, record.series_uid):
                return kept.automatic, self._link_words(kept.automatic)
        return None

    def _is_no_place(self, opened) -> bool:
        """A schematic has a frame of its own that no picture shares."""
        return self.is_schematic or (opened.plan.source is not None and opened.plan.source.is_schematic)

    def _link_words(self, registration) -> str:
        left = t("residual not known") if registration.residual_mm is None else t("residual {mm:.1f} mm").format(mm=registration.residual_mm)
        doubt = "; " + t("doubtful, check by eye") if any(f.severity in ("warning", "serious") for f in registration.findings) else ""
        return t("carried by registration, {left}").format(left=left) + doubt

    @property
    def earlier_zone(self) -> EarlierZone | None:
        """The zone where it can be shown, one object as long as nothing changed."""
        if not self.earlier_wanted or self._earlier_read is None or self._earlier_read[0].field is None:
            return None
        link = self._earlier_link()
        if link is None:
            return None
        opened, registration = self._earlier_read[0], link[0]
        made = self._earlier_made
        if made is None or made[0] is not opened or made[1] is not registration:
            field = opened.field if registration is None else opened.field.moved(registration.inverse().matrix)
            lethal = opened.plan.lethal_v_per_cm
            label = t("earlier zone, {session}, {v} V/cm").format(session=session_names().get(opened.run.session, "").lower() if opened.run.session else t("session not stated"), v=f"{lethal:g}")
            self._earlier_made = made = (opened, registration, EarlierZone(opened.run.plan_run_id, field, lethal, label))
        return made[2]

    def earlier_words(self) -> tuple[str, str]:
        """(sentence, tone) on whether the earlier zone is shown, and if not, why."""
        if not self.earlier_wanted:
            return "", ""
        if self.plan_follows is None:
            return t("The plan follows no run; choose one above."), "warning"
        if self._earlier_read is None:
            return t("Reading the earlier zone…"), "muted"
        opened = self._earlier_read[0]
        if opened.field is None:
            return t("The run holds no field; its zone cannot be shown."), "warning"
        if opened.run.visit_id is None:
            return t("The run does not say which pictures it lies on. Its zone is not shown: its place would be a guess."), "warning"
        if self._is_no_place(opened):
            return t("A schematic lies on no picture. The zone is not shown: its place would be a guess."), "warning"
        link = self._earlier_link()
        if link is None:
            visit = next((v.name for v in self.visits if v.visit_id == opened.run.visit_id), "?")
            return t("No registration between these pictures and those of {visit}. The zone is not shown: its place would be a guess. Compare with {visit} in step 4.").format(visit=visit), "warning"
        return t("Shown {how}.").format(how=link[1]), "warning" if t("doubtful, check by eye") in link[1] else "muted"
