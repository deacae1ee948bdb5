"""``python -m tests.fuzz FOLDER``: a long run in portions. FOLDER keeps what was found; the next call goes on from there."""

from __future__ import annotations

import argparse
from pathlib import Path

from tests.fuzz.run import portion


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Read damaged files by the thousand and keep those that are not read cleanly.")
    parser.add_argument("folder", type=Path, help="where the run is kept")
    parser.add_argument("--files", type=int, default=50_000, help="how many files in all")
    parser.add_argument("--seed", type=int, default=1, help="names the run: the same seed makes the same files")
    parser.add_argument("--minutes", type=float, default=9.0, help="stop after this time; call again to go on; or send it SIGTERM")
    parser.add_argument("--processes", type=int, default=2, help="worker processes")
    parser.add_argument("--only", type=int, nargs="+", help="read just these files again")
    args = parser.parse_args()
    tally, _ = portion(args.folder, args.seed, args.files, args.minutes, args.processes, args.only)
    print(f"{tally.files} files, kinds {dict(tally.by_kind)}, slowest {tally.slowest}, largest {tally.largest}")
    for failure, found in sorted(tally.failures.items(), key=lambda f: -len(f[1])):
        print(f"{len(found):6d}  {failure}  e.g. {[(n, s) for n, s, _ in found[:3]]}")
        if args.only:
            print(found[0][2])


if __name__ == "__main__":
    main()
