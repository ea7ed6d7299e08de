"""Compute in virtual time what an answer takes on mobile networks: TCP or QUIC, TLS, radio, queues, outages and losses.

A model, not a measurement: nothing waits, so the same seed gives the same figures on every machine. Queries come at
independent instants (a device) or, with --per-second, as a Poisson process into one cell (a fleet), timed from when they were
wanted. Networks are named in a file with the source of each figure. Where SIGHTLINE_PACKS is set, made traces have the recorded
ones beside them.

--what strategies (default)  photograph, vectors, codes, crops, racing, pocket and cache, with device and service as `bench edge`
                             measured them; the budget of 200 ms, by stage: exit status 1 when a network that should keep it does not
--what sizes                 the same query with 64 to 120,000 bytes up
In real time, through TUN devices (root, /dev/net/tun); what an overloaded machine falsified is refused:

--what theory                the kernel's packets against arithmetic: round trips, and what long transfers carry; exit status 1 beyond the bounds
--what kernel, tls           the model against the kernel's own TCP; and with OpenSSL's TLS 1.3 above it: full, resumed, warm
--what product               the real client against the real service, ways to ask side by side, and the model beside each; without
                             root with --back-end proxy, which is right for one packet each way
--what proxy                 how far that proxy is off the model (no root)

Examples:
  sightline bench network
  sightline bench network --profiles lte,slow4g --situations warm,idle --n 1000 --out network.json
  sightline bench network --profiles lte --n 2000 --per-second 5 --stack http3
  sightline bench network --what sizes --profiles lte --down-trace Verizon-LTE-short.down --up-trace Verizon-LTE-short.up
  sightline bench network --what theory
  sightline bench network --what kernel --profiles slow4g,dense4g,lte --n 15 --out network-kernel.json
  sightline bench network --what product --profiles dense4g,lte --situations warm,cold --strategies code,racing --n 100
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from sightline_bench.netsim import (
    agreement,
    budget,
    deviation,
    product_table,
    realtime,
    strategies,
    table,
    theory,
    timeline,
)
from sightline_bench.netsim.digests import file_digest, trace_digests
from sightline_bench.netsim.profiles import Profile, Profiles, read_profiles, shipped_profiles
from sightline_bench.netsim.radio import Direction
from sightline_bench.netsim.recorded import recorded_networks
from sightline_bench.netsim.stack import STACKS
from sightline_bench.netsim.table import ANSWER_BYTES, SITUATIONS, Network, Plan
from sightline_bench.netsim.times import KEPT, read_times
from sightline_bench.netsim.traces import read_trace
from sightline_bench.netsim.ways import DEFAULT_WAYS, WAYS
from sightline_bench.out import out_file
from sightline_bench.packs import packs_folder
from sightline_bench.results import Result, Run, write
from sightline_shared.errors import InputError

WHAT = ("strategies", "sizes", "theory", "kernel", "tls", "product", "proxy")
IN_REAL_TIME = WHAT[2:]
SIZES = (64, 512, 2048, 40_000, 120_000)
DEFAULT_SITUATIONS = ("warm", "cold", "idle")
SERVER_MS = 6.0
# Where queries wait in earnest there are fewer of them, and of networks.
QUICK_PROFILES = ("5g", "lte", "slow4g")
QUICK = len(QUICK_PROFILES)
REAL_N = {"kernel": 15, "tls": 15, "product": 40, "proxy": 15}
REAL_PROFILES = {
    "theory": ("dense4g", "slow4g", "3g"),
    "product": ("dense4g", "slow4g", "lte", "5g"),
    "proxy": ("dense4g", "slow4g", "lte"),
}
MAX_SEED = 2**63 - 1
SECONDS, MAX_SECONDS = 8.0, 600.0
MAX_N, MAX_BYTES = 20_000, 100_000_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    whole = Plan((), ())
    parser.add_argument("--what", choices=WHAT, default=WHAT[0], help=f"what is compared (default {WHAT[0]})")
    parser.add_argument("--quick", action="store_true", help="three networks: shows that it works")
    parser.add_argument("--profiles", help="names, as lte,slow4g (default all)")
    parser.add_argument("--profile-file", help="a TOML file of networks instead of the package's own")
    parser.add_argument(
        "--strategies",
        help=f"of {', '.join(strategies.STRATEGIES)} (default all; with --what product all but 5 crops, default {', '.join(DEFAULT_WAYS)})",
    )
    parser.add_argument("--sizes", help=f"bytes up, as 64,2048 (default {','.join(map(str, SIZES))})")
    parser.add_argument("--situations", help=f"of {', '.join(SITUATIONS)} (default {','.join(DEFAULT_SITUATIONS)})")
    parser.add_argument("--stack", choices=sorted(STACKS), default=whole.stack, help=f"default {whole.stack}")
    parser.add_argument(
        "--back-end", choices=realtime.BACK_ENDS, default=realtime.TUN, help="with --what product (default tun)"
    )
    parser.add_argument(
        "--n",
        type=int,
        help=f"queries of each kind (default {whole.n}; in real time {REAL_N['kernel']}, {REAL_N['product']} with --what product)",
    )
    parser.add_argument(
        "--per-second", type=float, help="arrivals a second in one cell (default: independent instants)"
    )
    parser.add_argument("--answer-bytes", type=int, default=ANSWER_BYTES, help=f"bytes down (default {ANSWER_BYTES})")
    parser.add_argument("--server-ms", type=float, default=SERVER_MS, help=f"with --what sizes (default {SERVER_MS:g})")
    parser.add_argument(
        "--edge", help="a result of 'bench edge' with the times of device and service (default the kept one)"
    )
    parser.add_argument("--budget", help="a TOML file of budgets (default the package's own, none with --profile-file)")
    parser.add_argument("--packs", help="the folder with recorded traces (default SIGHTLINE_PACKS)")
    parser.add_argument("--down-trace", help="a recorded trace for the way down, mahimahi or CSV; one profile only")
    parser.add_argument("--up-trace", help="a recorded trace for the way up")
    parser.add_argument(
        "--seconds", type=float, default=SECONDS, help=f"of a transfer, with --what theory (default {SECONDS:g})"
    )
    parser.add_argument("--seed", type=int, default=0, help="of arrivals, losses, jitter and made traces (default 0)")
    parser.add_argument("--out", type=out_file, help="write the JSON result here too")


def run(args: argparse.Namespace) -> Result:
    book = read_profiles(Path(args.profile_file)) if args.profile_file else shipped_profiles()
    plan, sizes = plan_of(args, book), _sizes(args.sizes)
    measured = Run("network" if args.what == WHAT[0] else f"network {args.what}", _scenario(plan))
    with Progress(console=Console(stderr=True)) as bar:
        if args.what in IN_REAL_TIME:
            steps = len(plan.networks) + 2 * (args.what == "product")
            step = bar.add_task("in real time", total=steps)
            result = _in_real_time(measured, plan, args, lambda: bar.advance(step))
        elif args.what == "sizes":
            measured.note(sizes=sizes, server_ms=args.server_ms)
            step = bar.add_task("in virtual time", total=len(plan.networks) * len(plan.situations) * len(sizes))
            found = table.measure(plan, sizes, args.server_ms, lambda: bar.advance(step))
            result = measured.result({"titles": _titles(plan), "networks": found})
        else:
            names = _chosen(args.strategies, strategies.STRATEGIES, "--strategies") or list(strategies.STRATEGIES)
            budgets = _budgets(args)
            edge = Path(args.edge) if args.edge else KEPT
            measured.note(strategies=names, edge=f"{edge.name} {file_digest(edge)}")
            step = bar.add_task("in virtual time", total=len(plan.networks) * len(plan.situations) * len(names))
            result = _strategies(measured, plan, names, edge, budgets, lambda: bar.advance(step))
    if args.out:
        write(result, args.out)
    return result


def show(result: Result) -> str:
    if "agreement" in result:
        return agreement.as_markdown(result["agreement"])
    if "theory" in result:
        return theory.as_markdown(result["theory"])
    if "proxy" in result:
        return deviation.as_markdown(result["proxy"])
    if "product" in result:
        return product_table.as_markdown(result)
    if "budget" in result:
        text = strategies.as_markdown(result["networks"], result["titles"])
        return f"{text}\n\n{budget.as_markdown(result['budget'])}"
    return table.as_markdown(result["networks"], result["titles"]).rstrip()


def _budgets(args: argparse.Namespace) -> list[budget.Budget]:
    """Return the budgets that are held to; a file of networks may use the shipped ones' names for others."""
    if args.budget:
        return budget.read_budgets(Path(args.budget))
    return [] if args.profile_file else budget.shipped_budgets()


