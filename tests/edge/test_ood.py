"""Every OOD score against its formula, number by number."""

import math

import numpy as np
import pytest

from sightline_edge.ood import KINDS, OodScore
from sightline_edge.rerank import unit
from sightline_shared.errors import InputError

RNG = np.random.default_rng(3)
DIM = 12
ROWS = RNG.normal(size=(9, DIM)).astype(np.float32)
OFFSETS = RNG.normal(size=9).astype(np.float32)
WHITENING = RNG.normal(size=(DIM, DIM)).astype(np.float32)
QUERIES = unit(RNG.normal(size=(25, DIM)).astype(np.float32))
PARAMETERS = {"knn": 3.0, "energy": 0.7, "scale": 0.25}


def slow(kind: str, x: np.ndarray) -> float:
    likeness = [
        float(sum(a * b for a, b in zip(x, row, strict=True)) - o) for row, o in zip(ROWS, OFFSETS, strict=True)
    ]
    if kind in ("cosine", "max_logit"):
        return max(likeness)
    if kind == "knn":
        return sum(sorted(likeness)[-3:]) / 3
    if kind == "energy":
        return 0.7 * math.log(sum(math.exp(value / 0.7) for value in likeness))
    if kind == "scale":
        sizes = sorted((abs(float(value)) for value in x), reverse=True)
        factor = math.exp(sum(sizes) / sum(sizes[:3]))  # a quarter of 12
        logits = [(value + o) * factor - o for value, o in zip(likeness, OFFSETS.tolist(), strict=True)]
        return math.log(sum(math.exp(value) for value in logits))
    whitened = WHITENING.astype(float) @ x
    return max(
        -sum((w - r) ** 2 for w, r in zip(whitened, row, strict=True)) - o for row, o in zip(ROWS, OFFSETS, strict=True)
    )


def score(kind: str, gain: float = 1.0, shift: float = 0.0) -> OodScore:
    whitening = WHITENING if kind == "mahalanobis" else None
    return OodScore(kind, ROWS, OFFSETS, PARAMETERS.get(kind, 1.0), whitening, gain, shift)


@pytest.mark.parametrize("kind", KINDS)
def test_a_score_is_what_its_formula_says(kind: str) -> None:
    expected = [slow(kind, query) for query in QUERIES]
    np.testing.assert_allclose(score(kind).scores(QUERIES), expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(
        score(kind, 0.5, 2.0).scores(QUERIES), 2 + 0.5 * np.array(expected), rtol=1e-4, atol=1e-4
    )


def test_energy_of_huge_logits_does_not_overflow() -> None:
    hot = OodScore("energy", 1e4 * ROWS, OFFSETS, 1.0)
    assert np.isfinite(hot.scores(QUERIES)).all()


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"kind": "oracle"}, "expected one of"),
        ({"offsets": OFFSETS[:3]}, "an offset a row"),
        ({"rows": ROWS[:0], "offsets": OFFSETS[:0]}, "an offset a row"),
        ({"kind": "mahalanobis"}, "a whitening for mahalanobis"),
        ({"whitening": WHITENING}, "a whitening for mahalanobis"),
        ({"kind": "mahalanobis", "whitening": WHITENING[:3]}, "whitening, got"),
        ({"kind": "scale", "parameter": 1.5}, "usable parameter"),
        ({"kind": "knn", "parameter": 0.0}, "usable parameter"),
    ],
)
def test_a_score_that_cannot_work_is_refused(fields: dict[str, object], reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        OodScore(**{"kind": "cosine", "rows": ROWS, "offsets": OFFSETS, **fields})
