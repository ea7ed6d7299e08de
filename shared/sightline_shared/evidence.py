"""What speaks for and against the first match of a query, as a few numbers.

The export fits the decision to them, the service decides by them: both make them here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Margin and agreement look at so many of the nearest items, the first match among them.
NEIGHBOURS = 10
SIGNALS = ("cosine", "gate", "margin", "agreement", "compatibility", "lead")


@dataclass(frozen=True)
class Evidence:
    """The signals of one query, each the greater the more it speaks for the first match; None where there is none.

    `cosine` of the first match; `gate` score of the device; `margin` by which it is closer than the nearest of another
    category (below 0 where its own category let it overtake that one), and `agreement`, the share of the other nearest
    that are of its category, both among ten; `lead` over the nearest other item of any kind; `compatibility` of its category with what the semantic head takes the query for, which is `category` ("" without a
    head).
    """

    cosine: float
    gate: float | None = None
    margin: float | None = None
    agreement: float | None = None
    compatibility: float | None = None
    category: str = ""
    lead: float | None = None

    def signal(self, name: str) -> float | None:
        """Return the signal called `name`, one of SIGNALS."""
        value: float | None = getattr(self, name)
        return value


def weigh(
    cosines: Sequence[float],
    categories: Sequence[str],
    *,
    first: int = 0,
    gate: float | None = None,
    probabilities: NDArray[np.float32] | None = None,
    labels: Sequence[str] = (),
) -> Evidence:
    """Return the evidence for the item in place `first` of the nearest ones, in descending order of their cosines.

    `categories` are the items' own, "" for none: what has none says nothing, and is not held against the first.
    `probabilities` `(c,)` are the semantic head's for the query, over `labels`.
    """
    others = [place for place in range(len(cosines)) if place != first][: NEIGHBOURS - 1]
    margin, agreement = _neighbours(
        cosines[first], categories[first], [(cosines[place], categories[place]) for place in others]
    )
    return Evidence(
        float(cosines[first]),
        gate,
        margin,
        agreement,
        None if probabilities is None else compatibility(categories[first], probabilities, labels),
        "" if probabilities is None else labels[int(probabilities.argmax())],
        float(cosines[first] - cosines[others[0]]) if others else None,
    )


def compatibility(category: str, probabilities: NDArray[np.float32], labels: Sequence[str]) -> float | None:
    """Return the category's share `(0..1)` of the most probable one's `probabilities` `(c,)`; None if it is no label."""
    if category not in labels:
        return None
    return float(probabilities[labels.index(category)] / probabilities.max())


def _neighbours(cosine: float, category: str, others: list[tuple[float, str]]) -> tuple[float | None, float | None]:
    """Return margin and agreement; None without another item whose category is known.

    Where all that are known are of one category, the last of them stands for the next other: it is no closer.
    """
    known = [(near, name) for near, name in others if name]
    if not category or not known:
        return None, None
    different = [near for near, name in known if name != category]
    return float(cosine - (different[0] if different else known[-1][0])), 1 - len(different) / len(known)
