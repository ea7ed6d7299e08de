"""Choosing the gate's score: candidates are what they say, validation decides, studio pictures are spared."""

from __future__ import annotations

import numpy as np
import pytest

from sightline_export import calibrate
from sightline_export.choose_gate import Blind, Trial, choose, trial_figures, try_scores, worst_source
from sightline_export.evaluate import Figure
from sightline_export.gate_scores import Catalogue, candidates, class_means
from sightline_export.recipe import Gate

SETTINGS = Gate(prototypes=12)
DIM = 24


def classes(count: int, each: int, seed: int, spread: float = 0.25) -> tuple[np.ndarray, list[str]]:
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).standard_normal((count, DIM))
    labels = np.repeat(np.arange(count), each)
    vectors = centres[labels] + spread * rng.standard_normal((len(labels), DIM)) * np.linspace(3, 0.3, DIM)
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), [f"c{n}" for n in labels]


def strangers(count: int, seed: int) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((count, DIM)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    (a, labels_a), (b, labels_b) = classes(6, 20, 1), classes(4, 15, 2)
    return Catalogue({"a": a, "b": -b}, {"a": labels_a, "b": labels_b})


def test_mahalanobis_is_the_distance_to_the_nearest_mean_under_the_shrunk_covariance(catalogue: Catalogue) -> None:
    vectors, labels = catalogue.labelled()
    found = class_means(catalogue, vectors, labels, 0.2)
    queries = strangers(15, 3)
    names = sorted(set(labels))
    means = {
        name: np.mean([v for v, own in zip(vectors, labels, strict=True) if own == name], axis=0) for name in names
    }
    centred = np.stack([v - means[own] for v, own in zip(vectors, labels, strict=True)]).astype(float)
    covariance = sum(np.outer(row, row) for row in centred) / len(centred)
    covariance = 0.8 * covariance + 0.2 * np.trace(covariance) / DIM * np.eye(DIM)
    inverse = np.linalg.inv(covariance)
    slow = [-min((q - m) @ inverse @ (q - m) for m in means.values()) / DIM for q in queries.astype(float)]
    np.testing.assert_allclose(found.score.scores(queries), slow, rtol=0.01)
    assert found.sources == ("a", "b") and len(found.row_source) == len(names)


def test_every_candidate_keeps_the_stated_share_of_every_source_and_survives_its_file(catalogue: Catalogue) -> None:
    from sightline_edge.gate import Gate as Shipped

    held = {"a": classes(6, 30, 5)[0], "b": -classes(4, 40, 6)[0]}
    found = candidates(catalogue, SETTINGS, 1)
    assert {candidate.score.kind for candidate in found} == set(SETTINGS.scores)
    for candidate in found:
        fit = calibrate.calibrated(candidate, held, SETTINGS)
        for vectors in held.values():
            assert (fit.scores(vectors) < fit.reject_below).mean() <= 0.06, fit.name
        assert fit.sure_above >= fit.reject_below
        if fit.ood.kind not in ("cosine", "knn"):
            assert fit.reject_below == 0.5 and max(fit.scores(v).max() for v in held.values()) == pytest.approx(1)
        gate = Shipped(fit.ood, fit.reject_below, fit.sure_above, 1.0, 1.0, 250.0)
        read = Shipped.from_bytes(gate.to_bytes())
        np.testing.assert_allclose(read.scores(held["a"]), fit.scores(held["a"]), atol=1e-5, err_msg=fit.name)


def test_without_labels_only_what_needs_none_is_tried(catalogue: Catalogue) -> None:
    found = candidates(Catalogue.unlabelled(catalogue.vectors), SETTINGS, 1)
    assert {candidate.score.kind for candidate in found} == {"cosine", "knn"}
    few = candidates(catalogue, Gate(prototypes=12, scores=("cosine", "energy")), 1)
    assert [candidate.score.kind for candidate in few] == ["cosine", "energy"]


def trial(name: str, auroc: float, let_in: float, studio: float) -> Trial:
    fit = calibrate.GateFit(name, None, 0.5, 0.5)  # type: ignore[arg-type]
    return Trial(fit, *(Figure(value, None, 9, "x") for value in (auroc, let_in, studio)))


def test_the_best_that_spares_the_studio_pictures_is_chosen() -> None:
    trials = [
        trial("cosine", 0.95, 0.10, 0.1),
        trial("energy 1", 0.96, 0.20, 0.1),
        trial("max_logit 1", 0.94, 0.08, 0.2),
        trial("knn 3", 0.95, 0.08, 0.2),
        trial("mahalanobis shrunk 0.1", 0.99, 0.02, 0.4),
    ]
    assert choose(trials, Gate(studio_reject=0.25)).fit.name == "knn 3"
    assert choose(trials, Gate(studio_reject=0.5)).fit.name == "mahalanobis shrunk 0.1"
    assert choose(trials, Gate(studio_reject=0.15)).fit.name == "cosine", "at the threshold, not over all"
    assert choose(trials, Gate(studio_reject=0.01)).fit.name == "cosine", "none spares enough: the one that spares most"
    assert trial_figures(trials, trials[3])["gate.chosen.knn_3"].value == 5


def test_validation_prefers_the_score_that_tells_apart(catalogue: Catalogue) -> None:
    held = {"a": classes(6, 30, 5)[0], "b": -classes(4, 40, 6)[0]}
    blind = Blind(catalogue, classes(6, 5, 8)[0], ["a"] * 30)
    trials = try_scores(catalogue, held, strangers(200, 7), [blind], SETTINGS, 1)
    best = choose(trials, SETTINGS)
    assert best.let_in is not None
    assert best.let_in.value == min(t.let_in.value for t in trials if t.let_in and t.studio and t.studio.value <= 0.25)
    none = try_scores(catalogue, held, strangers(0, 7).reshape(0, DIM), [], SETTINGS, 1)
    assert choose(none, SETTINGS).fit.name == "cosine"


def test_a_small_source_is_not_hidden_by_a_large_one() -> None:
    lost, sources = [np.arange(100) < 3, np.arange(20) < 8], np.array(["large"] * 100 + ["small"] * 20)
    worst = worst_source(lost, sources)
    assert worst is not None and worst.value == pytest.approx(0.4) and worst.n == 20 and "small" in worst.data
    few = worst_source([np.arange(6) < 3], np.array(["a"] * 3 + ["b"] * 3))
    assert few is not None and few.n == 6
    assert worst_source([], np.array([], dtype=str)) is None


def test_the_energys_cut_off_stops_strangers_too(catalogue: Catalogue) -> None:
    held = {"a": classes(6, 30, 5)[0], "b": -classes(4, 40, 6)[0]}
    energy = next(c for c in candidates(catalogue, SETTINGS, 1) if c.score.kind == "energy")
    fit = calibrate.calibrated(energy, held, SETTINGS)
    lost = [(fit.scores(vectors) < fit.reject_below).mean() for vectors in held.values()]
    assert max(lost) == pytest.approx(0.05, abs=0.01), "the source that loses most loses the stated share"
    assert (fit.scores(strangers(200, 7)) < fit.reject_below).mean() > 0.2
