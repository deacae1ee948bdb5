"""What follows a reading in the walk: plan, doubt, follow-up, two visits side by side, report."""

from __future__ import annotations

from pathlib import Path

from app.ui.walk.hands import WalkFailed, settle, wait_until

WALKED_SAMPLES = 24


class PlanSteps:
    """Mixed into ``CaseWalk``: one method a step, in order."""

    def plan(self) -> None:
        """Three suggested needles, solved."""
        session = self.session
        session.set_step("plan")
        settle(session)
        self.panel.suggest[3].click()
        settle(session)
        self.album.take(self.window, "needles")
        self.panel.primary.click()
        wait_until(lambda: self.complaints.check() or session.assessment is not None or bool(self.complaints.refusals), "the solved field")
        if session.assessment is None:
            raise WalkFailed(self.complaints.refusals[-1])
        settle(session)
        self.panel.scroll.verticalScrollBar().setValue(0)
        settle(session)
        self.album.take(self.window, "plan")
        self.panel.scroll.ensureWidgetVisible(self.panel.figures, 0, 0)
        settle(session)
        self.album.take(self.window, "plan_result")
        self.doubt()
        session.set_plan_session("day0")
        self.panel.save_button.click()
        settle(session)

    def doubt(self) -> None:
        """Better needles looked for, not taken; then how much of the plan's own cover survives needles that land elsewhere."""
        session, search, robustness = self.session, self.panel.optimise, self.panel.robustness
        search.start.click()
        wait_until(lambda: self.complaints.check() or not session.is_searching, "the search for needles")
        settle(session)
        self.panel.scroll.ensureWidgetVisible(search.take, 0, 0)
        self.album.take(self.window, "proposals")
        session.show_proposal(None)
        robustness.samples.setValue(WALKED_SAMPLES)
        robustness.start.click()
        wait_until(lambda: self.complaints.check() or not session.is_sampling, "the robustness run")
        settle(session)
        self.panel.scroll.ensureWidgetVisible(robustness.figures, 0, 40)
        self.album.take(self.window, "robustness")
        session.set_shown_map("field")

    def follow_up(self) -> None:
        """Chart and table over all visits."""
        self.session.set_step("follow_up")
        settle(self.session)
        self.album.take(self.window, "follow_up")

    def compare(self) -> None:
        """The visit on screen and a later one side by side, registered."""
        session, section = self.session, self.panel.compare
        section.start.click()
        wait_until(lambda: self.complaints.check() or (session.comparison is not None and not session.is_registering), "the registered visits")
        if not session.comparison.is_linked:
            raise WalkFailed("The visits could not be registered.")
        session.select_node(self.node_id())
        settle(session)
        self.panel.scroll.ensureWidgetVisible(section, 0, 0)
        self.album.take(self.window, "compare")
        section.start.click()
        self.window.panes.set_layout("2x2")
        settle(session)

    def report(self, folder: Path) -> None:
        """Export both formats and show what was written."""
        session = self.session
        session.set_step("report")
        settle(session)
        for kind, place in (("csv", folder / "tables"), ("pdf", folder / "report.pdf")):
            before = len(getattr(session, "last_exports", []))
            session.export(kind, place)
            wait_until(
                lambda before=before: self.complaints.check() or len(getattr(session, "last_exports", [])) > before or bool(self.complaints.refusals),
                f"the {kind} export",
            )
            settle(session)
            if self.complaints.refusals:
                raise WalkFailed(self.complaints.refusals[-1])
        self.window.notice_bar.dismiss.click()  # it names the temporary folder
        self.album.take(self.window, "report")
