"""One query and its answer over a connection, and where the time went."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial

from sightline_bench.netsim.clock import MS_NS
from sightline_bench.netsim.connection import Connection
from sightline_bench.netsim.radio import Direction
from sightline_bench.netsim.stack import Handshake, Session
from sightline_bench.netsim.stream import Act
from sightline_bench.netsim.wire import Waits

# When a request is there, how long until the answer is ready.
Server = Callable[[int], int]


@dataclass(frozen=True)
class Payload:
    """Bodies of a query and of its answer, without any header."""

    up_bytes: int
    down_bytes: int


@dataclass(frozen=True)
class Breakdown:
    """Where the nanoseconds between asking and having the answer went; they add up to the whole.

    `wake_ns`: waiting for the radio, `queue_ns`: for packets of others, both as the first packet of each stage met them; an
    outage, a lost packet and the query's own packets count for the stage.
    """

    wake_ns: int
    connect_ns: int
    tls_ns: int
    uplink_ns: int
    queue_ns: int
    server_ns: int
    downlink_ns: int

    @property
    def total_ns(self) -> int:
        return sum(asdict(self).values())

    def to_ms(self) -> dict[str, float]:
        """Return milliseconds by stage, in order."""
        return {name.removesuffix("_ns"): ns / MS_NS for name, ns in asdict(self).items()}


class Exchange:
    """Runs in virtual time; `result` is None until the whole answer is there."""

    def __init__(self, connection: Connection, payload: Payload, server: Server) -> None:
        self._connection, self._payload, self._server = connection, payload, server
        self._wire, self._time = connection.wire, connection.wire.time
        self._first = not connection.used
        self._handshake = connection.stack.handshake(connection.session) if self._first else None
        self._stages: dict[str, int] = dict.fromkeys(("connect", "tls", "uplink", "server", "downlink"), 0)
        self._waits: list[tuple[str, Waits]] = []
        self._since_ns = self._time.now_ns
        self.began_ns = self._time.now_ns
        self.result: Breakdown | None = None

    def begin(self) -> None:
        self._connection.used = True
        self._begin("connect")
        self._connection.open(self._opened)

    def _opened(self) -> None:
        self._end("connect")
        handshake = self._handshake
        if handshake is None:
            self._begin("uplink")
        elif self._connection.session is Session.RESUMED_EARLY:
            self._begin("uplink")
            self._hello(handshake, lambda: self._finish(handshake))
        else:
            self._begin("tls")
            self._hello(handshake, lambda: self._secured(handshake))
            return
        self._ask()

    def _hello(self, handshake: Handshake, greeted: Act) -> None:
        hello_bytes = self._connection.stack.hello_bytes(handshake)
        self._send(Direction.UP, hello_bytes, lambda: self._send(Direction.DOWN, handshake.server_bytes, greeted))

    def _secured(self, handshake: Handshake) -> None:
        self._end("tls")
        self._begin("uplink")
        self._finish(handshake)
        self._ask()

    def _finish(self, handshake: Handshake) -> None:
        """Nobody waits for the tickets."""
        tickets = partial(self._send, Direction.DOWN, handshake.tickets_bytes, lambda: None)
        self._send(Direction.UP, handshake.finished_bytes, tickets)

    def _ask(self) -> None:
        size = self._connection.stack.message_bytes(self._payload.up_bytes, down=False, first=self._first)
        self._send(Direction.UP, size, self._asked)

    def _asked(self) -> None:
        self._end("uplink")
        self._begin("server", travels=False)
        takes_ns = self._server(self._time.now_ns)
        if takes_ns:
            self._time.after(takes_ns, self._answer)
        else:  # at once, so that the answer carries the acknowledgement
            self._answer()

    def _answer(self) -> None:
        self._end("server")
        size = self._connection.stack.message_bytes(self._payload.down_bytes, down=True, first=self._first)
        self._begin("downlink")
        self._send(Direction.DOWN, size, self._answered)

    def _answered(self) -> None:
        self._end("downlink")
        stages, wake_ns, queue_ns = dict(self._stages), 0, 0
        for stage, waits in self._waits:
            stages[stage] -= waits.wake_ns + waits.queue_ns
            wake_ns += waits.wake_ns
            queue_ns += waits.queue_ns
        self.result = Breakdown(
            wake_ns, stages["connect"], stages["tls"], stages["uplink"], queue_ns, stages["server"], stages["downlink"]
        )

    def _begin(self, stage: str, *, travels: bool = True) -> None:
        self._since_ns = self._time.now_ns
        if travels:
            self._waits.append((stage, self._wire.stage()))

    def _end(self, stage: str) -> None:
        self._stages[stage] += self._time.now_ns - self._since_ns

    def _send(self, direction: Direction, size_bytes: int, received: Act) -> None:
        self._connection.streams[direction].write(size_bytes, received)
