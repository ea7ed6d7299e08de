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
        cheapest = _cheapest(candidates) if self._weights.price else {}
        paid = [candidate.with_bonus(self._bonus(candidate, context, cheapest)) for candidate in candidates]
        return sorted(paid, key=order)

    def _bonus(self, candidate: Candidate, context: Context, cheapest: Mapping[str, float]) -> float:
        weights, metadata = self._weights, candidate.metadata
        bonus = 0.0
        if weights.category and context.compatibility is not None:
            bonus += weights.category * _share(context.compatibility(candidate))
        if weights.freshness:
            bonus += weights.freshness * freshness(metadata.get("released"), context.now_s)
        if weights.stock:
            bonus += weights.stock * (number(metadata.get("stock")) > 0)
        if weights.price and (price := number(metadata.get("price"))) > 0:
            bonus += weights.price * cheapest[_currency(metadata)] / price
        return min(bonus, weights.max_bonus)


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


def _currency(metadata: Mapping[str, Any]) -> str:
    currency = metadata.get("currency")
    return currency if isinstance(currency, str) else ""


def _share(value: float) -> float:
    """Return `value` within [0, 1], what is not a number as 0."""
    return min(1.0, max(0.0, value))  # of 0 and nan max gives its first
