"""An outline carried over to another visit: a start for the reader, marked as what it is.

A copied outline is drawn towards the volume of the visit it came from, which is what an endpoint must not
be. Reads for endpoints may therefore start from one only where the protocol says so.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from app.jobs import JobContext
from app.study.model import Reading, ReadingState, SeriesRecord, Visit
from app.study.store import StudyStore
from app.usecases.carried_outline import carried_origin
from app.usecases.import_images import open_record
from app.usecases.readings import check_propagation, find_node, find_visit, mask_of_reading, save_reading
from app.usecases.register import register_volumes, registration_numbers
from volumetry.errors import NodusError
from volumetry.finding import Finding
from volumetry.image import ImageVolume
from volumetry.mask import NodeMask
from volumetry.registration import RigidRegistration, resample_mask


@dataclass(frozen=True, slots=True, eq=False)
class PropagatedOutline:
    """``mask`` on the fixed picture's grid, with the finding ``propagated``; the ``registration`` it was
    carried by (fixed to moving, its residual in mm); ``findings`` of both."""

    mask: NodeMask
    registration: RigidRegistration
    findings: tuple[Finding, ...]

    @property
    def residual_mm(self) -> float | None:
        """How far the visits still lie apart; None where that could not be measured."""
        return self.registration.residual_mm

    def as_dict(self) -> dict:
        """The registration as plain numbers, for a reading and for ``--json``."""
        return registration_numbers(self.registration)


def propagate_mask(
    fixed: ImageVolume,
    moving: ImageVolume,
    mask: NodeMask,
    *,
    registration: RigidRegistration | None = None,
    source: dict | None = None,
    context: JobContext | None = None,
) -> PropagatedOutline:
    """Carry ``mask``, drawn on ``moving``, onto the grid of ``fixed``.

    The visits are registered here unless ``registration`` (fixed to moving) is given, for instance
    one by landmarks. ``source`` (plain values: visit, reading) says where the outline came from; it
    goes into the mask's origin with the registration and the findings, and so into every reading of it. Raises ``Cancelled``, and ``RegistrationRefused`` as ``register_rigid`` and
    ``resample_mask`` do.
    """
    context = context or JobContext()
    if not mask.array.any():
        raise NodusError("The outline to carry over holds no voxel.", code="empty_mask")
    if registration is None:
        registration = register_volumes(fixed, moving, context.part(0.0, 0.9))
    context.report("Carrying the outline over", 0.9)
    carried = resample_mask(mask, registration, fixed.geometry)
    carried = replace(carried, origin=carried_origin(registration, carried.findings, source, mask.origin))
    return PropagatedOutline(carried, registration, carried.findings)


def volume_series(store: StudyStore, visit: Visit, modality: str, series_uid: str | None = None) -> SeriesRecord:
    """The visit's volume of that modality. Refuses ``series_missing`` and, where several fit and none is
    named, ``several_series``."""
    fitting = [s for s in store.series(visit.visit_id) if s.kind == "volume" and s.modality == modality and series_uid in (None, s.series_uid)]
    if not fitting:
        which = "of that identity" if series_uid else f"of {modality}"
        raise NodusError(f"The visit {visit.name} has no volume {which}.", code="series_missing", hint="Import its pictures first.")
    if len(fitting) > 1:
        raise NodusError(f"The visit {visit.name} has {len(fitting)} volumes of {modality}.", code="several_series", hint="Name one with --series.")
    return fitting[0]


def propagate_reading(
    store: StudyStore,
    *,
    subject: str,
    node: str,
    from_visit: str,
    to_visit: str,
    reader: str,
    modality: str = "CT",
    role: str = "central",
    series_uid: str | None = None,
    reason: str | None = None,
    context: JobContext | None = None,
) -> tuple[Reading, PropagatedOutline]:
    """Carry a reader's outline of a node to another visit and save it there as a **draft**.

    The draft's ``measurement`` says ``propagated`` with source and registration, and ``propagated`` is among
    its warnings; a person has to look at it before it is measured and locked. ``series_uid`` names the
    volume of ``to_visit`` where there are several. Refuses ``propagation_not_allowed``, ``same_visit``,
    ``mask_missing`` (this reader has no outline there), ``wrong_grid``, ``propagation_over_reading`` (the
    reader has already measured the node there), ``series_missing``, ``several_series``, and what
    ``propagate_mask`` refuses.
    """
    check_propagation(store.protocol, role)
    context = context or JobContext()
    target, source_visit, visit = find_node(store, subject, node), find_visit(store, subject, from_visit), find_visit(store, subject, to_visit)
    if source_visit.visit_id == visit.visit_id:
        raise NodusError("An outline is carried over to another visit, not to its own.", code="same_visit")

    def mine(where: Visit) -> list[Reading]:
        found = store.readings(subject, visit_id=where.visit_id, node_id=target.node_id, reader=reader)
        return [r for r in found if r.role == role and r.modality == modality and r.method == "voxel"]

    sources = [r for r in mine(source_visit) if r.mask_sha256 is not None]
    if not sources:
        raise NodusError(f"{reader} has no outline of {target.label} at {source_visit.name} on {modality}.", code="mask_missing", hint="Outline it there first.")
    source = sources[-1]
    if any(r.state is not ReadingState.DRAFT for r in mine(visit)):
        raise NodusError(
            f"{reader} has already read {target.label} at {visit.name}: a copied outline does not replace a reading.",
            code="propagation_over_reading",
            hint="Change that reading by hand, with a reason.",
        )
    mask = mask_of_reading(store, source)
    records = volume_series(store, visit, modality, series_uid), volume_series(store, source_visit, modality, source.series_uid)
    fixed = open_record(store, records[0], context.part(0.0, 0.2))
    moving = open_record(store, records[1], context.part(0.2, 0.4))
    if not mask.geometry.same_grid(moving.geometry):
        raise NodusError(f"The outline at {source_visit.name} does not lie on the slices of its series.", code="wrong_grid")
    origin = {"visit": source_visit.name, "reading_id": source.reading_id, "version": source.version, "mask_sha256": source.mask_sha256}
    outline = propagate_mask(fixed, moving, mask, source=origin, context=context.part(0.4, 0.95))
    saved = save_reading(store, visit, target, reader=reader, modality=modality, state=ReadingState.DRAFT, mask=outline.mask, image=fixed, role=role, reason=reason)
    context.report("Saved as a draft", 1.0)
    return saved, outline
