"""A bundle with a TFLite student beside the ONNX one: the small network whose files lie in `tflite/` (see make.py)."""

from pathlib import Path

import numpy as np

from sightline_edge.gate import Gate
from sightline_edge.ood import OodScore
from sightline_shared.bundle import Bundle, write_bundle
from sightline_shared.golden import Golden
from sightline_shared.manifest import FileEntry, Manifest
from sightline_shared.preprocess import SPEC_ID, to_tensor
from support.tiny_bundle import OPEN_GATE, _png, embed, picture, tiny_codec

FILES = Path(__file__).parent / "tflite"
SIZE, DIM = 64, 256
# What the static file reaches on these pictures is .994: the manifest asks for a little less.
TOLERANCE = 0.98


def small_file(kind: str) -> bytes:
    """The small network: "onnx", or a TFLite kind (fp32, static, dynamic, weights)."""
    return (FILES / (f"small.{kind}.tflite" if kind != "onnx" else "small.onnx")).read_bytes()


def make_small_bundle(
    directory: Path, tflite: bytes | None, *, tolerances: dict[str, float] | None = None, golden: int = 6
) -> Bundle:
    """Write and open the bundle with `tflite` as its TFLite student, or with none."""
    model = small_file("onnx")
    pictures = [picture(10_000 + i) for i in range(300)]
    tensors = np.stack([to_tensor(image, SIZE) for image in pictures])
    vectors = embed(model, tensors)
    codec = tiny_codec(vectors)
    sources = tuple(_png(image) for image in pictures[:golden])
    gate = Gate(
        OodScore("cosine", vectors[:64], np.zeros(64, np.float32)),
        **{**OPEN_GATE, "sure_above": 0.0, "min_brightness": 15.0, "max_brightness": 245.0},
    )
    files = {
        "student.onnx": model,
        "codec.msgpack": codec.to_bytes(),
        "gate.msgpack": gate.to_bytes(),
        "golden.msgpack": Golden(
            sources, tensors[:golden], vectors[:golden], codec.encode(vectors[:golden])
        ).to_bytes(),
    }
    roles = {name.partition(".")[0]: name for name in files}
    if tflite is not None:
        files["student.int8.tflite"] = tflite
        roles["student.tflite"] = "student.int8.tflite"
    manifest = Manifest(
        name="small",
        version="1",
        created="2026-01-01",
        space="small-7",
        pixel_spec=SPEC_ID,
        input_size=SIZE,
        dim=DIM,
        roles=roles,
        files={name: FileEntry.of(data) for name, data in files.items()},
        decision={"found_min_score": 0.6, "not_found_max_score": 0.3},
        golden_min_cosine=0.999,
        golden_min_cosines={"student.tflite": TOLERANCE} if tolerances is None else tolerances,
        notice="made by the tests",
    )
    return write_bundle(directory, manifest, files)
