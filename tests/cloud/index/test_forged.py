"""Snapshots that somebody forged who may write the folder, with digests that match: refused for what they say.

The files are opened in children, since a reader that crashed would take the tests with it.
"""

import hashlib
import json
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
from support.index_damage import DATA_FILES, OTHER, Change, files_of, forged, make_sound, open_damaged, shop_in, signed

from sightline_cloud.index.snapshot import MANIFEST


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_sound(tmp_path_factory.mktemp("sound") / "data")


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
        for number in (1 << 62, (1 << 64) - 1) if at < HEAD else (1 << 62,):
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
