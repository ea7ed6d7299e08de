"""Fitting: the coefficients are those of the plain definition, the probabilities hold, the thresholds keep their word."""

import numpy as np
import pytest

from sightline_shared.confidence import Calibration
from sightline_shared.confidence_fit import DECAY, LEAST_FOUND, Example, example_weights, fit, logistic, refit
from sightline_shared.errors import TrainingDataTooSmall
from sightline_shared.evidence import Evidence

GROUPS = {"photographs": 0.75, "packshots": 0.5}  # how close known items lie in each style


def made(seed: int, count: int = 300, *, gate: bool = True, categories: bool = True) -> list[Example]:
    """Questions to two styles of catalogue: known ones close, near ones a little less, far ones told by the gate."""
    rng = np.random.default_rng(seed)
    found = []
    for style, close in GROUPS.items():
        for kind, gate_mean, step in (("known", 0.65, 0.0), ("near", 0.65, -0.15), ("far", 0.3, -0.25)):
            for _ in range(count):
                cosine = float(np.clip(rng.normal(close + step, 0.12), -1, 1))
                right = kind == "known" and bool(rng.random() < 0.8)
                fits = float(rng.beta(6, 1) if right else rng.beta(1, 1.5))
                found.append(
                    Example(
                        Evidence(
                            cosine,
                            float(np.clip(rng.normal(gate_mean, 0.1), 0, 1)) if gate else None,
                            float(rng.uniform(0, 0.3)) if categories else None,
                            float(rng.random()) if categories else None,
                            fits if categories else None,
                            str(rng.choice(["Apple", "Shoes"])),
                        ),
                        right,
                        kind,
                        style,
                        "shop",
                    )
                )
    return found


def p_of(calibration: Calibration, examples: list[Example]) -> np.ndarray:
    model = calibration.models[0]
    return np.array([model.probability(one.evidence, calibration.domain(one.evidence)) for one in examples])


def test_the_regression_is_where_its_own_loss_is_least() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(6000, 2)) * [1.0, 5.0]
    right = rng.random(6000) < 1 / (1 + np.exp(-(1.5 * x[:, 0] + 0.2 * x[:, 1] - 0.4)))
    weights = rng.uniform(0.5, 2, 6000)
    found = logistic(x, right, weights, ("cosine", "gate"))
    spread = np.sqrt(np.average((x - np.average(x, axis=0, weights=weights)) ** 2, axis=0, weights=weights))

    def loss(slopes: np.ndarray, bias: float) -> float:
        p = 1 / (1 + np.exp(-(x @ slopes + bias)))
        plain = -np.average(np.where(right, np.log(p), np.log(1 - p)), weights=weights)
        return float(plain + DECAY / 2 * ((slopes * spread) ** 2).sum())

    slopes = np.array([found.weights["cosine"], found.weights["gate"]])
    assert slopes == pytest.approx([1.5, 0.2], abs=0.15)
    least = loss(slopes, found.bias)
    for change in ([0.05, 0], [-0.05, 0], [0, 0.02], [0, -0.02]):
        assert loss(slopes + change, found.bias) > least
    for step in (0.05, -0.05):
        assert loss(slopes, found.bias + step) > least


def test_a_signal_that_speaks_against_the_match_is_left_out_not_turned_round() -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(size=(500, 3))
    right = rng.random(500) < 1 / (1 + np.exp(-(2 * x[:, 0] - 1.5 * x[:, 1])))
    found = logistic(x, right, np.ones(500), ("cosine", "margin", "agreement"))
    assert set(found.weights) <= {"cosine", "agreement"} and found.weights["cosine"] > 1


def test_examples_that_one_signal_tells_apart_do_not_make_it_infinite() -> None:
    x = np.concatenate([np.full((30, 1), 0.2), np.full((30, 1), 0.8)])
    found = logistic(x, x[:, 0] > 0.5, np.ones(60), ("cosine",))
    assert 1 < found.weights["cosine"] < 1000 and np.isfinite(found.bias)


