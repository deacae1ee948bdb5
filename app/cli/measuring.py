"""``measure``, ``ellipsoid``, ``vrr``, ``agreement``: numbers about nodes."""

from __future__ import annotations

from pathlib import Path

from app.cli.output import add_command, add_json, emit, table
from volumetry.errors import NodusError


def register(commands) -> None:
    """Add the measuring commands."""
    measure = add_command(commands, "measure", help="everything about each node of a mask")
    measure.add_argument("mask", type=Path, metavar="MASK", help="NIfTI, NRRD or MetaImage label map, DICOM SEG or RTSTRUCT")
    measure.add_argument("--image", type=Path, help="the image series an RTSTRUCT refers to, or that a threshold applies to")
    measure.add_argument("--label", type=int, metavar="N", help="only this label, segment or ROI number")
    measure.add_argument("--enhancing-above-hu", type=float, metavar="HU", help="on contrast CT (with --image): voxels at or above this count as enhancing; adds viable_ml and ablated_ml")
    add_json(measure)
    measure.set_defaults(work=run_measure)

    ellipsoid = add_command(commands, "ellipsoid", help="volume pi/6 L W H from three diameters in mm")
    for name in ("length", "width", "height"):
        ellipsoid.add_argument(name, type=float, metavar=name[0].upper(), help=f"{name} in mm")
    add_json(ellipsoid)
    ellipsoid.set_defaults(work=run_ellipsoid)

    vrr = add_command(commands, "vrr", help="volume reduction rate with its interval")
    vrr.add_argument("--baseline", type=float, required=True, metavar="ML", help="baseline volume in ml")
    vrr.add_argument("--followup", type=float, required=True, metavar="ML", help="follow-up volume in ml")
    vrr.add_argument("--cv-pct", type=float, metavar="P", help="repeatability of one volume as a coefficient of variation in percent; no interval without it")
    add_json(vrr)
    vrr.set_defaults(work=run_vrr)

    agreement = add_command(commands, "agreement", help="ICC, Bland-Altman, repeatability from a table item,reader,replicate,value")
    agreement.add_argument("table", type=Path, metavar="TABLE.csv", help="table with the columns item, reader, replicate, value")
    add_json(agreement)
    agreement.set_defaults(work=run_agreement)


def parse_numbers(text: str) -> tuple[float, ...]:
    """Comma-separated numbers, or a refusal."""
    try:
        return tuple(float(v) for v in text.split(","))
    except ValueError:
        raise NodusError(f"'{text}' is not a list of numbers like 12.5,3,40.", code="bad_seed") from None


def describe(nodes: list[dict]) -> str:
    """The human form of a measurement."""

    def number(value, digits: int) -> str:
        return "-" if value is None else f"{value:.{digits}f}"

    rows = []
    for n in nodes:
        interval = n["volume_interval_ml"]
        rows.append(
            [
                str(n["label"]), n["name"] or "-", str(n["voxel_count"]), number(n["voxel_volume_ml"], 4),
                f"{interval[0]:.3f}-{interval[1]:.3f}" if interval else "-", number(n["coverage_volume_ml"], 4),
                number(n["long_axis_mm"], 1), number(n["short_axis_mm"], 1), "; ".join(w["code"] for w in n["warnings"]) or "-",
            ]
        )
    return table(rows, ["label", "name", "voxels", "voxel ml", "95 % interval ml", "outline ml", "long mm", "short mm", "warnings"])


def run_measure(args) -> int:
    """Measure the nodes of a mask file."""
    from app.usecases.measure import measure_file

    nodes = measure_file(args.mask, args.image, args.label, args.enhancing_above_hu)
    parts = "".join(
        f"\n{n['name'] or n['label']}: enhancing {n['viable_ml']:.4f} ml, not enhancing {n['ablated_ml']:.4f} ml at {n['enhancing_above_hu']:g} HU" for n in nodes if n.get("viable_ml") is not None
    )
    emit({"nodes": nodes}, as_json=args.json, human=describe(nodes) + parts)
    return 0


def run_ellipsoid(args) -> int:
    """Three diameters to a volume."""
    from volumetry.ellipsoid import ellipsoid_volume_ml

    volume = ellipsoid_volume_ml(args.length, args.width, args.height)
    emit({"ellipsoid_volume_ml": volume}, as_json=args.json, human=f"{volume:.4f} ml")
    return 0


def run_vrr(args) -> int:
    """VRR of two volumes."""
    from volumetry.response.vrr import volume_reduction_rate

    rate = volume_reduction_rate(args.baseline, args.followup, args.cv_pct)
    human = f"VRR {rate.vrr_pct:.1f} %"
    if rate.interval_pct is not None:
        human += f" (95 % {rate.interval_pct[0]:.1f} to {rate.interval_pct[1]:.1f})"
    emit({"vrr_pct": rate.vrr_pct, "interval_pct": rate.interval_pct}, as_json=args.json, human=human)
    return 0


def run_agreement(args) -> int:
    """Agreement statistics of a table."""
    from app.usecases.agreement import agreement_of_table

    emit(agreement_of_table(args.table), as_json=args.json)
    return 0
