"""A sensitive subject that the gate lets through ends the device path; a bundle without the head goes on as before."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from support.tiny_bundle import SENSITIVE, picture

from sightline_edge import testing
from sightline_edge.answer import Answer, Outcome
from sightline_edge.cache import AnswerCache
from sightline_edge.client import Client
from sightline_edge.config import Options
from sightline_edge.device import Device
from sightline_edge.frame import Box
from sightline_edge.pipeline import observe
from sightline_edge.session import Session
from sightline_edge.testing import FakeCloud
from sightline_shared.budget import Budget
from sightline_shared.bundle import Bundle
from sightline_shared.errors import ProtocolUnknown
from sightline_shared.heads import Heads, Semantic, Sensitive
from sightline_shared.protocol import Decision


def with_head(device: Device, embedding: np.ndarray, unsure_above: float) -> Device:
    """The device with a head that scores `embedding` at about 1 and its opposite at about 0."""
    dim = len(embedding)
    semantic = Semantic(("a", "b"), np.zeros((2, dim), np.float32), np.zeros(2, np.float32))
    head = Sensitive(("xray",), (10 * embedding).astype(np.float32), 0.0, unsure_above, max(unsure_above, 0.99))
    return dataclasses.replace(device, heads=Heads(semantic, head))


def test_a_sensitive_subject_is_not_asked_about(tiny: Bundle) -> None:
    device = dataclasses.replace(Device.load(tiny), heads=None)
    plain = observe(picture(3), device, Budget(1000))
    assert plain.stop is None and plain.sensitive_score == 0.0 and plain.embedding is not None

    seen = observe(picture(3), with_head(device, plain.embedding, 0.9), Budget(1000))
    assert seen.stop is Outcome.RESTRICTED and seen.code is None
    assert seen.sensitive_score == pytest.approx(1.0, abs=1e-3)
    assert seen.reason is not None and "sensitive" in seen.reason

    other = observe(picture(3), with_head(device, -plain.embedding, 0.9), Budget(1000))
    assert other.stop is None and other.code == plain.code and other.sensitive_score < 0.01


def test_what_the_gate_turns_away_is_no_match_whatever_the_head_says(tiny: Bundle) -> None:
    device = Device.load(tiny)
    embedding = observe(picture(3), device, Budget(1000)).embedding
    assert embedding is not None
    strict = dataclasses.replace(device, gate=dataclasses.replace(device.gate, reject_below=1.5))
    seen = observe(picture(3), with_head(strict, embedding, 0.9), Budget(1000))
    assert seen.stop is Outcome.NOT_FOUND and seen.sensitive_score > 0.9 and seen.code is None


ASKING = Options(ask_restricted=True)


class Untouchable:
    """A pocket index and a session that nobody may ask about a sensitive subject, nor tell."""

    def __len__(self) -> int:
        return 1

    def search(self, *asked: Any) -> Any:
        raise AssertionError("the pocket was asked")


@pytest.fixture
def asking(tiny: Bundle) -> Callable[..., tuple[Client, FakeCloud]]:
    """Makes clients that ask a service in memory, which has the sensitive picture among its items."""

    def make(options: Options = ASKING, **given: Any) -> tuple[Client, FakeCloud]:
        device = Device.load(tiny)
        cloud = FakeCloud(device, {"rash": picture(SENSITIVE), "milk": picture(3)})
        return Client("http://fake.test", device=device, transport=cloud, options=options, **given), cloud

    return make


def test_nothing_of_a_sensitive_subject_is_sent_unless_the_app_says_so(asking) -> None:
    client, cloud = asking(Options())
    with client:
        got = client.search(picture(SENSITIVE))
        assert (got.outcome, got.decided_by, got.final) == (Outcome.RESTRICTED, "device", True)
        assert cloud.requests == 0


def test_the_service_is_asked_with_codes_and_scores_and_its_restricted_answer_is_the_last_word(asking) -> None:
    client, cloud = asking()
    with client:
        got = client.search(picture(SENSITIVE))
    (sent,) = cloud.queries
    assert len(sent.sensitive_scores) == len(sent.codes) >= 1 and max(sent.sensitive_scores) > 0.5
    assert (got.outcome, got.decided_by, got.matches) == (Outcome.RESTRICTED, "cloud", ())
    assert got.disclaimer == testing.DISCLAIMER and got.code == sent.codes[0]
    assert got.body_bytes_up <= 102 + 3 + len(sent.codes)  # the key, the length, a byte a code


def test_what_is_not_sensitive_is_asked_about_as_ever(asking) -> None:
    client, cloud = asking()
    with client:
        assert client.search(picture(3)).matches[0].id == "milk"
    assert cloud.queries[0].sensitive_scores == ()


def test_the_devices_own_answer_comes_first_and_is_not_final(asking) -> None:
    client, _ = asking()
    with client:
        first, last = client.stream(picture(SENSITIVE))
    assert (first.outcome, first.decided_by, first.final) == (Outcome.RESTRICTED, "device", False)
    assert (last.outcome, last.decided_by, last.final) == (Outcome.RESTRICTED, "cloud", True)


def test_neither_cache_nor_pocket_nor_session_is_asked_or_told(asking) -> None:
    cache, session = AnswerCache(), Session()
    client, cloud = asking(cache=cache, session=session, pocket=Untouchable())
    session.expand = session.note = lambda *told: pytest.fail("the session was asked or told")  # type: ignore[method-assign]
    with client:
        for _ in range(3):
            assert client.search(picture(SENSITIVE)).decided_by == "cloud"
    assert cloud.requests == 3 and cache.size_bytes == 0


@pytest.mark.parametrize("decision", [Decision.FOUND, Decision.UNSURE, Decision.NOT_FOUND])
def test_an_answer_that_is_not_restricted_is_not_shown(asking, monkeypatch, decision: Decision) -> None:
    """From whatever answers in the service's name: what would be shown is a product for a disease."""
    client, cloud = asking()
    well = cloud.answer

    def open_answer(request: Any) -> Any:
        found = well(request)
        return dataclasses.replace(found, decision=decision, disclaimer="")

    monkeypatch.setattr(cloud, "answer", open_answer)
    with client:
        got = client.search(picture(SENSITIVE))
    assert (got.outcome, got.decided_by, got.matches, got.trouble) == (
        Outcome.RESTRICTED, "device", (), "E_ANSWER_MALFORMED",
    )  # fmt: skip


