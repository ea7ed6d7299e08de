"""Vectors of the pocket index: files and deltas, what they hold, what is found in it, and which must be refused."""

from __future__ import annotations

import hashlib
import json
import tempfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
from numpy.typing import NDArray

from sightline_edge.conformance.document import Document, Vector, floats, noise, refusal, tagged, units
from sightline_edge.device import Device
from sightline_edge.pocket import PocketIndex
from sightline_shared import pocket_file
from sightline_shared.pocket_columns import joined, pack_column
from sightline_shared.pocket_file import HEADER, Identity, Part, Pocket
from sightline_shared.where import Wanted, Where

FILTER_KEYS = ("colour", "price", "available")
# Metadata by the item's number in the catalogue; a number keeps its vector when its metadata changes.
BEFORE: dict[int, dict[str, Any]] = {
    3: {"title": "Milk", "colour": "white", "price": 1, "available": True},
    4: {"title": "Käse \U0001f9c0", "colour": "yellow", "price": 2.5, "available": False},
    9: {"colour": "red"},
    130: {"title": "", "price": 1.0, "available": True},
    131: {"title": 'a "quoted" title', "colour": "1", "price": 2**53 + 1},
    70_000: {"title": "Bread", "colour": "red", "price": 1e-7, "available": 1},
}
AFTER: dict[int, dict[str, Any]] = {
    **{pk: row for pk, row in BEFORE.items() if pk not in (9, 131)},
    4: {"title": "Käse", "colour": "white", "price": 2.0, "available": True},
    2**40: {"title": "Tea", "colour": "green", "price": 3, "available": True},
}
FILTERS: dict[str, Wanted] = {
    "": {},
    ", red or white": {"colour": ["red", "white"]},
    ", price 1 is 1.0": {"price": [1]},
    ", true is not 1": {"available": [True]},
    ", text is not a number": {"colour": ["1"], "price": [2**53 + 1]},
    ", nothing passes": {"colour": ["blue"]},
    ", a key that it does not hold": {"title": ["Milk"]},
}


def pockets(device: Device) -> Document:
    """Return files with what they hold and what searches find, and files that must be refused."""
    files = _files(device, _state(device, BEFORE, 41), _state(device, AFTER, 57))
    held: dict[str, tuple[str, str | None]] = {
        "whole": ("pocket-whole.slp", None),
        "delta": ("pocket-delta.slp", "pocket-whole.slp"),
        "nothing in it": ("pocket-empty.slp", None),
        "format 1": ("pocket-format-1.slp", None),
    }
    refused: dict[str, tuple[str, str | None]] = {
        "a delta without what it is for": ("pocket-delta.slp", None),
        "a delta for another state": ("pocket-delta.slp", "pocket-empty.slp"),
        **{file.removeprefix("pocket-").removesuffix(".slp"): (file, None) for file in files if "-not-" in file},
    }
    vectors: list[Vector] = []
    for name, (file, base) in {**held, **refused}.items():
        code = None if name in held else refusal(partial(_opened, files, file, base, device))
        vector = {"name": f"golden, {name}", "file": file, "base": base, "class": code}
        says = _held(*_opened(files, file, base, device), device.codec.dim) if name in held else {}
        vectors.append({**vector, "pairing_id_hex": device.bundle.pairing.id.hex(), **says})
    about = "pocket file, for a delta with its base, and the golden codec -> what it holds, and searches; or the error's code"
    return Document("pockets", about, vectors, 1e-4, files)


def _state(device: Device, rows: Mapping[int, Mapping[str, Any]], seq: int) -> Pocket:
    """Return the pocket index of `rows`, the vector of each depending on its number alone."""
    bundle = device.bundle
    identity = Identity(bundle.pairing.id, noise("catalogue", 16).tobytes(), "shop", FILTER_KEYS)
    items = [units(f"pocket {pk}", 1, bundle.manifest.dim) for pk in rows]
    codes = device.codec.encode(np.concatenate(items)) if rows else np.zeros((0, device.codec.code_size), np.uint8)
    cells = [[f"item {pk}", *(row.get(key) for key in ("title", *FILTER_KEYS))] for pk, row in rows.items()]
    columns = tuple(tuple(_cell(row[i]) for row in cells) for i in range(identity.columns))
    return Pocket(identity, f"41f0-{seq}", seq, np.array(list(rows), np.int64), codes, columns)


def _cell(value: Any) -> bytes:
    return b"" if value is None else json.dumps(value, ensure_ascii=False).encode()


