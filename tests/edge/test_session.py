"""Query expansion over a session: what helps, what is left out, and that nothing of it happens unasked."""

import dataclasses

import numpy as np
import pytest
from support.tiny_bundle import picture

from sightline_edge import Client, Device, Session
from sightline_edge.testing import FakeCloud, partial
from sightline_shared.errors import ConfigInvalid

URL = "http://fake.test"


@pytest.fixture(scope="module")
def device(tiny) -> Device:
    return Device.load(tiny)


@pytest.fixture
def cloud(device) -> FakeCloud:
    return FakeCloud(device, {f"item/{n}": picture(n) for n in range(6)})


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def looked_at(device, cloud, session, *frames):
    with Client(URL, device=device, transport=cloud, session=session) as client:
        return [client.search(frame) for frame in frames]


def test_the_next_frame_of_an_item_moves_towards_it(device, cloud) -> None:
    session = Session(near_cosine=0.5)
    (first,) = looked_at(device, cloud, session, picture(2))
    item = device.codec.decode(np.frombuffer(first.matches[0].code, np.uint8)[None])[0]
    before = device.runtime.embed(tensor_of(picture(2, view=1))[None])[0]
    after = session.expand(before)
    assert after @ item > before @ item and np.linalg.norm(after) == pytest.approx(1, abs=1e-5)
    plain = looked_at(device, cloud, None, picture(2, view=1))[0]
    expanded = looked_at(device, cloud, session, picture(2, view=1))[0]
    assert expanded.code != plain.code and "expand" in expanded.stages_ms
    assert expanded.gate_score == plain.gate_score, "the gate judges the frame that was seen"


def tensor_of(image):
    from sightline_shared.preprocess import load_image, to_tensor

    return to_tensor(load_image(image), 192)


def test_another_thing_is_left_as_it_is(device, cloud) -> None:
    session = Session(near_cosine=0.9)
    looked_at(device, cloud, session, picture(2))
    other = device.runtime.embed(tensor_of(picture(5))[None])[0]
    assert session.expand(other) is other


def test_nothing_uncertain_partial_or_old_is_remembered(device, cloud) -> None:
    clock = Clock()
    session = Session(near_cosine=-1, keep_s=20, clock=clock)
    query = device.runtime.embed(tensor_of(picture(2))[None])[0]
    cloud.will(partial())
    (answer,) = looked_at(device, cloud, session, picture(2))
    assert session.expand(query) is query
    for kept_back in (
        dataclasses.replace(answer, partial=False, outcome=type(answer.outcome)("unsure")),
        dataclasses.replace(
            answer, partial=False, matches=tuple(dataclasses.replace(m, code=None) for m in answer.matches)
        ),
    ):
        session.note(kept_back, device.codec)
        assert session.expand(query) is query
    session.note(dataclasses.replace(answer, partial=False), device.codec)
    assert session.expand(query) is not query
    clock.now = 20.0
    assert session.expand(query) is query


def test_many_frames_of_one_item_weigh_no_more_than_one(device, cloud) -> None:
    once, often = Session(near_cosine=-1), Session(near_cosine=-1)
    looked_at(device, cloud, once, picture(2))
    (answer,) = looked_at(device, cloud, None, picture(2))
    for _ in range(20):
        often.note(answer, device.codec)
    query = device.runtime.embed(tensor_of(picture(2, view=1))[None])[0]
    np.testing.assert_allclose(once.expand(query), often.expand(query), atol=1e-5)
    often.clear()
    assert often.expand(query) is query


@pytest.mark.parametrize("bad", [{"keep_s": 0}, {"items": 0}, {"items": 11}, {"near_cosine": 2}, {"power": -1}])
def test_impossible_settings_are_named(bad) -> None:
    with pytest.raises(ConfigInvalid, match="expected"):
        Session(**bad)
