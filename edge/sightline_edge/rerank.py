"""Score the returned candidates again with the float query that never left the device.

The service scores the decoded query q' against an item's vector g; the device holds the float query q and the
item's decoded code g'. Since q.g = q'.g + (q - q').g' + (q - q').(g - g'), adding (q - q').g' to the service's score
leaves only the last term, a product of two small errors.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sightline_shared.codec import Codec
from sightline_shared.protocol import Match


def rerank(
    matches: tuple[Match, ...], embeddings: NDArray[np.float32], codes: tuple[bytes, ...], codec: Codec
) -> tuple[Match, ...]:
    """Return `matches` scored anew, and sorted by score and bonus, for `embeddings` `(n, d) float32`, which were sent as `codes`.

    They stay as they are when any of them lacks its code.
    """
    theirs = [match.code for match in matches]
    if not theirs or any(item is None or len(item) != codec.code_size for item in theirs):
        return matches
    # All in the rotated space, where lengths and products are the same and nothing needs to be rotated back.
    rows = np.frombuffer(b"".join([*codes, *filter(None, theirs)]), np.uint8).reshape(len(codes) + len(theirs), -1)
    decoded = unit(codec.decode_rotated(rows) + codec.rotated_mean)
    sent, items = decoded[: len(codes)], decoded[len(codes) :]
    missed = codec.rotate(embeddings) + codec.rotated_mean - sent
    corrections = np.einsum("ij,ij->i", items, missed[[match.code_index for match in matches]])
    scored = [
        Match(match.id, match.score + correction, match.metadata, match.code_index, match.code, match.bonus)
        for match, correction in zip(matches, corrections.tolist(), strict=True)
    ]
    return tuple(sorted(scored, key=lambda match: -(match.score + match.bonus)))


def unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the rows of `vectors` `(n, d)` scaled to unit length."""
    # What np.linalg.norm computes, without its ado.
    lengths = np.maximum(np.sqrt(np.add.reduce(vectors * vectors, axis=1, keepdims=True)), 1e-12)
    scaled: NDArray[np.float32] = (vectors / lengths).astype(np.float32, copy=False)
    return scaled
