"""The pocket index as bytes: the head of a tenant's catalogue, whole or as a delta, for devices to search without a network.

A file is a header of 48 bytes and a body:

    0    8 bytes    "SLPOCKET"
    8    uint32     format, 2 (little-endian, as all numbers here); files of format 1 are read too
    12   uint32     size of the body
    16   32 bytes   SHA-256 of the body

The body is one msgpack map, see `Pocket.delta`. A delta is the same file in which only the rows that the device lacks come
along; `pks` always names all rows of the result. Nothing is parsed before its digest fits, nothing is inflated past the
size that it declares, and the result of a delta is compared with its own digest before it is used. The formats differ in
how they write the texts (`pocket_columns`).
"""

from __future__ import annotations

import hashlib
import os
import struct
import tempfile
import zlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
from numpy.typing import NDArray

from sightline_shared import bounded
from sightline_shared.errors import PocketUnusable
from sightline_shared.pocket_columns import (
    LEVEL,
    MAX_CELLS_BYTES,
    Column,
    inflated,
    joined,
    pack_column,
    read_columns,
    size_bytes,
    split,
)
from sightline_shared.protocol import CODE_SIZES
from sightline_shared.versions import PAIRING_BYTES

FORMAT = 2
READ_FORMATS = (1, 2)
MAGIC = b"SLPOCKET"
HEADER = struct.Struct("<8sII32s")
MAX_ITEMS = 40_000
MAX_FILE_BYTES = 4 * 1024 * 1024
MAX_KEYS = 64
# Its fields, the filter keys, and the maps of its columns.
MAX_VALUES = 32 * MAX_KEYS
MAX_TEXT_CHARS = 200
CATALOGUE_BYTES = 16

Pks = NDArray[np.int64]
Codes = NDArray[np.uint8]


@dataclass(frozen=True)
class Identity:
    """Whose items these are: what must be equal for a delta to fit.

    `catalogue` is the random name of the catalogue, `filter_keys` the metadata that filters may name.
    """

    pairing_id: bytes
    catalogue: bytes
    tenant: str
    filter_keys: tuple[str, ...]

    @property
    def columns(self) -> int:
        """How many cells a row has: id, title, and one for each filter key."""
        return 2 + len(self.filter_keys)


@dataclass(frozen=True, eq=False)
class Pocket:
    """All rows, in ascending order of `pks` `(n,) int64`, the catalogue's numbers: `codes` `(n, m) uint8`, and `columns`.

    The columns are ids, titles, and the values of each filter key, n cells each. A cell is a JSON text, empty where an item
    has no such value; it is carried as it came and never written anew. `seq` is the position in the catalogue's change log
    at which the rows were read, `version` the text that names this state to the service.
    """

    identity: Identity
    version: str
    seq: int
    pks: Pks
    codes: Codes
    columns: tuple[Column, ...]

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 over pks, codes and cells: equal rows have equal digests, however they came about."""
        return hashlib.sha256(self.pks.astype("<i8").tobytes() + self.codes.tobytes() + joined(self.columns)).digest()

    def to_bytes(self) -> bytes:
        """Return the whole file; raises PocketUnusable when it would be larger than devices take."""
        return self.delta(np.ones(len(self.pks), bool))

    def delta(self, sent: NDArray[np.bool_]) -> bytes:
        """Return the file with the rows `sent` `(n,) bool` only; raises PocketUnusable when it would be too large."""
        rows = np.flatnonzero(sent).tolist()
        cells = [[column[row] for row in rows] for column in self.columns]
        packed = [pack_column(column) for column in cells]
        own = self.identity
        body: bytes = msgpack.packb(
            {
                "pairing_id": own.pairing_id,
                "catalogue": own.catalogue,
                "tenant": own.tenant,
                "filter_keys": list(own.filter_keys),
                "version": self.version,
                "seq": self.seq,
                "digest": self.digest,
                "count": len(self.pks),
                "code_size": int(self.codes.shape[1]),
                "pks": zlib.compress(np.diff(self.pks, prepend=0).astype("<i8").tobytes(), LEVEL),
                "sent": zlib.compress(np.packbits(sent, bitorder="little").tobytes(), LEVEL),
                "codes": self.codes[rows].tobytes(),
                "columns": packed,
            }
        )
        data = HEADER.pack(MAGIC, FORMAT, len(body), hashlib.sha256(body).digest()) + body
        if len(self.pks) > MAX_ITEMS or len(data) > MAX_FILE_BYTES or size_bytes(packed, cells) > MAX_CELLS_BYTES:
            raise PocketUnusable(
                f"pocket index: expected at most {MAX_ITEMS} items in {MAX_FILE_BYTES} bytes, got {len(self.pks)} items in "
                f"{len(data)} bytes.",
                hint="Take fewer items.",
            )
        return data


@dataclass(frozen=True, eq=False)
class Part:
    """What a file holds: `pks` `(n,) int64` names all rows, `sent` `(n,) bool` those whose `codes` and `columns` came along.

    `digest` is what the result must have.
    """

    identity: Identity
    version: str
    seq: int
    digest: bytes
    pks: Pks
    sent: NDArray[np.bool_]
    codes: Codes
    columns: tuple[Column, ...]

    @property
    def whole(self) -> bool:
        """Whether every row came along."""
        return bool(self.sent.all())

    def onto(self, base: Pocket | None) -> Pocket:
        """Return the state that this part leads to, the rows that did not come along taken from `base`.

        Raises PocketUnusable when they are not there, or when the result is not the one that was meant.
        """
        codes, columns = (self.codes, self.columns) if self.whole else self._merged(base)
        result = Pocket(self.identity, self.version, self.seq, self.pks, codes, columns)
        if result.digest != self.digest:
            raise PocketUnusable("pocket index: expected rows of the digest that it names, got others.")
        return result

    def _merged(self, base: Pocket | None) -> tuple[Codes, tuple[Column, ...]]:
        missing = self.pks[~self.sent]
        if base is None or base.identity != self.identity or base.codes.shape[1] != self.codes.shape[1]:
            raise PocketUnusable("delta: expected the pocket index that it was made for, got another one or none.")
        places = np.searchsorted(base.pks, missing)
        if (places == len(base.pks)).any() or (base.pks[places] != missing).any():
            raise PocketUnusable("delta: expected the rows that it leaves out in the pocket index, got one without.")
        # The rows of the base and those that came, one after another, then all in their order.
        order = np.empty(len(self.pks), np.int64)
        order[~self.sent], order[self.sent] = places, len(base.pks) + np.arange(len(self.codes))
        rows = order.tolist()
        joined = [(*old, *new) for old, new in zip(base.columns, self.columns, strict=True)]
        columns = tuple(tuple(column[row] for row in rows) for column in joined)
        return np.concatenate([base.codes, self.codes])[order], columns

    @classmethod
    def from_bytes(cls, data: bytes) -> Part:
        """Read a file or a delta; raises PocketUnusable for anything but a whole and sound one."""
        number, body = _verified(data)
        try:
            fields = bounded.unpack(body, MAX_VALUES, max_array_len=MAX_KEYS + 2, max_map_len=MAX_KEYS)
            count, size = _number(fields["count"], MAX_ITEMS), fields["code_size"]
            if size not in CODE_SIZES:
                raise ValueError(f"codes of {size!r:.40} bytes")
            pks = np.cumsum(np.frombuffer(inflated(fields["pks"], 8 * count), "<i8")).astype(np.int64)
            # No differences: those may wrap around.
            if count and (pks[0] < 0 or (pks[1:] <= pks[:-1]).any()):
                raise ValueError("pks that do not ascend")
            bits = np.frombuffer(inflated(fields["sent"], -(-count // 8)), np.uint8)
            sent = np.unpackbits(bits, count=count, bitorder="little").astype(bool)
            identity, rows = _identity(fields), int(sent.sum())
            return cls(
                identity=identity,
                version=_text(fields["version"]),
                seq=_number(fields["seq"], 2**63 - 1),
                digest=_bytes(fields["digest"], 32),
                pks=pks,
                sent=sent,
                codes=np.frombuffer(fields["codes"], np.uint8).reshape(rows, size),
                columns=_columns(fields, number, rows, identity.columns),
            )
        except (ValueError, KeyError, TypeError, RecursionError, zlib.error, msgpack.UnpackException) as error:
            raise PocketUnusable(f"pocket index: expected its fields, got {error!r:.200}.") from error


def read(path: Path) -> bytes:
    """Return a file's bytes, of at most one more than are taken; raises PocketUnusable."""
    try:
        with path.open("rb") as file:
            return file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise PocketUnusable(f"{path}: expected a pocket index, got '{error.strerror}'.") from error


