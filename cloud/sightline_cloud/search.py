"""One query, end to end, under a deadline.

    pairing -> admit -> decode -> route -> nearest (cache, or every shard) -> hydrate -> rank, with the text -> judge -> answer
                                    `-> restricted (policy/restricted.py)

The pairing id names the generation that answers: the model and codec that the query's codes come from.

A deadline that falls, or a shard that is missing, gives a partial answer: what was found by then, marked, rather than
everything too late. Under pressure (pressure.py) parts are left out, and the answer says which.
"""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from sightline_cloud.engine import Engine
from sightline_cloud.fusion.caution import careful
from sightline_cloud.fusion.early import found_with_text
from sightline_cloud.live import LiveGeneration
from sightline_cloud.nearest import Nearest, Vectors, decoded, hydrate, nearest
from sightline_cloud.policy.restricted import restricted
from sightline_cloud.pressure import Level
from sightline_cloud.rank.candidate import Candidate, order
from sightline_cloud.rank.categories import compatible
from sightline_cloud.rank.confidence import nothing_found
from sightline_cloud.rank.context import Compatibility, Context
from sightline_cloud.rank.evidence import gather
from sightline_cloud.shards.pool import Ask
from sightline_cloud.tenancy.auth import Caller
from sightline_shared.budget import Budget
from sightline_shared.errors import BodyMalformed, BundleCorrupt, CallerGone
from sightline_shared.evidence import NEIGHBOURS
from sightline_shared.manifest import Manifest
from sightline_shared.protocol import Answer, Decision, Match, Query
from sightline_shared.verdict import Verdict

# Whether the caller is still there is looked after from then on: most answers are there by then, and looking costs as much
# as routing.
PROMPT_MS = 10.0


@dataclass(frozen=True)
class Asked:
    """One query with all that answering it needs; `level` is how far down the degrade ladder the service stood then."""

    query: Query
    caller: Caller
    engine: Engine
    live: LiveGeneration
    budget: Budget
    level: Level
    locale: str


async def search(
    query: Query,
    caller: Caller,
    engine: Engine,
    pool: Executor,
    arrived: float,
    *,
    locale: str = "",
    gone: Callable[[], Awaitable[object]] | None = None,
) -> Answer:
    """Return the answer to `query`; `arrived` is `time.perf_counter()` when the request came in, `gone()` ends when the
    caller has left: then nobody works on the query any more.

    Raises VersionMismatch or BodyMalformed for codes that mean nothing to the live indexes, FilterInvalid, ShardsMissing,
    ServiceBusy before anything is done, and CallerGone.
    """
    live = engine.generation(query.pairing_id)
    check_codes(query, live)
    budget = Budget(max(0.0, allowed_ms(query, engine) - (time.perf_counter() - arrived) * 1000))
    asked = Asked(query, caller, engine, live, budget, engine.pressure.level, locale)
    engine.pressure.admit(budget.left_ms)
    # Off the event loop. At the deadline, or when the caller leaves, a search that still waits is dropped; one that runs
    # finishes unheard, and holds its thread until then, so that there are never more searches at once than threads.
    work = pool.submit(answer, asked)
    heard = asyncio.wrap_future(work)
    left = await until_heard(heard, budget, gone)
    if heard.done():
        return heard.result()
    if work.cancel():
        engine.pressure.dropped()
    heard.cancel()
    if left:
        budget.end()  # a search that runs already stops before its next code or stage
        raise CallerGone("the caller went away before the answer was there.")
    return out_of_time(asked)


async def until_heard(
    heard: asyncio.Future[Answer], budget: Budget, gone: Callable[[], Awaitable[object]] | None
) -> bool:
    """Wait for the answer, until the deadline at most; returns whether the caller has left instead."""
    await asyncio.wait({heard}, timeout=min(budget.left_ms, PROMPT_MS) / 1000)
    if heard.done():
        return False
    leaving: set[asyncio.Future[Any]] = {asyncio.ensure_future(gone())} if gone else set()
    done, _ = await asyncio.wait({heard, *leaving}, timeout=budget.left_ms / 1000, return_when=asyncio.FIRST_COMPLETED)
    for each in leaving:
        each.cancel()
    return bool(leaving & done)


def check_codes(query: Query, live: LiveGeneration) -> None:
    """Raise BodyMalformed unless the codes have the size that the generation's codec gives them."""
    size = len(query.codes[0])
    if size != live.codec.code_size:
        raise BodyMalformed(f"codes: expected {live.codec.code_size} bytes each, got {size}.")


def allowed_ms(query: Query, engine: Engine) -> float:
    """Return the service's share of the deadline: the rest belongs to the way there and back."""
    deadline_ms = min(query.deadline_ms, engine.settings.max_deadline_ms)
    return deadline_ms - min(engine.settings.network_ms, deadline_ms / 4)


def answer(asked: Asked) -> Answer:
    """Answer in a worker thread, and have the degrade ladder hear how long that took."""
    pressure, waited_ms = asked.engine.pressure, asked.budget.spent_ms
    pressure.started(waited_ms)
    asked.budget.stages_ms["wait"] = waited_ms
    missed = True
    try:
        answered = find(asked)
        missed = answered.partial
        return answered
    finally:
        pressure.finished(asked.budget.spent_ms - waited_ms, missed=missed)


