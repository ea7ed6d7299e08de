"""Kills a process at every write point of an index's life over a real catalogue, and prints what it had acknowledged.

    python index_crashes.py FOLDER [OPERATION...]
    python index_crashes.py open FOLDER...

A write point is one of `crash.point`, or the moment before a file is opened for writing, renamed or removed, or a folder
made or removed. Each child works on a copy of its operation's data folder and ends at the n-th point, n = 1, 2, ... until
one ends by itself; every fifth folder is then opened again by a child that is killed, too, while it recovers. One JSON
line a child: operation, data (its folder), point (none at last), acknowledged (item id: "there", "off", "gone" or "erased").

With "open" each data folder is started in a child of its own, in 4 GiB of address space: one JSON line a folder: data,
status (0 when all is well, negative for a signal), said (reasons of refusal, or a traceback).
"""

import importlib
import json
import os
import resource
import shutil
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np

from sightline_cloud import crash, logs
from sightline_cloud.catalog.database import Database
from sightline_cloud.catalog.generations import Generation
from sightline_cloud.catalog.records import Embedding, NewItem
from sightline_cloud.catalog.store import Store
from sightline_cloud.index.tenants import TenantIndexes
from sightline_cloud.settings import Settings
from support.galleries import clustered, codec_of

SHOP, CORNER = "shop", "corner shop"  # the second one is too small for lists
GALLERY = Generation(b"crashing".hex(), "gallery 1", 32, 16)
CODEC = codec_of(16, 32)
POOL = clustered(2000, seed=5, dim=32)
CODES = CODEC.encode(POOL)
LARGE, SMALL = 1040, 12
# Every list is looked into: what is there is found. Lists hold the bundle's own codes: an erasure has to reach them.
EXACT = {"ivf_min_vectors": 1000, "nprobe": 65_536, "rescore": 20, "list_coder": "pq", "filter_keys": ("available",)}

Tell = Callable[[str, Sequence[str]], None]


def items(*numbers: int, prefix: str = "i", **metadata: object) -> list[NewItem]:
    """Items `i<n>` whose vectors are those of the pool."""
    return [
        NewItem(f"{prefix}{n}", {GALLERY.pairing_id: Embedding(POOL[n], CODES[n].tobytes())}, b"", (1, 1), metadata)
        for n in numbers
    ]


def ids(numbers: Sequence[int]) -> list[str]:
    return [f"i{number}" for number in numbers]


def opened(data: Path, **settings: Any) -> tuple[Store, TenantIndexes]:
    """Open the catalogue and the indexes of a data folder, as the service does at its start."""
    store = Store(Database(data / "c.sqlite", [GALLERY]))
    return store, TenantIndexes(store.feed(), CODEC, Settings(**{**EXACT, **settings}), data / "index")


def erase(store: Store, indexes: TenantIndexes, wanted: Sequence[str]) -> None:
    store.erase(SHOP, wanted, {"snapshots": lambda tenant, pks: indexes.erase(tenant, pks) if pks else []})


def filled(data: Path) -> Store:
    """Make a catalogue of two tenants that has no index yet."""
    data.mkdir(parents=True)
    store = Store(Database(data / "c.sqlite", [GALLERY]))
    store.add(SHOP, items(*range(LARGE)))
    store.add(CORNER, items(*range(1500, 1500 + SMALL)))
    return store


def indexed(data: Path, snapshots: int = 1, left: int = 0) -> None:
    """Make a catalogue with an index that has so many snapshots, between which items came and went."""
    filled(data).database.close()
    store, indexes = opened(data, snapshots_kept=9)
    for number in range(1, snapshots):
        store.add(SHOP, items(*range(LARGE + 10 * number, LARGE + 10 * number + 10)))
        store.remove(SHOP, ids(range(5 * number, 5 * number + 5)))
        indexes.catch_up()
        indexes.compact(SHOP)
    store.remove(SHOP, ids(range(left, left + 20)))  # into the log only
    store.add(SHOP, items(*range(1400, 1420)))
    store.database.close()


def build(data: Path, tell: Tell, settings: dict[str, Any]) -> None:
    store = Store(Database(data / "c.sqlite", [GALLERY]))
    tell("there", ids(range(LARGE)))
    TenantIndexes(store.feed(), CODEC, Settings(**settings), data / "index")


