"""Who sends this request and whether it may, as a FastAPI dependency: the key first, then its rate, then the body."""

from __future__ import annotations

from typing import Annotated

import anyio
from fastapi import Depends
from starlette.requests import Request

from sightline_cloud.catalog.backend import WouldWait
from sightline_cloud.engine import Engine
from sightline_cloud.tenancy.auth import Caller


def engine_of(request: Request) -> Engine:
    engine: Engine = request.app.state.engine
    return engine


async def caller_of(request: Request) -> Caller:
    """Return the caller named by the Authorization header; raises KeyMissing, KeyUnknown or RateLimited."""
    gate = engine_of(request).gate
    header = request.headers.get("authorization")
    address = request.client.host if request.client else ""
    try:
        caller = gate.enter(header, address, wait=False)  # some 20 us; a thread takes ten times as long
    except WouldWait:
        caller = await anyio.to_thread.run_sync(gate.enter, header, address)
    request.state.tenant, request.state.key = caller.tenant, caller.name
    return caller


CurrentCaller = Annotated[Caller, Depends(caller_of)]
