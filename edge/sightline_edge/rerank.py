"""Score the returned candidates again with the float query that never left the device.

The service scores the decoded query q' against an item's vector g; the device holds the float query q and the
item's decoded code g'. Since q.g = q'.g + (q - q').g' + (q - q').(g - g'), adding (q - q').g' to the service's score
leaves only the last term, a product of two small errors.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from sightline_shared.codec import Codec
from sightline_shared.protocol import Match


def rerank(matches: tuple[Match, ...], embedding: NDArray[np.float32], code: bytes, codec: Codec) -> tuple[Match, ...]:
    """Return `matches` scored and sorted anew for `embedding` `(d,) float32`, which was sent as `code`.

    They stay as they are when any of them lacks its code.
    """
    codes = [match.code for match in matches]
    if not codes or any(item is None or len(item) != codec.code_size for item in codes):
        return matches
    # All in the rotated space, where lengths and products are the same and nothing needs to be rotated back.
    rows = np.frombuffer(b"".join([code, *filter(None, codes)]), np.uint8).reshape(len(codes) + 1, -1)
    decoded = unit(codec.decode_rotated(rows) + codec.rotated_mean)
    sent, items = decoded[0], decoded[1:]
    corrections = items @ (codec.rotate(embedding[np.newaxis])[0] + codec.rotated_mean - sent)
    scored = (
        dataclasses.replace(match, score=match.score + float(correction))
        for match, correction in zip(matches, corrections, strict=True)
    )
    return tuple(sorted(scored, key=lambda match: -match.score))


def unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the rows of `vectors` `(n, d)` scaled to unit length."""
    lengths = np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    scaled: NDArray[np.float32] = (vectors / lengths).astype(np.float32, copy=False)
    return scaled
