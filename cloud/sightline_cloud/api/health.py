"""Health, readiness and versions: the pages without a key."""

from __future__ import annotations

from typing import Any

import anyio
from fastapi import APIRouter
from starlette.requests import Request

from sightline_cloud.api.access import engine_of
from sightline_shared import __version__
from sightline_shared.errors import ServiceNotReady
from sightline_shared.protocol import PROTOCOL

router = APIRouter()


@router.get("/healthz", summary="The process is alive")
async def healthz() -> dict[str, bool]:
    return {"ok": True}


@router.get("/readyz", summary="The catalogue can be read and its indexes are built")
async def readyz(request: Request) -> dict[str, Any]:
    engine = engine_of(request)
    # Reads the database, so that a lost disk or a damaged file answers 503 or 500 here.
    position = await anyio.to_thread.run_sync(engine.store.position)
    if engine.indexes.trouble and engine.indexes.seq < position:
        raise ServiceNotReady(
            f"the indexes stand at change {engine.indexes.seq} of {position} and cannot follow.",
            hint="The service's log says why, under 'catch_up_failed'.",
        )
    return {"ok": True, "index": engine.indexes.seq}


@router.get("/v1/version", summary="What this service pairs with")
async def version(request: Request) -> dict[str, Any]:
    engine = engine_of(request)
    return {
        "service": __version__,
        "protocol": PROTOCOL,
        "bundle": engine.bundle.label,
        "bundle_digest": engine.bundle.digest,
        "pairing_id": engine.pairing_id.hex(),
        "code_bytes": engine.codec.code_size,
    }
