"""Other colours for the sensitive head: the subject stays, the colours and grey go."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from sightline_export.data import Photo, PhotoSet
from sightline_export.heads import recoloured


def test_the_rows_become_grey_or_swap_their_channels_and_the_others_stay() -> None:
    photo = Photo(Path("a.png"), "s", "sensitive", "sensitive", "scan", "scan", "", labelled=False)
    images = [Image.new("RGB", (4, 4), (200, 40, 90)) for _ in range(60)]
    photos = PhotoSet([photo] * 60, images, np.zeros((60, 1, 1, 3), np.uint8), ["d"] * 60)
    changed = recoloured(photos, np.arange(1, 60), np.random.default_rng(0))
    colours = [tuple(np.asarray(image)[0, 0].tolist()) for image in changed.images]
    assert colours[0] == (200, 40, 90) and photos.images[5].getpixel((0, 0)) == (200, 40, 90)
    grey = [colour for colour in colours if len(set(colour)) == 1]
    assert 15 < len(grey) < 45
    assert {tuple(sorted(colour)) for colour in colours if colour not in grey} == {(40, 90, 200)}
    again = recoloured(photos, np.arange(1, 60), np.random.default_rng(0))
    assert [image.getpixel((0, 0)) for image in again.images] == colours
