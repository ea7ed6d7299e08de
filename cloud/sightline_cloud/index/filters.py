"""Postings: which rows have which value of the metadata that an operator lets callers filter on."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgpack
from pyroaring import BitMap

from sightline_shared.errors import FilterInvalid, SnapshotCorrupt
from sightline_shared.where import Typed, Where, typed

AVAILABLE = "available"
# An item that says of itself `archived: true` never answers, whatever an operator lets callers filter on.
ARCHIVED = "archived"


class Postings:
    """For every value of every kept key a roaring bitmap over rows. Changed by one thread, read by many."""

    def __init__(self, keys: Iterable[str]) -> None:
        self._keys = tuple(dict.fromkeys(keys))
        self._by_key: dict[str, dict[Typed, BitMap]] = {key: {} for key in (*self._keys, ARCHIVED)}

    def hides(self, fields: Mapping[str, Any]) -> bool:
        """Return whether an item with this metadata must not answer: it is archived, or, where that key is kept, not available."""
        return fields.get(ARCHIVED) is True or (AVAILABLE in self._keys and fields.get(AVAILABLE) is False)

    def add(self, rows: Sequence[int], metadata: Sequence[Mapping[str, Any]]) -> None:
        """Take in new rows."""
        for key, by_value in self._by_key.items():
            found: dict[Typed, list[int]] = defaultdict(list)
            for row, fields in zip(rows, metadata, strict=True):
                value = fields.get(key)
                if isinstance(value, str | int | float):
                    found[typed(value)].append(row)
            for value, own in found.items():
                # A new bitmap takes the old one's place: a search may be reading that.
                by_value[value] = by_value.get(value, BitMap()) | BitMap(own)

    def replace(self, rows: Sequence[int], metadata: Sequence[Mapping[str, Any]]) -> None:
        """Take over the changed metadata of rows."""
        changed = BitMap(rows)
        for by_value in self._by_key.values():
            for value, held in list(by_value.items()):
                if held.intersect(changed):
                    by_value[value] = held - changed
        self.add(rows, metadata)

    def matching(self, where: Where) -> BitMap:
        """Return the rows that `where` lets pass; raises FilterInvalid for a key that is not kept."""
        passing = []
        for key, values in where.terms:
            if key not in self._keys:
                raise FilterInvalid(f"where.{key}: expected one of the keys {sorted(self._keys)}, got {key!r:.80}.")
            by_value = self._by_key[key]
            passing.append(BitMap.union(BitMap(), *(by_value[value] for value in values if value in by_value)))
        return BitMap.intersection(*passing)

    def hidden(self) -> BitMap:
        """Return the rows of the items that `hides` names."""
        archived = self._by_key[ARCHIVED].get(("bool", True), BitMap())
        return archived | self._by_key.get(AVAILABLE, {}).get(("bool", False), BitMap())

    @property
    def ram_bytes(self) -> int:
        """About what the bitmaps hold."""
        # Copies: values come while this runs.
        return sum(len(held.serialize()) for by_value in self._by_key.values() for held in list(by_value.values()))

    def to_bytes(self) -> bytes:
        """Return the postings as a snapshot's file: a msgpack map from JSON `[key, kind, value]` to a bitmap's bytes."""
        packed: bytes = msgpack.packb(
            {
                json.dumps([key, *value]): held.serialize()
                for key, by_value in self._by_key.items()
                for value, held in by_value.items()
            }
        )
        return packed

    @classmethod
    def from_bytes(cls, data: bytes, keys: Iterable[str], rows: int) -> Postings:
        """Read the file of a snapshot of `rows` rows, whose digest the caller has verified; raises SnapshotCorrupt."""
        postings = cls(keys)
        try:
            for name, held in msgpack.unpackb(data).items():
                key, kind, value = json.loads(name)
                found = BitMap.deserialize(held)
                if found and found.max() >= rows:
                    raise ValueError(f"row {found.max()} of {rows}")
                postings._by_key[key][kind, value] = found
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, msgpack.UnpackException) as error:
            raise SnapshotCorrupt(
                f"postings: expected bitmaps of the keys {list(keys)}, got {error!r:.200}."
            ) from error
        return postings
