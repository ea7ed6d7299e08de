"""The benchmark as a whole: a catalogue, the service and the plain handler over copies of it, and everything asked of them."""

from __future__ import annotations

import os
import resource
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgpack
import numpy as np
from numpy.typing import NDArray

from sightline_bench.load.bare import Bare
from sightline_bench.load.catalogue import OPEN, fill, query_codes
from sightline_bench.load.http1 import request_bytes
from sightline_bench.load.outcome import OK, Reply, read_sightline
from sightline_bench.load.sample import spread
from sightline_bench.load.session import PLAIN, SERVICE, Plan, Say, Session
from sightline_bench.load.target import Server, Target, one_by_one, plain, service
from sightline_bench.results import Result, Run
from sightline_bench.retrieval.dataset import Dataset
from sightline_edge import exchange
from sightline_shared.bundle import Bundle, open_bundle
from sightline_shared.errors import AnswerMalformed, InputError, ServiceFailed
from sightline_shared.protocol import REQUEST_ID_BYTES, Decision, Query, pack_query

MOST_FILES = 65_536


def run(dataset: Dataset, queries: int, bundle_dir: Path, plan: Plan, say: Say) -> tuple[Result, dict[str, Any]]:
    """Return the result, and every request's figures by run; raises ServiceFailed, and InputError for queries that are all
    answered as sensitive."""
    bundle = open_bundle(bundle_dir)
    whole = Run("load", {"data": dataset.about, "plan": asdict(plan), "settings": OPEN}, bundle)
    codes = query_codes(bundle, dataset.queries()[:queries])
    with TemporaryDirectory(prefix="sightline-load-") as temporary, ExitStack() as held:
        folder, for_plain, for_bare = (Path(temporary) / name for name in ("data", "plain", "bare"))
        say(f"storing {dataset.about['n']:,} items and building their index")
        keys, index = fill(folder, bundle, dataset)
        for copy in (for_plain, for_bare):
            shutil.copytree(folder, copy)
        cores = held.enter_context(apart(plan.pinned))
        say("starting the service and the plain handler")
        own = held.enter_context(service(folder, bundle_dir, cores["servers"]))
        other = held.enter_context(plain(for_plain, bundle_dir, cores["servers"]))
        say("asking every query once")
        searched = not_restricted(sightline_target(own, bundle, codes, keys, plan), codes)
        targets = (
            sightline_target(own, bundle, searched, keys, plan),
            plain_target(other, bundle, searched, keys, plan),
        )
        asked(targets[1])  # as warm as the service is by now
        alone = {target.name: asked(target) for target in targets}
        bare = held.enter_context(Bare(for_bare, bundle, searched, plan.k))
        measured, raw = Session(targets, bare, plan, say).run()
    figures = {
        "index": index,
        "cores": cores,
        "restricted_left_out": len(codes) - len(searched),
        "one_at_a_time_ms": {name: spread(ms) for name, (_, ms) in alone.items()},
        "decisions": dict(Counter(reply.decision.label for reply in alone[SERVICE][0] if reply.decision)),
        "same_first_match": _agreement(alone[SERVICE][0], alone[PLAIN][0]),
        **measured,
    }
    samples = {f"one at a time, {name}, ms": ms.tolist() for name, (_, ms) in alone.items()}
    return whole.result(figures, samples | _by_rate(raw, plan)), raw


def _by_rate(raw: Mapping[str, Any], plan: Plan) -> dict[str, list[float]]:
    """Return the milliseconds of each server at each rate, all rounds; without an answer, as long as was waited for one."""
    found: dict[str, list[float]] = {}
    for name, ms in raw.items():
        run, _, column = name.rpartition(".")
        server, rate, *number = run.rsplit("-", 2)
        if column == "ms" and number and server in (SERVICE, PLAIN):
            waited = np.where(np.isnan(ms), 1000 * plan.patience_seconds, ms)
            found.setdefault(f"{server} at {float(rate):g} a second, ms", []).extend(waited.tolist())
    return found


