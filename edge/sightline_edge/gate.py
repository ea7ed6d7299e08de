"""The gate: is this frame the kind of thing that the catalogue holds at all?

The catalogue is summed up by prototypes: k-means centres of its embeddings, studio pictures among them. The score of an
embedding is its largest cosine to a prototype, less that prototype's offset: domains differ in how close a good
photograph comes, and one flat cut-off for all would be set by the loosest. Below `reject_below` the device answers "no
visual match" before any byte is sent; between `reject_below` and `sure_above` it asks the cloud but says that it is
unsure. Offsets and thresholds come from held-out photographs at a stated false-reject rate and travel in the bundle. A
low score says "unlike the catalogue", nothing more: much of it is photographic style.

A gate file is one msgpack map: `{"format": 1, "dim": d, "prototypes": p*d x float16, "offsets": p x float16 (both
little-endian), "reject_below": float, "sure_above": float, "min_sharpness": float, "min_brightness": float,
"max_brightness": float}`.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgpack
import numpy as np
from numpy.typing import NDArray

from sightline_shared.errors import BundleCorrupt

FORMAT = 1


@dataclass(frozen=True, eq=False)
class Gate:
    """Prototypes `(p, d) float32` of unit length with offsets `(p,)`, thresholds of the gate and of the frame's quality.

    `reject_below` and `sure_above` are scores; the quality thresholds are in the units of `quality.measure`.
    """

    prototypes: NDArray[np.float32]
    offsets: NDArray[np.float32]
    reject_below: float
    sure_above: float
    min_sharpness: float
    min_brightness: float
    max_brightness: float

    def score(self, embedding: NDArray[np.float32]) -> float:
        """Return the score of `embedding` `(d,) float32` of unit length."""
        return float((self.prototypes @ embedding - self.offsets).max())

    def scores(self, embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return `score` for each row of `embeddings` `(n, d) float32`: `(n,) float32`."""
        best: NDArray[np.float32] = (embeddings @ self.prototypes.T - self.offsets).max(axis=1)
        return best

    def to_bytes(self) -> bytes:
        packed: bytes = msgpack.packb(
            {
                "format": FORMAT,
                "dim": int(self.prototypes.shape[1]),
                "prototypes": self.prototypes.astype("<f2").tobytes(),
                "offsets": self.offsets.astype("<f2").tobytes(),
                "reject_below": self.reject_below,
                "sure_above": self.sure_above,
                "min_sharpness": self.min_sharpness,
                "min_brightness": self.min_brightness,
                "max_brightness": self.max_brightness,
            }
        )
        return packed

    @classmethod
    def from_bytes(cls, data: bytes) -> Gate:
        """Read a gate file's bytes, whose digest the caller has verified; raises BundleCorrupt."""
        try:
            fields = msgpack.unpackb(data)
            if fields.pop("format") != FORMAT:
                raise BundleCorrupt(f"gate file: expected format {FORMAT}.")
            dim = fields.pop("dim")
            prototypes = np.frombuffer(fields.pop("prototypes"), "<f2").reshape(-1, dim).astype(np.float32)
            offsets = np.frombuffer(fields.pop("offsets"), "<f2").astype(np.float32)
            if not len(prototypes) or len(offsets) != len(prototypes):
                raise BundleCorrupt(
                    f"gate file: expected an offset a prototype, got {len(offsets)}, {len(prototypes)}."
                )
            if not np.isfinite(prototypes).all() or not np.isfinite(offsets).all():
                raise BundleCorrupt("gate file: expected finite numbers.")
            return cls(prototypes=prototypes, offsets=offsets, **{name: float(value) for name, value in fields.items()})
        except (ValueError, KeyError, TypeError, AttributeError, msgpack.UnpackException) as error:
            raise BundleCorrupt(f"gate file: expected the gate's map, got {error!r}.") from error
