"""Racing answers: the device's own at once, the service's when it comes, and what stands when it does not."""

import asyncio
import dataclasses
import threading

import httpx
import numpy as np
import pytest
from support.tiny_bundle import picture

from sightline_edge import AnswerCache, AsyncClient, Client, Device, Options, Outcome
from sightline_edge.testing import FakeCloud, busy, garbage, late, partial, refusing, unreachable
from sightline_shared.errors import (
    AnswerMalformed,
    CertificateRefused,
    FilterInvalid,
    KeyUnknown,
    ServiceBusy,
    ServiceTimeout,
    ServiceUnreachable,
    VersionMismatch,
)
from sightline_shared.protocol import Match

URL = "http://fake.test"


@pytest.fixture(scope="module")
def device(tiny) -> Device:
    return Device.load(tiny)


@pytest.fixture
def cloud(device) -> FakeCloud:
    return FakeCloud(device, {f"item/{n}": picture(n) for n in range(8)}, metadata={"item/3": {"colour": "red"}})


@pytest.fixture
def client(device, cloud):
    with Client(URL, device=device, transport=cloud, cache=AnswerCache()) as one:
        yield one


class Head:
    """A pocket index of two items, as the client sees it."""

    def __init__(self, device: Device, *numbers: int) -> None:
        self.rows = {f"item/{n}": device.runtime.embed(np.asarray(tensor(n))[None])[0] for n in numbers}

    def __len__(self) -> int:
        return len(self.rows)

    def search(self, embedding, k, where=None):
        if where:
            raise FilterInvalid("where: this pocket keeps no key.")
        found = [Match(name, float(row @ embedding)) for name, row in self.rows.items()]
        return tuple(sorted(found, key=lambda match: -match.score)[:k])


def tensor(number: int):
    from sightline_shared.preprocess import load_image, to_tensor

    return to_tensor(load_image(picture(number)), 192)


def until_asked(cloud: FakeCloud, times: int) -> None:
    for _ in range(1000):
        if cloud.requests >= times:
            break
        threading.Event().wait(0.01)
    assert cloud.requests == times


def with_pocket(device, cloud, **fields) -> Client:
    return Client(URL, device=device, transport=cloud, pocket=Head(device, 1, 2), options=Options(**fields))


def test_a_repeated_frame_is_answered_from_the_cache_and_nothing_is_sent(client, cloud) -> None:
    first, second = client.search(picture(3)), client.search(picture(3))
    assert (first.decided_by, second.decided_by, cloud.requests) == ("cloud", "cache", 1)
    assert second.matches == first.matches and second.final and second.attempts == 0
    assert second.body_bytes_up == second.http_bytes_down == 0 and "cache" in second.stages_ms
    assert [one.decided_by for one in client.stream(picture(3))] == ["cache"]


def test_a_nearly_repeated_frame_is_answered_at_once_and_asked_about(client, cloud) -> None:
    client.search(picture(3))
    frame = np.asarray(picture(3)).copy()
    frame[:1] = 255 - frame[:1]
    first, last = client.stream(frame)
    assert (first.decided_by, first.final, first.matches[0].id) == ("cache", False, "item/3")
    assert (last.decided_by, last.final, last.matches[0].id) == ("cloud", True, "item/3")
    frame[-1:] = 255 - frame[-1:]
    cloud.will(*[unreachable()] * 3)
    stood = client.search(frame)
    assert (stood.decided_by, stood.trouble, stood.matches[0].id) == ("cache", "E_SERVICE_UNREACHABLE", "item/3")
    assert client.search(picture(4)).matches[0].id == "item/4"


def test_a_filter_or_another_k_is_another_question(client, cloud) -> None:
    client.search(picture(3))
    assert client.search(picture(3), where={"colour": "red"}).decided_by == "cloud"
    assert client.search(picture(3), options=Options(k=2)).decided_by == "cloud"
    assert client.search(picture(3), where={"colour": "red"}).decided_by == "cache"


def test_an_answer_of_a_newer_catalogue_makes_the_older_ones_stale(client, cloud) -> None:
    client.search(picture(3))
    cloud.index += 1
    client.search(picture(4))
    assert client.search(picture(3)).decided_by == "cloud"


def test_partial_answers_are_not_kept(client, cloud) -> None:
    cloud.will(partial())
    assert client.search(picture(3)).partial
    assert client.search(picture(3)).decided_by == "cloud"


