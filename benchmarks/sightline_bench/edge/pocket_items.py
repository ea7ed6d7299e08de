"""Ids, titles and metadata of made-up shops: what the bytes of a pocket index depend on besides its codes."""

from __future__ import annotations

import string
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

WORDS = 3000
CATEGORIES, BRANDS, COLOURS = 40, 300, 16


@dataclass(frozen=True)
class Shape:
    """How a shop writes: `make(number)` gives id and metadata of an item, `about` says what they look like."""

    about: str
    make: Callable[[int], tuple[str, dict[str, Any]]]


def shapes(seed: int = 0) -> dict[str, Shape]:
    """Return the shops; the same seed gives the same items."""
    rng = np.random.default_rng(seed)
    latin = [_word(rng) for _ in range(WORDS)]
    kanji = [chr(0x4E00 + int(code)) for code in rng.choice(6000, WORDS, replace=False)]
    shares = 1 / np.arange(1, WORDS + 1)
    shares /= shares.sum()

    def words(count: int, vocabulary: list[str], between: str) -> str:
        return between.join(vocabulary[row] for row in rng.choice(WORDS, count, p=shares))

    def filters() -> dict[str, Any]:
        return {
            "category": latin[int(rng.integers(CATEGORIES))],
            "brand": latin[100 + int(rng.integers(BRANDS))].title(),
            "colour": latin[900 + int(rng.integers(COLOURS))],
            "available": True,
        }

    return {
        "numbers": Shape("ids 1 to n, titles of 3 words", lambda n: (str(n), {"title": words(3, latin, " ")})),
        "skus": Shape(
            "ids like SKU-0012345, titles of 5 words, 4 filter keys",
            lambda n: (f"SKU-{int(rng.integers(10**7)):07d}-{n}", {"title": words(5, latin, " "), **filters()}),
        ),
        "uuids": Shape(
            "random UUIDs, titles of 5 words",
            lambda n: (str(uuid.UUID(bytes=rng.bytes(16))), {"title": words(5, latin, " ")}),
        ),
        "worst": Shape(
            "random UUIDs, titles cut at 60 characters, 4 filter keys",
            lambda n: (str(uuid.UUID(bytes=rng.bytes(16))), {"title": words(12, latin, " "), **filters()}),
        ),
        "kanji": Shape(
            "ids like SKU-0012345, titles of 20 Chinese characters, 4 filter keys",
            lambda n: (f"SKU-{int(rng.integers(10**7)):07d}-{n}", {"title": words(20, kanji, ""), **filters()}),
        ),
    }


def _word(rng: np.random.Generator) -> str:
    return "".join(rng.choice(list(string.ascii_lowercase), int(rng.integers(3, 10))))
