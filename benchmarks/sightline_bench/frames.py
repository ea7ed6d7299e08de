"""What the frame's quality check and the burst do with good frames and with the same frames spoilt.

A frame is spoilt at the model's size, so that a blur of so many pixels means the same for every picture: out of focus
(Gaussian), smeared by a hand (straight motion), short of light, or flooded with it. A burst is a camera that pans over a
photograph, each frame smeared by half of its motion (a shutter open half of the time), and settles or does not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from sightline_bench.samples.camera import motion
from sightline_edge import quality
from sightline_edge.burst import MAX_MOTION, best_of
from sightline_edge.device import Device
from sightline_export.evaluate import mean_figure
from sightline_shared.preprocess import Frame, load_image, luma, to_tensor

Pixels = NDArray[np.uint8]
Spoil = Callable[[Image.Image, np.random.Generator], Image.Image]

# A spoilt frame whose embedding keeps this cosine to the good one's is still worth asking about; less is bad.
STILL_GOOD = 0.8
# Pan from frame to frame, as shares of the frame's side, and a slight tremor that every hand has.
SETTLING = (0.08, 0.06, 0.05, 0.03, 0.02, 0.008, 0.004, 0.003, 0.003, 0.003)
RESTLESS = (0.05, 0.06, 0.04, 0.05, 0.03, 0.05, 0.06, 0.04, 0.05, 0.06)
VIEW_SHARE, VIEW_PIXELS = 0.6, 384
NOISE_LEVELS = 3.0


def focus(pixels: float) -> Spoil:
    return lambda image, rng: image.filter(ImageFilter.GaussianBlur(pixels))


def smear(pixels: float) -> Spoil:
    return lambda image, rng: motion(image, pixels, float(rng.uniform(0, np.pi)))


def light(gain: float) -> Spoil:
    return lambda image, rng: image.point([min(255, round(level * gain)) for level in range(256)] * 3)


SPOILT: dict[str, Spoil] = {
    "as it is": lambda image, rng: image,
    **{f"out of focus, {pixels} px": focus(pixels) for pixels in (1, 2, 4)},
    **{f"smeared, {pixels} px": smear(pixels) for pixels in (4, 8, 16)},
    **{f"{gain:.0%} of the light": light(gain) for gain in (0.12, 0.06)},
    **{f"{gain} times the light": light(gain) for gain in (3, 8)},
}


def quality_table(
    groups: Mapping[str, Sequence[Frame]], device: Device, progress: Callable[[], None]
) -> dict[str, Any]:
    """Return group -> way of spoiling -> share turned away, mean cosine to the good frame, and both errors.

    "good turned away" is the share of frames that are still good and are turned away, "bad let through" the share that
    are bad and pass, of all the group's frames spoilt so.
    """
    size = device.bundle.manifest.input_size
    table: dict[str, Any] = {}
    for group, frames in groups.items():
        rng = np.random.default_rng(0)
        rows: dict[str, list[tuple[bool, float]]] = {name: [] for name in SPOILT}
        for frame in frames:
            upright = Image.fromarray(to_tensor(load_image(frame), size))
            good = device.runtime.embed(np.asarray(upright)[np.newaxis])[0]
            for name, spoil in SPOILT.items():
                pixels = np.asarray(spoil(upright, rng), np.uint8)
                kept = float(device.runtime.embed(pixels[np.newaxis])[0] @ good)
                fault = quality.problem(quality.measure(luma(pixels)), device.gate)
                rows[name].append((fault is not None, kept))
            progress()
        table[group] = {name: _errors(seen) for name, seen in rows.items()}
    return table


def _errors(seen: Sequence[tuple[bool, float]]) -> dict[str, Any]:
    away, kept = (np.array(column) for column in zip(*seen, strict=True))
    bad = kept < STILL_GOOD
    return {
        "turned away": mean_figure(away.astype(np.float64)).to_dict(),
        "cosine": mean_figure(kept.astype(np.float64)).to_dict(),
        "good turned away": mean_figure((away & ~bad).astype(np.float64)).to_dict(),
        "bad let through": mean_figure((~away & bad).astype(np.float64)).to_dict(),
    }


def burst_table(frames: Sequence[Frame], device: Device, progress: Callable[[], None]) -> dict[str, Any]:
    """Return for a hand that settles and one that does not: what the burst picks, against its first frame.

    A cosine is that of the frame's embedding to that of the same view without smear and noise.
    """
    table: dict[str, Any] = {}
    for name, steps in (("settles", SETTLING), ("restless", RESTLESS)):
        rows = []
        for number, frame in enumerate(frames):
            views = list(pan(load_image(frame), steps, np.random.default_rng(number)))
            shot = best_of([seen for seen, _ in views], device, max_ms=60_000)
            cosines = [_cosine(*views[index], device) for index in (0, shot.index)]
            rows.append((shot.reason is None, steps[shot.index] <= MAX_MOTION, shot.index, *cosines))
            progress()
        called, still, index, first, picked = np.array(rows, np.float64).T
        table[name] = {
            "called good": mean_figure(called).to_dict(),
            "called good and steady": mean_figure(called * still).to_dict(),
            "frames looked at": mean_figure(index + 1).to_dict(),
            "cosine of the first": mean_figure(first).to_dict(),
            "cosine of the picked": mean_figure(picked).to_dict(),
        }
    return table


def pan(image: Image.Image, steps: Sequence[float], rng: np.random.Generator) -> Iterator[tuple[Pixels, Pixels]]:
    """Yield each frame of a camera that moves by `steps` over `image`, as it is taken and as it would be without fault."""
    side = int(VIEW_SHARE * min(image.size))
    room = np.array(image.size) - side
    place, angle = rng.uniform(0, 1, 2) * room, rng.uniform(0, 2 * np.pi)
    for step in steps:
        towards = np.array([np.cos(angle), np.sin(angle)])
        if not ((place + step * side * towards >= 0) & (place + step * side * towards <= room)).all():
            angle, towards = angle + np.pi, -towards  # at the photograph's edge the hand turns back
        place = np.clip(place + step * side * towards, 0, room)
        box = (*place.tolist(), *(place + side).tolist())
        view = image.resize((VIEW_PIXELS, VIEW_PIXELS), Image.Resampling.BICUBIC, box=box)
        taken = np.asarray(motion(view, step * VIEW_PIXELS / 2, -angle), np.float64)
        noisy = (taken + rng.normal(0, NOISE_LEVELS, taken.shape)).clip(0, 255).astype(np.uint8)
        yield noisy, np.asarray(view, np.uint8)


def _cosine(seen: Pixels, clean: Pixels, device: Device) -> float:
    size = device.bundle.manifest.input_size
    one, other = (device.runtime.embed(to_tensor(load_image(view), size)[np.newaxis])[0] for view in (seen, clean))
    return float(one @ other)
