"""The .ort file: the same embeddings, and a config that names every operator in it."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from support.tiny_bundle import SIZE, network, picture

from sightline_edge.runtimes.ort import OrtRuntime
from sightline_export import convert_ort
from sightline_export.convert_ort import CONFIG, OrtFile, to_ort, write_ort
from sightline_shared.errors import GoldenMismatch, RuntimeFailed
from sightline_shared.preprocess import to_tensor


@pytest.fixture
def probe() -> np.ndarray:
    return np.stack([to_tensor(picture(seed), SIZE) for seed in range(3)])


def test_the_device_runtime_loads_it_and_embeds_the_same(probe: np.ndarray, tmp_path: Path) -> None:
    made = write_ort(network(), probe, tmp_path)
    assert made.model[4:8] == b"ORTM"
    device = OrtRuntime((tmp_path / "student.int8.ort").read_bytes())
    assert np.abs(device.embed(probe) - OrtRuntime(network()).embed(probe)).max() < 1e-5
    assert (tmp_path / CONFIG).read_text() == made.config


def test_the_config_names_the_operators_and_no_paths(probe: np.ndarray) -> None:
    before = list(logging.getLogger().handlers)
    made = to_ort(network(), probe)
    assert {"MatMul", "AveragePool", "ReduceL2"} <= set(made.operators["ai.onnx"])
    assert "/" not in made.config and "#" not in made.config
    assert logging.getLogger().handlers == before


def test_an_operator_list_is_read_with_its_types() -> None:
    config = (
        'ai.onnx;13;Clip{"inputs": {"0": ["float", "int8_t"]}},Concat\ncom.microsoft;1;QGemm,QLinearConv{"a": {}}\n'
    )
    assert OrtFile(b"", config).operators == {"ai.onnx": ["Clip", "Concat"], "com.microsoft": ["QGemm", "QLinearConv"]}


def test_what_is_no_model_and_what_embeds_otherwise_is_refused(
    probe: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RuntimeFailed):
        to_ort(b"not a model", probe)
    convert = convert_ort._convert

    def sabotaged(source: Path, made: Path) -> None:
        source.write_bytes(network(seed=1))
        convert(source, made)

    monkeypatch.setattr(convert_ort, "_convert", sabotaged)
    with pytest.raises(GoldenMismatch, match="gap"):
        to_ort(network(), probe)
