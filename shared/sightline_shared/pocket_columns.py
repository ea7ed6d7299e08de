"""The texts of a pocket index as bytes: for each column a dictionary of words, and every cell as numbers of them.

Deflate by itself names a repeated word by where it stood before; its number, as the Huffman code of two bytes, takes half
the bits. A column is one msgpack map:

    words        zlib of all words, each with an end of line; `words_bytes` when inflated, at most 65,536 of them
    counts       zlib of how many words each cell has: 16-bit numbers, all their low bytes, then all their high bytes
    numbers      zlib of the numbers of these words, from 0, cell after cell, in the same way
    quoted       whether each cell that is not empty stands between two quotes, which the words leave out

Where cells are cut into words is the writer's choice: a reader joins them.
"""

from __future__ import annotations

import math
import re
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_CELLS_BYTES = 8 * 1024 * 1024
# A text of 200 characters as JSON, were they all escaped.
MAX_CELL_BYTES = 1202
MAX_WORDS = 1 << 16
BLOCK = 256
LEVEL = 9
# So many cells show which way of cutting suits a column.
SAMPLE = 1000
QUOTE = b'"'

Column = tuple[bytes, ...]
Numbers = NDArray[np.uint16]
Cut = Callable[[bytes], list[bytes]]

# Ways to cut a cell: as a whole; a run of letters and digits (of one or two bytes in UTF-8) with the space behind it, else
# one character; at most two letters or digits, else one byte, of which there are so few that they always fit.
_WORD = re.compile(rb"(?:[0-9A-Za-z]|[\xc2-\xdf][\x80-\xbf])+ ?|[\xe0-\xff][\x80-\xbf]+|.", re.DOTALL)
_PIECE = re.compile(rb"[0-9A-Za-z]{1,2}|.", re.DOTALL)
CUTS: tuple[Cut, ...] = (lambda cell: [cell] if cell else [], _WORD.findall, _PIECE.findall)


