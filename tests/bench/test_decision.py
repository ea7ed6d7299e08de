"""The decision's figures against their definitions written out slowly, and the tables on the rendered catalogue."""

import numpy as np
import pytest

from sightline_bench.quality.decision import (
    calibration,
    decision,
    expected_calibration_error,
    keeps,
    micro_average_precision,
)
from sightline_bench.quality.tables import decision_lines
from sightline_edge import Device
from sightline_shared.confidence_fit import Example
from sightline_shared.evidence import Evidence


def drawn(seed: int, n: int = 200) -> np.ndarray:
    """Rows of score, right, weight, answerable; some scores are equal."""
    rng = np.random.default_rng(seed)
    answerable = rng.random(n) < 0.5
    right = answerable & (rng.random(n) < 0.7)
    scores = np.round(rng.random(n) + 0.3 * right, 2)
    return np.column_stack([scores, right, rng.uniform(0.5, 2, n), answerable]).astype(np.float64)


@pytest.mark.parametrize("seed", range(5))
def test_the_calibration_error_is_that_of_the_slow_formula(seed: int) -> None:
    rows = drawn(seed)[:, :3]
    rows[:, 0] = np.clip(rows[:, 0], 0, 1)
    total = 0.0
    for place in range(10):
        inside = [
            row for row in rows.tolist() if place / 10 <= row[0] < (place + 1) / 10 or (place == 9 and row[0] == 1)
        ]
        weight = sum(row[2] for row in inside)
        if weight:
            confidence = sum(row[2] * row[0] for row in inside) / weight
            accuracy = sum(row[2] * row[1] for row in inside) / weight
            total += weight / sum(rows[:, 2]) * abs(confidence - accuracy)
    assert expected_calibration_error(rows) == pytest.approx(total)


@pytest.mark.parametrize("seed", range(5))
def test_micro_average_precision_is_that_of_the_slow_formula(seed: int) -> None:
    rows = drawn(seed)
    rows[:, 2] = 1.0  # the formula of Weyand et al. 2020, section 3: (1/M) * sum over i of P(i) rel(i)
    order = sorted(range(len(rows)), key=lambda i: -rows[i, 0])
    found = 0.0
    for i in range(len(order)):
        correct = sum(rows[order[j], 1] for j in range(i + 1))
        found += correct / (i + 1) * rows[order[i], 1]
    assert micro_average_precision(rows) == pytest.approx(found / rows[:, 3].sum())


def test_micro_average_precision_counts_a_weight_of_two_like_two_questions() -> None:
    rows = np.array([[0.9, 1, 2, 1], [0.8, 0, 1, 0], [0.7, 1, 1, 1], [0.6, 0, 2, 1]], np.float64)
    assert micro_average_precision(rows) == pytest.approx((2 * 1 + 1 * 3 / 4) / 5)


def test_what_is_kept_is_above_the_score_that_refuses_the_share() -> None:
    outside = np.arange(100) / 100  # refusing 90 % of these takes a score of .9 at least
    inside = np.array([0.5, 0.89, 0.91, 0.95])
    assert keeps(0.9)(inside, outside) == 0.5
    assert keeps(0.5)(inside, outside) == 0.75


def example(cosine: float, gate: float, kind: str, right: bool, group: str) -> Example:
    compatible = 0.3 if kind == "far" else 1.0
    return Example(Evidence(cosine, gate, 0.1, 0.5, compatible, "bottle"), right, kind, "packshots", group)


def test_probabilities_that_are_too_high_show_as_error() -> None:
    examples = [example(0.5, 0.5, "known", row % 2 == 0, "shop") for row in range(100)]
    table = calibration(np.full(100, 0.8), examples)
    assert table["error"].value == pytest.approx(0.3) and table["right"] == pytest.approx(0.5)
    assert [entry["n"] for entry in table["bins"]] == [100]


def test_every_way_of_deciding_is_in_the_tables() -> None:
    rng = np.random.default_rng(1)
    examples = [
        example(float(rng.normal(mean, 0.1)), gate, kind, kind == "known" and rng.random() < 0.9, group)
        for kind, group, mean, gate in (
            ("known", "shop", 0.7, 0.7),
            ("near", "shop", 0.55, 0.7),
            ("far", "cat", 0.3, 0.2),
        )
        for _ in range(60)
    ]
    found = decision(examples, examples[:120], Device.load())
    assert set(found["kept"]) == {
        "shop of packshots against classes left out",
        "shop of packshots against cat strangers",
    }
    for scores in found["kept"].values():
        assert set(scores) == {"cosine", "gate", "probability"}
    assert set(found["said"]["far: cat of packshots"]) == {"thresholds", "probability", "own"}
    # A stranger that only the gate tells is refused by the models, and not by the thresholds on the cosine.
    refused = {way: row["not_found"].value for way, row in found["said"]["far: cat of packshots"].items()}
    assert refused["probability"] > 0.9 > 0.5 > refused["thresholds"]
    from sightline_bench.quality.evaluate import _plain

    text = "\n".join(decision_lines(_plain(found)))
    assert "| far: cat of packshots | 60 | own |" in text and "| shop of packshots | 180 | probability |" in text
