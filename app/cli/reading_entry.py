"""``study add-reading``: a reading from a mask, a volume, diameters or a status, with what the reader states of the lesion."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

from app.cli.output import add_command, emit
from app.study.lesions import BY_NAME, LARGEST_MM, lesion_said, lesion_statement
from app.study.model import ENHANCEMENT_GRADES, METHODS, MODALITIES, ROLES, UNKNOWN_LEVEL, ReadingStatus, Side
from volumetry.errors import NodusError
from volumetry.outline_origin import OutlineOrigin

YES_NO = {"yes": True, "no": False}
NEW = {"certain": True, "suspected": False}


def register(verbs) -> None:
    """Add the verb to ``study``."""
    reading = add_command(
        verbs, "add-reading", help="add a reading from a mask, a volume, diameters or a status",
        description="Add a reading from a mask, a volume, diameters or a status. Everything is stated anew: what is left out of a changed reading no longer stands. "
        "What RECIST, mRECIST and local control ask of a lesion is stated by the options of their own group; nothing that is not stated is guessed.",
    )  # fmt: skip
    reading.add_argument("study", type=Path, metavar="STUDY", help="folder of the study")
    for name, what in (("subject", "pseudonym of the subject"), ("visit", "name of the visit"), ("node", "label of the node, for example N1"), ("reader", "name of the reader")):
        reading.add_argument(f"--{name}", required=True, help=what)
    reading.add_argument("--modality", required=True, choices=MODALITIES, help="what the node was read on")
    reading.add_argument("--method", default="voxel", choices=METHODS, help="how the volume was worked out (voxel without it)")
    reading.add_argument("--status", default="measured", choices=[s.value for s in ReadingStatus], help="what was seen of the node (measured without it)")
    source = reading.add_mutually_exclusive_group()
    source.add_argument("--volume-ml", type=float, help="the volume, worked out elsewhere")
    source.add_argument("--mask", type=Path, help="mask file with one label, measured here")
    reading.add_argument("--long-axis-mm", type=float, metavar="MM", help="long axis measured by hand, without --mask")
    reading.add_argument("--short-axis-mm", type=float, metavar="MM", help="short axis measured by hand, without --mask")
    reading.add_argument("--viable-ml", type=float, metavar="ML", help="the part that enhances, worked out elsewhere; not assessed without it")
    reading.add_argument("--ablated-ml", type=float, metavar="ML", help="the part that does not enhance; of the two, the one left out is the rest of the whole")
    reading.add_argument("--viable-mask", type=Path, metavar="MASK", help="mask file of the part that enhances, on the grid of --mask (that nothing enhances is --viable-ml 0)")
    reading.add_argument("--enhancement-grade", choices=ENHANCEMENT_GRADES, help="what still enhances, as the reader grades it by the charter (NE: not evaluable); not graded without it")
    reading.add_argument("--perfusion", type=Path, metavar="RESULT.json", help="what nodus perfusion --json gave: kept beside the reading as the proposal, with --enhancement-grade as the reader's own; the enhancing part follows it where the grade agrees; of two loops (--second) what both say")
    reading.add_argument("--role", default="central", choices=ROLES, help="role of the reader (central without it)")
    reading.add_argument("--reason", help="required when a saved reading is changed")
    lesion = reading.add_argument_group("the lesion, as the protocol's response criteria ask for it")
    lesion.add_argument("--lesion-role", choices=BY_NAME["role"].choices, help=BY_NAME["role"].meaning)
    lesion.add_argument("--lesion-organ", metavar="ORGAN", help=BY_NAME["organ"].meaning)
    lesion.add_argument("--lesion-nodal", choices=YES_NO, help=BY_NAME["nodal"].meaning + "; by the neck level without it")
    lesion.add_argument("--lesion-treated", choices=YES_NO, help=BY_NAME["treated"].meaning)
    lesion.add_argument("--lesion-progressed", choices=YES_NO, help=BY_NAME["progressed"].meaning)
    lesion.add_argument("--lesion-state", choices=BY_NAME["state"].choices, help=BY_NAME["state"].meaning)
    lesion.add_argument("--parts-mm", type=float, nargs="+", metavar="MM", help=BY_NAME["parts_mm"].meaning)
    lesion.add_argument("--new-lesion", choices=NEW, help="whether a new lesion is certain or suspected only")
    lesion.add_argument("--viable-diameter-mm", type=float, metavar="MM", help=BY_NAME["viable_diameter_mm"].meaning)
    lesion.add_argument("--ablation-control", choices=BY_NAME["control"].choices, help=BY_NAME["control"].meaning)
    reading.set_defaults(work=run_add_reading)


def lesion_of(args) -> dict:
    """What the arguments state of the lesion, without what they leave out."""
    given = {
        "role": args.lesion_role, "organ": args.lesion_organ, "nodal": YES_NO.get(args.lesion_nodal), "treated": YES_NO.get(args.lesion_treated), "progressed": YES_NO.get(args.lesion_progressed),
        "state": args.lesion_state, "parts_mm": args.parts_mm, "new_lesion_certain": NEW.get(args.new_lesion), "viable_diameter_mm": args.viable_diameter_mm, "control": args.ablation_control,
    }  # fmt: skip
    return {name: value for name, value in given.items() if value is not None}


def run_add_reading(args) -> int:
    """Add or change a reading."""
    from app.cli.study import opened
    from app.usecases.readings import check_source, find_node, find_visit, save_reading

    mask = None if args.mask is None else one_mask(args.mask)
    status = ReadingStatus(args.status)
    if status is ReadingStatus.MEASURED and mask is None and args.volume_ml is None and args.long_axis_mm is None:
        raise NodusError("A measured reading needs --mask, --volume-ml or --long-axis-mm.", code="volume_missing")
    check_source(mask, args.method, status, args.reason)
    check_axes(args, mask)
    lesion = lesion_statement(lesion_of(args), status=status)  # before anything is written
    if args.volume_ml is not None and not (math.isfinite(args.volume_ml) and args.volume_ml >= 0):
        raise NodusError("A volume is a number of millilitres, zero or more.", code="value_refused")
    enhancing, found = enhancing_of(args, mask), None
    if args.perfusion is not None:
        found, enhancing = perfusion_of(args, mask, enhancing)
    with opened(args.study) as store:
        made = make_missing(store, args.subject, args.visit, args.node)
        node, visit = find_node(store, args.subject, args.node), find_visit(store, args.subject, args.visit)
        before = store.find_reading(visit_id=visit.visit_id, node_id=node.node_id, reader=args.reader, role=args.role, modality=args.modality, method=args.method)
        saved = save_reading(
            store, visit, node, reader=args.reader, modality=args.modality, method=args.method, status=status, mask=mask, volume_ml=args.volume_ml,
            status_reason=args.reason, reason=args.reason, role=args.role, enhancing=enhancing, enhancement_grade=args.enhancement_grade,
            long_axis_mm=args.long_axis_mm, short_axis_mm=args.short_axis_mm, extra={**({"lesion": lesion} if lesion else {}), **(found or {})} or None,
        )  # fmt: skip
    lost = [] if before is None else [name for name in lesion_said(before) if name not in lesion]
    if lost:
        made.append({"code": "statement_dropped", "message": f"Stated of the lesion before and not now, so it no longer stands: {', '.join(lost)}."})
    emit(
        {"reading_id": saved.reading_id, "version": saved.version, "state": str(saved.state), "status": str(saved.status), "volume_ml": saved.volume_ml, "volume_interval_ml": saved.volume_interval_ml, "viable_ml": saved.viable_ml, "ablated_ml": saved.ablated_ml, "enhancement_grade": saved.enhancement_grade, "grade_proposed": None if found is None else found["perfusion"]["residual"]["grade"], "long_axis_mm": saved.long_axis_mm, "short_axis_mm": saved.short_axis_mm, "lesion": dict(lesion_said(saved)), "warnings": [*saved.warnings, *made]},
        as_json=args.json,
        human="".join(f"{w['message']} [{w['code']}]\n" for w in made) + f"reading {saved.reading_id} of {args.node} at {args.visit}: {saved.status}, {saved.volume_ml if saved.volume_ml is not None else '-'} ml",
    )
    return 0


def check_axes(args, mask) -> None:
    """Refuse axes that contradict each other, the status or the mask: ``value_refused``."""
    given = args.long_axis_mm is not None or args.short_axis_mm is not None
    if given and args.status in ("disappeared_assessed", "not_evaluable", "not_imaged", "merged_into"):
        raise NodusError(f"A reading that is {args.status} has no axes.", code="value_refused")
    for value in (args.long_axis_mm, args.short_axis_mm):
        if value is not None and not (math.isfinite(value) and 0 < value <= LARGEST_MM):
            raise NodusError(f"An axis is a number of millimetres above 0, at most {LARGEST_MM:g}.", code="value_refused")
    if args.short_axis_mm is not None and args.long_axis_mm is not None and args.short_axis_mm > args.long_axis_mm:
        raise NodusError("The short axis is longer than the long axis.", code="value_refused")
    if mask is not None and given:
        raise NodusError("Axes are measured on the mask; give them without --mask alone.", code="value_refused")


def one_mask(path: Path):
    """The one node of a mask file."""
    from dicom_io.masks import read_masks

    masks = read_masks(path, image=None)
    if not masks:
        raise NodusError(f"{path.name} holds no label: there is nothing to read.", code="empty_mask")
    if len(masks) != 1:
        raise NodusError(f"{path.name} holds {len(masks)} labels; a reading is of one node.", code="several_labels", hint="Split the mask, one label a file.")
    return masks[0] if masks[0].origin is not None else replace(masks[0], origin=OutlineOrigin("file"))


def enhancing_of(args, mask):
    """The enhancing part as the arguments give it, or None: not assessed."""
    from app.usecases.enhancing_part import by_outline, stated
    from volumetry.measure import measure_node

    given = args.viable_ml is not None or args.ablated_ml is not None
    if args.viable_mask is not None:
        if mask is None or given:
            raise NodusError("--viable-mask goes with --mask, and without --viable-ml and --ablated-ml.", code="part_source_refused")
        return by_outline(mask, one_mask(args.viable_mask))
    if not given:
        return None
    total_ml = args.volume_ml if mask is None else measure_node(mask).voxel_volume_ml
    if not total_ml:
        raise NodusError("A part of a node needs the volume of the whole.", code="part_without_total", hint="Give --mask or --volume-ml as well.")
    return stated(total_ml, viable_ml=args.viable_ml, ablated_ml=args.ablated_ml)


def perfusion_of(args, mask, enhancing):
    """The proposal of ``--perfusion`` as a reading keeps it, and the enhancing part: the reader's own where stated, else by the proposal."""
    from app.usecases.perfusion_reading import read_result, with_proposal
    from volumetry.measure import measure_node

    record = read_result(args.perfusion)
    total_ml = args.volume_ml if mask is None else measure_node(mask).voxel_volume_ml
    return with_proposal(record, grade=args.enhancement_grade, modality=args.modality, total_ml=total_ml, enhancing=enhancing)


def make_missing(store, subject: str, visit: str, node: str) -> list[dict]:
    """Add subject, visit and node that a script names for the first time; each is told as a warning.
    Side and level of such a node are unknown until ``study set-node`` states them."""
    made = []
    if subject not in {s.subject_id for s in store.subjects()}:
        store.add_subject(subject)
        made.append({"code": "subject_added", "message": f"Subject {subject} was new and was added."})
    if visit not in {name for v in store.visits(subject) for name in (v.name, v.visit_id)}:
        store.add_visit(subject, visit)
        made.append({"code": "visit_added", "message": f"Visit {visit} was new and was added without a date."})
    if node not in {name for n in store.nodes(subject) for name in (n.label, n.node_id)}:
        store.add_node(subject, node, Side.UNKNOWN, UNKNOWN_LEVEL)
        made.append({"code": "node_added", "message": f"Node {node} was new and was added; its side and level are unknown until set-node states them."})
    return made
