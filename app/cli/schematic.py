"""``schematic``: a plan from distances measured by ultrasound alone."""

from __future__ import annotations

from pathlib import Path

from app.cli.output import add_command, add_json, emit


def register(commands) -> None:
    """Add the command."""
    schematic = add_command(
        commands, "schematic", help="make a nodus.plan/1 file from distances measured by ultrasound alone (nodus.schematic/1)",
        description="Place node, vessels, airway, nerves, skin and needles as simple shapes in a frame at the skin mark, so that the measured distances come out of them. "
        "The plan is marked \"schematic\" for good: it is not registered to any image. The file is described on the page on planning. "
        "The answer: \"node\" (\"volume_ml\", \"centre_mm\", \"near_surface_mm\", \"far_surface_mm\"), \"structures\" (\"from_node_mm\", \"from_mark_mm\", \"needles\"), "
        "\"needles\" (\"depth_mm\", \"tip_depth_mm\"), \"pairs\", \"frame\", \"mark\", \"uncertainty_mm\", \"plan\" (the plan file's object), \"out\", \"warnings\".",
    )  # fmt: skip
    schematic.add_argument("file", type=Path, metavar="FILE.json", help="measured distances, nodus.schematic/1")
    schematic.add_argument("--out", type=Path, metavar="PLAN.json", help="write the plan file there; solve it with nodus plan")
    add_json(schematic)
    schematic.set_defaults(work=run_schematic)


def run_schematic(args) -> int:
    """Read, place, optionally write the plan file."""
    from app.usecases.files import ensure_place
    from app.usecases.schematic import load_schematic, make_plan, write_plan

    written, answer = make_plan(load_schematic(args.file))
    if args.out is not None:
        ensure_place(args.out)
        write_plan(written, args.out)
    answer |= {"plan": written, "out": None if args.out is None else str(args.out)}
    emit(answer, as_json=args.json, human=_human(answer))
    return 0


def _human(answer: dict) -> str:
    node = answer["node"]
    lines = [answer["mark"] + ".", answer["frame"], f"{node['name']}: {node['volume_ml']:.3f} ml, from {node['near_surface_mm']:.1f} to {node['far_surface_mm']:.1f} mm under the skin"]
    for s in answer["structures"]:
        needles = "".join(f", {n['distance_mm']:.1f} mm from {n['id']}" for n in s["needles"])
        lines.append(f"{s['name']}: {s['from_node_mm']:.1f} mm from the node{needles}")
    lines += [f"{n['id']}: tip {n['tip_depth_mm']:.1f} mm under the skin, {n['depth_mm']:.1f} mm from entry to tip" for n in answer["needles"]]
    lines += [f"{p['anode']} to {p['cathode']}: {p['distance_mm']:.1f} mm" for p in answer["pairs"]]
    lines += [f"{w['message']} [{w['code']}]" for w in answer["warnings"]]
    if answer["out"] is not None:
        lines.append(f"written to {answer['out']}")
    return "\n".join(lines)
