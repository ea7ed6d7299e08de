"""Soft signals of the metadata: a bounded bonus in cosine units. What is seen wins every conflict."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sightline_cloud.rank.candidate import Candidate, order
from sightline_cloud.rank.context import Context
from sightline_cloud.rank.stages import Cost

HALF_LIFE_DAYS = 30.0
DATE_CHARS = len("2026-11-26")
DAY_S = 86_400
EPOCH = date(1970, 1, 1).toordinal()


@dataclass(frozen=True)
class Weights:
    """What each signal may add to a cosine, at least 0; all of them together at most `max_bonus`."""

    category: float = 0.0
    freshness: float = 0.0
    stock: float = 0.0
    price: float = 0.0
    max_bonus: float = 0.1

    @property
    def some(self) -> bool:
        return max(self.category, self.freshness, self.stock, self.price) > 0


class Metadata:
    """Adds what its metadata earns to each candidate and sorts anew; a signal that an item does not have earns nothing.

    The bonus is in [0, max_bonus]: an item whose cosine is better by more than that is never overtaken. Signals, each
    in [0, 1]: `category`, how well the metadata's category fits what the query shows; `freshness`, halved every 30
    days since `released` (an ISO 8601 date); `stock`, 1 where `stock` is a number above 0; `price`, the cheapest
    candidate's `price` of the same `currency` over the item's.
    """

    name, cost = "metadata", Cost.METADATA

    def __init__(self, weights: Weights) -> None:
        self._weights = weights

    def apply(self, candidates: Sequence[Candidate], context: Context) -> Sequence[Candidate]:
        most, signals = self._weights.max_bonus, self._signals(candidates, context)
        paid = [one.with_bonus(min(sum(earned), most)) for one, *earned in zip(candidates, *signals, strict=True)]
        return sorted(paid, key=order)

    def _signals(self, candidates: Sequence[Candidate], context: Context) -> list[list[float]]:
        """Return what each signal that has a weight gives to each candidate: a query goes through those alone."""
        weights, fits, signals = self._weights, context.compatibility, []
        if weights.category and fits is not None:
            signals.append([weights.category * _share(fits(one)) for one in candidates])
        if weights.freshness:
            ages = (freshness(one.metadata.get("released"), context.now_s) for one in candidates)
            signals.append([weights.freshness * age for age in ages])
        if weights.stock:
            signals.append([weights.stock * (number(one.metadata.get("stock")) > 0) for one in candidates])
        if weights.price:
            cheapest = _cheapest(candidates)
            signals.append([weights.price * _cheapness(one.metadata, cheapest) for one in candidates])
        return signals


def number(value: Any) -> float:
    """Return a finite number as it is, anything else as 0."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0.0
    try:
        plain = float(value)
    except OverflowError:
        return 0.0
    return plain if math.isfinite(plain) else 0.0


def freshness(released: Any, now_s: float) -> float:
    """Return 2^(-age / 30 days) of an ISO 8601 date, its time of day left aside; 0 for anything else, and for days to come."""
    if not isinstance(released, str):
        return 0.0
    try:
        age_days = now_s // DAY_S + EPOCH - date.fromisoformat(released[:DATE_CHARS]).toordinal()
    except ValueError:
        return 0.0
    return 2.0 ** (-age_days / HALF_LIFE_DAYS) if age_days >= 0 else 0.0


def _cheapest(candidates: Sequence[Candidate]) -> dict[str, float]:
    """Return the lowest price above 0 of each currency."""
    lowest: dict[str, float] = {}
    for candidate in candidates:
        price, currency = number(candidate.metadata.get("price")), _currency(candidate.metadata)
        if price > 0:
            lowest[currency] = min(price, lowest.get(currency, price))
    return lowest


def _cheapness(metadata: Mapping[str, Any], cheapest: Mapping[str, float]) -> float:
    """Return the lowest price in the item's currency over its own; 0 for an item without a price."""
    price = number(metadata.get("price"))
    return cheapest[_currency(metadata)] / price if price > 0 else 0.0


def _currency(metadata: Mapping[str, Any]) -> str:
    currency = metadata.get("currency")
    return currency if isinstance(currency, str) else ""


def _share(value: float) -> float:
    """Return `value` within [0, 1], what is not a number as 0."""
    return min(1.0, max(0.0, value))  # of 0 and nan max gives its first
