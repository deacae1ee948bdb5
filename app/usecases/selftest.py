"""The self-test: every numeric room proves itself on closed forms on the user's machine."""

from __future__ import annotations

import math
import time

from app.jobs import JobContext


def run_checks(context: JobContext) -> dict:
    """Run all checks; the answer is the JSON of ``nodus selftest``."""
    import planning.selfcheck
    import volumetry.selfcheck

    started = time.perf_counter()
    checks = []
    rooms = (("volumetry", volumetry.selfcheck.self_checks), ("planning", planning.selfcheck.self_checks))
    for n, (room, run) in enumerate(rooms):
        context.report(f"Checking {room}", n / len(rooms))
        for name, value, expected, tolerance in run():
            ok = math.isfinite(value) and abs(value - expected) <= tolerance
            checks.append({"name": f"{room}: {name}", "value": value, "expected": expected, "tolerance": tolerance, "ok": bool(ok)})
    context.report("Done", 1.0)
    return {"ok": bool(checks) and all(c["ok"] for c in checks), "checks": checks, "seconds": time.perf_counter() - started}
