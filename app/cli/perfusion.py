"""``perfusion`` and ``enhancement``: a contrast loop to curves, fits and ratios, a pair of CTs to a map, and what still enhances."""

from __future__ import annotations

import argparse
from pathlib import Path

from app.cli.output import add_command, add_json, emit, progress_context, table
from volumetry.errors import NodusError

HELP = """Read a contrast ultrasound loop: undo colours and log compression, follow the tissue, fit the curve of each region, and
propose what of a node still enhances. The proposal decides nothing; the reader does.

ROI.json: {"regions": [{"name": "node", "role": "node", "polygon_px": [[x, y], ...]}], "frame": N}. Points are pixels of
the whole picture, pixel centres at whole numbers, within the contrast or the B-mode picture (one drawn in B-mode is taken
across). Roles: node, reference, ablated_zone, viable, rim, vessel, tissue. "frame" is the frame of the file that they were
drawn on, from 0.

The answer (--json): per region model, parameters (of the model, and times, rates and areas read off the curve), 95 % intervals,
r_squared, reasons (why a value is missing), ratios to the reference, differences_s of arrival and peak; residual (grade
0-3 or NE, viable and ablated part), frames_rejected (frame, time_s, reason), model_choice, motion_in_parts, loop_sha256 and input_sha256. With --second, two_planes: what both loops say, its intervals and
warnings, and second, the other loop's answer."""


CT_HELP = """What of a node enhances on contrast CT. With --pre the picture before contrast is brought onto POST by content and taken
off it: a place enhances where it rises by --threshold-hu (20 HU without it) and by five times the noise; its border lies at half
of what is reached nearby. With --above-hu, voxels of POST at or above that value count. A smooth rim all round is told apart.
The proposal decides nothing; the reader does. The answer has the form of nodus perfusion (modality CT), and study add-reading
--perfusion takes it; residual adds rim_ml, noise_hu and threshold_hu (the one that was applied)."""


def register(commands) -> None:
    """Add the commands."""
    enhancement = add_command(commands, "enhancement", help="what of a node enhances on contrast CT, from a pair or by a threshold", description=CT_HELP)
    enhancement.formatter_class = argparse.RawDescriptionHelpFormatter
    enhancement.add_argument("post", type=Path, metavar="POST", help="CT after contrast: volume file, DICOM folder or file")
    enhancement.add_argument("mask", type=Path, metavar="MASK", help="outline of the node on POST")
    enhancement.add_argument("--pre", type=Path, metavar="PRE", help="CT before contrast")
    enhancement.add_argument("--threshold-hu", type=float, metavar="HU", help="with --pre: least rise that counts as enhancement (20 without it)")
    enhancement.add_argument("--above-hu", type=float, metavar="HU", help="without --pre: voxels at or above this count as enhancing, as the reader states it")
    enhancement.add_argument("--label", type=int, metavar="N", help="the label of MASK to take")
    enhancement.add_argument("--no-registration", action="store_true", help="both pictures lie alike already")
    enhancement.add_argument("--maps", type=Path, metavar="OUT", help="folder for the map of the rise, the enhancing part and the rim, as NIfTI")
    add_json(enhancement)
    enhancement.set_defaults(work=run_enhancement)

    perfusion = add_command(commands, "perfusion", help="a contrast loop: curves, ratios and what of a node still enhances", description=HELP)
    perfusion.formatter_class = argparse.RawDescriptionHelpFormatter
    perfusion.add_argument("cine", type=Path, metavar="CINE", help="ultrasound loop: a DICOM file, or a folder with one")
    perfusion.add_argument("--roi", type=Path, required=True, metavar="ROI.json", help="regions, as above")
    perfusion.add_argument("--series", metavar="UID", help="which loop of a folder")
    perfusion.add_argument("--range-db", type=float, metavar="DR", help="dynamic range of the contrast picture; needed where the file does not state it")
    perfusion.add_argument("--panes", metavar="BOXES", help="contrast/B-mode as X0,Y0,X1,Y1/X0,Y0,X1,Y1, contrast alone, overlay:X0,Y0,X1,Y1, or swapped; proposed without it")
    perfusion.add_argument("--colour-map", metavar="BAR", help="grey, or the box X0,Y0,X1,Y1 of the contrast's colour bar; found without it")
    perfusion.add_argument("--tint-share", type=float, metavar="S", help="of an overlay: how strongly the colour was mixed in, 0.05 to 1")
    perfusion.add_argument("--model", choices=("lognormal", "gamma_variate", "replenishment", "auto"), default="lognormal", help="curve that is fitted (lognormal without it); auto: by information criterion, told in model_choice")
    perfusion.add_argument("--node-ml", type=float, metavar="ML", help="volume of the node: the viable share of this section is applied to it")
    perfusion.add_argument("--frames", metavar="A:B", help="first and last frame to read, from 0")
    perfusion.add_argument("--arrival", type=float, metavar="S", help="when contrast arrives, seconds from the first frame read, as the reader sees it")
    perfusion.add_argument("--nonrigid", action="store_true", help="follow the tissue in parts as well")
    perfusion.add_argument("--second", type=Path, metavar="CINE2", help="loop of the same node at a right angle to the first: what enhances is then told over both planes too, in two_planes")
    perfusion.add_argument("--second-roi", type=Path, metavar="ROI2.json", help="regions of the second loop")
    perfusion.add_argument("--maps", type=Path, metavar="OUT", help="folder for maps of the parameters and of what enhances, as NIfTI")
    perfusion.add_argument("--curves", action="store_true", help="the curve of each region in the answer, frame by frame, with its band")
    add_json(perfusion)
    perfusion.set_defaults(work=run_perfusion)


