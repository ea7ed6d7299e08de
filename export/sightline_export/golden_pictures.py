"""The bundle's golden pictures: drawn here, or taken from a source that the recipe says may be shown."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageOps

from sightline_export.convert_onnx import open_session, run_rows
from sightline_export.data import PhotoSet
from sightline_shared.codec import Codec
from sightline_shared.golden import Golden
from sightline_shared.preprocess import load_image, to_tensor

COUNT = 8
SIDE = 224
# The last one is a frame that every step of the pixel specification changes, for an input of 96 to 192 pixels a side: too
# tall, and with blocks that its edges cut off. Its colours are coarse, so that the file stays small.
LARGE = (583, 811)


def golden_sources(photos: PhotoSet, source: str, seed: int) -> tuple[bytes, ...]:
    """Return eight PNG files, the last one large: from the source named, spread over it, or drawn when `source` is ""."""
    rows = photos.where(source=source) if source else np.empty(0, dtype=np.int64)
    if len(rows) < COUNT:
        pictures = [draw_picture(seed * 100 + index) for index in range(COUNT)]
    else:
        chosen = rows[np.linspace(0, len(rows) - 1, COUNT).astype(int)]
        pictures = [_fit(photos.images[index]) for index in chosen]
    return tuple(png(picture) for picture in [*pictures[:-1], _large(pictures[-1])])


def make_golden(sources: tuple[bytes, ...], model: bytes, codec: Codec, size: int) -> Golden:
    """Return tensors, embeddings and codes of the PNG `sources`, computed by the shipped model and codec."""
    tensors = np.stack([to_tensor(load_image(data), size) for data in sources])
    embeddings = run_rows(open_session(model, threads=1), tensors)
    return Golden(sources, tensors, embeddings, codec.encode(embeddings))


def draw_picture(seed: int) -> Image.Image:
    """Draw shapes over a gradient: flat and busy areas, hard and soft edges, an uneven side ratio."""
    rng = np.random.default_rng(seed)
    width, height = SIDE + 16 * (seed % 4), SIDE + 8 * (seed % 3)
    ends = rng.integers(0, 256, (2, 3)).astype(np.float64)
    ramp = np.linspace(0, 1, width)[None, :, None]
    pixels = np.broadcast_to(ends[0] * (1 - ramp) + ends[1] * ramp, (height, width, 3))
    image = Image.fromarray(pixels.astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for turn in range(10):
        left, top = (int(value) for value in rng.integers(0, min(width, height) - 40, 2))
        box = (left, top, left + int(rng.integers(16, 90)), top + int(rng.integers(16, 90)))
        fill = tuple(int(value) for value in rng.integers(0, 256, 3))
        (draw.ellipse if turn % 2 else draw.rectangle)(box, fill=fill)
    if seed % 2:
        image = image.filter(ImageFilter.GaussianBlur(0.8))
    return image


def png(image: Image.Image) -> bytes:
    """Return the PNG file of an RGB image."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _fit(image: Image.Image) -> Image.Image:
    """Return a copy whose short side is SIDE."""
    scale = SIDE / min(image.size)
    return image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BILINEAR)


def _large(image: Image.Image) -> Image.Image:
    """Return a copy of LARGE pixels in steps of 8 levels."""
    return ImageOps.posterize(image.resize(LARGE, Image.Resampling.BILINEAR), 5)
