"""Kills a process at every write point of a catalogue's life, and prints what it had acknowledged before.

    python catalogue_crashes.py life|migration FOLDER [URL...]

Each life is a child of its own that ends at the n-th point, n = 1, 2, ... until one ends by itself. Catalogue n is
FOLDER/n.sqlite, or the n-th URL. One JSON line a child: {"point": name, "acknowledged": steps}.
"""

import importlib
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from sightline_cloud import crash
from sightline_cloud.catalog.database import Database
from sightline_cloud.catalog.generations import Generation
from sightline_cloud.catalog.store import Store
from support.catalogue import GENERATION, OTHER, embedding, new_item

GOLDEN = Path(__file__).parents[1] / "golden" / "catalogue-1.sqlite"
GOLDEN_BUNDLE = Generation(b"pairing1".hex(), "golden 1", 16, 4)
BOTH = (GENERATION, OTHER)

STEPS: tuple[Callable[[Store], object], ...] = (
    lambda store: store.add("t", [new_item(f"i{n}", generations=BOTH, number=n) for n in range(3)]),
    lambda store: store.add("t", [new_item("i1", generations=(GENERATION,), again=True), new_item("i3")]),
    lambda store: store.update_metadata("t", "i0", {"number": None, "price": 5}),
    lambda store: store.add_vectors("t", OTHER.pairing_id, {"i1": embedding(7, OTHER), "i3": embedding(8, OTHER)}),
    lambda store: store.remove("t", ["i2", "never there"]),
    lambda store: store.prune_changes(4),
    lambda store: store.erase("t", ["i0"], {"snapshots": lambda tenant, pks: len(pks)}),
    lambda store: list(store.bulk_add("t", [new_item(f"bulk{n}") for n in range(4)], batch=2)),
)


def state(store: Store) -> dict[str, object]:
    """All that can be seen of a catalogue with one tenant 't'."""
    seen: dict[str, object] = {}
    for kind in store.database.generations:
        with store.feed(kind).snapshot("t") as snapshot:
            for rows in snapshot.chunks:
                items = store.hydrate("t", rows.pks.tolist(), kind)
                for pk, vector, metadata in zip(rows.pks.tolist(), rows.vectors, rows.metadata, strict=True):
                    thumbnail = store.thumbnail("t", items[pk].id)
                    seen[f"{items[pk].id} in {kind}"] = [pk, vector.tobytes().hex(), metadata, thumbnail.hex()]
    return seen


def live(where: Path | str, tell: Callable[[str], None], after: Callable[[Store], None] = lambda store: None) -> None:
    store = Store(Database(where, BOTH))
    for number, step in enumerate(STEPS, 1):
        step(store)
        tell(f"{number}\n")
        after(store)
    store.database.close()


def migrate(where: Path | str, tell: Callable[[str], None]) -> None:
    Database(where, [GOLDEN_BUNDLE]).close()
    tell("1\n")


def run(life: Callable[[Path | str, Callable[[str], None]], None], where: Path | str, number: int) -> dict[str, object]:
    """Run `life` in a child that ends at point `number`."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.dup2(write, 2)
        os.environ["SIGHTLINE_CRASH_AT"] = str(number)
        importlib.reload(crash)
        life(where, lambda line: os.write(write, line.encode()))
        os._exit(0)
    os.close(write)
    _, status = os.waitpid(child, 0)
    with os.fdopen(read) as pipe:
        lines = pipe.read().splitlines()
    told = [line for line in lines if not line.isdecimal()]
    if status and os.WTERMSIG(status) != signal.SIGKILL:
        raise AssertionError("\n".join(told))
    point = told[-1].partition(": ")[2] if status else ""
    return {"point": point, "acknowledged": len(lines) - len(told)}


def main(kind: str, folder: str, *urls: str) -> None:
    number = 0
    while True:
        number += 1
        where: Path | str = urls[number - 1] if urls else Path(folder) / f"{number}.sqlite"
        if kind == "migration":
            shutil.copy(GOLDEN, where)
        result = run(live if kind == "life" else migrate, where, number)
        print(json.dumps(result), flush=True)
        if not result["point"]:
            return


if __name__ == "__main__":
    main(*sys.argv[1:])
