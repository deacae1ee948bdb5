"""``nodus bench`` reports times and ratios; no test asserts a time."""

from __future__ import annotations

import os

import pytest

FIELDS = {"task", "ours_s", "peer", "peer_s", "ratio", "same_result"}


def test_that_an_unknown_benchmark_is_refused(nodus):
    answer = nodus("bench", "nonsense", "--json")
    assert (answer.code, answer.json["error"]["code"]) == (3, "unknown_benchmark")


@pytest.mark.slow
def test_that_benchmarks_report_ratios_on_the_same_result(nodus):
    report = nodus("bench", "dicom", "--short", "--json").json
    assert report["machine"]
    assert all(set(row) == FIELDS for row in report["rows"])
    compared = [row for row in report["rows"] if row["peer"] is not None]
    assert compared
    assert [row for row in compared if row["same_result"] is not True] == []
    peers = {word: sum(word in row["peer"] for row in compared) for word in ("pydicom", "SimpleITK", "highdicom")}
    assert all(count >= 8 for count in peers.values()), peers
    assert {kind for kind in ("scan", "native", "RLE", "JPEG-LS", "JPEG 2000", "enhanced", "SEG", "cine") if any(kind in row["task"] for row in compared)} == {
        "scan", "native", "RLE", "JPEG-LS", "JPEG 2000", "enhanced", "SEG", "cine",
    }  # fmt: skip
    assert all(row["ratio"] == pytest.approx(row["peer_s"] / row["ours_s"]) for row in compared)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_that_all_benchmarks_run_and_are_recorded(nodus, record_result):
    load = f"Other work on the machine when it began: {os.getloadavg()[0]:.1f} processes on average.\n\n" if hasattr(os, "getloadavg") else ""
    report = nodus("bench", "--json", timeout=1500).json

    def seconds(value) -> str:
        return "" if value is None else f"{value:.4g}"

    lines = ["| task | ours, s | peer | peer, s | ratio | same result |", "| --- | --- | --- | --- | --- | --- |"]
    for r in report["rows"]:
        ratio = "" if r["ratio"] is None else f"{r['ratio']:.2f}x"
        same = {True: "yes", False: "no", None: ""}[r["same_result"]]
        lines.append(f"| {r['task']} | {seconds(r['ours_s'])} | {r['peer'] or ''} | {seconds(r['peer_s'])} | {ratio} | {same} |")
    record_result("bench", "Times and ratios", "A ratio above 1 means that we are faster than the peer in the same run.\n\n" + load + "\n".join(lines))
    assert any("usable window" in r["task"] for r in report["rows"])
    assert any(r["task"].startswith("demo:") for r in report["rows"])
