"""A filter on items: which metadata an item must have to be found."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

from sightline_shared.errors import FilterInvalid

Scalar = str | int | float | bool
# A value with its kind, "bool", "number" or "text": Python takes True for 1.
Typed = tuple[str, Scalar]
# A filter as callers write it: one value or several a key.
Wanted = Mapping[str, Scalar | Sequence[Scalar] | Set[Scalar]]
MAX_KEYS = 8
MAX_VALUES = 32
MAX_TEXT_CHARS = 200


@dataclass(frozen=True)
class Where:
    """All of `terms` must hold: (key, values) holds for an item whose metadata has one of `values` under `key`.

    Keys and the values of a key are sorted and unique, so equal filters are equal keys of a cache. `Where()` lets all pass.
    """

    terms: tuple[tuple[str, tuple[Typed, ...]], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.terms)

    @classmethod
    def of(cls, wanted: Wanted) -> Where:
        """Return the filter that `{"category": "milk", "colour": ["red", "blue"]}` means; raises FilterInvalid."""
        if len(wanted) > MAX_KEYS:
            raise FilterInvalid(f"where: expected at most {MAX_KEYS} keys, got {len(wanted)}.")
        terms = []
        for key, given in wanted.items():
            if not key or not isinstance(key, str) or not _is_scalar(key):
                raise FilterInvalid(f"where: expected keys of 1 to {MAX_TEXT_CHARS} characters, got {key!r:.80}.")
            values = _several(given)
            if not 0 < len(values) <= MAX_VALUES or not all(_is_scalar(value) for value in values):
                raise FilterInvalid(
                    f"where.{key}: expected 1 to {MAX_VALUES} texts (of at most {MAX_TEXT_CHARS} characters), finite "
                    f"numbers (integers of 64 bits) or truth values, got {given!r:.80}."
                )
            terms.append((key, tuple(sorted(set(map(typed, values))))))
        return cls(tuple(sorted(terms)))

    def passes(self, metadata: Mapping[str, Any]) -> bool:
        """Return whether an item with `metadata` is wanted."""
        return all(
            isinstance(value := metadata.get(key), str | int | float) and typed(value) in wanted
            for key, wanted in self.terms
        )


def typed(value: Scalar) -> Typed:
    """Return the one form of a value in which filter and metadata meet: true is not 1, and 1.0 is 1."""
    kind = "bool" if isinstance(value, bool) else "text" if isinstance(value, str) else "number"
    return kind, value


def _several(given: object) -> list[Any]:
    return list(given) if isinstance(given, Sequence | Set) and not isinstance(given, str | bytes) else [given]


def _is_scalar(value: object) -> bool:
    """Return whether `value` can travel: text without halves of surrogate pairs, a number of 64 bits, a truth value."""
    if isinstance(value, str):
        return len(value) <= MAX_TEXT_CHARS and not any("\ud800" <= char <= "\udfff" for char in value)
    return -(2**63) <= value < 2**64 if isinstance(value, int) else isinstance(value, float) and math.isfinite(value)
