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
from sightline_bench.netsim.agreement import agreement, as_markdown, product_agreement
from sightline_bench.netsim.capacity import MBIT, ConstantRate
from sightline_bench.netsim.cell import Cell
from sightline_bench.netsim.clock import MS_NS
from sightline_bench.netsim.emulator import Emulator, Lateness
from sightline_bench.netsim.link import Limit, Link
from sightline_bench.netsim.profiles import AWAKE, Profile, shipped_profiles
from sightline_bench.netsim.radio import Direction, RadioState
from sightline_bench.netsim.stack import Session
from sightline_bench.netsim.tunnel import available, hurried
from sightline_bench.quality.tasks import samples_suite
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
    found = kernel.measured(NEAR, [8, 40_000], down_bytes=100, n=2)
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
    found, samples = agreement([NEAR], [96], 3, lambda: steps.append(None))
    assert list(found) == ["near"] and len(steps) == 1
    assert {name: len(ms) for name, ms in samples.items()} == {"near cold 96 B ms": 3, "near warm 96 B ms": 3}
    assert found["near"]["refused"] or set(found["near"]["cells"]) == {"cold 96 B", "warm 96 B"}
    assert "| near |" in as_markdown(found)


@needs_tun
def test_the_real_client_asks_the_real_service_through_a_network(tmp_path: Path) -> None:
    suite = samples_suite(tmp_path / "samples", items=4)
    gallery = [str(photo.path) for photo in next(iter(suite.galleries.values()))]
    photos = [str(photo.path) for photo in suite.tasks[0].queries][:4]
    found, samples = product_agreement([NEAR], gallery, photos, tmp_path / "data", lambda: None)
    assert list(found) == ["near"] and len(samples["near warm product ms"]) == len(samples["near cold product ms"]) > 0
    # A round trip of 10 ms, and another one for the connection.
    assert min(samples["near warm product ms"]) > 10 and min(samples["near cold product ms"]) > 20
    assert "refused" in as_markdown(found) or "| near | warm, client and service |" in as_markdown(found)


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
    assert kernel.modelled(profile, 96, 500, Session.WARM, 2) == pytest.approx(
        [150 + 8 * 148 / 750 + 8 * 552 / 1600] * 2
    )


def test_without_tun_devices_it_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "available", lambda: "only root may make network namespaces")
    with pytest.raises(InputError, match="but only root may"):
        kernel.measured(NEAR, [8], 100, 1)
