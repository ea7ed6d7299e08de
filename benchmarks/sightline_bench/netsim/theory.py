"""The kernel's packets through the emulator against arithmetic, with no model of TCP in between.

On a network without jitter and loss a small exchange takes the round trip and its two packets' bytes over the rates, and no
transfer is faster than 1,448 of every 1,500 bytes of the line's rate, nor should it be much slower.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from sightline_bench.netsim.kernel import through
from sightline_bench.netsim.lateness import LATE_MS
from sightline_bench.netsim.percentiles import percentile_estimates
from sightline_bench.netsim.probe import EXCHANGE_BYTES
from sightline_bench.netsim.profiles import Profile
from sightline_bench.netsim.stack import TCP
from sightline_shared.errors import InputError

WITHIN_MS, LEAST_SHARE = 1.5, 0.98
# IPv4 and UDP.
UDP_HEADER_BYTES = 28
# The first transfer of a direction has slow start in it, and is not told.
WARM_SECONDS, TRANSFERS = 2.0, 3
WAYS = ("down", "up")
# More than a connection's send buffer holds (4 MB), so nothing is ever dropped.
ROOMY, ROOMY_PACKETS = ", roomy", 4000
EXCHANGES = {"udp": UDP_HEADER_BYTES, "tcp": TCP.header_bytes}

Theory = dict[str, dict[str, Any]]
Samples = dict[str, list[float]]


def is_arithmetic(profile: Profile) -> bool:
    """Whether what a packet takes can be worked out by hand."""
    return profile.is_constant and not profile.jitter_ms and not profile.loss


def exchange_ms(profile: Profile, header_bytes: int) -> float:
    """Return what a packet of EXCHANGE_BYTES and headers up, and one as large down, take together."""
    return profile.round_trip_ms + sum(
        8 * (EXCHANGE_BYTES + header_bytes) / 1000 / rate for rate in _rates(profile).values()
    )


def most_mbit(profile: Profile, way: str) -> float:
    """Return the rate at which a TCP connection's own bytes can pass."""
    return _rates(profile)[way] * TCP.mss_bytes / TCP.packet_bytes


def against_theory(
    profiles: Sequence[Profile], n: int, seconds: float, step: Callable[[], None]
) -> tuple[Theory, Samples]:
    """Return by profile what was measured beside what is right, and whether it is near enough; and the raw measurements.

    `n` exchanges each, transfers of `seconds`. Where transfers are slow because the profile's queue drops packets, they are
    measured once more over a queue that drops none. Raises InputError for a profile that is not arithmetic, and where TUN
    devices cannot be had.
    """
    strange = [profile.name for profile in profiles if not is_arithmetic(profile)]
    if strange:
        raise InputError(f"theory: expected networks of one rate without jitter and loss, got {strange[0]}.")
    found: Theory = {}
    samples: Samples = {}
    for profile in profiles:
        network = found[profile.name] = _measured(profile, n, seconds, samples)
        if network["refused"] or network["ok"]:
            step()
            continue
        roomy = replace(profile, name=profile.name + ROOMY, queue_packets=ROOMY_PACKETS)
        again = found[roomy.name] = _measured(roomy, 1, seconds, samples)
        network["ok"] = _settled(network, again)
        step()
    return found, samples


def _measured(profile: Profile, n: int, seconds: float, samples: Samples) -> dict[str, Any]:
    """Return one network's figures, and add its raw measurements to `samples`."""
    run = through(profile, "sightline_bench.netsim.probe", _plan(profile, n, seconds))
    units = {f"{name} ms": f"{name} ms" for name in EXCHANGES} | {way: f"{way} Mbit/s" for way in WAYS}
    samples |= {f"{profile.name} {units[name]}": values for name, values in run.ms.items()}
    late = {"late_p99_ms": round(run.late_ms, 3), "refused": not run.is_good, "queue_packets": profile.queue_packets}
    return {**late, **(figures(profile, run.ms, seconds) if run.is_good else {"ok": False})}


