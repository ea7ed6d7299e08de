"""API keys: made once, shown once, stored hashed. The tenant comes from the key and from nowhere else."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import insert, select, update

from sightline_cloud.catalog.database import Database
from sightline_cloud.catalog.schema import KEYS
from sightline_shared.errors import ConfigInvalid, KeyMissing, KeyUnknown, ScopeMissing

SCOPES = ("search", "rerank", "write", "admin")
# What a key gets when nothing is said: no key becomes an operator's by default.
DEFAULT_SCOPES = SCOPES[:-1]
PREFIX = "sk_"
MAX_KEY_CHARS = 200
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True)
class Caller:
    """Who sent a request."""

    tenant: str
    name: str
    scopes: frozenset[str]

    def require(self, scope: str) -> None:
        """Raise ScopeMissing unless the key has `scope`."""
        if scope not in self.scopes:
            raise ScopeMissing(
                f"key '{self.name}': expected the scope '{scope}', got {', '.join(sorted(self.scopes))}.",
                hint=f"sightline key add NAME --scopes {','.join(sorted(self.scopes | {scope}))}",
            )


class Keys:
    """The API keys of every tenant."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, name: str, *, tenant: str = "default", scopes: tuple[str, ...] = DEFAULT_SCOPES) -> str:
        """Make a key and return it; it cannot be shown again. Raises ConfigInvalid."""
        check_name("key name", name)
        check_name("tenant", tenant)
        if not scopes or not set(scopes) <= set(SCOPES):
            raise ConfigInvalid(f"key scopes: expected some of {', '.join(SCOPES)}, got {', '.join(scopes) or 'none'}.")
        if any(row["name"] == name and row["tenant"] == tenant for row in self.list()):
            raise ConfigInvalid(f"key: expected a new name, got '{name}', which tenant '{tenant}' has already.")
        # 192 random bits: a fast hash is enough, since there is nothing to guess.
        key = PREFIX + secrets.token_urlsafe(24)
        with self._database.write() as connection:
            connection.execute(
                insert(KEYS).values(
                    sha256=_digest(key), name=name, tenant=tenant, scopes=",".join(sorted(scopes)), created=_now()
                )
            )
        return key

    def list(self) -> list[dict[str, Any]]:
        """Return every key without its secret."""
        columns = (KEYS.c.name, KEYS.c.tenant, KEYS.c.scopes, KEYS.c.created, KEYS.c.revoked)
        with self._database.read() as connection:
            return [dict(row._mapping) for row in connection.execute(select(*columns).order_by(KEYS.c.created))]

    def revoke(self, name: str, *, tenant: str = "default") -> None:
        """Revoke a key at once and for good; raises KeyUnknown."""
        with self._database.write() as connection:
            done = connection.execute(
                update(KEYS)
                .where(KEYS.c.name == name, KEYS.c.tenant == tenant, KEYS.c.revoked.is_(None))
                .values(revoked=_now())
            )
        if not done.rowcount:
            raise KeyUnknown(f"key: expected a live key of tenant '{tenant}', got {name!r}.", hint="sightline key list")

    def caller(self, authorization: str | None) -> Caller:
        """Return who the `Authorization` header names; raises KeyMissing or KeyUnknown."""
        scheme, _, key = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not key:
            raise KeyMissing("expected an API key, got none.")
        if len(key) > MAX_KEY_CHARS:
            raise KeyUnknown("the API key is not known.")
        digest = _digest(key.strip())
        sql = "SELECT sha256, tenant, name, scopes FROM keys WHERE sha256 = ? AND revoked IS NULL"
        rows = self._database.ask(sql, (digest,))
        if not rows or not hmac.compare_digest(rows[0][0], digest):
            raise KeyUnknown("the API key is not known.")
        _, tenant, name, scopes = rows[0]
        return Caller(tenant, name, frozenset(scopes.split(",")))


def check_name(label: str, name: str) -> None:
    """Raise ConfigInvalid unless `name` can name a key or a tenant."""
    if not _NAME.fullmatch(name):
        raise ConfigInvalid(f"{label}: expected letters, digits, '.', '_', '-', at most 64, got {name!r}.")


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
