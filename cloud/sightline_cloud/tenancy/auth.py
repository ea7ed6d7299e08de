"""API keys: made once, shown once, stored hashed. The tenant comes from the key and from nowhere else.

Nothing of a key is remembered between requests: what is changed or revoked holds for the very next one.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, insert, select, update

from sightline_cloud.catalog.database import Database
from sightline_cloud.catalog.schema import KEYS
from sightline_cloud.tenancy import limits as key_limits
from sightline_shared.errors import ConfigInvalid, KeyMissing, KeyUnknown, ScopeMissing

SCOPES = ("search", "rerank", "write", "admin")
# What a key gets when nothing is said: no key becomes an operator's by default.
DEFAULT_SCOPES = SCOPES[:-1]
PREFIX = "sk_"
MAX_KEY_CHARS = 200
MAX_GRACE_HOURS = 24 * 90
MAX_DAYS = 3650
# Compared with where there is no key, so that a miss takes as long as a hit.
NOBODY = bytes(32)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
LOOKUP = (
    "SELECT sha256, previous, previous_until, expires, revoked, tenant, name, scopes, limits FROM keys "
    "WHERE sha256 = ? OR previous = ?"
)


@dataclass(frozen=True)
class Caller:
    """Who sent a request; `limits` are the key's own, where it has any, in place of the settings'."""

    tenant: str
    name: str
    scopes: frozenset[str]
    limits: Mapping[str, Any] = field(default_factory=dict, hash=False)

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

    def add(
        self,
        name: str,
        *,
        tenant: str = "default",
        scopes: tuple[str, ...] = DEFAULT_SCOPES,
        days: int | None = None,
        limits: Mapping[str, Any] | None = None,
    ) -> str:
        """Make a key, for so many `days` if it shall expire, and return it; it cannot be shown again.

        Raises ConfigInvalid.
        """
        check_name("key name", name)
        check_name("tenant", tenant)
        if not scopes or not set(scopes) <= set(SCOPES):
            raise ConfigInvalid(f"key scopes: expected some of {', '.join(SCOPES)}, got {', '.join(scopes) or 'none'}.")
        if any(row["name"] == name and row["tenant"] == tenant for row in self.list()):
            raise ConfigInvalid(f"key: expected a new name, got '{name}', which tenant '{tenant}' has already.")
        key = _new_secret()
        row = {
            "sha256": _digest(key),
            "name": name,
            "tenant": tenant,
            "scopes": ",".join(sorted(scopes)),
            "created": _text(_now()),
            "expires": _text(_after_days(days)),
            "limits": key_limits.stored(limits or {}),
        }
        with self._database.write() as connection:
            connection.execute(insert(KEYS).values(row))
        return key

    def rotate(self, name: str, *, tenant: str = "default", grace_hours: float = 24, days: int | None = None) -> str:
        """Give a key a new secret and return that; the old one is good for `grace_hours` more.

        A secret of an earlier rotation ends at once. With `days` the key expires so many days from now, without as
        before. Raises KeyUnknown, ConfigInvalid.
        """
        if not 0 <= grace_hours <= MAX_GRACE_HOURS:
            raise ConfigInvalid(f"grace hours: expected 0 to {MAX_GRACE_HOURS}, got {grace_hours}.")
        key = _new_secret()
        values: dict[str, Any] = {
            "sha256": _digest(key),
            "previous": KEYS.c.sha256,
            "previous_until": _text(_now() + timedelta(hours=grace_hours)),
        }
        expires = {} if days is None else {"expires": _text(_after_days(days))}
        self._change(name, tenant, {**values, **expires})
        return key

    def limit(self, name: str, limits: Mapping[str, Any], *, tenant: str = "default") -> None:
        """Give a key limits of its own in place of those that it had; raises KeyUnknown, ConfigInvalid."""
        self._change(name, tenant, {"limits": key_limits.stored(limits)})

    def revoke(self, name: str, *, tenant: str = "default") -> None:
        """Revoke a key at once and for good, with every secret that it has; raises KeyUnknown."""
        self._change(name, tenant, {"revoked": _text(_now())})

    def list(self) -> list[dict[str, Any]]:
        """Return every key without its secrets."""
        names = ("name", "tenant", "scopes", "created", "revoked", "expires", "previous_until", "used", "limits")
        statement = select(*(KEYS.c[name] for name in names)).order_by(KEYS.c.created, KEYS.c.name)
        with self._database.read() as connection:
            rows = [dict(row._mapping) for row in connection.execute(statement)]
        return [{**row, "limits": dict(key_limits.read(row["limits"]))} for row in rows]

    def caller(self, authorization: str | None, *, wait: bool = True) -> Caller:
        """Return who the `Authorization` header names; raises KeyMissing or KeyUnknown, and WouldWait rather than `wait`.

        An unknown, an expired and a revoked key get one and the same answer.
        """
        digest = digest_of(authorization)
        rows = (self._database.ask if wait else self._database.ask_now)(LOOKUP, (digest, digest))
        current, previous, until, expires, revoked, *fields = rows[0] if rows else (NOBODY, None, None, None, None)
        now = _text(_now()) or ""
        # All of it is looked at whatever comes out: which part of it fails shall not be heard from the time it takes.
        is_current = hmac.compare_digest(current, digest)
        is_previous = hmac.compare_digest(previous or NOBODY, digest) & (now < (until or ""))
        is_live = (revoked is None) & (expires is None or now < expires)
        if not (is_current | is_previous) & is_live:
            raise KeyUnknown("the API key is not known.")
        tenant, name, scopes, own = fields
        return Caller(tenant, name, frozenset(scopes.split(",")), key_limits.read(own))

    def note_used(self, minutes: Mapping[tuple[str, str], str]) -> None:
        """Store the minute in which each key, by (tenant, name), was last used."""
        with self._database.write() as connection:
            for (tenant, name), minute in minutes.items():
                older = KEYS.c.used.is_(None) | (KEYS.c.used < minute)
                connection.execute(update(KEYS).where(*_named(name, tenant), older).values(used=minute))

    def _change(self, name: str, tenant: str, values: dict[str, Any]) -> None:
        with self._database.write() as connection:
            live = (*_named(name, tenant), KEYS.c.revoked.is_(None))
            done = connection.execute(update(KEYS).where(*live).values(values))
        if not done.rowcount:
            raise KeyUnknown(f"key: expected a live key of tenant '{tenant}', got {name!r}.", hint="sightline key list")


def digest_of(authorization: str | None) -> bytes:
    """Return the digest under which the key of an `Authorization` header is stored; raises KeyMissing or KeyUnknown."""
    scheme, _, key = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        raise KeyMissing("expected an API key, got none.")
    if len(key) > MAX_KEY_CHARS:
        raise KeyUnknown("the API key is not known.")
    return _digest(key.strip())


def check_name(label: str, name: str) -> None:
    """Raise ConfigInvalid unless `name` can name a key or a tenant."""
    if not _NAME.fullmatch(name):
        raise ConfigInvalid(f"{label}: expected letters, digits, '.', '_', '-', at most 64, got {name!r}.")


def _named(name: str, tenant: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return KEYS.c.name == name, KEYS.c.tenant == tenant


def _new_secret() -> str:
    # 192 random bits: a fast hash is enough, since there is nothing to guess.
    return PREFIX + secrets.token_urlsafe(24)


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


def _after_days(days: int | None) -> datetime | None:
    if days is None:
        return None
    if not 1 <= days <= MAX_DAYS:
        raise ConfigInvalid(f"days: expected 1 to {MAX_DAYS}, got {days}.")
    return _now() + timedelta(days=days)


def _now() -> datetime:
    return datetime.now(UTC)


def _text(time: datetime | None) -> str | None:
    # Of one length and zone, so that the order of the texts is the order of the times.
    return None if time is None else time.isoformat(timespec="seconds")
