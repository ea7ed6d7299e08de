"""The gate that every request passes: whose key it is, then whether that key may send another one, or so dear a one.

All of it is in the memory of this process: several processes behind one address each have limits of their own.
"""

from __future__ import annotations

import ipaddress
import math
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime

from sightline_cloud.settings import Settings
from sightline_cloud.tenancy.auth import Caller, Keys, digest_of
from sightline_cloud.tenancy.bucket import MAX_BUCKETS, Buckets
from sightline_cloud.tenancy.limits import Limits, changed, query_cost
from sightline_shared.errors import KeyMissing, KeyUnknown, RateLimited
from sightline_shared.protocol import Query

# The part of an IPv6 address that one household or machine has to itself.
IPV6_PREFIX = 64


class Gate:
    """Safe between threads. `defaults` hold for keys without limits of their own."""

    def __init__(
        self,
        keys: Keys,
        defaults: Limits,
        *,
        shards: int = 1,
        failures_per_minute: int = 60,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._keys, self._defaults, self._shards = keys, defaults, shards
        self._failures_per_minute = failures_per_minute
        self._requests, self._costs, self._failures = (Buckets(clock=clock) for _ in range(3))
        self._known: OrderedDict[bytes, None] = OrderedDict()
        self._used: dict[tuple[str, str], datetime] = {}
        self._lock = threading.Lock()
        self._refused: Counter[tuple[str, str]] = Counter()

    def enter(self, authorization: str | None, address: str, *, wait: bool = True) -> Caller:
        """Return who the `Authorization` header names, and count the request.

        Raises KeyMissing and KeyUnknown; RateLimited for a key over its rate, and for an `address` that has sent too many
        wrong keys or none: its guesses are not even looked up any more. Keys that were good lately pass all the same,
        since others may send from behind the same proxy. Without `wait` raises WouldWait, before anything is counted, when
        the catalogue cannot be asked at once: so the event loop asks first.
        """
        try:
            digest = digest_of(authorization)
            if digest not in self._known:
                self._check_address(address)
            caller = self._keys.caller(authorization, wait=wait)
        except (KeyMissing, KeyUnknown):
            self._check_address(address)
            self._note_failure(address, authorization)
            raise
        self._note_success(digest, caller)
        limits = self.limits(caller)
        if limits.per_second:
            self._take("requests", self._requests, caller, 1, limits.per_second, limits.burst)
        return caller

    def admit(self, caller: Caller, query: Query) -> None:
        """Charge `caller` for a query; raises OverKeyLimit for one that asks for too much, RateLimited."""
        self.limits(caller).check(query, caller.name)
        self.charge(caller, query_cost(query, self._shards))

    def charge(self, caller: Caller, cost: float) -> None:
        """Charge `caller` `cost` units; raises RateLimited when it has not got them."""
        a_minute = self.limits(caller).cost_per_minute
        if a_minute:
            self._take("costs", self._costs, caller, cost, a_minute / 60, a_minute)

    def limits(self, caller: Caller) -> Limits:
        """Return what holds for `caller`: the defaults, and the key's own in place of them."""
        return changed(self._defaults, tuple(caller.limits.items())) if caller.limits else self._defaults

    def flush(self) -> None:
        """Store when keys were last used, by the minute; raises StoreError."""
        used, self._used = self._used, {}
        if used:
            self._keys.note_used({who: at.isoformat(timespec="minutes") for who, at in used.items()})

    def stats(self, tenant: str) -> dict[str, int]:
        """Return how many requests of a tenant's keys were refused since the start, by what they were over.

        Those that were refused for their address belong to no tenant: they are counted under "".
        """
        with self._lock:
            return {what: count for (whose, what), count in self._refused.items() if whose == tenant}

    def _take(self, what: str, buckets: Buckets, caller: Caller, tokens: float, rate: float, most: float) -> None:
        wait = buckets.take((caller.tenant, caller.name), tokens, per_second=rate, capacity=most)
        if wait:
            message = f"key '{caller.name}': expected fewer or cheaper requests, got more than it may send."
            self._refuse(caller.tenant, what, message, wait)

    def _check_address(self, address: str) -> None:
        rate = self._failures_per_minute
        if rate and (wait := self._failures.wait(network_of(address), per_second=rate / 60, capacity=rate)):
            self._refuse("", "addresses", "expected a known API key, got too many requests without one.", wait)

    def _refuse(self, tenant: str, what: str, message: str, wait: float) -> None:
        with self._lock:
            self._refused[tenant, what] += 1
        error = RateLimited(message)
        error.retry_after_s = float(max(1, math.ceil(wait)))
        raise error

    def _note_failure(self, address: str, authorization: str | None) -> None:
        rate = self._failures_per_minute
        if rate:
            self._failures.take(network_of(address), 1, per_second=rate / 60, capacity=rate)
        with self._lock:
            try:
                self._known.pop(digest_of(authorization), None)
            except (KeyMissing, KeyUnknown):
                return

    def _note_success(self, digest: bytes, caller: Caller) -> None:
        self._used[caller.tenant, caller.name] = datetime.now(UTC)
        with self._lock:
            self._known[digest] = None
            self._known.move_to_end(digest)
            if len(self._known) > MAX_BUCKETS:
                self._known.popitem(last=False)


def network_of(address: str) -> str:
    """Return what an address is counted under: itself, or the network that an IPv6 address stands for."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address[:64]
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped:
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((found, IPV6_PREFIX), strict=False))
    return str(found)


def limits_of(settings: Settings) -> Limits:
    """Return the limits that the service's settings give to keys without their own."""
    return Limits(settings.key_per_second, settings.key_burst, settings.key_cost_per_minute)
