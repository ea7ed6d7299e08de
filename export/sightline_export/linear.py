"""Linear softmax classifiers on embeddings, trained in full batches: the semantic head, the sensitive head, the gate's."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

Vectors = NDArray[np.float32]

# Weights on unit embeddings must grow to tens before a softmax is sure; a small decay lets them.
DECAY = 1e-4
STEPS = 150


def fit_softmax(
    vectors: Vectors,
    labels: NDArray[np.int64],
    classes: int,
    *,
    decay: float = DECAY,
    steps: int = STEPS,
    weights: Vectors | None = None,
    seed: int = 0,
) -> tuple[Vectors, Vectors]:
    """Return weights `(classes, d)` and biases `(classes,)`, float32, of multinomial logistic regression.

    Minimises the mean cross-entropy over `vectors` `(n, d)` with `labels` `(n,)` in 0..classes-1, each photograph
    weighed by `weights` `(n,)` where given, plus `decay`/2 times the squared weights; L-BFGS, at most `steps` steps.
    """
    torch.manual_seed(seed)
    x, y = torch.from_numpy(np.ascontiguousarray(vectors)), torch.from_numpy(np.asarray(labels, dtype=np.int64))
    share = torch.full((len(y),), 1 / len(y)) if weights is None else torch.from_numpy(weights / weights.sum())
    matrix = torch.zeros((classes, vectors.shape[1]), requires_grad=True)
    bias = torch.zeros(classes, requires_grad=True)
    optimiser = torch.optim.LBFGS(
        [matrix, bias], max_iter=steps, history_size=10, line_search_fn="strong_wolfe", tolerance_change=1e-7
    )

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        losses = functional.cross_entropy(x @ matrix.T + bias, y, reduction="none")
        value = (share * losses).sum() + decay / 2 * matrix.square().sum()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimiser.step(loss)  # type: ignore[no-untyped-call]
    return matrix.detach().numpy().astype(np.float32), bias.detach().numpy().astype(np.float32)
