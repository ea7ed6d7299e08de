"""Thresholds for a catalogue that the bundle has not seen: the user's own pictures."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sightline_bench.demo.scenario import altered
from sightline_bench.samples import distractor
from sightline_edge import Device
from sightline_edge.gate import Gate
from sightline_export.calibrate import best_cosine, decision_thresholds, fit_gate
from sightline_export.recipe import Gate as GateSettings
from sightline_shared.bundle import Bundle
from sightline_shared.manifest import FileEntry
from sightline_shared.preprocess import load_image, to_tensor

MAX_PHOTOS = 400
VIEWS = 120
STRANGERS = 24


def fitted(device: Device, photos: Sequence[Path], *, seed: int = 0) -> Device:
    """Return `device` with gate and decision thresholds fitted to `photos`, as an export for this catalogue would.

    Good photographs are altered views of the catalogue's own; the strangers are drawn. The frame-quality thresholds,
    the model and the codec stay as they are, so that codes mean the same.
    """
    rng = np.random.default_rng(seed)
    chosen = [photos[i] for i in rng.permutation(len(photos))[:MAX_PHOTOS]]
    images = [load_image(path) for path in chosen]
    gallery = _embed(device, images)
    views = [altered(images[i % len(images)], rng, 0.8) for i in range(min(VIEWS, 2 * len(images)))]
    seen = _embed(device, views)
    strangers = _embed(device, [distractor(1000 + i, (240, 320)) for i in range(STRANGERS)])

    fit = fit_gate({"photos": gallery}, {"photos": seen}, GateSettings(), seed)
    decision, _ = decision_thresholds({"photos": best_cosine(seen, gallery)}, best_cosine(strangers, gallery))
    gate = dataclasses.replace(
        device.gate,
        ood=fit.ood,
        reject_below=fit.reject_below,
        sure_above=fit.sure_above,
    )
    return dataclasses.replace(device, gate=gate, bundle=_with(device.bundle, gate, decision))


def _with(bundle: Bundle, gate: Gate, decision: dict[str, float]) -> Bundle:
    name, data = bundle.manifest.roles["gate"], gate.to_bytes()
    manifest = dataclasses.replace(
        bundle.manifest,
        version=f"{bundle.manifest.version}+fitted",
        files={**bundle.manifest.files, name: FileEntry.of(data)},
        decision=decision,
    )
    return Bundle(manifest, {**bundle.files, name: data}, bundle.digest)


def _embed(device: Device, images: Sequence[Image.Image]) -> NDArray[np.float32]:
    size = device.bundle.manifest.input_size
    return np.concatenate([device.runtime.embed(to_tensor(image, size)[np.newaxis]) for image in images])
