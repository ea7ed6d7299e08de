"""What goes into the catalogue and comes out of it, and the checksums that tell a damaged row from a sound one."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sightline_cloud.catalog.generations import Generation
from sightline_shared.errors import StoreCorrupt, StoreError


class Embedding(NamedTuple):
    """One generation's view of an item: `vector` `(d,) float32` of unit length, `code` its codec bytes."""

    vector: NDArray[np.float32]
    code: bytes


@dataclass(frozen=True, eq=False)
class NewItem:
    """An item to be added: `embeddings` by generation (pairing id, hex), `thumbnail` a small JPEG or empty."""

    id: str
    embeddings: Mapping[str, Embedding]
    thumbnail: bytes = b""
    size_px: tuple[int, int] = (0, 0)
    metadata: Mapping[str, Any] = field(default_factory=dict)


class StoredItem(NamedTuple):
    """What an answer needs of an item; `code` is empty when it has none in the generation that was asked for."""

    pk: int
    id: str
    metadata: dict[str, Any]
    code: bytes


def blobs(item_id: str, embedding: Embedding, generation: Generation) -> tuple[bytes, bytes]:
    """Return vector (little-endian float16) and code as they are stored; raises StoreError for another generation's."""
    vector, code = embedding
    if vector.shape != (generation.dim,) or len(code) != generation.code_size:
        raise StoreError(
            f"item {item_id!r}: expected a vector of {generation.dim} numbers and a code of {generation.code_size} "
            f"bytes for bundle {generation.label}, got {vector.shape} and {len(code)}."
        )
    stored = vector.astype("<f2").tobytes()
    if not np.isfinite(vector).all():
        raise StoreError(f"item {item_id!r}: expected a vector of finite numbers, got one that is not.")
    return stored, bytes(code)


# What an item's checksum covers, in this order; metadata as the JSON text that is stored.
ITEM_FIELDS = ("tenant", "id", "metadata", "width", "height", "created")


def field_crc(key: int, *fields: str | int | None) -> int:
    """Return the checksum of a row of texts and numbers: of an item (ITEM_FIELDS) or of a change."""
    return zlib.crc32("\0".join(map(str, (key, *fields))).encode())


def blob_crc(pk: int, *parts: bytes) -> int:
    """Return the checksum of a row of bytes: of a vector with its code, or of a thumbnail."""
    crc = pk & 0xFFFFFFFF
    for part in parts:
        crc = zlib.crc32(part, crc)
    return crc


def sound_blobs(pk: int, crc: int, *parts: bytes) -> bool:
    """Return whether a row of bytes is what was stored; a flipped bit can also make a number of them."""
    return all(isinstance(part, bytes) for part in parts) and blob_crc(pk, *parts) == crc


def check_item(where: str, pk: int, crc: int, *fields: str | int) -> None:
    """Raise StoreCorrupt unless ITEM_FIELDS are what was stored."""
    if field_crc(pk, *fields) != crc:
        raise _damaged(where, f"item {fields[1]!r} of tenant '{fields[0]}'")


def check_blobs(where: str, pk: int, crc: int, *parts: bytes) -> None:
    """Raise StoreCorrupt unless the row is what was stored."""
    if not sound_blobs(pk, crc, *parts):
        raise _damaged(where, f"the bytes of pk {pk}")


def _damaged(where: str, what: str) -> StoreCorrupt:
    return StoreCorrupt(
        f"{where}: expected {what} as stored, got a row whose checksum differs.",
        hint="Add the photograph again or remove the item ('sightline index verify' names every damaged row).",
    )


def metadata_of(texts: Sequence[str]) -> list[dict[str, Any]]:
    """Return many items' metadata from the JSON texts that are stored: read at once, which takes half the time."""
    maps: list[dict[str, Any]] = json.loads(f"[{','.join(texts)}]")
    return maps


def vectors_of(blobs: Sequence[bytes], dim: int) -> NDArray[np.float16]:
    """Return stored vectors as `(n, dim) float16`."""
    vectors: NDArray[np.float16] = np.frombuffer(b"".join(blobs), "<f2").reshape(-1, dim)
    return vectors


def codes_of(blobs: Sequence[bytes], code_size: int) -> NDArray[np.uint8]:
    """Return stored codes as `(n, code_size) uint8`."""
    return np.frombuffer(b"".join(blobs), np.uint8).reshape(-1, code_size)
