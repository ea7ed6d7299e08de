"""A tiny real text tower: an ONNX network that averages an embedding a word piece, with a vocabulary of a few words."""

from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from sightline_shared.bundle import Bundle
from sightline_shared.tower import INPUT, OUTPUT, Projection, TowerFiles, write_tower

WIDTH = 16
MARKS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
WORDS = (
    "red",
    "green",
    "milk",
    "without",
    "lactose",
    "scarlet",
    "free",
    "juice",
    "the",
    "one",
    "##s",
    "-",
    "this",
    "in",
)
PIECES = (*MARKS, *WORDS)


def vectors(seed: int = 0) -> np.ndarray:
    """A unit vector a piece; "scarlet" means nearly what "red" does, and marks mean nothing."""
    rows = np.random.default_rng(seed).normal(size=(len(PIECES), WIDTH)).astype(np.float32)
    rows[PIECES.index("scarlet")] = rows[PIECES.index("red")] + 0.1 * rows[PIECES.index("scarlet")]
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    rows[: len(MARKS)] *= 0.01
    return rows


def encoder(seed: int = 0, *, unit: bool = True) -> bytes:
    """Word pieces `(1, n) int64` -> the mean of their vectors, of unit length unless not `unit`."""
    node = helper.make_node
    nodes = [
        node("Gather", ["table", INPUT], ["rows"]),
        node("ReduceMean", ["rows", "axis"], ["mean"], keepdims=0),
        node("ReduceL2", ["mean", "last"], ["length"], keepdims=1),
        node("Div", ["mean", "length"] if unit else ["mean", "two"], [OUTPUT]),
    ]
    constants = {
        "table": vectors(seed),
        "axis": np.array([1], np.int64),
        "last": np.array([1], np.int64),
        "two": np.array(2, np.float32),
    }
    graph = helper.make_graph(
        nodes,
        "tower",
        [helper.make_tensor_value_info(INPUT, TensorProto.INT64, [1, "length"])],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, [1, WIDTH])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return model.SerializeToString()


def make_tiny_tower(
    folder: Path, bundle: Bundle, *, pairing_id: bytes | None = None, network: bytes | None = None
) -> TowerFiles:
    """Write and open a tiny tower for `bundle`."""
    dim = bundle.codec.dim
    weight = np.random.default_rng(1).normal(size=(dim, WIDTH)).astype(np.float32)
    return write_tower(
        folder,
        name="tiny tower",
        pairing_id=pairing_id or bundle.pairing.id,
        label=bundle.label,
        encoder=network or encoder(),
        vocabulary="\n".join(PIECES).encode() + b"\n",
        projection=Projection(weight, np.zeros(dim, np.float32)),
        metrics={"decay": 0.1},
    )
