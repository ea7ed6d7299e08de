"""Against theory: the arithmetic by hand, what passes and what does not, and the measurement itself where TUN devices can be had."""

import socket
import threading
from dataclasses import replace

import pytest

from sightline_bench.netsim import theory
from sightline_bench.netsim.probe import arrival
from sightline_bench.netsim.profiles import AWAKE, Profile, shipped_profiles
from sightline_bench.netsim.tunnel import available
from sightline_shared.errors import InputError

needs_tun = pytest.mark.skipif(bool(available()), reason=available())

NEAR = Profile("near", "Near", "made for a test", 10.0, 20.0, 5.0, 0.0, 100, None, "", AWAKE)


def measured(trip_ms: float, down_mbit: float, up_mbit: float) -> dict[str, list[float]]:
    return {"udp ms": [trip_ms] * 9, "tcp ms": [trip_ms] * 9, "down": [down_mbit] * 3, "up": [up_mbit] * 3}


def test_an_exchange_takes_the_round_trip_and_its_packets() -> None:
    # 64 bytes and 28 of IP and UDP: 736 bits, at 20 and at 5 Mbit/s; 928 bits with IP, TCP and timestamps.
    assert theory.exchange_ms(NEAR, theory.EXCHANGES["udp"]) == pytest.approx(10 + 0.0368 + 0.1472)
    assert theory.exchange_ms(NEAR, theory.EXCHANGES["tcp"]) == pytest.approx(10 + 0.0464 + 0.1856)
    slow4g = shipped_profiles().named("slow4g")
    assert theory.exchange_ms(slow4g, theory.EXCHANGES["tcp"]) == pytest.approx(150 + 0.58 + 928 / 750)


def test_a_transfer_carries_1448_of_1500_bytes_at_most() -> None:
    assert theory.most_mbit(NEAR, "down") == pytest.approx(20 * 1448 / 1500)
    assert theory.most_mbit(NEAR, "up") == pytest.approx(5 * 1448 / 1500)


@pytest.mark.parametrize(
    ("trip_ms", "down", "up", "ok"),
    [
        (11.0, 19.30, 4.826, True),
        (11.8, 19.30, 4.826, False),  # 1.6 ms more than 10.2
        (8.6, 19.30, 4.826, False),  # and 1.6 ms less
        (11.0, 18.90, 4.826, False),  # 97.9 %
        (11.0, 19.30, 4.850, False),  # more than passes
    ],
)
def test_what_is_too_far_from_the_arithmetic_is_told(trip_ms: float, down: float, up: float, ok: bool) -> None:
    found = theory.figures(NEAR, measured(trip_ms, down, up), 5.0)
    assert found["ok"] is ok


def test_a_transfer_may_seem_faster_by_what_the_clock_may_be_late_and_no_more() -> None:
    most = theory.most_mbit(NEAR, "up")
    for late_ms, possible in ((0.9, True), (1.2, False)):
        found = theory.figures(NEAR, measured(10.2, 19.3, most * 5000 / (5000 - late_ms)), 5.0)
        assert found["goodput"]["up"]["possible"] is possible


def test_a_network_that_cannot_be_worked_out_is_refused_before_anything_runs() -> None:
    shipped = shipped_profiles()
    for name in ("lte", "lte-ucc", "lte-driving"):
        with pytest.raises(InputError, match=f"got {name}"):
            theory.against_theory([shipped.named(name)], 1, 1.0, lambda: None)
    assert theory.is_arithmetic(shipped.named("3g")) and not theory.is_arithmetic(replace(NEAR, jitter_ms=1))


def test_what_arrives_is_counted_from_the_first_piece_on() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.send(bytes(300))
        sender = threading.Thread(target=lambda: (theirs.sendall(bytes(4_000_000)), theirs.close()))
        first = ours.recv(300, socket.MSG_PEEK)
        sender.start()
        after_bytes, took_ns = arrival(ours, 4_000_300)
        sender.join()
    assert len(first) == 300 and 4_000_300 - 65_536 <= after_bytes <= 4_000_000 and took_ns > 0


def test_a_peer_that_ends_early_is_no_transfer() -> None:
    ours, theirs = socket.socketpair()
    with ours:
        theirs.send(bytes(10))
        theirs.close()
        with pytest.raises(EOFError):
            arrival(ours, 11)


def test_the_table_says_what_is_wrong_and_what_was_refused() -> None:
    good = {"late_p99_ms": 0.1, "refused": False, **theory.figures(NEAR, measured(10.3, 19.3, 4.8), 5.0)}
    bad = {"late_p99_ms": 0.1, "refused": False, **theory.figures(NEAR, measured(12.3, 19.3, 5.1), 5.0)}
    text = theory.as_markdown({"good": good, "bad": bad, "late": {"late_p99_ms": 7.5, "refused": True, "ok": False}})
    assert "| good | round trip, udp, ms | 10.18 | p50 +0.12 | ok |" in text
    assert "| bad | up, Mbit/s | 4.827 | 105.66 %, 105.66 %, 105.66 % | **no** |" in text
    assert "| late | refused: 7.5 ms late at p99" in text


@needs_tun
def test_the_kernels_packets_take_what_arithmetic_says() -> None:
    found, samples = theory.against_theory([NEAR], 9, 1.0, lambda: None)
    network = found["near"]
    assert {name: len(values) for name, values in samples.items() if name.startswith("near ")} == {
        "near udp ms": 9,
        "near tcp ms": 9,
        "near down Mbit/s": theory.TRANSFERS,
        "near up Mbit/s": theory.TRANSFERS,
    }
    # A busy machine is late, never early, and slow, never fast.
    assert min(samples["near udp ms"]) >= theory.exchange_ms(NEAR, 28) and min(samples["near tcp ms"]) >= 10.2
    assert network["refused"] or all(way["possible"] for way in network["goodput"].values())