def test_the_pocket_answers_first_and_the_cloud_last(device, cloud) -> None:
    with with_pocket(device, cloud) as client:
        first, last = client.stream(picture(1))
        assert (first.decided_by, first.final, first.outcome) == ("pocket", False, Outcome.FOUND)
        assert (last.decided_by, last.final, last.matches[0].id) == ("cloud", True, "item/1")
        assert client.search(picture(1)).decided_by == "cloud", "search gives the final answer"


def test_the_service_is_asked_before_the_first_answer_is_looked_at(device, cloud) -> None:
    with with_pocket(device, cloud) as client:
        answers = client.stream(picture(1))
        next(answers)
        until_asked(cloud, 1)
        assert next(answers).decided_by == "cloud"


def test_that_the_head_lacks_something_is_said_only_when_the_service_cannot_be_asked(device, cloud) -> None:
    manifest = dataclasses.replace(
        device.bundle.manifest, decision={"not_found_max_score": 0.9, "found_min_score": 0.95}
    )
    strict = dataclasses.replace(device, bundle=dataclasses.replace(device.bundle, manifest=manifest))
    with Client(URL, device=strict, transport=cloud, pocket=Head(device, 1, 2)) as client:
        (answer,) = client.stream(picture(5))
        assert answer.decided_by == "cloud"
        cloud.will(*[unreachable()] * 3)
        (answer,) = client.stream(picture(5))
        assert (answer.decided_by, answer.outcome, answer.matches) == ("pocket", Outcome.NOT_FOUND, ())
        assert answer.trouble == "E_SERVICE_UNREACHABLE" and answer.final


def test_a_head_that_finds_it_may_settle_it(device, cloud) -> None:
    with with_pocket(device, cloud, pocket_settles=True) as client:
        assert [one.decided_by for one in client.stream(picture(1))] == ["pocket"] and cloud.requests == 0
        assert client.search(picture(5)).decided_by == "cloud", "what the head does not hold is the service's to say"


@pytest.mark.parametrize(
    ("trouble", "code"),
    [
        (unreachable(), "E_SERVICE_UNREACHABLE"),
        (busy(), "E_SERVICE_BUSY"),
        (busy(status=429), "E_SERVICE_BUSY"),
        (garbage(), "E_ANSWER_MALFORMED"),
        (garbage(b""), "E_ANSWER_MALFORMED"),
        (late(60_000), "E_SERVICE_TIMEOUT"),
    ],
)
def test_when_the_service_cannot_answer_the_local_answer_stands_and_says_so(device, cloud, trouble, code: str) -> None:
    with with_pocket(device, cloud, deadline_ms=700, retries=1) as client:
        cloud.will(trouble, trouble)
        first, last = client.stream(picture(1))
        assert not first.final and first.trouble is None
        assert (last.decided_by, last.final, last.trouble) == ("pocket", True, code)
        assert last.matches == first.matches and "did not answer" in last.reasons[-1]


def test_what_the_service_refuses_is_raised_and_not_papered_over(device, cloud) -> None:
    with with_pocket(device, cloud) as client:
        for error in (KeyUnknown("no such key"), VersionMismatch("another bundle")):
            cloud.will(refusing(error))
            with pytest.raises(type(error)):
                client.search(picture(1))


def test_a_filter_that_the_pocket_cannot_apply_is_the_services(device, cloud) -> None:
    with with_pocket(device, cloud) as client:
        answers = list(client.stream(picture(3), where={"colour": "red"}))
        assert [one.decided_by for one in answers] == ["cloud"] and answers[0].matches[0].id == "item/3"


def test_a_short_trouble_is_overcome_by_trying_again(device, cloud) -> None:
    with Client(URL, device=device, transport=cloud) as client:
        cloud.will(unreachable(), busy())
        answer = client.search(picture(2))
    assert (answer.matches[0].id, answer.attempts, cloud.requests) == ("item/2", 3, 3)
    assert len({query.request_id for query in cloud.queries}) == len(cloud.queries), "each try is a request of its own"


def test_it_is_not_tried_for_ever(device, cloud) -> None:
    with Client(URL, device=device, transport=cloud) as client:
        cloud.will(*[unreachable()] * 20)
        with pytest.raises(ServiceUnreachable):
            client.search(picture(2))
        assert cloud.requests == 3
        with pytest.raises(ServiceUnreachable):
            client.search(picture(2))
        with pytest.raises(ServiceUnreachable, match="not asked"):
            client.search(picture(2))
        assert cloud.requests == 5 and client.network.failures_in_a_row == 5


