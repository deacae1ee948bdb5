"""Plan runs and what was delivered by them: both written once, both in the trail."""

from __future__ import annotations

import math
from typing import Any

import sqlalchemy as sa

from app import __version__
from app.study import rows, rules, schema
from app.study.canonical import canonical_json
from app.study.errors import StudyRefused
from app.study.ids import new_id
from app.study.model import PLAN_KINDS, SESSIONS, DeliveredPair, Delivery, PlanRun
from app.study.records import need, same_subject

SEE_TREATMENT = ("plan", "see_all", "see_clinical")


class TreatmentPart:
    """The part of ``StudyStore`` that keeps what was planned and what was done."""

    # -- plan runs --------------------------------------------------------------------------------

    def save_plan_run(
        self,
        content: dict,
        *,
        subject_id: str,
        visit_id: str | None = None,
        blobs: dict[str, str] | None = None,
        plan_run_id: str | None = None,
        kind: str = "planned",
        node_id: str | None = None,
        session: str | None = None,
        predecessor_id: str | None = None,
        planned_id: str | None = None,
    ) -> PlanRun:
        """Keep a solved plan for good. ``blobs`` names stored files that belong to it, by hash.

        ``session`` is ``day0`` or ``salvage``; ``predecessor_id`` the run that this one follows, of the same node. A run
        of kind ``actual`` holds the needles as they lie and names its plan in ``planned_id``; node and session are then
        the plan's. Raises ``subject_missing``, ``visit_missing``, ``node_missing``, ``subject_mismatch``, ``blob_missing``,
        ``plan_run_missing``, ``plan_kind_refused``, ``session_refused``, ``predecessor_refused``, ``nothing_to_plan`` in a trial without ablation.
        """
        for sha256 in (blobs or {}).values():
            if not self.blobs.exists(sha256):
                raise StudyRefused("The plan names a stored file that is not there.", code="blob_missing")
        if kind not in PLAN_KINDS or (kind == "actual") != (planned_id is not None):
            raise StudyRefused("A run is planned, or holds the needles as they lie and names the plan it belongs to.", code="plan_kind_refused")
        check_treats(self)
        text = canonical_json(content)
        with self._write("plan") as trail:
            connection = trail.connection
            need(connection, schema.subjects, subject_id, "subject")
            if visit_id is not None:
                same_subject(need(connection, schema.visits, visit_id, "visit"), subject_id, "visit")
            if planned_id is not None:
                node_id, session = _as_planned(_run(connection, planned_id), subject_id, node_id, session)
            if node_id is not None:
                same_subject(need(connection, schema.nodes, node_id, "node"), subject_id, "node")
            if session is not None and session not in SESSIONS:
                raise StudyRefused(f"Use one of {', '.join(SESSIONS)}.", code="session_refused")
            if predecessor_id is not None:
                _check_predecessor(_run(connection, predecessor_id), subject_id, node_id, session)
            row = {
                "plan_run_id": plan_run_id or new_id("P"),
                "subject_id": subject_id,
                "visit_id": visit_id,
                "created_utc": trail.utc,
                "content": text,
                "blobs": canonical_json(blobs or {}),
                "software_version": __version__,
                "kind": kind,
                "node_id": node_id,
                "session": session,
                "predecessor_id": predecessor_id,
                "planned_id": planned_id,
            }
            trail.insert(schema.plan_runs, row, action="plan_saved" if kind == "planned" else "placement_saved")
        return rows.plan_run_from(row)

    def list_plan_runs(self, subject_id: str | None = None) -> list[PlanRun]:
        """Plan runs, oldest first."""
        table = schema.plan_runs
        query = sa.select(table).order_by(table.c.created_utc, table.c.plan_run_id)
        if subject_id is not None:
            query = query.where(table.c.subject_id == subject_id)
        self._check_may()
        if self.blinded:
            return []
        with self._read() as connection:
            return self.of_site(rows.plan_run_from(row) for row in connection.execute(query).mappings())

    def plan_run(self, plan_run_id: str) -> PlanRun:
        """One plan run. Raises ``plan_run_missing``."""
        self._check_may(*SEE_TREATMENT)
        with self._read() as connection:
            found = self.of_site([rows.plan_run_from(_run(connection, plan_run_id))])
        if not found:
            raise StudyRefused("There is no such plan run in this study.", code="plan_run_missing")
        return found[0]

    # -- what was delivered -----------------------------------------------------------------------

    def add_delivery(
        self,
        plan_run_id: str,
        pairs: tuple[DeliveredPair, ...],
        *,
        entered_by: str,
        date: str | None = None,
        note: str | None = None,
        replaces: str | None = None,
        reason: str | None = None,
    ) -> Delivery:
        """Record what the generator delivered, in the order of delivery. Never changed: a correction is a new record that
        ``replaces`` the wrong one, with a reason. Raises ``plan_run_missing``, ``delivery_refused``, ``delivery_missing``,
        ``delivery_replaced``, ``abort_reason_missing``, ``name_missing``, ``reason_missing``, ``date_refused``."""
        entered_by = rules.check_text(entered_by, "the name of who enters this", "name_missing")
        date = rules.check_date(date, "date of the session")
        if replaces is not None:
            reason = rules.check_text(reason, "a reason for the change", "reason_missing")
        with self._write("plan") as trail:
            run = rows.plan_run_from(_run(trail.connection, plan_run_id))
            if not self.of_site([run]):
                raise StudyRefused("There is no such plan run in this study.", code="plan_run_missing")
            if replaces is not None:
                _check_replaced(trail.connection, replaces, plan_run_id)
            check_delivered(pairs, run)
            row = {
                "delivery_id": new_id("D"),
                "plan_run_id": plan_run_id,
                "subject_id": run.subject_id,
                "created_utc": trail.utc,
                "entered_by": entered_by,
                "date": date,
                "pairs": canonical_json([p.to_dict() for p in pairs]),
                "note": (note or "").strip() or None,
                "replaces": replaces,
                "reason": reason,
                "software_version": __version__,
            }
            trail.insert(schema.deliveries, row, action="delivery_recorded", reason=reason)
        return rows.delivery_from(row)

    def deliveries(self, plan_run_id: str | None = None, *, replaced: bool = False) -> list[Delivery]:
        """Records of what was delivered, oldest first; those that were replaced only where asked for."""
        table = schema.deliveries
        query = sa.select(table).order_by(table.c.created_utc, table.c.delivery_id)
        if plan_run_id is not None:
            query = query.where(table.c.plan_run_id == plan_run_id)
        self._check_may()
        if self.blinded:
            return []
        with self._read() as connection:
            found = self.of_site(rows.delivery_from(row) for row in connection.execute(query).mappings())
        gone = set() if replaced else {d.replaces for d in found}
        return [d for d in found if d.delivery_id not in gone]