def test_half_of_all_is_unanswerable_and_every_style_counts_the_same() -> None:
    examples = made(3, count=40) + [one for one in made(4, count=300) if one.style == "packshots" and one.kind == "far"]
    weights = example_weights(examples)
    assert weights.sum() == pytest.approx(1)
    for style in GROUPS:
        for kind, share in {"known": 0.25, "near": 0.125, "far": 0.125}.items():
            rows = [one.style == style and one.kind == kind for one in examples]
            assert weights[rows].sum() == pytest.approx(share)
    without_far = [one for one in examples if one.kind != "far"]
    near = [one.kind == "near" for one in without_far]
    assert example_weights(without_far)[near].sum() == pytest.approx(0.5)


def test_probabilities_hold_on_questions_that_were_not_fitted_to() -> None:
    calibration = fit(made(5), {"Apple": "grocery", "Shoes": "clothing"}, "made up")
    fresh = made(6)
    p, right, weights = p_of(calibration, fresh), np.array([one.right for one in fresh]), example_weights(fresh)
    bins = np.minimum((p * 10).astype(int), 9)
    error = sum(abs(float((weights * (p - right))[bins == place].sum())) for place in range(10))
    assert error < 0.05
    assert set(calibration.models[0].domains) == {"", "clothing", "grocery"}


def test_few_known_ones_of_the_worst_style_are_denied_and_few_strangers_found() -> None:
    calibration = fit(made(7), {}, "made up")
    model = calibration.models[0]
    assert model.not_found_below < model.found_min and model.found_min >= LEAST_FOUND
    examples = made(8)
    p = p_of(calibration, examples)
    for style in GROUPS:
        of = {
            kind: np.array([one.style == style and one.kind == kind for one in examples]) for kind in ("known", "far")
        }
        assert (p[of["known"]] < model.not_found_below).mean() <= 0.05
        assert (p[of["far"]] >= model.found_min).mean() <= 0.08
        assert (p[of["far"]] < model.not_found_below).mean() >= 0.5, "the gate tells strangers in every style"


def test_what_lacks_signals_gets_a_model_of_its_own() -> None:
    calibration = fit(made(9), {}, "made up")
    assert [bool("gate" in model.belongs.weights) for model in calibration.models] == [True, False, True, False]
    for gate, categories in ((True, True), (False, True), (True, False), (False, False)):
        one = made(1, count=1, gate=gate, categories=categories)[0]
        model = calibration.model(one.evidence)
        assert model is not None
        assert ("gate" in model.belongs.weights, "compatibility" in model.first.weights) == (gate, categories)
    bare = fit(made(9, gate=False, categories=False), {}, "made up")
    assert len(bare.models) == 1


def test_too_few_photographs_are_refused() -> None:
    with pytest.raises(TrainingDataTooSmall, match="'far'"):
        fit([one for one in made(10, count=30) if one.kind != "far"], {}, "x")


def test_an_operators_own_photographs_correct_a_bundle_that_is_too_sure() -> None:
    bundle = fit(made(11), {"Apple": "grocery"}, "made up")
    # In this catalogue the nearest is right half as often.
    rng = np.random.default_rng(12)

    def shift(examples: list[Example]) -> list[Example]:
        return [Example(e.evidence, e.right and bool(rng.random() < 0.5), e.kind) for e in examples]

    own, fresh = shift(made(13, count=150)), shift(made(14, count=150))
    fitted = refit(bundle, own, "the operator's")

    def gap(calibration: Calibration) -> float:
        p, right, weights = p_of(calibration, fresh), np.array([one.right for one in fresh]), example_weights(fresh)
        return abs(float(weights @ (p - right)))

    assert gap(fitted) < 0.03 < gap(bundle)
    assert fitted.domain_of == bundle.domain_of and fitted.models[0].first == bundle.models[0].first
    p, known = p_of(fitted, fresh), np.array([one.kind == "known" for one in fresh])
    assert (p[known] < fitted.models[0].not_found_below).mean() <= 0.05
    assert Calibration.from_bytes(fitted.to_bytes(), "f").models[0].found_min == pytest.approx(
        fitted.models[0].found_min, abs=1e-6
    )


def test_an_operator_with_too_few_photographs_is_refused() -> None:
    bundle = fit(made(15), {}, "made up")
    with pytest.raises(TrainingDataTooSmall, match="20 or more"):
        refit(bundle, made(16, count=5), "x")
    with pytest.raises(TrainingDataTooSmall):
        refit(bundle, [one for one in made(16) if one.right], "x")