def run_perfusion(args) -> int:
    """Analyse a loop."""
    from app.usecases.files import ensure_folder
    from app.usecases.perfusion_files import PerfusionRequest, analyse_file, parse_frames, write_maps
    from app.usecases.perfusion_planes import analyse_second, check_two_files

    asked = PerfusionRequest(
        args.cine, args.roi, args.range_db, args.panes, args.colour_map, args.tint_share, args.model, args.node_ml,
        None if args.frames is None else parse_frames(args.frames), args.arrival, args.nonrigid, args.maps is not None, args.series,
    )  # fmt: skip
    if (args.second is None) != (args.second_roi is None):
        raise NodusError("A second loop needs its own regions: give --second and --second-roi.", code="second_roi_missing")
    if args.second is not None:
        check_two_files(args.cine, args.second)
    if args.maps is not None:
        ensure_folder(args.maps)  # before the long work, not after it
    result, more = analyse_file(asked, progress_context())
    answer = result.to_dict(curves=args.curves) | more
    if args.second is not None:
        answer["two_planes"] = analyse_second(result, asked, args.second, args.second_roi, progress_context())
    if args.maps is not None:
        answer["files"] = write_maps(result, args.maps)
    emit(answer, as_json=args.json, human=described(answer))
    return 0


def run_enhancement(args) -> int:
    """Enhancement on CT."""
    from app.usecases.ct_enhancement import CtRequest, enhancement_of_files, write_enhancement
    from app.usecases.files import ensure_folder

    if args.maps is not None:
        ensure_folder(args.maps)  # before the long work, not after it
    found, answer = enhancement_of_files(CtRequest(args.post, args.mask, args.pre, args.threshold_hu, args.above_hu, args.label, not args.no_registration), progress_context())
    if args.maps is not None:
        answer["files"] = write_enhancement(found, args.maps)
    residual = answer["residual"]
    ml = "" if residual["viable_ml"] is None else f", viable {residual['viable_ml']:.3f} of {residual['node_ml']:.3f} ml ({residual['viable_pct']:.0f} %)"
    lines = [f"Proposed grade {residual['grade']}{ml}: {' '.join(residual['reasons'])}", *(f"{f['message']} [{f['code']}]" for f in answer["findings"])]
    emit(answer, as_json=args.json, human="\n".join(lines))
    return 0


def described(answer: dict) -> str:
    """The answer for people."""

    def shown(value, digits: int = 1) -> str:
        return "-" if value is None else f"{value:.{digits}f}"

    rows = []
    for r in answer["regions"]:
        p, ratio = r["parameters"] or {}, (r["ratios"] or {}).get("auc") or {}
        rows.append([
            r["name"], r["role"], r["model"] or "-", shown(p.get("arrival_s")), shown(p.get("ttp_s")), shown(p.get("rise_time_s")), shown(p.get("mtt_s")), shown(ratio.get("value"), 2),
            shown(r["r_squared"], 3), "; ".join(w["code"] for w in r["warnings"]) or "-",
        ])  # fmt: skip
    lines = [table(rows, ["region", "role", "model", "arrival s", "peak s", "rise s", "transit s", "AUC ratio", "R2", "warnings"]), ""]
    residual = answer["residual"]
    if residual["grade"] is not None:
        parts = f", viable {shown(residual['viable_pct'], 0)} % of the section" if residual["viable_pct"] is not None else ""
        ml = f", {shown(residual['viable_ml'], 2)} of {shown(residual['node_ml'], 2)} ml" if residual["viable_ml"] is not None else ""
        lines.append(f"Proposed grade {residual['grade']}{parts}{ml}: {' '.join(residual['reasons'])}")
        lines += [f"  {w['message']} [{w['code']}]" for w in residual["warnings"]]
    both = answer.get("two_planes")
    if both is not None:
        low, high = both["volume_interval_pct"] or (None, None)
        solid = "" if both["solid_pct"] is None else f"; as a solid {shown(both['solid_pct'], 0)} %"
        ml = "" if both["viable_ml"] is None else f", {shown(both['viable_ml'], 2)} ml ({shown(both['viable_interval_ml'][0], 2)} to {shown(both['viable_interval_ml'][1], 2)})"
        lines.append(f"Both planes: grade {both['grade']}, viable {shown(both['viable_pct'], 0)} % of the sections (of the volume {shown(low, 0)} to {shown(high, 0)} %{solid}){ml}")
        lines += [f"  {w['message']} [{w['code']}]" for w in both["warnings"]]
    lost = [f"{f['frame']} ({f['reason']})" for f in answer["frames_rejected"]]
    left_out = f"; left out: {', '.join(lost[:12])}{' ...' if len(lost) > 12 else ''}" if lost else ""
    lines.append(f"{answer['frames_accepted']} of {answer['frames']} frames take part{left_out}")
    lines += [f"{f['message']} [{f['code']}]" for f in answer["findings"]]
    return "\n".join(lines)
