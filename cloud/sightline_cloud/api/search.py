"""POST /v1/search."""

from __future__ import annotations

import time

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from sightline_cloud import search
from sightline_cloud.api.access import CurrentCaller, engine_of
from sightline_cloud.api.body import read_capped
from sightline_shared.protocol import MAX_QUERY_BYTES, MEDIA_TYPE, Decision, pack_answer, unpack_query

router = APIRouter()

BINARY = {"type": "string", "format": "binary"}
OPENAPI = {
    "requestBody": {
        "required": True,
        "description": f"A query as one msgpack map of at most {MAX_QUERY_BYTES} bytes; see shared/README.md.",
        "content": {MEDIA_TYPE: {"schema": BINARY}},
    },
    "responses": {
        "200": {"description": "An answer as one msgpack map.", "content": {MEDIA_TYPE: {"schema": BINARY}}},
    },
}


@router.post("/v1/search", summary="Answer a query of 1 to 16 codes", response_class=Response, openapi_extra=OPENAPI)
async def post_search(request: Request, caller: CurrentCaller) -> Response:
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
