"""Linear classifiers on embeddings: a softmax trained in full batches, its temperature, and Fisher's discriminant."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

Vectors = NDArray[np.float32]
Floats = NDArray[np.float64]

# Weights on unit embeddings must grow to tens before a softmax is sure; a small decay lets them.
DECAY = 1e-4
STEPS = 150
# Temperatures are sought between 1/WIDEST and WIDEST: few photographs, all of them right, would want none at all.
WIDEST = 20.0
# Fisher's discriminant has no scale of its own: the means of its two sides get the logits -SPREAD and SPREAD.
SPREAD = 4.0


def fit_softmax(
    vectors: Vectors,
    labels: NDArray[np.int64],
    classes: int,
    *,
    decay: float = DECAY,
    steps: int = STEPS,
    seed: int = 0,
) -> tuple[Vectors, Vectors]:
    """Return weights `(classes, d)` and biases `(classes,)`, float32, of multinomial logistic regression.

    Minimises the mean cross-entropy over `vectors` `(n, d)` with `labels` `(n,)` in 0..classes-1, plus `decay`/2 times
    the squared weights; L-BFGS, at most `steps` steps.
    """
    torch.manual_seed(seed)
    x, y = torch.from_numpy(np.ascontiguousarray(vectors)), torch.from_numpy(np.asarray(labels, dtype=np.int64))
    matrix = torch.zeros((classes, vectors.shape[1]), requires_grad=True)
    bias = torch.zeros(classes, requires_grad=True)
    optimiser = torch.optim.LBFGS(
        [matrix, bias], max_iter=steps, history_size=10, line_search_fn="strong_wolfe", tolerance_change=1e-7
    )

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        value = functional.cross_entropy(x @ matrix.T + bias, y) + decay / 2 * matrix.square().sum()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimiser.step(loss)  # type: ignore[no-untyped-call]
    return matrix.detach().numpy().astype(np.float32), bias.detach().numpy().astype(np.float32)


def fit_temperature(logits: Vectors, labels: NDArray[np.int64], weights: Floats) -> float:
    """Return the temperature by which `logits` `(n, c)` are divided for the least cross-entropy, each row weighed by `weights`.

    Guo et al., ICML 2017, section 4.2. The loss is convex in the inverse temperature: bisection finds where its slope is 0.
    """
    scores = logits.astype(np.float64)
    wanted = scores[np.arange(len(labels)), labels]
    low, high = 1 / WIDEST, WIDEST
    for _ in range(40):
        inverse = float(np.sqrt(low * high))
        powers = np.exp(inverse * (scores - scores.max(axis=1, keepdims=True)))
        expected = (powers * scores).sum(axis=1) / powers.sum(axis=1)
        low, high = (inverse, high) if weights @ (expected - wanted) < 0 else (low, inverse)
    return float(1 / np.sqrt(low * high))


@dataclass(frozen=True, eq=False)
class Moments:
    """Mean `(d,)` and covariance `(d, d)` of vectors."""

    mean: Floats
    covariance: Floats


def moments(vectors: Vectors, groups: NDArray[np.str_]) -> Moments:
    """Return the moments of `vectors` `(n, d)` in which every one of the `groups` `(n,)` weighs the same."""
    _, places, counts = np.unique(groups, return_inverse=True, return_counts=True)
    weights = 1 / (len(counts) * counts[places])
    mean: Floats = weights @ vectors.astype(np.float64)
    centred = vectors - mean
    return Moments(mean, (centred * weights[:, None]).T @ centred)


def fit_fisher(inside: Moments, outside: Moments, share: float, shrinkage: float) -> tuple[Vectors, float]:
    """Return weight `(d,) float32` and bias of Fisher's linear discriminant, above 0 nearer to `inside`.

    The covariance is the two sides' with `inside` weighing `share`; `shrinkage` is the share of a multiple of the identity
    with the same trace that replaces it (Ledoit and Wolf 2004).
    """
    covariance = share * inside.covariance + (1 - share) * outside.covariance
    dim = len(covariance)
    target = np.trace(covariance) / dim * np.eye(dim)
    apart = inside.mean - outside.mean
    direction = np.linalg.solve((1 - shrinkage) * covariance + shrinkage * target, apart)
    direction *= 2 * SPREAD / (direction @ apart)
    return direction.astype(np.float32), float(-direction @ (inside.mean + outside.mean) / 2)
