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
# Out of so many of the nearest the ranking chooses its first: what a service fetches for the usual 20 matches.
FETCHED = 30
# What the ranking adds by default to a cosine for the category that the query most looks like (bench quality, "category as a
# soft signal"): more than that costs R@5 and R@10 where a product has many photographs.
CATEGORY_BONUS = 0.05
SIGNALS = ("cosine", "gate", "margin", "agreement", "compatibility")


@dataclass(frozen=True)
class Evidence:
    """The signals of one query, each the greater the more it speaks for the first match; None where there is none.

    `cosine` of the first match; `gate` score of the device; `margin` by which it is closer than the nearest of another
    category (below 0 where its own category let it overtake that one), and `agreement`, the share of the other nearest
    that are of its category, both among ten; `compatibility` of its category with what the semantic head takes the query for, which is `category` ("" without a
    head).
    """

    cosine: float
    gate: float | None = None
    margin: float | None = None
    agreement: float | None = None
    compatibility: float | None = None
    category: str = ""

    def signal(self, name: str) -> float | None:
        """Return the signal called `name`, one of SIGNALS."""
        value: float | None = getattr(self, name)
        return value


def first_place(
    cosines: Sequence[float],
    categories: Sequence[str],
    probabilities: NDArray[np.float32] | None,
    labels: Sequence[str],
) -> int:
    """Return the place of the item that is answered first: the largest cosine plus CATEGORY_BONUS times compatibility.

    So the service ranks by default, and to answers ranked so the decision is fitted. An item whose category says nothing gets
    the whole bonus.
    """
    if probabilities is None:
        return int(np.argmax(cosines))
    fits = [compatibility(category, probabilities, labels) for category in categories]
    return int(np.argmax([c + CATEGORY_BONUS * (1.0 if f is None else f) for c, f in zip(cosines, fits, strict=True)]))


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
