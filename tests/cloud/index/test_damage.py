"""Damaged, swapped and forged files of snapshots: refused and built again from the catalogue, never served, never a crash.

A digest finds whatever happened to a file. What is forged with digests that match, by somebody who may write the folder,
is refused for what it says, or for what faiss refuses to read; such files are opened in a child, since a reader that
crashed would take the tests with it.
"""

import hashlib
import json
import logging
import os
import shutil
import struct
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import faiss
import msgpack
import numpy as np
import pytest
from pyroaring import BitMap
from support import index_crashes as crashes
from support.index_crashes import CORNER, LARGE, SHOP, items, opened, stored

from sightline_cloud.catalog.database import Database
from sightline_cloud.catalog.store import Store
from sightline_cloud.index.compact import tenant_folder
from sightline_cloud.index.snapshot import CURRENT, HITS, MANIFEST, read_manifest, sha256_of
from sightline_shared.errors import ChangesPruned, IndexFailed, SnapshotCorrupt

DATA_FILES = ("lists.faiss", "pks.i64", "vectors.f16", "postings.msgpack", "space.f32")
OTHER = "other large shop"
SETTINGS = {"index_ram_bytes": 60_000}  # so that there are hits, and lists on the SSD

Change = Callable[[Path], object]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder of two large tenants, the first with two snapshots, and of a small one; and the copies beside it."""
    data = tmp_path_factory.mktemp("sound") / "data"
    store = crashes.filled(data)
    store.add(OTHER, items(*range(900, 1910)))
    store.database.close()
    shutil.copy(data / "c.sqlite", data.parent / "earlier.sqlite")
    store, indexes = opened(data, **SETTINGS)
    store.add(SHOP, items(*range(LARGE, LARGE + 30), available=True))
    store.remove(SHOP, crashes.ids(range(10)))
    indexes.compact(SHOP)
    indexes.search(SHOP, crashes.POOL[:50], 3)
    indexes.promote()
    store.remove(SHOP, crashes.ids(range(30, 35)))
    store.database.close()
    assert shop_in(data).joinpath(CURRENT).read_text() == "000002\n"
    return data


def shop_in(data: Path) -> Path:
    return tenant_folder(data / "index", SHOP)


def open_damaged(data: Path, caplog: pytest.LogCaptureFixture, *, go_on: bool = False) -> tuple[str, str]:
    """Start over a damaged folder, and fail unless all answers are right, also after what may come next (`go_on`).

    Returns "refused", "rebuilt" or "harmless", and what was said of it.
    """
    caplog.clear()
    with caplog.at_level(logging.INFO, "sightline"):
        store, indexes = opened(data, **SETTINGS)
    events = {record.message: getattr(record, "fields", {}) for record in caplog.records}
    catalogue = {tenant: stored(store, tenant) for tenant in (SHOP, OTHER, CORNER)}
    crashes.check_answers(indexes, catalogue, step=50)
    if go_on:
        named = indexes.verify()
        indexes.compact(SHOP)
        crashes.check_answers(indexes, catalogue, step=50)
        assert set(indexes.verify()) <= set(named), "what comes after is sound"
        store.database.close()
        store, indexes = opened(data, **SETTINGS)
        assert indexes.stats()[SHOP]["delta"] == 0, "opened from the new snapshot"
        crashes.check_answers(indexes, catalogue, step=50)
    store.database.close()
    if "snapshot_refused" in events:
        return "refused", events["snapshot_refused"]["reason"]
    return ("rebuilt" if "index_build" in events else "harmless"), ""


def flip(place: float) -> Change:
    def change(path: Path) -> None:
        data = bytearray(path.read_bytes())
        data[min(len(data) - 1, int(place * len(data)))] ^= 1
        path.write_bytes(data)

    return change


def cut(length: Callable[[int], int]) -> Change:
    return lambda path: os.truncate(path, length(path.stat().st_size))


def swapped_with(other: Callable[[Path], Path]) -> Change:
    def change(path: Path) -> None:
        path.write_bytes(other(path).read_bytes())

    return change


def of_other_tenant(path: Path) -> Path:
    folder = tenant_folder(path.parents[2] if path.parent.name.isdecimal() else path.parents[1], OTHER)
    return folder / path.name if path.name in (CURRENT, HITS) else folder / "000001" / path.name


def replaced_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "inside").write_text("x")


def linked(path: Path) -> None:
    """The same bytes, by a link: what it leads to would never be erased."""
    elsewhere = path.parents[4] / f"elsewhere {path.name}"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)


def linked_to(target: str) -> Change:
    def change(path: Path) -> None:
        path.unlink()
        path.symlink_to(target)

    return change


CHANGES: dict[str, Change] = {
    "cut to nothing": cut(lambda size: 0),
    "cut to half": cut(lambda size: size // 2),
    "cut by one byte": cut(lambda size: size - 1),
    "first bit flipped": flip(0),
    "bit flipped in the middle": flip(0.5),
    "last bit flipped": flip(1),
    "garbage after it": lambda path: path.write_bytes(path.read_bytes() + b"garbage"),
    "of the snapshot before": swapped_with(lambda path: path.parents[1] / "000001" / path.name),
    "of another tenant": swapped_with(of_other_tenant),
    "a folder": replaced_by_folder,
    "missing": Path.unlink,
    "a link to the same bytes": linked,
    "a link to nothing": linked_to("/nowhere/at/all"),
    "a link to a device": linked_to("/dev/zero"),
    "a pipe": lambda path: (path.unlink(), os.mkfifo(path)),
}

CANNOT_BE_READ = {"a folder", "a link to nothing", "a pipe"}


@pytest.mark.parametrize("name", [*DATA_FILES, MANIFEST, CURRENT, HITS])
def test_a_damaged_file_is_refused_and_the_index_built_again(
    name: str, sound: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    verdicts = {}
    for what, change in CHANGES.items():
        data = Path(shutil.copytree(sound, tmp_path / what / "data"))
        path = shop_in(data) / name if name in (CURRENT, HITS) else shop_in(data) / "000002" / name
        before = path.read_bytes()
        if what == "of the snapshot before" and name in (CURRENT, HITS):
            continue
        change(path)
        same = path.is_file() and not path.is_symlink() and path.read_bytes() == before
        verdicts[what], said = open_damaged(data, caplog, go_on=what in CANNOT_BE_READ)
        if name in DATA_FILES and not same:
            assert verdicts[what] == "refused" and name in said, what
        elif name == MANIFEST and not same:
            assert verdicts[what] == "refused" and "expected" in said, what
        assert not same or verdicts[what] == "harmless"
        shutil.rmtree(data)
    print(f"{name}: {len(verdicts)} cases: {dict(Counter(verdicts.values()))}")
    harmless = {what for what, verdict in verdicts.items() if verdict == "harmless"}
    # The pointer need not end in a line feed, and any sound snapshot will do. Hits only say what to keep in RAM.
    allowed = {CURRENT: {"cut by one byte", "last bit flipped", "of another tenant"}, HITS: set(CHANGES)}
    assert harmless <= allowed.get(name, {"of the snapshot before", "of another tenant"})


def forged(folder: Path, **fields: Any) -> None:
    """Change what a manifest says, with a digest that matches."""
    said = {**json.loads((folder / MANIFEST).read_text()), **fields}
    said = {key: value for key, value in said.items() if value is not ... and key != "digest"}
    digest = hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
    (folder / MANIFEST).write_text(json.dumps({**said, "digest": digest}))


def signed(folder: Path) -> None:
    """Have the manifest name the files as they are now."""
    files = {path.name: {"bytes": path.stat().st_size, "sha256": sha256_of(path)} for path in folder.iterdir() if path.name != MANIFEST}  # fmt: skip
    forged(folder, files=files)


def files_of(folder: Path, **changed: Any) -> dict[str, Any]:
    return {name: changed.get(name.partition(".")[0], said) for name, said in read_manifest(folder).files.items()}


def with_file(name: str) -> Callable[[Path], dict[str, Any]]:
    def fields(folder: Path) -> dict[str, Any]:
        said = {"bytes": 6, "sha256": hashlib.sha256(b"secret").hexdigest()}
        (folder.parents[2] / "secret").write_bytes(b"secret")
        return {"files": {**files_of(folder), name: said}}

    return fields


FORGED: dict[str, dict[str, Any] | Callable[[Path], dict[str, Any]]] = {
    "a file above the folder": with_file("../../../secret"),
    "a file anywhere": with_file("/etc/hostname"),
    "a file of no snapshot": with_file("more.bin"),
    "a file less": lambda folder: {"files": {name: said for name, said in files_of(folder).items() if name[0] != "s"}},
    "no files": {"files": {}},
    "files in a list": {"files": list(DATA_FILES)},
    "files that are none": {"files": None},
    "a file without a size": lambda folder: {"files": files_of(folder, pks={"sha256": "0" * 64})},
    "a file that is a text": lambda folder: {"files": files_of(folder, pks="pks")},
    "a size of 4 EiB": lambda folder: {"files": files_of(folder, pks={"bytes": 1 << 62, "sha256": "0" * 64})},
    "a size below 0": lambda folder: {"files": files_of(folder, pks={"bytes": -1, "sha256": "0" * 64})},
    "a digest that is a number": lambda folder: {"files": files_of(folder, pks={"bytes": 8320, "sha256": 0})},
    **{f"count {count}": {"count": count} for count in (0, 1, -1, 1 << 62, 1e300, "1040", None, 1041)},
    **{f"dim {dim}": {"dim": dim} for dim in (0, 64, -32, 1 << 40, "32")},
    **{f"seq {seq}": {"seq": seq} for seq in (1 << 62, -1, "7", None, [1])},
    **{f"trained on {rows}": {"trained_on": rows} for rows in (0, -5, "many", None)},
    **{f"filter keys {keys}": {"filter_keys": keys} for keys in (None, [], [1], "available", ["brand"])},
    "another catalogue": {"catalogue_id": "0" * 32},
    "another generation, shard or codec": {"name": "index 0123456789abcdef"},
    "another tenant": {"tenant": OTHER},
    "another coder": {"coder": "rabitq"},
    "a later format": {"format": 2},
    "a format in words": {"format": "1"},
    "a field more": {"more": 1},
    "a field less": {"seq": ...},
    "a manifest of 100 kB": {"created": "x" * 100_000},
}
HEAD = 180  # bytes: the sizes of the lists and of the graph over them
# There faiss keeps what nothing depends on: two numbers of either header, and in how many lists the last search looked.
UNUSED = {17, 18, 44, 45, 70, 71}
RAW = {
    "no JSON": b"\x00\xff" * 50,
    "a list": b"[]",
    "too deep": b"[" * 60_000,
    "a number of 60,000 digits": b'{"digest": ' + b"9" * 60_000 + b"}",
    "a digest that is no text": b'{"digest": {}}',
}


def test_a_forged_manifest_is_refused_for_what_it_says(
    sound: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    reasons = {}
    for what in [*FORGED, *RAW]:
        data = Path(shutil.copytree(sound, tmp_path / "data"))
        folder = shop_in(data) / "000002"
        if what in RAW:
            (folder / MANIFEST).write_bytes(RAW[what])
        else:
            fields = FORGED[what]
            forged(folder, **(fields(folder) if callable(fields) else fields))
        verdict, reasons[what] = open_damaged(data, caplog)
        assert verdict == "refused", what
        shutil.rmtree(data)
    assert "'0000" in reasons["another catalogue"] and "expected a change up to" in reasons[f"seq {1 << 62}"]
    print(f"forged manifests: {len(reasons)} cases, all refused")


def obstacles() -> dict[str, Change]:
    """Things in the places where snapshots are; each is told the tenant's folder."""

    def file_at(name: str) -> Change:
        def change(folder: Path) -> None:
            path = folder / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
            path.write_bytes(b"in the way")

        return change

    def folder_at(name: str) -> Change:
        return lambda folder: (folder / name / "deeper").mkdir(parents=True)

    def moved(folder: Path, path: Path) -> None:
        path.rename(folder.parents[1] / "elsewhere")
        path.symlink_to(folder.parents[1] / "elsewhere")

    return {
        "a file for the snapshot": file_at("000002"),
        "a file for a later snapshot": file_at("000003"),
        "an empty folder for a later snapshot": folder_at("000003"),
        "a file for the one that is being written": file_at("building"),
        "a folder for the pointer's next": folder_at("CURRENT.new"),
        "a folder for the hits' next": folder_at("hits.new"),
        "a link for the snapshot": lambda folder: moved(folder, folder / "000002"),
        "a link for a later snapshot": lambda folder: (folder / "000003").symlink_to(folder / "000001"),
        "a link for the tenant's folder": lambda folder: moved(folder, folder),
        "a file for the tenant's folder": lambda folder: (shutil.rmtree(folder), folder.write_bytes(b"")),
        "no tenant's folder": shutil.rmtree,
        "another tenant's snapshot": lambda folder: (
            shutil.rmtree(folder / "000002"),
            shutil.copytree(tenant_folder(folder.parent, OTHER) / "000001", folder / "000002"),
        ),
        "the snapshot before under its name": lambda folder: (
            shutil.rmtree(folder / "000002"),
            shutil.copytree(folder / "000001", folder / "000002"),
        ),
    }


