"""How much of a text stands in an item's own words, and what an item's words are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import compress
from math import log
from typing import Any

from sightline_cloud.policy.terms import plain

# Of one value, and of an item: a description's first sentences say what it is.
MAX_VALUE_CHARS, MAX_CHARS = 200, 240
# A text of 512 bytes may have ten times as many words as a sentence; items whose words are kept.
MAX_WORDS, ITEMS = 32, 10_000
# "apple" is "apples", "blueberry" is "blueberries", and "pear" is no "peach": as many letters must agree, and no more than
# so many may follow.
STEM_CHARS, ENDING_CHARS = 4, 3


def item_text(metadata: Mapping[str, Any], keys: Sequence[str]) -> str:
    """Return what an item says of itself under `keys`, in that order, each text once; "" where that is nothing."""
    values = (metadata.get(key) for key in keys)
    texts = dict.fromkeys(value[:MAX_VALUE_CHARS] for value in values if isinstance(value, str) and value)
    return ". ".join(texts)[:MAX_CHARS]


def word_shares(text: str, items: Sequence[str]) -> list[float]:
    """Return for each of `items` the share, in [0, 1], of the text's first MAX_WORDS words that it has, rare ones counting more.

    A word is rare that few different items have. Words that none has count against all: a text that is about something else
    moves little.
    """
    wanted = [word for word in dict.fromkeys(plain(text).split()) if len(word) > 1][:MAX_WORDS]
    different = {item: words_of(item) for item in dict.fromkeys(items)}
    beginnings: dict[str, set[str]] = {}
    for word in frozenset().union(*different.values()):
        beginnings.setdefault(word[:STEM_CHARS], set()).add(word)
    meant = [
        frozenset(other for other in beginnings.get(word[:STEM_CHARS], ()) if alike(word, other)) for word in wanted
    ]
    having = {item: [not meaning.isdisjoint(has) for meaning in meant] for item, has in different.items()}
    counts = [sum(column) for column in zip(*having.values(), strict=True)]
    weights = [log(1 + len(different) / (1 + count)) for count in counts]
    whole = sum(weights)
    if not whole:
        return [0.0] * len(items)
    shares = {item: sum(compress(weights, row)) / whole for item, row in having.items()}
    return [shares[item] for item in items]


@lru_cache(ITEMS)
def words_of(item: str) -> frozenset[str]:
    """Return an item's words: the same items are found again and again."""
    return frozenset(plain(item).split())


def alike(one: str, other: str) -> bool:
    """Return whether two words are the same but for their endings."""
    if one == other:
        return True
    stem = max(STEM_CHARS, max(len(one), len(other)) - ENDING_CHARS)
    return len(one) >= stem <= len(other) and one[:stem] == other[:stem]
