"""Linear classifiers on embeddings: a softmax trained in full batches, and its temperature."""

from __future__ import annotations

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
