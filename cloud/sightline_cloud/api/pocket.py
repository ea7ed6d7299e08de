"""GET /v1/pocket: the pocket index of the key's tenant, whole or what a device lacks of it."""

from __future__ import annotations

import anyio
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from sightline_cloud.api.access import CurrentCaller, engine_of
from sightline_cloud.api.described import BINARY, HEADERS, described
from sightline_cloud.tenancy.limits import POCKET_COST
from sightline_shared.errors import BodyMalformed, ConfigInvalid, VersionMismatch
from sightline_shared.versions import PAIRING_BYTES

router = APIRouter()

MEDIA_TYPE = "application/octet-stream"
PAIRING = {
    "name": "pairing",
    "in": "query",
    "required": True,
    "description": "The pairing id of the device's bundle, in hex.",
    "schema": {"type": "string"},
}
HAVE = {
    "name": "have",
    "in": "query",
    "description": "The version that the device has; absent: none.",
    "schema": {"type": "string"},
}
OPENAPI = described(
    BodyMalformed,
    VersionMismatch,
    ConfigInvalid,
    scopes=("search", "rerank"),
    ok={MEDIA_TYPE: BINARY},  # a pocket file, whole or a delta; see shared/README.md
    parameters=(PAIRING, HAVE),
    also={"304": {"description": "The device has what there is.", "headers": HEADERS}},
)


@router.get(
    "/v1/pocket",
    summary="The pocket index, or what a device lacks of it",
    response_class=Response,
    openapi_extra=OPENAPI,
)
async def get_pocket(request: Request, caller: CurrentCaller) -> Response:
    caller.require("search")
    caller.require("rerank")  # as everywhere where codes of items are given away
    engine = engine_of(request)
    engine.gate.charge(caller, POCKET_COST)
    live = engine.generation(_pairing_id(request.query_params.get("pairing", "")))
    have, limiter = request.query_params.get("have", ""), request.app.state.pocket_limiter
    data = await anyio.to_thread.run_sync(engine.pockets.answer, caller.tenant, live.key, have, limiter=limiter)
    return Response(status_code=304) if data is None else Response(data, media_type=MEDIA_TYPE)


def _pairing_id(text: str) -> bytes:
    try:
        pairing_id = bytes.fromhex(text)
    except ValueError:
        pairing_id = b""
    if len(pairing_id) != PAIRING_BYTES:
        raise BodyMalformed(
            f"pocket: expected ?pairing= with a pairing id of {2 * PAIRING_BYTES} hex digits, got {text!r:.40}."
        )
    return pairing_id