@pytest.mark.parametrize("trouble", [testing.unreachable(), testing.garbage(), testing.busy(retry_after_s=9)])
def test_when_the_service_cannot_be_asked_the_device_restricts(asking, trouble) -> None:
    client, cloud = asking(Options(ask_restricted=True, retries=0))
    cloud.will(trouble)
    with client:
        got: Answer = client.search(picture(SENSITIVE))
    assert (got.outcome, got.decided_by, got.final, got.matches) == (Outcome.RESTRICTED, "device", True, ())
    assert got.trouble is not None


def test_a_service_that_knows_no_sensitive_scores_refuses_and_does_not_answer_as_if_there_were_none(asking) -> None:
    client, cloud = asking()
    cloud.will(testing.refusing(ProtocolUnknown("expected protocol 1 or 2, got 3.")))
    with client, pytest.raises(ProtocolUnknown):
        client.search(picture(SENSITIVE))


def test_of_several_crops_all_that_are_sent_have_a_score_and_one_sensitive_one_is_enough(tiny: Bundle) -> None:
    device = Device.load(tiny)
    frame = picture(SENSITIVE, (400, 400))
    seen = observe(frame, device, Budget(5000), regions=[Box(0, 0, 200, 200)], ask_restricted=True)
    assert seen.restricted and seen.stop is None and len(seen.sent) == 2
    closed = observe(frame, device, Budget(5000), regions=[Box(0, 0, 200, 200)])
    assert closed.stop is Outcome.RESTRICTED and closed.sent == () and not closed.restricted
