"""What device and service take besides the network: drawn from the raw samples of a `bench edge` result."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sightline_bench.results import read
from sightline_bench.stats import Floats
from sightline_shared.errors import InputError

# In a checkout; who installed the package measures with `sightline bench edge --out`.
KEPT = Path(__file__).resolve().parents[2] / "results" / "edge.json"
CROP = ("preprocess ms", "embed ms", "sensitive ms", "gate ms", "encode ms")
AFTER = ("unpack ms", "rerank ms")
# The service's own student on the service's own processor, for photographs that are uploaded.
SERVICE_EMBEDS = ("decode ms", "preprocess ms", "embed ms", "encode ms")


@dataclass(frozen=True, eq=False)
class Times:
    """Milliseconds by query, `(n,)` each and row by row of the same query, but `service` and `cached`, which stand alone.

    `device`: file to packed query; `crop`: one crop more; `after`: answer to re-ranked matches; `embeds`: what the service
    would take to embed a photograph; `service`: the round trip without a network; `cached`: an answer from the cache.
    """

    device: Floats
    crop: Floats
    after: Floats
    embeds: Floats
    service: Floats
    cached: Floats

    @property
    def rows(self) -> int:
        """How many of the least were measured."""
        return min(len(getattr(self, name)) for name in self.__dataclass_fields__)

    def draw(self, rng: random.Random) -> Drawn:
        """Return one query's times."""
        row = rng.randrange(len(self.device))
        service, cached = rng.randrange(len(self.service)), rng.randrange(len(self.cached))
        ms = (
            self.device[row],
            self.crop[row],
            self.after[row],
            self.embeds[row],
            self.service[service],
            self.cached[cached],
        )
        return Drawn(*map(float, ms))


@dataclass(frozen=True)
class Drawn:
    """One query's milliseconds, as in `Times`."""

    device: float
    crop: float
    after: float
    embeds: float
    service: float
    cached: float


def read_times(path: Path = KEPT) -> Times:
    """Read a result of `bench edge`; raises InputError when it is none, or has no samples."""
    hint = "Measure: sightline bench edge --out edge.json; then --edge edge.json."
    if not path.exists():
        raise InputError(f"{path}: expected a result of 'bench edge', got no file.", hint=hint)
    result = read(path)
    try:
        samples = {name: np.asarray(values, float) for name, values in result["samples"].items()}
        times = Times(
            device=samples["whole device ms"],
            crop=np.sum([samples[name] for name in CROP], axis=0),
            after=np.sum([samples[name] for name in AFTER], axis=0),
            embeds=np.sum([samples[name] for name in SERVICE_EMBEDS], axis=0),
            service=samples["round_trip ms"],
            cached=samples["cached ms"],
        )
        columns = [getattr(times, name) for name in Times.__dataclass_fields__]
        alike = {len(column) for column in columns[:4]}
        if len(alike) != 1 or not all(column.ndim == 1 and column.size for column in columns):
            raise ValueError("columns of different lengths")
        if not all(np.isfinite(column).all() and (column >= 0).all() for column in columns):
            raise ValueError("times that are no times")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{path}: expected the samples of 'bench edge', got '{error}'.", hint=hint) from error
    return times
