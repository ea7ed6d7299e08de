"""Damaged files of SQLite: an error that names it, or what was stored; never something else.

SQLite has no checksums of pages. A row's own checksum finds what changed in it; what this cannot find is a row that is
missing altogether, which `verify` does, and the end of a log that was cut off: then the catalogue is as it was earlier.
A file of no bytes at all is a new catalogue to SQLite.
"""

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from support.catalogue import GENERATION, new_item

from sightline_cloud.catalog.database import Database
from sightline_cloud.catalog.store import Store
from sightline_cloud.index.tenants import TenantIndexes
from sightline_cloud.settings import Settings
from sightline_shared.bundle import Bundle
from sightline_shared.errors import ItemNotFound, StoreCorrupt, StoreError, StoreUnavailable

ITEMS = 24
FLIPS = int(os.environ.get("SIGHTLINE_TEST_FLIPS", "100"))
Seen = dict[str, object]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalogue in one file, with removed items, free pages and several levels of pages."""
    path = tmp_path_factory.mktemp("sound") / "c.sqlite"
    store = Store(Database(path, [GENERATION]))
    store.add("t", [new_item(f"i{n}", thumbnail=bytes([n]) * 900, number=n, title=f"item {n}") for n in range(ITEMS)])
    store.add("u", [new_item("x", title="other tenant's")])
    store.remove("t", [f"i{n}" for n in range(0, ITEMS, 5)])
    store.database.scrub(())
    store.database.close()
    return path


def seen(path: Path) -> tuple[Seen, list[StoreError]]:
    """All that the catalogue says of its items, each read for itself, and the errors that it met."""
    found: Seen = {}
    errors: list[StoreError] = []

    def ask(key: str, question: Callable[[], object]) -> None:
        try:
            found[key] = question()
        except ItemNotFound:
            return
        except StoreError as error:
            errors.append(error)

    try:
        store = Store(Database(path, [GENERATION]))
    except StoreError as error:
        return {}, [error]
    feed = store.feed()
    for pk in range(1, ITEMS + 2):
        ask(f"hydrated {pk}", lambda pk=pk: store.hydrate("t", [pk]).get(pk))
        ask(f"row {pk}", lambda pk=pk: [(r.pks.tolist(), r.vectors.tobytes(), r.codes.tobytes(), r.metadata) for r in [feed.rows([pk])] if len(r)])  # fmt: skip
    for number in range(ITEMS):
        ask(f"item {number}", lambda number=number: store.get("t", f"i{number}"))
        ask(f"thumbnail {number}", lambda number=number: store.thumbnail("t", f"i{number}"))
    ask("changes", lambda: feed.changes_since(0))
    ask("snapshot", lambda: snapshot_of(store))
    ask("verify", store.verify)
    store.database.close()
    return {key: value for key, value in found.items() if value}, errors


def snapshot_of(store: Store) -> list[int]:
    with store.feed().snapshot("t", chunk=5) as snapshot:
        return [pk for rows in snapshot.chunks for pk in rows.pks.tolist()]


def damaged(sound: Path, folder: Path, change: Callable[[bytearray], object]) -> Path:
    data = bytearray(sound.read_bytes())
    change(data)
    path = folder / "c.sqlite"
    for old in folder.iterdir():
        old.unlink()
    path.write_bytes(data)
    return path


def is_true(key: str, stored: object, got: object) -> bool:
    """Return whether `got` is what was stored, or less of it: rows may be missing."""
    kind = key.partition(" ")[0]
    if kind == "hydrated":  # an item without its vector's row has no code
        return stored is not None and got in (stored, stored._replace(code=b""))
    if kind in ("changes", "snapshot"):
        return all(line in stored for line in got)
    return got == stored


def judge(truth: Seen, found: Seen, errors: list[StoreError], what: str) -> str:
    """Return "unharmed", "named" or "missing" for one damaged file; fails for anything that was never stored."""
    wrong = [key for key, value in found.items() if key != "verify" and not is_true(key, truth.get(key), value)]
    assert not wrong, f"{what}: {wrong[0]}: {found[wrong[0]]!r:.90}, stored was {truth.get(wrong[0])!r:.90}"
    assert all(isinstance(error, StoreCorrupt | StoreUnavailable | StoreError) for error in errors)
    if errors:
        return "named"
    missing = [key for key in truth if key not in found or found[key] != truth[key]]
    if missing:
        assert found.get("verify"), f"{what}: {missing[0]} is missing, and verify finds nothing"
        return "missing"
    return "unharmed"


def test_a_flipped_bit_is_named_or_harmless(sound: Path, tmp_path: Path) -> None:
    truth, errors = seen(shutil.copy(sound, tmp_path / "c.sqlite"))
    assert not errors and len(truth["snapshot"]) == 19 and "verify" not in truth
    size, rng, verdicts = sound.stat().st_size, random.Random(5), []
    for _ in range(FLIPS):
        place, bit = rng.randrange(size), rng.randrange(8)

        def flip(data: bytearray, place: int = place, bit: int = bit) -> None:
            data[place] ^= 1 << bit

        verdicts.append(judge(truth, *seen(damaged(sound, tmp_path, flip)), f"bit {bit} of byte {place}"))
    print(f"{FLIPS} flips: { ({verdict: verdicts.count(verdict) for verdict in sorted(set(verdicts))}) }")
    assert verdicts.count("named") > FLIPS / 10


def test_a_truncated_or_torn_file_is_named_or_harmless(sound: Path, tmp_path: Path) -> None:
    truth, _ = seen(shutil.copy(sound, tmp_path / "c.sqlite"))
    size, rng, verdicts = sound.stat().st_size, random.Random(6), []
    for length in (1, 15, 99, 100, 512, 4095, *range(4096, size, 7000), size - 4096, size - 1):

        def cut(data: bytearray, length: int = length) -> None:
            del data[length:]

        verdicts.append(judge(truth, *seen(damaged(sound, tmp_path, cut)), f"cut to {length}"))
    assert "unharmed" not in verdicts, "what was cut off is missed"
    for _ in range(30):
        sector = 512 * rng.randrange(size // 512)

        def tear(data: bytearray, sector: int = sector) -> None:
            data[sector : sector + 512] = rng.choice([bytes(512), rng.randbytes(512)])

        verdicts.append(judge(truth, *seen(damaged(sound, tmp_path, tear)), f"torn at {sector}"))
    print(f"{len(verdicts)} truncated and torn files: {({verdict: verdicts.count(verdict) for verdict in sorted(set(verdicts))})}")  # fmt: skip


def test_a_damaged_log_leaves_the_catalogue_as_it_once_was(tmp_path: Path) -> None:
    """A commit that was cut off after it was on the disk is one that SQLite cannot know of: it stops before it."""
    source, states = tmp_path / "source.sqlite", []
    store = Store(Database(source, [GENERATION]))
    for number in range(6):
        store.add("t", [new_item(f"i{number}", thumbnail=bytes(500)), new_item("again", seed=number)])
        states.append(store.feed().changes_since(0))
    main, log = source.read_bytes(), source.with_name("source.sqlite-wal").read_bytes()
    assert len(log) > 50_000, "nothing was moved into the main file yet"
    store.database.close()
    rng, path, ends = random.Random(7), tmp_path / "c.sqlite", set()
    for number in range(30):
        torn = bytearray(log)
        if number % 2:
            del torn[rng.randrange(len(torn)) :]
        else:
            torn[rng.randrange(len(torn))] ^= 1 << rng.randrange(8)
        path.with_name("c.sqlite-shm").unlink(missing_ok=True)
        path.write_bytes(main)
        path.with_name("c.sqlite-wal").write_bytes(torn)
        again = Store(Database(path, [GENERATION]))
        found = again.feed().changes_since(0)
        assert found in ([], *states) and again.verify() == []
        with again.feed().snapshot("t") as snapshot:
            pks = [pk for rows in snapshot.chunks for pk in rows.pks.tolist()]
        gone = {change.pk for change in found if change.op == "remove"}
        assert pks == [change.pk for change in found if change.op == "add" and change.pk not in gone]
        ends.add(len(found))
        again.database.close()
    print(f"30 damaged logs: {len(ends)} different earlier states, each whole")
    assert len(ends) > 3


def test_a_damaged_row_can_be_removed_or_replaced(tmp_path: Path) -> None:
    store = Store(Database(tmp_path / "c.sqlite", [GENERATION]))
    store.add("t", [new_item("a"), new_item("b"), new_item("c")])
    with store.database.write() as connection:
        connection.exec_driver_sql("UPDATE items SET metadata = '{\"price\": 0}' WHERE pk = 1")
        connection.exec_driver_sql("UPDATE vectors_1 SET vector = zeroblob(512) WHERE pk = 2")
        connection.exec_driver_sql("UPDATE thumbnails SET jpeg = x'00' WHERE pk = 3")
    for ask in (lambda: store.hydrate("t", [1]), lambda: store.feed().rows([2]), lambda: store.thumbnail("t", "c"), lambda: store.get("t", "a")):  # fmt: skip
        with pytest.raises(StoreCorrupt, match="checksum differs"):
            ask()
    assert [line.split(":")[0] for line in store.verify()] == ["items", "thumbnails", "vectors_1"]
    assert store.hydrate("t", [3])[3].id == "c", "the others answer"
    store.remove("t", ["a"])
    store.add("t", [new_item("b"), new_item("c")])
    assert store.verify() == [] and len(store.hydrate("t", range(1, 9))) == 2


@pytest.mark.parametrize("count", [60, 1100])
def test_a_damaged_row_keeps_no_index_from_being_built_and_answers_when_it_is_replaced(
    tmp_path: Path, tiny: Bundle, count: int
) -> None:
    """Small tenants' indexes are built from the catalogue at every start, large ones' when they are compacted."""
    store = Store(Database(tmp_path / "c.sqlite", [GENERATION]))
    store.add("t", [new_item(f"i{number}") for number in range(count)])
    with store.database.write() as connection:
        connection.exec_driver_sql("UPDATE items SET metadata = '{\"price\": 0}' WHERE pk = 1")
        connection.exec_driver_sql("UPDATE vectors_1 SET vector = zeroblob(512) WHERE pk = 20")
    settings = Settings(ivf_min_vectors=1000)

    def found() -> set[int]:
        cosines_and_pks = indexes.search("t", np.ones((1, tiny.codec.dim), np.float32), count)
        return set(cosines_and_pks[1][0].tolist()) - {-1}

    for _ in range(2):
        indexes = TenantIndexes(store.feed(), tiny.codec, settings, tmp_path / "index")
        indexes.compact("t")
        assert indexes.stats()["t"]["damaged_rows"] == 2
        assert found() == set(range(1, count + 1)) - {1, 20}
        assert indexes.verify() == []
    store.add("t", [new_item("i0"), new_item("i19")])
    indexes.catch_up()
    assert indexes.stats()["t"]["damaged_rows"] == 0 and indexes.trouble is None
    assert found() == set(range(1, count + 3)) - {1, 20}


def test_a_file_that_is_no_catalogue_is_named(tmp_path: Path) -> None:
    (tmp_path / "c.sqlite").write_bytes(b"This is a photograph, really. " * 500)
    with pytest.raises(StoreCorrupt, match="expected a working catalogue, got 'file is not a database'"):
        Database(tmp_path / "c.sqlite", [GENERATION])
