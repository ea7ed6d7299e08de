"""The catalogue over HTTP: add, look at and remove items."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import anyio
import msgpack
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from sightline_cloud.api.access import CurrentCaller, engine_of
from sightline_cloud.api.body import read_capped
from sightline_cloud.engine import Engine
from sightline_cloud.ingest.fields import MAX_METADATA_BYTES, item_problem
from sightline_cloud.tenancy.auth import Caller
from sightline_cloud.tenancy.limits import CHANGE_COST, LOOK_COST, UPLOAD_COST
from sightline_shared.errors import BodyMalformed, ItemNotFound
from sightline_shared.protocol import MEDIA_TYPE

router = APIRouter()

# In JSON a character may take six bytes for the one that it takes in the catalogue.
MAX_CHANGES_BYTES = 8 * MAX_METADATA_BYTES

ADD = {
    "requestBody": {
        "required": True,
        "description": 'A msgpack map: {"id": str, "image": JPEG, PNG or WebP bytes, "metadata": map of scalars}.',
        "content": {MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}}},
    }
}

CHANGE = {
    "requestBody": {
        "required": True,
        "description": 'JSON: {"metadata": {"available": false, "price": 9.5, "note": null}}. The values given take the '
        "place of the item's own, null removes one, the others stay.",
        "content": {"application/json": {"schema": {"type": "object"}}},
    }
}


@router.post("/v1/items", summary="Add or replace an item; durable and findable when this returns", openapi_extra=ADD)
async def post_item(request: Request, caller: CurrentCaller) -> dict[str, Any]:
    caller.require("write")
    engine = engine_of(request)
    engine.gate.charge(caller, UPLOAD_COST)
    body = await read_capped(request, engine.settings.max_item_bytes)
    item_id, image, metadata = _parse(body)
    limiter = request.app.state.change_limiter
    replaced = await anyio.to_thread.run_sync(_add, engine, caller, item_id, image, metadata, limiter=limiter)
    return {"id": item_id, "replaced": replaced}


@router.get("/v1/items/{item_id:path}/thumbnail", summary="An item's thumbnail (JPEG)", response_class=Response)
async def get_thumbnail(request: Request, item_id: str, caller: CurrentCaller) -> Response:
    caller.require("search")
    engine = engine_of(request)
    engine.gate.charge(caller, LOOK_COST)
    jpeg = await anyio.to_thread.run_sync(engine.store.thumbnail, caller.tenant, item_id)
    engine.watch.saw(caller, [item_id])
    return Response(jpeg, media_type="image/jpeg")


@router.get("/v1/items/{item_id:path}", summary="An item's metadata")
async def get_item(request: Request, item_id: str, caller: CurrentCaller) -> dict[str, Any]:
    caller.require("search")
    engine = engine_of(request)
    engine.gate.charge(caller, LOOK_COST)
    item = await anyio.to_thread.run_sync(engine.store.get, caller.tenant, item_id)
    engine.watch.saw(caller, [item_id])
    return item


@router.patch(
    "/v1/items/{item_id:path}", summary="Change an item's metadata; in force when this returns", openapi_extra=CHANGE
)
async def patch_item(request: Request, item_id: str, caller: CurrentCaller) -> dict[str, Any]:
    caller.require("write")
    engine_of(request).gate.charge(caller, CHANGE_COST)
    changes = _changes(await read_capped(request, MAX_CHANGES_BYTES))
    limiter = request.app.state.change_limiter
    merged = await anyio.to_thread.run_sync(_update, engine_of(request), caller, item_id, changes, limiter=limiter)
    return {"id": item_id, "metadata": merged}


@router.delete("/v1/items/{item_id:path}", summary="Remove an item; it never answers again when this returns")
async def delete_item(request: Request, item_id: str, caller: CurrentCaller) -> dict[str, Any]:
    caller.require("write")
    engine_of(request).gate.charge(caller, CHANGE_COST)
    limiter = request.app.state.change_limiter
    removed = await anyio.to_thread.run_sync(_remove, engine_of(request), caller, item_id, limiter=limiter)
    if not removed:
        raise ItemNotFound(f"item: expected an id of your catalogue, got {item_id!r}.")
    return {"id": item_id, "removed": True}


def _add(engine: Engine, caller: Caller, item_id: str, image: bytes, metadata: dict[str, Any]) -> bool:
    replaced = engine.ingest.add_one(caller.tenant, item_id, image, metadata)
    engine.catch_up()
    return replaced


def _update(engine: Engine, caller: Caller, item_id: str, changes: dict[str, Any]) -> dict[str, Any]:
    merged = engine.store.update_metadata(caller.tenant, item_id, changes, check=partial(_check, item_id))
    engine.catch_up()
    return merged


def _check(item_id: Any, metadata: Any) -> None:
    problem = item_problem(item_id, metadata)
    if problem:
        raise BodyMalformed(f"item: {problem}.")


def _remove(engine: Engine, caller: Caller, item_id: str) -> bool:
    removed = engine.store.remove(caller.tenant, [item_id])
    engine.catch_up()
    return bool(removed)


def _parse(body: bytes) -> tuple[str, bytes, dict[str, Any]]:
    try:
        fields = msgpack.unpackb(body)
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as error:
        raise BodyMalformed(f"item: expected one msgpack map, got bytes that end or break ({error}).") from error
    if not isinstance(fields, dict):
        raise BodyMalformed(f"item: expected a msgpack map, got {type(fields).__name__}.")
    item_id, image, metadata = fields.get("id"), fields.get("image"), fields.get("metadata", {})
    if not isinstance(image, bytes):
        raise BodyMalformed(f"item: expected 'image' as bytes, got {type(image).__name__}.")
    _check(item_id, metadata)
    return str(item_id), image, dict(metadata)


def _changes(body: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BodyMalformed(f"item: expected one JSON object, got text that breaks ({error}).") from error
    changes = fields.get("metadata") if isinstance(fields, dict) else None
    if not isinstance(changes, dict) or not changes:
        raise BodyMalformed('item: expected {"metadata": {...}} with at least one value to change.')
    return changes
