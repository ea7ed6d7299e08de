"""Early fusion: the text's vector is added to the picture's before anything is searched ("this, in red").

Off by default. The projection learns what kind of thing a text names from few captions: of kinds that it has never seen it
knows little ('sightline bench quality'), so the variant of a thing is better told by late fusion.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from sightline_cloud.engine import Engine
from sightline_cloud.fusion.tower import TextTower
from sightline_cloud.live import LiveGeneration
from sightline_cloud.nearest import Vectors, hydrate, nearest
from sightline_cloud.pressure import Level
from sightline_cloud.rank.candidate import Candidate
from sightline_cloud.shards.pool import Ask
from sightline_cloud.tenancy.auth import Caller
from sightline_shared.budget import Budget
from sightline_shared.protocol import Query

# What the tower may take for one text, and the search after it.
RESERVE_MS = 40.0


def found_with_text(
    query: Query, ask: Ask, caller: Caller, engine: Engine, live: LiveGeneration, level: Level
) -> tuple[Candidate, ...] | None:
    """Return what is near to picture and text together; None where the text is not to move the search, or no time is left."""
    tower = engine.tower if engine.tower and engine.tower.pairing_id == live.pairing_id else None
    weight = 0.0 if level >= Level.NO_EXTRAS else engine.settings.text_early
    with ask.budget.stage("text"):
        vectors = moved(ask.queries, query.text, tower, weight, ask.budget)
    if vectors is None:
        return None
    found = nearest(query, dataclasses.replace(ask, queries=vectors), engine, live, query.text)
    return None if found.gaps else hydrate(found, caller, engine, live)


def moved(vectors: Vectors, text: str, tower: TextTower | None, weight: float, budget: Budget) -> Vectors | None:
    """Return unit `vectors` `(codes, d) float32` with `weight` times the text's added, of unit length again.

    None where nothing is to be added: without a weight, a tower or a text that says something, or with too little time.
    """
    if not (weight and text and tower) or budget.left_ms < RESERVE_MS:
        return None
    modifier = tower.modifier(text)
    if modifier is None:
        return None
    sums = vectors + np.float32(weight) * modifier
    unit: Vectors = (sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)).astype(np.float32)
    return unit