@pytest.mark.parametrize("what", obstacles())
def test_whatever_stands_where_snapshots_are_the_index_starts_and_goes_on(
    what: str, sound: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = Path(shutil.copytree(sound, tmp_path / "deeper" / "data"))
    obstacles()[what](shop_in(data))
    verdict, _ = open_damaged(data, caplog, go_on=True)
    must_be_seen = what in ("a file for the snapshot", "a link for the snapshot", "another tenant's snapshot")
    assert verdict == "refused" or not must_be_seen


def test_a_snapshot_of_another_time_is_refused(sound: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The catalogue was put back from a backup: at once, and after others took the same pks and positions."""
    data = Path(shutil.copytree(sound, tmp_path / "data"))
    for file in data.glob("c.sqlite*"):
        file.unlink()
    shutil.copy(sound.parent / "earlier.sqlite", data / "c.sqlite")
    again = Path(shutil.copytree(data, tmp_path / "again"))
    verdict, said = open_damaged(data, caplog)
    assert verdict == "refused" and "expected a change up to" in said
    store = Store(Database(again / "c.sqlite", [crashes.GALLERY]))
    store.add(SHOP, items(*range(1300, 1400)))
    store.database.close()
    verdict, said = open_damaged(again, caplog)
    assert verdict == "refused" and "the catalogue's vectors" in said


def test_a_snapshot_before_the_log_begins_is_built_again_and_none_can_be_rolled_back_to(
    sound: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = Path(shutil.copytree(sound, tmp_path / "data"))
    store, indexes = opened(data, **SETTINGS)
    store.prune_changes(store.position())
    with pytest.raises(ChangesPruned):
        indexes.rollback(SHOP)
    crashes.check_answers(indexes, {SHOP: stored(store, SHOP)}, step=20)
    store.database.close()
    verdict, _ = open_damaged(data, caplog, go_on=True)
    assert verdict == "rebuilt" and "index_rebuild" in [record.message for record in caplog.records]


def test_a_rollback_to_a_damaged_snapshot_is_refused_and_all_stays_as_it_is(sound: Path, tmp_path: Path) -> None:
    data = Path(shutil.copytree(sound, tmp_path / "data"))
    store, indexes = opened(data, **SETTINGS)
    for name in (*DATA_FILES, MANIFEST):
        path = shop_in(data) / "000001" / name
        kept = path.read_bytes()
        flip(0.5)(path)
        with pytest.raises(SnapshotCorrupt):
            indexes.rollback(SHOP)
        assert (shop_in(data) / CURRENT).read_text() == "000002\n"
        path.write_bytes(kept)
    crashes.check_answers(indexes, {SHOP: stored(store, SHOP)}, step=20)
    assert indexes.rollback(SHOP) == "000001" and indexes.verify() == []
    with pytest.raises(IndexFailed, match="expected a snapshot"):
        indexes.rollback(SHOP)
    crashes.check_answers(indexes, {SHOP: stored(store, SHOP)}, step=20)
    store.database.close()


@pytest.mark.parametrize("manifest", ["sound", "damaged"])
def test_snapshots_of_a_tenant_without_items_go_at_the_next_start_or_erasure(
    manifest: str, sound: Path, tmp_path: Path
) -> None:
    """The service ended between the removal of the last item and the compaction that would have removed them."""
    data = Path(shutil.copytree(sound, tmp_path / "data"))
    store = Store(Database(data / "c.sqlite", [crashes.GALLERY]))
    every = [key for (key,) in store.database.ask("SELECT id FROM items WHERE tenant = ?", (SHOP,))]
    with pytest.raises(ZeroDivisionError):
        store.erase(SHOP, every, {"snapshots": lambda tenant, pks: 1 // 0})
    store.database.close()
    if manifest == "damaged":
        for name in ("000001", "000002"):
            flip(0.5)(shop_in(data) / name / MANIFEST)
    store, indexes = opened(data, **SETTINGS)
    assert shop_in(data).exists() == (manifest == "damaged"), "whose it is cannot be read"
    crashes.check_answers(indexes, {tenant: stored(store, tenant) for tenant in (SHOP, OTHER)}, step=50)
    crashes.erase(store, indexes, [])
    assert not shop_in(data).exists() and tenant_folder(data / "index", OTHER).exists()
    store.add(SHOP, items(*range(1020)))
    indexes.catch_up()
    indexes.compact(SHOP)
    assert indexes.workshop.snapshots(SHOP).names() == ["000001"] and indexes.verify() == []
    crashes.check_answers(indexes, {tenant: stored(store, tenant) for tenant in (SHOP, OTHER)}, step=50)
    store.database.close()


def test_verify_on_the_running_index_names_every_file_that_was_flipped(sound: Path, tmp_path: Path) -> None:
    data = Path(shutil.copytree(sound, tmp_path / "data"))
    store, indexes = opened(data, **SETTINGS)
    for snapshot in ("000001", "000002"):
        for name in (*DATA_FILES, MANIFEST):
            path = shop_in(data) / snapshot / name
            flip(0.7)(path)
            # Ids are also compared with the catalogue's, as they answer.
            assert any(str(path) in problem for problem in indexes.verify())
            flip(0.7)(path)
    assert indexes.verify() == []
    store.database.close()


def sizes_in(lists: bytes) -> list[int]:
    """Offsets at which a lists file may hold a size: 8 bytes that read as a number that is not large; all of the head's."""
    found = [at for at in range(len(lists) - 8) if 0 < struct.unpack_from("<Q", lists, at)[0] < 1 << 16]
    head = [at for at in found if at < HEAD]
    return head + found[len(head) :: len(found) // 16]


def other_lists(folder: Path, kind: str) -> None:
    """Write lists that are sound in themselves, and not this snapshot's."""
    dim = 64 if kind == "of other numbers" else 32
    quantizer = faiss.IndexFlatL2(dim) if kind == "without a graph" else faiss.IndexHNSWFlat(dim, 8)
    index = faiss.IndexIVFPQ(quantizer, dim, 8, 16, 4)
    vectors = np.random.default_rng(0).normal(size=(1060, dim)).astype(np.float32)
    index.train(vectors)
    count = {"with fewer rows": 1000, "without rows": 0}.get(kind, 1060)
    index.add_with_ids(vectors[:count], np.arange(count) + (10**12 if kind == "of other rows" else 0))
    faiss.write_index(quantizer if kind == "that are none" else index, str(folder / "lists.faiss"))


def forged_files(sound: Path) -> Iterator[tuple[str, Change]]:
    """Changes of a snapshot's files that are then signed."""
    lists = (shop_in(sound) / "000002" / "lists.faiss").read_bytes()
    for at in sizes_in(lists):
        for number in (1 << 62, 1 << 40, (1 << 64) - 1) if at < HEAD else (1 << 62,):
            data = lists[:at] + struct.pack("<Q", number) + lists[at + 8 :]
            yield f"lists: {number} at {at}", lambda folder, data=data: (folder / "lists.faiss").write_bytes(data)
    for kind in (
        "that are none",
        "of other numbers",
        "without a graph",
        "with fewer rows",
        "without rows",
        "of other rows",
    ):
        yield f"lists {kind}", lambda folder, kind=kind: other_lists(folder, kind)
    for name in DATA_FILES:
        for what, data in {"nothing": b"", "a byte": b"x", "noise": np.random.default_rng(1).bytes(5000)}.items():
            yield f"{name}: {what}", lambda folder, name=name, data=data: (folder / name).write_bytes(data)
    key = '["available", "bool", false]'
    for what, held in {
        "no map": [],
        "a key that is not kept": {'["brand", "str", "x"]': BitMap([1]).serialize()},
        "a key that is no text": {1: BitMap([1]).serialize()},
        "too deep a key": {"[" * 50_000: b""},
        "no bitmap": {key: 7},
        "a torn bitmap": {key: BitMap(range(0, 9999, 7)).serialize()[:40]},
        "a bitmap of noise": {key: np.random.default_rng(2).bytes(900)},
        "a bitmap that says it has 2^32 - 1 parts": {key: struct.pack("<II", 12346, (1 << 32) - 1) + bytes(64)},
        "a row that is not there": {key: BitMap([10**9]).serialize()},
    }.items():
        packed = msgpack.packb(held)
        yield f"postings: {what}", lambda folder, packed=packed: (folder / "postings.msgpack").write_bytes(packed)
    huge = b"\xdf" + struct.pack(">I", (1 << 32) - 1)  # a map of 2^32 - 1 entries
    yield "postings: a map of 2^32 - 1", lambda folder: (folder / "postings.msgpack").write_bytes(huge)


def test_forged_files_with_matching_digests_are_refused_and_crash_nothing(sound: Path, tmp_path: Path) -> None:
    forgeries = dict(forged_files(sound))
    for number, change in enumerate(forgeries.values()):
        folder = shop_in(Path(shutil.copytree(sound, tmp_path / str(number)))) / "000002"
        change(folder)
        signed(folder)
    folders = [str(tmp_path / str(number)) for number in range(len(forgeries))]
    command = [sys.executable, crashes.__file__, "open", *folders]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    verdicts: dict[str, str] = {}
    for what, line in zip(forgeries, map(json.loads, done.stdout.splitlines()), strict=True):
        assert line["status"] == 0, f"{what}: {line['said']}"
        verdicts[what] = "refused" if "snapshot_refused" in line["said"] else "harmless"
    print(f"forged files: {len(verdicts)} cases: {dict(Counter(verdicts.values()))}")
    read = {what for what, verdict in verdicts.items() if verdict == "harmless"}
    # Beyond the head it may be a centroid that has changed: every item is found all the same.
    offsets = {int(what.rpartition(" at ")[2]) for what in read}
    assert {at for at in offsets if at < HEAD} <= UNUSED, sorted(read)
