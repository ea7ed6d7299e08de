"""How well the decision can be believed: its probability, what it refuses, and what the plain scores would have done.

Half of the questions are taken to be unanswerable, as in Google Landmarks v2 (Weyand et al. 2020): by their weights, so that
every question counts whatever their numbers are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightline_cloud.rank.confidence import Confidence
from sightline_edge.device import Device
from sightline_export.bounds import share_figure
from sightline_export.evaluate import Figure, statistic_figure, two_sample_figure
from sightline_shared.confidence_fit import Example, example_weights, refit
from sightline_shared.protocol import Decision

Floats = NDArray[np.float64]

REFUSED = (0.5, 0.8, 0.9, 0.95)
BINS = 10
RESAMPLES = 300
PROBABILITY, OWN = "probability", "own"
OUTCOMES = (Decision.FOUND, Decision.UNSURE, Decision.NOT_FOUND)


def decision(examples: list[Example], validation: list[Example], device: Device) -> dict[str, Any]:
    """Return the tables "kept", "micro_ap", "calibration" and "said", by catalogue and kind of question.

    "probability" is the bundle's decision file; a bundle without one has only the plain scores. "own" is that file
    fitted to the `validation` questions of one catalogue, as 'sightline decision calibrate' does it.
    """
    judges = judges_of(examples, validation, device)
    score = scores(examples, judges)
    asked = {
        f"{group} of {style}": [row for row, one in enumerate(examples) if (one.kind, one.style, one.group) == key]
        for key in dict.fromkeys((one.kind, one.style, one.group) for one in examples if one.kind == "known")
        for _, style, group in [key]
    }
    kept: dict[str, Any] = {}
    micro: dict[str, Any] = {}
    calibrated: dict[str, Any] = {}
    for name, known in asked.items():
        for against, others in unanswerable(examples, examples[known[0]]).items():
            rows = f"{name} against {against}"
            for which in [which for which in score if which != OWN]:  # one model's order, refitted, is the same order
                kept.setdefault(rows, {})[which] = kept_figures(score[which], known, others)
                micro.setdefault(rows, {})[which] = micro_figure(score[which], examples, known, others)
        everyone = known + [row for rows in unanswerable(examples, examples[known[0]]).values() for row in rows]
        calibrated[name] = {
            way: calibration(score[way][everyone], [examples[row] for row in everyone])
            for way in (PROBABILITY, OWN)
            if way in score
        }
    return {"kept": kept, "micro_ap": micro, "calibration": calibrated, "said": said(examples, judges)}


def judges_of(
    examples: list[Example], validation: list[Example], device: Device
) -> dict[str, Callable[[Example], Confidence]]:
    """Return the ways of deciding: what judges each question. "thresholds" are the manifest's two, on the cosine."""
    thresholds, base = device.bundle.manifest.decision, device.bundle.calibration
    judges: dict[str, Callable[[Example], Confidence]] = {}
    plain = Confidence(None, thresholds)
    judges["thresholds"] = lambda example: plain
    if base:
        bundle = Confidence(base, thresholds)
        judges[PROBABILITY] = lambda example: bundle
        styles = {one.style for one in validation}
        if styles == {one.style for one in examples}:
            own = {
                style: Confidence(refit(base, [one for one in validation if one.style == style], style), thresholds)
                for style in styles
            }
            judges[OWN] = lambda example: own[example.style]
    return judges


def scores(examples: list[Example], judges: dict[str, Callable[[Example], Confidence]]) -> dict[str, Floats]:
    """Return what each way of deciding makes of every question: the nearest's cosine, the gate's score, probabilities."""
    found = {
        "cosine": np.array([one.evidence.cosine for one in examples]),
        "gate": np.array([one.evidence.gate for one in examples], np.float64),
    }
    for way in (PROBABILITY, OWN):
        if way in judges:
            verdicts = [judges[way](one).judge(one.evidence).probability for one in examples]
            found[way] = np.array(verdicts, np.float64)
    return found


