"""What the last frames found helps the next one: query expansion over a session, off by default.

A user who looks at one thing sends several frames of it. The catalogue's own vectors of what was found with confidence
are averaged into the next query, where it is like them (average query expansion, Chum et al., ICCV 2007, with weights
that fall with the distance, Radenović et al., TPAMI 2018). It also repeats a mistake: `sightline bench session` measures
both.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sightline_edge.answer import Answer, Outcome
from sightline_edge.pipeline import Crop, Observation
from sightline_edge.rerank import unit
from sightline_shared.budget import Clock
from sightline_shared.codec import Codec
from sightline_shared.errors import ConfigInvalid

Vector = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class _Found:
    """A matched item's decoded vector `(d,)`, and until when it counts."""

    vector: Vector
    until_s: float


class Session:
    """One user's run of frames. Needs an API key with the `rerank` scope, whose answers carry the items' codes.

    The best `items` matches of each answer "found" count for `keep_s` seconds. Those with a cosine of at least
    `near_cosine` to the new frame are added to it with weight `cosine ** power`. `clear()` begins anew.
    """

    def __init__(
        self,
        *,
        keep_s: float = 20.0,
        items: int = 1,
        near_cosine: float = 0.75,
        power: float = 3.0,
        clock: Clock = time.monotonic,
    ) -> None:
        """Raises ConfigInvalid."""
        if keep_s <= 0 or not 1 <= items <= 10 or not -1 <= near_cosine <= 1 or power < 0:
            raise ConfigInvalid(
                "session: expected keep_s above 0, items in 1..10, near_cosine in -1..1 and power of at least 0, "
                f"got {keep_s}, {items}, {near_cosine}, {power}."
            )
        self._keep_s, self._items, self._near_cosine, self._power = keep_s, items, near_cosine, power
        self._clock, self._lock = clock, threading.Lock()
        self._found: deque[_Found] = deque(maxlen=8 * items)

    def note(self, answer: Answer, codec: Codec) -> None:
        """Remember what the service found with confidence."""
        codes = [
            match.code for match in answer.matches[: self._items] if match.code and len(match.code) == codec.code_size
        ]
        if answer.outcome is not Outcome.FOUND or answer.partial or not codes:
            return
        vectors = unit(codec.decode(np.frombuffer(b"".join(codes), np.uint8).reshape(len(codes), -1)))
        until_s = self._clock() + self._keep_s
        with self._lock:
            self._found.extend(_Found(vector, until_s) for vector in vectors)

    def expand(self, embedding: Vector) -> Vector:
        """Return `embedding` `(d,)` averaged with what was found and is like it; the same array where nothing is."""
        now = self._clock()
        with self._lock:
            vectors = [found.vector for found in self._found if found.until_s > now]
        if not vectors:
            return embedding
        near = np.array(vectors)
        cosines = near @ embedding
        weights = np.where(cosines >= self._near_cosine, np.maximum(cosines, 0.0) ** self._power, 0.0)
        if not weights.any():
            return embedding
        # Their mean, so that eight frames of one item do not outweigh the ninth.
        mean = weights @ near / np.count_nonzero(weights)
        expanded: Vector = unit((embedding + mean)[np.newaxis].astype(np.float32))[0]
        return expanded

    def expanded(self, seen: Observation, codec: Codec) -> Observation:
        """Return `seen` with the whole frame's embedding expanded and coded anew; gate and scores stay the frame's own."""
        if not seen.crops or seen.crops[0].code is None:
            return seen
        whole = seen.crops[0]
        embedding = self.expand(whole.embedding)
        if embedding is whole.embedding:
            return seen
        code = codec.encode_one(embedding)
        crops: tuple[Crop, ...] = (replace(whole, embedding=embedding, code=code), *seen.crops[1:])
        return replace(seen, crops=crops)

    def clear(self) -> None:
        """Forget everything: the user turned to another thing."""
        with self._lock:
            self._found.clear()
