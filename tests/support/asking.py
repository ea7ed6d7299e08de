"""Queries straight over HTTP: what a device would send for a picture, and the answer as it came back."""

import httpx
import numpy as np

from sightline_shared.preprocess import to_tensor
from sightline_shared.protocol import Answer, Query, pack_query, unpack_answer
from sightline_shared.where import Where
from support.service import Service
from support.tiny_bundle import picture


def query(service: Service, *numbers: int, k: int = 5, deadline_ms: int = 5000, where: Where | None = None) -> bytes:
    """A query with the codes of these pictures."""
    device = service.device
    tensors = np.stack([to_tensor(picture(number), 192) for number in numbers])
    codes = tuple(code.tobytes() for code in device.codec.encode(device.runtime.embed(tensors)))
    return pack_query(
        Query(device.bundle.pairing.id, codes, b"12345678", k=k, deadline_ms=deadline_ms, where=where or Where())
    )


def post(service: Service, body: bytes, key: str = "own") -> httpx.Response:
    with service.http(key) as http:
        return http.post("/v1/search", content=body, headers={"content-type": "application/msgpack"})


def answer(service: Service, body: bytes, key: str = "own") -> Answer:
    return unpack_answer(post(service, body, key).content)
