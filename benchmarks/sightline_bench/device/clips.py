"""The packs' video clips, frame by frame."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sightline_shared.errors import ExtraMissing, InputError


def frames(clip: Path, *, every: int = 1) -> Iterator[NDArray[np.uint8]]:
    """Yield each `every`-th frame of a clip, `(h, w, 3) uint8` RGB; raises ExtraMissing without PyAV, InputError."""
    try:
        import av
    except ImportError as error:
        raise ExtraMissing("reading video: expected the package av.", hint="pip install 'sightline[bench]'") from error
    try:
        with av.open(str(clip)) as container:
            for number, frame in enumerate(container.decode(video=0)):
                if number % every == 0:
                    yield np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
    except (av.FFmpegError, OSError) as error:
        raise InputError(f"{clip}: expected a video, got {error}.") from error