def write(path: Path, data: bytes) -> None:
    """Have `data` take the place of the file at `path`, whole or not at all; raises PocketUnusable."""
    aside = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}-", delete=False) as file:
            aside = Path(file.name)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except OSError as error:
        if aside is not None:
            aside.unlink(missing_ok=True)
        raise PocketUnusable(f"{path}: expected to write the pocket index, got '{error.strerror}'.") from error


def _verified(data: bytes) -> tuple[int, bytes]:
    """Return the format and the body of a file whose size and digest are those of its header."""
    if len(data) > MAX_FILE_BYTES:
        raise PocketUnusable(f"pocket index: expected at most {MAX_FILE_BYTES} bytes, got more.")
    if len(data) < HEADER.size or not data.startswith(MAGIC):
        raise PocketUnusable(f"pocket index: expected a file that begins with {MAGIC!r}, got {data[:8]!r}.")
    _, version, size, digest = HEADER.unpack_from(data)
    if version not in READ_FORMATS:
        raise PocketUnusable(
            f"pocket index: expected format {' or '.join(map(str, READ_FORMATS))}, got {version}.",
            hint="Upgrade the older of SDK and service.",
        )
    body = data[HEADER.size :]
    if len(body) != size:
        raise PocketUnusable(f"pocket index: expected a body of {size} bytes, got {len(body)}.")
    if hashlib.sha256(body).digest() != digest:
        raise PocketUnusable("pocket index: expected a body of its header's SHA-256, got another one.")
    return version, body


def _columns(fields: dict[str, Any], number: int, rows: int, count: int) -> tuple[Column, ...]:
    if number > 1:
        return read_columns(fields["columns"], count, rows)
    return split(inflated(fields["cells"], _number(fields["cells_bytes"], MAX_CELLS_BYTES)), rows, count)


def _identity(fields: dict[str, Any]) -> Identity:
    keys = fields["filter_keys"]
    if not isinstance(keys, list) or len(keys) > MAX_KEYS:
        raise ValueError(f"expected at most {MAX_KEYS} filter keys")
    return Identity(
        _bytes(fields["pairing_id"], PAIRING_BYTES),
        _bytes(fields["catalogue"], CATALOGUE_BYTES),
        _text(fields["tenant"]),
        tuple(_text(key) for key in keys),
    )


def _number(value: Any, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
        raise ValueError(f"expected a number up to {most}, got {value!r:.40}")
    return value


def _bytes(value: Any, size: int) -> bytes:
    if not isinstance(value, bytes) or len(value) != size:
        raise ValueError(f"expected {size} bytes, got {value!r:.40}")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > MAX_TEXT_CHARS:
        raise ValueError(f"expected a text of at most {MAX_TEXT_CHARS} characters, got {value!r:.40}")
    return value
