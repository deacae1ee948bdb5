"""``deidentify``: clean copies of DICOM files for sharing."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from app.cli.output import add_command, add_json, emit, progress_context


def register(commands) -> None:
    """Add the command."""
    clean = add_command(
        commands, "deidentify",
        help="clean copies of DICOM files: no names, shifted dates, masked ultrasound, and a table of what was changed",
        description="Clean copies of everything DICOM under IN, after PS3.15 annex E. Pictures that may show a name are listed and left out until somebody confirms them.",
    )  # fmt: skip
    clean.add_argument("path", type=Path, metavar="IN", help="folder, file, ZIP archive or DICOMDIR")
    clean.add_argument("out", type=Path, metavar="OUT", help="an absent or empty folder")
    clean.add_argument("--profile", default="trial", metavar="NAME", help="basic (no dates), trial (dates shifted; the default) or trial-device (and the scanner's identity kept)")
    clean.add_argument("--subject", metavar="PSEUDONYM", help="pseudonym of all files; one for each patient, worked out from the key, without it")
    clean.add_argument("--visit", metavar="NAME", help="time point, written into the trial modules")
    source = clean.add_mutually_exclusive_group()
    source.add_argument("--study", type=Path, metavar="STUDY", help="use the key, protocol and site of this study, so that the copies match what it exports")
    source.add_argument("--key", type=Path, metavar="FILE", help="use (or make) a key of your own, outside OUT; this computer's key without it")
    clean.add_argument("--like", type=Path, metavar="FOLDER", help="an earlier OUT that the new copies must match: another key than its is refused, and none is made")
    clean.add_argument("--protocol", metavar="ID", help="trial protocol, where no study is named")
    clean.add_argument("--site", metavar="ID", help="site, where no study is named")
    add_confirmations(clean, "IN")
    add_json(clean)
    clean.set_defaults(work=run_deidentify)


def add_confirmations(command, where: str) -> None:
    """The options by which a person says that they have looked."""
    command.add_argument("--confirm", action="append", default=[], metavar="FILE", help=f"somebody looked at this picture (its name under {where}) and it names nobody; may be repeated")
    command.add_argument("--keep", action="append", default=[], type=parse_keep, metavar="FILE=X0,Y0,X1,Y1", help="as --confirm, and only this part of the picture stays; may be repeated")
    command.add_argument("--keep-also", action="append", default=[], type=parse_keep, metavar="FILE=X0,Y0,X1,Y1", help="as --confirm, and this part stays as well as what would, for example a drawn scale; may be repeated")
    command.add_argument("--confirm-all", action="store_true", help="somebody looked at every picture")


def parse_keep(text: str) -> tuple[str, tuple[int, int, int, int]]:
    """``FILE=X0,Y0,X1,Y1`` as a name and a box."""
    name, _, numbers = text.rpartition("=")
    try:
        x0, y0, x1, y1 = (int(v) for v in numbers.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is not like picture.dcm=10,40,600,440") from None
    if not name or x1 < x0 or y1 < y0:
        raise argparse.ArgumentTypeError(f"'{text}' is not like picture.dcm=10,40,600,440")
    return name, (x0, y0, x1, y1)


def confirmations(args) -> dict:
    """What the options confirm, by file."""
    from dicom_io.deidentify import Confirmed

    found = {name: Confirmed() for name in args.confirm}
    for name, box in args.keep:
        earlier = found.get(name)
        found[name] = Confirmed((*(earlier.boxes or ()), box) if earlier else (box,))
    for name, box in args.keep_also:
        earlier = found.get(name, Confirmed())
        found[name] = replace(earlier, also=(*earlier.also, box))
    return found


def run_deidentify(args) -> int:
    """Clean copies, or the reasons why not."""
    from app.cli.study import opened
    from app.usecases.deidentify import deidentify, key_and_trial

    key, trial = key_and_trial(
        args.out, study=args.study, key_file=args.key, subject=args.subject, visit=args.visit, protocol=args.protocol, site=args.site, like=args.like, open_study=opened,
    )  # fmt: skip
    result = deidentify(
        args.path, args.out, args.profile, key, subject=args.subject, trial=trial, confirmed=confirmations(args), confirm_all=args.confirm_all, context=progress_context()
    )
    held = {r["file"] for r in result["needs_review"] if r["held"]}
    human = f"{len(result['files'])} files are clean; {len(result['changed'])} kinds of change, told in {result['report']}; {result['masked_pixels']} pixels masked"
    if held:
        human += f"\n{len(held)} pictures need a person's eye and were not written:"
        human += "".join(f"\n  {r['file']}: {r['message']} [{r['reason']}]" for r in result["needs_review"] if r["held"])
    human += "".join(f"\nleft out: {s['file']}: {s['message']} [{s['code']}]" for s in result["skipped"])
    human += "".join(f"\nwarning: {w['message']} [{w['code']}]" for w in result["warnings"])
    emit(result, as_json=args.json, human=human)
    return 0