def find(asked: Asked) -> Answer:
    """Route, search, rank and judge."""
    query, caller, engine, live, budget = asked.query, asked.caller, asked.engine, asked.live, asked.budget
    with budget.stage("decode"):
        vectors = decoded(query, live)

    with budget.stage("route"):
        route = engine.policy.route(live, vectors, query.sensitive_scores, query.text)
    if route.restricted:
        return restricted(query, vectors, caller, engine, live, route, asked.locale, budget)

    k = asked.level.short(query.k)
    # The evidence for the first match looks at its neighbours, however few are asked for.
    fetch = max(NEIGHBOURS, engine.ranking.fetch(k, asked.level))
    ask = Ask(caller.tenant, vectors, fetch, query.where, budget, asked.level.effort)
    found = nearest(query, ask, engine, live)

    with budget.stage("hydrate"):
        candidates = hydrate(found, caller, engine, live)

    # As it is set up by default the text has its say in the ranking alone.
    told = found_with_text(query, ask, caller, engine, live, asked.level) if query.text else None

    fits = compatibility_of(vectors, live)
    context = Context(told or candidates, k, live.codec, compatibility=fits, text=query.text, budget=budget)
    ranked = engine.ranking.run(told or candidates, context, budget, asked.level)

    with budget.stage("decide"):
        verdict = judged(asked, vectors, told or candidates, ranked.candidates)
        pictured = min(candidates, key=order, default=None) if told else ranked.pictured
        if pictured:
            verdict = careful(judged(asked, vectors, candidates, [pictured]), verdict)

    not_found = verdict.decision is Decision.NOT_FOUND
    answered = Answer(
        request_id=query.request_id,
        decision=verdict.decision,
        matches=() if not_found else tuple(shown(candidate, caller) for candidate in ranked.candidates),
        reasons=verdict.reasons if not_found else verdict.reasons + ranked.notes,
        versions={**versions(asked, verdict.domain, ranked.skipped), "shards": found.shards},
        stages_ms=budget.stages_ms,
        confidence=verdict.probability,
    )
    return cut_short(answered, found) if found.gaps else answered


def compatibility_of(vectors: Vectors, live: LiveGeneration) -> Compatibility | None:
    """Return how well a candidate's category fits what its code looks like, in [0, 1]; None without a semantic head."""
    heads = live.bundle.heads
    if heads is None:
        return None
    semantic, probabilities = heads.semantic, heads.semantic.probabilities(vectors)
    # Neighbours are of few categories.
    fit = cache(lambda category, code_index: compatible(category, probabilities[code_index], semantic.labels))
    return lambda each: fit(each.metadata.get("category"), each.code_index)


def judged(asked: Asked, vectors: Vectors, candidates: Sequence[Candidate], ranked: Sequence[Candidate]) -> Verdict:
    """Return found, unsure or not_found, with the probability that the first of `ranked` is right."""
    if not ranked:
        return nothing_found(filtered=bool(asked.query.where))
    evidence = gather(ranked[0], candidates, asked.query.gate_scores, vectors, asked.live.bundle.heads)
    return asked.live.confidences.of(asked.caller.tenant).judge(evidence)


def shown(candidate: Candidate, caller: Caller) -> Match:
    """Return what the caller may see of an item: its code only with the rerank scope, its vector never."""
    code = candidate.code if "rerank" in caller.scopes else None
    return Match(candidate.id, candidate.score, candidate.metadata, candidate.code_index, code, candidate.bonus)


def check_thresholds(manifest: Manifest) -> None:
    """Raise BundleCorrupt unless the manifest has the thresholds that judge where no model can."""
    got = manifest.decision
    if not got.get("not_found_max_score", np.nan) <= got.get("found_min_score", np.nan):
        raise BundleCorrupt(
            f"manifest.json: expected decision thresholds not_found_max_score <= found_min_score, got {dict(got)}."
        )


def cut_short(answered: Answer, found: Nearest) -> Answer:
    """Return the answer marked as partial. What was not searched might have held something: no 'not_found'."""
    decision = Decision.UNSURE if answered.decision is Decision.NOT_FOUND else answered.decision
    # That nothing was found in a part says nothing about the whole.
    reasons = found.gaps + (answered.reasons if found.hits else ())
    return dataclasses.replace(answered, decision=decision, reasons=reasons, partial=True)


def out_of_time(asked: Asked) -> Answer:
    """Return the partial answer of a query whose deadline fell before anything could be said."""
    return Answer(
        request_id=asked.query.request_id,
        decision=Decision.UNSURE,
        reasons=(f"the deadline of {asked.query.deadline_ms} ms fell before the search was done",),
        partial=True,
        versions=versions(asked),
        stages_ms=dict(asked.budget.stages_ms),
    )


def versions(asked: Asked, domain: str = "", skipped: Sequence[str] = ()) -> dict[str, str]:
    """Return what answered: bundle, policy, the change log's position that the index stands at; where there is one, the kind
    of thing that was asked about; and what was left out under pressure or for lack of time."""
    answering = {
        "bundle": asked.live.bundle.label,
        "index": str(asked.live.indexes.seq),
        "policy": asked.engine.policy.version,
    }
    said = {"domain": domain, "skipped": ",".join(skipped), "degraded": str(int(asked.level)) if asked.level else ""}
    return {**answering, **{name: text for name, text in said.items() if text}}