def _files(device: Device, before: Pocket, after: Pocket) -> dict[str, bytes]:
    """Return the files; of those that must be refused, each is wrong in one way, and right in all that comes after."""
    whole = before.to_bytes()
    columns, text = msgpack.unpackb(whole[HEADER.size :])["columns"], joined(before.columns)
    changed = np.array([pk in (4, 2**40) for pk in after.pks.tolist()])
    other = replace(before, identity=replace(before.identity, pairing_id=bytes(8)))
    return {
        "pocket-whole.slp": whole,
        "pocket-delta.slp": after.delta(changed),
        "pocket-empty.slp": _state(device, {}, 1).to_bytes(),
        "pocket-format-1.slp": _altered(whole, 1, columns=None, cells=zlib.compress(text), cells_bytes=len(text)),
        "pocket-not-of-this-pairing.slp": other.to_bytes(),
        "pocket-not-whole.slp": whole[:-1],
        "pocket-not-of-its-digest.slp": whole[:16] + bytes([whole[16] ^ 1]) + whole[17:],
        "pocket-not-of-its-size.slp": whole[:12] + bytes([whole[12] ^ 1]) + whole[13:],
        "pocket-not-of-a-known-format.slp": whole[:8] + b"\x03" + whole[9:],
        "pocket-not-a-pocket.slp": b"<html>502 Bad Gateway</html>" * 4,
        "pocket-not-all-fields.slp": _altered(whole, codes=None),
        "pocket-not-ascending.slp": replace(before, pks=before.pks[::-1]).to_bytes(),
        "pocket-not-its-codes.slp": _altered(whole, codes=bytes(before.codes.size)),
        "pocket-not-a-column-each.slp": _altered(whole, columns=columns[:-1]),
        "pocket-not-its-size-inflated.slp": _with_ids(whole, words_bytes=columns[0]["words_bytes"] + 1),
        "pocket-not-what-was-compressed.slp": _with_ids(whole, words=zlib.compress(bytes(2**20))),
        "pocket-not-a-word-each.slp": _with_ids(whole, numbers=zlib.compress(b"\xff" * 2 * _words(before.columns[0]))),
        "pocket-not-the-words-it-counts.slp": _with_ids(whole, counts=zlib.compress(b"\0" * 2 * len(before.pks))),
        "pocket-not-within-the-limits.slp": _altered(whole, count=pocket_file.MAX_ITEMS + 1),
    }


def _altered(data: bytes, number: int = pocket_file.FORMAT, /, **changes: Any) -> bytes:
    """Return a file with other fields in its body, and a header that fits; None takes a field out."""
    fields = {**msgpack.unpackb(data[HEADER.size :]), **changes}
    body: bytes = msgpack.packb({name: value for name, value in fields.items() if value is not None})
    return HEADER.pack(pocket_file.MAGIC, number, len(body), hashlib.sha256(body).digest()) + body


def _with_ids(data: bytes, **changes: Any) -> bytes:
    """Return a file whose first column, the ids, has other fields."""
    first, *others = msgpack.unpackb(data[HEADER.size :])["columns"]
    return _altered(data, columns=[{**first, **changes}, *others])


def _words(cells: Sequence[bytes]) -> int:
    """Return into how many words a column was cut."""
    return sum(zlib.decompress(pack_column(cells)["counts"])[: len(cells)])


def _opened(files: Mapping[str, bytes], file: str, base: str | None, device: Device) -> tuple[Pocket, PocketIndex]:
    held = Part.from_bytes(files[base]).onto(None) if base else None
    pocket = Part.from_bytes(files[file]).onto(held)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pocket.slp"
        pocket_file.write(path, pocket.to_bytes())
        return pocket, PocketIndex.open(path, device)


def _held(pocket: Pocket, index: PocketIndex, dim: int) -> Vector:
    query = units("pocket query", 1, dim)[0]
    searches = [_search(f"k 3{label}", index, query, 3, wanted) for label, wanted in FILTERS.items()]
    return {
        "tenant": pocket.identity.tenant,
        "filter_keys": list(pocket.identity.filter_keys),
        "version": pocket.version,
        "seq": str(pocket.seq),
        "digest_hex": pocket.digest.hex(),
        "pks": [str(pk) for pk in pocket.pks.tolist()],
        "embedding_base64": floats(query),
        "searches": [*searches, _search("k 20", index, query, 20, {})],
    }


def _search(name: str, index: PocketIndex, query: NDArray[np.float32], k: int, wanted: Wanted) -> Vector:
    ask = partial(index.search, query, k, Where.of(wanted))
    known = set(wanted) <= set(FILTER_KEYS)
    return {
        "name": name,
        "k": k,
        "where": tagged(dict(wanted)),
        "class": None if known else refusal(ask),
        "matches": [
            {
                "id": match.id,
                "score": match.score,
                "metadata": tagged(dict(match.metadata)),
                "code_hex": (match.code or b"").hex(),
            }
            for match in (ask() if known else ())
        ],
    }
