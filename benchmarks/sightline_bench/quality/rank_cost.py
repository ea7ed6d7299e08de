"""What the service's ranking stages take of a thread's CPU time, one by one and together."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sightline_bench.quality.diversity import shown
from sightline_bench.quality.embeddings import Embedded
from sightline_bench.quality.measure import sent
from sightline_bench.quality.staged import Found, candidates_of, compatibility_of, search, vectors_of
from sightline_bench.quality.tasks import Suite
from sightline_cloud.rank.build import STAGES, build
from sightline_cloud.rank.context import Context
from sightline_cloud.rank.metadata import Weights
from sightline_cloud.rank.stages import Ranking
from sightline_cloud.settings import Settings
from sightline_edge.device import Device
from sightline_export.evaluate import Figure, statistic_figure
from sightline_shared.budget import Budget
from sightline_shared.codec import Codec

# What a query of the default k fetches, and the most that is fetched by far.
CANDIDATES = (30, 100)
QUERIES = 200
WEIGHTS = Weights(category=0.01, freshness=0.01, stock=0.01, price=0.01)
METADATA: Mapping[str, Any] = {"price": 12.5, "stock": 3, "released": "2026-10-01", "video": 7}


def rank_cost(suite: Suite, embedded: dict[Path, Embedded], device: Device) -> dict[str, dict[str, Figure]]:
    """Return, by number of candidates and ranking, the median CPU milliseconds of a query; all metadata signals weigh."""
    task = suite.tasks[0]
    queries = sent(vectors_of(task.queries[:QUERIES], embedded), device)
    photos = suite.galleries[task.gallery]
    found = search(queries, photos, vectors_of(photos, embedded), device, max(CANDIDATES))
    rankings = {
        "none": Ranking(()),
        **{name: build((name,), weights=WEIGHTS) for name in STAGES},
        "default": build(Settings().rank_stages, weights=Weights(category=Settings().category_weight)),
        "all": build(STAGES, weights=WEIGHTS),
    }
    return {str(count): _medians(found, rankings, count, device.codec) for count in CANDIDATES}


def _medians(found: Found, rankings: Mapping[str, Ranking], count: int, codec: Codec) -> dict[str, Figure]:
    spent_ms: dict[str, list[float]] = {name: [] for name in rankings}
    for place in range(len(found.rows)):
        bare = candidates_of(found, place, count)
        candidates = [one._replace(metadata={**METADATA, **one.metadata}) for one in bare]
        for name, ranking in rankings.items():  # one after another: what else the machine does meets all alike
            begun = time.thread_time()
            context = Context(candidates, 20, codec, compatibility=compatibility_of(found, place))
            ranking.run(candidates, context, Budget())
            spent_ms[name].append(1000 * (time.thread_time() - begun))
    return {name: statistic_figure(np.array(values), _median) for name, values in spent_ms.items()}


def _median(values: np.ndarray[Any, np.dtype[np.float64]]) -> float:
    return float(np.median(values))


def lines(result: dict[str, Any]) -> list[str]:
    """Return the table, of figures that went through JSON."""
    names = list(next(iter(result.values())))
    text = ["", f"| CPU ms a query, candidates | n | {' | '.join(names)} |", "|---|---|" + "---|" * len(names)]
    for count, row in result.items():
        cells = " | ".join(shown(row[name], 1, 3) for name in names)
        text.append(f"| {count} | {row[names[0]]['n']} | {cells} |")
    return text
