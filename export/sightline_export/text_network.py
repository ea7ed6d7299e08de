"""The text encoder: BERT's layers in torch, with all-MiniLM-L6-v2's weights from a safetensors file, and its ONNX form.

One text at a time, and so without padding or masks: `(1, n) int64` word pieces in, `(1, d) float32` of unit length out, the
mean over the pieces (Reimers and Gurevych, EMNLP 2019).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from sightline_export.convert_onnx import traced
from sightline_shared.errors import InputError
from sightline_shared.tower import INPUT, OUTPUT

SOURCE_FILES = ("config.json", "model.safetensors", "vocab.txt")


@dataclass(frozen=True)
class Sizes:
    """What a BERT encoder's config.json says of it; `eps` is that of its layer norms."""

    vocabulary: int
    positions: int
    width: int
    inner: int
    heads: int
    layers: int
    eps: float

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Sizes:
        """Raises InputError for a config of another kind of network."""
        if config.get("model_type") != "bert" or config.get("hidden_act") != "gelu":
            raise InputError(
                f"text weights: expected a BERT encoder with gelu, got {config.get('model_type')!r} with "
                f"{config.get('hidden_act')!r}."
            )
        return cls(
            vocabulary=config["vocab_size"],
            positions=config["max_position_embeddings"],
            width=config["hidden_size"],
            inner=config["intermediate_size"],
            heads=config["num_attention_heads"],
            layers=config["num_hidden_layers"],
            eps=config["layer_norm_eps"],
        )


class Layer(nn.Module):
    """One transformer layer, norms after the sums."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.heads = sizes.heads
        self.query, self.key, self.value, self.mixed = (nn.Linear(sizes.width, sizes.width) for _ in range(4))
        self.wide, self.narrow = nn.Linear(sizes.width, sizes.inner), nn.Linear(sizes.inner, sizes.width)
        self.after_attention, self.after_inner = (nn.LayerNorm(sizes.width, sizes.eps) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = (
            each(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for each in (self.query, self.key, self.value)
        )
        shares = (query @ key.transpose(2, 3) * query.shape[-1] ** -0.5).softmax(-1)
        x = self.after_attention(x + self.mixed((shares @ value).transpose(1, 2).flatten(2)))
        return self.after_inner(x + self.narrow(functional.gelu(self.wide(x))))  # type: ignore[no-any-return]


class TextNetwork(nn.Module):
    """Word pieces `(1, n) int64` -> a unit vector `(1, width) float32`."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.words = nn.Embedding(sizes.vocabulary, sizes.width)
        # The embedding of "first sentence" is the same everywhere and is folded into the positions.
        self.positions = nn.Parameter(torch.zeros(sizes.positions, sizes.width))
        self.norm = nn.LayerNorm(sizes.width, sizes.eps)
        self.layers = nn.ModuleList(Layer(sizes) for _ in range(sizes.layers))

    def forward(self, pieces: Tensor) -> Tensor:
        x = self.norm(self.words(pieces) + self.positions[: pieces.shape[1]])
        for layer in self.layers:
            x = layer(x)
        return functional.normalize(x.mean(1), dim=1)


def load_network(folder: Path) -> TextNetwork:
    """Read the encoder in `folder` (config.json, model.safetensors); raises InputError."""
    missing = [name for name in SOURCE_FILES if not (folder / name).is_file()]
    if missing:
        raise InputError(
            f"text weights {folder}: expected {', '.join(SOURCE_FILES)}, got none of the name {missing[0]}.",
            hint="Give the folder of all-MiniLM-L6-v2; 'sightline export text --help' says where it comes from.",
        )
    try:
        sizes = Sizes.of(json.loads((folder / "config.json").read_bytes()))
        network = TextNetwork(sizes)
        network.load_state_dict(_renamed(load_file(folder / "model.safetensors"), sizes))
    except (ValueError, KeyError, TypeError, RuntimeError, OSError) as error:
        raise InputError(f"text weights {folder}: expected a BERT encoder's, got {error!r:.300}.") from error
    return network.eval()


def _renamed(weights: Mapping[str, Tensor], sizes: Sizes) -> dict[str, Tensor]:
    """Return BERT's weights under our names."""
    named = {
        "words.weight": weights["embeddings.word_embeddings.weight"],
        "positions": weights["embeddings.position_embeddings.weight"]
        + weights["embeddings.token_type_embeddings.weight"][0],
        **_pair("norm", weights, "embeddings.LayerNorm"),
    }
    theirs = {
        "query": "attention.self.query",
        "key": "attention.self.key",
        "value": "attention.self.value",
        "mixed": "attention.output.dense",
        "after_attention": "attention.output.LayerNorm",
        "wide": "intermediate.dense",
        "narrow": "output.dense",
        "after_inner": "output.LayerNorm",
    }
    for layer in range(sizes.layers):
        for ours, name in theirs.items():
            named |= _pair(f"layers.{layer}.{ours}", weights, f"encoder.layer.{layer}.{name}")
    return named


def _pair(ours: str, weights: Mapping[str, Tensor], theirs: str) -> dict[str, Tensor]:
    return {f"{ours}.{part}": weights[f"{theirs}.{part}"] for part in ("weight", "bias")}


def to_onnx(network: TextNetwork) -> bytes:
    """Return the network as an ONNX model whose input may have any number of pieces."""
    length = torch.export.Dim("length", min=2, max=len(network.positions))
    data: bytes = traced(
        network, torch.zeros((1, 7), dtype=torch.int64), (INPUT, OUTPUT), {1: length}
    ).SerializeToString()
    return data