def compact(data: Path, tell: Tell, settings: dict[str, Any]) -> None:
    store, indexes = opened(data, **settings)
    for first in (1200, 1220):
        store.add(SHOP, items(*range(first, first + 20)))
        tell("there", ids(range(first, first + 20)))
        indexes.catch_up()
    indexes.compact(SHOP)


def change(data: Path, tell: Tell, settings: dict[str, Any]) -> None:
    store, indexes = opened(data, **settings)
    store.remove(SHOP, ids(range(100, 120)))
    tell("gone", ids(range(100, 120)))
    store.add(SHOP, items(130, 131, again=True))
    tell("there", ids((130, 131)))
    store.update_metadata(SHOP, "i200", {"available": False})
    tell("off", ["i200"])
    indexes.catch_up()
    indexes.compact(SHOP)


def promote(data: Path, tell: Tell, settings: dict[str, Any]) -> None:
    _, indexes = opened(data, **settings)
    for number in (300, 700):
        indexes.search(SHOP, POOL[number : number + 1].repeat(50, axis=0), 5)
        indexes.promote()


def rollback(data: Path, tell: Tell, settings: dict[str, Any]) -> None:
    store, indexes = opened(data, **settings)
    for first in (400, 450):
        store.remove(SHOP, ids(range(first, first + 10)))
        tell("gone", ids(range(first, first + 10)))
        indexes.catch_up()
        indexes.rollback(SHOP)


def erase_some(data: Path, tell: Tell, settings: dict[str, Any]) -> None:
    store, indexes = opened(data, **settings)
    erase(store, indexes, VICTIMS)
    tell("erased", VICTIMS)


def erase_all(data: Path, tell: Tell, settings: dict[str, Any]) -> None:
    store, indexes = opened(data, **settings)
    erase(store, indexes, EVERY)
    tell("erased", EVERY)


def prune(data: Path, tell: Tell, settings: dict[str, Any]) -> None:
    _, indexes = opened(data, **settings)
    indexes.compact(SHOP)


def shrink(data: Path, tell: Tell, settings: dict[str, Any]) -> None:
    """A tenant that becomes too small for lists loses its snapshots."""
    store, indexes = opened(data, **settings)
    store.remove(SHOP, ids(range(500, 900)))
    tell("gone", ids(range(500, 900)))
    indexes.catch_up()
    indexes.compact(SHOP)


# In the oldest snapshot, in what came later, and in the delta.
VICTIMS = ids((0, 333, LARGE + 12, 1405))
EVERY = ids(range(2000))


@dataclass(frozen=True)
class Operation:
    """What is done to a data folder that `prepare` made; `settings` beside those that are always so."""

    live: Callable[[Path, Tell, dict[str, Any]], None]
    prepare: Callable[[Path], object] = indexed
    settings: dict[str, Any] = field(default_factory=dict)


OPERATIONS = {
    "build": Operation(build, lambda data: filled(data).database.close()),
    "compact": Operation(compact),
    "change": Operation(change),
    "promote": Operation(promote, settings={"index_ram_bytes": 40_000}),
    "rollback": Operation(rollback, lambda data: indexed(data, 3)),
    "erase": Operation(erase_some, lambda data: indexed(data, 2, left=40)),
    "erase all": Operation(erase_all, lambda data: indexed(data, 2, left=40)),
    "prune": Operation(prune, lambda data: indexed(data, 3), {"snapshots_kept": 0}),
    "shrink": Operation(shrink),
}


def settings_of(operation: str) -> dict[str, Any]:
    return {**EXACT, **OPERATIONS[operation].settings}


def stored(store: Store, tenant: str) -> dict[int, tuple[np.ndarray, bool]]:
    """What the catalogue holds of a tenant: vector and availability by pk."""
    with store.feed().snapshot(tenant) as view:
        return {
            pk: (vector.astype(np.float32), fields.get("available") is not False)
            for rows in view.chunks
            for pk, vector, fields in zip(rows.pks.tolist(), rows.vectors, rows.metadata, strict=True)
        }