def _strategies(
    measured: Run,
    plan: Plan,
    names: list[str],
    edge: Path,
    budgets: list[budget.Budget],
    step: Callable[[], None],
) -> Result:
    found, samples = strategies.measure(plan, names, read_times(edge), step)
    kept = budget.kept(budgets, found)
    figures = {
        "ok": all(each["ok"] for each in kept.values()) if kept else None,
        "titles": _titles(plan),
        "networks": found,
        "budget": kept,
        "timeline": timeline.timeline(plan),
    }
    return measured.result(figures, samples)


def _in_real_time(measured: Run, plan: Plan, args: argparse.Namespace, step: Callable[[], None]) -> Result:
    if args.what == "theory":
        if not 1 <= args.seconds <= MAX_SECONDS:
            raise InputError(f"--seconds: expected 1 to {MAX_SECONDS:g}, got {args.seconds}.")
        measured.note(seconds=args.seconds)
        return realtime.theory_result(measured, plan, args.seconds, step)
    if args.what == "product":
        ways = _chosen(args.strategies, WAYS, "--strategies") or list(DEFAULT_WAYS)
        return realtime.product_result(measured, plan, ways, args.back_end, packs_folder(args.packs), step)
    sizes = _sizes(args.sizes)
    measured.note(sizes=sizes)
    if args.what == "proxy":
        return realtime.proxy_result(measured, plan, sizes, step)
    return realtime.kernel_result(
        measured, plan, sizes, step, agreement.TLS if args.what == "tls" else agreement.BARE_TCP
    )


