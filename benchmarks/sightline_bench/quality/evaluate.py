"""One evaluation: embed every photograph, run the whole path for every query, and put the figures together."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import Progress

from sightline_bench.quality.category import category
from sightline_bench.quality.decision import decision
from sightline_bench.quality.diversity import diversity
from sightline_bench.quality.embeddings import embed_all
from sightline_bench.quality.fusion import fusion
from sightline_bench.quality.measure import DEPTH, Ranked, overlap, strangers, variants
from sightline_bench.quality.outcomes import outcomes
from sightline_bench.quality.pocket import pocket
from sightline_bench.quality.questions import Asker, ask_everything, ask_validation
from sightline_bench.quality.rank_cost import rank_cost
from sightline_bench.quality.routing import routing
from sightline_bench.quality.sensitive import sensitive
from sightline_bench.quality.tasks import Suite
from sightline_bench.service import Gallery, running
from sightline_cloud.fusion.tower import TextTower
from sightline_edge import Client, Device, Options
from sightline_edge.runtimes import Runtime
from sightline_shared import confidence
from sightline_shared.bundle import Bundle
from sightline_shared.manifest import Manifest

# Below every cosine: such a threshold turns nothing away.
NEVER = -2.0


def evaluate(
    suite: Suite,
    device: Device,
    reference: Runtime | None,
    data: Path,
    bar: Progress,
    tower: TextTower | None = None,
) -> dict[str, Any]:
    """Return the figures as JSON-able data.

    Ranking is measured with every threshold open, so that each query gets its ranking in every variant; what the
    shipped thresholds would have done with the same queries is the table "decisions".
    """
    everything = [
        *(photo for photos in suite.galleries.values() for photo in photos),
        *(photo for task in suite.tasks for photo in task.queries),
        *suite.strangers,
        *suite.sensitive,
        *suite.validation,
        *(photo for pair in suite.copies for photo in pair),
    ]
    step = bar.add_task("embedding", total=len({photo.path for photo in everything}))
    embedded = embed_all(
        everything, device.runtime, reference, device.bundle.manifest.input_size, lambda n: bar.advance(step, n)
    )
    answered = ask_service(suite, device, data, bar)
    asker = Asker(device, embedded)
    questions = ask_everything(suite, asker)
    figures = {
        "retrieval": variants(suite, embedded, device, answered),
        "code_overlap": overlap(suite, embedded, device),
        "strangers": strangers(suite, embedded, device),
        "decisions": outcomes(suite, embedded, device),
        "decision": decision(questions, ask_validation(suite, embedded, device), device),
        "pocket": pocket(suite, asker, questions),
        "sensitive": sensitive(suite, embedded, device),
        "routing": routing(suite, embedded, device),
        "category": category(suite, embedded, device),
        "diversity": diversity(suite, embedded, device),
        "rank_cost": rank_cost(suite, embedded, device),
        "fusion": fusion(suite, embedded, device, tower),
        "galleries": {name: len(photos) for name, photos in suite.galleries.items()},
    }
    plain: dict[str, Any] = _plain(figures)
    return plain


def ask_service(suite: Suite, device: Device, data: Path, bar: Progress) -> dict[str, Ranked]:
    """Return what the real client got from the real service for every task: gallery rows by rank, -1 for none."""
    galleries = {name: Gallery([photo.path for photo in photos]) for name, photos in suite.galleries.items()}
    opened = open_device(device)
    with running(data, open_bundle_of(device.bundle), galleries, bar) as service:
        answered: dict[str, Ranked] = {}
        for task in suite.tasks:
            rows = {item_id: row for row, item_id in enumerate(service.ids[task.gallery])}
            step = bar.add_task(f"asking: {task.name}", total=len(task.queries))
            with Client(
                service.url, api_key=service.keys[task.gallery], device=opened, options=Options(k=DEPTH)
            ) as client:
                ranked = np.full((len(task.queries), DEPTH), -1, np.int64)
                for i, photo in enumerate(task.queries):
                    for place, match in enumerate(client.search(photo.path).matches):
                        ranked[i, place] = rows[match.id]
                    bar.advance(step)
            answered[task.name] = ranked
    return answered


def open_device(device: Device) -> Device:
    """Return `device` with a gate that turns nothing away."""
    gate = dataclasses.replace(
        device.gate, reject_below=NEVER, sure_above=NEVER, min_sharpness=-1.0, min_brightness=-1.0, max_brightness=256.0
    )
    return dataclasses.replace(device, gate=gate)


def open_bundle_of(bundle: Bundle) -> Bundle:
    """Return `bundle` with thresholds that call everything found, and no models; codec and pairing stay the same."""
    roles = {role: name for role, name in bundle.manifest.roles.items() if role != confidence.ROLE}
    open_to_all = dict.fromkeys(bundle.manifest.decision, NEVER)
    manifest: Manifest = dataclasses.replace(bundle.manifest, decision=open_to_all, roles=roles)
    return Bundle(manifest, bundle.files, bundle.digest)


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _plain(dataclasses.asdict(value))
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return round(value, 5) if isinstance(value, float) else value
