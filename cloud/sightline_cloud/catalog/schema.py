"""The catalogue's tables."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Index, Integer, LargeBinary, MetaData, Table, Text, UniqueConstraint

SCHEMA_VERSION = "1"

METADATA = MetaData()

META = Table("meta", METADATA, Column("key", Text, primary_key=True), Column("value", Text, nullable=False))

# `pk` names a vector in every index. It is never used twice (AUTOINCREMENT): an item that is added again gets a new one,
# so a removal that an index sees late can only ever hit the old vector.
ITEMS = Table(
    "items",
    METADATA,
    Column("pk", Integer, primary_key=True, autoincrement=True),
    Column("tenant", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("metadata", Text, nullable=False),
    Column("vector", LargeBinary, nullable=False),
    Column("code", LargeBinary, nullable=False),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("created", Text, nullable=False),
    UniqueConstraint("tenant", "id"),
    sqlite_autoincrement=True,
)

THUMBNAILS = Table(
    "thumbnails",
    METADATA,
    Column("pk", Integer, ForeignKey("items.pk", ondelete="CASCADE"), primary_key=True),
    Column("jpeg", LargeBinary, nullable=False),
)

# Every change, in the order in which it was acknowledged. `op` is "add" or "remove".
CHANGES = Table(
    "changes",
    METADATA,
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("tenant", Text, nullable=False),
    Column("pk", Integer, nullable=False),
    Column("op", Text, nullable=False),
    sqlite_autoincrement=True,
)

KEYS = Table(
    "keys",
    METADATA,
    Column("sha256", LargeBinary, primary_key=True),
    Column("name", Text, nullable=False),
    Column("tenant", Text, nullable=False),
    Column("scopes", Text, nullable=False),
    Column("created", Text, nullable=False),
    Column("revoked", Text),
    Index("keys_by_name", "tenant", "name", unique=True),
)