@contextmanager
def apart(pinned: bool) -> Iterator[dict[str, int | None]]:
    """Allow this process many connections and, if `pinned`, one core; yields its core and the one for the servers."""
    cores = sorted(os.sched_getaffinity(0)) if pinned else []
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, MOST_FILES)), hard))
    try:
        if pinned:
            os.sched_setaffinity(0, cores[:1])
        yield {"generator": cores[0], "servers": cores[1]} if pinned else {"generator": None, "servers": None}
    finally:
        if pinned:
            os.sched_setaffinity(0, cores)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def sightline_target(server: Server, bundle: Bundle, codes: Sequence[bytes], keys: Sequence[str], plan: Plan) -> Target:
    """Return the service with a query for each code, as the SDK sends it, the keys in turn."""
    requests = _requests(server, bundle, codes, keys, plan)
    return Target(SERVICE, server, requests, lambda body, pick: read_sightline(body, _request_id(pick)))


def plain_target(server: Server, bundle: Bundle, codes: Sequence[bytes], keys: Sequence[str], plan: Plan) -> Target:
    """Return the plain handler with the very same requests."""
    return Target(PLAIN, server, _requests(server, bundle, codes, keys, plan), lambda body, pick: read_plain(body))


def read_plain(body: bytes) -> Reply:
    """Read an answer of the plain handler; raises AnswerMalformed."""
    try:
        return Reply(tuple(item_id for item_id, _, _ in msgpack.unpackb(body)))
    except (ValueError, TypeError) as error:
        raise AnswerMalformed(f"plain handler: expected a list of matches, got '{error}'.") from error


def not_restricted(target: Target, codes: Sequence[bytes]) -> list[bytes]:
    """Return the codes that the service answers from the index: what it takes for sensitive has a way of its own.

    Raises InputError when these are fewer than half.
    """
    replies, _ = asked(target)
    searched = [code for code, reply in zip(codes, replies, strict=True) if reply.decision is not Decision.RESTRICTED]
    if len(searched) < len(codes) / 2:
        raise InputError(
            f"load: expected queries to be answered from the index, got {len(codes) - len(searched)} of {len(codes)} "
            "answered as sensitive.",
            hint="Check the bundle's sensitive head and the policy.",
        )
    return searched


def asked(target: Target) -> tuple[list[Reply], NDArray[np.float64]]:
    """Ask everything once, one after another; returns the answers and milliseconds. Raises ServiceFailed."""
    answers = one_by_one(target.server.address, target.requests)
    for response, _ in answers:
        if response.status != OK:
            raise ServiceFailed(
                f"{target.server.name}: expected status 200, got {response.status}: {response.body!r:.200}"
            )
    replies = [target.read(response.body, number) for number, (response, _) in enumerate(answers)]
    return replies, np.array([ms for _, ms in answers])


def _requests(
    server: Server, bundle: Bundle, codes: Sequence[bytes], keys: Sequence[str], plan: Plan
) -> tuple[bytes, ...]:
    host = f"{server.address[0]}:{server.address[1]}"
    made = []
    for number, code in enumerate(codes):
        query = Query(bundle.pairing.id, (code,), _request_id(number), plan.k, plan.deadline_ms)
        headers = {"connection": "keep-alive", **exchange.headers(keys[number % len(keys)])}
        made.append(request_bytes(host, exchange.SEARCH_PATH, pack_query(query), headers))
    return tuple(made)


def _request_id(number: int) -> bytes:
    return number.to_bytes(REQUEST_ID_BYTES, "big")


def _agreement(own: Sequence[Reply], other: Sequence[Reply]) -> float | None:
    """Return the share of queries whose first match is the same, where the service gives any: both search the same index."""
    same = [a.ids[0] == b.ids[0] for a, b in zip(own, other, strict=True) if a.ids]
    return round(float(np.mean(same)), 4) if same else None