def check_answers(
    indexes: TenantIndexes, catalogue: dict[str, dict[int, tuple[np.ndarray, bool]]], step: int = 1
) -> None:
    """Fail unless what can be found of each tenant is what brute force over its `stored` items finds, all of it.

    Every item is found with the cosine of its own vector, and nothing else is; every `step`-th finds itself first.
    """
    for tenant, items in catalogue.items():
        pks = np.array([pk for pk, (_, available) in items.items() if available], np.int64)
        vectors = np.array([items[pk][0] for pk in pks.tolist()], np.float32).reshape(-1, GALLERY.dim)
        for query, cosines, found in zip(POOL[:2], *indexes.search(tenant, POOL[:2], 2000), strict=True):
            there = found >= 0
            assert sorted(found[there].tolist()) == pks.tolist(), tenant
            np.testing.assert_allclose(cosines[there], vectors[np.searchsorted(pks, found[there])] @ query, atol=1e-5)
            assert (np.diff(cosines[there]) <= 1e-6).all(), "best first"
        if len(pks):
            assert indexes.search(tenant, vectors[::step], 1)[1][:, 0].tolist() == pks[::step].tolist(), tenant


def recover(data: Path, tell: Tell, settings: dict[str, Any]) -> None:
    """What is done after a crash: the next start, and the next compaction."""
    _, indexes = opened(data, **settings)
    indexes.catch_up()
    indexes.compact(SHOP)


def watch(event: str, arguments: tuple[Any, ...]) -> None:
    """Make a write point of every change of files that Python itself announces."""
    if event == "open" and isinstance(arguments[0], str) and arguments[2] & (os.O_WRONLY | os.O_RDWR):
        crash.point(f"open {Path(arguments[0]).name}")
    elif event in ("os.rename", "os.remove", "os.rmdir") or (event == "os.mkdir" and not Path(arguments[0]).exists()):
        crash.point(f"{event} {Path(os.fsdecode(arguments[0])).name}")


def killed(live: Callable[[Path, Tell, dict[str, Any]], None], data: Path, settings: dict[str, Any], at: int) -> dict:
    """Run `live` in a child that ends at point `at`; returns the point's name, none when it was not reached, and what was told."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.dup2(write, 2)
        os.environ["SIGHTLINE_CRASH_AT"] = str(at)
        importlib.reload(crash)
        sys.addaudithook(watch)
        live(
            data,
            lambda state, names: os.write(write, json.dumps(dict.fromkeys(names, state)).encode() + b"\n"),
            settings,
        )
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        lines = pipe.read().splitlines()
    _, status = os.waitpid(child, 0)
    told = [line for line in lines if not line.startswith("{")]
    if status and (not os.WIFSIGNALED(status) or os.WTERMSIG(status) != signal.SIGKILL):
        raise AssertionError("\n".join(told))
    acknowledged = {key: state for line in lines if line.startswith("{") for key, state in json.loads(line).items()}
    return {"data": str(data), "point": told[-1].partition(": ")[2] if status else None, "acknowledged": acknowledged}


def deaths(folder: Path, name: str) -> Iterator[dict]:
    operation, settings = OPERATIONS[name], settings_of(name)
    source = folder / name / "source"
    operation.prepare(source)
    at, point = 0, ""
    while point is not None:
        at += 1
        data = Path(shutil.copytree(source, folder / name / str(at)))
        death = killed(operation.live, data, settings, at)
        point = death["point"]
        if point and at % 5 == 0:
            again = Path(shutil.copytree(data, folder / name / f"{at} again"))
            second = killed(recover, again, settings, 1 + at // 5 * 4 % 29)
            yield {**second, "operation": name, "again": True, "acknowledged": death["acknowledged"]}
        yield {**death, "operation": name, "again": False}


def start_in_child(data: Path) -> dict:
    """Open a data folder whose files are forged, check all answers, and return how it went."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.dup2(write, 2)
        resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
        logs.configure()
        store, indexes = opened(data)
        check_answers(indexes, {tenant: stored(store, tenant) for tenant in store.counts()}, step=100)
        if indexes.workshop.snapshots(SHOP).current() == "000002":  # not refused: then its graph is walked, too
            opened(data, nprobe=1)[1].search(SHOP, POOL[:200], 3)
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        said = pipe.read()
    _, status = os.waitpid(child, 0)
    return {"data": str(data), "status": os.waitstatus_to_exitcode(status), "said": said}


def main(folder: str, *names: str) -> None:
    if folder == "open":
        for name in names:
            print(json.dumps(start_in_child(Path(name))), flush=True)
        return
    for name in names or OPERATIONS:
        for death in deaths(Path(folder), name):
            print(json.dumps(death), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