def check_treats(store: Any) -> None:
    """Refuse a plan in a study whose protocol ablates nothing: ``nothing_to_plan``."""
    if not store.protocol.ablation_kinds:
        raise StudyRefused("The protocol of this study ablates nothing: there is nothing to plan.", code="nothing_to_plan")


def check_delivered(pairs: tuple[DeliveredPair, ...], run: PlanRun) -> None:
    """Refuse delivered values that cannot be: ``delivery_refused``, ``abort_reason_missing``."""
    if not pairs:
        raise StudyRefused("Nothing was given that was delivered.", code="delivery_refused", hint="A pair that was never pulsed has 0 pulses.")
    needles = {e.get("id") for e in run.content.get("plan", {}).get("electrodes", ())}
    for p in pairs:
        named = f"Pair {p.anode}-{p.cathode}"
        if p.anode == p.cathode or not needles >= {p.anode, p.cathode}:
            raise StudyRefused(f"{named} is no pair of needles of this plan.", code="delivery_refused", hint=f"Its needles: {', '.join(sorted(map(str, needles)))}.")
        if isinstance(p.pulses, bool) or not isinstance(p.pulses, int) or p.pulses < 0:
            raise StudyRefused(f"{named}: the number of pulses must be whole, 0 or more.", code="delivery_refused")
        for what, value in (("voltage", p.voltage_v), ("current at the start", p.current_start_a), ("current at the end", p.current_end_a)):
            if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0):
                raise StudyRefused(f"{named}: the {what} must be a number, 0 or more, or left out.", code="delivery_refused")
        if p.pulses > 0 and p.voltage_v is None:
            raise StudyRefused(f"{named}: pulses were delivered, so the voltage must be given.", code="delivery_refused")
        if p.aborted:
            rules.check_text(p.abort_reason, f"why pair {p.anode}-{p.cathode} was aborted", "abort_reason_missing")
        elif p.abort_reason:
            raise StudyRefused(f"{named} has a reason for an abort and was not aborted.", code="delivery_refused")


def _run(connection: sa.Connection, plan_run_id: str) -> Any:
    row = connection.execute(sa.select(schema.plan_runs).where(schema.plan_runs.c.plan_run_id == plan_run_id)).mappings().first()
    if row is None:
        raise StudyRefused("There is no such plan run in this study.", code="plan_run_missing")
    return row


def _as_planned(planned: Any, subject_id: str, node_id: str | None, session: str | None) -> tuple[str | None, str | None]:
    """Node and session of the plan that a placement belongs to."""
    same_subject(planned, subject_id, "plan")
    if planned["kind"] == "actual":
        raise StudyRefused("Needles as they lie belong to a plan, not to another placement.", code="plan_kind_refused")
    if (node_id is not None and node_id != planned["node_id"]) or (session is not None and session != planned["session"]):
        raise StudyRefused("The needles as they lie belong to the node and session of their plan.", code="plan_kind_refused")
    return planned["node_id"], planned["session"]


def _check_predecessor(row: Any, subject_id: str, node_id: str | None, session: str | None) -> None:
    same_subject(row, subject_id, "plan")
    if row["node_id"] != node_id:
        raise StudyRefused("A plan follows one of the same node.", code="predecessor_refused")
    if session == "day0" and row["session"] == "salvage":
        raise StudyRefused("A plan for Day 0 cannot follow one for salvage.", code="predecessor_refused")


def _check_replaced(connection: sa.Connection, replaces: str, plan_run_id: str) -> None:
    table = schema.deliveries
    row = connection.execute(sa.select(table).where(table.c.delivery_id == replaces)).mappings().first()
    if row is None or row["plan_run_id"] != plan_run_id:
        raise StudyRefused("There is no such record of this plan run to replace.", code="delivery_missing")
    if connection.execute(sa.select(table.c.delivery_id).where(table.c.replaces == replaces)).first():
        raise StudyRefused("This record was already replaced; replace the newest.", code="delivery_replaced")
