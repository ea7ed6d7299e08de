"""The best frame of a burst: the first that is steady and sharp, or the best there was when none is.

    with Camera() as camera:
        shot = best_of(camera, client.device)
        answer = client.search(shot.frame)

Each frame is judged like a single one (`quality`), and for motion against the frame before it. While none is good, the
reason says what the user can do about it: "hold still", "too dark", "too bright". Only the best frame so far is kept.
"""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import AsyncIterable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sightline_edge import quality
from sightline_edge.device import Device
from sightline_edge.quality import Quality
from sightline_shared.budget import Budget, Clock
from sightline_shared.errors import ConfigInvalid, InputError
from sightline_shared.preprocess import Frame, load_image, luma, to_tensor

MAX_FRAMES = 12
MAX_MS = 800.0
# Up to this motion from one frame to the next a hand holds still: 2 of the model's 192 pixels.
MAX_MOTION = 0.01
# A frame is sharp when it has this share of the sharpness of the sharpest so far; less is a lens that hunts.
SHARP_SHARE = 0.7

# Motion is measured on luma averaged over squares of this many pixels of the model's input: noise cancels out.
CELL = 4


@dataclass(frozen=True, eq=False)
class Shot:
    """One frame of a burst, counted from 0, and what was seen in it.

    `motion` is about how far the picture moved since the frame before, as a share of its side; None for the first.
    `fault` is why the pipeline would turn the frame away, `reason` also says that it moves or is not the sharpest; both
    are None for a good frame.
    """

    frame: Frame
    index: int
    quality: Quality
    motion: float | None
    fault: str | None
    reason: str | None


class Burst:
    """The frames of one moment, given one by one with `add` until `done`; for one stream, not for several threads."""

    def __init__(
        self,
        device: Device,
        *,
        max_frames: int = MAX_FRAMES,
        max_ms: float = MAX_MS,
        clock: Clock = time.perf_counter,
    ) -> None:
        """Raises ConfigInvalid for limits that let no frame through."""
        if max_frames < 1 or not max_ms > 0:
            raise ConfigInvalid(f"burst: expected 1 frame and 1 ms or more, got {max_frames} frames, {max_ms} ms.")
        self._device = device
        self._max_frames = max_frames
        self._budget = Budget(max_ms, clock=clock)
        self._count = 0
        self._before: NDArray[np.float32] | None = None
        self._sharpest = 0.0
        self._best: Shot | None = None

    @property
    def done(self) -> bool:
        """Whether a good frame has come, or as many frames or milliseconds as were allowed."""
        found = self._best is not None and self._best.reason is None
        return found or self._count >= self._max_frames or self._budget.exhausted

    def add(self, frame: Frame) -> Shot:
        """Look at the next frame; raises InputError when it is not a picture."""
        tensor = to_tensor(load_image(frame), self._device.bundle.manifest.input_size)
        light = luma(tensor)
        seen, cells = quality.measure(light), luma_cells(light)
        moved = None if self._before is None else motion(self._before, cells)
        fault = quality.problem(seen, self._device.gate)
        self._sharpest = max(self._sharpest, seen.sharpness)
        still = moved is not None and moved <= MAX_MOTION and seen.sharpness >= SHARP_SHARE * self._sharpest
        shot = Shot(frame, self._count, seen, moved, fault, fault or (None if still else quality.HOLD_STILL))
        if self._best is None or _merit(shot) > _merit(self._best):
            self._best = shot
        self._before = cells
        self._count += 1
        return shot

    def best(self) -> Shot:
        """Return the best frame so far; raises InputError when there was none.

        It has a reason when no frame was good. Of a lone frame, which may be a photograph, no stillness is asked.
        """
        if self._best is None:
            raise InputError("burst: expected at least one frame within the limits, got none.")
        return dataclasses.replace(self._best, reason=self._best.fault) if self._count == 1 else self._best


def best_of(frames: Iterable[Frame], device: Device, *, max_frames: int = MAX_FRAMES, max_ms: float = MAX_MS) -> Shot:
    """Return the best of `frames`, taking no more of them than it needs; `Shot.reason` is None when it is good.

    The time is looked at between frames: it cannot end an iterator's own waiting. Raises InputError when no frame
    comes or one is not a picture.
    """
    burst = Burst(device, max_frames=max_frames, max_ms=max_ms)
    for frame in frames:
        burst.add(frame)
        if burst.done:
            break
    return burst.best()


async def best_of_stream(
    frames: AsyncIterable[Frame], device: Device, *, max_frames: int = MAX_FRAMES, max_ms: float = MAX_MS
) -> Shot:
    """Return the best of an asynchronous stream, as `best_of` does; a stream that stalls is left after `max_ms`."""
    burst = Burst(device, max_frames=max_frames, max_ms=max_ms)
    try:
        async with asyncio.timeout(max_ms / 1000) as limit:
            async for frame in frames:
                await asyncio.to_thread(burst.add, frame)
                if burst.done:
                    break
    except TimeoutError:
        if not limit.expired():  # the stream's own
            raise
    return burst.best()


def luma_cells(light: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the luma plane of the model's input `(s, s) float32`, averaged over CELL x CELL: `(s/4, s/4) float32`."""
    whole = len(light) // CELL * CELL
    squares = light[:whole, :whole].reshape(whole // CELL, CELL, whole // CELL, CELL)
    return np.asarray(squares.mean(axis=(1, 3)), np.float32)


def motion(before: NDArray[np.float32], after: NDArray[np.float32]) -> float:
    """Return about how far the picture moved between two `(n, n)` luma thumbnails, as a share of its side.

    A picture that moves by a small d changes by about d times its slope, so the mean change over the mean slope tells d.
    A change of the light as a whole is taken out first. Motion of many cells is underestimated, but stays large.
    """
    change = after - before
    down, across = np.gradient((before + after) / 2)
    slope = max(float(np.hypot(down, across).mean()), 1.0)  # a blank wall: noise is not motion
    return float(np.abs(change - change.mean()).mean()) / slope / len(before)


def _merit(shot: Shot) -> tuple[bool, bool, float]:
    return shot.reason is None, shot.fault is None, shot.quality.sharpness