def unanswerable(examples: list[Example], like: Example) -> dict[str, list[int]]:
    """Return the rows of near questions of the same group as `like`, and of each kind of stranger, of its catalogue."""
    found: dict[str, list[int]] = {}
    for row, one in enumerate(examples):
        if one.style == like.style and (one.kind == "far" or (one.kind == "near" and one.group == like.group)):
            found.setdefault("classes left out" if one.kind == "near" else f"{one.group} strangers", []).append(row)
    return found


def kept_figures(values: Floats, known: list[int], others: list[int]) -> dict[str, Figure]:
    """Return the share of answerable questions above the score that refuses each share of the unanswerable ones."""
    return {
        f"{share:.0%}": two_sample_figure(values[known], values[others], keeps(share), resamples=RESAMPLES)
        for share in REFUSED
    }


def keeps(share: float) -> Any:
    """Return the statistic: how many of `inside` score above what refuses `share` of `outside`."""
    return lambda inside, outside: float((inside > np.quantile(outside, share, method="higher")).mean())


def micro_figure(values: Floats, examples: list[Example], known: list[int], others: list[int]) -> Figure:
    """Return micro-AP over `known` and `others`, which weigh half each."""
    rows = known + others
    weights = [0.5 / len(known)] * len(known) + [0.5 / len(others)] * len(others)
    right = [float(examples[row].right) for row in rows]
    answerable = [1.0] * len(known) + [0.0] * len(others)
    return statistic_figure(np.column_stack([values[rows], right, weights, answerable]), micro_average_precision)


def micro_average_precision(rows: Floats) -> float:
    """Return GLDv2's micro-AP of rows of score, right (1.0), weight, answerable (1.0): one ranking of all questions.

    The precision at each right answer, in descending order of score, over what could have been answered.
    """
    ranked = rows[np.argsort(-rows[:, 0], kind="stable")]
    right = ranked[:, 1] * ranked[:, 2]
    precision = np.cumsum(right) / np.cumsum(ranked[:, 2])
    return float((precision * right).sum() / max(float((ranked[:, 2] * ranked[:, 3]).sum()), 1e-12))


def calibration(probabilities: Floats, examples: list[Example]) -> dict[str, Any]:
    """Return the expected calibration error and, in ten bins, how often the first match was right."""
    right = np.array([float(one.right) for one in examples])
    rows = np.column_stack([probabilities, right, example_weights(examples)])
    return {
        "error": statistic_figure(rows, expected_calibration_error),
        "mean probability": float(np.average(rows[:, 0], weights=rows[:, 2])),
        "right": float(np.average(right, weights=rows[:, 2])),
        "bins": [
            {"probability": float(chosen[:, 0].mean()), "right": float(np.average(chosen[:, 1], weights=chosen[:, 2])), "n": len(chosen)}
            for chosen in (rows[bins_of(rows) == place] for place in range(BINS))
            if len(chosen)
        ],
    }  # fmt: skip


def expected_calibration_error(rows: Floats) -> float:
    """Return the mean distance of probability and share right over ten bins, of rows of probability, right, weight."""
    places, gaps = bins_of(rows), rows[:, 2] * (rows[:, 0] - rows[:, 1])
    return float(np.abs(np.bincount(places, gaps, BINS)).sum() / rows[:, 2].sum())


def bins_of(rows: Floats) -> NDArray[np.int64]:
    return np.minimum((rows[:, 0] * BINS).astype(np.int64), BINS - 1)


def said(
    examples: list[Example], judges: dict[str, Callable[[Example], Confidence]]
) -> dict[str, dict[str, dict[str, Figure]]]:
    """Return, by kind of question and way of deciding, the shares found, unsure, not found, and of the found those right."""
    tables: dict[str, dict[str, dict[str, Figure]]] = {}
    for way, judge in judges.items():
        verdicts = np.array([int(judge(one).judge(one.evidence).decision) for one in examples])
        for kind, style, group in dict.fromkeys((one.kind, one.style, one.group) for one in examples):
            mine = np.array([(one.kind, one.style, one.group) == (kind, style, group) for one in examples])
            own, right = verdicts[mine], np.array([one.right for one in examples])[mine]
            row = {outcome.label: share_figure(own == int(outcome), "") for outcome in OUTCOMES}
            row["found, right"] = share_figure(right[own == int(Decision.FOUND)], "")
            tables.setdefault(f"{kind}: {group} of {style}", {})[way] = row
    return tables
