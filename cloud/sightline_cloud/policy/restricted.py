"""The restricted answer: articles of sources that the policy lists, a disclaimer, and nothing else.

It never diagnoses: no condition and no class of subject stands in it, and what is close to the picture is an article to read,
not a finding. Nothing that sells has a say: no ranking stage runs, the order is the cosine's. It is neither looked up in the
result cache nor kept there.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sightline_cloud.engine import Engine
from sightline_cloud.live import LiveGeneration
from sightline_cloud.logs import log
from sightline_cloud.nearest import Nearest, hydrate, searched
from sightline_cloud.policy.router import Route
from sightline_cloud.rank.candidate import Candidate
from sightline_cloud.shards.pool import Ask
from sightline_cloud.tenancy.auth import Caller
from sightline_shared.budget import Budget
from sightline_shared.protocol import Answer, Decision, Match, Query
from sightline_shared.where import Where, typed

SOURCE = "source"
# What an article says of itself; prices, stock and everything else of an item stay behind.
SHOWN = ("title", SOURCE, "url", "locale")
# Where no policy can be read there are no texts in other languages either.
UNREADABLE = "This question cannot be answered. This is not advice."
NOTHING = "nothing from a source that the policy lists is close to it"


def restricted(
    query: Query,
    vectors: NDArray[np.float32],
    caller: Caller,
    engine: Engine,
    live: LiveGeneration,
    route: Route,
    locale: str,
    budget: Budget,
) -> Answer:
    """Return the answer to a query that `route` restricts; `vectors` `(codes, d) float32` are its decoded embeddings.

    Raises what a search raises: ShardsMissing, FilterInvalid, IndexFailed, StoreError.
    """
    policy = engine.policy.policy
    where = within(query.where, policy.allowed_sources if policy else (), engine.settings.filter_keys)
    found = Nearest((), "")
    articles: tuple[Match, ...] = ()
    if where:
        found = searched(query, Ask(caller.tenant, vectors, query.k, where, budget), live)
        with budget.stage("hydrate"):
            articles = close_ones(hydrate(found, caller, engine, live), where, live)
    log(
        "restricted",
        request_id=query.request_id.hex(),
        tenant=caller.tenant,
        certainty=route.certainty,
        classes=list(route.classes),
        policy=engine.policy.version,
        bundle=live.bundle.label,
        matches=len(articles),
    )
    words = policy.words(locale, route.classes, nothing_found=not articles) if policy else UNREADABLE
    shards = {"shards": found.shards} if found.shards else {}
    return Answer(
        request_id=query.request_id,
        decision=Decision.RESTRICTED,
        matches=articles,
        reasons=(*route.reasons, *found.gaps, *(() if articles else (NOTHING,))),
        partial=bool(found.gaps),
        versions={
            "bundle": live.bundle.label,
            "index": str(live.indexes.seq),
            "policy": engine.policy.version,
            **shards,
        },
        stages_ms=budget.stages_ms,
        disclaimer=words,
    )


def within(where: Where, sources: tuple[str, ...], kept: tuple[str, ...]) -> Where | None:
    """Return the caller's filter narrowed to the policy's sources; None when nothing can pass it.

    `kept` are the keys that the index keeps for filtering: where "source" is not among them nobody can be told apart.
    """
    terms = dict(where.terms)
    allowed = {typed(source) for source in sources} & set(terms.get(SOURCE, map(typed, sources)))
    if not allowed or SOURCE not in kept:
        return None
    terms[SOURCE] = tuple(sorted(allowed))
    return Where(tuple(sorted(terms.items())))


def close_ones(candidates: tuple[Candidate, ...], where: Where, live: LiveGeneration) -> tuple[Match, ...]:
    """Return as articles the candidates that the bundle calls found, nearest first, without codes.

    The catalogue is asked again whether they pass: it may have changed since the index last looked.
    """
    least = live.bundle.manifest.decision["found_min_score"]
    return tuple(
        Match(each.id, each.score, {key: each.metadata[key] for key in SHOWN if key in each.metadata}, each.code_index)
        for each in candidates
        if each.score >= least and where.passes(each.metadata)
    )
