"""What an operator has the running service do, for the key's tenant. A call returns when it is done, be it minutes later."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar

import anyio
from fastapi import APIRouter, FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request

from sightline_cloud.api import health
from sightline_cloud.api import metrics as metrics_page
from sightline_cloud.api.access import CurrentCaller, engine_of
from sightline_cloud.api.body import read_capped
from sightline_cloud.api.described import COUNT, FLAG, TEXT, Documented, Schema, described, json_of, list_of, object_of
from sightline_cloud.api.errors import on_http_error, on_sightline_error
from sightline_cloud.api.middleware import RequestLog
from sightline_cloud.engine import Engine
from sightline_cloud.maintain import Housekeeping
from sightline_cloud.monitor.metrics import Metrics
from sightline_cloud.operate import erase, indexes, report
from sightline_cloud.tenancy.auth import Caller
from sightline_shared import __version__
from sightline_shared.errors import (
    BodyMalformed,
    BodyTooLarge,
    BodyTooSlow,
    ChangesPruned,
    ConfigInvalid,
    IndexFailed,
    NoEarlierSnapshot,
    ServiceBusy,
    SightlineError,
    SnapshotCorrupt,
)

router = APIRouter()
Result = TypeVar("Result")

MAX_IDS = 10_000
MAX_IDS_BYTES = 4 * 1024 * 1024
# An index's lines name what that kind of index has; which figures these are may change.
LINE = object_of({"tenant": TEXT, "generation": TEXT, "bundle": TEXT, "shard": COUNT, "kind": TEXT, "vectors": COUNT})
LINES = list_of({**LINE, "additionalProperties": True})
FIGURES: Schema = {"type": "object", "additionalProperties": True}
STATS = {
    "tenant": TEXT,
    "indexes": LINES,
    "cache": FIGURES,
    "step": TEXT,
    "policy": TEXT,
    "trouble": list_of(TEXT),
    "housekeeping": FIGURES,
    "refused": FIGURES,
    "scraping": FIGURES,
}
IDS = object_of({"ids": {"type": "array", "items": TEXT, "minItems": 1, "maxItems": MAX_IDS}})
RECEIPT = {
    "content": FIGURES,
    "sha256": TEXT,
    "found": list_of(TEXT),
    "earlier": {"type": "object", "additionalProperties": COUNT},
    "unknown": list_of(TEXT),
}
ADMIN = ("admin",)
DONE = described(ConfigInvalid, IndexFailed, SnapshotCorrupt, ServiceBusy, scopes=ADMIN, ok=json_of({"done": LINES}))
PROMOTED = described(
    IndexFailed, scopes=ADMIN, ok=json_of({"budget_bytes": {"type": ["integer", "null"]}, "done": LINES})
)
ROLLED_BACK = described(
    NoEarlierSnapshot, IndexFailed, SnapshotCorrupt, ChangesPruned, scopes=ADMIN, ok=json_of({"done": LINES})
)
VERIFIED = described(IndexFailed, ServiceBusy, scopes=ADMIN, ok=json_of({"ok": FLAG, "problems": list_of(TEXT)}))
ERASED = described(
    BodyMalformed,
    BodyTooLarge,
    BodyTooSlow,
    IndexFailed,
    scopes=ADMIN,
    ok=json_of(RECEIPT),
    body=("application/json", f"At most {MAX_IDS} ids.", IDS),
)


def admin_app(engine: Engine, housekeeping: Housekeeping, metrics: Metrics) -> FastAPI:
    """Return what answers at the operators' port: this router, and the pages that need no key."""
    app = Documented(
        title="Sightline, for operators",
        version=__version__,
        exception_handlers={SightlineError: on_sightline_error, HTTPException: on_http_error},
    )
    app.state.engine, app.state.housekeeping, app.state.metrics = engine, housekeeping, metrics
    app.state.admin_limiter = anyio.CapacityLimiter(1)
    app.add_middleware(RequestLog)
    app.include_router(router, tags=["operator"])
    app.include_router(metrics_page.router, tags=["operator"])
    app.include_router(health.router, tags=["health"])
    return app


