"""The text encoder: BERT's mathematics the slow way, and its ONNX form at any length."""

import json
import math
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from support.tiny_text import CONFIG, weights, write_encoder

from sightline_export.text import parity, quantized
from sightline_export.text_network import load_network, to_onnx
from sightline_shared.errors import InputError
from sightline_shared.tower import INPUT, OUTPUT
from sightline_shared.wordpiece import WordPiece


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_encoder(tmp_path_factory.mktemp("weights") / "model")


def slowly(pieces: list[int]) -> np.ndarray:
    """The encoder head by head and token by token, from the weights under their own names."""
    given = {name: value.double().numpy() for name, value in weights().items()}

    def norm(rows: np.ndarray, name: str) -> np.ndarray:
        centred = rows - rows.mean(axis=1, keepdims=True)
        scale = np.sqrt((centred**2).mean(axis=1, keepdims=True) + 1e-12)
        return centred / scale * given[f"{name}.weight"] + given[f"{name}.bias"]

    def linear(rows: np.ndarray, name: str) -> np.ndarray:
        return rows @ given[f"{name}.weight"].T + given[f"{name}.bias"]

    x = given["embeddings.word_embeddings.weight"][pieces] + given["embeddings.token_type_embeddings.weight"][0]
    x = norm(x + given["embeddings.position_embeddings.weight"][: len(pieces)], "embeddings.LayerNorm")
    size = CONFIG["hidden_size"] // CONFIG["num_attention_heads"]
    for number in range(CONFIG["num_hidden_layers"]):
        layer = f"encoder.layer.{number}"
        parts = [linear(x, f"{layer}.attention.self.{part}") for part in ("query", "key", "value")]
        mixed = np.zeros_like(x)
        for head in range(CONFIG["num_attention_heads"]):
            query, key, value = (part[:, head * size : (head + 1) * size] for part in parts)
            powers = np.exp(query @ key.T / math.sqrt(size))
            mixed[:, head * size : (head + 1) * size] = powers / powers.sum(axis=1, keepdims=True) @ value
        x = norm(x + linear(mixed, f"{layer}.attention.output.dense"), f"{layer}.attention.output.LayerNorm")
        wide = linear(x, f"{layer}.intermediate.dense")
        wide = wide * 0.5 * (1 + np.vectorize(math.erf)(wide / math.sqrt(2)))
        x = norm(x + linear(wide, f"{layer}.output.dense"), f"{layer}.output.LayerNorm")
    mean = x.mean(axis=0)
    return mean / np.linalg.norm(mean)


@pytest.mark.parametrize("length", [2, 3, 11, 128])
def test_torch_and_onnx_say_what_bert_says_at_every_length(folder: Path, length: int) -> None:
    pieces = np.random.default_rng(length).integers(0, CONFIG["vocab_size"], length).tolist()
    network = load_network(folder)
    with torch.inference_mode():
        np.testing.assert_allclose(network(torch.tensor([pieces]))[0].numpy(), slowly(pieces), atol=2e-6)
    session = onnxruntime.InferenceSession(to_onnx(network), providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(session.run([OUTPUT], {INPUT: np.array([pieces])})[0][0], slowly(pieces), atol=1e-5)


def test_int8_is_another_file_that_says_nearly_the_same(folder: Path) -> None:
    network = load_network(folder)
    whole = to_onnx(network)
    small = quantized(whole)
    assert small != whole
    session = onnxruntime.InferenceSession(small, providers=["CPUExecutionProvider"])
    pieces = WordPiece.from_bytes((folder / "vocab.txt").read_bytes())
    texts = ["apple", "a milk without lactose", "the quick brown fox"]
    got = np.concatenate([session.run([OUTPUT], {INPUT: np.array([pieces.numbers(text, 128)])})[0] for text in texts])
    cosines = parity(network, pieces, texts, got)
    assert cosines.min() > 0.97 and cosines.max() < 0.9999999


def test_no_path_of_this_machine_is_in_the_file(folder: Path) -> None:
    assert b"text_network" not in to_onnx(load_network(folder)) and b"/work" not in to_onnx(load_network(folder))


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "vocab.txt"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    (write_encoder(tmp_path / "model") / name).unlink()
    with pytest.raises(InputError, match=name):
        load_network(tmp_path / "model")


@pytest.mark.parametrize(
    "config", [{"model_type": "gpt2"}, {"hidden_act": "relu"}, {"hidden_size": 32}, {"num_hidden_layers": 3}], ids=str
)
def test_another_network_is_refused(tmp_path: Path, config: dict[str, object]) -> None:
    with pytest.raises(InputError, match="BERT"):
        load_network(write_encoder(tmp_path / "model", **config))


@pytest.mark.parametrize("data", [b"", b"{", json.dumps({"model_type": "bert", "hidden_act": "gelu"}).encode()])
def test_a_damaged_config_is_refused(tmp_path: Path, data: bytes) -> None:
    (write_encoder(tmp_path / "model") / "config.json").write_bytes(data)
    with pytest.raises(InputError, match="text weights"):
        load_network(tmp_path / "model")
