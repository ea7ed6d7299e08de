"""Pictures that may not be uploaded, by their perceptual hash: a list for the whole service, kept by its operator.

Only hashes are kept, never the pictures. A hash is of the upright, cropped picture as the model's input sees it
(`preprocess.to_tensor`), so that a smaller copy, another format or a little noise still is the same picture.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sqlalchemy import insert

from sightline_cloud.catalog.database import Database
from sightline_cloud.catalog.schema import BLOCKED
from sightline_cloud.logs import log
from sightline_shared.errors import ConfigInvalid, ImageBlocked
from sightline_shared.phash import BITS, dhash
from sightline_shared.preprocess import luma, to_tensor

HASH_SIDE = 192
MAX_LABEL_CHARS = 200
# Flat pictures have nearly no gradients: half of all blank walls would be one picture.
MIN_ONES = 8
_HEX = re.compile(r"[0-9a-f]{16}")


def hash_of(image: Image.Image) -> int:
    """Return the 64-bit hash of an upright RGB picture, as `preprocess.load_image` gives it."""
    return dhash(luma(to_tensor(image, HASH_SIDE)))


class BlockedImages:
    """The list in the catalogue. Safe between threads; a change by another process is seen at the next check."""

    def __init__(self, database: Database, *, bits: int) -> None:
        """`bits`: in how many bits a picture's hash may differ from one of the list and still be that picture."""
        self._database, self._bits = database, bits
        self._lock = threading.Lock()
        self._loaded: tuple[int, int] | None = None
        self._hashes: NDArray[np.uint64] = np.zeros(0, np.uint64)

    def add(self, number: int, label: str) -> bool:
        """Block pictures with the hash `number`; returns whether it is new to the list. Raises ConfigInvalid."""
        if not MIN_ONES <= number.bit_count() <= BITS - MIN_ONES:
            raise ConfigInvalid(
                f"block {label}: expected a picture with contours, got one so flat that its hash {number:016x} would block "
                "other flat ones too."
            )
        text = f"{number:016x}"
        if self._database.ask("SELECT 1 FROM blocked WHERE hash = ?", (text,)):
            return False
        created = datetime.now(UTC).isoformat(timespec="seconds")
        with self._database.write() as connection:
            connection.execute(insert(BLOCKED).values(hash=text, label=label[:MAX_LABEL_CHARS], created=created))
        return True

    def list(self) -> list[dict[str, Any]]:
        """Return the list, oldest first: number, hash, label, created."""
        rows = self._database.ask("SELECT number, hash, label, created FROM blocked ORDER BY number")
        return [dict(zip(("number", "hash", "label", "created"), row, strict=True)) for row in rows]

    def remove(self, numbers: Sequence[int]) -> tuple[int, ...]:
        """Take entries off the list; returns the numbers that were on it."""
        with self._database.write() as connection:
            return tuple(
                number
                for number in numbers
                if connection.execute(BLOCKED.delete().where(BLOCKED.c.number == number)).rowcount
            )

    def check(self, image: Image.Image, name: str) -> None:
        """Raise ImageBlocked when `image`, called `name`, is on the list."""
        hashes = self._current()
        if not len(hashes):
            return
        distances = np.bitwise_count(hashes ^ np.uint64(hash_of(image)))
        if distances.min() <= self._bits:
            log("image_blocked", hash=f"{int(hashes[distances.argmin()]):016x}", bits=int(distances.min()))
            # Not which one it is: whoever is told could change a picture until it passes.
            raise ImageBlocked(
                f"{name}: expected a picture that may be uploaded, got one that the operator has blocked."
            )

    def _current(self) -> NDArray[np.uint64]:
        # Numbers are never used twice: count and highest number say whether the list is another one.
        ((count, highest),) = self._database.ask("SELECT count(*), coalesce(max(number), 0) FROM blocked")
        with self._lock:
            if self._loaded != (count, highest):
                rows = self._database.ask("SELECT hash FROM blocked")
                self._hashes = np.array([int(text, 16) for (text,) in rows], np.uint64)
                self._loaded = (count, highest)
            return self._hashes


def parse_hash(text: str) -> int:
    """Return the hash that 16 hex digits say; raises ConfigInvalid."""
    if not _HEX.fullmatch(text.lower()):
        raise ConfigInvalid(f"--hash: expected 16 hex digits, got {text!r:.40}.")
    return int(text, 16)
