"""One query, end to end, under a deadline.

    pairing -> decode -> search the caller's index, code by code -> merge -> hydrate -> decide -> answer

A deadline that falls gives a partial answer: what was found by then, marked, rather than everything too late.
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

from sightline_cloud.engine import Engine
from sightline_cloud.tenancy.auth import Caller
from sightline_shared.budget import Budget
from sightline_shared.errors import BodyMalformed, BundleCorrupt
from sightline_shared.manifest import Manifest
from sightline_shared.protocol import Answer, Decision, Match, Query
from sightline_shared.versions import check_pairing

# Kept free after the last code's search: reading the matches, deciding and packing take less.
FINISH_MS = 5.0


@dataclass(frozen=True)
class Hit:
    """An item found by a code, before its metadata is read."""

    pk: int
    score: float
    code_index: int


async def search(query: Query, caller: Caller, engine: Engine, pool: Executor, arrived: float) -> Answer:
    """Return the answer to `query`; `arrived` is `time.perf_counter()` when the request came in.

    Raises VersionMismatch or BodyMalformed for codes that mean nothing to this index.
    """
    check_codes(query, engine)
    budget = Budget(max(0.0, allowed_ms(query, engine) - (time.perf_counter() - arrived) * 1000))
    # Off the event loop. At the deadline a search that still waits is dropped; one that runs finishes unheard, and holds
    # its thread until then, so that there are never more searches at once than threads.
    work = asyncio.get_running_loop().run_in_executor(pool, find, query, caller, engine, budget)
    done, _ = await asyncio.wait({work}, timeout=budget.left_ms / 1000)
    if done:
        return work.result()
    work.cancel()
    return out_of_time(query, engine, budget)


def check_codes(query: Query, engine: Engine) -> None:
    """Raise unless the codes come from a bundle that pairs with the index, and have its size."""
    check_pairing(query.pairing_id, engine.pairing_id)
    size = len(query.codes[0])
    if size != engine.codec.code_size:
        raise BodyMalformed(f"codes: expected {engine.codec.code_size} bytes each, got {size}.")


def allowed_ms(query: Query, engine: Engine) -> float:
    """Return the service's share of the deadline: the rest belongs to the way there and back."""
    deadline_ms = min(query.deadline_ms, engine.settings.max_deadline_ms)
    return deadline_ms - min(engine.settings.network_ms, deadline_ms / 4)


def find(query: Query, caller: Caller, engine: Engine, budget: Budget) -> Answer:
    """Search, hydrate and decide; runs in a worker thread."""
    with budget.stage("decode"):
        vectors = decoded(query, engine)

    with budget.stage("search"):
        hits, searched = nearest(vectors, query, caller, engine, budget)

    with budget.stage("hydrate"):
        matches = hydrate(hits, caller, engine)

    with budget.stage("decide"):
        decision, reasons = decide(matches, engine)

    answer = Answer(
        request_id=query.request_id,
        decision=decision,
        matches=() if decision is Decision.NOT_FOUND else matches,
        reasons=reasons,
        versions=versions(engine),
        stages_ms=budget.stages_ms,
    )
    return answer if searched == len(vectors) else cut_short(answer, query, searched)


def nearest(
    vectors: NDArray[np.float32], query: Query, caller: Caller, engine: Engine, budget: Budget
) -> tuple[list[Hit], int]:
    """Return the best hits, and how many of the codes were searched: all, or those that fit into the deadline."""
    rows, slowest_ms = [], 0.0
    for number in range(len(vectors)):
        # Codes come best first, so what is left out is what matters least.
        if number and budget.left_ms < slowest_ms + FINISH_MS:
            break
        before_ms = budget.spent_ms
        rows.append(engine.indexes.search(caller.tenant, vectors[number : number + 1], query.k))
        slowest_ms = max(slowest_ms, budget.spent_ms - before_ms)
    scores, pks = (np.concatenate(parts) for parts in zip(*rows, strict=True))
    return merge(scores, pks, query.k), len(rows)


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
                # float16 vectors are of unit length to three digits only, and a cosine is at most 1.
                best[pk] = Hit(pk, min(score, 1.0), code_index)
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
        reason = f"the nearest item is too far: cosine {nearest:.3f} < {thresholds['not_found_max_score']:.3f}"
        return Decision.NOT_FOUND, (reason,)
    if nearest < thresholds["found_min_score"]:
        reason = f"the nearest item is not close: cosine {nearest:.3f} < {thresholds['found_min_score']:.3f}"
        return Decision.UNSURE, (reason,)
    return Decision.FOUND, ()


def check_thresholds(manifest: Manifest) -> None:
    """Raise BundleCorrupt unless the manifest has the thresholds that `decide` needs."""
    got = manifest.decision
    if not got.get("not_found_max_score", np.nan) <= got.get("found_min_score", np.nan):
        raise BundleCorrupt(
            f"manifest.json: expected decision thresholds not_found_max_score <= found_min_score, got {dict(got)}."
        )


def cut_short(answer: Answer, query: Query, searched: int) -> Answer:
    """Return `answer` marked as partial. Codes that were not searched might have found something: no 'not_found'."""
    reason = f"the deadline of {query.deadline_ms} ms fell after {searched} of {len(query.codes)} codes"
    decision = Decision.UNSURE if answer.decision is Decision.NOT_FOUND else answer.decision
    return dataclasses.replace(answer, decision=decision, reasons=(reason, *answer.reasons), partial=True)


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
