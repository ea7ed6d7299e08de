"""What the benchmark's service takes besides codes: photographs and vectors, which then go the way of a code.

The product has no such door: what leaves the device is codes. These are the ways that it is compared with.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable

import numpy as np
from fastapi import APIRouter
from numpy.typing import NDArray
from starlette.requests import Request
from starlette.responses import Response

from sightline_cloud import search
from sightline_cloud.api.access import caller_of, engine_of
from sightline_cloud.api.body import read_capped
from sightline_cloud.api.direct import DirectRoute
from sightline_edge import Device
from sightline_edge.frame import open_picture
from sightline_shared.errors import BodyMalformed
from sightline_shared.preprocess import to_tensor
from sightline_shared.protocol import MAX_DEADLINE_MS, MEDIA_TYPE, REQUEST_ID_BYTES, Query, pack_answer

PHOTO_PATH, VECTOR_PATH = "/bench/photo", "/bench/vector"
MAX_UPLOAD_BYTES = 1 << 20

Embedding = NDArray[np.float32]


def routes(device: Device) -> APIRouter:
    """Return the two doors; `device` embeds, encodes and gates as a phone would."""
    router = APIRouter(route_class=DirectRoute)

    @router.post(PHOTO_PATH)
    async def post_photo(request: Request) -> Response:
        return await _answered(request, device, photo_embedding)

    @router.post(VECTOR_PATH)
    async def post_vector(request: Request) -> Response:
        return await _answered(request, device, vector_embedding)

    return router


async def _answered(request: Request, device: Device, embed: Callable[[bytes, Device], Embedding]) -> Response:
    caller = await caller_of(request)
    caller.require("search")
    body = await read_capped(request, MAX_UPLOAD_BYTES)
    engine, pool = engine_of(request), request.app.state.search_pool
    # What the body took on its way is none of the search's time.
    arrived = time.perf_counter()
    query = await asyncio.get_running_loop().run_in_executor(pool, lambda: _query(embed(body, device), device))
    engine.gate.admit(caller, query)
    answer = await search.search(query, caller, engine, pool, arrived, gone=request.receive)
    return Response(pack_answer(answer), media_type=MEDIA_TYPE)


def _query(embedding: Embedding, device: Device) -> Query:
    return Query(
        device.bundle.pairing.id,
        (device.codec.encode_one(embedding),),
        os.urandom(REQUEST_ID_BYTES),
        deadline_ms=MAX_DEADLINE_MS,
        gate_scores=(device.gate.score(embedding),),
    )


def photo_embedding(body: bytes, device: Device) -> Embedding:
    """Return what the student makes of a picture file, `(d,) float32`; raises ImageUnreadable."""
    tensor = to_tensor(open_picture(body).image, device.bundle.manifest.input_size)
    embedding: Embedding = device.runtime.embed(tensor[np.newaxis])[0]
    return embedding


def vector_embedding(body: bytes, device: Device) -> Embedding:
    """Return the unit vector in `packed_float` or `packed_int8` bytes, `(d,) float32`; raises BodyMalformed."""
    kinds: dict[int, str] = {4 * device.codec.dim: "<f4", device.codec.dim: "i1"}
    if len(body) not in kinds:
        raise BodyMalformed(f"vector: expected {device.codec.dim} numbers of 4 bytes or of 1, got {len(body)} bytes.")
    vector = np.frombuffer(body, kinds[len(body)]).astype(np.float32)
    length = float(np.linalg.norm(vector))
    if not (np.isfinite(length) and length > 0):
        raise BodyMalformed("vector: expected a direction, got none.")
    unit: Embedding = vector / np.float32(length)
    return unit


def packed_float(embedding: Embedding) -> bytes:
    """Return four bytes a number."""
    return embedding.astype("<f4").tobytes()


def packed_int8(embedding: Embedding) -> bytes:
    """Return a byte a number; only the direction is kept."""
    packed: bytes = np.round(embedding * (127 / np.abs(embedding).max())).astype(np.int8).tobytes()
    return packed
