"""Who sends this request, as a FastAPI dependency."""

from __future__ import annotations

from typing import Annotated

import anyio
from fastapi import Depends
from starlette.requests import Request

from sightline_cloud.engine import Engine
from sightline_cloud.tenancy.auth import Caller


def engine_of(request: Request) -> Engine:
    engine: Engine = request.app.state.engine
    return engine


async def caller_of(request: Request) -> Caller:
    """Return the caller named by the Authorization header; raises KeyMissing or KeyUnknown."""
    engine = engine_of(request)
    header = request.headers.get("authorization")
    caller = await anyio.to_thread.run_sync(engine.keys.caller, header)
    request.state.tenant, request.state.key = caller.tenant, caller.name
    return caller


CurrentCaller = Annotated[Caller, Depends(caller_of)]
