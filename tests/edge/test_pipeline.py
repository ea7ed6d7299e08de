"""The device path with several crops: which are sent, what stops the whole, and one crop as it always was."""

import dataclasses
import io

import numpy as np
import pytest
from PIL import Image
from support.tiny_bundle import picture

from sightline_edge.answer import Outcome
from sightline_edge.crops import propose
from sightline_edge.device import Device
from sightline_edge.frame import Box, Tap, open_picture
from sightline_edge.pipeline import Observation, observe
from sightline_shared.budget import Budget
from sightline_shared.bundle import Bundle
from sightline_shared.errors import ConfigInvalid, InputError
from sightline_shared.heads import Heads, Semantic, Sensitive
from sightline_shared.phash import dhash
from sightline_shared.preprocess import luma, to_tensor

LEFT, RIGHT = Box(0, 0, 400, 400), Box(400, 0, 800, 400)


@pytest.fixture(scope="module")
def device(tiny: Bundle) -> Device:
    return Device.load(tiny)


def shelf() -> Image.Image:
    """Two things side by side."""
    image = Image.new("RGB", (800, 400))
    image.paste(picture(1, (400, 400)), (0, 0))
    image.paste(picture(2, (400, 400)), (400, 0))
    return image


def gated(device: Device, reject_below: float) -> Device:
    return dataclasses.replace(device, gate=dataclasses.replace(device.gate, reject_below=reject_below))


def wary_of(device: Device, embedding: np.ndarray) -> Device:
    """The device with a sensitive head that knows `embedding` and nothing else."""
    semantic = Semantic(("a", "b"), np.zeros((2, len(embedding)), np.float32), np.zeros(2, np.float32))
    head = Sensitive(("xray",), (40 * embedding).astype(np.float32), -36.0, 0.9, 0.99)
    return dataclasses.replace(device, heads=Heads(semantic, head))


def test_one_crop_is_the_whole_frame_as_the_pixel_spec_cuts_it(device: Device) -> None:
    seen = observe(shelf(), device, Budget(1000), hashed=True)
    tensor = to_tensor(shelf(), device.bundle.manifest.input_size)
    embedding = device.runtime.embed(tensor[np.newaxis])
    (only,) = seen.crops
    assert only.box == Box(0, 0, 800, 400) and seen.sent == seen.crops and seen.phash == dhash(luma(tensor))
    assert seen.code == only.code == device.codec.encode(embedding)[0].tobytes()
    assert (seen.embedding == embedding[0]).all() and seen.gate_score == device.gate.score(embedding[0])


def test_a_region_gets_the_code_of_the_cut_out_picture(device: Device) -> None:
    seen = observe(shelf(), device, Budget(1000), regions=[RIGHT, Tap(200, 200), LEFT])
    assert [crop.box for crop in seen.sent] == [Box(0, 0, 800, 400), RIGHT, Box(130, 130, 270, 270), LEFT]
    alone = [observe(picture(seed, (400, 400)), device, Budget(1000)) for seed in (2, 1)]
    assert [seen.sent[1].code, seen.sent[3].code] == [one.code for one in alone]
    assert len({crop.code for crop in seen.sent}) == 4


def test_regions_of_a_large_jpeg_are_in_its_own_pixels(device: Device) -> None:
    buffer = io.BytesIO()
    large = shelf().resize((3200, 1600), Image.Resampling.NEAREST)
    large.save(buffer, "JPEG", quality=95)
    seen = observe(buffer.getvalue(), device, Budget(1000), regions=[Box(1600, 0, 3200, 1600)])
    alone = observe(picture(2, (400, 400)), device, Budget(1000))
    assert seen.crops[1].embedding @ alone.crops[0].embedding > 0.995
    assert seen.crops[0].embedding @ alone.crops[0].embedding < 0.9


