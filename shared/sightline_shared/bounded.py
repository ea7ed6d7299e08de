"""Reads msgpack from outside without making more of it than was meant.

An empty list is one byte on the wire and 64 in memory: 4 MiB of them are a quarter of a gigabyte. So the values are counted
before any is made.
"""

from __future__ import annotations

from typing import Any

import msgpack

ARRAYS = (*range(0x90, 0xA0), 0xDC, 0xDD)
MAPS = (*range(0x80, 0x90), 0xDE, 0xDF)


def unpack(data: bytes, most_values: int, **limits: Any) -> Any:
    """Return what `data` packs: one value, which holds at most `most_values` others, those in it counted, keys too.

    `limits` are msgpack's own. Raises ValueError, TypeError, RecursionError or msgpack.UnpackException.
    """
    reader = msgpack.Unpacker(max_buffer_size=max(1, len(data)))
    reader.feed(data)
    left = 1
    while left:
        left -= 1
        first = data[reader.tell()] if reader.tell() < len(data) else None
        if first in ARRAYS:
            left += reader.read_array_header()
        elif first in MAPS:
            left += 2 * reader.read_map_header()
        else:
            reader.skip()
        most_values -= 1
        if left > most_values + 1:
            raise ValueError("more values than are taken")
    return msgpack.unpackb(data, **limits)