@router.get(
    "/v1/admin/stats",
    summary="The live indexes, the result cache and the housekeeping",
    openapi_extra=described(scopes=ADMIN, ok=json_of(STATS)),
)
async def get_stats(request: Request, caller: CurrentCaller) -> dict[str, Any]:
    caller.require("admin")
    # Not in the queue of the others: it shows what they are doing.
    stats = await anyio.to_thread.run_sync(report.in_memory, engine_of(request), caller.tenant)
    gate, watch = engine_of(request).gate.stats(caller.tenant), engine_of(request).watch.stats(caller.tenant)
    housekeeping = request.app.state.housekeeping.stats()
    return {"tenant": caller.tenant, **stats, "housekeeping": housekeeping, "refused": gate, "scraping": watch}


@router.post("/v1/admin/build", summary="Build the indexes from the catalogue, centroids and all", openapi_extra=DONE)
async def post_build(request: Request, caller: CurrentCaller) -> dict[str, Any]:
    return await _done(request, caller, lambda: _compacted(request, caller, retrain=True))


@router.post("/v1/admin/compact", summary="Merge delta and tombstones into the indexes", openapi_extra=DONE)
async def post_compact(request: Request, caller: CurrentCaller) -> dict[str, Any]:
    return await _done(request, caller, lambda: _compacted(request, caller, retrain=False))


@router.post(
    "/v1/admin/promote",
    summary="Put the lists that are asked for most into RAM, within the budget",
    openapi_extra=PROMOTED,
)
async def post_promote(request: Request, caller: CurrentCaller) -> dict[str, Any]:
    return await _done(request, caller, lambda: indexes.promote(engine_of(request), [caller.tenant]))


@router.post(
    "/v1/admin/rollback", summary="Have the snapshots before the ones that answer answer", openapi_extra=ROLLED_BACK
)
async def post_rollback(request: Request, caller: CurrentCaller) -> dict[str, Any]:
    return await _done(request, caller, lambda: indexes.rollback(engine_of(request), caller.tenant))


@router.post(
    "/v1/admin/verify",
    summary="Compare snapshots with their digests and indexes with the catalogue",
    openapi_extra=VERIFIED,
)
async def post_verify(request: Request, caller: CurrentCaller) -> dict[str, Any]:
    step = request.app.state.housekeeping.step
    problems = await _done(request, caller, lambda: report.verify_live(engine_of(request), caller.tenant, step))
    return {"ok": not problems, "problems": problems}


@router.post("/v1/admin/erase", summary="Erase every trace of items; returns the receipt", openapi_extra=ERASED)
async def post_erase(request: Request, caller: CurrentCaller) -> dict[str, Any]:
    caller.require("admin")
    ids = _ids(await read_capped(request, MAX_IDS_BYTES))
    receipt = await _done(request, caller, lambda: erase.erase(engine_of(request), caller.tenant, ids))
    return receipt.to_dict()


async def _done(request: Request, caller: Caller, work: Callable[[], Result]) -> Result:
    caller.require("admin")
    return await anyio.to_thread.run_sync(work, limiter=request.app.state.admin_limiter)


def _compacted(request: Request, caller: Caller, *, retrain: bool) -> dict[str, Any]:
    engine, step = engine_of(request), request.app.state.housekeeping.step
    tenants = indexes.known_tenants(engine, caller.tenant)
    return indexes.compact(engine, tenants, retrain=retrain, progress=step)


def _ids(body: bytes) -> list[str]:
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BodyMalformed(f"erase: expected one JSON object, got text that breaks ({error}).") from error
    ids = fields.get("ids") if isinstance(fields, dict) else None
    if not isinstance(ids, list) or not 0 < len(ids) <= MAX_IDS or not all(isinstance(each, str) for each in ids):
        raise BodyMalformed(f'erase: expected {{"ids": [...]}} with 1 to {MAX_IDS} texts.')
    return ids