def test_the_device_looks_at_salient_regions_only_where_the_gate_is_not_sure_of_the_whole(device: Device) -> None:
    score = observe(shelf(), device, Budget(1000)).gate_score
    assert score is not None
    sure, unsure = (
        dataclasses.replace(device, gate=dataclasses.replace(device.gate, sure_above=limit))
        for limit in (score, score + 1e-6)
    )
    assert len(observe(shelf(), sure, Budget(1000), crops=3).crops) == 1
    assert len(observe(shelf(), sure, Budget(1000), crops=3, regions=[LEFT]).crops) == 2
    looked = observe(shelf(), unsure, Budget(1000), crops=3).crops
    picture_ = open_picture(shelf())
    assert [crop.box for crop in looked] == [picture_.whole, *propose(picture_, 2)] and len(looked) == 3


def test_a_crop_that_the_gate_turns_away_sends_no_code(device: Device) -> None:
    open_ = observe(shelf(), device, Budget(1000), regions=[LEFT, RIGHT])
    low, middle, high = sorted(crop.gate_score for crop in open_.crops)
    seen = observe(shelf(), gated(device, (low + middle) / 2), Budget(1000), regions=[LEFT, RIGHT])
    assert seen.stop is None and len(seen.crops) == 3
    assert [crop.box for crop in seen.sent] == [crop.box for crop in open_.crops if crop.gate_score > low]
    assert all((crop.code is None) == (crop.gate_score == low) for crop in seen.crops)
    assert seen.gate_score == high and seen.code == seen.sent[0].code


def sure(device: Device, sure_above: float, reject_below: float = 0.0) -> Device:
    gate = dataclasses.replace(device.gate, sure_above=sure_above, reject_below=reject_below)
    return dataclasses.replace(device, gate=gate)


def proposals(device: Device) -> Observation:
    """The shelf with two regions that the device proposes, all let through."""
    whole = observe(shelf(), device, Budget(1000)).crops[0].gate_score
    seen = observe(shelf(), sure(device, whole + 1e-6), Budget(1000), crops=3)
    assert [crop.proposed for crop in seen.crops] == [False, True, True]
    return seen


def test_a_region_that_the_device_proposes_is_sent_only_where_the_gate_is_sure_and_an_asked_one_where_it_lets_it_through(
    device: Device,
) -> None:
    whole, *parts = proposals(device).crops
    best = max(parts, key=lambda crop: crop.gate_score)
    bar = max(whole.gate_score, *(crop.gate_score for crop in parts if crop is not best)) + 1e-6
    assert bar <= best.gate_score, "the pictures of this test must be chosen so that a proposal beats the whole"
    seen = observe(shelf(), sure(device, bar), Budget(1000), crops=3)
    assert [crop.box for crop in seen.sent] == [whole.box, best.box] and len(seen.crops) == 3
    asked = observe(shelf(), sure(device, 1.5), Budget(1000), crops=3, regions=[best.box])
    assert [crop.box for crop in asked.sent] == [whole.box, best.box] and len(asked.crops) > 2
    assert not asked.sent[1].proposed and all(crop.proposed for crop in asked.crops[2:])


def test_proposals_that_the_gate_is_not_sure_of_leave_a_frame_that_it_turned_away_without_a_match(
    device: Device,
) -> None:
    whole = proposals(device).crops[0].gate_score
    seen = observe(shelf(), sure(device, 1.5, whole + 1e-6), Budget(1000), crops=3)
    assert seen.stop is Outcome.NOT_FOUND and len(seen.crops) == 3 and seen.sent == ()
    assert seen.reason is not None and f"({whole:.2f} <" in seen.reason


def test_a_sensitive_proposal_stops_the_whole_only_if_it_would_be_sent(device: Device) -> None:
    whole, *parts = proposals(device).crops
    wary = wary_of(device, max(parts, key=lambda crop: crop.gate_score).embedding)
    sent = observe(shelf(), sure(wary, whole.gate_score + 1e-6), Budget(1000), crops=3)
    unsent = observe(shelf(), sure(wary, 1.5), Budget(1000), crops=3)
    assert sent.stop is Outcome.RESTRICTED and sent.sent == ()
    assert unsent.stop is None and [crop.box for crop in unsent.sent] == [whole.box] and unsent.sensitive_score > 0.9


