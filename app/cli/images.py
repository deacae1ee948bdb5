"""``scan``, ``convert``, ``length``: what is in a folder, and what a pixel is worth."""

from __future__ import annotations

import argparse
from pathlib import Path

from app.cli.output import add_command, add_json, emit, progress_context, table
from volumetry.errors import NodusError


def register(commands) -> None:
    """Add the image commands."""
    scan = add_command(commands, "scan", help="list the series in a folder, with findings", description="List the image series in a folder, ZIP archive, DICOMDIR or file; no pixels are read.")
    scan.add_argument("path", type=Path, metavar="PATH", help="folder, ZIP archive, DICOMDIR or file")
    add_json(scan)
    scan.set_defaults(work=run_scan)

    convert = add_command(commands, "convert", help="write one series as NIfTI, NRRD or MetaImage")
    convert.add_argument("path", type=Path, metavar="PATH", help="DICOM folder, ZIP archive, DICOMDIR or file, or volume file")
    convert.add_argument("out", type=Path, metavar="OUT", help="file to write: .nii.gz, .nrrd or .mha")
    convert.add_argument("--series", metavar="UID", help="which series, where the folder holds several")
    add_json(convert)
    convert.set_defaults(work=run_convert)

    length = add_command(
        commands, "length",
        help="a caliper on an ultrasound picture, or the reason why there is none",
        description="Length between two points of an ultrasound picture. Columns and rows at pixel centres, counted from 0.",
    )
    length.add_argument("image", type=Path, metavar="IMAGE", help="DICOM file of the picture")
    length.add_argument("--points", nargs=2, required=True, metavar="X,Y", type=parse_pair, help="the two ends, column and row")
    length.add_argument("--frame", type=int, default=0, metavar="N", help="frame of a loop, from 0")
    length.add_argument(
        "--scale", nargs=3, action="append", metavar=("X1,Y1", "X2,Y2", "MM"),
        help="where the header gives no scale: the ends of a scale drawn in the picture and its length; again for one across and one down; marked manual_calibration",
    )
    length.add_argument("--scale-box", nargs=2, type=parse_pair, metavar="X,Y", help="two corners of the part of the picture that the scale holds for")
    add_json(length)
    length.set_defaults(work=run_length)


def parse_pair(text: str) -> tuple[float, float]:
    """``X,Y`` as two numbers."""
    try:
        x, y = (float(v) for v in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is not a point like 100,152.5") from None
    return x, y


def parse_scale(values: list[str]) -> tuple[tuple[float, float], tuple[float, float], float]:
    """``X1,Y1 X2,Y2 MM`` as two points and a length."""
    try:
        return parse_pair(values[0]), parse_pair(values[1]), float(values[2])
    except (ValueError, argparse.ArgumentTypeError):
        raise NodusError(f"'{' '.join(values)}' is not a scale like 10,50 10,258 20.", code="scale_length_missing") from None


def run_scan(args) -> int:
    """List series and skipped files."""
    from app.usecases.open_images import scan

    result = scan(args.path, progress_context())
    rows = [
        [s.kind, s.modality or "-", str(s.frames), "x".join(map(str, s.shape)) if s.shape else "-", f"{len(s.files)} files", "; ".join(f.code for f in s.findings) or "-"]
        for s in result.series
    ]
    human = table(rows, ["kind", "modality", "frames", "shape", "files", "findings"])
    if result.patients > 1:
        human += f"\n\nwarning: the files name {result.patients} different patients"
    if result.skipped:
        human += "\n\nskipped:\n" + "\n".join(f"  {s.file}: {s.message} [{s.code}]" for s in result.skipped)
    emit(result.to_dict(), as_json=args.json, human=human)
    return 0


def run_convert(args) -> int:
    """Write a series as a volume file with exact geometry."""
    from app.usecases.open_images import convert

    volume = convert(args.path, args.series, args.out, progress_context())
    shape, spacing = volume.geometry.shape[::-1], volume.geometry.spacing_mm
    result = {"path": str(args.out), "shape": shape, "spacing_mm": spacing, "warnings": [f.as_warning() for f in volume.findings]}
    human = f"{args.out}: {'x'.join(map(str, shape))} voxels of {' x '.join(f'{v:.4g}' for v in spacing)} mm"
    human += "".join(f"\nwarning: {f.message} [{f.code}]" for f in volume.findings)
    emit(result, as_json=args.json, human=human)
    return 0


def run_length(args) -> int:
    """Give or refuse a length."""
    from app.usecases.open_images import picture_length

    scale = [parse_scale(values) for values in args.scale or ()]
    if args.scale_box and not scale:
        raise NodusError("A part of the picture needs a scale.", code="scale_length_missing", hint="Give --scale too.")
    answer = picture_length(args.image, args.points[0], args.points[1], args.frame, scale=scale, scale_box=args.scale_box)
    if answer.length_mm is None:
        raise NodusError("This picture gives no length.", code="uncalibrated")
    result = {
        "length_mm": answer.length_mm,
        "length_px": answer.length_px,
        "region": answer.region,
        "warnings": [w.as_warning() for w in answer.warnings],
    }
    human = f"{answer.length_mm:.2f} mm ({answer.length_px:.1f} px)" + "".join(f"\nwarning: {w.message} [{w.code}]" for w in answer.warnings)
    emit(result, as_json=args.json, human=human)
    return 0
