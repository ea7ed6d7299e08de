"""The gate: rates and costs of keys, addresses that guess, and when keys were last used."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.catalogue import GENERATION

from sightline_cloud.catalog.database import Database
from sightline_cloud.tenancy.auth import Keys
from sightline_cloud.tenancy.bucket import MAX_BUCKETS
from sightline_cloud.tenancy.gate import Gate, network_of
from sightline_cloud.tenancy.limits import Limits
from sightline_shared.errors import KeyMissing, KeyUnknown, OverKeyLimit, RateLimited
from sightline_shared.protocol import Query

HERE, THERE = "192.0.2.1", "192.0.2.2"
QUERY = Query(b"pairing1", (bytes(64),), b"12345678", k=20)  # 2 units


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def keys(tmp_path: Path) -> Iterator[Keys]:
    database = Database(tmp_path / "c.sqlite", [GENERATION])
    yield Keys(database)
    database.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def gate_of(keys: Keys, clock: Clock, limits: Limits | None = None, **more: int) -> Gate:
    return Gate(keys, limits or Limits(), clock=clock, **more)


def limited(call) -> float:
    """Seconds after which the refusal wants to be asked again."""
    with pytest.raises(RateLimited) as caught:
        call()
    assert caught.value.http_status == 429 and caught.value.retry_after_s is not None
    return caught.value.retry_after_s


def test_a_key_over_its_rate_is_told_when_to_come_back_and_others_pass(keys: Keys, clock: Clock) -> None:
    gate = gate_of(keys, clock, Limits(per_second=0.5, burst=3))
    mine, theirs = f"Bearer {keys.add('mine')}", f"Bearer {keys.add('theirs')}"
    for _ in range(3):
        assert gate.enter(mine, HERE).name == "mine"
    assert limited(lambda: gate.enter(mine, HERE)) == 2
    assert gate.enter(theirs, HERE).name == "theirs"
    clock.now = 2
    assert gate.enter(mine, HERE)
    assert gate.stats("default") == {"requests": 1} and gate.stats("other") == {}


def test_both_secrets_of_a_rotated_key_draw_on_one_bucket(keys: Keys, clock: Clock) -> None:
    gate = gate_of(keys, clock, Limits(per_second=1, burst=2))
    old = keys.add("app")
    new = keys.rotate("app")
    gate.enter(f"Bearer {old}", HERE)
    gate.enter(f"Bearer {new}", HERE)
    limited(lambda: gate.enter(f"Bearer {old}", HERE))
    limited(lambda: gate.enter(f"Bearer {new}", HERE))


def test_limits_of_a_keys_own_hold_at_once_and_0_is_none(keys: Keys, clock: Clock) -> None:
    gate = gate_of(keys, clock, Limits(per_second=1, burst=1, cost_per_minute=1))
    key = f"Bearer {keys.add('app')}"
    gate.enter(key, HERE)
    limited(lambda: gate.enter(key, HERE))
    keys.limit("app", {"per_second": 0, "cost_per_minute": 0})
    for _ in range(50):
        gate.charge(gate.enter(key, HERE), 1000)
    keys.limit("app", {"max_k": 10})
    caller = keys.caller(key)
    with pytest.raises(OverKeyLimit, match="at most 10 matches"):
        gate.admit(caller, QUERY)


def test_dear_queries_use_up_the_budget_sooner(keys: Keys, clock: Clock) -> None:
    gate = gate_of(keys, clock, Limits(cost_per_minute=60), shards=1)
    keys.add("cheap")
    keys.add("dear")
    cheap, dear = (keys.caller(f"Bearer {keys.rotate(name)}") for name in ("cheap", "dear"))
    sixteen = Query(b"pairing1", (bytes(64),) * 16, b"12345678", k=20)  # 17 units
    passed = {caller.name: 0 for caller in (cheap, dear)}
    for caller, query in ((cheap, QUERY), (dear, sixteen)):
        try:
            while True:
                gate.admit(caller, query)
                passed[caller.name] += 1
        except RateLimited as error:
            assert error.retry_after_s is not None and error.retry_after_s >= 1
    assert passed == {"cheap": 30, "dear": 3}
    clock.now = 2
    gate.admit(cheap, QUERY)
    assert gate.stats("default") == {"costs": 2}


def test_shards_make_a_query_dearer(keys: Keys, clock: Clock) -> None:
    key = keys.add("app")
    gate = gate_of(keys, clock, Limits(cost_per_minute=9), shards=8)
    gate.admit(keys.caller(f"Bearer {key}"), QUERY)  # 8 + 1
    limited(lambda: gate.admit(keys.caller(f"Bearer {key}"), QUERY))


def test_an_address_that_guesses_is_not_even_looked_up_any_more(keys: Keys, clock: Clock, monkeypatch) -> None:
    gate, asked = gate_of(keys, clock, failures_per_minute=5), []
    honest = keys.caller
    monkeypatch.setattr(keys, "caller", lambda header, **given: asked.append(header) or honest(header, **given))
    for number in range(5):
        with pytest.raises(KeyUnknown):
            gate.enter(f"Bearer sk_{number}", HERE)
    for _ in range(20):
        assert limited(lambda: gate.enter("Bearer sk_guess", HERE)) == 12
    assert len(asked) == 5 and gate.stats("") == {"addresses": 20}
    with pytest.raises(KeyUnknown):
        gate.enter("Bearer sk_guess", THERE)
    clock.now = 12.1
    with pytest.raises(KeyUnknown):
        gate.enter("Bearer sk_guess", HERE)


def test_requests_without_a_key_count_as_guesses(keys: Keys, clock: Clock) -> None:
    gate = gate_of(keys, clock, failures_per_minute=3)
    for header in (None, "Basic x", "Bearer"):
        with pytest.raises(KeyMissing):
            gate.enter(header, HERE)
    limited(lambda: gate.enter(None, HERE))
    limited(lambda: gate.enter("Bearer " + "x" * 5000, HERE))


def test_keys_that_were_good_lately_pass_from_behind_the_guessers_proxy(keys: Keys, clock: Clock) -> None:
    gate = gate_of(keys, clock, failures_per_minute=3)
    good, new, gone = (f"Bearer {keys.add(name)}" for name in ("good", "new", "gone"))
    gate.enter(good, HERE)
    gate.enter(gone, HERE)
    for number in range(3):
        with pytest.raises(KeyUnknown):
            gate.enter(f"Bearer sk_{number}", HERE)
    assert gate.enter(good, HERE).name == "good"
    limited(lambda: gate.enter(new, HERE))
    keys.revoke("gone")
    with pytest.raises((KeyUnknown, RateLimited)):
        gate.enter(gone, HERE)
    limited(lambda: gate.enter(gone, HERE))
    clock.now = 30
    assert gate.enter(new, HERE).name == "new"


def test_a_revoked_key_is_refused_by_the_very_next_request(keys: Keys, clock: Clock) -> None:
    gate = gate_of(keys, clock)
    key = f"Bearer {keys.add('app')}"
    for _ in range(3):
        gate.enter(key, HERE)
    keys.revoke("app")
    with pytest.raises(KeyUnknown):
        gate.enter(key, HERE)


def test_ten_thousand_addresses_take_bounded_memory(keys: Keys, clock: Clock, monkeypatch) -> None:
    gate = gate_of(keys, clock, failures_per_minute=5)
    for number in range(MAX_BUCKETS + 500):
        with pytest.raises(KeyMissing):
            gate.enter(None, f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    assert len(gate._failures) == MAX_BUCKETS


def test_the_last_use_is_written_once_and_by_the_minute(keys: Keys, clock: Clock, monkeypatch) -> None:
    gate, written = gate_of(keys, clock), []
    honest = keys.note_used
    monkeypatch.setattr(keys, "note_used", lambda minutes: written.append(dict(minutes)) or honest(minutes))
    key = f"Bearer {keys.add('app')}"
    keys.add("unused")
    for _ in range(10):
        gate.enter(key, HERE)
    gate.flush()
    gate.flush()
    assert len(written) == 1 and list(written[0]) == [("default", "app")]
    used = {row["name"]: row["used"] for row in keys.list()}
    assert used["unused"] is None and len(used["app"]) == len("2026-01-01T12:07+00:00")


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("unix:" + "x" * 500, "unix:" + "x" * 59),
    ],
)
def test_an_address_is_counted_under_what_one_sender_has(address: str, network: str) -> None:
    assert network_of(address) == network
