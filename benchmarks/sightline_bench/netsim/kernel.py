"""The model against the kernel: the same exchanges over the kernel's TCP through TUN devices, and in virtual time."""

from __future__ import annotations

import json
import os
import random
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any

from sightline_bench.netsim.clock import MS_NS, VirtualTime
from sightline_bench.netsim.connection import Connection
from sightline_bench.netsim.emulator import Emulator
from sightline_bench.netsim.exchange import Exchange, Payload
from sightline_bench.netsim.orders import Orders
from sightline_bench.netsim.profiles import AWAKE, Profile
from sightline_bench.netsim.radio import Direction, RadioModel, RadioState
from sightline_bench.netsim.stack import TCP, Session, Stack
from sightline_bench.netsim.traces import Trace
from sightline_bench.netsim.tunnel import available
from sightline_bench.netsim.wire import Wire
from sightline_shared.errors import InputError

# Bytes on a TCP connection and nothing above them.
BARE = Stack("tcp", TCP, False, (0, 0), (0, 0))


@dataclass(frozen=True)
class Measured:
    """What the phone's side printed (milliseconds by `"cold 512"`, ...); `late_ms` is the emulator's lateness at p99.

    `began_ns` is the instant of the monotonic clock at which the links' time began.
    """

    ms: dict[str, list[float]]
    late_ms: float
    is_good: bool
    began_ns: int


def through(
    profile: Profile,
    module: str,
    plan: Mapping[str, Any],
    seed: int = 0,
    recorded: Mapping[Direction, Trace] | None = None,
    radio: RadioModel = AWAKE,
) -> Measured:
    """Run both sides of `module`, which serve and ask as the plan says, with `profile` between them; raises InputError.

    `recorded` traces stand in for the profile's rates. The phone may order what its `radio` does before a query.
    """
    missing = available()
    if missing:
        raise InputError(
            f"tun: expected TUN devices in network namespaces, but {missing}.", hint="Run as root on Linux."
        )
    text = json.dumps(plan)
    with _side(module, "serve", text) as service, _side(module, "ask", text) as phone:
        greeting = service.control.recv(1000)
        if not greeting:
            raise InputError("tun: expected the service's side to begin, but it failed; its message stands above.")
        orders = Orders(phone.control.fileno(), radio, random.Random(f"phases/{seed}"))
        cell = profile.cell(seed, recorded)
        emulator = Emulator(cell, RadioState(radio, used_ns=0), phone.device, service.device, orders)
        phone.control.sendall(greeting)
        emulator.run(phone.output.fileno())
        said = phone.output.read()
        if phone.process.wait() or not said:
            raise InputError("tun: expected the phone's side to end well, but it failed; its message stands above.")
    late = emulator.lateness
    return Measured(json.loads(said), late.worst_ms, late.is_good, emulator.began_ns)


def modelled(
    profile: Profile, size_bytes: int, down_bytes: int, session: Session, seeds: Iterable[int], stack: Stack = BARE
) -> list[float]:
    """Return the milliseconds of one such exchange in virtual time for each of `seeds`."""
    return [_modelled(profile, Payload(size_bytes, down_bytes), session, seed, stack) for seed in seeds]


def _modelled(profile: Profile, payload: Payload, session: Session, seed: int, stack: Stack) -> float:
    time = VirtualTime()
    wire = Wire(time, profile.cell(seed), RadioState(AWAKE))
    connection = Connection(wire, stack, session, round(profile.round_trip_ms * MS_NS))
    exchange = Exchange(connection, payload, lambda now_ns: 0)
    exchange.begin()
    time.run()
    assert exchange.result is not None
    return exchange.result.total_ns / MS_NS


@dataclass(frozen=True)
class _Side:
    """A process in a namespace of its own, the socket to it, its standard output and its device's descriptor."""

    process: subprocess.Popen[bytes]
    control: socket.socket
    output: IO[bytes]
    device: int


@contextmanager
def _side(module: str, role: str, plan: str) -> Iterator[_Side]:
    """Start one side, and end it afterwards whatever became of it."""
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(  # noqa: S603  our own module
            [sys.executable, "-m", module, role, str(theirs.fileno()), plan],
            pass_fds=[theirs.fileno()],
            stdout=subprocess.PIPE,
        )
    assert process.stdout is not None
    fds: list[int] = []
    try:
        _, fds, _, _ = socket.recv_fds(ours, 1, 1)
        if not fds:
            raise InputError("tun: expected a device from the endpoint, but it failed; its message stands above.")
        yield _Side(process, ours, process.stdout, fds[0])
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        ours.close()
        for fd in fds:
            os.close(fd)
