"""What one key may ask for, and what an ask costs."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from sightline_shared.errors import ConfigInvalid, OverKeyLimit, StoreCorrupt
from sightline_shared.protocol import DEFAULT_K, MAX_CODES, MAX_K, Query
from sightline_shared.where import MAX_KEYS, MAX_VALUES

MAX_FILTER_VALUES = MAX_KEYS * MAX_VALUES
# In units of one code searched in one shard. An upload is decoded and embedded, which takes about as long as 20 searches;
# a change is a durable write; a pocket file may be 3 MB.
UPLOAD_COST, CHANGE_COST, POCKET_COST, LOOK_COST = 20.0, 2.0, 10.0, 0.2
FILTER_VALUES_A_UNIT = 8
TEXT_BYTES_A_UNIT = 32
# What 0 means for a rate: that there is none.
HIGHEST = 1e9


@dataclass(frozen=True)
class Limits:
    """A key's limits: requests a second, of which `burst` may come at once, and cost units a minute; 0: no limit.

    `max_k`, `max_codes` and `max_filter_values` cap a single query.
    """

    per_second: float = 200
    burst: int = 400
    cost_per_minute: float = 60_000
    max_k: int = MAX_K
    max_codes: int = MAX_CODES
    max_filter_values: int = MAX_FILTER_VALUES

    def __post_init__(self) -> None:
        highest = {"max_k": MAX_K, "max_codes": MAX_CODES, "max_filter_values": MAX_FILTER_VALUES}
        lowest = {"burst": 1, "max_k": 1, "max_codes": 1}
        for name, value in dataclasses.asdict(self).items():
            low, high = lowest.get(name, 0), highest.get(name, HIGHEST)
            if not _is_number(value, whole=name not in RATES) or not low <= value <= high:
                raise ConfigInvalid(f"key limit {name}: expected {low} to {high:g}, got {value!r:.40}.")

    def but(self, changes: Mapping[str, Any]) -> Limits:
        """Return these limits with `changes`; raises ConfigInvalid."""
        unknown = sorted(set(changes) - set(NAMES))
        if unknown:
            raise ConfigInvalid(f"key limits: expected some of {', '.join(NAMES)}, got {', '.join(unknown)}.")
        return dataclasses.replace(self, **changes)

    def check(self, query: Query, key: str) -> None:
        """Raise OverKeyLimit when `query` asks for more than one query of `key` may."""
        values = filter_values(query)
        asked = (
            ("matches", query.k, self.max_k),
            ("codes", len(query.codes), self.max_codes),
            ("filter values", values, self.max_filter_values),
        )
        for what, got, allowed in asked:
            if got > allowed:
                raise OverKeyLimit(f"key '{key}': expected at most {allowed} {what} a query, got {got}.")


RATES = ("per_second", "cost_per_minute")
NAMES = tuple(field.name for field in dataclasses.fields(Limits))


def query_cost(query: Query, shards: int) -> float:
    """Return what a query costs, in units of one code searched in one shard.

    codes x shards, for each code is searched in each shard; k / 20, for what is read and sent of each match; filter
    values / 8, for each is looked up once more; bytes of text / 32, for a model reads them.
    """
    text = len(query.text.encode()) / TEXT_BYTES_A_UNIT
    return len(query.codes) * shards + query.k / DEFAULT_K + filter_values(query) / FILTER_VALUES_A_UNIT + text


def filter_values(query: Query) -> int:
    """Return how many values the query's filter names, over all keys."""
    return sum(len(values) for _, values in query.where.terms)


def stored(changes: Mapping[str, Any]) -> str | None:
    """Return a key's own limits as they are stored, None for none of its own; raises ConfigInvalid."""
    Limits().but(changes)
    return json.dumps(dict(changes), sort_keys=True) if changes else None


@lru_cache(maxsize=1024)
def read(text: str | None) -> Mapping[str, Any]:
    """Return a key's own limits as `stored` gave them; raises StoreCorrupt."""
    if text is None:
        return {}
    try:
        changes = json.loads(text)
        Limits().but(changes)
    except (ValueError, TypeError, ConfigInvalid) as error:
        raise StoreCorrupt(f"keys: expected limits as they were stored, got {text!r:.80}.") from error
    return MappingProxyType(changes)


@lru_cache(maxsize=1024)
def changed(defaults: Limits, changes: tuple[tuple[str, Any], ...]) -> Limits:
    """Return `defaults` with `changes`: `Limits.but`, remembered."""
    return defaults.but(dict(changes))


def _is_number(value: Any, *, whole: bool) -> bool:
    if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
        return False
    return math.isfinite(value)