def test_a_service_that_wants_time_beyond_the_deadline_is_not_asked_again(device, cloud) -> None:
    with Client(URL, device=device, transport=cloud) as client:
        cloud.will(busy(retry_after_s=30))
        with pytest.raises(ServiceBusy) as caught:
            client.search(picture(2))
    assert cloud.requests == 1 and caught.value.retry_after_s == 30


def test_a_late_answer_is_hedged_once_it_is_later_than_nearly_all_were(device, cloud) -> None:
    with Client(URL, device=device, transport=cloud, options=Options(deadline_ms=20_000)) as client:
        for number in range(8):
            client.search(picture(number))
        cloud.will(late(60_000))
        answer = client.search(picture(2))
    assert answer.matches[0].id == "item/2" and answer.attempts == 2


def test_without_hedging_it_ends_at_the_deadline(device, cloud) -> None:
    with Client(URL, device=device, transport=cloud, options=Options(deadline_ms=300, hedge=False)) as client:
        cloud.will(late(60_000))
        with pytest.raises(ServiceTimeout, match="deadline of 300 ms"):
            client.search(picture(2))


def test_a_certificate_that_is_not_trusted_is_named_and_not_tried_again(device) -> None:
    tries = []

    async def refuse(request: httpx.Request) -> httpx.Response:
        tries.append(request)
        raise httpx.ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED] certificate is not yet valid")

    with (
        Client(URL, device=device, transport=httpx.MockTransport(refuse)) as client,
        pytest.raises(CertificateRefused, match="not yet valid") as caught,
    ):
        client.search(picture(1))
    assert len(tries) == 1 and "date and time" in caught.value.hint


def test_matches_of_codes_that_were_not_sent_are_refused(device, cloud) -> None:
    honest = cloud.answer

    def lie(request):
        answer = honest(request)
        return dataclasses.replace(answer, matches=tuple(dataclasses.replace(m, code_index=1) for m in answer.matches))

    cloud.answer = lie
    with Client(URL, device=device, transport=cloud) as client, pytest.raises(AnswerMalformed, match="1 codes"):
        client.search(picture(1))


def test_taking_the_first_answer_gives_the_query_up(device, cloud) -> None:
    async def main() -> None:
        async with AsyncClient(URL, device=device, transport=cloud, pocket=Head(device, 1)) as client:
            cloud.will(late(60_000))
            answers = client.stream(picture(1))
            assert (await anext(answers)).decided_by == "pocket"
            while not cloud.requests:
                await asyncio.sleep(0.01)
            await answers.aclose()
            assert client.network.failures_in_a_row == 0
            assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())
    with with_pocket(device, cloud) as client:
        cloud.will(late(60_000))
        answers = client.stream(picture(1))
        next(answers)
        until_asked(cloud, 2)
        answers.close()
        assert client.search(picture(1)).decided_by == "cloud"


def test_a_cancelled_search_leaves_nothing_behind(device, cloud) -> None:
    async def main() -> None:
        async with AsyncClient(URL, device=device, transport=cloud) as client:
            cloud.will(late(60_000))
            asking = asyncio.ensure_future(client.search(picture(1)))
            while not cloud.requests:
                await asyncio.sleep(0.01)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            assert asyncio.all_tasks() == {asyncio.current_task()}
            assert (await client.search(picture(1))).matches[0].id == "item/1"
        with pytest.raises(ServiceUnreachable, match="closed"):
            await client.search(picture(1))

    asyncio.run(main())


def test_closing_gives_up_what_is_under_way_and_a_closed_thread_ends(device, cloud) -> None:
    before = set(threading.enumerate())
    client = Client(URL, device=device, transport=cloud, pocket=Head(device, 1))
    cloud.will(late(60_000))
    answers = client.stream(picture(1))
    next(answers)
    client.close()
    with pytest.raises(ServiceUnreachable, match="closed before the answer came"):
        next(answers)
    assert set(threading.enumerate()) == before
    for _ in range(2):
        with pytest.raises(ServiceUnreachable, match="this client is closed"):
            client.search(picture(1))
        client.close()
    Client(URL, device=device, transport=cloud).close()


def test_waking_opens_a_connection_and_measures_it(device, cloud) -> None:
    with Client(URL, device=device, transport=cloud) as client:
        took = client.wake().result(10)
        assert took is not None and took > 0 and client.network.round_trip_ms == pytest.approx(took, rel=0.9)
        cloud.will(unreachable())
        assert client.wake().result(10) is None
        assert cloud.queries == []
