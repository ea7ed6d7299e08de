"""What an item's id and metadata may be, wherever the item comes from."""

from __future__ import annotations

import math
from typing import Any

import msgpack

from sightline_shared.protocol import MAX_ID_CHARS

# MAX_K items of this size, with ids and codes, stay within MAX_ANSWER_BYTES: an answer is never too large to be read.
MAX_METADATA_BYTES = 4096


def item_problem(item_id: Any, metadata: Any) -> str | None:
    """Return what is wrong with an item's id or metadata, None when nothing is.

    What passes here can be stored, and can travel in an answer: one item that cannot would spoil every answer that
    finds it.
    """
    if not isinstance(item_id, str) or not 0 < len(item_id) <= MAX_ID_CHARS or not item_id.isprintable():
        return f"expected an 'id' of 1 to {MAX_ID_CHARS} printable characters"
    if not isinstance(metadata, dict) or not all(
        isinstance(key, str) and isinstance(value, str | int | float | bool | None) for key, value in metadata.items()
    ):
        return "expected 'metadata' as a map of scalars"
    if any(isinstance(value, float) and not math.isfinite(value) for value in metadata.values()):
        return "expected finite numbers in 'metadata'"
    try:
        size = len(msgpack.packb(metadata))
    except (ValueError, OverflowError) as error:
        return f"expected 'metadata' that can travel as msgpack, got '{error}'"
    if size > MAX_METADATA_BYTES:
        return f"expected 'metadata' of at most {MAX_METADATA_BYTES} bytes as msgpack, got {size}"
    return None