def _scenario(plan: Plan) -> dict[str, Any]:
    return {
        "networks": {network.name: repr(network.profile) for network in plan.networks},
        "traces": {network.name: trace_digests(network.recorded) for network in plan.networks if network.recorded},
        "situations": list(plan.situations),
        "stack": repr(STACKS[plan.stack]),
        "n": plan.n,
        "per_second": plan.per_second,
        "answer_bytes": plan.answer_bytes,
        "seed": plan.seed,
    }


def _titles(plan: Plan) -> dict[str, str]:
    return {network.name: network.title for network in plan.networks}


def plan_of(args: argparse.Namespace, book: Profiles) -> Plan:
    """Return what the options ask for; raises InputError."""
    profiles = [book.named(name) for name in _names(args.profiles)] or _default_profiles(args, book)
    situations = _chosen(args.situations, SITUATIONS, "--situations") or list(DEFAULT_SITUATIONS)
    if args.back_end == realtime.PROXY and not args.situations:
        situations.remove("idle")  # the proxy's radio is always awake
    n = args.n if args.n is not None else REAL_N.get(args.what, Plan((), ()).n)
    if not 1 <= n <= MAX_N or not args.server_ms >= 0 or not 1 <= args.answer_bytes <= MAX_BYTES:
        raise InputError(
            f"network: expected --n of 1 to {MAX_N}, --answer-bytes of 1 to {MAX_BYTES} and --server-ms of 0 or more, "
            f"got {n}, {args.answer_bytes} and {args.server_ms}."
        )
    if not 0 <= args.seed <= MAX_SEED:
        raise InputError(f"--seed: expected 0 to {MAX_SEED}, got {args.seed}.")
    if args.per_second is not None and not 0.001 <= args.per_second <= 1000:
        raise InputError(f"--per-second: expected 0.001 to 1000, got {args.per_second}.")
    traces = {Direction.DOWN: args.down_trace, Direction.UP: args.up_trace}
    given = {direction: read_trace(Path(path), direction) for direction, path in traces.items() if path}
    if given and len(profiles) != 1:
        raise InputError(f"--down-trace, --up-trace: expected one of --profiles with them, got {len(profiles)}.")
    networks = [Network.of(profile, given) for profile in profiles]
    packs = packs_folder(args.packs)
    if packs and not given and not args.quick and args.what not in IN_REAL_TIME:
        networks += recorded_networks(profiles, packs)
    return Plan(networks, situations, args.stack, n, args.per_second, args.answer_bytes, args.seed)


def _default_profiles(args: argparse.Namespace, book: Profiles) -> list[Profile]:
    every = list(book.profiles.values())
    if args.profile_file:
        return every[:QUICK] if args.quick else every
    if args.what in ("kernel", "tls"):
        return [profile for profile in every if profile.is_constant]
    chosen = QUICK_PROFILES if args.quick else REAL_PROFILES.get(args.what, book.profiles)
    return [book.named(name) for name in chosen]


def _names(text: str | None) -> list[str]:
    return [name.strip() for name in text.split(",")] if text else []


def _chosen(text: str | None, known: Any, option: str) -> list[str]:
    names = _names(text)
    unknown = [name for name in names if name not in known]
    if unknown:
        raise InputError(f"{option}: expected some of {', '.join(known)}, got '{unknown[0][:40]}'.")
    return names


def _sizes(text: str | None) -> list[int]:
    if not text:
        return list(SIZES)
    parts = _names(text)
    # Not int() alone: it takes '1_000' and digits of other scripts.
    sizes = [int(part) for part in parts if part.isascii() and part.isdigit() and len(part) < 10]
    if len(sizes) < len(parts) or not all(1 <= size <= MAX_BYTES for size in sizes):
        raise InputError(f"--sizes: expected bytes from 1 to {MAX_BYTES}, as 64,2048, got {text!r:.80}.")
    return sizes
