"""What the product says of every photograph, device and service together, by the shipped bundle's own thresholds."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sightline_bench.packs import Photo
from sightline_bench.quality.embeddings import Embedded
from sightline_bench.quality.questions import STYLES, Asker
from sightline_bench.quality.tasks import Suite
from sightline_cloud.rank.confidence import Confidence
from sightline_edge import quality
from sightline_edge.device import Device
from sightline_export.evaluate import Figure, mean_figure

CLOUD = {"found": "found", "unsure": "unsure", "not_found": "not_found in cloud"}
OUTCOMES = ("retake", "not_found on device", "not_found in cloud", "unsure", "found")


def outcomes(suite: Suite, embedded: dict[Path, Embedded], device: Device) -> dict[str, dict[str, Figure]]:
    """Return, by kind of query, the share that the product would retake, refuse, find or leave unsure."""
    name = next(iter(suite.galleries))
    groups: dict[str, tuple[Photo, ...]] = {
        task.name: task.queries for task in suite.tasks if task.name not in ("packaged", "studio")
    }
    table: dict[str, dict[str, Figure]] = {}
    for group, photos in {**groups, "strangers": suite.strangers}.items():
        said = _said(photos, suite.galleries[name], STYLES[name], embedded, device)
        table[group] = {
            outcome: mean_figure(np.array([one == outcome for one in said], np.float64)) for outcome in OUTCOMES
        }
    return table


def _said(
    photos: tuple[Photo, ...], gallery: tuple[Photo, ...], style: str, embedded: dict[Path, Embedded], device: Device
) -> list[str]:
    """Return what is said of each photograph, in the product's order: the frame, the gate, then the service."""
    judge = Confidence(device.bundle.calibration, device.bundle.manifest.decision)
    asked = Asker(device, embedded).ask(photos, gallery, "known", style)
    said = []
    for photo, example in zip(photos, asked, strict=True):
        one = embedded[photo.path]
        if quality.problem(one.quality, device.gate):
            said.append("retake")
        elif device.gate.score(one.int8) < device.gate.reject_below:
            said.append("not_found on device")
        else:
            said.append(CLOUD[judge.judge(example.evidence).decision.label])
    return said
