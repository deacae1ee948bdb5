"""``segment``, ``edit``, ``overlap``: a node outlined by any method, an outline repaired, two outlines compared."""

from __future__ import annotations

import argparse
from pathlib import Path

from app.cli.measuring import describe, parse_numbers
from app.cli.output import add_command, add_json, emit, progress_context, say, table

USAGE = 2

METHODS_HELP = """Outline a node, write its mask and measure it.

On a volume: star_convex (the default; --seed, --radius-mm, --anchor), region_growing (--seed,
--radius-mm), threshold (--seed, --radius-mm, --range-hu), scribbles (--strokes), contours
(--contours), model (--seed, --model). On a picture: polar (the default; --seed, --radius-px,
--anchor) and livewire (--anchor at least three times: the wire runs along edges through
these points and closes).

STROKES.json: {"inside": [[[x,y,z], ...], ...], "outside": [...], "radius_mm": 0.5}; points in LPS mm,
radius_mm is half a stroke's width. Without --seed and --radius-mm the search ball is worked
out from the strokes.

CONTOURS.json: {"axis": 0, "slices": {"12": [[[x,y,z], ...]]}}; closed outlines by slice number across k, j
or i (axis 0, 1, 2), points in LPS mm or [column,row]. Slices between are filled by their shape
("interpolate": false leaves them empty); coverage_volume_ml is the planimetry of the outlines.

The answer holds what measure gives as "nodes", and mask, method, segmentation (how the outline
came about), quality and warnings."""


def register(commands) -> None:
    """Add the commands about outlines."""
    segment = add_command(commands, "segment", help="a node outlined by a click or another method, as a mask and its measurement", description=METHODS_HELP)
    segment.formatter_class = argparse.RawDescriptionHelpFormatter
    segment.add_argument("image", type=Path, metavar="IMAGE", help="volume file, DICOM folder or file, or ultrasound picture")
    segment.add_argument("--seed", metavar="X,Y,Z", help="the click, LPS mm (on a 2-D image X,Y in pixels); negative numbers as --seed=-12.5,3,40")
    segment.add_argument("--radius-mm", type=float, metavar="R", help="on a volume: from the click to about the edge; estimated without it")
    segment.add_argument("--radius-px", type=float, metavar="R", help="on a picture: from the click to about the edge, in pixels (40 without it)")
    segment.add_argument("--anchor", action="append", default=[], metavar="X,Y,Z", help="a point that the outline passes through (on a 2-D image X,Y); may be repeated")
    segment.add_argument("--range-hu", metavar="LO,HI", help="threshold: the values that count, both included")
    segment.add_argument("--strokes", type=Path, metavar="STROKES.json", help="scribbles: strokes inside and outside the node")
    segment.add_argument("--contours", type=Path, metavar="CONTOURS.json", help="contours: outlines drawn on slices")
    segment.add_argument("--model", type=Path, metavar="FOLDER", help="model: folder of a trained network and its manifest; naming it switches it on for this command")
    segment.add_argument("--modality", choices=("CT", "MR", "PT"), help="model: what a volume file without a DICOM header shows, as you state it")
    segment.add_argument("--frame", type=int, metavar="N", help="frame of a cine, from 0 (the first without it)")
    segment.add_argument("--method", default=None, metavar="NAME", help="star_convex on a volume and polar on a picture without it; see above")
    segment.add_argument("--out", type=Path, required=True, metavar="MASK", help="mask file to write: .nii.gz, .nrrd or .mha")
    add_json(segment)
    segment.set_defaults(work=run_segment)

    edit = add_command(commands, "edit", help="repair an outline: grow, shrink, smooth, fill, keep-largest, cut")
    edit.add_argument("mask", type=Path, metavar="MASK", help="NIfTI, NRRD or MetaImage label map, DICOM SEG or RTSTRUCT")
    edit.add_argument("--operation", required=True, choices=("grow", "shrink", "smooth", "fill", "keep-largest", "cut"), help="what to do with the outline")
    edit.add_argument("--mm", type=float, metavar="D", help="grow, shrink: by how much (0.5 without it); smooth: sd of the blur (0.8 without it)")
    edit.add_argument("--point", metavar="X,Y,Z", help="cut: a point of the plane, LPS mm")
    edit.add_argument("--normal", metavar="X,Y,Z", help="cut: direction of the part that is cut off")
    edit.add_argument("--label", type=int, metavar="N", help="the label to repair; OUT holds this one alone")
    edit.add_argument("--image", type=Path, help="the image series an RTSTRUCT refers to")
    edit.add_argument("--out", type=Path, required=True, metavar="OUT", help="mask file to write: .nii.gz, .nrrd or .mha")
    add_json(edit)
    edit.set_defaults(work=run_edit)

    compare = add_command(commands, "overlap", help="agreement of two outlines: Dice, Jaccard, Hausdorff, surface distance, volume difference")
    for name, what in (("first", "MASK_A"), ("second", "MASK_B")):
        compare.add_argument(name, type=Path, metavar=what, help="NIfTI, NRRD or MetaImage label map, DICOM SEG or RTSTRUCT")
    compare.add_argument("--label", type=int, metavar="N", help="the label to compare, where a mask holds several")
    compare.add_argument("--image", type=Path, help="the image series an RTSTRUCT refers to")
    add_json(compare)
    compare.set_defaults(work=run_overlap)


def run_segment(args) -> int:
    """One node to a mask file, measured."""
    from app.usecases.segment import segment_file
    from app.usecases.segment_methods import METHODS

    wanted = METHODS.get(args.method) if args.method is not None else None
    if args.seed is None and (args.method is None or (wanted is not None and "seed" in wanted.needs)):
        say("usage: nodus segment: a click is needed: --seed X,Y,Z (see nodus segment --help)")
        return USAGE
    nodes, extra = segment_file(
        args.image,
        None if args.seed is None else parse_numbers(args.seed),
        args.out,
        progress_context(),
        method=args.method,
        radius_mm=args.radius_mm,
        radius_px=args.radius_px,
        anchors=tuple(parse_numbers(a) for a in args.anchor),
        range_hu=None if args.range_hu is None else parse_numbers(args.range_hu),
        strokes=args.strokes,
        contours=args.contours,
        model=args.model,
        modality=args.modality,
        frame=args.frame,
    )
    human = describe(nodes) + f"\nmask: {args.out} ({extra['method']})" + "".join(f"\n{w['code']}: {w['message']}" for w in extra["warnings"])
    emit({"nodes": nodes, "mask": str(args.out), **extra}, as_json=args.json, human=human)
    return 0


def run_edit(args) -> int:
    """A repaired mask file, measured."""
    from app.usecases.edit_mask import edit_file

    nodes = edit_file(
        args.mask,
        args.operation,
        args.out,
        mm=args.mm,
        point_mm=None if args.point is None else parse_numbers(args.point),
        normal=None if args.normal is None else parse_numbers(args.normal),
        label=args.label,
        image=args.image,
    )
    emit({"nodes": nodes, "mask": str(args.out), "operation": args.operation}, as_json=args.json, human=describe(nodes) + f"\nmask: {args.out}")
    return 0


def run_overlap(args) -> int:
    """Agreement of two mask files."""
    from app.usecases.overlap import overlap_of_files

    found = overlap_of_files(args.first, args.second, label=args.label, image=args.image)
    rows = [[name, "-" if value is None else f"{value:.4g}"] for name, value in found.items()]
    emit(found, as_json=args.json, human=table(rows, ["measure", "value"]))
    return 0
