"""Which layer does the harm: an int8 file held against its float model, layer by layer, on real photographs.

Two questions for every quantized layer. How far is its output from the float model's (it carries the errors of the layers
before it)? And what becomes of the embedding when this layer alone is quantized, or alone stays float? The second one
names the guilty layer: the table is sorted by it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from sightline_export.convert_onnx import INPUT, OUTPUT
from sightline_export.evaluate import Figure, mean_figure
from sightline_export.mixed_graph import Layer, activations, mixed, quantized_layers
from sightline_export.progress import Progress


@dataclass(frozen=True)
class LayerError:
    """One layer: its output's error in the whole int8 model, and what it does to the embedding by itself.

    `sqnr_db` is 10 log10(signal power / error power), `relative_error` the root of its inverse, `cosine` the mean over
    photographs. `alone_cosine` is the embedding's mean cosine to float with this layer alone quantized; `kept_cosine`
    the one with everything but this layer quantized; `harm` is 1 - alone_cosine.
    """

    name: str
    operator: str
    sqnr_db: float
    cosine: float
    relative_error: float
    alone_cosine: float
    alone_worst: float
    kept_cosine: float

    @property
    def harm(self) -> float:
        return 1.0 - self.alone_cosine


@dataclass(frozen=True)
class LayerReport:
    """The layers, most harmful first; `whole` is the cosine of every photograph with all of them quantized `(n,)`."""

    layers: tuple[LayerError, ...]
    whole: NDArray[np.float64]

    @property
    def guilty(self) -> LayerError:
        """The layer that does the most harm by itself."""
        return self.layers[0]

    def message(self) -> str:
        """Return one line for a person: the guilty layer and what keeping it float would give."""
        worst, total = self.guilty, sum(layer.harm for layer in self.layers)
        share = worst.harm / total if total > 0 else 0.0
        return (
            f"int8: the layer that harms most is {worst.name} ({worst.operator}): alone it takes the cosine to "
            f"{worst.alone_cosine:.4f}, {100 * share:.0f} % of all layers' harm; without it the whole stands at "
            f"{worst.kept_cosine:.4f} instead of {self.whole.mean():.4f}"
        )

    def figures(self, data: str) -> dict[str, Figure]:
        n = len(self.whole)
        return {
            "int8.layers_cosine_mean": mean_figure(self.whole, data),
            "int8.guilty_layer_alone_cosine": Figure(self.guilty.alone_cosine, None, n, f"{data}, {self.guilty.name}"),
            "int8.guilty_layer_kept_cosine": Figure(self.guilty.kept_cosine, None, n, f"{data}, {self.guilty.name}"),
        }

    def write(self, path: Path, data: str) -> None:
        """Write the table as JSON, most harmful layer first."""
        rows = [{**{key: _short(value) for key, value in asdict(layer).items()}} for layer in self.layers]
        body = {"data": data, "photographs": len(self.whole), "cosine_mean": _short(float(self.whole.mean()))}
        path.write_text(json.dumps({**body, "guilty": self.guilty.name, "layers": rows}, indent=1) + "\n")


def layer_errors(
    model: onnx.ModelProto | bytes,
    int8: onnx.ModelProto | bytes,
    pixels: NDArray[np.uint8],
    progress: Progress | None = None,
) -> LayerReport:
    """Hold an int8 file against its float model on `pixels` `(n, s, s, 3) uint8`; raises RecipeInvalid for strangers.

    It runs the network twice per layer and photograph: 32 photographs are about a minute on one core.
    """
    model, int8 = _proto(model), _proto(int8)
    progress = progress or Progress(quiet=True)
    layers = quantized_layers(model, int8)
    reference = _embed(model, pixels)
    outputs = output_errors(model, int8, layers, pixels)
    found = []
    for layer, (sqnr, cosine) in zip(progress.track(layers, "layers"), outputs, strict=True):
        alone = cosines(reference, _embed(mixed(model, int8, [layer]), pixels))
        kept = cosines(reference, _embed(mixed(model, int8, [other for other in layers if other != layer]), pixels))
        found.append(
            LayerError(
                layer.name,
                layer.operator,
                sqnr_db=sqnr,
                cosine=cosine,
                relative_error=10 ** (-sqnr / 20),
                alone_cosine=float(alone.mean()),
                alone_worst=float(alone.min()),
                kept_cosine=float(kept.mean()),
            )
        )
    found.sort(key=lambda error: error.harm, reverse=True)
    return LayerReport(tuple(found), cosines(reference, _embed(mixed(model, int8, layers), pixels)))


def output_errors(
    model: onnx.ModelProto, int8: onnx.ModelProto, layers: Sequence[Layer], pixels: NDArray[np.uint8]
) -> list[tuple[float, float]]:
    """Return (SQNR in dB, mean cosine) of every layer's output in the whole int8 model."""
    quantized = activations(int8)
    mine = [layer.output for layer in layers]
    theirs = [quantized[name].dequantized if name in quantized else name for name in mine]
    plain, rounded = _session(_with_outputs(model, mine)), _session(_with_outputs(mixed(model, int8, layers), theirs))
    signal, noise, likeness = (np.zeros(len(layers)) for _ in range(3))
    for picture in pixels:
        pairs = zip(plain.run(mine, {INPUT: picture[None]}), rounded.run(theirs, {INPUT: picture[None]}), strict=True)
        for index, (a, b) in enumerate(pairs):
            x, y = a.astype(np.float64).ravel(), b.astype(np.float64).ravel()
            signal[index] += x @ x
            noise[index] += (x - y) @ (x - y)
            likeness[index] += (x @ y) / max(float(np.linalg.norm(x) * np.linalg.norm(y)), 1e-12)
    sqnr = 10 * np.log10(np.maximum(signal, 1e-30) / np.maximum(noise, 1e-30))
    return [(float(a), float(b)) for a, b in zip(sqnr, likeness / len(pixels), strict=True)]


def cosines(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the cosine of every row of `a` and `b` `(n, d)`."""
    x, y = a.astype(np.float64), b.astype(np.float64)
    lengths = np.linalg.norm(x, axis=1) * np.linalg.norm(y, axis=1)
    result: NDArray[np.float64] = (x * y).sum(axis=1) / np.maximum(lengths, 1e-12)
    return result


def _embed(model: onnx.ModelProto, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    session = _session(model)
    return np.concatenate([session.run([OUTPUT], {INPUT: picture[None]})[0] for picture in pixels])


def _session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    """Return a session that rounds where the graph says so and never swaps in integer kernels."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def _with_outputs(model: onnx.ModelProto, names: Sequence[str]) -> onnx.ModelProto:
    """Return a copy that also gives the named tensors."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    there = {output.name for output in copy.graph.output}
    copy.graph.output.extend(
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
        for name in dict.fromkeys(names)
        if name not in there
    )
    return copy


def _proto(model: onnx.ModelProto | bytes) -> onnx.ModelProto:
    if isinstance(model, onnx.ModelProto):
        return model
    parsed: onnx.ModelProto = onnx.load_model_from_string(model)
    return parsed


def _short(value: object) -> object:
    return round(value, 5) if isinstance(value, float) else value
