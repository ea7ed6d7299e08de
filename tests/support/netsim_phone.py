"""Small networks for the tests of transports: rates whose packets take whole microseconds, and scripted losses."""

from collections.abc import Container

from sightline_bench.netsim.capacity import MBIT, ConstantRate
from sightline_bench.netsim.cell import Cell
from sightline_bench.netsim.clock import MS_NS, VirtualTime
from sightline_bench.netsim.connection import Connection
from sightline_bench.netsim.exchange import Breakdown, Exchange, Payload, Server
from sightline_bench.netsim.link import Dropped, Limit, Link
from sightline_bench.netsim.profiles import AWAKE
from sightline_bench.netsim.radio import Direction, RadioModel, RadioState
from sightline_bench.netsim.stack import STACKS, Session
from sightline_bench.netsim.wire import Wire


class Lossy(Link):
    """Loses the packets with these numbers, counted from 0, after they were sent."""

    lost: Container[int] = ()
    offered = -1

    def offer(self, now_ns: int, size_bytes: int) -> int | Dropped:
        self.offered += 1
        arrives_ns = super().offer(now_ns, size_bytes)
        return Dropped.LOST if self.offered in self.lost else arrives_ns


class Phone:
    """One phone in a cell of its own; `one_way_ms` each way, rates in Mbit/s."""

    def __init__(
        self,
        *,
        one_way_ms: int = 20,
        up_mbit: int = 12,
        down_mbit: int = 12,
        lost_up: Container[int] = (),
        lost_down: Container[int] = (),
        room: int | None = None,
        radio: RadioModel = AWAKE,
        used_ns: int | None = None,
    ) -> None:
        self.time = VirtualTime()
        one_way_ns = one_way_ms * MS_NS
        up = Lossy(ConstantRate(up_mbit * MBIT), propagation_ns=one_way_ns, limit=Limit(packets=room))
        down = Lossy(ConstantRate(down_mbit * MBIT), limit=Limit(packets=room))
        up.lost, down.lost = lost_up, lost_down
        self.cell = Cell({Direction.UP: up, Direction.DOWN: down}, one_way_ns)
        self.wire = Wire(self.time, self.cell, RadioState(radio, used_ns=used_ns))
        self.round_trip_ns = 2 * one_way_ns

    def connect(self, stack: str = "http1-plain", session: Session = Session.WARM) -> Connection:
        return Connection(self.wire, STACKS[stack], session, self.round_trip_ns)

    def ask(
        self, connection: Connection, up_bytes: int, down_bytes: int, server: Server = lambda now_ns: 0
    ) -> Breakdown:
        """One whole exchange, run until nothing is under way any more."""
        exchange = Exchange(connection, Payload(up_bytes, down_bytes), server)
        exchange.begin()
        self.time.run()
        assert exchange.result is not None
        assert exchange.result.total_ns >= 0
        return exchange.result
