"""The linear heads on the embedding: what kind of thing it is, and whether it is a sensitive subject.

Both sides read them: the device before it sends anything, the service on the decoded embedding. They work on the
embedding alone, so any runtime that gives the embedding serves them.

A heads file (a bundle's role `heads`) is one msgpack map: `{"format": 1, "dim": d, "labels": [str], "weight": c*d x
float32, "bias": c x float32, "sensitive": null or {"kinds": [str], "weight": d x float32, "bias": float, "unsure_above":
float, "sensitive_above": float}}`, all numbers little-endian.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import msgpack
import numpy as np
from numpy.typing import NDArray

from sightline_shared.codec import MAX_DIM
from sightline_shared.errors import BundleCorrupt, InputError

FORMAT = 1
MAX_LABELS = 100_000
MAX_LABEL_CHARS = 200

Vectors = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Semantic:
    """A softmax over categories: `labels` c names, `weight` `(c, d)`, `bias` `(c,)`, float32."""

    labels: tuple[str, ...]
    weight: Vectors
    bias: Vectors

    def __post_init__(self) -> None:
        if self.weight.shape[0] != len(self.labels) or self.bias.shape != (len(self.labels),):
            raise InputError(
                f"semantic head: expected a row and a bias a label, got {len(self.labels)} labels, "
                f"{self.weight.shape} and {self.bias.shape}."
            )

    def probabilities(self, embeddings: Vectors) -> Vectors:
        """Return each category's probability `(n, c) float32` for `embeddings` `(n, d) float32`."""
        logits = embeddings @ self.weight.T + self.bias
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        shares: Vectors = powers / powers.sum(axis=1, keepdims=True)
        return shares


@dataclass(frozen=True, eq=False)
class Sensitive:
    """A logistic score of sensitive subjects: `weight` `(d,) float32`, `bias`, the kinds it was trained on, two thresholds.

    From `unsure_above` on the subject counts as sensitive; above `sensitive_above` it is hardly anything else.
    """

    kinds: tuple[str, ...]
    weight: Vectors
    bias: float
    unsure_above: float
    sensitive_above: float

    def score(self, embedding: Vectors) -> float:
        """Return the score in [0, 1] of one `embedding` `(d,) float32`: a frame has one, and arrays would cost more."""
        logit = float(self.weight.dot(embedding)) + self.bias
        return 1 / (1 + math.exp(-min(60.0, max(-60.0, logit))))

    def scores(self, embeddings: Vectors) -> Vectors:
        """Return scores `(n,) float32` in [0, 1] of `embeddings` `(n, d) float32`."""
        logits = (embeddings @ self.weight + self.bias).astype(np.float64)
        return np.asarray(1 / (1 + np.exp(-np.clip(logits, -60, 60))), dtype=np.float32)


@dataclass(frozen=True, eq=False)
class Heads:
    """The heads of one bundle; `sensitive` is None where the bundle has no such head."""

    semantic: Semantic
    sensitive: Sensitive | None = None

    @property
    def dim(self) -> int:
        return int(self.semantic.weight.shape[1])

    def to_bytes(self) -> bytes:
        """Return the heads as a file's bytes (format above)."""
        packed: bytes = msgpack.packb(
            {
                "format": FORMAT,
                "dim": self.dim,
                "labels": list(self.semantic.labels),
                "weight": self.semantic.weight.astype("<f4").tobytes(),
                "bias": self.semantic.bias.astype("<f4").tobytes(),
                "sensitive": None
                if self.sensitive is None
                else {
                    "kinds": list(self.sensitive.kinds),
                    "weight": self.sensitive.weight.astype("<f4").tobytes(),
                    "bias": self.sensitive.bias,
                    "unsure_above": self.sensitive.unsure_above,
                    "sensitive_above": self.sensitive.sensitive_above,
                },
            }
        )
        return packed

    @classmethod
    def from_bytes(cls, data: bytes) -> Heads:
        """Read a heads file's bytes, whose digest the caller has verified; raises BundleCorrupt."""
        try:
            fields = msgpack.unpackb(data)
            if fields["format"] != FORMAT:
                raise BundleCorrupt(f"heads file: expected format {FORMAT}, got {fields['format']!r}.")
            dim, labels = fields["dim"], _names(fields["labels"])
            if not (isinstance(dim, int) and 0 < dim <= MAX_DIM):
                raise BundleCorrupt(f"heads file: expected 1 to {MAX_DIM} numbers an embedding, got {dim!r}.")
            semantic = Semantic(
                labels, _floats(fields["weight"], (len(labels), dim)), _floats(fields["bias"], (len(labels),))
            )
            return cls(semantic, None if fields["sensitive"] is None else _sensitive(fields["sensitive"], dim))
        except (ValueError, KeyError, TypeError, AttributeError, InputError, msgpack.UnpackException) as error:
            raise BundleCorrupt(f"heads file: expected the heads' map, got {error!r}.") from error


def _sensitive(fields: dict[str, Any], dim: int) -> Sensitive:
    numbers = {name: float(fields[name]) for name in ("bias", "unsure_above", "sensitive_above")}
    if not all(math.isfinite(value) for value in numbers.values()):
        raise ValueError("numbers that are not finite")
    if not 0 <= numbers["unsure_above"] <= numbers["sensitive_above"] <= 1:
        raise ValueError("thresholds out of order")
    return Sensitive(kinds=_names(fields["kinds"]), weight=_floats(fields["weight"], (dim,)), **numbers)


def _names(values: list[str]) -> tuple[str, ...]:
    if not isinstance(values, list) or len(values) > MAX_LABELS:
        raise ValueError(f"expected a list of at most {MAX_LABELS} names")
    if not all(isinstance(name, str) and len(name) <= MAX_LABEL_CHARS for name in values):
        raise ValueError(f"expected names of at most {MAX_LABEL_CHARS} characters")
    return tuple(values)


def _floats(data: bytes, shape: tuple[int, ...]) -> Vectors:
    array = np.frombuffer(data, dtype="<f4").reshape(shape)
    if not np.isfinite(array).all():
        raise ValueError("numbers that are not finite")
    return array.astype(np.float32)
