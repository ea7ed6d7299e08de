"""What is PostgreSQL's own: round trips, a server that dies, its URL, its driver."""

import subprocess
import sys
import threading

import psycopg
import pytest
from sqlalchemy import make_url
from support.catalogue import GENERATION, new_item
from support.postgres import restart_after_a_crash

from sightline_cloud.catalog import postgres as backend
from sightline_cloud.catalog.database import Database
from sightline_cloud.catalog.store import Store
from sightline_cloud.settings import Settings
from sightline_cloud.tenancy.auth import Keys
from sightline_shared.errors import ConfigInvalid, KeyUnknown, StoreError, StoreUnavailable


@pytest.fixture
def store(postgres_url: str):
    database = Database(postgres_url, [GENERATION])
    yield Store(database)
    database.close()


def test_what_every_query_asks_is_one_round_trip(store, tmp_path) -> None:
    """No BEGIN, no ping, no COMMIT around a single statement; libpq's own trace says so."""
    store.add("t", [new_item(f"i{n}") for n in range(20)])
    keys = Keys(store.database)
    key, feed = keys.add("k", tenant="t"), store.feed()
    store.hydrate("t", [1])
    pooled = store.database.backend.engine.raw_connection()  # there is one, which is used again and again
    with (tmp_path / "trace").open("w") as trace:
        pooled.driver_connection.pgconn.trace(trace.fileno())
        pooled.close()
        for ask in (
            lambda: store.hydrate("t", range(1, 21)),
            lambda: feed.changes_since(20),
            lambda: keys.caller(f"Bearer {key}"),
            store.position,
            lambda: store.thumbnail("t", "i3"),
        ):
            before = (tmp_path / "trace").read_text()
            assert ask() is not None
            own = (tmp_path / "trace").read_text()[len(before) :]
            assert own.count("\tSync") + own.count("\tQuery") == 1, own
        pooled = store.database.backend.engine.raw_connection()
        pooled.driver_connection.pgconn.untrace()
        pooled.close()


def test_what_was_acknowledged_survives_the_server_and_the_service_goes_on(store, postgres) -> None:
    store.add("t", [new_item("a"), new_item("b")])
    store.remove("t", ["a"])
    restart_after_a_crash(postgres)
    assert store.counts() == {"t": 1}, "a read finds its connections dead and makes new ones"
    restart_after_a_crash(postgres)
    store.add("t", [new_item("c")])  # and so does a write
    # A recovered PostgreSQL leaves numbers out, never uses one twice.
    assert [change.op for change in store.feed().changes_since(0)] == ["add", "add", "remove", "add"]
    assert store.position() > 3 and store.thumbnail("t", "c") == b"jpeg"


def test_a_server_that_is_not_there_is_named_without_the_password(tmp_path) -> None:
    with pytest.raises(StoreUnavailable, match="expected a working catalogue") as caught:
        Database(f"postgresql://me:s3cret@/name?host={tmp_path}", [GENERATION])
    assert "s3cret" not in str(caught.value) and str(tmp_path) in str(caught.value)
    assert "s3cret" not in repr(Settings(database_url="postgresql://me:s3cret@host/name"))


@pytest.mark.parametrize("wrong", ["mysql://me:s3cret@host/name", "s3cret", "postgresql://me:s3cret@host:port/name"])
def test_a_url_that_is_none_of_postgresql_is_refused_without_the_password(wrong: str) -> None:
    with pytest.raises(ConfigInvalid, match="database_url: expected") as caught:
        Database(wrong, [GENERATION])
    assert "s3cret" not in str(caught.value)


def test_a_database_that_something_else_lives_in_is_left_alone(postgres_url: str) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE items (something text)")
        with pytest.raises(StoreError, match="got items of something else"):
            Database(postgres_url, [GENERATION])
        tables = connection.execute("SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace").fetchall()  # fmt: skip
    assert tables == [("items",)]


def test_a_writer_that_waits_too_long_says_so(store, postgres_url: str, monkeypatch) -> None:
    monkeypatch.setattr(backend, "SESSION", backend.SESSION.replace(str(backend.BUSY_TIMEOUT_MS), "50"))
    impatient = Database(postgres_url, [GENERATION])
    with store.database.write(), pytest.raises(StoreUnavailable, match="lock timeout"):
        Store(impatient).add("t", [new_item("a")])
    Store(impatient).add("t", [new_item("a")])
    impatient.close()


def test_two_services_that_make_the_catalogue_at_once_make_one(postgres_url: str) -> None:
    opened, threads = [], []
    for _ in range(4):
        threads.append(threading.Thread(target=lambda: opened.append(Database(postgres_url, [GENERATION]))))
        threads[-1].start()
    for thread in threads:
        thread.join()
    assert len({database.catalogue_id for database in opened}) == 1 and len(opened) == 4
    for database in opened:
        database.close()


def test_a_server_set_to_acknowledge_too_early_is_told_to_wait_for_the_disk(postgres_url: str) -> None:
    url = make_url(postgres_url)
    options = url.query["options"] + " -csynchronous_commit=off"
    for given, expected in ((options, "on"), (options.replace("off", "remote_apply"), "remote_apply")):
        database = Database(url.update_query_dict({"options": given}).render_as_string(hide_password=False), [])
        with database.write() as connection:
            assert connection.exec_driver_sql("SHOW synchronous_commit").scalar() == expected
        database.close()


def test_keys_live_there_too(store) -> None:
    keys = Keys(store.database)
    key = keys.add("k", tenant="t")
    assert keys.caller(f"Bearer {key}").tenant == "t"
    keys.revoke("k", tenant="t")
    with pytest.raises(KeyUnknown):
        keys.caller(f"Bearer {key}")


def test_without_its_driver_the_exact_pip_line_is_told() -> None:
    code = """
import sys
sys.modules["psycopg"] = None
from sightline_cloud.catalog.database import Database
from sightline_shared.errors import ExtraMissing
try:
    Database("postgresql://host/name", [])
except ExtraMissing as error:
    print(error.hint)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "Run: pip install 'sightline[postgres]'\n"


def test_the_sizes_of_its_tables_are_told(store) -> None:
    assert store.database.backend.size_bytes() > 50_000
