"""Robustness, stability, collapse, counterfactuals, generations: each against a slow loop or a case known beforehand."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from sightline_export.data import PhotoSet
from sightline_export.evaluate import retrieval
from sightline_export.evaluation import collapse, counterfactual, cross_generation, robustness, stability
from sightline_export.evaluation.corruptions import CORRUPTIONS, corrupt
from sightline_export.evaluation.questions import first_hits, main_questions, questions
from sightline_export.figures import retrieval_figures
from sightline_export.progress import Progress
from sightline_shared.preprocess import to_tensor

QUIET = Progress(quiet=True)


def unit(rows: int, dim: int, seed: int) -> np.ndarray:
    x = np.random.default_rng(seed).standard_normal((rows, dim)).astype(np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def test_questions_give_the_r1_of_the_figures(drawn: PhotoSet) -> None:
    vectors = unit(len(drawn), 8, 0)
    figures = retrieval_figures(drawn, vectors, vectors)
    asked = questions(drawn)
    assert {question.name for question in asked} == {"shop.fine", "shop.studio", "others.all"}
    for question in asked:
        assert first_hits(question, vectors, vectors).mean() == pytest.approx(figures[f"{question.name}.R@1"].value)
    assert [question.name for question in main_questions(drawn)] == ["shop.fine"]


def test_robustness_is_the_slow_loops(drawn: PhotoSet, vectors: np.ndarray, embed) -> None:
    samples = robustness.draw(drawn, 8, seed=3)
    (sample,) = samples
    assert len(sample.places) == 16  # at least 20 a source, and there are no more
    found = robustness.robustness(drawn, vectors, samples, embed, 3, QUIET)
    question = sample.question
    for name, strength in (("noise", 3), ("occlusion", 3), ("jpeg", 1)):
        clean, dirty = 0, 0
        for place in sample.places:
            row = question.queries[place]
            pixels = corrupt(np.asarray(drawn.images[row]), name, strength, 3 + int(row))
            view = embed(to_tensor(Image.fromarray(pixels), drawn.tensors.shape[1]))[0]
            clean += question.given[np.argmax(vectors[question.gallery] @ vectors[row])] == question.wanted[place]
            dirty += question.given[np.argmax(vectors[question.gallery] @ view)] == question.wanted[place]
        assert found[f"robustness.{name}.{strength}"].value == pytest.approx(dirty / clean)
    every = [found[f"robustness.{name}.{strength}"].value for name in CORRUPTIONS for strength in (1, 2, 3)]
    assert len(every) == 24 and found["robustness.mean"].value == pytest.approx(np.mean(every))
    assert found["robustness.mean"].n == 16 and found["robustness.mean.shop.fine"].value == pytest.approx(
        np.mean(every)
    )


def test_what_never_hit_keeps_nothing() -> None:
    assert robustness.kept(np.zeros((5, 4))) == 0.0
    assert robustness.kept(np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0]])) == 0.5


def test_a_constant_embedder_is_perfectly_stable_and_totally_collapsed(drawn: PhotoSet) -> None:
    one = np.ones((1, 4), np.float32) / 2
    vectors = np.repeat(one, len(drawn), axis=0)
    rows, gallery = drawn.where(role="test"), drawn.where(role="train", kind="catalogue")
    found = stability.stability(drawn, vectors, rows, gallery, lambda view: one, 0)
    assert found["stability.cosine"].value == 1 and found["stability.top1"].value == 1
    shown = collapse.collapse_figures(vectors[gallery], vectors[rows], "constant", 0)
    # Every query gets the same ten rows: the entropy is that of ten things.
    assert shown["collapse.neighbour_entropy"].value == pytest.approx(np.log(10) / np.log(len(gallery)))
    assert shown["collapse.never_returned"].value == pytest.approx(1 - 10 / len(gallery))


def test_a_random_embedder_is_unstable(drawn: PhotoSet, vectors: np.ndarray, embed) -> None:
    rows, gallery = drawn.where(role="test"), drawn.where(role="train", kind="catalogue")
    rng = np.random.default_rng(0)

    def scatter(view: np.ndarray) -> np.ndarray:
        return unit(1, 3, int(rng.integers(1 << 30)))

    steady = stability.stability(drawn, vectors, rows, gallery, embed, 0)
    loose = stability.stability(drawn, vectors, rows, gallery, scatter, 0)
    assert steady["stability.cosine"].value > 0.8 > 0.3 > abs(loose["stability.cosine"].value)
    assert steady["stability.top10"].value > loose["stability.top10"].value
    assert steady["stability.top1"].n == len(rows)


def test_the_spectrum_is_that_of_the_covariance() -> None:
    vectors = unit(200, 6, 1) * np.array([3, 2, 1, 1, 0.1, 0.01], np.float32)
    values = np.sort(np.linalg.eigvalsh(np.cov(vectors.T, bias=True)))[::-1]
    assert np.allclose(collapse.spectrum(vectors), values / values.sum(), atol=1e-6)


def test_ranks_are_known_in_the_plain_cases() -> None:
    even, single = np.ones(5) / 5, np.array([1.0, 0, 0, 0, 0])
    assert collapse.participation_ratio(even) == pytest.approx(5) and collapse.effective_rank(even) == pytest.approx(5)
    assert collapse.participation_ratio(single) == 1 and collapse.effective_rank(single) == pytest.approx(1)


def test_neighbour_entropy_is_one_when_every_row_is_returned_equally_often() -> None:
    assert collapse.neighbour_entropy(np.full(8, 5)) == pytest.approx(1)
    assert collapse.neighbour_entropy(np.array([40, 0, 0, 0])) == 0
    assert collapse.neighbour_entropy(np.array([1, 1, 0, 0, 0])) == pytest.approx(1)  # two places, no row twice


def test_intervals_of_collapse_hold_the_value() -> None:
    found = collapse.collapse_figures(unit(300, 8, 2), unit(80, 8, 3), "test", 0)
    for name in ("participation_ratio", "effective_rank", "neighbour_entropy"):
        figure = found[f"collapse.{name}"]
        assert figure.interval is not None and figure.interval[0] <= figure.value <= figure.interval[1]
    assert found["collapse.participation_ratio"].value > 7


def test_an_embedder_of_the_middle_follows_the_object(drawn: PhotoSet, vectors: np.ndarray, embed) -> None:
    natural = drawn.where(role="test")
    found = counterfactual.counterfactuals(drawn, natural, vectors, embed, 12, 0)
    assert found["counterfactual.studio.background_swapped"].value > 0.99
    assert found["counterfactual.studio.object_wins"].value == 1
    assert found["counterfactual.studio.top1_removed"].value == 1
    assert found["counterfactual.studio.foreground_swapped"].value < 0.9
    assert found["counterfactual.natural.object_wins"].value >= 0.75
    assert found["counterfactual.studio.object_wins"].n == 4 and found["counterfactual.natural.object_wins"].n == 12


def test_an_embedder_of_the_border_follows_the_background(drawn: PhotoSet) -> None:
    def border(tensor: np.ndarray) -> np.ndarray:
        vector = np.concatenate([tensor[:3].reshape(-1, 3), tensor[-3:].reshape(-1, 3)]).mean(axis=0) - 110
        return (vector / np.linalg.norm(vector))[None].astype(np.float32)

    vectors = np.concatenate([border(tensor) for tensor in drawn.tensors])
    found = counterfactual.counterfactuals(drawn, drawn.where(role="test"), vectors, border, 12, 0)
    assert found["counterfactual.studio.object_wins"].value == 0
    assert found["counterfactual.studio.foreground_swapped"].value > 0.99
    assert found["counterfactual.natural.object_wins"].value < 0.5


def test_generations_are_the_r1_of_each_pair(drawn: PhotoSet) -> None:
    old, new = unit(len(drawn), 8, 4), unit(len(drawn), 8, 5)
    asked = questions(drawn)
    found = cross_generation.generations(asked, old, new)
    assert len(found) == 4 * len(asked)
    question = asked[0]
    slow = retrieval(
        new[question.queries], question.wanted.tolist(), old[question.gallery], question.given.tolist(), ""
    )
    assert found[f"generations.{question.name}.new_to_old"].value == pytest.approx(slow["R@1"].value)
    loss = cross_generation.losses(asked, old, new)[f"regression.{question.name}.R@1"]
    expected = (
        found[f"generations.{question.name}.old_to_old"].value - found[f"generations.{question.name}.new_to_new"].value
    )
    assert loss.value == pytest.approx(expected)


def test_generations_of_other_dimensions_do_not_meet(drawn: PhotoSet) -> None:
    found = cross_generation.generations(questions(drawn), unit(len(drawn), 8, 4), unit(len(drawn), 6, 5))
    assert {name.rpartition(".")[2] for name in found} == {"old_to_old", "new_to_new"}


def test_the_earlier_bundles_own_runtime_embeds(drawn: PhotoSet, tiny) -> None:
    some = PhotoSet(
        drawn.photos[:3],
        drawn.images[:3],
        np.stack([to_tensor(i, tiny.manifest.input_size) for i in drawn.images[:3]]),
        drawn.digests[:3],
    )
    found = cross_generation.embed_with(tiny, some, QUIET)
    assert found.shape == (3, tiny.manifest.dim) and np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-3)
