"""One query, end to end, under a deadline.

    pairing -> cache, or decode -> search every shard of the caller's index -> merge -> hydrate -> decide -> answer

The pairing id names the generation that answers: the model and codec that the query's codes come from.

A deadline that falls, or a shard that is missing, gives a partial answer: what was found by then, marked, rather than
everything too late.
"""

from __future__ import annotations

import asyncio
import dataclasses
import time
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightline_cloud.cache import Hit, Question
from sightline_cloud.engine import Engine
from sightline_cloud.live import LiveGeneration
from sightline_cloud.shards.gather import Gathered
from sightline_cloud.shards.pool import Ask
from sightline_cloud.tenancy.auth import Caller
from sightline_shared.budget import Budget
from sightline_shared.decision import decide as by_thresholds
from sightline_shared.errors import BodyMalformed, BundleCorrupt
from sightline_shared.manifest import Manifest
from sightline_shared.protocol import Answer, Decision, Match, Query


@dataclass(frozen=True)
class Nearest:
    """The best hits of a search, and why they may not be all: `gaps` is empty when everything was searched."""

    hits: tuple[Hit, ...]
    shards: str
    gaps: tuple[str, ...] = ()


async def search(query: Query, caller: Caller, engine: Engine, pool: Executor, arrived: float) -> Answer:
    """Return the answer to `query`; `arrived` is `time.perf_counter()` when the request came in.

    Raises VersionMismatch or BodyMalformed for codes that mean nothing to the live indexes, FilterInvalid, ShardsMissing.
    """
    live = engine.generation(query.pairing_id)
    check_codes(query, live)
    budget = Budget(max(0.0, allowed_ms(query, engine) - (time.perf_counter() - arrived) * 1000))
    # Off the event loop. At the deadline a search that still waits is dropped; one that runs finishes unheard, and holds
    # its thread until then, so that there are never more searches at once than threads.
    work = asyncio.get_running_loop().run_in_executor(pool, find, query, caller, engine, live, budget)
    done, _ = await asyncio.wait({work}, timeout=budget.left_ms / 1000)
    if done:
        return work.result()
    work.cancel()
    return out_of_time(query, live, budget)


def check_codes(query: Query, live: LiveGeneration) -> None:
    """Raise BodyMalformed unless the codes have the size that the generation's codec gives them."""
    size = len(query.codes[0])
    if size != live.codec.code_size:
        raise BodyMalformed(f"codes: expected {live.codec.code_size} bytes each, got {size}.")


def allowed_ms(query: Query, engine: Engine) -> float:
    """Return the service's share of the deadline: the rest belongs to the way there and back."""
    deadline_ms = min(query.deadline_ms, engine.settings.max_deadline_ms)
    return deadline_ms - min(engine.settings.network_ms, deadline_ms / 4)


def find(query: Query, caller: Caller, engine: Engine, live: LiveGeneration, budget: Budget) -> Answer:
    """Search, hydrate and decide; runs in a worker thread."""
    found = nearest(query, caller, engine, live, budget)

    with budget.stage("hydrate"):
        matches = hydrate(found.hits, caller, engine, live)

    with budget.stage("decide"):
        decision, reasons = decide(matches, query, live)

    answer = Answer(
        request_id=query.request_id,
        decision=decision,
        matches=() if decision is Decision.NOT_FOUND else matches,
        reasons=reasons,
        versions={**versions(live), "shards": found.shards},
        stages_ms=budget.stages_ms,
    )
    return cut_short(answer, found) if found.gaps else answer


def nearest(query: Query, caller: Caller, engine: Engine, live: LiveGeneration, budget: Budget) -> Nearest:
    """Return the items nearest to the query's codes, from the cache when the tenant's items have not changed since."""
    every = len(live.indexes.shards)
    with budget.stage("cache"):
        question = Question(caller.tenant, query.pairing_id, query.codes, query.k, query.where)
        version = live.indexes.version(caller.tenant)  # before the search: see ResultCache
        known = engine.cache.get(question, version)
    if known is not None:
        return Nearest(known, f"{every}/{every}")

    with budget.stage("decode"):
        vectors = decoded(query, live)

    with budget.stage("search"):
        gathered = live.indexes.search(Ask(caller.tenant, vectors, query.k, query.where, budget))
        hits = merge(gathered.cosines, gathered.pks, query.k)

    gaps = gaps_in(gathered, query)
    if not gaps:
        engine.cache.put(question, version, hits)
    return Nearest(hits, f"{every - len(gathered.missing)}/{every}", gaps)


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


