"""Health, readiness and versions: the pages without a key."""

from __future__ import annotations

from typing import Any

import anyio
from fastapi import APIRouter
from starlette.requests import Request

from sightline_cloud.api.access import engine_of
from sightline_cloud.live import LiveGeneration
from sightline_shared import __version__
from sightline_shared.errors import ServiceNotReady
from sightline_shared.protocol import PROTOCOL, QUERY_PROTOCOLS

router = APIRouter()


@router.get("/healthz", summary="The process is alive")
async def healthz() -> dict[str, bool]:
    return {"ok": True}


@router.get("/readyz", summary="The catalogue can be read and its indexes are built")
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


@router.get("/v1/version", summary="What this service pairs with")
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
