"""One direction of a reliable connection: segments, acknowledgements, a congestion window, retransmissions.

Both transports share it; `Framing` says what differs. What it does, by the RFCs:

- an initial window of 10 packets (6928), slow start by the packets acknowledged while the window is used (5681), then
  CUBIC's Reno-friendly growth of 0.53 packets a round trip, and 0.7 of the window after a loss (9438, section 4.3);
- packets are acknowledged selectively, on a packet that goes back anyway or on one of its own; when, says acks.py;
- a packet is lost when one sent three later, or 9/8 of a round trip later, was acknowledged (9002, 8985);
- the retransmission timer of 6298 with the framing's least addition, doubled each time, 60 s at most; when it fires TCP begins
  again with one packet, QUIC sends the oldest once more; what TCP gave up is restored when a packet from before the timeout is
  acknowledged after it (3522, with timestamps): a radio that woke up slowly is no congestion;
- TCP sends one packet more when nothing came for two round trips and more than one is under way (tail loss probe, 8985,
  section 7), and begins to count the timer anew: a radio that wakes up makes no timeout of a large upload;
- after idling for longer than that timer the window is the initial one again (5681, section 4.1).

Left out: pacing, HyStart, cubic growth beyond the Reno-friendly region, receive windows, ECN.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from sightline_bench.netsim.clock import SECOND_NS, Timer, VirtualTime
from sightline_bench.netsim.stack import Framing

INITIAL_WINDOW = 10
INITIAL_TIMER_NS, LONGEST_TIMER_NS = SECOND_NS, 60 * SECOND_NS
BACK_OFF = 0.7
GROWTH = 3 * (1 - BACK_OFF) / (1 + BACK_OFF)
LATER_PACKETS = 3
# Linux's TCP_TIMEOUT_MIN, two ticks of a clock of 250 Hz.
PROBE_NS = 8_000_000

Act = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Flight:
    """One transmission: which segment, its number among all transmissions, when."""

    segment: int
    number: int
    sent_ns: int


@dataclass(frozen=True, slots=True)
class Ack:
    """What a receiver had when it answered a transmission: all segments below `through`, and those `beyond`."""

    flight: Flight
    through: int
    beyond: frozenset[int]


class Stream:
    """Carries bytes one way. `transmit(size_bytes, arrive)` puts a packet on its way, `acknowledge(ack, size_bytes, in_order)`
    hears of every segment that arrived.

    `srtt_ns` is the round trip that the connection knows already, None for none.
    """

    def __init__(
        self,
        time: VirtualTime,
        framing: Framing,
        transmit: Callable[[int, Act], None],
        acknowledge: Callable[[Act, int, bool], None],
        srtt_ns: int | None = None,
    ) -> None:
        self._time, self._framing, self._transmit, self._acknowledge = time, framing, transmit, acknowledge
        # The sender.
        self._segments: list[int] = []
        self._written = 0
        self._unsent = 0
        self._again: deque[int] = deque()
        self._flying: dict[int, Flight] = {}
        self._sent = self._recovered = 0
        self._window, self._threshold = float(INITIAL_WINDOW), float("inf")
        self._srtt_ns, self._var_ns, self._doubled = srtt_ns, (srtt_ns or 0) // 4, 0
        self._timer: Timer | None = None
        self._probed = False
        # The last transmission before a timeout, and the window and threshold then; none while nothing has timed out.
        self._before = (0, 0.0, 0.0)
        self._last_sent_ns = 0
        # The receiver.
        self._through = 0
        self._beyond: set[int] = set()
        self._received = 0
        self._waiting: list[tuple[int, Act]] = []

    @property
    def window(self) -> float:
        """The congestion window in packets."""
        return self._window

    @property
    def timer_ns(self) -> int:
        """After how long without an acknowledgement something is sent again."""
        if self._srtt_ns is None:
            return min(LONGEST_TIMER_NS, INITIAL_TIMER_NS << self._doubled)
        first = self._srtt_ns + max(4 * self._var_ns, self._framing.least_timer_ns)
        return min(LONGEST_TIMER_NS, first << self._doubled)

    def measure(self, round_trip_ns: int) -> None:
        """Note a round trip (RFC 6298)."""
        if self._srtt_ns is None:
            self._srtt_ns, self._var_ns = round_trip_ns, round_trip_ns // 2
        else:
            self._var_ns += (abs(self._srtt_ns - round_trip_ns) - self._var_ns) // 4
            self._srtt_ns += (round_trip_ns - self._srtt_ns) // 8
        self._doubled = 0

    def write(self, size_bytes: int, received: Act) -> None:
        """Send so many bytes more; `received` is called when the other end has all bytes up to there."""
        if not self._flying and self._sent and self._time.now_ns - self._last_sent_ns > self.timer_ns:
            self._window = min(self._window, float(INITIAL_WINDOW))
        whole, rest = divmod(size_bytes, self._framing.mss_bytes)
        self._segments += [self._framing.mss_bytes] * whole + [rest] * bool(rest)
        self._written += size_bytes
        self._waiting.append((self._written, received))
        self._send()

    def _send(self) -> None:
        """Send what the window lets out, lost segments first."""
        while len(self._flying) < int(self._window) and (self._again or self._unsent < len(self._segments)):
            if self._again:
                self._put(self._again.popleft())
            else:
                self._unsent += 1
                self._put(self._unsent - 1)
        self._arm()

    def _put(self, segment: int) -> None:
        self._sent += 1
        flight = Flight(segment, self._sent, self._time.now_ns)
        self._flying[flight.number] = flight
        self._last_sent_ns = self._time.now_ns
        self._transmit(self._segments[segment] + self._framing.header_bytes, lambda: self._arrived(flight))

    def _arrived(self, flight: Flight) -> None:
        """The receiver's end: note a segment, tell what is whole now, acknowledge."""
        in_order = flight.segment == self._through and not self._beyond
        if flight.segment >= self._through:
            self._beyond.add(flight.segment)
        while self._through in self._beyond:
            self._beyond.remove(self._through)
            self._received += self._segments[self._through]
            self._through += 1
        ack = Ack(flight, self._through, frozenset(self._beyond))
        # Asked for first, so that an answer which is written now carries it.
        self._acknowledge(lambda: self._acked(ack), self._segments[flight.segment], in_order)
        due = [act for upto, act in self._waiting if upto <= self._received]
        self._waiting = [(upto, act) for upto, act in self._waiting if upto > self._received]
        for act in due:
            act()

    def _acked(self, ack: Ack) -> None:
        """The sender's end: an acknowledgement came."""
        used = len(self._flying)
        done = [
            number
            for number, flight in self._flying.items()
            if flight.segment < ack.through or flight.segment in ack.beyond
        ]
        last, window, threshold = self._before
        if ack.flight.number <= last:
            self._window, self._threshold, self._before = window, threshold, (0, 0.0, 0.0)
        if ack.flight.number in self._flying:
            self.measure(self._time.now_ns - ack.flight.sent_ns)
        for number in done:
            del self._flying[number]
        self._probed = self._probed and not done
        self._again = deque(segment for segment in self._again if segment >= ack.through and segment not in ack.beyond)
        if done and 2 * used > self._window:
            self._grow(len(done))
        self._lose(ack)
        self._send()

    def _grow(self, packets: int) -> None:
        if self._window < self._threshold:
            self._window = min(self._window + packets, max(self._threshold, self._window))
        else:
            self._window += GROWTH * packets / self._window

    def _lose(self, ack: Ack) -> None:
        """Take as lost what was sent well before a packet that arrived."""
        late_ns = 9 * (self._srtt_ns or 0) // 8
        lost = [
            flight
            for number, flight in self._flying.items()
            if number + LATER_PACKETS <= ack.flight.number
            or (number < ack.flight.number and flight.sent_ns + late_ns <= self._time.now_ns)
        ]
        for flight in lost:
            del self._flying[flight.number]
            self._again.append(flight.segment)
        if any(flight.number > self._recovered for flight in lost):
            self._recovered = self._sent
            self._threshold = max(2.0, self._window * BACK_OFF)
            self._window = self._threshold

    def _arm(self) -> None:
        if self._timer:
            self._timer.cancel()
        self._timer = None
        if self._flying:
            probe_ns = self._probe_ns()
            self._timer = (
                self._time.after(self.timer_ns, self._fired)
                if probe_ns is None or probe_ns >= self.timer_ns
                else self._time.after(probe_ns, self._probe)
            )

    def _probe_ns(self) -> int | None:
        """Return after how long a probe is sent, None for not at all: for one packet alone the timer is sooner."""
        may = not (self._framing.probes or self._probed or self._doubled or self._again) and len(self._flying) > 1
        return 2 * self._srtt_ns + PROBE_NS if may and self._srtt_ns is not None else None

    def _probe(self) -> None:
        """Send something new, be it beyond the window, or the last segment again."""
        self._probed = True
        if self._unsent < len(self._segments):
            self._unsent += 1
            self._put(self._unsent - 1)
        else:
            self._put(max(flight.segment for flight in self._flying.values()))
        self._arm()

    def _fired(self) -> None:
        """Nothing came for too long."""
        self._doubled = min(self._doubled + 1, 16)
        if self._framing.probes:
            self._put(next(iter(self._flying.values())).segment)
            self._arm()
            return
        if self._doubled == 1:
            self._before = (self._sent, self._window, self._threshold)
            self._threshold = max(2.0, self._window * BACK_OFF)
        self._window, self._recovered = 1.0, self._sent
        self._again = deque(dict.fromkeys([*(flight.segment for flight in self._flying.values()), *self._again]))
        self._flying.clear()
        self._send()