def _plan(profile: Profile, n: int, seconds: float) -> dict[str, list[int]]:
    def transfers(way: str) -> list[int]:
        return [round(each * most_mbit(profile, way) * 1e6 / 8) for each in (WARM_SECONDS, *[seconds] * TRANSFERS)]

    return {"n": [n], **{way: transfers(way) for way in WAYS}}


def figures(profile: Profile, measured: Samples, seconds: float) -> dict[str, Any]:
    """Return the comparison for one network: `round_trip` by protocol, `goodput` by direction, `ok`."""
    trips = {name: _trip(exchange_ms(profile, size), measured[f"{name} ms"]) for name, size in EXCHANGES.items()}
    goodput = {way: _goodput(most_mbit(profile, way), measured[way], seconds) for way in WAYS}
    ok = all(trip["ok"] for trip in trips.values()) and all(way["fast"] and way["possible"] for way in goodput.values())
    return {"round_trip": trips, "goodput": goodput, "ok": ok}


def _trip(right_ms: float, measured_ms: Sequence[float]) -> dict[str, Any]:
    error_ms = percentile_estimates(np.array(measured_ms) - right_ms)
    return {"theory_ms": round(right_ms, 3), "error_ms": error_ms, "ok": abs(error_ms["p50"]["value"]) <= WITHIN_MS}


def _goodput(most: float, measured_mbit: Sequence[float], seconds: float) -> dict[str, Any]:
    """Return the transfers' shares of `most`; they are `possible` when none is above it, and `fast` when none is far below."""
    shares = sorted(mbit / most for mbit in measured_mbit)
    # The first piece may have been handed on late by as much as a run may be late, and the rest then seems faster.
    clock = LATE_MS / 1000 / seconds
    return {
        "most_mbit": round(most, 4),
        "shares": [round(share, 5) for share in shares],
        "fast": shares[0] >= LEAST_SHARE,
        "possible": shares[-1] <= 1 + clock,
    }


def _settled(network: dict[str, Any], roomy: dict[str, Any]) -> bool:
    """Whether all that was wrong with a network is what its queue dropped."""
    trips, ways = network["round_trip"].values(), network["goodput"].values()
    others_ok = all(trip["ok"] for trip in trips) and all(way["possible"] for way in ways)
    return others_ok and bool(roomy["ok"])


def as_markdown(found: Theory) -> str:
    """Return the comparison as people read it."""
    lines = [
        f"Exchanges of {EXCHANGE_BYTES} bytes each way against the round trip and their packets' bytes over the rates, within {WITHIN_MS:g} ms at the",
        f"median; transfers against {TCP.mss_bytes} of {TCP.packet_bytes} bytes of the rate (cubic; from the first piece to the last, slow start before it),",
        f"{100 * LEAST_SHARE:.0f} % of it at least and never more. 'roomy' is the same network with a queue that drops nothing.",
        "",
        "| network | | right | measured | |",
        "|---|---|---|---|---|",
    ]
    for name, network in found.items():
        if network["refused"]:
            lines.append(f"| {name} | refused: {network['late_p99_ms']} ms late at p99 | | | |")
            continue
        for kind, trip in network["round_trip"].items():
            error = " / ".join(f"{level} {each['value']:+.2f}" for level, each in trip["error_ms"].items())
            lines.append(
                f"| {name} | round trip, {kind}, ms | {trip['theory_ms']:.2f} | {error} | {_word(trip['ok'])} |"
            )
        for way, each in network["goodput"].items():
            shares = ", ".join(f"{100 * share:.2f} %" for share in each["shares"])
            word = _word(each["fast"] and each["possible"])
            lines.append(f"| {name} | {way}, Mbit/s | {each['most_mbit']:.3f} | {shares} | {word} |")
    return "\n".join(lines)


def _word(ok: bool) -> str:
    return "ok" if ok else "**no**"


def _rates(profile: Profile) -> dict[str, float]:
    assert isinstance(profile.down, float) and isinstance(profile.up, float)
    return {"down": profile.down, "up": profile.up}
