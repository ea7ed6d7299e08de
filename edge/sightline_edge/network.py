"""What the device knows of its network: round trips, failures, and what follows from them. No I/O, no waiting.

Round trips are smoothed as TCP does (RFC 6298). Retries and hedges are paid from a bucket that failures empty and
successes fill slowly (gRPC's retry throttling, proposal A6), so that clients of a service in trouble do not multiply
its load; after several failures in a row the service is left alone for a while (circuit breaker).
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from sightline_edge.config import Options
from sightline_shared.budget import Clock
from sightline_shared.errors import ServiceError, ServiceUnreachable

# RFC 6298: weights of a new sample in the smoothed round trip and in its deviation.
GAIN, DEVIATION_GAIN = 1 / 8, 1 / 4
# A hedge is worth its cost when the answer is later than nearly all were.
HEDGE_SAMPLES, LEAST_HEDGE_MS = 8, 50.0
# A network is slow when a round trip eats a third of a second, and lossy when one query in ten fails.
SLOW_MS, LOSSY = 333.0, 0.1
SLOW_K, SLOW_CROPS = 8, 2
FAILURE_GAIN = 0.1
TOKENS, TOKENS_A_SUCCESS = 10.0, 0.1
FAILURES_IN_A_ROW, OPEN_S, LONGEST_OPEN_S = 5, 1.0, 30.0
FIRST_PAUSE_MS, LONGEST_PAUSE_MS = 50.0, 1000.0


@dataclass(frozen=True)
class State:
    """The network as it was seen: milliseconds and shares, None before the first answer; for apps and logs."""

    round_trip_ms: float | None
    deviation_ms: float
    failing_share: float
    failures_in_a_row: int
    open_for_s: float


class Network:
    """Shared by all queries of a client; safe in several threads. `clock` returns seconds, `chance` numbers in [0, 1)."""

    def __init__(self, *, clock: Clock = time.monotonic, chance: Callable[[], float] = random.random) -> None:
        self._clock, self._chance, self._lock = clock, chance, threading.Lock()
        self._round_trip_ms: float | None = None
        self._deviation_ms = 0.0
        self._samples = 0
        self._failing = 0.0
        self._tokens = TOKENS
        self._failures = 0
        self._closed_at = 0.0
        self._probing = False

    def admit(self) -> None:
        """Let an exchange begin; raises ServiceUnreachable while the service is left alone.

        After the pause one exchange is let through to try; the others wait for what it finds. Every admitted exchange
        ends in `succeeded`, `failed` or `abandoned`.
        """
        with self._lock:
            left = self._closed_at - self._clock()
            if self._failures >= FAILURES_IN_A_ROW:
                if left > 0 or self._probing:
                    raise ServiceUnreachable(
                        f"not asked: the last {self._failures} attempts failed; the next is made in {max(left, 0):.1f} s."
                    )
                self._probing = True

    def succeeded(self, round_trip_ms: float) -> None:
        """Note an answer of the service, also one that refuses: the network works."""
        with self._lock:
            known = self._round_trip_ms
            if known is None:
                self._round_trip_ms, self._deviation_ms = round_trip_ms, round_trip_ms / 2
            else:
                self._deviation_ms += DEVIATION_GAIN * (abs(known - round_trip_ms) - self._deviation_ms)
                self._round_trip_ms = known + GAIN * (round_trip_ms - known)
            self._samples += 1
            self._failing *= 1 - FAILURE_GAIN
            self._tokens = min(TOKENS, self._tokens + TOKENS_A_SUCCESS)
            self._failures, self._probing = 0, False

    def failed(self) -> None:
        """Note an exchange without an answer, or one that says that the service is overloaded."""
        with self._lock:
            self._failing += FAILURE_GAIN * (1 - self._failing)
            self._tokens = max(0.0, self._tokens - 1)
            self._failures += 1
            self._probing = False
            longer = min(LONGEST_OPEN_S, OPEN_S * 2.0 ** min(16, max(0, self._failures - FAILURES_IN_A_ROW)))
            # Not all clients of a service that comes back shall ask in the same moment.
            self._closed_at = self._clock() + longer * (0.75 + 0.5 * self._chance())

    def abandoned(self) -> None:
        """Note an exchange that the app gave up; it says nothing of the network."""
        with self._lock:
            self._probing = False

    def pause_ms(self, retry: int, error: ServiceError, left_ms: float) -> float | None:
        """Return the milliseconds to wait before retry 1, 2, ..., or None when there shall be none.

        Full jitter: evenly between 0 and a bound that doubles. What the service asked for is kept to. There is none
        when the answer could not come before the deadline, or when the bucket is half empty.
        """
        with self._lock:
            bound = min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2.0 ** (retry - 1))
            asked = 1000 * (error.retry_after_s or 0.0)
            pause = asked + bound * self._chance()
            if self._tokens <= TOKENS / 2 or pause + (self._round_trip_ms or 0.0) >= left_ms:
                return None
            return pause

    def hedge_ms(self, left_ms: float) -> float | None:
        """Return after how many milliseconds without an answer the query is sent a second time; None for never."""
        with self._lock:
            if self._round_trip_ms is None or self._samples < HEDGE_SAMPLES or self._tokens <= TOKENS / 2:
                return None
            after = max(LEAST_HEDGE_MS, self._round_trip_ms + 4 * self._deviation_ms)
            return after if after + self._round_trip_ms < left_ms else None

    def hedged(self) -> None:
        """Pay for a hedge."""
        with self._lock:
            self._tokens = max(0.0, self._tokens - 1)

    @property
    def poor(self) -> bool:
        """Whether the network is slow or lossy, so that less should be asked for."""
        with self._lock:
            return (self._round_trip_ms or 0.0) > SLOW_MS or self._failing > LOSSY

    def modest(self, options: Options) -> Options:
        """Return `options` as they are, or asking for less where the network is poor: fewer matches, fewer crops."""
        return options.at_most(k=SLOW_K, crops=SLOW_CROPS) if self.poor else options

    def can_answer(self, left_ms: float) -> bool:
        """Return whether an answer may come within `left_ms`, by the round trips so far; yes before the first."""
        with self._lock:
            return self._round_trip_ms is None or self._round_trip_ms - 2 * self._deviation_ms < left_ms

    def state(self) -> State:
        """Return what is known, for apps and logs."""
        with self._lock:
            left = max(0.0, self._closed_at - self._clock()) if self._failures >= FAILURES_IN_A_ROW else 0.0
            return State(self._round_trip_ms, self._deviation_ms, self._failing, self._failures, left)
