"""The golden pictures: small ones, and one frame that goes through every step of the pixel specification."""

import io

import numpy as np
from PIL import Image

from sightline_export.data import PhotoSet
from sightline_export.golden_pictures import COUNT, golden_sources


def test_the_last_drawn_picture_is_a_large_frame() -> None:
    nothing = PhotoSet([], [], np.empty((0, 192, 192, 3), np.uint8), [])
    sources = golden_sources(nothing, "", seed=1)
    sizes = [Image.open(io.BytesIO(source)).size for source in sources]
    assert len(sizes) == COUNT and all(min(size) < 2 * 192 for size in sizes[:-1])
    width, height = sizes[-1]
    block = width // 192
    # Cropped, averaged by blocks that are no power of two, and cut off at an edge.
    assert height > width * 4 / 3 and block == 3 and width % block
    assert max(map(len, sources)) < 200_000
