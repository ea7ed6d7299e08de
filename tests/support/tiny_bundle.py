"""A tiny real bundle: a real ONNX network that runs in a millisecond, with codec, gate and golden vectors.

The network averages the picture over a grid and projects the colours at random: pictures that look alike in colour and
layout get close embeddings, which is all that tests of the path need.
"""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from sightline_edge.gate import Gate
from sightline_edge.ood import OodScore
from sightline_shared.bundle import Bundle, write_bundle
from sightline_shared.codec import Codec
from sightline_shared.golden import Golden
from sightline_shared.heads import Heads, Semantic, Sensitive
from sightline_shared.manifest import FileEntry, Manifest
from sightline_shared.preprocess import SPEC_ID, to_tensor

SIZE, DIM, CELLS = 192, 256, 8
# The picture that the head of a bundle with one takes for a sensitive subject.
SENSITIVE = 666
OPEN_GATE = {"reject_below": -1.0, "min_sharpness": 2.0}


def picture(seed: int, size: tuple[int, int] = (240, 180), view: int = 0) -> Image.Image:
    """A colourful picture by `seed`; another `view` of the same seed looks much like it."""
    rng = np.random.default_rng(seed)
    cells = rng.integers(0, 256, (6, 8, 3)).astype(np.float64)
    cells += np.random.default_rng((seed, view)).normal(0, 12 if view else 0, cells.shape)
    image = Image.fromarray(cells.clip(0, 255).astype(np.uint8)).resize(size, Image.Resampling.NEAREST)
    return image


def jpeg(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


def network(seed: int = 0) -> bytes:
    """uint8 NHWC pixels -> grid of mean colours -> random projection -> unit length."""
    weights = np.random.default_rng(seed).normal(size=(CELLS * CELLS * 3, DIM)).astype(np.float32)
    constants = {
        "weights": weights,
        "half": np.float32(127.5),
        "flat": np.array([-1, CELLS * CELLS * 3], np.int64),
        "axes": np.array([1], np.int64),
        "tiny": np.float32(1e-9),
    }
    node = helper.make_node
    nodes = [
        node("Cast", ["pixels"], ["floats"], to=TensorProto.FLOAT),
        node("Transpose", ["floats"], ["planes"], perm=[0, 3, 1, 2]),
        node("Sub", ["planes", "half"], ["centred"]),
        node("AveragePool", ["centred"], ["cells"], kernel_shape=[SIZE // CELLS] * 2, strides=[SIZE // CELLS] * 2),
        node("Reshape", ["cells", "flat"], ["row"]),
        node("MatMul", ["row", "weights"], ["projected"]),
        node("ReduceL2", ["projected", "axes"], ["length"], keepdims=1),
        node("Add", ["length", "tiny"], ["safe"]),
        node("Div", ["projected", "safe"], ["embedding"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["n", SIZE, SIZE, 3])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["n", DIM])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def embed(model: bytes, tensors: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return session.run(["embedding"], {"pixels": tensors})[0]


def tiny_codec(vectors: np.ndarray, code_size: int = 64, seed: int = 0) -> Codec:
    """A codec whose centroids are drawn from the vectors themselves: coarse, and real."""
    rng = np.random.default_rng(seed)
    rotation = np.linalg.qr(rng.normal(size=(DIM, DIM)))[0].astype(np.float32)
    mean = vectors.mean(axis=0)
    rotated = ((vectors - mean) @ rotation.T).reshape(len(vectors), code_size, -1)
    rows = np.stack([rng.choice(len(vectors), 256, replace=False) for _ in range(code_size)])
    codebooks = np.stack([rotated[rows[i], i] for i in range(code_size)]).astype(np.float32)
    return Codec(mean, rotation, np.ascontiguousarray(codebooks))


def make_tiny_bundle(
    directory: Path,
    *,
    seed: int = 0,
    decision: dict[str, float] | None = None,
    train: Callable[[np.ndarray], Codec] | None = None,
    sensitive: bool = False,
    **gate: float,
) -> Bundle:
    """Write and open a tiny bundle; `gate` overrides thresholds, other seeds give other embedding spaces.

    `train` makes the codec from the embeddings `(n, d)` of some pictures, in place of `tiny_codec`. `sensitive` adds heads of
    which one takes SENSITIVE for a sensitive subject, and the figures of an export that found it good.
    """
    model = network(seed)
    pictures = [picture(10_000 + i) for i in range(400)]
    vectors = embed(model, np.stack([to_tensor(image, SIZE) for image in pictures]))
    codec = train(vectors) if train else tiny_codec(vectors, seed=seed)
    thresholds = {**OPEN_GATE, "sure_above": 0.0, "min_brightness": 15.0, "max_brightness": 245.0, **gate}
    prototypes = vectors[:64] / np.linalg.norm(vectors[:64], axis=1, keepdims=True)
    sources = tuple(_png(image) for image in pictures[:3])
    tensors = np.stack([to_tensor(image, SIZE) for image in pictures[:3]])
    golden = Golden(sources, tensors, embed(model, tensors), codec.encode(embed(model, tensors)))
    files = {
        "student.onnx": model,
        "codec.msgpack": codec.to_bytes(),
        "gate.msgpack": Gate(OodScore("cosine", prototypes, np.zeros(64, np.float32)), **thresholds).to_bytes(),
        "golden.msgpack": golden.to_bytes(),
    }
    if sensitive:
        files["heads.msgpack"] = tiny_heads(embed(model, to_tensor(picture(SENSITIVE), SIZE)[np.newaxis])[0]).to_bytes()
    manifest = Manifest(
        name="tiny",
        version="1",
        created="2026-01-01",
        space=f"tiny-{seed}",
        pixel_spec=SPEC_ID,
        input_size=SIZE,
        dim=DIM,
        roles={name.partition(".")[0]: name for name in files},
        files={name: FileEntry.of(data) for name, data in files.items()},
        decision=decision or {"found_min_score": 0.6, "not_found_max_score": 0.3},
        golden_min_cosine=0.99,
        metrics={"sensitive.missed.all": {"value": 0.0, "interval": [0.0, 0.01], "n": 368}} if sensitive else {},
        notice="made by the tests",
    )
    return write_bundle(directory, manifest, files)


def tiny_heads(subject: np.ndarray, *, unsure_above: float = 0.5, sensitive_above: float = 0.95) -> Heads:
    """Heads of which the sensitive one scores 0.5 at a cosine of 0.75 to `subject` `(d,)`, and 0.95 at 0.85."""
    nothing = Semantic(("thing",), np.zeros((1, DIM), np.float32), np.zeros(1, np.float32))
    return Heads(nothing, Sensitive(("rash",), (30 * subject).astype(np.float32), -22.5, unsure_above, sensitive_above))


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
