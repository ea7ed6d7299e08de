"""Every scene through the device path with 1, 3 and 5 crops, and its codes through an exact search of the catalogue."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from sightline_bench.crops.contenders import CONTENDERS
from sightline_bench.crops.judged import Catalogue, judged
from sightline_bench.crops.scenes import Scene
from sightline_bench.crops.sets import SceneSet
from sightline_edge.crops import choose
from sightline_edge.device import Device
from sightline_edge.frame import Box, open_picture
from sightline_edge.pipeline import Observation, observe
from sightline_edge.rerank import unit
from sightline_shared.budget import Budget
from sightline_shared.preprocess import load_image, to_tensor
from sightline_shared.protocol import REQUEST_ID_BYTES, Decision, Query, pack_query

COUNTS = (1, 3, 5)


@dataclass(frozen=True)
class Asked:
    """What one scene came to: who answered what, the ranked labels of the answer, and what it cost.

    `outcome` is "retake", "not_found on device", "restricted", "not_found in cloud", "unsure" or "found"; `codes` and
    `body_bytes` are 0 when nothing was sent; times are the thread's own, `propose_ms` that of choosing regions alone.
    `probability` is the service's that the first match is right, and `right` whether it is; `near` is its probability when it
    is asked once more with nothing of the scene in the catalogue. None where nothing was sent, or nothing calibrated.
    """

    outcome: str
    wanted: frozenset[str]
    labels: tuple[str, ...]
    codes: int
    body_bytes: int
    device_ms: float
    propose_ms: float
    probability: float | None = None
    right: bool = False
    near: float | None = None


# Kind of scene -> number of crops, or contender -> what each scene came to.
Table = dict[str, dict[str, list[Asked]]]


def ask_all(scenes: SceneSet, device: Device, progress: Callable[[], None]) -> Table:
    """Return what every scene came to with each number of crops, and with the regions of each contender.

    The pipeline looks beyond the whole frame only where the gate is not sure of it; at contenders' regions it always looks.

    `progress` is called after every gallery picture and scene.
    """
    catalogue = embed_gallery(scenes, device, progress)
    table: Table = {}
    for kind, makers in scenes.kinds.items():
        rows: dict[str, list[Asked]] = {}
        for make in makers:
            scene = make()
            for count in COUNTS:
                rows.setdefault(str(count), []).append(ask(scene, device, catalogue, crops=count))
            for name, propose in CONTENDERS.items() if scene.labels else ():
                boxes = propose(open_picture(scene.image), max(COUNTS) - 1)
                rows.setdefault(name, []).append(ask(scene, device, catalogue, regions=boxes))
            progress()
        table[kind] = rows
    return table


def embed_gallery(scenes: SceneSet, device: Device, progress: Callable[[], None]) -> Catalogue:
    """Return the catalogue of the set's gallery pictures."""
    rows = []
    for picture in scenes.gallery:
        tensor = to_tensor(load_image(picture()), device.bundle.manifest.input_size)
        rows.append(device.runtime.embed(tensor[np.newaxis])[0])
        progress()
    return Catalogue(unit(np.stack(rows)), scenes.labels, scenes.categories)


def ask(scene: Scene, device: Device, catalogue: Catalogue, *, crops: int = 1, regions: Sequence[Box] = ()) -> Asked:
    """Take one scene through the device path, and judge what it sends as the service does."""
    picture, start = open_picture(scene.image), time.thread_time()
    choose(picture, crops, regions)
    chosen = time.thread_time()
    seen = observe(scene.image, device, Budget(), crops=crops, regions=regions)
    asked = Asked(
        stopped(seen),
        scene.labels,
        (),
        len(seen.sent),
        body_bytes(seen, device),
        device_ms=(time.thread_time() - chosen) * 1000,
        propose_ms=(chosen - start) * 1000,
    )
    return asked if seen.stop else answered(asked, seen, device, catalogue)


def stopped(seen: Observation) -> str:
    """Return the outcome of a frame that the device answers by itself, "" of one that is sent."""
    return f"{seen.stop} on device" if seen.stop == "not_found" else str(seen.stop or "")


def answered(asked: Asked, seen: Observation, device: Device, catalogue: Catalogue) -> Asked:
    """Return `asked` with what the service says, and how probable it thinks it with nothing of the scene in the catalogue."""
    verdict, labels = judged(seen.sent, device, catalogue)
    near = judged(seen.sent, device, catalogue.without(asked.wanted))[0].probability if asked.wanted else None
    denied = verdict.decision is Decision.NOT_FOUND
    return replace(
        asked,
        outcome="not_found in cloud" if denied else verdict.decision.label,
        labels=() if denied else labels,
        probability=verdict.probability,
        right=labels[0] in asked.wanted,
        near=near,
    )


def body_bytes(seen: Observation, device: Device) -> int:
    """Return the size of the request's body; 0 when nothing is sent."""
    if not seen.sent:
        return 0
    codes = tuple(crop.code or b"" for crop in seen.sent)
    scores = tuple(crop.gate_score for crop in seen.sent)
    query = Query(device.bundle.pairing.id, codes, bytes(REQUEST_ID_BYTES), gate_scores=scores)
    return len(pack_query(query))
