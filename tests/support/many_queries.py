"""Thirteen thousand queries in one process, `python -m support.many_queries BUNDLE`: prints what the last 9,000 of them left in its memory."""

import gc
import json
import resource
import sys
from pathlib import Path

import numpy as np

from sightline_edge import AnswerCache, Client, Device, Options
from sightline_edge.testing import FakeCloud
from sightline_shared.bundle import open_bundle
from support.tiny_bundle import picture


def main(folder: str) -> None:
    device = Device.load(open_bundle(Path(folder)))
    cloud = FakeCloud(device, {f"item/{n}": picture(n) for n in range(8)})
    frames = [np.asarray(picture(n)) for n in range(16)]
    cache = AnswerCache(max_bytes=64 << 10, near_bits=-1)
    with Client("http://fake.test", device=device, transport=cloud, cache=cache) as client:

        def ask(times: int) -> tuple[int, int]:
            for number in range(times):
                client.search(frames[number % len(frames)], options=Options(k=1 + number % 7))
                cloud.queries.clear()
            gc.collect()
            return len(gc.get_objects()), resident_bytes()

        (objects, resident), (objects_after, resident_after) = ask(4000), ask(9000)
    print(json.dumps({"more_objects": objects_after - objects, "more_bytes": resident_after - resident}))


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


if __name__ == "__main__":
    main(sys.argv[1])
