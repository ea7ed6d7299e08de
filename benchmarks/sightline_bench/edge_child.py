"""The device process of `sightline bench edge`: asks its photographs and prints every query's stages as JSON.

Runs as its own process, so that its memory and imports are the SDK's alone.
"""

from __future__ import annotations

import json
import sys
import time

import numpy as np

from sightline_edge import Client, Device, Options
from sightline_edge.commands.query import sum_device
from sightline_export.peak import peak_mib
from sightline_shared.preprocess import load_image, to_tensor


def main(url: str, api_key: str, photos: list[str], rounds: int) -> None:
    """Ask every photo `rounds` times and print one JSON object."""
    at_import_mib = peak_mib()
    start = time.perf_counter()
    device = Device.load()
    load_ms = (time.perf_counter() - start) * 1000
    loaded_mib = peak_mib()
    queries, bare_ms = [], []
    size = device.bundle.manifest.input_size
    with Client(url, api_key=api_key, device=device, options=Options(k=20)) as client:
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
                tensor = np.ascontiguousarray(to_tensor(load_image(photo), size)[np.newaxis])
                start = time.perf_counter()
                device.runtime.embed(tensor)
                bare_ms.append((time.perf_counter() - start) * 1000)
    heavy = sorted({"torch", "onnx", "faiss", "fastapi", "sqlalchemy"} & set(sys.modules))
    memory = {"import_mib": at_import_mib, "loaded_mib": loaded_mib, "peak_mib": peak_mib()}
    report = {"queries": queries, "bare_ms": bare_ms, "load_ms": load_ms, "memory": memory, "heavy_modules": heavy}
    sys.stdout.write(json.dumps(report))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[4:], int(sys.argv[3]))
