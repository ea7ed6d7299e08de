"""kill -9 at every write point of the index's life: what was acknowledged is found, what was deleted is not, ever again."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support import index_crashes as crashes
from support.index_crashes import CORNER, SHOP, VICTIMS

from sightline_cloud.catalog.store import Store

FOLDER = r"index/[0-9a-f]{32}"
FILES = "lists.faiss manifest.json pks.i64 postings.msgpack space.f32 vectors.f16"
SOUND = re.compile(rf"index|{FOLDER}(/CURRENT|/hits\.f32|/\d{{6}}(/({FILES.replace('.', '[.]').replace(' ', '|')}))?)?")

PUBLISHED = {
    *("build: rows written", "build: lists written", "snapshot: files durable", "snapshot: manifest durable"),
    *(
        "os.rename building",
        "snapshot: named",
        "open CURRENT.new",
        "snapshot: pointer written",
        "os.rename CURRENT.new",
    ),
}
POINTED = {"open CURRENT.new", "snapshot: pointer written", "os.rename CURRENT.new", "snapshot: pointer moved"}
REMOVED = {"snapshot: old one's name removed", "os.remove vectors.f16", "os.rmdir removed", "snapshot: old one removed"}
# Points that each operation passes whatever else it does.
PASSED = {
    "build": PUBLISHED,
    "compact": PUBLISHED | {"after the commit", "catch-up: taken in", "compact: swapped"},
    "change": PUBLISHED | {"after the commit", "catch-up: removed", "compact: swapped"},
    "promote": {"open hits.new", "hits: written", "os.rename hits.new", "hits: moved"},
    "rollback": POINTED | {"after the commit", "catch-up: removed"},
    "erase": PUBLISHED | REMOVED | {"erase: items", "erase: index built again", "erase: snapshots", "erase: scrubbed"},
    "erase all": REMOVED | {"erase: items", "os.remove CURRENT", "erase: snapshots", "erase: scrubbed"},
    "prune": PUBLISHED | REMOVED,
    "shrink": REMOVED | {"os.remove CURRENT"},
}


@pytest.fixture(scope="module")
def deaths_of(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], list[dict]]]:
    """Return the deaths of an operation; a process beside this one goes on with those of the next."""
    command = [sys.executable, crashes.__file__, str(tmp_path_factory.mktemp("crashes"))]
    told: dict[str, list[dict]] = {operation: [] for operation in crashes.OPERATIONS}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:

        def wait_for(operation: str) -> list[dict]:
            while not told[operation] or told[operation][-1]["point"] or told[operation][-1]["again"]:
                line = process.stdout.readline()
                assert line, process.stderr.read()
                death = json.loads(line)
                told[death["operation"]].append(death)
            return told[operation]

        yield wait_for
        process.kill()


def states(store: Store) -> dict[str, str]:
    """What the catalogue says of the shop's items by id: "there", or "off" for one that is not available."""
    rows = store.database.ask("SELECT id, metadata FROM items WHERE tenant = ?", (SHOP,))
    return {key: "off" if json.loads(text).get("available") is False else "there" for key, text in rows}


def traces(data: Path) -> set[str]:
    """The victims of the erasure of which any file holds the vector or the code."""
    contents = [path.read_bytes() for path in data.rglob("*") if path.is_file()]
    marks = {key: (crashes.POOL[int(key[1:])].astype("<f2"), crashes.CODES[int(key[1:])]) for key in VICTIMS}
    return {key for key, own in marks.items() if any(mark.tobytes() in held for mark in own for held in contents)}


def strays(data: Path) -> list[str]:
    """What is under the index folder beside whole snapshots, their pointer and the hits."""
    names = [path.relative_to(data).as_posix() for path in (data / "index").rglob("*")]
    return [name for name in names if not SOUND.fullmatch(name)]


def check_recovery(death: dict, settings: dict) -> None:
    """Start again after a death, and fail unless everything is as it was acknowledged, and can go on."""
    data, acknowledged = Path(death["data"]), death["acknowledged"]
    assert "erased" not in acknowledged.values() or traces(data) == set()
    store, indexes = crashes.opened(data, **settings)
    indexes.catch_up()
    state = states(store)
    for key, told in acknowledged.items():
        assert state.get(key, "gone") == told.replace("erased", "gone"), key
    catalogue = {tenant: crashes.stored(store, tenant) for tenant in (SHOP, CORNER)}
    crashes.check_answers(indexes, catalogue, step=20)
    assert indexes.verify() == []
    if victims := {"erase": VICTIMS, "erase all": crashes.EVERY}.get(death["operation"]):
        # One that had begun is finished by any later one.
        crashes.erase(store, indexes, victims if set(victims) & set(state) else [])
        assert traces(data) == set()
        catalogue[SHOP] = crashes.stored(store, SHOP)
        crashes.check_answers(indexes, catalogue, step=20)
    indexes.compact(SHOP)
    crashes.check_answers(indexes, catalogue, step=1 if death["point"] is None else 20)
    assert indexes.verify() == []
    assert strays(data) == []
    store.database.close()


@pytest.mark.parametrize("operation", crashes.OPERATIONS)
def test_a_killed_process_loses_nothing_and_brings_nothing_back(
    operation: str, deaths_of: Callable[[str], list[dict]]
) -> None:
    deaths = deaths_of(operation)
    if operation.startswith("erase"):
        assert traces(Path(deaths[0]["data"]).with_name("source")) == set(VICTIMS), "the traces are there before"
    for death in deaths:
        try:
            check_recovery(death, crashes.settings_of(operation))
        except Exception as error:
            error.add_note(f"killed at '{death['point']}'{' while it recovered' * death['again']}: {death['data']}")
            raise
        shutil.rmtree(death["data"])
    points = [death["point"] for death in deaths if not death["again"]]
    again = [death["point"] for death in deaths if death["again"] and death["point"]]
    print(f"crash points: {operation} {len(points) - 1}, and {len(again)} once more while it recovered")
    assert points[-1] is None and None not in points[:-1]
    assert set(points) >= PASSED[operation] and again