def decoded(query: Query, live: LiveGeneration) -> NDArray[np.float32]:
    """Return the unit vectors `(codes, d) float32` that the query's codes stand for."""
    codes = np.frombuffer(b"".join(query.codes), np.uint8).reshape(len(query.codes), -1)
    vectors = live.codec.decode(codes)
    lengths = np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    unit: NDArray[np.float32] = (vectors / lengths).astype(np.float32)
    return unit


def merge(scores: NDArray[np.float32], pks: NDArray[np.int64], k: int) -> tuple[Hit, ...]:
    """Return the k best items over all codes, each once, under the code that liked it best."""
    best: dict[int, Hit] = {}
    for code_index, (row_scores, row_pks) in enumerate(zip(scores.tolist(), pks.tolist(), strict=True)):
        for score, pk in zip(row_scores, row_pks, strict=True):
            if pk >= 0 and (pk not in best or score > best[pk].score):
                # float16 vectors are of unit length to three digits only, and a cosine is at most 1.
                best[pk] = Hit(pk, min(score, 1.0), code_index)
    return tuple(sorted(best.values(), key=lambda hit: (-hit.score, hit.pk))[:k])


def hydrate(hits: tuple[Hit, ...], caller: Caller, engine: Engine, live: LiveGeneration) -> tuple[Match, ...]:
    """Return the hits with id, metadata and, for keys with the rerank scope, code; gone and foreign items drop out."""
    stored = engine.store.hydrate(caller.tenant, [hit.pk for hit in hits], live.key)
    with_codes = "rerank" in caller.scopes
    return tuple(
        Match(item.id, hit.score, item.metadata, hit.code_index, item.code if with_codes else None)
        for hit in hits
        if (item := stored.get(hit.pk))
    )


def decide(matches: tuple[Match, ...], query: Query, live: LiveGeneration) -> tuple[Decision, tuple[str, ...]]:
    """Return found, unsure or not_found by the bundle's thresholds on the nearest item's cosine."""
    if not matches:
        return Decision.NOT_FOUND, ("no item passes the filter" if query.where else "the catalogue is empty",)
    return by_thresholds(matches[0].score, live.bundle.manifest.decision)


def check_thresholds(manifest: Manifest) -> None:
    """Raise BundleCorrupt unless the manifest has the thresholds that `decide` needs."""
    got = manifest.decision
    if not got.get("not_found_max_score", np.nan) <= got.get("found_min_score", np.nan):
        raise BundleCorrupt(
            f"manifest.json: expected decision thresholds not_found_max_score <= found_min_score, got {dict(got)}."
        )


def cut_short(answer: Answer, found: Nearest) -> Answer:
    """Return `answer` marked as partial. What was not searched might have held something: no 'not_found'."""
    decision = Decision.UNSURE if answer.decision is Decision.NOT_FOUND else answer.decision
    # That nothing was found in a part says nothing about the whole.
    reasons = found.gaps + (answer.reasons if found.hits else ())
    return dataclasses.replace(answer, decision=decision, reasons=reasons, partial=True)


def out_of_time(query: Query, live: LiveGeneration, budget: Budget) -> Answer:
    """Return the partial answer of a query whose deadline fell before anything could be said."""
    return Answer(
        request_id=query.request_id,
        decision=Decision.UNSURE,
        reasons=(f"the deadline of {query.deadline_ms} ms fell before the search was done",),
        partial=True,
        versions=versions(live),
        stages_ms=dict(budget.stages_ms),
    )


def versions(live: LiveGeneration) -> dict[str, Any]:
    """Return what answered: bundle, and the change log's position that the index stands at."""
    return {"bundle": live.bundle.label, "index": str(live.indexes.seq)}
