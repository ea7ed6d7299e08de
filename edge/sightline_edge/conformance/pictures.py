"""Vectors of the pixel steps, and of the frame's quality."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sightline_edge import quality
from sightline_edge.conformance.document import Document, Vector, base64_of, noise
from sightline_edge.conformance.scores import gate_of
from sightline_edge.gate import Gate
from sightline_shared.bundle import Bundle
from sightline_shared.preprocess import luma, to_tensor

# name, width, height, size of the tensor
SHAPES = (
    ("as it is", 16, 16, 16),
    ("one pixel", 1, 1, 16),
    ("much smaller", 5, 6, 16),
    ("odd, a little larger", 31, 27, 16),
    ("blocks of 2, nothing to resize", 32, 32, 16),
    ("blocks of 2, cut at both edges", 43, 39, 16),
    ("blocks of 3, cut at both edges", 61, 53, 16),
    ("blocks of 7, cut", 151, 120, 16),
    ("blocks of 4, size not a power of two", 112, 97, 24),
    ("4:3, nothing to crop", 40, 30, 16),
    ("portrait crop, an odd rest", 21, 58, 16),
    ("portrait crop and blocks", 50, 120, 16),
    ("landscape crop, rounded up", 60, 20, 16),
    ("landscape crop, rounded down", 61, 22, 16),
    ("a strip one pixel high", 40, 1, 16),
    ("one side longer, one shorter than the size", 20, 15, 18),
)


def pixels(bundle: Bundle) -> Document:
    """Return pictures and their tensors, which must be equal bit for bit."""
    vectors = [_vector(name, seeded(name, width, height), size) for name, width, height, size in SHAPES]
    vectors += [
        _vector("black and white pixels", (seeded("extremes", 37, 33) > 127).astype(np.uint8) * 255, 16),
        _vector("white", np.full((50, 37, 3), 255, np.uint8), 16),
        _vector("a ramp", _ramp(90, 70), 16),
    ]
    size = bundle.manifest.input_size
    vectors += [_vector(f"golden-{i}", picture, size) for i, picture in enumerate(golden_pictures(bundle))]
    return Document(
        "pixels", "rgb (width x height x 3 levels, row by row) -> tensor (size x size x 3), steps 2 to 5", vectors
    )


def qualities(bundle: Bundle) -> Document:
    """Return tensors with their sharpness and brightness, and what is wrong with the frame by the thresholds given."""
    ramp, rough = to_tensor(Image.fromarray(_ramp(90, 70)), 16), seeded("rough", 16, 16)
    tensors = {
        "flat black": np.zeros((16, 16, 3), np.uint8),
        "flat white": np.full((16, 16, 3), 255, np.uint8),
        "a ramp": ramp,
        "noise": rough,
        "dim noise": rough // 16,
        "bright noise": 240 + rough // 16,
        "red, green and blue stripes": np.tile(np.eye(3, dtype=np.uint8) * 255, (16, 6, 1))[:, :16],
        "noise in the outermost ring alone": _ring(rough),
        "a single bright pixel": _dot(),
    }
    small = gate_of("cosine", min_sharpness=30.0, min_brightness=20.0, max_brightness=235.0)
    own = Gate.from_bytes(bundle.role("gate"))
    vectors = [_quality(name, tensor, small) for name, tensor in tensors.items()]
    vectors += [_quality(f"golden-{i}", tensor, own) for i, tensor in enumerate(bundle.golden.tensors)]
    return Document("quality", "tensor -> sharpness, brightness, and the problem by these thresholds", vectors, 1e-4)


def golden_pictures(bundle: Bundle) -> list[NDArray[np.uint8]]:
    """Return the bundle's golden sources as `(h, w, 3) uint8`."""
    return [np.asarray(Image.open(io.BytesIO(source)).convert("RGB")) for source in bundle.golden.sources]


def seeded(label: str, width: int, height: int) -> NDArray[np.uint8]:
    """Return a picture of noise `(height, width, 3) uint8`: every rounding step shows in it."""
    return noise(f"picture {label}", width * height * 3).reshape(height, width, 3)


def _vector(name: str, picture: NDArray[np.uint8], size: int) -> Vector:
    height, width, _ = picture.shape
    tensor = to_tensor(Image.fromarray(picture), size)
    return {
        "name": name,
        "width": width,
        "height": height,
        "size": size,
        "rgb_base64": base64_of(picture),
        "tensor_base64": base64_of(tensor),
    }


def _quality(name: str, tensor: NDArray[np.uint8], gate: Gate) -> Vector:
    seen = quality.measure(luma(tensor))
    return {
        "name": name,
        "size": len(tensor),
        "tensor_base64": base64_of(tensor),
        "min_sharpness": gate.min_sharpness,
        "min_brightness": gate.min_brightness,
        "max_brightness": gate.max_brightness,
        "sharpness": seen.sharpness,
        "brightness": seen.brightness,
        "problem": quality.problem(seen, gate),
    }


def _ramp(width: int, height: int) -> NDArray[np.uint8]:
    across, down = np.meshgrid(np.arange(width), np.arange(height))
    return np.stack([across * 255 // (width - 1), down * 255 // (height - 1), (across + down) % 256], axis=2).astype(
        np.uint8
    )


def _ring(rough: NDArray[np.uint8]) -> NDArray[np.uint8]:
    ring = rough.copy()
    ring[1:-1, 1:-1] = 128
    return ring


def _dot() -> NDArray[np.uint8]:
    dot = np.full((16, 16, 3), 100, np.uint8)
    dot[4, 9] = 255
    return dot
