"""One query, end to end, under a deadline: from the request's bytes to the answer.

    decode -> pairing -> search the caller's index -> merge over codes -> hydrate -> decide -> answer

A deadline that falls gives a partial answer: what was found by then, marked, rather than everything too late.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import anyio
import numpy as np
from numpy.typing import NDArray

from sightline_cloud.engine import Engine
from sightline_cloud.tenancy.auth import Caller
from sightline_shared.budget import Budget
from sightline_shared.errors import BodyMalformed
from sightline_shared.protocol import Answer, Decision, Match, Query, unpack_query
from sightline_shared.versions import check_pairing


@dataclass(frozen=True)
class Hit:
    """An item found by a code, before its metadata is read."""

    pk: int
    score: float
    code_index: int


async def search(body: bytes, caller: Caller, engine: Engine, limiter: anyio.CapacityLimiter, arrived: float) -> Answer:
    """Return the answer to a request's `body`; `arrived` is `time.perf_counter()` when the request came in.

    Raises ProtocolError for a body that is no query of ours, ScopeMissing for a key that may not search.
    """
    caller.require("search")
    query = parse(body, engine)
    allowed_ms = min(query.deadline_ms, engine.settings.max_deadline_ms)
    budget = Budget(max(0.0, allowed_ms - (time.perf_counter() - arrived) * 1000))

    answer: Answer | None = None
    with anyio.move_on_after(budget.left_ms / 1000):
        # Off the event loop; a search that overruns finishes in its thread, and nobody waits for it.
        answer = await anyio.to_thread.run_sync(
            find, query, caller, engine, budget, abandon_on_cancel=True, limiter=limiter
        )
    return answer or out_of_time(query, engine, budget)


def parse(body: bytes, engine: Engine) -> Query:
    """Return the query in `body`, checked against the bundle that the index was made with."""
    query = unpack_query(body)
    check_pairing(query.pairing_id, engine.pairing_id)
    size = len(query.codes[0])
    if size != engine.codec.code_size:
        raise BodyMalformed(f"codes: expected {engine.codec.code_size} bytes each, got {size}.")
    return query


def find(query: Query, caller: Caller, engine: Engine, budget: Budget) -> Answer:
    """Search, hydrate and decide; runs in a worker thread."""
    with budget.stage("decode"):
        vectors = decoded(query, engine)

    with budget.stage("search"):
        scores, pks = engine.indexes.search(caller.tenant, vectors, query.k)
        hits = merge(scores, pks, query.k)

    if budget.exhausted:
        return out_of_time(query, engine, budget)

    with budget.stage("hydrate"):
        matches = hydrate(hits, caller, engine)

    with budget.stage("decide"):
        decision, reasons = decide(matches, engine)

    return Answer(
        request_id=query.request_id,
        decision=decision,
        matches=() if decision is Decision.NOT_FOUND else matches,
        reasons=reasons,
        versions=versions(engine),
        stages_ms=budget.stages_ms,
    )


def decoded(query: Query, engine: Engine) -> NDArray[np.float32]:
    """Return the unit vectors `(codes, d) float32` that the query's codes stand for."""
    codes = np.frombuffer(b"".join(query.codes), np.uint8).reshape(len(query.codes), -1)
    vectors = engine.codec.decode(codes)
    lengths = np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    unit: NDArray[np.float32] = (vectors / lengths).astype(np.float32)
    return unit


def merge(scores: NDArray[np.float32], pks: NDArray[np.int64], k: int) -> list[Hit]:
    """Return the k best items over all codes, each once, under the code that liked it best."""
    best: dict[int, Hit] = {}
    for code_index, (row_scores, row_pks) in enumerate(zip(scores.tolist(), pks.tolist(), strict=True)):
        for score, pk in zip(row_scores, row_pks, strict=True):
            if pk >= 0 and (pk not in best or score > best[pk].score):
                best[pk] = Hit(pk, score, code_index)
    return sorted(best.values(), key=lambda hit: (-hit.score, hit.pk))[:k]


def hydrate(hits: list[Hit], caller: Caller, engine: Engine) -> tuple[Match, ...]:
    """Return the hits with id, metadata and, for keys with the rerank scope, code; gone and foreign items drop out."""
    stored = engine.store.hydrate(caller.tenant, [hit.pk for hit in hits])
    with_codes = "rerank" in caller.scopes
    return tuple(
        Match(item.id, hit.score, item.metadata, hit.code_index, item.code if with_codes else None)
        for hit in hits
        if (item := stored.get(hit.pk))
    )


def decide(matches: tuple[Match, ...], engine: Engine) -> tuple[Decision, tuple[str, ...]]:
    """Return found, unsure or not_found by the bundle's thresholds on the nearest item's cosine."""
    if not matches:
        return Decision.NOT_FOUND, ("the catalogue is empty",)
    nearest, thresholds = matches[0].score, engine.bundle.manifest.decision
    if nearest < thresholds["not_found_max_score"]:
        reason = f"the nearest item is too far: cosine {nearest:.2f} < {thresholds['not_found_max_score']:.2f}"
        return Decision.NOT_FOUND, (reason,)
    if nearest < thresholds["found_min_score"]:
        reason = f"the nearest item is not close: cosine {nearest:.2f} < {thresholds['found_min_score']:.2f}"
        return Decision.UNSURE, (reason,)
    return Decision.FOUND, ()


def out_of_time(query: Query, engine: Engine, budget: Budget) -> Answer:
    """Return the partial answer of a query whose deadline fell before anything could be said."""
    return Answer(
        request_id=query.request_id,
        decision=Decision.UNSURE,
        reasons=(f"the deadline of {query.deadline_ms} ms fell before the search was done",),
        partial=True,
        versions=versions(engine),
        stages_ms=dict(budget.stages_ms),
    )


def versions(engine: Engine) -> dict[str, Any]:
    """Return what answered: bundle, and the change log's position that the index stands at."""
    return {"bundle": engine.bundle.label, "index": str(engine.indexes.seq)}
