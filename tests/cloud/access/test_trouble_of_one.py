"""What an operator of one tenant hears of damage: its own rows, and nothing that another tenant's make more or less."""

import itertools
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.crowd import fill

from sightline_cloud.engine import Engine
from sightline_cloud.index.tenants import TenantIndexes
from sightline_cloud.operate import report
from sightline_cloud.settings import Settings
from sightline_shared.bundle import Bundle
from sightline_shared.errors import StoreUnavailable

ITEMS = 5
rows = st.sets(st.integers(0, ITEMS - 1))
TENANTS = (f"tenant{number}" for number in itertools.count())


@pytest.fixture(scope="module")
def engine(tiny: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    found = Engine(Settings(data_dir=tmp_path_factory.mktemp("trouble"), shards=2), tiny)
    yield found
    found.close()


def damage(engine: Engine, tenant: str, ids: list[str], numbers: set[int]) -> None:
    for number in numbers:
        with engine.database.write() as connection:
            sql = f"UPDATE items SET metadata = '{{}}' WHERE tenant = '{tenant}' AND id = '{ids[number]}'"
            assert connection.exec_driver_sql(sql).rowcount == 1


def told(engine: Engine, tenant: str) -> list[str]:
    return report.in_memory(engine, tenant)["trouble"]


def counted(lines: list[str]) -> int:
    return sum(int(line.split(": ")[1].split(" ")[0]) for line in lines)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(mine=rows, theirs=rows)
def test_only_the_tenants_own_damaged_rows_are_told(engine: Engine, mine: set[int], theirs: set[int]) -> None:
    own, other = next(TENANTS), next(TENANTS)
    ids = {tenant: fill(engine, ITEMS, tenant=tenant) for tenant in (own, other)}
    damage(engine, own, ids[own], mine)
    engine.catch_up()
    before = told(engine, own)
    assert counted(before) == len(mine)
    fill(engine, ITEMS, tenant=other, first=ITEMS)
    damage(engine, other, ids[other], theirs)
    engine.catch_up()
    assert told(engine, own) == before
    assert told(engine, "a tenant without items") == []


def test_that_the_index_cannot_follow_is_told_without_what_the_error_names(engine: Engine, monkeypatch) -> None:
    fill(engine, 1, tenant="mine")
    engine.catch_up()

    def fail(self: TenantIndexes) -> int:
        raise StoreUnavailable("/data/catalogue.sqlite: item 'their/secret' of 'theirs' cannot be read.")

    with monkeypatch.context() as broken:
        broken.setattr(TenantIndexes, "_follow", fail)
        with pytest.raises(StoreUnavailable):
            engine.catch_up()
    assert "theirs" in (engine.primary.indexes.trouble or "")
    assert len(told(engine, "mine")) == 2 and "theirs" not in str(told(engine, "mine"))
    engine.catch_up()
    assert told(engine, "mine") == []
