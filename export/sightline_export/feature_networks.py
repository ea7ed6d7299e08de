"""The networks whose features a teacher joins: ours by name, timm's by name, or anybody's as an ONNX file.

Features are cached on disk by the network's digest and the content of each photograph: a second run computes what is new.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sightline_export.convert_onnx import open_session, to_onnx
from sightline_export.data import PhotoSet
from sightline_export.lite import BACKBONES, EfficientNetLite, load_backbone
from sightline_export.progress import Progress
from sightline_shared.errors import ExtraMissing, RecipeInvalid

TIMM, ONNX = "timm:", "onnx:"
MAX_ONNX_BYTES = 2 << 30


@dataclass(frozen=True)
class FeatureNetwork:
    """A frozen network: `size` is its input's side in pixels, `digest` (hex) names its weights."""

    name: str
    size: int
    digest: str
    session: onnxruntime.InferenceSession

    def features(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the features `(f,)` at length 1 of one picture `(size, size, 3) uint8`."""
        (row,) = self.session.run(None, {self.session.get_inputs()[0].name: pixels[None]})[0]
        return np.asarray(row / max(float(np.linalg.norm(row)), 1e-12), dtype=np.float32)


def open_network(name: str, weights: Path | None) -> FeatureNetwork:
    """Return the network called `name`: a backbone of ours, `timm:NAME`, or `onnx:PATH`.

    Raises RecipeInvalid for what does not exist or does not fit, ExtraMissing when timm or weights are missing.
    """
    if name.startswith(ONNX):
        return _from_onnx(name, Path(name.removeprefix(ONNX)))
    if name.startswith(TIMM):
        model, size = _from_timm(name.removeprefix(TIMM))
    else:
        model, size = load_backbone(name, weights), BACKBONES[name].size
    digest = _weights_digest(model)
    if isinstance(model, EfficientNetLite):
        model.fold()
    return FeatureNetwork(name, size, digest, open_session(to_onnx(model, size, "features")))


def network_features(
    name: str, weights: Path | None, photos: PhotoSet, cache: Path, progress: Progress
) -> NDArray[np.float32]:
    """Return one network's features at length 1, `(n, f) float32`, from the cache where it has them."""
    network = open_network(name, weights)
    file = cache / f"{re.sub(r'[^A-Za-z0-9_.-]+', '_', Path(name).name)}-{network.digest[:12]}.npz"
    known: dict[str, NDArray[np.float16]] = {}
    if file.is_file():
        with np.load(file, allow_pickle=False) as stored:
            known = dict(zip(stored["digests"].tolist(), stored["features"], strict=True))
    missing = [index for index, digest in enumerate(photos.digests) if digest not in known]
    for index in progress.track(missing, name):
        known[photos.digests[index]] = network.features(photos.pixels(index, network.size)).astype(np.float16)
    if missing:
        cache.mkdir(parents=True, exist_ok=True)
        np.savez(file, digests=np.array(list(known)), features=np.stack(list(known.values())))
    found = np.stack([known[digest] for digest in photos.digests]).astype(np.float32)
    lengths = np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)
    return np.asarray(found / lengths, dtype=np.float32)


class TimmNetwork(nn.Module):
    """A timm model behind our input: `(n, s, s, 3) uint8` to pooled features, its own normalisation inside."""

    def __init__(self, model: nn.Module, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.model = model
        self.mean, self.std = (torch.tensor(values).reshape(1, -1, 1, 1) for values in (mean, std))

    def forward(self, pixels: Tensor) -> Tensor:
        x = pixels.permute(0, 3, 1, 2).to(torch.float32) / 255.0
        features: Tensor = self.model((x - self.mean) / self.std)
        return features


def _from_timm(name: str) -> tuple[nn.Module, int]:
    try:
        import timm  # type: ignore[import-not-found,unused-ignore]
    except ImportError as error:
        raise ExtraMissing(f"{TIMM}{name}: expected the package timm.", hint="Run: pip install timm") from error
    try:
        model = timm.create_model(name, pretrained=True, num_classes=0).eval()
        config = timm.data.resolve_model_data_config(model)
    except Exception as error:  # a wrong name, or weights that cannot be fetched: timm has no common class for these
        raise RecipeInvalid(
            f"{TIMM}{name}: expected a timm model whose weights are here or can be downloaded, got '{error}'.",
            hint="Check the name with timm.list_models(pretrained=True); download where there is a network, or use onnx:PATH.",
        ) from error
    return TimmNetwork(model, config["mean"], config["std"]), int(config["input_size"][-1])


def _from_onnx(name: str, path: Path) -> FeatureNetwork:
    if not path.is_file() or path.stat().st_size > MAX_ONNX_BYTES:
        raise RecipeInvalid(f"{name}: expected an ONNX file of at most 2 GiB, got none there.")
    data = path.read_bytes()
    try:
        session = open_session(data)
    except Exception as error:  # onnxruntime raises its own classes, one for each way a file can be wrong
        raise RecipeInvalid(f"{name}: expected an ONNX model, got '{str(error)[:200]}'.") from error
    given, made = session.get_inputs()[0], session.get_outputs()[0]
    side = given.shape[1] if len(given.shape) == 4 else None
    if given.type != "tensor(uint8)" or not isinstance(side, int) or given.shape[1:] != [side, side, 3]:
        raise RecipeInvalid(
            f"{name}: expected an input of (n, size, size, 3) uint8 pixels, got {given.type} {given.shape}.",
            hint="Put the cast and the normalisation into the graph, as our own students have them.",
        )
    if len(made.shape) != 2:
        raise RecipeInvalid(f"{name}: expected (n, features) float32 out, got {made.type} {made.shape}.")
    return FeatureNetwork(name, side, hashlib.sha256(data).hexdigest(), session)


def _weights_digest(model: nn.Module) -> str:
    digest = hashlib.sha256()
    for key, value in sorted(model.state_dict().items()):
        digest.update(key.encode() + value.numpy().tobytes())
    return digest.hexdigest()