def pack_column(cells: Sequence[bytes]) -> dict[str, Any]:
    """Return the map of one column, cut in the way that makes a sample of it smallest."""
    held = [cell for cell in cells if cell]
    quoted = bool(held) and all(len(cell) > 2 and cell[:1] == cell[-1:] == QUOTE for cell in held)
    bare = [cell[1:-1] for cell in cells] if quoted else cells
    sample = bare[:: len(bare) // SAMPLE + 1]
    best_first = sorted(CUTS, key=lambda cut: _size(_packed(sample, cut)))
    packed = next(filter(None, (_packed(bare, cut) for cut in best_first)))  # of the smallest pieces are never too many
    return {**packed, "quoted": quoted}


def read_columns(columns: Any, count: int, rows: int) -> tuple[Column, ...]:
    """Return the cells of `count` columns of `rows`; raises ValueError, KeyError or TypeError for what is no such thing.

    Words and cells of all columns together take at most MAX_CELLS_BYTES: nothing is inflated or joined past that.
    """
    if not isinstance(columns, list) or len(columns) != count:
        raise ValueError(f"expected {count} columns")
    left, read = MAX_CELLS_BYTES, []
    for column in columns:
        cells, spent = _read(column, rows, left)
        left -= spent
        read.append(cells)
    return tuple(read)


def size_bytes(columns: Sequence[dict[str, Any]], cells: Sequence[Sequence[bytes]]) -> int:
    """Return what counts towards MAX_CELLS_BYTES: words, and cells with their ends of line."""
    words = sum(int(column["words_bytes"]) for column in columns)
    return words + sum(len(cell) + 1 for cell in chain.from_iterable(cells))


def joined(columns: Sequence[Sequence[bytes]]) -> bytes:
    """Return all cells, column by column, each with an end of line: what the digest is over, and format 1 holds."""
    return b"".join(cell + b"\n" for column in columns for cell in column)


def split(text: bytes, rows: int, count: int) -> tuple[Column, ...]:
    """Return the columns that `joined` made `text` of; raises ValueError."""
    if text.count(b"\n") != rows * count or (text and not text.endswith(b"\n")):
        raise ValueError(f"expected {count} columns of {rows} cells")
    cells = text.split(b"\n")[:-1]
    _check_cells(cells)
    return tuple(tuple(cells[rows * column : rows * (column + 1)]) for column in range(count))


def inflated(data: bytes, size: int) -> bytes:
    """Return the `size` bytes that `data` is compressed from; never makes more of them, raises ValueError."""
    unpacker = zlib.decompressobj()
    made = unpacker.decompress(data, size + 1)
    if len(made) != size or not unpacker.eof:
        raise ValueError(f"expected {size} bytes when inflated, got others")
    return made


def _packed(cells: Sequence[bytes], cut: Cut) -> dict[str, Any] | None:
    """Return the map of a column that is cut in this way; None where that makes too many words."""
    cut_cells = [cut(cell) for cell in cells]
    flat = list(chain.from_iterable(cut_cells))
    words = _numbered(Counter(flat))
    if len(words) > MAX_WORDS:
        return None
    number = {word: place for place, word in enumerate(words)}
    text = b"".join(word + b"\n" for word in words)
    return {
        "words": _deflated(text),
        "words_bytes": len(text),
        "counts": _pack_numbers([len(words) for words in cut_cells]),
        "numbers": _pack_numbers([number[word] for word in flat]),
    }


def _size(column: dict[str, Any] | None) -> float:
    return math.inf if column is None else sum(len(column[name]) for name in ("words", "counts", "numbers"))


def _numbered(counts: Counter[bytes]) -> list[bytes]:
    """Return the words in the order of their numbers: the commoner first, by blocks of one high byte, each in order."""
    order = [word for word, _ in counts.most_common()]
    return [word for start in range(0, len(order), BLOCK) for word in sorted(order[start : start + BLOCK])]


def _read(column: dict[str, Any], rows: int, left: int) -> tuple[Column, int]:
    """Return the cells of a column, and how many of the `left` bytes they and their words take."""
    size = column["words_bytes"]
    if not isinstance(size, int) or not 0 <= size <= left:
        raise ValueError(f"expected at most {left} bytes of words")
    text = inflated(column["words"], size)
    words = text.split(b"\n")
    if words.pop() or len(words) > MAX_WORDS:
        raise ValueError(f"expected at most {MAX_WORDS} words, each with an end of line")
    counts = _read_numbers(column["counts"], rows).astype(np.int64)
    total = int(counts.sum())
    if total > left:
        raise ValueError("expected fewer words in the cells")
    numbers = _read_numbers(column["numbers"], total)
    if total and numbers.max() >= len(words):
        raise ValueError(f"expected numbers of {len(words)} words")
    quotes = QUOTE if column["quoted"] is True else b""
    lengths = np.array([len(word) for word in words], np.int64)
    spent = size + (int(lengths[numbers].sum()) if total else 0) + rows * (1 + 2 * len(quotes))
    if spent > left:
        raise ValueError(f"expected at most {MAX_CELLS_BYTES} bytes of words and cells")
    named = [words[number] for number in numbers.tolist()]
    ends = np.cumsum(counts).tolist()
    cells = [b"".join(named[start:end]) for start, end in zip([0, *ends], ends, strict=False)]
    cells = [quotes + cell + quotes if cell else cell for cell in cells]
    _check_cells(cells)
    return tuple(cells), spent


def _check_cells(cells: Sequence[bytes]) -> None:
    if cells and max(map(len, cells)) > MAX_CELL_BYTES:
        raise ValueError(f"a cell of more than {MAX_CELL_BYTES} bytes")


def _pack_numbers(values: list[int]) -> bytes:
    numbers = np.array(values, np.uint16)
    return _deflated((numbers & 0xFF).astype(np.uint8).tobytes() + (numbers >> 8).astype(np.uint8).tobytes())


def _read_numbers(data: bytes, count: int) -> Numbers:
    low, high = np.frombuffer(inflated(data, 2 * count), np.uint8).reshape(2, count)
    return np.asarray(low + high * np.uint16(BLOCK), np.uint16)


def _deflated(data: bytes) -> bytes:
    """Return the smaller of two zlib streams: with repeats by reference, and without, which cost random bytes dearly."""
    made = []
    for strategy in (zlib.Z_DEFAULT_STRATEGY, zlib.Z_HUFFMAN_ONLY):
        packer = zlib.compressobj(LEVEL, memLevel=9, strategy=strategy)
        made.append(packer.compress(data) + packer.flush())
    return min(made, key=len)
