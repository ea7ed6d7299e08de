"""Bursts: the first steady and sharp frame ends them; what is bad is waited out, within bounds, and told."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import numpy as np
import pytest
from PIL import Image, ImageFilter
from support.tiny_bundle import picture

from sightline_edge.burst import MAX_MOTION, Burst, best_of, best_of_stream, luma_cells, motion
from sightline_edge.device import Device
from sightline_edge.quality import HOLD_STILL
from sightline_shared.bundle import Bundle
from sightline_shared.errors import ConfigInvalid, ImageUnreadable, InputError
from sightline_shared.preprocess import luma, to_tensor

# Machines may be slow: what is not about time gets plenty of it.
PATIENT_MS = 600_000
WIDE = picture(5, (960, 720)).filter(ImageFilter.GaussianBlur(1))


@pytest.fixture(scope="module")
def device(tiny: Bundle) -> Device:
    return Device.load(tiny)


def seen_from(x: int, y: int = 0, blur: float = 0.0, light: float = 1.0) -> np.ndarray:
    """A camera's 480 x 480 view of a wide scene from (x, y), with sensor noise."""
    view = WIDE.crop((x, y, x + 480, y + 480))
    if blur:
        view = view.filter(ImageFilter.GaussianBlur(blur))
    noise = np.random.default_rng(x + 7 * y).normal(0, 3, (480, 480, 3))
    return (np.asarray(view) * light + noise).clip(0, 255).astype(np.uint8)


def cells(view: np.ndarray) -> np.ndarray:
    return luma_cells(luma(to_tensor(Image.fromarray(view), 192)))


def test_the_thumbnail_is_luma_averaged_over_squares() -> None:
    tensor = np.random.default_rng(0).integers(0, 256, (194, 194, 3), dtype=np.uint8)
    light = tensor[:192, :192] @ [0.299, 0.587, 0.114]
    slow = [[light[4 * y : 4 * y + 4, 4 * x : 4 * x + 4].mean() for x in range(48)] for y in range(48)]
    np.testing.assert_allclose(luma_cells(luma(tensor)), slow, rtol=1e-4)


@pytest.mark.parametrize("share", [0.005, 0.01, 0.02, 0.04])
def test_motion_is_about_the_share_of_the_side_that_the_picture_moved_by(share: float) -> None:
    pixels = share * 480
    moved = [
        motion(cells(seen_from(100, 100)), cells(seen_from(round(100 + pixels * dx), round(100 + pixels * dy))))
        for dx, dy in ((1, 0), (0, 1), (0.7, 0.7), (-0.7, 0.7))
    ]
    assert share / 2 < min(moved) and max(moved) < 2 * share


def test_noise_and_changing_light_are_no_motion() -> None:
    still, other = seen_from(100), seen_from(100) // 2 + seen_from(100, 0) // 2
    assert motion(cells(still), cells(other)) < MAX_MOTION / 4
    brighter = (still.astype(int) + 12).clip(0, 255).astype(np.uint8)
    assert motion(cells(still), cells(brighter)) < MAX_MOTION / 2
    wall = np.random.default_rng(1).normal(128, 3, (2, 480, 480, 3)).astype(np.uint8)
    assert motion(cells(wall[0]), cells(wall[1])) < MAX_MOTION


def test_a_burst_ends_with_the_first_frame_that_holds_still(device: Device) -> None:
    def camera() -> Iterator[np.ndarray]:
        for x in (0, 100, 200, 300, 302, 303, 304):
            yield seen_from(x)
        raise AssertionError("the burst must be over by now")

    shot = best_of(camera(), device, max_ms=PATIENT_MS)
    assert shot.index == 4 and shot.reason is None and shot.motion is not None and shot.motion <= MAX_MOTION
    assert (np.asarray(shot.frame) == seen_from(302)).all()


def test_a_lens_that_hunts_is_waited_for(device: Device) -> None:
    burst = Burst(device, max_ms=PATIENT_MS)
    sharp = burst.add(seen_from(0))
    soft = [burst.add(seen_from(0, blur=blur)) for blur in (6.0, 5.0)]
    assert [shot.reason for shot in soft] == [HOLD_STILL] * 2 and not burst.done
    assert soft[1].motion is not None and soft[1].motion < MAX_MOTION
    assert soft[1].fault is None and soft[1].quality.sharpness < sharp.quality.sharpness
    steady = burst.add(seen_from(0))
    assert burst.done and steady.reason is None and burst.best() is steady


