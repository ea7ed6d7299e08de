"""Health, readiness and versions: the pages without a key."""

from __future__ import annotations

from typing import Any

import anyio
from fastapi import APIRouter
from starlette.requests import Request

from sightline_cloud.api.access import engine_of
from sightline_cloud.api.described import COUNT, FLAG, TEXT, described, json_of, list_of, object_of
from sightline_cloud.live import LiveGeneration
from sightline_shared import __version__
from sightline_shared.errors import ServiceNotReady, StoreCorrupt, StoreUnavailable
from sightline_shared.protocol import PROTOCOL, QUERY_PROTOCOLS

router = APIRouter()

READY = described(
    ServiceNotReady,
    StoreUnavailable,
    StoreCorrupt,
    ok=json_of({"ok": FLAG, "index": COUNT}, policy_trouble=TEXT),
)
GENERATION = {"bundle": TEXT, "bundle_digest": TEXT, "pairing_id": TEXT, "code_bytes": COUNT}
VERSION = described(
    ok=json_of(
        {
            "service": TEXT,
            "protocol": COUNT,
            "protocols": list_of(COUNT),
            **GENERATION,
            "generations": list_of(object_of(GENERATION)),
        }
    )
)


@router.get("/healthz", summary="The process is alive", openapi_extra=described(ok=json_of({"ok": FLAG})))
async def healthz() -> dict[str, bool]:
    return {"ok": True}


@router.get("/readyz", summary="The catalogue can be read and its indexes are built", openapi_extra=READY)
async def readyz(request: Request) -> dict[str, Any]:
    engine = engine_of(request)
    # Reads the database, so that a lost disk or a damaged file answers 503 or 500 here.
    position = await anyio.to_thread.run_sync(engine.store.position)
    for live in engine.generations.values():
        if live.indexes.trouble and live.indexes.seq < position:
            raise ServiceNotReady(
                f"the indexes of {live.bundle.label} stand at change {live.indexes.seq} of {position} and cannot follow.",
                hint="The service's log says why, under 'catch_up_failed'.",
            )
    # Ready all the same: restricted answers are right answers. But whoever operates it should see why they are all restricted.
    trouble = {"policy_trouble": engine.policy.trouble} if engine.policy.trouble else {}
    return {"ok": True, **trouble, "index": min(live.indexes.seq for live in engine.generations.values())}


@router.get("/v1/version", summary="What this service pairs with", openapi_extra=VERSION)
async def version(request: Request) -> dict[str, Any]:
    """The primary generation at the top, as before there were several; all live ones under `generations`."""
    live = [_shown(generation) for generation in engine_of(request).generations.values()]
    spoken = {"protocol": PROTOCOL, "protocols": list(QUERY_PROTOCOLS)}
    return {"service": __version__, **spoken, **live[0], "generations": live}


def _shown(live: LiveGeneration) -> dict[str, Any]:
    return {
        "bundle": live.bundle.label,
        "bundle_digest": live.bundle.digest,
        "pairing_id": live.key,
        "code_bytes": live.codec.code_size,
    }
