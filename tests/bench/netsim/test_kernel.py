"""The emulator in real time: the kernel's TCP through the same links; nothing early, everything whole, lateness told.

Where TUN devices cannot be had (no root, no /dev/net/tun) the tests that need them are skipped.
"""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sightline_bench.netsim import kernel
from sightline_bench.netsim.agreement import BARE_TCP, DRAWS, agreement, as_markdown, kernel_seed, model_seeds
from sightline_bench.netsim.capacity import MBIT, ConstantRate
from sightline_bench.netsim.cell import Cell
from sightline_bench.netsim.clock import MS_NS
from sightline_bench.netsim.emulator import Emulator
from sightline_bench.netsim.lateness import Lateness
from sightline_bench.netsim.link import Limit, Link
from sightline_bench.netsim.orders import ORDERS, Orders
from sightline_bench.netsim.profiles import AWAKE, Profile, shipped_profiles
from sightline_bench.netsim.radio import Direction, RadioModel, RadioState, State
from sightline_bench.netsim.stack import Session
from sightline_bench.netsim.tunnel import available, hurried
from sightline_bench.netsim.virtual import Rest
from sightline_shared.errors import InputError

needs_tun = pytest.mark.skipif(bool(available()), reason=available())

NEAR = Profile("near", "Near", "made for a test", 10.0, 100.0, 100.0, 0.0, 100, None, "", AWAKE)


def packets(sock: socket.socket) -> list[bytes]:
    found = []
    while True:
        try:
            found.append(sock.recv(2000))
        except BlockingIOError:
            return found


def carried(offers: list[bytes], limit: Limit = Limit()) -> tuple[list[bytes], Lateness]:  # noqa: B008
    """What the service's side receives of packets that the phone's side sent at once, through a fast link."""
    (phone, phone_end), (service, service_end) = (socket.socketpair(type=socket.SOCK_DGRAM) for _ in range(2))
    stop, stop_end = socket.socketpair()
    links = {direction: Link(ConstantRate(100 * MBIT), limit=limit) for direction in Direction}
    emulator = Emulator(Cell(links, 0), RadioState(AWAKE), phone.fileno(), service.fileno())
    for packet in offers:
        phone_end.send(packet)
    wanted = [packet for packet in offers if packet[0] >> 4 == 4][: limit.packets]
    # Ends itself once everything has passed: the loop is asked to stop by what it delivered.
    write, passed = os.write, []

    def counted(fd: int, data: bytes) -> int:
        passed.append(data)
        if len(passed) == len(wanted):
            stop_end.send(b"!")
        return write(fd, data)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sightline_bench.netsim.emulator.os.write", counted)
        emulator.run(stop.fileno())
    service_end.setblocking(False)
    try:
        return packets(service_end), emulator.lateness
    finally:
        for sock in (phone, phone_end, service, service_end, stop, stop_end):
            sock.close()


def test_packets_come_out_as_they_went_in_and_what_is_not_ipv4_does_not() -> None:
    offers = [bytes([0x45, number]) + bytes(100 + number) for number in range(20)]
    greeting = bytes([0x60]) + bytes(47)
    came, lateness = carried([greeting, *offers])
    assert came == offers and len(lateness.ns) == 20 and min(lateness.ns) >= 0