def test_when_all_move_the_sharpest_is_given_with_the_reason(device: Device) -> None:
    blurs = (4.0, 0.0, 2.0, 5.0)
    shot = best_of([seen_from(90 * i, blur=blur) for i, blur in enumerate(blurs)], device, max_ms=PATIENT_MS)
    assert shot.index == 1 and shot.reason == HOLD_STILL and shot.fault is None


def test_a_dark_room_is_told_and_a_usable_frame_beats_a_steady_dark_one(device: Device) -> None:
    dark = [seen_from(0, light=0.02)] * 3
    assert device.gate.min_brightness > 5
    assert best_of(dark, device, max_ms=PATIENT_MS).reason == "too dark"
    shot = best_of([*dark, seen_from(200)], device, max_ms=PATIENT_MS)
    assert shot.index == 3 and shot.fault is None and shot.reason == HOLD_STILL


def test_a_lone_photograph_need_not_prove_that_it_is_still(device: Device) -> None:
    assert best_of([picture(1)], device).reason is None
    assert best_of([Image.new("RGB", (300, 300), "white")], device).reason is not None


def test_a_burst_is_bounded_in_frames(device: Device) -> None:
    taken = []

    def restless() -> Iterator[np.ndarray]:
        while True:
            taken.append(len(taken))
            yield seen_from(100 * (len(taken) % 4))

    assert best_of(restless(), device, max_frames=5, max_ms=PATIENT_MS).reason == HOLD_STILL
    assert len(taken) == 5


def test_a_burst_is_bounded_in_time(device: Device) -> None:
    now = [0.0]
    burst = Burst(device, max_ms=300, clock=lambda: now[0])
    for step in range(1, 4):
        burst.add(seen_from(100 * step))
        now[0] = 0.1 * step
        assert burst.done == (step == 3)


def test_limits_without_a_frame_are_refused_and_so_is_a_stream_without_one(device: Device) -> None:
    for limits in ({"max_frames": 0}, {"max_ms": 0}, {"max_ms": float("nan")}):
        with pytest.raises(ConfigInvalid, match="burst"):
            best_of([picture(1)], device, **limits)
    with pytest.raises(InputError, match="at least one frame"):
        best_of([], device)
    with pytest.raises(ImageUnreadable):
        best_of([b"no picture"], device)


def test_an_asynchronous_stream_ends_with_the_same_frame(device: Device) -> None:
    views = [seen_from(x) for x in (0, 100, 200, 201, 202)]

    async def camera() -> AsyncIterator[np.ndarray]:
        for view in views:
            yield view

    shot = asyncio.run(best_of_stream(camera(), device, max_ms=PATIENT_MS))
    assert shot.index == best_of(views, device, max_ms=PATIENT_MS).index == 3


def test_a_stream_that_stalls_is_left_with_what_came(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    limits: list[asyncio.Timeout] = []

    def watched(delay: float) -> asyncio.Timeout:
        assert delay == PATIENT_MS / 1000
        limits.append(asyncio.timeouts.timeout(delay))
        return limits[0]

    async def stalling() -> AsyncIterator[np.ndarray]:
        yield seen_from(0)
        limits[0].reschedule(asyncio.get_running_loop().time())  # the time is up now
        await asyncio.Event().wait()

    monkeypatch.setattr(asyncio, "timeout", watched)
    assert asyncio.run(best_of_stream(stalling(), device, max_ms=PATIENT_MS)).index == 0


def test_a_streams_own_timeout_is_not_taken_for_the_bursts(device: Device) -> None:
    async def failing() -> AsyncIterator[np.ndarray]:
        yield seen_from(0)
        raise TimeoutError("the camera's")

    with pytest.raises(TimeoutError, match="the camera's"):
        asyncio.run(best_of_stream(failing(), device, max_ms=PATIENT_MS))


def test_a_cancelled_stream_stops(device: Device) -> None:
    async def main() -> None:
        started = asyncio.Event()

        async def stalling() -> AsyncIterator[np.ndarray]:
            started.set()
            await asyncio.Event().wait()
            yield seen_from(0)

        task = asyncio.create_task(best_of_stream(stalling(), device, max_ms=PATIENT_MS))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
