"""Check this machine: Python and packages, the bundle and its runtime, and, when one is named, the service.

Exit status 0 when every check passes, 1 when one fails; each failed check says what to do.

Examples:
  sightline doctor
  sightline doctor --url http://127.0.0.1:8765 --api-key sk_... --json
"""

from __future__ import annotations

import argparse
import importlib.metadata
import platform
import statistics
import time
from collections.abc import Callable
from typing import Any

import httpx
import numpy as np
from PIL import Image

from sightline_edge import exchange
from sightline_edge.client import Client
from sightline_edge.config import Options
from sightline_edge.device import Device
from sightline_edge.runtimes.base import RUNTIMES, add_runtime_argument
from sightline_shared import __version__, environment
from sightline_shared.errors import ServiceError, SightlineError, VersionMismatch

BASE = ("numpy", "onnxruntime", "pillow", "httpx", "msgpack")
EXTRAS = {
    "cloud": ("fastapi", "uvicorn", "sqlalchemy", "faiss-cpu"),
    "export": ("torch", "onnx"),
    "coreml": ("coremltools", "scikit-learn"),
    "tflite": ("ai-edge-litert",),
    "bench": ("jinja2",),
}

Check = dict[str, Any]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--url", help="a service to check too (default SIGHTLINE_URL)")
    parser.add_argument("--api-key", help="the API key (default SIGHTLINE_API_KEY)")
    parser.add_argument("--bundle", help="a bundle folder (default SIGHTLINE_BUNDLE, else the SDK's own)")
    add_runtime_argument(parser)


def run(args: argparse.Namespace) -> dict[str, Any]:
    url = args.url or environment.read("SIGHTLINE_URL")
    api_key = args.api_key or environment.read("SIGHTLINE_API_KEY")
    loaded: list[Device] = []
    checks = [
        _check("python", _python),
        _check("packages", lambda: ", ".join(f"{name} {installed(name)}" for name in BASE)),
        _check("extras", _extras),
        _check("bundle", lambda: _bundle(args.bundle, args.runtime, loaded)),
    ]
    if loaded:
        checks.append(_check("model speed", lambda: _speed(loaded[0])))
    if url and loaded:
        checks.append(_check("service", lambda: _service(url, loaded[0])))
        checks.append(_check("api key", lambda: _key(url, api_key, loaded[0])))
    return {"ok": all(check["ok"] for check in checks), "sightline": __version__, "checks": checks}


def show(result: dict[str, Any]) -> str:
    lines = [f"sightline {result['sightline']}"]
    for check in result["checks"]:
        lines.append(f"  {'ok  ' if check['ok'] else 'FAIL'}  {check['name']:<12} {check['detail']}")
        lines += [f"        {'':<12} {check['hint']}"] if check.get("hint") else []
    return "\n".join(lines)


def _check(name: str, look: Callable[[], str]) -> Check:
    try:
        return {"name": name, "ok": True, "detail": look()}
    except SightlineError as error:
        return {"name": name, "ok": False, "code": error.code, "detail": error.message, "hint": error.hint}


def _python() -> str:
    return f"{platform.python_version()} on {platform.system()} {platform.machine()}"


def installed(name: str) -> str:
    """Return the version of an installed package, or "missing"."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "missing"


def _extras() -> str:
    have = {extra: all(installed(name) != "missing" for name in names) for extra, names in EXTRAS.items()}
    return ", ".join(f"[{extra}] {'installed' if there else 'not installed'}" for extra, there in have.items())


def _bundle(path: str | None, runtime: str, loaded: list[Device]) -> str:
    device = Device.load(path, runtime=runtime)
    loaded.append(device)
    worst = device.bundle.check_golden(device.runtime.embed, runtime=device.runtime.name, role=RUNTIMES[runtime])
    return f"{device.bundle.label} under {device.runtime.name}: golden cosine {worst:.4f}"


def _speed(device: Device) -> str:
    tensor = device.bundle.golden.tensors[:1]
    times_ms = []
    for _ in range(30):
        start = time.perf_counter()
        device.runtime.embed(np.ascontiguousarray(tensor))
        times_ms.append((time.perf_counter() - start) * 1000)
    return f"{statistics.median(times_ms):.1f} ms a frame on one thread (median of {len(times_ms)})"


def _service(url: str, device: Device) -> str:
    try:
        response = httpx.get(f"{url.rstrip('/')}/v1/version", timeout=5)
        served = response.json()
        # A service from before generations shows its only one at the top.
        live = {str(each["pairing_id"]): str(each["bundle"]) for each in served.get("generations", [served])}
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise exchange.transport_error(error, url, Options(deadline_ms=5000)) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ServiceError(f"{url}: expected Sightline's version page, got HTTP {response.status_code}.") from error
    pairing = device.bundle.pairing.id.hex()
    if pairing not in live:
        raise VersionMismatch(f"{url} serves pairing {' and '.join(live)}, this bundle is {pairing}.")
    return f"{url} serves {live[pairing]}, pairing {pairing}"


def _key(url: str, api_key: str | None, device: Device) -> str:
    with Client(url, api_key=api_key, device=device) as client:
        # The first golden picture that the gate lets through: only a query that is sent proves the key.
        for tensor in device.bundle.golden.tensors:
            answer = client.search(Image.fromarray(tensor))
            if answer.decided_by == "cloud":
                return (
                    f"accepted; a test query was answered '{answer.outcome}' in {answer.stages_ms['round_trip']:.1f} ms"
                )
    raise ServiceError(f"{url}: every golden picture was turned away on the device, so the key could not be tried.")
