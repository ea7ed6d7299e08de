"""Keys: made, rotated, limited, expired, revoked; on SQLite and on PostgreSQL."""

import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.catalogue import GENERATION
from support.postgres import new_schema, postgres_server

from sightline_cloud.catalog.database import Database
from sightline_cloud.tenancy import auth
from sightline_cloud.tenancy.auth import Caller, Keys
from sightline_shared.errors import ConfigInvalid, KeyMissing, KeyUnknown, ScopeMissing, StoreCorrupt


class Clock:
    """The time that keys see."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, 12, tzinfo=UTC)

    def go_on(self, **by: float) -> None:
        self.now += timedelta(**by)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(auth, "_now", lambda: clock.now)
    return clock


@pytest.fixture(scope="module")
def postgres():
    with postgres_server() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgres"])
def keys(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Keys]:
    where = tmp_path / "c.sqlite" if request.param == "sqlite" else new_schema(request.getfixturevalue("postgres"))
    database = Database(where, [GENERATION])
    yield Keys(database)
    database.close()


def bearer(keys: Keys, key: str) -> Caller:
    return keys.caller(f"Bearer {key}")


def refused(keys: Keys, key: str) -> KeyUnknown:
    with pytest.raises(KeyUnknown) as caught:
        bearer(keys, key)
    return caught.value


def test_a_rotated_key_has_two_secrets_until_the_grace_is_over(keys: Keys, clock: Clock) -> None:
    old = keys.add("app", tenant="shop", scopes=("search",), limits={"burst": 3})
    new = keys.rotate("app", tenant="shop", grace_hours=2)
    for key in (old, new):
        assert bearer(keys, key) == Caller("shop", "app", frozenset({"search"}), {"burst": 3})
    clock.go_on(hours=2, seconds=-1)
    assert bearer(keys, old)
    clock.go_on(seconds=1)
    refused(keys, old)
    assert bearer(keys, new)


def test_a_second_rotation_ends_the_first_secret_at_once(keys: Keys, clock: Clock) -> None:
    first = keys.add("app")
    second, third = keys.rotate("app"), keys.rotate("app")
    refused(keys, first)
    assert bearer(keys, second) and bearer(keys, third)
    fourth = keys.rotate("app", grace_hours=0)
    assert refused(keys, third) and bearer(keys, fourth)


def test_a_revoked_key_takes_its_old_secret_with_it_and_cannot_be_rotated(keys: Keys, clock: Clock) -> None:
    old = keys.add("app")
    new = keys.rotate("app", grace_hours=48)
    keys.revoke("app")
    refused(keys, old)
    refused(keys, new)
    for change in (keys.rotate, keys.revoke, lambda name: keys.limit(name, {})):
        with pytest.raises(KeyUnknown, match="expected a live key of tenant 'default', got 'app'"):
            change("app")


def test_a_key_expires_and_a_rotation_may_say_anew_when(keys: Keys, clock: Clock) -> None:
    brief, longer = keys.add("brief", days=2), keys.add("longer", days=2)
    clock.go_on(days=1)
    longer = keys.rotate("longer", days=30)
    brief = keys.rotate("brief")
    clock.go_on(days=1)
    refused(keys, brief)
    assert bearer(keys, longer)
    clock.go_on(days=29)
    refused(keys, longer)


def test_unknown_expired_and_revoked_keys_are_told_apart_by_nobody(keys: Keys, clock: Clock) -> None:
    expired, revoked = keys.add("expired", days=1), keys.add("revoked")
    former = keys.add("former")
    keys.rotate("former", grace_hours=1)
    keys.revoke("revoked")
    clock.go_on(days=1)
    told = {str(refused(keys, key)) for key in (expired, revoked, former, "sk_unknown", "x" * 5000)}
    assert told == {str(KeyUnknown("the API key is not known."))}


def test_every_part_is_looked_at_whichever_fails(keys: Keys, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[int] = []
    honest = auth.hmac.compare_digest
    monkeypatch.setattr(auth.hmac, "compare_digest", lambda a, b: compared.append(len(a)) or honest(a, b))
    expired, revoked, good = keys.add("expired", days=1), keys.add("revoked"), keys.add("good")
    keys.revoke("revoked")
    clock.go_on(days=1)
    for key in (expired, revoked, "sk_unknown", good):
        compared.clear()
        try:
            bearer(keys, key)
        except KeyUnknown:
            assert key != good
        assert compared == [32, 32]


def test_the_list_tells_everything_but_secrets(keys: Keys, clock: Clock) -> None:
    key = keys.add("app", days=10, limits={"max_k": 5})
    new = keys.rotate("app", grace_hours=1)
    keys.note_used({("default", "app"): "2026-01-01T12:07+00:00"})
    (row,) = keys.list()
    assert row == {
        "name": "app",
        "tenant": "default",
        "scopes": "rerank,search,write",
        "created": "2026-01-01T12:00:00+00:00",
        "revoked": None,
        "expires": "2026-01-11T12:00:00+00:00",
        "previous_until": "2026-01-01T13:00:00+00:00",
        "used": "2026-01-01T12:07+00:00",
        "limits": {"max_k": 5},
    }
    assert key not in str(row) and new not in str(row)


def test_the_last_use_only_moves_on(keys: Keys) -> None:
    keys.add("a")
    keys.add("b")
    keys.note_used({("default", "a"): "2026-01-01T12:07+00:00", ("default", "b"): "2026-01-01T12:09+00:00"})
    keys.note_used({("default", "a"): "2026-01-01T12:06+00:00", ("nobody", "b"): "2026-01-01T12:20+00:00"})
    assert {row["name"]: row["used"] for row in keys.list()} == {
        "a": "2026-01-01T12:07+00:00",
        "b": "2026-01-01T12:09+00:00",
    }


def test_limits_of_a_key_can_be_set_and_taken_back(keys: Keys) -> None:
    key = keys.add("app")
    assert bearer(keys, key).limits == {}
    keys.limit("app", {"per_second": 0.5, "max_codes": 2})
    assert bearer(keys, key).limits == {"per_second": 0.5, "max_codes": 2}
    keys.limit("app", {})
    assert bearer(keys, key).limits == {}


@pytest.mark.parametrize(
    "wrong",
    [
        {"days": 0},
        {"days": 4000},
        {"limits": {"per_hour": 3}},
        {"limits": {"max_k": 0}},
        {"limits": {"max_k": 51}},
        {"limits": {"burst": True}},
        {"limits": {"per_second": float("nan")}},
        {"limits": {"per_second": -1}},
        {"limits": {"max_codes": 2.5}},
        {"scopes": ()},
        {"scopes": ("search", "root")},
        {"tenant": "two words"},
    ],
)
def test_what_a_key_cannot_be_is_refused_and_nothing_is_stored(keys: Keys, wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigInvalid, match="expected"):
        keys.add("app", **wrong)
    assert keys.list() == []


@pytest.mark.parametrize("hours", [-1, 24 * 90 + 1, float("nan")])
def test_a_grace_out_of_range_is_refused_and_the_key_stays(keys: Keys, hours: float) -> None:
    key = keys.add("app")
    with pytest.raises(ConfigInvalid, match="grace hours: expected"):
        keys.rotate("app", grace_hours=hours)
    assert bearer(keys, key)


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic abc", "sk_x"])
def test_a_header_without_a_key_is_told_so(keys: Keys, header: str | None) -> None:
    with pytest.raises(KeyMissing):
        keys.caller(header)


def test_a_scope_that_is_missing_is_named() -> None:
    with pytest.raises(ScopeMissing, match="expected the scope 'write', got search"):
        Caller("t", "app", frozenset({"search"})).require("write")


def test_limits_that_were_tampered_with_are_damage_and_not_no_limits(tmp_path: Path) -> None:
    database = Database(tmp_path / "c.sqlite", [GENERATION])
    keys = Keys(database)
    key = keys.add("app", limits={"max_k": 5})
    connection = sqlite3.connect(tmp_path / "c.sqlite", isolation_level=None)
    for text in ("{", "[]", '{"max_k": "5"}', '{"max_x": 5}', "7"):
        connection.execute("UPDATE keys SET limits = ?", (text,))
        with pytest.raises(StoreCorrupt, match="keys: expected limits as they were stored"):
            bearer(keys, key)
    connection.close()
    database.close()
