"""How often does the device's cache answer a frame of a running camera, and how often with something else than a search?

Every frame of a clip is looked up in the SDK's own `AnswerCache` and, when it is not there, searched and kept. A hit is wrong when
a search for the frame itself would have put another item first. The frames come as fast as the clip has them: time does not pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightline_bench.quality.tables import percent
from sightline_edge import Answer, AnswerCache, Device, Match, Outcome
from sightline_edge.cache import Asked
from sightline_edge.rerank import unit
from sightline_export.evaluate import Figure, mean_figure
from sightline_shared.phash import dhash
from sightline_shared.preprocess import load_image, luma, to_tensor
from sightline_shared.where import Where

Vectors = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Clip:
    """The frames of a clip as the device sees them: `(n, d)` embeddings, codes, hashes, and each one's best item."""

    name: str
    embeddings: Vectors
    codes: tuple[bytes, ...]
    hashes: tuple[int, ...]
    best: tuple[int, ...]

    @classmethod
    def of(cls, name: str, frames: Sequence[NDArray[np.uint8]], gallery: Vectors, device: Device) -> Clip:
        """Look at `frames`; their best items are rows of `gallery` `(m, d)`."""
        size = device.bundle.manifest.input_size
        tensors = [to_tensor(load_image(frame), size) for frame in frames]
        embeddings = np.stack([device.runtime.embed(tensor[np.newaxis])[0] for tensor in tensors])
        codes = device.codec.encode(embeddings)
        best = (unit(device.codec.decode(codes)) @ gallery.T).argmax(axis=1)
        return cls(
            name,
            embeddings,
            tuple(code.tobytes() for code in codes),
            tuple(dhash(luma(tensor)) for tensor in tensors),
            tuple(best.tolist()),
        )


def measure(clip: Clip, near_bits: int, near_cosine: float) -> dict[str, Figure]:
    """Return the share of frames that the cache answers, and of these the share with another item."""
    cache = AnswerCache(near_bits=near_bits, near_cosine=near_cosine, keep_s=1e9, max_bytes=1 << 30)
    hits, wrong = [], []
    for embedding, code, phash, best in zip(clip.embeddings, clip.codes, clip.hashes, clip.best, strict=True):
        asked = Asked(b"bench", (code,), Where(), 10)
        found = cache.exact(asked) or cache.near(asked, embedding, phash)
        hits.append(float(found is not None))
        if found is None:
            cache.keep(asked, Answer(Outcome.FOUND, "cloud", matches=(Match(str(best), 1.0),)), embedding, phash)
        else:
            wrong.append(float(found.matches[0].id != str(best)))
    none = Figure(0.0, (0.0, 0.0), 0)
    return {"hits": mean_figure(np.array(hits)), "wrong hits": mean_figure(np.array(wrong)) if wrong else none}


def as_text(result: dict[str, Any]) -> str:
    """Return the table of one result."""
    lines = [
        f"{result['scenario']['source']}; 95 % bootstrap intervals, which take frames for independent",
        "",
        "| clip | frames | near_bits | near_cosine | answered by the cache | of these with another item |",
        "|---|---|---|---|---|---|",
    ]
    for row in result["clips"]:
        hits, wrong = row["hits"], row["wrong hits"]
        lines.append(
            f"| {row['clip']} | {row['frames']} | {row['near_bits']} | {row['near_cosine']:g} | {percent(hits)} | {percent(wrong)} |"
        )
    return "\n".join(lines)
