"""A sheet of rendered frames with the regions that the device proposes drawn on them, to be looked at."""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageDraw

from sightline_bench.crops.scenes import FRAME
from sightline_bench.crops.sets import samples_set
from sightline_edge.crops import propose
from sightline_edge.frame import open_picture

COLUMNS, ROWS = 4, 3
COLOURS = ("red", "orange", "yellow", "white")


def write_sheet(path: Path, seed: int = 0) -> None:
    """Write frames of rendered samples, two kinds in turn, with up to four boxes: red the first, white the last."""
    kinds = samples_set(COLUMNS * ROWS, seed).kinds
    chosen = (kinds["three things"], kinds["one small thing"])
    sheet = Image.new("RGB", (COLUMNS * FRAME[0] // 2, ROWS * FRAME[1] // 2))
    for number in range(COLUMNS * ROWS):
        picture = open_picture(chosen[number % 2][number]().image)
        pen = ImageDraw.Draw(picture.image)
        boxes = propose(picture, len(COLOURS))
        for box, colour in zip(boxes, COLOURS, strict=False):
            pen.rectangle((box.left, box.top, box.right - 1, box.bottom - 1), outline=colour, width=4)
        small = picture.image.resize((FRAME[0] // 2, FRAME[1] // 2), Image.Resampling.BILINEAR)
        sheet.paste(small, (number % COLUMNS * small.width, number // COLUMNS * small.height))
    sheet.save(path, quality=88)
