"""The gate: is this frame the kind of thing that the catalogue holds at all?

A score says how much an embedding is like the catalogue (`ood`: prototypes, class weights or class means; the export
chooses by validation). Offsets bring its sources to one scale: domains differ in how close a good photograph comes, and
one flat cut-off for all would be set by the loosest. Below `reject_below` the device answers "no visual match" before
any byte is sent; between `reject_below` and `sure_above` it asks the cloud but says that it is unsure. Offsets and
thresholds come from held-out photographs at a stated false-reject rate and travel in the bundle. A low score says
"unlike the catalogue", nothing more: much of it is photographic style.

A gate file is one msgpack map, little-endian. Format 1, which holds plain cosines to prototypes, can be read by every
device: `{"format": 1, "dim": d, "prototypes": p*d x float16, "offsets": p x float16, "reject_below": float,
"sure_above": float, "min_sharpness": float, "min_brightness": float, "max_brightness": float}`. Format 2 holds any score:
`{"format": 2, "dim": d, "kind": str, "rows": p*d x float16, "offsets": p x float32, "parameter": float, "gain": float,
"shift": float, "whitening": d*d x float16 or empty}` and the five thresholds as above. A score is written in format 1 where that can
hold it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgpack
import numpy as np
from numpy.typing import NDArray

from sightline_edge.ood import OodScore
from sightline_shared.errors import BundleCorrupt, InputError

MAX_FILE_BYTES = 16 * 1024 * 1024
THRESHOLDS = ("reject_below", "sure_above", "min_sharpness", "min_brightness", "max_brightness")


@dataclass(frozen=True, eq=False)
class Gate:
    """The score of an embedding, and the thresholds of the gate and of the frame's quality.

    `reject_below` and `sure_above` are scores; the quality thresholds are in the units of `quality.measure`.
    """

    ood: OodScore
    reject_below: float
    sure_above: float
    min_sharpness: float
    min_brightness: float
    max_brightness: float

    def score(self, embedding: NDArray[np.float32]) -> float:
        """Return the score of `embedding` `(d,) float32` of unit length."""
        return self.ood.score(embedding)

    def scores(self, embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return `score` for each row of `embeddings` `(n, d) float32`: `(n,) float32`."""
        return self.ood.scores(embeddings)

    def to_bytes(self) -> bytes:
        thresholds = {name: float(getattr(self, name)) for name in THRESHOLDS}
        plain = self.ood.kind == "cosine" and (self.ood.gain, self.ood.shift) == (1.0, 0.0)
        fields = _format_1(self.ood) if plain else _format_2(self.ood)
        packed: bytes = msgpack.packb({**fields, **thresholds})
        return packed

    @classmethod
    def from_bytes(cls, data: bytes) -> Gate:
        """Read a gate file's bytes, whose digest the caller has verified; raises BundleCorrupt."""
        if len(data) > MAX_FILE_BYTES:
            raise BundleCorrupt(f"gate file: expected at most {MAX_FILE_BYTES} bytes, got {len(data)}.")
        try:
            fields = msgpack.unpackb(data)
            number = fields.pop("format")
            if number not in (1, 2):
                raise BundleCorrupt(f"gate file: expected format 1 or 2, got {number!r}.")
            thresholds = {name: float(fields.pop(name)) for name in THRESHOLDS}
            ood = _read_1(fields) if number == 1 else _read_2(fields)
            if fields:
                raise BundleCorrupt(f"gate file: expected nothing more, got {sorted(fields)}.")
            if not np.isfinite(list(thresholds.values())).all():
                raise BundleCorrupt(f"gate file: expected finite thresholds, got {thresholds}.")
            return cls(ood, **thresholds)
        except (ValueError, KeyError, TypeError, AttributeError, InputError, msgpack.UnpackException) as error:
            raise BundleCorrupt(f"gate file: expected the gate's map, got {error!r}.") from error


def _format_1(ood: OodScore) -> dict[str, Any]:
    return {
        "format": 1,
        "dim": ood.dim,
        "prototypes": ood.rows.astype("<f2").tobytes(),
        "offsets": ood.offsets.astype("<f2").tobytes(),
    }


def _format_2(ood: OodScore) -> dict[str, Any]:
    return {
        "format": 2,
        "dim": ood.dim,
        "kind": ood.kind,
        "rows": ood.rows.astype("<f2").tobytes(),
        "offsets": ood.offsets.astype("<f4").tobytes(),
        "parameter": ood.parameter,
        "gain": ood.gain,
        "shift": ood.shift,
        "whitening": b"" if ood.whitening is None else ood.whitening.astype("<f2").tobytes(),
    }


def _read_1(fields: dict[str, Any]) -> OodScore:
    dim = fields.pop("dim")
    rows = _numbers(fields.pop("prototypes"), "<f2").reshape(-1, dim)
    return OodScore("cosine", rows, _numbers(fields.pop("offsets"), "<f2"))


def _read_2(fields: dict[str, Any]) -> OodScore:
    dim, whitening = fields.pop("dim"), fields.pop("whitening")
    parameter, gain, shift = (float(fields.pop(name)) for name in ("parameter", "gain", "shift"))
    if not np.isfinite([parameter, gain, shift]).all():
        raise BundleCorrupt(f"gate file: expected finite numbers, got {parameter}, {gain}, {shift}.")
    return OodScore(
        kind=fields.pop("kind"),
        rows=_numbers(fields.pop("rows"), "<f2").reshape(-1, dim),
        offsets=_numbers(fields.pop("offsets"), "<f4"),
        parameter=parameter,
        whitening=_numbers(whitening, "<f2").reshape(dim, dim) if whitening else None,
        gain=gain,
        shift=shift,
    )


def _numbers(data: bytes, kind: str) -> NDArray[np.float32]:
    numbers = np.frombuffer(data, kind).astype(np.float32)
    if not np.isfinite(numbers).all():
        raise BundleCorrupt("gate file: expected finite numbers.")
    return numbers
