"""``register``: where a point of one picture lies in another."""

from __future__ import annotations

from pathlib import Path

from app.cli.output import add_command, add_json, emit, progress_context

DESCRIPTION = (
    "Rigid registration of two volumes of one patient, for instance two visits. By image content (mutual information on the body of a CT, or on --mask), "
    "or by --landmarks. The answer: matrix (4 x 4, carries LPS mm points of FIXED to MOVING), residual_mm (what is left: three of four re-found blocks, or the "
    "root mean square of the landmarks; null where it could not be measured), angle_deg, shift_mm (of the middle of what was registered), centre_mm (that middle), "
    "method (mutual_information or landmarks), point_residuals_mm (one a landmark), warnings."
)


def register(commands) -> None:
    """Add the command."""
    command = add_command(commands, "register", help="where a point of one volume lies in another", description=DESCRIPTION)
    command.add_argument("fixed", type=Path, metavar="FIXED", help="volume file, or DICOM folder or file, that points come from")
    command.add_argument("moving", type=Path, metavar="MOVING", help="the one they are carried to")
    command.add_argument(
        "--landmarks", type=Path, metavar="FILE",
        help='JSON {"landmarks": [{"name", "fixed_mm": [x, y, z], "moving_mm": [x, y, z]}, ...]}, LPS mm; at least three, not on one line',
    )  # fmt: skip
    command.add_argument("--mask", type=Path, metavar="MASK", help="mask on FIXED of the part that must fit; without it the body of a CT, else everything")
    add_json(command)
    command.set_defaults(work=run_register)


def run_register(args) -> int:
    """Register two volumes and print the rigid motion."""
    from app.usecases.register import register_files, registration_numbers

    found = register_files(args.fixed, args.moving, progress_context(), landmarks_path=args.landmarks, mask_path=args.mask)
    answer = {
        **registration_numbers(found),
        "centre_mm": list(found.centre_mm),
        "point_residuals_mm": list(found.point_residuals_mm),
        "warnings": [f.as_warning() for f in found.findings],
    }
    residual = "could not be measured" if found.residual_mm is None else f"{found.residual_mm:.2f} mm"
    shift = ", ".join(f"{v:.2f}" for v in found.shift_mm)
    lines = [f"residual {residual} ({found.method.replace('_', ' ')})", f"turned by {found.angle_deg:.2f} degrees, shifted by ({shift}) mm"]
    lines += ["  ".join(f"{v:12.6f}" for v in row) for row in found.matrix] + [f"! {f.message}" for f in found.findings]
    emit(answer, as_json=args.json, human="\n".join(lines))
    return 0
