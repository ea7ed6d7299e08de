"""The catalogue over HTTP: add, look at and remove items."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import anyio
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from sightline_cloud.api.access import CurrentCaller, engine_of
from sightline_cloud.api.body import read_capped
from sightline_cloud.api.described import BINARY, COUNT, FLAG, ITEM_ID, METADATA, TEXT, described, json_of, object_of
from sightline_cloud.engine import Engine
from sightline_cloud.ingest.fields import MAX_METADATA_BYTES
from sightline_cloud.ingest.upload import Upload, check_item, read_upload
from sightline_cloud.tenancy.auth import Caller
from sightline_cloud.tenancy.limits import CHANGE_COST, LOOK_COST, UPLOAD_COST
from sightline_shared.errors import (
    BodyMalformed,
    BodyTooLarge,
    BodyTooSlow,
    ImageBlocked,
    ImageTooLarge,
    ImageUnreadable,
    IndexFailed,
    ItemNotFound,
    RuntimeFailed,
)
from sightline_shared.protocol import MEDIA_TYPE

router = APIRouter()

# In JSON a character may take six bytes for the one that it takes in the catalogue.
MAX_CHANGES_BYTES = 8 * MAX_METADATA_BYTES

WRITE = ("write",)
BODY = (BodyMalformed, BodyTooLarge, BodyTooSlow, IndexFailed)
ADD = described(
    *BODY,
    ImageUnreadable,
    ImageTooLarge,
    ImageBlocked,
    RuntimeFailed,
    scopes=WRITE,
    ok=json_of({"id": TEXT, "replaced": FLAG}),
    body=(MEDIA_TYPE, 'A map: {"id": str, "image": JPEG, PNG or WebP bytes, "metadata": map of scalars}.', BINARY),
)
ITEM = {"id": TEXT, "metadata": METADATA, "width": COUNT, "height": COUNT, "created": TEXT}
LOOK = described(ItemNotFound, scopes=("search",), ok=json_of(ITEM), parameters=(ITEM_ID,))
THUMBNAIL = described(ItemNotFound, scopes=("search",), ok={"image/jpeg": BINARY}, parameters=(ITEM_ID,))
CHANGE = described(
    *BODY,
    ItemNotFound,
    scopes=WRITE,
    ok=json_of({"id": TEXT, "metadata": METADATA}),
    body=(
        "application/json",
        "The values given take the place of the item's own, null removes one, the others stay.",
        object_of({"metadata": {**METADATA, "minProperties": 1}}),
    ),
    parameters=(ITEM_ID,),
)
REMOVE = described(
    ItemNotFound, IndexFailed, scopes=WRITE, ok=json_of({"id": TEXT, "removed": FLAG}), parameters=(ITEM_ID,)
)


@router.post("/v1/items", summary="Add or replace an item; durable and findable when this returns", openapi_extra=ADD)
async def post_item(request: Request, caller: CurrentCaller) -> dict[str, Any]:
    caller.require("write")
    engine = engine_of(request)
    engine.gate.charge(caller, UPLOAD_COST)
    body = await read_capped(request, engine.settings.max_item_bytes)
    upload = read_upload(body)
    limiter = request.app.state.change_limiter
    replaced = await anyio.to_thread.run_sync(_add, engine, caller, upload, limiter=limiter)
    return {"id": upload.id, "replaced": replaced}


@router.get(
    "/v1/items/{item_id:path}/thumbnail",
    summary="An item's thumbnail (JPEG)",
    response_class=Response,
    openapi_extra=THUMBNAIL,
)
async def get_thumbnail(request: Request, caller: CurrentCaller) -> Response:
    caller.require("search")
    item_id = request.path_params["item_id"]
    engine = engine_of(request)
    engine.gate.charge(caller, LOOK_COST)
    jpeg = await anyio.to_thread.run_sync(engine.store.thumbnail, caller.tenant, item_id)
    engine.watch.saw(caller, [item_id])
    return Response(jpeg, media_type="image/jpeg")


@router.get("/v1/items/{item_id:path}", summary="An item's metadata", openapi_extra=LOOK)
async def get_item(request: Request, caller: CurrentCaller) -> dict[str, Any]:
    caller.require("search")
    item_id = request.path_params["item_id"]
    engine = engine_of(request)
    engine.gate.charge(caller, LOOK_COST)
    item = await anyio.to_thread.run_sync(engine.store.get, caller.tenant, item_id)
    engine.watch.saw(caller, [item_id])
    return item


@router.patch(
    "/v1/items/{item_id:path}", summary="Change an item's metadata; in force when this returns", openapi_extra=CHANGE
)
async def patch_item(request: Request, caller: CurrentCaller) -> dict[str, Any]:
    caller.require("write")
    item_id = request.path_params["item_id"]
    engine_of(request).gate.charge(caller, CHANGE_COST)
    changes = _changes(await read_capped(request, MAX_CHANGES_BYTES))
    limiter = request.app.state.change_limiter
    merged = await anyio.to_thread.run_sync(_update, engine_of(request), caller, item_id, changes, limiter=limiter)
    return {"id": item_id, "metadata": merged}


@router.delete(
    "/v1/items/{item_id:path}", summary="Remove an item; it never answers again when this returns", openapi_extra=REMOVE
)
async def delete_item(request: Request, caller: CurrentCaller) -> dict[str, Any]:
    caller.require("write")
    item_id = request.path_params["item_id"]
    engine_of(request).gate.charge(caller, CHANGE_COST)
    limiter = request.app.state.change_limiter
    removed = await anyio.to_thread.run_sync(_remove, engine_of(request), caller, item_id, limiter=limiter)
    if not removed:
        raise ItemNotFound(f"item: expected an id of your catalogue, got {item_id!r}.")
    return {"id": item_id, "removed": True}


def _add(engine: Engine, caller: Caller, upload: Upload) -> bool:
    replaced = engine.ingest.add_one(caller.tenant, upload.id, upload.image, upload.metadata)
    engine.catch_up()
    return replaced


def _update(engine: Engine, caller: Caller, item_id: str, changes: dict[str, Any]) -> dict[str, Any]:
    merged = engine.store.update_metadata(caller.tenant, item_id, changes, check=partial(check_item, item_id))
    engine.catch_up()
    return merged


def _remove(engine: Engine, caller: Caller, item_id: str) -> bool:
    removed = engine.store.remove(caller.tenant, [item_id])
    engine.catch_up()
    return bool(removed)


def _changes(body: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BodyMalformed(f"item: expected one JSON object, got text that breaks ({error}).") from error
    changes = fields.get("metadata") if isinstance(fields, dict) else None
    if not isinstance(changes, dict) or not changes:
        raise BodyMalformed('item: expected {"metadata": {...}} with at least one value to change.')
    return changes
