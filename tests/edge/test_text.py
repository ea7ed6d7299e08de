"""A text beside the picture: it travels as it was given, is part of every question, and is never read on the device."""

import asyncio
from collections.abc import Sequence

import pytest
from support.tiny_bundle import picture

from sightline_edge import AnswerCache, AsyncClient, Client, Device, Options
from sightline_edge.local import TEXT_UNREAD
from sightline_edge.testing import FakeCloud, unreachable
from sightline_shared.errors import InputError
from sightline_shared.protocol import MAX_TEXT_BYTES, Match

URL = "http://service.test"


@pytest.fixture(scope="module")
def device(tiny) -> Device:
    return Device.load(tiny)


@pytest.fixture
def cloud(device: Device) -> FakeCloud:
    return FakeCloud(device, {f"item/{number}": picture(number) for number in range(4)})


class Head:
    """A pocket index of one item."""

    def __len__(self) -> int:
        return 1

    def search(self, embedding: object, k: int, where: object = None) -> tuple[Match, ...]:
        return (Match("item/1", 0.99),)


def texts(cloud: FakeCloud) -> Sequence[str]:
    return [query.text for query in cloud.queries]


def test_the_text_travels_as_it_was_given_from_both_clients_and_none_travels_unasked(device, cloud) -> None:
    said = "lactose-free, s'il vous pla\u00eet \U0001f95b"

    async def ask() -> None:
        async with AsyncClient(URL, device=device, transport=cloud) as client:
            await client.search(picture(1), text=said)
            async for _ in client.stream(picture(2), text="in red"):
                pass

    with Client(URL, device=device, transport=cloud) as client:
        plain = client.search(picture(1))
        told = client.search(picture(1), text=said)
        list(client.stream(picture(2), text="in red"))
    asyncio.run(ask())
    assert texts(cloud) == ["", said, "in red", said, "in red"]
    # The key, a header of two bytes, and the text itself: nothing else is longer.
    assert told.body_bytes_up == plain.body_bytes_up + 1 + 2 + len(said.encode())


@pytest.mark.parametrize("text", ["x" * (MAX_TEXT_BYTES + 1), "\U0001f600" * 129, "\ud800"])
def test_a_text_that_cannot_be_sent_is_refused_before_the_frame_is_looked_at(device, cloud, text: str) -> None:
    with Client(URL, device=device, transport=cloud) as client, pytest.raises(InputError, match="512 bytes"):
        client.search(b"no picture either", text=text)
    assert cloud.requests == 0


def test_another_text_is_another_question_for_the_cache_also_for_a_nearly_equal_frame(device, cloud) -> None:
    with Client(URL, device=device, transport=cloud, cache=AnswerCache(near_cosine=0.5, near_bits=64)) as client:
        for text in ("", "in red", "in blue"):
            assert client.search(picture(3), text=text).decided_by == "cloud"
        assert [one.decided_by for one in client.stream(picture(3, view=1), text="in green")] == ["cloud"]
        assert client.search(picture(3), text="in red").decided_by == "cache"
    assert texts(cloud) == ["", "in red", "in blue", "in green"]


def test_what_the_pocket_finds_never_settles_a_query_with_a_text(device, cloud) -> None:
    options = Options(pocket_settles=True, retries=0)
    with Client(URL, device=device, transport=cloud, pocket=Head(), options=options) as client:
        assert client.search(picture(1)).decided_by == "pocket", "without a text it does"
        first, last = client.stream(picture(1), text="in red")
        assert (first.decided_by, first.final, last.decided_by) == ("pocket", False, "cloud")
        assert TEXT_UNREAD in first.reasons and TEXT_UNREAD not in last.reasons
        cloud.will(unreachable())
        stood = client.search(picture(1), text="in red")
    assert (stood.decided_by, stood.final) == ("pocket", True) and TEXT_UNREAD in stood.reasons