def test_when_the_whole_frame_is_turned_away_a_crop_still_asks(device: Device) -> None:
    open_ = observe(shelf(), device, Budget(1000), regions=[LEFT, RIGHT])
    whole = open_.crops[0].gate_score
    # The threshold is set just above the whole frame's score, if that is not the best of all.
    others = [crop.gate_score for crop in open_.crops[1:] if crop.gate_score > whole]
    assert others, "the pictures of this test must be chosen so that a crop beats the whole"
    seen = observe(shelf(), gated(device, (whole + max(others)) / 2), Budget(1000), regions=[LEFT, RIGHT])
    assert seen.stop is None and seen.crops[0].code is None
    assert seen.embedding is seen.sent[0].embedding and seen.code == seen.sent[0].code


def test_when_all_are_turned_away_there_is_no_match_and_no_code(device: Device) -> None:
    seen = observe(shelf(), gated(device, 1.5), Budget(1000), regions=[LEFT, RIGHT])
    assert seen.stop is Outcome.NOT_FOUND and len(seen.crops) == 3 and seen.sent == () and seen.code is None
    assert seen.reason is not None and "no visual match" in seen.reason
    assert seen.embedding is seen.crops[0].embedding


@pytest.mark.parametrize("turned_away", [False, True])
def test_one_sensitive_crop_stops_the_whole_even_one_that_the_gate_would_not_send(
    device: Device, turned_away: bool
) -> None:
    plain = observe(shelf(), device, Budget(1000), regions=[LEFT, RIGHT])
    worst = min(plain.crops[1:], key=lambda crop: crop.gate_score)
    strict = gated(device, worst.gate_score + 1e-4) if turned_away else device
    seen = observe(shelf(), wary_of(strict, worst.embedding), Budget(1000), regions=[LEFT, RIGHT])
    assert seen.stop is Outcome.RESTRICTED and seen.sent == () and seen.sensitive_score > 0.9
    without = [region for region in (LEFT, RIGHT) if region != worst.box]
    calm = observe(shelf(), wary_of(strict, worst.embedding), Budget(1000), regions=without)
    assert calm.stop is None and calm.sensitive_score < 0.9


def test_a_poor_frame_is_not_embedded_whatever_the_regions(device: Device) -> None:
    budget = Budget(1000)
    seen = observe(Image.new("RGB", (800, 400), "grey"), device, budget, crops=3, regions=[LEFT])
    assert seen.stop is Outcome.RETAKE and seen.crops == () and seen.code is None
    assert not {"embed", "crops", "encode"} & set(budget.stages_ms)
    assert (seen.gate_score, seen.sensitive_score, seen.embedding) == (None, 0.0, None)


@pytest.mark.parametrize(("crops", "regions"), [(0, 0), (0, 1), (17, 0), (10, 7), (-3, 4)])
def test_more_crops_than_a_query_holds_are_refused_before_any_work(device: Device, crops: int, regions: int) -> None:
    with pytest.raises(ConfigInvalid, match="crops"):
        observe(b"not even a picture", device, Budget(1000), crops=crops, regions=[LEFT] * regions)


def test_a_region_outside_the_frame_is_the_callers_error(device: Device) -> None:
    with pytest.raises(InputError, match="region"):
        observe(shelf(), device, Budget(1000), regions=[Tap(900, 10)])


@pytest.mark.parametrize("hashed", [False, True])
def test_the_app_reads_every_stage_in_order_and_a_frame_is_hashed_for_a_cache_alone(
    device: Device, hashed: bool
) -> None:
    budget = Budget(1000)
    seen: Observation = observe(shelf(), device, budget, regions=[LEFT], hashed=hashed)
    assert seen.stop is None and (seen.phash != 0) == hashed
    assert list(budget.stages_ms) == [
        *("decode", "preprocess", "quality"),
        *(("phash",) if hashed else ()),
        *("embed", "sensitive", "gate", "crops", "encode"),
    ]
