"""POST /v1/search."""

from __future__ import annotations

import time

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from sightline_cloud import search
from sightline_cloud.api.access import caller_of, engine_of
from sightline_cloud.api.body import read_capped
from sightline_cloud.api.described import BINARY, described
from sightline_cloud.api.direct import DirectRoute
from sightline_shared.errors import (
    BodyMalformed,
    BodyTooLarge,
    BodyTooSlow,
    FilterInvalid,
    IndexFailed,
    OverKeyLimit,
    ProtocolUnknown,
    ServiceBusy,
    ShardsMissing,
    VersionMismatch,
)
from sightline_shared.protocol import MAX_QUERY_BYTES, MEDIA_TYPE, Decision, pack_answer, unpack_query

router = APIRouter(route_class=DirectRoute)

ASKED = f"A query as one msgpack map of at most {MAX_QUERY_BYTES} bytes; it and the answer are in shared/README.md."
OPENAPI = described(
    BodyMalformed,
    BodyTooLarge,
    BodyTooSlow,
    ProtocolUnknown,
    VersionMismatch,
    FilterInvalid,
    OverKeyLimit,
    IndexFailed,
    ShardsMissing,
    ServiceBusy,
    scopes=("search",),
    ok={MEDIA_TYPE: BINARY},
    body=(MEDIA_TYPE, ASKED, BINARY),
)


@router.post("/v1/search", summary="Answer a query of 1 to 16 codes", response_class=Response, openapi_extra=OPENAPI)
async def post_search(request: Request) -> Response:
    caller = await caller_of(request)
    caller.require("search")
    query = unpack_query(await read_capped(request, MAX_QUERY_BYTES))
    request.state.request_id = query.request_id.hex()
    engine, pool = engine_of(request), request.app.state.search_pool
    engine.gate.admit(caller, query)
    answer = await search.search(
        query,
        caller,
        engine,
        pool,
        request.state.arrived,
        locale=request.headers.get("accept-language", ""),
        gone=request.receive,
    )
    engine.watch.saw(caller, [match.id for match in answer.matches], answered=answer.decision is not Decision.NOT_FOUND)
    seconds = time.perf_counter() - request.state.arrived
    request.app.state.metrics.answered(caller.tenant, query.pairing_id, answer, seconds)
    request.state.decision = answer.decision.label
    request.state.stages_ms = {stage: round(ms, 3) for stage, ms in answer.stages_ms.items()}
    return Response(pack_answer(answer), media_type=MEDIA_TYPE)
