"""The device process of `sightline bench edge`: asks its photographs and prints every query's stages as JSON.

Runs as its own process, so that its memory and imports are the SDK's alone; the other runtimes come last, after the memory
was read.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sightline_edge import AnswerCache, Client, Device, Options
from sightline_edge.commands.query import sum_device
from sightline_edge.runtimes import Runtime
from sightline_edge.runtimes.ort import OrtRuntime
from sightline_edge.runtimes.tflite import TfliteRuntime
from sightline_export.peak import peak_mib
from sightline_shared.errors import ExtraMissing
from sightline_shared.preprocess import load_image, to_tensor

BEFORE_EMBEDDING = ("decode", "preprocess", "quality", "phash", "crops", "embed")
# So many photographs are asked a second time, from the cache, and run by every runtime.
REPEATED = 200


class FloatModels(NamedTuple):
    """Paths of the float student's files, empty where there is none."""

    onnx: str
    tflite: str


def main(url: str, api_key: str, photos: list[str], rounds: int, floats: FloatModels) -> None:
    """Ask every photo `rounds` times and print one JSON object."""
    at_import_mib = peak_mib()
    start = time.perf_counter()
    device = Device.load()
    load_ms = (time.perf_counter() - start) * 1000
    loaded_mib = peak_mib()
    queries, bare_ms = [], []
    with Client(url, api_key=api_key, device=device, options=Options(k=20, crops=1)) as client:
        for photo in photos[:3]:
            client.search(photo)
        for _ in range(rounds):
            for photo in photos:
                start = time.perf_counter()
                answer = client.search(photo)
                total_ms = (time.perf_counter() - start) * 1000
                if answer.decided_by == "cloud":
                    stages = dict(answer.stages_ms)
                    queries.append(
                        {
                            "stages_ms": stages,
                            "device_ms": sum_device(stages),
                            "total_ms": total_ms,
                            "body_up": answer.body_bytes_up,
                            "body_down": answer.body_bytes_down,
                            "http_up": answer.http_bytes_up,
                            "http_down": answer.http_bytes_down,
                        }
                    )
                # The bare runtime on the same picture, in turn with the whole path: the limit to compare with.
                bare_ms.append(_timed(device.runtime, _tensor(photo, device)))
    heavy = sorted({"torch", "onnx", "faiss", "fastapi", "sqlalchemy"} & set(sys.modules))
    memory = {"import_mib": at_import_mib, "loaded_mib": loaded_mib, "peak_mib": peak_mib()}
    report = {
        "queries": queries,
        "bare_ms": bare_ms,
        "load_ms": load_ms,
        "memory": memory,
        "heavy_modules": heavy,
        "cached_ms": _cached(url, api_key, device, photos[:REPEATED]),
        "runtimes": _runtimes(device, floats, photos[:REPEATED]),
    }
    sys.stdout.write(json.dumps(report))


def _cached(url: str, api_key: str, device: Device, photos: list[str]) -> list[float]:
    """Return what a repeated frame costs after its embedding, milliseconds each: gate, code and cache."""
    spent = []
    with Client(url, api_key=api_key, device=device, cache=AnswerCache(keep_s=3600.0)) as client:
        for photo in photos:
            client.search(photo)
            answer = client.search(photo)
            if answer.decided_by == "cache":
                spent.append(sum(ms for stage, ms in answer.stages_ms.items() if stage not in BEFORE_EMBEDDING))
    return spent


def _runtimes(device: Device, floats: FloatModels, photos: list[str]) -> dict[str, dict[str, Any]]:
    """Return for each runtime and file: milliseconds to load, of the first call, and of the warm ones, in turn.

    `golden_cosine` is the worst cosine to the bundle's golden embeddings: whether a float file is this student's at all.
    """
    bundle = device.bundle
    makers: dict[str, Callable[[], Runtime]] = {"onnxruntime int8": lambda: OrtRuntime(bundle.role("student"))}
    if floats.onnx:
        makers["onnxruntime fp32"] = partial(OrtRuntime, Path(floats.onnx).read_bytes())
    if "student.tflite" in bundle.manifest.roles:
        makers["tflite int8"] = lambda: TfliteRuntime(bundle.role("student.tflite"))
    if floats.tflite:
        makers["tflite fp32"] = partial(TfliteRuntime, Path(floats.tflite).read_bytes())
    table: dict[str, dict[str, Any]] = {}
    loaded: dict[str, Runtime] = {}
    for name, make in makers.items():
        start = time.perf_counter()
        try:
            loaded[name] = make()
        except ExtraMissing:
            continue
        load_ms = (time.perf_counter() - start) * 1000
        first_ms = _timed(loaded[name], _tensor(photos[0], device))
        table[name] = {"load_ms": load_ms, "first_ms": first_ms, "warm_ms": []}
    for photo in photos:
        for name, runtime in loaded.items():
            table[name]["warm_ms"].append(_timed(runtime, _tensor(photo, device)))
    for name, runtime in loaded.items():
        products = runtime.embed(bundle.golden.tensors) * bundle.golden.embeddings
        table[name]["golden_cosine"] = float(products.sum(axis=1).min())
    return table


def _tensor(photo: str, device: Device) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.ascontiguousarray(to_tensor(load_image(photo), device.bundle.manifest.input_size)[np.newaxis])


def _timed(runtime: Runtime, tensor: np.ndarray[Any, np.dtype[np.uint8]]) -> float:
    start = time.perf_counter()
    runtime.embed(tensor)
    return (time.perf_counter() - start) * 1000


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[6:], int(sys.argv[3]), FloatModels(*sys.argv[4:6]))
