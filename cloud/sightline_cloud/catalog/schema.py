"""The catalogue's tables, the same in SQLite and PostgreSQL.

Every row of an item or of the change log has a `crc`: CRC-32 of its key and its fields. Neither a bit that flipped
on the disk nor a row that strayed to another key is ever taken for what was stored; SQLite itself would not notice.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, Identity, Index, Integer, LargeBinary, MetaData, Table, Text
from sqlalchemy import UniqueConstraint as Unique

SCHEMA_VERSION = 3

METADATA = MetaData()
# SQLite finds a row by its number without an index only where the column is called INTEGER.
Number = BigInteger().with_variant(Integer, "sqlite")

# "schema", "catalogue_id", and "pruned": the last change that the log does not hold any more.
META = Table("meta", METADATA, Column("key", Text, primary_key=True), Column("value", Text, nullable=False))

# `pk` names a vector in every index. It is never used twice: an item that is added again gets a new one, so a removal
# that an index sees late can only ever hit the old vector. `slot` says which shard owns the item.
ITEMS = Table(
    "items",
    METADATA,
    Column("pk", Number, Identity(), primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("slot", Integer, nullable=False),
    Column("metadata", Text, nullable=False),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("created", Text, nullable=False),
    Column("crc", BigInteger, nullable=False),
    Unique("tenant", "id"),
    # A tenant's items in order of pk, or those of some slots among them, without reading the rows.
    Index("items_in_order", "tenant", "pk", "slot"),
    sqlite_autoincrement=True,
)

THUMBNAILS = Table(
    "thumbnails",
    METADATA,
    Column("pk", Number, ForeignKey("items.pk", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("jpeg", LargeBinary, nullable=False),
    Column("crc", BigInteger, nullable=False),
)

# What vectors there are: a generation is the model and codec of one bundle, and has a table of vectors of its own.
GENERATIONS = Table(
    "generations",
    METADATA,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("pairing_id", Text, nullable=False, unique=True),
    Column("label", Text, nullable=False),
    Column("dim", Integer, nullable=False),
    Column("code_size", Integer, nullable=False),
    Column("created", Text, nullable=False),
)

# Every change, in the order in which it was acknowledged. `op` is "add", "update" (of metadata) or "remove";
# `generation` is NULL for all. No content: an erased item leaves numbers here.
CHANGES = Table(
    "changes",
    METADATA,
    Column("seq", Number, Identity(), primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("pk", Number, nullable=False),
    Column("slot", Integer, nullable=False),
    Column("op", Text, nullable=False),
    Column("generation", Integer),
    Column("crc", BigInteger, nullable=False),
    sqlite_autoincrement=True,
)

# Receipts of erasures. `pks` is what is still to be erased elsewhere, NULL when all is done.
ERASURES = Table(
    "erasures",
    METADATA,
    Column("number", Number, Identity(), primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("receipt", Text, nullable=False),
    Column("pks", Text),
    sqlite_autoincrement=True,
)

# `previous` is the secret before the last rotation, good until `previous_until`. `limits` is JSON, what the key may do
# in place of the settings' defaults; `used` the minute in which it was last used. Times are ISO 8601, in UTC.
KEYS = Table(
    "keys",
    METADATA,
    Column("sha256", LargeBinary, primary_key=True),
    Column("name", Text, nullable=False),
    Column("tenant", Text, nullable=False),
    Column("scopes", Text, nullable=False),
    Column("created", Text, nullable=False),
    Column("revoked", Text),
    Column("expires", Text),
    Column("previous", LargeBinary),
    Column("previous_until", Text),
    Column("used", Text),
    Column("limits", Text),
    Index("keys_by_name", "tenant", "name", unique=True),
    Index("keys_by_previous", "previous"),
)

# Pictures that nobody may upload, by their perceptual hash: 16 hex digits. The pictures themselves are not kept.
BLOCKED = Table(
    "blocked",
    METADATA,
    Column("number", Number, Identity(), primary_key=True),
    Column("hash", Text, nullable=False, unique=True),
    Column("label", Text, nullable=False),
    Column("created", Text, nullable=False),
    sqlite_autoincrement=True,
)


def vectors_name(number: int) -> str:
    """Return the name of generation `number`'s table of vectors."""
    return f"vectors_{number}"


def vectors_table(number: int) -> Table:
    """Return generation `number`'s table: vectors as little-endian float16, codes as the bundle's codec gave them."""
    items, name = MetaData(), vectors_name(number)
    ITEMS.to_metadata(items)
    return Table(
        name,
        items,
        Column("pk", Number, ForeignKey("items.pk", ondelete="CASCADE"), primary_key=True, autoincrement=False),
        Column("vector", LargeBinary, nullable=False),
        Column("code", LargeBinary, nullable=False),
        Column("crc", BigInteger, nullable=False),
        # SQLite's only way to count vectors without reading them all; PostgreSQL has its index of the primary key.
        Index(f"{name}_pks", "pk").ddl_if(dialect="sqlite"),
    )
