"""Which device and service may meet.

A query can be answered when three things agree: the protocol number (how bytes are laid out), the embedding
space (which model's vectors the gallery holds) and the codec (what a code's bytes mean). Space and codec are
identified by digests of the files that define them, so two bundles meet exactly when their codes mean the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property

from sightline_shared.errors import VersionMismatch

PAIRING_BYTES = 8


@dataclass(frozen=True)
class Pairing:
    """What a code means: the embedding space's name and the SHA-256 (hex) of the codec file."""

    space: str
    codec_sha256: str

    @cached_property
    def id(self) -> bytes:
        """The 8 bytes that travel in a query: the head of SHA-256 over space, newline, codec digest."""
        return hashlib.sha256(f"{self.space}\n{self.codec_sha256}".encode()).digest()[:PAIRING_BYTES]


def check_pairing(query: bytes, indexes: Collection[bytes]) -> None:
    """Raise VersionMismatch unless the query's pairing id is that of one of the indexes."""
    if query not in indexes:
        live = " or ".join(index.hex() for index in indexes)
        raise VersionMismatch(
            f"expected a query from a bundle with pairing id {live}, got {query.hex()}: "
            "the codes of one model mean nothing to another model's index."
        )
