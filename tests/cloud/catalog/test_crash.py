"""kill -9 at every write point: what was acknowledged is there, what was not is there whole or not at all."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support import catalogue_crashes as crashes
from support.catalogue import new_item
from support.postgres import new_schema

from sightline_cloud.catalog.database import Database
from sightline_cloud.catalog.feed import Change
from sightline_cloud.catalog.store import Store

MOST_POINTS = 80


def killed(kind: str, folder: Path, urls: list[str]) -> list[dict]:
    command = [sys.executable, crashes.__file__, kind, str(folder), *urls]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def followed(changes: list[Change]) -> set[int]:
    """The pks that an index has that follows the log from its beginning."""
    there: set[int] = set()
    for change in changes:
        if change.op == "add":
            there.add(change.pk)
        elif change.op == "remove":
            there.discard(change.pk)
    return there


@pytest.mark.parametrize("backend", ["sqlite", "postgres"])
def test_a_killed_process_loses_nothing_acknowledged_and_leaves_nothing_half_done(
    backend: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    urls = []
    if backend == "postgres":
        server = request.getfixturevalue("postgres")
        urls = [new_schema(server) for _ in range(MOST_POINTS)]
    places = urls or [tmp_path / f"{number}.sqlite" for number in range(1, MOST_POINTS)]
    children = killed("life", tmp_path, urls)
    whole = new_schema(request.getfixturevalue("postgres")) if urls else tmp_path / "whole.sqlite"
    expected = [{}]
    crashes.live(whole, lambda line: None, lambda store: expected.append(crashes.state(store)))
    # The last step's two batches are durable one by one.
    between = {key: row for key, row in expected[-1].items() if key[:5] not in ("bulk2", "bulk3")}
    for place, child in zip(places, children, strict=False):
        store = Store(Database(place, crashes.BOTH))
        found, acknowledged = crashes.state(store), child["acknowledged"]
        allowed = [expected[acknowledged], *expected[acknowledged + 1 : acknowledged + 2]]
        if acknowledged == len(crashes.STEPS) - 1:
            allowed.append(between)
        assert found in allowed, f"killed at '{child['point']}' after {acknowledged} steps"
        assert store.verify() == []
        if acknowledged < 5:
            for kind in store.database.generations:
                assert followed(store.feed(kind).changes_since(0)) >= {row[0] for key, row in found.items() if kind in key}  # fmt: skip
        goes_on(store)
    print(f"{backend}: {len(children) - 1} points: {sorted({child['point'] for child in children} - {''})}")
    assert children[-1] == {"point": "", "acknowledged": len(crashes.STEPS)} and len(children) > 30


def goes_on(store: Store) -> None:
    """What comes after a crash works, and takes up an erasure that was left open."""
    high = max([0, *(row[0] for row in crashes.state(store).values())])
    position = store.position()
    store.add("t", [new_item("after")])
    assert store.feed().changes_since(position)[-1].pk > high
    store.erase("t", ["after"])
    assert store.database.ask("SELECT number FROM erasures WHERE pks IS NOT NULL") == []
    if isinstance(path := getattr(store.database.backend, "path", None), Path) and not store.counts().get("t"):
        assert b"i0" not in path.read_bytes()
    store.database.close()


def test_a_migration_that_was_killed_is_done_by_the_next_opening(tmp_path: Path) -> None:
    children = killed("migration", tmp_path, [])
    crashes.migrate(crashes.shutil.copy(crashes.GOLDEN, tmp_path / "whole.sqlite"), lambda line: None)
    expected = contents(tmp_path / "whole.sqlite")
    for number, child in enumerate(children, 1):
        assert contents(tmp_path / f"{number}.sqlite") == expected, child
    points = [child["point"] for child in children]
    print(f"migration: {len(points) - 1} points: {points}")
    assert len(points) > 7 and points[-1] == "" and "before the commit" in points and "migrate: vacuumed" in points


def contents(path: Path) -> list:
    database = Database(path, [crashes.GOLDEN_BUNDLE])
    tables = [name for (name,) in database.ask("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
    rows = [(table, database.ask(f"SELECT * FROM {table}")) for table in tables if table not in ("meta", "generations")]
    meta = dict(database.ask("SELECT key, value FROM meta WHERE key != 'catalogue_id'"))
    assert Store(database).verify() == []
    database.close()
    return [rows, meta]


def test_the_point_of_a_crash_is_counted_from_the_environment() -> None:
    code = "from sightline_cloud import crash; crash.point('one'); crash.point('two'); print('lived')"
    told = {}
    for at in ("1", "2", "3", ""):
        env = {**os.environ, "SIGHTLINE_CRASH_AT": at}
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, check=False)
        told[at] = (done.returncode, done.stdout.strip(), done.stderr.strip())
    assert told == {
        "1": (-9, "", "crash point 1: one"), "2": (-9, "", "crash point 2: two"), "3": (0, "lived", ""), "": (0, "lived", ""),
    }  # fmt: skip
