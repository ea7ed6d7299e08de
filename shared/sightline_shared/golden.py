"""Golden vectors inside a bundle: picture -> tensor -> embedding -> code, for runtimes and ports to prove
themselves against.

The file is one msgpack map: `{"format": 1, "sources": [PNG bytes, ...], "size": s, "dim": d, "tensors":
n*s*s*3 x uint8, "embeddings": n*d x float32 little-endian, "codes": [code bytes, ...]}`. The sources are small RGB
pictures that the project rendered itself; tensors must be reproduced bit for bit, embeddings within the manifest's
cosine, codes exactly when computed from the golden embeddings.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgpack
import numpy as np
from numpy.typing import NDArray

from sightline_shared.errors import BundleCorrupt

FORMAT = 1


@dataclass(frozen=True, eq=False)
class Golden:
    """PNG sources, tensors `(n, s, s, 3) uint8`, embeddings `(n, d) float32`, codes `(n, m) uint8`."""

    sources: tuple[bytes, ...]
    tensors: NDArray[np.uint8]
    embeddings: NDArray[np.float32]
    codes: NDArray[np.uint8]

    def to_bytes(self) -> bytes:
        packed: bytes = msgpack.packb(
            {
                "format": FORMAT,
                "sources": list(self.sources),
                "size": int(self.tensors.shape[1]),
                "dim": int(self.embeddings.shape[1]),
                "tensors": self.tensors.tobytes(),
                "embeddings": self.embeddings.astype("<f4").tobytes(),
                "codes": [code.tobytes() for code in self.codes],
            }
        )
        return packed

    @classmethod
    def from_bytes(cls, data: bytes) -> Golden:
        """Read a golden file's bytes, whose digest the caller has verified; raises BundleCorrupt."""
        try:
            fields = msgpack.unpackb(data)
            n, size, dim = len(fields["sources"]), fields["size"], fields["dim"]
            return cls(
                sources=tuple(fields["sources"]),
                tensors=np.frombuffer(fields["tensors"], np.uint8).reshape(n, size, size, 3),
                embeddings=np.frombuffer(fields["embeddings"], "<f4").reshape(n, dim).astype(np.float32),
                codes=np.frombuffer(b"".join(fields["codes"]), np.uint8).reshape(n, -1),
            )
        except (ValueError, KeyError, TypeError, msgpack.UnpackException) as error:
            raise BundleCorrupt(f"golden file: expected the golden map, got {error!r}.") from error
