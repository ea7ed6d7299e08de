"""`sightline bench frames`: spoilt frames are spoilt, errors are counted as they are defined, a pan moves as it says."""

import argparse
import itertools

import numpy as np
import pytest
from PIL import Image
from support.tiny_bundle import picture

from sightline_bench import frames
from sightline_bench.commands import frames as command
from sightline_bench.frames import NOISE_LEVELS, SETTLING, SPOILT, burst_table, pan, quality_table
from sightline_edge import quality
from sightline_edge.burst import luma_cells, motion
from sightline_edge.device import Device
from sightline_shared.bundle import Bundle
from sightline_shared.errors import InputError
from sightline_shared.preprocess import luma, to_tensor


@pytest.fixture(scope="module")
def device(tiny: Bundle) -> Device:
    return Device.load(tiny)


def test_every_way_of_spoiling_does_what_its_name_says() -> None:
    good = Image.fromarray(to_tensor(picture(1), 192))
    spoilt = {name: np.asarray(spoil(good, np.random.default_rng(0))) for name, spoil in SPOILT.items()}
    seen = {name: quality.measure(luma(pixels)) for name, pixels in spoilt.items()}
    best = seen["as it is"]
    blurs = [seen[f"out of focus, {pixels} px"].sharpness for pixels in (1, 2, 4)]
    smears = [seen[f"smeared, {pixels} px"].sharpness for pixels in (4, 8, 16)]
    for worse in (blurs, smears):
        assert best.sharpness > worse[0] > worse[1] > worse[2]
    assert seen["12% of the light"].brightness == pytest.approx(0.12 * best.brightness, rel=0.05)
    assert seen["8 times the light"].brightness > seen["3 times the light"].brightness > best.brightness


def test_good_frames_turned_away_and_bad_ones_let_through_are_counted_apart() -> None:
    row = frames._errors([(True, 0.95), (True, 0.5), (False, 0.5), (False, 0.9), (False, 0.99)])
    values = {name: entry["value"] for name, entry in row.items()}
    assert values == {"turned away": 0.4, "cosine": 0.768, "good turned away": 0.2, "bad let through": 0.2}


def test_a_pan_moves_by_its_steps_and_comes_to_rest() -> None:
    views = list(pan(picture(2, (960, 720)), SETTLING, np.random.default_rng(3)))
    assert len(views) == len(SETTLING)
    clean = [luma_cells(luma(to_tensor(Image.fromarray(view), 192))) for _, view in views]
    moved = [motion(before, after) for before, after in itertools.pairwise(clean)]
    assert np.corrcoef(moved, SETTLING[1:])[0, 1] > 0.9 and moved[-1] < 0.006
    difference = views[-1][0].astype(float) - views[-1][1]
    assert NOISE_LEVELS / 2 < difference.std() < 2 * NOISE_LEVELS


def test_the_tables_hold_every_group_and_way(device: Device) -> None:
    steps: list[int] = []
    table = quality_table({"few": [picture(1), picture(2)]}, device, lambda: steps.append(1))
    assert list(table) == ["few"] and list(table["few"]) == list(SPOILT) and len(steps) == 2
    as_it_is = table["few"]["as it is"]
    assert as_it_is["cosine"]["value"] == pytest.approx(1, abs=1e-4) and as_it_is["turned away"]["value"] == 0
    bursts = burst_table([picture(1, (960, 720))], device, lambda: steps.append(1))
    assert len(steps) == 4 and bursts["settles"]["called good and steady"]["value"] == 1
    assert bursts["restless"]["called good"]["value"] == 0
    assert bursts["settles"]["cosine of the picked"]["value"] > bursts["settles"]["cosine of the first"]["value"]
    result = {
        "scenario": {"source": "few"},
        "bundle": {"label": "tiny"},
        "seconds": 1,
        "quality": table,
        "bursts": bursts,
    }
    assert command.show(result).count("\n| few | ") == len(SPOILT)


def test_a_number_of_photographs_below_one_is_refused() -> None:
    with pytest.raises(InputError, match="--photos"):
        command.run(argparse.Namespace(photos=0, packs=None, bundle=None, out=None))


@pytest.mark.packs
def test_real_photographs_are_good_and_strong_blur_is_turned_away(packs) -> None:
    groups = command.packs_groups(packs, 12)
    table = quality_table(groups, Device.load(), lambda: None)
    assert set(groups) == {"grocery", "clothing", "studio"}
    for rows in table.values():
        assert rows["as it is"]["turned away"]["value"] <= 1 / 12
        assert rows["out of focus, 4 px"]["turned away"]["value"] >= 11 / 12
        assert rows["6% of the light"]["turned away"]["value"] >= 11 / 12
