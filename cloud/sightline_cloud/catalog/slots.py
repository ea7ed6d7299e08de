"""Slots: the fixed number of parts that a catalogue can be divided into. Shards own slots, items never change theirs."""

from __future__ import annotations

import hashlib

SLOTS = 4096


def slot_of(tenant: str, item_id: str) -> int:
    """Return the slot, 0 to 4095, of an item. Stored beside it: this function can never change.

    It is the first 12 bits of blake2b with 2 bytes, over the tenant, a zero byte and the id in UTF-8.
    """
    digest = hashlib.blake2b(f"{tenant}\0{item_id}".encode(), digest_size=2).digest()
    return int.from_bytes(digest, "big") >> 4
