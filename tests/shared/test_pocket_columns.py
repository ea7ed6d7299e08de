"""Columns of a pocket index as words: any cells come back, real texts get small, and bytes built to harm are refused."""

import json
import random
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sightline_shared.pocket_columns import (
    MAX_CELL_BYTES,
    MAX_CELLS_BYTES,
    joined,
    pack_column,
    read_columns,
    size_bytes,
    split,
)


def text(value: Any) -> bytes:
    return b"" if value is None else json.dumps(value, ensure_ascii=False).encode()


VALUES = st.one_of(st.none(), st.text(max_size=30), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats(-9, 9))


@given(st.lists(VALUES, max_size=20))
def test_any_cells_come_back_as_they_were(values: list[Any]) -> None:
    cells = tuple(map(text, values))
    assert read_columns([pack_column(cells)], 1, len(cells)) == (cells,)
    assert split(joined([cells, cells]), len(cells), 2) == (cells, cells)


@pytest.mark.parametrize(
    "cells",
    [
        (),
        (b"",) * 5,
        (b'""', b'"a"', b""),
        (b'"a"', b"1", b"true"),
        (b'"', b'"x'),
        ("\U0001f9c0 käse è".encode(), b"\xff\xfe not text"),
        (b"x" * MAX_CELL_BYTES, b"\0" * MAX_CELL_BYTES),
        tuple(b'"%d"' % number for number in range(70_000)),
    ],
    ids=[
        "none",
        "empty",
        "an empty text",
        "several kinds",
        "quotes",
        "no text",
        "the longest",
        "more than 65,536 words",
    ],
)
def test_rare_cells_come_back_too(cells: tuple[bytes, ...]) -> None:
    assert read_columns([pack_column(cells)], 1, len(cells)) == (cells,)


def test_only_texts_that_are_all_quoted_leave_their_quotes_out() -> None:
    assert pack_column([b'"a"', b"", b'"b"'])["quoted"] is True
    assert pack_column([b'"a"', b'""'])["quoted"] is False, "an empty text and no text would be the same"
    assert pack_column([b'"a"', b"1"])["quoted"] is False and pack_column([b""])["quoted"] is False


def test_titles_take_two_thirds_of_what_deflate_makes_of_them_and_ids_are_no_larger() -> None:
    rng = random.Random(0)
    words = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(3, 9))) for _ in range(1000)]
    shares = [1 / rank for rank in range(1, 1001)]
    titles = [text(" ".join(rng.choices(words, shares, k=6))) for _ in range(5000)]
    ids = [text(f"{rng.getrandbits(64):016x}-{rng.getrandbits(32):08x}") for _ in range(5000)]
    for cells, most in ((titles, 0.7), (ids, 0.95)):
        packed = pack_column(cells)
        size = sum(len(packed[name]) for name in ("words", "counts", "numbers"))
        assert size < most * len(zlib.compress(joined([cells]), 9))


def numbers(*values: int) -> bytes:
    wide = np.array(values, np.uint16)
    return zlib.compress((wide & 255).astype(np.uint8).tobytes() + (wide >> 8).astype(np.uint8).tobytes())


# Three cells: "aabb", "bb" and none.
SOUND = {"words": zlib.compress(b"aa\nbb\n"), "words_bytes": 6, "counts": numbers(2, 1, 0), "numbers": numbers(0, 1, 1)}
BOMB = zlib.compress(bytes(100_000_000))
FLOOD = b"x" * 1000 + b"\n"
HOSTILE: dict[str, dict[str, Any]] = {
    "no words": {"words": None},
    "words that do not inflate": {"words": b"xxxx"},
    "words that inflate to a flood": {"words": BOMB},
    "a flood of words that says so": {"words": BOMB, "words_bytes": 100_000_000},
    "words of a size below zero": {"words_bytes": -1},
    "words of a size that is no number": {"words_bytes": "6"},
    "words without an end": {"words": zlib.compress(b"aa\nbbb")},
    "more words than numbers name": {"words": zlib.compress(b"\n" * 70_000), "words_bytes": 70_000},
    "a word that is not there": {"numbers": numbers(0, 1, 2)},
    "no words for the numbers": {"words": zlib.compress(b""), "words_bytes": 0},
    "fewer counts than rows": {"counts": numbers(2, 1)},
    "more numbers than counts": {"numbers": numbers(0, 1, 1, 1)},
    "counts that add up to more": {"counts": numbers(2, 2, 0)},
    "counts that add up to a flood": {"counts": numbers(65_535, 65_535, 65_535), "numbers": BOMB},
    "a cell that is too long": {
        "words": zlib.compress(b"a" * (MAX_CELL_BYTES + 1) + b"\nbb\n"),
        "words_bytes": MAX_CELL_BYTES + 5,
    },
    "a cell of many long words": {
        "words": zlib.compress(FLOOD),
        "words_bytes": len(FLOOD),
        "counts": numbers(60_000, 0, 0),
        "numbers": zlib.compress(bytes(120_000)),
    },
    "numbers cut off": {"numbers": numbers(0, 1, 1)[:-2]},
}


def test_the_column_that_they_are_made_of_is_sound() -> None:
    assert read_columns([{**SOUND, "quoted": False}], 1, 3) == ((b"aabb", b"bb", b""),)
    assert read_columns([{**SOUND, "quoted": True}], 1, 3) == ((b'"aabb"', b'"bb"', b""),)


@pytest.mark.parametrize("change", HOSTILE.values(), ids=HOSTILE)
def test_a_column_built_to_harm_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError, zlib.error)):
        read_columns([{**SOUND, "quoted": False, **change}], 1, 3)


@pytest.mark.parametrize("columns", [None, {}, [], [{}], [{**SOUND, "quoted": False}] * 2, [[1]]])
def test_what_is_not_a_column_each_is_refused(columns: Any) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        read_columns(columns, 1, 3)


def test_all_columns_together_are_bounded() -> None:
    """Each alone is within the limit; a file of 4 MiB could otherwise name gigabytes."""
    rows, word = 4000, b"x" * 1000
    large = {
        "words": zlib.compress(word + b"\n"),
        "words_bytes": 1001,
        "counts": numbers(*[1] * rows),
        "numbers": numbers(*[0] * rows),
        "quoted": False,
    }
    assert size_bytes([large], [[word] * rows]) == 1001 + 1001 * rows < MAX_CELLS_BYTES
    assert read_columns([large], 1, rows) == ((word,) * rows,)
    assert len(read_columns([large] * 2, 2, rows)) == 2
    with pytest.raises(ValueError, match="at most"):
        read_columns([large] * 3, 3, rows)
