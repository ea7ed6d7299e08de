"""GET /metrics, at the operators' port: Prometheus's text format. No key: it names no tenant, key or item."""

from __future__ import annotations

import anyio
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from sightline_cloud.api.described import described

router = APIRouter()
TEXT = "text/plain; version=1.0.0; charset=utf-8"
PAGE = described(ok={"text/plain": None})


@router.get("/metrics", summary="Prometheus metrics", response_class=Response, openapi_extra=PAGE)
async def get_metrics(request: Request) -> Response:
    return Response(await anyio.to_thread.run_sync(request.app.state.metrics.text), media_type=TEXT)
