"""Near-duplicate collapse: of several pictures of one item the nearest stays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sightline_cloud.rank.candidate import Candidate
from sightline_cloud.rank.context import Context
from sightline_cloud.rank.stages import Cost

# No two different products or garments of the packs come so close, by their codes; three in ten generated near-duplicates
# do ('sightline bench quality'), and pictures of one shelf a moment apart. At 0.95 some pairs of jeans would be one.
MIN_COSINE = 0.97
GROUP_KEY = "item_group"


class Duplicates:
    """Drops a candidate that shares its group with a better one, or is nearly the same picture as one that stays.

    The group is the metadata `group_key`, a string or whole number; "" switches groups off. Two that say different
    groups are never the same, however alike. A candidate is compared with those that stay only: no chains.
    """

    name, cost = "duplicates", Cost.VECTORS

    def __init__(self, min_cosine: float = MIN_COSINE, group_key: str = GROUP_KEY) -> None:
        """From `min_cosine` on, between the items' decoded codes, two are one; above 1 only groups count."""
        self._min_cosine, self._group_key = min_cosine, group_key

    def apply(self, candidates: Sequence[Candidate], context: Context) -> Sequence[Candidate]:
        groups = [self._group(candidate.metadata) for candidate in candidates]
        alike = self._alike(candidates, context)
        named = [group for group in groups if group is not None]
        if not alike and len(set(named)) == len(named):
            return candidates  # as nearly always
        seen: set[str | int] = set()
        stays: list[bool] = []
        for row, group in enumerate(groups):
            same_group = group is not None and group in seen
            like_better = any(stays[better] and _may_be_one(groups[better], group) for better in alike.get(row, ()))
            stays.append(not same_group and not like_better)
            if stays[row] and group is not None:
                seen.add(group)
        if missing := stays[: context.k].count(False):
            context.notes.append(f"near-duplicates of better matches left out: {missing}")
        return [candidate for candidate, here in zip(candidates, stays, strict=True) if here]

    def _alike(self, candidates: Sequence[Candidate], context: Context) -> dict[int, list[int]]:
        """Return, for each row that is like better ones, their rows."""
        if self._min_cosine > 1 or not candidates:
            return {}
        alike: dict[int, list[int]] = {}
        # Of a flat array: numpy takes several times as long for two dimensions.
        close = np.flatnonzero(context.similarities(candidates) >= self._min_cosine)
        better, worse = np.divmod(close, len(candidates))
        for first, second in zip(better.tolist(), worse.tolist(), strict=True):
            if first < second:
                alike.setdefault(second, []).append(first)
        return alike

    def _group(self, metadata: Mapping[str, Any]) -> str | int | None:
        group = metadata.get(self._group_key) if self._group_key else None
        return group if isinstance(group, str | int) and not isinstance(group, bool) and group != "" else None


def _may_be_one(group: str | int | None, other: str | int | None) -> bool:
    return group is None or other is None or group == other
