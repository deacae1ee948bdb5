"""Named values of the agreement between two readers, and the numbers they are made of."""

from __future__ import annotations

from app.ui.text import t
from app.ui.widgets.figures import Figure, interval_text, number_text


def pair_name(pair: dict) -> str:
    """Two readers with what they read by."""
    return t("{first} and {second} · {modality} {method}").format(first=pair["readers"][0], second=pair["readers"][1], modality=pair["modality"], method=pair["method"])


def agreement_figures(pair: dict) -> list[Figure]:
    """Rows for one pair of ``agreement_of_readings``; what does not exist keeps its row and says why."""
    icc, plain, logs = pair["icc"]["ICC(2,1)"], pair["bland_altman"], pair["bland_altman_log"]
    first, second = pair["readers"]

    def with_interval(value: float, interval, decimals: int) -> str:
        return number_text(value, decimals) + (f" ({interval_text(interval, decimals)})" if interval is not None else "")

    def limits(found, decimals: int, unit: str, values=None) -> str | None:
        return None if found is None else f"{interval_text(values or found['limits'], decimals)}{unit}"

    ratio = t("No ratio: a volume of 0 has none.")
    return [
        Figure(t("Nodes · readings each"), f"{pair['nodes']} · {pair['items']}", source=t("A node at one visit, locked by both readers with one modality and method.")),
        Figure(
            t("ICC(2,1)"), None if icc["value"] is None else with_interval(icc["value"], icc["interval"], 3),
            source=t("Intraclass correlation, two-way random, one reader, absolute agreement (Shrout and Fleiss); in brackets its 95 % interval. Several visits of a node are not independent."),
            reason=t("All nodes are alike: there is nothing to tell apart."),
        ),
        Figure(t("Mean difference"), plain["mean"], "ml", 3, tuple(plain["mean_interval"]), t("{first} less {second}.").format(first=first, second=second)),
        Figure(t("Limits of agreement"), limits(plain, 3, " ml"), source=t("Mean difference ± 1.96 standard deviations (Bland and Altman).")),
        Figure(t("The same as a ratio"), limits(logs, 3, "", None if logs is None else logs["ratios"][1:]), source=t("{first} over {second}, worked out on logarithms.").format(first=first, second=second), reason=ratio),
        Figure(t("Within-subject SD"), pair["within_subject_sd"], "ml", 3, source=t("Between the two readers, over all nodes.")),
        Figure(t("Repeatability coefficient"), pair["repeatability_coefficient"], "ml", 3, source=t("2.77 times the within-subject SD: two readings differ by less in 95 of 100 cases.")),
    ]  # fmt: skip


def agreement_text(pair: dict, figures: str) -> str:
    """Tab-separated: the figures, then every pair of volumes they are made of."""
    lines = [pair_name(pair), figures, "", "\t".join((t("Subject"), t("Node"), t("Visit"), f"{pair['readers'][0]} (ml)", f"{pair['readers'][1]} (ml)"))]
    lines += ["\t".join(str(v[k]) for k in ("subject", "node", "visit", "first_ml", "second_ml")) for v in pair["values"]]
    return "\n".join(lines)
