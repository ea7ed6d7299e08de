"""What is nearest to a query's codes: from the result cache, or searched in every shard under the deadline, and hydrated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sightline_cloud.cache import Hit, Question
from sightline_cloud.engine import Engine
from sightline_cloud.index.filters import ARCHIVED
from sightline_cloud.live import LiveGeneration
from sightline_cloud.logs import log
from sightline_cloud.rank.candidate import Candidate
from sightline_cloud.shards.gather import Gathered
from sightline_cloud.shards.pool import Ask
from sightline_cloud.tenancy.auth import Caller
from sightline_shared.protocol import Query

Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class Nearest:
    """The best hits of a search, and why they may not be all: `gaps` is empty when everything was searched.

    `spare` works out the hits that come after those.
    """

    hits: tuple[Hit, ...]
    shards: str
    gaps: tuple[str, ...] = ()
    spare: Callable[[], tuple[Hit, ...]] = tuple


def decoded(query: Query, live: LiveGeneration) -> Vectors:
    """Return the unit vectors `(codes, d) float32` that the query's codes stand for."""
    codes = np.frombuffer(b"".join(query.codes), np.uint8).reshape(len(query.codes), -1)
    vectors = live.codec.decode(codes)
    lengths = np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    unit: Vectors = (vectors / lengths).astype(np.float32)
    return unit


def nearest(query: Query, ask: Ask, engine: Engine, live: LiveGeneration, text: str = "") -> Nearest:
    """Return the `ask.k` items nearest to the query, from the cache when the tenant's items have not changed since.

    `text` is what was added to the vectors that `ask` has, for they are then not what the query's codes stand for.
    """
    every = len(live.indexes.shards)
    with ask.budget.stage("cache"):
        question = Question(ask.tenant, query.pairing_id, query.codes, ask.k, query.where, text)
        version = live.indexes.version(ask.tenant)  # before the search: see ResultCache
        known = engine.cache.get(question, version)
    if known is not None:
        return Nearest(known, f"{every}/{every}")
    found = searched(query, ask, live)
    if not found.gaps and ask.effort == 1:
        engine.cache.put(question, version, found.hits)
    return found


def searched(query: Query, ask: Ask, live: LiveGeneration) -> Nearest:
    """Return what the shards find, without the cache; raises ShardsMissing, FilterInvalid, IndexFailed."""
    with ask.budget.stage("search"):
        gathered = live.indexes.search(ask)
        hits = merge(gathered.cosines, gathered.pks, ask.k)
    every = len(live.indexes.shards)

    def spare() -> tuple[Hit, ...]:
        return merge(*gathered.whole, gathered.whole[1].size)[len(hits) :]

    return Nearest(hits, f"{every - len(gathered.missing)}/{every}", gaps_in(gathered, query), spare)


def gaps_in(gathered: Gathered, query: Query) -> tuple[str, ...]:
    """Return what was not searched, in words: codes that did not fit into the deadline, and shards."""
    gaps = []
    if gathered.searched < len(query.codes):
        gaps.append(
            f"the deadline of {query.deadline_ms} ms fell after {gathered.searched} of {len(query.codes)} codes"
        )
    for status in gathered.missing:
        what = f"was later than the deadline of {query.deadline_ms} ms" if status.state == "late" else "failed"
        gaps.append(f"shard {status.shard} {what}")
    return tuple(gaps)


def merge(scores: Vectors, pks: NDArray[np.int64], k: int) -> tuple[Hit, ...]:
    """Return the k best items over all codes, each once, under the code that liked it best."""
    best: dict[int, tuple[float, int]] = {}
    for code_index, (row_scores, row_pks) in enumerate(zip(scores.tolist(), pks.tolist(), strict=True)):
        for score, pk in zip(row_scores, row_pks, strict=True):
            if pk >= 0 and (pk not in best or score > best[pk][0]):
                # float16 vectors are of unit length to three digits only, and a cosine is at most 1.
                best[pk] = min(score, 1.0), code_index
    ranked = sorted((-score, pk, code_index) for pk, (score, code_index) in best.items())
    return tuple(Hit(pk, -score, code_index) for score, pk, code_index in ranked[:k])


def hydrate(found: Nearest, caller: Caller, engine: Engine, live: LiveGeneration) -> tuple[Candidate, ...]:
    """Return the hits with id, metadata and code; gone, archived and foreign items drop out.

    Others come up in the place of those: an index that names items which are not there, or not the caller's, hides none
    that another has found.
    """
    candidates = _there(found.hits, caller, engine, live)
    missing = len(found.hits) - len(candidates)
    if missing:
        log("hits_without_items", tenant=caller.tenant, generation=live.key, count=missing)
        engine.cache.forget(caller.tenant)  # what it holds may be such hits, too
        candidates += _there(found.spare(), caller, engine, live)[:missing]
    return candidates


def _there(hits: tuple[Hit, ...], caller: Caller, engine: Engine, live: LiveGeneration) -> tuple[Candidate, ...]:
    stored = engine.store.hydrate(caller.tenant, [hit.pk for hit in hits], live.key)
    return tuple(
        Candidate(hit.pk, item.id, hit.score, hit.code_index, item.metadata, item.code)
        for hit in hits
        if (item := stored.get(hit.pk)) and item.metadata.get(ARCHIVED) is not True
    )