def test_a_late_run_is_no_good() -> None:
    assert Lateness([MS_NS // 2] * 1000).is_good and Lateness().is_good
    late = Lateness([MS_NS // 2] * 980 + [5 * MS_NS] * 20)
    assert not late.is_good and late.worst_ms == pytest.approx(5)


def test_the_scheduler_is_asked_back() -> None:
    before = os.sched_getscheduler(0)
    with hurried():
        pass
    assert os.sched_getscheduler(0) == before


@needs_tun
def test_the_kernels_tcp_is_never_faster_than_the_links_allow() -> None:
    found = kernel.through(NEAR, BARE_TCP.module, {"sizes": [8, 40_000], "down_bytes": [100], "n": [2]})
    assert {name: len(ms) for name, ms in found.ms.items()} == {
        "cold 8": 2,
        "warm 8": 2,
        "cold 40000": 2,
        "warm 40000": 2,
    }
    assert min(found.ms["warm 8"]) > 10 and min(found.ms["cold 8"]) > 20
    # 28 packets at 100 Mbit/s, in two flights at least.
    assert min(found.ms["warm 40000"]) > 20 + 8 * 18 * 1500 / 100_000
    assert found.late_ms >= 0


@needs_tun
def test_a_side_ends_with_whoever_started_it() -> None:
    code = """
import os, socket, subprocess, sys
ours, theirs = socket.socketpair()
words = [sys.executable, "-m", "sightline_bench.netsim.endpoint", "serve", str(theirs.fileno())]
side = subprocess.Popen(words, pass_fds=[theirs.fileno()])
socket.recv_fds(ours, 1, 1)
ours.recv(1)
print(side.pid, flush=True)
os.kill(os.getpid(), 9)
"""
    killed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    side = Path(f"/proc/{int(killed.stdout)}/stat")

    def lives() -> bool:
        # In a container nobody may collect a dead process: it stays as a zombie.
        try:
            return side.read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
        except (FileNotFoundError, ProcessLookupError):
            return False

    deadline = time.monotonic() + 30
    while lives() and time.monotonic() < deadline:
        os.sched_yield()
    assert not lives()


@needs_tun
def test_an_agreement_has_every_cell_or_is_refused() -> None:
    steps: list[None] = []
    found, samples = agreement(BARE_TCP, [NEAR], [96], 3, 0, lambda: steps.append(None))
    assert list(found) == ["near"] and len(steps) == 1
    assert {name: len(ms) for name, ms in samples.items()} == {"near cold 96 B ms": 3, "near warm 96 B ms": 3}
    assert found["near"]["refused"] or set(found["near"]["cells"]) == {"cold 96 B", "warm 96 B"}
    assert "| near |" in as_markdown(found)


def test_a_table_shows_what_is_off_and_what_is_refused() -> None:
    kernel_p50 = {"value": 100.0, "interval": [99.0, 101.0], "n": 9}
    cells = {
        "warm 96 B": {"kernel_p50_ms": kernel_p50, "model_p50_ms": 95.0, "model_to_kernel": 0.95},
        "cold 96 B": {"kernel_p50_ms": kernel_p50, "model_p50_ms": 85.0, "model_to_kernel": 0.85},
    }
    text = as_markdown(
        {
            "good": {"late_p99_ms": 0.2, "refused": False, "cells": cells},
            "bad": {"late_p99_ms": 7.5, "refused": True},
        }
    )
    assert "| good | warm 96 B | 100.0 [99.0, 101.0] | 95.0 | 0.950 |" in text and "**0.850**" in text
    assert "| bad | refused: 7.5 ms late at p99 |" in text


def test_the_models_half_is_virtual_and_exact() -> None:
    profile = shipped_profiles().named("slow4g")
    # A round trip of 150 ms; 96 + 52 bytes at 750 kbit/s; 500 + 52 at 1.6 Mbit/s.
    assert kernel.modelled(profile, 96, 500, Session.WARM, range(2)) == pytest.approx(
        [150 + 8 * 148 / 750 + 8 * 552 / 1600] * 2
    )


def test_a_seed_is_another_network_for_the_kernel_and_for_the_model() -> None:
    lte, still = (shipped_profiles().named(name) for name in ("lte", "dense4g"))
    assert len(model_seeds(lte, 0)) == DRAWS and len(model_seeds(still, 0)) == 1
    taken = [seed for run in range(20) for seed in (kernel_seed(run), *model_seeds(lte, run))]
    assert len(set(taken)) == len(taken) == 20 * (1 + DRAWS)
    first, again, other = (
        kernel.modelled(lte, 96, 500, Session.WARM, model_seeds(lte, seed)[:9]) for seed in (1, 1, 2)
    )
    assert first == again != other


@needs_tun
def test_the_kernels_packets_meet_the_seeds_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    seeds = []
    cell = Profile.cell
    monkeypatch.setattr(
        Profile, "cell", lambda self, seed, recorded=None: seeds.append(seed) or cell(self, seed, recorded)
    )
    agreement(BARE_TCP, [NEAR], [8], 1, 7, lambda: None)
    assert kernel_seed(7) in seeds and set(model_seeds(NEAR, 7)) <= set(seeds)


def radio_of(order: bytes) -> RadioState | None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.send(order)
        theirs.close()
        return Orders(ours.fileno(), shipped_profiles().named("dense4g").radio).taken(5 * MS_NS)


def test_a_phone_orders_its_radio_to_be_asleep_or_awake() -> None:
    asleep, awake = (radio_of(ORDERS[rest]) for rest in (Rest.IDLE, Rest.ACTIVE))
    assert asleep and asleep.state(6 * MS_NS) is State.IDLE
    assert awake and awake.state(6 * MS_NS) is State.CONNECTED
    last = radio_of(ORDERS[Rest.ACTIVE] + ORDERS[Rest.IDLE])
    assert last and last.state(6 * MS_NS) is State.IDLE
    assert radio_of(b"") is None


def test_an_ordered_radio_gates_what_is_sent_after_the_order() -> None:
    (phone, phone_end), (service, service_end) = (socket.socketpair(type=socket.SOCK_DGRAM) for _ in range(2))
    (stop, stop_end), (orders, orders_end) = socket.socketpair(), socket.socketpair()
    links = {direction: Link(ConstantRate(100 * MBIT)) for direction in Direction}
    model = RadioModel(
        drx_after_ns=MS_NS, drx_cycle_ns=0, idle_after_ns=MS_NS, promotion_ns=30 * MS_NS, paging_cycle_ns=0
    )
    emulator = Emulator(
        Cell(links, 0), RadioState(AWAKE), phone.fileno(), service.fileno(), Orders(orders.fileno(), model)
    )
    # Both are there before the loop looks for the first time, and no phone is left to order more.
    phone_end.send(bytes([0x45]) + bytes(99))
    orders_end.send(ORDERS[Rest.IDLE])
    orders_end.close()
    write = os.write

    def stopped(fd: int, data: bytes) -> int:
        stop_end.send(b"!")
        return write(fd, data)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sightline_bench.netsim.emulator.os.write", stopped)
        began_ns = time.monotonic_ns()
        emulator.run(stop.fileno())
    assert time.monotonic_ns() - began_ns >= 30 * MS_NS
    assert len(service_end.recv(2000)) == 100
    for sock in (phone, phone_end, service, service_end, stop, stop_end, orders):
        sock.close()


def test_without_tun_devices_it_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "available", lambda: "only root may make network namespaces")
    with pytest.raises(InputError, match="but only root may"):
        kernel.through(NEAR, BARE_TCP.module, {})
