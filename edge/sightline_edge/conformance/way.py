"""Vectors of the whole way on the bundle's golden pictures: tensor -> embedding -> decision -> code -> request bytes."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from sightline_edge.conformance.document import Document, Vector, base64_of, floats
from sightline_edge.conformance.pictures import golden_pictures
from sightline_edge.conformance.wire import REQUEST_ID, request_vector
from sightline_edge.device import Device
from sightline_edge.gate import THRESHOLDS, Gate
from sightline_edge.pipeline import Observation, observe
from sightline_shared.budget import Budget
from sightline_shared.bundle import Bundle
from sightline_shared.errors import GoldenMismatch
from sightline_shared.protocol import Query

DEADLINE_MS = 1500


class GoldenRuntime:
    """A runtime that knows the golden pictures alone, so that no rounding of this machine enters the vectors."""

    name = "golden"

    def __init__(self, bundle: Bundle) -> None:
        golden = bundle.golden
        self._embeddings = {t.tobytes(): e for t, e in zip(golden.tensors, golden.embeddings, strict=True)}

    def embed(self, tensors: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the golden embeddings `(n, d) float32`; raises GoldenMismatch for a tensor that is not golden."""
        try:
            return np.stack([self._embeddings[tensor.tobytes()] for tensor in tensors])
        except KeyError as error:
            raise GoldenMismatch(
                "expected a golden tensor: this machine makes other pixels of a golden picture."
            ) from error


def golden_device(bundle: Bundle) -> Device:
    """Return the bundle ready to run on its golden pictures."""
    return Device(bundle, GoldenRuntime(bundle), Gate.from_bytes(bundle.role("gate")), bundle.codec, bundle.heads)


def embeddings(bundle: Bundle) -> Document:
    """Return the golden tensors and embeddings, for a port that runs the student."""
    roles = {
        role: bundle.manifest.tolerance(role) for role in sorted(bundle.manifest.roles) if role.startswith("student")
    }
    vectors: list[Vector] = [
        {
            "name": f"golden-{i}",
            "size": bundle.manifest.input_size,
            "tensor_base64": base64_of(tensor),
            "embedding_base64": floats(embedding),
            "min_cosine": roles,
        }
        for i, (tensor, embedding) in enumerate(zip(bundle.golden.tensors, bundle.golden.embeddings, strict=True))
    ]
    about = "tensor -> embedding of unit length (within 0.01), its cosine at least `min_cosine` by the student's role"
    return Document("embeddings", about, vectors, 0.01)


def ways(bundle: Bundle) -> Document:
    """Return what the device does with each golden picture, up to the request's bytes; with other thresholds, with the first."""
    device = golden_device(bundle)
    gate, heads = device.gate, device.heads
    vectors = [_way(f"golden-{i}", i, device) for i in range(len(bundle.golden.tensors))]
    others: dict[str, dict[str, float]] = {
        "too dark": {"min_brightness": 255.0},
        "too bright": {"max_brightness": 0.0},
        "hold still": {"min_sharpness": 1e6},
        "unlike the catalogue": {"reject_below": 9.0},
        "little like the catalogue": {"sure_above": 9.0},
    }
    for name, thresholds in others.items():
        changed = dataclasses.replace(device, gate=_gate_with(gate, thresholds))
        vectors.append(_way(f"golden-0, {name}", 0, changed))
    if heads and heads.sensitive:
        sensitive = dataclasses.replace(heads, sensitive=dataclasses.replace(heads.sensitive, unsure_above=0.0))
        alarmed = dataclasses.replace(device, heads=sensitive)
        both = dataclasses.replace(alarmed, gate=_gate_with(gate, {"reject_below": 9.0}))
        vectors.append(_way("golden-0, sensitive", 0, alarmed))
        vectors.append(_way("golden-0, sensitive and unlike the catalogue", 0, both))
    about = (
        "tensor, embedding, thresholds (with the golden gate, heads and codec) -> outcome, doubt, request (null: none)"
    )
    return Document("way", about, vectors)


def _way(name: str, number: int, device: Device) -> Vector:
    bundle = device.bundle
    seen = observe(golden_pictures(bundle)[number], device, Budget())
    sensitive = device.heads.sensitive if device.heads else None
    return {
        "name": name,
        "size": bundle.manifest.input_size,
        "tensor_base64": base64_of(bundle.golden.tensors[number]),
        "embedding_base64": floats(bundle.golden.embeddings[number]),
        "thresholds": {
            **{threshold: getattr(device.gate, threshold) for threshold in THRESHOLDS},
            "unsure_above": sensitive.unsure_above if sensitive else None,
        },
        "outcome": seen.stop.value if seen.stop else "sent",
        "unsure": seen.stop is None and seen.reason is not None,
        "request": _request(name, seen, bundle),
    }


def _gate_with(gate: Gate, thresholds: dict[str, float]) -> Gate:
    values = {name: getattr(gate, name) for name in THRESHOLDS}
    return Gate(gate.ood, **{**values, **thresholds})


def _request(name: str, seen: Observation, bundle: Bundle) -> Vector | None:
    if seen.code is None or seen.gate_score is None:
        return None
    query = Query(bundle.pairing.id, (seen.code,), REQUEST_ID, deadline_ms=DEADLINE_MS, gate_scores=(seen.gate_score,))
    return request_vector(name, query, {})
